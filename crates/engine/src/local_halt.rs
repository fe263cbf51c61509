//! Halts beside the database (C11): a file in the data directory, so that the kill switch works when
//! the database does not answer.
//!
//! A halt is in force in this process from the moment it is asked for. What the database does not
//! take in time is synced to the file, and read from there at the next start. As soon as the database
//! answers, what is in the file becomes rows with their audit entries, under the same identifiers, and
//! leaves the file; doing that twice changes nothing. A file that is there and cannot be read halts
//! everything: an empty one will do.

mod file;

pub use self::file::{LocalHaltFile, LocalRecord, Resumed};

use self::file::Found;
use crate::Shared;
use crate::actor::Actor;
use crate::book::{Book, Scope};
use crate::effects::{Effects, Severity};
use crate::environment::Environment;
use crate::journal::{NotWritten, Urgency};
use arc_swap::ArcSwap;
use serde_json::json;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tradewarden_domain::halt::{Halt, HaltMode, HaltScope};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::{Error, Lock, Tx, directory as rows};

/// How long the database has to take a halt before it is kept beside it.
pub(crate) const JOURNAL_WAIT: Duration = Duration::from_secs(1);
/// A halt that was asked for so long ago, and that nobody waits for any more, is journaled by itself.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);

/// The halts of this process that are not rows yet.
pub(crate) struct LocalHalts {
    file: Option<LocalHaltFile>,
    state: Mutex<State>,
    in_force: ArcSwap<Vec<Halt>>,
}

#[derive(Default)]
struct State {
    /// Asked for, and on their way into the database or the file.
    pending: Vec<Halt>,
    /// What the file held at the last look.
    filed: Vec<LocalRecord>,
    /// What stands for a file that cannot be read.
    unreadable: Option<LocalRecord>,
}

impl State {
    fn records(&self) -> impl Iterator<Item = &LocalRecord> {
        self.filed.iter().chain(&self.unreadable)
    }

    fn in_force(&self) -> Vec<Halt> {
        let filed = self.records().filter(|record| record.resumed.is_none());
        let mut halts: Vec<Halt> = filed.map(|record| record.halt.clone()).collect();
        for halt in &self.pending {
            if !self.records().any(|record| record.halt.id == halt.id) {
                halts.push(halt.clone());
            }
        }
        halts
    }
}

impl LocalHalts {
    /// The halts of this file, read at once; without a file they live as long as the process.
    pub(crate) fn open(file: Option<LocalHaltFile>, environment: &Environment) -> Self {
        let (state, in_force) = (Mutex::default(), ArcSwap::from_pointee(Vec::new()));
        let halts = Self { file, state, in_force };
        halts.look(environment);
        halts
    }

    /// The halts that are in force and no rows yet.
    pub(crate) fn in_force(&self) -> Arc<Vec<Halt>> {
        self.in_force.load_full()
    }

