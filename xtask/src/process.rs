//! Starting other programs, and the one place that knows where the workspace lies.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Outcome;

/// The workspace's root directory.
///
/// Asked at run time first: with a target directory shared between checkouts, the value from
/// compile time may belong to another checkout.
pub(crate) fn root() -> PathBuf {
    let own = variable("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map_or(own.clone(), Path::to_path_buf)
}

/// `cargo` in the workspace's root, without what the cargo that started us told us about `xtask`:
/// a build script that watches those variables would run again for nothing.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root()).stdin(Stdio::null());
    for name in inherited_from_cargo() {
        command.env_remove(name);
    }
    command
}

#[expect(clippy::disallowed_methods, reason = "tooling, not the product")]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

#[expect(clippy::disallowed_methods, reason = "tooling, not the product")]
fn inherited_from_cargo() -> Vec<OsString> {
    let told = |name: &str| {
        ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix))
    };
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.to_str().is_some_and(told))
        .collect()
}

/// Run to the end with our own output; anything but success is an error that names the command.
pub(crate) fn run(command: &mut Command) -> Outcome {
    println!("$ {}", shown(command));
    let status = command.status().map_err(|cause| not_started(command, &cause))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", shown(command))) }
}

/// Run to the end and return what it wrote to standard output.
pub(crate) fn read(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|cause| not_started(command, &cause))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("`{}` failed ({}): {}", shown(command), output.status, said.trim()))
    }
}

/// Whether the program is there and answers.
pub(crate) fn answers(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

fn not_started(command: &Command, cause: &std::io::Error) -> String {
    format!("`{}` could not be started: {cause}", shown(command))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
