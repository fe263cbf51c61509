//! Silence: a strategy that says how often it expects a signal, and hears none for longer (S24).
//!
//! Time outside of its schedule does not count. That it was told is remembered until the next signal;
//! a start, or another node that leads, tells it once more.

use crate::Shared;
use crate::effects::Severity;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::source::Source;
use tradewarden_domain::strategy::{Strategy, StrategyState};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::{Error, signals};

/// What a source was heard of; see the module.
#[derive(Default)]
pub(crate) struct Pulse {
    heard: BTreeMap<Source, Heard>,
    told: BTreeMap<Id<id::Strategy>, Timestamp>,
}

#[derive(Clone, Copy)]
struct Heard {
    /// When its last signal came; where none is known, since when it is listened for.
    at: Timestamp,
    /// Until when its signals were looked for.
    looked: Timestamp,
}

impl Pulse {
    /// Looks for strategies that have been silent for too long.
    pub(crate) async fn look(&mut self, shared: &Arc<Shared>) {
        let directory = shared.directory.load_full();
        let now = shared.environment.now();
        let expecting = |strategy: &&Arc<Strategy>| {
            strategy.state == StrategyState::On && strategy.expected_every_s.is_some()
        };
        let all: Vec<_> = directory.strategies.values().filter(expecting).cloned().collect();
        self.told.retain(|id, _| all.iter().any(|strategy| strategy.id == *id));
        self.heard.retain(|source, _| all.iter().any(|strategy| strategy.source == *source));
        for strategy in all {
            if let Err(error) = self.look_at(shared, &strategy, now).await {
                tracing::warn!(strategy.id = %strategy.id, %error, "signals could not be read");
            }
        }
    }

    async fn look_at(
        &mut self,
        shared: &Arc<Shared>,
        strategy: &Strategy,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(expected_s) = strategy.expected_every_s else { return Ok(()) };
        let expected = Duration::from_secs(u64::from(expected_s));
        let source = strategy.source;
        let before = self.heard.get(&source).copied().unwrap_or_else(|| {
            let since = strategy.created_at.max(now.minus(expected));
            Heard { at: since, looked: since }
        });
        // What was being written at the last look may lie a little before it.
        let since = before.looked.minus(OVERLAP);
        let found = signals::last_of(&shared.store, source, since).await?;
        let at = found.map_or(before.at, |found| found.max(before.at));
        self.heard.insert(source, Heard { at, looked: now });
        let silent = match &strategy.schedule {
            Some(schedule) => schedule.open_between(at, now),
            None => now.since(at),
        };
        if silent <= expected || self.told.get(&strategy.id) == Some(&at) {
            return Ok(());
        }
        let detail = format!(
            "No signal has come for {} s of the strategy's schedule, since {at}; one is expected \
             every {expected_s} s.",
            silent.as_secs()
        );
        let (org, subject) = (strategy.org_id, strategy.id.to_string());
        shared.tell(org, "strategy.silent", Severity::Warning, subject, detail).await;
        self.told.insert(strategy.id, at);
        Ok(())
    }
}

const OVERLAP: Duration = Duration::from_mins(1);
