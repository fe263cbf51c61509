//! Senders whose every request must be answered well, and whose every accepted signal is looked for
//! afterwards. What they show is judged with a data key: a key's secret and a webhook's signing secret
//! (`intake`), a person's second factor and access token (`people`), a password (`pepper`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::Method;
use serde_json::{Value, json};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tradewarden_seal::http_signature::{
    RequestToSign, SigningKey, SigningParameters, new_nonce, sign,
};
use tradewarden_seal::{SecretBytes, SystemRandomness, standard_webhooks};
use tradewarden_testkit::process::{Answer, Client, Gateway, Program, totp_code};

/// Between two requests of one sender, so that all of their signals can be looked for in a moment.
const PACE: Duration = Duration::from_millis(25);
/// One log-in for so many other requests of a person: a password is hashed slowly.
const LOG_IN_EVERY: u64 = 50;
const PASSWORD: &str = "correct-zebra-battery-8841-staple";
const PLAIN: &str = "plain@example.com";
const STRONG: &str = "strong@example.com";
/// Limits that must be there and never bind.
const LIMITS: [(&str, &str); 5] = [
    ("max_order_quantity", "1000000"),
    ("max_order_notional", "1000000000"),
    ("max_position", "10000000"),
    ("price_collar_percent", "50"),
    ("max_orders_per_minute", "10000000"),
];

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// A webhook by its secret, of which a hash is kept: no data key is needed.
    Bearer,
    /// A webhook by Standard Webhooks signatures.
    Signature,
    /// An API key with a shared secret: every other request is a signal.
    Key,
    /// Two people, one of them with an authenticator app.
    Person,
}

impl Who {
    pub(crate) const ALL: [Self; 4] = [Self::Bearer, Self::Signature, Self::Key, Self::Person];
}

/// What senders know. Made once for an installation.
#[derive(Clone)]
pub(crate) struct Senders {
    bearer: (String, String),
    signature: (String, String),
    key: (String, String),
    app: String,
    /// The step of the last code that was shown: each is taken once.
    shown: Arc<AtomicI64>,
}

fn now_s() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "signatures are judged by the real time")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap()
}

fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_else(|| panic!("no {name} in {object}")).to_owned()
}

fn success(answer: &Answer, status: u16) -> Value {
    let body = answer.json();
    assert_eq!(answer.status, status, "{body}");
    body
}

impl Senders {
    /// Webhooks, a key and a person, who are new, on an account of their own.
    pub(crate) async fn new(gateway: &Gateway) -> Self {
        let program = gateway.program();
        for (name, value) in LIMITS {
            let set = ["limit", "set", "--scope", "org", "--name", name, "--value", value];
            program.json(&set).await;
        }
        let create = ["account", "create", "--broker", "paper", "--name", "load"];
        let account = program.json(&[&create[..], &["--cash", "1000000000"]].concat()).await;
        let account = text(&account, "id");
        let trades = async |source: &str, id: &str, symbol: &str| {
            let create = ["strategy", "create", "--name", symbol, source, id, "--symbol", symbol];
            let more = ["--account", &account, "--quantity", "10", "--pyramiding", "allow"];
            program.json(&[&create[..], &more].concat()).await;
        };
        let webhook = async |name: &str, symbol: &str, more: &[&str]| {
            let create = ["webhook", "create", "--name", name, "--rate-per-s", "100000"];
            let made = program.json(&[&create[..], more].concat()).await;
            trades("--webhook", &text(&made, "id"), symbol).await;
            (format!("/api/v1/webhooks/{}", text(&made, "token")), made)
        };
        let (path, made) = webhook("bearer", "MSFT", &[]).await;
        let bearer = (path, text(&made, "secret"));
        let (path, made) = webhook("signature", "SPY", &["--form", "signature"]).await;
        let signature = (path, text(&made, "signing_secret"));
        let create = ["key", "create", "--name", "load", "--algorithm", "hmac-sha256"];
        let scopes = ["--scope", "signals:write,orders:read"];
        let made = program.json(&[&create[..], &scopes].concat()).await;
        let key = (text(&made, "id"), text(&made, "secret"));
        trades("--key", &key.0, "AAPL").await;
        person(gateway, PLAIN).await;
        person(gateway, STRONG).await;
        let app = enrolled(gateway, STRONG).await;
        // The code of the step before was shown when the app was enrolled.
        let shown = Arc::new(AtomicI64::new(now_s() / 30 - 1));
        Self { bearer, signature, key, app, shown }
    }

    /// One sender that goes on alone.
    fn sender(&self, who: Who, gateway: &Gateway) -> Sender {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Sender {
            who,
            run: NEXT.fetch_add(1, Ordering::Relaxed),
            knows: self.clone(),
            origin: gateway.base_url().to_owned(),
            client: gateway.client(),
            access: String::new(),
        }
    }
}

