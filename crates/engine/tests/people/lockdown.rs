//! Who may lock an organization down, what it ends, and what it takes to go on.

use super::four_eyes::{confirm, somebody, with_factor};
use super::*;

fn engage() -> Value {
    json!({ "command": "lockdown-engage", "reason": "somebody else is in" })
}

async fn status(harness: &Harness) -> Value {
    harness.command(Command::LockdownStatus).await
}

async fn comes_to(harness: &Harness, step: &str) -> Value {
    for _ in 0..1_000 {
        let shown = status(harness).await;
        if shown["step"] == step {
            return shown;
        }
        harness.elapse(Duration::from_millis(100)).await;
    }
    panic!("it never came to {step}")
}

/// S20, S21: who may halt may lock down, without a fresh factor; every session ends with it, that of
/// whoever asked too; a fresh login with a factor answers, confirms and ends, after a minute's hold.
#[test]
fn s21_everybody_is_out_and_the_owner_comes_back() {
    simulate(async || {
        let harness = with_owner(61).await;
        let (ann, secret) = strong(&harness).await;
        let (_, viewers) = somebody(&harness, "vic@example.com", "viewer").await;
        let vic = with_factor(&harness, "vic@example.com", &viewers).await;
        assert_eq!(code(carry_out(&harness, engage(), &vic).await), Code::AuthPermission);
        let begun = ask(&harness, login(EMAIL, PASSWORD, false), None, from(7)).await;
        let half = begun.unwrap().value;
        harness.elapse(Duration::from_mins(6)).await;
        assert_eq!(
            code(carry_out(&harness, json!({"command": "lockdown-end"}), &ann).await),
            Code::AuthStepUp
        );
        let shown = carry_out(&harness, engage(), &ann).await.unwrap();
        assert_eq!(shown["in_force"], true, "an old factor does: {shown}");
        let sessions = harness.command(Command::SessionList).await;
        assert_eq!(sessions["items"], json!([]), "everybody is out");
        assert_eq!(shown["steps"][1]["done"], 2, "{shown}");
        assert!(half["challenge_id"].is_string(), "a login that had begun needs its factor still");

        harness.elapse(Duration::from_secs(31)).await;
        let ann = with_factor(&harness, EMAIL, &secret).await;
        let answer = json!({ "command": "lockdown-answer", "positions": "flatten" });
        carry_out(&harness, answer, &ann).await.unwrap();
        let shown = comes_to(&harness, "confirm").await;
        let end = json!({ "command": "lockdown-end" });
        assert_eq!(code(carry_out(&harness, end.clone(), &ann).await), Code::LockdownHold);
        harness.elapse(Duration::from_mins(1)).await;
        let confirm = json!({ "command": "lockdown-confirm", "phrase": shown["phrase"] });
        let done = carry_out(&harness, confirm, &ann).await.unwrap();
        assert_eq!(done["step"], "done");
        let ended = carry_out(&harness, end, &ann).await.unwrap();
        assert_eq!(ended["in_force"], false, "{ended}");
        harness.finish().await;
    });
}

/// S20: who showed a password alone may stop, and neither keep others from hearing of something nor
/// from working.
#[test]
fn s20_without_a_factor_one_may_halt_and_no_more() {
    simulate(async || {
        let harness = with_owner(63).await;
        let begun = try_from(&harness, 1, PASSWORD).await.unwrap().value;
        let bearer = format!("Bearer {}", begun["access_token"].as_str().unwrap());
        let ann = caller(&harness, "authorization", &bearer).unwrap();
        for beyond in [
            engage(),
            json!({ "command": "lockdown-answer", "positions": "flatten" }),
            json!({ "command": "lockdown-confirm", "phrase": "" }),
            json!({ "command": "lockdown-end" }),
            json!({ "command": "lockdown-bundle" }),
            json!({ "command": "alert-acknowledge", "id": "alt_00000000000000000000000000" }),
            json!({ "command": "alert-test" }),
            json!({ "command": "halt-engage", "mode": "cancel", "include_protective": true }),
            json!({ "command": "dead-man-set", "timeout_s": 60 }),
            json!({ "command": "dead-man-remove" }),
        ] {
            let refused = carry_out(&harness, beyond.clone(), &ann).await;
            assert_eq!(code(refused), Code::AuthFactorRequired, "{beyond}");
        }
        assert_eq!(status(&harness).await["in_force"], false);
        for mode in ["block", "cancel"] {
            let halt = json!({ "command": "halt-engage", "scope": "org", "mode": mode });
            carry_out(&harness, halt, &ann).await.unwrap();
        }
        harness.finish().await;
    });
}

