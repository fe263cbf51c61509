//! Managing people: who is there, with which role, and their sessions.
//!
//! Nobody gives what they do not have, nobody changes a person who may do more, only an owner makes
//! or changes owners, and the last owner stays.

use super::invitations::invitation_view;
use super::notices::{Notice, tell};
use super::passwords::{end_sessions, end_sessions_in, forget_factors, store_password_token};
use super::principals::Principals;
use super::{Entered, parse_id};
use crate::Engine;
use crate::actor::{Actor, Who};
use crate::book::Book;
use crate::command::error::{CommandError, invalid, no};
use crate::command::{UserChange, UserCreate};
use crate::free_text::without_card_number;
use serde_json::{Value, json};
use std::sync::Arc;
use tradewarden_domain::account::Activity;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::permission::Permissions;
use tradewarden_domain::person::{BuiltInRole, ChallengeKind, User, email_key};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{PlainToken, TokenKind};
use tradewarden_store::users;
use tradewarden_store::{Error, Lock, Tx, challenges, directory, factors, invitations};

/// The role that every organization keeps somebody in.
pub(super) const OWNER: &str = BuiltInRole::Owner.text();

/// What a transaction about people found, where a rule may say no.
pub(super) enum Judged {
    Done,
    No(Code),
    Missing,
}

impl Judged {
    pub(super) fn outcome(self) -> Result<(), CommandError> {
        match self {
            Self::Done => Ok(()),
            Self::No(code) => Err(no(code)),
            Self::Missing => Err(CommandError::NotFound),
        }
    }
}

impl Engine {
    pub(crate) fn users(&self, org: Id<id::Org>) -> Value {
        let principals = self.parts.people.principals.load();
        let own = principals.members.keys().filter(|(of, _)| *of == org);
        let mut items: Vec<Value> =
            own.filter_map(|(_, user)| user_view(&principals, org, *user)).collect();
        let now = self.now();
        let invited = principals.invitations.values().filter(|one| one.org_id == org);
        items.extend(invited.filter(|one| now < one.expires_at).map(invitation_view));
        json!({ "items": items, "next": null })
    }

    pub(crate) fn user(&self, org: Id<id::Org>, name: &str) -> Result<Value, CommandError> {
        let principals = self.parts.people.principals.load();
        if let Some(invited) = principals.invited(org, name, self.now()) {
            return Ok(invitation_view(invited));
        }
        let user = member(&principals, org, name)?;
        user_view(&principals, org, user).ok_or(CommandError::NotFound)
    }

