//! `cargo xtask fuzz`: the fuzz targets under `fuzz/`, on the stable toolchain.
//!
//! Without a sanitizer (`-s none`): sanitizers need nightly, and with `unsafe` forbidden they
//! would find little that a panic does not already show.

use std::process::Command;

use crate::{Outcome, process};

pub(crate) fn run(arguments: &[&str]) -> Outcome {
    let (target, seconds) = parse(arguments)?;
    if !process::answers(process::cargo().args(["fuzz", "--version"])) {
        return Err("cargo-fuzz is missing: run `cargo install --locked cargo-fuzz`".to_owned());
    }
    let targets = match target {
        Some(one) => vec![one.to_owned()],
        None => process::read(cargo_fuzz().arg("list"))?.lines().map(str::to_owned).collect(),
    };
    for target in targets {
        let limit = format!("-max_total_time={seconds}");
        process::run(cargo_fuzz().args(["run", "-s", "none", &target, "--", &limit]))?;
    }
    Ok(())
}

fn cargo_fuzz() -> Command {
    let mut command = process::cargo();
    command.current_dir(process::root().join("fuzz")).arg("fuzz");
    command
}

fn parse<'a>(arguments: &[&'a str]) -> Result<(Option<&'a str>, u32), String> {
    let (target, rest) = match arguments {
        [target, rest @ ..] if !target.starts_with('-') => (Some(*target), rest),
        rest => (None, rest),
    };
    match rest {
        [] => Ok((target, 60)),
        ["--seconds", number] => match number.parse() {
            Ok(seconds) => Ok((target, seconds)),
            Err(_) => Err(format!("`{number}` is not a number of seconds")),
        },
        other => Err(format!("`fuzz` does not take `{}`", other.join(" "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_and_seconds_are_optional() {
        assert_eq!(parse(&[]), Ok((None, 60)));
        assert_eq!(parse(&["payload"]), Ok((Some("payload"), 60)));
        assert_eq!(parse(&["payload", "--seconds", "5"]), Ok((Some("payload"), 5)));
        assert_eq!(parse(&["--seconds", "5"]), Ok((None, 5)));
        assert!(parse(&["payload", "--seconds", "soon"]).is_err());
        assert!(parse(&["--forever"]).is_err());
    }
}
