//! The load generator: so many kept-alive TLS connections, each with one request at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::outcome::Failure;

/// Where requests go and what proves that they may.
#[derive(Debug, Clone)]
pub(super) struct Target {
    path: String,
    secret: Option<String>,
    may_be_refused: bool,
}

impl Target {
    pub(super) fn echo() -> Self {
        Self { path: "/echo".to_owned(), secret: None, may_be_refused: false }
    }

    pub(super) fn webhook(token: &str, secret: &str) -> Self {
        let (path, secret) = (format!("/api/v1/webhooks/{token}"), Some(secret.to_owned()));
        Self { path, secret, may_be_refused: false }
    }

    /// The same where a rule may say no.
    pub(super) fn refusable(self) -> Self {
        Self { may_be_refused: true, ..self }
    }
}

/// Rate and latencies of one measurement.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figures {
    pub(super) requests: usize,
    pub(super) per_s: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
}

impl Figures {
    /// The measurement with the median rate.
    pub(super) fn middle(mut all: Vec<Self>) -> Self {
        all.sort_by(|left, right| left.per_s.total_cmp(&right.per_s));
        let middle = all.len() / 2;
        all.swap_remove(middle.min(all.len().saturating_sub(1)))
    }
}

/// A client that trusts one authority. Its copies name their signals from one count.
#[derive(Clone)]
pub(super) struct Client {
    connector: TlsConnector,
    next: Arc<AtomicU64>,
    accepted: Arc<AtomicU64>,
}

impl Client {
    pub(super) fn trusting(ca_pem: &str) -> Result<Self, Failure> {
        let config = client_config(ca_pem)?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            next: Arc::new(AtomicU64::new(1)),
            accepted: Arc::new(AtomicU64::new(0)),
        })
    }

    /// How many signals were answered 202 in all.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Drives `address` for `span` and says what came of it.
    pub(super) async fn drive(
        &self,
        address: SocketAddr,
        targets: &[Target],
        connections: u16,
        span: Duration,
    ) -> Result<Figures, Failure> {
        let mut senders = JoinSet::new();
        for number in 0..usize::from(connections) {
            let target = targets.get(number % targets.len().max(1));
            let target = target.cloned().unwrap_or_else(Target::echo);
            let connection = self.connect(address).await?;
            let (next, accepted) = (Arc::clone(&self.next), Arc::clone(&self.accepted));
            senders.spawn(send_for(connection, target, span, next, accepted));
        }
        let started = now_us();
        let mut times = Vec::new();
        while let Some(sent) = senders.join_next().await {
            let sent = sent.map_err(|error| Failure::unavailable(error.to_string()))?;
            times.append(&mut sent?);
        }
        let took_s = to_f64(now_us().saturating_sub(started)) / 1e6;
        times.sort_unstable();
        Ok(Figures {
            requests: times.len(),
            per_s: to_f64(u64::try_from(times.len()).unwrap_or(u64::MAX)) / took_s,
            p50_us: percentile(&times, 500),
            p99_us: percentile(&times, 990),
            p999_us: percentile(&times, 999),
        })
    }

    async fn connect(&self, address: SocketAddr) -> Result<Connection, Failure> {
        let failed = |cause: &dyn std::fmt::Display| {
            Failure::unavailable(format!("no connection to {address}: {cause}"))
        };
        let tcp = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
        tcp.set_nodelay(true).map_err(|error| failed(&error))?;
        let name = ServerName::from(address.ip());
        let tls = self.connector.connect(name, tcp).await.map_err(|error| failed(&error))?;
        let (requests, connection) =
            handshake(TokioIo::new(tls)).await.map_err(|error| failed(&error))?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // What goes wrong on a connection, its requests say.
            let _told_by_requests = connection.await;
        });
        Ok(Connection { requests, host: address.to_string(), _driver: driver })
    }
}

/// A client's side of TLS 1.3 that trusts one authority.
pub(super) fn client_config(ca_pem: &str) -> Result<rustls::ClientConfig, Failure> {
    let unusable = |cause: &dyn std::fmt::Display| {
        Failure::unavailable(format!("the certificate authority is unusable: {cause}"))
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable(&error))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

struct Connection {
    requests: SendRequest<Full<Bytes>>,
    host: String,
    /// Ends with the connection.
    _driver: JoinSet<()>,
}

async fn send_for(
    mut connection: Connection,
    target: Target,
    span: Duration,
    next: Arc<AtomicU64>,
    accepted: Arc<AtomicU64>,
) -> Result<Vec<u64>, Failure> {
    let end = now_us().saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
    let mut times = Vec::with_capacity(65_536);
    loop {
        let started = now_us();
        if started >= end {
            return Ok(times);
        }
        let status = one(&mut connection, &target, next.fetch_add(1, Ordering::Relaxed)).await?;
        times.push(now_us().saturating_sub(started));
        match status {
            StatusCode::ACCEPTED => {
                accepted.fetch_add(1, Ordering::Relaxed);
            }
            StatusCode::OK if target.secret.is_none() => {}
            StatusCode::UNPROCESSABLE_ENTITY if target.may_be_refused => {}
            other => {
                return Err(Failure::unavailable(format!("a signal was answered {other}")));
            }
        }
    }
}

async fn one(
    connection: &mut Connection,
    target: &Target,
    number: u64,
) -> Result<StatusCode, Failure> {
    let failed = |cause: &dyn std::fmt::Display| {
        Failure::unavailable(format!("a request was not answered: {cause}"))
    };
    let body = format!(
        "{{\"action\":\"BUY\",\"comment\":\"ENTRY\",\"ticker\":\"NASDAQ:AAPL\",\"interval\":\"5\",\
         \"strategy\":\"bench\",\"id\":\"bench-{number}\",\"quantity\":\"1\"}}"
    );
    let mut request = Request::post(&target.path)
        .header(HOST, &connection.host)
        .header(CONTENT_TYPE, "application/json");
    if let Some(secret) = &target.secret {
        request = request.header("x-webhook-secret", secret);
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(|error| failed(&error))?;
    connection.requests.ready().await.map_err(|error| failed(&error))?;
    let answer = connection.requests.send_request(request).await.map_err(|error| failed(&error))?;
    let status = answer.status();
    answer.into_body().collect().await.map_err(|error| failed(&error))?;
    Ok(status)
}

/// Microseconds of a clock that does not jump.
pub(super) fn now_us() -> u64 {
    now_ns() / 1_000
}

/// The same in nanoseconds.
#[expect(clippy::disallowed_methods, reason = "a stopwatch: the wall clock may jump")]
pub(super) fn now_ns() -> u64 {
    static STARTED: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let started = STARTED.get_or_init(std::time::Instant::now);
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The value below which so many of a thousand lie; `times` is sorted.
pub(super) fn percentile(times: &[u64], per_mille: usize) -> f64 {
    let place = times.len().saturating_mul(per_mille) / 1_000;
    let place = place.min(times.len().saturating_sub(1));
    times.get(place).map_or(0.0, |time| to_f64(*time))
}

/// The value in the middle.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Exact up to 2^32, which is more than an hour of microseconds.
pub(super) fn to_f64(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
