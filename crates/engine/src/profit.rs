//! Profit and loss as it is shown, and the rates of exchange that it is counted with.

use crate::Engine;
use crate::Shared;
use crate::actor::Actor;
use crate::command::RateSet;
use crate::command::error::{CommandError, away, invalid, to_value};
use crate::free_text::without_card_number;
use crate::view::{ExchangeRateView, InstrumentProfitView, Page, ProfitView, StrategyProfitView};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tradewarden_domain::account::Account;
use tradewarden_domain::exchange::{Conversion, ExchangeRate, RateGap, is_currency};
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Price};
use tradewarden_domain::price::Reference;
use tradewarden_domain::profit::{Gap, Part, Profit, Tally};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::exposures::{self, NO_STRATEGY, Place};
use tradewarden_store::rates;

const VALID_S_DEFAULT: u32 = 86_400;
const VALID_S_MAX: u32 = 604_800;
const SOURCE_BYTES_MAX: usize = 64;
/// How far a sender's clock may be ahead (S13).
const AHEAD_MAX: Duration = Duration::from_secs(10);

/// Everything held on an account, by instrument and strategy.
pub(crate) type Holdings = BTreeMap<Symbol, Vec<(Id<id::Strategy>, Exposure)>>;

/// Exposure rows by instrument.
pub(crate) fn by_symbol(rows: Vec<(Place, Exposure)>) -> Holdings {
    let mut holdings = Holdings::new();
    for (place, exposure) in rows {
        holdings.entry(place.symbol).or_default().push((place.strategy_id, exposure));
    }
    holdings
}

/// What an account, or one strategy on it, made with everything it traded.
pub(crate) fn tally(
    shared: &Shared,
    account: &Account,
    holdings: &Holdings,
    rates: &[ExchangeRate],
    strategy: Option<Id<id::Strategy>>,
    now: Timestamp,
) -> Tally {
    let reference = |symbol: &Symbol| shared.market.reference(account, symbol, now);
    tally_at(account, holdings, rates, strategy, (&reference, now))
}

/// What the same would have come to at the prices of a second or two ago.
pub(crate) fn tally_before(
    shared: &Shared,
    account: &Account,
    holdings: &Holdings,
    rates: &[ExchangeRate],
    strategy: Option<Id<id::Strategy>>,
    now: Timestamp,
) -> Tally {
    let reference = |symbol: &Symbol| shared.market.earlier(account, symbol);
    tally_at(account, holdings, rates, strategy, (&reference, now))
}

/// The same with these prices.
pub(crate) fn tally_at(
    account: &Account,
    holdings: &Holdings,
    rates: &[ExchangeRate],
    strategy: Option<Id<id::Strategy>>,
    (reference, now): (&dyn Fn(&Symbol) -> Reference, Timestamp),
) -> Tally {
    let mut tally = Tally::default();
    for (symbol, parts) in holdings {
        let wanted = parts.iter().filter(|(id, _)| strategy.is_none_or(|wanted| wanted == *id));
        let exposure = wanted.fold(Exposure::default(), |sum, (_, part)| sum.and(part));
        let instrument = account.instruments.get(symbol);
        let part = Part {
            symbol,
            exposure: &exposure,
            instrument,
            reference: &reference(symbol),
            conversion: &conversion(account, symbol, rates, now),
        };
        tally.add(&part, now);
    }
    tally
}

/// From an instrument's currency into its account's.
pub(crate) fn conversion(
    account: &Account,
    symbol: &Symbol,
    rates: &[ExchangeRate],
    now: Timestamp,
) -> Result<Conversion, RateGap> {
    let instrument = account.instruments.get(symbol);
    let base = instrument.map_or(account.currency.as_str(), |found| found.currency.as_str());
    Conversion::find(rates, base, &account.currency, now)
}

impl Engine {
    /// What was made on an account, by instrument and strategy.
    pub(crate) async fn profit(
        &self,
        org: Id<id::Org>,
        actor: &Actor,
        text: &str,
    ) -> Result<ProfitView, CommandError> {
        let account = self.account_of(org, actor, text)?;
        let rows = exposures::of_account(&self.parts.store, account.id).await;
        let holdings = by_symbol(rows.map_err(|error| away(&error))?);
        let known = rates::of_org(&self.parts.store, org).await.map_err(|error| away(&error))?;
        let now = self.now();
        let tally = tally(&self.parts, &account, &holdings, &known, None, now);
        let mut gaps: Vec<String> = Vec::new();
        let mut instruments = Vec::with_capacity(holdings.len());
        for (symbol, parts) in &holdings {
            let (view, missing) = self.instrument_profit(&account, symbol, parts, &known, now);
            gaps.extend(missing.iter().map(Gap::to_string));
            instruments.push(view);
        }
        gaps.dedup();
        let fees = instruments.iter().map(|view| view.fees);
        Ok(ProfitView {
            account_id: account.id,
            currency: account.currency.clone(),
            realized: tally.realized.clone().ok(),
            unrealized: tally.unrealized.clone().ok(),
            total: tally.total().ok(),
            fees: fees.fold(Money::ZERO, Money::saturating_plus),
            gaps,
            losses: crate::loss::views(&self.parts, &account, &holdings, &known, now).await?,
            instruments,
            at: now,
        })
    }

