//! `tradewarden bench keys` and `bench start`: starts on installations of a size, look-ups in them,
//! and the verification of signed requests.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use serde::Serialize;
use tradewarden_seal::SystemRandomness;
use tradewarden_seal::http_signature::Ed25519Key;

use super::fill::{Installation, id_of};
use super::load::to_f64;
use super::loaded::{Loaded, LookUps};
use super::verify::{self, Verification};
use crate::cli::{Amount, History};
use crate::config::Config;
use crate::data::Data;
use crate::outcome::Failure;
use crate::{gateway, output};

/// The smaller installation.
const FEW: u32 = 1_000;

#[derive(Debug, Serialize)]
struct KeysReport {
    database: String,
    sizes: Vec<Size>,
    verification: Vec<Verification>,
}

/// An installation with so many keys, and then with as many webhooks too.
#[derive(Debug, Serialize)]
struct Size {
    count: u32,
    /// Milliseconds until a start with the keys is ready.
    keys_ready_ms: u64,
    /// Milliseconds until a start with keys and webhooks is ready.
    both_ready_ms: u64,
    /// Memory of the process for each key; nothing for few, where it says nothing.
    bytes_per_key: Option<f64>,
    /// The same for each webhook.
    bytes_per_webhook: Option<f64>,
    keys: Option<LookUps>,
    webhooks: Option<LookUps>,
    /// As many identifiers in a plain hash table with nothing behind them.
    plain_table: Option<LookUps>,
}

#[derive(Debug, Serialize)]
struct StartReport {
    database: String,
    orders: u32,
    /// Milliseconds until a start without history is ready.
    empty_ready_ms: u64,
    /// Milliseconds until a start with the history is ready, the median of five.
    ready_ms: u64,
    empty_resident_bytes: u64,
    resident_bytes: u64,
}

/// Measures starts, look-ups and verification, and prints.
pub(crate) async fn keys(config: Config, amount: Amount, json: bool) -> Result<(), Failure> {
    let verification = verify::measure()?;
    let data = new_data(&config)?;
    let sizes = sizes(&config, &data, amount.count).await;
    remove(&data)?;
    let report = KeysReport { database: config.database.to_string(), sizes: sizes?, verification };
    print_keys(&report, json)
}

async fn sizes(config: &Config, data: &Data, count: u32) -> Result<Vec<Size>, Failure> {
    gateway::init(config, None).await?;
    let empty = loaded(data, 0, 0)?;
    let few = size(config, data, FEW.min(count), &empty).await?;
    remove(data)?;
    gateway::init(config, None).await?;
    let many = size(config, data, count, &empty).await?;
    Ok(vec![few, many])
}

async fn size(config: &Config, data: &Data, count: u32, empty: &Loaded) -> Result<Size, Failure> {
    let pair = Ed25519Key::generate(&mut SystemRandomness::new());
    let pair = pair.map_err(|error| Failure::unavailable(error.to_string()))?;
    let mut installation = Installation::open(config, data).await?;
    installation.keys(0..count, pair.public()).await?;
    drop(installation);
    let with_keys = loaded(data, count, 0)?;
    let mut installation = Installation::open(config, data).await?;
    installation.webhooks(0..count).await?;
    drop(installation);
    let with_both = loaded(data, count, count)?;
    let each = |more: &Loaded, less: &Loaded| {
        let bytes = more.resident_bytes.saturating_sub(less.resident_bytes);
        (count > FEW).then(|| to_f64(bytes) / f64::from(count))
    };
    Ok(Size {
        count,
        keys_ready_ms: with_keys.ready_ms,
        both_ready_ms: with_both.ready_ms,
        bytes_per_key: each(&with_keys, empty),
        bytes_per_webhook: each(&with_both, &with_keys),
        keys: with_both.keys,
        webhooks: with_both.webhooks,
        plain_table: with_both.plain_table,
    })
}

