//! Setting limits, and taking them away. To let more be traded needs a fresh factor; to let less be
//! traded never does.

use super::{Stop, begin, enter, lock};
use crate::actor::Actor;
use crate::administer::{invalid, one};
use crate::book::{Book, Effects, Scope};
use crate::command::{CommandError, LimitDelete, LimitNamed, LimitSet};
use crate::directory::Directory;
use crate::reads::limit_view;
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::sync::Arc;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::limit::{Limit, LimitName, LimitScope};
use tradewarden_domain::money::Quantity;
use tradewarden_store::{Tx, directory as rows};

/// As many entries are remembered, less the one that is judged; in units of a limit.
const KEPT_ENTRIES_UNITS: i64 = 31 * 100_000_000;

impl Engine {
    pub(in crate::administer) async fn set_limit(
        &self,
        org: Id<id::Org>,
        new: LimitSet,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let scope = scope_of(&new.scope)?;
        if !is_there(&self.parts.directory.load(), org, &scope)
            || !reaches(&self.parts, actor, &scope)
        {
            return Err(CommandError::NotFound);
        }
        if new.value.units() < 0 {
            return Err(invalid("value", &"must not be negative"));
        }
        if !new.name.fits(&scope) {
            return Err(invalid("scope", &"this limit is about a whole account"));
        }
        let is_kept = new.value.units() <= KEPT_ENTRIES_UNITS;
        if new.name == LimitName::MaxRepeatedEntries && !is_kept {
            return Err(invalid("value", &"must be at most 31"));
        }
        let (name, wanted) = (new.name, scope.clone());
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        self.amend(actor, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            set_in(tx, &shared, (org, &wanted), &new, &claimant, effects).await
        })
        .await?;
        self.show_limit(org, &LimitNamed { scope: scope.to_string(), name }, actor)
    }

    pub(in crate::administer) fn show_limit(
        &self,
        org: Id<id::Org>,
        named: &LimitNamed,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let scope = scope_of(&named.scope)?;
        let directory = self.parts.directory.load_full();
        let found = find(&directory.limits, org, &scope, named.name);
        one(found.filter(|_| reaches(&self.parts, actor, &scope)).map(limit_view))
    }

    pub(in crate::administer) async fn delete_limit(
        &self,
        org: Id<id::Org>,
        delete: LimitDelete,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let scope = scope_of(&delete.limit.scope)?;
        if !reaches(&self.parts, actor, &scope) {
            return Err(CommandError::NotFound);
        }
        let answer =
            json!({ "deleted": true, "name": delete.limit.name, "scope": scope.to_string() });
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        self.amend(actor, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            delete_in(tx, &shared, (org, &scope), &delete, &claimant, effects).await
        })
        .await?;
        Ok(answer)
    }

    /// The limits that an actor may know of.
    pub(in crate::administer) fn limits_of<'a>(
        &'a self,
        directory: &'a Directory,
        org: Id<id::Org>,
        actor: &'a Actor,
    ) -> impl Iterator<Item = &'a Limit> {
        let own = directory.limits.iter().filter(move |limit| limit.org_id == org);
        own.filter(move |limit| reaches(&self.parts, actor, &limit.scope))
    }
}

async fn set_in(
    tx: &mut Tx<'_>,
    shared: &Arc<Shared>,
    (org, scope): (Id<id::Org>, &LimitScope),
    new: &LimitSet,
    actor: &Actor,
    effects: &mut Effects,
) -> Result<(), Stop> {
    let version = lock(tx, org).await?.limits.saturating_add(1);
    let all = rows::limits_of_in(tx, org).await?;
    let before = find(&all, org, scope, new.name).map(|limit| limit.value);
    if new.name.widens(scope, before, Some(new.value.units())) {
        actor.fresh(shared.environment.now())?;
    }
    let limit = Limit {
        org_id: org,
        scope: scope.clone(),
        name: new.name,
        value: new.value.units(),
        version,
        updated_at: shared.environment.now(),
    };
    let book = Book::load(tx, shared, &Scope::default()).await?;
    begin(tx, shared, actor).await?;
    rows::put_limit(tx, &limit).await?;
    let payload = json!({
        "before": before.map(Quantity::from_units), "name": new.name, "scope": scope.to_string(),
        "value": new.value,
    });
    enter(tx, shared, book, effects, (org, org), "limit.set", (actor, payload)).await
}

async fn delete_in(
    tx: &mut Tx<'_>,
    shared: &Arc<Shared>,
    (org, scope): (Id<id::Org>, &LimitScope),
    delete: &LimitDelete,
    actor: &Actor,
    effects: &mut Effects,
) -> Result<(), Stop> {
    let version = lock(tx, org).await?.limits.saturating_add(1);
    let all = rows::limits_of_in(tx, org).await?;
    let name = delete.limit.name;
    let before = find(&all, org, scope, name).ok_or(CommandError::NotFound)?;
    delete.if_match.check(&limit_view(before))?;
    if name.widens(scope, Some(before.value), None) {
        actor.fresh(shared.environment.now())?;
    }
    let book = Book::load(tx, shared, &Scope::default()).await?;
    begin(tx, shared, actor).await?;
    rows::delete_limit(tx, org, scope, name, version).await?;
    let before = Quantity::from_units(before.value);
    let payload = json!({ "before": before, "name": name, "scope": scope.to_string() });
    enter(tx, shared, book, effects, (org, org), "limit.deleted", (actor, payload)).await
}

fn scope_of(text: &str) -> Result<LimitScope, CommandError> {
    text.parse()
        .map_err(|_| invalid("scope", &"must be org, account:ID, strategy:ID or instrument:SYMBOL"))
}

fn find<'a>(
    limits: &'a [Limit],
    org: Id<id::Org>,
    scope: &LimitScope,
    name: LimitName,
) -> Option<&'a Limit> {
    let mut own = limits.iter().filter(|limit| limit.org_id == org);
    own.find(|limit| limit.scope == *scope && limit.name == name)
}

/// Whether the organization has what a limit would bound.
fn is_there(directory: &Directory, org: Id<id::Org>, scope: &LimitScope) -> bool {
    match scope {
        LimitScope::Org | LimitScope::Instrument(_) => true,
        LimitScope::Account(id) => {
            directory.accounts.get(id).is_some_and(|account| account.org_id == org)
        }
        LimitScope::Strategy(id) => {
            directory.strategies.get(id).is_some_and(|strategy| strategy.org_id == org)
        }
    }
}

/// Whether the actor may know of limits of this scope: what bounds other accounts too is not for a
/// key that reaches some.
fn reaches(shared: &Shared, actor: &Actor, scope: &LimitScope) -> bool {
    let Some(key) = actor.as_key().filter(|key| !key.accounts.is_empty()) else { return true };
    match scope {
        LimitScope::Org | LimitScope::Instrument(_) => false,
        LimitScope::Account(id) => key.reaches(*id),
        LimitScope::Strategy(id) => {
            let directory = shared.directory.load();
            directory
                .strategies
                .get(id)
                .is_some_and(|strategy| strategy.accounts().all(|account| key.reaches(account)))
        }
    }
}
