//! Rows that somebody who writes to the database must not change unseen (C19): halts, limits, keys,
//! members, roles.
//!
//! The transaction that changes one writes an entry about it as well: the rows with a code over what
//! each holds from then on, and the sum of the codes of all rows of that kind in the organization. The
//! codes need the audit log's key. The sum goes on from the one before by what the row held in this
//! transaction before it was changed; so a change that nobody entered stays in the difference between
//! the sum and the rows, whatever is changed after it. The entry names that as well, so that a row which
//! was changed through the front door afterwards is still known: what it held before is not what the
//! entry before says.
//!
//! Whoever reads rows holds them against the newest entry: see `check`. An entry is found by its
//! number, which is a part of what it is about, so that none is taken for the newest while there is a
//! newer one.
//!
//! Crash story: rows, head and entry are one transaction.

mod accept;
mod check;
mod history;
pub(crate) mod inside;
mod shown;
mod tell;

pub(crate) use check::{Mistrust, Of, Seals};
pub(crate) use inside::{Against, Doubted};
pub(crate) use tell::{ToldMistrust, tell};

use crate::entry::entry;
use crate::environment::Environment;
use crate::installation::OpenError;
use crate::payload::Payload;
use check::Found;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::limit::Limit;
use tradewarden_domain::time::Clock;
use tradewarden_seal::{Digest, Keyring, Randomness, RowSealer, RowSum};
use tradewarden_store::guarded::{self, Changed, Guarded, Head, Image};
use tradewarden_store::{Error, Store, Tx, audit};

/// What the entries are called.
const EVENT: &str = "rows.sealed";
/// Rows that one entry names; more rows make more entries.
const ROWS_MAX: usize = 256;

/// What became of a row: codes of what it held and of what it holds, nothing where it was not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) row: [u8; 16],
    pub(crate) before: Option<Digest>,
    pub(crate) after: Option<Digest>,
}

impl Told {
    /// The sum of all rows, if this became of one.
    fn moves(&self, sum: RowSum) -> RowSum {
        let without = self.before.iter().fold(sum, RowSum::minus);
        self.after.iter().fold(without, RowSum::plus)
    }
}

/// Enters rows that are written beside a gateway, while none runs.
pub struct Entering {
    environment: Environment,
    sealer: RowSealer,
}

impl Entering {
    /// Opens the log's key.
    pub async fn open(
        store: &Store,
        keyring: &Keyring,
        clock: Arc<dyn Clock>,
        randomness: Box<dyn Randomness>,
    ) -> Result<Self, OpenError> {
        let environment = Environment::new(clock, randomness);
        let key = crate::vault::keys::ledger_key(store, keyring, environment.now()).await?;
        let key = key.ok_or_else(|| OpenError("the audit log has no head".to_owned()))?;
        Ok(Self { environment, sealer: RowSealer::of(&key) })
    }

    /// Enters what this transaction changed; the last thing before its commit.
    pub async fn enter(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        enter(tx, &self.environment, &self.sealer).await.map(|_| ())
    }
}

/// The code of a row and what it holds.
pub(crate) fn code_of(sealer: &RowSealer, kind: Guarded, image: &Image) -> Digest {
    sealer.code(&[b"row", kind.word().as_bytes(), &image.org, &image.row, &image.content])
}

/// The engaged halts, by organization.
pub(crate) fn halts(sealer: &RowSealer, halts: &[Halt]) -> BTreeMap<[u8; 16], Found> {
    found(sealer, Guarded::Halts, halts.iter().map(guarded::halt))
}

/// Limits that are ordered by organization.
pub(crate) fn limits(sealer: &RowSealer, limits: &[Limit]) -> BTreeMap<[u8; 16], Found> {
    let own = limits.chunk_by(|one, other| one.org_id == other.org_id);
    let image = |own: &[Limit]| guarded::limits(own.first()?.org_id, own.iter());
    found(sealer, Guarded::Limits, own.filter_map(image))
}

/// Rows of a kind, by organization.
pub(crate) fn found(
    sealer: &RowSealer,
    kind: Guarded,
    images: impl Iterator<Item = Image>,
) -> BTreeMap<[u8; 16], Found> {
    let mut found: BTreeMap<_, Found> = BTreeMap::new();
    for image in images {
        let code = code_of(sealer, kind, &image);
        found.entry(image.org).or_default().add(image.row, code);
    }
    found
}

/// What the entry of a number is about.
fn object_of(sealer: &RowSealer, kind: Guarded, org: [u8; 16], number: i64) -> Id<id::Seal> {
    let code = sealer.code(&[b"object", kind.word().as_bytes(), &org, &number.to_be_bytes()]);
    Id::from_bytes(code.as_bytes().first_chunk().copied().unwrap_or_default())
}

