//! Dead-man switches: somebody has to say at intervals that it is alive; when it does not, its halt is
//! engaged (S20).
//!
//! Renewals are rows, so a restart forgets none. Nobody could renew while this gateway was down, was
//! paused or did not lead: every switch gets its full interval again after that.

use crate::actor::{Actor, Who};
use crate::book::{Book, Scope};
use crate::command::DeadManSet;
use crate::command::error::{CommandError, away, invalid, to_value};
use crate::effects::Effects;
use crate::journal::{NotWritten, Urgency};
use crate::local_halt::{self, LocalRecord};
use crate::view::{DeadManView, Page};
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::halt::{Halt, HaltMode, HaltScope};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::dead_men::{self, DeadMan};
use tradewarden_store::{Lock, Tx, directory as rows};

/// Seconds within which a switch can be asked to be renewed.
const TIMEOUT_S: std::ops::RangeInclusive<u32> = 1..=86_400;
/// Two looks further apart than this: nobody was here in between.
const ABSENT_AFTER: Duration = Duration::from_secs(5);

/// Looks which switches were not renewed.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    /// Since when this node has been here and leading without a gap.
    since: Timestamp,
    looked_at: Timestamp,
    /// The newest renewal of each switch, and when this node read it first: its own clock decides, and
    /// not one that was set back since.
    heard: BTreeMap<(Id<id::Org>, String), (Timestamp, Timestamp)>,
}

impl Watch {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let never = Timestamp::default();
        Self { shared, since: never, looked_at: never, heard: BTreeMap::new() }
    }

    /// Engages the halts of those that were not renewed in time.
    pub(crate) async fn look(&mut self) {
        let now = self.shared.environment.now();
        if !self.shared.is_leader() {
            self.looked_at = Timestamp::default();
            return;
        }
        if self.looked_at.plus(ABSENT_AFTER) < now {
            self.since = now;
        }
        self.looked_at = now;
        let switches = match dead_men::all(&self.shared.store).await {
            Ok(switches) => switches,
            Err(error) => {
                // What is renewed meanwhile is not known either.
                self.looked_at = Timestamp::default();
                return tracing::error!(%error, "dead-man switches could not be read");
            }
        };
        let mut heard = std::mem::take(&mut self.heard);
        for switch in switches {
            let name = (switch.org_id, switch.scope.to_string());
            let known = heard.remove(&name).filter(|(newest, _)| *newest == switch.renewed_at);
            let (_, heard_at) = known.unwrap_or((switch.renewed_at, now));
            self.heard.insert(name, (switch.renewed_at, heard_at));
            if switch.fired_at.is_none() && deadline(&switch, self.since, heard_at) < now {
                self.fire(switch, now).await;
            }
        }
    }

    async fn fire(&self, switch: DeadMan, now: Timestamp) {
        let (shared, org) = (Arc::clone(&self.shared), switch.org_id);
        let halt = Halt {
            id: shared.environment.id(now),
            org_id: Some(org),
            scope: switch.scope.clone(),
            mode: switch.mode,
            include_protective: switch.include_protective,
            reason: format!(
                "the dead-man switch of {} was not renewed for {} s",
                switch.armed_by, switch.timeout_s
            ),
            engaged_by: "dead-man".to_owned(),
            engaged_at: now,
        };
        let record = LocalRecord { halt, resumed: None };
        let written: Result<(), NotWritten> = self
            .shared
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                // No `sending` commit can be between this lock and this commit (C11).
                rows::lock_organizations(tx, &[org], Lock::Update).await?;
                if !dead_men::fire(tx, &switch, now).await? {
                    return Ok(());
                }
                let mut book = Book::load(tx, &shared, &Scope::default()).await?;
                local_halt::write(tx, &shared, &mut book, &record).await?;
                effects.halts = Some(rows::halts_in(tx).await?);
                book.write(tx, effects).await
            })
            .await;
        match written {
            Ok(()) => self.shared.reload().await,
            Err(error) => tracing::error!(error = %error.0, "a dead-man switch did not halt"),
        }
    }
}

/// When a switch fires, if nobody renews it, this node has been here since `since` and read of the newest
/// renewal at `heard_at`.
fn deadline(switch: &DeadMan, since: Timestamp, heard_at: Timestamp) -> Timestamp {
    let span = Duration::from_secs(u64::from(switch.timeout_s));
    switch.renewed_at.min(heard_at).max(since).plus(span)
}

