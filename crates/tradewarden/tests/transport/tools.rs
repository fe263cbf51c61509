//! Programs that others wrote, run to their end.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;
use tradewarden_testkit::process::{Ended, Gateway};

/// The slowest of them asks for some hundred handshakes.
const ENDING: Duration = Duration::from_mins(3);

/// Runs `program` without anything to read.
pub(crate) async fn run(program: impl AsRef<Path>, args: &[&str]) -> Ended {
    let program = program.as_ref();
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    // A proxy of the machine's is no part of what is tested.
    for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
        command.env_remove(OsStr::new(name));
    }
    let output = timeout(ENDING, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{} took too long", program.display()));
    let output = output.unwrap_or_else(|error| {
        panic!("this test needs {} (`cargo xtask test` installs it): {error}", program.display())
    });
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A file of the gateway's own certificates, as text for a command line.
pub(crate) fn certificate_file(gateway: &Gateway, name: &str) -> String {
    let path: PathBuf = gateway.program().data().join("tls").join(name);
    path.into_os_string().into_string().unwrap()
}

/// The port of the public (`base_url`) or the internal listener (`internal_url`).
pub(crate) fn port(gateway: &Gateway, url: &str) -> String {
    let url = gateway.ready()[url].as_str().unwrap();
    url.rsplit_once(':').unwrap().1.to_owned()
}
