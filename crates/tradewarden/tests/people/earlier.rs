//! The real program with its clock set back: what takes minutes is over once it is started again with
//! the right one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::process::Command;
use tradewarden_testkit::process::{Gateway, Program, TestDir};

const BINARY: &str = env!("CARGO_BIN_EXE_tradewarden");

/// A demo of this directory for which it is so much earlier than it is.
pub(crate) async fn earlier(dir: &TestDir, config: &str, back: Duration) -> Gateway {
    let back = back.as_secs();
    let library = dir.path().join(format!("earlier-{back}.so"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/people/earlier.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-Wall", "-Werror", &format!("-DBACK_S={back}"), "-o"]);
    let compiled = compiler.arg(&library).arg(source).status().await.unwrap();
    assert!(compiled.success(), "{compiled}");
    let begin = dir.path().join(format!("earlier-{back}.sh"));
    let library = library.display();
    let text = format!("#!/bin/sh\nexec env LD_PRELOAD='{library}' '{BINARY}' \"$@\"\n");
    std::fs::write(&begin, text).unwrap();
    std::fs::set_permissions(&begin, std::fs::Permissions::from_mode(0o700)).unwrap();
    started(Program::new(begin, dir.data(), config)).await
}

/// The demo of this directory, at the right time.
pub(crate) async fn now(dir: &TestDir, config: &str) -> Gateway {
    started(Program::new(BINARY, dir.data(), config)).await
}

async fn started(program: Program) -> Gateway {
    program.try_start("demo").await.unwrap_or_else(|ended| panic!("{ended}"))
}