    fn instrument_profit(
        &self,
        account: &Account,
        symbol: &Symbol,
        parts: &[(Id<id::Strategy>, Exposure)],
        rates: &[ExchangeRate],
        now: Timestamp,
    ) -> (InstrumentProfitView, Vec<Gap>) {
        let instrument = account.instruments.get(symbol);
        let reference = self.parts.market.reference(account, symbol, now);
        let of = |exposure: &Exposure| {
            instrument
                .ok_or_else(|| Gap::Instrument(symbol.clone()))
                .and_then(|instrument| Profit::of(exposure, instrument, &reference, now))
        };
        let sum = parts.iter().fold(Exposure::default(), |sum, (_, part)| sum.and(part));
        let profit = of(&sum);
        let realized = profit.as_ref().ok().map(|profit| profit.realized);
        let unrealized = profit.as_ref().ok().and_then(|profit| profit.unrealized.clone().ok());
        let mark = profit.as_ref().ok().and_then(|profit| profit.mark);
        let conversion = conversion(account, symbol, rates, now);
        let mut gaps: Vec<Gap> = match profit {
            Ok(profit) => profit.unrealized.err().into_iter().collect(),
            Err(gap) => vec![gap],
        };
        gaps.extend(conversion.clone().err().map(Gap::Rate));
        let strategies = parts.iter().map(|(strategy, part)| {
            let profit = of(part).ok();
            StrategyProfitView {
                strategy_id: (*strategy != NO_STRATEGY).then_some(*strategy),
                quantity: part.quantity,
                average_price: part.average_price(),
                realized: profit.as_ref().map(|profit| profit.realized),
                unrealized: profit.and_then(|profit| profit.unrealized.ok()),
                fees: part.fees,
            }
        });
        let view = InstrumentProfitView {
            symbol: symbol.clone(),
            currency: instrument.map(|instrument| instrument.currency.clone()),
            quantity: sum.quantity,
            mark: mark.map(|mark| mark.price),
            marked_at: mark.map(|mark| mark.at),
            realized,
            unrealized,
            fees: sum.fees,
            rate: conversion.ok().map(|conversion| match conversion {
                Conversion::Same => Price::ONE,
                Conversion::At(rate) => rate,
            }),
            strategies: strategies.collect(),
        };
        (view, gaps)
    }

    /// Says a rate of exchange.
    pub(crate) async fn set_rate(
        &self,
        org: Id<id::Org>,
        new: RateSet,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let rate = read_rate(org, new, self.now())?;
        let payload = json!({
            "at": rate.at, "base": rate.base, "quote": rate.quote, "rate": rate.rate,
            "source": rate.source, "valid_until": rate.valid_until,
        });
        let row = rate.clone();
        self.change(org, org, "rate.set", actor, payload, async move |tx| {
            rates::put(tx, &row).await
        })
        .await?;
        to_value(&ExchangeRateView::from(rate))
    }

    /// All rates of exchange, also those whose time is over.
    pub(crate) async fn rates(&self, org: Id<id::Org>) -> Result<Value, CommandError> {
        let known = rates::of_org(&self.parts.store, org).await.map_err(|error| away(&error))?;
        let items = known.into_iter().map(ExchangeRateView::from).collect();
        to_value(&Page { items, next: None })
    }
}

fn read_rate(org: Id<id::Org>, new: RateSet, now: Timestamp) -> Result<ExchangeRate, CommandError> {
    for (field, currency) in [("base", &new.base), ("quote", &new.quote)] {
        if !is_currency(currency) {
            return Err(invalid(field, &"must be three capital letters"));
        }
    }
    if new.base == new.quote {
        return Err(invalid("quote", &"must be another currency than the base"));
    }
    if !new.rate.is_positive() {
        return Err(invalid("rate", &"must be greater than zero"));
    }
    let is_text = !new.source.is_empty() && !new.source.chars().any(char::is_control);
    if !is_text || new.source.len() > SOURCE_BYTES_MAX {
        return Err(invalid("source", &"must be 1 to 64 printable characters"));
    }
    without_card_number("source", &new.source)?;
    let valid_s = new.valid_s.unwrap_or(VALID_S_DEFAULT);
    if !(1..=VALID_S_MAX).contains(&valid_s) {
        return Err(invalid("valid_s", &"must be from 1 to 604800"));
    }
    let at = new.at.unwrap_or(now);
    let valid_until = at.plus(Duration::from_secs(u64::from(valid_s)));
    if at > now.plus(AHEAD_MAX) || valid_until <= now {
        return Err(invalid("at", &"must not be in the future, nor so long ago that it is over"));
    }
    let (base, quote, source) = (new.base, new.quote, new.source);
    Ok(ExchangeRate { org_id: org, base, quote, rate: new.rate, source, at, valid_until })
}
