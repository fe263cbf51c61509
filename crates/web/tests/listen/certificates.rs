//! Handshakes: versions, groups, certificates of both sides.

use std::sync::Arc;

use hyper::StatusCode;
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::aws_lc_rs::kx_group::{SECP256R1, X25519};
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};
use tokio::io::AsyncWriteExt;
use tradewarden_web::listen::{ListenerOptions, Transport};
use tradewarden_web::tls::{Admission, ClientCertificates, Tls, check_client_ca};

use crate::harness::{Authority, Gateway, der, http1_over, http2_over, rest, try_tls};

#[tokio::test]
async fn both_versions_of_http_are_spoken_over_tls_1_3_with_the_hybrid_group() {
    let authority = Authority::new();
    let (gateway, _) = Gateway::tls(&authority, &ClientCertificates::None).await;
    for (offered, chosen) in [
        (vec![&b"h2"[..], b"http/1.1"], Some(&b"h2"[..])),
        (vec![&b"http/1.1"[..]], Some(&b"http/1.1"[..])),
        (vec![], None),
    ] {
        let config = Arc::new(authority.client(None, &offered));
        let stream = try_tls(gateway.address, &config, "localhost").await.unwrap();
        let session = stream.get_ref().1;
        assert_eq!(session.alpn_protocol(), chosen);
        assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        let group = session.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
        let (status, body) = if chosen == Some(b"h2") {
            http2_over(stream).await.get("/peer").await.unwrap()
        } else {
            http1_over(stream).await.get("/peer").await.unwrap()
        };
        assert_eq!(status, StatusCode::OK);
        assert!(body.starts_with(b"127.0.0.1 ") && body.ends_with(b" true"), "{body:?}");
    }
    assert_eq!(gateway.counters.snapshot().handshake_failed, 0);
}

#[tokio::test]
async fn clients_without_the_hybrid_group_are_served_too() {
    let authority = Authority::new();
    let (gateway, _) = Gateway::tls(&authority, &ClientCertificates::None).await;
    for group in [X25519, SECP256R1] {
        let provider = CryptoProvider { kx_groups: vec![group], ..default_provider() };
        let config = Arc::new(authority.client_with(provider, None, &[]));
        let stream = try_tls(gateway.address, &config, "localhost").await.unwrap();
        let negotiated = stream.get_ref().1.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(negotiated, group.name());
    }
}

#[tokio::test]
async fn a_client_that_only_speaks_tls_1_2_is_refused() {
    let authority = Authority::new();
    let (gateway, _) = Gateway::tls(&authority, &ClientCertificates::None).await;
    let mut tcp = gateway.tcp().await;
    tcp.write_all(&client_hello_of_tls_1_2()).await.unwrap();
    // Record: alert, its version, two bytes long: fatal, protocol_version.
    assert_eq!(rest(&mut tcp).await, [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x46]);
    assert_eq!(gateway.counters.snapshot().handshake_failed, 1);
}

/// A first message as OpenSSL 1.0 would write it: TLS 1.2, ECDHE with AES-GCM, P-256.
fn client_hello_of_tls_1_2() -> Vec<u8> {
    let extensions: &[&[u8]] = &[
        // supported_groups: secp256r1
        &[0x00, 0x0a, 0x00, 0x04, 0x00, 0x02, 0x00, 0x17],
        // ec_point_formats: uncompressed
        &[0x00, 0x0b, 0x00, 0x02, 0x01, 0x00],
        // signature_algorithms: ecdsa_secp256r1_sha256
        &[0x00, 0x0d, 0x00, 0x04, 0x00, 0x02, 0x04, 0x03],
        // extended_master_secret
        &[0x00, 0x17, 0x00, 0x00],
    ];
    let extensions = extensions.concat();
    let mut body = vec![0x03, 0x03];
    body.extend_from_slice(&[7; 32]);
    // No session, one suite (ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), no compression.
    body.extend_from_slice(&[0x00, 0x00, 0x02, 0xc0, 0x2b, 0x01, 0x00]);
    body.extend_from_slice(&u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend_from_slice(&extensions);
    let mut message = vec![0x01, 0x00];
    message.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
    message.extend_from_slice(&body);
    let mut record = vec![0x16, 0x03, 0x01];
    record.extend_from_slice(&u16::try_from(message.len()).unwrap().to_be_bytes());
    record.extend_from_slice(&message);
    record
}

#[tokio::test]
async fn plain_http_on_the_tls_port_is_a_failed_handshake() {
    let authority = Authority::new();
    let (gateway, _) = Gateway::tls(&authority, &ClientCertificates::None).await;
    let mut tcp = gateway.tcp().await;
    tcp.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let answer = rest(&mut tcp).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert_eq!(gateway.counters.snapshot().handshake_failed, 1);
}

#[tokio::test]
async fn a_session_is_resumed() {
    let authority = Authority::new();
    let (gateway, _) = Gateway::tls(&authority, &ClientCertificates::None).await;
    let config = Arc::new(authority.client(None, &[]));
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let stream = try_tls(gateway.address, &config, "localhost").await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected));
        // The tickets come after the handshake, so before the answer.
        http1_over(stream).await.get("/").await.unwrap();
    }
}

