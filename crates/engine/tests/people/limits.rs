//! Four eyes over limits: what lets more be traded waits for another person, what lets less be
//! traded never does.

use super::four_eyes::{confirm, somebody, with_factor};
use super::*;

async fn policy_is_on(harness: &Harness) {
    let policy = PolicySet { name: "four_eyes.limit_override".to_owned(), value: "on".to_owned() };
    harness.command(Command::PolicySet(policy)).await;
}

fn set(scope: &str, value: &str) -> Value {
    json!({
        "command": "limit-set", "scope": scope, "name": "max_position", "value": value,
        "reason": format!("to {value}"),
    })
}

fn import(limits: &Value) -> Value {
    json!({ "command": "limits-import", "limits": limits, "reason": "from git" })
}

fn position(scope: &str, value: &str) -> Value {
    json!({ "scope": scope, "name": "max_position", "value": value })
}

async fn newest(harness: &Harness, actor: &Actor) -> Value {
    let page = json!({ "command": "limits-versions", "limit": 1 });
    carry_out(harness, page, actor).await.unwrap()["items"][0].clone()
}

/// Raising, removing, filling a gap and importing what raises wait; lowering and importing what
/// lowers do not. The version names both people.
#[test]
fn loosening_is_confirmed_and_tightening_is_not() {
    simulate(async || {
        let harness = with_owner(31).await;
        let (ann, _) = strong(&harness).await;
        let (_, secret) = somebody(&harness, "eve@example.com", "admin").await;
        let eve = with_factor(&harness, "eve@example.com", &secret).await;
        // Off by default.
        let free = carry_out(&harness, set("org", "10"), &ann).await.unwrap();
        assert_eq!(free["value"], "10");
        policy_is_on(&harness).await;

        let lower = carry_out(&harness, set("org", "8"), &ann).await.unwrap();
        assert_eq!(lower["value"], "8");
        let further = carry_out(&harness, set("instrument:ES", "5"), &ann).await.unwrap();
        assert_eq!(further["value"], "5");
        let lower = json!([position("org", "8"), position("instrument:ES", "4")]);
        let lower = carry_out(&harness, import(&lower), &ann).await.unwrap();
        assert_eq!(lower["loosens"], false);

        let higher = json!([position("org", "9"), position("instrument:ES", "3")]);
        let delete = json!({
            "command": "limit-delete", "limit": {"scope": "org", "name": "max_position"},
        });
        let gap = json!({
            "command": "limit-set", "scope": "instrument:ES", "name": "max_order_quantity",
            "value": "1",
        });
        let waiting = carry_out(&harness, import(&higher), &ann).await.unwrap();
        for asked in [set("org", "9"), set("instrument:ES", "5"), delete, gap] {
            let held = carry_out(&harness, asked.clone(), &ann).await.unwrap();
            assert_eq!(held["status"], "pending", "{asked}");
        }
        assert_eq!(waiting["status"], "pending");
        assert_eq!(waiting["summary"], "import limits: 2 changes, 1 of them loosen");
        let dry = json!({ "command": "limits-import", "limits": higher, "dry_run": true });
        assert_eq!(carry_out(&harness, dry, &ann).await.unwrap()["loosens"], true);
        let own = carry_out(&harness, confirm(&waiting), &ann).await;
        assert_eq!(code(own), Code::AuthSecondPerson);
        let before = newest(&harness, &ann).await["version"].as_i64().unwrap();
        let done = carry_out(&harness, confirm(&waiting), &eve).await.unwrap();
        assert_eq!(done["result"]["version"], before + 1);
        let made = newest(&harness, &ann).await;
        assert_eq!(made["reason"], "from git");
        assert_eq!(made["made_by"], ann.name());
        assert_eq!(made["confirmed_by"], eve.name());
        harness.finish().await;
    });
}

/// Without a fresh factor nothing is loosened, though a second person would not be asked for.
#[test]
fn an_import_that_loosens_needs_a_fresh_factor() {
    simulate(async || {
        let harness = with_owner(32).await;
        let (ann, _) = strong(&harness).await;
        carry_out(&harness, set("org", "5"), &ann).await.unwrap();
        harness.clock.advance(Duration::from_mins(6));
        let raise = carry_out(&harness, import(&json!([position("org", "6")])), &ann).await;
        assert_eq!(code(raise), Code::AuthStepUp);
        let lower = carry_out(&harness, import(&json!([position("org", "4")])), &ann).await;
        assert_eq!(lower.unwrap()["changes"][0]["after"], "4");
        harness.finish().await;
    });
}

