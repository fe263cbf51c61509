//! `cargo xtask reference`: the pages under `docs/reference` that the program writes about itself.

use std::fs;

use crate::{Outcome, process};

/// Arguments of `tradewarden`, and the page that holds what it prints for them.
const REFERENCES: &[(&[&str], &str)] = &[
    (&["config", "reference"], "docs/reference/configuration.md"),
    (&["cli-reference"], "docs/reference/cli.md"),
];

pub(crate) fn write() -> Outcome {
    for (arguments, page) in REFERENCES {
        let path = process::root().join(page);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(|cause| format!("{page}: {cause}"))?;
        }
        fs::write(&path, printed(arguments)?).map_err(|cause| format!("{page}: {cause}"))?;
        println!("wrote {page}");
    }
    Ok(())
}

/// Fails, with every page that differs from what the program would write.
pub(crate) fn check() -> Outcome {
    let mut stale = Vec::new();
    for (arguments, page) in REFERENCES {
        let kept = fs::read_to_string(process::root().join(page)).unwrap_or_default();
        if kept != printed(arguments)? {
            stale.push(*page);
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("out of date: {}; run `cargo xtask reference`", stale.join(", ")))
}

fn printed(arguments: &[&str]) -> Result<String, String> {
    let run = ["run", "--quiet", "--package", "tradewarden", "--"];
    process::read(process::cargo().args(run).args(arguments))
}