    /// Those of them that are kept in the file, because the database did not take them.
    pub(crate) fn kept(&self) -> Vec<Halt> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = state.records().filter(|record| record.resumed.is_none());
        kept.map(|record| record.halt.clone()).collect()
    }

    /// Reads the file again.
    pub(crate) fn look(&self, environment: &Environment) {
        let Some(file) = &self.file else { return };
        self.change(|state| match file.read() {
            Found::Records(records) => {
                state.filed = records;
                state.unreadable = None;
            }
            Found::Unreadable(why) => {
                if state.unreadable.is_none() {
                    tracing::error!(
                        why,
                        "the local halt file cannot be read: everything is halted"
                    );
                    state.unreadable = Some(unreadable(environment, &why));
                }
            }
        });
    }

    /// From here on the halt is in force.
    pub(crate) fn begin(&self, halt: Halt) {
        self.change(|state| state.pending.push(halt));
    }

    /// It never was: the request had been carried out before.
    pub(crate) fn forget(&self, halt: &Halt) {
        self.change(|state| state.pending.retain(|pending| pending.id != halt.id));
    }

    /// Keeps a halt that has begun in the file.
    pub(crate) fn keep(&self, halt: &Halt, environment: &Environment) -> io::Result<()> {
        let Some(file) = &self.file else { return Err(io::ErrorKind::Unsupported.into()) };
        file.engage(halt, |why| self.unreadable_or(environment, why))?;
        self.look(environment);
        self.change(|state| state.pending.retain(|pending| pending.id != halt.id));
        Ok(())
    }

    /// The halt of this identifier, if it is in force here.
    pub(crate) fn find(&self, id: Id<id::Halt>) -> Option<Halt> {
        self.in_force.load().iter().find(|halt| halt.id == id).cloned()
    }

    /// Ends a halt in the file, where it stays until it is journaled.
    pub(crate) fn resume(
        &self,
        halt: &Halt,
        resumed: &Resumed,
        environment: &Environment,
    ) -> io::Result<()> {
        let Some(file) = &self.file else { return Err(io::ErrorKind::Unsupported.into()) };
        file.resume(halt, resumed, |why| self.unreadable_or(environment, why))?;
        self.look(environment);
        self.change(|state| state.pending.retain(|pending| pending.id != halt.id));
        Ok(())
    }

    /// Forgets what has become rows.
    pub(crate) fn journaled(&self, records: &[LocalRecord], environment: &Environment) {
        if let Some(file) = &self.file
            && let Err(error) = file.remove(records, |why| self.unreadable_or(environment, why))
        {
            // They stay in force, and are journaled again without effect.
            tracing::error!(error = %error, "journaled halts were not removed from the local file");
            return;
        }
        self.change(|state| {
            state.pending.retain(|halt| !records.iter().any(|record| record.halt.id == halt.id));
        });
        self.look(environment);
    }

    /// What is to become rows.
    fn to_journal(&self, now: Timestamp) -> Vec<LocalRecord> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten =
            state.pending.iter().filter(|halt| halt.engaged_at.plus(FORGOTTEN_AFTER) <= now);
        let forgotten = forgotten.map(|halt| LocalRecord { halt: halt.clone(), resumed: None });
        state.records().cloned().chain(forgotten).collect()
    }

    /// The record that stands for the unreadable file, under the identifier it was shown with.
    fn unreadable_or(&self, environment: &Environment, why: &str) -> LocalRecord {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.unreadable.clone().unwrap_or_else(|| unreadable(environment, why))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        self.in_force.store(Arc::new(state.in_force()));
    }
}

/// What stands for a halt file that is there and cannot be read: a person engaged something.
pub fn unreadable(environment: &Environment, why: &str) -> LocalRecord {
    let now = environment.now();
    let halt = Halt {
        id: environment.id(now),
        org_id: None,
        scope: HaltScope::Global,
        mode: HaltMode::Block,
        include_protective: false,
        reason: format!("the local halt file cannot be read: {why}"),
        engaged_by: "local halt file".to_owned(),
        engaged_at: now,
    };
    LocalRecord { halt, resumed: None }
}

