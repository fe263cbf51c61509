//! The roll table: kept by people, and looked at for positions that are held too long, or roll (S11).

mod auto;

pub(crate) use self::auto::Roller;

use crate::book::{Book, Scope};
use crate::command::RollSet;
use crate::command::error::{CommandError, invalid, to_value};
use crate::effects::Severity;
use crate::free_text;
use crate::journal::Urgency;
use crate::view::{Page, RollView};
use crate::{Engine, Shared};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::day::Day;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::roll::{Continuous, Contract, RollTable};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::{Error, exposures, findings};

/// Contracts of one organization's table.
const CONTRACTS_MAX: usize = 1_000;

impl Engine {
    pub(crate) fn contract_to_be(
        &self,
        org: Id<id::Org>,
        new: &RollSet,
    ) -> Result<Contract, CommandError> {
        let parse = |field: &'static str, text: &str| {
            let symbol = free_text::symbol(field, text)?;
            if Continuous::of(&symbol).is_some() {
                return Err(invalid(field, &"a continuous symbol stands for months, and is none"));
            }
            Ok(symbol)
        };
        let (root, symbol) = (parse("root", &new.root)?, parse("contract", &new.contract)?);
        if new.first_notice_on.is_some_and(|notice| notice > new.expires_on.plus_days(31)) {
            return Err(invalid("first_notice_on", &"is more than a month after the expiry"));
        }
        let contract = Contract {
            org_id: org,
            root,
            symbol,
            expires_on: new.expires_on,
            first_notice_on: new.first_notice_on,
            roll_at: new.roll_at,
            updated_at: self.now(),
        };
        if contract.roll_at.is_some_and(|at| Day::at(at) > contract.last_day()) {
            let detail =
                format!("must not be after the contract's last day, {}", contract.last_day());
            return Err(invalid("roll_at", &detail));
        }
        let table = crate::book::rolls(&self.parts, org);
        let is_new = table.contract(&contract.symbol).is_none();
        if is_new && table.contracts().count() >= CONTRACTS_MAX {
            return Err(invalid(
                "contract",
                &format!("a table has at most {CONTRACTS_MAX} contracts"),
            ));
        }
        Ok(contract)
    }

    pub(crate) fn list_rolls(&self, org: Id<id::Org>) -> Result<Value, CommandError> {
        let table = crate::book::rolls(&self.parts, org);
        let items = table.contracts().map(|contract| self.roll_view(&table, contract)).collect();
        to_value(&Page { items, next: None })
    }

    pub(crate) fn roll_view(&self, table: &RollTable, contract: &Contract) -> RollView {
        let front = Continuous { root: contract.root.clone(), place: 1 };
        let front = table.front(&front, self.now());
        RollView {
            root: contract.root.clone(),
            contract: contract.symbol.clone(),
            expires_on: contract.expires_on,
            first_notice_on: contract.first_notice_on,
            roll_at: contract.roll_at,
            rolls_at: contract.rolls_at(),
            last_day: contract.last_day(),
            is_front: front.is_some_and(|front| front.symbol == contract.symbol),
            updated_at: contract.updated_at,
        }
    }
}

const OLD_MONTH: &str = "position.old_month";
/// Positions are looked for so often, and at once when a day begins or the table changes.
const LOOKED_AFTER: Duration = Duration::from_mins(1);
/// Those that roll by themselves, which takes a while.
const ROLLING_LOOKED_AFTER: Duration = Duration::from_mins(10);

/// Tells of positions in contracts that end soon or have ended, each once a day.
pub(crate) struct OldMonths {
    shared: Arc<Shared>,
    /// The day, and when the table last changed, as they were then.
    looked_by: Option<(Day, Option<Timestamp>)>,
    looked_at: Timestamp,
    rolling_looked_at: Timestamp,
}

impl OldMonths {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let now = shared.environment.now();
        Self { shared, looked_by: None, looked_at: now, rolling_looked_at: now }
    }

    /// Looks if it is time.
    pub(crate) async fn round(&mut self) {
        let now = self.shared.environment.now();
        let directory = self.shared.directory.load_full();
        let contracts = directory.rolls.values().flat_map(|table| table.contracts());
        let by = Some((Day::at(now), contracts.map(|contract| contract.updated_at).max()));
        let is_past = |at: Timestamp, span| at.plus(span) <= now || at > now;
        if by == self.looked_by && !is_past(self.looked_at, LOOKED_AFTER) {
            return;
        }
        (self.looked_by, self.looked_at) = (by, now);
        let with_rolling = is_past(self.rolling_looked_at, ROLLING_LOOKED_AFTER);
        if with_rolling {
            self.rolling_looked_at = now;
        }
        if let Err(error) = tell(&self.shared, with_rolling).await {
            tracing::error!(error = %error, "positions in old months were not looked for");
        }
    }
}

async fn tell(shared: &Arc<Shared>, with_rolling: bool) -> Result<(), Error> {
    let now = shared.environment.now();
    let today = Day::at(now).begins();
    let directory = shared.directory.load_full();
    let mut found = Vec::new();
    for account in directory.accounts.values() {
        let Some(table) = directory.rolls.get(&account.org_id) else { continue };
        let old: BTreeSet<_> =
            table.contracts().filter(|month| month.warns(now)).map(|month| &month.symbol).collect();
        if old.is_empty() {
            continue;
        }
        for (place, exposure) in exposures::of_account(&shared.store, account.id).await? {
            let contract = table.contract(&place.symbol).filter(|_| !exposure.quantity.is_zero());
            let Some(contract) = contract.filter(|contract| old.contains(&contract.symbol)) else {
                continue;
            };
            let strategy = directory.strategies.get(&place.strategy_id);
            let fate = match strategy.and_then(|strategy| strategy.rolls()) {
                Some(_) if !with_rolling => continue,
                Some(_) => "it was not rolled yet",
                None => "nothing rolls it by itself",
            };
            let subject = format!("{} {} {}", place.account_id, place.symbol, place.strategy_id);
            let org = account.org_id;
            if findings::was_found(&shared.store, org, today, OLD_MONTH, &subject).await? {
                continue;
            }
            let detail = format!(
                "{} of {} is held; its last day is {}, and {fate}.",
                exposure.quantity,
                place.symbol,
                contract.last_day()
            );
            found.push((org, subject, detail));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let inner = Arc::clone(shared);
    let written = shared
        .journal
        .write(Urgency::Soon, async move |tx, effects| {
            let mut book = Book::load(tx, &inner, &Scope::default()).await?;
            for (org, subject, detail) in &found {
                let (subject, detail) = (subject.clone(), detail.clone());
                book.find(&inner, *org, OLD_MONTH, Severity::Warning, subject, detail);
            }
            book.write(tx, effects).await
        })
        .await;
    if let Err(error) = written {
        tracing::warn!(error = %error.0, "findings of old months were not written");
    }
    Ok(())
}
