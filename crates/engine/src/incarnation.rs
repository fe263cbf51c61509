//! Incarnations: a restored database goes on as another one (C16).
//!
//! A copy lacks what came after it, so whatever goes on from it must not be taken for what was lost. The
//! log keeps its entries, its tree and its key's seed, and gets another name: no checkpoint under the old
//! name is ever signed again, and the first entry under the new one names the old name and its last
//! checkpoints. Identifiers carry the incarnation's number. Nothing adds risk until a person says so,
//! after every account was compared with its broker. What waited to be sent may have left in what was
//! lost, so it counts as an attempt that was not heard: see [`doubts`]. Sessions end: some of them had been
//! ended in what was lost.
//!
//! Crash story: the incarnation, its first entries with their places, its checkpoint, the halt and what is
//! held for doubtful are one transaction.

mod doubts;

use self::doubts::Doubts;
use crate::Shared;
use crate::effects::Severity;
use crate::entry::entry;
use crate::environment::Environment;
use crate::installation::OpenError;
use crate::ledger::{self, Published};
use crate::payload::Payload;
use crate::{lease, seals, vault};
use serde_json::{Value, json};
use std::sync::Arc;
use tradewarden_domain::account::Activity;
use tradewarden_domain::halt::{Halt, HaltMode, HaltScope};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::{Clock, Timestamp};
use tradewarden_seal::http_signature::MAX_AHEAD_S;
use tradewarden_seal::{
    Checkpoint, Keyring, LedgerKey, Randomness, RowSealer, SecretBytes, VerifierKey, hex_encode,
};
use tradewarden_store::alerts::{self, Alert};
use tradewarden_store::audit::{self, Ledger, PastIncarnation};
use tradewarden_store::{Error, Location, Store, Tx, Writer, directory as rows, leases, migrate};

/// Who engages the halt of a restore, and ends the sessions.
pub(crate) const BY: &str = "restore";
/// What the first entry of an incarnation is called.
pub(crate) const BEGAN: &str = "incarnation.began";
/// What tells two restores of one copy apart, in bytes.
const WORD_BYTES: usize = 8;
/// Runs that are taken from the queue at once.
const QUEUE_PAGE: i64 = 64;

/// A restored database, which nobody uses, and what is needed to go on from it.
pub struct Restoring {
    /// Where the database is.
    pub location: Location,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The random source.
    pub randomness: Box<dyn Randomness>,
    /// What opens sealed values.
    pub keyring: Arc<Keyring>,
    /// The newest checkpoint that was seen outside the database, a signed note.
    pub published: Option<String>,
    /// Where the copy came from, in words.
    pub from: String,
}

/// The incarnation that began.
#[derive(Debug)]
pub struct Begun {
    /// Its number.
    pub number: u64,
    /// The log's name from here on.
    pub origin: String,
    /// The key that verifies its checkpoints.
    pub verifier: String,
    /// The log's name before.
    pub previous_origin: String,
    /// Entries of the log that the copy has.
    pub entries: u64,
    /// Entries that were published and that the copy lacks. What was never published is not counted.
    pub lost_entries_min: u64,
    /// The halt that a person ends.
    pub halt: Id<id::Halt>,
    /// Orders that were not at their broker in the copy: it is asked for each before anything is done.
    pub orders_in_doubt: u64,
    /// Changes of orders of which the same holds.
    pub changes_in_doubt: u64,
    /// Actions that waited for a second person and were ended.
    pub approvals_ended: u64,
    /// Overrides of limits that nobody had used and that were taken back.
    pub overrides_ended: u64,
    /// Invitations that waited for an answer and were ended.
    pub invitations_ended: u64,
    /// How many sessions were ended.
    pub sessions_ended: u64,
    /// The first checkpoint under the new name.
    pub checkpoint: String,
}

/// A checkpoint that was seen outside the database.
#[derive(Debug)]
pub(crate) struct Outside {
    /// Which incarnation of this log signed it.
    pub(crate) incarnation: u64,
    pub(crate) checkpoint: Checkpoint,
    note: String,
}

