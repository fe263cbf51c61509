//! Changing and deleting: conditions, fresh factors, and what is refused.

use hyper::Method;
use serde_json::{Value, json};
use tradewarden_web::service::Exposure;

use crate::harness::{Answer, Caller, House};

impl House {
    async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call(Caller::Owner, Method::PATCH, path, &body.to_string()).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.call(Caller::Owner, Method::DELETE, path, "").await
    }

    async fn on_condition(&self, method: Method, path: &str, tag: &str, body: &str) -> Answer {
        let mut request = self.request(Caller::Owner, method, path, body);
        request.headers_mut().insert("if-match", tag.parse().unwrap());
        self.ask(Exposure::Public, request).await
    }
}

fn tag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_change_is_made_on_the_content_that_its_author_saw() {
    let house = House::open().await;
    let made = house.post("/api/v1/webhooks", r#"{"name":"test"}"#).await;
    let path = format!("/api/v1/webhooks/{}", made.json()["id"].as_str().unwrap());
    let seen = tag(&house.get(&path).await);
    assert_eq!(tag(&made), seen, "what is shown once has no part in it");
    assert!(seen.starts_with('"') && seen.ends_with('"'), "{seen}");

    let name = |name: &str| json!({ "name": name }).to_string();
    let first = house.on_condition(Method::PATCH, &path, &seen, &name("first")).await;
    assert_eq!((first.status.as_u16(), &first.json()["name"]), (200, &json!("first")));
    let now = tag(&first);
    assert_ne!(now, seen);
    assert_eq!(tag(&house.get(&path).await), now);
    for old in [seen.clone(), format!("W/{now}"), "\"\"".to_owned(), format!("{seen}, W/{now}")] {
        let late = house.on_condition(Method::PATCH, &path, &old, &name("late")).await;
        late.problem(412, "request.precondition_failed");
        let late = house.on_condition(Method::DELETE, &path, &old, "").await;
        late.problem(412, "request.precondition_failed");
    }
    for malformed in ["x", "\"", "*, \"a\""] {
        let answer = house.on_condition(Method::PATCH, &path, malformed, &name("late")).await;
        assert_eq!(answer.problem(400, "request.malformed")["field"], "If-Match");
    }
    assert_eq!(house.get(&path).await.json()["name"], "first");
    let listed = format!("\"other\", {now}");
    for condition in ["*", &listed] {
        let answer = house.on_condition(Method::PATCH, &path, condition, &name("first")).await;
        assert_eq!(answer.status, 200, "{condition}: {answer:?}");
    }
    let gone = house.on_condition(Method::DELETE, &path, &now, "").await;
    assert_eq!((gone.status.as_u16(), &gone.json()["deleted"]), (200, &json!(true)));
    assert!(!gone.headers.contains_key("etag"));
    for condition in ["*", &now] {
        let answer = house.on_condition(Method::PATCH, &path, condition, &name("late")).await;
        answer.problem(404, "request.not_found");
    }
    house.close().await;
}

/// After the deletion the token is like one that never was.
#[tokio::test]
async fn a_deleted_webhook_is_the_one_401() {
    let house = House::open().await;
    let made = house.webhook().await;
    let path = format!("/api/v1/webhooks/{}", made["id"].as_str().unwrap());
    assert_eq!(house.delete(&path).await.status, 200);
    house.delete(&path).await.problem(404, "request.not_found");
    let secret = made["secret"].as_str().unwrap();
    let mut seen = Vec::new();
    for token in [made["token"].as_str().unwrap(), "twh_never"] {
        let path = format!("/api/v1/webhooks/{token}?secret={secret}");
        let answer = house.call(Caller::Anonymous, Method::POST, &path, "{}").await;
        let mut problem = answer.problem(401, "auth.failed");
        problem.as_object_mut().unwrap().remove("request_id");
        seen.push(problem);
    }
    assert_eq!(seen[0], seen[1]);
    house.close().await;
}

/// To let more senders in, or more be traded, needs a second factor of the last five minutes; to let
/// less never does.
#[tokio::test]
async fn what_widens_needs_a_fresh_factor() {
    let house = House::open().await;
    let body = r#"{"name":"test","allow":["192.0.2.0/24"],"forms":["header"]}"#;
    let made = house.post("/api/v1/webhooks", body).await.json();
    let webhook = format!("/api/v1/webhooks/{}", made["id"].as_str().unwrap());
    let put = async |name: &str, value: &str| {
        let limit = json!({"scope": "org", "name": name, "value": value}).to_string();
        house.call(Caller::Owner, Method::PUT, "/api/v1/limits", &limit).await
    };
    assert_eq!(put("max_position", "5").await.status, 201);
    let fresh = house.patch(&webhook, &json!({"allow": ["192.0.2.0/24", "198.51.100.0/24"]})).await;
    assert_eq!(fresh.status, 200, "{fresh:?}");
    let rate = r#"{"base":"EUR","quote":"USD","rate":"1.1","source":"me"}"#;
    assert_eq!(house.post("/api/v1/rates", rate).await.status, 200);
    house.clock.turn(301);
    house.post("/api/v1/rates", rate).await.problem(403, "auth.step_up_required");
    for (changes, widens) in [
        (json!({"name": "b", "dry_run": true, "rate_per_s": 1, "max_age_s": 1}), false),
        (json!({"allow": ["198.51.100.0/25", "192.0.2.7"]}), false),
        (json!({"allow": ["198.51.100.0/24"]}), true),
        (json!({"allow": ["198.51.100.7", "203.0.113.1"]}), true),
        (json!({"allow": []}), true),
        (json!({"preset": "tradingview"}), true),
        (json!({"forms": ["header", "query"]}), true),
        (json!({"forms": ["signature"]}), true),
        (json!({"rate_per_s": 2}), true),
        (json!({"max_age_s": 2}), true),
        (json!({"dry_run": false}), true),
        (json!({"state": "disabled"}), false),
        (json!({"state": "active"}), true),
        (json!({"allow": ["192.0.2.7"]}), false),
    ] {
        let before = house.get(&webhook).await.json();
        let answer = house.patch(&webhook, &changes).await;
        if widens {
            answer.problem(403, "auth.step_up_required");
            assert_eq!(house.get(&webhook).await.json(), before, "{changes}");
        } else {
            assert_eq!(answer.status, 200, "{changes}: {answer:?}");
        }
    }
    assert_eq!(house.get(&webhook).await.json()["allow"], json!(["192.0.2.7/32"]));

    put("max_position", "6").await.problem(403, "auth.step_up_required");
    assert_eq!(put("max_position", "4").await.status, 201);
    assert_eq!(put("restricted", "1").await.status, 201, "nothing is let through by it");
    put("restricted", "0").await.problem(403, "auth.step_up_required");
    for name in ["max_position", "restricted"] {
        let answer = house.delete(&format!("/api/v1/limits/org/{name}")).await;
        answer.problem(403, "auth.step_up_required");
    }
    let limit = house.get("/api/v1/limits/org/max_position").await;
    assert_eq!((limit.status.as_u16(), &limit.json()["value"]), (200, &json!("4")));
    house.close().await;
}

/// A limit is set on the condition that its author saw it, and as what it is: a count is whole, a switch
/// on or off.
#[tokio::test]
async fn a_limit_is_set_over_the_one_that_was_seen() {
    let house = House::open().await;
    let limit =
        |name: &str, value: &str| json!({"scope": "org", "name": name, "value": value}).to_string();
    let path = "/api/v1/limits";
    for absent in ["*", "\"0\""] {
        let late = house.on_condition(Method::PUT, path, absent, &limit("max_position", "5")).await;
        late.problem(412, "request.precondition_failed");
    }
    let first = house.call(Caller::Owner, Method::PUT, path, &limit("max_position", "5")).await;
    let seen = tag(&first);
    let next = house.on_condition(Method::PUT, path, &seen, &limit("max_position", "4")).await;
    assert_eq!((next.status.as_u16(), &next.json()["value"]), (201, &json!("4")), "{next:?}");
    let late = house.on_condition(Method::PUT, path, &seen, &limit("max_position", "3")).await;
    late.problem(412, "request.precondition_failed");
    let shown = house.get("/api/v1/limits/org/max_position").await;
    assert_eq!(shown.json()["value"], "4");
    for (name, value) in [
        ("restricted", "2"),
        ("restricted", "0.5"),
        ("max_open_orders", "1.5"),
        ("max_orders_per_minute", "0.1"),
        ("max_position", "-1"),
    ] {
        let answer = house.call(Caller::Owner, Method::PUT, path, &limit(name, value)).await;
        assert_eq!(answer.problem(400, "request.malformed")["field"], "value", "{name} {value}");
    }
    house.close().await;
}

/// `org:ID` is the caller's own organization, also where a second person is asked.
#[tokio::test]
async fn an_organization_may_be_named_by_its_identifier() {
    let house = House::open().await;
    let me = house.get("/api/v1/me").await.json();
    let own = format!("org:{}", me["org_id"].as_str().unwrap());
    let limit = |scope: &str, value: &str| {
        json!({"scope": scope, "name": "max_position", "value": value}).to_string()
    };
    let put =
        async |path: &str, body: String| house.call(Caller::Owner, Method::PUT, path, &body).await;
    let set = put("/api/v1/limits", limit(&own, "9")).await;
    assert_eq!((set.status.as_u16(), &set.json()["scope"]), (201, &json!("org")), "{set:?}");
    assert_eq!(house.get("/api/v1/limits/org/max_position").await.json()["value"], "9");
    let shown = house.get(&format!("/api/v1/limits/{own}/max_position")).await;
    assert_eq!(shown.json()["value"], "9", "{shown:?}");
    for other in ["org:org_00000000000000000000000000", "org:x", "org:"] {
        put("/api/v1/limits", limit(other, "1")).await.problem(404, "request.not_found");
    }
    let policy = json!({"name": "four_eyes.limit_override", "value": "on"}).to_string();
    assert_eq!(put("/api/v1/policies", policy).await.status, 200);
    for scope in ["org", &own] {
        assert_eq!(put("/api/v1/limits", limit(scope, "10")).await.status, 202, "{scope} waits");
    }
    house.close().await;
}

#[tokio::test]
async fn a_limit_is_deleted_once() {
    let house = House::open().await;
    let limit = r#"{"scope":"instrument:BTC/USD","name":"max_position","value":"5"}"#;
    let set = house.call(Caller::Owner, Method::PUT, "/api/v1/limits", limit).await;
    assert_eq!(set.status, 201);
    let path = "/api/v1/limits/instrument:BTC%2FUSD/max_position";
    let shown = house.get(path).await;
    assert_eq!((shown.json(), tag(&shown)), (set.json(), tag(&set)));
    let late = house.on_condition(Method::DELETE, path, "\"0\"", "").await;
    late.problem(412, "request.precondition_failed");
    let gone = house.on_condition(Method::DELETE, path, &tag(&shown), "").await;
    let expected = json!({"deleted": true, "name": "max_position", "scope": "instrument:BTC/USD"});
    assert_eq!((gone.status.as_u16(), gone.json()), (200, expected));
    for path in [path, "/api/v1/limits/moon/max_position", "/api/v1/limits/org/max_luck"] {
        house.get(path).await.problem(404, "request.not_found");
        house.delete(path).await.problem(404, "request.not_found");
    }
    assert_eq!(house.get("/api/v1/limits").await.json()["items"], json!([]));
    house.close().await;
}

/// A webhook that begins to take signatures gets its signing secret, once.
#[tokio::test]
async fn every_setting_of_a_webhook_changes() {
    let house = House::open().await;
    let made = house.webhook().await;
    let path = format!("/api/v1/webhooks/{}", made["id"].as_str().unwrap());
    let changes = json!({
        "name": "b", "allow": ["192.0.2.1"], "preset": "tradingview", "dry_run": true,
        "rate_per_s": 7, "max_age_s": 8, "forms": ["signature"], "mapping": {"action": "side"},
        "state": "disabled",
    });
    let changed = house.patch(&path, &changes).await.json();
    assert!(changed["signing_secret"].as_str().unwrap().starts_with("whsec_"), "{changed}");
    assert!(changed.get("secret").is_none());
    let shown = house.get(&path).await.json();
    for name in ["name", "dry_run", "rate_per_s", "max_age_s", "forms", "mapping", "state"] {
        assert_eq!(shown[name], changes[name], "{name}");
    }
    assert_eq!(shown["allow"].as_array().unwrap().len(), 5);
    for same in ["id", "token", "url", "created_at"] {
        assert_eq!(shown[same], made[same], "{same}");
    }
    let again = house.patch(&path, &json!({"forms": ["signature", "body"], "mapping": null})).await;
    let again = again.json();
    assert!(again.get("signing_secret").is_none(), "{again}");
    assert!(again.get("mapping").is_none(), "{again}");
    for (changes, field) in [
        (json!({"secret": "x"}), "secret"),
        (json!({"id": "x"}), "id"),
        (json!({"name": ""}), "name"),
        (json!({"name": null}), "name"),
        (json!({"allow": ["10.0.0.0/99"]}), "allow"),
        (json!({"preset": "x"}), "preset"),
        (json!({"rate_per_s": 0}), "rate_per_s"),
        (json!({"max_age_s": 86_401}), "max_age_s"),
        (json!({"forms": []}), "forms"),
        (json!({"forms": ["x"]}), "forms"),
        (json!({"mapping": {}}), "mapping"),
        (json!({"state": "off"}), "state"),
        // Nobody is asked for a certificate here.
        (json!({"client_certificate": "tradingview"}), "client_certificate"),
    ] {
        let problem = house.patch(&path, &changes).await.problem(400, "request.malformed");
        assert_eq!(problem["field"], field, "{changes}");
    }
    house.close().await;
}
