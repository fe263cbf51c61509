use crate::support::{NOON, Scratch, TestClock, account, open_account, start};
use std::sync::Arc;
use tradewarden_broker::conformance::{Subject, cases, run};
use tradewarden_broker::paper::{
    PaperBroker, PaperLink, PaperSocket, ServeLimits, bind_socket, serve_socket,
};
use tradewarden_broker::port::Broker;
use tradewarden_domain::instrument::Instrument;

async fn subject<'a>(broker: &'a PaperBroker, clock: &Arc<TestClock>) -> Subject<'a> {
    let instruments = broker.instruments(account()).await.unwrap();
    let is_bitcoin = |instrument: &Instrument| instrument.symbol.as_str() == "BTCUSD";
    let instrument = instruments.into_iter().find(is_bitcoin).unwrap();
    Subject {
        broker,
        account: account(),
        instrument,
        clock: clock.clone(),
        prefix: "run-".to_owned(),
    }
}

#[test]
fn there_are_eleven_cases() {
    assert_eq!(cases().count(), 11);
}

#[tokio::test]
async fn paper_in_process() {
    let (scratch, clock) = (Scratch::new("conformance"), TestClock::at(NOON));
    let running = start(scratch.path(), clock.clone());
    open_account(&running.desk).await;
    let broker = PaperBroker::new(PaperLink::InProcess(running.desk.clone()));
    run(&subject(&broker, &clock).await).await.unwrap();
    drop((broker, running.desk));
    running.thread.join().unwrap().unwrap();
}

#[tokio::test]
async fn paper_over_a_socket() {
    let (scratch, clock) = (Scratch::new("conformance"), TestClock::at(NOON));
    let running = start(scratch.path(), clock.clone());
    open_account(&running.desk).await;
    let path = scratch.path().join("paper.sock");
    let listener = bind_socket(&path).unwrap();
    let (socket, driver) = PaperSocket::new(path);
    let broker = PaperBroker::new(PaperLink::Socket(socket));
    tokio::select! {
        served = serve_socket(listener, running.desk, ServeLimits::default()) => panic!("{served:?}"),
        () = driver.run() => panic!("the driver ended"),
        verdict = async { run(&subject(&broker, &clock).await).await } => verdict.unwrap(),
    }
}
