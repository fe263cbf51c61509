//! Four eyes over who may manage people: another person confirms, or time stands in where there is
//! nobody else (S20).

use super::*;

async fn policy(harness: &Harness) {
    let policy = PolicySet { name: "four_eyes.admin_grant".to_owned(), value: "on".to_owned() };
    harness.command(Command::PolicySet(policy)).await;
}

/// A person with an authenticator app, made by the operator; answers the identifier and the secret.
pub(super) async fn somebody(harness: &Harness, email: &str, role: &str) -> (String, String) {
    let new = json!({
        "command": "user-create", "email": email, "role": role, "password": PASSWORD, "totp": true,
    });
    let made = harness.command(serde_json::from_value(new).unwrap()).await;
    let secret = made["totp"]["secret"].as_str().unwrap().to_owned();
    (made["id"].as_str().unwrap().to_owned(), secret)
}

/// The person, with both factors shown now.
pub(super) async fn with_factor(harness: &Harness, email: &str, secret: &str) -> Actor {
    let begun = ask(harness, login(email, PASSWORD, false), None, from(9)).await.unwrap().value;
    let shown = json!({
        "challenge_id": begun["challenge_id"], "type": "totp", "code": code_now(harness, secret),
    });
    let shown = Ask::Factor(serde_json::from_value(shown).unwrap());
    let tokens = ask(harness, shown, None, from(9)).await.unwrap().value;
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    caller(harness, "authorization", &bearer).unwrap()
}

async fn role_of(harness: &Harness, email: &str) -> Value {
    let users = harness.command(Command::UserList).await;
    let mut users = users["items"].as_array().unwrap().clone().into_iter();
    users.find(|user| user["email"] == email).map_or(Value::Null, |user| user["role"].clone())
}

pub(super) fn confirm(waiting: &Value) -> Value {
    json!({ "command": "pending-confirm", "id": waiting["pending_id"] })
}

/// A role that may manage people is given by two: not by the same person twice, not by whoever may
/// not give it, and not later than a quarter of an hour after it was asked for.
#[test]
fn an_administrator_is_made_by_two() {
    const BOB: &str = "bob@example.com";
    simulate(async || {
        let harness = with_owner(21).await;
        let (ann, _) = strong(&harness).await;
        let (bob, secret) = somebody(&harness, BOB, "trader").await;
        let trader = with_factor(&harness, BOB, &secret).await;
        let (eve_id, secret) = somebody(&harness, "eve@example.com", "admin").await;
        let eve = with_factor(&harness, "eve@example.com", &secret).await;
        policy(&harness).await;
        let give = |to: &str, role: &str| json!({"command": "user-change", "id": to, "role": role});
        // A role that manages nobody waits for nobody.
        let small = carry_out(&harness, give(&bob, "viewer"), &ann).await.unwrap();
        assert_eq!(small["role"], "viewer");

        let waiting = carry_out(&harness, give(&bob, "admin"), &ann).await.unwrap();
        assert_eq!(waiting["status"], "pending");
        let own = carry_out(&harness, confirm(&waiting), &ann).await;
        assert_eq!(code(own), Code::AuthSecondPerson);
        let weak = carry_out(&harness, confirm(&waiting), &trader).await;
        assert_eq!(code(weak), Code::AuthPermission);
        assert_eq!(role_of(&harness, BOB).await, "viewer");
        let done = carry_out(&harness, confirm(&waiting), &eve).await.unwrap();
        assert_eq!(
            (&done["status"], &done["result"]["role"]),
            (&json!("confirmed"), &json!("admin"))
        );
        let twice = carry_out(&harness, confirm(&waiting), &eve).await;
        assert!(matches!(twice, Err(CommandError::NotFound)), "{twice:?}");

        // Who asked may not give it any more when it is confirmed: it is not given.
        carry_out(&harness, give(&bob, "viewer"), &ann).await.unwrap();
        let waiting = carry_out(&harness, give(&bob, "admin"), &eve).await.unwrap();
        carry_out(&harness, give(&eve_id, "viewer"), &ann).await.unwrap();
        let outcome = carry_out(&harness, confirm(&waiting), &ann).await;
        assert_eq!(code(outcome), Code::AuthPermission);
        assert_eq!(role_of(&harness, BOB).await, "viewer");

        // Nobody confirms what was asked for a quarter of an hour ago.
        let waiting = carry_out(&harness, give(&bob, "admin"), &ann).await.unwrap();
        harness.clock.advance(Duration::from_mins(15));
        let (_, secret) = somebody(&harness, "dan@example.com", "owner").await;
        let dan = with_factor(&harness, "dan@example.com", &secret).await;
        let late = carry_out(&harness, confirm(&waiting), &dan).await;
        assert!(matches!(late, Err(CommandError::NotFound)), "{late:?}");
        assert_eq!(role_of(&harness, BOB).await, "viewer");
        harness.finish().await;
    });
}

/// An organization of one person: ten minutes stand in for the second one.
#[test]
fn alone_an_administrator_takes_ten_minutes() {
    const EVE: &str = "eve@example.com";
    simulate(async || {
        let harness = with_owner(22).await;
        let (ann, secret) = strong(&harness).await;
        policy(&harness).await;
        let grant = json!({ "command": "user-create", "email": EVE, "role": "admin" });
        let waiting = carry_out(&harness, grant, &ann).await.unwrap();
        let early = carry_out(&harness, confirm(&waiting), &ann).await;
        assert_eq!(code(early), Code::AuthSecondPerson);
        harness.clock.advance(Duration::from_secs(590));
        let ann = with_factor(&harness, EMAIL, &secret).await;
        let early = carry_out(&harness, confirm(&waiting), &ann).await;
        assert_eq!(code(early), Code::AuthSecondPerson);
        assert_eq!(role_of(&harness, EVE).await, Value::Null);
        harness.clock.advance(Duration::from_secs(10));
        let done = carry_out(&harness, confirm(&waiting), &ann).await.unwrap();
        assert_eq!(done["result"]["role"], "admin");
        assert!(done["result"]["invite_token"].as_str().is_some(), "{done}");
        assert_eq!(role_of(&harness, EVE).await, "admin");
        harness.finish().await;
    });
}
