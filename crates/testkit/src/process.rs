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
//! with the value that stands for it, also when the test panics.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test whose processes do not do as they are told must fail, and say why"
)]

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderMap};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long a process may take to begin, to end, or to carry out one command.
const PROCESS_DEADLINE: Duration = Duration::from_mins(1);
/// How long a request may take, the connection included.
const REQUEST_DEADLINE: Duration = Duration::from_secs(20);
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
        Ok(Gateway { process, ready })
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

    /// Send SIGTERM, and do not wait.
    ///
    /// # Panics
    ///
    /// When the signal cannot be sent.
    pub async fn terminate(&self) {
        let Some(pid) = self.child.id() else { panic!("it has ended already") };
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

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {:?}", self.status, self.body))
    }
}

/// A request without a whole answer: what became of it is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered(pub String);

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unanswered: {}", self.0)
    }
}

impl std::error::Error for Unanswered {}

/// One kept HTTPS connection (TLS 1.3, HTTP/1.1), made again when it was closed.
///
/// A request is sent at most once: what was begun and not answered is [`Unanswered`].
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    requests: SendRequest<Full<Bytes>>,
    /// Drives the connection, and ends with it.
    _driver: JoinSet<()>,
}

impl Client {
    /// A client of `https://ADDRESS:PORT` that trusts the certificates in this file.
    ///
    /// # Panics
    ///
    /// When the address is none, or the file holds no certificate.
    #[must_use]
    pub fn new(base_url: &str, ca_file: &Path) -> Self {
        let address = base_url.trim_start_matches("https://").parse();
        let address = address.unwrap_or_else(|error| panic!("{base_url}: {error}"));
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca_file).expect("the CA can be read") {
            roots.add(certificate.expect("the CA is PEM")).expect("the CA is a certificate");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3 can be had")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { address, tls: Arc::new(tls), connection: None }
    }

    /// Another connection to the same place.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { address: self.address, tls: Arc::clone(&self.tls), connection: None }
    }

    /// A TLS connection of its own, for what is not HTTP, or not yet.
    pub async fn raw(&self) -> io::Result<TlsStream<TcpStream>> {
        let connect = async {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::IpAddress(self.address.ip().into());
            TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await
        };
        let late = |_| Err(io::ErrorKind::TimedOut.into());
        timeout(REQUEST_DEADLINE, connect).await.unwrap_or_else(late)
    }

    /// `POST path`.
    pub async fn post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, Unanswered> {
        self.send(Method::POST, path, headers, body).await
    }

    /// `GET path`.
    pub async fn get(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Unanswered> {
        self.send(Method::GET, path, headers, Bytes::new()).await
    }

    /// Any request.
    ///
    /// # Panics
    ///
    /// When path or headers cannot be part of a request.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, Unanswered> {
        let mut request =
            Request::builder().method(method).uri(path).header(HOST, self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        let conversation = self.converse(request);
        let outcome = timeout(REQUEST_DEADLINE, conversation).await;
        let outcome = outcome.unwrap_or_else(|_| Err(Unanswered("not in time".to_owned())));
        if outcome.is_err() {
            self.connection = None;
        }
        outcome
    }

    async fn converse(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Unanswered> {
        let unanswered = |error: hyper::Error| Unanswered(format!("{error:?}"));
        let mut kept = self.connection.take();
        if let Some(connection) = &mut kept
            && connection.requests.ready().await.is_err()
        {
            kept = None;
        }
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let answer = connection.requests.send_request(request).await.map_err(unanswered)?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(unanswered)?.to_bytes();
        self.connection = Some(connection);
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    async fn connect(&self) -> Result<Connection, Unanswered> {
        let stream = self.raw().await.map_err(|error| Unanswered(error.to_string()))?;
        let (mut requests, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Unanswered(error.to_string()))?;
        let mut running = JoinSet::new();
        // How the connection ended is said to who waits for an answer.
        running.spawn(async move { drop(driver.await) });
        requests.ready().await.map_err(|error| Unanswered(error.to_string()))?;
        Ok(Connection { requests, _driver: running })
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
