//! Adopting (S3): what an account holds that nobody here opened becomes a strategy's, once, by a person's
//! word. From then on its signals close it like anything that it opened itself.
//!
//! What that is has to be certain: two readings of the broker's word and of ours, far enough apart that
//! a fill on its way would have been heard, say the same, and in the transaction ours still is what it
//! was. Crash story: one transaction with its audit entry. A crash before it leaves nothing adopted,
//! after it the position is the strategy's and unheard.

use super::strategy::{Target, found};
use super::{Stop, begin, differences, enter, lock};
use crate::actor::Actor;
use crate::administer::create::is_alone;
use crate::book::{Book, Scope, rolls};
use crate::command::StrategyChanges;
use crate::command::error::{CommandError, away};
use crate::effects::Effects;
use crate::reads::strategy_view;
use crate::reconcile::may_move;
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_broker::port::BrokerAccount;
use tradewarden_domain::code::Code;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Quantity};
use tradewarden_domain::order::Side;
use tradewarden_domain::profit::Points;
use tradewarden_domain::strategy::Strategy;
use tradewarden_store::exposures::{self, NO_STRATEGY, Place};
use tradewarden_store::{Tx, directory as rows};

/// Two readings of a position must be this far apart (S3).
const READINGS_APART: Duration = Duration::from_secs(5);

/// What is held on each pair of a strategy.
type Readings = BTreeMap<(Id<id::Account>, Symbol), Reading>;

/// What is held on a pair by the broker's word, and by ours: what we hold, what it cost, and the fees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Reading {
    theirs: Quantity,
    ours: (Quantity, Points, Money),
}

impl StrategyChanges {
    /// Whether a strategy is to adopt what it finds.
    pub(super) fn adopts(&self) -> bool {
        self.adopt == Some(true)
    }

    /// It is a change of its own.
    fn is_alone(&self) -> bool {
        let all = serde_json::to_value(self).ok();
        all.as_ref().and_then(Value::as_object).is_some_and(|all| all.len() == 1)
    }
}

impl Engine {
    /// Has a strategy adopt what nobody here opened. One that did before, and was not told to stop, stays
    /// as it is.
    pub(super) async fn adopt(
        &self,
        target: &Target,
        changes: &StrategyChanges,
        actor: &Actor,
    ) -> Result<(), CommandError> {
        if !changes.is_alone() {
            return Err(crate::command::error::invalid("adopt", &"must be a change of its own"));
        }
        actor.fresh(self.parts.environment.now())?;
        let known = self.parts.directory.load().strategies.get(&target.id).cloned();
        let known = known.filter(|known| known.org_id == target.org && actor.reaches_all_of(known));
        let known = known.ok_or(CommandError::NotFound)?;
        if known.adopt {
            return Ok(());
        }
        let readings = self.read_twice(&known).await?;
        let (shared, claimant, target) = (Arc::clone(&self.parts), actor.clone(), target.clone());
        self.amend(actor, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            adopt_in(tx, &shared, &target, &readings, &claimant, effects).await
        })
        .await
    }

    async fn read_twice(&self, strategy: &Strategy) -> Result<Readings, CommandError> {
        let first = self.read(strategy).await?;
        tokio::time::sleep(READINGS_APART).await;
        if self.read(strategy).await? != first {
            return Err(ambiguous("two readings 5 s apart differ"));
        }
        Ok(first)
    }

    async fn read(&self, strategy: &Strategy) -> Result<Readings, CommandError> {
        let directory = self.parts.directory.load_full();
        let symbols = rolls(&self.parts, strategy.org_id).spread(&strategy.symbol);
        let mut readings = Readings::new();
        for id in strategy.accounts() {
            let account = directory.accounts.get(&id).ok_or(CommandError::NotFound)?;
            let broker = self.parts.brokers.get(&account.broker).ok_or(CommandError::NotFound)?;
            let theirs = broker.positions(BrokerAccount::new(&account.broker_account)).await;
            let theirs = theirs.map_err(|unheard| CommandError::Unavailable {
                detail: format!("the broker of account {id} was not heard: {unheard}"),
            })?;
            let ours = exposures::of_account(&self.parts.store, id).await;
            let ours = ours.map_err(|error| away(&error))?;
            for symbol in &symbols {
                let of_pair = theirs.iter().filter(|position| position.symbol == *symbol);
                let theirs = of_pair
                    .fold(Quantity::ZERO, |sum, position| sum.saturating_plus(position.quantity));
                let own = ours.iter().filter(|(place, _)| place.symbol == *symbol);
                let own = own.fold(Exposure::default(), |sum, (_, part)| sum.and(part));
                let ours = (own.quantity, own.cost, own.fees);
                readings.insert((id, symbol.clone()), Reading { theirs, ours });
            }
        }
        Ok(readings)
    }
}

