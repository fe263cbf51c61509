//! Policies: the versions of an organization's limits. Every change of limits is judged here, makes
//! one version with its history and its audit entry, and can be read for ever.
//!
//! Crash story: one transaction. A crash before it leaves the version that was in force, after it the
//! new one is in force whole and unheard.

use super::limit::{is_there, may_stand, reaches};
use super::{Stop, begin, enter, lock, refused};
use crate::actor::{Actor, Who};
use crate::book::{Book, Scope};
use crate::command::error::{CommandError, away, invalid, to_value};
use crate::command::{LimitsDiff, LimitsImport, Paging};
use crate::effects::Effects;
use crate::free_text::without_card_number;
use crate::people::FOUR_EYES_OF_LIMITS;
use crate::reads::page_size;
use crate::view::{LimitChangeView, LimitValueView, LimitsView, Page, PolicyView, VersionView};
use crate::{Engine, Shared};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::limit::{Limit, LimitScope};
use tradewarden_domain::money::Quantity;
use tradewarden_domain::policy::{LIMITS_MAX, LimitChange, Policy};
use tradewarden_seal::Digest;
use tradewarden_store::Tx;
use tradewarden_store::directory::{self as rows, PolicyVersion};

const REASON_BYTES_MAX: usize = 256;
/// Changes that an audit entry holds; of more it holds the hash of what they lead to.
const CHANGES_ENTERED_MAX: usize = 100;

/// Who changes an organization's limits, and why.
pub(super) struct Amendment<'a> {
    pub(super) org: Id<id::Org>,
    pub(super) actor: &'a Actor,
    pub(super) reason: Option<&'a str>,
    pub(super) event: &'static str,
}

/// What a change of limits came to.
pub(super) struct Amended {
    /// The version that is in force now.
    pub(super) version: i64,
    pub(super) after: Policy,
    pub(super) changes: Vec<LimitChange>,
    pub(super) loosens: bool,
}

impl LimitsImport {
    /// The policy that is to be; each limit is checked by itself.
    pub(crate) fn policy(&self) -> Result<Policy, CommandError> {
        let mut policy = Policy::default();
        for limit in &self.limits {
            let about = |what: &str| {
                invalid("limits", &format_args!("{} of {}: {what}", limit.name, limit.scope))
            };
            let scope: LimitScope = limit.scope.parse().map_err(|_| about("no such scope"))?;
            let scope = scope.without_exchange();
            match may_stand(limit.name, &scope, limit.value.units()) {
                Err(CommandError::Invalid { detail, .. }) => return Err(about(&detail)),
                outcome => outcome?,
            }
            if policy.set(scope, limit.name, limit.value.units()).is_some() {
                return Err(about("is there twice"));
            }
        }
        Ok(policy)
    }
}

