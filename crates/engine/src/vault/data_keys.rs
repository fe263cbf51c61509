//! Replacing data keys.
//!
//! A new data key of an organization for a purpose seals from two seconds on, when every node has heard
//! of it; until then it only opens. What the one before sealed is opened and sealed anew in the
//! background, some records in a transaction, by whoever leads. When nothing names the old key any
//! more its row is deleted: from then on nobody can open what was sealed under it, in whatever copy,
//! without the wrapped key of an older copy and the source's key.
//!
//! Crash story: what is left to do is read from the rows themselves, so a crash at any commit leaves
//! nothing but less to do. A record is replaced only if it is still the one that was read; who writes
//! one holds its data key until the commit (`keys::hold`), so none is retired under a record.

use super::opened;
use crate::actor::Actor;
use crate::book::{Book, Scope};
use crate::command::VaultDataKeys;
use crate::command::error::{CommandError, away, invalid};
use crate::effects::Effects;
use crate::installation::INSTALLATION;
use crate::journal::Urgency;
use crate::vault::keys::SETTLES_IN;
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{DataKeyId, DataKeyPlace, DataKeySet, Fresh, Place, Purpose, WrappedKey};
use tradewarden_store::keys::{self as rows, KeyRow};
use tradewarden_store::sealed::{self, Column, Record};
use tradewarden_store::{Error, Tx};

/// How long a replaced data key stays at least: whoever read a record before it was sealed anew has
/// opened it by then.
const KEPT: Duration = Duration::from_secs(10);
/// The same for people's: challenges are sealed in the hands of callers, for five minutes.
const KEPT_FOR_PEOPLE: Duration = Duration::from_mins(6);
/// How long after the last record that was sealed anew nothing is retired.
const QUIET: Duration = Duration::from_secs(2);
const AGES_LOOKED_AT_EVERY: Duration = Duration::from_mins(10);
/// Data keys that one command replaces, in one transaction.
const MADE_AT_ONCE: usize = 32;
/// Transactions of one step.
const BATCHES: usize = 8;

/// How far sealing anew has come on this node. All of it can be lost.
#[derive(Default)]
pub(crate) struct Resealing {
    pass: Option<Pass>,
    /// Records under a replaced key that do not open where they are.
    damaged: BTreeMap<DataKeyId, u64>,
    worked_at: Option<Timestamp>,
    /// When it was last looked which data keys are too old.
    aged_at: Option<Timestamp>,
}

impl Resealing {
    /// Forgets the data keys that it had open.
    pub(super) fn close(&mut self) {
        self.pass = None;
    }
}

/// One way through everything that a replaced data key sealed.
struct Pass {
    row: KeyRow,
    purpose: Purpose,
    key: DataKeyId,
    keys: DataKeySet,
    column: usize,
    after: Vec<u8>,
    left: u64,
    left_elsewhere: u64,
    damaged: u64,
}

/// What one step did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Stepped {
    resealed: u64,
    retired: u64,
    left: u64,
    is_under_way: bool,
}

impl Engine {
    /// Makes some new data keys in the place of those that are older than the command's beginning.
    pub(super) async fn rotate_data_keys(
        &self,
        asked: VaultDataKeys,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let org: Option<Id<id::Org>> = match &asked.org {
            Some(text) => Some(text.parse().map_err(|error| invalid("org", &error))?),
            None => None,
        };
        let purpose = asked.purpose.as_deref().map(replaceable).transpose()?;
        let before = asked.before.unwrap_or_else(|| self.now());
        let newest = newest(&self.parts).await?;
        let meant: Vec<_> = newest
            .into_iter()
            .filter(|(row, _)| org.is_none_or(|org| row.org_id == org))
            .filter(|(row, _)| purpose.is_none_or(|purpose| row.purpose == purpose.name()))
            .collect();
        if meant.is_empty() {
            // Of what was erased a key is made anew, where both are named.
            let (Some(org), Some(purpose)) = (org, purpose) else {
                return Err(CommandError::NotFound);
            };
            let row = last_erased(&self.parts, org, purpose).await?;
            let made = replace(&self.parts, &[row], Some(actor)).await?;
            self.parts.reload().await;
            return Ok(json!({ "made": made, "left": 0, "under_way": 0, "before": before }));
        }
        let under_way = meant.iter().filter(|(_, versions)| *versions > 1).count();
        let due: Vec<_> = meant
            .into_iter()
            .filter(|(row, versions)| *versions == 1 && row.created_at < before)
            .map(|(row, _)| row)
            .collect();
        let (now, later) = due.split_at(due.len().min(MADE_AT_ONCE));
        let made = replace(&self.parts, now, Some(actor)).await?;
        self.parts.reload().await;
        Ok(json!({
            "made": made, "left": later.len(), "under_way": under_way, "before": before,
        }))
    }

