//! Loss limits: how a loss of the day and a fall from the best are watched, warned of and stopped
//! (S23). Pure: a watch, what was just read, and the next watch with what there is to say.
//!
//! Everything is counted in what was made by fills and marks, never in cash: a deposit or a
//! withdrawal, which no fill explains, is neither a profit nor a loss.
//!
//! One bad tick must not stop anybody, and must not set what losses are measured from. So the
//! beginning of a session with an open position is the second highest of its first three marks and
//! the one before them: what falls after the first is lost, and no tick alone sets it. Where the one
//! before is not known it is the middle of the three. The
//! best is what three marks in a row were above, and a limit is broken when three marks in a row
//! break it; marks count when they are a second apart. What is realised needs no mark: it breaks a
//! limit at once, and a session that begins with nothing open begins with exactly that.

use crate::id::{self, Id};
use crate::money::{Money, Quantity, Round};
use crate::order::words;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

words! {
    /// Who lets an account trade on after a loss of the day.
    LossReset {
        /// The next session does.
        Session = "session",
        /// Only a person does.
        Person = "person",
    }
    /// What is watched.
    LossKind {
        /// The loss since the session began.
        Daily = "daily_loss",
        /// The fall from the best there ever was.
        Drawdown = "drawdown",
    }
}

/// So many marks in a row make it true.
const MARKS: u8 = 3;
/// Marks count when they are so far apart.
const MARKS_APART: Duration = Duration::from_secs(1);
/// Parts of a limit, in percent, at which somebody is warned.
const WARNINGS: [u8; 2] = [70, 90];
/// If nobody looked for so long when a session began, what was known before it counts as well.
const GAP_MAX: Duration = Duration::from_mins(1);

/// What was just read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What was made of what is closed, fees taken off, in the account's currency.
    pub realized: Money,
    /// That and what is open at its marks; `None` without fresh marks.
    pub total: Option<Money>,
    /// The same at marks of a second or two before; `None` where they are not known or not wanted.
    pub before: Option<Money>,
    /// When the oldest of the marks was quoted; now if nothing is open.
    pub marked_at: Timestamp,
    /// Cash and positions by the broker's word, at most a minute old.
    pub equity: Option<Money>,
    /// Whether nothing is open, so that the total needs no mark.
    pub is_flat: bool,
}

/// What may be lost, tightest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Since the session began.
    pub daily_loss: Option<Money>,
    /// From the best.
    pub drawdown: Option<Money>,
    /// From the best, in percent of the equity there would be without the fall.
    pub drawdown_percent: Option<Quantity>,
}

impl Bounds {
    /// Whether anything is bounded.
    pub const fn is_any(&self) -> bool {
        self.daily_loss.is_some() || self.drawdown.is_some() || self.drawdown_percent.is_some()
    }
}

/// What there is to say after a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A session began; what it stopped may go on, if the session may say so.
    Began,
    /// So many percent of a limit are lost.
    Warned {
        /// Which limit.
        kind: LossKind,
        /// 70 or 90.
        percent: u8,
        /// What is lost.
        loss: Money,
        /// What may be.
        limit: Money,
    },
    /// A limit is broken: only what reduces may go on.
    Broken {
        /// Which limit.
        kind: LossKind,
        /// What is lost.
        loss: Money,
        /// What may be.
        limit: Money,
    },
}

/// What is lost by now, and what may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Of what.
    pub kind: LossKind,
    /// So much; negative is a gain.
    pub loss: Money,
    /// What may be.
    pub limit: Money,
}

impl Lost {
    /// Whether the limit is reached: at it, not past it.
    pub fn is_all(&self) -> bool {
        self.loss >= self.limit && self.loss.is_positive()
    }
}

/// Marks in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    count: u8,
    last: Option<Timestamp>,
}

impl Row {
    /// Counts a mark that is far enough from the one before; whether it did.
    fn count(&mut self, at: Timestamp) -> bool {
        let counts = self.last.is_none_or(|last| at >= last.plus(MARKS_APART));
        if counts {
            self.count = self.count.saturating_add(1);
            self.last = Some(at);
        }
        counts
    }

    const fn is_full(self) -> bool {
        self.count >= MARKS
    }
}

/// One limit's state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Guard {
    over: Row,
    warned: u8,
    halt: Option<Id<id::Halt>>,
    /// Who ends it, by what held when it was engaged.
    reset: Option<LossReset>,
}

/// The state of one account or strategy, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    session_at: Timestamp,
    /// The first marks of the session, by size; as many of them as `opening_marks` says.
    opening: [Money; 3],
    opening_marks: Row,
    /// What there was at the marks before those.
    before: Option<Money>,
    /// What was known before a session that nobody saw begin.
    known_before: Option<Money>,
    opening_realized: Money,
    best: Money,
    /// The least of the marks in a row that were above the best.
    rising: Money,
    rising_marks: Row,
    total: Money,
    realized: Money,
    daily: Guard,
    drawdown: Guard,
}

