//! House invariant 5 from outside: everything that carries a secret is used and misused, while every
//! part of the program logs all it can; afterwards no secret is in a file, a log, an answer or a message
//! but the one that is meant to carry it.
//!
//! What passes through the test's clients and commands is marked by them; here is marked what comes by
//! mail, lies in files, or is nothing that anybody gave out.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::process::Command;
use tradewarden_seal::{Randomness, SystemRandomness, hex_encode};
use tradewarden_testkit::marks;
use tradewarden_testkit::postgres::TestDatabase;
use tradewarden_testkit::process::{Client, Gateway, Program, TestDir, until};
use tradewarden_testkit::provider::Provider;

use crate::office::{Office, issue};
use crate::someone::{Someone, code_of, success};

const EMAIL: &str = "ann@example.com";

/// A secret that nobody has seen before, marked.
fn fresh(what: &str) -> String {
    let mut random = [0; 12];
    SystemRandomness::new().fill(&mut random);
    let secret = format!("{what}-{}", hex_encode(&random));
    marks::see(what, &secret);
    secret
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(path, closed).unwrap();
}

/// A gateway that speaks to everybody a gateway can speak to, and its owner.
struct House {
    dir: TestDir,
    office: Office,
    provider: Provider,
    gateway: Gateway,
    owner: Someone,
}

