//! Who there is, as every request reads it: people, roles, policies and the sessions that are alive,
//! in one snapshot. It is read anew before this node answers a change, and within a second when
//! another node made one; so what was ended or taken away is gone with the next request.

use super::whole::{strange_factor, strange_invitation, strange_person};
use crate::Shared;
use crate::actor::{Actor, Person};
use crate::command::error::{CommandError, away};
use crate::environment::Environment;
use crate::row_code::{self, Stranger};
use crate::seals::{self, Of, Seals};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tradewarden_domain::account::Activity;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::permission::Permissions;
use tradewarden_domain::person::{BuiltInRole, FactorKind, Profile, SessionKind, User, email_key};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::RowSealer;
use tradewarden_store::directory::{self, Organization};
use tradewarden_store::guarded::{self, Guarded};
use tradewarden_store::invitations::Invitation;
use tradewarden_store::sessions::{self, SessionRow};
use tradewarden_store::users::{self, Member, RoleRow};
use tradewarden_store::{Error, Store, Tx, factors, invitations, migrate};

/// The name under which the database keeps the mark of the last change about people.
const MARK: &str = "people_mark";
/// What is said for a passkey among the methods of a session (RFC 8176).
pub(crate) const PASSKEY_METHOD: &str = "hwk";

/// What a person is in an organization.
pub(crate) struct Membership {
    pub(crate) role: String,
    state: Activity,
    pub(crate) epoch: i64,
}

impl Membership {
    pub(crate) fn is_active(&self) -> bool {
        self.state == Activity::Active
    }

