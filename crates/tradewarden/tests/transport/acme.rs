//! Certificates by ACME, from a server that others wrote: `pebble`, with one nonce in twenty refused
//! and certificates that live for seconds, and `pebble-challtestsrv` in the place of the world's DNS.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use tradewarden_seal::certificate::DAY_S;
use tradewarden_seal::{CertificateFacts, LocalAuthority, SystemRandomness};
use tradewarden_testkit::marks;
use tradewarden_testkit::process::{Client, Ended, Gateway, Program, TestDir, log_in, until};

use crate::door::{BINARY, Door};
use crate::tools::{entries, entries_when, run};

const NAMES: [&str; 2] = ["trade.example.com", "hooks.example.com"];
/// How long pebble's certificates live, in seconds: renewed with a third left.
const LIFE_S: u32 = 24;

/// An ACME server and the DNS that it asks.
struct Pebble {
    _server: Child,
    _names: Child,
    directory: TestPaths,
}

/// What is decided before anything runs.
struct TestPaths {
    port: u16,
    /// Where the gateway is told that the directory is.
    directory_port: u16,
    management_port: u16,
    names_port: u16,
    ca_file: PathBuf,
}

/// A port that nothing listens at.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl TestPaths {
    /// Makes the server's own certificate, so that the gateway can be told what to believe.
    fn new(dir: &TestDir) -> Self {
        #[expect(clippy::disallowed_methods, reason = "certificates are judged by the real time")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let now = i64::try_from(now).unwrap();
        let mut randomness = SystemRandomness::new();
        let authority = LocalAuthority::create("Pebble's own", now, &mut randomness).unwrap();
        let name = ["localhost".to_owned()];
        let made =
            authority.issue_server(&name, now - DAY_S, now + DAY_S, &mut randomness).unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).unwrap();
            dir.path().join(name)
        };
        file("pebble.pem", &made.chain_pem);
        file("pebble.key", made.key_pem.expose());
        let port = free_port();
        Self {
            port,
            directory_port: port,
            management_port: free_port(),
            names_port: free_port(),
            ca_file: file("pebble-ca.pem", authority.certificate_pem()),
        }
    }

    fn config(&self, challenge: &str, more: &str) -> String {
        format!(
            "http_listen = \"127.0.0.1:0\"\n[acme]\n\
             directory = \"https://localhost:{}/dir\"\ncontact = [\"mailto:ops@example.com\"]\n\
             domains = [\"{}\", \"{}\"]\nca_file = \"pebble-ca.pem\"\n\
             challenge = \"{challenge}\"\nterms_agreed = true\n{more}",
            self.directory_port, NAMES[0], NAMES[1]
        )
    }
}

impl Pebble {
    /// Starts both; challenges are looked for at these ports of this machine.
    async fn start(dir: &TestDir, directory: TestPaths, http_port: u16, tls_port: u16) -> Self {
        let config = dir.path().join("pebble.json");
        let text = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", directory.port),
            "managementListenAddress": format!("127.0.0.1:{}", directory.management_port),
            "certificate": dir.path().join("pebble.pem"),
            "privateKey": dir.path().join("pebble.key"),
            "httpPort": http_port, "tlsPort": tls_port,
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
            "certificateValidityPeriod": LIFE_S,
        }});
        std::fs::write(&config, text.to_string()).unwrap();
        let log = |name: &str| Stdio::from(std::fs::File::create(dir.path().join(name)).unwrap());
        let dns = format!("127.0.0.1:{}", directory.names_port);
        let names = Command::new("pebble-challtestsrv")
            .args(["-dns01", &dns, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-management", &format!("127.0.0.1:{}", free_port())])
            .stdin(Stdio::null())
            .stdout(log("names.log"))
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("this test needs pebble (`cargo xtask test` installs it)");
        let server = Command::new("pebble")
            .args(["-strict", "-config", config.to_str().unwrap(), "-dnsserver", &dns])
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "5")])
            // Every order asks anew whether the names are ours.
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdin(Stdio::null())
            .stdout(log("pebble.log"))
            .stderr(log("pebble.err"))
            .kill_on_drop(true)
            .spawn()
            .expect("this test needs pebble (`cargo xtask test` installs it)");
        let at = format!("127.0.0.1:{}", directory.port);
        until("pebble listens", async || TcpStream::connect(&at).await.is_ok()).await;
        Self { _server: server, _names: names, directory }
    }

    /// Writes the root under which its certificates are issued into a file.
    async fn root(&self, dir: &TestDir) -> PathBuf {
        let (ca, file) = (self.directory.ca_file.to_str().unwrap(), dir.path().join("root.pem"));
        let url = format!("https://localhost:{}/roots/0", self.directory.management_port);
        let out = file.to_str().unwrap();
        let got = run("curl", &["-sS", "--fail", "--cacert", ca, "--output", out, &url]).await;
        assert_eq!(got.code, Some(0), "{got}");
        file
    }
}

