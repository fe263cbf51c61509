//! A client of the gateway: one kept connection, and nothing sent twice.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderMap};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::marks;

/// How long a request may take, the connection included.
const REQUEST_DEADLINE: Duration = Duration::from_secs(20);

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
    name: ServerName<'static>,
    roots: Arc<RootCertStore>,
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
        let address: SocketAddr = address.unwrap_or_else(|error| panic!("{base_url}: {error}"));
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca_file).expect("the CA can be read") {
            roots.add(certificate.expect("the CA is PEM")).expect("the CA is a certificate");
        }
        let (roots, name) = (Arc::new(roots), ServerName::IpAddress(address.ip().into()));
        let tls = Arc::new(trusting(&roots).with_no_client_auth());
        Self { address, name, roots, tls, connection: None }
    }

    /// Another connection to the same place.
    #[must_use]
    pub fn another(&self) -> Self {
        Self {
            address: self.address,
            name: self.name.clone(),
            roots: Arc::clone(&self.roots),
            tls: Arc::clone(&self.tls),
            connection: None,
        }
    }

    /// A client of the same place that asks for this host name and shows this certificate (its
    /// chain and key as PEM), if it is asked for one.
    ///
    /// # Panics
    ///
    /// When the name, the chain or the key is none.
    #[must_use]
    pub fn at_host(&self, name: &str, own: Option<(&str, &str)>) -> Self {
        let name = ServerName::try_from(name.to_owned()).expect("a host name");
        let builder = trusting(&self.roots);
        let tls = match own {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
                let chain = chain.collect::<Result<_, _>>().expect("the chain is PEM");
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("the key is PEM");
                builder.with_client_auth_cert(chain, key).expect("they belong together")
            }
        };
        Self { name, tls: Arc::new(tls), ..self.another() }
    }

    /// A TLS connection of its own, for what is not HTTP, or not yet.
    pub async fn raw(&self) -> io::Result<TlsStream<TcpStream>> {
        let connect = async {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            TlsConnector::from(Arc::clone(&self.tls)).connect(self.name.clone(), stream).await
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
        let body = body.into();
        marks::see_request(path, headers, &body);
        let mut request =
            Request::builder().method(method).uri(path).header(HOST, self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).expect("a request");
        let conversation = self.converse(request);
        let outcome = timeout(REQUEST_DEADLINE, conversation).await;
        let outcome = outcome.unwrap_or_else(|_| Err(Unanswered("not in time".to_owned())));
        match &outcome {
            Ok(answer) => marks::look_at_answer(path, &answer.headers, &answer.body),
            Err(_) => self.connection = None,
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

/// A client configuration that trusts these certificates.
fn trusting(roots: &Arc<RootCertStore>) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3 can be had")
        .with_root_certificates(Arc::clone(roots))
}