    /// Seals some records anew, and retires what seals nothing any more.
    pub(super) async fn reseal(&self) -> Result<Value, CommandError> {
        let stepped = step(&self.parts).await?;
        let Stepped { resealed, retired, left, .. } = stepped;
        Ok(json!({ "resealed": resealed, "retired": retired, "left": left }))
    }
}

/// A purpose whose data keys can be replaced.
fn replaceable(name: &str) -> Result<Purpose, CommandError> {
    match Purpose::from_name(name) {
        None => Err(invalid(
            "purpose",
            &"must be intake, people, messages, broker, ledger or certificates",
        )),
        Some(Purpose::Pepper) => Err(invalid(
            "purpose",
            &"the pepper is never replaced: only who knows a password can hash it anew",
        )),
        Some(purpose) => Ok(purpose),
    }
}

/// The newest data key of each organization and purpose that can be replaced, and how many there are.
async fn newest(shared: &Shared) -> Result<Vec<(KeyRow, u64)>, CommandError> {
    let mut found: Vec<(KeyRow, u64)> = Vec::new();
    let mut page = rows::page(&shared.store, None).await.map_err(|error| away(&error))?;
    while let Some(last) = page.last().cloned() {
        for row in page.into_iter().filter(|row| replaceable(&row.purpose).is_ok()) {
            let before = found
                .last_mut()
                .filter(|(before, _)| before.org_id == row.org_id && before.purpose == row.purpose);
            match before {
                Some((before, versions)) => {
                    *before = row;
                    *versions = versions.saturating_add(1);
                }
                None => found.push((row, 1)),
            }
        }
        page = rows::page(&shared.store, Some(&last)).await.map_err(|error| away(&error))?;
    }
    Ok(found)
}

/// The newest erased data key of an organization for a purpose, if there is none in its place.
async fn last_erased(
    shared: &Shared,
    org: Id<id::Org>,
    purpose: Purpose,
) -> Result<KeyRow, CommandError> {
    let erased = rows::erased(&shared.store).await.map_err(|error| away(&error))?;
    let found = erased.into_iter().find(|key| key.org_id == org && key.purpose == purpose.name());
    let found = found.ok_or(CommandError::NotFound)?;
    Ok(KeyRow {
        org_id: org,
        purpose: found.purpose,
        version: found.version,
        wrapped: Vec::new(),
        created_at: found.erased_at,
    })
}