impl Watch {
    /// Begins to watch: what was made until now is where it starts.
    pub fn begin(session_at: Timestamp, reading: &Reading) -> Self {
        let total = reading.total.unwrap_or(reading.realized);
        let mut watch = Self {
            session_at,
            opening: [total; 3],
            opening_marks: Row::default(),
            before: reading.before,
            known_before: None,
            opening_realized: reading.realized,
            best: total,
            rising: total,
            rising_marks: Row::default(),
            total,
            realized: reading.realized,
            daily: Guard::default(),
            drawdown: Guard::default(),
        };
        watch.open(reading);
        watch
    }

    /// What was made when the session began, as far as it is known.
    pub fn opening(&self) -> Money {
        let [low, middle, high] = self.opening;
        let second_highest = self.before.map_or(middle, |before| middle.max(before.min(high)));
        let settled = if self.opening_marks.is_full() { second_highest } else { low };
        self.known_before.map_or(settled, |before| before.max(settled))
    }

    /// When the session began.
    pub const fn session_at(&self) -> Timestamp {
        self.session_at
    }

    /// The best there was.
    pub const fn best(&self) -> Money {
        self.best
    }

    /// What was made since the session began, by the newest reading; negative is a loss.
    pub fn of_the_day(&self) -> Money {
        self.total.saturating_minus(self.opening())
    }

    /// The halt that a limit's breach engaged, while it stands.
    pub const fn halt(&self, kind: LossKind) -> Option<Id<id::Halt>> {
        match kind {
            LossKind::Daily => self.daily.halt,
            LossKind::Drawdown => self.drawdown.halt,
        }
    }

    /// The halt that ends with the session in which a loss of the day engaged it.
    pub fn halt_of_session(&self) -> Option<Id<id::Halt>> {
        self.daily.halt.filter(|_| self.daily.reset == Some(LossReset::Session))
    }

    /// Keeps the halt that a breach engaged, and who ends it if it is of the day; one of a fall from the
    /// best a person ends.
    pub const fn halted(&mut self, kind: LossKind, halt: Id<id::Halt>, of_day: LossReset) {
        let (guard, reset) = match kind {
            LossKind::Daily => (&mut self.daily, of_day),
            LossKind::Drawdown => (&mut self.drawdown, LossReset::Person),
        };
        guard.halt = Some(halt);
        guard.reset = Some(reset);
    }

    /// A halt was ended, by a person or by the session: what is lost from now on counts anew.
    pub fn resumed(&mut self, kind: LossKind, reading: &Reading) {
        match kind {
            LossKind::Daily => {
                self.daily = Guard::default();
                self.restart(reading, None);
            }
            LossKind::Drawdown => {
                self.drawdown = Guard::default();
                self.best = reading.total.unwrap_or(self.total);
                self.rising_marks = Row::default();
            }
        }
    }

    fn restart(&mut self, reading: &Reading, known_before: Option<Money>) {
        let total = reading.total.unwrap_or(self.total);
        self.opening = [total; 3];
        self.opening_marks = Row::default();
        self.before = reading.before;
        self.known_before = known_before;
        self.opening_realized =
            known_before.map_or(reading.realized, |_| reading.realized.max(self.realized));
        self.open(reading);
    }

    /// Whether anything but the newest reading is different.
    pub fn has_moved_from(&self, before: &Self) -> bool {
        let (total, realized) = (before.total, before.realized);
        Self { total, realized, ..*self } != *before
    }

    /// Takes one of the first marks of the session in.
    fn open(&mut self, reading: &Reading) {
        let Some(total) = reading.total else { return };
        if reading.is_flat && self.opening_marks == Row::default() {
            // No mark is in it, and so no bad one: nothing is to be waited for. Else what is lost in
            // the first seconds would be taken for where the session began.
            self.opening = [total; 3];
            self.opening_marks = Row { count: MARKS, last: Some(reading.marked_at) };
            return;
        }
        if self.opening_marks.is_full() || !self.opening_marks.count(reading.marked_at) {
            return;
        }
        // Of one mark and of two the first stands for all; the third makes a middle.
        let [first, _, second] = self.opening;
        self.opening = match self.opening_marks.count {
            1 => [total; 3],
            2 => [first, first, total],
            _ => {
                let mut three = [first, second, total];
                three.sort_unstable();
                three
            }
        };
    }

