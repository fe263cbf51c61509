//! The exchange in another process: reconnecting, and what is known when the connection is lost.

use crate::support::{NOON, Running, Scratch, TestClock, account, buy, name, open_account, start};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinSet;
use tradewarden_broker::paper::{
    Fault, Injection, PaperAdmin, PaperBroker, PaperLink, PaperSocket, ServeLimits, bind_socket,
    serve_socket,
};
use tradewarden_broker::port::{Broker, Lookup, Placement};

struct Server {
    running: Running,
    tasks: JoinSet<()>,
}

/// Serves the exchange of `directory` at `path`.
fn serve(directory: &Path, path: &Path, limits: ServeLimits) -> Server {
    let running = start(directory, TestClock::at(NOON));
    let listener = bind_socket(path).unwrap();
    let desk = running.desk.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        serve_socket(listener, desk, limits).await.unwrap();
    });
    Server { running, tasks }
}

impl Server {
    /// Ends the connections and the exchange, as a stopped process does.
    async fn stop(mut self) {
        self.tasks.shutdown().await;
        drop(self.running.desk);
        tokio::task::spawn_blocking(|| self.running.thread.join()).await.unwrap().unwrap().unwrap();
    }
}

fn client(path: PathBuf) -> (PaperBroker, PaperAdmin, JoinSet<()>) {
    let (socket, driver) = PaperSocket::new(path);
    let link = PaperLink::Socket(socket);
    let mut tasks = JoinSet::new();
    tasks.spawn(driver.run());
    let broker = PaperBroker::new(link.clone()).with_deadline(Duration::from_secs(1));
    (broker, PaperAdmin::new(link), tasks)
}

#[tokio::test]
async fn reconnects_and_the_exchange_remembers() {
    let scratch = Scratch::new("reconnect");
    let path = scratch.path().join("paper.sock");
    let (broker, admin, _driver) = client(path.clone());
    // Nobody is there: provably not sent.
    let placed = broker.place(buy("a")).await;
    assert!(matches!(placed, Placement::NotSent { .. }), "{placed:?}");

    let server = serve(scratch.path(), &path, ServeLimits::default());
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    open_account(&server.running.desk).await;
    assert!(matches!(broker.place(buy("a")).await, Placement::Accepted { .. }));
    server.stop().await;

    let placed = broker.place(buy("b")).await;
    assert!(matches!(placed, Placement::NotSent { .. }), "{placed:?}");
    let server = serve(scratch.path(), &path, ServeLimits::default());
    assert!(matches!(broker.find(name("a")).await, Lookup::Found(_)));
    assert_eq!(broker.find(name("b")).await, Lookup::Absent);
    assert_eq!(admin.times_received("a").await, Ok(1));
    assert_eq!(admin.times_received("b").await, Ok(0));
    server.stop().await;
}

