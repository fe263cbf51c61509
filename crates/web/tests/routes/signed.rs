//! Requests signed with API keys: what is taken, what is not, and how much.

use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::Full;
use hyper::{Method, Request};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tradewarden_domain::time::Clock as _;
use tradewarden_seal::SecretBytes;
use tradewarden_seal::http_signature::{
    Ed25519Key, RequestToSign, SigningKey, SigningParameters, sign, sign_simple,
};
use tradewarden_web::service::Exposure;

use crate::harness::{Answer, House};

const ORIGIN: &str = "https://gateway.test";

/// Whoever holds a key.
struct Holder {
    id: String,
    key: SigningKey,
    count: AtomicU64,
}

/// A signed request, to be changed and sent.
#[derive(Clone)]
struct Signed {
    method: Method,
    target: String,
    authority: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Holder {
    /// A new key with these further settings.
    async fn new(house: &House, settings: Value) -> Self {
        let mut body = json!({"name": "test", "scopes": ["orders:read", "orders:cancel"]});
        body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let made = house.post("/api/v1/keys", &body.to_string()).await;
        assert_eq!(made.status, 201, "{made:?}");
        Self::of(&made.json())
    }

    fn of(made: &Value) -> Self {
        let key = if let Some(secret) = made["secret"].as_str() {
            SigningKey::HmacSha256(SecretBytes::new(secret.as_bytes().to_vec()))
        } else {
            let pem = made["private_key_pem"].as_str().unwrap();
            SigningKey::Ed25519(Ed25519Key::from_pkcs8_pem(pem).unwrap())
        };
        Self { id: made["id"].as_str().unwrap().to_owned(), key, count: AtomicU64::new(0) }
    }

    fn nonce(&self) -> String {
        format!("nonce-{:012}", self.count.fetch_add(1, Ordering::Relaxed))
    }

    fn signed_at(&self, unix_s: i64, method: Method, target: &str, body: &str) -> Signed {
        let origin = ORIGIN.parse().unwrap();
        let content_type = (!body.is_empty()).then_some("application/json");
        let nonce = self.nonce();
        let once = (target == "/api/v1/halts").then_some(nonce.as_str());
        let request = RequestToSign {
            method: method.as_str(),
            origin: &origin,
            target,
            content_type,
            idempotency_key: once,
            body: body.as_bytes(),
        };
        let parameters = SigningParameters {
            key_id: &self.id,
            created_unix_s: unix_s,
            expires_unix_s: None,
            nonce: &nonce,
        };
        let signature = sign(&self.key, &request, &parameters).unwrap();
        let lines = signature.lines().chain(content_type.map(|value| ("content-type", value)));
        let lines = lines.chain(once.map(|value| ("idempotency-key", value)));
        let headers = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Signed {
            method,
            target: target.to_owned(),
            authority: "gateway.test".to_owned(),
            headers,
            body: body.to_owned(),
        }
    }

    fn signed(&self, house: &House, method: Method, target: &str, body: &str) -> Signed {
        self.signed_at(house.clock.now().unix_seconds(), method, target, body)
    }

    async fn get(&self, house: &House, target: &str) -> Answer {
        self.signed(house, Method::GET, target, "").send(house).await
    }
}

impl Signed {
    async fn send(&self, house: &House) -> Answer {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.target);
        request = request.header("host", &self.authority);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::from(self.body.clone())).unwrap();
        house.ask(Exposure::Public, request).await
    }

    fn changed(&self, name: &str, change: impl FnOnce(&str) -> String) -> Self {
        let mut other = self.clone();
        let (_, value) = other.headers.iter_mut().find(|(key, _)| key == name).unwrap();
        *value = change(value);
        other
    }
}

