//! The vault: data keys, and the sources that wrap them.
//!
//! What is sealed in the database opens with a data key of its organization and purpose. Data keys are
//! rows, wrapped by the key source; opened they are in memory. Changing the source's key, or the
//! source, touches those rows alone (`rewrap`), while everything goes on.
//!
//! Each step is one transaction with its audit entry, and says by the rows themselves how far it came:
//! after a crash the same command goes on where it ended.

pub(crate) mod data_keys;
mod erase;
pub(crate) mod keys;
mod moving;
mod rotation;
pub(crate) mod watch;

pub(crate) use keys::{Unusable, intake_keys, open_changed, opened};

use self::data_keys::Resealing;
use self::watch::Health;
use crate::Engine;
use crate::actor::Actor;
use crate::book::{Book, Scope};
use crate::command::error::{CommandError, away, invalid, no};
use crate::command::{VaultCommand, VaultRewrap};
use crate::effects::Effects;
use crate::journal::Urgency;
use crate::people::only_the_operator;
use crate::vault::keys::SETTLES_IN;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{DataKeyPlace, Fresh, KeySource, Purpose, SourceError, WrappedKey};
use tradewarden_store::keys::{self as rows, KeyRow};
use tradewarden_store::{Error, Tx};

/// What this node knows of its key source.
pub(crate) struct Vault {
    /// There are data keys that could not be opened when they were heard of.
    behind: AtomicBool,
    health: Mutex<Health>,
    /// When a new data key seals that only opens until then.
    settles_at: Mutex<Option<Timestamp>>,
    /// Data keys that do not open, and whether that was told.
    unusable: Mutex<Vec<(Unusable, bool)>>,
    resealing: tokio::sync::Mutex<Resealing>,
    /// Webhooks whose older signing secret people were told of.
    told_older: Mutex<BTreeSet<Id<id::Webhook>>>,
    /// The version of the source's key that was last seen to have its entry. Whoever has the source make
    /// another one holds this until that has its own.
    entered: tokio::sync::Mutex<Option<String>>,
    /// Held by whoever exchanges the sources.
    moving: tokio::sync::Mutex<()>,
}

impl Vault {
    /// That of a node which starts now: what was made a moment ago is looked at once more.
    pub(crate) fn at(now: Timestamp, unusable: Vec<Unusable>) -> Self {
        Self {
            unusable: Mutex::new(unusable.into_iter().map(|one| (one, false)).collect()),
            behind: AtomicBool::new(false),
            health: Mutex::default(),
            settles_at: Mutex::new(Some(now.plus(SETTLES_IN))),
            resealing: tokio::sync::Mutex::default(),
            told_older: Mutex::default(),
            entered: tokio::sync::Mutex::default(),
            moving: tokio::sync::Mutex::default(),
        }
    }

    fn is_news(&self, webhook: Id<id::Webhook>) -> bool {
        self.told_older.lock().unwrap_or_else(PoisonError::into_inner).insert(webhook)
    }

    fn set_settles_at(&self, at: Option<Timestamp>) {
        *self.settles_at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Whether a new data key seals now that did not before; said once.
    pub(crate) fn has_settled(&self, now: Timestamp) -> bool {
        let mut settles_at = self.settles_at.lock().unwrap_or_else(PoisonError::into_inner);
        settles_at.take_if(|at| *at <= now).is_some()
    }

    fn set_unusable(&self, found: Vec<Unusable>) {
        let mut held = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        let is_told = |one: &Unusable| held.iter().any(|(other, told)| other == one && *told);
        let next = found.into_iter().map(|one| (is_told(&one), one)).map(|(told, one)| (one, told));
        *held = next.collect();
    }

    /// Those that were not told yet; they are from now on.
    fn unusable_untold(&self) -> Vec<Unusable> {
        let mut held = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        let untold = held.iter_mut().filter(|(_, is_told)| !*is_told);
        untold
            .map(|(one, is_told)| {
                *is_told = true;
                one.clone()
            })
            .collect()
    }

    pub(crate) fn set_behind(&self) {
        self.behind.store(true, Ordering::Release);
    }

    fn set_caught_up(&self) {
        self.behind.store(false, Ordering::Release);
    }

    /// Whether there are data keys that are not open here: secrets are closed, or one was made while the
    /// source was away.
    pub(crate) fn lacks_keys(&self) -> bool {
        self.behind.load(Ordering::Acquire)
    }

    /// Why an organization has no open data key: it does not open, the source is away, or the key was
    /// erased.
    pub(crate) fn no_key(&self, org: Id<id::Org>) -> CommandError {
        let held = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((unusable, _)) = held.iter().find(|(unusable, _)| unusable.org == org) {
            return CommandError::Unavailable { detail: unusable.detail.clone() };
        }
        drop(held);
        no(if self.lacks_keys() { Code::VaultClosed } else { Code::VaultErased })
    }

    /// Whether the source answered when it was last asked.
    fn is_there(&self) -> bool {
        matches!(self.health(), Health::There)
    }

    pub(crate) fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_health(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }
}

/// Data keys of one purpose under one version of a source's key.
#[derive(Default)]
struct Counted {
    data_keys: u64,
    oldest: Option<Timestamp>,
}

impl Engine {
    /// Carries out a command about keys: they are the installation's, not an organization's.
    pub(crate) async fn about_keys(
        &self,
        asked: VaultCommand,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        only_the_operator(actor)?;
        match asked {
            VaultCommand::Status => self.vault_status().await,
            VaultCommand::Rotate => self.rotate_source(actor).await,
            VaultCommand::RotateDataKeys(asked) => self.rotate_data_keys(asked, actor).await,
            VaultCommand::Erase(asked) => self.erase(asked, actor).await,
            VaultCommand::Reseal => self.reseal().await,
            VaultCommand::Rewrap(asked) => self.rewrap_data_keys(asked, actor).await,
            VaultCommand::AcceptRows(asked) => {
                self.accept_rows(asked.phrase.as_deref(), actor).await
            }
        }
    }

