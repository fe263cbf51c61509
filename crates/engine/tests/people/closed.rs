//! Second factors while the key source is away for too long.

use super::four_eyes::somebody;
use super::*;
use tradewarden_testkit::engine::OPEN_FOR;

const BOB: &str = "bob@example.com";
const A_WHILE: Duration = Duration::from_secs(10);

async fn show(harness: &Harness, challenge: &Value, code: &str) -> Result<Said, CommandError> {
    let shown = json!({ "challenge_id": challenge, "type": "totp", "code": code });
    ask(harness, Ask::Factor(serde_json::from_value(shown).unwrap()), None, from(9)).await
}

/// A code that cannot be judged is not called wrong, uses up nothing, and opens once secrets are open.
#[test]
fn a_code_waits_for_the_key_source() {
    simulate(async || {
        let harness = with_owner(61).await;
        let (_, secret) = somebody(&harness, BOB, "trader").await;
        harness.keys.go_away();
        harness.elapse(A_WHILE).await;
        harness.clock.advance(OPEN_FOR);
        harness.elapse(A_WHILE).await;
        let outcome =
            ask(&harness, login(BOB, "not-the-password-at-all", false), None, from(1)).await;
        assert_eq!(code(outcome), Code::Unauthenticated);
        let begun = ask(&harness, login(BOB, PASSWORD, false), None, from(9)).await.unwrap().value;
        let challenge = &begun["challenge_id"];
        for number in 0..8 {
            let shown = format!("{number:06}");
            assert_eq!(code(show(&harness, challenge, &shown).await), Code::VaultClosed);
        }
        let nobody = json!("bm90IGEgY2hhbGxlbmdlIG9mIG91cnM");
        assert_eq!(code(show(&harness, &nobody, "000000").await), Code::Unauthenticated);
        assert_eq!(
            code(ask(&harness, Ask::PasskeyOptions, None, from(2)).await),
            Code::VaultClosed
        );

        harness.keys.come_back();
        harness.elapse(A_WHILE).await;
        let right = code_now(&harness, &secret);
        show(&harness, challenge, &right).await.unwrap();
        harness.finish().await;
    });
}
