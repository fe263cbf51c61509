//! Holding rows that were read against the newest entry about them.
//!
//! Usually that is one look at the entry of the head's number, one that there is none of the next
//! number, and a sum. Only where something does not fit are the entries read back to find which rows
//! it is. What does not fit is mistrusted until it fits again:
//! - limits and halts: entries of the organization are refused, as by a halt; exits pass,
//! - a key does not authenticate, a person has no rights, a role allows nothing.

use super::{EVENT, Told, code_of_entry, code_of_head, first_head, object_of};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tradewarden_domain::halt::{Halt, HaltMode, HaltScope};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{Digest, RowSealer, RowSum};
use tradewarden_store::directory::Organization;
use tradewarden_store::guarded::{self, Guarded, Head};
use tradewarden_store::{Error, Store, audit};

/// Looks at rows and heads that were changed in between.
const LOOKS: usize = 8;
/// Entries about one object that are looked at; there is one.
const ENTRIES_MAX: i64 = 4;
/// Missing entries in a row, behind which others are looked for.
const GAP_MAX: i64 = 1_024;
/// Rows that a finding names.
const NAMED_MAX: usize = 10;

type Place = (Guarded, [u8; 16]);

/// A look at rows of a kind between two looks at the heads that are about them.
pub(crate) struct Look {
    kind: Guarded,
    heads: Vec<Head>,
    looks: usize,
}

impl Look {
    /// Begins before the rows are read.
    pub(crate) async fn begin(store: &Store, kind: Guarded) -> Result<Self, Error> {
        Ok(Self { kind, heads: guarded::heads(store, kind).await?, looks: 0 })
    }

    /// Ends when they are read: the heads, if nothing was committed in between; else the rows have to
    /// be read again.
    pub(crate) async fn end(&mut self, store: &Store) -> Result<Option<Vec<Head>>, Error> {
        let heads = guarded::heads(store, self.kind).await?;
        self.looks = self.looks.saturating_add(1);
        if heads == self.heads || self.looks >= LOOKS {
            return Ok(Some(heads));
        }
        self.heads = heads;
        Ok(None)
    }
}

/// Rows of one organization with their codes.
#[derive(Debug, Default)]
pub(crate) struct Found {
    rows: BTreeMap<[u8; 16], Digest>,
    sum: RowSum,
}

impl Found {
    /// Adds a row.
    pub(crate) fn add(&mut self, row: [u8; 16], code: Digest) {
        self.sum = self.sum.plus(&code);
        self.rows.insert(row, code);
    }

    /// Takes a row away, if it is there.
    pub(super) fn remove(&mut self, row: [u8; 16]) {
        if let Some(code) = self.rows.remove(&row) {
            self.sum = self.sum.minus(&code);
        }
    }
}

/// What is mistrusted of a kind in an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistrust {
    /// The rows that are not what the log says, with the code of what each holds; none for one that is
    /// gone.
    pub(crate) rows: BTreeMap<[u8; 16], Option<Digest>>,
    /// What is wrong, in words.
    pub(crate) why: &'static str,
}

/// What was held against the log so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seals {
    /// Heads that fitted their entries.
    heads: BTreeMap<Place, Head>,
    mistrusted: BTreeMap<Place, Mistrust>,
    /// What stands in for halts and limits that cannot be trusted.
    halts: Vec<Halt>,
}

/// Whose rows are held against their heads.
pub(crate) enum Of<'o> {
    /// One organization's.
    One(Id<id::Org>),
    /// Those of all; also of one that has neither rows nor a head, for somebody may have taken both.
    All(&'o [Organization]),
}

/// What an entry says of the rows it names.
struct Entered {
    /// Nothing before it counts.
    begins: bool,
    sum: [u8; 32],
    rows: Vec<Told>,
}

impl Seals {
    /// The halts that stand in for what is mistrusted.
    pub(crate) fn halts(&self) -> &[Halt] {
        &self.halts
    }

    /// The number of the newest head that fitted its entry, 0 if none did.
    pub(super) fn number(&self, kind: Guarded, org: [u8; 16]) -> i64 {
        self.heads.get(&(kind, org)).map_or(0, |head| head.number)
    }

