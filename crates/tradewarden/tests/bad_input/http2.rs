//! The same bounds on HTTP/2.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tradewarden_testkit::process::{Gateway, TestDir};

use crate::door::demo;
use crate::wire::{DEADLINE, no_order_and_still_serving};

/// One connection, on which HTTP/2 was agreed in the handshake.
struct Http2 {
    requests: SendRequest<Full<Bytes>>,
    base_url: String,
    _driver: JoinSet<()>,
}

impl Http2 {
    async fn connect(gateway: &Gateway) -> Self {
        let ca = gateway.ready()["ca_file"].as_str().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(Path::new(ca)).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let base_url = gateway.base_url().to_owned();
        let stream = TcpStream::connect(base_url.trim_start_matches("https://")).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (requests, driver) =
            handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let mut running = JoinSet::new();
        running.spawn(async move { drop(driver.await) });
        Self { requests, base_url, _driver: running }
    }

    /// Status and body of the answer to a signal.
    async fn send(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<(u16, String), hyper::Error> {
        let mut request = Request::post(format!("{}{path}", self.base_url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let conversation = async {
            let answer = self.requests.send_request(request).await?;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await?.to_bytes();
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        };
        timeout(DEADLINE, conversation).await.expect("an answer in time")
    }
}

#[tokio::test]
async fn the_bounds_hold_on_http_2_and_the_connection_goes_on() {
    let dir = TestDir::new("bad-http2");
    let (gateway, mut door) = demo(&dir, "").await;
    let mut http2 = Http2::connect(&gateway).await;
    let (path, secret) = (door.path.clone(), door.secret.clone());
    let headers = [("x-webhook-secret", secret.as_str())];
    let dry = r#"{"action":"BUY","dry_run":true}"#;
    for length in [64 * 1024, 64 * 1024 + 1, 1024 * 1024] {
        let wanted = if length > 64 * 1024 { 413 } else { 200 };
        let body = format!("{dry}{}", " ".repeat(length - dry.len()));
        let (status, body) = http2.send(&path, &headers, body).await.unwrap();
        assert_eq!(status, wanted, "{body}");
        // One stream's fault is not the connection's.
        let (status, body) = http2.send(&path, &headers, dry.to_owned()).await.unwrap();
        assert!(status == 200 || status == 429, "{body}");
    }
    let (status, body) = http2.send(&path, &[], dry.to_owned()).await.unwrap();
    assert_eq!(status, 401, "{body}");
    for many in [100, 1_000] {
        let flood = vec![("x-a", "b"); many];
        let refused = http2.send(&path, &flood, dry.to_owned()).await;
        assert!(refused.is_err() || refused.is_ok_and(|(status, _)| status == 431));
        http2 = Http2::connect(&gateway).await;
    }
    no_order_and_still_serving(gateway.program(), &mut door).await;
}
