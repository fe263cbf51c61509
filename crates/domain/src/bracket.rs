//! Brackets: the orders that take a profit or stop a loss, kept as large as what is held (S9).
//!
//! An entry carries its levels. What it fills is protected by at most one leg of each kind for each
//! strategy on a pair; a newer entry with levels of its own replaces them. Legs never count as
//! exposure: they are two orders for one position, and the gateway cancels what is too much.

use crate::code::Code;
use crate::id::{self, Id};
use crate::money::{Price, Quantity, Round};
use crate::order::{ChangeState, Order, OrderState, OrderType, Purpose, Side, TimeInForce, words};
use crate::signal::Percentage;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

words! {
    /// What an order of a bracket is for.
    Leg {
        /// It stops the loss.
        StopLoss = "stop_loss",
        /// It takes the profit.
        TakeProfit = "take_profit",
    }

    /// What happens to a position whose stop does not work though it should (S9).
    OnNaked {
        /// It is closed at the market.
        Close = "close",
        /// A person hears of it.
        Alert = "alert",
    }
}

/// A leg of a bracket, and the entry whose levels it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegOf {
    /// Which.
    pub leg: Leg,
    /// The entry.
    pub parent_id: Id<id::Order>,
}

/// How far from the price of the entry: `1.5` in the price's own currency, or `2%` of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Away {
    /// In percent of it.
    Percent(Percentage),
    /// In the price's own currency; positive.
    Amount(Price),
}

/// The text is no distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AwayError;

impl fmt::Display for AwayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a distance is a number greater than zero, such as 1.5, or a percentage, 2%")
    }
}

impl std::error::Error for AwayError {}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{}%", percent.number()),
            Self::Amount(amount) => amount.fmt(f),
        }
    }
}

impl FromStr for Away {
    type Err = AwayError;

    fn from_str(text: &str) -> Result<Self, AwayError> {
        if let Some(percent) = text.trim().strip_suffix('%') {
            let number = percent.trim().parse().map_err(|_| AwayError)?;
            return Percentage::new(number).map(Self::Percent).ok_or(AwayError);
        }
        let amount: Price = text.trim().parse().map_err(|_| AwayError)?;
        if amount.is_positive() { Ok(Self::Amount(amount)) } else { Err(AwayError) }
    }
}

impl TryFrom<String> for Away {
    type Error = AwayError;

    fn try_from(text: String) -> Result<Self, AwayError> {
        text.parse()
    }
}

impl From<Away> for String {
    fn from(away: Away) -> Self {
        away.to_string()
    }
}

/// Where a leg stands, by the signal or the strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// At a price.
    At(Price),
    /// So far from the average price of the entry's fills.
    Away(Away),
}

/// What protects an entry's fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// What happens without a working stop.
    pub on_naked: OnNaked,
    /// The worst price that the stop takes; it is a stop-limit order then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_limit: Option<Price>,
    /// Where the loss is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_loss: Option<Mark>,
    /// Where the profit is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take_profit: Option<Mark>,
}

/// What protects a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bracket {
    /// What happens without a working stop.
    pub on_naked: OnNaked,
    /// The entry whose levels these are.
    pub parent_id: Id<id::Order>,
    /// The side of the position: that of its entries.
    pub side: Side,
    /// The worst price that the stop takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_limit: Option<Price>,
    /// The stop price, on the tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_loss: Option<Price>,
    /// The limit price, on the tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take_profit: Option<Price>,
}

impl Levels {
    /// The bracket of what this entry has filled, if it has filled something.
    pub fn of_fills(&self, entry: &Order, tick: Price) -> Option<Bracket> {
        entry.average_price.map(|average| self.of_price(entry, average, tick))
    }

    /// The bracket of what this entry has filled at this price on average. A level that cannot be counted
    /// is none.
    pub fn of_price(&self, entry: &Order, average: Price, tick: Price) -> Bracket {
        let above = |mark: Mark, gains: bool| mark.price(entry.side, average, gains);
        let round = rounding(entry.side);
        let on_tick = |price: Price| Some(price.to_step(tick, round)).filter(|it| it.is_positive());
        // A fill far from the price that the entry was judged at leaves a stop where none can stand:
        // the nearest that can is the tick.
        let stop = |price: Price| price.to_step(tick, round).max(tick);
        Bracket {
            on_naked: self.on_naked,
            parent_id: entry.id,
            side: entry.side,
            stop_limit: self.stop_limit.and_then(on_tick),
            stop_loss: self.stop_loss.and_then(|mark| above(mark, false)).map(stop),
            take_profit: self.take_profit.and_then(|mark| above(mark, true)).and_then(on_tick),
        }
    }