    pub(crate) async fn create_user(
        &self,
        org: Id<id::Org>,
        new: UserCreate,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let key = email_key(&new.email).ok_or_else(|| {
            invalid("email", &"must be an address of plain ASCII letters, at most 254 of them")
        })?;
        without_card_number("email", &new.email)?;
        {
            let principals = self.parts.people.principals.load();
            may_grant(&principals, org, &new.role, actor)?;
        }
        let by_operator = matches!(actor.who(), Who::Operator);
        if !by_operator && new.password.is_none() && !new.totp {
            return self.invite(org, new, key, actor).await;
        }
        // Whoever could choose a password here would learn by it who exists elsewhere.
        if !by_operator && self.parts.directory.load().organizations.len() > 1 {
            return Err(invalid("password", &"leave it out: the person sets it by invitation"));
        }
        let hash = match &new.password {
            Some(password) => Some(self.hash_password(password, &new.email, &[org]).await?),
            None => None,
        };
        let now = self.now();
        let user = self.new_user(&new.email, now);
        // Whoever holds the data directory enrols the first owner on the spot.
        let totp = match (new.totp, actor.who()) {
            (true, Who::Operator) => Some(self.new_totp(user.id, &new.email, Some(now))?),
            (true, _) => return Err(invalid("totp", &"is for the command line only")),
            (false, _) => None,
        };
        let factor = totp.as_ref().map(|totp| totp.row.clone());
        let mut payload = json!({ "role": new.role });
        actor.sign(&mut payload);
        let token = self.new_token(TokenKind::PasswordReset);
        let invitation = new.password.is_none().then(|| *token.hash().as_bytes());
        let (row, role, shared) = (user.clone(), new.role.clone(), Arc::clone(&self.parts));
        let made = self
            .parts
            .change_people_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                let (id, is_new) = match users::by_email_in(tx, &key).await? {
                    Some(known) => {
                        shared.must_be_whole(&known, &key)?;
                        (known.user.id, false)
                    }
                    None => (row.id, true),
                };
                if users::role_of(tx, org, id).await?.is_some() {
                    return Ok(None);
                }
                invitations::take_of(tx, org, &key).await?;
                if is_new {
                    shared.insert_user(tx, &row, &key, hash.as_deref()).await?;
                    if let Some(factor) = &factor {
                        factors::insert(tx, factor).await?;
                        let kind = json!({ "actor": id, "kind": factor.kind, "user_id": id });
                        book.enter(&shared, org, factor.id, "factor.enrolled", &kind);
                    }
                }
                super::organizations::add_member(tx, book.now, org, id, &role).await?;
                book.enter(&shared, org, id, "user.created", &payload);
                if let Some(hash) = invitation.filter(|_| is_new) {
                    store_password_token(tx, book, &shared, id, hash).await?;
                }
                Ok(Some((id, is_new)))
            })
            .await?;
        let (id, is_new) = made.ok_or_else(|| no(Code::UserExists))?;
        let mut view = self.user(org, &id.to_string())?;
        let mut more = serde_json::Map::new();
        if let Some(totp) = &totp {
            let shown = json!({ "secret": totp.secret.expose(), "uri": totp.uri.expose() });
            more.insert("totp".to_owned(), shown);
            more.insert("org_id".to_owned(), json!(org));
        }
        if is_new && new.password.is_none() {
            more.insert("invite_token".to_owned(), json!(token.expose()));
        }
        if let Some(view) = view.as_object_mut() {
            view.extend(more);
        }
        Ok(view)
    }

    pub(super) fn new_user(&self, email: &str, now: Timestamp) -> User {
        User { id: self.parts.environment.id(now), email: email.to_owned(), created_at: now }
    }

    /// Makes the first owner of the first organization with the token of the set-up link.
    pub(super) async fn first_owner(
        &self,
        email: &str,
        password: &Entered,
        token_hash: Option<[u8; 32]>,
    ) -> Result<Value, CommandError> {
        let org = self.org_id().ok_or(CommandError::NotFound)?;
        let key = email_key(email).ok_or_else(|| {
            invalid("email", &"must be an address of plain ASCII letters, at most 254 of them")
        })?;
        let hash = self.hash_password(password, email, &[org]).await?;
        let user = self.new_user(email, self.now());
        let (row, shared) = (user.clone(), Arc::clone(&self.parts));
        self.parts
            .change_people(async move |tx: &mut Tx<'_>, book: &mut Book| {
                directory::lock_organizations(tx, &[org], Lock::Update).await?;
                if let Some(hash) = token_hash
                    && !challenges::take(tx, hash).await?
                {
                    return Ok(Judged::No(Code::Unauthenticated));
                }
                if !users::holders(tx, org, OWNER).await?.is_empty() {
                    return Ok(Judged::No(Code::Unauthenticated));
                }
                if users::by_email_in(tx, &key).await?.is_some() {
                    return Ok(Judged::No(Code::UserExists));
                }
                shared.insert_user(tx, &row, &key, Some(&hash)).await?;
                users::insert_member(tx, org, row.id, OWNER, book.now).await?;
                challenges::void_kind(tx, ChallengeKind::SetUp).await?;
                let payload = json!({ "actor": "set_up", "role": OWNER });
                book.enter(&shared, org, row.id, "user.created", &payload);
                Ok(Judged::Done)
            })
            .await?
            .outcome()?;
        self.user(org, &user.id.to_string())
    }

    pub(crate) async fn change_user(
        &self,
        org: Id<id::Org>,
        change: UserChange,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        if let Some(invited) = self.touched_invitation(org, &change.id, actor)? {
            return self.change_invitation(invited, change, actor).await;
        }
        let id = {
            let principals = self.parts.people.principals.load();
            let id = member(&principals, org, &change.id)?;
            may_touch(&principals, org, id, actor)?;
            if let Some(role) = &change.role {
                may_grant(&principals, org, role, actor)?;
            }
            id
        };
        if change.role.is_none() && change.state.is_none() {
            return Err(invalid("role", &"give a role or a state"));
        }
        let mut role_payload = json!({ "role": change.role });
        let mut state_payload = json!({});
        actor.sign(&mut role_payload);
        actor.sign(&mut state_payload);
        let (role, state) = (change.role, change.state);
        let (by, shared) = (actor.name(), Arc::clone(&self.parts));
        self.parts
            .change_people_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                let loses = role.as_deref().is_some_and(|role| role != OWNER)
                    || state == Some(Activity::Disabled);
                match keeps_an_owner(tx, org, id, loses).await? {
                    Judged::Done => {}
                    other => return Ok(other),
                }
                if let Some(role) = &role {
                    users::set_role(tx, org, id, role).await?;
                    book.enter(&shared, org, id, "role.changed", &role_payload);
                }
                if let Some(state) = state {
                    users::set_state(tx, org, id, state).await?;
                    end_sessions_in(tx, book.now, org, id, &by).await?;
                    let event = match state {
                        Activity::Active => "user.enabled",
                        Activity::Disabled => "user.disabled",
                    };
                    book.enter(&shared, org, id, event, &state_payload);
                }
                Ok(Judged::Done)
            })
            .await?
            .outcome()?;
        self.user(org, &id.to_string())
    }

    /// Takes a person out of the organization; who belongs to none may not log in. What the person is
    /// elsewhere stays as it is.
    pub(crate) async fn remove_user(
        &self,
        org: Id<id::Org>,
        name: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        if let Some(invited) = self.touched_invitation(org, name, actor)? {
            return self.remove_invitation(invited, actor).await;
        }
        let id = self.touched(org, name, actor)?;
        let mut payload = json!({});
        actor.sign(&mut payload);
        let (by, shared) = (actor.name(), Arc::clone(&self.parts));
        self.parts
            .change_people_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                match keeps_an_owner(tx, org, id, true).await? {
                    Judged::Done => {}
                    other => return Ok(other),
                }
                users::remove_member(tx, org, id).await?;
                end_sessions_in(tx, book.now, org, id, &by).await?;
                if users::organizations_of(tx, id).await?.is_empty() {
                    challenges::void(tx, id, ChallengeKind::Password).await?;
                }
                book.enter(&shared, org, id, "user.removed", &payload);
                Ok(Judged::Done)
            })
            .await?
            .outcome()?;
        Ok(json!({ "id": id, "removed": true }))
    }

    /// A token with which the person sets a new password; handed over by who asked for it.
    pub(crate) async fn reset_user_password(
        &self,
        org: Id<id::Org>,
        name: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        if let Some(invited) = self.touched_invitation(org, name, actor)? {
            return self.renew_invitation(invited, actor).await;
        }
        let id = self.touched(org, name, actor)?;
        self.is_ours_alone(id, actor)?;
        let token: PlainToken = self.password_token(org, id, actor).await?;
        Ok(json!({ "id": id, "token": token.expose(), "expires_in": 86_400 }))
    }

    /// Takes every second factor and recovery code away; the next login enrols new ones.
    pub(crate) async fn reset_user_factors(
        &self,
        org: Id<id::Org>,
        name: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let id = self.touched(org, name, actor)?;
        self.is_ours_alone(id, actor)?;
        let mut payload = json!({});
        actor.sign(&mut payload);
        let alone = !matches!(actor.who(), Who::Operator);
        let (by, shared) = (actor.name(), Arc::clone(&self.parts));
        self.parts
            .change_people_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                if alone && users::organizations_of(tx, id).await?.len() > 1 {
                    return Ok(Judged::No(Code::UserElsewhere));
                }
                forget_factors(tx, id).await?;
                end_sessions(tx, book.now, id, None, &by).await?;
                book.enter(&shared, org, id, "factors.reset", &payload);
                tell(tx, book, &shared, org, id, Notice::FactorsReset.by_others()).await?;
                Ok(Judged::Done)
            })
            .await?
            .outcome()?;
        self.user(org, &id.to_string())
    }

    pub(crate) async fn end_user_sessions(
        &self,
        org: Id<id::Org>,
        name: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let id = self.touched(org, name, actor)?;
        self.end_all_sessions(org, id, actor).await?;
        self.user(org, &id.to_string())
    }

    pub(crate) fn sessions(&self, org: Id<id::Org>, actor: &Actor) -> Value {
        let current = match actor.who() {
            Who::Person(person) => Some(person.session_id),
            Who::Operator | Who::Key(_) => None,
        };
        let principals = self.parts.people.principals.load();
        let all = principals.sessions_of(org, None, self.now());
        let items: Vec<Value> = all.map(|row| self.session_view(row, current)).collect();
        json!({ "items": items, "next": null })
    }

    pub(crate) async fn end_session_of(
        &self,
        org: Id<id::Org>,
        id: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let id: Id<id::Session> = parse_id(id)?;
        {
            let principals = self.parts.people.principals.load();
            let row = principals.session(id, self.now()).filter(|row| row.org_id == org);
            let user = row.ok_or(CommandError::NotFound)?.user_id;
            may_touch(&principals, org, user, actor)?;
        }
        self.end_session(id, actor).await?;
        Ok(json!({ "id": id, "ended": true }))
    }

    /// Whether a person's password and factors are this organization's to reset: who belongs to
    /// others too is let in there by them.
    fn is_ours_alone(&self, user: Id<id::User>, actor: &Actor) -> Result<(), CommandError> {
        let alone = self.org_ids_of(user).len() <= 1;
        if alone || matches!(actor.who(), Who::Operator) {
            Ok(())
        } else {
            Err(no(Code::UserElsewhere))
        }
    }

    fn touched(
        &self,
        org: Id<id::Org>,
        name: &str,
        actor: &Actor,
    ) -> Result<Id<id::User>, CommandError> {
        let principals = self.parts.people.principals.load();
        let id = member(&principals, org, name)?;
        may_touch(&principals, org, id, actor)?;
        Ok(id)
    }
}

