//! Somebody else's verifier: `verify.py`, written from the specifications, and what it is given.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;
use tradewarden_testkit::process::{Answer, Client};

/// Runs the verifier; what it found, or its sentence.
pub(crate) async fn verify(what: &str, vkey: &str, path: &Path) -> Result<Value, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit/verify.py");
    let mut command = Command::new("python3");
    command.arg(script).args([what, vkey]).arg(path).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(Duration::from_mins(1), command.output()).await.expect("in time");
    let output = output.expect("this test needs python3, nothing but its standard library");
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The path of a tile of C2SP tlog-tiles below `/audit/`.
pub(crate) fn tile_path(level: &str, number: u64, width: u64) -> String {
    let mut digits = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        digits = format!("x{:03}/{digits}", rest % 1000);
        rest /= 1000;
    }
    let partial = if width == 256 { String::new() } else { format!(".p/{width}") };
    format!("tile/{level}/{digits}{partial}")
}

/// Fetches what is served below `/audit/` and keeps it under the same name.
async fn fetch(client: &mut Client, bearer: &str, directory: &Path, path: &str) -> Answer {
    let headers = [("authorization", bearer)];
    let headers = if bearer.is_empty() { &[][..] } else { &headers };
    let answer = client.get(&format!("/audit/{path}"), headers).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
    let file = directory.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, &answer.body).unwrap();
    answer
}

/// Copies the log as it is served: checkpoint and hashes as anybody, entries as somebody
/// who may see them. Returns the number of entries.
pub(crate) async fn mirror(client: &mut Client, bearer: &str, directory: &Path) -> u64 {
    let note = fetch(client, "", directory, "checkpoint").await;
    let note = String::from_utf8(note.body.to_vec()).unwrap();
    let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
    let widths = |count: u64| {
        (0..count.div_ceil(256)).map(move |number| (number, (count - number * 256).min(256)))
    };
    let (mut level, mut count) = (0, size);
    while count > 0 {
        for (number, width) in widths(count) {
            let path = tile_path(&format!("{level}"), number, width);
            let answer = fetch(client, "", directory, &path).await;
            let kept = answer.headers["cache-control"].to_str().unwrap();
            assert_eq!(kept.contains("immutable"), width == 256, "{path}: {kept}");
        }
        (level, count) = (level + 1, count / 256);
    }
    for (number, width) in widths(size) {
        fetch(client, bearer, directory, &tile_path("entries", number, width)).await;
    }
    size
}
