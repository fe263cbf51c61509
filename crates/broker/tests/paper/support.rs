//! What the tests of the paper exchange share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tradewarden_broker::paper::{
    PaperAdmin, PaperDesk, PaperError, PaperExchange, PaperLink, PaperSettings, PaperTask,
};
use tradewarden_broker::port::{BrokerAccount, OrderName, PlaceOrder, ReduceOnly};
use tradewarden_domain::order::{OrderType, Side, TimeInForce};
use tradewarden_domain::time::{Clock, Timestamp};

/// 2026-11-22T12:00:00Z.
pub(crate) const NOON: Timestamp = Timestamp::from_unix_micros(1_795_348_800_000_000);

/// A clock that stands still.
#[derive(Debug)]
pub(crate) struct TestClock(Timestamp);

impl TestClock {
    pub(crate) fn at(start: Timestamp) -> Arc<Self> {
        Arc::new(Self(start))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn ahead(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

/// A directory of its own for each call, removed when dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let unique = format!("tw-{name}-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(unique))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A running exchange.
pub(crate) struct Running {
    pub(crate) desk: PaperDesk,
    pub(crate) thread: JoinHandle<Result<(), PaperError>>,
}

pub(crate) fn start(directory: &Path, clock: Arc<dyn Clock>) -> Running {
    let (task, desk) = PaperTask::open(directory, PaperSettings::default(), clock).unwrap();
    Running { desk, thread: std::thread::spawn(move || task.run_blocking()) }
}

pub(crate) fn account() -> BrokerAccount {
    BrokerAccount::new("paper-1")
}

pub(crate) async fn open_account(desk: &PaperDesk) -> PaperAdmin {
    let admin = PaperAdmin::new(PaperLink::InProcess(desk.clone()));
    admin.open_account(account(), "100000".parse().unwrap(), "USD").await.unwrap();
    admin
}

/// A market order to buy one BTCUSD.
pub(crate) fn buy(id: &str) -> PlaceOrder {
    PlaceOrder {
        account: account(),
        client_order_id: id.to_owned(),
        symbol: "BTCUSD".parse().unwrap(),
        side: Side::Buy,
        order_type: OrderType::Market,
        quantity: "1".parse().unwrap(),
        limit_price: None,
        stop_price: None,
        time_in_force: TimeInForce::Day,
        reduce_only: ReduceOnly::No,
        expires_at: NOON.plus(Duration::from_hours(24)),
    }
}
pub(crate) fn name(id: &str) -> OrderName {
    OrderName {
        account: account(),
        client_order_id: id.to_owned(),
        symbol: "BTCUSD".parse().unwrap(),
        broker_order_id: None,
    }
}

/// Two exchanges have the same durable state.
pub(crate) fn assert_same(left: &PaperExchange, right: &PaperExchange) {
    assert_eq!(left.snapshot(), right.snapshot());
}
