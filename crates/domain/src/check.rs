//! The decision trace: what was looked at, in order, and what came of it.

use crate::code::{Code, Refusal};
use serde::Serialize;

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
    pub input: Option<String>,
    /// What it allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// The checks of one signal so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    checks: Vec<Check>,
}

impl Trace {
    /// An empty trace with room for a usual signal.
    pub fn new() -> Self {
        Self { checks: Vec::with_capacity(20) }
    }

    /// The check passed.
    pub fn pass(&mut self, name: &'static str) {
        self.push(name, Outcome::Pass, None, None, None);
    }

    /// The check passed; what it compared is worth keeping.
    pub fn pass_with(&mut self, name: &'static str, input: String, limit: Option<String>) {
        self.push(name, Outcome::Pass, None, Some(input), limit);
    }

    /// The check had nothing to look at.
    pub fn skip(&mut self, name: &'static str, why: &str) {
        self.push(name, Outcome::Skip, None, Some(why.to_owned()), None);
    }

    /// The check said no.
    pub fn fail(&mut self, name: &'static str, refusal: &Refusal) {
        self.push(
            name,
            Outcome::Fail,
            Some(refusal.code),
            refusal.input.clone().or_else(|| Some(refusal.detail.clone())),
            refusal.limit.clone(),
        );
    }

    /// The check would have said no, but may not stop what reduces a position (S18).
    pub fn not_enforced(&mut self, name: &'static str, refusal: &Refusal) {
        self.push(
            name,
            Outcome::Skip,
            Some(refusal.code),
            refusal.input.clone(),
            refusal.limit.clone(),
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
        let limit = Some(refusal.code.text().to_owned());
        self.push("override", Outcome::Pass, None, Some(by.to_owned()), limit);
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
        input: Option<String>,
        limit: Option<String>,
    ) {
        self.checks.push(Check { name, result, code, input, limit, took_us: 0 });
    }
}