    /// Whether a row is what the log says.
    pub(crate) fn trusts(&self, kind: Guarded, org: [u8; 16], row: [u8; 16]) -> bool {
        self.mistrusted.get(&(kind, org)).is_none_or(|mistrust| !mistrust.rows.contains_key(&row))
    }

    /// Whether anything of a kind is mistrusted in an organization.
    pub(crate) fn mistrusts(&self, kind: Guarded, org: [u8; 16]) -> bool {
        self.mistrusted.contains_key(&(kind, org))
    }

    /// What is mistrusted, and why.
    pub(crate) fn mistrusted(&self) -> impl Iterator<Item = (Guarded, [u8; 16], &Mistrust)> {
        self.mistrusted.iter().map(|((kind, org), mistrust)| (*kind, *org, mistrust))
    }

    /// Holds the rows of a kind against their heads.
    pub(crate) async fn hold(
        &mut self,
        (store, sealer): (&Store, &RowSealer),
        kind: Guarded,
        of: Of<'_>,
        heads: Vec<Head>,
        found: &BTreeMap<[u8; 16], Found>,
    ) -> Result<(), Error> {
        let heads: BTreeMap<_, _> = heads.into_iter().map(|head| (head.org, head)).collect();
        let orgs: BTreeSet<_> = match of {
            Of::One(org) => BTreeSet::from([org.to_bytes()]),
            Of::All(orgs) => {
                let known = self.heads.keys().filter(|(of, _)| *of == kind).map(|(_, org)| *org);
                let there = orgs.iter().map(|org| org.id.to_bytes()).chain([[0; 16]]);
                heads.keys().chain(found.keys()).copied().chain(known).chain(there).collect()
            }
        };
        let nothing = Found::default();
        for org in orgs {
            let head = heads.get(&org).cloned().unwrap_or_else(|| first_head(sealer, kind, org));
            let found = found.get(&org).unwrap_or(&nothing);
            match self.judge((store, sealer), &head, found).await? {
                None => {
                    self.heads.insert((kind, org), head);
                    self.mistrusted.remove(&(kind, org));
                }
                Some(mistrust) => {
                    self.mistrusted.insert((kind, org), mistrust);
                }
            }
        }
        self.halts =
            self.mistrusted().filter_map(|(kind, org, _)| stand_in(sealer, kind, org)).collect();
        Ok(())
    }

    /// The organizations of which rows of a kind were held against a head.
    pub(super) fn orgs(&self, kind: Guarded) -> impl Iterator<Item = [u8; 16]> {
        self.heads.keys().filter(move |(of, _)| *of == kind).map(|(_, org)| *org)
    }

    /// Whether rows come to a head that this installation made, and that is none before the known one.
    pub(super) fn goes_on_to(&self, sealer: &RowSealer, head: &Head, found: &Found) -> bool {
        let known = self.heads.get(&(head.kind, head.org));
        let is_newer = known.is_none_or(|known| known.number < head.number || known == head);
        let is_made_here = code_of_head(sealer, head).as_bytes() == &head.code;
        is_newer && is_made_here && found.sum.as_bytes() == &head.sum
    }

    /// Whether rows of this sum fit their head, and the head the newest entry.
    async fn is_right(
        &self,
        (store, sealer): (&Store, &RowSealer),
        head: &Head,
        sum: RowSum,
    ) -> Result<bool, Error> {
        let known = self.heads.get(&(head.kind, head.org));
        if head.sum != *sum.as_bytes() || known.is_some_and(|known| known.number > head.number) {
            return Ok(false);
        }
        if known == Some(head) {
            return Ok(true);
        }
        let is_entered = head.number == 0
            || entered(store, sealer, head.kind, head.org, head.number)
                .await?
                .is_some_and(|entry| entry.sum == head.sum);
        let next = head.number.saturating_add(1);
        // A newer one may have been committed since the rows were read; then the next look hears of it.
        let is_newest = entered(store, sealer, head.kind, head.org, next).await?.is_none()
            || goes_on(store, sealer, head).await?;
        let is_made_here = code_of_head(sealer, head).as_bytes() == &head.code;
        Ok(is_entered && is_newest && is_made_here)
    }