#[tokio::test]
async fn both_algorithms_and_both_forms_are_who_they_say() {
    let house = House::open().await;
    for algorithm in ["ed25519", "hmac-sha256"] {
        let holder = Holder::new(&house, json!({ "algorithm": algorithm, "tier": "pro" })).await;
        let me = holder.get(&house, "/api/v1/me").await;
        assert_eq!(me.status, 200, "{me:?}");
        assert_eq!(
            me.headers["ratelimit-policy"],
            "\"second\";q=100;w=1, \"day\";q=1000000;w=86400"
        );
        assert!(me.headers["ratelimit"].to_str().unwrap().starts_with("\"second\";r=99;t=1"));
        let me = me.json();
        assert_eq!((&me["kind"], &me["id"]), (&json!("key"), &json!(holder.id)));
        assert_eq!(me["scopes"], json!(["orders:cancel", "orders:read"]));
        assert_eq!(holder.get(&house, "/api/v1/orders?limit=5").await.status, 200);
        holder.get(&house, "/api/v1/positions").await.problem(403, "auth.permission");
        holder.get(&house, "/api/v1/keys").await.problem(403, "auth.permission");
        let shown = house.get(&format!("/api/v1/keys/{}", holder.id)).await.json();
        assert_eq!(shown["last_used_address"], "192.0.2.7");
        assert!(shown.get("secret").is_none() && shown.get("private_key_pem").is_none());
        let usage = house.get(&format!("/api/v1/keys/{}/usage", holder.id)).await.json();
        assert_eq!((&usage["calls"], &usage["refusals"]), (&json!(4), &json!(2)), "{usage}");
    }
    let holder = Holder::new(&house, json!({"algorithm": "hmac-sha256"})).await;
    let origin = ORIGIN.parse().unwrap();
    let request = RequestToSign {
        method: "GET",
        origin: &origin,
        target: "/api/v1/me",
        content_type: None,
        idempotency_key: None,
        body: b"",
    };
    let unix_ms = house.clock.now().unix_micros() / 1_000;
    let lines = sign_simple(&holder.key, &request, &holder.id, unix_ms, &holder.nonce()).unwrap();
    let mut simple = holder.signed(&house, Method::GET, "/api/v1/me", "");
    simple.headers = lines.map(|(name, value)| (name.to_owned(), value)).into();
    assert_eq!(simple.send(&house).await.status, 200);
    simple.send(&house).await.problem(401, "auth.failed");
    house.close().await;
}

/// One answer for all of them.
#[tokio::test]
async fn whatever_is_wrong_is_one_401() {
    let house = House::open().await;
    let holder = Holder::new(&house, json!({})).await;
    let other = Holder::new(&house, json!({})).await;
    let now = house.clock.now().unix_seconds();
    let good = || holder.signed(&house, Method::GET, "/api/v1/orders?limit=5", "");
    let replayed = good();
    assert_eq!(replayed.send(&house).await.status, 200);
    let me = |at| holder.signed_at(at, Method::GET, "/api/v1/me", "");
    let mut wrong = vec![
        ("replayed", replayed),
        ("another target", Signed { target: "/api/v1/orders?limit=6".to_owned(), ..good() }),
        ("another method", Signed { method: Method::HEAD, ..good() }),
        ("another host", Signed { authority: "other.test".to_owned(), ..good() }),
        ("stale", me(now - 61)),
        ("from the future", me(now + 11)),
        ("another key", good().changed("signature-input", |t| t.replace(&holder.id, &other.id))),
        (
            "no such key",
            good().changed("signature-input", |t| {
                t.replace(&holder.id, "key_01m80000000000000000000000")
            }),
        ),
        ("no key at all", good().changed("signature-input", |t| t.replace(&holder.id, "x"))),
        (
            "another algorithm",
            good().changed("signature-input", |t| t.replace("ed25519", "hmac-sha256")),
        ),
        ("another tag", good().changed("signature-input", |t| t.replace("tw-v1", "tw-v2"))),
        ("another nonce", good().changed("signature-input", |t| t.replace("nonce-", "nonce_"))),
        ("a component less", good().changed("signature-input", |t| t.replace("\"@method\" ", ""))),
        ("one label twice", good().changed("signature-input", |t| format!("{t}, {t}"))),
        (
            "one parameter twice",
            good().changed("signature-input", |t| format!("{t};tag=\"tw-v1\"")),
        ),
    ];
    let mut bearer = good();
    bearer.headers.push(("authorization".to_owned(), format!("Bearer {}", house.token)));
    wrong.push(("a bearer beside it", bearer));
    let mut two = good();
    two.headers.extend(good().headers);
    wrong.push(("two signatures", two));
    for (what, request) in &wrong {
        let answer = request.send(&house).await;
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer", "{what}");
        assert!(answer.headers.contains_key("accept-signature"), "{what}");
        assert!(!answer.headers.contains_key("ratelimit"), "{what}");
        if request.method != Method::HEAD {
            answer.problem(401, "auth.failed");
        }
    }
    // Every bit of the signature counts.
    let base = good();
    for place in 6..90 {
        let flipped = base.changed("signature", |text| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        });
        if flipped.headers != base.headers {
            flipped.send(&house).await.problem(401, "auth.failed");
        }
    }
    assert_eq!(base.send(&house).await.status, 200, "it was good all the time");
    // What is within the window is taken.
    for at in [now - 60, now + 10] {
        assert_eq!(me(at).send(&house).await.status, 200);
    }
    house.close().await;
}

