//! Exposure: what a strategy holds on an account and instrument, and what its live orders may still
//! add or take away. `unknown` orders are live.

use crate::bracket::{Bracket, Protected};
use crate::id::{self, Id};
use crate::money::{Money, Price, Quantity};
use crate::order::{Purpose, Side};
use crate::profit::Points;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What an entry has filled by its broker's word, beyond the fills that were told (S9). It is no part of the
/// position: that is the sum of fills. A stop protects it, and what closes may close it.
///
/// The fields stand in the order of their names, because audit entries are canonical JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// The average price of the entry as the broker shows it, or what stands for it: by it the levels of
    /// the bracket were reckoned.
    pub average_price: Price,
    /// The entry.
    pub entry_id: Id<id::Order>,
    /// When the broker's position was first read so.
    pub first_read_at: Timestamp,
    /// How much it is; positive.
    pub quantity: Quantity,
    /// When the broker's position was read so again.
    pub second_read_at: Timestamp,
    /// The entry's side.
    pub side: Side,
}

/// The holding of one strategy on one (account, instrument) pair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Filled position; negative is short.
    pub quantity: Quantity,
    /// What the filled position cost, signed like it; zero when flat.
    pub cost: Points,
    /// Profit or loss realised so far by average cost, fees not included. Always the cost less the
    /// sum of price times signed quantity over all fills.
    pub realized: Points,
    /// Fees so far, in the account's currency.
    pub fees: Money,
    /// What live entries may still buy.
    pub entry_buy: Quantity,
    /// What live entries may still sell.
    pub entry_sell: Quantity,
    /// What live exits may still buy.
    pub exit_buy: Quantity,
    /// What live exits may still sell.
    pub exit_sell: Quantity,
    /// When the newest accepted entry was sent, by its own word (S13).
    pub entry_sent_at: Option<Timestamp>,
    /// What protects the position; it stays until the last of its legs has ended (S9).
    pub bracket: Option<Bracket>,
    /// What the broker reports beyond the fills.
    pub reported: Option<Reported>,
    /// Since when it should be closed: the newest exit failed then, or was refused, and no entry that was
    /// made later has filled.
    pub unclosed_since: Option<Timestamp>,
}

impl Exposure {
    /// The position when everything live has filled (S1). An exit takes away at most what there
    /// is of its side: it may be larger for a while, when its entry came to less than expected.
    pub fn projected(&self) -> Quantity {
        self.closable(Side::Sell).saturating_minus(self.closable(Side::Buy))
    }

    /// The largest long position that live orders can lead to.
    pub fn worst_long(&self) -> Quantity {
        self.quantity.saturating_plus(self.entry_buy).saturating_plus(self.exit_buy)
    }

    /// The largest short position that live orders can lead to (negative or zero when short).
    pub fn worst_short(&self) -> Quantity {
        self.quantity.saturating_minus(self.entry_sell).saturating_minus(self.exit_sell)
    }

    /// Whether nothing is held, and no live order can change that.
    pub fn is_idle(&self) -> bool {
        let live = [self.entry_buy, self.entry_sell, self.exit_buy, self.exit_sell];
        self.quantity.is_zero()
            && self.reported.is_none()
            && live.iter().all(|quantity| quantity.is_zero())
    }

    /// Whether an entry is live, queued or unknown.
    pub fn has_live_entry(&self) -> bool {
        self.entry_buy.is_positive() || self.entry_sell.is_positive()
    }

    /// What the position held and the live entries of that side come to, less the exits that are
    /// under way already: the most that a further exit on `side` may close.
    pub fn closable(&self, side: Side) -> Quantity {
        let (held, entering, leaving) = match side {
            Side::Sell => (self.quantity, self.entry_buy, self.exit_sell),
            Side::Buy => (self.quantity.negated(), self.entry_sell, self.exit_buy),
        };
        held.max(Quantity::ZERO)
            .saturating_plus(entering)
            .saturating_minus(leaving)
            .max(Quantity::ZERO)
    }

