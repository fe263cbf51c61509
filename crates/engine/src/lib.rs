//! The pipeline and the background tasks of Tradewarden.
//!
//! A signal goes one way: received, authenticated and admitted (`intake`), judged and made durable
//! (`journal`, `judge`), sent (`dispatch`, `attempt`), filled (`reconcile`), and sealed in the audit
//! log (`ledger`). People's commands go through `administer`, everything shown through `reads`.
//!
//! Never here: SQL text, HTTP, a concrete broker, the wall clock.
//!
//! Invariants
//! - Every write goes through the journal, in a transaction with its audit entries.
//! - Nothing is answered before it is durable.
//! - No order is sent without a `Cleared` behind it and a journaled attempt before it; none twice.

pub mod actor;
pub mod caller;
pub mod clear_text;
pub mod command;
pub mod incarnation;
pub mod intake;
pub mod ledger;
mod link;
pub mod local_halt;
pub mod people;
pub mod tag;
pub mod view;

mod accesses;
mod acme_account;
mod administer;
mod alerts;
mod around;
mod attempt;
mod book;
mod brackets;
mod certificates;
mod client_certificate;
mod clock;
mod crowd;
mod dead_man;
mod denials;
mod directory;
mod dispatch;
mod effects;
mod entry;
mod environment;
mod excess;
mod free_text;
mod funds;
mod guard;
mod installation;
mod journal;
mod judge;
mod keys;
mod known_key;
mod lacking;
mod lease;
mod lockdown;
mod loss;
mod market;
mod marks;
mod missing;
mod nonces;
mod notice;
pub mod once;
mod open;
mod orders;
mod outbox;
mod payload;
pub mod pins;
pub mod posture;
mod profit;
mod pulse;
mod quotes;
mod reads;
mod reconcile;
mod replay;
mod rolls;
mod row_code;
mod seals;
mod several;
mod signal;
mod signed;
pub mod stream;
mod tasks;
mod unheard;
mod unwind;
mod usage;
mod vault;

pub use administer::PaperDesk;
pub use certificates::ShownCertificate;
pub use directory::keys::secret_place as key_secret_place;
pub use environment::Environment;
pub use installation::{OpenError, Settings};
pub use journal::{CommitFate, Fatal, Fate};
pub use link::CallLimits;
pub use open::Parts;
pub use outbox::Messengers;
pub use reads::{Readiness, TilePath, halt_view};
pub use seals::Entering;
pub use tasks::Tasks;
pub use usage::Drawn;

use arc_swap::{ArcSwap, ArcSwapOption};
use directory::Directory;
use journal::Journal;
use notice::{Notice, Notices};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::http_signature::Origins;
use tradewarden_seal::{Keyring, LedgerKey, RowSealer};
use tradewarden_store::Store;

/// How long taking in what others changed waits for the key source.
const KEYS_WITHIN: Duration = Duration::from_millis(250);

/// The engine: cheap to clone, shared by everything that serves requests.
#[derive(Clone)]
pub struct Engine {
    parts: Arc<Shared>,
}

impl Engine {
    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.parts.environment.now()
    }

    /// When the doors may open: signatures tell whole seconds, and those of the second in which an
    /// earlier life ended are not taken.
    pub fn opens_at(&self) -> Timestamp {
        let since = self.parts.reads_since;
        let next = since.unix_seconds().saturating_add(1).saturating_mul(1_000_000);
        if since == Timestamp::default() { since } else { Timestamp::from_unix_micros(next) }
    }

    /// A new identifier for a request.
    pub fn request_id(&self) -> Id<id::Request> {
        self.parts.environment.id(self.now())
    }

    /// How many of what there was since the start.
    pub fn counts(&self) -> Counts {
        Counts {
            password_hashes: self.parts.people.hashing.hashes(),
            ..self.parts.counters.counts()
        }
    }
}

