//! Strategies: what to do with a signal, given what is held and what is under way.

mod equity;
mod share;
mod sizing;
mod target;

pub use self::equity::Means;
pub use self::share::Shares;

use crate::bracket::{Away, Levels, Mark, OnNaked};
use crate::code::{Code, Refusal};
use crate::exposure::Exposure;
use crate::id::{self, Id};
use crate::instrument::{Instrument, Symbol};
use crate::money::{Money, Price, Quantity, Round};
use crate::order::{OrderType, Purpose, Side, TimeInForce, words};
use crate::roll::Continuous;
use crate::schedule::Schedule;
use crate::signal::{
    Action, Comment, Distance, Level, Percentage, QuantityField, Signal, StopLoss,
};
use crate::source::Source;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

words! {
    /// Whether a strategy trades.
    StrategyState {
        /// It does.
        On = "on",
        /// It only closes.
        ExitsOnly = "exits_only",
        /// It does nothing.
        Off = "off",
    }

    /// What becomes of an open position when its strategy is switched off (S18).
    OpenPosition {
        /// It is closed at the market, and entries that are under way are taken back.
        Flatten = "flatten",
        /// It stays, and so do orders that are under way; no signal closes it any more.
        Leave = "leave",
    }

    /// Where the size of an entry comes from.
    Sizing {
        /// The strategy's own quantity.
        Fixed = "fixed",
        /// The signal's quantity; without a usable one the signal is refused.
        Payload = "payload",
        /// What brings the position to the one that the signal names (S5): `market_position` and
        /// `market_position_size`, or TradersPost's `sentiment`.
        Target = "target",
        /// So much that the position is worth `percent` of the account's equity (S8).
        PercentEquity = "percent_equity",
        /// So much that the stop loses `percent` of the account's equity (S8).
        RiskPerTrade = "risk_per_trade",
    }

    /// What a signal against the position does (S5).
    OnOpposite {
        /// It closes up to the position, never past flat.
        Close = "close",
        /// It closes, and once that is confirmed opens the other way.
        Reverse = "reverse",
    }

    /// What a signal along the position does.
    Pyramiding {
        /// It adds.
        Allow = "allow",
        /// It is skipped.
        Ignore = "ignore",
    }

    /// Whether a sale while flat opens a short position.
    ShortSelling {
        /// It does.
        Allow = "allow",
        /// It is skipped.
        Ignore = "ignore",
    }

    /// Which symbol is traded.
    SymbolSource {
        /// The strategy's.
        Strategy = "strategy",
        /// The signal's if it names one, else the strategy's.
        Payload = "payload",
    }
}