/// Makes a person with a password.
async fn person(gateway: &Gateway, email: &str) {
    let create = ["user", "create", "--email", email, "--role", "viewer"];
    let made = gateway.program().json(&create).await;
    let reset = json!({"token": made["invite_token"], "password": PASSWORD}).to_string();
    let mut client = gateway.client();
    let set = client.post("/api/v1/auth/password-reset", &[], reset).await.unwrap();
    success(&set, 200);
}

/// Gives a person an authenticator app; its secret.
async fn enrolled(gateway: &Gateway, email: &str) -> String {
    let mut client = gateway.client();
    let bearer = format!("Bearer {}", text(&password(&mut client, email).await, "access_token"));
    let at = "/api/v1/me/factors/totp";
    let shown = |once| [("authorization", bearer.as_str()), ("idempotency-key", once)];
    let made = success(&client.post(at, &shown("enrol"), "").await.unwrap(), 201);
    let secret = text(&made, "secret");
    let code = totp_code(&secret, "now -30 seconds").await;
    let confirm = format!("{at}/{}/confirm", text(&made, "id"));
    let code = json!({ "code": code }).to_string();
    success(&client.post(&confirm, &shown("confirm"), code).await.unwrap(), 200);
    secret
}

/// What a log-in with the password is answered.
async fn password(client: &mut Client, email: &str) -> Value {
    let body = json!({"email": email, "password": PASSWORD}).to_string();
    success(&client.post("/api/v1/auth/login", &[], body).await.unwrap(), 200)
}

struct Sender {
    who: Who,
    run: u64,
    knows: Senders,
    origin: String,
    client: Client,
    access: String,
}

impl Sender {
    /// A signal that no other is like.
    fn signal(&self, number: u64) -> String {
        let action = if number % 4 == 3 { "EXIT" } else { "BUY" };
        let id = format!("load-{}-{number}", self.run);
        json!({"action": action, "id": id}).to_string()
    }

    async fn send(&mut self, number: u64) -> Answer {
        match self.who {
            Who::Bearer => {
                let (path, secret) = self.knows.bearer.clone();
                let body = self.signal(number);
                let headers = [("x-webhook-secret", secret.as_str())];
                self.client.post(&path, &headers, body).await.unwrap()
            }
            Who::Signature => {
                let ((path, secret), body) = (self.knows.signature.clone(), self.signal(number));
                let secret = standard_webhooks::parse_secret(&secret).unwrap();
                let (id, at) = (format!("msg_{}_{number}", self.run), now_s());
                let signature = standard_webhooks::sign(&secret, &id, at, body.as_bytes()).unwrap();
                let at = at.to_string();
                let headers = [
                    ("webhook-id", id.as_str()),
                    ("webhook-timestamp", &at),
                    ("webhook-signature", &signature),
                    ("content-type", "application/json"),
                ];
                self.client.post(&path, &headers, body).await.unwrap()
            }
            Who::Key if number.is_multiple_of(2) => {
                let body = self.signal(number / 2);
                self.signed(Method::POST, "/api/v1/signals", &body).await
            }
            Who::Key => self.signed(Method::GET, "/api/v1/orders?limit=1", "").await,
            Who::Person if number.is_multiple_of(LOG_IN_EVERY) => self.log_in().await,
            Who::Person => self.me().await,
        }
    }

    /// A request in the profile `tw-v1`.
    async fn signed(&mut self, method: Method, target: &str, body: &str) -> Answer {
        let (id, secret) = &self.knows.key;
        let key = SigningKey::HmacSha256(SecretBytes::new(secret.as_bytes().to_vec()));
        let content_type = (!body.is_empty()).then_some("application/json");
        let request = RequestToSign {
            method: method.as_str(),
            origin: &self.origin.parse().unwrap(),
            target,
            content_type,
            idempotency_key: None,
            body: body.as_bytes(),
        };
        let parameters = SigningParameters {
            key_id: id,
            created_unix_s: now_s(),
            expires_unix_s: None,
            nonce: &new_nonce(&mut SystemRandomness::new()),
        };
        let signature = sign(&key, &request, &parameters).unwrap();
        let lines = signature.lines().chain(content_type.map(|value| ("content-type", value)));
        let headers: Vec<_> = lines.collect();
        self.client.send(method, target, &headers, body.to_owned()).await.unwrap()
    }

    /// One person by the password alone; the other by the code of a step as well, if none was shown of
    /// it: between them the challenge stays as it is.
    async fn log_in(&mut self) -> Answer {
        let tokens = password(&mut self.client, PLAIN).await;
        self.access = format!("Bearer {}", text(&tokens, "access_token"));
        let challenge = text(&password(&mut self.client, STRONG).await, "challenge_id");
        let step = now_s() / 30;
        if self.knows.shown.fetch_max(step, Ordering::Relaxed) < step {
            let code = totp_code(&self.knows.app, &format!("@{}", step * 30)).await;
            let shown = json!({"challenge_id": challenge, "type": "totp", "code": code});
            let path = "/api/v1/auth/factor";
            let answer = self.client.post(path, &[], shown.to_string()).await.unwrap();
            text(&success(&answer, 200), "access_token");
        }
        self.me().await
    }

