//! The page that holds the help of every command.

use std::fmt::Write as _;

use clap::{Command, CommandFactory};

use super::Cli;

const HEAD: &str = "# Command line

This page is written by `cargo run --package tradewarden -- cli-reference`.

`--data DIR`, `--config FILE` and `--json` go with every command. Exit codes: 0 yes or done, 1 the
answer is no (a verification failed, a rule refused), 2 wrong usage, 3 not found or not allowed, 4
unavailable. With `--json` lists print `{\"items\":[...],\"next\":null}` and single things the API's
object, one line each. Commands work whether the gateway runs or not; a running gateway carries them
out itself.
";

/// The page, as Markdown.
pub(crate) fn reference() -> String {
    let mut page = String::from(HEAD);
    let mut command = Cli::command();
    command.build();
    describe(&command, "", &mut page);
    page
}

fn describe(command: &Command, path: &str, page: &mut String) {
    let path = if path.is_empty() {
        command.get_name().to_owned()
    } else {
        format!("{path} {}", command.get_name())
    };
    let help = command.clone().bin_name(path.clone()).render_long_help().to_string();
    let lines: Vec<_> = help.lines().map(str::trim_end).collect();
    // Writing to a String cannot fail.
    let _written = write!(page, "\n## `{path}`\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
    for child in command.get_subcommands() {
        if !child.is_hide_set() && child.get_name() != "help" {
            describe(child, &path, page);
        }
    }
}
