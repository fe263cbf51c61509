//! Entries while no reference price is fresh (S22): a strategy that was allowed to may still enter a
//! little at the market, where the best price that is known lies in a band that a person set.
//!
//! The band takes the place of the collar, and its upper end that of the price: whatever is counted in
//! money is counted at the worst that the band allows. The signal's own price may only refuse.

use super::{Context, Verdict};
use crate::check::Shown;
use crate::code::{Code, Refusal};
use crate::money::{Price, Quantity};
use crate::order::{OrderType, Purpose};
use crate::strategy::Intent;

/// Between which prices an instrument may be entered without a fresh one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Band {
    low: Price,
    pub(super) high: Price,
}

/// Whether an entry is judged by the band, because its strategy may enter blind and has to.
pub(super) fn is_looked_at(intent: &Intent, context: &Context<'_>) -> bool {
    intent.purpose == Purpose::Entry
        && context.blind_quantity_max.is_some()
        && context.reference.price(context.now).is_none()
}

/// The entry is at the market, has a band, and is no more than its strategy may enter blind.
pub(super) fn quantity(intent: &Intent, context: &Context<'_>) -> Verdict {
    let (_, allowed) = allowed(intent, context)?;
    Ok(Some((intent.quantity.into(), allowed.into())))
}

/// The best known price, and the one that the signal states, lie in the band.
pub(super) fn inside(intent: &Intent, context: &Context<'_>) -> Verdict {
    let (Band { low, high }, _) = allowed(intent, context)?;
    let known = context.reference.last_known().ok_or_else(|| stale("None was ever heard."))?;
    for price in [Some(known), context.stated_price].into_iter().flatten() {
        if price < low || price > high {
            let band = format_args!("{low} to {high}");
            return Err(Refusal::over(Code::RiskStaticBand, price, band));
        }
    }
    Ok(Some((known.into(), Shown::Text(format!("{low} to {high}")))))
}

/// The band that such an entry is judged by.
pub(super) fn band(intent: &Intent, context: &Context<'_>) -> Result<Band, Refusal> {
    allowed(intent, context).map(|(band, _)| band)
}

fn allowed(intent: &Intent, context: &Context<'_>) -> Result<(Band, Quantity), Refusal> {
    let most = context.blind_quantity_max.filter(|_| intent.purpose == Purpose::Entry);
    let most = most.ok_or_else(|| Refusal::plain(Code::RiskReferenceStale))?;
    if intent.order_type != OrderType::Market {
        return Err(stale("Only an order at the market may be entered without one."));
    }
    let (Some(low), Some(high)) = (context.limits.static_low, context.limits.static_high) else {
        return Err(stale(
            "The instrument has no static_low and static_high to enter without one.",
        ));
    };
    if intent.quantity > most {
        return Err(Refusal::over(Code::RiskBlindQuantity, intent.quantity, most));
    }
    Ok((Band { low: Price::from_units(low), high: Price::from_units(high) }, most))
}

fn stale(why: &str) -> Refusal {
    let code = Code::RiskReferenceStale;
    Refusal::because(code, format!("{} {why}", code.meaning()))
}
