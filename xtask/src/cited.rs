//! Tests that a page names as its proof: each is in the file that the page says.

use crate::files::entries;
use crate::process;
use std::fs;
use std::path::{Path, PathBuf};

/// The pages.
fn pages() -> Result<Vec<PathBuf>, String> {
    let root = process::root();
    let mut found = vec![root.join("README.md"), root.join("SECURITY.md")];
    for folder in ["docs", "docs/adr", "docs/guide"] {
        found.extend(entries(&root.join(folder))?);
    }
    found.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    Ok(found)
}

/// Every citation that is wrong, as a sentence.
fn breaches() -> Result<(usize, Vec<String>), String> {
    let (mut count, mut wrong) = (0, Vec::new());
    for page in pages()? {
        let text = fs::read_to_string(&page).map_err(|e| format!("{}: {e}", page.display()))?;
        let shown = page.strip_prefix(process::root()).unwrap_or(&page).display().to_string();
        for (number, line) in (1..).zip(text.lines()) {
            let mut folder = PathBuf::new();
            for (file, test) in citations(line) {
                count += 1;
                let path = place(&file, &folder);
                folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
                if !holds(&path, &test) {
                    wrong.push(format!("{shown}:{number}: `{file}` has no test `{test}`"));
                }
            }
        }
    }
    Ok((count, wrong))
}

/// Where a file is: below `crates`, below the root, or beside the one before it on the line, or beside its
/// folder.
fn place(file: &str, folder: &Path) -> PathBuf {
    let root = process::root();
    let above = folder.parent().unwrap_or(folder);
    let places = [root.join("crates"), root, folder.to_path_buf(), above.to_path_buf()];
    let found = places.iter().map(|place| place.join(file)).find(|path| path.is_file());
    found.unwrap_or_else(|| PathBuf::from(file))
}

/// What a line cites: `` `file.rs: test` ``, and further tests of the file right after it.
fn citations(line: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut file: Option<String> = None;
    for (place, span) in line.split('`').enumerate() {
        let is_code = place % 2 == 1;
        if !is_code {
            file = file.filter(|_| span == ", ");
        } else if let Some((path, test)) = span.split_once(".rs: ") {
            let path = format!("{path}.rs");
            found.push((path.clone(), test.to_owned()));
            file = Some(path);
        } else if let Some(path) = file.as_ref().filter(|_| is_name(span)) {
            found.push((path.clone(), span.to_owned()));
        }
    }
    found
}

fn is_name(span: &str) -> bool {
    span.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Whether the file has a test of this name; some are made by a macro from their name alone.
fn holds(file: &Path, test: &str) -> bool {
    let Ok(text) = fs::read_to_string(file) else { return false };
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.split(|c: char| !is_word(c)).any(|word| word == test)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_that_a_page_names_is_there() {
        let (count, wrong) = breaches().unwrap();
        assert_eq!(wrong, Vec::<String>::new());
        assert!(count > 50, "the pages name their tests: {count}");
    }

    #[test]
    fn citations_are_read_from_a_line() {
        let line = "| is so | `a/b.rs: first`, `second`, `c.rs` and `d.rs: third`; `fourth` |";
        let cited = citations(line);
        let cited: Vec<_> =
            cited.iter().map(|(file, test)| (file.as_str(), test.as_str())).collect();
        assert_eq!(cited, [("a/b.rs", "first"), ("a/b.rs", "second"), ("d.rs", "third")]);
        assert!(!holds(Path::new("no/such/file.rs"), "first"));
    }
}
