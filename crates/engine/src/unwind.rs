//! Halts that cancel and close, carried out after their commit until nothing is left (S20).
//!
//! What is open and covered is asked back first. Then, where the halt flattens, what is held leaves
//! by the way of every other exit: journaled, fitted when it is sent, one on its way for each pair,
//! and once more until our book and the broker both show nothing.
//!
//! Crash story: nothing durable depends on what is remembered here. Cancels that were asked for and
//! exits that were placed are orders like any other; what is still open is found by looking again.

mod close;
mod emergency;

use self::emergency::Emergency;

use crate::Shared;
use crate::attempt::subject_of;
use crate::book::Effects;
use crate::journal::{NotWritten, Urgency};
use crate::orders::{TOGETHER, Why, cancel_in, live};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::halt::{Halt, HaltMode, HaltSubject};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::Order;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::{Tx, directory as rows, halt_progress};

/// A halt that has something left to cancel is looked at so often.
const CANCELS_EVERY: Duration = Duration::from_millis(250);
/// One that has something left to close: each look asks the broker for its positions.
const CLOSES_EVERY: Duration = Duration::from_secs(1);
/// One that has nothing left: an order in doubt may still turn out to have filled.
const SETTLED_EVERY: Duration = Duration::from_secs(5);

/// A position that a halt closes.
type Closing = (Id<id::Halt>, Id<id::Account>, Symbol);

/// How the closing of a position goes.
#[derive(Clone, Copy, Default)]
struct Course {
    /// How often an exit was placed.
    tries: u32,
    /// No exit is placed before this instant.
    not_before: Timestamp,
}

/// See the module.
pub(crate) struct Unwinder {
    shared: Arc<Shared>,
    next_looks: BTreeMap<Id<id::Halt>, Timestamp>,
    /// The halts of which everything was looked at once.
    looked_at: BTreeSet<Id<id::Halt>>,
    courses: BTreeMap<Closing, Course>,
    /// By how much the broker's position differs from ours, and since when.
    differences: BTreeMap<(Id<id::Account>, Symbol), (Quantity, Timestamp)>,
    emergencies: BTreeMap<Id<id::Halt>, Emergency>,
}

impl Unwinder {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            next_looks: BTreeMap::new(),
            looked_at: BTreeSet::new(),
            courses: BTreeMap::new(),
            differences: BTreeMap::new(),
            emergencies: BTreeMap::new(),
        }
    }

    /// Looks at the halts that are due.
    pub(crate) async fn round(&mut self) {
        let halts = self.shared.halts.load_full();
        let is_here = |id: Id<id::Halt>| halts.iter().any(|halt| halt.id == id);
        self.next_looks.retain(|id, _| is_here(*id));
        self.looked_at.retain(|id| is_here(*id));
        self.courses.retain(|(id, _, _), _| is_here(*id));
        for halt in halts.iter().filter(|halt| halt.mode.cancels()) {
            let now = self.shared.environment.now();
            if self.next_looks.get(&halt.id).is_some_and(|at| *at > now) {
                continue;
            }
            let wait = match self.look(halt).await {
                Ok(true) => SETTLED_EVERY,
                Ok(false) if halt.mode == HaltMode::Flatten => CLOSES_EVERY,
                Ok(false) => CANCELS_EVERY,
                Err(error) => {
                    tracing::error!(halt.id = %halt.id, error = %error.0, "a halt waits");
                    CLOSES_EVERY
                }
            };
            self.next_looks.insert(halt.id, now.plus(wait));
        }
    }

    /// Does what can be done now; answers whether nothing is left.
    async fn look(&mut self, halt: &Halt) -> Result<bool, NotWritten> {
        let first = !self.looked_at.contains(&halt.id);
        if first {
            let open = halt_progress::open_positions(&self.shared.store, halt.id).await;
            for (account, symbol) in open.map_err(|error| unread(&error))? {
                self.courses.insert((halt.id, account, symbol), Course::default());
            }
        }
        let open_orders = self.take_back(halt).await?;
        let open_positions = match halt.mode {
            HaltMode::Flatten => self.close(halt).await?,
            HaltMode::ReduceOnly | HaltMode::Block | HaltMode::Cancel => 0,
        };
        if first {
            let (id, shared) = (halt.id, Arc::clone(&self.shared));
            let noted = self.shared.journal.write(
                Urgency::Soon,
                async move |tx: &mut Tx<'_>, _: &mut Effects| {
                    halt_progress::note_look(tx, id, shared.environment.now()).await
                },
            );
            noted.await?;
            self.looked_at.insert(halt.id);
        }
        Ok(open_orders == 0 && open_positions == 0)
    }

    /// Asks back what is open and covered; answers how much there was.
    async fn take_back(&self, halt: &Halt) -> Result<usize, NotWritten> {
        let live = live::of(&self.shared.store, halt.org_id).await;
        let mut meant = live.map_err(|error| unread(&error))?;
        meant.retain(|order| {
            // A leg that passed a halt in another's place is what the other was.
            let passes_halts = order.passes_halts && order.leg.is_none();
            let subject = HaltSubject { passes_halts, ..subject_of(&self.shared, order) };
            halt.takes_back(order.purpose, &subject)
        });
        let count = meant.len();
        if self.looked_at.contains(&halt.id) {
            meant.retain(|order| !order.cancel_requested);
        }
        while !meant.is_empty() {
            let rest = meant.split_off(meant.len().min(TOGETHER));
            let together = std::mem::replace(&mut meant, rest);
            self.take_back_together(halt, together).await?;
        }
        Ok(count)
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
                let why = Why { by: &by, code: Code::OrderCanceled };
                cancel_in(tx, &shared, &wanted, why, effects).await.map(|_| ())
            })
            .await
    }
}

fn unread(error: &tradewarden_store::Error) -> NotWritten {
    NotWritten(error.to_string())
}
