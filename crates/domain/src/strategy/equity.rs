//! Sizing by the account's equity (S8). It fails closed: without equity, price or stop that is fresh and
//! plausible there is no size.

use super::{Sizing, Strategy, unusable};
use crate::bracket::{Away, Mark};
use crate::code::{Code, Refusal};
use crate::exchange::Conversion;
use crate::instrument::Instrument;
use crate::money::{Money, Price, Quantity, Round};
use crate::order::{OrderType, Side};
use crate::signal::{Action, Signal, StopLoss};
use std::cmp::Ordering;

/// What a size is counted from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Means {
    /// The account's equity, heard within the last minute.
    pub equity: Option<Money>,
    /// From the instrument's currency into the account's, if a rate is known and its time is not over.
    pub conversion: Option<Conversion>,
    /// The reference price, if there is a fresh one.
    pub reference: Option<Price>,
}

/// A stop is at least this part of the price away from it: 0.05 %.
const STOP_PART_MIN: (i64, i64) = (5, 10_000);

impl Strategy {
    pub(super) fn part_of_equity(
        &self,
        signal: &Signal,
        instrument: &Instrument,
        means: &Means,
    ) -> Result<Quantity, Refusal> {
        let percent = self.percent.ok_or_else(|| unusable("percent: the strategy has none"))?;
        let equity = means.equity.filter(|equity| equity.is_positive());
        let equity = equity.ok_or_else(|| Refusal::plain(Code::SizingEquityStale))?;
        let price = entry_price(signal, means.reference).filter(|price| price.is_positive());
        let price = price.ok_or_else(|| Refusal::plain(Code::RiskReferenceStale))?;
        let too_large = || Refusal::plain(Code::RiskWorthTooLarge);
        let part = equity.ratio(percent.number().units(), HUNDRED_PERCENT, Round::Down);
        let part = part.ok_or_else(too_large)?;
        let one = Quantity::from_whole(1).ok_or_else(too_large)?;
        let for_one = match self.sizing {
            Sizing::RiskPerTrade => {
                let distance = self.stop_distance(signal, instrument, price, means)?;
                let loss = distance.notional(one, instrument.point_value).ok_or_else(too_large)?;
                let fees = self.fee_per_unit.plus(self.fee_per_unit).ok_or_else(too_large)?;
                loss.plus(fees).ok_or_else(too_large)?
            }
            _ => price.notional(one, instrument.point_value).ok_or_else(too_large)?,
        };
        let conversion = means.conversion.ok_or_else(|| Refusal::plain(Code::SizingRateStale))?;
        let for_one = conversion.up(for_one).ok_or_else(too_large)?;
        if !for_one.is_positive() {
            return Err(unusable("quantity: a unit of the instrument is worth nothing"));
        }
        one.ratio(part.units(), for_one.units(), Round::Down).ok_or_else(too_large)
    }

    /// How far the stop is from the price, if it is on the right side and not too near.
    fn stop_distance(
        &self,
        signal: &Signal,
        instrument: &Instrument,
        price: Price,
        means: &Means,
    ) -> Result<Price, Refusal> {
        let invalid = |detail: String| Refusal::because(Code::SizingStopInvalid, detail);
        let stop = match signal.stop_loss {
            Some(StopLoss::Stop(level) | StopLoss::StopLimit { stop: level, .. }) => {
                Some(super::mark(level))
            }
            Some(StopLoss::Trailing(_)) => None,
            None => self.stop_loss.map(Mark::Away),
        };
        let side = side_of(signal);
        if let (OrderType::Limit, Some(Mark::At(stop)), Some(reference)) =
            (signal.order_type, stop, means.reference)
            && stop.cmp(&reference) != losing(side)
        {
            // Such a stop would be passed already when a limit that the market has reached fills.
            return Err(invalid(format!(
                "The stop is not on the losing side of the market, {reference}."
            )));
        }
        let distance = match stop {
            None => return Err(invalid("The size comes of the stop, and there is none.".into())),
            Some(Mark::Away(Away::Amount(amount))) => Some(amount),
            Some(Mark::Away(Away::Percent(percent))) => percent.of(price),
            Some(Mark::At(stop)) if side == Side::Buy => price.minus(stop),
            Some(Mark::At(stop)) => stop.minus(price),
        };
        let distance = distance.filter(|distance| distance.is_positive()).ok_or_else(|| {
            invalid(format!("The stop is not on the losing side of the price {price}."))
        })?;
        let ticks = instrument.tick.ratio(i64::from(self.stop_ticks_min), 1, Round::Up);
        let part = price.ratio(STOP_PART_MIN.0, STOP_PART_MIN.1, Round::Up);
        let least = ticks.zip(part).map(|(ticks, part)| ticks.max(part));
        match least {
            Some(least) if distance >= least => Ok(distance),
            Some(least) => Err(Refusal {
                input: Some(distance.to_string()),
                limit: Some(least.to_string()),
                ..invalid(format!("The stop is {distance} away from {price}, at least {least}."))
            }),
            None => Err(Refusal::plain(Code::RiskWorthTooLarge)),
        }
    }
}

const fn side_of(signal: &Signal) -> Side {
    if matches!(signal.action, Action::Sell) { Side::Sell } else { Side::Buy }
}

/// How a price at which a position of this side loses compares with the one it was opened at.
const fn losing(side: Side) -> Ordering {
    match side {
        Side::Buy => Ordering::Less,
        Side::Sell => Ordering::Greater,
    }
}

/// The price that an entry is counted at: its limit, its stop, or the reference where it goes to the
/// market, and where the market has passed its stop already.
fn entry_price(signal: &Signal, reference: Option<Price>) -> Option<Price> {
    match signal.order_type {
        OrderType::Market => reference,
        OrderType::Limit | OrderType::StopLimit => signal.limit_price,
        OrderType::Stop => {
            let (stop, reference) = (signal.stop_price?, reference);
            let is_passed = |reference: &Price| stop.cmp(reference) == losing(side_of(signal));
            Some(reference.filter(is_passed).unwrap_or(stop))
        }
    }
}

/// A percentage has eight decimals.
const HUNDRED_PERCENT: i64 = 10_000_000_000;
