//! `cargo xtask test`: everything that must hold before a change is done.
//!
//! Every step runs even when an earlier one failed, so that one run tells everything; the end
//! lists each step with its time. Documentation tests are not run by nextest and are not run here:
//! this workspace keeps its examples in ordinary tests (`cargo test`, the fallback, runs both).

use std::process::Command;
use std::time::{Duration, Instant};

use crate::{Outcome, edges, licences, postgres, process, tools};

type Step = fn(&Selection) -> Outcome;

/// The steps in order: the cheap ones first.
const STEPS: &[(&str, Step)] = &[
    ("tools", |_| tools::check()),
    ("format", |_| process::run(process::cargo().args(["fmt", "--all", "--check"]))),
    ("edges", |_| edges::run()),
    ("licences", |_| licences::run()),
    ("clippy", |_| clippy()),
    ("tests", tests),
];

/// What of the suite to run.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Selection {
    only: Option<String>,
    filter: Option<String>,
}

impl Selection {
    /// `--filter` alone means the tests step: a filter says nothing to the others.
    pub(crate) fn parse(arguments: &[&str]) -> Result<Self, String> {
        let mut selection = Self::default();
        let mut rest = arguments;
        loop {
            match rest {
                [] => break,
                ["--only", step, more @ ..] => {
                    if !STEPS.iter().any(|(name, _)| name == step) {
                        let names: Vec<_> = STEPS.iter().map(|(name, _)| *name).collect();
                        return Err(format!("no step `{step}`; there are {}", names.join(", ")));
                    }
                    selection.only = Some((*step).to_owned());
                    rest = more;
                }
                ["--filter", expression, more @ ..] => {
                    selection.filter = Some((*expression).to_owned());
                    rest = more;
                }
                [other, ..] => return Err(format!("`test` does not take `{other}`")),
            }
        }
        if selection.filter.is_some() && selection.only.is_none() {
            selection.only = Some("tests".to_owned());
        }
        Ok(selection)
    }

    fn wants(&self, step: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == step)
    }
}

pub(crate) fn run(selection: &Selection) -> Outcome {
    let mut done: Vec<(&str, Duration, Outcome)> = Vec::new();
    for (name, step) in STEPS.iter().filter(|(name, _)| selection.wants(name)) {
        println!("\n== {name}");
        let started = now();
        let outcome = step(selection);
        if let Err(sentence) = &outcome {
            eprintln!("{name}: {sentence}");
        }
        done.push((name, started.elapsed(), outcome));
    }
    summarise(&done)
}

fn summarise(done: &[(&str, Duration, Outcome)]) -> Outcome {
    println!("\n== summary");
    for (name, time, outcome) in done {
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("{name:<10} {:>7.1} s  {word}", time.as_secs_f64());
    }
    let failed: Vec<_> = done.iter().filter(|(_, _, o)| o.is_err()).map(|(n, _, _)| *n).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn clippy() -> Outcome {
    let arguments = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    process::run(process::cargo().args(arguments))
}

/// The instance is dropped, and with it stopped and removed, however the tests end.
fn tests(selection: &Selection) -> Outcome {
    let database = postgres::Instance::start()?;
    println!("private PostgreSQL: {}", database.url());
    let mut command = test_command(selection.filter.as_deref(), tools::has_nextest());
    process::run(command.env(postgres::VARIABLE, database.url()))
}

fn test_command(filter: Option<&str>, nextest: bool) -> Command {
    let mut command = process::cargo();
    if nextest {
        command.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
        command.args(filter.map(|expression| ["-E", expression]).iter().flatten());
    } else {
        command.args(["test", "--workspace", "--no-fail-fast"]).args(filter);
    }
    command
}

#[expect(clippy::disallowed_methods, reason = "tooling: it times its own steps for a person")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_selects_the_tests_step() {
        let selection = Selection::parse(&["--filter", "test(halt)"]).unwrap();
        assert!(selection.wants("tests") && !selection.wants("clippy"));
    }

    #[test]
    fn without_options_every_step_runs() {
        let selection = Selection::parse(&[]).unwrap();
        assert!(STEPS.iter().all(|(name, _)| selection.wants(name)));
    }

    #[test]
    fn an_unknown_step_or_option_is_refused() {
        assert!(Selection::parse(&["--only", "nothing"]).unwrap_err().contains("clippy"));
        assert!(Selection::parse(&["--quick"]).is_err());
        assert!(Selection::parse(&["--only"]).is_err());
    }
}
