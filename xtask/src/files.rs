//! Rules for single source files that no lint knows.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process;

/// Rooms that own transactions or answers, and therefore no SQL text.
const WITHOUT_SQL: &[&str] = &["engine", "web"];

/// Words that begin a statement. Upper case only, as our SQL is written: prose stays free.
const SQL: &[&str] =
    &["SELECT ", "INSERT INTO", "UPDATE ", "DELETE FROM", "CREATE TABLE", "ALTER TABLE"];

/// Macros that mean "later". In pieces, so that this file does not break its own rule.
const UNFINISHED: &[&str] = &[concat!("todo", "!("), concat!("unimplemented", "!(")];

/// A file of what ships that is longer than this has more than one noun in it. A list of tests may
/// be as long as there are cases.
const LONGEST: usize = 600;

/// Every breach of the rules in the workspace, as sentences.
pub(crate) fn breaches() -> Result<Vec<String>, String> {
    let crates = process::root().join("crates");
    let mut found = Vec::new();
    for room in entries(&crates)? {
        let name = room.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for file in sources(&room.join("src"))? {
            let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            let shown = file.strip_prefix(process::root()).unwrap_or(&file).display().to_string();
            found.extend(judge(&name, &shown, &text));
        }
    }
    found.sort();
    Ok(found)
}

fn judge(room: &str, file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("//") {
            continue;
        }
        if let Some(word) = UNFINISHED.iter().find(|word| line.contains(**word)) {
            found.push(format!("{file}:{number}: `{word}` is left: finish it"));
        }
        let word = SQL.iter().find(|word| line.contains(**word));
        if let Some(word) = word.filter(|_| WITHOUT_SQL.contains(&room)) {
            found.push(format!("{file}:{number}: `{}` in {room}: SQL lives in store", word.trim()));
        }
    }
    let lines = text.lines().count();
    let ships = room != "testkit" && !file.ends_with("tests.rs");
    if lines > LONGEST && ships {
        found.push(format!("{file}: {lines} lines, more than {LONGEST}: split it by noun"));
    }
    found
}

/// All `.rs` files under a directory. A directory that is not there has none.
pub(crate) fn sources(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    if !directory.is_dir() {
        return Ok(found);
    }
    for path in entries(directory)? {
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

pub(crate) fn entries(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |cause: std::io::Error| format!("{}: {cause}", directory.display());
    let listed = fs::read_dir(directory).map_err(failed)?;
    listed.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_keeps_the_file_rules() {
        assert_eq!(breaches().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn sql_is_found_where_it_must_not_be() {
        let text = "const ORDERS: &str = \"SELECT id FROM orders\";\n";
        assert_eq!(
            judge("engine", "journal.rs", text),
            ["journal.rs:1: `SELECT` in engine: SQL lives in store"]
        );
        assert!(judge("store", "orders.rs", text).is_empty());
        assert!(judge("engine", "journal.rs", "// UPDATE of the cache comes later\n").is_empty());
    }

    #[test]
    fn unfinished_and_long_files_are_found() {
        let text = format!("fn later() {{ {}) }}\n", UNFINISHED[0]);
        assert_eq!(judge("store", "a.rs", &text).len(), 1);
        assert!(judge("store", "a.rs", &"\n".repeat(LONGEST)).is_empty());
        assert_eq!(judge("store", "a.rs", &"\n".repeat(LONGEST + 1)).len(), 1);
    }
}
