//! The PROXY protocol in front of plain and encrypted connections.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;
use tradewarden_web::listen::{ListenerOptions, ProxyProtocol, Transport};
use tradewarden_web::peer::TrustedProxies;
use tradewarden_web::tls::{ClientCertificates, Tls};

use crate::harness::{Authority, Gateway, http1_over, rest, soon};

const REQUEST: &[u8] = b"GET /peer HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

fn from(networks: &[&str]) -> ProxyProtocol {
    ProxyProtocol::Required { from: TrustedProxies::parse(networks).unwrap() }
}

fn binary(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend_from_slice(&[version_and_command, family]);
    header.extend_from_slice(&u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend_from_slice(rest);
    header
}

/// 192.0.2.9 port 4242, with an extension of no meaning.
fn binary_of_v4() -> Vec<u8> {
    binary(0x21, 0x11, &[192, 0, 2, 9, 10, 0, 0, 1, 0x10, 0x92, 0x01, 0xbb, 0x04, 0, 1, 0])
}

#[tokio::test]
async fn the_announced_client_is_the_peer() {
    let gateway = Gateway::plain(|limits| limits.proxy_protocol = from(&["127.0.0.0/8"])).await;
    let v6 = {
        let mut addresses = [0; 36];
        addresses[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        addresses[15] = 5;
        addresses[33] = 77;
        binary(0x21, 0x21, &addresses)
    };
    for (header, expected) in [
        (b"PROXY TCP4 192.0.2.9 10.0.0.1 4242 443\r\n".to_vec(), "192.0.2.9 4242 false"),
        (b"PROXY TCP6 2001:db8::5 ::1 77 443\r\n".to_vec(), "2001:db8::5 77 false"),
        (b"PROXY TCP6 ::ffff:192.0.2.9 ::1 77 443\r\n".to_vec(), "192.0.2.9 77 false"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1 "),
        (binary_of_v4(), "192.0.2.9 4242 false"),
        (v6, "2001:db8::5 77 false"),
        (binary(0x20, 0x00, &[]), "127.0.0.1 "),
    ] {
        // Whole, and byte by byte.
        for piece_bytes in [header.len(), 1] {
            let mut tcp = gateway.tcp().await;
            tcp.set_nodelay(true).unwrap();
            for piece in header.chunks(piece_bytes) {
                tcp.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            tcp.write_all(REQUEST).await.unwrap();
            let answer = String::from_utf8(rest(&mut tcp).await).unwrap();
            let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
            assert!(body.starts_with(expected), "{header:?}: {answer}");
        }
    }
}

#[tokio::test]
async fn what_is_no_header_ends_the_connection() {
    let gateway = Gateway::plain(|limits| {
        limits.proxy_protocol = from(&["127.0.0.1"]);
        limits.handshake_timeout_ms = 400;
    })
    .await;
    let endless = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat();
    let broken = [
        REQUEST.to_vec(),
        endless,
        b"PROXY TCP4 192.0.2.9 10.0.0.1 4242\r\n".to_vec(),
        binary(0x21, 0x11, &[1, 2, 3]),
        binary(0x21, 0x11, &[0; 3_000]),
        binary(0x31, 0x11, &[0; 12]),
    ];
    for header in &broken {
        let mut tcp = gateway.tcp().await;
        tcp.write_all(header).await.unwrap();
        assert_eq!(rest(&mut tcp).await, b"", "{header:?}");
    }
    assert_eq!(gateway.counters.snapshot().handshake_failed, 6);

    let mut unfinished = gateway.tcp().await;
    unfinished.write_all(b"PROXY TCP4 192.0.2.9 ").await.unwrap();
    assert_eq!(rest(&mut unfinished).await, b"");
    assert_eq!(gateway.counters.snapshot().timed_out, 1);
}

#[tokio::test]
async fn only_a_proxy_may_announce() {
    let gateway = Gateway::plain(|limits| limits.proxy_protocol = from(&["10.0.0.0/8"])).await;
    let mut tcp = gateway.tcp().await;
    // The connection may be gone before this is sent.
    drop(tcp.write_all(b"PROXY TCP4 192.0.2.9 10.0.0.1 4242 443\r\n").await);
    assert_eq!(rest(&mut tcp).await, b"");
    assert_eq!(gateway.counters.snapshot().handshake_failed, 1);
}

#[tokio::test]
async fn connections_count_for_the_announced_client() {
    let gateway = Gateway::plain(|limits| {
        limits.proxy_protocol = from(&["127.0.0.1"]);
        limits.connections_per_address_max = 1;
    })
    .await;
    let mut open = Vec::new();
    for client in ["192.0.2.1", "192.0.2.2"] {
        let mut tcp = gateway.tcp().await;
        tcp.write_all(format!("PROXY TCP4 {client} 10.0.0.1 1 443\r\n").as_bytes()).await.unwrap();
        let mut client = http1_over(tcp).await;
        client.get("/").await.unwrap();
        open.push(client);
    }
    let mut third = gateway.tcp().await;
    third.write_all(b"PROXY TCP4 192.0.2.2 10.0.0.1 2 443\r\n").await.unwrap();
    assert_eq!(rest(&mut third).await, b"");
    assert_eq!(gateway.counters.snapshot().refused_by_address, 1);
}

#[tokio::test]
async fn a_header_goes_before_tls() {
    let authority = Authority::new();
    let certificates = authority.server_certificates("localhost");
    let tls = Tls::new(&certificates, &ClientCertificates::None).unwrap();
    let mut options = ListenerOptions::new(Transport::Tls(tls));
    options.proxy_protocol = from(&["127.0.0.1"]);
    let gateway = Gateway::start(options).await;
    let line = b"PROXY TCP4 192.0.2.9 10.0.0.1 4242 443\r\n".to_vec();
    for header in [binary_of_v4(), line] {
        let mut tcp = gateway.tcp().await;
        tcp.write_all(&header).await.unwrap();
        let connector = TlsConnector::from(Arc::new(authority.client(None, &[])));
        let name = "localhost".try_into().unwrap();
        let stream = soon(connector.connect(name, tcp)).await.unwrap();
        let (_, body) = http1_over(stream).await.get("/peer").await.unwrap();
        assert_eq!(body, "192.0.2.9 4242 true");
    }
}
