//! A mail server that others wrote (`aiosmtpd` of `PyPI`), and a gateway that sends its mails there.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tradewarden_seal::SystemRandomness;
use tradewarden_seal::certificate::{DAY_S, LocalAuthority};
use tradewarden_testkit::process::{Gateway, Program, QUICK_CALLERS, TestDir, until};

use crate::python::python_with;
use crate::someone::{Someone, success};

const PYPI: &str = "aiosmtpd==1.4.6";
const HEARING: Duration = Duration::from_mins(1);
const PASSWORD: &str = "sesame+open/1";

/// A mail server that runs.
pub(crate) struct Office {
    _child: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    port: u64,
}

/// A certificate authority of the test's, and a server's certificate of it for `localhost`, in files
/// of `dir` whose names begin with `name`.
pub(crate) fn issue(dir: &TestDir, name: &str) -> [PathBuf; 3] {
    #[expect(clippy::disallowed_methods, reason = "certificates are judged by the real time")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    let mut randomness = SystemRandomness::new();
    let authority = LocalAuthority::create("Mail test", now, &mut randomness).unwrap();
    let names = ["localhost".to_owned()];
    let issued = authority.issue_server(&names, now - DAY_S, now + DAY_S, &mut randomness).unwrap();
    let file = |what: &str, text: &str| {
        let path = dir.path().join(format!("{name}-{what}.pem"));
        std::fs::write(&path, text).unwrap();
        path
    };
    [
        file("ca", authority.certificate_pem()),
        file("certificate", &issued.chain_pem),
        file("key", issued.key_pem.expose()),
    ]
}

impl Office {
    /// A mail server with a certificate of the authority in `dir/mail-ca.pem`.
    pub(crate) async fn open(dir: &TestDir) -> Self {
        let [_, certificate, key] = issue(dir, "mail");
        let python = python_with(dir, &[PYPI]).await;
        let asked = json!({
            "port": 0, "certificate": certificate, "key": key, "user": "gateway",
            "password": PASSWORD,
        });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages/post_office.py");
        let mut command = Command::new(python);
        command.arg(script).arg(asked.to_string()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let orders = child.stdin.take().unwrap();
        let mut office = Self { _child: child, orders, lines, port: 0 };
        office.port = office.next("listening").await["port"].as_u64().unwrap();
        office
    }

    /// The configuration of a gateway that sends its mails there, and believes this authority.
    pub(crate) fn config(&self, dir: &TestDir, ca: &str) -> String {
        let file = dir.path().join("smtp-password");
        std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, closed).unwrap();
        format!(
            "{QUICK_CALLERS}[smtp]\nhost = \"localhost\"\nport = {}\nsecurity = \"starttls\"\n\
             username = \"gateway\"\npassword_file = \"smtp-password\"\n\
             from = \"Tradewarden <gateway@example.com>\"\nca_file = \"{ca}\"\n",
            self.port
        )
    }

    /// A demo that sends its mails there.
    pub(crate) async fn demo(&self, dir: &TestDir) -> Gateway {
        let config = self.config(dir, "mail-ca.pem");
        let program = Program::new(env!("CARGO_BIN_EXE_tradewarden"), dir.data(), &config);
        program.try_start("demo").await.unwrap_or_else(|ended| panic!("{ended}"))
    }

    /// Tells it how to go on.
    pub(crate) async fn tell(&mut self, mode: &str) {
        self.orders.write_all(format!("{mode}\n").as_bytes()).await.unwrap();
        assert_eq!(self.next("told").await["mode"], mode);
    }

    /// The next thing that it tells, which must be of this kind.
    pub(crate) async fn next(&mut self, event: &str) -> Value {
        let line = timeout(HEARING, self.lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("no {event} was heard")).unwrap();
        let told: Value = serde_json::from_str(&line.expect("it ended")).unwrap();
        assert_eq!(told["event"], event, "{told}");
        told
    }

    /// The next mail, which must be about this.
    pub(crate) async fn mail(&mut self, subject: &str) -> Value {
        let mail = self.next("mail").await;
        assert_eq!(mail["headers"]["subject"], format!("Tradewarden: {subject}"), "{mail}");
        mail
    }
}

/// Waits until the audit log has `count` entries of this event about messages, and returns what
/// they say, newest first. The owner must have shown a second factor.
pub(crate) async fn entries(owner: &mut Someone, event: &str, count: usize) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    until(event, async || {
        let page = success(&owner.get("/api/v1/audit?limit=200").await, 200);
        let items = page["items"].as_array().unwrap();
        let of_event = items.iter().filter(|entry| entry["leaf"]["event"] == event);
        found = of_event.cloned().collect();
        found.len() >= count
    })
    .await;
    assert_eq!(found.len(), count, "{found:?}");
    found
}
