//! Certificates that are exchanged while connections stay open, and what is told about them.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tradewarden_seal::certificate::DAY_S;
use tradewarden_seal::{CertificateFacts, LocalAuthority, SystemRandomness};
use tradewarden_testkit::process::{Client, Gateway, Program, TestDir, until};

use crate::door::BINARY;
use crate::tools::{certificate_file, entries, run};

const CONFIG: &str = "[tls]\ncertificate_file = \"server.pem\"\nkey_file = \"server.key\"\n";

/// An authority of the test's, and the owner's certificate files beside the data directory.
struct Owner<'d> {
    dir: &'d TestDir,
    authority: LocalAuthority,
    now_unix_s: i64,
}

impl<'d> Owner<'d> {
    fn new(dir: &'d TestDir) -> Self {
        #[expect(clippy::disallowed_methods, reason = "certificates are judged by the real time")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let now_unix_s = i64::try_from(now).unwrap();
        let mut randomness = SystemRandomness::new();
        let authority =
            LocalAuthority::create("Reload test", now_unix_s - 100 * DAY_S, &mut randomness);
        let owner = Self { dir, authority: authority.unwrap(), now_unix_s };
        std::fs::write(owner.file("ca.pem"), owner.authority.certificate_pem()).unwrap();
        owner
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a certificate that was made so many days ago and lives so many more into the files.
    fn renew(&self, days_ago: i64, days_left: i64) -> CertificateFacts {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let (begin, end) =
            (self.now_unix_s - days_ago * DAY_S, self.now_unix_s + days_left * DAY_S);
        let mut randomness = SystemRandomness::new();
        let made = self.authority.issue_server(&names, begin, end, &mut randomness).unwrap();
        self.put("server.pem", &made.chain_pem);
        self.put("server.key", made.key_pem.expose());
        CertificateFacts::from_pem(&made.chain_pem).unwrap()
    }

    fn put(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.file(name), text).unwrap();
        let closed = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.file(name), closed).unwrap();
    }
}

async fn hang_up(gateway: &Gateway) {
    let pid = gateway.ready()["pid"].to_string();
    assert_eq!(run("kill", &["-HUP", &pid]).await.code, Some(0));
}

/// The serial number of the certificate that this connection was made with.
fn serial(stream: &TlsStream<TcpStream>) -> String {
    let shown = &stream.get_ref().1.peer_certificates().unwrap()[0];
    CertificateFacts::from_der(shown).unwrap().serial
}

