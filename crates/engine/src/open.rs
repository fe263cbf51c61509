//! Opening: from parts to a running engine. What is not there yet is made.

use crate::directory::Directory;
use crate::entry::entry;
use crate::environment::Environment;
use crate::guard::Guard;
use crate::incarnation::{self, Outside};
use crate::installation::{INSTALLATION, LEDGER_PLACE, OpenError, Settings, first_key, new_key};
use crate::intake::Undelivered;
use crate::journal::{CommitFate, Fate, journal};
use crate::ledger::Published;
use crate::link::{CallLimits, Link};
use crate::local_halt::{LocalHaltFile, LocalHalts};
use crate::market::{Brokers, Market};
use crate::nonces::Nonces;
use crate::notice::{NOTICES_MAX, notices};
use crate::payload::Payload;
use crate::people::{self, People};
use crate::tasks::Tasks;
use crate::usage::Usage;
use crate::vault::keys::ledger_key;
use crate::vault::{self, Vault};
use crate::{Counters, Engine, Messengers, PaperDesk, Shared, denials, judge, ledger, reconcile};
use arc_swap::{ArcSwap, ArcSwapOption};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use tradewarden_broker::port::{Broker, Cleaned};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::{Clock, Timestamp};
use tradewarden_seal::http_signature::{Origin, Origins};
use tradewarden_seal::{Keyring, LedgerKey, Purpose, Randomness, RowSealer};
use tradewarden_store::audit::Ledger;
use tradewarden_store::{
    Location, Store, Writer, audit, closes, directory as rows, keys, migrate, nonces, source_keys,
};

/// What an engine is made of.
pub struct Parts {
    /// Where the data is.
    pub location: Location,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The random source.
    pub randomness: Box<dyn Randomness>,
    /// What opens sealed values.
    pub keyring: Arc<Keyring>,
    /// The brokers, by kind.
    pub brokers: Brokers,
    /// The paper broker's back office, if there is one.
    pub desk: Option<Arc<dyn PaperDesk>>,
    /// Whoever carries messages to people.
    pub messengers: Messengers,
    /// Settings.
    pub settings: Settings,
}

impl Engine {
    /// Opens the database, brings its schema up to date, makes the organization, its keys and the
    /// audit log if they are not there, and loads everything.
    pub async fn create(parts: Parts) -> Result<(Self, Tasks), OpenError> {
        Self::create_with_fate(parts, Arc::new(|| CommitFate::Proceed)).await
    }

