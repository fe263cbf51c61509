//! What the entries say of guarded rows. Who asks about one row needs one entry; where something does not
//! fit, they are read back to the one that begins, many at once.

use super::check::Found;
use super::{EVENT, Told, code_of_entry, code_of_head, object_of};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tradewarden_seal::{Digest, RowSealer};
use tradewarden_store::guarded::{self, Guarded, Head};
use tradewarden_store::{Error, Store, audit};

/// Entries about one object that are looked at; there is one.
const ENTRIES_MAX: i64 = 4;
/// Entries that are read at once where many are.
pub(super) const AT_ONCE: i64 = 256;
/// Missing entries in a row, behind which others are looked for.
const GAP_MAX: i64 = 1_024;

/// Rows of a kind in an organization.
pub(super) type Place = (Guarded, [u8; 16]);

/// What an entry says of the rows it names.
pub(super) struct Entered {
    /// Nothing before it counts.
    begins: bool,
    pub(super) sum: [u8; 32],
    pub(super) rows: Vec<Told>,
}

/// The number of the newest entry, from which one that begins anew goes on: somebody may have taken
/// away some on the way to it.
pub(super) async fn newest_number(
    store: &Store,
    sealer: &RowSealer,
    head: &Head,
    known: i64,
) -> Result<i64, Error> {
    let is_made_here = code_of_head(sealer, head).as_bytes() == &head.code;
    let mut newest = known.max(if is_made_here { head.number } else { 0 }).max(0);
    let mut looked_to = newest;
    while looked_to < newest.saturating_add(GAP_MAX) {
        let (first, last) = (looked_to.saturating_add(1), looked_to.saturating_add(AT_ONCE));
        let there = entries(store, sealer, (head.kind, head.org), first, last).await?;
        newest = there.last_key_value().map_or(newest, |(number, _)| *number);
        looked_to = last;
    }
    Ok(newest)
}

/// Whether there is a newer head by now.
pub(super) async fn goes_on(store: &Store, sealer: &RowSealer, head: &Head) -> Result<bool, Error> {
    let now = guarded::heads(store, head.kind).await?;
    let is_newer = |now: &&Head| {
        let is_made_here = code_of_head(sealer, now).as_bytes() == &now.code;
        now.org == head.org && now.number > head.number && is_made_here
    };
    Ok(now.iter().any(|now| is_newer(&now)))
}

/// What the entries say of rows.
#[derive(Default)]
pub(super) struct History {
    /// What the newest entry about each row says.
    newest: BTreeMap<[u8; 16], Option<Digest>>,
    /// What the oldest of those that were read says of what was before.
    before: BTreeMap<[u8; 16], Option<Digest>>,
    /// Rows that held something else before an entry than the one before says: whoever changed them
    /// changed what nobody had entered.
    broken: BTreeSet<[u8; 16]>,
}

impl History {
    /// Takes in the entry before those that it has.
    fn precede(&mut self, rows: &[Told]) {
        for told in rows {
            self.newest.entry(told.row).or_insert(told.after);
            let after = self.before.insert(told.row, told.before);
            if after.is_some_and(|then| then != told.after) {
                self.broken.insert(told.row);
            }
        }
    }

    /// Nothing was before the entries that it has.
    fn end(&mut self) {
        let from_nowhere = self.before.iter().filter(|(_, before)| before.is_some());
        self.broken.extend(from_nowhere.map(|(row, _)| *row));
    }

    /// The rows that are not what it says.
    pub(super) fn strangers(&self, found: &Found) -> BTreeMap<[u8; 16], Option<Digest>> {
        let rows = found.rows.keys().chain(self.newest.keys());
        let is_stranger = |row: &&[u8; 16]| {
            let said = self.newest.get(*row).copied().flatten();
            said.as_ref() != found.rows.get(*row)
        };
        let strangers = rows.filter(is_stranger).chain(&self.broken);
        strangers.map(|row| (*row, found.rows.get(row).copied())).collect()
    }
}

