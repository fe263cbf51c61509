//! Faults on purpose: what real brokers do on bad days, on command.

use super::price::mix;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tradewarden_domain::money::Quantity;

use super::message::Command;
use super::state::Twist;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The command is done and durable; the answer is lost.
    DropAnswerAfterAccept,
    /// The command is lost before it is done. A placement still counts as received.
    DropBeforeAccept,
    /// The command is done and durable; the answer comes so many milliseconds later.
    DelayAnswer(u32),
    /// The exchange says no, with code `injected`.
    Reject,
    /// At most this much of a placement fills at once; the rest at the next ticks.
    PartialFill(Quantity),
    /// A placement fills at the next tick at the earliest, even if it is canceled before.
    LateFill,
    /// The last fill of the answer is reported twice.
    DuplicateFillReport,
    /// The exchange says that it is asked too often (code `throttled`) and does nothing.
    Throttle,
    /// The command is done and durable; instead of the answer the connection ends.
    Disconnect,
}

/// Which commands a fault meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// Placements.
    Place,
    /// Cancels, of one or of all.
    Cancel,
    /// Replacements.
    Replace,
    /// Look-ups by client order id.
    Find,
    /// Pages of fills.
    Fills,
    /// Every other reading call of the port.
    Read,
}

/// When a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chance {
    /// The next so many commands it meets, in the order of arming.
    Next(u32),
    /// So many of a thousand, drawn from the seed.
    PerMille {
        /// 0 to 1000.
        per_mille: u16,
        /// Where the draws begin.
        seed: u64,
    },
}

/// A fault, what it meets, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Injection {
    /// What goes wrong.
    pub fault: Fault,
    /// Which commands it meets.
    pub on: On,
    /// When it strikes.
    pub chance: Chance,
}

impl Injection {
    /// The fault on the next placement.
    pub const fn next_place(fault: Fault) -> Self {
        Self { fault, on: On::Place, chance: Chance::Next(1) }
    }
}

/// At most so many are armed at once.
const ARMED_MAX: usize = 64;

/// The armed faults.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    armed: Vec<Injection>,
}

impl Faults {
    /// Arms one more; `false` when there are too many.
    pub(crate) fn arm(&mut self, injection: Injection) -> bool {
        let fits = self.armed.len() < ARMED_MAX;
        if fits {
            self.armed.push(injection);
        }
        fits
    }

    pub(crate) fn clear(&mut self) {
        self.armed.clear();
    }

    /// The fault that strikes this command, if one does. The first armed that strikes wins.
    pub(crate) fn strike(&mut self, command: &Command) -> Option<Fault> {
        if self.armed.is_empty() {
            return None;
        }
        let on = met_by(command)?;
        let struck = self
            .armed
            .iter_mut()
            .filter(|injection| injection.on == on)
            .find_map(|injection| injection.chance.draw().then_some(injection.fault));
        self.armed.retain(|injection| injection.chance != Chance::Next(0));
        struck
    }
}

impl Chance {
    fn draw(&mut self) -> bool {
        match self {
            Self::Next(0) => false,
            Self::Next(left) => {
                *left = left.saturating_sub(1);
                true
            }
            Self::PerMille { per_mille, seed } => {
                *seed = mix(*seed);
                *seed % 1_000 < u64::from(*per_mille)
            }
        }
    }
}

const fn met_by(command: &Command) -> Option<On> {
    match command {
        Command::Place(_) => Some(On::Place),
        Command::Cancel(_) | Command::CancelAll { .. } => Some(On::Cancel),
        Command::Replace(_) => Some(On::Replace),
        Command::Find(_) => Some(On::Find),
        Command::Fills { .. } => Some(On::Fills),
        Command::OpenOrders { .. }
        | Command::Positions { .. }
        | Command::Account { .. }
        | Command::Instruments { .. }
        | Command::Quote { .. } => Some(On::Read),
        Command::OpenAccount { .. }
        | Command::List(_)
        | Command::SetPrice { .. }
        | Command::SetLiquidity { .. }
        | Command::PositionByHand { .. }
        | Command::Tick
        | Command::Inject(_)
        | Command::ClearFaults
        | Command::Counts
        | Command::TimesReceived { .. } => None,
    }
}

impl Fault {
    /// What the fault does to the command itself.
    pub(crate) const fn twist(self) -> Twist {
        match self {
            Self::DropBeforeAccept => Twist::Lost,
            Self::Reject => Twist::Reject,
            Self::Throttle => Twist::Throttle,
            Self::PartialFill(quantity) => Twist::Partial(quantity),
            Self::LateFill => Twist::Late,
            Self::DropAnswerAfterAccept
            | Self::DelayAnswer(_)
            | Self::DuplicateFillReport
            | Self::Disconnect => Twist::None,
        }
    }

    /// What the fault does to the answer.
    pub(crate) fn delivery(self) -> Delivery {
        match self {
            Self::DropAnswerAfterAccept | Self::DropBeforeAccept => Delivery::Silence,
            Self::DelayAnswer(millis) => Delivery::After(Duration::from_millis(u64::from(millis))),
            Self::Disconnect => Delivery::HangUp,
            Self::Reject
            | Self::PartialFill(_)
            | Self::LateFill
            | Self::DuplicateFillReport
            | Self::Throttle => Delivery::AtOnce,
        }
    }
}

/// How an answer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// In the ordinary course.
    AtOnce,
    /// Only after so long.
    After(Duration),
    /// Not at all, and the connection stays.
    Silence,
    /// Not at all, and the connection ends.
    HangUp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shots_strike_in_order_and_are_spent() {
        let mut faults = Faults::default();
        for fault in [Fault::Reject, Fault::Throttle] {
            assert!(faults.arm(Injection::next_place(fault)));
        }
        let tick = Command::Tick;
        let find = Command::Counts;
        assert_eq!((faults.strike(&tick), faults.strike(&find)), (None, None));
        let place = Command::Place(crate::paper::state::tests::order("a"));
        assert_eq!(faults.strike(&place), Some(Fault::Reject));
        assert_eq!(faults.strike(&place), Some(Fault::Throttle));
        assert_eq!(faults.strike(&place), None);
    }

    #[test]
    fn chances_follow_the_seed() {
        let draws = |seed| {
            let mut chance = Chance::PerMille { per_mille: 250, seed };
            (0..1_000).map(|_| chance.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draws(7), draws(7));
        let hits = draws(7).into_iter().filter(|hit| *hit).count();
        assert!((200..300).contains(&hits), "{hits}");
    }
}