impl Engine {
    /// Arms the caller's switch, or renews it: a key's own, or else the organization's.
    pub(crate) async fn set_dead_man(
        &self,
        org: Id<id::Org>,
        set: DeadManSet,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        if !TIMEOUT_S.contains(&set.timeout_s) {
            return Err(invalid("timeout_s", &"must be 1 to 86400 seconds"));
        }
        let now = self.now();
        let switch = DeadMan {
            org_id: org,
            scope: scope_of(org, actor),
            timeout_s: set.timeout_s,
            mode: set.mode.unwrap_or(HaltMode::Cancel),
            include_protective: set.include_protective,
            armed_by: actor.name(),
            renewed_at: now,
            fired_at: None,
        };
        if switch.mode == HaltMode::Flatten {
            self.may_flatten(&switch.scope, actor)?;
        }
        let known = dead_men::all(&self.parts.store).await.map_err(|error| away(&error))?;
        let known = known.into_iter().find(|known| is_same(known, &switch));
        // While locked down a switch is disarmed by nobody, and so not made to wait longer or to do
        // less either.
        if known.as_ref().is_some_and(|known| is_loosened(known, &switch)) {
            self.is_open(org).await?;
        }
        // A heartbeat changes nothing but the time: the log tells of what does.
        let is_news = known.is_none_or(|known| {
            known.fired_at.is_some() || DeadMan { renewed_at: now, ..known } != switch
        });
        let (shared, view) = (Arc::clone(&self.parts), view_of(&switch));
        let mut payload = json!({
            "include_protective": switch.include_protective, "mode": switch.mode,
            "scope": switch.scope.to_string(), "timeout_s": switch.timeout_s,
        });
        actor.sign(&mut payload);
        self.parts
            .note_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                dead_men::put(tx, &switch).await?;
                if is_news {
                    book.enter(&shared, org, org, "dead_man.armed", &payload);
                }
                Ok(())
            })
            .await?;
        to_value(&view)
    }

    /// Disarms the caller's switch.
    pub(crate) async fn remove_dead_man(
        &self,
        org: Id<id::Org>,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let (shared, scope) = (Arc::clone(&self.parts), scope_of(org, actor));
        let mut payload = json!({ "scope": scope.to_string() });
        actor.sign(&mut payload);
        let removed = self
            .parts
            .note_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                let removed = dead_men::remove(tx, org, &scope).await?;
                if removed {
                    book.enter(&shared, org, org, "dead_man.disarmed", &payload);
                }
                Ok(removed)
            })
            .await?;
        if removed { Ok(json!({ "disarmed": true })) } else { Err(CommandError::NotFound) }
    }

    /// The switches of an organization; a key sees its own.
    pub(crate) async fn dead_men(
        &self,
        org: Id<id::Org>,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let known = dead_men::all(&self.parts.store).await.map_err(|error| away(&error))?;
        let own = scope_of(org, actor);
        let may_see = |switch: &&DeadMan| {
            switch.org_id == org && (actor.as_key().is_none() || switch.scope == own)
        };
        let items = known.iter().filter(may_see).map(view_of).collect();
        to_value(&Page::<DeadManView> { items, next: None })
    }
}

fn is_same(known: &DeadMan, switch: &DeadMan) -> bool {
    known.org_id == switch.org_id && known.scope == switch.scope
}

/// Whether an armed switch would wait longer, or do less.
fn is_loosened(before: &DeadMan, after: &DeadMan) -> bool {
    let does_less =
        after.mode < before.mode || (before.include_protective && !after.include_protective);
    before.fired_at.is_none() && (after.timeout_s > before.timeout_s || does_less)
}

fn scope_of(org: Id<id::Org>, actor: &Actor) -> HaltScope {
    match actor.who() {
        Who::Key(known) => HaltScope::Key(known.key.id),
        Who::Operator | Who::Person(_) => HaltScope::Org(org),
    }
}

fn view_of(switch: &DeadMan) -> DeadManView {
    let span = Duration::from_secs(u64::from(switch.timeout_s));
    DeadManView {
        scope: switch.scope.to_string(),
        timeout_s: switch.timeout_s,
        mode: switch.mode,
        include_protective: switch.include_protective,
        armed_by: switch.armed_by.clone(),
        renewed_at: switch.renewed_at,
        fires_at: switch.fired_at.is_none().then(|| switch.renewed_at.plus(span)),
        fired_at: switch.fired_at,
    }
}