/// What the entries say, back to the one that begins; nothing if one on the way to it is missing. There
/// may be as many as rows were ever changed: they are read many at once.
pub(super) async fn history_of(
    store: &Store,
    sealer: &RowSealer,
    head: &Head,
) -> Result<Option<History>, Error> {
    let of = (head.kind, head.org);
    let mut newest = head.number.max(0);
    loop {
        let (next, all) = (newest.saturating_add(1), newest.saturating_add(AT_ONCE));
        let there = entries(store, sealer, of, next, all).await?;
        let Some(last) = (next..=all).take_while(|number| there.contains_key(number)).last() else {
            break;
        };
        newest = last;
    }
    let mut history = History::default();
    let mut last = newest;
    while last > 0 {
        let first = last.saturating_sub(AT_ONCE).saturating_add(1).max(1);
        let mut there = entries(store, sealer, of, first, last).await?;
        for number in (first..=last).rev() {
            let Some(entry) = there.remove(&number) else {
                return Ok(None);
            };
            history.precede(&entry.rows);
            if entry.begins {
                history.end();
                return Ok(Some(history));
            }
        }
        last = first.saturating_sub(1);
    }
    history.end();
    Ok(Some(history))
}

/// The entry of this number, if there is one that this installation made.
pub(super) async fn entered(
    store: &Store,
    sealer: &RowSealer,
    kind: Guarded,
    org: [u8; 16],
    number: i64,
) -> Result<Option<Entered>, Error> {
    let object = object_of(sealer, kind, org, number);
    let placed = audit::of_object(store, object.to_bytes(), ENTRIES_MAX).await?;
    Ok(placed.iter().find_map(|entry| of_entry(entry, sealer, (kind, org), number)))
}

/// Those of these numbers that this installation made.
pub(super) async fn entries(
    store: &Store,
    sealer: &RowSealer,
    (kind, org): Place,
    first: i64,
    last: i64,
) -> Result<BTreeMap<i64, Entered>, Error> {
    let object = |number| (object_of(sealer, kind, org, number).to_bytes(), number);
    let objects: BTreeMap<_, _> = (first..=last).map(object).collect();
    let mut entries = BTreeMap::new();
    for placed in audit::of_objects(store, objects.keys().copied(), ENTRIES_MAX).await? {
        let Some(number) = objects.get(&placed.object_id).copied() else {
            continue;
        };
        if let Some(entry) = of_entry(&placed, sealer, (kind, org), number) {
            entries.entry(number).or_insert(entry);
        }
    }
    Ok(entries)
}

fn of_entry(
    entry: &audit::Placed,
    sealer: &RowSealer,
    (kind, org): Place,
    number: i64,
) -> Option<Entered> {
    entry.leaf.contains(EVENT).then_some(())?;
    let payload: Value = serde_json::from_str(&entry.payload).ok()?;
    let entered = read(kind, &payload)?;
    let head = Head { kind, org, number, sum: entered.sum, code: [0; 32] };
    let code = code_of_entry(sealer, &head, entered.begins, &entered.rows).to_string();
    (payload.get("code")?.as_str()? == code).then_some(entered)
}

fn read(kind: Guarded, payload: &Value) -> Option<Entered> {
    let sum: Digest = payload.get("sum")?.as_str()?.parse().ok()?;
    let code = |told: &Value, member: &str| match told.get(member)? {
        Value::Null => Some(None),
        code => Some(Some(code.as_str()?.parse::<Digest>().ok()?)),
    };
    let rows = payload.get("rows")?.as_array()?.iter().map(|told| {
        let row = kind.row_of(told.get("row")?.as_str()?)?;
        Some(Told { row, before: code(told, "before")?, after: code(told, "code")? })
    });
    let begins = payload.get("begins")?.as_bool()?;
    Some(Entered { begins, sum: *sum.as_bytes(), rows: rows.collect::<Option<_>>()? })
}
