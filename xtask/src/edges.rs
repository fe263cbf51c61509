//! Which crate may use which: the table of ARCHITECTURE.md, held by a test.
//!
//! A crate exists to forbid a dependency. What is held is what a crate itself names in its
//! manifest; what its dependencies bring along is theirs to answer for.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::{Outcome, files, process};

/// One crate's row of the table.
struct Room {
    name: &'static str,
    /// Rooms with a smaller number are below: a test may reach down, never up or sideways.
    floor: u8,
    /// Crates of this workspace that it may use.
    uses: &'static [&'static str],
    externals: Externals,
    /// Why, for whoever meets the error.
    rule: &'static str,
}

/// What a room may take from outside, apart from tests.
enum Externals {
    Only(&'static [&'static str]),
    Not(&'static [&'static [&'static str]]),
}

use Externals::{Not, Only};

const SQL: &[&str] = &[
    "rusqlite",
    "libsqlite3-sys",
    "tokio-postgres",
    "postgres",
    "postgres-types",
    "deadpool-postgres",
    "sqlx",
    "diesel",
];
const SERVER: &[&str] = &["axum", "axum-core", "tower-http"];
const HTTP: &[&str] = &["hyper", "hyper-util", "http", "http-body-util"];
const RUNTIME: &[&str] = &["tokio", "tokio-rustls", "tokio-util"];
const TLS: &[&str] = &["rustls", "tokio-rustls"];

/// Crates that are a cryptographic primitive or make keys: `seal` alone may name one.
const PRIMITIVES: &[&str] = &[
    "aes-gcm",
    "argon2",
    "aws-lc-rs",
    "aws-lc-sys",
    "blake2",
    "blake3",
    "chacha20poly1305",
    "ed25519-dalek",
    "hkdf",
    "hmac",
    "jsonwebtoken",
    "p256",
    "rcgen",
    "rsa",
    "sha1",
    "sha2",
    "subtle",
    "totp-rs",
];

/// What loads a token's module into the process: `vault` alone may name it.
const TOKENS: &[&str] = &["cryptoki"];

const DOMAIN: &str = "tradewarden-domain";
const SEAL: &str = "tradewarden-seal";
const STORE: &str = "tradewarden-store";
const BROKER: &str = "tradewarden-broker";
const OUTBOUND: &str = "tradewarden-outbound";
const VAULT: &str = "tradewarden-vault";
const MESSENGER: &str = "tradewarden-messenger";
const ENGINE: &str = "tradewarden-engine";
const WEB: &str = "tradewarden-web";
const BINARY: &str = "tradewarden";
const TESTKIT: &str = "tradewarden-testkit";

const ROOMS: &[Room] = &[
    Room {
        name: DOMAIN,
        floor: 0,
        uses: &[],
        // jiff without its `std` feature: a calendar and the time zones as data, without a clock and
        // without files.
        externals: Only(&["jiff", "serde"]),
        rule: "domain is pure: std, serde derives and time zones as data; no IO, clock, \
               randomness, SQL or HTTP",
    },
    Room {
        name: SEAL,
        floor: 0,
        uses: &[],
        externals: Not(&[SQL, SERVER, RUNTIME, TOKENS]),
        rule: "seal knows keys and proofs, not orders, databases, servers or the runtime",
    },
    Room {
        name: STORE,
        floor: 1,
        uses: &[DOMAIN, SEAL],
        externals: Not(&[SERVER, HTTP, PRIMITIVES, TOKENS]),
        rule: "store keeps rows; it knows no HTTP, no broker, and opens nothing by itself",
    },
    Room {
        name: BROKER,
        floor: 1,
        uses: &[DOMAIN, SEAL],
        externals: Not(&[SQL, SERVER, PRIMITIVES, TOKENS]),
        rule: "a broker adapter talks to a broker; it knows no database and no server",
    },
    Room {
        name: OUTBOUND,
        floor: 1,
        uses: &[SEAL],
        externals: Not(&[SQL, SERVER, PRIMITIVES, TOKENS]),
        rule: "outbound asks other machines; it knows nothing of what is asked, and no server of ours",
    },
    Room {
        name: VAULT,
        floor: 1,
        uses: &[SEAL, OUTBOUND],
        externals: Not(&[SQL, SERVER, PRIMITIVES]),
        rule: "a key source wraps keys elsewhere; it knows no orders, no database and no server of ours",
    },
    Room {
        name: MESSENGER,
        floor: 1,
        uses: &[DOMAIN, SEAL, OUTBOUND],
        externals: Not(&[SQL, SERVER, PRIMITIVES, TOKENS]),
        rule: "a messenger hands a message over; it knows no database and no server of ours",
    },
    Room {
        name: ENGINE,
        floor: 2,
        uses: &[DOMAIN, SEAL, STORE, BROKER, MESSENGER],
        externals: Not(&[SQL, SERVER, HTTP, TLS, PRIMITIVES, TOKENS]),
        rule: "engine owns every transaction; it knows no SQL text, no HTTP, no TLS",
    },
    Room {
        name: WEB,
        floor: 3,
        uses: &[DOMAIN, ENGINE],
        externals: Not(&[SQL, PRIMITIVES, TOKENS]),
        rule: "web speaks HTTP and asks the engine; it reaches no database, key or broker itself",
    },
    Room {
        name: BINARY,
        floor: 4,
        uses: &[DOMAIN, SEAL, STORE, BROKER, OUTBOUND, VAULT, MESSENGER, ENGINE, WEB],
        externals: Not(&[PRIMITIVES, TOKENS]),
        rule: "the binary wires the rooms together; only seal names a cryptographic primitive",
    },
    Room {
        name: TESTKIT,
        floor: 5,
        uses: &[DOMAIN, SEAL, STORE, BROKER, OUTBOUND, VAULT, MESSENGER, ENGINE, WEB, BINARY],
        externals: Not(&[]),
        rule: "testkit is for tests: it may use everything and be only a dev-dependency",
    },
    Room {
        name: "xtask",
        floor: 5,
        uses: &[],
        externals: Not(&[SQL, SERVER, HTTP, RUNTIME]),
        rule: "tooling depends on nothing of the product, so that it works when that is broken",
    },
];

/// Where each dependency says what it is for.
const REASONS: &str = "docs/dependencies.md";

/// `cargo xtask edges`: the crates, their dependencies' reasons, and the rules for source files.
pub(crate) fn run() -> Outcome {
    let metadata = metadata()?;
    let mut found = breaches(&metadata)?;
    found.extend(unexplained(&metadata, &reasons()?)?);
    found.extend(files::breaches()?);
    if found.is_empty() {
        println!("edges and source files keep the rules of the house");
        return Ok(());
    }
    Err(format!("the house is not kept:\n  {}", found.join("\n  ")))
}

/// Offline where possible; a first run on a fresh machine may have to fetch.
fn metadata() -> Result<Value, String> {
    let ask = ["metadata", "--format-version", "1", "--no-deps"];
    let answer = process::read(process::cargo().args(ask).arg("--offline"))
        .or_else(|_| process::read(process::cargo().args(ask)))?;
    serde_json::from_str(&answer).map_err(|cause| format!("cargo metadata: {cause}"))
}

/// Every breach of the table, as sentences that name crate, dependency and rule.
fn breaches(metadata: &Value) -> Result<Vec<String>, String> {
    let packages = list(metadata, "packages")?;
    let members = names(packages)?;
    let mut found = Vec::new();
    for (package, name) in packages.iter().zip(&members) {
        let Some(room) = ROOMS.iter().find(|room| room.name == *name) else {
            found.push(format!("{name} has no row in the table of xtask/src/edges.rs: add one"));
            continue;
        };
        for dependency in list(package, "dependencies")? {
            let other = text(dependency, "name")?;
            // `kind` is null for a normal dependency.
            let kind = dependency.get("kind").and_then(Value::as_str).unwrap_or("normal");
            if !room.admits(other, kind, members.contains(&other)) {
                let rule = room.rule;
                found.push(format!("{name} must not have {other} as {kind} dependency: {rule}"));
            }
        }
    }
    Ok(found)
}

fn reasons() -> Result<String, String> {
    fs::read_to_string(process::root().join(REASONS)).map_err(|cause| format!("{REASONS}: {cause}"))
}

/// Direct dependencies from outside that have no row in the page of reasons, and rows for crates
/// that are dependencies no more.
fn unexplained(metadata: &Value, page: &str) -> Result<Vec<String>, String> {
    let packages = list(metadata, "packages")?;
    let members = names(packages)?;
    let mut used = BTreeSet::new();
    for package in packages {
        used.extend(names(list(package, "dependencies")?)?);
    }
    let first_cell = |line: &'_ str| line.strip_prefix("| ")?.split(" |").next().map(str::to_owned);
    let explained: BTreeSet<String> = page.lines().filter_map(first_cell).collect();
    let missing = used.iter().filter(|name| !members.contains(name) && !explained.contains(**name));
    let stale = explained.iter().filter(|name| *name != "crate" && !used.contains(name.as_str()));
    let missing = missing.map(|name| format!("{name} has no line in {REASONS}: what is it for?"));
    let stale = stale.map(|name| format!("{REASONS} has a line for {name}, which nobody uses"));
    Ok(missing.chain(stale).collect())
}

impl Room {
    fn admits(&self, other: &str, kind: &str, internal: bool) -> bool {
        match (internal, kind) {
            (true, "dev") => self.tests_may_use(other),
            (true, _) => self.uses.contains(&other),
            (false, "dev") => true,
            (false, _) => match self.externals {
                Only(allowed) => allowed.contains(&other),
                Not(forbidden) => !forbidden.iter().any(|group| group.contains(&other)),
            },
        }
    }

    /// Itself too: that is how a crate switches on its own features for its own tests.
    fn tests_may_use(&self, other: &str) -> bool {
        other == TESTKIT || other == self.name || self.uses.contains(&other) || self.is_above(other)
    }

    fn is_above(&self, other: &str) -> bool {
        ROOMS.iter().any(|room| room.name == other && room.floor < self.floor)
    }
}

fn names(values: &[Value]) -> Result<Vec<&str>, String> {
    values.iter().map(|value| text(value, "name")).collect()
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a [Value], String> {
    let found = value.get(key).and_then(Value::as_array);
    found.map(Vec::as_slice).ok_or_else(|| format!("cargo metadata has no list `{key}`"))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    let found = value.get(key).and_then(Value::as_str);
    found.ok_or_else(|| format!("cargo metadata has no text `{key}`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_workspace_keeps_its_edges() {
        assert_eq!(breaches(&metadata().unwrap()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn every_dependency_says_what_it_is_for() {
        let found = unexplained(&metadata().unwrap(), &reasons().unwrap()).unwrap();
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn an_unexplained_dependency_and_a_stale_line_are_found() {
        let metadata = workspace(STORE, "rusqlite", &Value::Null);
        let page = "| crate | what for |\n|---|---|\n| sled | keys |\n";
        let found = unexplained(&metadata, page).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found.iter().any(|sentence| sentence.starts_with("rusqlite has no line")));
        assert!(found.iter().any(|sentence| sentence.contains("a line for sled")));
    }

    /// A workspace of every room, in which one crate has one dependency.
    fn workspace(name: &str, dependency: &str, kind: &Value) -> Value {
        let packages: Vec<Value> = ROOMS
            .iter()
            .map(|room| {
                let has = room.name == name;
                let edge = json!({ "name": dependency, "kind": kind });
                json!({ "name": room.name, "dependencies": if has { vec![edge] } else { vec![] } })
            })
            .collect();
        json!({ "packages": packages })
    }

    fn refused(name: &str, dependency: &str) -> bool {
        !breaches(&workspace(name, dependency, &Value::Null)).unwrap().is_empty()
    }

    #[test]
    fn each_forbidden_edge_is_refused() {
        let forbidden = [
            (DOMAIN, SEAL),
            (DOMAIN, "serde_json"),
            (DOMAIN, "tokio"),
            (SEAL, DOMAIN),
            (SEAL, "rusqlite"),
            (SEAL, "tokio-postgres"),
            (SEAL, "axum"),
            (SEAL, "tokio"),
            (STORE, BROKER),
            (STORE, "axum"),
            (STORE, "hyper"),
            (STORE, "aws-lc-rs"),
            (BROKER, STORE),
            (BROKER, "rusqlite"),
            (BROKER, "tokio-postgres"),
            (BROKER, "axum"),
            (ENGINE, WEB),
            (ENGINE, "axum"),
            (ENGINE, "hyper"),
            (ENGINE, "rusqlite"),
            (ENGINE, "tokio-postgres"),
            (ENGINE, "rustls"),
            (VAULT, STORE),
            (BINARY, "cryptoki"),
            (ENGINE, "cryptoki"),
            (VAULT, DOMAIN),
            (ENGINE, VAULT),
            (WEB, VAULT),
            (WEB, SEAL),
            (WEB, STORE),
            (WEB, BROKER),
            (WEB, "rusqlite"),
            (WEB, "tokio-postgres"),
            (WEB, "rcgen"),
            (BINARY, "rcgen"),
            (BINARY, TESTKIT),
            (ENGINE, TESTKIT),
            ("xtask", ENGINE),
        ];
        for (name, dependency) in forbidden {
            assert!(refused(name, dependency), "{name} -> {dependency} was let through");
        }
    }

    #[test]
    fn the_intended_edges_pass() {
        let intended = [
            (STORE, DOMAIN),
            (STORE, "tokio-postgres"),
            (STORE, "rustls"),
            (BROKER, "hyper"),
            (BROKER, "rustls"),
            (ENGINE, STORE),
            (WEB, ENGINE),
            (WEB, "rustls"),
            (BINARY, STORE),
            (SEAL, "aws-lc-rs"),
            (SEAL, "rcgen"),
        ];
        for (name, dependency) in intended {
            assert!(!refused(name, dependency), "{name} -> {dependency} was refused");
        }
    }

    #[test]
    fn a_test_may_reach_down_but_not_up() {
        let dev = json!("dev");
        assert!(breaches(&workspace(WEB, STORE, &dev)).unwrap().is_empty());
        assert!(breaches(&workspace(ENGINE, TESTKIT, &dev)).unwrap().is_empty());
        assert!(breaches(&workspace(SEAL, "tokio", &dev)).unwrap().is_empty());
        assert!(!breaches(&workspace(STORE, BROKER, &dev)).unwrap().is_empty());
        assert!(!breaches(&workspace(ENGINE, WEB, &dev)).unwrap().is_empty());
    }

    #[test]
    fn the_sentence_names_crate_dependency_and_rule() {
        let found = breaches(&workspace(WEB, STORE, &Value::Null)).unwrap();
        assert_eq!(
            found,
            [format!(
                "{WEB} must not have {STORE} as normal dependency: web speaks HTTP and asks the \
                 engine; it reaches no database, key or broker itself"
            )]
        );
    }

    #[test]
    fn a_crate_without_a_row_is_refused() {
        let metadata = json!({ "packages": [{ "name": "newcomer", "dependencies": [] }] });
        assert!(breaches(&metadata).unwrap().first().unwrap().starts_with("newcomer has no row"));
    }
}
