//! The project's tooling, started as `cargo xtask <command>`.
//!
//! It depends on no crate of the product, so that a product that does not compile still has its
//! tools. It never skips a check because something is missing: it says what to install and fails.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool prints")]

#[cfg(test)]
mod cited;
mod edges;
mod files;
mod fuzz;
mod licences;
mod passwords;
mod postgres;
mod process;
mod reference;
#[cfg(test)]
mod rules;
mod suite;
mod tools;

use std::process::ExitCode;

/// A command is done, or says in a sentence why not and what would help.
type Outcome = Result<(), String>;

const USAGE: &str = "\
cargo xtask <command>

  test [--only STEP] [--filter EXPR]
                         everything that must hold; --filter runs only the matching tests
                         (a nextest expression, or a part of the name without nextest)
  edges                  which crate may use which, and the rules for source files
  licences               licences, banned crates and sources of everything that is compiled
  postgres               start a private PostgreSQL, print its URL, run until stdin closes
  reference [--check]    write the generated pages of docs/reference, or compare them
  passwords              make the table of breached passwords anew from published packages
  fuzz [TARGET] [--seconds N]
                         run one fuzz target, or all of them, for N seconds each (60)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("xtask: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Outcome {
    match arguments {
        ["test", rest @ ..] => suite::run(&suite::Selection::parse(rest)?),
        ["edges"] => edges::run(),
        ["licences" | "deny"] => licences::run(),
        ["passwords"] => passwords::write(),
        ["postgres"] => postgres::serve(),
        ["reference"] => reference::write(),
        ["reference", "--check"] => reference::check(),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(format!("`{}` is no command here\n\n{USAGE}", other.join(" "))),
    }
}