/// One more request on a kept connection, which must be answered on it.
async fn still_answers(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut more = [0; 4096];
        let count = stream.read(&mut more).await.unwrap();
        assert_ne!(count, 0, "closed: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&more[..count]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
}

/// The gauge of the public listener.
async fn ends_by_the_metrics(gateway: &Gateway) -> i64 {
    let file = |name: &str| certificate_file(gateway, name);
    let url = format!("{}/metrics", gateway.ready()["internal_url"].as_str().unwrap());
    let (ca, own, key) =
        (file("internal-ca.pem"), file("internal-client.pem"), file("internal-client.key"));
    let args = ["-s", "--cacert", &ca, "--cert", &own, "--key", &key, &url];
    let text = run("curl", &args).await.stdout;
    let name = "tradewarden_tls_cert_not_after_seconds{listener=\"public\"} ";
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

/// The findings of a code: severity, subject.
async fn findings(gateway: &Gateway, code: &str) -> Vec<(String, String)> {
    let listed = gateway.program().json(&["finding", "list"]).await;
    let items = listed["items"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    items
        .filter(|finding| finding["code"] == code)
        .map(|finding| (text(&finding["severity"]), text(&finding["subject"])))
        .collect()
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let dir = TestDir::new("transport-reload");
    let owner = Owner::new(&dir);
    let first = owner.renew(1, 80);
    let gateway = Program::new(BINARY, dir.data(), CONFIG).start().await;
    let client = Client::new(gateway.base_url(), &owner.file("ca.pem"));
    let mut kept = client.raw().await.unwrap();
    still_answers(&mut kept).await;
    assert_eq!(serial(&kept), first.serial);
    assert_eq!(ends_by_the_metrics(&gateway).await, first.not_after_unix_s);

    let second = owner.renew(0, 90);
    hang_up(&gateway).await;
    until("the new one is shown", async || {
        serial(&client.another().raw().await.unwrap()) == second.serial
    })
    .await;
    still_answers(&mut kept).await;
    assert_eq!(ends_by_the_metrics(&gateway).await, second.not_after_unix_s);
    until("it is in the log", async || {
        let entries = entries(gateway.program(), "cert.renewed").await;
        entries.iter().any(|entry| {
            entry["serial"] == second.serial.as_str()
                && entry["spki"] == second.spki_sha256.as_str()
                && entry["listener"] == "public"
                && entry["not_after"].is_string()
        })
    })
    .await;

    // A new certificate whose key has not come yet, then no certificate at all: the old one stays.
    let key = std::fs::read_to_string(owner.file("server.key")).unwrap();
    owner.renew(0, 70);
    owner.put("server.key", &key);
    hang_up(&gateway).await;
    until("the fault is told", async || {
        findings(&gateway, "certificate.unusable").await.len() == 1
    })
    .await;
    owner.put("server.pem", "nothing");
    hang_up(&gateway).await;
    still_answers(&mut kept).await;
    assert_eq!(serial(&client.another().raw().await.unwrap()), second.serial);
    assert_eq!(ends_by_the_metrics(&gateway).await, second.not_after_unix_s);
    let third = owner.renew(0, 60);
    hang_up(&gateway).await;
    until("what is whole again is shown", async || {
        serial(&client.another().raw().await.unwrap()) == third.serial
    })
    .await;
    still_answers(&mut kept).await;
    assert_eq!(findings(&gateway, "certificate.unusable").await.len(), 1, "told once a day");
    assert_eq!(findings(&gateway, "certificate.ending").await, []);
}

/// Nobody needs to say that the files are new.
#[tokio::test]
async fn replaced_files_are_seen_without_a_signal() {
    let dir = TestDir::new("transport-replaced");
    let owner = Owner::new(&dir);
    let first = owner.renew(1, 80);
    let gateway = Program::new(BINARY, dir.data(), CONFIG).start().await;
    let client = Client::new(gateway.base_url(), &owner.file("ca.pem"));
    assert_eq!(serial(&client.raw().await.unwrap()), first.serial);
    let second = owner.renew(0, 90);
    until("the new one is shown", async || {
        serial(&client.another().raw().await.unwrap()) == second.serial
    })
    .await;
    assert_eq!(findings(&gateway, "certificate.unusable").await, []);
}

/// README: `config check` says whether a start would be refused.
#[tokio::test]
async fn c25_config_check_loads_certificate_and_key() {
    let dir = TestDir::new("transport-config-check");
    let owner = Owner::new(&dir);
    owner.renew(1, 80);
    let key = std::fs::read_to_string(owner.file("server.key")).unwrap();
    let program = Program::new(BINARY, dir.data(), CONFIG);
    assert_eq!(program.run(&["config", "check"]).await.code, Some(0));
    owner.renew(1, 80);
    owner.put("server.key", &key);
    let refused = program.run(&["config", "check"]).await;
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("does not belong to the first certificate"), "{refused}");
}

#[tokio::test]
async fn people_are_told_that_a_certificate_ends() {
    let dir = TestDir::new("transport-ending");
    let owner = Owner::new(&dir);
    let old = owner.renew(85, 2);
    let gateway = Program::new(BINARY, dir.data(), CONFIG).start().await;
    until("it is told", async || !findings(&gateway, "certificate.ending").await.is_empty()).await;
    let told = |word: &str, serial: &str| (word.to_owned(), format!("public {serial} now"));
    assert_eq!(findings(&gateway, "certificate.ending").await, [told("critical", &old.serial)]);
    let alerts = gateway.program().json(&["alert", "list"]).await;
    assert_eq!(alerts["items"][0]["code"], "certificate.ending", "{alerts}");

    // A look more tells nothing more; the next step does, and so does another certificate.
    hang_up(&gateway).await;
    let near = owner.renew(60, 25);
    hang_up(&gateway).await;
    let expected = [
        ("warning".to_owned(), format!("public {} third", near.serial)),
        told("critical", &old.serial),
    ];
    until("of the other it is told as well", async || {
        findings(&gateway, "certificate.ending").await == expected
    })
    .await;
}
