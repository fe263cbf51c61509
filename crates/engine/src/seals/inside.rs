//! Limits and halts that a transaction read from the database, because this node has not heard of them
//! yet: they are held against the log before anything is judged by them. Where this node has heard of
//! them, it has held them already, and nothing is asked.

use super::check::{Found, Seals, stand_in};
use super::{code_of, first_head};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::limit::Limit;
use tradewarden_seal::RowSealer;
use tradewarden_store::changes::{Change, Subject};
use tradewarden_store::directory as rows;
use tradewarden_store::guarded::{self, Guarded};
use tradewarden_store::{Error, Tx};

/// Another node may commit a halt between two statements; then they are read again.
const LOOKS: usize = 4;

/// What transactions found otherwise than this node knows it, and what has to be read anew.
#[derive(Debug, Default)]
pub(crate) struct Doubted(Mutex<BTreeSet<Change>>);

impl Doubted {
    fn add(&self, subjects: &[Subject], org: [u8; 16]) {
        let mut doubted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        doubted.extend(subjects.iter().map(|subject| Change { subject: *subject, id: org }));
    }

    /// Takes them.
    pub(crate) fn take(&self) -> BTreeSet<Change> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a transaction holds rows against: what this node knows.
#[derive(Clone, Copy)]
pub(crate) struct Against<'s> {
    pub(crate) seals: &'s Seals,
    pub(crate) halts: &'s [Halt],
    pub(crate) sealer: &'s RowSealer,
    pub(crate) doubted: &'s Doubted,
}

impl Against<'_> {
    /// What stands in for strange rows. They are read anew, and so are those that this node mistrusts:
    /// they may be right by now.
    fn stand_in(
        &self,
        kind: Guarded,
        orgs: &BTreeSet<[u8; 16]>,
        strange: &BTreeSet<[u8; 16]>,
    ) -> Vec<Halt> {
        let subjects: &[Subject] = if kind == Guarded::Limits {
            &[Subject::Organization, Subject::Limits]
        } else {
            &[Subject::Halt]
        };
        let is_wrong =
            |org: &&[u8; 16]| strange.contains(*org) || self.seals.mistrusts(kind, **org);
        for org in orgs.iter().filter(is_wrong) {
            self.doubted.add(subjects, *org);
        }
        strange.iter().filter_map(|org| stand_in(self.sealer, kind, *org)).collect()
    }
}

/// The limits of all organizations; and what stands in for those of these that are not what the log
/// says. Nobody changes them meanwhile: these organizations are locked.
pub(crate) async fn limits(
    tx: &mut Tx<'_>,
    against: Against<'_>,
    orgs: &[Id<id::Org>],
) -> Result<(Vec<Limit>, Vec<Halt>), Error> {
    let limits = rows::limits_in(tx).await?;
    let found = super::limits(against.sealer, &limits);
    let orgs = orgs.iter().map(|org| org.to_bytes()).collect();
    let strange = strange(tx, against, Guarded::Limits, &orgs, found).await?;
    Ok((limits, against.stand_in(Guarded::Limits, &orgs, &strange)))
}

/// The halts that are engaged; and what stands in for those that are not what the log says.
pub(crate) async fn halts(
    tx: &mut Tx<'_>,
    against: Against<'_>,
) -> Result<(Vec<Halt>, Vec<Halt>), Error> {
    let mut halts = rows::halts_in(tx).await?;
    let mut looks = 0_usize;
    loop {
        if halts == against.halts {
            return Ok((halts, Vec::new()));
        }
        let found = super::halts(against.sealer, &halts);
        let orgs = found.keys().copied().chain(against.seals.orgs(Guarded::Halts));
        let orgs: BTreeSet<_> = orgs.collect();
        let strange = strange(tx, against, Guarded::Halts, &orgs, found).await?;
        looks = looks.saturating_add(1);
        if strange.is_empty() || looks == LOOKS {
            return Ok((halts, against.stand_in(Guarded::Halts, &orgs, &strange)));
        }
        halts = rows::halts_in(tx).await?;
    }
}

/// Of these organizations those whose rows do not come to their heads.
async fn strange(
    tx: &mut Tx<'_>,
    against: Against<'_>,
    kind: Guarded,
    orgs: &BTreeSet<[u8; 16]>,
    mut found: BTreeMap<[u8; 16], Found>,
) -> Result<BTreeSet<[u8; 16]>, Error> {
    let heads = guarded::heads_in(tx, kind).await?;
    // What this transaction wrote itself is entered at its end: the head is about what was before.
    for (row, before) in guarded::written_in(tx, kind) {
        for own in found.values_mut() {
            own.remove(row);
        }
        if let Some(image) = before {
            let code = code_of(against.sealer, kind, &image);
            found.entry(image.org).or_default().add(image.row, code);
        }
    }
    let nothing = Found::default();
    let is_strange = |org: &[u8; 16]| {
        let head = heads.iter().find(|head| head.org == *org).cloned();
        let head = head.unwrap_or_else(|| first_head(against.sealer, kind, *org));
        !against.seals.goes_on_to(against.sealer, &head, found.get(org).unwrap_or(&nothing))
    };
    Ok(orgs.iter().filter(|org| is_strange(org)).copied().collect())
}