    /// The same; a head that fits is remembered.
    pub(crate) async fn fits(
        &mut self,
        of: (&Store, &RowSealer),
        head: &Head,
        sum: RowSum,
    ) -> Result<bool, Error> {
        let fits = self.is_right(of, head, sum).await?;
        if fits {
            self.heads.insert((head.kind, head.org), head.clone());
            self.mistrusted.remove(&(head.kind, head.org));
        }
        Ok(fits)
    }

    /// Holds some rows of an organization: what is trusted of each, against what was read of it. Their
    /// head has to come to just that; `false` if it does not, and all have to be held.
    pub(crate) async fn hold_some(
        &mut self,
        of: (&Store, &RowSealer),
        head: &Head,
        rows: &[Told],
    ) -> Result<bool, Error> {
        let place = (head.kind, head.org);
        if self.mistrusts(head.kind, head.org) {
            return Ok(false);
        }
        let known = self.heads.get(&place);
        let known = known.map_or(RowSum::default(), |head| RowSum::from_bytes(head.sum));
        let sum = rows.iter().fold(known, |sum, told| told.moves(sum));
        self.fits(of, head, sum).await
    }

    /// The rows that were entered since the newest head that fitted; none if an entry is missing.
    pub(crate) async fn entered_since(
        &self,
        (store, sealer): (&Store, &RowSealer),
        head: &Head,
    ) -> Result<BTreeSet<[u8; 16]>, Error> {
        let mut rows = BTreeSet::new();
        for number in self.number(head.kind, head.org).saturating_add(1)..=head.number {
            match entered(store, sealer, head.kind, head.org, number).await? {
                Some(entry) => rows.extend(entry.rows.iter().map(|told| told.row)),
                None => return Ok(BTreeSet::new()),
            }
        }
        Ok(rows)
    }

    /// What is to be mistrusted of rows, if anything.
    pub(super) async fn judge(
        &self,
        (store, sealer): (&Store, &RowSealer),
        head: &Head,
        found: &Found,
    ) -> Result<Option<Mistrust>, Error> {
        if self.is_right((store, sealer), head, found.sum).await? {
            return Ok(None);
        }
        let all = || found.rows.iter().map(|(row, code)| (*row, Some(*code))).collect();
        if self.number(head.kind, head.org) > head.number {
            return Ok(Some(Mistrust { rows: all(), why: "an older state was put back" }));
        }
        let Some(history) = history_of(store, sealer, head).await? else {
            let why = "entries about it are missing in the audit log";
            return Ok(Some(Mistrust { rows: all(), why }));
        };
        let rows = history.strangers(found);
        if rows.is_empty() {
            // Something is wrong, and nobody can say with which.
            let why = "what they come to is not what the audit log says";
            return Ok(Some(Mistrust { rows: all(), why }));
        }
        Ok(Some(Mistrust { rows, why: "the database does not hold what the audit log says" }))
    }
}

impl Mistrust {
    /// What a finding about it is about: the row, if it is one.
    pub(crate) fn subject(&self, kind: Guarded, org: [u8; 16]) -> String {
        match (self.rows.len(), self.rows.first_key_value()) {
            (1, Some((row, _))) => kind.name_of(*row),
            _ => Id::<id::Org>::from_bytes(org).to_string(),
        }
    }

    /// What people are told.
    pub(crate) fn detail(&self, kind: Guarded) -> String {
        let named: Vec<_> =
            self.rows.keys().take(NAMED_MAX).map(|row| kind.name_of(*row)).collect();
        let more = self.rows.len().saturating_sub(named.len());
        let rows = match (named.is_empty(), more) {
            (true, _) => "none is left".to_owned(),
            (false, 0) => named.join(", "),
            (false, more) => format!("{} and {more} more", named.join(", ")),
        };
        let meanwhile = match kind {
            Guarded::Halts | Guarded::Limits => "entries are refused, exits pass",
            Guarded::Keys => "these keys are not taken",
            Guarded::Members => "these people have no rights",
            Guarded::Roles => "these roles allow nothing",
        };
        format!("{}: {} ({rows}). Until it fits again, {meanwhile}.", kind.word(), self.why)
    }
}

