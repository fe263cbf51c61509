//! Limits as versions of a policy: what an order names can be read for ever, and a policy is put in
//! force whole or not at all.

use super::{Small, millis};
use serde_json::{Value, json};
use tradewarden_domain::code::Code;
use tradewarden_engine::actor::Actor;
use tradewarden_engine::command::{Command, CommandError, Paging};
use tradewarden_engine::once::OnceKey;
use tradewarden_store::idempotency::{self, Claim};
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::{Harness, simulate};

fn command(name: &str, members: &Value) -> Command {
    let mut command = members.as_object().unwrap().clone();
    command.insert("command".to_owned(), json!(name));
    serde_json::from_value(Value::Object(command)).unwrap()
}

async fn tried(h: &Harness, name: &str, members: Value) -> Result<Value, CommandError> {
    h.try_command(command(name, &members)).await.expect("it lives")
}

async fn done(h: &Harness, name: &str, members: Value) -> Value {
    tried(h, name, members).await.unwrap()
}

/// The bounds of a version, as `scope name value`.
async fn limits_at(h: &Harness, version: i64) -> Vec<String> {
    let shown = done(h, "limits-show", json!({ "version": version })).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lines = shown["limits"].as_array().unwrap().iter().map(|limit| {
        format!("{} {} {}", text(&limit["scope"]), text(&limit["name"]), text(&limit["value"]))
    });
    lines.collect()
}

async fn version(h: &Harness) -> i64 {
    let page = h.command(Command::LimitsVersions(Paging { cursor: None, limit: Some(1) })).await;
    page["items"][0]["version"].as_i64().unwrap()
}

/// Every bound in force, as an import takes it.
async fn in_force(h: &Harness) -> Vec<Value> {
    let listed = h.command(Command::LimitList).await;
    let member = |limit: &Value, name: &str| limit[name].clone();
    let limits = listed["items"].as_array().unwrap().iter().map(|limit| {
        json!({
            "scope": member(limit, "scope"), "name": member(limit, "name"),
            "value": member(limit, "value"),
        })
    });
    limits.collect()
}

/// Each order names the version under which it was cleared, also when limits change between orders
/// and in one moment with them; and that version says the same after all that came later.
#[test]
fn an_order_names_the_version_that_cleared_it_for_ever() {
    simulate(async || {
        let small = Small::with(301, Venue::default(), |_| {}).await;
        let scope = format!("account:{}", small.account);
        let mut expected = Vec::new();
        for round in 0_i64..6 {
            let bound = (20 + round).to_string();
            small.h.limit(&scope, "max_order_quantity", &bound).await;
            let now = version(&small.h).await;
            expected.push((now, format!("{scope} max_order_quantity {bound}")));
            let action = if round % 2 == 0 { "BUY" } else { "EXIT" };
            small.accept(action, &round.to_string()).await;
            small.h.quiet().await;
        }
        let orders = small.h.orders().await;
        assert_eq!(orders.len(), expected.len());
        for (order, (number, line)) in orders.iter().zip(&expected) {
            assert_eq!(order.limits_version, *number);
            let limits = limits_at(&small.h, order.limits_version).await;
            assert!(limits.contains(line), "{line} in {limits:?}");
        }
        let before = limits_at(&small.h, 0).await;
        assert_eq!(before, Vec::<String>::new());
        small.end().await;
    });
}

/// C26: so does one that was refused, and what it is called holds no card number.
#[test]
fn c26_a_refused_order_names_the_version_that_refused_it() {
    simulate(async || {
        let small = Small::with(303, Venue::default(), |_| {}).await;
        let order = |quantity: &str, tag: &str| {
            json!({
                "account_id": small.account, "symbol": "ES", "side": "buy", "type": "market",
                "quantity": quantity, "tag": tag,
            })
        };
        small.h.limit("org", "max_order_quantity", "2").await;
        let refused = tried(&small.h, "order-create", order("3", "mine")).await.unwrap_err();
        assert!(matches!(refused, CommandError::Order(_)), "{refused}");
        let orders = small.h.orders().await;
        assert_eq!(orders[0].limits_version, version(&small.h).await);
        for tag in ["4111111111111111", "paid 4111 1111 1111 1111"] {
            let refused = tried(&small.h, "order-create", order("1", tag)).await.unwrap_err();
            let code = Code::TextCardNumber;
            assert!(matches!(refused, CommandError::Refused { code: it, .. } if it == code));
            assert!(!refused.to_string().contains("4111"), "{refused}");
        }
        assert_eq!(small.h.orders().await.len(), 1);
        small.end().await;
    });
}

