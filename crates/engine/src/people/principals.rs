//! Who there is, as every request reads it: people, roles, policies and the sessions that are alive,
//! in one snapshot. It is read anew before this node answers a change, and within a second when
//! another node made one; so what was ended or taken away is gone with the next request.

use crate::Shared;
use crate::actor::{Actor, Person};
use crate::command::CommandError;
use crate::environment::Environment;
use crate::reads::away;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tradewarden_domain::account::Activity;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::permission::Permissions;
use tradewarden_domain::person::{BuiltInRole, FactorKind, Profile, SessionKind, User};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::sessions::{self, SessionRow};
use tradewarden_store::users::{self, RoleRow};
use tradewarden_store::{Error, Store, Tx, factors, migrate};

/// The name under which the database keeps the mark of the last change about people.
const MARK: &str = "people_mark";
/// What is said for a passkey among the methods of a session (RFC 8176).
pub(crate) const PASSKEY_METHOD: &str = "hwk";

/// See the module.
#[derive(Default)]
pub(crate) struct Principals {
    mark: Option<String>,
    pub(crate) users: HashMap<Id<id::User>, User>,
    pub(crate) members: BTreeMap<(Id<id::Org>, Id<id::User>), String>,
    pub(crate) roles: BTreeMap<(Id<id::Org>, String), RoleRow>,
    pub(crate) factors: HashMap<Id<id::User>, Vec<FactorKind>>,
    policies: BTreeMap<(Id<id::Org>, String), String>,
    sessions: BTreeMap<Id<id::Session>, Arc<SessionRow>>,
    by_cookie: HashMap<[u8; 32], Id<id::Session>>,
}

impl Principals {
    /// Reads everything.
    pub(crate) async fn load(store: &Store, now: Timestamp) -> Result<Self, Error> {
        // Read first: what is committed in between is read now and once more at the next look.
        let mark = migrate::read_meta(store, MARK).await?;
        let mut principals = Self { mark, ..Self::default() };
        for user in users::all(store).await? {
            principals.users.insert(user.id, user);
        }
        for member in users::members(store).await? {
            principals.members.insert((member.org_id, member.user_id), member.role);
        }
        for role in users::roles(store).await? {
            principals.roles.insert((role.org_id, role.name.clone()), role);
        }
        for policy in users::policies(store).await? {
            principals.policies.insert((policy.org_id, policy.name), policy.value);
        }
        for (user, kind) in factors::confirmed(store).await? {
            principals.factors.entry(user).or_default().push(kind);
        }
        for session in sessions::alive(store, now).await? {
            if let Some(hash) = session.token_hash {
                principals.by_cookie.insert(hash, session.id);
            }
            principals.sessions.insert(session.id, Arc::new(session));
        }
        Ok(principals)
    }

    /// A session that has not expired, of a person who may still log in.
    pub(crate) fn session(&self, id: Id<id::Session>, now: Timestamp) -> Option<&Arc<SessionRow>> {
        let session = self.sessions.get(&id)?;
        let alive = now < session.expires_at && self.is_active(session.user_id);
        alive.then_some(session)
    }

    /// The session whose cookie has this hash.
    pub(crate) fn by_cookie(&self, hash: &[u8; 32], now: Timestamp) -> Option<&Arc<SessionRow>> {
        self.session(*self.by_cookie.get(hash)?, now)
            .filter(|session| session.kind == SessionKind::Cookie)
    }

    /// The sessions of an organization, or of one of its people, oldest first.
    pub(crate) fn sessions_of(
        &self,
        org: Id<id::Org>,
        user: Option<Id<id::User>>,
        now: Timestamp,
    ) -> impl Iterator<Item = &Arc<SessionRow>> {
        self.sessions.values().filter(move |session| {
            session.org_id == org
                && now < session.expires_at
                && user.is_none_or(|user| session.user_id == user)
        })
    }

    pub(crate) fn is_active(&self, user: Id<id::User>) -> bool {
        self.users.get(&user).is_some_and(|user| user.state == Activity::Active)
    }

    /// The organization in which a person logs in: the named one, or the first.
    pub(crate) fn org_of(
        &self,
        user: Id<id::User>,
        wanted: Option<Id<id::Org>>,
    ) -> Option<Id<id::Org>> {
        let mut own = self.members.keys().filter(|(_, member)| *member == user);
        own.find(|(org, _)| wanted.is_none_or(|wanted| wanted == *org)).map(|(org, _)| *org)
    }

    /// What a role may do; `None` if the organization has no such role.
    pub(crate) fn permissions(&self, org: Id<id::Org>, role: &str) -> Option<Permissions> {
        match role.parse::<BuiltInRole>() {
            Ok(role) => Some(role.permissions()),
            Err(_) => self.roles.get(&(org, role.to_owned())).map(|role| role.permissions),
        }
    }

    /// The value of a policy, if it was set.
    pub(crate) fn policy(&self, org: Id<id::Org>, name: &str) -> Option<&str> {
        self.policies.get(&(org, name.to_owned())).map(String::as_str)
    }

    /// Whether a role of the organization may do nothing at all without a second factor.
    pub(crate) fn requires_factor(&self, org: Id<id::Org>, role: &str, profile: Profile) -> bool {
        let of_role = self.policy(org, &format!("require_factor.{role}"));
        match of_role.or_else(|| self.policy(org, "require_factor")) {
            Some(value) => value == "always" || profile == Profile::Hardened,
            None => profile == Profile::Hardened,
        }
    }

    /// The person behind a session, with what the role allows at this moment.
    pub(crate) fn actor(&self, session: &SessionRow, profile: Profile) -> Option<Actor> {
        let role = self.members.get(&(session.org_id, session.user_id))?;
        let mut permissions = self.permissions(session.org_id, role)?;
        // Hardened: only what cannot be phished counts as a second factor.
        let counts = profile == Profile::Standard
            || session.methods.split(' ').any(|method| method == PASSKEY_METHOD);
        let factor_at = session.factor_at.filter(|_| counts);
        if factor_at.is_none() && self.requires_factor(session.org_id, role, profile) {
            permissions = Permissions::NONE;
        }
        let person = Person {
            user_id: session.user_id,
            session_id: session.id,
            factor_at,
            step_up: profile.lifetimes().step_up,
        };
        Some(Actor::person(session.org_id, person, permissions))
    }
}

/// Marks in the transaction that something about people changed, for the other nodes. The mark is
/// new each time, never a count: two nodes that count at once would count to the same number.
pub(crate) async fn set_mark(tx: &mut Tx<'_>, environment: &Environment) -> Result<(), Error> {
    let mark: Id<id::Request> = environment.id(environment.now());
    migrate::set_meta(tx, MARK, &mark.bare_text()).await
}

impl Shared {
    /// Reads people anew, after a change of our own.
    pub(crate) async fn reload_people(&self) -> Result<(), CommandError> {
        let _one_at_a_time = self.people.reloading.lock().await;
        let loaded = Principals::load(&self.store, self.environment.now()).await;
        let loaded = loaded.map_err(|error| away(&error))?;
        self.people.principals.store(Arc::new(loaded));
        self.reload_token_keys().await
    }

    /// Reads people anew if somebody else changed something.
    pub(crate) async fn look_at_people(&self) {
        let known = self.people.principals.load().mark.clone();
        let found = match migrate::read_meta(&self.store, MARK).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(error = %error, "people could not be read");
                return;
            }
        };
        if found != known
            && let Err(error) = self.reload_people().await
        {
            tracing::error!(error = %error, "people could not be read");
        }
    }
}
