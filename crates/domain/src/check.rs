//! The decision trace: what was looked at, in order, and what came of it.

use crate::code::{Code, Refusal};
use crate::day::Day;
use crate::money::{Money, Price, Quantity};
use crate::schedule::WallClock;
use serde::{Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It said yes.
    Pass,
    /// It said no.
    Fail,
    /// It had nothing to look at, or was computed without being enforced.
    Skip,
}

/// What a check compared. It becomes text when somebody reads it: judging makes none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// How much.
    Quantity(Quantity),
    /// An amount.
    Money(Money),
    /// A price.
    Price(Price),
    /// A day.
    Day(Day),
    /// Any day before this one.
    Before(Day),
    /// The time of day in some place.
    WallClock(WallClock),
    /// Something in words that are there already.
    Words(Arc<str>),
    /// Something in words.
    Text(String),
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantity(quantity) => quantity.fmt(f),
            Self::Money(money) => money.fmt(f),
            Self::Price(price) => price.fmt(f),
            Self::Day(day) => day.fmt(f),
            Self::Before(day) => write!(f, "before {day}"),
            Self::WallClock(clock) => clock.fmt(f),
            Self::Words(text) => f.write_str(text),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<Quantity> for Shown {
    fn from(quantity: Quantity) -> Self {
        Self::Quantity(quantity)
    }
}

impl From<Money> for Shown {
    fn from(money: Money) -> Self {
        Self::Money(money)
    }
}

impl From<Price> for Shown {
    fn from(price: Price) -> Self {
        Self::Price(price)
    }
}

/// One line of the trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The check's name, for example `risk.max_position`.
    pub name: &'static str,
    /// How it ended.
    pub result: Outcome,
    /// The reason, unless it passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What it looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Shown>,
    /// What it allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Shown>,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// The checks of one signal so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    checks: Vec<Check>,
}

impl Trace {
    /// An empty trace with room for a signal with every check there is.
    pub fn new() -> Self {
        Self { checks: Vec::with_capacity(40) }
    }

    /// Forgets its lines and keeps the room that they took.
    pub fn clear(&mut self) {
        self.checks.clear();
    }

    /// The check passed.
    pub fn pass(&mut self, name: &'static str) {
        self.push(name, Outcome::Pass, None, None, None);
    }

    /// The check passed; what it compared is worth keeping.
    pub fn pass_with(&mut self, name: &'static str, input: String, limit: Option<String>) {
        self.push(name, Outcome::Pass, None, Some(Shown::Text(input)), limit.map(Shown::Text));
    }

    /// The check passed by a comparison.
    pub fn pass_over(&mut self, name: &'static str, input: Shown, limit: Shown) {
        self.push(name, Outcome::Pass, None, Some(input), Some(limit));
    }

    /// The check had nothing to look at.
    pub fn skip(&mut self, name: &'static str, why: &str) {
        self.push(name, Outcome::Skip, None, Some(Shown::Text(why.to_owned())), None);
    }

    /// The check said no.
    pub fn fail(&mut self, name: &'static str, refusal: &Refusal) {
        self.push(
            name,
            Outcome::Fail,
            Some(refusal.code),
            refusal.input.clone().or_else(|| Some(refusal.detail.clone())).map(Shown::Text),
            refusal.limit.clone().map(Shown::Text),
        );
    }

    /// The check would have said no, but may not stop what reduces a position (S18).
    pub fn not_enforced(&mut self, name: &'static str, refusal: &Refusal) {
        self.push(
            name,
            Outcome::Skip,
            Some(refusal.code),
            refusal.input.clone().map(Shown::Text),
            refusal.limit.clone().map(Shown::Text),
        );
    }

    /// The check of that name, among the lines from the place `since` on, said no, and two people said
    /// yes: `by` names the override.
    pub fn overridden(&mut self, since: usize, refusal: &Refusal, by: &str) {
        let name = refusal.code.text();
        // Where the limit was left out, so was its line.
        let passed = self.checks.iter().skip(since).position(|check| check.name == name);
        if let Some(place) = passed.and_then(|place| place.checked_add(since)) {
            self.checks.remove(place);
        }
        self.not_enforced(refusal.code.text(), refusal);
        let limit = Some(Shown::Text(refusal.code.text().to_owned()));
        self.push("override", Outcome::Pass, None, Some(Shown::Text(by.to_owned())), limit);
    }

    /// States how long the checks added since `from` took together, on the last of them.
    pub fn took(&mut self, micros: u64) {
        if let Some(last) = self.checks.last_mut() {
            last.took_us = last.took_us.saturating_add(micros);
        }
    }

    /// The lines, in order.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    fn push(
        &mut self,
        name: &'static str,
        result: Outcome,
        code: Option<Code>,
        input: Option<Shown>,
        limit: Option<Shown>,
    ) {
        self.checks.push(Check { name, result, code, input, limit, took_us: 0 });
    }
}
