//! Requests to an ACME server: TLS under the configured authorities and the policy of `[outbound]`, no
//! redirects, no proxies, a bound on time and on what is read.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tradewarden_messenger::{Outbound, Roots};

use crate::outcome::Failure;

/// How long one request may take.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// Largest answer, in bytes: a chain with room to spare.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
const HTTPS_PORT: u16 = 443;

type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// What asks. Clones are the same.
#[derive(Clone)]
pub(super) struct Https {
    roots: Roots,
    outbound: Outbound,
}

impl Https {
    /// One that believes these authorities, and speaks to each host as `[outbound]` says.
    pub(super) fn new(roots: Roots, outbound: Outbound) -> Result<Self, Failure> {
        roots.store().map_err(|error| {
            Failure::no(format!("ca_file under [acme]: {error}; correct the path"))
        })?;
        Ok(Self { roots, outbound })
    }

    async fn exchange(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Boxed> {
        let (mut head, body) = request.into_parts();
        let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes);
        let uri = head.uri.clone();
        let authority = uri.authority().ok_or("an address without a host")?;
        if uri.scheme_str() != Some("https") {
            return Err("an address that is not https".into());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let config = self.outbound.client_config(host, &self.roots)?;
        let name = ServerName::try_from(host.trim_end_matches('.').to_owned())?;
        let port = authority.port_u16().unwrap_or(HTTPS_PORT);
        let stream = TcpStream::connect((host, port)).await?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
        head.headers.insert(HOST, HeaderValue::from_str(authority.as_str())?);
        head.uri = uri.path_and_query().map_or("/", |target| target.as_str()).parse::<Uri>()?;
        let exchange = async {
            let answer = requests.send_request(Request::from_parts(head, Full::new(body))).await?;
            let (head, body) = answer.into_parts();
            let read = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
            Ok(BytesResponse::from(Response::from_parts(head, Full::new(read))))
        };
        // A server that closes right after its answer has answered; what is driven ends before it is read.
        let driven = async move { drop(connection.await) };
        tokio::pin!(driven, exchange);
        tokio::select! {
            biased;
            answered = &mut exchange => answered,
            () = &mut driven => exchange.await,
        }
    }
}

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let https = self.clone();
        Box::pin(async move {
            match timeout(REQUEST_TIME, https.exchange(request)).await {
                Ok(answered) => answered.map_err(Error::Other),
                Err(_) => Err(Error::Other("no answer in time".into())),
            }
        })
    }
}
