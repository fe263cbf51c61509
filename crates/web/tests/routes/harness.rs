//! A site on an engine of its own, with a clock that a test turns.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::header::{HOST, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tradewarden_domain::person::{BuiltInRole, Profile};
use tradewarden_domain::tier::{Tier, Tiers};
use tradewarden_domain::time::{Clock, Timestamp};
use tradewarden_engine::actor::Actor;
use tradewarden_engine::command::{Command, UserCreate};
use tradewarden_engine::people::Entered;
use tradewarden_engine::{Engine, Parts, Settings};
use tradewarden_seal::{FileKeySource, Keyring, PasswordCost, SystemRandomness};
use tradewarden_store::Location;
use tradewarden_web::peer::Peer;
use tradewarden_web::service::{AnswerBody, Exposure, Site, SiteOptions};

/// The first owner.
const OWNER: &str = "first@example.com";
/// Everybody's; good enough for every rule.
const PASSWORD: &str = "correct-zebra-battery-8841-staple";

/// What the caller shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Anonymous,
    WrongToken,
    Owner,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Checks that it is a whole problem with this status and code, and gives its body.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!((self.status.as_u16(), body["code"].as_str()), (status, Some(code)), "{body}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], format!("urn:tradewarden:problem:{code}"));
        assert_eq!(body["request_id"], self.headers["x-request-id"].to_str().unwrap());
        body
    }
}

/// A gateway without its sockets.
pub(crate) struct House {
    pub(crate) site: Site,
    /// The access token of the owner, who showed a second factor when the house was opened.
    pub(crate) token: String,
    pub(crate) clock: Arc<TestClock>,
    engine: Engine,
    stop: Option<oneshot::Sender<()>>,
    running: JoinSet<()>,
    folder: PathBuf,
}

/// Stands until a test turns it.
pub(crate) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.0.load(Ordering::SeqCst))
    }

    fn ahead(&self) -> Duration {
        Duration::ZERO
    }
}

impl TestClock {
    pub(crate) fn turn(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::open_with(SiteOptions::default()).await
    }

