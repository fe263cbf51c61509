//! What the broker holds beyond the fills that it tells, and which entry of ours it is of (S9).
//!
//! Fills may stay away while positions and orders are shown: then an entry has filled, and nothing protects
//! it. Two readings of the position in a row, between which nothing was told, and the broker's own word of
//! how much the entry has filled say the same thing three times. Then so much of the entry counts as
//! *reported*: its stop protects it, and what closes may close it, as what is held. It is no part of the
//! position, whose limits have counted the entry as live all along. What another hand bought is nobody's:
//! of that no entry is shown as filled.
//!
//! When fills of the entry are told, so much less is reported, in the transaction that folds them in: what is
//! protected stays the same, and nothing is protected twice. A stop that fills before the fills of its entry
//! are told is held against what is reported, and has opened nothing.
//!
//! When two such readings show less than what is held and reported, and no order of ours can have closed it,
//! another hand did: so much less is reported, or the stop would open what it no longer closes.
//!
//! Crash story: what is reported is a column of the exposure, written with its entry and its finding in one
//! transaction. A crash before it leaves nothing: two readings are needed again. After it the keeper of
//! brackets finds what is protected and not placed, as it does after any fill.

use crate::Shared;
use crate::attempt::has_left;
use crate::book::{Book, Scope, place_of};
use crate::effects::{Effects, Severity};
use crate::journal::Urgency;
use crate::lease::leads;
use crate::missing::Shown;
use crate::unwind::nothing_of_exits;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_broker::port::BrokerPosition;
use tradewarden_domain::account::Account;
use tradewarden_domain::exposure::{Exposure, Reported};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Quantity};
use tradewarden_domain::order::{Order, OrderState, Purpose};
use tradewarden_domain::profit::Points;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::exposures::Place;
use tradewarden_store::{Error, Tx, orders};

/// Two readings must be this far apart, as those of a difference (S3).
const READ_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// A position as our book has it. As long as that stays, nothing was told that explains an excess.
type Ours = (Quantity, Points, Money, Quantity);

/// What the broker held beyond our book at one reading, or at all of several in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    /// Signed; the least of the readings.
    quantity: Quantity,
    ours: Ours,
    first_at: Timestamp,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Excesses {
    readings: BTreeMap<(Id<id::Account>, Symbol), Reading>,
}

/// What two readings say of a pair.
struct Word {
    account: Arc<Account>,
    symbol: Symbol,
    reading: Reading,
    second_at: Timestamp,
    /// What the broker shows of the orders there whose fills are missing.
    shown: BTreeMap<Id<id::Order>, Shown>,
    /// Whether less is there than was reported, and the broker shows no exit of ours that explains it.
    is_less: bool,
}

