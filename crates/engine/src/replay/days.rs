//! The days of trading that accounts had at a time of a replay (S23).

use crate::command::error::{CommandError, away, invalid};
use std::collections::BTreeMap;
use tradewarden_domain::account::Account;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::session::TradingDays;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::{Store, directory as rows};

/// Changes that are read; people make few.
const CHANGES_MAX: u32 = 10_000;

/// What the days of each account were, and until when, oldest first; those of today are the account's.
pub(super) struct Days(BTreeMap<Id<id::Account>, Vec<(Timestamp, TradingDays)>>);

impl Days {
    pub(super) async fn read(store: &Store, org: Id<id::Org>) -> Result<Self, CommandError> {
        let past = rows::past_days(store, org, CHANGES_MAX).await.map_err(|error| away(&error))?;
        if u32::try_from(past.len()).unwrap_or(CHANGES_MAX) >= CHANGES_MAX {
            let detail = format_args!("days of trading were changed {CHANGES_MAX} times since");
            return Err(invalid("from", &detail));
        }
        let mut days = BTreeMap::<_, Vec<_>>::new();
        for (account, held_until, past) in past {
            days.entry(account).or_default().push((held_until, past));
        }
        Ok(Self(days))
    }

    /// Those that held at a time.
    pub(super) fn at<'a>(&'a self, account: &'a Account, at: Timestamp) -> &'a TradingDays {
        let mut past = self.0.get(&account.id).into_iter().flatten();
        let held = past.find(|(held_until, _)| *held_until > at);
        held.map_or(&account.days, |(_, days)| days)
    }

    /// When the session began that a time is in.
    pub(super) fn began(&self, account: &Account, at: Timestamp) -> Timestamp {
        self.at(account, at).began(at)
    }
}
