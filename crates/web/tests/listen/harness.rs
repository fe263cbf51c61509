//! A small gateway behind a listener, a little CA, and clients that speak to it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tradewarden_web::listen::{
    BodyError, Drained, Listener, ListenerCounters, ListenerOptions, Transport, read_body,
};
use tradewarden_web::peer::Peer;
use tradewarden_web::tls::{Certificates, ClientCertificates, Tls};

/// No single step of a test takes longer, also on a busy machine.
const STEP: Duration = Duration::from_secs(20);
pub(crate) const BODY_BYTES_MAX: usize = 32 * 1024;
pub(crate) const BODY_TIMEOUT_MS: u64 = 300;

/// Fails the test instead of hanging it.
pub(crate) async fn soon<T>(step: impl Future<Output = T>) -> T {
    timeout(STEP, step).await.expect("the step took too long")
}

/// What the service of a test lets the test see and steer.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    /// One permit for each request that came to wait at `/wait`.
    pub(crate) waiting: Turnstile,
    /// One permit lets one waiting request go on.
    pub(crate) release: Turnstile,
    /// One permit for each waiting request that was dropped unfinished.
    pub(crate) abandoned: Turnstile,
    /// The connections for which a service was made.
    pub(crate) services: AtomicUsize,
}

/// Lets one pass for each push, whichever comes first.
#[derive(Debug)]
pub(crate) struct Turnstile(Semaphore);

impl Default for Turnstile {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Turnstile {
    pub(crate) fn push(&self) {
        self.0.add_permits(1);
    }

    pub(crate) async fn pass(&self) {
        self.0.acquire().await.unwrap().forget();
    }
}

/// A listener with its service, on a port of its own.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) counters: Arc<ListenerCounters>,
    pub(crate) stage: Arc<Stage>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    serving: JoinSet<Drained>,
}

impl Gateway {
    pub(crate) async fn start(options: ListenerOptions) -> Self {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), options).await.unwrap();
        let address = listener.local_addr();
        let counters = listener.counters();
        let stage = Arc::new(Stage::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let mut serving = JoinSet::new();
        let its_stage = Arc::clone(&stage);
        let make_service = move |peer: Peer| {
            its_stage.services.fetch_add(1, SeqCst);
            let stage = Arc::clone(&its_stage);
            service_fn(move |request| answer(Arc::clone(&stage), peer.clone(), request))
        };
        serving.spawn(listener.serve(make_service, async { drop(stopped.await) }));
        Self { address, counters, stage, stop: Some(stop), serving }
    }

    /// A gateway without TLS, with limits as the test wants them.
    pub(crate) async fn plain(limits: impl FnOnce(&mut ListenerOptions)) -> Self {
        let mut options = ListenerOptions::new(Transport::PlainLoopbackOnly);
        limits(&mut options);
        Self::start(options).await
    }

    /// A gateway with TLS and certificates for `localhost`.
    pub(crate) async fn tls(
        authority: &Authority,
        client_certificates: &ClientCertificates,
    ) -> (Self, Certificates) {
        let certificates = authority.server_certificates("localhost");
        let tls = Tls::new(&certificates, client_certificates).unwrap();
        let options = ListenerOptions::new(Transport::Tls(tls));
        (Self::start(options).await, certificates)
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        soon(TcpStream::connect(self.address)).await.unwrap()
    }

    pub(crate) fn begin_shutdown(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(crate) async fn ended(mut self) -> Drained {
        soon(self.serving.join_next()).await.unwrap().unwrap()
    }
}

/// Either a body that is there, or one that never ends.
type Answer = Either<Full<Bytes>, Endless>;

/// A body of as much data as anyone takes.
pub(crate) struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 8192])))))
    }
}