/// Makes a data key after each of these, with its entry; all in one transaction.
async fn replace(
    shared: &Arc<Shared>,
    old: &[KeyRow],
    actor: Option<&Actor>,
) -> Result<usize, CommandError> {
    let mut made = Vec::with_capacity(old.len());
    for row in old {
        let purpose = replaceable(&row.purpose)?;
        let fresh = shared.environment.with_randomness(Fresh::draw);
        let version = row.version.saturating_add(1);
        let organization = row.org_id.to_bytes();
        let place = DataKeyPlace { organization: &organization, purpose, version };
        let wrapped = shared.keyring.new_data_key(&place, fresh).await;
        let wrapped =
            wrapped.map_err(|error| CommandError::Unavailable { detail: error.to_string() })?;
        let (name, number) = (purpose.name(), version.to_string());
        let payload = match actor {
            Some(actor) => {
                let mut payload = json!({ "purpose": name, "version": number });
                actor.sign(&mut payload);
                payload
            }
            None => json!({ "purpose": name, "version": number, "reason": "age" }),
        };
        made.push((row.org_id, purpose, version, wrapped, payload));
    }
    if made.is_empty() {
        return Ok(0);
    }
    let (count, inner) = (made.len(), Arc::clone(shared));
    shared
        .journal
        .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            let mut book = Book::load(tx, &inner, &Scope::default()).await?;
            for (org, purpose, version, wrapped, payload) in &made {
                let bytes = wrapped.as_bytes().to_vec();
                rows::insert(tx, *org, purpose.name(), *version, bytes, book.now).await?;
                let told = told_in(&inner, *org)?;
                book.enter(&inner, told, told, "vault.data_key.created", payload);
            }
            book.write(tx, effects).await
        })
        .await?;
    Ok(count)
}

/// In whose log a data key is told of: the installation's are told in its first organization.
fn told_in(shared: &Shared, org: Id<id::Org>) -> Result<Id<id::Org>, Error> {
    if org != INSTALLATION {
        return Ok(org);
    }
    let first = shared.directory.load().organizations.first().map(|first| first.id);
    first.ok_or_else(|| Error::unreadable("there is no organization"))
}

/// Replaces data keys that are too old, and goes on with what is under way; of whoever leads.
pub(crate) async fn look(shared: &Arc<Shared>) {
    if !shared.vault.is_there() {
        return;
    }
    if let Err(error) = replace_old(shared).await {
        tracing::warn!(?error, "data keys that are due were not replaced");
    }
    loop {
        match step(shared).await {
            Ok(Stepped { is_under_way: false, .. }) => return,
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => return tracing::warn!(?error, "sealing anew waits"),
        }
    }
}

async fn replace_old(shared: &Arc<Shared>) -> Result<(), CommandError> {
    let Some(last) = shared.settings.data_keys_last else { return Ok(()) };
    let now = shared.environment.now();
    {
        let mut state = shared.vault.resealing.lock().await;
        if state.aged_at.is_some_and(|at| now.since(at) < AGES_LOOKED_AT_EVERY) {
            return Ok(());
        }
        state.aged_at = Some(now);
    }
    let horizon = now.minus(last);
    let due: Vec<_> = newest(shared)
        .await?
        .into_iter()
        .filter(|(row, versions)| *versions == 1 && row.created_at < horizon)
        .map(|(row, _)| row)
        .take(MADE_AT_ONCE)
        .collect();
    replace(shared, &due, None).await.map(|_| ())
}

/// Some transactions of sealing anew.
pub(crate) async fn step(shared: &Arc<Shared>) -> Result<Stepped, CommandError> {
    let mut state = shared.vault.resealing.lock().await;
    let mut done = Stepped::default();
    if state.pass.is_none() {
        (state.pass, done.left) = begin(shared, &mut state, &mut done.retired).await?;
    }
    let Some(mut pass) = state.pass.take() else { return Ok(done) };
    done.is_under_way = true;
    let mut batches = 0;
    while batches < BATCHES
        && let Some(column) = sealed::ALL.get(pass.column)
    {
        let read = if column.purpose == pass.purpose.name() {
            column
                .under(&shared.store, pass.key, &pass.after)
                .await
                .map_err(|error| away(&error))?
        } else {
            Vec::new()
        };
        let Some(last) = read.last() else {
            pass.column = pass.column.saturating_add(1);
            pass.after = Vec::new();
            continue;
        };
        pass.after = last.row.clone();
        let count = pass.batch(shared, column, read).await?;
        state.worked_at = Some(shared.environment.now());
        done.resealed = done.resealed.saturating_add(count);
        pass.left = pass.left.saturating_sub(count);
        batches += 1;
    }
    done.left = pass.left.saturating_add(pass.left_elsewhere);
    if pass.column < sealed::ALL.len() {
        state.pass = Some(pass);
    } else {
        state.damaged.insert(pass.key, pass.damaged);
    }
    Ok(done)
}