impl Excesses {
    /// Compares a reading of an account's positions with our book, which was read after it.
    pub(crate) async fn look(
        &mut self,
        shared: &Arc<Shared>,
        account: &Arc<Account>,
        theirs: &[BrokerPosition],
        ours: &[(Place, Exposure)],
    ) {
        let now = shared.environment.now();
        let mut by_symbol: BTreeMap<&Symbol, (Quantity, Ours)> = BTreeMap::new();
        for position in theirs {
            let (there, _) = by_symbol.entry(&position.symbol).or_default();
            *there = there.saturating_plus(position.quantity);
        }
        for (place, part) in ours {
            let (_, (held, cost, fees, reported)) = by_symbol.entry(&place.symbol).or_default();
            *held = held.saturating_plus(part.quantity);
            *cost = cost.saturating_plus(part.cost);
            *fees = fees.saturating_plus(part.fees);
            *reported = reported.saturating_plus(part.reported());
        }
        self.readings.retain(|(of, symbol), _| *of != account.id || by_symbol.contains_key(symbol));
        for (symbol, (there, sums)) in by_symbol {
            let (held, _, _, reported) = sums;
            let quantity = there.saturating_minus(held).saturating_minus(reported);
            let key = (account.id, symbol.clone());
            let Some(reading) = self.read(key.clone(), quantity, sums, now) else { continue };
            let shown = shared.missing.on_pair(account.id, symbol);
            let mut parts = ours.iter().filter(|(place, _)| place.symbol == *symbol);
            let is_less = parts.any(|(_, part)| opposes(part.reported(), reading.quantity))
                && !nothing_of_exits(shared, account, [symbol.clone()].into()).await.is_empty();
            if shown.is_empty() && !is_less {
                continue;
            }
            let (account, symbol) = (Arc::clone(account), symbol.clone());
            let word = Arc::new(Word { account, symbol, reading, second_at: now, shown, is_less });
            let inner = Arc::clone(shared);
            let written = shared
                .journal
                .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                    take(tx, &inner, &word, effects).await
                })
                .await;
            match written {
                // The next excess is read twice again.
                Ok(()) => {
                    self.readings.remove(&key);
                }
                Err(error) => tracing::error!(error = %error.0, "an excess was not journaled"),
            }
        }
    }

    /// Notes a reading; answers what it and those before it say, if they are far enough apart.
    fn read(
        &mut self,
        pair: (Id<id::Account>, Symbol),
        quantity: Quantity,
        ours: Ours,
        now: Timestamp,
    ) -> Option<Reading> {
        if quantity.is_zero() {
            self.readings.remove(&pair);
            return None;
        }
        let is_same = |before: &Reading| {
            let are_alike = before.quantity.is_positive() == quantity.is_positive();
            before.ours == ours && are_alike
        };
        let Some(before) = self.readings.get(&pair).copied().filter(is_same) else {
            self.readings.insert(pair, Reading { quantity, ours, first_at: now });
            return None;
        };
        let is_less = quantity.magnitude() < before.quantity.magnitude();
        let least = if is_less { quantity } else { before.quantity };
        let reading = Reading { quantity: least, ..before };
        self.readings.insert(pair, reading);
        (before.first_at.plus(READ_AGAIN_AFTER) <= now).then_some(reading)
    }
}

/// Notes what of an excess the broker shows entries to have filled.
async fn take(
    tx: &mut Tx<'_>,
    shared: &Shared,
    word: &Word,
    effects: &mut Effects,
) -> Result<(), Error> {
    if !leads(tx, shared).await? {
        return Ok(());
    }
    let Word { account, symbol, reading, .. } = word;
    let mut scope = Scope::default();
    scope.add(account.org_id, account.id, symbol);
    if word.is_less {
        scope.pairs_with_live_orders.insert((account.id, symbol.clone()));
    }
    let mut book = Book::load(tx, shared, &scope).await?;
    if ours(&book, account.id, symbol) != reading.ours {
        return Ok(());
    }
    let ids: Vec<_> = word.shown.keys().copied().collect();
    let mut left = reading.quantity;
    if word.is_less {
        take_back(shared, &mut book, word);
    }
    for order in orders::lock_by_id(tx, &ids).await?.into_iter().flatten() {
        left = left.saturating_minus(take_of(shared, &mut book, word, &order, left));
    }
    book.write(tx, effects).await
}

fn ours(book: &Book, account: Id<id::Account>, symbol: &Symbol) -> Ours {
    let parts = book.exposures_of(account).filter(|(place, _)| place.symbol == *symbol);
    parts.fold(Ours::default(), |(held, cost, fees, reported), (_, part)| {
        (
            held.saturating_plus(part.quantity),
            cost.saturating_plus(part.cost),
            fees.saturating_plus(part.fees),
            reported.saturating_plus(part.reported()),
        )
    })
}