/// A strategy: source, instrument, account, size and rules.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "settings, each by itself")]
pub struct Strategy {
    /// Its identifier.
    pub id: Id<id::Strategy>,
    /// The owner.
    pub org_id: Id<id::Org>,
    /// What people call it.
    pub name: String,
    /// Whose signals it follows.
    pub source: Source,
    /// The account on which it trades; where there are several, the leader's.
    pub account_id: Id<id::Account>,
    /// Further accounts on which it trades, each by its own position (S10), in the order in which
    /// they are judged; at most [`FOLLOWERS_MAX`], none of them twice, never the leader's.
    pub followers: Vec<Id<id::Account>>,
    /// Whether followers open nothing when the leader was refused (S10). They close all the same.
    pub require_leader: bool,
    /// What it trades.
    pub symbol: Symbol,
    /// Whether the signal may name another symbol.
    pub symbol_source: SymbolSource,
    /// The size of an entry, where sizing is fixed.
    pub quantity: Quantity,
    /// Where the size comes from.
    pub sizing: Sizing,
    /// Whether `quantity` is the size of an entry whose payload says none, where sizing is by it.
    pub quantity_fallback: bool,
    /// Whether an entry over `max_order_quantity` is cut down to it, and not refused.
    pub quantity_clamp: bool,
    /// The part of the equity that sizing by it takes; at most 100.
    pub percent: Option<Percentage>,
    /// What a unit costs each way, in the instrument's currency: sizing by risk counts it twice.
    pub fee_per_unit: Money,
    /// Least distance of a stop from the price in ticks, where the size comes of it (S8).
    pub stop_ticks_min: u32,
    /// What an opposite signal does.
    pub on_opposite: OnOpposite,
    /// What a signal along the position does.
    pub pyramiding: Pyramiding,
    /// Whether shorts may be opened.
    pub short_selling: ShortSelling,
    /// Seconds within which an entry must have been sent (S12), 1 to 300.
    pub send_within_s: u32,
    /// Seconds for which an entry rests that does not fill (S12), 1 to [`ENTRY_TTL_S_MAX`]; until the
    /// session of its instrument ends if absent.
    pub entry_ttl_s: Option<u32>,
    /// When it may open something; at any time if absent.
    pub schedule: Option<Schedule>,
    /// Where the profit is taken, unless the signal says it (S9).
    pub take_profit: Option<Away>,
    /// Where the loss is stopped, unless the signal says it (S9).
    pub stop_loss: Option<Away>,
    /// What happens to a position whose stop does not work (S9).
    pub on_naked: OnNaked,
    /// Seconds of its schedule within which a signal is expected; 60 to 86,400.
    pub expected_every_s: Option<u32>,
    /// Whether it adopted what its accounts held and nobody here had opened (S3).
    pub adopt: bool,
    /// Whether its positions in a month that rolls are closed, and opened again in the next (S11).
    pub auto_roll: bool,
    /// Whether it may enter at the market while no reference price is fresh, where the instrument has
    /// a static band (S22).
    pub blind_market: bool,
    /// At most so much each time.
    pub blind_quantity_max: Quantity,
    /// Whether it trades.
    pub state: StrategyState,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The most that is entered blind, unless the strategy says otherwise: one.
pub const BLIND_QUANTITY_MAX_DEFAULT: Quantity = Quantity::from_units(100_000_000);

/// No entry rests for longer by a strategy's word: 90 days.
pub const ENTRY_TTL_S_MAX: u32 = 7_776_000;

/// Most accounts that follow a strategy's leader.
pub const FOLLOWERS_MAX: usize = 32;

/// Least distance of a stop in ticks, unless the strategy says otherwise (S8).
pub const STOP_TICKS_MIN_DEFAULT: u32 = 4;

/// Seconds within which an entry must have been sent, unless the strategy says otherwise.
pub const SEND_WITHIN_S_DEFAULT: u32 = 10;

/// An order that a strategy wants, before risk has seen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// What it is for.
    pub purpose: Purpose,
    /// Which way.
    pub side: Side,
    /// How much.
    pub quantity: Quantity,
    /// How it is priced.
    pub order_type: OrderType,
    /// How long it works.
    pub time_in_force: TimeInForce,
    /// The limit price, where the type has one, on the instrument's tick.
    pub limit_price: Option<Price>,
    /// The stop price, where the type has one, on the instrument's tick.
    pub stop_price: Option<Price>,
}

/// What a strategy makes of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Orders, in the order of sending. None at all means that canceling the unsent entries was
    /// all there was to do.
    Trade(Vec<Intent>),
    /// Nothing to do, and no error.
    Skip(Refusal),
    /// A rule said no.
    Refuse(Refusal),
}

impl Decision {
    /// Cuts exits to the account's net position of their sign (S3), and says how much was cut off.
    /// `account` is the exposure of all strategies on the instrument together. The strategy is not
    /// flat after a cut exit, so nothing is opened behind one (S5).
    #[must_use]
    pub fn within_account(
        self,
        account: &Exposure,
        removed_entries: RemovedEntries,
    ) -> (Self, Quantity) {
        let Self::Trade(intents) = self else { return (self, Quantity::ZERO) };
        let mut cut = Quantity::ZERO;
        let mut kept = Vec::with_capacity(intents.len());
        for mut intent in intents {
            if intent.purpose == Purpose::Exit {
                let quantity = intent.quantity.min(account.net_closable(intent.side));
                cut = cut.saturating_plus(intent.quantity.saturating_minus(quantity));
                intent.quantity = quantity;
            }
            let opens_behind_a_cut = intent.purpose == Purpose::Entry && cut.is_positive();
            if intent.quantity.is_positive() && !opens_behind_a_cut {
                kept.push(intent);
            }
        }
        if kept.is_empty() && cut.is_positive() && removed_entries == RemovedEntries::None {
            let detail = "Other strategies hold as much against it: the account has no net \
                          position to close.";
            return (Self::Skip(Refusal::because(Code::StrategyFlat, detail)), cut);
        }
        (Self::Trade(kept), cut)
    }
}

