//! Every call of the API is in the audit log, reads and refused ones included (C19).

use serde_json::Value;
use tradewarden_testkit::process::{Gateway, QUICK_CALLERS, TestDir, until};

use crate::door::demo;
use crate::owner::Owner;

/// The payloads of the calls of this route that the log holds now.
async fn calls(gateway: &Gateway, dir: &TestDir, route: &str) -> Vec<Value> {
    let bundle = dir.path().join("bundle");
    std::fs::remove_file(&bundle).ok();
    let exported =
        gateway.program().run(&["audit", "export", "--out", bundle.to_str().unwrap()]).await;
    assert_eq!(exported.code, Some(0), "{exported}");
    let text = std::fs::read_to_string(&bundle).unwrap();
    let mut found = Vec::new();
    for line in text.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let Some(payload) = line["payload"].as_str() else { continue };
        let payload: Value = serde_json::from_str(payload).unwrap();
        if payload["route"] == route {
            found.push(payload);
        }
    }
    found
}

#[tokio::test]
async fn reads_and_refused_calls_leave_entries() {
    let dir = TestDir::new("api-accesses");
    let (gateway, _) = demo(&dir, QUICK_CALLERS).await;
    let mut owner = Owner::of(&gateway).await;
    let me = owner.get("/api/v1/me").await.json();
    let route = "/api/v1/orders/{id}";
    let unknown = "ord_00000000000000000000000000";
    for _ in 0..2 {
        assert_eq!(owner.get(&format!("/api/v1/orders/{unknown}")).await.status, 404);
    }
    let mut seen = Vec::new();
    until("the calls are in the log", async || {
        seen = calls(&gateway, &dir, route).await;
        let count = |payload: &Value| payload["count"].as_str().unwrap().parse::<u32>().unwrap();
        seen.iter().map(count).sum::<u32>() >= 2
    })
    .await;
    let page = owner.get("/api/v1/audit?limit=200").await.json();
    let listed = page["items"].as_array().unwrap().iter();
    let listed = listed.filter(|entry| entry["leaf"]["event"] == "api.called");
    assert!(listed.clone().count() >= 1, "{page}");
    assert!(listed.clone().all(|entry| entry["payload"]["actor"] == me["id"]), "{page}");
    for call in seen {
        assert_eq!(call["actor"], me["id"]);
        assert_eq!((&call["method"], &call["status"]), (&"GET".into(), &"404".into()));
        assert_eq!(call["object"], unknown);
    }
}