/// The halt that stands in for limits or halts of an organization that cannot be trusted.
pub(super) fn stand_in(sealer: &RowSealer, kind: Guarded, org: [u8; 16]) -> Option<Halt> {
    if !matches!(kind, Guarded::Halts | Guarded::Limits) {
        return None;
    }
    let id = Id::from_bytes(object_of(sealer, kind, org, 0).to_bytes());
    let owner: Option<Id<id::Org>> = (org != [0; 16]).then(|| Id::from_bytes(org));
    Some(Halt {
        id,
        org_id: owner,
        scope: owner.map_or(HaltScope::Global, HaltScope::Org),
        mode: HaltMode::ReduceOnly,
        include_protective: false,
        reason: format!("{} in the database are not those of the audit log", kind.word()),
        engaged_by: "gateway".to_owned(),
        engaged_at: Timestamp::default(),
    })
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
    let mut number = newest;
    while number < newest.saturating_add(GAP_MAX) {
        number = number.saturating_add(1);
        if entered(store, sealer, head.kind, head.org, number).await?.is_some() {
            newest = number;
        }
    }
    Ok(newest)
}

/// Whether there is a newer head by now.
async fn goes_on(store: &Store, sealer: &RowSealer, head: &Head) -> Result<bool, Error> {
    let now = guarded::heads(store, head.kind).await?;
    let is_newer = |now: &&Head| {
        let is_made_here = code_of_head(sealer, now).as_bytes() == &now.code;
        now.org == head.org && now.number > head.number && is_made_here
    };
    Ok(now.iter().any(|now| is_newer(&now)))
}

/// What the entries say of rows.
#[derive(Default)]
struct History {
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
    fn strangers(&self, found: &Found) -> BTreeMap<[u8; 16], Option<Digest>> {
        let rows = found.rows.keys().chain(self.newest.keys());
        let is_stranger = |row: &&[u8; 16]| {
            let said = self.newest.get(*row).copied().flatten();
            said.as_ref() != found.rows.get(*row)
        };
        let strangers = rows.filter(is_stranger).chain(&self.broken);
        strangers.map(|row| (*row, found.rows.get(row).copied())).collect()
    }
}

/// What the entries say, back to the one that begins; nothing if one on the way to it is missing.
async fn history_of(
    store: &Store,
    sealer: &RowSealer,
    head: &Head,
) -> Result<Option<History>, Error> {
    let (kind, org) = (head.kind, head.org);
    let mut number = head.number.max(0);
    while entered(store, sealer, kind, org, number.saturating_add(1)).await?.is_some() {
        number = number.saturating_add(1);
    }
    let mut history = History::default();
    while number > 0 {
        let Some(entry) = entered(store, sealer, kind, org, number).await? else {
            return Ok(None);
        };
        history.precede(&entry.rows);
        if entry.begins {
            break;
        }
        number = number.saturating_sub(1);
    }
    history.end();
    Ok(Some(history))
}

/// The entry of this number, if there is one that this installation made.
async fn entered(
    store: &Store,
    sealer: &RowSealer,
    kind: Guarded,
    org: [u8; 16],
    number: i64,
) -> Result<Option<Entered>, Error> {
    let object = object_of(sealer, kind, org, number);
    let placed = audit::of_object(store, object.to_bytes(), ENTRIES_MAX).await?;
    let read = |entry: &audit::Placed| {
        let is_ours = entry.leaf.contains(EVENT);
        let payload: Value = serde_json::from_str(&entry.payload).ok()?;
        is_ours.then_some(())?;
        let entered = read(kind, &payload)?;
        let head = Head { kind, org, number, sum: entered.sum, code: [0; 32] };
        let code = code_of_entry(sealer, &head, entered.begins, &entered.rows).to_string();
        (payload.get("code")?.as_str()? == code).then_some(entered)
    };
    Ok(placed.iter().find_map(read))
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
