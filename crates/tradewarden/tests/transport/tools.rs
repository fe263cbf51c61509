//! Programs that others wrote, run to their end.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;
use tradewarden_testkit::process::{Ended, Gateway, Program, until};

/// The slowest of them asks for some hundred handshakes.
const ENDING: Duration = Duration::from_mins(3);

/// Runs `program` without anything to read.
pub(crate) async fn run(program: impl AsRef<Path>, args: &[&str]) -> Ended {
    let program = program.as_ref();
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    // A proxy of the machine's is no part of what is tested.
    for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
        command.env_remove(OsStr::new(name));
    }
    let output = timeout(ENDING, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{} took too long", program.display()));
    let output = output.unwrap_or_else(|error| {
        panic!("this test needs {} (`cargo xtask test` installs it): {error}", program.display())
    });
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// What the sealed entries of this kind say, oldest first.
pub(crate) async fn entries(program: &Program, event: &str) -> Vec<Value> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let bundle = program.data().with_extension(format!("{number}.jsonl"));
    let made = program.run(&["audit", "export", "--out", bundle.to_str().unwrap()]).await;
    assert_eq!(made.code, Some(0), "{made}");
    let text = std::fs::read_to_string(bundle).unwrap();
    let json = |text: &Value| serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap();
    text.lines()
        .skip(1)
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|entry| json(&entry["leaf"])["event"] == event)
        .map(|entry| json(&entry["payload"]))
        .collect()
}

/// The same, once there are so many.
pub(crate) async fn entries_when(program: &Program, event: &str, count: usize) -> Vec<Value> {
    until(event, async || entries(program, event).await.len() >= count).await;
    let entries = entries(program, event).await;
    assert_eq!(entries.len(), count, "{entries:?}");
    entries
}

/// A file of the gateway's own certificates, as text for a command line.
pub(crate) fn certificate_file(gateway: &Gateway, name: &str) -> String {
    let path: PathBuf = gateway.program().data().join("tls").join(name);
    path.into_os_string().into_string().unwrap()
}

/// The port of the public (`base_url`) or the internal listener (`internal_url`).
pub(crate) fn port(gateway: &Gateway, url: &str) -> String {
    let url = gateway.ready()[url].as_str().unwrap();
    url.rsplit_once(':').unwrap().1.to_owned()
}