impl Outside {
    /// Reads the note of any incarnation of the log that was first called `base` and whose checkpoints
    /// verify with this public key. A note that is none of them is `None`.
    pub(crate) fn read(note: &str, base: &str, public: [u8; 32]) -> Option<Self> {
        let origin = note.lines().next()?;
        let incarnation = number_of(origin, base)?;
        let verifier = VerifierKey::new(origin, public).ok()?;
        let checkpoint = Checkpoint::open(note, &verifier).ok()?;
        Some(Self { incarnation, checkpoint, note: note.to_owned() })
    }
}

/// The log's name in an incarnation after the first.
fn name_of(base: &str, number: u64, word: &[u8]) -> String {
    format!("{base}/i{number}-{}", hex_encode(word))
}

/// The incarnation in which the log that was first called `base` has this name.
fn number_of(origin: &str, base: &str) -> Option<u64> {
    if origin == base {
        return Some(1);
    }
    let (number, word) = origin.strip_prefix(base)?.strip_prefix("/i")?.split_once('-')?;
    let number: u64 = number.parse().ok().filter(|number| *number > 1)?;
    let is_ours = word.len() == WORD_BYTES.saturating_mul(2)
        && format!("{base}/i{number}-{word}") == origin
        && word.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    is_ours.then_some(number)
}

/// What a log with this name was called in its first incarnation.
fn base_of(origin: &str) -> &str {
    let base = origin.rsplit_once("/i").map(|(base, _)| base);
    base.filter(|base| number_of(origin, base).is_some()).unwrap_or(origin)
}

/// The key by which checkpoints with this name verify, of a log of which one key is known: the same in every
/// incarnation, under that incarnation's name. `None` where the name is another log's.
pub fn key_under(origin: &str, known: &VerifierKey) -> Option<VerifierKey> {
    let is_same = base_of(origin) == base_of(known.name());
    VerifierKey::new(origin, *known.public()).ok().filter(|_| is_same)
}

/// Holds the log's head against the log's key, which opened with the key source: nothing else of the
/// database says that it is this installation's. Answers the signed checkpoint and the log's first name.
pub(crate) fn vouched<'l>(
    head: &'l Ledger,
    key: &LedgerKey,
) -> Result<(Checkpoint, &'l str), OpenError> {
    let another = |what: &str| {
        OpenError(format!(
            "the audit log's head was not signed by this installation: {what}. Somebody changed the \
             database: keep a copy of it, and restore one that is right"
        ))
    };
    if head.verifier != key.verifier().to_string() {
        return Err(another("its verifier key is not that of the log's key"));
    }
    let signed = Checkpoint::open(&head.checkpoint, key.verifier())
        .map_err(|error| another(&format!("its checkpoint does not verify ({error})")))?;
    if signed.size != head.size {
        return Err(another(&format!(
            "it has {} entries, and its checkpoint covers {}",
            head.size, signed.size
        )));
    }
    let base = base_of(&head.origin);
    if number_of(&head.origin, base) != Some(head.incarnation) {
        return Err(another(&format!(
            "it says that it is incarnation {}, and is called {}",
            head.incarnation, head.origin
        )));
    }
    Ok((signed, base))
}

/// Whether a halt is one of a restore.
pub(crate) fn is_of_restore(halt: &Halt) -> bool {
    halt.engaged_by == BY
}

/// Requests that were signed before this instant may have been carried out in what was lost: their nonces
/// are gone with it. Senders' clocks may be ahead by as much as is taken.
pub(crate) fn signed_since(head: &Ledger) -> Timestamp {
    if head.incarnation <= 1 {
        return Timestamp::default();
    }
    let ahead = std::time::Duration::from_secs(MAX_AHEAD_S.unsigned_abs());
    head.began_at.plus(ahead)
}

