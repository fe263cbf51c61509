//! The database, what is sealed in it, and whom we trade with: what has to be asked for, each with a bound.

use std::time::Duration;

use tradewarden_domain::time::{Clock, Timestamp};
use tradewarden_engine::posture::{Examined, Item, examine};
use tradewarden_seal::{Keyring, SystemRandomness};
use tradewarden_store::{DatabaseFacts, Location, PostgresFacts, Store, migrate};

use crate::clock::SystemClock;
use crate::config::{Config, PaperMode, SourceKind};
use crate::data::Data;
use crate::files;
use crate::socket_place::SocketPlace;

/// How long a database, a key source or a broker may take to answer.
const ANSWERS_IN: Duration = Duration::from_secs(10);
/// How long reading all that is read at a start may take.
const READ_IN: Duration = Duration::from_mins(2);
/// A difference to the database's clock that nobody need look at.
const APART_FEW: Duration = Duration::from_secs(1);
/// A difference at which signed requests are refused (standards 3.3).
const APART_MANY: Duration = Duration::from_secs(10);
/// Largest checkpoint, in bytes.
const CHECKPOINT_BYTES_MAX: u64 = 1024 * 1024;

/// What was asked for.
pub(super) async fn look(config: &Config, data: &Data) -> Examined {
    let mut seen = Examined { items: Vec::new(), has_tradingview: false };
    seen.items.push(brokers(config, data).await);
    let is_set_up = data.is_set_up(config).is_ok();
    if !is_set_up && config.database.is_sqlite() {
        let fix = "`tradewarden init` or the first start makes it";
        seen.items.push(Item::amber("database", "there is no installation here yet", fix));
        return seen;
    }
    let keyring = if is_set_up { keyring(config, data, &mut seen.items).await } else { None };
    // The file first: the log only grows, so it must hold what the file says.
    let outside = files::read_text_if_there(&data.checkpoint(), CHECKPOINT_BYTES_MAX);
    let store = match open(config, data).await {
        Ok(store) => store,
        Err(why) => {
            let fix = "see that it runs, and that database in the configuration names it";
            seen.items.push(Item::red("database", why, fix));
            return seen;
        }
    };
    let is_readable = facts(&store, &mut seen.items).await;
    if !is_readable {
        return seen;
    }
    let outside = match outside {
        Ok(outside) => outside,
        Err(failure) => {
            let fix = "put it back from another copy; it shows when the database is set back";
            seen.items.push(Item::red("checkpoint", failure.sentence, fix));
            None
        }
    };
    let reading = examine(&store, keyring.as_ref(), outside.as_deref(), &SystemClock);
    if let Ok(examined) = tokio::time::timeout(READ_IN, reading).await {
        seen.items.extend(examined.items);
        seen.has_tradingview = examined.has_tradingview;
    } else {
        let fix = "see to the disk or the database";
        seen.items.push(Item::amber("audit_log", "reading took more than two minutes", fix));
    }
    seen
}

async fn open(config: &Config, data: &Data) -> Result<Store, String> {
    let location = config.database.location(data.database()).map_err(|failure| failure.sentence)?;
    if matches!(location, Location::Sqlite(_)) && !data.database().exists() {
        return Err(data.no_database());
    }
    match tokio::time::timeout(ANSWERS_IN, Store::open(location)).await {
        Ok(opened) => opened.map_err(|error| error.to_string()),
        Err(_) => Err(no_answer()),
    }
}

fn no_answer() -> String {
    format!("no answer within {} s", ANSWERS_IN.as_secs())
}

