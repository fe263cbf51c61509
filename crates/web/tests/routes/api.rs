//! What the API makes of requests that are right, nearly right, and wrong.

use hyper::Method;
use serde_json::json;

use crate::harness::{Caller, House};

#[tokio::test]
async fn what_is_made_can_be_read() {
    let house = House::open().await;
    let made = house.webhook().await;
    assert!(made["secret"].is_string());
    let id = made["id"].as_str().unwrap();
    let shown = house.get(&format!("/api/v1/webhooks/{id}")).await;
    assert_eq!(shown.status, 200);
    assert_eq!(shown.headers["content-type"], "application/json; charset=utf-8");
    assert!(shown.json().get("secret").is_none());
    let list = house.get("/api/v1/webhooks").await.json();
    assert_eq!((&list["items"][0]["id"], &list["next"]), (&made["id"], &json!(null)));

    let limit = r#"{"scope":"org","name":"max_position","value":"5"}"#;
    let set = house.call(Caller::Owner, Method::PUT, "/api/v1/limits", limit).await;
    assert_eq!((set.status.as_u16(), &set.json()["value"]), (201, &json!("5")));

    let halt = house.post("/api/v1/halts", "").await;
    assert_eq!((halt.status.as_u16(), &halt.json()["mode"]), (201, &json!("block")));
    let resume = format!("/api/v1/halts/{}/resume", halt.json()["id"].as_str().unwrap());
    house.post(&resume, "").await.problem(422, "halt.hold");
    house.clock.turn(60);
    assert_eq!(house.post(&resume, "").await.status, 200);
    let again = house.post(&resume, "").await.problem(409, "halt.ended");
    assert!(again["detail"].as_str().unwrap().contains("was ended by"), "{again}");
    house.close().await;
}

#[tokio::test]
async fn a_body_that_is_wrong_names_its_field() {
    let house = House::open().await;
    for (path, body, field) in [
        ("/api/v1/webhooks", r#"{"name":"a","organization":"x"}"#, Some("organization")),
        ("/api/v1/webhooks", r#"{"allow":[]}"#, Some("name")),
        ("/api/v1/webhooks", r#"{"name":"a","rate_per_s":-1}"#, Some("rate_per_s")),
        ("/api/v1/webhooks", r#"{"name":"a","allow":["10.0.0.0/99"]}"#, Some("allow")),
        ("/api/v1/halts", r#"{"scope":"moon"}"#, Some("scope")),
        ("/api/v1/webhooks", "", None),
        ("/api/v1/webhooks", "{", None),
        ("/api/v1/webhooks", "[]", None),
    ] {
        let problem = house.post(path, body).await.problem(400, "request.malformed");
        assert_eq!(problem.get("field").and_then(|field| field.as_str()), field, "{body}");
    }
    let large = format!(r#"{{"name":"{}"}}"#, "a".repeat(64 * 1024));
    house.post("/api/v1/webhooks", &large).await.problem(413, "request.too_large");
    house.close().await;
}

#[tokio::test]
async fn a_query_that_is_wrong_names_its_parameter() {
    let house = House::open().await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=many", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=nonsense", "cursor"),
        ("page=2", "page"),
        ("limit=%zz", "query"),
    ] {
        let answer = house.get(&format!("/api/v1/signals?{query}")).await;
        assert_eq!(answer.problem(400, "request.malformed")["field"], field, "{query}");
    }
    assert_eq!(house.get("/api/v1/signals?limit=200").await.status, 200);
    house.close().await;
}

#[tokio::test]
async fn what_is_not_there_and_what_cannot_be_are_one_answer() {
    let house = House::open().await;
    let mut seen = Vec::new();
    for id in [
        "ord_00000000000000000000000000",
        "ord_7zzzzzzzzzzzzzzzzzzzzzzzzz",
        "sig_00000000000000000000000000",
        "ord_",
        "%2e%2e",
        "%ff",
    ] {
        let answer = house.get(&format!("/api/v1/orders/{id}")).await;
        let mut problem = answer.problem(404, "request.not_found");
        problem.as_object_mut().unwrap().remove("request_id");
        seen.push(problem);
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    house.close().await;
}

#[tokio::test]
async fn what_anyone_may_read() {
    let house = House::open().await;
    let time = house.call(Caller::Anonymous, Method::GET, "/api/v1/time", "").await.json();
    assert_eq!(
        time,
        json!({"time": "2026-11-22T02:03:04.500000Z", "unix_ms": 1_795_312_984_500_i64})
    );
    let alive = house.call(Caller::Anonymous, Method::GET, "/livez", "").await.json();
    assert_eq!(alive, json!({"status": "ok"}));
    let ready = house.call(Caller::Anonymous, Method::GET, "/readyz", "").await;
    let expected = if ready.json()["ready"] == true { 200 } else { 503 };
    assert_eq!(ready.status, expected);
    let document = house.call(Caller::Anonymous, Method::GET, "/api/v1/openapi.json", "").await;
    assert_eq!(document.json()["openapi"], "3.1.0");
    house.close().await;
}

#[tokio::test]
async fn the_log_is_open_and_its_entries_are_not() {
    let house = House::open().await;
    house.webhook().await;
    let size = sealed_size(&house).await;
    let tile = format!("/audit/tile/0/000.p/{size}");
    let hashes = house.call(Caller::Anonymous, Method::GET, &tile, "").await;
    assert_eq!(hashes.status, 200, "{hashes:?}");
    assert_eq!(hashes.headers["content-type"], "application/octet-stream");
    assert_eq!(hashes.body.len(), size * 32);
    let entries = format!("/audit/tile/entries/000.p/{size}");
    house.call(Caller::Anonymous, Method::GET, &entries, "").await.problem(401, "auth.failed");
    assert_eq!(house.get(&entries).await.status, 200);
    for path in ["0/000", "0/x000/000", "8/000", "0/000.p/256", "%65ntries/000.p/1", "tile/0/000"] {
        let path = format!("/audit/tile/{path}");
        let answer = house.call(Caller::Anonymous, Method::GET, &path, "").await;
        answer.problem(404, "request.not_found");
    }
    house.close().await;
}

/// The size that the newest checkpoint states, once it covers a made webhook.
async fn sealed_size(house: &House) -> usize {
    for _ in 0..200 {
        let answer = house.call(Caller::Anonymous, Method::GET, "/audit/checkpoint", "").await;
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let size: usize = text.lines().nth(1).unwrap().parse().unwrap();
        if size >= 2 {
            return size;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("nothing was sealed");
}
