//! The rules of order behaviour, S1 to S24, each with a test that names it.

use crate::files::{entries, sources};
use crate::process;
use std::fs;

/// The rules there are.
const RULES: std::ops::RangeInclusive<u32> = 1..=24;

/// Rules whose subject is not built. The test below fails when one of them gets its test, so that
/// nothing stays here for longer than it is true.
const NOT_BUILT: &[u32] = &[];

/// The rules that no test names, by its function's name or in what is said of it.
fn unnamed() -> Result<Vec<u32>, String> {
    let mut texts = Vec::new();
    for room in entries(&process::root().join("crates"))? {
        for file in sources(&room.join("tests"))? {
            texts.push(fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?);
        }
        for file in sources(&room.join("src"))? {
            let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            // What stands above the tests of a file tells of the product.
            texts.extend(
                text.split_once("#[cfg(test)]\nmod tests").map(|(_, tests)| tests.to_owned()),
            );
            if file.ends_with("tests.rs")
                || file.components().any(|part| part.as_os_str() == "tests")
            {
                texts.push(text);
            }
        }
    }
    Ok(RULES.filter(|rule| !texts.iter().any(|text| names(text, *rule))).collect())
}

/// Whether a test in the text is about the rule.
fn names(text: &str, rule: u32) -> bool {
    let (function, word) = (format!("fn s{rule}_"), format!("S{rule}"));
    text.lines().any(|line| {
        let line = line.trim_start();
        let is_word = |part: &str| part.trim_matches(|c: char| !c.is_alphanumeric()) == word;
        line.contains(&function) || (line.starts_with("//") && line.split_whitespace().any(is_word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_test_that_names_it() {
        assert_eq!(unnamed().unwrap(), NOT_BUILT);
    }

    #[test]
    fn a_rule_is_named_as_a_word() {
        assert!(names("/// S2: an entry\nfn holds() {}", 2));
        assert!(names("    async fn s2_an_entry_holds() {}", 2));
        assert!(names("// it expires (S12, S14).", 12));
        assert!(!names("/// S21: lockdown\nlet text = \"S2\";\nfn s21_locks() {}", 2));
    }
}