    async fn me(&mut self) -> Answer {
        let headers = [("authorization", self.access.as_str())];
        self.client.get("/api/v1/me", &headers).await.unwrap()
    }

    /// Holds an answer against what is right, and keeps what it promises.
    fn hear(&self, number: u64, answer: &Answer, heard: &Heard) {
        let body = answer.json();
        let who = self.who;
        match (answer.status, body["status"].as_str()) {
            (202, Some("accepted")) => {
                // An exit that only took entries back has no order of its own.
                let order = body["accounts"][0]["order_id"].as_str().map(str::to_owned);
                let new = heard.accepted.lock().unwrap().insert(text(&body, "signal_id"), order);
                assert!(new.is_none(), "{who:?} {number}: two signals are one: {body}");
            }
            (200, Some("skipped") | None) => {}
            _ => panic!("{who:?} {number}: {} {body}", answer.status),
        }
        *heard.answered.lock().unwrap().entry(who).or_default() += 1;
    }
}

/// What was answered.
#[derive(Default)]
struct Heard {
    ends: AtomicBool,
    answered: Mutex<BTreeMap<Who, u64>>,
    /// Signals that were accepted, with the order of each if there is one.
    accepted: Mutex<BTreeMap<String, Option<String>>>,
}

/// Requests, one after the other from each sender, until it is ended.
pub(crate) struct Load {
    heard: Arc<Heard>,
    senders: JoinSet<()>,
    handles: Vec<AbortHandle>,
}

impl Load {
    /// Everybody.
    pub(crate) fn begin(gateway: &Gateway, senders: &Senders) -> Self {
        Self::of(gateway, senders, &Who::ALL)
    }

    /// These.
    pub(crate) fn of(gateway: &Gateway, senders: &Senders, who: &[Who]) -> Self {
        let heard = Arc::new(Heard::default());
        let (mut running, mut handles) = (JoinSet::new(), Vec::new());
        for who in who {
            let mut sender = senders.sender(*who, gateway);
            let heard = Arc::clone(&heard);
            heard.answered.lock().unwrap().insert(*who, 0);
            handles.push(running.spawn(async move {
                let mut pace = interval(PACE);
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                for number in 0_u64.. {
                    if heard.ends.load(Ordering::Relaxed) {
                        return;
                    }
                    pace.tick().await;
                    let answer = sender.send(number).await;
                    sender.hear(number, &answer, &heard);
                }
            }));
        }
        Self { heard, senders: running, handles }
    }

    /// How many each was answered who was answered least.
    pub(crate) fn answered(&self) -> u64 {
        assert!(!self.handles.iter().any(AbortHandle::is_finished), "a sender failed");
        let answered = self.heard.answered.lock().unwrap();
        answered.values().copied().min().unwrap()
    }

    /// Ends it, and looks for every signal and order that somebody was promised.
    pub(crate) async fn end(mut self, program: &Program) {
        self.heard.ends.store(true, Ordering::Relaxed);
        let mut failed = String::new();
        while let Some(ended) = self.senders.join_next().await {
            if let Err(error) = ended {
                writeln!(failed, "{error}").unwrap();
            }
        }
        assert!(failed.is_empty(), "{failed}");
        let answered = self.heard.answered.lock().unwrap().clone();
        assert!(answered.values().all(|count| *count >= 20), "{answered:?}");
        let accepted = self.heard.accepted.lock().unwrap().clone();
        let (signals, orders) = (all(program, "signal").await, all(program, "order").await);
        for (signal, order) in &accepted {
            assert!(signals.contains(signal), "{signal} of {} is lost", accepted.len());
            let is_there = order.as_ref().is_none_or(|order| orders.contains(order));
            assert!(is_there, "{order:?} of {signal} is lost");
        }
        let ordered = accepted.values().flatten().count();
        assert!(ordered >= 20 || accepted.is_empty(), "{ordered} of {}", accepted.len());
    }
}

/// The identifiers of a whole list.
async fn all(program: &Program, things: &str) -> BTreeSet<String> {
    let list = [things, "list", "--limit", "200"];
    let (mut ids, mut page) = (BTreeSet::new(), program.json(&list).await);
    loop {
        ids.extend(page["items"].as_array().unwrap().iter().map(|item| text(item, "id")));
        let Some(next) = page["next"].as_str() else { return ids };
        page = program.json(&[&list[..], &["--cursor", next]].concat()).await;
    }
}