/// A script in front of pebble that has what it lacks: renewal information.
struct Suggestions {
    _script: Child,
    orders: Lines<BufReader<ChildStdout>>,
}

impl Suggestions {
    async fn start(dir: &TestDir, paths: &TestPaths) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transport/renewal.py");
        let mut child = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(std::fs::File::create(dir.path().join("renewal.err")).unwrap()))
            .kill_on_drop(true)
            .spawn()
            .expect("this test needs python3");
        let asked = json!({
            "port": paths.directory_port, "pebble_port": paths.port, "ca_file": paths.ca_file,
            "certificate": dir.path().join("pebble.pem"), "key": dir.path().join("pebble.key"),
        });
        let mut input = child.stdin.take().unwrap();
        input.write_all(asked.to_string().as_bytes()).await.unwrap();
        drop(input);
        let orders = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _script: child, orders }
    }

    /// The next order that replaced a certificate: its name, and what was answered.
    async fn next(&mut self) -> (String, u64) {
        let line = timeout(Duration::from_mins(1), self.orders.next_line()).await;
        let line = line.expect("an order in time").unwrap().expect("the script goes on");
        let order: Value = serde_json::from_str(&line).unwrap();
        (order["replaces"].as_str().unwrap().to_owned(), order["status"].as_u64().unwrap())
    }
}

