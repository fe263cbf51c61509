//! How connections and the listener come to an end.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tradewarden_web::listen::Drained;
use tradewarden_web::tls::ClientCertificates;

use crate::harness::{Authority, Gateway, http1_over, http2_over, rest, soon, try_tls};

#[tokio::test]
async fn requests_under_way_are_finished_and_no_connection_is_taken() {
    let authority = Authority::new();
    let (mut gateway, _) = Gateway::tls(&authority, &ClientCertificates::None).await;
    let address = gateway.address;
    let config1 = Arc::new(authority.client(None, &[]));
    let config2 = Arc::new(authority.client(None, &[b"h2"]));
    let mut first = http1_over(try_tls(address, &config1, "localhost").await.unwrap()).await;
    let mut second = http2_over(try_tls(address, &config2, "localhost").await.unwrap()).await;
    let mut idle = http1_over(try_tls(address, &config1, "localhost").await.unwrap()).await;
    idle.get("/").await.unwrap();
    let stage = Arc::clone(&gateway.stage);

    let ends = async {
        stage.waiting.pass().await;
        stage.waiting.pass().await;
        gateway.begin_shutdown();
        // The idle one is told to go while the others still wait.
        soon(idle.driver.join_next()).await.unwrap().unwrap();
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
        stage.release.push();
        stage.release.push();
        gateway.ended().await
    };
    let (one, two, drained) = tokio::join!(first.get("/wait"), second.get("/wait"), ends);
    assert_eq!(one.unwrap().1, "waited");
    assert_eq!(two.unwrap().1, "waited");
    assert_eq!(drained, Drained { cut_connections: 0 });
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut() {
    let mut gateway = Gateway::plain(|limits| limits.drain_ms = 100).await;
    let stage = Arc::clone(&gateway.stage);
    let counters = Arc::clone(&gateway.counters);
    let mut first = http1_over(gateway.tcp().await).await;
    let mut second = http2_over(gateway.tcp().await).await;
    let ends = async {
        stage.waiting.pass().await;
        stage.waiting.pass().await;
        gateway.begin_shutdown();
        gateway.ended().await
    };
    let (one, two, drained) = tokio::join!(first.get("/wait"), second.get("/wait"), ends);
    assert!(one.is_err() && two.is_err());
    assert_eq!(drained, Drained { cut_connections: 2 });
    soon(stage.abandoned.pass()).await;
    soon(stage.abandoned.pass()).await;
    assert_eq!(counters.snapshot().open, 0);
}

#[tokio::test]
async fn connections_in_their_handshake_do_not_hold_up_the_end() {
    let authority = Authority::new();
    let (mut gateway, _) = Gateway::tls(&authority, &ClientCertificates::None).await;
    let mut silent = gateway.tcp().await;
    silent.write_all(&[0x16]).await.unwrap();
    let config = Arc::new(authority.client(None, &[]));
    // Connections are accepted in order: once this one is served, the silent one was taken.
    let stream = try_tls(gateway.address, &config, "localhost").await.unwrap();
    http1_over(stream).await.get("/").await.unwrap();
    let begin = Instant::now();
    gateway.begin_shutdown();
    assert_eq!(gateway.ended().await, Drained { cut_connections: 0 });
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(rest(&mut silent).await, b"");
}

#[tokio::test]
async fn a_peer_that_goes_away_ends_its_requests() {
    let authority = Authority::new();
    let (gateway, _) = Gateway::tls(&authority, &ClientCertificates::None).await;
    for alpn in [&b"http/1.1"[..], b"h2"] {
        let config = Arc::new(authority.client(None, &[alpn]));
        let stream = try_tls(gateway.address, &config, "localhost").await.unwrap();
        let seen = gateway.stage.waiting.pass();
        if alpn == b"h2" {
            let mut client = http2_over(stream).await;
            tokio::select! { _ = client.get("/wait") => unreachable!(), () = seen => {} }
            client.driver.shutdown().await;
        } else {
            let mut client = http1_over(stream).await;
            tokio::select! { _ = client.get("/wait") => unreachable!(), () = seen => {} }
            client.driver.shutdown().await;
        }
        soon(gateway.stage.abandoned.pass()).await;
    }
}