async fn answer(
    stage: Arc<Stage>,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let text = |text: String| Response::new(Either::Left(Full::new(Bytes::from(text))));
    let path = request.uri().path().to_owned();
    Ok(match path.as_str() {
        "/peer" => text(format!("{} {} {}", peer.address, peer.port, peer.tls)),
        "/certificate" => Response::new(Either::Left(Full::new(Bytes::from(
            peer.client_certificate.unwrap_or_default(),
        )))),
        "/wait" => {
            let mut unfinished = Unfinished(Some(Arc::clone(&stage)));
            stage.waiting.push();
            stage.release.pass().await;
            unfinished.0 = None;
            text("waited".to_owned())
        }
        "/endless" => Response::new(Either::Right(Endless)),
        "/echo" => match read_body(request.into_body(), BODY_BYTES_MAX, BODY_TIMEOUT_MS).await {
            Ok(body) => Response::new(Either::Left(Full::new(body))),
            Err(error) => {
                let mut response = text(error.to_string());
                *response.status_mut() = match error {
                    BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                    BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
                    BodyError::Broken => StatusCode::BAD_REQUEST,
                };
                response
            }
        },
        _ => text("hello".to_owned()),
    })
}

/// Tells the stage if it is dropped before its time.
struct Unfinished(Option<Arc<Stage>>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(stage) = &self.0 {
            stage.abandoned.push();
        }
    }
}

/// A CA that issues for servers and clients.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate and its key, as PEM.
    pub(crate) fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub(crate) fn server_certificates(&self, name: &str) -> Certificates {
        let (chain, key) = self.issue(name, ExtendedKeyUsagePurpose::ServerAuth);
        Certificates::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
    }

    /// A client that trusts this CA, with a certificate of its own if given one.
    pub(crate) fn client(&self, own: Option<&(String, String)>, alpn: &[&[u8]]) -> ClientConfig {
        self.client_with(rustls::crypto::aws_lc_rs::default_provider(), own, alpn)
    }

    pub(crate) fn client_with(
        &self,
        provider: CryptoProvider,
        own: Option<&(String, String)>,
        alpn: &[&[u8]],
    ) -> ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }
}

/// The certificate in a PEM text, as DER.
pub(crate) fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

pub(crate) async fn try_tls(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    name: &'static str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name).unwrap();
    soon(TlsConnector::from(Arc::clone(config)).connect(name, tcp)).await
}

/// A client on one connection; dropping it drops the connection.
pub(crate) struct Client<Sender> {
    pub(crate) sender: Sender,
    pub(crate) driver: JoinSet<()>,
}

pub(crate) type Http1Client = Client<http1::SendRequest<Full<Bytes>>>;
pub(crate) type Http2Client = Client<http2::SendRequest<Full<Bytes>>>;

pub(crate) async fn http1_over<T>(stream: T) -> Http1Client
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(async { drop(connection.await) });
    Client { sender, driver }
}

pub(crate) async fn http2_over<T>(stream: T) -> Http2Client
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(async { drop(connection.await) });
    Client { sender, driver }
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("https://localhost{path}"))
        .header("host", "localhost")
        .body(Full::default())
        .unwrap()
}

/// Status and body of an answer.
pub(crate) async fn read(
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
) -> hyper::Result<(StatusCode, Bytes)> {
    soon(async {
        let (head, body) = answer.await?.into_parts();
        Ok((head.status, body.collect().await?.to_bytes()))
    })
    .await
}

impl Http1Client {
    pub(crate) async fn get(&mut self, path: &str) -> hyper::Result<(StatusCode, Bytes)> {
        read(self.sender.send_request(get(path))).await
    }
}

impl Http2Client {
    pub(crate) async fn get(&mut self, path: &str) -> hyper::Result<(StatusCode, Bytes)> {
        read(self.sender.send_request(get(path))).await
    }
}

/// What the peer still sends until it ends the connection, orderly or not.
pub(crate) async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ended_in_any_way = soon(stream.read_to_end(&mut bytes)).await;
    bytes
}