impl Engine {
    /// Puts a whole policy in force, or says what that would change.
    pub(in crate::administer) async fn import_limits(
        &self,
        org: Id<id::Org>,
        import: LimitsImport,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        if !reaches(&self.parts, actor, &LimitScope::Org) {
            return Err(CommandError::NotFound);
        }
        reason_of(import.reason.as_deref())?;
        let policy = import.policy()?;
        let known = self.policy_in_force(org);
        let directory = self.parts.directory.load_full();
        for (scope, name, _) in policy.limits() {
            // What there was once may stay bounded; only what is new must be there.
            if known.value(scope, name).is_none() && !is_there(&directory, org, scope) {
                return Err(invalid("limits", &format_args!("{name} of {scope}: there is none")));
            }
        }
        let dry_run = import.dry_run;
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        let amended = self
            .amend(actor, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                let asked = Amendment {
                    org,
                    actor: &claimant,
                    reason: import.reason.as_deref(),
                    event: "limits.imported",
                };
                let judged = |_: &[Limit], version: i64| {
                    if import.base_version.is_some_and(|base| base != version) {
                        let detail = format!("Version {version} of the limits is in force.");
                        return Err(CommandError::Refused {
                            code: Code::RequestPrecondition,
                            detail,
                        });
                    }
                    Ok(policy.clone())
                };
                if import.dry_run {
                    return rehearse_in(tx, &shared, &asked, judged).await;
                }
                amend_in(tx, &shared, &asked, judged, effects).await
            })
            .await?;
        to_value(&LimitsView {
            version: amended.version,
            dry_run,
            loosens: amended.loosens,
            content_sha256: content_sha256(&amended.after).to_string(),
            changes: amended.changes.iter().map(change_view).collect(),
        })
    }

    /// The versions, newest first.
    pub(in crate::administer) async fn limits_versions(
        &self,
        org: Id<id::Org>,
        paging: &Paging,
    ) -> Result<Value, CommandError> {
        let count = page_size(paging)?;
        let before = match paging.cursor.as_deref() {
            None => i64::MAX,
            Some(text) => {
                text.parse().map_err(|_| invalid("cursor", &"is not the `next` of a page"))?
            }
        };
        let found = rows::policy_versions(&self.parts.store, org, before, count.saturating_add(1));
        let mut found = found.await.map_err(|error| away(&error))?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let more = found.len() > count;
        found.truncate(count);
        let next = found.last().filter(|_| more).map(|last| last.version.to_string());
        to_value(&Page { items: found.into_iter().map(version_view).collect(), next })
    }

    /// The limits as they were at a version.
    pub(in crate::administer) async fn show_limits(
        &self,
        org: Id<id::Org>,
        version: i64,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let store = &self.parts.store;
        let made = rows::policy_version(store, org, version);
        let made = made.await.map_err(|error| away(&error))?;
        // An organization begins at version 0, which nobody made.
        if made.is_none() && version != 0 {
            return Err(CommandError::NotFound);
        }
        let policy = self.policy_at(org, version).await?;
        let changes = rows::policy_changes(store, org, version);
        let changes = changes.await.map_err(|error| away(&error))?;
        let visible = |scope: &LimitScope| reaches(&self.parts, actor, scope);
        let limits = policy.limits().filter(|(scope, ..)| visible(scope));
        to_value(&PolicyView {
            version,
            made_at: made.as_ref().map(|made| made.made_at),
            made_by: made.as_ref().map(|made| made.made_by.clone()),
            confirmed_by: made.as_ref().and_then(|made| made.confirmed_by),
            reason: made.and_then(|made| made.reason),
            content_sha256: content_sha256(&policy).to_string(),
            limits: limits
                .map(|(scope, name, value)| LimitValueView {
                    scope: scope.to_string(),
                    name: name.to_string(),
                    value: Quantity::from_units(value),
                })
                .collect(),
            changes: changes.iter().filter(|one| visible(&one.scope)).map(change_view).collect(),
        })
    }

    /// What tells two versions apart.
    pub(in crate::administer) async fn diff_limits(
        &self,
        org: Id<id::Org>,
        named: &LimitsDiff,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        for version in [named.from, named.to] {
            let made = rows::policy_version(&self.parts.store, org, version);
            let made = made.await.map_err(|error| away(&error))?;
            if made.is_none() && version != 0 {
                return Err(CommandError::NotFound);
            }
        }
        let from = self.policy_at(org, named.from).await?;
        let changes = from.changes_to(&self.policy_at(org, named.to).await?);
        let visible = changes.iter().filter(|one| reaches(&self.parts, actor, &one.scope));
        to_value(&Page { items: visible.map(change_view).collect(), next: None })
    }

    async fn policy_at(&self, org: Id<id::Org>, version: i64) -> Result<Policy, CommandError> {
        rows::policy(&self.parts.store, org, version).await.map_err(|error| away(&error))
    }

    /// The limits that this node knows to be in force.
    pub(crate) fn policy_in_force(&self, org: Id<id::Org>) -> Policy {
        let directory = self.parts.directory.load();
        Policy::of(directory.limits.iter().filter(|limit| limit.org_id == org))
    }
}

/// Judges what becomes of an organization's limits and writes it as one version, with its history and
/// its audit entry; if nothing differs, nothing is written and the version stays.
pub(super) async fn amend_in(
    tx: &mut Tx<'_>,
    shared: &Arc<Shared>,
    asked: &Amendment<'_>,
    judge: impl FnOnce(&[Limit], i64) -> Result<Policy, CommandError>,
    effects: &mut Effects,
) -> Result<Amended, Stop> {
    let (mut amended, content) = judged(tx, asked, judge).await?;
    if amended.loosens {
        may_loosen(shared, asked.org, asked.actor)?;
    }
    let book = Book::load(tx, shared, &Scope::default()).await?;
    begin(tx, shared, asked.actor).await?;
    if amended.changes.is_empty() {
        return Ok(amended);
    }
    amended.version = amended.version.saturating_add(1);
    let made = made(shared, asked, &amended, content)?;
    rows::put_policy(tx, &made, &amended.changes).await?;
    let payload = payload(&made, &amended.changes);
    let object = (asked.org, asked.org);
    enter(tx, shared, book, effects, object, asked.event, (asked.actor, payload)).await?;
    Ok(amended)
}

/// The same, up to where something would be written.
async fn rehearse_in(
    tx: &mut Tx<'_>,
    shared: &Arc<Shared>,
    asked: &Amendment<'_>,
    judge: impl FnOnce(&[Limit], i64) -> Result<Policy, CommandError>,
) -> Result<Amended, Stop> {
    let (amended, _) = judged(tx, asked, judge).await?;
    begin(tx, shared, asked.actor).await?;
    Ok(amended)
}

