//! Measures the paper exchange: place commands per second in groups of 64, judged and encoded
//! without and with the journal's sync. Run it with `--release`; a figure is of one machine.

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};
use tradewarden_broker::paper::{Command, Journal, PaperExchange, Twist};
use tradewarden_broker::port::{BrokerAccount, PlaceOrder, ReduceOnly};
use tradewarden_domain::order::{OrderType, Side, TimeInForce};
use tradewarden_domain::time::Timestamp;

const ORDERS: u32 = 256_000;
const GROUP: usize = 64;
const NOW: Timestamp = Timestamp::from_unix_micros(1_795_348_800_000_000);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::temp_dir().join(format!("tw-throughput-{}", std::process::id()));
    let (mut journal, mut exchange) = Journal::open(&directory, 1, Journal::COMPACT_AT)?;
    let mut out = std::io::stdout();
    let dry = measure(&mut exchange, "dry", |records| {
        black_box(serde_json::to_vec(records)?);
        Ok(())
    })?;
    writeln!(out, "judged and encoded: {dry} orders/s")?;
    let mut exchange = PaperExchange::new(1);
    let synced = measure(&mut exchange, "synced", |records| Ok(journal.append(records)?))?;
    writeln!(out, "with fdatasync:     {synced} orders/s")?;
    let millis = compaction(&mut journal, &mut exchange)?;
    writeln!(out, "compaction of {ORDERS} orders: {millis} ms")?;
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a measurement of real time is what this is for")]
fn compaction(journal: &mut Journal, exchange: &mut PaperExchange) -> Outcome<u128> {
    let start = Instant::now();
    journal.compact(exchange, NOW)?;
    Ok(start.elapsed().as_millis())
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[expect(clippy::disallowed_methods, reason = "a measurement of real time is what this is for")]
fn measure(
    exchange: &mut PaperExchange,
    prefix: &str,
    mut write: impl FnMut(&[tradewarden_broker::paper::Record]) -> Outcome<()>,
) -> Outcome<u128> {
    let account = BrokerAccount::new("paper-1");
    let now = NOW;
    let currency = "USD".to_owned();
    let open = Command::OpenAccount { account: account.clone(), cash: "100000".parse()?, currency };
    exchange.apply(open, now, Twist::None)?;
    let mut orders = Vec::new();
    for number in 0..ORDERS {
        orders.push(Command::Place(PlaceOrder {
            account: account.clone(),
            client_order_id: format!("01k{prefix}{number:020}"),
            symbol: "BTCUSD".parse()?,
            side: if number % 2 == 0 { Side::Buy } else { Side::Sell },
            order_type: OrderType::Market,
            quantity: "0.01".parse()?,
            limit_price: None,
            stop_price: None,
            time_in_force: TimeInForce::Day,
            reduce_only: ReduceOnly::No,
            expires_at: now.plus(Duration::from_secs(1)),
        }));
    }
    let start = Instant::now();
    let mut records = Vec::new();
    let mut waiting = 0;
    for order in orders {
        records.extend(exchange.apply(order, now, Twist::None)?.records);
        waiting += 1;
        if waiting == GROUP {
            write(&records)?;
            records.clear();
            waiting = 0;
        }
    }
    let micros = start.elapsed().as_micros().max(1);
    Ok(u128::from(ORDERS).saturating_mul(1_000_000) / micros)
}
