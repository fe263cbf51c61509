//! Closing what halts that flatten cover, until our book and the broker both show nothing.
//!
//! Each account is looked at by itself, for all halts whose turn it is there: one whose broker does not
//! answer, or that cannot be written, holds up neither the others of its halt nor another halt.

use super::look::{Known, Look, Looked};
use super::{SETTLED_EVERY, TakenBack, note_look, unread};
use crate::Shared;
use crate::journal::NotWritten;
use crate::several::ASKED_TOGETHER;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{self, JoinSet};
use tradewarden_domain::account::Account;
use tradewarden_domain::halt::{Halt, HaltMode, HaltScope};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::halt_progress;

/// Where a halt has something left to close: each look asks the broker for its positions.
const CLOSES_EVERY: Duration = Duration::from_secs(1);

/// A halt at an account.
type Covering = (Id<id::Halt>, Id<id::Account>);

/// An account whose turn it is.
struct Due {
    account: Arc<Account>,
    /// Since when.
    since: Timestamp,
    halts: Vec<Halt>,
}

/// Closes what halts that flatten cover. See the module above.
pub(crate) struct Closer {
    shared: Arc<Shared>,
    taken_back: Arc<TakenBack>,
    next_looks: BTreeMap<Covering, Timestamp>,
    known: BTreeMap<Id<id::Account>, Known>,
    /// The halts of which is known what they had open in an earlier life of the process.
    begun: BTreeSet<Id<id::Halt>>,
    /// Where everything was looked at once, and written.
    heard: BTreeSet<Covering>,
    /// The halts of which that was noted.
    looked_at: BTreeSet<Id<id::Halt>>,
    /// What of a halt could not be read or written is not tried again before this.
    not_before: BTreeMap<Id<id::Halt>, Timestamp>,
    looking: JoinSet<Looked>,
    /// The accounts that are being looked at.
    under_way: HashMap<task::Id, Arc<Account>>,
}

impl Closer {
    pub(crate) fn new(shared: Arc<Shared>, taken_back: Arc<TakenBack>) -> Self {
        Self {
            shared,
            taken_back,
            next_looks: BTreeMap::new(),
            known: BTreeMap::new(),
            begun: BTreeSet::new(),
            heard: BTreeSet::new(),
            looked_at: BTreeSet::new(),
            not_before: BTreeMap::new(),
            looking: JoinSet::new(),
            under_way: HashMap::new(),
        }
    }

    /// Takes in what was seen, and begins the looks that are due.
    pub(crate) async fn round(&mut self) {
        while let Some(ended) = self.looking.try_join_next_with_id() {
            match ended {
                Ok((task, looked)) => {
                    self.under_way.remove(&task);
                    self.note(looked);
                }
                Err(error) => {
                    self.under_way.remove(&error.id());
                    tracing::error!(%error, "a look at an account was lost");
                }
            }
        }
        let halts = self.shared.halts.load_full();
        self.forget(&halts);
        let mut due = BTreeMap::new();
        for halt in halts.iter().filter(|halt| halt.mode == HaltMode::Flatten) {
            let now = self.shared.environment.now();
            let is_early = self.not_before.get(&halt.id).is_some_and(|at| *at > now);
            if is_early || !self.taken_back.has(halt.id) {
                continue;
            }
            if let Err(error) = self.look(halt, &mut due).await {
                tracing::error!(halt.id = %halt.id, error = %error.0, "a halt waits");
                self.not_before.insert(halt.id, now.plus(CLOSES_EVERY));
            }
        }
        self.begin(due);
    }

    /// Forgets what has ended.
    fn forget(&mut self, halts: &[Halt]) {
        let is_here = |id: Id<id::Halt>| halts.iter().any(|halt| halt.id == id);
        self.next_looks.retain(|(id, _), _| is_here(*id));
        self.heard.retain(|(id, _)| is_here(*id));
        self.begun.retain(|id| is_here(*id));
        self.looked_at.retain(|id| is_here(*id));
        self.not_before.retain(|id, _| is_here(*id));
        for known in self.known.values_mut() {
            known.keep(is_here);
        }
        if self.begun.is_empty() {
            self.known.clear();
        }
    }

