//! Setting limits, and taking them away, one at a time: each makes a version of the policy. To let
//! more be traded needs a fresh factor; to let less be traded never does.

use super::policy::{Amendment, amend_in};
use crate::actor::Actor;
use crate::administer::one;
use crate::command::error::{CommandError, invalid, no};
use crate::command::{LimitDelete, LimitNamed, LimitSet};
use crate::directory::Directory;
use crate::effects::Effects;
use crate::free_text::binds;
use crate::reads::limit_view;
use crate::tag::IfMatch;
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::sync::Arc;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::limit::{Limit, LimitName, LimitScope};
use tradewarden_domain::policy::Policy;
use tradewarden_store::Tx;

/// As many entries are remembered, less the one that is judged; in units of a limit.
const KEPT_ENTRIES_UNITS: i64 = 31 * ONE;
/// One, in units of a limit.
const ONE: i64 = 100_000_000;

impl Engine {
    pub(in crate::administer) async fn set_limit(
        &self,
        org: Id<id::Org>,
        new: LimitSet,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let scope = scope_of(&new.scope, org)?;
        if !is_there(&self.parts.directory.load(), org, &scope)
            || !reaches(&self.parts, actor, &scope)
        {
            return Err(CommandError::NotFound);
        }
        may_stand(new.name, &scope, new.value.units())?;
        let (name, wanted) = (new.name, scope.clone());
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        self.amend(actor, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            let reason = new.reason.as_deref();
            let asked = Amendment { org, actor: &claimant, reason, event: "limit.set" };
            let judged = |all: &[Limit], _| {
                match (find(all, org, &wanted, name), &new.if_match) {
                    (Some(before), condition) => condition.check(&limit_view(before))?,
                    (None, IfMatch::Unsaid) => {}
                    (None, _) => return Err(no(Code::RequestPrecondition)),
                }
                let mut policy = Policy::of(all.iter());
                policy.set(wanted.clone(), name, new.value.units());
                Ok(policy)
            };
            amend_in(tx, &shared, &asked, judged, effects).await.map(|_| ())
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
        let scope = scope_of(&named.scope, org)?;
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
        let scope = scope_of(&delete.limit.scope, org)?;
        if !reaches(&self.parts, actor, &scope) {
            return Err(CommandError::NotFound);
        }
        let answer =
            json!({ "deleted": true, "name": delete.limit.name, "scope": scope.to_string() });
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        self.amend(actor, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            let reason = delete.reason.as_deref();
            let asked = Amendment { org, actor: &claimant, reason, event: "limit.deleted" };
            let judged = |all: &[Limit], _| {
                let name = delete.limit.name;
                let before = find(all, org, &scope, name).ok_or(CommandError::NotFound)?;
                delete.if_match.check(&limit_view(before))?;
                let mut policy = Policy::of(all.iter());
                policy.unset(&scope, name);
                Ok(policy)
            };
            amend_in(tx, &shared, &asked, judged, effects).await.map(|_| ())
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

/// Whether a limit can be so at all, by itself.
pub(super) fn may_stand(
    name: LimitName,
    scope: &LimitScope,
    units: i64,
) -> Result<(), CommandError> {
    if units < 0 {
        return Err(invalid("value", &"must not be negative"));
    }
    if name.is_switch() && units != 0 && units != ONE {
        return Err(invalid("value", &"must be 0 or 1"));
    }
    if name.is_count() && units.checked_rem(ONE) != Some(0) {
        return Err(invalid("value", &"must be a whole number"));
    }
    if let LimitScope::Instrument(symbol) = scope {
        binds(symbol)?;
    }
    if !name.fits(scope.level()) {
        let is_band = matches!(name, LimitName::StaticLow | LimitName::StaticHigh);
        let place = if is_band { "an instrument" } else { "the organization or an account" };
        return Err(invalid("scope", &format_args!("this limit is set for {place}")));
    }
    if name == LimitName::MaxRepeatedEntries && units > KEPT_ENTRIES_UNITS {
        return Err(invalid("value", &"must be at most 31"));
    }
    Ok(())
}

fn scope_of(text: &str, org: Id<id::Org>) -> Result<LimitScope, CommandError> {
    LimitScope::read(text, org).map(LimitScope::without_exchange).map_err(|_| {
        match text.strip_prefix("org:") {
            Some(_) => CommandError::NotFound,
            None => invalid(
                "scope",
                &"must be org, account:ID, strategy:ID, key:ID or instrument:SYMBOL",
            ),
        }
    })
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
pub(super) fn is_there(directory: &Directory, org: Id<id::Org>, scope: &LimitScope) -> bool {
    match scope {
        LimitScope::Org | LimitScope::Instrument(_) => true,
        LimitScope::Account(id) => {
            directory.accounts.get(id).is_some_and(|account| account.org_id == org)
        }
        LimitScope::Strategy(id) => {
            directory.strategies.get(id).is_some_and(|strategy| strategy.org_id == org)
        }
        LimitScope::Key(id) => directory.keys.get(id).is_some_and(|key| key.key.org_id == org),
    }
}

/// Whether the actor may know of limits of this scope: what bounds other accounts too is not for a
/// key that reaches some.
pub(super) fn reaches(shared: &Shared, actor: &Actor, scope: &LimitScope) -> bool {
    let Some(key) = actor.as_key().filter(|key| !key.accounts.is_empty()) else { return true };
    match scope {
        LimitScope::Org | LimitScope::Instrument(_) => false,
        LimitScope::Account(id) => key.reaches(*id),
        LimitScope::Key(id) => key.id == *id,
        LimitScope::Strategy(id) => {
            let directory = shared.directory.load();
            directory
                .strategies
                .get(id)
                .is_some_and(|strategy| strategy.accounts().all(|account| key.reaches(account)))
        }
    }
}
