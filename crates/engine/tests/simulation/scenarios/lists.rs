//! Lists that are searched: what a filter lets through, page by page, and how far one page looks.

use super::{Small, accept, keys};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_domain::id::{self, Id};
use tradewarden_engine::command::Command;
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::{Harness, signal, simulate, strategy};

async fn listed(h: &Harness, list: &str, search: Value) -> Value {
    let mut command = json!({ "command": list });
    command.as_object_mut().unwrap().extend(search.as_object().unwrap().clone());
    h.command(serde_json::from_value::<Command>(command).unwrap()).await
}

async fn count(h: &Harness, list: &str, filter: Value) -> usize {
    listed(h, list, json!({ "filter": filter })).await["items"].as_array().unwrap().len()
}

#[test]
fn a_list_shows_what_is_asked_for() {
    simulate(async || {
        let small = Small::with(521, Venue::default(), |_| {}).await;
        let h = &small.h;
        let second = h.account("second").await;
        let hook = h.webhook("other", 100).await;
        let nasdaq = h.strategy(strategy("nq", &hook, &second, "AAPL", "1")).await;
        small.accept("BUY", "a").await;
        h.elapse(Duration::from_secs(5)).await;
        let between = h.now().to_string();
        let reply = h.send(&hook, &signal("BUY", "b")).await.answer();
        assert_eq!(reply.accounts.len(), 1, "{reply:?}");
        small.send("HOLD", "c").await;
        h.quiet().await;

        let none = "00000000000000000000000000";
        for (filter, orders) in [
            (json!({}), 2),
            (json!({"account_id": second}), 1),
            (json!({"strategy_id": nasdaq}), 1),
            (json!({"strategy_id": format!("str_{none}")}), 0),
            (json!({"symbol": "es"}), 1),
            (json!({"symbol": "AAPL", "account_id": small.account}), 0),
            (json!({"state": "filled"}), 2),
            (json!({"state": "working"}), 0),
            (json!({"from": between}), 1),
            (json!({"to": between}), 1),
            (json!({"from": between, "to": between}), 0),
        ] {
            assert_eq!(count(h, "order-list", filter.clone()).await, orders, "{filter}");
        }
        for (filter, signals) in [
            (json!({}), 3),
            (json!({"source": hook.id}), 1),
            (json!({"source": small.hook.id}), 2),
            (json!({"source": format!("key_{none}")}), 0),
            (json!({"status": "refused"}), 1),
            (json!({"code": "signal.unknown_action"}), 1),
            (json!({"account_id": second}), 1),
            (json!({"strategy_id": nasdaq, "account_id": small.account}), 0),
            (json!({"from": between}), 2),
        ] {
            assert_eq!(count(h, "signal-list", filter.clone()).await, signals, "{filter}");
        }
        for (filter, positions) in [
            (json!({}), 2),
            (json!({"symbol": "AAPL"}), 1),
            (json!({"account_id": second}), 1),
            (json!({"strategy_id": nasdaq}), 1),
            (json!({"account_id": format!("acc_{none}")}), 0),
        ] {
            assert_eq!(count(h, "position-list", filter.clone()).await, positions, "{filter}");
        }
        let made = json!({"event": "strategy.created"});
        assert_eq!(count(h, "audit-list", made).await, 2);
        let of_one = json!({"event": "strategy.created", "object": nasdaq});
        assert_eq!(count(h, "audit-list", of_one).await, 1);
        for wrong in [json!({"state": "gone"}), json!({"status": "gone"})] {
            let list = if wrong.get("state").is_some() { "order-list" } else { "signal-list" };
            let command = json!({"command": list, "filter": wrong});
            let answer = h.try_command(serde_json::from_value(command).unwrap()).await.unwrap();
            assert!(answer.is_err(), "{wrong}: {answer:?}");
        }
        small.end().await;
    });
}