/// The first data key with something to do, and how many records are left under all of them. What
/// seals nothing any more is retired.
async fn begin(
    shared: &Arc<Shared>,
    state: &mut Resealing,
    retired: &mut u64,
) -> Result<(Option<Pass>, u64), CommandError> {
    let now = shared.environment.now();
    let replaced = rows::replaced(&shared.store).await.map_err(|error| away(&error))?;
    let mut pass = None;
    let mut sum = 0_u64;
    for row in replaced {
        let Some((purpose, key)) = named(&row) else {
            tracing::error!(organization.id = %row.org_id, "a replaced data key is unreadable");
            continue;
        };
        let newest = rows::of(&shared.store, row.org_id, purpose.name()).await;
        let newest = newest.map_err(|error| away(&error))?.into_iter().next();
        let age = newest.map_or(Duration::ZERO, |newest| now.since(newest.created_at));
        let damaged = state.damaged.get(&key).copied().unwrap_or(0);
        let count = sealed::count(&shared.store, purpose.name(), key).await;
        let count = count.map_err(|error| away(&error))?.saturating_sub(damaged);
        let kept = if purpose == Purpose::People { KEPT_FOR_PEOPLE } else { KEPT };
        let quiet = state.worked_at.is_none_or(|worked_at| now.since(worked_at) >= QUIET);
        if count == 0 && age >= kept && quiet {
            if retire(shared, &row, purpose, key, damaged).await? {
                *retired = retired.saturating_add(1);
                state.damaged.remove(&key);
            }
            continue;
        }
        sum = sum.saturating_add(count);
        if count > 0 && age >= SETTLES_IN && pass.is_none() {
            let keys = opened(&shared.store, &shared.keyring, row.org_id, purpose, now).await;
            let keys =
                keys.map_err(|error| CommandError::Unavailable { detail: error.to_string() })?;
            let keys = keys.unwrap_or_else(DataKeySet::closed);
            pass = Some(Pass {
                row,
                purpose,
                key,
                keys,
                column: 0,
                after: Vec::new(),
                left: count,
                left_elsewhere: 0,
                damaged: 0,
            });
        }
    }
    if let Some(pass) = &mut pass {
        pass.left_elsewhere = sum.saturating_sub(pass.left);
    }
    Ok((pass, sum))
}

/// What a data key is for, and its name.
pub(super) fn named(row: &KeyRow) -> Option<(Purpose, DataKeyId)> {
    let key = WrappedKey::from_stored(row.wrapped.clone()).key_id()?;
    Some((Purpose::from_name(&row.purpose)?, key))
}

impl Pass {
    /// Seals records anew, in one transaction; how many were.
    async fn batch(
        &mut self,
        shared: &Arc<Shared>,
        column: &'static Column,
        read: Vec<Record>,
    ) -> Result<u64, CommandError> {
        let tenant = self.row.org_id.to_bytes();
        let mut anew = Vec::with_capacity(read.len());
        for record in read {
            let place = Place {
                tenant: &tenant,
                table: column.table,
                column: column.column,
                row: &record.row,
                schema_version: column.schema_version,
            };
            let Ok(plain) = self.keys.open(&place, &record.sealed) else {
                tracing::error!(table = column.table, "a sealed record does not open in its row");
                self.damaged = self.damaged.saturating_add(1);
                continue;
            };
            let sealed = shared
                .environment
                .with_randomness(|random| self.keys.seal(&place, plain.expose(), random));
            let sealed =
                sealed.map_err(|error| CommandError::Unavailable { detail: error.to_string() })?;
            anew.push((record, sealed));
        }
        if anew.is_empty() {
            return Ok(0);
        }
        let (inner, org) = (Arc::clone(shared), self.row.org_id);
        let (purpose, version) = (self.purpose, self.row.version);
        let written = shared
            .journal
            .write(Urgency::Soon, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                let mut count = 0_u64;
                for (record, sealed) in &anew {
                    rows::hold(tx, sealed).await?;
                    if column.replace(tx, record, sealed.clone()).await? {
                        count = count.saturating_add(1);
                    }
                }
                if count > 0 {
                    let payload = json!({
                        "purpose": purpose.name(), "replaced_version": version.to_string(),
                        "table": column.table, "records": count.to_string(),
                    });
                    let mut book = Book::load(tx, &inner, &Scope::default()).await?;
                    let told = told_in(&inner, org)?;
                    book.enter(&inner, told, told, "vault.data_key.resealed", &payload);
                    book.write(tx, effects).await?;
                }
                Ok::<_, Error>(count)
            })
            .await?;
        Ok(written)
    }
}