/// Whether an owner is left when this person is none any more.
async fn keeps_an_owner(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    user: Id<id::User>,
    loses: bool,
) -> Result<Judged, Error> {
    // Two owners who remove each other come one after the other.
    directory::lock_organizations(tx, &[org], Lock::Update).await?;
    match users::role_of(tx, org, user).await? {
        None => return Ok(Judged::Missing),
        Some(role) if role != OWNER || !loses => return Ok(Judged::Done),
        Some(_) => {}
    }
    let others = users::holders(tx, org, OWNER).await?;
    let left = others.into_iter().any(|owner| owner != user);
    Ok(if left { Judged::Done } else { Judged::No(Code::RoleLastOwner) })
}

/// A member by identifier or e-mail.
pub(super) fn member(
    principals: &Principals,
    org: Id<id::Org>,
    name: &str,
) -> Result<Id<id::User>, CommandError> {
    let id = name.parse::<Id<id::User>>().ok().or_else(|| {
        let key = email_key(name)?;
        let same = |user: &&User| email_key(&user.email).as_ref() == Some(&key);
        principals.users.values().find(same).map(|user| user.id)
    });
    id.filter(|id| principals.members.contains_key(&(org, *id))).ok_or(CommandError::NotFound)
}

/// Whether the actor may give this role.
pub(super) fn may_grant(
    principals: &Principals,
    org: Id<id::Org>,
    role: &str,
    actor: &Actor,
) -> Result<Permissions, CommandError> {
    let granted = principals.permissions(org, role);
    let granted = granted.ok_or_else(|| invalid("role", &"there is no such role"))?;
    let allowed =
        actor.permissions().covers(granted) && (role != OWNER || is_owner(principals, org, actor));
    if allowed { Ok(granted) } else { Err(no(Code::RoleConflict)) }
}