impl Strategy {
    /// The accounts on which it trades, the leader's first.
    pub fn accounts(&self) -> impl Iterator<Item = Id<id::Account>> {
        std::iter::once(self.account_id).chain(self.followers.iter().copied())
    }

    /// The continuous symbol by which its positions roll, if they roll by themselves (S11): its own, so
    /// that its exits find them in every month.
    pub fn rolls(&self) -> Option<Continuous> {
        let is_own = self.symbol_source == SymbolSource::Strategy;
        (self.auto_roll && is_own).then(|| Continuous::of(&self.symbol)).flatten()
    }

    /// How much it may enter at the market while no reference price is fresh (S22).
    pub fn blind(&self) -> Option<Quantity> {
        self.blind_market.then_some(self.blind_quantity_max)
    }

    /// The symbol this signal is about.
    pub fn symbol_for(&self, signal: &Signal) -> Result<Symbol, Refusal> {
        match (self.symbol_source, signal.ticker_symbol()) {
            (SymbolSource::Payload, Some(ticker)) => ticker.parse().map_err(|_| {
                Refusal::because(Code::StrategySymbol, format!("{ticker} is no symbol."))
            }),
            _ => Ok(self.symbol.clone()),
        }
    }

    /// What protects this entry, by the signal, or else by the strategy. `reference` is what is known
    /// of the price; a level that is on the wrong side of it, on its tick, is refused.
    pub fn levels(
        &self,
        signal: &Signal,
        entry: &Intent,
        (reference, tick): (Option<Price>, Price),
    ) -> Result<Option<Levels>, Refusal> {
        let own = |away: Option<Away>| away.map(Mark::Away);
        let take_profit = signal.take_profit.map(mark).or(own(self.take_profit));
        let (stop_loss, stop_limit) = match signal.stop_loss {
            Some(StopLoss::Stop(level)) => (Some(mark(level)), None),
            Some(StopLoss::StopLimit { stop, limit }) => (Some(mark(stop)), Some(limit)),
            Some(StopLoss::Trailing(_)) => {
                return Err(Refusal::plain(Code::BracketUnsupported));
            }
            None => (own(self.stop_loss), None),
        };
        let on_naked = self.on_naked;
        fitting(Levels { on_naked, stop_limit, stop_loss, take_profit }, entry, (reference, tick))
    }

    /// What protects an entry that no signal asked for: the strategy's own distances.
    pub fn own_levels(
        &self,
        entry: &Intent,
        (reference, tick): (Option<Price>, Price),
    ) -> Result<Option<Levels>, Refusal> {
        let levels = Levels {
            on_naked: self.on_naked,
            stop_limit: None,
            stop_loss: self.stop_loss.map(Mark::Away),
            take_profit: self.take_profit.map(Mark::Away),
        };
        fitting(levels, entry, (reference, tick))
    }

    /// Whether what a signal closes on `side` is all of a position, or more than its working exits
    /// leave: they are taken back for it (S4). `exposure` is counted with them.
    pub fn closes_all(&self, signal: &Signal, exposure: &Exposure, side: Side) -> bool {
        let is_meant = match signal.action {
            Action::Buy => side == Side::Buy,
            Action::Sell => side == Side::Sell,
            Action::Exit => true,
        };
        is_meant
            && match (self.sizing, &signal.quantity) {
                (Sizing::Payload, QuantityField::Given(quantity))
                    if !signal.is_exit() || signal.comment == Comment::None =>
                {
                    *quantity > exposure.closable(side)
                }
                (Sizing::Target, _) if !signal.is_exit() => target::wanted(signal)
                    .is_ok_and(|target| !side.opposite().signed(target).is_positive()),
                _ => !signal.is_exit() || signal.is_full_exit(),
            }
    }

    /// Decides on the projected position (S1). `exposure` is this strategy's on the instrument; for
    /// an exit, and for a signal against the position, unsent entries that stand against it have
    /// been taken out of it already, and `removed_entries` says whether there were any.
    pub fn decide(
        &self,
        signal: &Signal,
        exposure: &Exposure,
        instrument: &Instrument,
        removed_entries: RemovedEntries,
    ) -> Decision {
        let size = self.size(signal, instrument, &Means::default());
        self.decide_with(signal, exposure, instrument, removed_entries, size)
    }