impl House {
    async fn open(name: &str, database: &str) -> Self {
        let dir = TestDir::new(name);
        let office = Office::open(&dir).await;
        let [_, certificate, key] = issue(&dir, "others");
        marks::see("a provider's key", fs::read(&key).unwrap());
        let provider = Provider::open(&certificate, &key).await;
        private(&dir.path().join("sms-token"), &fresh("sms-token"));
        let signing =
            format!("whsec_{}", tradewarden_seal::base64_encode(fresh("hook").as_bytes()));
        private(&dir.path().join("webhook-secret"), &signing);
        let chat = format!("{}/services/{}\n", provider.base_url(), fresh("chat"));
        private(&dir.path().join("chat-url"), &chat);
        let config = format!(
            "log_level = \"trace\"\ndatabase = \"{database}\"\n{}[sms]\nprovider = \"twilio\"\n\
             base_url = \"{at}\"\naccount_sid = \"AC0123\"\nauth_token_file = \"sms-token\"\n\
             from = \"+14155550100\"\nca_file = \"others-ca.pem\"\n[alerts]\n\
             webhook_url = \"{at}/alerts\"\nwebhook_secret_file = \"webhook-secret\"\n\
             chat_url_file = \"chat-url\"\nca_file = \"others-ca.pem\"\n",
            office.config(&dir, "mail-ca.pem"),
            at = provider.base_url(),
        );
        let program = Program::new(env!("CARGO_BIN_EXE_tradewarden"), dir.data(), &config);
        let file = dir.path().join("password");
        let init = ["init", "--email", EMAIL, "--password-file", file.to_str().unwrap()];
        // Eleven characters are too few for a password, and enough to be found.
        private(&file, &fresh("h")[..11]);
        assert_eq!(program.run(&init).await.code, Some(1));
        let password = fresh("Heron wades");
        private(&file, &password);
        let made = program.json(&init).await;
        let gateway = program.start().await;
        let mut owner = Someone::new(&gateway, EMAIL, &password);
        owner.secret = Some(made["totp"]["secret"].as_str().unwrap().to_owned());
        Self { dir, office, provider, gateway, owner }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The next mail about this; those before it are only looked at.
    async fn mail(&mut self, subject: &str) -> String {
        loop {
            let mail = self.office.next("mail").await;
            let found = marks::found_in(mail.to_string().as_bytes());
            assert!(found.is_empty(), "in a mail: {found:?}: {mail}");
            if mail["headers"]["subject"].as_str().unwrap().ends_with(subject) {
                return mail["text"].as_str().unwrap().to_owned();
            }
        }
    }

    /// Logging in wrongly, rightly, by cookie and by refresh token, as somebody new, and by mail.
    async fn people(&mut self) {
        let (owner, gateway) = (&mut self.owner, &self.gateway);
        for body in [
            json!({"email": EMAIL, "password": fresh("wrong password")}),
            // What people type into the wrong field.
            json!({"email": fresh("a password as e-mail"), "password": "x"}),
            json!({"email": EMAIL, "password": [fresh("a list of a password")]}),
            json!({"email": EMAIL, fresh("a password as name"): 1}),
            json!(fresh("a password as body")),
        ] {
            let answer = owner.client.post("/api/v1/auth/login", &[], body.to_string()).await;
            assert!([400, 401].contains(&answer.unwrap().status), "{body}");
        }
        let broken = format!("{{\"email\": \"{EMAIL}\", \"password\": \"{}", fresh("half a body"));
        let answer = owner.client.post("/api/v1/auth/login", &[], broken).await.unwrap();
        assert_eq!(answer.status, 400);

        let offered = success(&owner.password_login().await, 200);
        let code = code_of(&owner.secret.clone().unwrap(), 0).await;
        let shown = owner.show(&offered, "totp", &code).await;
        owner.take(&shown);
        let codes = owner.post("/api/v1/me/factors/recovery-codes", &Value::Null).await;
        let codes = success(&codes, 201);
        let body = json!({"email": EMAIL, "password": owner.password, "cookie": true}).to_string();
        let offered = owner.client.post("/api/v1/auth/login", &[], body).await.unwrap();
        let offered = success(&offered, 200);
        let wrong = owner.show(&offered, "recovery_code", &fresh("a recovery code")).await;
        assert_eq!(wrong.status, 401);
        let code = codes["codes"][0].as_str().unwrap();
        let begun = owner.show(&offered, "recovery_code", code).await;
        let csrf = success(&begun, 200)["csrf_token"].as_str().unwrap().to_owned();
        let cookie = begun.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap();
        for (name, value) in [("x-tw-csrf", csrf.as_str()), ("x-tw-csrf", &fresh("a CSRF token"))] {
            let headers = [("cookie", cookie), (name, value), ("user-agent", "a browser")];
            let answer = owner.client.post("/api/v1/me/sessions", &headers, "").await.unwrap();
            assert!(answer.status >= 400, "there is no such route");
            let me = owner.client.get("/api/v1/me", &headers).await.unwrap();
            assert_eq!(success(&me, 200)["email"], EMAIL);
        }

        let mut bob = owner.invites(gateway, "bob@example.com", "trader").await;
        bob.enrol().await;
        let first = json!({ "refresh_token": bob.refresh }).to_string();
        let renewed = bob.client.post("/api/v1/auth/refresh", &[], first.clone()).await.unwrap();
        bob.take(&renewed);
        let wrong = json!({ "refresh_token": fresh("a refresh token") }).to_string();
        for body in [wrong, first] {
            let headers = [("user-agent", "another")];
            let answer = bob.client.post("/api/v1/auth/refresh", &headers, body).await.unwrap();
            assert_eq!(answer.status, 401);
        }
        let wrong = json!({"token": fresh("an invitation"), "password": fresh("Heron dives")});
        for path in ["/api/v1/auth/password-reset", "/api/v1/auth/setup"] {
            let answer = bob.client.post(path, &[], wrong.to_string()).await.unwrap();
            assert!(answer.status >= 400);
        }
        let asked = json!({ "email": "bob@example.com" }).to_string();
        bob.client.post("/api/v1/auth/password-reset", &[], asked).await.unwrap();
        let text = self.mail("Set a new password").await;
        let (_, token) = text.split_once("#token=").unwrap();
        let token = token.lines().next().unwrap();
        marks::see("a reset token", token);
        let long = fresh("Heron sleeps standing");
        for (password, status) in [("too-short", 422), (long.as_str(), 200)] {
            let body = json!({"token": token, "password": password}).to_string();
            let set = bob.client.post("/api/v1/auth/password-reset", &[], body).await.unwrap();
            assert_eq!(set.status, status);
        }
        let phone = json!({"phone": "+1 (415) 555-0123"});
        success(&self.owner.post("/api/v1/me/factors/sms", &phone).await, 201);
        until("a text message", async || !self.provider.asked().is_empty()).await;
    }

    /// Signals with the secret where it belongs and where it does not.
    async fn hooks(&mut self) {
        let program = self.gateway.program().clone();
        let create = ["webhook", "create", "--name", "marked", "--rate-per-s", "1000"];
        let forms =
            ["--form", "query", "--form", "header", "--form", "body", "--form", "signature"];
        let made = program.json(&[&create[..], &forms].concat()).await;
        let rotate = ["webhook", "rotate", made["id"].as_str().unwrap(), "--overlap-s", "60"];
        let rotated = program.json(&rotate).await;
        let path = format!("/api/v1/webhooks/{}", made["token"].as_str().unwrap());
        let client = &mut self.owner.client;
        for webhook in [&made, &rotated] {
            let secret = webhook["secret"].as_str().unwrap();
            let other = fresh("another-secret");
            for body in [
                json!({"action": "BUY", "dry_run": true, "secret": secret}).to_string(),
                json!({"action": "BUY", "dry_run": true, "secret": other}).to_string(),
                json!({"action": "BUY", "comment": secret, "secret": secret}).to_string(),
                json!({"action": secret, "id": secret, secret: [secret]}).to_string(),
                format!("{{\"action\":\"BUY\",\"secret\":\"{secret}\",\"secret\":\"{other}\"}}"),
                format!("{{\"action\":\"BUY\",\"secret\":\"{secret}"),
                format!("{{\"action\":\"BUY\",\"secret\":\"{other}"),
                format!("BUY {secret}"),
                format!("secret={secret}&action=BUY"),
            ] {
                for (query, header) in [
                    (None, None),
                    (Some(secret), None),
                    (None, Some(secret)),
                    (Some(&*other), None),
                ] {
                    let query = query.map(|query| format!("?secret={query}")).unwrap_or_default();
                    let headers: Vec<_> =
                        header.iter().map(|secret| ("x-webhook-secret", *secret)).collect();
                    let path = format!("{path}{query}");
                    client.post(&path, &headers, body.clone()).await.unwrap();
                }
            }
            let signature = format!("v1,{}", fresh("a signature"));
            let signed = [
                ("webhook-id", "msg_1"),
                ("webhook-timestamp", "1"),
                ("webhook-signature", &signature),
            ];
            client.post(&path, &signed, r#"{"action":"BUY"}"#).await.unwrap();
        }
    }

    /// Keys of both kinds: requests that are signed well, once more, and badly.
    async fn keys(&mut self) {
        let program = self.gateway.program().clone();
        let (secret, pem) = (self.file("hmac-secret"), self.file("ed25519.pem"));
        let (secret, pem) = (secret.to_str().unwrap(), pem.to_str().unwrap());
        let create = ["key", "create", "--scope", "orders:read,orders:create", "--name"];
        let hmac = [&create[..], &["hmac", "--algorithm", "hmac-sha256"]].concat();
        let hmac = program.json(&hmac).await;
        private(Path::new(secret), hmac["secret"].as_str().unwrap());
        let pair =
            program.json(&[&create[..], &["pair", "--private-key-file", pem]].concat()).await;
        marks::see("an API key", fs::read(pem).unwrap());
        let order = self.file("order.json");
        let order = order.to_str().unwrap();
        private(Path::new(order), r#"{"account_id":"nobody","symbol":"AAPL"}"#);
        for (key, more) in [
            (&hmac, ["--secret-file", secret].as_slice()),
            (&hmac, &["--secret-file", secret, "--simple"]),
            (&pair, &["--private-key-file", pem]),
        ] {
            for (path, about) in [
                ("/api/v1/me", [].as_slice()),
                (
                    "/api/v1/orders",
                    &["--method", "POST", "--body", order, "--idempotency-key", "k"],
                ),
            ] {
                let url = format!("{}{path}", self.gateway.base_url());
                let sign = ["sign", "--key", key["id"].as_str().unwrap(), "--url", &url];
                let signed = program.json(&[&sign[..], more, about].concat()).await;
                let signed = signed["headers"].as_object().unwrap().iter();
                let mut headers: Vec<_> =
                    signed.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
                let body = if about.is_empty() {
                    String::new()
                } else {
                    fs::read_to_string(order).unwrap()
                };
                let method = if about.is_empty() { "GET" } else { "POST" };
                let method: hyper::Method = method.parse().unwrap();
                let client = &mut self.owner.client;
                // Once more is a replay; then with another body and without the idempotency key.
                for _ in 0..2 {
                    client.send(method.clone(), path, &headers, body.clone()).await.unwrap();
                }
                headers.retain(|(name, _)| !name.eq_ignore_ascii_case("idempotency-key"));
                let body = json!({"password": fresh("a body of a badly signed one")}).to_string();
                client.send(method, path, &headers, body).await.unwrap();
            }
        }
    }

    /// What nobody gave out, at every door.
    async fn strangers(&mut self) {
        let client = &mut self.owner.client;
        for path in ["/api/v1/me", "/api/v1/orders", "/api/v1/auth/refresh", "/nowhere"] {
            let stray = fresh("a-stray");
            let bearer = format!("Bearer {}", fresh("a bearer"));
            let basic = format!("Basic {}", tradewarden_seal::base64_encode(stray.as_bytes()));
            let cookie = format!("__Host-tw_sid={}", fresh("a cookie"));
            for headers in [
                [("authorization", bearer.as_str())],
                [("authorization", &basic)],
                [("cookie", &cookie)],
                [("x-tw-key", &stray)],
                [("x-forwarded-for", &stray)],
                [("accept", &stray)],
                [("content-type", &stray)],
                [("if-match", &stray)],
            ] {
                for path in [
                    format!("{path}?token={}", fresh("in-a-query")),
                    format!("{path}?{}=1", fresh("a-query")),
                    format!("{path}/{stray}"),
                ] {
                    let path = path.replace(' ', "-");
                    client.get(&path, &headers).await.unwrap();
                    let body = json!({ "secret": stray }).to_string();
                    client.post(&path, &headers, body).await.unwrap();
                }
            }
        }
        // By somebody who is known, in the address of what is not there.
        for place in ["orders", "webhooks", "signals", "orders?cursor=", "orders?limit="] {
            let at = if place.contains('?') { "" } else { "/" };
            let path = format!("/api/v1/{place}{at}{}", fresh("lost"));
            assert!([400, 404].contains(&self.owner.get(&path).await.status), "{path}");
        }
        // By a client of others, over HTTP/2, whose library logs frames.
        let stray = fresh("curl-in-a-query");
        let url = format!("{}/api/v1/auth/login?token={stray}", self.gateway.base_url());
        let ca = self.gateway.ready()["ca_file"].as_str().unwrap();
        let bearer = format!("Authorization: Bearer {}", fresh("curl with a bearer"));
        let cookie = format!("Cookie: __Host-tw_sid={}", fresh("curl with a cookie"));
        let body = json!({ "password": fresh("curl with a body") }).to_string();
        for version in ["--http2", "--http1.1"] {
            let args = ["--disable", "--silent", "--noproxy", "*", "--cacert", ca, version];
            let asked = ["-H", &bearer, "-H", &cookie, "--data", &body, &url];
            let output = Command::new("curl").args(args).args(asked).output().await.unwrap();
            assert!(output.status.success(), "{output:?}");
            let found = marks::found_in(&output.stdout);
            assert!(found.is_empty(), "{found:?}");
        }
    }

    /// Everything that is shown and handed out afterwards; the clients look at it themselves.
    async fn shown(&mut self) {
        let program = self.gateway.program().clone();
        program.json(&["alert", "test"]).await;
        until("both were told", async || {
            let asked = self.provider.asked();
            ["/alerts", "/services/"].iter().all(|at| asked.iter().any(|one| one.what.contains(at)))
        })
        .await;
        for asked in self.provider.asked() {
            let found = marks::found_in(asked.body.as_bytes());
            assert!(found.is_empty(), "{found:?}: {asked:?}");
        }
        for path in [
            "audit",
            "signals",
            "findings",
            "webhooks",
            "keys",
            "users",
            "orders",
            "me",
            "me/sessions",
            "me/factors",
            "alerts",
            "limits",
            "lockdown",
            "halts",
        ] {
            let answer = self.owner.get(&format!("/api/v1/{path}")).await;
            assert_eq!(answer.status, 200, "{path}");
        }
        for verb in ["signal", "order", "finding", "webhook", "key", "user"] {
            program.json(&[verb, "list"]).await;
        }
        program.json(&["config", "print"]).await;
        program.json(&["vault", "status"]).await;
        for (name, verb) in [("audit", ["audit", "export"]), ("lockdown", ["lockdown", "bundle"])] {
            let out = self.file(name);
            let written =
                program.run(&[&verb[..], &["--out", out.to_str().unwrap()]].concat()).await;
            assert_eq!(written.code, Some(0), "{written}");
            let found = marks::found_in(&fs::read(out).unwrap());
            assert!(found.is_empty(), "{name}: {found:?}");
        }
        let issue = ["ca", "issue", "--name", "reader", "--out", self.dir.path().to_str().unwrap()];
        let made = program.json(&issue).await;
        let read = |name: &str| fs::read_to_string(made[name].as_str().unwrap()).unwrap();
        let (chain, key) = (read("certificate_file"), read("key_file"));
        marks::see("a client's key", &key);
        let internal = self.gateway.ready()["internal_url"].as_str().unwrap();
        let ca = program.data().join("tls/internal-ca.pem");
        let mut reader = Client::new(internal, &ca).at_host("localhost", Some((&chain, &key)));
        let metrics = reader.get("/metrics", &[]).await.unwrap();
        assert!(metrics.status == 200 && metrics.body.len() > 1_000, "{metrics:?}");
    }

    /// The process itself: what its user can read of it, and what a crash would leave.
    fn process(&self) {
        let pid = &self.gateway.ready()["pid"];
        for name in ["cmdline", "environ"] {
            let found = marks::found_in(&fs::read(format!("/proc/{pid}/{name}")).unwrap());
            assert!(found.is_empty(), "{name}: {found:?}");
        }
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
    }

    async fn everything(&mut self) {
        self.people().await;
        self.hooks().await;
        self.keys().await;
        self.strangers().await;
        self.shown().await;
        self.process();
        let log = self.gateway.program().log();
        for target in ["TRACE ", " h2::", " tradewarden_web::", " tradewarden_engine::"] {
            assert!(log.contains(target), "{target} was not talkative");
        }
    }
}

#[tokio::test]
async fn secrets_are_nowhere_with_sqlite() {
    let mut house = House::open("masking-sqlite", "sqlite").await;
    house.everything().await;
    let looked_at = marks::look_through(&house.dir.data());
    for name in ["tradewarden.db", "tradewarden.db-wal", "paper.journal", "checkpoint"] {
        assert!(looked_at.iter().any(|path| path.ends_with(name)), "{name}: {looked_at:?}");
    }
    let out = house.file("backup");
    let backup = ["db", "backup", "--out", out.to_str().unwrap()];
    house.gateway.program().json(&backup).await;
    let found = marks::found_in(&fs::read(&out).unwrap());
    assert!(found.is_empty(), "in the backup: {found:?}");
    let ended = house.gateway.stop().await;
    assert_eq!(ended.code, Some(0), "{ended}");
}

#[tokio::test]
async fn secrets_are_nowhere_with_postgresql() {
    let database = TestDatabase::create().await;
    let mut house = House::open("masking-postgresql", database.url()).await;
    house.everything().await;
    for directory in database.files().await {
        assert!(!marks::look_through(&directory).is_empty(), "{}", directory.display());
    }
    let mut dump = Command::new("pg_dump");
    let dumped = dump.arg("--format=plain").arg(database.url()).output().await.unwrap();
    assert!(dumped.status.success() && dumped.stdout.len() > 10_000, "{dumped:?}");
    let found = marks::found_in(&dumped.stdout);
    assert!(found.is_empty(), "in the dump: {found:?}");
    let ended = house.gateway.stop().await;
    assert_eq!(ended.code, Some(0), "{ended}");
    database.drop_database().await;
}