    /// The same, with somebody who decides about every commit: for simulations.
    pub async fn create_with_fate(parts: Parts, fate: Fate) -> Result<(Self, Tasks), OpenError> {
        let links = links(parts.brokers, &parts.clock, &parts.settings.call_limits);
        let environment = Environment::new(parts.clock, parts.randomness);
        let origins = origins(&parts.settings)?;
        let (ledger_key, is_new) = {
            let mut writer = Writer::open(&parts.location).await?;
            migrate::migrate(&mut writer).await?;
            let store = Store::open(parts.location.clone()).await?;
            let is_new = audit::ledger(&store).await?.is_none();
            let key = found(&mut writer, &store, &environment, &parts.keyring, &parts.settings);
            let key = key.await?;
            people::found(&mut writer, &store, &environment, &parts.keyring).await?;
            (key, is_new)
        };
        let store = Store::open(parts.location.clone()).await?;
        let log = audit::ledger(&store).await?;
        let log = log.ok_or_else(|| OpenError("the audit log has no head".to_owned()))?;
        refuse_older_log(&parts.settings, &ledger_key, &log)?;
        environment.live_as(log.incarnation);
        let signed_since = incarnation::signed_since(&log);
        let halt_file = parts.settings.halt_file.clone().map(LocalHaltFile::at);
        let local_halts = LocalHalts::open(halt_file, &environment);
        let (journal, journal_task) = journal();
        let row_sealer = RowSealer::of(&ledger_key);
        let people =
            People::open(&store, &environment, &parts.keyring, &parts.settings, &row_sealer)
                .await?;
        let (notices, heard) = notices(NOTICES_MAX);
        let (keys, unusable) =
            vault::intake_keys(&store, &parts.keyring, &BTreeMap::new(), environment.now()).await?;
        let directory = Directory::load(&store, &keys, &row_sealer, &Directory::default()).await?;
        let closes = closes::all(&store).await?;
        let started_at = environment.now();
        if !is_new {
            for link in links.values() {
                link.assume_spent();
            }
        }
        let shared = Arc::new(Shared {
            started_at,
            is_restored: log.incarnation > 1,
            signed_since,
            reads_since: if is_new { Timestamp::default() } else { started_at },
            nonces: Nonces::from_stored(nonces::since(&store, started_at).await?),
            usage: Usage::load(&store, &parts.settings.node, started_at).await?,
            guard: Guard::default(),
            origins,
            published: ArcSwap::from_pointee(Published { size: log.size, note: log.checkpoint }),
            pins: ArcSwapOption::empty(),
            environment,
            store,
            journal,
            halts: ArcSwap::new(Arc::clone(&directory.halts)),
            local_halts,
            funds: crate::funds::Funds::default(),
            replays: crate::replay::Pages::default(),
            crowds: crate::crowd::Crowds::default(),
            directory: ArcSwap::from_pointee(directory),
            market: Market::of(closes),
            brokers: brokers_of(&links),
            links,
            desk: parts.desk,
            keyring: parts.keyring,
            intake_keys: ArcSwap::from_pointee(keys),
            ledger_key,
            row_sealer,
            mistrust_told: crate::seals::ToldMistrust::default(),
            strangers: crate::row_code::Strangers::default(),
            doubted: crate::seals::Doubted::default(),
            vault: Vault::at(started_at, unusable),
            settings: parts.settings,
            fate,
            counters: Counters::default(),
            undelivered: Arc::new(Undelivered::default()),
            denials: denials::Denials::default(),
            accesses: crate::accesses::Accesses::default(),
            in_flight: crate::once::InFlight::default(),
            broadcast: crate::stream::Broadcast::default(),
            alerts: judge::Alerts::default(),
            seen: reconcile::Seen::default(),
            unheard: crate::unheard::Unheard::default(),
            missing: crate::missing::Missing::default(),
            lacking: crate::lacking::Lacking::default(),
            people,
            messengers: parts.messengers,
            notices,
            leader: AtomicBool::new(false),
            recovered: AtomicBool::new(false),
            quoted: ArcSwap::default(),
            unwritten: AtomicBool::new(false),
            watched: Mutex::new(BTreeSet::new()),
            unreconciled: Mutex::new(BTreeSet::new()),
            strange: Mutex::new(BTreeSet::new()),
            look_at_machine: std::sync::OnceLock::new(),
            reloading: tokio::sync::Mutex::new(()),
        });
        let tasks = Tasks::new(Arc::clone(&shared), journal_task, heard, parts.location);
        Ok((Self { parts: shared }, tasks))
    }
}

/// What brokers say is made fit to be stored where it enters, and every call counts against a budget.
fn links(
    brokers: Brokers,
    clock: &Arc<dyn Clock>,
    limits: &CallLimits,
) -> BTreeMap<String, Arc<Link>> {
    let link = |(kind, broker): (String, Arc<dyn Broker>)| {
        let lowered = limits.windows.get(&kind).map_or(&[][..], Vec::as_slice);
        let broker = Arc::new(Cleaned::new(broker));
        let link = Link::new(broker, Arc::clone(clock), lowered, limits.nodes);
        (kind, Arc::new(link))
    };
    brokers.into_iter().map(link).collect()
}

fn brokers_of(links: &BTreeMap<String, Arc<Link>>) -> Brokers {
    let broker = |link: &Arc<Link>| -> Arc<dyn Broker> { Arc::<Link>::clone(link) };
    links.iter().map(|(kind, link)| (kind.clone(), broker(link))).collect()
}

/// The origins that callers may sign for.
fn origins(settings: &Settings) -> Result<Origins, OpenError> {
    let texts = std::iter::once(&settings.public_origin).chain(&settings.further_origins);
    let origins: Result<Vec<Origin>, _> = texts.map(|text| text.parse()).collect();
    let origins = origins.and_then(Origins::new);
    origins.map_err(|error| {
        OpenError(format!("the public origin {}: {error}", settings.public_origin))
    })
}