    /// Sources, and which of their versions wrap how many data keys.
    async fn vault_status(&self) -> Result<Value, CommandError> {
        let in_use = self.parts.keyring.sources();
        let newest = in_use.current.newest().await;
        if let Ok(newest) = &newest {
            rotation::look(&self.parts, newest).await?;
        }
        let mut sources = vec![shown(&*in_use.current, "current", &newest)];
        for previous in &in_use.others {
            let newest = previous.newest().await;
            sources.push(shown(&**previous, "previous", &newest));
        }
        let mut counts: BTreeMap<(String, String), Counted> = BTreeMap::new();
        let mut page = rows::page(&self.parts.store, None).await.map_err(|error| away(&error))?;
        while let Some(last) = page.last().cloned() {
            for row in page {
                let counted = counts.entry((row.purpose.clone(), wrapped_by(&row))).or_default();
                counted.data_keys = counted.data_keys.saturating_add(1);
                let oldest = counted.oldest.unwrap_or(row.created_at);
                counted.oldest = Some(oldest.min(row.created_at));
            }
            page =
                rows::page(&self.parts.store, Some(&last)).await.map_err(|error| away(&error))?;
        }
        let to_rewrap = newest.as_ref().ok().map(|newest| {
            let others = counts.iter().filter(|((_, key), _)| key != newest);
            others.map(|(_, counted)| counted.data_keys).sum::<u64>()
        });
        let keys: Vec<Value> = counts
            .iter()
            .map(|((purpose, key), counted)| {
                json!({
                    "purpose": purpose, "source_key": key, "data_keys": counted.data_keys,
                    "oldest_created_at": counted.oldest,
                })
            })
            .collect();
        let (away_since, is_closed) = match self.parts.vault.health() {
            Health::There => (None, false),
            Health::Away { since, is_closed, .. } => (Some(since), is_closed),
        };
        Ok(json!({
            "sources": sources, "keys": keys, "to_rewrap": to_rewrap, "away_since": away_since,
            "replaced": data_keys::shown(&self.parts).await?,
            "erased": erase::erased(&self.parts).await?, "gone": erase::gone(&self.parts).await?,
            "secrets": if is_closed { "closed" } else { "open" },
        }))
    }