    /// What is held on the side that an exit on `side` closes; negative if the other side is held.
    pub const fn held(&self, side: Side) -> Quantity {
        match side {
            Side::Sell => self.quantity,
            Side::Buy => self.quantity.negated(),
        }
    }

    /// What the broker reports beyond the fills, signed like a position.
    pub fn reported(&self) -> Quantity {
        self.reported.map_or(Quantity::ZERO, |reported| reported.side.signed(reported.quantity))
    }

    /// The same as [`held`](Self::held) with what the broker reports beyond the fills. An exit of that may
    /// fill, and be told, before the fills of its entry are: then it closes what they will open.
    pub fn there(&self, side: Side) -> Quantity {
        let there = self.quantity.saturating_plus(self.reported());
        match side {
            Side::Sell => there,
            Side::Buy => there.negated(),
        }
    }

    /// So much of what an entry filled was told: it is no longer only reported.
    pub fn told(&mut self, entry: Id<id::Order>, quantity: Quantity) {
        if let Some(reported) = self.reported.filter(|reported| reported.entry_id == entry) {
            let quantity = reported.quantity.saturating_minus(quantity);
            let left = Reported { quantity, ..reported };
            self.reported = Some(left).filter(|left| left.quantity.is_positive());
        }
    }

    /// What the legs of a bracket protect by exits on `side`: what is held, less the exits that are under
    /// way. The stop protects what the broker reports beyond the fills, too. `at_limit` of these rest at a
    /// limit and take a profit: they are one side of what the stop is the other of, so the stop protects
    /// what they are for as well.
    pub fn protected(&self, side: Side, at_limit: Quantity) -> Protected {
        let leaving = match side {
            Side::Sell => self.exit_sell,
            Side::Buy => self.exit_buy,
        };
        let but = |there: Quantity, leaving| there.saturating_minus(leaving).max(Quantity::ZERO);
        let others = leaving.saturating_minus(at_limit).max(Quantity::ZERO);
        Protected {
            stop_loss: but(self.there(side), others),
            take_profit: but(self.held(side).min(self.there(side)), leaving),
        }
    }

    /// Of an account's exposure, all strategies together: the net position that an exit on `side`
    /// may close once everything live has filled. No strategy's exit is larger (S3): what it holds
    /// beyond that is held against by others, and closing it would open the other side.
    pub fn net_closable(&self, side: Side) -> Quantity {
        let (entering, returning) = match side {
            Side::Sell => (self.entry_buy, self.exit_buy),
            Side::Buy => (self.entry_sell, self.exit_sell),
        };
        let held = self.held(side);
        let against = held.negated().saturating_minus(returning).max(Quantity::ZERO);
        held.max(Quantity::ZERO)
            .saturating_plus(entering)
            .saturating_minus(against)
            .max(Quantity::ZERO)
    }

    /// Average price of the filled position, cut to eight decimals; `None` when flat.
    pub fn average_price(&self) -> Option<Price> {
        self.cost.price(self.quantity)
    }

