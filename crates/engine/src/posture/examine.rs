//! Looking at an installation beside the gateway that runs it, or while none does: nothing is written.

use super::{Item, halts_item, rows_item, waits_for_tradingview};
use crate::directory::Directory;
use crate::incarnation;
use crate::installation::OpenError;
use crate::ledger::{self, Tail};
use crate::people::principals::Principals;
use crate::seals::Seals;
use crate::vault;
use crate::vault::keys::{DataKeys, ledger_key};
use tradewarden_domain::time::{Clock, Timestamp};
use tradewarden_seal::{Keyring, RowSealer};
use tradewarden_store::{Store, audit};

/// Entries at the end of the log that are held against their leaves and tiles.
const TAIL_ENTRIES: u64 = 1_024;
/// A clock may be so far behind the newest entry: it is being set right.
const BEHIND_MAX_MICROS: i64 = 1_000_000;

/// What was seen of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The items.
    pub items: Vec<Item>,
    /// Whether a webhook waits for TradingView.
    pub has_tradingview: bool,
}

/// Looks at the audit log's end and, where the key source opens it, at everything that is read at a
/// start. `outside` is the copy of the newest checkpoint that is kept beside the database; it must have
/// been read before. What cannot be read is an item, too.
pub async fn examine(
    store: &Store,
    keyring: Option<&Keyring>,
    outside: Option<&str>,
    clock: &dyn Clock,
) -> Examined {
    let mut examined = Examined { items: log(store, outside, clock).await, has_tradingview: false };
    let Some(keyring) = keyring else { return examined };
    if let Err(error) = rows(store, keyring, clock.now(), &mut examined).await {
        let fix = "put the key source back that wrapped this installation's keys";
        examined.items.push(Item::red("vault", error.to_string(), fix));
    }
    examined
}

async fn log(store: &Store, outside: Option<&str>, clock: &dyn Clock) -> Vec<Item> {
    let Tail { size, looked_at, newest_at, problems } =
        match ledger::tail(store, TAIL_ENTRIES, outside).await {
            Ok(tail) => tail,
            Err(error) => {
                let fix = "see to the database; `tradewarden audit verify` reads the whole log";
                return vec![Item::red("audit_log", error.to_string(), fix)];
            }
        };
    let mut items = Vec::new();
    if problems.is_empty() {
        let beside = if outside.is_some() {
            "it extends the copy outside the database"
        } else {
            "there is no copy of it outside the database yet"
        };
        items.push(Item::green(
            "audit_log",
            format!(
                "{size} entries; the newest {looked_at} are what the signed checkpoint covers, {beside}; \
                 no witness is configured"
            ),
        ));
    } else {
        let fix = "stop trading, keep a copy of everything, and run `tradewarden audit verify`";
        items.push(Item::red("audit_log", problems.join("; "), fix));
    }
    // A gateway that runs goes on writing: the clock is read after the log.
    let now = clock.now();
    let ahead = newest_at.map(|at| at.unix_micros().saturating_sub(now.unix_micros()));
    items.push(match ahead.filter(|ahead| *ahead > BEHIND_MAX_MICROS) {
        None => Item::green("clock_of_log", "this machine's clock is not behind the audit log"),
        Some(ahead) => Item::red(
            "clock_of_log",
            format!(
                "this machine's clock is {} s behind the newest audit entry",
                ahead.saturating_div(1_000_000)
            ),
            "set the clock right: it was set back, or the entry was made by a machine that is ahead",
        ),
    });
    items
}

/// What a start reads, and what it would not trust.
async fn rows(
    store: &Store,
    keyring: &Keyring,
    now: Timestamp,
    examined: &mut Examined,
) -> Result<(), OpenError> {
    let key = ledger_key(store, keyring, now).await?;
    let key = key.ok_or_else(|| OpenError("there is no audit log yet".to_owned()))?;
    // Doctor's other looks at the log go by what the database says its key is.
    let head = audit::ledger(store).await?;
    if let Some(Err(error)) = head.as_ref().map(|head| incarnation::vouched(head, &key)) {
        examined.items.retain(|item| item.name != "audit_log");
        let fix = "stop trading, keep a copy of everything, and run `tradewarden audit verify`";
        examined.items.push(Item::red("audit_log", error.to_string(), fix));
    }
    let sealer = RowSealer::of(&key);
    let (keys, unusable) = vault::intake_keys(store, keyring, &DataKeys::new(), now).await?;
    examined.items.push(match unusable.as_slice() {
        [] => {
            Item::green("vault", "the key source opens the audit log's key and every key of intake")
        }
        [first, ..] => Item::red(
            "vault",
            format!("{} data keys of intake do not open; {}", unusable.len(), first.detail),
            "put the row's backup back, or make the organization's webhooks and keys anew",
        ),
    });
    let directory = Directory::load(store, &keys, &sealer, &Directory::default()).await?;
    let people = Principals::load(store, &sealer, &Seals::default(), now).await?;
    let mistrusted: Vec<_> = directory
        .seals
        .mistrusted()
        .chain(people.seals.mistrusted())
        .map(|(kind, _, mistrust)| (kind, mistrust))
        .collect();
    examined.items.extend([rows_item(&mistrusted), halts_item(&directory.halts)]);
    examined.has_tradingview =
        directory.doors.values().any(|door| waits_for_tradingview(&door.webhook));
    Ok(())
}