fn port_of(gateway: &Gateway, url: &str) -> u16 {
    let url = gateway.ready()[url].as_str().unwrap();
    url.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// What the public listener shows to whoever trusts this root, under this name.
async fn shown(gateway: &Gateway, root: &std::path::Path, name: &str) -> Option<CertificateFacts> {
    let client = Client::new(gateway.base_url(), root).at_host(name, None);
    let stream = client.raw().await.ok()?;
    let leaf = &stream.get_ref().1.peer_certificates()?[0];
    Some(CertificateFacts::from_der(leaf).unwrap())
}

/// A gateway with this configuration, and a certificate of pebble's that a client believes; then the
/// one after it, with the same connection still open.
async fn first_and_second(
    dir: &TestDir,
    challenge: &str,
    more: &str,
) -> (Gateway, Pebble, [CertificateFacts; 2]) {
    let paths = TestPaths::new(dir);
    let program = Program::new(BINARY, dir.data(), &paths.config(challenge, more));
    let gateway = program.start().await;
    let (http, tls) = (port_of(&gateway, "http_url"), port_of(&gateway, "base_url"));
    // The gateway has tried already, in vain; it tries again.
    let pebble = Pebble::start(dir, paths, http, tls).await;
    let root = pebble.root(dir).await;
    until("a certificate comes", async || shown(&gateway, &root, NAMES[0]).await.is_some()).await;
    let first = shown(&gateway, &root, NAMES[0]).await.unwrap();
    let mut names = first.dns_names.clone();
    names.sort_unstable();
    assert_eq!(names, ["hooks.example.com", "trade.example.com"]);
    assert!(shown(&gateway, &root, NAMES[1]).await.is_some());
    until("it is renewed", async || {
        let now = shown(&gateway, &root, NAMES[0]).await;
        now.is_some_and(|now| now.serial != first.serial)
    })
    .await;
    let second = shown(&gateway, &root, NAMES[0]).await.unwrap();
    // Two thirds of its life after it began, and not at its end.
    let renewed_after = second.not_before_unix_s - first.not_before_unix_s;
    assert!((14..24).contains(&renewed_after), "{renewed_after} s");
    (gateway, pebble, [first, second])
}

async fn renewals(gateway: &Gateway, serial: &str) -> usize {
    let entries = entries(gateway.program(), "cert.renewed").await;
    entries.iter().filter(|entry| entry["serial"] == serial).count()
}

async fn curl(args: &[&str]) -> Ended {
    run("curl", &[&["--disable", "-sS", "-i", "--max-time", "30"], args].concat()).await
}

#[tokio::test]
async fn http_01_brings_a_certificate_and_the_next_one() {
    let dir = TestDir::new("transport-http01");
    let (gateway, pebble, [first, second]) = first_and_second(&dir, "http-01", "").await;
    assert_ne!(first.spki_sha256, second.spki_sha256, "a new key for a new certificate");
    for facts in [&first, &second] {
        until("it is in the log", async || renewals(&gateway, &facts.serial).await == 1).await;
    }
    let mode = std::fs::metadata(dir.data().join("acme/certificate.pem")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o600);
    // The account is in the vault, once, and in no file.
    assert!(!dir.data().join("acme/account.json").exists());
    assert_eq!(entries(gateway.program(), "acme.account_kept").await.len(), 1);
    // After a restart it is there at once.
    let root = dir.path().join("root.pem");
    let program = gateway.program().clone();
    assert_eq!(gateway.stop().await.code, Some(0));
    drop(pebble);
    let gateway = program.start().await;
    // It may have ended meanwhile; whose it is can be seen all the same.
    let port = port_of(&gateway, "base_url");
    let at = format!("localhost:{port}");
    let args = ["s_client", "-connect", &at, "-servername", NAMES[0], "-showcerts"];
    let seen = run("openssl", &args).await;
    assert!(seen.stdout.contains("Pebble Intermediate"), "{seen}");
    assert_eq!(entries(gateway.program(), "acme.account_kept").await.len(), 1, "the same account");
    assert!(root.exists());
}

/// A pin that the authority's certificate does not have keeps us from speaking to it at all; one that it
/// has does not.
#[tokio::test]
async fn pins_hold_for_the_authority_too() {
    let dir = TestDir::new("transport-acme-pins");
    let paths = TestPaths::new(&dir);
    let pem = std::fs::read_to_string(dir.path().join("pebble.pem")).unwrap();
    let own = CertificateFacts::from_pem(&pem).unwrap().spki_sha256;
    let backup = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let pins = |pin: &str| format!("[outbound.pins]\n\"localhost\" = [\"{pin}\", \"{backup}\"]\n");
    let wrong = pins("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    let program = Program::new(BINARY, dir.data(), &paths.config("http-01", &wrong));
    // Challenges are not what this is about: they find nobody.
    let config = paths.config("http-01", "");
    let _pebble = Pebble::start(&dir, paths, free_port(), free_port()).await;
    let gateway = program.start().await;
    until("it is told", async || {
        let list = program.json(&["finding", "list"]).await;
        let mut items = list["items"].as_array().unwrap().iter();
        items.any(|one| one["detail"].as_str().unwrap().contains("certificate"))
    })
    .await;
    assert!(entries(&program, "acme.account_kept").await.is_empty());
    assert_eq!(gateway.stop().await.code, Some(0));
    let again = Program::new(BINARY, dir.data(), &format!("{config}{}", pins(&own)));
    let gateway = again.start().await;
    until("it is spoken to", async || !entries(&again, "acme.account_kept").await.is_empty()).await;
    assert_eq!(gateway.stop().await.code, Some(0));
}

/// An account that lies in a file is moved into the vault at a start, though nobody answers at the
/// authority; the file goes, and its key is in the clear nowhere.
#[tokio::test]
async fn the_account_of_a_file_is_moved_into_the_vault() {
    let dir = TestDir::new("transport-account");
    let paths = TestPaths::new(&dir);
    let program = Program::new(BINARY, dir.data(), &paths.config("http-01", ""));
    assert_eq!(program.start().await.stop().await.code, Some(0));
    let mut randomness = SystemRandomness::new();
    let key = tradewarden_seal::certificate::new_certificate_key(&mut randomness).unwrap();
    let lines = key.expose().lines().filter(|line| !line.starts_with("-----"));
    let der = tradewarden_seal::base64_decode(&lines.collect::<String>()).unwrap();
    let key = tradewarden_seal::base64url_encode(&der);
    marks::see("the key of an account", &key);
    let directory = format!("https://localhost:{}/dir", paths.directory_port);
    let file = dir.data().join("acme/account.json");
    let text = json!({ "directory": directory, "credentials": {
        "id": "https://localhost/acct/1", "key_pkcs8": key, "directory": directory,
    }});
    std::fs::write(&file, text.to_string()).unwrap();
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, closed).unwrap();

    let gateway = program.start().await;
    until("it is moved", async || !file.exists()).await;
    until("it is told", async || entries(&program, "acme.account_kept").await.len() == 1).await;
    let status = program.json(&["vault", "status"]).await;
    let keys = status["keys"].as_array().unwrap();
    assert!(keys.iter().any(|key| key["purpose"] == "certificates"), "{status}");
    assert!(!marks::look_through(&dir.data()).is_empty());
    assert_eq!(gateway.stop().await.code, Some(0));
}

#[tokio::test]
async fn tls_alpn_01_brings_a_certificate_and_the_next_one_with_the_same_key() {
    let dir = TestDir::new("transport-alpn");
    let (gateway, _pebble, [first, second]) =
        first_and_second(&dir, "tls-alpn-01", "reuse_key = true\n").await;
    assert_eq!(first.spki_sha256, second.spki_sha256, "pinned clients go on");
    // A handshake for a challenge that nobody answers gets nothing.
    let at = format!("localhost:{}", port_of(&gateway, "base_url"));
    let args = ["s_client", "-connect", &at, "-servername", NAMES[0], "-alpn", "acme-tls/1"];
    let refused = run("openssl", &args).await;
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("no application protocol"), "{refused}");
}

