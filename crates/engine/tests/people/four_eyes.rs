//! Four eyes over who may manage people: another person confirms, or time stands in where there is
//! nobody else (S20).

use super::*;

async fn policy(harness: &Harness) {
    switch_on(harness, "four_eyes.admin_grant").await;
}

pub(super) async fn switch_on(harness: &Harness, policy: &str) {
    let policy = PolicySet { name: policy.to_owned(), value: "on".to_owned() };
    harness.command(Command::PolicySet(policy)).await;
}

async fn value_of(harness: &Harness, policy: &str) -> Value {
    let all = harness.command(Command::PolicyList).await;
    let mut all = all["items"].as_array().unwrap().clone().into_iter();
    all.find(|one| one["name"] == policy).unwrap()["value"].clone()
}

async fn state_of(harness: &Harness, email: &str) -> Value {
    let users = harness.command(Command::UserList).await;
    let mut users = users["items"].as_array().unwrap().clone().into_iter();
    users.find(|user| user["email"] == email).unwrap()["state"].clone()
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

/// Who is invited is given a role like who is there: one person could redeem the invitation, too.
#[test]
fn an_invitation_is_no_way_around_the_second_person() {
    const NEW: &str = "new@example.com";
    simulate(async || {
        let harness = with_owner(23).await;
        let (ann, _) = strong(&harness).await;
        let (_, secret) = somebody(&harness, "eve@example.com", "admin").await;
        let eve = with_factor(&harness, "eve@example.com", &secret).await;
        policy(&harness).await;
        let invite = json!({ "command": "user-create", "email": NEW, "role": "viewer" });
        let invited = carry_out(&harness, invite, &ann).await.unwrap();
        let id = invited["id"].as_str().unwrap();
        assert!(invited["invite_token"].is_string(), "{invited}");
        let give = |to: &str, role: &str| json!({"command": "user-change", "id": to, "role": role});
        for name in [id, NEW] {
            let waiting = carry_out(&harness, give(name, "admin"), &ann).await.unwrap();
            assert_eq!(waiting["status"], "pending", "{name}: {waiting}");
            assert_eq!(waiting["summary"], format!("make {id} admin"));
        }
        assert_eq!(role_of(&harness, NEW).await, "viewer");
        // Nor is somebody who is invited a moment later.
        let early = carry_out(&harness, give("later@example.com", "owner"), &ann).await.unwrap();
        assert_eq!(early["status"], "pending", "{early}");
        carry_out(&harness, give(id, "trader"), &ann).await.unwrap();
        assert_eq!(role_of(&harness, NEW).await, "trader");
        let waiting = carry_out(&harness, give(id, "admin"), &ann).await.unwrap();
        carry_out(&harness, confirm(&waiting), &eve).await.unwrap();
        assert_eq!(role_of(&harness, NEW).await, "admin");
        // With another token of it one person would be the other one.
        let renew = json!({ "command": "user-reset-password", "id": id });
        let waiting = carry_out(&harness, renew, &ann).await.unwrap();
        assert_eq!((&waiting["status"], &waiting["token"]), (&json!("pending"), &Value::Null));
        harness.finish().await;
    });
}

/// What wants two people is switched off by two, and on by one.
#[test]
fn a_policy_of_four_eyes_is_switched_off_by_two() {
    simulate(async || {
        let harness = with_owner(24).await;
        let (ann, _) = strong(&harness).await;
        let (_, secret) = somebody(&harness, "eve@example.com", "admin").await;
        let eve = with_factor(&harness, "eve@example.com", &secret).await;
        for name in ["four_eyes.halt_resume", "four_eyes.limit_override", "four_eyes.admin_grant"] {
            let set = |value: &str| json!({"command": "policy-set", "name": name, "value": value});
            for value in ["off", "on"] {
                let done = carry_out(&harness, set(value), &ann).await.unwrap();
                assert_eq!(done["value"], value, "{done}");
            }
            let waiting = carry_out(&harness, set("off"), &ann).await.unwrap();
            assert_eq!(waiting["status"], "pending", "{name}: {waiting}");
            let own = carry_out(&harness, confirm(&waiting), &ann).await;
            assert_eq!(code(own), Code::AuthSecondPerson);
            assert_eq!(value_of(&harness, name).await, "on");
            carry_out(&harness, confirm(&waiting), &eve).await.unwrap();
            assert_eq!(value_of(&harness, name).await, "off");
        }
        harness.finish().await;
    });
}

/// Whoever resets what another one logs in with could log in as them: where that one could be the
/// second person, two reset it.
#[test]
fn the_second_person_is_reset_by_two() {
    simulate(async || {
        let harness = with_owner(25).await;
        let (ann, _) = strong(&harness).await;
        let (rob, _) = somebody(&harness, "rob@example.com", "risk_officer").await;
        let (tom, _) = somebody(&harness, "tom@example.com", "trader").await;
        let (_, secret) = somebody(&harness, "eve@example.com", "admin").await;
        let eve = with_factor(&harness, "eve@example.com", &secret).await;
        let password = |id: &str| json!({"command": "user-reset-password", "id": id});
        let factors = |id: &str| json!({"command": "user-reset-factors", "id": id});
        switch_on(&harness, "four_eyes.halt_resume").await;
        for reset in [password(&rob), factors(&rob)] {
            let waiting = carry_out(&harness, reset.clone(), &ann).await.unwrap();
            assert_eq!(waiting["status"], "pending", "{reset}: {waiting}");
            assert_eq!(waiting["token"], Value::Null, "{waiting}");
        }
        let shown = harness
            .command(
                serde_json::from_value(json!({
                    "command": "user-show", "id": rob,
                }))
                .unwrap(),
            )
            .await;
        assert_ne!(shown["factors"], json!([]), "they are there still");
        let token = carry_out(&harness, password(&tom), &ann).await.unwrap();
        assert!(token["token"].is_string(), "a trader ends no halt: {token}");
        let waiting = carry_out(&harness, password(&rob), &ann).await.unwrap();
        let done = carry_out(&harness, confirm(&waiting), &eve).await.unwrap();
        assert!(done["result"]["token"].is_string(), "{done}");
        harness.finish().await;
    });
}

/// Letting an administrator in again is a grant like the first one; keeping one out is not.
#[test]
fn an_administrator_is_let_in_again_by_two() {
    const ROB: &str = "rob@example.com";
    simulate(async || {
        let harness = with_owner(26).await;
        let (ann, secret) = strong(&harness).await;
        let (rob, _) = somebody(&harness, ROB, "admin").await;
        let (tom, _) = somebody(&harness, "tom@example.com", "trader").await;
        let (_, eves) = somebody(&harness, "eve@example.com", "admin").await;
        policy(&harness).await;
        let switch = |id: &str, to: &str| json!({"command": "user-change", "id": id, "state": to});
        harness.elapse(Duration::from_mins(6)).await;
        for id in [&rob, &tom] {
            carry_out(&harness, switch(id, "disabled"), &ann).await.unwrap();
            let old = carry_out(&harness, switch(id, "active"), &ann).await;
            assert_eq!(code(old), Code::AuthStepUp);
        }
        let ann = with_factor(&harness, EMAIL, &secret).await;
        let eve = with_factor(&harness, "eve@example.com", &eves).await;
        let done = carry_out(&harness, switch(&tom, "active"), &ann).await.unwrap();
        assert_eq!(done["state"], "active", "{done}");
        let waiting = carry_out(&harness, switch(&rob, "active"), &ann).await.unwrap();
        assert_eq!(waiting["status"], "pending", "{waiting}");
        assert_eq!(state_of(&harness, ROB).await, "disabled");
        carry_out(&harness, confirm(&waiting), &eve).await.unwrap();
        assert_eq!(state_of(&harness, ROB).await, "active");
        harness.finish().await;
    });
}

/// A rate of exchange that is far from the one before lets more be traded, as a limit does.
#[test]
fn a_rate_that_moves_far_is_said_by_two() {
    simulate(async || {
        let harness = with_owner(27).await;
        let (ann, _) = strong(&harness).await;
        switch_on(&harness, "four_eyes.limit_override").await;
        let say = |rate: &str| {
            json!({
                "command": "rate-set", "base": "EUR", "quote": "USD", "rate": rate, "source": "me",
            })
        };
        let first = carry_out(&harness, say("1"), &ann).await.unwrap();
        assert_eq!(first["status"], "pending", "{first}");
        harness.command(serde_json::from_value(say("1")).unwrap()).await;
        for (rate, waits) in [("1.05", false), ("1.2", true), ("0.99", true), ("0.9975", false)] {
            let said = carry_out(&harness, say(rate), &ann).await.unwrap();
            assert_eq!(said["status"] == "pending", waits, "{rate}: {said}");
        }
        harness.elapse(Duration::from_mins(6)).await;
        assert_eq!(code(carry_out(&harness, say("1"), &ann).await), Code::AuthStepUp);
        harness.finish().await;
    });
}