/// S20, S21: without a fresh factor nothing is confirmed, and where two people resume, two end.
#[test]
fn s21_the_end_takes_a_second_person_where_resuming_does() {
    simulate(async || {
        let harness = with_owner(62).await;
        let (_, secret) = strong(&harness).await;
        let (_, eves) = somebody(&harness, "eve@example.com", "admin").await;
        let policy = PolicySet { name: "four_eyes.halt_resume".to_owned(), value: "on".to_owned() };
        harness.command(Command::PolicySet(policy)).await;
        harness.command(serde_json::from_value(engage()).unwrap()).await;
        harness.elapse(Duration::from_secs(31)).await;
        let ann = with_factor(&harness, EMAIL, &secret).await;
        let shown = comes_to(&harness, "confirm").await;
        harness.elapse(Duration::from_mins(5)).await;
        let said = json!({ "command": "lockdown-confirm", "phrase": shown["phrase"] });
        assert_eq!(code(carry_out(&harness, said, &ann).await), Code::AuthStepUp);
        let ann = with_factor(&harness, EMAIL, &secret).await;
        let waiting = carry_out(&harness, json!({"command": "lockdown-end"}), &ann).await.unwrap();
        assert_eq!(waiting["status"], "pending", "{waiting}");
        assert_eq!(status(&harness).await["in_force"], true);
        let eve = with_factor(&harness, "eve@example.com", &eves).await;
        let done = carry_out(&harness, confirm(&waiting), &eve).await.unwrap();
        assert_eq!(done["result"]["in_force"], false, "{done}");
        harness.finish().await;
    });
}

/// S21: whoever was in may have prepared a way back. Nobody joins by an invitation from before, and no
/// password is set by a token from before, neither during a lockdown nor after it.
#[test]
fn s21_what_was_handed_out_before_lets_nobody_in() {
    simulate(async || {
        let harness = with_owner(64).await;
        let (ann, _) = strong(&harness).await;
        let (vic, _) = somebody(&harness, "vic@example.com", "viewer").await;
        let invite = json!({
            "command": "user-create", "email": "thief@example.com", "role": "admin",
        });
        let invited = carry_out(&harness, invite, &ann).await.unwrap();
        let reset = json!({ "command": "user-reset-password", "id": vic });
        let reset = carry_out(&harness, reset, &ann).await.unwrap();
        carry_out(&harness, engage(), &ann).await.unwrap();
        for token in [&invited["invite_token"], &reset["token"]] {
            let body = json!({ "token": token, "password": "a-Heron-wades-through-77-reeds" });
            let redeem = Ask::PasswordReset(serde_json::from_value(body).unwrap());
            let outcome = ask(&harness, redeem, None, from(41)).await;
            assert_eq!(code(outcome), Code::Unauthenticated);
            harness.elapse(Duration::from_mins(1)).await;
        }
        let users = harness.command(Command::UserList).await;
        assert_eq!(users["items"].as_array().unwrap().len(), 2, "{users}");
        harness.finish().await;
    });
}

/// S21: a switch that nobody may disarm is made neither to wait longer nor to do less.
#[test]
fn s21_a_dead_man_switch_is_not_loosened_meanwhile() {
    simulate(async || {
        let harness = with_owner(65).await;
        let (ann, secret) = strong(&harness).await;
        let arm = |timeout_s: u32, mode: &str| json!({ "command": "dead-man-set", "timeout_s": timeout_s, "mode": mode });
        let brief = carry_out(&harness, arm(0, "cancel"), &ann).await;
        assert!(
            matches!(brief, Err(CommandError::Invalid { field: "timeout_s", .. })),
            "{brief:?}"
        );
        carry_out(&harness, arm(900, "reduce_only"), &ann).await.unwrap();
        carry_out(&harness, arm(600, "cancel"), &ann).await.unwrap();
        carry_out(&harness, engage(), &ann).await.unwrap();
        harness.elapse(Duration::from_secs(31)).await;
        let ann = with_factor(&harness, EMAIL, &secret).await;
        for looser in [arm(601, "cancel"), arm(600, "block"), json!({"command": "dead-man-remove"})]
        {
            let refused = carry_out(&harness, looser.clone(), &ann).await;
            assert_eq!(code(refused), Code::LockdownActive, "{looser}");
        }
        for renewed in [arm(600, "cancel"), arm(500, "cancel")] {
            carry_out(&harness, renewed, &ann).await.unwrap();
        }
        harness.finish().await;
    });
}
