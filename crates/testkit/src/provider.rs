//! A provider over HTTPS, as a test says: what it is asked is kept, and it answers from a script.

#![expect(clippy::expect_used, reason = "a test without its provider must fail, and say why")]

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `METHOD PATH`.
    pub what: String,
    /// The header `Authorization`.
    pub authorization: String,
    /// The header `Content-Type`.
    pub content_type: String,
    /// The headers `webhook-id`, `webhook-timestamp` and `webhook-signature`.
    pub signed: [String; 3],
    /// The body.
    pub body: String,
}

/// How the next request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// With this status, and seconds to wait if it names some.
    Status(u16, Option<u32>),
    /// With this status, and the connection is closed right behind it.
    Last(u16),
    /// The connection is closed without an answer.
    Close,
    /// Not at all; the connection stays.
    Silence,
}

/// A provider that runs until it is dropped.
#[derive(Debug)]
pub struct Provider {
    base_url: String,
    script: Arc<Mutex<Script>>,
    _running: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Script {
    asked: Vec<Asked>,
    replies: VecDeque<Reply>,
}

impl Provider {
    /// A provider on a free port of this machine with this certificate and key, both PEM files. It
    /// answers 201 until it is told otherwise.
    ///
    /// # Panics
    ///
    /// When the files or the port cannot be had.
    pub async fn open(certificate: &Path, key: &Path) -> Self {
        Self::open_speaking(certificate, key, &[&rustls::version::TLS13]).await
    }

    /// The same, speaking these versions of TLS.
    ///
    /// # Panics
    ///
    /// When the files or the port cannot be had.
    pub async fn open_speaking(
        certificate: &Path,
        key: &Path,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let chain = CertificateDer::pem_file_iter(certificate).expect("the certificate is there");
        let chain = chain.collect::<Result<_, _>>().expect("the certificate is PEM");
        let key = PrivateKeyDer::from_pem_file(key).expect("the key is PEM");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("these versions can be had")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("certificate and key belong together");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let script = Arc::<Mutex<Script>>::default();
        let mut running = JoinSet::new();
        running.spawn(accept(listener, acceptor, Arc::clone(&script)));
        Self { base_url: format!("https://localhost:{port}"), script, _running: running }
    }

    /// Where it is.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// What the next requests are answered; then 201 again.
    pub fn replies(&self, replies: impl IntoIterator<Item = Reply>) {
        self.with(|script| script.replies = replies.into_iter().collect());
    }

    /// What was asked so far, oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.with(|script| script.asked.clone())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Script) -> T) -> T {
        work(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, script: Arc<Mutex<Script>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
        connections.spawn(async move {
            // Who does not trust the certificate goes away.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(|request| answer(request, Arc::clone(&script)));
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    script: Arc<Mutex<Script>>,
) -> io::Result<Response<Empty<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let text = |headers: &HeaderMap, name| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let reply = {
        let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
        script.asked.push(Asked {
            what: format!("{} {}", head.method, head.uri),
            authorization: text(&head.headers, AUTHORIZATION),
            content_type: text(&head.headers, CONTENT_TYPE),
            signed: ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| {
                let value = head.headers.get(name).and_then(|value| value.to_str().ok());
                value.unwrap_or_default().to_owned()
            }),
            body: String::from_utf8_lossy(&body).into_owned(),
        });
        script.replies.pop_front().unwrap_or(Reply::Status(201, None))
    };
    match reply {
        Reply::Status(status, wait_s) => {
            let mut response = Response::builder().status(status);
            if let Some(wait_s) = wait_s {
                response = response.header(RETRY_AFTER, wait_s);
            }
            response.body(Empty::new()).map_err(io::Error::other)
        }
        Reply::Last(status) => {
            let last = Response::builder().status(status).header(CONNECTION, "close");
            last.body(Empty::new()).map_err(io::Error::other)
        }
        Reply::Close => Err(io::ErrorKind::ConnectionReset.into()),
        Reply::Silence => std::future::pending().await,
    }
}
