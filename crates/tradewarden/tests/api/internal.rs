//! The internal listener: for our own machines, which show a certificate of the private CA.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};
use tokio_rustls::TlsConnector;
use tradewarden_testkit::process::{Gateway, TestDir};

use crate::door::demo;

/// What a client shows: a certificate and its key, by the names of their files.
type Shown<'a> = Option<(&'a str, &'a str)>;

fn connector(tls: &Path, ca: &str, shown: Shown<'_>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(tls.join(ca)).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let config = match shown {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_file_iter(tls.join(certificate)).unwrap();
            let chain = chain.collect::<Result<_, _>>().unwrap();
            let key = PrivateKeyDer::from_pem_file(tls.join(key)).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

/// The answer to `GET path`; an error if the connection was refused.
async fn get(gateway: &Gateway, ca: &str, shown: Shown<'_>, path: &str) -> std::io::Result<String> {
    let tls: PathBuf = gateway.program().data().join("tls");
    let address = gateway.ready()["internal_url"].as_str().unwrap();
    let address = address.trim_start_matches("https://");
    let conversation = async {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = connector(&tls, ca, shown).connect(name, stream).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    timeout(Duration::from_secs(20), conversation).await.expect("in time")
}

const OURS: Shown<'_> = Some(("internal-client.pem", "internal-client.key"));

#[tokio::test]
async fn it_refuses_who_does_not_show_our_certificate() {
    let dir = TestDir::new("api-internal");
    let (gateway, _) = demo(&dir, "").await;
    let ca = "internal-ca.pem";
    // No certificate, that of a server, and one of the other CA, which anybody may be given.
    for shown in [None, Some(("server.pem", "server.key"))] {
        let refused = get(&gateway, ca, shown, "/livez").await;
        assert!(refused.is_err(), "{shown:?}: {refused:?}");
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        let answer = get(&gateway, ca, OURS, path).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        assert!(answer.contains("strict-transport-security: "), "{answer}");
    }
    let metrics = get(&gateway, ca, OURS, "/metrics").await.unwrap();
    assert!(metrics.contains("# TYPE tradewarden_"), "{metrics}");
    // The certificate opens the listener, not the callers' routes behind it.
    let answer = get(&gateway, ca, OURS, "/api/v1/orders").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    // And the listener is not the public one under another port: its CA is its own.
    assert!(get(&gateway, "ca.pem", OURS, "/livez").await.is_err());
}
