//! Lockdown: one action for a compromised account, whose steps follow one another in one order (S21).
//!
//! The order is the enum's. Each step is done before the next begins, and the one that ends what
//! cannot be had back, the access to brokers, is the last and waits for a person.

use crate::order::words;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long orders that were asked back are waited for. Every broker is asked at the same time, so
/// this is each one's own bound.
pub const CANCELS_WITHIN: Duration = Duration::from_secs(10);
/// How long it is waited for somebody to say what becomes of open positions.
pub const ANSWER_WITHIN: Duration = Duration::from_mins(1);

words! {
    /// A step of a lockdown, in the order in which they are done.
    Step {
        /// New risk is halted. Done as soon as there is a lockdown.
        Halt = "halt",
        /// Sessions and API keys end.
        EndAccess = "end_access",
        /// Orders that add risk are asked back.
        Cancel = "cancel",
        /// People are asked whether open positions are closed or kept.
        Ask = "ask",
        /// Webhooks get other secrets.
        Rotate = "rotate",
        /// A person confirms which positions are open.
        Confirm = "confirm",
        /// The access to brokers is erased.
        Erase = "erase",
        /// Nothing is left to do by itself.
        Done = "done",
    }

    /// What becomes of open positions.
    Positions {
        /// They are closed.
        Flatten = "flatten",
        /// They stay, and so does what protects them.
        Keep = "keep",
    }
}

/// What a step looks like at an instant.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// The instant.
    pub now: Timestamp,
    /// When the step began.
    pub since: Timestamp,
    /// There is something that the step has not done yet and can do now.
    pub is_undone: bool,
    /// Orders that were asked back still work, or are in doubt.
    pub is_unheard: bool,
    /// A person has said what the step waits for.
    pub is_said: bool,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The step does a part of its work.
    Work,
    /// Nothing can be done now.
    Wait,
    /// The step is over, and this one begins.
    Begin(Step),
}

impl Step {
    /// What comes next at a step that looks like this.
    pub fn next(self, look: &Look) -> Next {
        let is_over = |within| look.since.plus(within) <= look.now;
        match self {
            Self::EndAccess | Self::Cancel | Self::Rotate | Self::Erase if look.is_undone => {
                Next::Work
            }
            Self::Cancel if look.is_unheard && !is_over(CANCELS_WITHIN) => Next::Wait,
            Self::Ask if !look.is_said && !is_over(ANSWER_WITHIN) => Next::Wait,
            Self::Confirm if !look.is_said => Next::Wait,
            Self::Halt => Next::Begin(Self::EndAccess),
            Self::EndAccess => Next::Begin(Self::Cancel),
            Self::Cancel => Next::Begin(Self::Ask),
            Self::Ask => Next::Begin(Self::Rotate),
            Self::Rotate => Next::Begin(Self::Confirm),
            Self::Confirm => Next::Begin(Self::Erase),
            Self::Erase => Next::Begin(Self::Done),
            Self::Done => Next::Wait,
        }
    }

    /// Whether a person may end the lockdown at this step: what runs by itself has run.
    pub const fn may_end(self) -> bool {
        matches!(self, Self::Confirm | Self::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(seconds: u64) -> Look {
        Look {
            now: Timestamp::default().plus(Duration::from_secs(seconds)),
            since: Timestamp::default(),
            is_undone: false,
            is_unheard: false,
            is_said: false,
        }
    }

    /// A step, whether it has work of its own, for how many seconds it waits for brokers and for a
    /// person, and the step after it.
    type Row = (Step, bool, u64, u64, Option<Step>);

    const ROWS: [Row; 8] = [
        (Step::Halt, false, 0, 0, Some(Step::EndAccess)),
        (Step::EndAccess, true, 0, 0, Some(Step::Cancel)),
        (Step::Cancel, true, 10, 0, Some(Step::Ask)),
        (Step::Ask, false, 0, 60, Some(Step::Rotate)),
        (Step::Rotate, true, 0, 0, Some(Step::Confirm)),
        (Step::Confirm, false, 0, u64::MAX, Some(Step::Erase)),
        (Step::Erase, true, 0, 0, Some(Step::Done)),
        (Step::Done, false, 0, 0, None),
    ];

    /// S21: every step in every look: what is undone, unheard and said, before and at both bounds.
    #[test]
    fn s21_the_steps_follow_one_another_in_one_order() {
        assert_eq!(ROWS.map(|row| row.0), Step::ALL);
        for (step, works, unheard_s, unsaid_s, next) in ROWS {
            for seconds in [0, 9, 10, 59, 60, 100_000] {
                for bits in 0..8_u8 {
                    let [is_undone, is_unheard, is_said] = [1, 2, 4].map(|bit| bits & bit != 0);
                    let look = Look { is_undone, is_unheard, is_said, ..look(seconds) };
                    let waits = is_unheard && seconds < unheard_s || !is_said && seconds < unsaid_s;
                    let expected = match next {
                        _ if works && is_undone => Next::Work,
                        Some(next) if !waits => Next::Begin(next),
                        _ => Next::Wait,
                    };
                    assert_eq!(step.next(&look), expected, "{step} {look:?}");
                }
            }
        }
    }

    /// S21: nothing leads to the erasing but a person's word.
    #[test]
    fn s21_no_time_leads_past_the_confirmation() {
        let mut step = Step::Halt;
        let mut way = vec![step];
        while let Next::Begin(next) = step.next(&look(1_000_000)) {
            step = next;
            way.push(step);
        }
        assert_eq!(way, Step::ALL[..6], "it stops at {step}");
        assert!(step.may_end() && Step::Done.may_end());
        assert!(Step::ALL[..5].iter().all(|step| !step.may_end()));
        let said = Look { is_said: true, ..look(0) };
        assert_eq!(step.next(&said), Next::Begin(Step::Erase));
    }
}
