//! `cargo xtask licences`: may we ship what we link, and does it come from where we think.
//!
//! cargo-deny does it where it is installed; otherwise our own reading of `deny.toml` does, so that
//! the check is never skipped. Ours asks `cargo tree`, which knows exactly what is compiled for
//! this machine; `cargo metadata` and `Cargo.lock` also list optional crates nobody switched on.
//! Sources are read from `Cargo.lock`, which names every platform's.

use std::collections::BTreeSet;
use std::fs;

use toml::{Table, Value};

use crate::{Outcome, process, tools};

pub(crate) fn run() -> Outcome {
    if tools::has_deny() {
        let check = ["deny", "--offline", "check", "licenses", "bans", "sources"];
        return process::run(process::cargo().args(check));
    }
    let rules = Rules::read()?;
    let packages = compiled()?;
    let mut found: Vec<String> =
        packages.iter().filter_map(|package| rules.objection(package)).collect();
    found.extend(foreign_sources(&table("Cargo.lock")?)?);
    if found.is_empty() {
        let crates = packages.len();
        println!("{crates} crates: licences, bans and sources are as deny.toml has them");
        return Ok(());
    }
    Err(format!("supply chain:\n  {}", found.join("\n  ")))
}

/// What is compiled: name, version and the licence its manifest states.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    licence: String,
}

impl Package {
    /// From one line of `cargo tree --format "{p}|{l}"`: `name v1.2.3 (proc-macro)|MIT`.
    fn parse(line: &str) -> Option<Self> {
        let (package, licence) = line.split_once('|')?;
        let mut words = package.split(' ');
        let name = words.next()?.to_owned();
        let version = words.next()?.trim_start_matches('v').to_owned();
        // A package seen before is marked `(*)` at the end of the line.
        let licence = licence.trim_end_matches("(*)").trim().to_owned();
        Some(Self { name, version, licence })
    }
}

fn compiled() -> Result<BTreeSet<Package>, String> {
    let ask = ["tree", "--workspace", "--edges", "normal,build,dev", "--prefix", "none"];
    let format = ["--format", "{p}|{l}"];
    let answer = process::read(process::cargo().args(ask).args(format).arg("--offline"))
        .or_else(|_| process::read(process::cargo().args(ask).args(format)))?;
    let lines = answer.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| Package::parse(line).ok_or_else(|| format!("cargo tree wrote `{line}`")))
        .collect()
}

/// What `deny.toml` says, as far as we hold it.
#[derive(Debug, Default)]
struct Rules {
    allowed: Vec<String>,
    /// Crate and a licence that it alone may have.
    exceptions: Vec<(String, String)>,
    /// Crate and the reason.
    banned: Vec<(String, String)>,
}

impl Rules {
    fn read() -> Result<Self, String> {
        Self::parse(&table("deny.toml")?)
            .ok_or_else(|| "deny.toml has not the shape we read".into())
    }

    fn parse(table: &Table) -> Option<Self> {
        let licences = table.get("licenses")?;
        let mut rules = Self { allowed: texts(licences.get("allow")?)?, ..Self::default() };
        for exception in licences.get("exceptions")?.as_array()? {
            let name = exception.get("crate")?.as_str()?;
            for licence in texts(exception.get("allow")?)? {
                rules.exceptions.push((name.to_owned(), licence));
            }
        }
        for ban in table.get("bans")?.get("deny")?.as_array()? {
            let name = ban.get("crate")?.as_str()?.to_owned();
            rules.banned.push((name, ban.get("reason")?.as_str()?.to_owned()));
        }
        Some(rules)
    }

    fn objection(&self, package: &Package) -> Option<String> {
        let Package { name, version, licence } = package;
        if let Some((_, reason)) = self.banned.iter().find(|(banned, _)| banned == name) {
            return Some(format!("{name} {version} is banned: {reason}"));
        }
        if permits(licence, &|one| self.allows(name, one)) {
            return None;
        }
        Some(format!("{name} {version}: licence `{licence}` is not on the list of deny.toml"))
    }

    fn allows(&self, name: &str, licence: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == licence)
            || self.exceptions.iter().any(|(to, allowed)| to == name && allowed == licence)
    }
}

/// Whether an SPDX expression can be met with allowed licences only. The old form with a slash
/// means OR. What is not an expression is not permitted.
fn permits(expression: &str, allows: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    matches!(any_of(&words, allows), Some((true, [])))
}