/// What all parts of the engine share.
pub(crate) struct Shared {
    pub(crate) environment: Environment,
    pub(crate) store: Store,
    pub(crate) journal: Journal,
    pub(crate) directory: ArcSwap<Directory>,
    pub(crate) halts: ArcSwap<Vec<Halt>>,
    pub(crate) local_halts: local_halt::LocalHalts,
    pub(crate) market: market::Market,
    pub(crate) funds: funds::Funds,
    pub(crate) replays: replay::Pages,
    pub(crate) crowds: crowd::Crowds,
    pub(crate) brokers: market::Brokers,
    /// The same, with their budgets.
    pub(crate) links: std::collections::BTreeMap<String, Arc<link::Link>>,
    pub(crate) desk: Option<Arc<dyn PaperDesk>>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) intake_keys: ArcSwap<vault::keys::DataKeys>,
    pub(crate) ledger_key: LedgerKey,
    pub(crate) row_sealer: RowSealer,
    pub(crate) mistrust_told: seals::ToldMistrust,
    pub(crate) strangers: row_code::Strangers,
    pub(crate) doubted: seals::Doubted,
    pub(crate) vault: vault::Vault,
    pub(crate) published: ArcSwap<ledger::Published>,
    /// Those that the configuration names.
    pub(crate) pins: ArcSwapOption<pins::PublishedPins>,
    pub(crate) settings: Settings,
    pub(crate) origins: Origins,
    pub(crate) started_at: Timestamp,
    /// Whether a restore began this incarnation, so that brokers may know orders that are not stored.
    pub(crate) is_restored: bool,
    /// Nothing that was signed before is taken: a restore lost the nonces.
    pub(crate) signed_since: Timestamp,
    /// Reads that were signed before are not taken: their nonces are forgotten.
    pub(crate) reads_since: Timestamp,
    pub(crate) nonces: nonces::Nonces,
    pub(crate) usage: usage::Usage,
    pub(crate) guard: guard::Guard,
    pub(crate) fate: Fate,
    pub(crate) counters: Counters,
    pub(crate) undelivered: Arc<intake::Undelivered>,
    pub(crate) denials: denials::Denials,
    pub(crate) accesses: accesses::Accesses,
    pub(crate) in_flight: once::InFlight,
    pub(crate) broadcast: stream::Broadcast,
    pub(crate) alerts: judge::Alerts,
    pub(crate) seen: reconcile::Seen,
    pub(crate) unheard: unheard::Unheard,
    pub(crate) missing: missing::Missing,
    pub(crate) lacking: lacking::Lacking,
    pub(crate) people: people::People,
    pub(crate) messengers: Messengers,
    notices: Notices,
    leader: AtomicBool,
    recovered: AtomicBool,
    /// The kinds of broker of which quotes were heard.
    quoted: ArcSwap<BTreeSet<String>>,
    /// The journal's last batch could not be written.
    unwritten: AtomicBool,
    watched: Mutex<BTreeSet<Id<id::Account>>>,
    unreconciled: Mutex<BTreeSet<Id<id::Account>>>,
    /// Where the broker works orders that are not stored, as long as a restore is not over.
    pub(crate) strange: Mutex<BTreeSet<(Id<id::Account>, Symbol)>>,
    /// Looks at what only the program around us knows.
    look_at_machine: std::sync::OnceLock<Arc<posture::LookAtMachine>>,
    reloading: tokio::sync::Mutex<()>,
}

impl Shared {
    /// Tells the dispatcher what a commit changed.
    pub(crate) fn after_commit(&self, effects: effects::Effects) {
        self.counters.entries(effects.entries);
        self.broadcast.tell(&effects, &self.halts.load());
        if let Some(halts) = effects.halts {
            let now = self.environment.now();
            self.counters.halted_at.store(now.unix_micros(), Ordering::Relaxed);
            self.halts.store(Arc::new(halts));
        }
        if !effects.orders.is_empty() {
            self.notices.tell(Notice::Orders(effects.orders));
        }
    }

    /// Tells the dispatcher to read again.
    pub(crate) fn resync(&self) {
        self.notices.tell(Notice::Resync);
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.leader.load(Ordering::Acquire)
    }

    pub(crate) fn set_leader(&self, leader: bool) {
        let was = self.leader.swap(leader, Ordering::AcqRel);
        if leader && !was {
            self.recovered.store(false, Ordering::Release);
            self.unheard.forget_fills();
            *self.unreconciled.lock().unwrap_or_else(PoisonError::into_inner) =
                self.directory.load().accounts.keys().copied().collect();
            self.lacking.forget(self.environment.now());
            self.resync();
        }
    }

    pub(crate) fn has_recovered(&self) -> bool {
        self.recovered.load(Ordering::Acquire)
    }

    pub(crate) fn set_recovered(&self) {
        self.recovered.store(true, Ordering::Release);
    }

    /// The accounts whose fills and positions were not compared with the broker's since this node
    /// leads: they open nothing (C14).
    pub(crate) fn unreconciled(&self) -> BTreeSet<Id<id::Account>> {
        self.unreconciled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_reconciled(&self, account: Id<id::Account>) {
        self.unreconciled.lock().unwrap_or_else(PoisonError::into_inner).remove(&account);
    }

    /// Whether every broker's quotes were heard, or asked for.
    pub(crate) fn has_quotes(&self) -> bool {
        let quoted = self.quoted.load();
        self.brokers.keys().all(|kind| quoted.contains(kind))
    }

    pub(crate) fn is_writable(&self) -> bool {
        !self.unwritten.load(Ordering::Acquire)
    }

    pub(crate) fn set_writable(&self, writable: bool) {
        self.unwritten.store(!writable, Ordering::Release);
    }

    /// The same of the broker of an account.
    pub(crate) fn has_quotes_of(&self, account: Id<id::Account>) -> bool {
        let directory = self.directory.load();
        let account = directory.accounts.get(&account);
        account.is_some_and(|account| self.quoted.load().contains(&account.broker))
    }

    pub(crate) fn set_quoted(&self, kind: &str) {
        if self.quoted.load().contains(kind) {
            return;
        }
        self.quoted.rcu(|before| {
            let mut quoted = BTreeSet::clone(before);
            quoted.insert(kind.to_owned());
            quoted
        });
    }

    pub(crate) fn watched(&self) -> BTreeSet<Id<id::Account>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn watch_fills(&self, account: Id<id::Account>) {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).insert(account);
    }