/// Whether the actor may change this person.
fn may_touch(
    principals: &Principals,
    org: Id<id::Org>,
    user: Id<id::User>,
    actor: &Actor,
) -> Result<(), CommandError> {
    let role = &principals.members.get(&(org, user)).ok_or(CommandError::NotFound)?.role;
    may_touch_role(principals, org, role, actor)
}

/// Whether the actor may change whoever has this role.
pub(super) fn may_touch_role(
    principals: &Principals,
    org: Id<id::Org>,
    role: &str,
    actor: &Actor,
) -> Result<(), CommandError> {
    let held = principals.permissions(org, role).unwrap_or(Permissions::NONE);
    let allowed =
        actor.permissions().covers(held) && (role != OWNER || is_owner(principals, org, actor));
    if allowed { Ok(()) } else { Err(no(Code::RoleConflict)) }
}

fn is_owner(principals: &Principals, org: Id<id::Org>, actor: &Actor) -> bool {
    match actor.who() {
        Who::Operator => true,
        Who::Person(person) => principals
            .members
            .get(&(org, person.user_id))
            .is_some_and(|member| member.role == OWNER),
        Who::Key(_) => false,
    }
}

fn user_view(principals: &Principals, org: Id<id::Org>, user: Id<id::User>) -> Option<Value> {
    let member = principals.members.get(&(org, user))?;
    let factors = principals.factors.get(&user).map_or(&[][..], Vec::as_slice);
    let user = principals.users.get(&user)?;
    Some(json!({
        "id": user.id, "email": user.email, "role": member.role, "state": member.state(),
        "factors": factors, "created_at": user.created_at,
    }))
}
