//! Python with packages of others, in a virtual environment of its own for each run.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tradewarden_testkit::process::TestDir;

async fn prepare(program: &Path, args: &[&str]) {
    let ended = Command::new(program).args(args).stdin(Stdio::null()).output().await;
    let ended = ended.expect("this test needs python3 with venv and pip");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{args:?}: this test needs packages of PyPI: {told}");
}

/// The interpreter of a new environment with these packages of `PyPI`.
pub(crate) async fn python_with(dir: &TestDir, packages: &[&str]) -> PathBuf {
    let venv = dir.path().join("venv");
    prepare(Path::new("python3"), &["-m", "venv", venv.to_str().unwrap()]).await;
    let python = venv.join("bin/python");
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    prepare(&python, &[&install, packages].concat()).await;
    python
}