async fn adopt_in(
    tx: &mut Tx<'_>,
    shared: &Arc<Shared>,
    target: &Target,
    readings: &Readings,
    actor: &Actor,
    effects: &mut Effects,
) -> Result<(), Stop> {
    let versions = lock(tx, target.org).await?;
    let before = found(tx, target, actor).await?;
    let table = rolls(shared, target.org);
    is_alone(tx, &before, &table).await.map_err(|stop| match stop {
        Stop::No(CommandError::Refused { .. }) => {
            ambiguous("another strategy may trade the same on the same account").into()
        }
        other => other,
    })?;
    let mut scope = Scope::default();
    for (account, symbol) in readings.keys() {
        scope.add(target.org, *account, symbol);
        scope.pairs_with_live_orders.insert((*account, symbol.clone()));
    }
    let mut book = Book::load(tx, shared, &scope).await?;
    let mut adopted = Vec::new();
    for account in before.accounts() {
        for symbol in table.spread(&before.symbol) {
            let reading = readings.get(&(account, symbol.clone()));
            let reading = reading.ok_or_else(|| ambiguous("the strategy was changed meanwhile"))?;
            let place = Place { account_id: account, symbol, strategy_id: before.id };
            adopted.extend(take_over(shared, &mut book, &place, reading)?);
        }
    }
    if adopted.is_empty() {
        return Err(ambiguous("nothing is held there that was not opened here").into());
    }
    let after = Strategy { adopt: true, ..before.clone() };
    let differences = differences(&strategy_view(&before), &strategy_view(&after))?;
    begin(tx, shared, actor).await?;
    rows::update_strategy(tx, &after).await?;
    rows::set_strategies_version(tx, target.org, versions.strategies.saturating_add(1)).await?;
    let payload = json!({ "adopted": adopted, "changed": differences });
    let object = (target.org, target.id);
    enter(tx, shared, book, effects, object, "strategy.adopted", (actor, payload)).await
}

/// Makes what is not ours on a pair the strategy's, at the best price that is known: from there on it is
/// the strategy's profit or loss.
fn take_over(
    shared: &Shared,
    book: &mut Book,
    place: &Place,
    reading: &Reading,
) -> Result<Option<Value>, CommandError> {
    let Place { account_id, symbol, strategy_id } = place;
    let pair = book.pair_exposure(*account_id, symbol);
    if (pair.quantity, pair.cost, pair.fees) != reading.ours {
        return Err(ambiguous(&format!("a fill of {symbol} came in meanwhile")));
    }
    let foreign = reading.theirs.saturating_minus(pair.quantity);
    if foreign.is_zero() {
        return Ok(None);
    }
    if book.live_on_pair(place).iter().any(may_move) {
        return Err(ambiguous(&format!("an order in {symbol} may fill at any moment")));
    }
    let holds = |other: &Id<id::Strategy>| {
        let other = Place { strategy_id: *other, ..place.clone() };
        !book.exposure(&other).is_idle()
    };
    let mut others = book.holders(*account_id, symbol);
    others.retain(|other| other != strategy_id && *other != NO_STRATEGY);
    if others.iter().any(holds) {
        return Err(ambiguous(&format!("another strategy holds {symbol} on the same account")));
    }
    let account = crate::book::account(shared, *account_id).ok_or(CommandError::NotFound)?;
    let reference = shared.market.reference(&account, symbol, book.now);
    let price = reference.price(book.now).or_else(|| reference.last_known());
    let price = price.filter(|_| account.instruments.contains_key(symbol));
    let price = price.ok_or_else(|| ambiguous(&format!("no price of {symbol} is known")))?;
    let side = if foreign.is_positive() { Side::Buy } else { Side::Sell };
    let mut fits = None;
    book.change_exposure(place, |exposure| {
        fits = exposure.fill(side, foreign.magnitude(), price, Money::ZERO);
    });
    fits.ok_or_else(|| ambiguous(&format!("the position in {symbol} is too large to count")))?;
    Ok(Some(json!({
        "account_id": account_id, "price": price, "quantity": foreign, "symbol": symbol,
    })))
}

fn ambiguous(why: &str) -> CommandError {
    let code = Code::PositionAmbiguous;
    CommandError::Refused { code, detail: format!("{} Here {why}.", code.meaning()) }
}
