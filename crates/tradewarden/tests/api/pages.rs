//! Lists page by cursor: every thing once, newest first, whatever the size of the page.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tradewarden_testkit::process::{QUICK_CALLERS, TestDir};

use crate::door::demo;
use crate::owner::Owner;

/// All items of a list, page by page, and how many pages there were.
async fn walk(owner: &mut Owner, path: &str, limit: usize) -> (Vec<Value>, usize) {
    let mut items = Vec::new();
    let mut cursor = String::new();
    for page in 1..1_000 {
        let next = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
        let answer = owner.get(&format!("{path}?limit={limit}{next}")).await;
        let body = answer.json();
        assert_eq!(answer.status, 200, "{body}");
        let found = body["items"].as_array().unwrap();
        assert!(found.len() <= limit, "{body}");
        items.extend(found.iter().cloned());
        match body["next"].as_str() {
            Some(next) => {
                assert_eq!(found.len(), limit, "a page that is not the last is full");
                next.clone_into(&mut cursor);
            }
            None => return (items, page),
        }
    }
    panic!("the pages of {path} do not end");
}

#[tokio::test]
async fn a_cursor_walks_every_list_to_its_end() {
    let dir = TestDir::new("api-pages");
    let (gateway, _) = demo(&dir, QUICK_CALLERS).await;
    let mut owner = Owner::of(&gateway).await;
    let create = json!({"name": "pages", "rate_per_s": 10_000});
    let webhook = owner.post("/api/v1/webhooks", &create).await.json();
    let account = gateway.ready()["account_id"].clone();
    let create = json!({"name": "pages", "webhook": webhook["id"], "account": account,
                        "symbol": "MSFT", "quantity": "1", "pyramiding": "allow"});
    assert_eq!(owner.post("/api/v1/strategies", &create).await.status, 201);
    let mut door = crate::door::Door::of(&gateway, &webhook);
    for number in 0..23 {
        let body = json!({"action": "BUY", "id": format!("p-{number}")});
        assert_eq!(door.send(body.to_string()).await.status, 202);
        // Findings: the same id with another body.
        let body = json!({"action": "BUY", "id": format!("p-{number}"), "comment": "other"});
        assert_eq!(door.send(body.to_string()).await.status, 422);
    }
    for (path, count) in [("/api/v1/signals", 46), ("/api/v1/orders", 23), ("/api/v1/findings", 23)]
    {
        let (all, pages) = walk(&mut owner, path, 200).await;
        assert_eq!((all.len(), pages), (count, 1), "{path}");
        let ids: BTreeSet<_> = all.iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), count, "{path}: each once");
        let when = ["received_at", "created_at", "at"];
        let when = when.iter().find(|name| all[0][**name].is_string()).unwrap();
        let times: Vec<_> = all.iter().map(|one| one[*when].as_str().unwrap()).collect();
        assert!(times.is_sorted_by(|one, next| one >= next), "{path}: newest first {times:?}");
        for limit in [1, 5, 23, 46] {
            let (some, pages) = walk(&mut owner, path, limit).await;
            let same = some.iter().zip(&all).all(|(one, other)| one["id"] == other["id"]);
            assert!(same && some.len() == count, "{path} by {limit}");
            assert_eq!(pages, count.div_ceil(limit), "{path} by {limit}");
        }
        for query in [
            "limit=0",
            "limit=201",
            "limit=x",
            "limit=1&limit=2",
            "cursor=nonsense",
            "cursor=",
            "cursor=ord_01m8000000000000000000000!",
            "cursor=a&cursor=b",
        ] {
            let answer = owner.get(&format!("{path}?{query}")).await;
            let body = answer.json();
            assert_eq!(
                (answer.status, &body["code"]),
                (400, &"request.malformed".into()),
                "{query}"
            );
            assert_eq!(body["field"], query.split('=').next().unwrap(), "{query}: {body}");
        }
    }
    // The command line walks the same way.
    let first = gateway.program().json(&["order", "list", "--limit", "20"]).await;
    let next = first["next"].as_str().unwrap();
    let rest = gateway.program().json(&["order", "list", "--limit", "20", "--cursor", next]).await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 3);
    assert_eq!(rest["next"], Value::Null);
}
