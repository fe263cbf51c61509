//! The real program in a test: started, asked, killed.
//!
//! ```text
//!   TestDir/           gone when the test passes, kept and named when it fails
//!     data/            --data
//!     data.toml        --config
//!     data.log         standard error of every process, one after the other
//! ```
//!
//! [`Program`] is an installation, running or not: `run` carries out one command, `start` begins
//! the gateway, `spawn` any other process that goes on. [`Gateway`] is a gateway that is ready;
//! [`Client`] is one kept HTTPS connection to it. Everything has a deadline, and a process dies
//! with the value that stands for it, also when the test panics. Secrets that pass are marks, and
//! looked for in everything that a process leaves: see [`crate::marks`].

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test whose processes do not do as they are told must fail, and say why"
)]

mod client;
mod owner;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout, timeout_at};

use crate::marks;

pub use client::{Answer, Client, Unanswered};
pub use owner::{QUICK_CALLERS, Session, log_in, log_in_with_factor, totp_code};

/// How long a process may take to begin, to end, or to carry out one command.
const PROCESS_DEADLINE: Duration = Duration::from_mins(1);
/// How often [`until`] looks.
const LOOK: Duration = Duration::from_millis(10);
/// How much of a log stands in a failure's message, in bytes.
const LOG_SHOWN: usize = 6_000;

/// A directory for one test.
#[derive(Debug)]
pub struct TestDir {
    root: PathBuf,
}

impl TestDir {
    /// Make a closed directory of its own for the test of this name.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tradewarden-{name}-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        // A process of the same id may have failed here long ago.
        if root.exists() {
            fs::remove_dir_all(&root).expect("an old test directory can be removed");
        }
        fs::create_dir_all(&root).expect("a test directory can be made");
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).expect("and closed");
        Self { root }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The data directory in it, which does not exist before the program makes it.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }
}

impl Drop for TestDir {
    #[expect(clippy::print_stderr, reason = "who looks into the failure must find the data")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for you: {}", self.root.display());
        } else {
            let _left_for_the_system = fs::remove_dir_all(&self.root);
        }
    }
}

/// How a process or a command ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it said on standard output.
    pub stdout: String,
    /// What it said on standard error.
    pub stderr: String,
}

impl Ended {
    /// Its standard output as JSON, of a command that went well.
    ///
    /// # Panics
    ///
    /// When its exit code is not 0, or what it said is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, stdout, stderr } = self;
        write!(f, "exit code {code:?}\nstandard output: {stdout}\nstandard error: {stderr}")
    }
}

/// The program with its data directory and configuration, whether it runs or not.
#[derive(Debug, Clone)]
pub struct Program {
    binary: PathBuf,
    data: PathBuf,
}

impl Program {
    /// The program at `binary` (`env!("CARGO_BIN_EXE_tradewarden")`) on this data directory, with
    /// a configuration file of this TOML text. Nothing runs yet.
    ///
    /// # Panics
    ///
    /// When the configuration cannot be written.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>, data: impl Into<PathBuf>, config: &str) -> Self {
        let program = Self { binary: binary.into(), data: data.into() };
        let path = program.config();
        marks::see_configuration(&path, config);
        fs::write(&path, config).expect("the configuration can be written");
        // It may hold a database password.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("and closed");
        program
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.data.with_extension("toml")
    }

    /// What every process has said on standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.data.with_extension("log")).unwrap_or_default()
    }

    /// The end of [`Self::log`].
    fn log_end(&self) -> String {
        let log = self.log();
        let from = log.ceil_char_boundary(log.len().saturating_sub(LOG_SHOWN));
        log.get(from..).unwrap_or_default().to_owned()
    }

    /// The command line `args`, with data directory and configuration.
    fn command(&self, args: &[&str]) -> Command {
        marks::see_options(args);
        let mut command = Command::new(&self.binary);
        command.args(args).arg("--data").arg(&self.data).arg("--config").arg(self.config());
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Carry out one command to its end.
    ///
    /// # Panics
    ///
    /// When it has not ended in time.
    pub async fn run(&self, args: &[&str]) -> Ended {
        let output = timeout(PROCESS_DEADLINE, self.command(args).output()).await;
        let output = output.unwrap_or_else(|_| panic!("{args:?} took too long"));
        let output = output.expect("the program can be started");
        marks::look_at_output(&output.stdout, &output.stderr);
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Carry out one command with `--json` that must go well, and return what it says.
    ///
    /// # Panics
    ///
    /// When it does not go well.
    pub async fn json(&self, args: &[&str]) -> Value {
        let ended = self.run(&[args, &["--json"]].concat()).await;
        assert_eq!(ended.code, Some(0), "{args:?}: {ended}");
        ended.json()
    }

    /// Begin a process that goes on.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(&self, args: &[&str]) -> Process {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::from(self.log_file()));
        let mut child = command.spawn().expect("the program can be started");
        let stdout = BufReader::new(child.stdout.take().expect("standard output is piped"));
        Process { child, stdout, program: self.clone() }
    }

    /// Begin the paper exchange as a process of its own, and wait until it listens.
    ///
    /// # Panics
    ///
    /// When it does not begin in time.
    pub async fn start_paper(&self) -> Process {
        let paper = self.spawn(&["paper-broker"]);
        let socket = self.data.join("paper.sock");
        until("the paper exchange listens", async || UnixStream::connect(&socket).await.is_ok())
            .await;
        paper
    }

    /// Begin `serve` on free ports and wait until it is ready.
    ///
    /// # Panics
    ///
    /// When it does not become ready.
    pub async fn start(&self) -> Gateway {
        match self.try_start("serve").await {
            Ok(gateway) => gateway,
            Err(ended) => panic!("the gateway did not start: {ended}"),
        }
    }

    /// Begin `serve` or `demo` on free ports and wait until it is ready or has ended.
    ///
    /// # Panics
    ///
    /// When it does neither in time, or says something else than the one JSON object.
    pub async fn try_start(&self, verb: &str) -> Result<Gateway, Ended> {
        let free = "127.0.0.1:0";
        let args = [verb, "--listen", free, "--internal-listen", free, "--json"];
        let mut process = self.spawn(&args);
        let mut line = String::new();
        let read = timeout(PROCESS_DEADLINE, process.stdout.read_line(&mut line)).await;
        let read = read.unwrap_or_else(|_| panic!("not ready in time: {}", self.log_end()));
        if read.expect("standard output can be read") == 0 {
            return Err(process.wait().await);
        }
        let ready: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        marks::see_json(&ready);
        Ok(Gateway { process, ready })
    }

    /// Looks for marks in the log and in the data directory.
    fn look_through(&self) {
        marks::look_through_log(&self.log());
        marks::look_through(&self.data);
    }

    fn log_file(&self) -> File {
        let path = self.data.with_extension("log");
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(0o600).open(path);
        file.expect("the log can be opened")
    }
}