    /// Both together, of what fills and orders say. Sums stay at the end of their range.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            quantity: self.quantity.saturating_plus(other.quantity),
            cost: self.cost.saturating_plus(other.cost),
            realized: self.realized.saturating_plus(other.realized),
            fees: self.fees.saturating_plus(other.fees),
            entry_buy: self.entry_buy.saturating_plus(other.entry_buy),
            entry_sell: self.entry_sell.saturating_plus(other.entry_sell),
            exit_buy: self.exit_buy.saturating_plus(other.exit_buy),
            exit_sell: self.exit_sell.saturating_plus(other.exit_sell),
            entry_sent_at: None,
            bracket: None,
            reported: None,
            unclosed_since: None,
        }
    }

    /// Counts a live order of this size in.
    pub fn reserve(&mut self, purpose: Purpose, side: Side, quantity: Quantity) {
        let slot = self.slot(purpose, side);
        *slot = slot.saturating_plus(quantity);
    }

    /// Takes what is no longer live out again.
    pub fn release(&mut self, purpose: Purpose, side: Side, quantity: Quantity) {
        let slot = self.slot(purpose, side);
        *slot = slot.saturating_minus(quantity).max(Quantity::ZERO);
    }

    const fn slot(&mut self, purpose: Purpose, side: Side) -> &mut Quantity {
        match (purpose, side) {
            (Purpose::Entry, Side::Buy) => &mut self.entry_buy,
            (Purpose::Entry, Side::Sell) => &mut self.entry_sell,
            (Purpose::Exit, Side::Buy) => &mut self.exit_buy,
            (Purpose::Exit, Side::Sell) => &mut self.exit_sell,
        }
    }

    /// Folds a fill into position, cost and realised profit. What closes a part takes the same part
    /// of the cost with it, cut toward zero; what closes all takes all. `None` if a number would not
    /// fit; then nothing has changed.
    #[must_use = "a fill that does not fit must be handled"]
    pub fn fill(&mut self, side: Side, quantity: Quantity, price: Price, fee: Money) -> Option<()> {
        let after = self.quantity.plus(side.signed(quantity))?;
        let opposes = side.opposite().signed(self.quantity).is_positive();
        let held = self.quantity.magnitude();
        let closed = if opposes { quantity.min(held) } else { Quantity::ZERO };
        let opened = side.signed(quantity.minus(closed)?);
        let released = self.cost.share(closed, held)?;
        let proceeds = Points::of(price, side.opposite().signed(closed));
        let realized = self.realized.plus(proceeds.minus(released)?)?;
        let cost = self.cost.minus(released)?.plus(Points::of(price, opened))?;
        let fees = self.fees.plus(fee)?;
        (self.quantity, self.cost, self.realized, self.fees) = (after, cost, realized, fees);
        // All of it was closed: what an exit did not close before is gone.
        if opposes && closed == held {
            self.unclosed_since = None;
        }
        Some(())
    }

    /// An order that was made then has filled: an entry that came after a failed exit holds it again.
    pub fn held_again(&mut self, purpose: Purpose, made_at: Timestamp) {
        let is_meant = |since: &Timestamp| purpose == Purpose::Exit || made_at <= *since;
        self.unclosed_since = self.unclosed_since.filter(is_meant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fill(exposure: &mut Exposure, side: Side, quantity: &str, price: &str) {
        exposure
            .fill(side, quantity.parse().unwrap(), price.parse().unwrap(), Money::ZERO)
            .unwrap();
    }

    #[test]
    fn average_and_realised() {
        let average = |exposure: &Exposure| exposure.average_price().unwrap().to_string();
        let realized = |exposure: &Exposure| {
            exposure.realized.money("1".parse().unwrap()).unwrap().to_string()
        };
        let mut exposure = Exposure::default();
        fill(&mut exposure, Side::Buy, "2", "100");
        fill(&mut exposure, Side::Buy, "2", "110");
        assert_eq!(average(&exposure), "105");
        fill(&mut exposure, Side::Sell, "1", "115");
        assert_eq!((exposure.quantity.to_string(), realized(&exposure)), ("3".into(), "10".into()));
        fill(&mut exposure, Side::Sell, "4", "100");
        assert_eq!(exposure.quantity.to_string(), "-1");
        assert_eq!((average(&exposure), realized(&exposure)), ("100".into(), "-5".into()));
        fill(&mut exposure, Side::Buy, "1", "90");
        assert_eq!((exposure.average_price(), realized(&exposure)), (None, "5".into()));
        assert_eq!(exposure.cost, Points::ZERO);
    }

    /// S9: the stop protects what is only reported, an exit finds it, and it is no part of the position. A
    /// stop of it that fills first has opened nothing.
    #[test]
    fn s9_what_is_reported_is_there_and_not_held() {
        let (entry, other) = (Id::from_bytes([1; 16]), Id::from_bytes([2; 16]));
        let units = |text: &str| -> Quantity { text.parse().unwrap() };
        for (side, sign) in [(Side::Buy, ""), (Side::Sell, "-")] {
            let exit = side.opposite();
            let mut exposure = Exposure::default();
            exposure.reserve(Purpose::Entry, side, units("3"));
            exposure.reported = Some(Reported {
                average_price: Price::ZERO,
                entry_id: entry,
                first_read_at: Timestamp::default(),
                quantity: units("3"),
                second_read_at: Timestamp::default(),
                side,
            });
            let protected =
                |stop, profit| Protected { stop_loss: units(stop), take_profit: units(profit) };
            assert_eq!(exposure.held(exit), Quantity::ZERO);
            assert_eq!(exposure.there(exit), units("3"));
            assert_eq!(exposure.there(side), units("-3"));
            assert_eq!(exposure.protected(exit, Quantity::ZERO), protected("3", "0"));
            assert_eq!(exposure.closable(exit), units("3"), "counted once, as the live entry");

            // One is told: what is there stays the same.
            fill(&mut exposure, side, "1", "100");
            exposure.told(other, units("1"));
            exposure.told(entry, units("1"));
            assert_eq!(exposure.reported().to_string(), format!("{sign}2"));
            assert_eq!(exposure.there(exit), units("3"));
            assert_eq!(exposure.protected(exit, Quantity::ZERO), protected("3", "1"));

            // The stop fills before the rest is told.
            fill(&mut exposure, exit, "3", "90");
            assert_eq!((exposure.there(exit), exposure.there(side)), (units("0"), units("0")));
            assert_eq!(exposure.protected(exit, Quantity::ZERO), protected("0", "0"));
            fill(&mut exposure, side, "2", "100");
            exposure.told(entry, units("2"));
            assert_eq!((exposure.reported, exposure.quantity), (None, Quantity::ZERO));
        }
    }

    /// S11: what an exit did not close should be closed, until it is or an entry of later holds it again.
    #[test]
    fn s11_what_an_exit_did_not_close() {
        let at = Timestamp::from_unix_micros;
        let mut exposure = Exposure::default();
        fill(&mut exposure, Side::Buy, "2", "100");
        exposure.unclosed_since = Some(at(5));
        fill(&mut exposure, Side::Sell, "1", "100");
        exposure.held_again(Purpose::Exit, at(6));
        exposure.held_again(Purpose::Entry, at(5));
        assert_eq!(exposure.unclosed_since, Some(at(5)));
        let mut entered = exposure;
        entered.held_again(Purpose::Entry, at(6));
        assert_eq!(entered.unclosed_since, None);
        fill(&mut exposure, Side::Sell, "1", "100");
        assert_eq!(exposure.unclosed_since, None);
    }

    #[test]
    fn a_fill_that_does_not_fit_changes_nothing() {
        let mut exposure = Exposure { fees: Money::MAX, ..Exposure::default() };
        let before = exposure;
        let one = Quantity::from_whole(1).unwrap();
        let folded = exposure.fill(Side::Buy, one, Price::MAX, Money::from_units(1));
        assert_eq!((folded, exposure), (None, before));
    }

    proptest! {
        #[test]
        fn position_is_the_sum_of_fills(fills in prop::collection::vec((any::<bool>(), 1_i64..1_000, 1_i64..10_000), 0..40)) {
            let mut exposure = Exposure::default();
            let mut sum = 0_i64;
            for (buy, quantity, price) in fills {
                let side = if buy { Side::Buy } else { Side::Sell };
                let quantity = Quantity::from_whole(quantity).unwrap();
                exposure.fill(side, quantity, Price::from_whole(price).unwrap(), Money::ZERO).unwrap();
                sum = sum.saturating_add(side.signed(quantity).units());
                prop_assert_eq!(exposure.quantity.units(), sum);
                prop_assert_eq!(exposure.quantity.is_zero(), exposure.average_price().is_none());
                prop_assert_eq!(exposure.quantity.is_zero(), exposure.cost == Points::ZERO);
            }
        }
    }
}