    /// Adds the accounts of a halt whose turn it is, and notes when each was looked at once.
    async fn look(
        &mut self,
        halt: &Halt,
        due: &mut BTreeMap<Id<id::Account>, Due>,
    ) -> Result<(), NotWritten> {
        if !self.begun.contains(&halt.id) {
            let open = halt_progress::open_positions(&self.shared.store, halt.id).await;
            for (account, symbol) in open.map_err(|error| unread(&error))? {
                self.known.entry(account).or_default().close(halt.id, symbol);
            }
            self.begun.insert(halt.id);
        }
        let directory = self.shared.directory.load_full();
        let own = |account: &&Arc<Account>| {
            halt.org_id.is_none_or(|org| org == account.org_id) && reaches(&halt.scope, account)
        };
        let now = self.shared.environment.now();
        let mut is_all_heard = true;
        for account in directory.accounts.values().filter(own) {
            let covering = (halt.id, account.id);
            is_all_heard &= self.heard.contains(&covering);
            let since = self.next_looks.get(&covering).copied().unwrap_or(halt.engaged_at);
            if since > now {
                continue;
            }
            let new = || Due { account: Arc::clone(account), since, halts: Vec::new() };
            let due = due.entry(account.id).or_insert_with(new);
            due.since = due.since.min(since);
            due.halts.push(halt.clone());
        }
        let is_noted = self.looked_at.contains(&halt.id);
        if !is_noted && is_all_heard && self.taken_back.has_all(halt.id) {
            note_look(&self.shared, halt.id).await?;
            self.looked_at.insert(halt.id);
        }
        Ok(())
    }

    /// Begins the looks that are due, those that have waited longest first. Each kind of broker has so
    /// many places: one that is silent takes none of another's.
    fn begin(&mut self, due: BTreeMap<Id<id::Account>, Due>) {
        let now = self.shared.environment.now();
        let mut due: Vec<_> = due.into_values().collect();
        due.sort_by_key(|due| due.since);
        for Due { account, halts, .. } in due {
            let is_under_way = self.under_way.values().any(|other| other.id == account.id);
            let same = self.under_way.values().filter(|other| other.broker == account.broker);
            if is_under_way || same.count() >= ASKED_TOGETHER {
                continue;
            }
            for halt in &halts {
                self.next_looks.insert((halt.id, account.id), now.plus(CLOSES_EVERY));
            }
            let known = self.known.get(&account.id).cloned().unwrap_or_default();
            let shared = Arc::clone(&self.shared);
            let look = Look { shared, account: Arc::clone(&account), halts, known };
            let task = self.looking.spawn(look.run());
            self.under_way.insert(task.id(), account);
        }
    }

    /// Takes in what a look found.
    fn note(&mut self, looked: Looked) {
        let Looked { account, mut known, is_heard, open } = looked;
        // Meanwhile another halt may have begun there.
        if let Some(before) = self.known.remove(&account) {
            known.take_in(before, |halt| open.iter().any(|(seen, _)| *seen == halt));
        }
        self.known.insert(account, known);
        for (halt, open) in open {
            match open {
                Ok(count) if is_heard => {
                    self.heard.insert((halt, account));
                    if count == 0
                        && let Some(next) = self.next_looks.get_mut(&(halt, account))
                    {
                        *next = next.plus(SETTLED_EVERY.saturating_sub(CLOSES_EVERY));
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(
                        halt.id = %halt, account.id = %account, error = %error.0,
                        "what a halt closes waits"
                    );
                }
            }
        }
    }
}

/// Whether a scope can have to do with an account at all.
fn reaches(scope: &HaltScope, account: &Account) -> bool {
    match scope {
        HaltScope::Account(id) | HaltScope::Pair(id, _) => *id == account.id,
        HaltScope::Org(org) => *org == account.org_id,
        HaltScope::Global
        | HaltScope::Strategy(_)
        | HaltScope::Webhook(_)
        | HaltScope::Key(_)
        | HaltScope::Instrument(_) => true,
    }
}