    /// Takes a reading in. `session_at` is when the present session began.
    pub fn read(
        &mut self,
        reading: &Reading,
        session_at: Timestamp,
        now: Timestamp,
        bounds: &Bounds,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        if session_at > self.session_at {
            let unseen = session_at.plus(GAP_MAX) < now;
            self.session_at = session_at;
            self.restart(reading, unseen.then_some(self.total));
            self.daily.over = Row::default();
            self.daily.warned = 0;
            steps.push(Step::Began);
        } else {
            self.open(reading);
        }
        self.realized = reading.realized;
        if let Some(total) = reading.total {
            self.total = total;
            self.rise(total, reading.marked_at);
        }
        self.guard_day(reading, bounds, &mut steps);
        self.guard_best(reading, bounds, &mut steps);
        steps
    }

    /// The best rises to what three marks in a row were above.
    fn rise(&mut self, total: Money, at: Timestamp) {
        if total <= self.best {
            self.rising_marks = Row::default();
            return;
        }
        if self.rising_marks.count == 0 || total < self.rising {
            self.rising = total;
        }
        self.rising_marks.count(at);
        if self.rising_marks.is_full() {
            self.best = self.rising;
            self.rising_marks = Row::default();
        }
    }

    /// What is lost by this reading of what may be.
    pub fn lost(&self, reading: &Reading, bounds: &Bounds) -> [Option<Lost>; 2] {
        [self.lost_of_day(reading, bounds), self.lost_from_best(reading, bounds)]
    }

    fn lost_of_day(&self, reading: &Reading, bounds: &Bounds) -> Option<Lost> {
        let limit = bounds.daily_loss?;
        let of_all = reading.total.map(|total| self.opening().saturating_minus(total));
        let loss = of_all.unwrap_or_else(|| self.realized_of_day(reading));
        Some(Lost { kind: LossKind::Daily, loss, limit })
    }

    /// What was open when the session began may have been at a loss already: closing it is none.
    fn realized_of_day(&self, reading: &Reading) -> Money {
        self.opening().min(self.opening_realized).saturating_minus(reading.realized)
    }

    fn lost_from_best(&self, reading: &Reading, bounds: &Bounds) -> Option<Lost> {
        let loss = self.best.saturating_minus(reading.total?);
        // Of what there would be without the fall.
        let percent = bounds.drawdown_percent.zip(reading.equity).and_then(|(percent, equity)| {
            let whole = equity.saturating_plus(loss.max(Money::ZERO)).max(Money::ZERO);
            whole.ratio(percent.units(), HUNDRED_PERCENT, Round::Down)
        });
        let limit = [bounds.drawdown, percent].into_iter().flatten().min()?;
        Some(Lost { kind: LossKind::Drawdown, loss, limit })
    }

    fn guard_day(&mut self, reading: &Reading, bounds: &Bounds, steps: &mut Vec<Step>) {
        let Some(lost) = self.lost_of_day(reading, bounds) else { return };
        // What is closed explains the loss, or nothing is open: no mark is in it.
        let is_certain = reading.total.is_none()
            || reading.is_flat
            || self.realized_of_day(reading) >= lost.limit;
        self.daily.look(lost, lost.is_all() && is_certain, reading, steps);
    }

    fn guard_best(&mut self, reading: &Reading, bounds: &Bounds, steps: &mut Vec<Step>) {
        let Some(lost) = self.lost_from_best(reading, bounds) else { return };
        self.drawdown.look(lost, false, reading, steps);
    }
}

/// Units of a percentage in one whole.
const HUNDRED_PERCENT: i64 = 100 * 100_000_000;

impl Guard {
    fn look(&mut self, lost: Lost, at_once: bool, reading: &Reading, steps: &mut Vec<Step>) {
        let Lost { kind, loss, limit } = lost;
        if self.halt.is_some() {
            return;
        }
        if kind == LossKind::Drawdown && !loss.is_positive() {
            self.warned = 0;
        }
        if loss < limit || !loss.is_positive() {
            self.over = Row::default();
        } else if reading.total.is_some() {
            self.over.count(reading.marked_at);
        }
        if loss.is_positive() && (at_once || self.over.is_full()) {
            self.over = Row::default();
            self.warned = 100;
            steps.push(Step::Broken { kind, loss, limit });
            return;
        }
        let reached = |percent: u8| {
            let left = i128::from(loss.units()).checked_mul(100);
            let right = i128::from(limit.units()).checked_mul(i128::from(percent));
            loss.is_positive() && left.zip(right).is_some_and(|(left, right)| left >= right)
        };
        let highest = WARNINGS.into_iter().filter(|percent| reached(*percent)).max();
        if let Some(percent) = highest.filter(|percent| *percent > self.warned) {
            self.warned = percent;
            steps.push(Step::Warned { kind, percent, loss, limit });
        }
    }
}

#[cfg(test)]
mod tests;