async fn judged(
    tx: &mut Tx<'_>,
    asked: &Amendment<'_>,
    judge: impl FnOnce(&[Limit], i64) -> Result<Policy, CommandError>,
) -> Result<(Amended, Digest), Stop> {
    let version = lock(tx, asked.org).await?.limits;
    let limits = rows::limits_of_in(tx, asked.org).await?;
    let before = Policy::of(limits.iter());
    let after = judge(&limits, version)?;
    if after.len() > LIMITS_MAX && after.len() > before.len() {
        let detail = format_args!("an organization has at most {LIMITS_MAX} limits");
        return Err(invalid("limits", &detail).into());
    }
    let changes = before.changes_to(&after);
    let loosens = changes.iter().any(|change| before.is_loosened_by(change));
    let content = content_sha256(&after);
    Ok((Amended { version, after, changes, loosens }, content))
}

/// The limits of a scope go with what it names: nothing is loosened, for nothing is left to trade.
pub(super) async fn drop_scope(
    tx: &mut Tx<'_>,
    shared: &Arc<Shared>,
    asked: &Amendment<'_>,
    scope: &LimitScope,
    version: i64,
) -> Result<Option<i64>, Stop> {
    let before = Policy::of(rows::limits_of_in(tx, asked.org).await?.iter());
    let after = before.clone().without(scope);
    let changes = before.changes_to(&after);
    if changes.is_empty() {
        return Ok(None);
    }
    let content = content_sha256(&after);
    let version = version.saturating_add(1);
    let amended = Amended { version, after, changes, loosens: false };
    let made = made(shared, asked, &amended, content)?;
    rows::put_policy(tx, &made, &amended.changes).await?;
    Ok(Some(version))
}

fn made(
    shared: &Shared,
    asked: &Amendment<'_>,
    amended: &Amended,
    content: Digest,
) -> Result<PolicyVersion, CommandError> {
    Ok(PolicyVersion {
        org_id: asked.org,
        version: amended.version,
        made_at: shared.environment.now(),
        made_by: asked.actor.name(),
        confirmed_by: asked.actor.second(),
        reason: reason_of(asked.reason)?,
        content_sha256: *content.as_bytes(),
        changed: u32::try_from(amended.changes.len()).unwrap_or(u32::MAX),
    })
}

/// To let more be traded needs a fresh factor, and another person where the organization wants two.
/// It was let wait for one already if this node knew the limits as they are; if they were changed at
/// the same moment, whoever asks has to ask again.
pub(super) fn may_loosen(
    shared: &Shared,
    org: Id<id::Org>,
    actor: &Actor,
) -> Result<(), CommandError> {
    actor.fresh(shared.environment.now())?;
    let alone = matches!(actor.who(), Who::Person(_)) && actor.second().is_none();
    let principals = shared.people.principals.load();
    if alone && principals.policy(org, FOUR_EYES_OF_LIMITS) == Some("on") {
        return Err(refused(Code::AuthSecondPerson));
    }
    Ok(())
}

pub(in crate::administer) fn reason_of(
    reason: Option<&str>,
) -> Result<Option<String>, CommandError> {
    let Some(text) = reason else { return Ok(None) };
    if text.is_empty() || text.len() > REASON_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(invalid("reason", &"must be 1 to 256 printable characters"));
    }
    without_card_number("reason", text)?;
    Ok(Some(text.to_owned()))
}

fn content_sha256(policy: &Policy) -> Digest {
    Digest::sha256(policy.canonical().as_bytes())
}

/// What the audit log keeps of a version: a change of one limit as its members, of more as a list.
fn payload(made: &PolicyVersion, changes: &[LimitChange]) -> Value {
    let quantity = |units: Option<i64>| json!(units.map(Quantity::from_units));
    let mut payload = Map::new();
    payload.insert("version".to_owned(), json!(made.version));
    payload.insert(
        "content_sha256".to_owned(),
        json!(Digest::from_bytes(made.content_sha256).to_string()),
    );
    if let Some(reason) = &made.reason {
        payload.insert("reason".to_owned(), json!(reason));
    }
    if let [change] = changes {
        payload.insert("before".to_owned(), quantity(change.before));
        payload.insert("name".to_owned(), json!(change.name));
        payload.insert("scope".to_owned(), json!(change.scope.to_string()));
        if change.after.is_some() {
            payload.insert("value".to_owned(), quantity(change.after));
        }
    } else {
        let entered = changes.iter().take(CHANGES_ENTERED_MAX).map(change_view);
        payload.insert("changed".to_owned(), json!(changes.len()));
        payload.insert("changes".to_owned(), json!(entered.collect::<Vec<_>>()));
    }
    Value::Object(payload)
}

fn change_view(change: &LimitChange) -> LimitChangeView {
    LimitChangeView {
        scope: change.scope.to_string(),
        name: change.name.to_string(),
        before: change.before.map(Quantity::from_units),
        after: change.after.map(Quantity::from_units),
    }
}

fn version_view(made: PolicyVersion) -> VersionView {
    VersionView {
        version: made.version,
        made_at: made.made_at,
        made_by: made.made_by,
        confirmed_by: made.confirmed_by,
        reason: made.reason,
        content_sha256: Digest::from_bytes(made.content_sha256).to_string(),
        changed: made.changed,
    }
}