#[tokio::test]
async fn replaced_certificates_are_shown_to_new_connections_and_old_ones_go_on() {
    let authority = Authority::new();
    let (gateway, certificates) = Gateway::tls(&authority, &ClientCertificates::None).await;
    let config = Arc::new(authority.client(None, &[]));
    let shown = |stream: &tokio_rustls::client::TlsStream<_>| {
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let old_stream = try_tls(gateway.address, &config, "localhost").await.unwrap();
    let before = shown(&old_stream);
    assert_eq!(before, certificates.leaf_der());
    let mut old = http1_over(old_stream).await;
    old.get("/").await.unwrap();

    let (chain, key) = authority.issue("localhost", ServerAuth);
    certificates.replace(chain.as_bytes(), key.as_bytes()).unwrap();

    let fresh = Arc::new(authority.client(None, &[]));
    let new_stream = try_tls(gateway.address, &fresh, "localhost").await.unwrap();
    assert_eq!(shown(&new_stream), der(&chain));
    assert_ne!(shown(&new_stream), before);
    assert_eq!(http1_over(new_stream).await.get("/").await.unwrap().0, StatusCode::OK);
    assert_eq!(old.get("/").await.unwrap().0, StatusCode::OK);
    assert_eq!(gateway.counters.snapshot().accepted, 2);
}

#[tokio::test]
async fn a_requested_certificate_is_exposed_if_the_ca_issued_it() {
    let authority = Authority::new();
    let requested = ClientCertificates::Requested { ca_pem: authority.pem.clone().into_bytes() };
    let (gateway, _) = Gateway::tls(&authority, &requested).await;
    let ours = authority.issue("webhook.example", ClientAuth);
    let stranger = Authority::new().issue("webhook.example", ClientAuth);
    let not_for_clients = authority.issue("webhook.example", ServerAuth);
    for (own, expected) in [
        (Some(&ours), der(&ours.0)),
        (Some(&stranger), Vec::new()),
        (Some(&not_for_clients), Vec::new()),
        (None, Vec::new()),
    ] {
        let config = Arc::new(authority.client(own, &[]));
        // The second connection resumes the first one's session and shows the same.
        for _ in 0..2 {
            let stream = try_tls(gateway.address, &config, "localhost").await.unwrap();
            let (_, shown) = http1_over(stream).await.get("/certificate").await.unwrap();
            assert_eq!(shown, expected);
        }
    }
    assert_eq!(gateway.counters.snapshot().handshake_failed, 0);
}

#[test]
fn a_bundle_without_a_ca_is_refused() {
    let authority = Authority::new();
    check_client_ca(authority.pem.as_bytes()).unwrap();
    for wrong in ["", "nothing", "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"] {
        let error = check_client_ca(wrong.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("CA"), "{wrong}: {error}");
    }
}

#[tokio::test]
async fn a_required_certificate_must_be_of_the_ca() {
    let authority = Authority::new();
    let required = ClientCertificates::Required {
        ca_pem: authority.pem.clone().into_bytes(),
        admission: Admission::everybody(),
    };
    let (gateway, _) = Gateway::tls(&authority, &required).await;
    let ours = authority.issue("node-1.internal", ClientAuth);
    let config = Arc::new(authority.client(Some(&ours), &[]));
    for _ in 0..2 {
        let stream = try_tls(gateway.address, &config, "localhost").await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        let (status, shown) = http1_over(stream).await.get("/certificate").await.unwrap();
        assert_eq!((status, shown.to_vec()), (StatusCode::OK, der(&ours.0)));
    }

    let stranger = Authority::new().issue("node-1.internal", ClientAuth);
    let not_for_clients = authority.issue("node-1.internal", ServerAuth);
    for own in [None, Some(&stranger), Some(&not_for_clients)] {
        let config = Arc::new(authority.client(own, &[]));
        // In TLS 1.3 the client may believe the handshake done before the server refuses.
        if let Ok(stream) = try_tls(gateway.address, &config, "localhost").await {
            assert!(http1_over(stream).await.get("/").await.is_err());
        }
    }
    assert_eq!(gateway.counters.snapshot().handshake_failed, 3);
}

#[tokio::test]
async fn only_the_second_host_asks_for_a_certificate() {
    let authority = Authority::new();
    let main = authority.server_certificates("localhost");
    let hooks = authority.server_certificates("hooks.localhost");
    let requested = ClientCertificates::Requested { ca_pem: authority.pem.clone().into_bytes() };
    let tls = Tls::new(&main, &ClientCertificates::None)
        .unwrap()
        .with_second_host("hooks.localhost", &hooks, &requested)
        .unwrap();
    let gateway = Gateway::start(ListenerOptions::new(Transport::Tls(tls))).await;
    let own = authority.issue("webhook.example", ClientAuth);
    let config = Arc::new(authority.client(Some(&own), &[]));
    for (name, certificates, expected) in
        [("localhost", &main, Vec::new()), ("hooks.localhost", &hooks, der(&own.0))]
    {
        let stream = try_tls(gateway.address, &config, name).await.unwrap();
        let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        assert_eq!(shown, certificates.leaf_der());
        let (_, exposed) = http1_over(stream).await.get("/certificate").await.unwrap();
        assert_eq!(exposed, expected, "{name}");
    }
}
