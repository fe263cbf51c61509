//! Lockdown: one action for a compromised account, carried on step by step until nothing is left
//! that can be done without a person (S21).
//!
//! What comes next is `domain::lockdown`'s to say; here each part of a step is one transaction with
//! its entries, under the lock of the organization, on the stored step.
//!
//! Crash story: the step is a row, and what a step has not done yet is found by looking for it, so a
//! crash before a commit leaves that part undone and a crash after it leaves it done once. Whoever
//! leads next goes on. Nothing is remembered here.

mod bundle;
mod end;
mod engage;
mod status;
mod work;

pub(crate) use self::status::phrase;
use self::work::{Open, Part, unheard_by_broker};

use crate::Shared;
use crate::book::{Book, Scope};
use crate::effects::{Effects, Severity};
use crate::journal::{NotWritten, Urgency};
use crate::orders::live;
use std::sync::Arc;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::lockdown::{Look, Next, Positions, Step};
use tradewarden_domain::order::Purpose;
use tradewarden_store::lockdowns::{self, Lockdown};
use tradewarden_store::{Error, Lock, Tx, directory as rows};

/// Transactions that one look makes at most; the next look goes on.
const MOVES_MAX: usize = 256;

/// Brings every lockdown that is in force as far as it can go now.
pub(crate) async fn round(shared: &Arc<Shared>) {
    let all = match lockdowns::all_in_force(&shared.store).await {
        Ok(all) => all,
        Err(error) => return tracing::error!(%error, "lockdowns could not be read"),
    };
    for lockdown in all {
        let id = lockdown.id;
        if let Err(error) = advance(shared, lockdown).await {
            tracing::error!(lockdown.id = %id, error = %error.0, "a lockdown waits");
        }
    }
}

/// Brings a lockdown as far as it can go now.
async fn advance(shared: &Arc<Shared>, mut lockdown: Lockdown) -> Result<(), NotWritten> {
    for _ in 0..MOVES_MAX {
        let open = open_at(shared, &lockdown).await?;
        let now = shared.environment.now();
        // What is undone is found in the transaction; of everything else this is enough to wait.
        let is_undone = !matches!(lockdown.step, Step::Cancel) || !open.unasked.is_empty();
        if lockdown.step.next(&look(&lockdown, now, is_undone, &open)) == Next::Wait {
            return Ok(());
        }
        let before = lockdown.step;
        make_move(shared, lockdown.org_id, before, open).await?;
        match before {
            Step::EndAccess => {
                shared.reload().await;
                shared.look_at_people().await;
            }
            Step::Rotate | Step::Erase => shared.reload().await,
            Step::Halt | Step::Cancel | Step::Ask | Step::Confirm | Step::Done => {}
        }
        let next = lockdowns::in_force(&shared.store, lockdown.org_id).await;
        match next.map_err(|error| NotWritten(error.to_string()))? {
            Some(next) => lockdown = next,
            None => return Ok(()),
        }
    }
    Ok(())
}

fn look(
    lockdown: &Lockdown,
    now: tradewarden_domain::time::Timestamp,
    is_undone: bool,
    open: &Open,
) -> Look {
    Look {
        now,
        since: lockdown.step_at,
        is_undone,
        is_unheard: !open.unheard.is_empty(),
        is_said: match lockdown.step {
            Step::Ask => lockdown.positions.is_some(),
            Step::Confirm => lockdown.confirmed_at.is_some(),
            _ => false,
        },
    }
}

/// The orders that add risk, as far as the step is about them.
async fn open_at(shared: &Shared, lockdown: &Lockdown) -> Result<Open, NotWritten> {
    if lockdown.step != Step::Cancel {
        return Ok(Open::default());
    }
    let live = live::of(&shared.store, Some(lockdown.org_id)).await;
    let mut live = live.map_err(|error| NotWritten(error.to_string()))?;
    live.retain(|order| order.purpose == Purpose::Entry);
    Ok(Open::of(live))
}

/// Does a part of the step, or begins the next one, in one transaction; nothing if the lockdown is
/// not at this step any more.
async fn make_move(
    shared: &Arc<Shared>,
    org: Id<id::Org>,
    step: Step,
    open: Open,
) -> Result<(), NotWritten> {
    let inner = Arc::clone(shared);
    shared
        .journal
        .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            let versions = rows::lock_organizations(tx, &[org], Lock::Update).await?;
            let Some(mut lockdown) = lockdowns::in_force_in(tx, org).await? else { return Ok(()) };
            if lockdown.step != step {
                return Ok(());
            }
            let mut book = Book::load(tx, &inner, &Scope::default()).await?;
            let part = Part::of(tx, &lockdown, &open, book.now).await?;
            match step.next(&look(&lockdown, book.now, !part.is_empty(), &open)) {
                Next::Wait => return Ok(()),
                Next::Work => {
                    let strategies = versions.first().map_or(0, |versions| versions.strategies);
                    let work = work::Work { shared: &inner, lockdown: &lockdown, strategies };
                    let done = work.carry_out(tx, &mut book, effects, part).await?;
                    lockdowns::count(tx, lockdown.id, step, lockdown.step_at, (done, 0)).await?;
                }
                Next::Begin(next) => {
                    begin(tx, &inner, &mut book, &mut lockdown, next, &open).await?;
                }
            }
            book.write(tx, effects).await
        })
        .await
}

/// Ends the step and begins the next one.
async fn begin(
    tx: &mut Tx<'_>,
    shared: &Shared,
    book: &mut Book,
    lockdown: &mut Lockdown,
    next: Step,
    open: &Open,
) -> Result<(), Error> {
    let (id, org, step) = (lockdown.id, lockdown.org_id, lockdown.step);
    if step == Step::Ask && lockdown.positions.is_none() {
        lockdown.positions = Some(Positions::Keep);
        lockdown.answered_at = Some(book.now);
    }
    let note = work::note(tx, shared, lockdown, open).await?;
    lockdowns::count(tx, id, step, lockdown.step_at, (0, open.unheard.len())).await?;
    lockdowns::finish(tx, id, step, book.now, &note).await?;
    (lockdown.step, lockdown.step_at) = (next, book.now);
    lockdowns::update(tx, lockdown).await?;
    let payload = serde_json::json!({ "next": next, "note": note, "step": step });
    book.enter(shared, org, id, "lockdown.step_done", &payload);
    for (broker, count) in unheard_by_broker(shared, open) {
        let detail = format!(
            "The lockdown went on after 10 s: {broker} did not confirm the cancel of {count} \
             orders that add risk. They are asked back until it does."
        );
        let (code, critical) = ("lockdown.cancel_unheard", Severity::Critical);
        book.find(shared, org, code, critical, broker, detail);
    }
    let told = match next {
        Step::Ask => Some((
            "lockdown.answer_wanted",
            "Say within 60 s whether open positions are closed or kept: tradewarden lockdown \
             answer flatten, or keep. Without an answer they are kept, and stops stay working.",
        )),
        Step::Confirm => Some((
            "lockdown.confirmation_wanted",
            "Read the list of open positions and confirm it: tradewarden lockdown status. Then \
             the access to brokers is erased.",
        )),
        _ => None,
    };
    if let Some((code, detail)) = told {
        book.raise(shared, org, code, Severity::Critical, id.to_string(), detail.to_owned());
    }
    Ok(())
}
