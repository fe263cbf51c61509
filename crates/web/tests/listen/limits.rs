//! Limits: headers, bodies, time, connections.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use http_body_util::Full;
use hyper::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tradewarden_web::listen::{ListenError, Listener, ListenerOptions, Transport};
use tradewarden_web::tls::ClientCertificates;

use crate::harness::{
    Authority, BODY_BYTES_MAX, Gateway, get, http1_over, http2_over, read, rest, soon, try_tls,
};

/// A request with this many headers of this many bytes each.
fn with_headers(count: usize, value_bytes: usize) -> Request<Full<bytes::Bytes>> {
    let mut request = get("/");
    for index in 0..count {
        let name = hyper::header::HeaderName::try_from(format!("x-{index}")).unwrap();
        request.headers_mut().insert(name, "v".repeat(value_bytes).parse().unwrap());
    }
    request
}

#[tokio::test]
async fn too_large_or_too_many_headers_are_refused_before_the_service() {
    let gateway = Gateway::plain(|_| {}).await;
    for (count, value_bytes) in [(8, 8 * 1024), (1_000, 4), (64, 4)] {
        let mut flooding = http1_over(gateway.tcp().await).await;
        // The answer can be lost when the connection is closed on top of unread headers.
        if let Ok((status, _)) =
            read(flooding.sender.send_request(with_headers(count, value_bytes))).await
        {
            assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "{count} headers");
        }
        let mut next = http1_over(gateway.tcp().await).await;
        assert_eq!(next.get("/").await.unwrap().0, StatusCode::OK);
    }
    let mut within = http1_over(gateway.tcp().await).await;
    let (status, _) = read(within.sender.send_request(with_headers(60, 4))).await.unwrap();
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn header_floods_over_http_2_are_refused_too() {
    let authority = Authority::new();
    let (gateway, _) = Gateway::tls(&authority, &ClientCertificates::None).await;
    let config = std::sync::Arc::new(authority.client(None, &[b"h2"]));
    for (count, value_bytes) in [(8, 8 * 1024), (8, 3 * 1024), (1_000, 4), (70, 4)] {
        let stream = try_tls(gateway.address, &config, "localhost").await.unwrap();
        let mut flooding = http2_over(stream).await;
        let answer = read(flooding.sender.send_request(with_headers(count, value_bytes))).await;
        if let Ok((status, body)) = answer {
            assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "{count} headers");
            assert!(body.is_empty());
        } else {
            assert_eq!(value_bytes, 8 * 1024, "only four times too much may cost the connection");
        }
        let stream = try_tls(gateway.address, &config, "localhost").await.unwrap();
        assert_eq!(http2_over(stream).await.get("/").await.unwrap().0, StatusCode::OK);
    }
}

