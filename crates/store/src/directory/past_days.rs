//! The days of trading that accounts had before they were changed: what a replay judges the past by.

use super::accounts::{days_values, decode_days};
use crate::Error;
use crate::dialect::{Store, Tx};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::session::TradingDays;
use tradewarden_domain::time::Timestamp;

const PUT_PAST_DAYS: &str = "-- directory::put_past_days\n\
    INSERT INTO past_days (account_id, held_until, session, loss_reset, next_session, \
    next_loss_reset, running_since, next_begins_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
    ON CONFLICT (account_id, held_until) DO NOTHING";
const PAST_DAYS: &str = "-- directory::past_days\n\
    SELECT past_days.account_id, past_days.held_until, past_days.session, past_days.loss_reset, \
    past_days.next_session, past_days.next_loss_reset, past_days.running_since, \
    past_days.next_begins_at FROM past_days JOIN accounts ON accounts.id = past_days.account_id \
    WHERE accounts.org_id = $1 ORDER BY past_days.held_until, past_days.account_id LIMIT $2";
const FORGET_PAST_DAYS: &str =
    "-- directory::forget_past_days\nDELETE FROM past_days WHERE held_until < $1";

pub(crate) const STATEMENTS: &[&str] = &[PUT_PAST_DAYS, PAST_DAYS, FORGET_PAST_DAYS];

/// Keeps what an account's days were until now. What held for no time at all is not kept.
pub async fn put_past_days(
    tx: &mut Tx<'_>,
    account: Id<id::Account>,
    held_until: Timestamp,
    days: &TradingDays,
) -> Result<(), Error> {
    let mut values = vec![account.into(), held_until.into()];
    values.extend(days_values(days));
    tx.execute(PUT_PAST_DAYS, &values).await.map(|_| ())
}

/// At most `count` of what the days of an organization's accounts were, and until when, oldest first.
pub async fn past_days(
    store: &Store,
    org: Id<id::Org>,
    count: u32,
) -> Result<Vec<(Id<id::Account>, Timestamp, TradingDays)>, Error> {
    let rows = store.query(PAST_DAYS, vec![org.into(), count.into()]).await?;
    rows.into_iter().map(|mut row| Ok((row.id()?, row.time()?, decode_days(&mut row)?))).collect()
}

/// Forgets what held until longer ago.
pub async fn forget_past_days(tx: &mut Tx<'_>, before: Timestamp) -> Result<(), Error> {
    tx.execute(FORGET_PAST_DAYS, &[before.into()]).await.map(|_| ())
}