    /// The level that, on the tick, does not stand on its side of an entry at this price, by its name and its
    /// own price: a stop that the tick moves to it would fire at once. One that would be at zero or below,
    /// or larger than can be counted, protects nothing.
    pub fn misfit(
        &self,
        side: Side,
        entry: Price,
        tick: Price,
    ) -> Option<(&'static str, Option<Price>)> {
        let gains = |price: Price| match side {
            Side::Buy => price > entry,
            Side::Sell => price < entry,
        };
        let loses = |price: Price| price != entry && !gains(price);
        let at = |mark: Mark, gains| {
            mark.price(side, entry, gains).map(|price| price.to_step(tick, rounding(side)))
        };
        let profit = self.take_profit.map(|mark| at(mark, true));
        let loss = self.stop_loss.map(|mark| at(mark, false));
        let misses = |price: &Option<Price>, is_right: &dyn Fn(Price) -> bool| {
            !price.is_some_and(|price| price.is_positive() && is_right(price))
        };
        let profit = profit.filter(|price| misses(price, &gains));
        let loss = loss.filter(|price| misses(price, &loses));
        profit.map(|price| ("take_profit", price)).or(loss.map(|price| ("stop_loss", price)))
    }
}

/// Where the levels of an entry go to be on the tick. Limits to the passive side, stops toward the market
/// (S7): both away from what they close.
const fn rounding(side: Side) -> Round {
    match side {
        Side::Buy => Round::Up,
        Side::Sell => Round::Down,
    }
}

impl Mark {
    /// The price of a level of an entry on `side` at `entry`: where it gains, or else where it loses.
    /// `None` if it cannot be counted.
    fn price(self, side: Side, entry: Price, gains: bool) -> Option<Price> {
        let away = match self {
            Self::At(price) => return Some(price),
            Self::Away(Away::Percent(percent)) => percent.of(entry)?,
            Self::Away(Away::Amount(amount)) => amount,
        };
        if gains == (side == Side::Buy) { entry.plus(away) } else { entry.minus(away) }
    }
}

impl Bracket {
    /// The price of a leg, if there is to be one.
    pub const fn price(&self, leg: Leg) -> Option<Price> {
        match leg {
            Leg::StopLoss => self.stop_loss,
            Leg::TakeProfit => self.take_profit,
        }
    }

    /// How a leg is priced: type, limit price and stop price.
    pub fn pricing(&self, leg: Leg) -> Option<(OrderType, Option<Price>, Option<Price>)> {
        let price = self.price(leg)?;
        Some(match (leg, self.stop_limit) {
            (Leg::TakeProfit, _) => (OrderType::Limit, Some(price), None),
            (Leg::StopLoss, None) => (OrderType::Stop, None, Some(price)),
            (Leg::StopLoss, Some(limit)) => (OrderType::StopLimit, Some(limit), Some(price)),
        })
    }

    /// The same without a leg.
    #[must_use]
    pub const fn without(mut self, leg: Leg) -> Self {
        match leg {
            Leg::StopLoss => self.stop_loss = None,
            Leg::TakeProfit => self.take_profit = None,
        }
        self
    }

    /// The same with a leg where a person put it.
    #[must_use]
    pub fn moved(mut self, order: &Order) -> Self {
        match order.leg.map(|leg| leg.leg) {
            Some(Leg::StopLoss) => {
                self.stop_loss = order.stop_price.or(self.stop_loss);
                self.stop_limit = order.limit_price.or(self.stop_limit);
            }
            Some(Leg::TakeProfit) => self.take_profit = order.limit_price.or(self.take_profit),
            None => {}
        }
        self
    }
}

/// How much each leg is to protect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Protected {
    /// What is held and neither an exit at the market nor another stop is for.
    pub stop_loss: Quantity,
    /// The same less what rests at a limit.
    pub take_profit: Quantity,
}

impl Protected {
    /// Of one leg.
    pub const fn of(&self, leg: Leg) -> Quantity {
        match leg {
            Leg::StopLoss => self.stop_loss,
            Leg::TakeProfit => self.take_profit,
        }
    }

    /// The same less what is not there.
    #[must_use]
    pub fn but(self, lacking: Quantity) -> Self {
        let but = |there: Quantity| there.saturating_minus(lacking).max(Quantity::ZERO);
        Self { stop_loss: but(self.stop_loss), take_profit: but(self.take_profit) }
    }
}

