//! One request over HTTPS: no redirects, no proxies, a bound on time and on what is read.

use crate::{Outbound, Roots, Unusable};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longest wait that the other side may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);
const HTTPS_PORT: u16 = 443;

/// A server that is asked over HTTPS.
pub struct Https {
    host: String,
    port: u16,
    prefix: String,
    name: ServerName<'static>,
    connector: TlsConnector,
}

/// What was answered.
pub struct Answered {
    /// The status.
    pub status: u16,
    /// How long the server asked to be left alone.
    pub wait: Option<Duration>,
    /// What it said, if it came whole and is not longer than 64 KiB.
    pub body: Option<Bytes>,
}

impl fmt::Debug for Answered {
    /// Without the body, which may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answered({})", self.status)
    }
}

/// Why nothing was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// No connection came about.
    Unreachable,
    /// TLS did not: the certificate is not believed, or there is no common version.
    Tls,
    /// The connection ended before the answer.
    Broken,
}

impl Unanswered {
    /// In words.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Unreachable => "the provider could not be reached",
            Self::Tls => "TLS did not come about",
            Self::Broken => "the connection broke",
        }
    }
}

impl Https {
    /// The server at `https://HOST[:PORT][/PREFIX]`.
    pub fn at(base_url: &str, roots: &Roots, outbound: &Outbound) -> Result<Self, Unusable> {
        let wrong = || Unusable(format!("{base_url:?} is not https://HOST[:PORT][/PATH]"));
        let uri: Uri = base_url.trim_end_matches('/').parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let plain = uri.scheme_str() == Some("https")
            && uri.query().is_none()
            && !authority.as_str().contains('@');
        if !plain {
            return Err(wrong());
        }
        let host = authority.host().to_owned();
        // A name with its final dot is the same host, and under the same policy.
        let name =
            host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_owned();
        let config = outbound.client_config(&name, roots)?;
        Ok(Self {
            port: authority.port_u16().unwrap_or(HTTPS_PORT),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            name: ServerName::try_from(name).map_err(|_| wrong())?,
            connector: TlsConnector::from(Arc::new(config)),
            host,
        })
    }

    /// Asks below the base's path. Whoever calls puts a bound on the time.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(hyper::header::HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<Answered, Unanswered> {
        let broken = |_: hyper::Error| Unanswered::Broken;
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, self.port)).await;
        let stream = stream.map_err(|_| Unanswered::Unreachable)?;
        let stream = self.connector.connect(self.name.clone(), stream).await;
        let stream = TokioIo::new(stream.map_err(|_| Unanswered::Tls)?);
        let (mut requests, connection) = http1::handshake(stream).await.map_err(broken)?;
        let authority = format!("{}:{}", self.host, self.port);
        let target = format!("{}{path}", self.prefix);
        let target = if target.is_empty() { "/" } else { target.as_str() };
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, if self.port == HTTPS_PORT { &self.host } else { &authority })
            .header(USER_AGENT, concat!("tradewarden/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).map_err(|_| Unanswered::Broken)?;
        let exchange = async {
            let answer = requests.send_request(request).await.map_err(broken)?;
            let (head, body) = answer.into_parts();
            let read = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = read.ok().map(http_body_util::Collected::to_bytes);
            let wait = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let wait = wait.and_then(|text| text.parse().ok()).map(Duration::from_secs);
            let wait = wait.map(|wait| wait.min(RETRY_AFTER_MAX));
            Ok(Answered { status: head.status.as_u16(), wait, body })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_without_credentials_and_query() {
        for (text, host, port, prefix) in [
            ("https://api.example.com", "api.example.com", 443, ""),
            ("https://api.example.com/", "api.example.com", 443, ""),
            ("https://api.example.com:8443/v1/", "api.example.com", 8443, "/v1"),
            ("https://[::1]:9/x", "[::1]", 9, "/x"),
        ] {
            let https = Https::at(text, &Roots::Web, &Outbound::default()).unwrap();
            assert_eq!((https.host.as_str(), https.port), (host, port), "{text}");
            assert_eq!(https.prefix, prefix, "{text}");
        }
        for text in [
            "",
            "api.example.com",
            "http://api.example.com",
            "https://user:secret@api.example.com",
            "https://api.example.com/?a=b",
            "https://",
            "ftp://api.example.com",
        ] {
            let refused = Https::at(text, &Roots::Web, &Outbound::default());
            assert!(refused.is_err(), "{text}");
        }
    }
}