/// Whether it holds, and the words that are left; `None` where the words make no sense.
type Judged<'a> = Option<(bool, &'a [&'a str])>;

fn any_of<'a>(words: &'a [&'a str], allows: &dyn Fn(&str) -> bool) -> Judged<'a> {
    let (mut holds, mut rest) = all_of(words, allows)?;
    while let ["OR", more @ ..] = rest {
        let (next, left) = all_of(more, allows)?;
        (holds, rest) = (holds || next, left);
    }
    Some((holds, rest))
}

fn all_of<'a>(words: &'a [&'a str], allows: &dyn Fn(&str) -> bool) -> Judged<'a> {
    let (mut holds, mut rest) = one(words, allows)?;
    while let ["AND", more @ ..] = rest {
        let (next, left) = one(more, allows)?;
        (holds, rest) = (holds && next, left);
    }
    Some((holds, rest))
}

fn one<'a>(words: &'a [&'a str], allows: &dyn Fn(&str) -> bool) -> Judged<'a> {
    match words {
        ["(", inner @ ..] => match any_of(inner, allows)? {
            (holds, [")", rest @ ..]) => Some((holds, rest)),
            _ => None,
        },
        [")" | "OR" | "AND" | "WITH", ..] | [] => None,
        [licence, "WITH", exception, rest @ ..] => {
            Some((allows(&format!("{licence} WITH {exception}")), rest))
        }
        [licence, rest @ ..] => Some((allows(licence), rest)),
    }
}

/// Packages of `Cargo.lock` that come from anywhere but the public registry. Those without a
/// source are our own.
fn foreign_sources(lock: &Table) -> Result<Vec<String>, String> {
    let packages = lock.get("package").and_then(Value::as_array);
    let packages = packages.ok_or("Cargo.lock has no packages")?;
    let foreign = packages.iter().filter_map(|package| {
        let source = package.get("source")?.as_str()?;
        let public = source.starts_with("registry+") && source.ends_with("/crates.io-index");
        let name = package.get("name").and_then(Value::as_str).unwrap_or("a package");
        (!public).then(|| format!("{name} comes from {source}: only crates.io is allowed"))
    });
    Ok(foreign.collect())
}

fn table(file: &str) -> Result<Table, String> {
    let text =
        fs::read_to_string(process::root().join(file)).map_err(|e| format!("{file}: {e}"))?;
    text.parse().map_err(|cause| format!("{file}: {cause}"))
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let text = r#"
            licenses.allow = ["MIT", "ISC", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
            licenses.exceptions = [{ allow = ["MPL-2.0"], crate = "keys" }]
            bans.deny = [{ crate = "ring", reason = "one provider" }]
        "#;
        Rules::parse(&text.parse().unwrap()).unwrap()
    }

    fn objection(line: &str) -> Option<String> {
        rules().objection(&Package::parse(line).unwrap())
    }

    #[test]
    fn our_own_rules_can_be_read() {
        let rules = Rules::read().unwrap();
        assert!(rules.banned.iter().any(|(name, _)| name == "ring"));
        assert!(rules.allowed.iter().any(|licence| licence == "MIT"));
    }

    #[test]
    fn expressions_are_judged_as_spdx_means_them() {
        let cases = [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0 AND MIT", false),
            // AND binds more tightly than OR.
            ("MIT OR GPL-3.0 AND ISC", true),
            ("(MIT OR GPL-3.0) AND ISC", true),
            ("ISC AND (GPL-3.0 OR LGPL-3.0)", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("MIT WITH LLVM-exception", false),
            ("", false),
            ("MIT OR", false),
            ("(MIT", false),
            ("MIT ISC", false),
        ];
        for (expression, expected) in cases {
            let allows = |licence: &str| rules().allows("some", licence);
            assert_eq!(permits(expression, &allows), expected, "{expression}");
        }
    }

    #[test]
    fn a_banned_or_unlicensed_crate_is_named_with_the_reason() {
        assert_eq!(objection("ring v0.17.14|ISC").unwrap(), "ring 0.17.14 is banned: one provider");
        assert!(
            objection("lib v1.0.0 (proc-macro)| (*)").unwrap().contains("lib 1.0.0: licence ``")
        );
        assert_eq!(objection("lib v1.0.0|MIT (*)"), None);
    }

    #[test]
    fn an_exception_is_for_its_crate_alone() {
        assert_eq!(objection("keys v1.0.0|MPL-2.0"), None);
        assert!(objection("locks v1.0.0|MPL-2.0").is_some());
    }

    #[test]
    fn only_the_public_registry_is_a_source() {
        let lock = r#"
            package = [
                { name = "ours" },
                { name = "public", source = "registry+https://example.org/crates.io-index" },
                { name = "forked", source = "git+https://example.org/forked#abc" },
                { name = "private", source = "sparse+https://example.org/index/" },
            ]
        "#;
        let found = foreign_sources(&lock.parse().unwrap()).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|sentence| !sentence.starts_with("public")));
    }
}
