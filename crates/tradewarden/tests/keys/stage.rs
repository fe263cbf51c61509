//! A demo gateway and its keys.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;
use tradewarden_testkit::process::{Gateway, Program, QUICK_CALLERS, TestDir};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_tradewarden");
const RUNNING: Duration = Duration::from_mins(3);

/// A key that the demo announced.
#[derive(Clone)]
pub(crate) struct DemoKey {
    pub(crate) id: String,
    pub(crate) algorithm: String,
    /// The file that holds what it signs with.
    pub(crate) file: PathBuf,
}

impl DemoKey {
    /// `--secret-file` or `--private-key-file`, and the file.
    pub(crate) fn options(&self) -> [&str; 2] {
        let option =
            if self.algorithm == "ed25519" { "--private-key-file" } else { "--secret-file" };
        [option, self.file.to_str().unwrap()]
    }
}

pub(crate) async fn demo(dir: &TestDir) -> (Gateway, Vec<DemoKey>) {
    begun(dir, "").await
}

/// One whose callers may ask for as much as they like.
pub(crate) async fn quick_demo(dir: &TestDir) -> (Gateway, Vec<DemoKey>) {
    begun(dir, QUICK_CALLERS).await
}

async fn begun(dir: &TestDir, settings: &str) -> (Gateway, Vec<DemoKey>) {
    let program = Program::new(BINARY, dir.data(), settings);
    let gateway = match program.try_start("demo").await {
        Ok(gateway) => gateway,
        Err(ended) => panic!("the demo did not start: {ended}"),
    };
    let keys = keys(dir, gateway.ready());
    (gateway, keys)
}

/// The announced keys, each in a file.
pub(crate) fn keys(dir: &TestDir, ready: &Value) -> Vec<DemoKey> {
    let announced = ready["api_keys"].as_array().unwrap();
    announced
        .iter()
        .map(|key| {
            let text = |name: &str| key[name].as_str().map(str::to_owned);
            let file = match (text("secret"), text("private_key_file")) {
                (Some(secret), None) => private_file(dir, "secret", &secret),
                (None, Some(file)) => PathBuf::from(file),
                other => panic!("{other:?}"),
            };
            DemoKey { id: text("key_id").unwrap(), algorithm: text("algorithm").unwrap(), file }
        })
        .collect()
}

pub(crate) fn private_file(dir: &TestDir, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Runs somebody else's program to its end.
pub(crate) async fn run(program: &Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program);
    command.args(args).envs(environment.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(RUNNING, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{args:?} took more than {RUNNING:?}"));
    output.unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// The same; it must go well. What it printed.
pub(crate) async fn run_well(
    program: &Path,
    args: &[&str],
    environment: &[(&str, &str)],
) -> String {
    let output = run(program, args, environment).await;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{} {args:?} failed:\n{printed}{}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    printed
}
