//! Halts that cancel and close, carried out after their commit until nothing is left (S20).
//!
//! What is open and covered is asked back first. Then, where the halt flattens, what is held leaves
//! by the way of every other exit: journaled, fitted when it is sent, one on its way for each pair,
//! and once more until our book and the broker both show nothing.
//!
//! Asking back, closing and the emergency cancel are tasks of their own: asking back waits for no
//! broker, and the emergency cancel not for the database either.
//!
//! Crash story: nothing durable depends on what is remembered here. Cancels that were asked for and
//! exits that were placed are orders like any other; what is still open is found by looking again.

mod adopt;
mod close;
mod emergency;
mod look;

pub(crate) use self::adopt::nothing_of_exits;
pub(crate) use self::close::Closer;
pub(crate) use self::emergency::Emergencies;

use crate::Shared;
use crate::attempt::subject_of;
use crate::effects::Effects;
use crate::journal::{NotWritten, Urgency};
use crate::orders::{TOGETHER, Why, cancel_in, live};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::halt::{Halt, HaltMode, HaltSubject};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::order::Order;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::{Tx, directory as rows, halt_progress};

/// A halt that has something left to cancel is looked at so often.
const CANCELS_EVERY: Duration = Duration::from_millis(250);
/// One of which something could not be written.
const FAILED_EVERY: Duration = Duration::from_secs(1);
/// One that has nothing left: an order in doubt may still turn out to have filled.
const SETTLED_EVERY: Duration = Duration::from_secs(5);

/// The halts of which what is open was asked back, and whether that was all of it.
#[derive(Default)]
pub(crate) struct TakenBack {
    halts: Mutex<BTreeMap<Id<id::Halt>, bool>>,
}

impl TakenBack {
    fn halts(&self) -> MutexGuard<'_, BTreeMap<Id<id::Halt>, bool>> {
        self.halts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was tried.
    fn has(&self, halt: Id<id::Halt>) -> bool {
        self.halts().contains_key(&halt)
    }

    fn has_all(&self, halt: Id<id::Halt>) -> bool {
        self.halts().get(&halt).copied().unwrap_or(false)
    }

    fn note(&self, halt: Id<id::Halt>, is_all: bool) {
        let mut halts = self.halts();
        let known = halts.entry(halt).or_default();
        *known |= is_all;
    }
}

/// Asks back what halts cover. See the module.
pub(crate) struct Unwinder {
    shared: Arc<Shared>,
    taken_back: Arc<TakenBack>,
    next_looks: BTreeMap<Id<id::Halt>, Timestamp>,
}

impl Unwinder {
    pub(crate) fn new(shared: Arc<Shared>, taken_back: Arc<TakenBack>) -> Self {
        Self { shared, taken_back, next_looks: BTreeMap::new() }
    }

    /// Looks at the halts that are due.
    pub(crate) async fn round(&mut self) {
        let halts = self.shared.halts.load_full();
        let is_here = |id: Id<id::Halt>| halts.iter().any(|halt| halt.id == id);
        self.next_looks.retain(|id, _| is_here(*id));
        self.taken_back.halts().retain(|id, _| is_here(*id));
        for halt in halts.iter().filter(|halt| halt.mode.cancels()) {
            let now = self.shared.environment.now();
            if self.next_looks.get(&halt.id).is_some_and(|at| *at > now) {
                continue;
            }
            let wait = match self.look(halt).await {
                Ok(0) => SETTLED_EVERY,
                Ok(_) => CANCELS_EVERY,
                Err(error) => {
                    tracing::error!(halt.id = %halt.id, error = %error.0, "a halt waits");
                    FAILED_EVERY
                }
            };
            self.next_looks.insert(halt.id, now.plus(wait));
        }
    }

    /// Asks back what can be asked back now; answers how much is open.
    async fn look(&self, halt: &Halt) -> Result<usize, NotWritten> {
        let first = !self.taken_back.has_all(halt.id);
        let open = self.take_back(halt, first).await;
        // What cannot be asked back keeps nothing from being closed.
        self.taken_back.note(halt.id, false);
        let open = open?;
        if first {
            // Of one that flattens everything was looked at once its positions were, too.
            if halt.mode != HaltMode::Flatten {
                note_look(&self.shared, halt.id).await?;
            }
            self.taken_back.note(halt.id, true);
        }
        Ok(open)
    }

    /// Asks back what is open and covered, account by account; answers how much there was.
    async fn take_back(&self, halt: &Halt, first: bool) -> Result<usize, NotWritten> {
        let live = live::of(&self.shared.store, halt.org_id).await;
        let mut meant = live.map_err(|error| unread(&error))?;
        meant.retain(|order| {
            // A leg that passed a halt in another's place is what the other was.
            let passes_halts = order.passes_halts && order.leg.is_none();
            let subject = HaltSubject { passes_halts, ..subject_of(&self.shared, order) };
            halt.takes_back(order.purpose, &subject)
        });
        let count = meant.len();
        if !first {
            meant.retain(|order| !order.cancel_requested);
        }
        let mut by_account: BTreeMap<_, Vec<Order>> = BTreeMap::new();
        for order in meant {
            by_account.entry(order.account_id).or_default().push(order);
        }
        let mut failed = None;
        for mut own in by_account.into_values() {
            while !own.is_empty() {
                let rest = own.split_off(own.len().min(TOGETHER));
                let together = std::mem::replace(&mut own, rest);
                if let Err(error) = self.take_back_together(halt, together).await {
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(count), Err)
    }

    async fn take_back_together(&self, halt: &Halt, meant: Vec<Order>) -> Result<(), NotWritten> {
        let (shared, id) = (Arc::clone(&self.shared), halt.id);
        let by = format!("halt {id}");
        let ids: Vec<_> = meant.iter().map(|order| order.id).collect();
        let wanted: Vec<_> = meant.into_iter().filter(|order| !order.cancel_requested).collect();
        self.shared
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                if !rows::halts_in(tx).await?.iter().any(|halt| halt.id == id) {
                    return Ok(());
                }
                halt_progress::note_orders(tx, id, &ids).await?;
                let why = Why { by: &by, code: Code::OrderCanceled, insists: false };
                cancel_in(tx, &shared, &wanted, why, effects).await.map(|_| ())
            })
            .await
    }
}

/// Notes that everything that a halt covers was looked at once.
async fn note_look(shared: &Arc<Shared>, halt: Id<id::Halt>) -> Result<(), NotWritten> {
    let inner = Arc::clone(shared);
    shared
        .journal
        .write(Urgency::Soon, async move |tx: &mut Tx<'_>, _: &mut Effects| {
            halt_progress::note_look(tx, halt, inner.environment.now()).await
        })
        .await
}

fn unread(error: &tradewarden_store::Error) -> NotWritten {
    NotWritten(error.to_string())
}