impl Shared {
    /// Makes halts rows with their audit entries, those that are rows already excepted. On
    /// somebody's authority their request is claimed first; a no is [`Actor::claim`]'s.
    pub(crate) async fn journal_halts(
        self: &Arc<Self>,
        records: Vec<LocalRecord>,
        actor: Option<&Actor>,
    ) -> Result<bool, NotWritten> {
        let (shared, claimant) = (Arc::clone(self), actor.cloned());
        let claimed = self
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                // No `sending` commit can be between this lock and this commit (C11).
                let orgs: BTreeSet<_> =
                    records.iter().flat_map(|record| shared.concerned(&record.halt)).collect();
                let orgs: Vec<_> = orgs.into_iter().collect();
                rows::lock_organizations(tx, &orgs, Lock::Update).await?;
                let mut book = Book::load(tx, &shared, &Scope::default()).await?;
                if let Some(claimant) = &claimant
                    && !claimant.begin(tx, book.now).await?
                {
                    return Ok(false);
                }
                for record in &records {
                    write(tx, &shared, &mut book, record).await?;
                }
                effects.halts = Some(rows::halts_in(tx).await?);
                book.write(tx, effects).await?;
                Ok(true)
            })
            .await?;
        if let Some(actor) = actor {
            actor.is_written();
        }
        Ok(claimed)
    }

    /// The organization that a halt belongs to; `None` if it covers all of them.
    pub(crate) fn owner_of(&self, halt: &Halt) -> Option<Id<id::Org>> {
        let directory = self.directory.load();
        halt.org_id.or_else(|| match &halt.scope {
            HaltScope::Global | HaltScope::Instrument(_) => None,
            HaltScope::Org(org) => {
                directory.organizations.iter().find(|found| found.id == *org).map(|found| found.id)
            }
            HaltScope::Account(id) | HaltScope::Pair(id, _) => {
                directory.accounts.get(id).map(|account| account.org_id)
            }
            HaltScope::Strategy(id) => directory.strategies.get(id).map(|strategy| strategy.org_id),
            HaltScope::Webhook(id) => directory.doors.get(id).map(|door| door.webhook.org_id),
            HaltScope::Key(id) => directory.keys.get(id).map(|known| known.key.org_id),
        })
    }

    /// The organizations that a halt covers something of, the oldest first.
    pub(crate) fn concerned(&self, halt: &Halt) -> Vec<Id<id::Org>> {
        match self.owner_of(halt) {
            Some(org) => vec![org],
            None => self.directory.load().organizations.iter().map(|org| org.id).collect(),
        }
    }

    /// Whether an organization may know of a halt. Who names none knows of all.
    pub(crate) fn is_about(&self, halt: &Halt, org: Option<Id<id::Org>>) -> bool {
        org.is_none_or(|org| self.owner_of(halt).is_none_or(|owner| owner == org))
    }
}

/// Makes a halt a row with its entries and its alert, and its end.
pub(crate) async fn write(
    tx: &mut Tx<'_>,
    shared: &Shared,
    book: &mut Book,
    LocalRecord { halt, resumed }: &LocalRecord,
) -> Result<(), Error> {
    // A halt that was written down without the database does not know its organization.
    let row = Halt { org_id: shared.owner_of(halt), ..halt.clone() };
    if rows::insert_halt_once(tx, &row).await? {
        let payload = json!({
            "actor": halt.engaged_by, "engaged_at": halt.engaged_at, "mode": halt.mode,
            "reason": halt.reason, "scope": halt.scope.to_string(),
        });
        for org in shared.concerned(halt) {
            book.enter(shared, org, halt.id, "halt.engaged", &payload);
            let Halt { id, mode, scope, engaged_by, reason, .. } = halt;
            let detail = format!("{engaged_by} engaged a halt ({mode}) of {scope}: {reason}");
            let critical = Severity::Critical;
            book.raise(shared, org, "halt.engaged", critical, id.to_string(), detail);
        }
    }
    if let Some(Resumed { by, at }) = resumed
        && rows::resume(tx, halt.id, by, *at).await?
    {
        let payload = json!({ "actor": by, "resumed_at": at });
        for org in shared.concerned(halt) {
            book.enter(shared, org, halt.id, "halt.resumed", &payload);
        }
    }
    Ok(())
}

/// Lets what was kept beside the database become rows.
pub(crate) async fn journal(shared: &Arc<Shared>) {
    let records = shared.local_halts.to_journal(shared.environment.now());
    if records.is_empty() {
        return;
    }
    match shared.journal_halts(records.clone(), None).await {
        Ok(_) => {
            shared.reload().await;
            shared.local_halts.journaled(&records, &shared.environment);
            tracing::warn!(halts = records.len(), "local halts were journaled");
        }
        Err(error) => tracing::error!(error = %error.0, "local halts are not journaled yet"),
    }
}