/// Lets a restored database go on as another incarnation.
///
/// An error leaves it as it was: the log's key does not open, a gateway holds the lease, or what was seen
/// outside is not of this log.
pub async fn begin(restoring: Restoring) -> Result<Begun, OpenError> {
    let environment = Environment::new(restoring.clock, restoring.randomness);
    let mut writer = Writer::open(&restoring.location).await?;
    migrate::migrate(&mut writer).await?;
    let store = Store::open(restoring.location.clone()).await?;
    let now = environment.now();
    let no_log = || OpenError("the database has no audit log: it is no installation's".to_owned());
    let old_key =
        vault::keys::ledger_key(&store, &restoring.keyring, now).await?.ok_or_else(no_log)?;
    let head = audit::ledger(&store).await?.ok_or_else(no_log)?;
    let (signed, base) = vouched(&head, &old_key)?;
    let base = base.to_owned();
    if ledger::root_at(&store, signed.size).await? != Some(signed.root) {
        return Err(OpenError(
            "the copy's entries are not those that its checkpoint was signed for: its history was rewritten"
                .to_owned(),
        ));
    }
    let public = *old_key.verifier().public();
    let outside = match &restoring.published {
        None => None,
        Some(note) => Some(Outside::read(note, &base, public).ok_or_else(|| {
            OpenError(format!(
                "the newest checkpoint that was seen is not one of the log {base}: the copy is \
                 another installation's, or the checkpoint is damaged (if it is, move DATA/checkpoint \
                 away by hand)"
            ))
        })?),
    };
    if let Some(outside) = &outside {
        extends(&store, &head, outside).await?;
    }
    let seen = outside.as_ref().map_or(0, |outside| outside.incarnation);
    let number = head.incarnation.max(seen).saturating_add(1);
    environment.live_as(number);
    let word = environment.with_randomness(|random| {
        let mut word = [0; WORD_BYTES];
        random.fill(&mut word);
        word
    });
    let origin = name_of(&base, number, &word);
    let seed = SecretBytes::new(old_key.seed().expose().to_vec());
    let key = LedgerKey::from_seed(&origin, seed).map_err(|error| OpenError(error.to_string()))?;
    let orgs: Vec<_> = rows::organizations(&store).await?.into_iter().map(|org| org.id).collect();
    let next = Next { environment, key, number, origin, outside, from: restoring.from, now, orgs };
    drop(store);
    let mut tx = writer.begin().await?;
    let begun = next.write(&mut tx, &restoring.location, &head).await?;
    tx.commit().await?;
    Ok(begun)
}

/// That a checkpoint which covers no more than the copy has is one of the copy's history.
async fn extends(store: &Store, head: &Ledger, outside: &Outside) -> Result<(), OpenError> {
    let seen = &outside.checkpoint;
    if seen.origin != head.origin || seen.size > head.size {
        return Ok(());
    }
    if ledger::root_at(store, seen.size).await? == Some(seen.root) {
        return Ok(());
    }
    Err(OpenError(format!(
        "the copy's log does not extend the newest checkpoint that was seen ({} entries): its history \
         was rewritten",
        seen.size
    )))
}

/// What the transaction writes.
struct Next {
    environment: Environment,
    key: LedgerKey,
    number: u64,
    origin: String,
    outside: Option<Outside>,
    from: String,
    now: Timestamp,
    orgs: Vec<Id<id::Org>>,
}

impl Next {
    async fn write(
        self,
        tx: &mut Tx<'_>,
        location: &Location,
        head: &Ledger,
    ) -> Result<Begun, OpenError> {
        // SQLite's file is locked by its data directory; the lease in it is that of the copy.
        if matches!(location, Location::Postgres(_))
            && let Some(holder) = leases::holder(tx, lease::LEASE, self.now).await?
        {
            return Err(OpenError(format!(
                "the node {holder} leads on this database: stop every gateway on it, and try again ten \
                 seconds later"
            )));
        }
        let verifier = self.key.verifier().to_string();
        let ended = PastIncarnation {
            number: head.incarnation,
            origin: head.origin.clone(),
            verifier: head.verifier.clone(),
            size: head.size,
            checkpoint: head.checkpoint.clone(),
            published: self.outside.as_ref().map(|outside| outside.note.clone()),
            ended_at: self.now,
        };
        audit::begin_incarnation(tx, &ended, (self.number, &self.origin, &verifier)).await?;
        let link = self.environment.id(self.now);
        let mut doubts = doubts::settle(tx, &self.environment, self.now).await?;
        self.place_first(tx, link, head, &doubts).await?;
        audit::insert(tx, std::mem::take(&mut doubts.entries)).await?;
        let halt = self.halt();
        self.halt_everything(tx, &halt).await?;
        seals::enter(tx, &self.environment, &RowSealer::of(&self.key)).await?;
        let published = self.place_queued(tx).await?;
        Ok(Begun {
            number: self.number,
            verifier,
            previous_origin: head.origin.clone(),
            entries: head.size,
            lost_entries_min: self.lost_entries_min(head),
            halt: halt.id,
            orders_in_doubt: doubts.orders,
            changes_in_doubt: doubts.changes,
            approvals_ended: doubts.approvals,
            overrides_ended: doubts.overrides,
            invitations_ended: doubts.invitations,
            sessions_ended: doubts.sessions,
            checkpoint: published.note,
            origin: self.origin,
        })
    }