/// Measures starts with a long history, and prints.
pub(crate) async fn start(config: Config, history: History, json: bool) -> Result<(), Failure> {
    let data = new_data(&config)?;
    let measured = history_of(&config, &data, &history).await;
    remove(&data)?;
    let report = measured?;
    if json {
        return print_json(&report);
    }
    output::print(&format!(
        "start, {}\n\nwithout history    ready after {:>6} ms, {:>5} MiB\n{} orders    ready after \
         {:>6} ms, {:>5} MiB\n",
        report.database,
        report.empty_ready_ms,
        report.empty_resident_bytes >> 20,
        report.orders,
        report.ready_ms,
        report.resident_bytes >> 20,
    ))
}

async fn history_of(
    config: &Config,
    data: &Data,
    history: &History,
) -> Result<StartReport, Failure> {
    gateway::init(config, None).await?;
    let empty = loaded(data, 0, 0)?;
    let mut installation = Installation::open(config, data).await?;
    installation.orders(id_of(0), 0..history.orders).await?;
    drop(installation);
    let mut starts = Vec::new();
    for _ in 0..5 {
        starts.push(loaded(data, 0, 0)?);
    }
    starts.sort_by_key(|start| start.ready_ms);
    let middle = starts.swap_remove(starts.len() / 2);
    Ok(StartReport {
        database: config.database.to_string(),
        orders: history.orders,
        empty_ready_ms: empty.ready_ms,
        ready_ms: middle.ready_ms,
        empty_resident_bytes: empty.resident_bytes,
        resident_bytes: middle.resident_bytes,
    })
}

fn new_data(config: &Config) -> Result<Data, Failure> {
    let data = Data::at(config);
    if data.exists() {
        return Err(Failure::usage(format!(
            "{} exists; bench makes a data directory of its own and removes it: name another with \
             --data",
            data.root().display()
        )));
    }
    Ok(data)
}

fn remove(data: &Data) -> Result<(), Failure> {
    std::fs::remove_dir_all(data.root()).map_err(|cause| {
        Failure::unavailable(format!("{} was not removed: {cause}", data.root().display()))
    })
}

/// Starts this program on the directory, in a process of its own.
fn loaded(data: &Data, keys: u32, webhooks: u32) -> Result<Loaded, Failure> {
    let failed = |cause: &dyn std::fmt::Display| {
        Failure::unavailable(format!("a start was not measured: {cause}"))
    };
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let output = Command::new(program)
        .arg("--data")
        .arg(data.root())
        .args(["bench", "loaded", &keys.to_string(), &webhooks.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(&error))?;
    if !output.status.success() {
        return Err(failed(&output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(&error))
}

fn print_json(report: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(report)
        .map_err(|error| Failure::unavailable(format!("cannot be written as JSON: {error}")))?;
    output::print(&text)
}

fn print_keys(report: &KeysReport, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(report);
    }
    let mut text = format!("keys and webhooks, {}\n\n", report.database);
    let bytes = |bytes: Option<f64>| bytes.map_or("-".to_owned(), |bytes| format!("{bytes:.0}"));
    for size in &report.sizes {
        // Writing to a String cannot fail.
        let _written = writeln!(
            text,
            "{} keys: ready after {} ms, {} bytes each; as many webhooks too: {} ms, {} bytes each",
            size.count,
            size.keys_ready_ms,
            bytes(size.bytes_per_key),
            size.both_ready_ms,
            bytes(size.bytes_per_webhook),
        );
        for (name, times) in [
            ("of a key", size.keys),
            ("of a webhook", size.webhooks),
            ("in a plain table", size.plain_table),
        ] {
            let Some(times) = times else { continue };
            let _written = writeln!(
                text,
                "  look-up {name:<17} p50 {:>5.0} ns   p99 {:>5.0} ns",
                times.p50_ns, times.p99_ns
            );
        }
    }
    text.push('\n');
    for form in &report.verification {
        let _written = writeln!(
            text,
            "{:<20} {:>7.0} ns   primitive {:>6.0} ns (prepared {:.0}), ratio {:.2} (without the \
             body's digest {:.2}, to the prepared {:.2})",
            form.form,
            form.whole_ns,
            form.primitive_ns,
            form.prepared_primitive_ns,
            form.ratio,
            form.ratio_without_digest,
            form.ratio_prepared,
        );
    }
    output::print(&text)
}