    pub(crate) async fn open_with(options: SiteOptions) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let folder =
            std::env::temp_dir().join(format!("tradewarden-web-{}-{number}", std::process::id()));
        // A process of this number that was killed may have left its own.
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(&folder).unwrap();
        let mut randomness = SystemRandomness::new();
        let clock = Arc::new(TestClock(AtomicI64::new(1_795_312_984_500_000)));
        let clock_of_engine: Arc<dyn Clock> = clock.clone();
        let keyring = Keyring::new(FileKeySource::from_randomness(&mut randomness));
        let (engine, tasks) = Engine::create(Parts {
            location: Location::Sqlite(folder.join("test.db")),
            clock: clock_of_engine,
            randomness: Box::new(randomness),
            keyring: Arc::new(keyring),
            brokers: BTreeMap::new(),
            desk: None,
            messengers: BTreeMap::new(),
            settings: Settings {
                public_origin: "https://gateway.test".to_owned(),
                hooks_origin: None,
                halt_file: None,
                further_origins: Vec::new(),
                // The owner asks more often than a person may.
                tiers: Tiers { standard: Tier::Institutional.allowance(), ..Tiers::default() },
                call_limits: tradewarden_engine::CallLimits::default(),
                live_orders_max: 10_000,
                log_origin: "gateway.test/log".to_owned(),
                checkpoint_file: None,
                node: "test".to_owned(),
                console_origin: "https://gateway.test".to_owned(),
                profile: Profile::Standard,
                require_classes: false,
                password_cost: PasswordCost::new(8, 1, 1).unwrap(),
                data_keys_last: None,
            },
        })
        .await
        .unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let mut running = JoinSet::new();
        running.spawn(async move {
            let stopped = async { drop(stopped.await) };
            tasks.run(stopped).await.unwrap();
        });
        let owner = Command::UserCreate(UserCreate {
            email: OWNER.to_owned(),
            role: BuiltInRole::Owner.text().to_owned(),
            password: Some(Entered::new(PASSWORD.to_owned())),
            totp: true,
        });
        let owner = engine.execute(owner, &Actor::operator()).await.unwrap();
        let (site, token) = (Site::new(engine.clone(), options), String::new());
        let mut house = Self { site, token, clock, engine, stop: Some(stop), running, folder };
        let secret = owner["totp"]["secret"].as_str().unwrap();
        house.token = house.log_in_with_factor(OWNER, secret).await;
        house
    }

    /// The owner of a second organization, with both factors: what goes into `Authorization`.
    pub(crate) async fn stranger(&self) -> String {
        const STRANGER: &str = "stranger@example.com";
        let other =
            json!({"command": "organization-create", "name": "other", "owner": "o@example.com"});
        let other = serde_json::from_value(other).unwrap();
        self.engine.execute(other, &Actor::operator()).await.unwrap();
        let owner = json!({"command": "user-create", "email": STRANGER, "role": "owner",
                           "password": PASSWORD, "totp": true});
        let operator = self.engine.operator(Some("other")).unwrap();
        let made = self.engine.execute(serde_json::from_value(owner).unwrap(), &operator).await;
        let secret = made.unwrap()["totp"]["secret"].as_str().unwrap().to_owned();
        format!("Bearer {}", self.log_in_with_factor(STRANGER, &secret).await)
    }

    /// The access token of a login with both factors.
    async fn log_in_with_factor(&self, email: &str, secret: &str) -> String {
        let login = json!({"email": email, "password": PASSWORD}).to_string();
        let login = self.call(Caller::Anonymous, Method::POST, "/api/v1/auth/login", &login).await;
        let challenge = login.json()["challenge_id"].clone();
        let now = format!("@{}", self.clock.now().unix_seconds());
        let output = std::process::Command::new("oathtool")
            .args(["--totp", "--base32", "--now", &now, secret])
            .output()
            .expect("this test needs oathtool (Debian: apt-get install oathtool)");
        let code = String::from_utf8(output.stdout).unwrap();
        let shown = json!({"challenge_id": challenge, "type": "totp", "code": code.trim()});
        let path = "/api/v1/auth/factor";
        let tokens = self.call(Caller::Anonymous, Method::POST, path, &shown.to_string()).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        tokens.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// Ends what runs; what is left is removed.
    pub(crate) async fn close(mut self) {
        drop(self.stop.take());
        while let Some(ended) = self.running.join_next().await {
            ended.unwrap();
        }
        std::fs::remove_dir_all(&self.folder).unwrap();
    }

    /// The answer with its body not yet taken.
    pub(crate) async fn answer<B>(
        &self,
        exposure: Exposure,
        mut request: Request<B>,
    ) -> Response<AnswerBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        // Every request of HTTP/1.1 names its host.
        let host = HeaderValue::from_static("localhost");
        request.headers_mut().entry(HOST).or_insert(host);
        let address: SocketAddr = "192.0.2.7:40000".parse().unwrap();
        self.site.clone().answer(exposure, Arc::new(Peer::plain(address)), request).await
    }

    pub(crate) async fn ask<B>(&self, exposure: Exposure, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        let (head, body) = self.answer(exposure, request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// A request of the public listener.
    pub(crate) async fn call(
        &self,
        caller: Caller,
        method: Method,
        path: &str,
        body: &str,
    ) -> Answer {
        self.ask(Exposure::Public, self.request(caller, method, path, body)).await
    }

    pub(crate) fn request(
        &self,
        caller: Caller,
        method: Method,
        path: &str,
        body: &str,
    ) -> Request<Full<Bytes>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let once = format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let request = Request::builder().method(method).uri(path).header("idempotency-key", once);
        let request = match caller {
            Caller::Anonymous => request,
            Caller::WrongToken => request.header("authorization", "Bearer wrong.wrong.wrong"),
            Caller::Owner => request.header("authorization", format!("Bearer {}", self.token)),
        };
        request.body(Full::from(body.to_owned())).unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Caller::Owner, Method::GET, path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.call(Caller::Owner, Method::POST, path, body).await
    }

    /// A new person of this role, logged in with the password alone: what goes into
    /// `Authorization`.
    pub(crate) async fn person(&self, role: &str) -> String {
        let email = format!("{role}-{}@example.com", Self::number());
        let new = json!({"email": email, "role": role, "password": PASSWORD}).to_string();
        let made = self.post("/api/v1/users", &new).await;
        assert_eq!(made.status, 201, "{made:?}");
        let login = json!({"email": email, "password": PASSWORD}).to_string();
        let tokens = self.call(Caller::Anonymous, Method::POST, "/api/v1/auth/login", &login).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        format!("Bearer {}", tokens.json()["access_token"].as_str().unwrap())
    }

    /// A request with this in `Authorization`.
    pub(crate) async fn call_with(&self, bearer: &str, method: Method, path: &str) -> Answer {
        let mut request = self.request(Caller::Anonymous, method, path, "");
        request.headers_mut().insert("authorization", bearer.parse().unwrap());
        self.ask(Exposure::Public, request).await
    }

    fn number() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// A new webhook: what the answer that makes it says.
    pub(crate) async fn webhook(&self) -> Value {
        let answer = self.post("/api/v1/webhooks", r#"{"name":"test"}"#).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }
}
