//! Lists that are searched: what a filter lets through, page by page, and how far one page looks.

use super::Small;
use serde_json::{Value, json};
use std::time::Duration;
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
                 SELECT CAST(printf('%016d', i) AS BLOB), x'{}', 0, '{code}', 'warning', '', '' FROM n",
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