/// Pages of a search follow one another without a gap and without a repetition.
#[test]
fn a_search_goes_on_page_by_page() {
    simulate(async || {
        let small = Small::with(522, Venue::default(), |_| {}).await;
        for number in 0..9 {
            let action = if number % 3 == 0 { "HOLD" } else { "EXIT" };
            small.send(action, &format!("s-{number}")).await;
        }
        let filter = json!({"status": "refused"});
        let (mut seen, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let mut search = json!({"limit": 1, "filter": filter});
            if let Some(cursor) = cursor.as_str() {
                search["cursor"] = cursor.into();
            }
            let page = listed(&small.h, "signal-list", search).await;
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 1);
            seen.extend(items.iter().map(|item| item["id"].clone()));
            cursor = page["next"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!(seen.len(), 3);
        assert!(seen.windows(2).all(|pair| pair[0].as_str() > pair[1].as_str()), "newest first");
        small.end().await;
    });
}

/// One page looks at so many rows; what is further back is found by going on.
#[test]
fn a_page_looks_only_so_far() {
    simulate(async || {
        let h = Harness::sqlite(523, Venue::default()).await;
        h.ready().await;
        let org = h.org().await;
        let rows = |code: &str, first: u32, last: u32| {
            format!(
                "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last}) \
                 INSERT INTO findings (id, org_id, at, code, severity, subject, detail) \
                 SELECT CAST(printf('%06d0000000000', i) AS BLOB), x'{}', 0, '{code}', 'warning', '', '' FROM n",
                tradewarden_seal::hex_encode(&org.to_bytes())
            )
        };
        h.sabotage(&rows("meant", 1, 1));
        h.sabotage(&rows("other", 2, 2_500));
        let search = json!({"filter": {"code": "meant"}});
        let first = listed(&h, "finding-list", search.clone()).await;
        assert_eq!(first["items"], json!([]));
        let next = first["next"].as_str().unwrap();
        let mut search = search;
        search["cursor"] = next.into();
        let second = listed(&h, "finding-list", search).await;
        assert_eq!(second["items"].as_array().unwrap().len(), 1, "{second}");
        assert_eq!(second["next"], Value::Null);
        h.finish().await;
    });
}

/// The cursor of a page names nothing that the caller may not know of, and pages still follow one another
/// without a gap.
#[test]
fn a_cursor_names_only_what_its_caller_may_see() {
    simulate(async || {
        let small = Small::with(524, Venue::default(), |_| {}).await;
        let h = &small.h;
        let second = h.account("second").await;
        let hook = h.webhook("other", 100).await;
        h.strategy(strategy("nq", &hook, &second, "AAPL", "1")).await;
        for number in 0..4 {
            let id = format!("s-{number}");
            let action = if number % 2 == 0 { "BUY" } else { "EXIT" };
            small.accept(action, &id).await;
            h.quiet().await;
            accept(h, &hook, &signal(action, &id)).await;
            h.quiet().await;
        }
        let orders = h.orders().await;
        let mut own: Vec<_> = orders
            .iter()
            .filter(|order| order.account_id.to_string() == small.account)
            .map(|order| order.id.to_string())
            .collect();
        own.sort_unstable_by(|one, other| other.cmp(one));
        assert_eq!(own.len(), 4);
        let scopes = json!({"scopes": ["orders:read"], "accounts": [small.account]});
        let key = keys::key(h, scopes).await;
        let (mut seen, mut cursor, mut nonce) = (Vec::new(), Value::Null, 0);
        loop {
            nonce += 1;
            let actor = keys::caller(h, &key, &format!("nonce-00000000000{nonce:02}"));
            let mut search = json!({"command": "order-list", "limit": 1});
            if !cursor.is_null() {
                search["cursor"] = cursor.clone();
            }
            let command: Command = serde_json::from_value(search).unwrap();
            let page = h.drive(h.engine().execute(command, &actor)).await.unwrap().unwrap();
            let items = page["items"].as_array().unwrap();
            seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            cursor = page["next"].clone();
            let Some(named) = cursor.as_str() else { break };
            assert!(own.iter().any(|id| id.ends_with(named)), "{named} of {own:?}");
        }
        assert_eq!(seen, own);
        small.end().await;
    });
}

/// Where so many rows are looked at that are not shown, the next page begins at an instant.
#[test]
fn a_cursor_past_what_is_not_shown_names_nothing() {
    simulate(async || {
        let h = Harness::sqlite(525, Venue::default()).await;
        h.ready().await;
        let org = tradewarden_seal::hex_encode(&h.org().await.to_bytes());
        let insert = |code: &str, from: u32, count: u32, millisecond: u32| {
            h.sabotage(&format!(
                "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {}) \
                 INSERT INTO findings (id, org_id, at, code, severity, subject, detail) \
                 SELECT CAST(printf('%06d%010d', {millisecond}, i) AS BLOB), x'{org}', 0, '{code}', \
                 'warning', '', '' FROM n",
                from + count - 1
            ));
        };
        insert("meant", 1, 3, 100);
        insert("other", 1, 500, 200);
        insert("meant", 501, 1, 200);
        insert("other", 502, 2_500, 200);
        let search = json!({"filter": {"code": "meant"}});
        let first = listed(&h, "finding-list", search.clone()).await;
        // All of one millisecond is looked at, though it is more than a page looks at.
        assert_eq!(first["items"].as_array().unwrap().len(), 1, "{first}");
        let next = first["next"].as_str().unwrap();
        let named = format!("fnd_{next}").parse::<Id<id::Finding>>().unwrap().to_bytes();
        assert_eq!(named, *b"000200\0\0\0\0\0\0\0\0\0\0");
        let mut search = search;
        search["cursor"] = next.into();
        let second = listed(&h, "finding-list", search).await;
        assert_eq!(second["items"].as_array().unwrap().len(), 3, "{second}");
        assert_eq!(second["next"], Value::Null);
        h.finish().await;
    });
}