/// An organization of one person: ten minutes stand in for the second one (S20).
#[test]
fn s20_alone_a_limit_is_raised_after_ten_minutes() {
    simulate(async || {
        let harness = with_owner(33).await;
        let (ann, secret) = strong(&harness).await;
        policy_is_on(&harness).await;
        let waiting = carry_out(&harness, set("org", "5"), &ann).await.unwrap();
        let early = carry_out(&harness, confirm(&waiting), &ann).await;
        assert_eq!(code(early), Code::AuthSecondPerson);
        harness.clock.advance(Duration::from_mins(10));
        let ann = with_factor(&harness, EMAIL, &secret).await;
        let done = carry_out(&harness, confirm(&waiting), &ann).await.unwrap();
        assert_eq!(done["result"]["value"], "5");
        harness.finish().await;
    });
}

/// An override takes two: not the same person twice, not who may not set limits, not without a fresh
/// factor, and not for somebody who may not ask any more.
#[test]
fn an_override_is_confirmed_by_another_person() {
    simulate(async || {
        let harness = with_owner(34).await;
        let (ann, _) = strong(&harness).await;
        let (_, secret) = somebody(&harness, "eve@example.com", "admin").await;
        let eve = with_factor(&harness, "eve@example.com", &secret).await;
        let (dan_id, secret) = somebody(&harness, "dan@example.com", "trader").await;
        let dan = with_factor(&harness, "dan@example.com", &secret).await;
        let account = harness.account("main").await;
        let asked = json!({
            "command": "override-request", "account_id": account, "symbol": "ES", "side": "buy",
            "quantity": "1", "limit": "max_position", "reason": "once",
        });
        let confirm = |made: &Value| json!({ "command": "override-confirm", "id": made["id"] });
        let made = carry_out(&harness, asked.clone(), &dan).await.unwrap();
        let weak = carry_out(&harness, confirm(&made), &dan).await;
        assert_eq!(code(weak), Code::AuthPermission);
        let done = carry_out(&harness, confirm(&made), &eve).await.unwrap();
        assert_eq!((&done["state"], &done["requested_by"]), (&json!("confirmed"), &json!(dan_id)));
        let twice = carry_out(&harness, confirm(&made), &ann).await;
        assert!(matches!(twice, Err(CommandError::NotFound)), "{twice:?}");

        let own = carry_out(&harness, asked.clone(), &ann).await.unwrap();
        assert_eq!(code(carry_out(&harness, confirm(&own), &ann).await), Code::AuthSecondPerson);
        let theirs = json!({ "command": "override-withdraw", "id": own["id"] });
        let theirs = carry_out(&harness, theirs, &dan).await;
        assert!(matches!(theirs, Err(CommandError::NotFound)), "{theirs:?}");

        let made = carry_out(&harness, asked.clone(), &dan).await.unwrap();
        let less = json!({ "command": "user-change", "id": dan_id, "role": "viewer" });
        carry_out(&harness, less, &ann).await.unwrap();
        assert_eq!(code(carry_out(&harness, confirm(&made), &eve).await), Code::AuthPermission);
        harness.clock.advance(Duration::from_mins(6));
        assert_eq!(code(carry_out(&harness, confirm(&own), &eve).await), Code::AuthStepUp);
        harness.finish().await;
    });
}

/// S22: what lets a strategy enter blind needs a fresh factor, and so does the band; to switch it off, to
/// allow less and to narrow the band do not.
#[test]
fn s22_to_let_a_strategy_enter_blind_needs_a_fresh_factor() {
    simulate(async || {
        let harness = with_owner(35).await;
        let (ann, _) = strong(&harness).await;
        let account = harness.account("main").await;
        let hook = harness.webhook("tv", 10).await;
        let new = tradewarden_testkit::engine::strategy("s", &hook, &account, "ES", "1");
        let with = |name: &str, blind: bool| {
            let mut command = serde_json::to_value(Command::StrategyCreate(new.clone())).unwrap();
            command["name"] = json!(name);
            command["shared_position"] = json!(true);
            command["blind_market"] = json!(blind);
            command
        };
        let made = carry_out(&harness, with("s", false), &ann).await.unwrap();
        let change = |changes: Value| json!({ "command": "strategy-change", "id": made["id"], "changes": changes });
        let band = |name: &str, value: &str| {
            json!({
                "command": "limit-set", "scope": "instrument:ES", "name": name, "value": value,
            })
        };
        let on = json!({ "blind_market": true, "blind_quantity_max": "2" });
        carry_out(&harness, band("static_low", "90"), &ann).await.unwrap();
        carry_out(&harness, change(on.clone()), &ann).await.unwrap();
        harness.clock.advance(Duration::from_mins(6));
        for wider in [
            with("other", true),
            change(json!({ "blind_quantity_max": "2.5" })),
            change(json!({ "adopt": true })),
            band("static_low", "89"),
            band("static_high", "110"),
        ] {
            assert_eq!(
                code(carry_out(&harness, wider.clone(), &ann).await),
                Code::AuthStepUp,
                "{wider}"
            );
        }
        for narrower in [
            with("other", false),
            change(json!({ "name": "renamed" })),
            change(json!({ "blind_quantity_max": "1" })),
            band("static_low", "91"),
            change(json!({ "blind_market": false })),
        ] {
            carry_out(&harness, narrower, &ann).await.unwrap();
        }
        assert_eq!(code(carry_out(&harness, change(on), &ann).await), Code::AuthStepUp);
        harness.finish().await;
    });
}

