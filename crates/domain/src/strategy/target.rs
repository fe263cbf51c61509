//! Sizing by target: the signal names the position that is wanted, and the order is what is missing
//! to it (S5).

use super::{Decision, OnOpposite, ShortSelling, Strategy, StrategyState, close, unusable};
use crate::code::{Code, Refusal};
use crate::exposure::Exposure;
use crate::instrument::Instrument;
use crate::money::Quantity;
use crate::order::Side;
use crate::signal::{Sentiment, Signal};

/// The position that the signal wants; negative is short. Without a side, or with a side and no
/// size, nothing is guessed.
pub(super) fn wanted(signal: &Signal) -> Result<Quantity, Refusal> {
    let stated = signal.market_position.or(signal.sentiment);
    let contradicts = signal.sentiment.is_some_and(|sentiment| Some(sentiment) != stated);
    if contradicts {
        return Err(unusable("market_position: it contradicts sentiment"));
    }
    let side = match (stated, signal.market_position_size) {
        (None, _) => return Err(unusable("market_position: the strategy sizes by it")),
        (Some(Sentiment::Flat), Some(size)) if size.is_positive() => {
            return Err(unusable("market_position_size: it is not 0, and the position is flat"));
        }
        (Some(Sentiment::Flat), _) => return Ok(Quantity::ZERO),
        (Some(Sentiment::Long), _) => Side::Buy,
        (Some(Sentiment::Short), _) => Side::Sell,
    };
    match signal.market_position_size {
        Some(size) if size.is_positive() => Ok(side.signed(size)),
        Some(_) => Err(unusable("market_position_size: it is 0, and the position is not flat")),
        None => Err(unusable("market_position_size: the strategy sizes by it")),
    }
}

impl Strategy {
    /// Brings the projected position to the one that is wanted: closes what is too much, opens what
    /// is missing. `side` is the action's; it opens nothing on the other side.
    pub(super) fn toward(
        &self,
        signal: &Signal,
        side: Side,
        exposure: &Exposure,
        instrument: &Instrument,
    ) -> Decision {
        let target = match wanted(signal) {
            Ok(target) => target,
            Err(refusal) => return Decision::Refuse(refusal),
        };
        let projected = exposure.projected();
        let held_side = side_of(projected);
        let mut intents = Vec::with_capacity(2);
        if let Some(held) = held_side {
            let keeps = held.signed(target).max(Quantity::ZERO);
            let excess = held.signed(projected).saturating_minus(keeps);
            let closable = exposure.closable(held.opposite());
            if excess.is_positive() && closable.is_positive() {
                let quantity = instrument.exit_quantity(excess.min(closable), closable);
                intents.push(close(held.opposite(), quantity));
            }
        }
        let to = side_of(target);
        let missing = if to == held_side {
            target.magnitude().saturating_minus(projected.magnitude())
        } else {
            target.magnitude()
        };
        if let Some(to) = to
            && missing.is_positive()
        {
            match self.add(signal, (side, to), held_side, instrument, missing) {
                Decision::Trade(entry) => intents.extend(entry),
                no if intents.is_empty() => return no,
                // What is too much is closed all the same (S5).
                Decision::Skip(_) | Decision::Refuse(_) => {}
            }
        }
        if intents.is_empty() {
            return Decision::Skip(Refusal::plain(match to {
                None => Code::StrategyFlat,
                Some(Side::Buy) => Code::StrategyAlreadyLong,
                Some(Side::Sell) => Code::StrategyAlreadyShort,
            }));
        }
        Decision::Trade(intents)
    }

    /// The entry of what is missing to the target, if the strategy's rules allow one. `sides` are
    /// the action's and the target's.
    fn add(
        &self,
        signal: &Signal,
        sides: (Side, Side),
        held: Option<Side>,
        instrument: &Instrument,
        quantity: Quantity,
    ) -> Decision {
        let (action, to) = sides;
        let skip = |code| Decision::Skip(Refusal::plain(code));
        // A sale that leaves less of a long position opens none where the long was missed.
        if action != to {
            return skip(Code::StrategyWrongSide);
        }
        if to == Side::Sell && self.short_selling == ShortSelling::Ignore {
            return skip(Code::StrategyFlat);
        }
        match held {
            Some(side) if side != to => {
                let reverses = self.on_opposite == OnOpposite::Reverse;
                if !reverses || self.state != StrategyState::On {
                    return skip(Code::StrategyFlat);
                }
            }
            // The signal names all of the position, so that pyramiding is not asked about (S5).
            Some(_) | None => {}
        }
        self.enter_with(signal, to, instrument, quantity)
    }
}

const fn side_of(position: Quantity) -> Option<Side> {
    match position.units() {
        0 => None,
        1.. => Some(Side::Buy),
        _ => Some(Side::Sell),
    }
}
