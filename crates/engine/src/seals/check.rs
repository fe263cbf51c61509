//! Holding rows that were read against the newest entry about them.
//!
//! Usually that is one look at the entry of the head's number, one that there is none of the next
//! number, and a sum. Only where something does not fit are the entries read back to find which rows
//! it is. What does not fit is mistrusted until it fits again:
//! - limits and halts: entries of the organization are refused, as by a halt; exits pass,
//! - a key does not authenticate, a person has no rights, a role allows nothing.

use super::history::{AT_ONCE, Place, entered, entries, goes_on, history_of};
use super::{Told, code_of_head, first_head, object_of};
use std::collections::{BTreeMap, BTreeSet};
use tradewarden_domain::halt::{Halt, HaltMode, HaltScope};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{Digest, RowSealer, RowSum};
use tradewarden_store::directory::Organization;
use tradewarden_store::guarded::{Guarded, Head};
use tradewarden_store::{Error, Store, audit};

/// Rows that a finding names.
const NAMED_MAX: usize = 10;

/// Rows of one organization with their codes.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(super) rows: BTreeMap<[u8; 16], Digest>,
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
    /// Of what that was found: the head, and what the rows came to.
    judged: BTreeMap<Place, (Head, RowSum)>,
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
            let judged = (head, found.sum);
            if self.judged.get(&(kind, org)) == Some(&judged) {
                // It is as wrong as it was: the entries are not read back again.
                continue;
            }
            let (head, sum) = judged;
            match self.judge((store, sealer), &head, found).await? {
                None => self.trust(head),
                Some(mistrust) => {
                    self.mistrusted.insert((kind, org), mistrust);
                    self.judged.insert((kind, org), (head, sum));
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
        // Its object is a code, so nobody else writes about it: whatever is there tells of a newer one.
        let object = object_of(sealer, head.kind, head.org, next).to_bytes();
        let is_newest = audit::of_object(store, object, 1).await?.is_empty()
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
            self.trust(head.clone());
        }
        Ok(fits)
    }

    fn trust(&mut self, head: Head) {
        let place = (head.kind, head.org);
        self.mistrusted.remove(&place);
        self.judged.remove(&place);
        self.heads.insert(place, head);
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
        let mut seen = self.number(head.kind, head.org);
        while seen < head.number {
            let first = seen.saturating_add(1);
            let last = seen.saturating_add(AT_ONCE).min(head.number);
            let there = entries(store, sealer, (head.kind, head.org), first, last).await?;
            if !(first..=last).all(|number| there.contains_key(&number)) {
                return Ok(BTreeSet::new());
            }
            rows.extend(there.values().flat_map(|entry| &entry.rows).map(|told| told.row));
            seen = last;
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
