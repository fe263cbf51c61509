//! `bench halt`: under full load, how long after a halt's commit the last order left; and how long it
//! takes until many open orders are canceled.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tradewarden_engine::Engine;

use super::load::{Client, Target, median, now_us, to_f64};
use super::{ask, prepare, text};
use crate::cli::Halting;
use crate::config::Config;
use crate::data::Data;
use crate::outcome::Failure;
use crate::serve::{self, Announcement, Then};
use crate::{files, output};

/// Load before a halt, and after it.
const SPAN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_mins(1);

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    connections: u16,
    accounts: u16,
    rounds: u16,
    database: String,
    /// Signals a second before the halts, the median.
    intake_per_s: f64,
    /// Milliseconds from a halt's commit to the last order handed to the broker; 0 if none was after
    /// it. By round.
    last_order_after_ms: Vec<f64>,
    /// Orders handed over after the commit, by round.
    orders_after: Vec<u64>,
    /// Milliseconds until a halt under load was answered, the median.
    engaged_ms: f64,
    orders: u16,
    /// Milliseconds from the answer to a halt of mode `cancel` until all were canceled.
    canceled_ms: f64,
}

/// Measures and prints.
pub(crate) async fn run(config: Config, asked: Halting, json: bool) -> Result<(), Failure> {
    let data = Data::at(&config);
    if data.exists() {
        return Err(Failure::usage(format!(
            "{} exists; bench makes a data directory of its own and removes it: name another with \
             --data",
            data.root().display()
        )));
    }
    data.create()?;
    let measured = serve::run_with(&config, async |engine, announcement| {
        let report = measure(&config, &engine, &announcement, &asked).await?;
        print(&report, json)?;
        Ok(Then::Stop)
    })
    .await;
    let removed = std::fs::remove_dir_all(data.root());
    measured?;
    removed.map_err(|cause| {
        Failure::unavailable(format!("{} was not removed: {cause}", data.root().display()))
    })
}

async fn measure(
    config: &Config,
    engine: &Engine,
    announcement: &Announcement,
    asked: &Halting,
) -> Result<Report, Failure> {
    let targets: Vec<_> =
        prepare(engine, asked.accounts).await?.into_iter().map(Target::refusable).collect();
    let ca_file = announcement.ca_file.clone().ok_or_else(|| {
        Failure::usage("bench needs the generated certificate: leave [tls] out".to_owned())
    })?;
    let gateway: SocketAddr = announcement
        .base_url
        .trim_start_matches("https://")
        .parse()
        .map_err(|_| Failure::unavailable("the gateway's own address is unreadable"))?;
    let ca = files::read_text(&ca_file, 64 * 1024)?;
    let (mut rates, mut engaged, mut last_order_after_ms, mut orders_after) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let client = Client::trusting(&ca)?;
    for _ in 0..asked.rounds {
        let (targets, connections) = (targets.clone(), asked.connections);
        let (client, before) = (client.clone(), client.accepted());
        let mut load = JoinSet::new();
        load.spawn(async move {
            let driven = client.drive(gateway, &targets, connections, SPAN.saturating_mul(2)).await;
            driven.map(|_| client.accepted().saturating_sub(before))
        });
        tokio::time::sleep(SPAN).await;
        let started = now_us();
        let halt = ask(engine, json!({ "command": "halt-engage", "reason": "bench" })).await?;
        engaged.push(to_f64(now_us().saturating_sub(started)) / 1e3);
        // What was sent until the answer, and what after it.
        let at_answer = engine.counts();
        while let Some(done) = load.join_next().await {
            let accepted = done.map_err(|error| Failure::unavailable(error.to_string()))??;
            rates.push(to_f64(accepted) / SPAN.as_secs_f64());
        }
        let at_end = engine.counts();
        let after = at_end.order_sent_at.since(at_answer.halts_changed_at);
        last_order_after_ms.push(after.as_secs_f64() * 1e3);
        orders_after.push(at_end.orders_sent.saturating_sub(at_answer.orders_sent));
        let id = text(&halt, "id")?;
        ask(engine, json!({ "command": "halt-resume", "id": id })).await?;
    }
    Ok(Report {
        connections: asked.connections,
        accounts: asked.accounts,
        rounds: asked.rounds,
        database: config.database.to_string(),
        intake_per_s: median(&mut rates),
        last_order_after_ms,
        orders_after,
        engaged_ms: median(&mut engaged),
        orders: asked.orders,
        canceled_ms: cancel_many(engine, asked.orders).await?,
    })
}

/// Opens so many orders that do not fill, and cancels them with a halt.
async fn cancel_many(engine: &Engine, orders: u16) -> Result<f64, Failure> {
    let accounts = ask(engine, json!({ "command": "account-list" })).await?;
    let accounts = accounts.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    for account in accounts.iter().cycle().take(usize::from(orders)) {
        let account = text(account, "id")?;
        let new = json!({
            "command": "order-create", "account_id": account, "symbol": "AAPL", "side": "buy",
            "type": "limit", "limit_price": "120", "quantity": "1", "time_in_force": "gtc",
            "allow_repeat": true,
        });
        ask(engine, new).await?;
    }
    // Until each of them works at the broker.
    let waiting = now_us();
    while !all_work(engine).await? && now_us().saturating_sub(waiting) < micros(PATIENCE) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let halt = ask(engine, json!({ "command": "halt-engage", "mode": "cancel" })).await?;
    let (id, started) = (text(&halt, "id")?.to_owned(), now_us());
    loop {
        let shown = ask(engine, json!({ "command": "halt-show", "id": id })).await?;
        let took = now_us().saturating_sub(started);
        let progress = shown.get("progress").cloned().unwrap_or_default();
        if progress.get("is_done").and_then(Value::as_bool) == Some(true) {
            let canceled = progress.get("orders_canceled").and_then(Value::as_u64).unwrap_or(0);
            if canceled < u64::from(orders) {
                return Err(Failure::unavailable(format!("only {canceled} orders were canceled")));
            }
            return Ok(to_f64(took) / 1e3);
        }
        if took > micros(PATIENCE) {
            return Err(Failure::unavailable(format!("not canceled in a minute: {progress}")));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether the newest orders work: they leave in their order.
async fn all_work(engine: &Engine) -> Result<bool, Failure> {
    let newest = ask(engine, json!({ "command": "order-list", "limit": 200 })).await?;
    let items = newest.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(items.iter().all(|order| !matches!(text(order, "state"), Ok("accepted" | "sending"))))
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn print(report: &Report, json: bool) -> Result<(), Failure> {
    if json {
        let text = serde_json::to_string(report)
            .map_err(|error| Failure::unavailable(format!("cannot be written as JSON: {error}")))?;
        return output::print(&text);
    }
    let mut after = report.last_order_after_ms.clone();
    let middle = median(&mut after);
    let most = after.last().copied().unwrap_or(0.0);
    let orders: u64 = report.orders_after.iter().sum();
    output::print(&format!(
        "{} halts under the load of {} connections, {} accounts, {}, dispatch and sealing on\n\n\
         intake before a halt                        {:.0}/s\n\
         halt asked to answered, median              {:.1} ms\n\
         commit to the last order sent               median {middle:.2} ms, most {most:.2} ms\n\
         orders sent after a halt was answered       {orders}\n\
         {} open orders canceled                     {:.0} ms after the answer\n",
        report.rounds,
        report.connections,
        report.accounts,
        report.database,
        report.intake_per_s,
        report.engaged_ms,
        report.orders,
        report.canceled_ms,
    ))
}