/// The history says who, when and why; two versions are told apart; what was never is not there.
#[test]
fn the_history_of_limits() {
    simulate(async || {
        let small = Small::with(302, Venue::default(), |_| {}).await;
        let first = version(&small.h).await;
        let set = |value: &str, reason: &str| json!({"scope": "org", "name": "max_position", "value": value, "reason": reason});
        done(&small.h, "limit-set", set("7", "less is enough")).await;
        let same = done(&small.h, "limit-set", set("7", "again")).await;
        assert_eq!(same["version"], first + 1, "what says the same makes no version");
        let delete = json!({
            "limit": {"scope": "org", "name": "max_position"}, "reason": "nobody trades",
        });
        done(&small.h, "limit-delete", delete).await;
        let page = done(&small.h, "limits-versions", json!({"limit": 2})).await;
        let told: Vec<_> = page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["version"].clone(), one["reason"].clone(), one["made_by"].clone()))
            .collect();
        assert_eq!(
            told,
            [
                (json!(first + 2), json!("nobody trades"), json!("operator")),
                (json!(first + 1), json!("less is enough"), json!("operator")),
            ]
        );
        let rest = json!({"limit": 200, "cursor": page["next"]});
        let rest = done(&small.h, "limits-versions", rest).await;
        assert_eq!(rest["items"][0]["version"], first);
        assert_eq!(rest["next"], Value::Null);
        let diff = json!({"from": first, "to": first + 1});
        let changes = done(&small.h, "limits-diff", diff).await["items"].clone();
        assert_eq!(changes.as_array().unwrap().len(), 1);
        assert_eq!(changes[0]["after"], "7");
        let back = done(&small.h, "limits-diff", json!({"from": first + 2, "to": 0})).await;
        assert!(back["items"].as_array().unwrap().iter().all(|one| one.get("after").is_none()));
        for nothing in [first + 3, -1] {
            let shown = tried(&small.h, "limits-show", json!({ "version": nothing })).await;
            assert_eq!(shown, Err(CommandError::NotFound));
            let diff = json!({"from": nothing, "to": first});
            assert_eq!(tried(&small.h, "limits-diff", diff).await, Err(CommandError::NotFound));
        }
        let long = tried(&small.h, "limit-set", set("8", &"x".repeat(257))).await;
        assert!(matches!(long, Err(CommandError::Invalid { field: "reason", .. })), "{long:?}");
        // The log has the same, and what the whole comes to.
        small.h.elapse(millis(300)).await;
        let log = small.h.log(0).await;
        let entry = log.iter().rev().find(|entry| entry.leaf.contains("limit.deleted")).unwrap();
        let payload: Value = serde_json::from_str(&entry.payload).unwrap();
        let shown = done(&small.h, "limits-show", json!({ "version": first + 2 })).await;
        assert_eq!(payload["content_sha256"], shown["content_sha256"]);
        assert_eq!(payload["reason"], "nobody trades");
        assert_eq!(payload["version"], first + 2);
        small.end().await;
    });
}

/// A whole policy is one version; the same again is none; what is wrong changes nothing.
#[test]
fn a_policy_is_put_in_force_at_once_or_not_at_all() {
    simulate(async || {
        let small = Small::with(303, Venue::default(), |_| {}).await;
        let h = &small.h;
        let account = format!("account:{}", small.account);
        h.limit(&account, "max_position", "5").await;
        let first = version(h).await;
        let same = json!({ "limits": in_force(h).await });
        let answer = done(h, "limits-import", same.clone()).await;
        assert_eq!((&answer["version"], &answer["changes"]), (&json!(first), &json!([])));
        assert_eq!(version(h).await, first, "nothing changed, so there is no version");

        let mut limits = in_force(h).await;
        limits.retain(|limit| limit["scope"] != json!(account));
        limits.push(json!({"scope": "instrument:NQ", "name": "restricted", "value": "1"}));
        let wanted = json!({"limits": limits, "reason": "from git"});
        let mut rehearsed = wanted.clone();
        rehearsed["dry_run"] = json!(true);
        let seen = done(h, "limits-import", rehearsed).await;
        assert_eq!((&seen["dry_run"], &seen["loosens"]), (&json!(true), &json!(true)));
        assert_eq!((version(h).await, seen["changes"].as_array().unwrap().len()), (first, 2));

        let mut late = wanted.clone();
        late["base_version"] = json!(first - 1);
        let late = tried(h, "limits-import", late).await;
        assert!(
            matches!(late, Err(CommandError::Refused { code: Code::RequestPrecondition, .. })),
            "{late:?}"
        );
        let mut seen_before = wanted.clone();
        seen_before["base_version"] = json!(first);
        let answer = done(h, "limits-import", seen_before).await;
        assert_eq!(answer["version"], first + 1);
        assert_eq!(answer["changes"], seen["changes"]);
        assert_eq!(limits_at(h, first + 1).await.len(), limits.len());

        let unknown = "account:acc_01m80000000000000000000000";
        let position = |scope: &str, value: &str| json!({"scope": scope, "name": "max_position", "value": value});
        for wrong in [
            json!([position("moon", "1")]),
            json!([position("org", "-1")]),
            json!([position("org", "1"), position("org", "1")]),
            json!([position("org", "1"), position(unknown, "1")]),
        ] {
            let no = tried(h, "limits-import", json!({ "limits": wrong })).await;
            assert!(matches!(no, Err(CommandError::Invalid { field: "limits", .. })), "{no:?}");
        }
        assert_eq!(version(h).await, first + 1);
        small.end().await;
    });
}

