//! Whoever does not speak TLS 1.3 does not get in.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tradewarden_testkit::process::TestDir;

use crate::door::demo;
use crate::wire::{DEADLINE, no_order_and_still_serving};

/// A `ClientHello` of TLS 1.2 as RFC 5246 has it: no `supported_versions`, two common suites.
fn client_hello_1_2() -> Vec<u8> {
    let extensions: &[u8] = &[
        0, 10, 0, 4, 0, 2, 0, 29, // supported_groups: x25519
        0, 11, 0, 2, 1, 0, // ec_point_formats: uncompressed
        0, 13, 0, 6, 0, 4, 4, 3, 8, 4, // signature_algorithms: ecdsa_p256, rsa_pss
    ];
    let mut body = vec![3, 3];
    body.extend([7; 32]); // random
    body.push(0); // no session
    body.extend([0, 4, 0xc0, 0x2b, 0xc0, 0x2f]); // ECDHE with AES-128-GCM
    body.extend([1, 0]); // no compression
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let handshake = [&[1, length[1], length[2], length[3]], &body[..]].concat();
    let length = u16::try_from(handshake.len()).unwrap().to_be_bytes();
    [&[22, 3, 1, length[0], length[1]], &handshake[..]].concat()
}

async fn said(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _closed = timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("it is closed");
    answer
}

/// C5: inbound is TLS 1.3 only. The refusal is the alert of RFC 8446, section 6: fatal,
/// `protocol_version`.
#[tokio::test]
async fn a_client_of_tls_1_2_is_refused() {
    let dir = TestDir::new("bad-tls12");
    let (gateway, mut door) = demo(&dir, "").await;
    let address = gateway.base_url().trim_start_matches("https://").to_owned();
    let answer = said(&address, &client_hello_1_2()).await;
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70], "an alert and nothing else");
    no_order_and_still_serving(gateway.program(), &mut door).await;
}

/// Plain HTTP gets no answer that a browser would show, and no redirect that could be followed.
#[tokio::test]
async fn plain_http_is_not_answered() {
    let dir = TestDir::new("bad-plain");
    let (gateway, mut door) = demo(&dir, "").await;
    let address = gateway.base_url().trim_start_matches("https://").to_owned();
    let request = format!("GET {}?secret={} HTTP/1.1\r\nhost: x\r\n\r\n", door.path, door.secret);
    let answer = said(&address, request.as_bytes()).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    no_order_and_still_serving(gateway.program(), &mut door).await;
}