/// Notes what of an excess this entry has filled; answers how much, signed.
fn take_of(
    shared: &Shared,
    book: &mut Book,
    word: &Word,
    entry: &Order,
    excess: Quantity,
) -> Quantity {
    let side = entry.side;
    let is_of_side = side.signed(excess).is_positive();
    if entry.purpose != Purpose::Entry || !has_left(entry) || !is_of_side {
        return Quantity::ZERO;
    }
    let (Some(levels), Some(shown)) = (&entry.bracket, word.shown.get(&entry.id)) else {
        return Quantity::ZERO;
    };
    let place = place_of(entry);
    let exposure = book.exposure(&place);
    let is_of_another = exposure.reported.is_some_and(|reported| reported.entry_id != entry.id);
    let is_opposed = exposure.bracket.is_some_and(|bracket| bracket.side != side);
    if is_of_another || is_opposed {
        return Quantity::ZERO;
    }
    let known = entry.filled_quantity.saturating_plus(exposure.reported().magnitude());
    let most = shown.filled.min(entry.quantity_at_most()).saturating_minus(known);
    let quantity = most.min(excess.magnitude());
    let known_price = || {
        let reference = shared.market.reference(&word.account, &word.symbol, book.now);
        entry.limit_price.or_else(|| reference.price(book.now))
    };
    let Some(average_price) = shown.average_price.or_else(known_price) else {
        return Quantity::ZERO;
    };
    let tick = word.account.instruments.get(&word.symbol).map(|instrument| instrument.tick);
    let own = levels.of_price(entry, average_price, tick.unwrap_or_default());
    let bracket = exposure.bracket.unwrap_or(own);
    if bracket.stop_loss.is_none() || !quantity.is_positive() {
        return Quantity::ZERO;
    }
    let reported = Reported {
        average_price: exposure.reported.map_or(average_price, |before| before.average_price),
        entry_id: entry.id,
        first_read_at: word.reading.first_at,
        quantity: exposure.reported().magnitude().saturating_plus(quantity),
        second_read_at: word.second_at,
        side,
    };
    book.change_exposure(&place, |exposure| {
        (exposure.bracket, exposure.reported) = (Some(bracket), Some(reported));
    });
    tell(shared, book, entry, &reported);
    side.signed(quantity)
}

fn opposes(reported: Quantity, excess: Quantity) -> bool {
    !reported.is_zero() && reported.is_positive() != excess.is_positive()
}

/// What was reported and is not there any more is not reported. An entry of the other side that has left may
/// have filled: then the broker's word of that entry is waited for.
fn take_back(shared: &Shared, book: &mut Book, word: &Word) {
    let Word { account, symbol, reading, second_at, .. } = word;
    let parts: Vec<_> = book
        .exposures_of(account.id)
        .filter(|(place, _)| place.symbol == *symbol)
        .filter_map(|(place, part)| Some((place.clone(), part.reported?)))
        .collect();
    let mut left = reading.quantity.magnitude();
    for (place, before) in parts {
        let may_explain = |order: &Order| {
            let is_entry = order.purpose == Purpose::Entry && order.side != before.side;
            is_entry && order.state != OrderState::Accepted
        };
        let gone = before.quantity.min(left);
        if !opposes(before.side.signed(before.quantity), reading.quantity)
            || !gone.is_positive()
            || book.live_on_pair(&place).iter().any(may_explain)
        {
            continue;
        }
        left = left.saturating_minus(gone);
        let reported = Reported {
            first_read_at: reading.first_at,
            quantity: before.quantity.saturating_minus(gone),
            second_read_at: *second_at,
            ..before
        };
        book.change_exposure(&place, |exposure| {
            exposure.reported = Some(reported).filter(|left| left.quantity.is_positive());
        });
        let payload = json!({ "reported": reported, "symbol": symbol });
        book.enter(shared, account.org_id, before.entry_id, "order.reported", &payload);
        let detail = format!(
            "The broker held {gone} {symbol} less than was reported of this entry, at {} and at \
             {second_at}, and no order of ours has closed it. The stop of the entry gets so much smaller.",
            reading.first_at
        );
        let subject = before.entry_id.to_string();
        let code = "position.reported";
        book.find(shared, account.org_id, code, Severity::Critical, subject, detail);
    }
}

fn tell(shared: &Shared, book: &mut Book, entry: &Order, reported: &Reported) {
    let Reported { quantity, first_read_at, second_read_at, .. } = reported;
    let payload = json!({ "reported": reported, "symbol": entry.symbol });
    book.enter(shared, entry.org_id, entry.id, "order.reported", &payload);
    let detail = format!(
        "The broker holds {quantity} {} more than the fills it tells, at {first_read_at} and at \
         {second_read_at}, and shows this entry as filled so far. The stop of the entry is placed for \
         that, without its fills.",
        entry.symbol
    );
    let (org, subject) = (entry.org_id, entry.id.to_string());
    book.find(shared, org, "position.reported", Severity::Critical, subject, detail);
}