/// The copy of the newest checkpoint must not be ahead of the database: else the database was set
/// back, and going on would sign a second history. Of the database only what the log's key signed is
/// believed.
fn refuse_older_log(settings: &Settings, key: &LedgerKey, head: &Ledger) -> Result<(), OpenError> {
    let (_, base) = incarnation::vouched(head, key)?;
    let Some(path) = &settings.checkpoint_file else { return Ok(()) };
    let refused = |why: &str| {
        OpenError(format!(
            "the copy of the newest checkpoint {} {why}: move it away only if you know that it is \
             damaged, or another installation's; it is what tells that the database was set back",
            path.display()
        ))
    };
    let note = match std::fs::read_to_string(path) {
        Ok(note) => note,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(&format!("cannot be read ({error})"))),
    };
    let copy = Outside::read(&note, base, *key.verifier().public())
        .ok_or_else(|| refused("is none that this log's key signed"))?;
    let seen = &copy.checkpoint;
    // One that a restore ended may have covered more: what follows it says so.
    let is_past = copy.incarnation < head.incarnation;
    let is_present = seen.origin == head.origin && seen.size <= head.size;
    if is_past || is_present {
        return Ok(());
    }
    Err(OpenError(format!(
        "the database has {} audit entries of {}, but {} of {} were published ({}): the database was \
         set back. Going on would sign a second history: restore the newer database, or, if there is \
         none, let this one go on as another incarnation with `tradewarden db restore`",
        head.size,
        head.origin,
        seen.size,
        seen.origin,
        path.display()
    )))
}

/// Makes what a new installation needs; all of it in one transaction. Answers the ledger's key.
pub(crate) async fn found(
    writer: &mut Writer,
    store: &Store,
    environment: &Environment,
    keyring: &Keyring,
    settings: &Settings,
) -> Result<LedgerKey, OpenError> {
    if let Some(key) = ledger_key(store, keyring, environment.now()).await? {
        return Ok(key);
    }
    let failed = |error: &dyn fmt::Display| OpenError(error.to_string());
    let now = environment.now();
    let wrapped = new_key(environment, keyring, INSTALLATION, Purpose::Ledger).await?;
    let key = keyring
        .open_data_key(&first_key(&INSTALLATION.to_bytes(), Purpose::Ledger), &wrapped)
        .await
        .map_err(|error| failed(&error))?;
    let ledger_key = environment
        .with_randomness(|random| LedgerKey::generate(&settings.log_origin, random))
        .map_err(|error| failed(&error))?;
    let sealed = environment
        .with_randomness(|random| key.seal(&LEDGER_PLACE, ledger_key.seed().expose(), random))
        .map_err(|error| failed(&error))?;
    let head =
        ledger::new_head(&settings.log_origin, &ledger_key, sealed, now).map_err(OpenError)?;
    let org: Id<id::Org> = environment.id(now);
    let intake = new_key(environment, keyring, org, Purpose::Intake).await?;
    let mut tx = writer.begin().await?;
    let ledger_purpose = Purpose::Ledger.name();
    keys::insert(&mut tx, INSTALLATION, ledger_purpose, 1, wrapped.as_bytes().to_vec(), now)
        .await?;
    rows::insert_organization(&mut tx, org, "main", now).await?;
    keys::insert(&mut tx, org, Purpose::Intake.name(), 1, intake.as_bytes().to_vec(), now).await?;
    audit::create_ledger(&mut tx, &head, now).await?;
    let source_key = wrapped.source_key_id().unwrap_or_default();
    source_keys::enter(&mut tx, source_key).await?;
    let payload = serde_json::json!({
        "name": "main", "origin": settings.log_origin, "source_key": source_key,
    });
    let (id, payload) = (environment.id(now), Payload::from(&payload));
    let entry = entry(environment, id, org, org, "organization.created", now, payload);
    audit::insert(&mut tx, vec![entry]).await?;
    tx.commit().await?;
    Ok(ledger_key)
}
