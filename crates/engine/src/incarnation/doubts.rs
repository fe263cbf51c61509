//! What a restore holds for doubtful, and what it ends, because nobody knows what became of it in what was
//! lost.
//!
//! An order that waits to be sent, or is being sent, may have left since; so may a change of one. None is
//! called for again: the broker is asked, and what it does not know ends (C7). What two people had yet to
//! agree on, or had agreed on and nobody used, may have been used or taken back: people ask for it anew. So
//! do those who were sent a code or a link, or were invited.

use super::BY;
use crate::attempt::ATTEMPT_SPAN;
use crate::entry::entry;
use crate::environment::Environment;
use crate::payload::Payload;
use serde_json::json;
use tradewarden_domain::id::{self, Id, Kind};
use tradewarden_domain::order::{ChangeState, Order, OrderEvent, OrderState, after};
use tradewarden_domain::person::{ChallengeKind, Decision};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::audit::Entry;
use tradewarden_store::{Error, Tx, challenges, invitations, orders, overrides, pending, sessions};

/// Orders that are read at once.
const PAGE: i64 = 1_000;
/// What a person was sent, and uses once. What tells that something was used is kept.
const SENT: [ChallengeKind; 4] =
    [ChallengeKind::Factor, ChallengeKind::Enrolment, ChallengeKind::Password, ChallengeKind::Sms];

/// What there was, and the entries that tell of it.
pub(super) struct Doubts {
    pub(super) orders: u64,
    pub(super) changes: u64,
    pub(super) approvals: u64,
    pub(super) overrides: u64,
    pub(super) invitations: u64,
    pub(super) sessions: u64,
    pub(super) entries: Vec<Entry>,
}

/// Makes entries of one transaction.
struct Teller<'a> {
    environment: &'a Environment,
    now: Timestamp,
    entries: Vec<Entry>,
}

impl Teller<'_> {
    fn tell<K: Kind>(
        &mut self,
        org: Id<id::Org>,
        object: Id<K>,
        event: &'static str,
        payload: impl Into<Payload>,
    ) {
        let last = self.entries.last().map(|last| last.id);
        let id = self.environment.id_following(last, self.now);
        let payload = payload.into();
        self.entries.push(entry(self.environment, id, org, object, event, self.now, payload));
    }
}

/// Holds for doubtful and ends what there is of it.
pub(super) async fn settle(
    tx: &mut Tx<'_>,
    environment: &Environment,
    now: Timestamp,
) -> Result<Doubts, Error> {
    let mut teller = Teller { environment, now, entries: Vec::new() };
    let (orders, changes) = hold_orders(tx, &mut teller).await?;
    let approvals = end_approvals(tx, &mut teller).await?;
    let overrides = end_overrides(tx, &mut teller).await?;
    for kind in SENT {
        challenges::void_kind(tx, kind).await?;
    }
    let invitations = end_invitations(tx, &mut teller).await?;
    let sessions = sessions::end_all(tx, BY, now).await?;
    let entries = teller.entries;
    Ok(Doubts { orders, changes, approvals, overrides, invitations, sessions, entries })
}

async fn hold_orders(tx: &mut Tx<'_>, teller: &mut Teller<'_>) -> Result<(u64, u64), Error> {
    let (mut waiting, mut changing) = (0_u64, 0_u64);
    let mut last: Option<Order> = None;
    loop {
        let page = orders::live_in(tx, last.as_ref(), PAGE).await?;
        if page.is_empty() {
            return Ok((waiting, changing));
        }
        last = page.last().cloned();
        let mut held = Vec::new();
        for mut order in page {
            let (is_waiting, is_changing) =
                (hold(&mut order, teller.now), hold_change(&mut order, teller.now));
            waiting = waiting.saturating_add(u64::from(is_waiting));
            changing = changing.saturating_add(u64::from(is_changing));
            if is_waiting || is_changing {
                order.updated_at = teller.now;
                teller.tell(order.org_id, order.id, "order.in_doubt", &order);
                held.push(order);
            }
        }
        orders::put(tx, &held).await?;
    }
}

/// Holds an order for one whose attempt was made now and not heard, if it was not at its broker yet. One
/// that was being sent may have been called for once more since.
fn hold(order: &mut Order, now: Timestamp) -> bool {
    match order.state {
        OrderState::Accepted | OrderState::Sending => {
            order.state = after(order.state, OrderEvent::Attempt).unwrap_or(OrderState::Sending);
        }
        OrderState::Unknown => {}
        _ => return false,
    }
    order.attempt_until = Some(now.plus(ATTEMPT_SPAN));
    true
}

/// The same of a change.
fn hold_change(order: &mut Order, now: Timestamp) -> bool {
    let Some(change) = order.change.as_mut().filter(|change| change.is_in_flight()) else {
        return false;
    };
    if change.state == ChangeState::Wanted {
        change.state = ChangeState::Sending;
    }
    change.attempt_until = Some(now.plus(ATTEMPT_SPAN));
    true
}

async fn end_approvals(tx: &mut Tx<'_>, teller: &mut Teller<'_>) -> Result<u64, Error> {
    let mut ended = 0_u64;
    for row in pending::waiting(tx, teller.now).await? {
        if pending::decide(tx, row.id, BY, Decision::Rejected, teller.now).await? {
            teller.tell(row.org_id, row.id, "pending.rejected", &json!({ "actor": BY }));
            ended = ended.saturating_add(1);
        }
    }
    Ok(ended)
}

async fn end_overrides(tx: &mut Tx<'_>, teller: &mut Teller<'_>) -> Result<u64, Error> {
    let mut ended = 0_u64;
    for (org, id) in overrides::open(tx, teller.now).await? {
        if overrides::withdraw(tx, id, BY, teller.now).await? {
            teller.tell(org, id, "override.withdrawn", &json!({ "actor": BY }));
            ended = ended.saturating_add(1);
        }
    }
    Ok(ended)
}

/// Some were answered or taken back since, and whoever holds the token could still join with it.
async fn end_invitations(tx: &mut Tx<'_>, teller: &mut Teller<'_>) -> Result<u64, Error> {
    let mut ended = 0_u64;
    for (org, id) in invitations::end_all(tx).await? {
        teller.tell(org, id, "invitation.ended", &json!({ "actor": BY }));
        ended = ended.saturating_add(1);
    }
    Ok(ended)
}