    fn lost_entries_min(&self, head: &Ledger) -> u64 {
        let seen = self.outside.as_ref().map_or(0, |outside| outside.checkpoint.size);
        seen.saturating_sub(head.size)
    }

    /// The entry that links the two names gets the first place under the new one, before what the copy
    /// had not given a place yet.
    async fn place_first(
        &self,
        tx: &mut Tx<'_>,
        id: Id<id::Entry>,
        head: &Ledger,
        doubts: &Doubts,
    ) -> Result<(), OpenError> {
        let waiting = drained(tx).await?;
        let Some(org) = self.orgs.first().copied() else {
            return Err(OpenError("the database has no organization".to_owned()));
        };
        let payload = Payload::from(&self.link(head, doubts));
        let link = entry(&self.environment, id, org, org, BEGAN, self.now, payload);
        audit::insert(tx, vec![link]).await?;
        let link = drained(tx).await?;
        for runs in link.into_iter().chain(waiting) {
            self.place(tx, &runs).await?;
        }
        Ok(())
    }

    /// What the first entry says.
    fn link(&self, head: &Ledger, doubts: &Doubts) -> Value {
        let published = self.outside.as_ref().map(|outside| {
            let Checkpoint { origin, size, root } = &outside.checkpoint;
            json!({
                "checkpoint": outside.note, "origin": origin, "root": root.to_string(), "size": size,
            })
        });
        json!({
            "actor": "operator",
            "approvals_ended": doubts.approvals,
            "changes_in_doubt": doubts.changes,
            "from": self.from,
            "incarnation": self.number,
            "invitations_ended": doubts.invitations,
            "lost_entries_min": self.lost_entries_min(head),
            "orders_in_doubt": doubts.orders,
            "origin": self.origin,
            "overrides_ended": doubts.overrides,
            "previous": {
                "checkpoint": head.checkpoint, "incarnation": head.incarnation,
                "origin": head.origin, "size": head.size, "verifier_key": head.verifier,
            },
            "published": published,
            "sessions_ended": doubts.sessions,
        })
    }

    /// Gives these runs their places under the new name.
    async fn place(&self, tx: &mut Tx<'_>, runs: &[audit::Run]) -> Result<Published, Error> {
        let head = audit::ledger_in(tx).await?;
        let head = head.ok_or_else(|| Error::unreadable("the audit log has no head"))?;
        ledger::place(tx, &self.key, &head, runs, self.now).await
    }

    /// Gives whatever is queued its place, and answers the newest checkpoint.
    async fn place_queued(&self, tx: &mut Tx<'_>) -> Result<Published, Error> {
        for runs in drained(tx).await? {
            self.place(tx, &runs).await?;
        }
        let head = audit::ledger_in(tx).await?;
        let head = head.ok_or_else(|| Error::unreadable("the audit log has no head"))?;
        Ok(Published { size: head.size, note: head.checkpoint })
    }

    fn halt(&self) -> Halt {
        let reason = format!(
            "restored from {}: incarnation {}; to be resumed when positions and orders are as the \
             brokers have them",
            self.from, self.number
        );
        Halt {
            id: self.environment.id(self.now),
            org_id: None,
            scope: HaltScope::Global,
            mode: HaltMode::ReduceOnly,
            include_protective: false,
            reason,
            engaged_by: BY.to_owned(),
            engaged_at: self.now,
        }
    }