#[tokio::test]
async fn a_change_is_made_once_and_a_body_is_the_signed_one() {
    let house = House::open().await;
    let scopes = json!({"scopes": ["webhooks:manage", "orders:read"]});
    let holder = Holder::new(&house, scopes).await;
    let make = holder.signed(&house, Method::POST, "/api/v1/webhooks", r#"{"name":"signed"}"#);
    let other = Signed { body: r#"{"name":"forged"}"#.to_owned(), ..make.clone() };
    other.send(&house).await.problem(401, "auth.failed");
    let without = Signed { body: String::new(), ..make.clone() };
    without.send(&house).await.problem(401, "auth.failed");
    assert_eq!(make.send(&house).await.status, 201);
    make.send(&house).await.problem(401, "auth.failed");
    // A refused request is not taken again either.
    let refused = holder.signed(&house, Method::POST, "/api/v1/webhooks", r#"{"name":""}"#);
    refused.send(&house).await.problem(400, "request.malformed");
    refused.send(&house).await.problem(401, "auth.failed");
    // A factor can be shown by a person only.
    let scopes = json!({"scopes": ["keys:manage"]});
    let manager = Holder::new(&house, scopes).await;
    let more = r#"{"name":"more","scopes":["orders:read"]}"#;
    let more = manager.signed(&house, Method::POST, "/api/v1/keys", more).send(&house).await;
    more.problem(403, "auth.step_up_required");
    assert_eq!(manager.get(&house, "/api/v1/keys").await.status, 200);
    house.close().await;
}

/// S19: a suspended key may still cancel.
#[tokio::test]
async fn a_key_is_suspended_followed_and_revoked_at_once() {
    let house = House::open().await;
    let holder = Holder::new(&house, json!({"name": "first"})).await;
    let at = |verb: &str| format!("/api/v1/keys/{}{verb}", holder.id);
    house.post(&at("/activate"), "").await.problem(409, "key.state");
    let suspended = house.post(&at("/suspend"), "").await.json();
    assert_eq!(suspended["state"], "suspended");
    let me = holder.get(&house, "/api/v1/me").await.json();
    assert_eq!(me["permissions"], json!(["orders:cancel"]), "it may still cancel (S19)");
    holder.get(&house, "/api/v1/orders").await.problem(403, "auth.permission");
    house.post(&at("/rotate"), "").await.problem(409, "key.state");
    assert_eq!(house.post(&at("/activate"), "").await.status, 200);

    let successor = house.post(&at("/rotate"), r#"{"overlap_s":60}"#).await;
    assert_eq!(successor.status, 201, "{successor:?}");
    assert_eq!(successor.json()["rotated_from"], holder.id.as_str());
    let successor = Holder::of(&successor.json());
    for one in [&holder, &successor] {
        assert_eq!(one.get(&house, "/api/v1/me").await.status, 200);
    }
    house.clock.turn(60);
    holder.get(&house, "/api/v1/me").await.problem(401, "auth.failed");
    assert_eq!(successor.get(&house, "/api/v1/me").await.status, 200);
    house.post(&at("/rotate"), r#"{"overlap_s":604801}"#).await.problem(400, "request.malformed");

    let path = format!("/api/v1/keys/{}", successor.id);
    let revoked = house.call(crate::harness::Caller::Owner, Method::DELETE, &path, "").await;
    assert_eq!((revoked.status.as_u16(), &revoked.json()["state"]), (200, &json!("revoked")));
    successor.get(&house, "/api/v1/me").await.problem(401, "auth.failed");
    house.post(&format!("{path}/activate"), "").await.problem(409, "key.state");
    let again = house.call(crate::harness::Caller::Owner, Method::DELETE, &path, "").await;
    assert_eq!(again.status, 200);
    house.close().await;
}

#[tokio::test]
async fn what_a_key_may_be() {
    let house = House::open().await;
    let make = async |settings: Value| {
        let mut body = json!({"name": "k", "scopes": ["orders:read"]});
        body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        house.post("/api/v1/keys", &body.to_string()).await
    };
    for (field, settings) in [
        ("scopes", json!({"scopes": []})),
        ("scopes", json!({"scopes": ["orders:withdraw"]})),
        ("name", json!({"name": ""})),
        ("allow", json!({"allow": ["everywhere"]})),
        ("accounts", json!({"accounts": ["acc_01m80000000000000000000000"]})),
        ("strategy_id", json!({"strategy_id": "str_01m80000000000000000000000"})),
        ("instruments", json!({"instruments": ["a b"]})),
        ("tier", json!({"tier": "gold"})),
        ("max_notional", json!({"max_notional": "0"})),
        ("environment", json!({"environment": "x".repeat(33)})),
        ("expires_in_days", json!({"expires_in_days": 0})),
        ("public_key", json!({"public_key": "AAAA"})),
        ("public_key", json!({"public_key": "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="})),
        ("public_key", json!({"algorithm": "hmac-sha256", "public_key": "AAAA"})),
    ] {
        let problem = make(settings.clone()).await.problem(400, "request.malformed");
        assert_eq!(problem["field"], field, "{settings}");
    }
    make(json!({"expires_in_days": 91})).await.problem(422, "key.lifetime");
    let bound = json!({"expires_in_days": 365, "allow": ["198.51.100.0/24"]});
    let bound = Holder::of(&make(bound).await.json());
    bound.get(&house, "/api/v1/me").await.problem(403, "address.not_allowed");
    let here = Holder::new(&house, json!({"allow": ["192.0.2.0/24", "2001:db8::/32"]})).await;
    assert_eq!(here.get(&house, "/api/v1/me").await.status, 200);
    // A pair that its holder made: the gateway has the public half only.
    let pair = Ed25519Key::generate(&mut tradewarden_seal::SystemRandomness::new()).unwrap();
    let made = make(json!({"public_key": pair.public_pem()})).await.json();
    assert!(made.get("private_key_pem").is_none());
    let id = made["id"].as_str().unwrap().to_owned();
    let own = Holder { id, key: SigningKey::Ed25519(pair), count: AtomicU64::new(0) };
    assert_eq!(own.get(&house, "/api/v1/me").await.status, 200);
    house.close().await;
}

#[tokio::test]
async fn sixty_four_at_once_get_what_the_tier_allows() {
    let house = std::sync::Arc::new(House::open().await);
    let holder = std::sync::Arc::new(Holder::new(&house, json!({"tier": "pro"})).await);
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let (house, holder) = (house.clone(), holder.clone());
        tasks.spawn(async move {
            let mut taken = 0;
            for _ in 0..4 {
                let answer = holder.get(&house, "/api/v1/me").await;
                if answer.status == 200 {
                    taken += 1;
                } else {
                    answer.problem(429, "limit.rate");
                    assert_eq!(answer.headers["retry-after"], "1");
                    let standing = answer.headers["ratelimit"].to_str().unwrap();
                    assert!(standing.starts_with("\"second\";r=0;t=1"), "{standing}");
                }
            }
            taken
        });
    }
    let mut taken = 0;
    while let Some(one) = tasks.join_next().await {
        taken += one.unwrap();
    }
    assert_eq!(taken, 100, "the clock stands, so all is within one second");
    // Whoever has used everything up may still stop what is going on.
    house.clock.turn(1);
    assert_eq!(holder.get(&house, "/api/v1/me").await.status, 200);
    let Ok(house) = std::sync::Arc::try_unwrap(house) else { panic!("nobody holds it") };
    house.close().await;
}

#[tokio::test]
async fn a_day_is_full_and_halting_is_not() {
    let house = House::open().await;
    let scopes = json!({"tier": "free", "scopes": ["orders:read", "halt:engage"]});
    let holder = Holder::new(&house, scopes).await;
    for _ in 0..2_000 {
        for _ in 0..5 {
            assert_eq!(holder.get(&house, "/api/v1/me").await.status, 200);
        }
        house.clock.turn(1);
    }
    let full = holder.get(&house, "/api/v1/me").await;
    full.problem(429, "limit.daily");
    let wait: i64 = full.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((84_000..=87_300).contains(&wait), "{wait}");
    let halt = holder.signed(&house, Method::POST, "/api/v1/halts", "");
    let halt = halt.send(&house).await;
    assert_eq!(halt.status, 201, "{halt:?}");
    assert_eq!(halt.headers["ratelimit-policy"], "\"second\";q=50;w=1");
    house.clock.turn(wait);
    assert_eq!(holder.get(&house, "/api/v1/me").await.status, 200);
    house.close().await;
}
