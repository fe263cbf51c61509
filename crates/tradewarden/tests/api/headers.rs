//! What every answer has, whoever made it.

use std::collections::BTreeSet;

use hyper::Method;
use tradewarden_testkit::process::{Answer, QUICK_CALLERS, TestDir};

use crate::door::demo;
use crate::owner::{Owner, once_key, operations};

fn dressed(answer: &Answer, about: &str) {
    for (name, value) in [
        ("strict-transport-security", "max-age=63072000"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ] {
        assert_eq!(answer.headers[name], value, "{about}: {:?}", answer.headers);
    }
    assert_eq!(answer.headers["cache-control"], "no-store", "{about}");
    let id = answer.headers["x-request-id"].to_str().unwrap();
    assert!(id.starts_with("req_") && id.len() == 30, "{about}: {id}");
    for name in ["server", "x-powered-by", "set-cookie", "access-control-allow-origin", "via"] {
        assert!(!answer.headers.contains_key(name), "{about}: {name}");
    }
}

/// HSTS (B12, in the demo without subdomains and preload: C21), nosniff, no-store, CSP and the
/// request's identifier: on every answer of every route, errors included.
#[tokio::test]
async fn every_answer_is_dressed() {
    let dir = TestDir::new("api-headers");
    let (gateway, mut door) = demo(&dir, QUICK_CALLERS).await;
    let Owner { mut client, bearer, .. } = Owner::of(&gateway).await;
    for (body, status) in
        [(r#"{"action":"BUY"}"#, 202), (r#"{"action":"BUY"}"#, 200), (r#"{"action":"HOLD"}"#, 400)]
    {
        let answer = door.send(body).await;
        assert_eq!(answer.status, status);
        dressed(&answer, body);
    }
    let mut seen = BTreeSet::new();
    for operation in operations(&mut client).await {
        let path = operation.at("x");
        if path.ends_with("/stream") {
            // It has no end; its own test reads its head.
            continue;
        }
        for shown in [&[][..], &[("authorization", bearer.as_str())]] {
            if !shown.is_empty() && path.ends_with("/logout") {
                // The session is still needed.
                continue;
            }
            for method in [operation.method.as_str(), "DELETE", "OPTIONS", "HEAD"] {
                let once = once_key();
                let headers = [shown, &[("idempotency-key", once.as_str())]].concat();
                let method: Method = method.parse().unwrap();
                let about = format!("{method} {path}");
                let answer = client.send(method, &path, &headers, "").await.unwrap();
                dressed(&answer, &about);
                assert!(seen.insert(answer.headers["x-request-id"].clone()), "an id twice");
            }
        }
    }
    // Some of the routes above have engaged halts.
    let answer = door.send(r#"{"action":"SELL","id":"1"}"#).await;
    assert_eq!(answer.status, 422);
    dressed(&answer, "422");
    dressed(&client.get("/nowhere", &[]).await.unwrap(), "404");
    // What cannot be served is dressed as well.
    let large = vec![("content-length", "9999999")];
    let answer = client.send(Method::POST, &door.path, &large, "").await;
    if let Ok(answer) = answer {
        assert_eq!(answer.status, 413);
        dressed(&answer, "413");
    }
}

/// C21: at localhost only who asks gets it, because it cannot be taken back for years.
#[tokio::test]
async fn c21_preload_is_a_choice_at_localhost() {
    let dir = TestDir::new("api-preload");
    let (gateway, _) = demo(&dir, "hsts_preload = true\n").await;
    let answer = gateway.client().get("/livez", &[]).await.unwrap();
    let wanted = "max-age=63072000; includeSubDomains; preload";
    assert_eq!(answer.headers["strict-transport-security"], wanted);
}