/// Whether an order is an exit that rests at a limit and is no leg: it takes a profit beside the stop
/// as the leg for that does. When either fills, the other gets smaller.
pub fn takes_profit(order: &Order) -> bool {
    let rests = matches!(order.time_in_force, TimeInForce::Day | TimeInForce::Gtc);
    (order.purpose, order.order_type, order.leg) == (Purpose::Exit, OrderType::Limit, None) && rests
}

/// The exits that rest at a limit beside a stop, oldest first, and are for more than is held: each with
/// what is left of it. What is under way about one is waited for.
pub fn too_much(
    bracket: &Bracket,
    protected: Protected,
    orders: &[Order],
    now: Timestamp,
) -> Vec<(Id<id::Order>, Quantity)> {
    let mut room = protected.stop_loss;
    let mut found = Vec::new();
    if bracket.stop_loss.is_none() {
        return found;
    }
    let side = bracket.side.opposite();
    for order in orders.iter().filter(|order| takes_profit(order) && order.side == side) {
        let (left, kept) = (order.remaining(), order.remaining().min(room));
        room = room.saturating_minus(kept);
        let is_known = is_settled(order) && !order.cancel_requested;
        if kept < left && is_known && !was_just_refused(order, now) {
            found.push((order.id, kept));
        }
    }
    found
}

/// What brings the legs to what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A leg of this size is missing.
    Place(Leg, Quantity),
    /// This one has another size, filled included, or other prices.
    Change(Id<id::Order>, Quantity),
    /// This one is too much.
    Cancel(Id<id::Order>),
}

/// Whether the venue can change an order that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaces {
    /// It can.
    Yes,
    /// An order is canceled, and another one placed when that is known.
    No,
}

/// The steps from the legs that live to those that should be. What is under way is waited for, so that
/// there is never a second leg of a kind while the first may still work.
pub fn steps(
    bracket: Option<&Bracket>,
    protected: Protected,
    legs: &[Order],
    replaces: Replaces,
    now: Timestamp,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for kind in Leg::ALL {
        let protected = protected.of(*kind);
        let is_kind = |order: &&Order| order.leg.is_some_and(|leg| leg.leg == *kind);
        let mut alive = legs.iter().filter(is_kind).filter(|order| order.state.is_live());
        let wanted = bracket
            .filter(|_| protected.is_positive())
            .and_then(|bracket| Some((bracket.side.opposite(), bracket.pricing(*kind)?)));
        let first = alive.next();
        let excess = alive.filter(|order| !order.cancel_requested);
        steps.extend(excess.map(|order| Step::Cancel(order.id)));
        match (first, wanted) {
            (None, None) => {}
            (None, Some(_)) => steps.push(Step::Place(*kind, protected)),
            (Some(order), _) if order.cancel_requested => {}
            (Some(order), None) => steps.push(Step::Cancel(order.id)),
            (Some(order), Some((side, (order_type, limit, stop)))) => {
                let whole = order.filled_quantity.saturating_plus(protected);
                let is_alike = (order.side, order.order_type) == (side, order_type);
                let is_so =
                    (order.quantity, order.limit_price, order.stop_price) == (whole, limit, stop);
                if !is_alike {
                    steps.push(Step::Cancel(order.id));
                } else if !is_so && is_settled(order) && !was_just_refused(order, now) {
                    let changes = replaces == Replaces::Yes && !is_rejected(order);
                    let may = order.state == OrderState::Accepted || changes;
                    let change = Step::Change(order.id, whole);
                    steps.push(if may { change } else { Step::Cancel(order.id) });
                }
            }
        }
    }
    steps
}

/// Whether it is known how the order stands, and nothing about it is under way.
fn is_settled(order: &Order) -> bool {
    let known = matches!(
        order.state,
        OrderState::Accepted | OrderState::Working | OrderState::PartiallyFilled
    );
    known && !order.change.is_some_and(|change| change.is_in_flight())
}

/// Whether a rule refused a change moments ago, a halt for example: it is not asked for again at once.
/// One that is known not to have reached the venue is.
fn was_just_refused(order: &Order, now: Timestamp) -> bool {
    let refused = order.change.is_some_and(|change| {
        change.state == ChangeState::Refused && change.code != Some(Code::OrderChangeNotMade)
    });
    refused && !is_rejected(order) && order.updated_at.plus(ASKED_AGAIN_AFTER) > now
}

/// Whether the venue refused the last change: the leg is canceled, and another one placed.
fn is_rejected(order: &Order) -> bool {
    order.change.is_some_and(|change| change.code == Some(Code::OrderChangeRejected))
}

const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