#[tokio::test]
async fn headers_that_never_end_end_the_connection() {
    let gateway = Gateway::plain(|limits| limits.header_read_timeout_ms = 200).await;
    for beginning in [&b""[..], b"G", b"GET / HTTP/1.1\r\nhost: localhost\r\n", b"PRI * HTTP/2.0"] {
        let mut tcp = gateway.tcp().await;
        tcp.write_all(beginning).await.unwrap();
        assert_eq!(rest(&mut tcp).await, b"", "{beginning:?}");
    }
    assert_eq!(gateway.counters.snapshot().timed_out, 4);

    // Neither does it help to have been served before, or to send a byte now and then.
    let mut tcp = gateway.tcp().await;
    tcp.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 1024];
    assert!(soon(tcp.read(&mut answer)).await.unwrap() > 0);
    let dripping = async {
        while tcp.write_all(b"G").await.is_ok() {
            tokio::select! {
                ended = tcp.read(&mut answer) => return assert!(matches!(ended, Ok(0) | Err(_))),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    };
    soon(dripping).await;
    assert_eq!(gateway.counters.snapshot().timed_out, 5);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_lives_longer_than_slow_headers_but_not_for_ever() {
    let gateway = Gateway::plain(|limits| {
        limits.header_read_timeout_ms = 100;
        limits.idle_timeout_ms = 1_000;
    })
    .await;
    let mut tcp = gateway.tcp().await;
    let begin = Instant::now();
    tcp.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(rest(&mut tcp).await.ends_with(b"hello"));
    assert!(begin.elapsed() >= Duration::from_secs(1));
    let counts = gateway.counters.snapshot();
    assert_eq!((counts.closed_idle, counts.timed_out), (1, 0));
}

#[tokio::test]
async fn idle_http_2_connections_end_although_pings_are_answered() {
    let authority = Authority::new();
    let certificates = authority.server_certificates("localhost");
    let tls = tradewarden_web::tls::Tls::new(&certificates, &ClientCertificates::None).unwrap();
    let mut options = ListenerOptions::new(Transport::Tls(tls));
    options.idle_timeout_ms = 400;
    options.ping_interval_ms = 20;
    let gateway = Gateway::start(options).await;
    let config = std::sync::Arc::new(authority.client(None, &[b"h2"]));
    let stream = try_tls(gateway.address, &config, "localhost").await.unwrap();
    let mut client = http2_over(stream).await;
    client.get("/").await.unwrap();
    soon(client.driver.join_next()).await.unwrap().unwrap();
    assert_eq!(gateway.counters.snapshot().closed_idle, 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_of_an_answer_is_left() {
    let gateway = Gateway::plain(|limits| limits.idle_timeout_ms = 200).await;
    let mut tcp = gateway.tcp().await;
    tcp.write_all(b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    // Nothing is read until the other side gave up; then there is an end.
    soon(async {
        while gateway.stage.services.load(SeqCst) == 0 || gateway.counters.snapshot().open > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(!rest(&mut tcp).await.is_empty());
    assert_eq!(gateway.counters.snapshot().closed_idle, 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_may_take_longer_than_the_idle_timeout() {
    let gateway = Gateway::plain(|limits| limits.idle_timeout_ms = 50).await;
    let mut client = http1_over(gateway.tcp().await).await;
    let released = async {
        gateway.stage.waiting.pass().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        gateway.stage.release.push();
    };
    let (answer, ()) = tokio::join!(client.get("/wait"), released);
    assert_eq!(answer.unwrap().1, "waited");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_never_comes_ends_the_connection() {
    let authority = Authority::new();
    let certificates = authority.server_certificates("localhost");
    let tls = tradewarden_web::tls::Tls::new(&certificates, &ClientCertificates::None).unwrap();
    let mut options = ListenerOptions::new(Transport::Tls(tls));
    options.handshake_timeout_ms = 200;
    let gateway = Gateway::start(options).await;
    for beginning in [&b""[..], &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]] {
        let mut tcp = gateway.tcp().await;
        tcp.write_all(beginning).await.unwrap();
        assert_eq!(rest(&mut tcp).await, b"");
    }
    assert_eq!(gateway.counters.snapshot().timed_out, 2);
}

#[tokio::test(start_paused = true)]
async fn bodies_are_bounded_in_size_and_time() {
    let gateway = Gateway::plain(|_| {}).await;
    let within = "b".repeat(BODY_BYTES_MAX);
    let one_chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    for (framing, body, status, answer) in [
        ("content-length: 5", "quick".to_owned(), "200", "quick"),
        ("content-length: 0", String::new(), "200", "\r\n\r\n"),
        (&format!("content-length: {BODY_BYTES_MAX}"), within.clone(), "200", within.as_str()),
        ("content-length: 32769", String::new(), "413", "larger"),
        ("transfer-encoding: chunked", one_chunk(&within) + "0\r\n\r\n", "200", within.as_str()),
        ("transfer-encoding: chunked", one_chunk(&within) + &one_chunk("b"), "413", "larger"),
        ("transfer-encoding: chunked", one_chunk("a") + &one_chunk("b") + "0\r\n\r\n", "200", "ab"),
        ("transfer-encoding: chunked", "nonsense\r\n".to_owned(), "400", "broke"),
        ("content-length: 100", "slow".to_owned(), "408", "in time"),
        ("content-length: 100", String::new(), "408", "in time"),
    ] {
        let mut tcp = gateway.tcp().await;
        let head = format!(
            "POST /echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{framing}\r\n\r\n"
        );
        tcp.write_all(head.as_bytes()).await.unwrap();
        tcp.write_all(body.as_bytes()).await.unwrap();
        let got = String::from_utf8(rest(&mut tcp).await).unwrap();
        assert!(got.starts_with(&format!("HTTP/1.1 {status}")), "{framing}: {got:.100}");
        assert!(got.ends_with(answer) || got.contains(answer), "{framing}: {got:.200}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_bounded_by_one_deadline() {
    let gateway = Gateway::plain(|_| {}).await;
    let mut tcp = gateway.tcp().await;
    tcp.write_all(b"POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999\r\n\r\n")
        .await
        .unwrap();
    let (mut reader, mut writer) = tcp.split();
    let mut answer = [0; 12];
    let dripping = async {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        read = soon(reader.read_exact(&mut answer)) => drop(read.unwrap()),
        () = dripping => {}
    }
    assert_eq!(&answer, b"HTTP/1.1 408");
}

/// An answer that comes before the request was sent to its end is read, not lost in a reset.
#[tokio::test]
async fn a_sender_that_still_writes_reads_the_413() {
    let gateway = Gateway::plain(|_| {}).await;
    let mut tcp = gateway.tcp().await;
    let head = "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 900000\r\n\r\n";
    tcp.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    soon(tcp.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
    // It has answered, and would have closed: what is written now would be answered by a reset.
    for _ in 0..100 {
        soon(tcp.write_all(&[b'x'; 9_000])).await.unwrap();
        tokio::task::yield_now().await;
    }
    soon(tcp.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("larger"), "{answer}");
}

/// It is listened to for a moment only: who neither sends nor closes is left.
#[tokio::test(start_paused = true)]
async fn a_sender_that_was_answered_early_has_its_time() {
    let gateway = Gateway::plain(|_| {}).await;
    let mut tcp = gateway.tcp().await;
    let head = "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 900000\r\n\r\n";
    tcp.write_all(head.as_bytes()).await.unwrap();
    assert!(rest(&mut tcp).await.starts_with(b"HTTP/1.1 413"));
    let answered = Instant::now();
    tcp.write_all(b"more").await.unwrap();
    soon(async {
        while gateway.counters.snapshot().open > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let waited = answered.elapsed();
    assert!(waited > Duration::from_millis(1_900), "{waited:?}");
    assert!(waited < Duration::from_secs(3), "{waited:?}");
}

/// Whether the connection is served, as against closed at once.
async fn is_served(tcp: &mut TcpStream) -> bool {
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut first = [0; 1];
    tcp.write_all(request).await.is_ok()
        && matches!(soon(tcp.read(&mut first)).await, Ok(bytes) if bytes > 0)
}

#[tokio::test]
async fn one_address_has_only_so_many_connections() {
    let gateway = Gateway::plain(|limits| limits.connections_per_address_max = 3).await;
    let mut served = Vec::new();
    for _ in 0..3 {
        let mut tcp = gateway.tcp().await;
        assert!(is_served(&mut tcp).await);
        served.push(tcp);
    }
    assert!(!is_served(&mut gateway.tcp().await).await);
    let counts = gateway.counters.snapshot();
    assert_eq!((counts.accepted, counts.refused_by_address, counts.open), (4, 1, 3));

    // A place that was given back is free again.
    served.pop();
    soon(async {
        while gateway.counters.snapshot().open == 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    soon(async { while !is_served(&mut gateway.tcp().await).await {} }).await;
}

#[tokio::test]
async fn all_addresses_together_have_only_so_many_connections() {
    let gateway = Gateway::plain(|limits| limits.connections_max = 2).await;
    let mut served = [gateway.tcp().await, gateway.tcp().await];
    for tcp in &mut served {
        assert!(is_served(tcp).await);
    }
    assert!(!is_served(&mut gateway.tcp().await).await);
    assert_eq!(gateway.counters.snapshot().refused_by_total, 1);
    assert_eq!(gateway.stage.services.load(SeqCst), 2);
    for tcp in &mut served {
        assert!(is_served(tcp).await);
    }
}

#[tokio::test]
async fn insecure_or_senseless_options_do_not_start() {
    let plain = || ListenerOptions::new(Transport::PlainLoopbackOnly);
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let error = Listener::bind(address.parse().unwrap(), plain()).await.unwrap_err();
        assert!(matches!(error, ListenError::PlainNotOnLoopback(_)));
        assert!(error.to_string().contains("without TLS"), "{error}");
    }
    let small = ListenerOptions { header_bytes_max: 100, ..plain() };
    let error = Listener::bind("127.0.0.1:0".parse().unwrap(), small).await.unwrap_err();
    assert_eq!(error.to_string(), "header_bytes_max is 100; it must be between 8192 and 1048576");
    let taken = Gateway::plain(|_| {}).await;
    let error = Listener::bind(taken.address, plain()).await.unwrap_err();
    assert!(matches!(error, ListenError::Bind { .. }), "{error}");
}