    pub(crate) const fn state(&self) -> Activity {
        self.state
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Principals {
    mark: Option<String>,
    pub(crate) users: HashMap<Id<id::User>, User>,
    pub(crate) members: BTreeMap<(Id<id::Org>, Id<id::User>), Membership>,
    pub(crate) invitations: BTreeMap<Id<id::User>, Invitation>,
    pub(crate) roles: BTreeMap<(Id<id::Org>, String), RoleRow>,
    pub(crate) factors: HashMap<Id<id::User>, Vec<FactorKind>>,
    policies: BTreeMap<(Id<id::Org>, String), String>,
    sessions: BTreeMap<Id<id::Session>, Arc<SessionRow>>,
    by_cookie: HashMap<[u8; 32], Id<id::Session>>,
    /// What of members and roles was held against the log.
    pub(crate) seals: Seals,
    /// Rows whose code does not hold; they are left out.
    pub(crate) strangers: Vec<Stranger>,
}

impl Principals {
    /// Reads everything.
    pub(crate) async fn load(
        store: &Store,
        sealer: &RowSealer,
        before: &Seals,
        now: Timestamp,
    ) -> Result<Self, Error> {
        // Read first: what is committed in between is read now and once more at the next look.
        let mark = migrate::read_meta(store, MARK).await?;
        let mut principals = Self { mark, seals: before.clone(), ..Self::default() };
        let mut changed = Vec::new();
        for (user, found) in users::all(store).await? {
            let code = row_code::of_person(sealer, &user);
            if found == code {
                principals.users.insert(user.id, user);
            } else {
                changed.push((user, code));
            }
        }
        let orgs = directory::organizations(store).await?;
        for member in principals.members_of(store, sealer, &orgs).await? {
            let Member { org_id, user_id, role, state, epoch } = member;
            principals.members.insert((org_id, user_id), Membership { role, state, epoch });
        }
        for (user, code) in changed {
            let org = principals.told_in(user.id);
            principals.strangers.push(strange_person(org, &user, code));
        }
        for invitation in invitations::all(store).await? {
            let code = row_code::of_invitation(sealer, &invitation);
            if invitation.code != code {
                principals.strangers.push(strange_invitation(&invitation, code));
                continue;
            }
            principals.invitations.insert(invitation.id, invitation);
        }
        for role in principals.roles_of(store, sealer, &orgs).await? {
            principals.roles.insert((role.org_id, role.name.clone()), role);
        }
        for policy in users::policies(store).await? {
            principals.policies.insert((policy.org_id, policy.name), policy.value);
        }
        for factor in factors::confirmed(store).await? {
            let code = row_code::of_factor(sealer, &factor);
            if factor.code != code {
                let org = principals.told_in(factor.user_id);
                principals.strangers.push(strange_factor(org, &factor, code));
            }
            // One that was changed counts, or who changed it would have made a factor needless.
            principals.factors.entry(factor.user_id).or_default().push(factor.kind);
        }
        for session in sessions::alive(store, now).await? {
            let code = row_code::of_session(sealer, &session);
            if session.code != code {
                principals.strangers.push(strange_session(&session, code));
                continue;
            }
            if let Some(hash) = session.token_hash {
                principals.by_cookie.insert(hash, session.id);
            }
            principals.sessions.insert(session.id, Arc::new(session));
        }
        Ok(principals)
    }

    /// The members who are what the log says.
    async fn members_of(
        &mut self,
        store: &Store,
        sealer: &RowSealer,
        orgs: &[Organization],
    ) -> Result<Vec<Member>, Error> {
        let (mut members, heads) = guarded::members_with_heads(store).await?;
        let found = seals::found(sealer, Guarded::Members, members.iter().map(guarded::member));
        self.seals.hold((store, sealer), Guarded::Members, Of::All(orgs), heads, &found).await?;
        members.retain(|member| {
            let (org, user) = (member.org_id.to_bytes(), member.user_id.to_bytes());
            self.seals.trusts(Guarded::Members, org, user)
        });
        Ok(members)
    }

    /// The roles; one that is not what the log says allows nothing.
    async fn roles_of(
        &mut self,
        store: &Store,
        sealer: &RowSealer,
        orgs: &[Organization],
    ) -> Result<Vec<RoleRow>, Error> {
        let (mut roles, heads) = guarded::roles_with_heads(store).await?;
        let found = seals::found(sealer, Guarded::Roles, roles.iter().map(guarded::role));
        self.seals.hold((store, sealer), Guarded::Roles, Of::All(orgs), heads, &found).await?;
        for role in &mut roles {
            if !self.seals.trusts(Guarded::Roles, role.org_id.to_bytes(), role.id.to_bytes()) {
                role.permissions = Permissions::NONE;
            }
        }
        Ok(roles)
    }

    /// A session that has not expired, of a person who may still log in to its organization.
    pub(crate) fn session(&self, id: Id<id::Session>, now: Timestamp) -> Option<&Arc<SessionRow>> {
        let session = self.sessions.get(&id)?;
        let active = self.is_active(session.org_id, session.user_id);
        let alive = now < session.expires_at && active;
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

    /// The sessions of a person, in whichever organization, oldest first.
    pub(crate) fn sessions_everywhere(
        &self,
        user: Id<id::User>,
        now: Timestamp,
    ) -> impl Iterator<Item = &Arc<SessionRow>> {
        let all = self.sessions.values();
        all.filter(move |session| session.user_id == user && now < session.expires_at)
    }

    /// Whether a person belongs to an organization and may log in to it.
    pub(crate) fn is_active(&self, org: Id<id::Org>, user: Id<id::User>) -> bool {
        self.members.get(&(org, user)).is_some_and(Membership::is_active)
    }

    /// The organizations of a person, the oldest first.
    pub(crate) fn orgs_of(
        &self,
        user: Id<id::User>,
    ) -> impl Iterator<Item = (Id<id::Org>, &Membership)> {
        let own = self.members.iter().filter(move |((_, member), _)| *member == user);
        own.map(|((org, _), membership)| (*org, membership))
    }

    /// Where people are told of what concerns a person; zeros if nowhere.
    pub(super) fn told_in(&self, user: Id<id::User>) -> Id<id::Org> {
        let own = self.orgs_of(user).next().map(|(org, _)| org);
        own.unwrap_or_else(|| Id::from_bytes([0; 16]))
    }

    /// The organization in which a person logs in: the named one, or else the one of the last
    /// session, or else the first.
    pub(crate) fn org_to_enter(
        &self,
        user: Id<id::User>,
        wanted: Option<Id<id::Org>>,
        last: Option<Id<id::Org>>,
    ) -> Option<Id<id::Org>> {
        if let Some(wanted) = wanted {
            return self.is_active(wanted, user).then_some(wanted);
        }
        let mut open = self.orgs_of(user).filter(|(_, membership)| membership.is_active());
        let last = last.filter(|last| self.is_active(*last, user));
        last.or_else(|| open.next().map(|(org, _)| org))
    }

    /// An invitation to an organization, by its identifier or the e-mail.
    pub(crate) fn invited(
        &self,
        org: Id<id::Org>,
        name: &str,
        now: Timestamp,
    ) -> Option<&Invitation> {
        let id = name.parse::<Id<id::User>>().ok();
        let key = email_key(name);
        let mut open = self.invitations.values().filter(|one| one.org_id == org);
        open.find(|one| {
            now < one.expires_at && (id == Some(one.id) || key.as_ref() == Some(&one.email_key))
        })
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

    /// Whether a role of the organization may do nothing but stop without a second factor.
    pub(crate) fn requires_factor(&self, org: Id<id::Org>, role: &str, profile: Profile) -> bool {
        let of_role = self.policy(org, &format!("require_factor.{role}"));
        match of_role.or_else(|| self.policy(org, "require_factor")) {
            Some(value) => value == "always" || profile == Profile::Hardened,
            None => profile == Profile::Hardened,
        }
    }

    /// The person behind a session, with what the role allows at this moment.
    pub(crate) fn actor(&self, session: &SessionRow, profile: Profile) -> Option<Actor> {
        let role = &self.members.get(&(session.org_id, session.user_id))?.role;
        let permissions = self.permissions(session.org_id, role)?;
        let factor_at = counted_factor(session, profile);
        let person = Person {
            user_id: session.user_id,
            session_id: session.id,
            factor_at,
            proven_at: factor_at.and(proven_at(session)),
            step_up: profile.lifetimes().step_up,
        };
        // Whoever may stop may stop (S18): that asks for no second factor.
        let stops_only = factor_at.is_none() && self.requires_factor(session.org_id, role, profile);
        let actor = if stops_only { Actor::stopping } else { Actor::person };
        Some(actor(session.org_id, person, permissions))
    }
}

/// What people are told of a session that was put in or changed past the gateway.
pub(super) fn strange_session(session: &SessionRow, content: [u8; 32]) -> Stranger {
    let detail = "A session was put in or changed past the gateway: it lets nobody in.";
    Stranger { content, org: session.org_id, subject: session.id.to_string(), detail }
}

/// When the second factor of a session was shown, if it counts. Hardened: only what cannot be
/// phished counts.
pub(crate) fn counted_factor(session: &SessionRow, profile: Profile) -> Option<Timestamp> {
    let counts = profile == Profile::Standard
        || session.methods.split(' ').any(|method| method == PASSKEY_METHOD);
    session.factor_at.filter(|_| counts)
}

/// When a second factor was last shown in a session that counts for what needs a fresh one: codes by
/// text message never do.
pub(crate) fn proven_at(session: &SessionRow) -> Option<Timestamp> {
    let counts = |method| [PASSKEY_METHOD, "otp", "kba"].contains(&method);
    session.factor_at.filter(|_| session.methods.split(' ').any(counts))
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
        let before = self.people.principals.load_full();
        let now = self.environment.now();
        let loaded = Principals::load(&self.store, &self.row_sealer, &before.seals, now).await;
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