/// RFC 9773: the suggested window comes before two thirds of the life, the order names what it replaces,
/// and when something else has replaced that already, a plain order follows.
#[tokio::test]
async fn the_authority_suggests_when_to_renew() {
    let dir = TestDir::new("transport-ari");
    let mut paths = TestPaths::new(&dir);
    paths.directory_port = free_port();
    let mut suggestions = Suggestions::start(&dir, &paths).await;
    let program = Program::new(BINARY, dir.data(), &paths.config("tls-alpn-01", ""));
    let gateway = program.start().await;
    let (http, tls) = (port_of(&gateway, "http_url"), port_of(&gateway, "base_url"));
    let pebble = Pebble::start(&dir, paths, http, tls).await;
    let root = pebble.root(&dir).await;
    let mut seen: Vec<CertificateFacts> = Vec::new();
    until("three certificates come", async || {
        if let Some(now) = shown(&gateway, &root, NAMES[0]).await
            && seen.last().is_none_or(|last| last.serial != now.serial)
        {
            seen.push(now);
        }
        seen.len() == 3
    })
    .await;
    for (before, after) in [(&seen[0], &seen[1]), (&seen[1], &seen[2])] {
        let renewed_after = after.not_before_unix_s - before.not_before_unix_s;
        assert!((1..14).contains(&renewed_after), "{renewed_after} s");
    }
    for (replaced, status) in [(&seen[0], 201), (&seen[1], 409)] {
        assert_eq!(suggestions.next().await, (replaced.renewal_id.clone().unwrap(), status));
    }
}