    pub(crate) fn set_watched(&self, accounts: impl Iterator<Item = Id<id::Account>>) {
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = accounts.collect();
    }

    /// Publishes a checkpoint that is committed, and keeps a copy outside the database.
    pub(crate) fn publish(&self, published: ledger::Published) {
        if let Some(path) = &self.settings.checkpoint_file
            && let Err(error) = replace_file(path, published.note.as_bytes())
        {
            tracing::warn!(error = %error, "the newest checkpoint was not copied to its file");
        }
        self.published.store(Arc::new(published));
    }

    /// Takes into the directory what changed since it was read, whoever changed it; what fails keeps
    /// the old one.
    pub(crate) async fn reload(&self) {
        let _one_at_a_time = self.reloading.lock().await;
        let before = self.directory.load_full();
        let keys = self.intake_keys.load_full();
        let doubted = self.doubted.take();
        let found = before.following(&self.store, &keys, &self.row_sealer, &doubted).await;
        let has_new_keys = matches!(
            &found, Ok(Some(next)) if next.data_keys_changed != before.data_keys_changed
        );
        // Revocations and halts do not wait for a key source: what cannot be opened is left out, and read
        // again when the keys are there.
        self.take_in(&before, found);
        if (has_new_keys || self.vault.has_settled(self.environment.now()))
            && let Some(keys) = self.open_soon().await
            && has_new_keys
        {
            // What a new key sealed opens with it only.
            let found = before.following(&self.store, &keys, &self.row_sealer, &doubted).await;
            self.take_in(&before, found);
        }
    }

    /// Reads everything anew, whatever was heard of.
    pub(crate) async fn reload_everything(&self) -> Result<(), tradewarden_store::Error> {
        let _one_at_a_time = self.reloading.lock().await;
        let before = self.directory.load_full();
        let keys = self.intake_keys.load_full();
        let next = Directory::load(&self.store, &keys, &self.row_sealer, &before).await?;
        self.take_in(&before, Ok(Some(next)));
        Ok(())
    }

    /// Opens the data keys that there are now; `None` if the source does not answer soon, and the watch
    /// goes on with it.
    async fn open_soon(&self) -> Option<Arc<vault::keys::DataKeys>> {
        match tokio::time::timeout(KEYS_WITHIN, vault::open_changed(self)).await {
            Ok(Ok(keys)) => return Some(keys),
            Ok(Err(error)) => tracing::error!(error = %error, "new data keys cannot be opened yet"),
            Err(_) => tracing::error!("the key source is slow: new data keys are not open yet"),
        }
        self.vault.set_behind();
        None
    }

    fn take_in(
        &self,
        before: &Directory,
        found: Result<Option<Directory>, tradewarden_store::Error>,
    ) {
        match found {
            Ok(None) => {}
            Ok(Some(next)) => {
                if !Arc::ptr_eq(&next.halts, &before.halts) {
                    self.halts.store(Arc::clone(&next.halts));
                }
                self.directory.store(Arc::new(next));
            }
            Err(error) => tracing::error!(error = %error, "the directory could not be read"),
        }
    }
}

/// Puts a file in the place of another as a whole, readable by its owner only.
fn replace_file(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let next = path.with_extension("next");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&next)?;
    file.write_all(bytes)?;
    std::fs::rename(&next, path)
}

/// Counters since the start.
#[derive(Default)]
pub(crate) struct Counters {
    unauthenticated: AtomicU64,
    sent: AtomicU64,
    sent_at: AtomicI64,
    halted_at: AtomicI64,
    entries: AtomicU64,
}

/// What the counters said.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Counts {
    /// Requests at webhooks that could not be authenticated.
    pub unauthenticated: u64,
    /// Orders sent to brokers.
    pub orders_sent: u64,
    /// When the newest of them was handed over; the epoch if none was.
    pub order_sent_at: Timestamp,
    /// When halts last changed with a commit of this node; the epoch if they never did.
    pub halts_changed_at: Timestamp,
    /// Audit entries written.
    pub audit_entries: u64,
    /// Slow hashes of passwords and recovery codes begun.
    pub password_hashes: u64,
}

impl Counters {
    pub(crate) fn unauthenticated(&self) {
        self.unauthenticated.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, now: Timestamp) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.sent_at.store(now.unix_micros(), Ordering::Relaxed);
    }

    fn entries(&self, count: u64) {
        self.entries.fetch_add(count, Ordering::Relaxed);
    }

    fn counts(&self) -> Counts {
        Counts {
            unauthenticated: self.unauthenticated.load(Ordering::Relaxed),
            orders_sent: self.sent.load(Ordering::Relaxed),
            order_sent_at: Timestamp::from_unix_micros(self.sent_at.load(Ordering::Relaxed)),
            halts_changed_at: Timestamp::from_unix_micros(self.halted_at.load(Ordering::Relaxed)),
            audit_entries: self.entries.load(Ordering::Relaxed),
            password_hashes: 0,
        }
    }
}