/// What the database says of itself; whether it can be read by this program.
async fn facts(store: &Store, items: &mut Vec<Item>) -> bool {
    let (before, asked) = (SystemClock.now(), tokio::time::Instant::now());
    let facts = match tokio::time::timeout(ANSWERS_IN, store.facts()).await {
        Ok(Ok(facts)) => facts,
        other => {
            let why = other.map_or_else(
                |_| no_answer(),
                |facts| facts.map_or_else(|error| error.to_string(), |_| String::new()),
            );
            items.push(Item::red("database", why, "see to the database"));
            return false;
        }
    };
    let took = asked.elapsed();
    let DatabaseFacts { version, postgres } = facts;
    let kind = store.location().kind();
    items.push(Item::green(
        "database",
        format!("{kind} {version}, answers in {} ms", took.as_millis()),
    ));
    match &postgres {
        None => items.push(Item::green("durability", "every commit is synced to the disk")),
        Some(server) => {
            items.extend([
                durability(server),
                replication(server),
                apart(server.now, before, took),
            ]);
        }
    }
    schema(store, items).await
}

async fn schema(store: &Store, items: &mut Vec<Item>) -> bool {
    let (name, wanted) = ("schema", migrate::VERSION_NOW);
    let found = migrate::read_meta(store, "schema_version").await;
    let found = found.ok().flatten().and_then(|text| text.parse::<usize>().ok());
    items.push(match found {
        Some(version) if version == wanted => Item::green(name, format!("version {version}")),
        Some(version) if version > wanted => Item::red(
            name,
            format!("version {version}; this program knows up to {wanted}"),
            "use the newer program",
        ),
        Some(version) => Item::amber(
            name,
            format!("version {version}; this program writes {wanted}"),
            "back it up; the next start brings it up to date, or `tradewarden db migrate`",
        ),
        None => Item::amber(name, "there is none yet", "the first start makes it"),
    });
    found == Some(wanted)
}

/// C16: a server that does not sync loses what was acknowledged.
fn durability(server: &PostgresFacts) -> Item {
    let name = "durability";
    if server.fsync && server.full_page_writes {
        return Item::green(name, "fsync and full_page_writes are on");
    }
    let off = [("fsync", server.fsync), ("full_page_writes", server.full_page_writes)];
    let off: Vec<_> = off.into_iter().filter(|(_, is_on)| !is_on).map(|(name, _)| name).collect();
    let fix = "switch it on in postgresql.conf: what was acknowledged would be lost";
    Item::red(name, format!("{} off", off.join(" and ")), fix)
}

/// C16: a fail-over without loss is claimed only where a commit waits for a standby.
fn replication(server: &PostgresFacts) -> Item {
    let name = "replication";
    if server.is_standby {
        let fix = "name the primary: a standby takes nothing";
        return Item::red(name, "this server is a standby", fix);
    }
    let names = server.synchronous_standby_names.trim();
    if names.is_empty() {
        return Item::amber(
            name,
            "no commit waits for a standby: a fail-over may lose what was acknowledged",
            "set synchronous_standby_names if you fail over; else keep the disk safe",
        );
    }
    Item::green(name, format!("commits wait for standbys: {names}"))
}

/// The database's clock against ours; half of the time that the answer took is not known.
fn apart(theirs: Timestamp, before: Timestamp, took: Duration) -> Item {
    let name = "clock_of_database";
    let half = i64::try_from(took.as_micros() / 2).unwrap_or(i64::MAX);
    let ours = before.unix_micros().saturating_add(half);
    let apart = theirs.unix_micros().saturating_sub(ours);
    let size = Duration::from_micros(apart.unsigned_abs());
    let word = if apart < 0 { "behind" } else { "ahead of" };
    let seen = format!(
        "the database's clock is {} ms {word} ours, give or take {} ms",
        size.as_millis(),
        half.saturating_div(1_000)
    );
    let fix = "have a time service keep both machines right (chrony, systemd-timesyncd)";
    // What the answer took is nobody's fault.
    let sure = size.saturating_sub(took);
    if sure >= APART_MANY {
        Item::red(name, seen, fix)
    } else if sure >= APART_FEW {
        Item::amber(name, seen, fix)
    } else {
        Item::green(name, seen)
    }
}