/// standards 2.11: port 80 answers challenges, sends browsers to TLS, and refuses programs instead of
/// redirecting them; and it never speaks of HSTS (RFC 6797 section 7.2).
#[tokio::test]
async fn port_80_tells_nothing_and_takes_nothing() {
    let dir = TestDir::new("transport-port80");
    let config = "http_listen = \"127.0.0.1:0\"\n";
    let program = Program::new(BINARY, dir.data(), config);
    let gateway = program.try_start("demo").await.unwrap();
    let door = Door::of(&gateway, &gateway.ready()["webhook"]);
    let base = gateway.ready()["http_url"].as_str().unwrap().to_owned();
    let at = |path: &str| format!("{base}{path}");
    let hook = at(&format!("{}?secret={}", door.path, door.secret));
    let signal = r#"{"action":"BUY"}"#;
    let large = "x".repeat(100_000);
    for (status, args) in [
        ("403 ", &["--data", signal, &hook][..]),
        ("403 ", &["--data", &large, &hook]),
        ("403 ", &[&hook]),
        ("403 ", &[&at("/api/v1/orders")]),
        ("403 ", &[&at("/metrics")]),
        ("403 ", &[&at("/hooks/x")]),
        ("403 ", &["--request", "POST", &at("/")]),
        ("403 ", &["--request", "DELETE", &at("/.well-known/acme-challenge/x")]),
        ("404 ", &[&at("/.well-known/acme-challenge/none")]),
        ("404 ", &["--path-as-is", &at("/.well-known/acme-challenge/../../data/kek")]),
        ("308 ", &[&at("/")]),
        ("308 ", &["--head", &at("/setup?token=marked")]),
    ] {
        let answer = curl(args).await;
        let head = answer.stdout.to_ascii_lowercase();
        let about = format!("{args:.80?}: {answer:.1000}");
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{about}");
        assert!(!head.contains("strict-transport-security"), "{about}");
        assert!(head.contains("connection: close\r\n"), "{about}");
        assert!(!head.contains("marked") && !head.contains(&door.secret), "{about}");
        assert_eq!(head.contains("location:"), status == "308 ", "{about}");
        if status == "403 " {
            assert!(head.contains("\"code\":\"request.unprotected\""), "{about}");
        }
    }
    let moved = curl(&[&at("/setup?token=marked")]).await;
    let location = format!("location: {}/setup\r\n", gateway.base_url());
    assert!(moved.stdout.contains(&location), "{moved}");
    let orders = gateway.program().json(&["order", "list"]).await;
    assert_eq!(orders["items"].as_array().unwrap().len(), 0, "nothing was traded");
    assert!(!gateway.program().log().contains(&door.secret));
}