    /// Engages the halt, with its entry and its alert in every organization.
    async fn halt_everything(&self, tx: &mut Tx<'_>, halt: &Halt) -> Result<(), Error> {
        rows::insert_halt(tx, halt).await?;
        let payload = json!({
            "engaged_by": halt.engaged_by, "mode": halt.mode, "reason": halt.reason,
            "scope": halt.scope.to_string(),
        });
        let mut entries = Vec::with_capacity(self.orgs.len());
        for org in &self.orgs {
            let payload = Payload::from(&payload);
            let id = self.environment.id(self.now);
            let event = "halt.engaged";
            entries.push(entry(&self.environment, id, *org, halt.id, event, self.now, payload));
            let alert = Alert {
                id: self.environment.id(self.now),
                org_id: *org,
                code: event.to_owned(),
                severity: Severity::Critical.text().to_owned(),
                subject: halt.id.to_string(),
                detail: format!("The database was {}.", halt.reason),
                raised_at: self.now,
                grouped_by: None,
                told: 0,
                next_at: Some(self.now),
                acknowledged_by: None,
                acknowledged_at: None,
            };
            alerts::insert(tx, &alert).await?;
        }
        audit::insert(tx, entries).await
    }
}

/// All that is queued, in pages.
async fn drained(tx: &mut Tx<'_>) -> Result<Vec<Vec<audit::Run>>, Error> {
    let mut pages = Vec::new();
    loop {
        let page = audit::drain(tx, QUEUE_PAGE).await?;
        if page.is_empty() {
            return Ok(pages);
        }
        pages.push(page);
    }
}

impl Shared {
    /// Whether a person has yet to say that a restored database is as the brokers have it.
    pub(crate) fn is_restoring(&self) -> bool {
        self.directory.load().halts.iter().any(is_of_restore)
    }

    /// The accounts that trade and were not compared with their brokers since this node leads, in words;
    /// `None` if there are none. Only the node that leads knows.
    pub(crate) fn not_compared(&self) -> Option<String> {
        if !self.is_leader() {
            return Some(
                "Only a running gateway that leads compares them: start it, or ask the node that leads."
                    .to_owned(),
            );
        }
        let directory = self.directory.load();
        let left = self.unreconciled();
        let names: Vec<&str> = left
            .iter()
            .filter_map(|id| directory.accounts.get(id))
            .filter(|account| account.state == Activity::Active)
            .map(|account| account.name.as_str())
            .collect();
        (!names.is_empty()).then(|| format!("Still to be compared: {}.", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "example.test/log";

    #[test]
    fn a_name_says_its_incarnation() {
        let name = name_of(BASE, 12, &[0, 1, 2, 3, 4, 5, 6, 0xff]);
        assert_eq!(name, "example.test/log/i12-00010203040506ff");
        assert_eq!(number_of(&name, BASE), Some(12));
        assert_eq!(number_of(BASE, BASE), Some(1));
        for other in [
            "example.test/other",
            "example.test/log/i12",
            "example.test/log/i1-00010203040506ff",
            "example.test/log/i+2-00010203040506ff",
            "example.test/log/i02-00010203040506ff",
            "example.test/log/i2-00010203040506FF",
            "example.test/log/i2-0001020304050607ff",
            "example.test/log/i2-00010203040506ff/i3-00010203040506ff",
        ] {
            assert_eq!(number_of(other, BASE), None, "{other}");
        }
        assert_eq!(base_of(&name), BASE);
        for own in [BASE, "example.test/i2", "example.test/log/i1-00010203040506ff"] {
            assert_eq!(base_of(own), own);
        }
    }

    #[test]
    fn a_key_verifies_under_the_names_of_its_own_log_only() {
        let key = VerifierKey::new(BASE, [7; 32]).unwrap();
        let name = name_of(BASE, 2, &[1; WORD_BYTES]);
        let later = key_under(&name, &key).unwrap();
        assert_eq!((later.name(), later.public()), (name.as_str(), key.public()));
        assert_eq!(key_under(BASE, &later), Some(key.clone()));
        let other = name_of("example.test/other", 2, &[1; WORD_BYTES]);
        assert_eq!(key_under(&other, &key), None);
    }
}
