//! A clock that jumps, ahead and back: nothing that was over opens again, and nobody is kept out for
//! longer than the jump.

use super::*;

const HOUR: Duration = Duration::from_hours(1);

fn back(harness: &Harness, span: Duration) {
    harness.clock.set(harness.now().minus(span));
}

/// Ahead by a day, and back: sessions and tokens that were over in between are over then as far as the
/// clock says so, codes that were taken stay taken, locked stays locked, and what was ended stays ended.
#[test]
fn a_clock_that_jumps_opens_nothing() {
    simulate(async || {
        let harness = with_owner(41).await;
        let (_, secret) = strong(&harness).await;
        harness.elapse(Duration::from_secs(31)).await;
        let begun = try_from(&harness, 1, PASSWORD).await.unwrap().value;
        let code_then = code_now(&harness, &secret);
        let show = async |begun: &Value, code: &str| {
            let shown = json!({
                "challenge_id": begun["challenge_id"], "type": "totp", "code": code,
            });
            let shown = serde_json::from_value(shown).unwrap();
            ask(&harness, Ask::Factor(shown), None, from(1)).await
        };
        let tokens = show(&begun, &code_then).await.unwrap().value;
        let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
        caller(&harness, "authorization", &bearer).unwrap();

        // Ahead: the token is over, a code of that time opens, and uses up every earlier one.
        harness.clock.advance(HOUR * 24);
        assert!(caller(&harness, "authorization", &bearer).is_err());
        let begun = try_from(&harness, 2, PASSWORD).await.unwrap().value;
        let code_ahead = code_now(&harness, &secret);
        let ahead = show(&begun, &code_ahead).await.unwrap().value;
        let ahead = format!("Bearer {}", ahead["access_token"].as_str().unwrap());
        let actor = caller(&harness, "authorization", &ahead).unwrap();

        // Back: what was made in what is now the future is not taken, and no code from before is.
        back(&harness, HOUR * 24);
        assert!(caller(&harness, "authorization", &ahead).is_err(), "issued in the future");
        let begun = try_from(&harness, 3, PASSWORD).await.unwrap().value;
        assert_eq!(code(show(&begun, &code_then).await), Code::Unauthenticated);
        harness.clock.advance(Duration::from_mins(1));
        let now = code_now(&harness, &secret);
        assert_eq!(code(show(&begun, &now).await), Code::Unauthenticated, "an earlier step");
        // Who asks for a fresh factor is not told that one of the future is.
        let fresh = actor.fresh(harness.now());
        assert!(fresh.is_err(), "a factor of the future is not fresh");
        harness.finish().await;
    });
}

/// Locked out at a time that is now the future: the wait ends when the clock gets there, and a right
/// password never shortens it.
#[test]
fn a_clock_that_goes_back_lengthens_a_wait_by_no_more_than_the_jump() {
    simulate(async || {
        let harness = with_owner(42).await;
        for number in 0..5 {
            let outcome = try_from(&harness, number, "not-the-password-at-all").await;
            assert_eq!(code(outcome), Code::Unauthenticated);
        }
        back(&harness, HOUR);
        assert_eq!(code(try_from(&harness, 20, PASSWORD).await), Code::Unauthenticated);
        harness.clock.advance(HOUR + Duration::from_secs(31));
        try_from(&harness, 21, PASSWORD).await.unwrap();
        harness.finish().await;
    });
}