/// standards 2.11: a webhook's secret that is seen in clear text is void, and people are told; a wrong
/// one is answered alike and changes nothing.
#[tokio::test]
async fn standards_2_11_a_secret_in_clear_text_is_revoked() {
    let dir = TestDir::new("transport-clear-text");
    let program = Program::new(BINARY, dir.data(), "http_listen = \"127.0.0.1:0\"\n");
    let gateway = program.try_start("demo").await.unwrap();
    let ca = gateway.ready()["ca_file"].as_str().unwrap().to_owned();
    let webhook = gateway.ready()["webhook"]["id"].as_str().unwrap().to_owned();
    let plain = gateway.ready()["http_url"].as_str().unwrap().to_owned();
    let send = async |base: &str, door: &Door, secret: &str, in_query: bool, id: &str| -> String {
        let body = format!("{{\"action\":\"BUY\",\"id\":\"{id}\"}}");
        let (url, header) = if in_query {
            (format!("{base}{}?secret={secret}", door.path), "x-none: 1".to_owned())
        } else {
            (format!("{base}{}", door.path), format!("x-webhook-secret: {secret}"))
        };
        let answer = curl(&["--cacert", &ca, "-H", &header, "--data", &body, &url]).await;
        let line = answer.stdout.lines().next().unwrap_or_default();
        line.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let program = gateway.program();
    let mut door = Door::of(&gateway, &gateway.ready()["webhook"]);
    for (round, in_query) in [(1_usize, false), (2, true)] {
        let (wrong, right) = (format!("{}x", door.secret), door.secret.clone());
        assert_eq!(send(&plain, &door, &wrong, in_query, "a").await, "403");
        let before = format!("before-{round}");
        assert_ne!(send(gateway.base_url(), &door, &right, false, &before).await, "401");
        assert_eq!(entries(program, "webhook.secret_revoked").await.len(), round - 1);

        assert_eq!(send(&plain, &door, &right, in_query, "b").await, "403");
        assert_eq!(send(gateway.base_url(), &door, &right, false, "after").await, "401");
        assert_eq!(send(&plain, &door, &right, in_query, "b").await, "403");
        assert_eq!(entries_when(program, "webhook.secret_revoked", round).await.len(), round);
        for list in ["finding", "alert"] {
            let listed = program.json(&[list, "list"]).await;
            let mut told = listed["items"].as_array().unwrap().iter();
            let is_told = told.any(|one| {
                one["code"] == "webhook.clear_text"
                    && one["severity"] == "critical"
                    && one["subject"] == webhook.as_str()
            });
            assert!(is_told, "{list}: {listed}");
        }
        let rotated = program.json(&["webhook", "rotate", &webhook]).await;
        door.secret = rotated["secret"].as_str().unwrap().to_owned();
        let after = format!("rotated-{round}");
        assert_ne!(send(gateway.base_url(), &door, &door.secret, false, &after).await, "401");
    }
    assert!(!program.log().contains(&door.secret));
}

/// A person's token that came without TLS is one that others have: its session ends, and no other.
#[tokio::test]
async fn standards_2_11_a_token_in_clear_text_ends_its_session() {
    let dir = TestDir::new("transport-clear-token");
    let program = Program::new(BINARY, dir.data(), "http_listen = \"127.0.0.1:0\"\n");
    let gateway = program.try_start("demo").await.unwrap();
    let ca = gateway.ready()["ca_file"].as_str().unwrap().to_owned();
    let plain = gateway.ready()["http_url"].as_str().unwrap().to_owned();
    let mut client = gateway.client();
    let (seen, other) = (
        log_in(&mut client, &gateway.ready()["owner"]).await,
        log_in(&mut client, &gateway.ready()["owner"]).await,
    );
    let get = async |base: &str, bearer: &str| -> String {
        let (header, url) = (format!("authorization: {bearer}"), format!("{base}/api/v1/me"));
        let answer = curl(&["--cacert", &ca, "-H", &header, &url]).await;
        let line = answer.stdout.lines().next().unwrap_or_default();
        line.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let base = gateway.base_url();
    assert_eq!(get(&plain, &format!("{seen}x")).await, "403");
    assert_eq!(get(base, &seen).await, "200");
    assert_eq!(get(&plain, &seen).await, "403");
    assert_eq!(get(base, &seen).await, "401");
    assert_eq!(get(base, &other).await, "200");
    assert_eq!(entries_when(gateway.program(), "session.ended", 1).await.len(), 1);
    let listed = gateway.program().json(&["finding", "list"]).await;
    let mut told = listed["items"].as_array().unwrap().iter();
    assert!(told.any(|one| one["code"] == "session.clear_text"), "{listed}");
    gateway.stop().await;
}