/// S11: what lets positions roll by themselves opens something without a signal, so it needs a fresh
/// factor; to switch it off does not.
#[test]
fn s11_to_let_positions_roll_needs_a_fresh_factor() {
    simulate(async || {
        let harness = with_owner(39).await;
        let (ann, _) = strong(&harness).await;
        harness.broker.list_like("ES", "ESM26");
        let account = harness.account("main").await;
        let hook = harness.webhook("tv", 10).await;
        let month = json!({
            "command": "roll-set", "root": "ES", "contract": "ESM26", "expires_on": "2026-06-18",
        });
        carry_out(&harness, month, &ann).await.unwrap();
        let new = tradewarden_testkit::engine::strategy("s", &hook, &account, "ES1!", "1");
        let with = |name: &str, rolls: bool| {
            let mut command = serde_json::to_value(Command::StrategyCreate(new.clone())).unwrap();
            command["name"] = json!(name);
            command["shared_position"] = json!(true);
            command["auto_roll"] = json!(rolls);
            command
        };
        let made = carry_out(&harness, with("s", true), &ann).await.unwrap();
        assert_eq!(made["auto_roll"], json!(true));
        let change = |rolls: bool| {
            json!({
                "command": "strategy-change", "id": made["id"], "changes": { "auto_roll": rolls },
            })
        };
        harness.clock.advance(Duration::from_mins(6));
        assert_eq!(code(carry_out(&harness, with("other", true), &ann).await), Code::AuthStepUp);
        carry_out(&harness, with("other", false), &ann).await.unwrap();
        carry_out(&harness, change(false), &ann).await.unwrap();
        assert_eq!(code(carry_out(&harness, change(true), &ann).await), Code::AuthStepUp);
        harness.finish().await;
    });
}

/// S23: other days of trading may forget a loss. That takes a fresh factor, and two people where limits
/// take two; what lets less be lost takes neither. A new account takes a fresh factor too.
#[test]
fn s23_days_of_trading_are_moved_by_two() {
    simulate(async || {
        let harness = with_owner(38).await;
        let (ann, secret) = strong(&harness).await;
        let (_, eves) = somebody(&harness, "eve@example.com", "admin").await;
        let create = json!({"command": "account-create", "broker": "paper", "name": "main"});
        let account = carry_out(&harness, create.clone(), &ann).await.unwrap();
        let id = account["id"].as_str().unwrap();
        let change =
            |changes: Value| json!({"command": "account-change", "id": id, "changes": changes});
        policy_is_on(&harness).await;
        harness.elapse(Duration::from_mins(6)).await;
        assert_eq!(code(carry_out(&harness, create, &ann).await), Code::AuthStepUp);
        let person = change(json!({"loss_reset": "person", "name": "other"}));
        let tighter = carry_out(&harness, person, &ann).await.unwrap();
        assert_eq!(tighter["next_days"]["loss_reset"], "person");
        let looser = [
            change(json!({"session": "03:00 UTC"})),
            change(json!({"loss_reset": "session"})),
            change(json!({"session": "03:00 UTC", "loss_reset": "person"})),
        ];
        for asked in &looser {
            let old = carry_out(&harness, asked.clone(), &ann).await;
            assert_eq!(code(old), Code::AuthStepUp, "{asked}");
        }
        let ann = with_factor(&harness, EMAIL, &secret).await;
        let eve = with_factor(&harness, "eve@example.com", &eves).await;
        for asked in &looser {
            let waiting = carry_out(&harness, asked.clone(), &ann).await.unwrap();
            assert_eq!(waiting["status"], "pending", "{asked}");
        }
        let [moved, ..] = looser;
        let waiting = carry_out(&harness, moved.clone(), &ann).await.unwrap();
        assert_eq!(waiting["summary"], format!("change the days of trading of {id}"));
        let done = carry_out(&harness, confirm(&waiting), &eve).await.unwrap();
        let next = &done["result"]["next_days"];
        assert_eq!(
            (&next["session"], &next["loss_reset"]),
            (&json!("03:00 UTC"), &json!("person"))
        );
        // What is to come already is said again without another.
        let again = carry_out(&harness, moved, &ann).await.unwrap();
        assert_eq!(&again["next_days"], next);
        harness.finish().await;
    });
}