/// Deletes a replaced data key, if nothing that opens names it; answers whether it did.
async fn retire(
    shared: &Arc<Shared>,
    row: &KeyRow,
    purpose: Purpose,
    key: DataKeyId,
    damaged: u64,
) -> Result<bool, CommandError> {
    let (inner, org, version) = (Arc::clone(shared), row.org_id, row.version);
    let retired = shared
        .journal
        .write(Urgency::Soon, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            let versions = rows::lock(tx, org, purpose.name()).await?;
            let is_replaced = versions.first().is_some_and(|newest| *newest > version);
            if !is_replaced
                || !versions.contains(&version)
                || sealed::count_in(tx, purpose.name(), key).await? != damaged
            {
                return Ok(false);
            }
            rows::retire(tx, org, purpose.name(), version).await?;
            let payload = json!({
                "purpose": purpose.name(), "version": version.to_string(),
                "unreadable": damaged.to_string(),
            });
            let mut book = Book::load(tx, &inner, &Scope::default()).await?;
            let told = told_in(&inner, org)?;
            book.enter(&inner, told, told, "vault.data_key.retired", &payload);
            book.write(tx, effects).await?;
            Ok::<_, Error>(true)
        })
        .await?;
    Ok(retired)
}

/// Data keys that are being replaced, and how many records each still has.
pub(super) async fn shown(shared: &Shared) -> Result<Vec<Value>, CommandError> {
    let mut shown = Vec::new();
    for row in rows::replaced(&shared.store).await.map_err(|error| away(&error))? {
        let records = match named(&row) {
            Some((purpose, key)) => {
                let count = sealed::count(&shared.store, purpose.name(), key).await;
                Some(count.map_err(|error| away(&error))?)
            }
            None => None,
        };
        let org = (row.org_id != INSTALLATION).then_some(row.org_id);
        shown.push(json!({
            "org_id": org, "purpose": row.purpose, "version": row.version,
            "created_at": row.created_at, "records_left": records,
        }));
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use tradewarden_store::sealed;

    /// The places that the source of this crate names, by table and column.
    fn named(directory: &Path, found: &mut BTreeSet<(String, Option<String>)>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                named(&path, found);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for part in text.split("Place {").skip(1) {
                    let fields = part.split('}').next().unwrap();
                    let field = |name: &str| {
                        let (_, rest) = fields.split_once(&format!("{name}: \""))?;
                        rest.split_once('"').map(|(word, _)| word.to_owned())
                    };
                    if let Some(table) = field("table") {
                        found.insert((table, field("column")));
                    }
                }
            }
        }
    }

    #[test]
    fn every_sealed_column_is_named_in_what_is_sealed_anew() {
        let mut found = BTreeSet::new();
        named(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        assert!(found.len() >= 8, "the places were not found: {found:?}");
        for (table, column) in &found {
            let known = sealed::ALL.iter().any(|known| {
                known.table == table && column.as_ref().is_none_or(|name| known.column == name)
            });
            assert!(known, "{table}.{column:?} is sealed, and store::sealed::ALL does not name it");
        }
        for known in sealed::ALL {
            let is_there = found.iter().any(|(table, _)| known.table == table);
            assert!(is_there, "nothing is sealed in {}", known.table);
        }
    }
}