/// The key sources, where they can be used and nothing has to be made.
async fn keyring(config: &Config, data: &Data, items: &mut Vec<Item>) -> Option<Keyring> {
    let name = "key_source";
    if config.vault.uses(SourceKind::File) && !data.key_file().exists() {
        // Told as `key_file`; to open it would make it.
        return None;
    }
    let fix =
        "see that the source runs and that [vault] names it; `tradewarden vault status` says more";
    let keyring = match data.keyring(config, &mut SystemRandomness::new()) {
        Ok(keyring) => keyring,
        Err(failure) => {
            items.push(Item::red(name, failure.sentence, fix));
            return None;
        }
    };
    for source in keyring.sources().all() {
        let (kind, place) = (source.kind(), source.place());
        match tokio::time::timeout(ANSWERS_IN, source.newest()).await {
            Ok(Ok(newest)) => {
                items.push(Item::green(name, format!("{kind} at {place}, wraps under {newest}")));
            }
            Ok(Err(error)) => {
                items.push(Item::red(name, format!("{kind} at {place}: {error}"), fix));
            }
            Err(_) => {
                items.push(Item::red(name, format!("{kind} at {place}: {}", no_answer()), fix));
            }
        }
    }
    Some(keyring)
}

/// Paper on a thread of the gateway is always there; behind a socket somebody must listen.
async fn brokers(config: &Config, data: &Data) -> Item {
    let name = "brokers";
    if config.paper.mode == PaperMode::InProcess {
        return Item::green(name, "paper, in the gateway's own process");
    }
    let socket = data.paper_socket();
    let fix = "start `tradewarden paper-broker` on this data directory";
    let place = match SocketPlace::of(&socket) {
        Ok(place) => place,
        Err(failure) => return Item::amber(name, failure.sentence, fix),
    };
    let connecting = tokio::net::UnixStream::connect(place.path());
    match tokio::time::timeout(ANSWERS_IN, connecting).await {
        Ok(Ok(_)) => Item::green(name, format!("paper answers at {}", socket.display())),
        _ => Item::amber(name, format!("paper does not answer at {}", socket.display()), fix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tradewarden_engine::posture::Light;

    fn server() -> PostgresFacts {
        PostgresFacts {
            fsync: true,
            full_page_writes: true,
            synchronous_standby_names: String::new(),
            is_standby: false,
            now: Timestamp::default(),
        }
    }

    #[test]
    fn c16_a_server_that_does_not_sync_is_red() {
        assert_eq!(durability(&server()).light, Light::Green);
        let off = durability(&PostgresFacts { fsync: false, ..server() });
        assert!(off.light == Light::Red && off.seen == "fsync off", "{off:?}");
        let off = durability(&PostgresFacts { full_page_writes: false, ..server() });
        assert_eq!(off.light, Light::Red);
    }

    #[test]
    fn c16_only_a_synchronous_standby_is_green() {
        assert_eq!(replication(&server()).light, Light::Amber);
        let names = "ANY 1 (a, b)".to_owned();
        let waits = PostgresFacts { synchronous_standby_names: names, ..server() };
        assert_eq!(replication(&waits).light, Light::Green);
        assert_eq!(replication(&PostgresFacts { is_standby: true, ..waits }).light, Light::Red);
    }

    #[test]
    fn what_an_answer_took_is_no_difference_of_clocks() {
        let at = |ms: i64| Timestamp::from_unix_micros(1_000_000_000 + ms * 1_000);
        let cases = [
            (0, 0, Light::Green),
            (900, 10, Light::Green),
            (-1_200, 10, Light::Amber),
            (1_200, 10, Light::Amber),
            (4_000, 5_000, Light::Green),
            (11_000, 10, Light::Red),
            (-11_000, 10, Light::Red),
        ];
        for (ms, took_ms, light) in cases {
            let item = apart(at(ms), at(0), Duration::from_millis(took_ms));
            assert_eq!(item.light, light, "{ms} {item:?}");
        }
    }
}