    /// Wraps some of the data keys anew that are not under the source's newest version; says how many
    /// are left.
    async fn rewrap_data_keys(
        &self,
        asked: VaultRewrap,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let source = self.parts.keyring.current();
        if let Some(to) = asked.to.filter(|to| to != source.kind()) {
            let sentence = format!(
                "the configured key source is {}: configure {to} as the current one and {} as the \
                 previous one, and have the gateway read it (SIGHUP, or start it again)",
                source.kind(),
                source.kind()
            );
            return Err(invalid("to", &sentence));
        }
        let newest = source.newest().await.map_err(|error| source_away(&error))?;
        rotation::look(&self.parts, &newest).await?;
        let (mut rewrapped, mut unusable) = (Vec::new(), Vec::new());
        let (mut due, mut left) = (Vec::new(), 0_u64);
        let mut page = rows::page(&self.parts.store, None).await.map_err(|error| away(&error))?;
        while let Some(last) = page.last().cloned() {
            for row in page.into_iter().filter(|row| wrapped_by(row) != newest) {
                if rewrapped.len() >= source.at_once() {
                    left = left.saturating_add(1);
                    continue;
                }
                due.push(row);
                // Those that are damaged are asked for each time, and keep no other from its turn.
                if rewrapped.len().saturating_add(due.len()) >= source.at_once() {
                    let (some, damaged) = self.rewrapped(std::mem::take(&mut due)).await?;
                    rewrapped.extend(some);
                    unusable.extend(damaged);
                }
            }
            page =
                rows::page(&self.parts.store, Some(&last)).await.map_err(|error| away(&error))?;
        }
        let (some, damaged) = self.rewrapped(due).await?;
        rewrapped.extend(some);
        unusable.extend(damaged);
        let answer = json!({
            "kind": source.kind(), "key": newest, "rewrapped": rewrapped.len(), "left": left,
            "unusable": unusable,
        });
        if !rewrapped.is_empty() {
            self.note("vault.rewrapped", answer.clone(), actor, rewrapped).await?;
        }
        Ok(answer)
    }

    /// These data keys wrapped anew, and what is said of those that are damaged: none of them keeps another
    /// under the old key.
    async fn rewrapped(
        &self,
        due: Vec<KeyRow>,
    ) -> Result<(Vec<(KeyRow, WrappedKey)>, Vec<String>), CommandError> {
        let said = |row: &KeyRow, detail: &dyn std::fmt::Display| {
            let (org, purpose, version) = (row.org_id, &row.purpose, row.version);
            format!("the data key of {org} for {purpose}, version {version}: {detail}")
        };
        let mut unusable = Vec::new();
        let mut known = Vec::with_capacity(due.len());
        for row in due {
            match Purpose::from_name(&row.purpose) {
                Some(purpose) => {
                    let stored = WrappedKey::from_stored(row.wrapped.clone());
                    known.push((row.org_id.to_bytes(), purpose, stored, row));
                }
                None => unusable.push(said(&row, &"the purpose is not known")),
            }
        }
        let wanted = known.iter().map(|(organization, purpose, stored, row)| {
            let place = DataKeyPlace { organization, purpose: *purpose, version: row.version };
            (place, stored, self.parts.environment.with_randomness(Fresh::draw))
        });
        let answers = self.parts.keyring.rewrap(wanted.collect()).await;
        let mut rewrapped = Vec::with_capacity(known.len());
        for ((_, _, _, row), answer) in known.into_iter().zip(answers) {
            match answer {
                Ok(wrapped) => rewrapped.push((row, wrapped)),
                Err(error) if error.is_about_the_key() => unusable.push(said(&row, &error)),
                Err(error) => {
                    return Err(CommandError::Unavailable { detail: said(&row, &error) });
                }
            }
        }
        Ok((rewrapped, unusable))
    }

    /// Writes an entry about the installation's keys, with the wrappings that it tells of.
    async fn note(
        &self,
        event: &'static str,
        mut payload: Value,
        actor: &Actor,
        rewrapped: Vec<(KeyRow, WrappedKey)>,
    ) -> Result<(), CommandError> {
        actor.sign(&mut payload);
        // What is about the installation is told in the organization it was founded with.
        let org = self.org_id().ok_or(CommandError::NotFound)?;
        let shared = Arc::clone(&self.parts);
        self.parts
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                for (row, wrapped) in &rewrapped {
                    // Somebody else's wrapping is as good.
                    rows::rewrap(tx, row, wrapped.as_bytes().to_vec()).await?;
                }
                let mut book = Book::load(tx, &shared, &Scope::default()).await?;
                book.enter(&shared, org, org, event, &payload);
                book.write(tx, effects).await?;
                Ok::<_, Error>(())
            })
            .await?;
        Ok(())
    }
}

fn shown(source: &dyn KeySource, role: &str, newest: &Result<String, SourceError>) -> Value {
    json!({
        "role": role,
        "kind": source.kind(),
        "place": source.place(),
        "newest": newest.as_ref().ok(),
        "error": newest.as_ref().err().map(ToString::to_string),
    })
}

/// The version of a source's key that wrapped this row.
fn wrapped_by(row: &KeyRow) -> String {
    let wrapped = WrappedKey::from_stored(row.wrapped.clone());
    wrapped.source_key_id().unwrap_or("unreadable").to_owned()
}

fn source_away(error: &SourceError) -> CommandError {
    CommandError::Unavailable { detail: error.to_string() }
}
