//! One start on an installation as it lies there, in a process of its own, so that what it takes of
//! memory is what the system gave to it: how long until it is ready, and how fast it finds things.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tradewarden_domain::id::{self, Id};
use tradewarden_engine::Engine;

use super::fill::{id_of, token_of};
use super::load::{now_ns, percentile};
use crate::config::Config;
use crate::outcome::Failure;
use crate::serve::{self, Then};
use crate::{files, output};

/// Look-ups of one kind.
const LOOK_UPS: u32 = 200_000;

/// How long look-ups take, in nanoseconds, the reading of the clock included.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct LookUps {
    pub(super) p50_ns: f64,
    pub(super) p99_ns: f64,
}

/// What a start took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Loaded {
    /// Milliseconds until everything served and live orders were read.
    pub(super) ready_ms: u64,
    /// Memory that the process has of the system, in bytes.
    pub(super) resident_bytes: u64,
    /// Keys by their identifier.
    pub(super) keys: Option<LookUps>,
    /// Webhooks by their token.
    pub(super) webhooks: Option<LookUps>,
    /// As many identifiers in a plain hash table with nothing behind them: what of a look-up is the
    /// machine's.
    pub(super) plain_table: Option<LookUps>,
}

/// Starts, measures, prints it as JSON and stops.
pub(crate) async fn run(config: &Config, keys: u32, webhooks: u32) -> Result<(), Failure> {
    let started = now_ns();
    serve::run_with(config, async |engine, _announcement| {
        while !engine.readiness().ready {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ready_ms = now_ns().saturating_sub(started) / 1_000_000;
        let loaded = Loaded {
            ready_ms,
            resident_bytes: resident_bytes()?,
            keys: look_ups(keys, |number| {
                let id: Id<id::Key> = id_of(number);
                engine.knows_key(id)
            })?,
            webhooks: look_ups_by_token(&engine, webhooks)?,
            plain_table: look_ups_in_a_plain_table(keys)?,
        };
        let text = serde_json::to_string(&loaded)
            .map_err(|error| Failure::unavailable(format!("cannot be written: {error}")))?;
        output::print(&text)?;
        Ok(Then::Stop)
    })
    .await
}

fn look_ups_by_token(engine: &Engine, count: u32) -> Result<Option<LookUps>, Failure> {
    let tokens: Vec<String> =
        (0..count.min(LOOK_UPS)).map(|turn| token_of(at(turn, count))).collect();
    look_ups(count, |number| {
        let place = usize::try_from(number).unwrap_or(0).checked_rem(tokens.len().max(1));
        tokens.get(place.unwrap_or(0)).is_some_and(|token| engine.knows_webhook(token))
    })
}

fn look_ups_in_a_plain_table(count: u32) -> Result<Option<LookUps>, Failure> {
    let table: HashMap<Id<id::Key>, u32> =
        (0..count).map(|number| (id_of(number), number)).collect();
    look_ups(count, |number| table.get(&id_of(number)) == Some(&number))
}

/// Times look-ups all over the numbers; each must find what it looks for.
fn look_ups(count: u32, finds: impl Fn(u32) -> bool) -> Result<Option<LookUps>, Failure> {
    if count == 0 {
        return Ok(None);
    }
    let mut times = Vec::new();
    for turn in 0..LOOK_UPS {
        let number = at(turn, count);
        let started = now_ns();
        let found = finds(number);
        times.push(now_ns().saturating_sub(started));
        if !found {
            return Err(Failure::unavailable(format!("number {number} was not found")));
        }
    }
    times.sort_unstable();
    Ok(Some(LookUps { p50_ns: percentile(&times, 500), p99_ns: percentile(&times, 990) }))
}

/// A number far from the one before.
pub(super) const fn at(turn: u32, count: u32) -> u32 {
    let spread = turn.wrapping_mul(2_654_435_761);
    match spread.checked_rem(count) {
        Some(number) => number,
        None => 0,
    }
}

/// What `/proc` says that the process has in memory.
fn resident_bytes() -> Result<u64, Failure> {
    let status = files::read_text(std::path::Path::new("/proc/self/status"), 64 * 1024)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let kib = kib.ok_or_else(|| Failure::unavailable("the system does not say how much memory"))?;
    Ok(kib.saturating_mul(1_024))
}
