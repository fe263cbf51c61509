//! Which programs the tests need, and what to install where one is missing.

use std::process::Command;

use crate::{Outcome, process};

/// Program, the arguments that make it answer, and the sentence for whoever lacks it.
const NEEDED: &[(&str, &[&str], &str)] = &[
    ("git", &["--version"], "install git"),
    (
        "cc",
        &["--version"],
        "install a C compiler (Debian: build-essential): SQLite and AWS-LC are C",
    ),
    ("rustc", &["--version"], "install Rust with rustup; rust-toolchain.toml names the version"),
    ("cargo", &["fmt", "--version"], "run `rustup component add rustfmt`"),
    ("cargo", &["clippy", "--version"], "run `rustup component add clippy`"),
];

/// Fails with every missing program at once. The optional ones only change how a step is done.
pub(crate) fn check() -> Outcome {
    let root = process::root();
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(program, arguments, _)| {
            !process::answers(Command::new(program).args(*arguments).current_dir(&root))
        })
        .map(|(_, _, remedy)| *remedy)
        .collect();
    println!("cargo-nextest: {}", if has_nextest() { "yes" } else { "no, using cargo test" });
    println!("cargo-deny: {}", if has_deny() { "yes" } else { "no, using our own check" });
    if missing.is_empty() { Ok(()) } else { Err(missing.join("; ")) }
}

pub(crate) fn has_nextest() -> bool {
    process::answers(process::cargo().args(["nextest", "--version"]))
}

pub(crate) fn has_deny() -> bool {
    process::answers(process::cargo().args(["deny", "--version"]))
}