    /// The same with the size of an entry from flat, as [`Strategy::size`] says it.
    pub fn decide_with(
        &self,
        signal: &Signal,
        exposure: &Exposure,
        instrument: &Instrument,
        removed_entries: RemovedEntries,
        size: Result<Quantity, Refusal>,
    ) -> Decision {
        if self.state == StrategyState::Off {
            return Decision::Refuse(Refusal::plain(Code::StrategyOff));
        }
        match self.answer(signal, exposure, instrument, removed_entries, size) {
            // A skip or refusal would leave in place what was taken back (S2, S5).
            Decision::Skip(_) | Decision::Refuse(_) if removed_entries == RemovedEntries::Some => {
                Decision::Trade(Vec::new())
            }
            decision => decision,
        }
    }

    fn answer(
        &self,
        signal: &Signal,
        exposure: &Exposure,
        instrument: &Instrument,
        removed_entries: RemovedEntries,
        size: Result<Quantity, Refusal>,
    ) -> Decision {
        if signal.is_exit() {
            return self.exit(signal, exposure, instrument);
        }
        let side = if signal.action == Action::Buy { Side::Buy } else { Side::Sell };
        if self.sizing == Sizing::Target {
            return self.toward(signal, side, exposure, instrument);
        }
        let projected = side.signed(exposure.projected());
        if projected.is_positive() {
            if signal.only_reduces() {
                return Decision::Skip(Refusal::plain(Code::StrategyWrongSide));
            }
            let may_add = self.pyramiding == Pyramiding::Allow && self.opens(side);
            return match side {
                _ if may_add => self.enter(signal, side, instrument, size),
                Side::Buy => Decision::Skip(Refusal::plain(Code::StrategyAlreadyLong)),
                Side::Sell => Decision::Skip(Refusal::plain(Code::StrategyAlreadyShort)),
            };
        }
        if projected.is_zero() {
            // It took back unsent entries of the other side; under `close` that was all (S5).
            if removed_entries == RemovedEntries::Some && self.on_opposite == OnOpposite::Close {
                return Decision::Trade(Vec::new());
            }
            if !self.opens(side) || signal.only_reduces() {
                return Decision::Skip(Refusal::plain(Code::StrategyFlat));
            }
            return self.enter(signal, side, instrument, size);
        }
        self.oppose(signal, side, exposure, instrument, size)
    }

    /// Whether it opens, or adds, on this side.
    pub fn opens(&self, side: Side) -> bool {
        side == Side::Buy || self.short_selling == ShortSelling::Allow
    }

    /// A signal against the position: close up to it, then perhaps open the other way (S5).
    fn oppose(
        &self,
        signal: &Signal,
        side: Side,
        exposure: &Exposure,
        instrument: &Instrument,
        size: Result<Quantity, Refusal>,
    ) -> Decision {
        let closable = exposure.closable(side);
        let wanted = match (self.on_opposite, self.sizing, &signal.quantity) {
            (OnOpposite::Close, Sizing::Payload, QuantityField::Given(quantity)) => *quantity,
            _ => closable,
        };
        let mut intents = Vec::with_capacity(2);
        let quantity = instrument.exit_quantity(wanted, closable);
        if closable.is_positive() {
            intents.push(close(side, quantity));
        }
        let may_open = self.opens(side) && !signal.only_reduces();
        if self.on_opposite == OnOpposite::Reverse && may_open && self.state == StrategyState::On {
            match self.enter(signal, side, instrument, size) {
                Decision::Trade(entry) => intents.extend(entry),
                no if intents.is_empty() => return no,
                // A refused entry stays flat: the close goes out all the same (S5).
                Decision::Skip(_) | Decision::Refuse(_) => {}
            }
        }
        if intents.is_empty() {
            return Decision::Skip(Refusal::plain(Code::StrategyFlat));
        }
        Decision::Trade(intents)
    }

    fn exit(&self, signal: &Signal, exposure: &Exposure, instrument: &Instrument) -> Decision {
        let (of_long, of_short) = (exposure.closable(Side::Sell), exposure.closable(Side::Buy));
        let side = match signal.action {
            Action::Exit if of_short > of_long => Side::Buy,
            Action::Exit | Action::Sell => Side::Sell,
            Action::Buy => Side::Buy,
        };
        let closable = exposure.closable(side);
        if closable.is_zero() {
            // While an entry may still fill, nothing is called flat (S1): canceling it is under way.
            let entry_live = match signal.action {
                Action::Exit => exposure.has_live_entry(),
                Action::Sell => exposure.entry_buy.is_positive(),
                Action::Buy => exposure.entry_sell.is_positive(),
            };
            if entry_live {
                return Decision::Trade(Vec::new());
            }
            let other_side = exposure.closable(side.opposite()).is_positive();
            let code = if other_side { Code::StrategyWrongSide } else { Code::StrategyFlat };
            return Decision::Skip(Refusal::plain(code));
        }
        // Where the comment says how much to close, no number beside it leaves a position open.
        let wanted = match (self.sizing, &signal.quantity, &signal.comment) {
            (Sizing::Payload, QuantityField::Given(quantity), Comment::None) => Some(*quantity),
            _ => closable.ratio(i64::from(signal.exit_percent()), 100, Round::Up),
        };
        let quantity = instrument.exit_quantity(wanted.unwrap_or(closable), closable);
        Decision::Trade(vec![close(side, quantity)])
    }