#[tokio::test]
async fn a_lost_connection_makes_all_under_way_unknown() {
    let scratch = Scratch::new("lost");
    let path = scratch.path().join("paper.sock");
    let server = serve(scratch.path(), &path, ServeLimits::default());
    open_account(&server.running.desk).await;
    let (broker, admin, _driver) = client(path);
    admin.inject(Injection::next_place(Fault::DelayAnswer(10_000))).await.unwrap();
    admin.inject(Injection::next_place(Fault::Disconnect)).await.unwrap();
    let (slow, cut) = tokio::join!(broker.place(buy("slow")), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        broker.place(buy("cut")).await
    });
    for placed in [&slow, &cut] {
        match placed {
            Placement::Unknown { why } => assert!(why.contains("lost"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    // Both were accepted; the next request connects again.
    for id in ["slow", "cut"] {
        assert!(matches!(broker.find(name(id)).await, Lookup::Found(_)), "{id}");
        assert_eq!(admin.times_received(id).await, Ok(1));
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown_at_the_deadline_and_the_connection_stays() {
    let scratch = Scratch::new("silence");
    let path = scratch.path().join("paper.sock");
    let server = serve(scratch.path(), &path, ServeLimits::default());
    open_account(&server.running.desk).await;
    let (broker, admin, _driver) = client(path);
    for (id, fault) in [("a", Fault::DropAnswerAfterAccept), ("b", Fault::DropBeforeAccept)] {
        admin.inject(Injection::next_place(fault)).await.unwrap();
        let placed = broker.place(buy(id)).await;
        assert!(matches!(placed, Placement::Unknown { .. }), "{placed:?}");
    }
    assert!(matches!(broker.find(name("a")).await, Lookup::Found(_)));
    assert_eq!(broker.find(name("b")).await, Lookup::Absent);
}

#[tokio::test]
async fn many_requests_share_one_connection_in_order() {
    let scratch = Scratch::new("pipeline");
    let path = scratch.path().join("paper.sock");
    let limits = ServeLimits { connections_max: 1, requests_max: 16, ..ServeLimits::default() };
    let server = serve(scratch.path(), &path, limits);
    open_account(&server.running.desk).await;
    let (broker, admin, _driver) = client(path);
    let broker = broker.with_deadline(Duration::from_secs(10));
    let mut placements = JoinSet::new();
    for number in 0..500 {
        let broker = broker.clone();
        placements.spawn(async move { broker.place(buy(&format!("id-{number}"))).await });
    }
    for placed in placements.join_all().await {
        assert!(matches!(placed, Placement::Accepted { .. }), "{placed:?}");
    }
    assert_eq!(admin.counts().await.unwrap().orders_created, 500);
    let (mut fills, mut cursor) = (0, None);
    loop {
        // More than a frame holds is asked for; the page is cut to what fits.
        let page = broker.fills_since(account(), cursor, 10_000).await.unwrap();
        if page.items.is_empty() {
            break;
        }
        fills += page.items.len();
        cursor = page.next_cursor;
    }
    assert_eq!(fills, 500);
}

#[tokio::test]
async fn frames_that_are_none_end_the_connection_only() {
    let scratch = Scratch::new("frames");
    let path = scratch.path().join("paper.sock");
    let server = serve(scratch.path(), &path, ServeLimits::default());
    open_account(&server.running.desk).await;
    let attack = |bytes: &'static [u8]| {
        let path = path.clone();
        tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            stream.write_all(bytes).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer));
            answer
        })
    };
    let too_long = attack(b"\xff\xff\xff\xff{}").await.unwrap();
    let no_json = attack(b"\x00\x00\x00\x02xx").await.unwrap();
    let unknown = attack(b"\x00\x00\x00\x1f{\"id\":1,\"command\":\"withdrawal\"}").await.unwrap();
    let torn = attack(b"\x00\x00\x10\x00{").await.unwrap();
    for answer in [too_long, no_json, unknown, torn] {
        assert!(answer.is_empty(), "{answer:?}");
    }
    let (broker, _admin, _driver) = client(path);
    assert!(matches!(broker.place(buy("a")).await, Placement::Accepted { .. }));
}

#[tokio::test]
async fn connections_are_bounded() {
    let scratch = Scratch::new("bounded");
    let path = scratch.path().join("paper.sock");
    let limits = ServeLimits { connections_max: 1, ..ServeLimits::default() };
    let server = serve(scratch.path(), &path, limits);
    open_account(&server.running.desk).await;
    let (first, _admin, driver) = client(path.clone());
    assert!(matches!(first.place(buy("a")).await, Placement::Accepted { .. }));
    let (second, _second_admin, _second_driver) = client(path);
    let refused = second.find(name("a")).await;
    assert!(matches!(refused, Lookup::Unheard { .. }), "{refused:?}");
    drop(driver);
    // The place is free as soon as the server has seen the first one go.
    for _ in 0..100 {
        if matches!(second.find(name("a")).await, Lookup::Found(_)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the second client never got a connection");
}

/// Without a driver nothing can have been sent, and nothing is once there is one.
#[tokio::test]
async fn what_was_given_up_is_not_sent_late() {
    let scratch = Scratch::new("late");
    let path = scratch.path().join("paper.sock");
    let server = serve(scratch.path(), &path, ServeLimits::default());
    open_account(&server.running.desk).await;
    let (socket, driver) = PaperSocket::new(path);
    let link = PaperLink::Socket(socket);
    let broker = PaperBroker::new(link.clone()).with_deadline(Duration::from_millis(50));
    let placed = broker.place(buy("a")).await;
    assert!(matches!(placed, Placement::NotSent { .. }), "{placed:?}");
    let mut tasks = JoinSet::new();
    tasks.spawn(driver.run());
    assert_eq!(PaperAdmin::new(link).times_received("a").await, Ok(0));
}