/// A process that goes on; it is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
    program: Program,
}

impl Process {
    /// Send SIGKILL and wait for the end: nothing is finished, nothing is flushed.
    ///
    /// # Panics
    ///
    /// When it cannot be killed, or has ended by itself before.
    pub async fn kill9(mut self) {
        let by_itself = self.child.try_wait().expect("a child can be asked");
        assert!(by_itself.is_none(), "ended by itself: {by_itself:?}: {}", self.program.log_end());
        timeout(PROCESS_DEADLINE, self.child.kill())
            .await
            .expect("SIGKILL ends a process")
            .expect("a process of ours can be killed");
    }

    /// The same where it may have ended by itself.
    ///
    /// # Panics
    ///
    /// When it cannot be killed.
    pub async fn kill9_if_it_runs(mut self) {
        timeout(PROCESS_DEADLINE, self.child.kill())
            .await
            .expect("SIGKILL ends a process")
            .expect("a process of ours can be killed");
    }

    /// Send SIGTERM, and do not wait.
    ///
    /// # Panics
    ///
    /// When the signal cannot be sent.
    pub async fn terminate(&self) {
        let Some(pid) = self.child.id() else { panic!("it has ended already") };
        // While there is a write-ahead log: a clean end folds it into the database.
        self.program.look_through();
        let sent = Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await;
        assert!(sent.expect("there is a kill command").success(), "SIGTERM was not sent");
    }

    /// Wait for the end.
    ///
    /// # Panics
    ///
    /// When it does not come in time.
    pub async fn wait(mut self) -> Ended {
        let mut stdout = String::new();
        let end = async {
            self.stdout.read_to_string(&mut stdout).await.expect("standard output can be read");
            self.child.wait().await.expect("a child can be waited for")
        };
        let status = timeout(PROCESS_DEADLINE, end).await;
        let status = status.unwrap_or_else(|_| panic!("no end: {}", self.program.log_end()));
        Ended { code: status.code(), stdout, stderr: self.program.log_end() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test that has failed already says why by itself.
        if !std::thread::panicking() {
            let _ended_already = self.child.start_kill();
            self.program.look_through();
        }
    }
}

/// A gateway that is ready; it is killed when this is dropped.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    ready: Value,
}

impl Gateway {
    /// Start `serve` with the program at `binary` on this data directory, with a configuration of
    /// this TOML text, and wait until it is ready.
    ///
    /// # Panics
    ///
    /// When it does not become ready.
    pub async fn start(binary: impl Into<PathBuf>, data: impl Into<PathBuf>, config: &str) -> Self {
        Program::new(binary, data, config).start().await
    }

    /// The JSON object that it printed when it was ready.
    #[must_use]
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// `https://127.0.0.1:PORT`.
    ///
    /// # Panics
    ///
    /// When it did not say so.
    #[must_use]
    pub fn base_url(&self) -> &str {
        self.ready.get("base_url").and_then(Value::as_str).expect("base_url")
    }

    /// The installation.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.process.program
    }

    /// A client that trusts its CA. It connects when it is first used.
    ///
    /// # Panics
    ///
    /// When the CA's file cannot be read.
    #[must_use]
    pub fn client(&self) -> Client {
        let ca = self.ready.get("ca_file").and_then(Value::as_str).expect("ca_file");
        Client::new(self.base_url(), Path::new(ca))
    }

    /// Carry out one command while it runs.
    ///
    /// # Panics
    ///
    /// When it has not ended in time.
    pub async fn run(&self, args: &[&str]) -> Ended {
        self.program().run(args).await
    }

    /// See [`Process::kill9`].
    ///
    /// # Panics
    ///
    /// When it cannot be killed, or has ended by itself before.
    pub async fn kill9(self) {
        self.process.kill9().await;
    }

    /// Send SIGTERM, and do not wait: [`Self::wait`] does.
    ///
    /// # Panics
    ///
    /// When the signal cannot be sent.
    pub async fn terminate(&self) {
        self.process.terminate().await;
    }

    /// Wait for the end.
    ///
    /// # Panics
    ///
    /// When it does not come in time.
    pub async fn wait(self) -> Ended {
        self.process.wait().await
    }

    /// Send SIGTERM and wait for the end.
    ///
    /// # Panics
    ///
    /// When it does not come in time.
    pub async fn stop(self) -> Ended {
        self.terminate().await;
        self.wait().await
    }
}

/// Look again and again until it is so.
///
/// # Panics
///
/// When it is not so in time.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PROCESS_DEADLINE;
    let look = async {
        while !is_so().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    assert!(timeout_at(deadline, look).await.is_ok(), "not in time: {what}");
}