/// The code over a head.
fn code_of_head(sealer: &RowSealer, head: &Head) -> Digest {
    let number = head.number.to_be_bytes();
    sealer.code(&[b"head", head.kind.word().as_bytes(), &head.org, &number, &head.sum])
}

/// The head before the first entry.
pub(crate) fn first_head(sealer: &RowSealer, kind: Guarded, org: [u8; 16]) -> Head {
    let sum = *RowSum::default().as_bytes();
    let mut head = Head { kind, org, number: 0, sum, code: [0; 32] };
    head.code = *code_of_head(sealer, &head).as_bytes();
    head
}

/// The code over what an entry says.
fn code_of_entry(sealer: &RowSealer, head: &Head, begins: bool, rows: &[Told]) -> Digest {
    let number = head.number.to_be_bytes();
    let what: &[u8] = if begins { b"beginning" } else { b"entry" };
    let mut parts: Vec<&[u8]> =
        vec![what, head.kind.word().as_bytes(), &head.org, &number, &head.sum];
    for told in rows {
        parts.push(&told.row);
        for code in [&told.before, &told.after] {
            parts.push(code.as_ref().map_or(&[], |code| code.as_bytes().as_slice()));
        }
    }
    sealer.code(&parts)
}

/// What an entry says; whether it begins anew, so that nothing before it counts.
fn payload(sealer: &RowSealer, head: &Head, begins: bool, rows: &[Told]) -> Value {
    let named = |told: &Told| {
        json!({
            "before": told.before.map(|code| code.to_string()),
            "code": told.after.map(|code| code.to_string()),
            "row": head.kind.name_of(told.row),
        })
    };
    json!({
        "begins": begins,
        "code": code_of_entry(sealer, head, begins, rows).to_string(),
        "kind": head.kind.word(),
        "number": head.number,
        "rows": rows.iter().map(named).collect::<Vec<_>>(),
        "sum": Digest::from_bytes(head.sum).to_string(),
    })
}

/// Enters what this transaction made of guarded rows; the last thing before its commit. Answers how many
/// entries that took.
pub(crate) async fn enter(
    tx: &mut Tx<'_>,
    environment: &Environment,
    sealer: &RowSealer,
) -> Result<u64, Error> {
    // Sorted, so that all transactions lock heads in one order.
    let mut groups: BTreeMap<(Guarded, [u8; 16]), Vec<Changed>> = BTreeMap::new();
    for changed in guarded::changed(tx).await? {
        let image = changed.after.as_ref().or(changed.before.as_ref());
        if let Some(org) = image.map(|image| image.org) {
            groups.entry((changed.kind, org)).or_default().push(changed);
        }
    }
    let mut entries = Vec::new();
    for ((kind, org), group) in groups {
        let mut head = guarded::lock_head(tx, &first_head(sealer, kind, org)).await?;
        if code_of_head(sealer, &head).as_bytes() != &head.code {
            // To go on from it would make it right. It stays, and whoever reads it says so.
            tracing::error!(
                kind = kind.word(),
                "what the rows come to was changed in the database"
            );
            continue;
        }
        for some in group.chunks(ROWS_MAX) {
            let mut sum = RowSum::from_bytes(head.sum);
            let mut rows = Vec::with_capacity(some.len());
            for changed in some {
                let code = |image: &Image| code_of(sealer, kind, image);
                let before = changed.before.as_ref().map(code);
                let after = changed.after.as_ref().map(code);
                let image = changed.after.as_ref().or(changed.before.as_ref());
                let told = image.map(|image| Told { row: image.row, before, after });
                sum = told.iter().fold(sum, |sum, told| told.moves(sum));
                rows.extend(told);
            }
            entries.push(following(environment, sealer, &mut head, (sum, false), &rows));
        }
        guarded::put_head(tx, &head).await?;
    }
    let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
    if count > 0 {
        audit::insert(tx, entries).await?;
    }
    Ok(count)
}

/// Moves a head on to this sum, and makes the entry about it, which may begin anew.
fn following(
    environment: &Environment,
    sealer: &RowSealer,
    head: &mut Head,
    (sum, begins): (RowSum, bool),
    rows: &[Told],
) -> audit::Entry {
    head.number = head.number.saturating_add(1);
    head.sum = *sum.as_bytes();
    head.code = *code_of_head(sealer, head).as_bytes();
    let now = environment.now();
    let object = object_of(sealer, head.kind, head.org, head.number);
    let payload = Payload::from(&payload(sealer, head, begins, rows));
    let (id, org) = (environment.id(now), Id::from_bytes(head.org));
    entry(environment, id, org, object, EVENT, now, payload)
}