/// A strategy's limits go with it, and the version that is made by that says so.
#[test]
fn limits_of_a_deleted_strategy_are_in_the_history() {
    simulate(async || {
        let small = Small::with(304, Venue::default(), |_| {}).await;
        let list = small.h.command(Command::StrategyList).await;
        let id = list["items"][0]["id"].as_str().unwrap().to_owned();
        small.h.limit(&format!("strategy:{id}"), "max_position", "3").await;
        let first = version(&small.h).await;
        done(&small.h, "strategy-disable", json!({ "id": id })).await;
        done(&small.h, "strategy-delete", json!({ "id": id })).await;
        let shown = done(&small.h, "limits-show", json!({ "version": first + 1 })).await;
        assert_eq!(shown["changes"][0]["scope"], format!("strategy:{id}"));
        assert_eq!(shown["reason"], "the strategy was deleted");
        assert_eq!(version(&small.h).await, first + 1);
        small.end().await;
    });
}

/// The number of a payment card is refused wherever a caller may choose the words, and nothing of it is
/// kept or said again.
#[test]
fn a_card_number_is_kept_nowhere() {
    simulate(async || {
        let small = Small::with(304, Venue::default(), |_| {}).await;
        let card = "4111111111111111";
        let order = json!({
            "account_id": small.account, "symbol": card, "side": "buy", "type": "market",
            "quantity": "1",
        });
        let limit = json!({
            "scope": format!("instrument:{card}"), "name": "max_order_quantity", "value": "1",
        });
        let rate = json!({ "base": "EUR", "quote": "USD", "rate": "1.1", "source": card });
        let user = json!({ "email": format!("{card}@example.com"), "role": "viewer" });
        for (name, members) in [
            ("order-create", order),
            ("limit-set", limit),
            ("rate-set", rate),
            ("user-create", user),
            ("webhook-create", json!({ "name": "w", "symbols": [card] })),
            ("halt-engage", json!({ "scope": format!("instrument:{card}") })),
            ("role-create", json!({ "name": card, "permissions": ["orders:read"] })),
        ] {
            let refused = tried(&small.h, name, members).await.unwrap_err();
            let code = Code::TextCardNumber;
            assert!(
                matches!(refused, CommandError::Refused { code: it, .. } if it == code),
                "{name}: {refused:?}"
            );
            assert!(!refused.to_string().contains("4111"), "{refused}");
        }
        assert!(small.h.orders().await.is_empty());
        small.end().await;
    });
}

/// C10: an idempotency key with a card's number works as any other, and is not kept as it came.
#[test]
fn c10_a_key_with_a_card_number_is_not_kept() {
    simulate(async || {
        let small = Small::with(305, Venue::default(), |_| {}).await;
        let place = async |key: &str| {
            let once = OnceKey::read(key, "POST", "/api/v1/orders", b"{}").unwrap();
            let members = json!({
                "account_id": small.account, "symbol": "ES", "side": "buy", "type": "market",
                "quantity": "1", "allow_repeat": true,
            });
            let (engine, order) = (small.h.engine(), command("order-create", &members));
            let actor = Actor::operator();
            let placed = async move { engine.perform(order, &actor, Some(once)).await };
            small.h.drive(placed).await.unwrap()
        };
        for (key, is_kept) in
            [("order-1", true), ("4111111111111111", false), ("5555555555554444", false)]
        {
            let first = place(key).await;
            assert!(first.outcome.is_ok() && !first.replayed, "{first:?}");
            let again = place(key).await;
            assert!(again.replayed, "{again:?}");
            assert_eq!(again.outcome, first.outcome);
            let org_id = small.h.org().await;
            let claim = Claim { org_id, caller: Actor::operator().name(), key: key.to_owned() };
            let found = small.h.drive(idempotency::find(small.h.store(), &claim)).await.unwrap();
            assert_eq!(found.unwrap().is_some(), is_kept, "{key}");
        }
        small.h.quiet().await;
        small.end().await;
    });
}

/// S11: what is said of a continuous symbol would bind no month, so it is not taken.
#[test]
fn s11_a_continuous_symbol_is_no_scope() {
    simulate(async || {
        let small = Small::with(306, Venue::default(), |_| {}).await;
        let pair = format!("pair:{}/ES1!", small.account);
        let scope = "instrument:ES1!";
        for (name, members) in [
            ("halt-engage", json!({ "scope": scope })),
            ("halt-engage", json!({ "scope": pair })),
            ("limit-set", json!({ "scope": scope, "name": "restricted", "value": "1" })),
        ] {
            let refused = tried(&small.h, name, members).await.unwrap_err();
            let is_scope = matches!(&refused, CommandError::Invalid { field: "scope", .. });
            assert!(is_scope && refused.to_string().contains("months"), "{name}: {refused:?}");
        }
        small.end().await;
    });
}