    fn enter(
        &self,
        signal: &Signal,
        side: Side,
        instrument: &Instrument,
        size: Result<Quantity, Refusal>,
    ) -> Decision {
        match size {
            // What takes no entries says that, not what a size would be.
            _ if self.state == StrategyState::ExitsOnly => {
                Decision::Refuse(Refusal::plain(Code::StrategyExitsOnly))
            }
            Ok(wanted) => self.enter_with(signal, side, instrument, wanted),
            Err(refusal) => Decision::Refuse(refusal),
        }
    }

    fn enter_with(
        &self,
        signal: &Signal,
        side: Side,
        instrument: &Instrument,
        wanted: Quantity,
    ) -> Decision {
        if self.state == StrategyState::ExitsOnly {
            return Decision::Refuse(Refusal::plain(Code::StrategyExitsOnly));
        }
        let quantity = instrument.entry_quantity(wanted);
        if !quantity.is_positive() || quantity < instrument.quantity_min {
            return Decision::Refuse(unusable(&format!(
                "quantity: {wanted} is less than the smallest order, {}",
                instrument.quantity_min.max(instrument.lot)
            )));
        }
        // Limits round to the passive side, stops toward the market (S7).
        let passive = if side == Side::Buy { Round::Down } else { Round::Up };
        Decision::Trade(vec![Intent {
            purpose: Purpose::Entry,
            side,
            quantity,
            order_type: signal.order_type,
            time_in_force: signal.time_in_force.unwrap_or(TimeInForce::Day),
            limit_price: signal.limit_price.map(|price| price.to_step(instrument.tick, passive)),
            stop_price: signal.stop_price.map(|price| price.to_step(instrument.tick, passive)),
        }])
    }
}

/// Whether entries were taken back before an exit was decided: unsent ones ended, others asked to be
/// canceled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovedEntries {
    /// There were some.
    Some,
    /// There were none.
    None,
}

/// The levels if there are any; one on the wrong side of the price is refused.
fn fitting(
    levels: Levels,
    entry: &Intent,
    (reference, tick): (Option<Price>, Price),
) -> Result<Option<Levels>, Refusal> {
    if levels.take_profit.is_none() && levels.stop_loss.is_none() {
        return Ok(None);
    }
    let price = entry.limit_price.or(entry.stop_price).or(reference);
    let misfit = price.and_then(|price| Some((price, levels.misfit(entry.side, price, tick)?)));
    let Some((price, (field, level))) = misfit else { return Ok(Some(levels)) };
    let level = level.map_or_else(|| "none that can be counted".to_owned(), |it| it.to_string());
    let detail = format!(
        "{field}: {level} is on the wrong side of the entry's price, {price}, or not above zero."
    );
    Err(Refusal {
        input: Some(level),
        limit: Some(price.to_string()),
        ..Refusal::because(Code::BracketInvalid, detail)
    })
}

const fn mark(level: Level) -> Mark {
    match level {
        Level::At(price) => Mark::At(price),
        Level::Away(Distance::Percent(percent)) => Mark::Away(Away::Percent(percent)),
        Level::Away(Distance::Amount(amount)) => Mark::Away(Away::Amount(amount)),
    }
}

const fn close(side: Side, quantity: Quantity) -> Intent {
    Intent {
        purpose: Purpose::Exit,
        side,
        quantity,
        order_type: OrderType::Market,
        time_in_force: TimeInForce::Day,
        limit_price: None,
        stop_price: None,
    }
}

fn unusable(detail: &str) -> Refusal {
    Refusal::because(Code::SizingUnusableQuantity, detail)
}

#[cfg(test)]
mod tests;
