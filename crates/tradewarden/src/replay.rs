//! `tradewarden signal replay --from --to --policy`: a stored period, judged by another policy.
//!
//! The gateway judges it in steps and keeps nothing between them; what is summed up here does not
//! grow with the period.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::command::Command;
use tradewarden_engine::command::replay::{ReplayPeriod, ReplayState};

use crate::cli::Shape;
use crate::commands::{carry_out, show};
use crate::config::Config;
use crate::outcome::{Exit, Failure};
use crate::output::Progress;
use crate::policy;

/// What is to be replayed.
pub(crate) struct Period<'a> {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) policy: &'a Path,
    /// How many differences are shown.
    pub(crate) differences_max: usize,
}

/// Judges the period and prints what would differ.
pub(crate) async fn run(
    config: &Config,
    organization: Option<&str>,
    period: &Period<'_>,
    json: bool,
) -> Result<Exit, Failure> {
    let limits = policy::read(period.policy)?;
    let mut total = Total::default();
    let mut progress = Progress::begin("replaying");
    let mut state = None;
    loop {
        let (from, to) = (period.from, period.to);
        let asked = ReplayPeriod {
            from,
            to,
            limits: limits.clone(),
            signals_max: None,
            marks_max: None,
            state,
        };
        let step = carry_out(config, organization, Command::ReplayPeriod(asked)).await?;
        total.add(&step, period.differences_max)?;
        state = next(&step)?;
        if state.is_none() {
            break;
        }
        if let Some(through) = step.get("through").and_then(Value::as_str) {
            progress.show(percent(from, to, through));
        }
    }
    drop(progress);
    show(&total.told(period, json), Shape::One, json)?;
    Ok(Exit::Done)
}

fn next(step: &Value) -> Result<Option<ReplayState>, Failure> {
    match step.get("state") {
        None | Some(Value::Null) => Ok(None),
        Some(state) => serde_json::from_value(state.clone()).map(Some).map_err(|_| unreadable()),
    }
}

fn unreadable() -> Failure {
    Failure::unavailable("the gateway's answer is no replay: use the gateway's own program")
}

/// How much of a span has passed at an instant in it, in percent.
fn percent(from: Timestamp, to: Timestamp, through: &str) -> u8 {
    let Ok(through) = through.parse::<Timestamp>() else { return 0 };
    let micros = |at: Timestamp| i128::from(at.unix_micros());
    let (done, all) = (micros(through) - micros(from), micros(to) - micros(from));
    let share = done.saturating_mul(100).checked_div(all).unwrap_or(0);
    u8::try_from(share.clamp(0, 100)).unwrap_or(0)
}

#[derive(Default)]
struct Total {
    judged: u64,
    not_judged: u64,
    differs: u64,
    unexplained: u64,
    without_equity: u64,
    counts: BTreeMap<(String, String), u64>,
    trips: Vec<Value>,
    losses_not_judged: Vec<Value>,
    equity_not_known: Vec<Value>,
    differences: Vec<Value>,
}

/// Trips, times that were not judged, and signals without an equity, that are told.
const LOSSES_MAX: usize = 1_000;

impl Total {
    fn add(&mut self, step: &Value, differences_max: usize) -> Result<(), Failure> {
        let count = |name: &str| step.get(name).and_then(Value::as_u64).ok_or_else(unreadable);
        let list = |name: &str| step.get(name).and_then(Value::as_array).ok_or_else(unreadable);
        self.judged = self.judged.saturating_add(count("judged")?);
        self.not_judged = self.not_judged.saturating_add(count("not_judged")?);
        self.differs = self.differs.saturating_add(count("differs")?);
        self.unexplained = self.unexplained.saturating_add(count("unexplained")?);
        self.without_equity = self.without_equity.saturating_add(count("without_equity")?);
        for counted in list("counts")? {
            let text = |name: &str| counted.get(name).and_then(Value::as_str).map(str::to_owned);
            let pair = text("then").zip(text("now")).ok_or_else(unreadable)?;
            let signals = counted.get("signals").and_then(Value::as_u64).ok_or_else(unreadable)?;
            let sum = self.counts.entry(pair).or_default();
            *sum = sum.saturating_add(signals);
        }
        for (of, name) in [
            (&mut self.trips, "trips"),
            (&mut self.losses_not_judged, "losses_not_judged"),
            (&mut self.equity_not_known, "equity_not_known"),
        ] {
            let room = LOSSES_MAX.saturating_sub(of.len());
            of.extend(list(name)?.iter().take(room).cloned());
        }
        let room = differences_max.saturating_sub(self.differences.len());
        self.differences.extend(list("differences")?.iter().take(room).cloned());
        Ok(())
    }

    fn told(self, period: &Period<'_>, json: bool) -> Value {
        let counts: Vec<_> = self
            .counts
            .into_iter()
            .map(|((then, now), signals)| json!({"then": then, "now": now, "signals": signals}))
            .collect();
        let differences: Vec<_> =
            if json { self.differences } else { self.differences.iter().map(in_a_line).collect() };
        json!({
            "from": period.from, "to": period.to, "judged": self.judged,
            "not_judged": self.not_judged, "differs": self.differs,
            "unexplained": self.unexplained, "without_equity": self.without_equity,
            "equity_not_known": self.equity_not_known,
            "losses_not_judged": self.losses_not_judged, "trips": self.trips,
            "counts": counts, "differences": differences,
        })
    }
}

/// A difference as a row of a table.
fn in_a_line(difference: &Value) -> Value {
    let text = |path: &str| difference.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let short = |side: &str| {
        let (status, code) = (text(&format!("/{side}/status")), text(&format!("/{side}/code")));
        if code.is_empty() { status.to_owned() } else { format!("{status} {code}") }
    };
    json!({
        "received_at": text("/received_at"), "signal_id": text("/signal_id"),
        "then": short("then"), "now": short("now"), "message": text("/now/message"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_it_is() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (from, to) = (at("2026-01-01T00:00:00Z"), at("2026-01-03T00:00:00Z"));
        for (through, expected) in [
            ("2026-01-01T00:00:00Z", 0),
            ("2026-01-02T00:00:00Z", 50),
            ("2026-01-03T00:00:00Z", 100),
            ("2025-12-31T00:00:00Z", 0),
            ("2026-01-04T00:00:00Z", 100),
            ("nonsense", 0),
        ] {
            assert_eq!(percent(from, to, through), expected, "{through}");
        }
    }

    #[test]
    fn steps_add_up() {
        let step = |signals: u64| {
            json!({
                "judged": 10, "not_judged": 1, "differs": signals, "unexplained": 2,
                "without_equity": 5, "equity_not_known": [{"signal_id": "sig_1"}],
                "counts": [{"then": "accepted", "now": "refused risk.max_position",
                    "signals": signals}],
                "trips": [{"limit": "daily_loss"}], "losses_not_judged": [],
                "differences": [{"signal_id": "sig_1"}, {"signal_id": "sig_2"}],
            })
        };
        let mut total = Total::default();
        total.add(&step(3), 3).unwrap();
        total.add(&step(4), 3).unwrap();
        assert_eq!((total.judged, total.not_judged), (20, 2));
        assert_eq!((total.differs, total.unexplained), (7, 4));
        assert_eq!((total.without_equity, total.equity_not_known.len()), (10, 2));
        assert_eq!(total.counts.into_values().collect::<Vec<_>>(), [7]);
        assert_eq!((total.differences.len(), total.trips.len()), (3, 2));
        assert!(Total::default().add(&json!({}), 1).is_err());
    }
}
