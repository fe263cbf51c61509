//! Invitations: how somebody comes into an organization that did not know them.
//!
//! Whoever invites sees the same whether the e-mail is somebody's already or nobody's: an invitation
//! with an identifier and a token of its own. Somebody new takes it up by choosing a password with
//! the token. Who has an account logs in and accepts, and keeps password, factors and every other
//! membership; no organization can set them. What cannot be hidden is told in docs/threat-model.md:
//! who holds the token learns at the end of the way which of the two it was.

use super::manage::{Judged, may_grant, may_touch_role};
use super::{Client, Entered, Said, parse_id, person_of};
use crate::actor::{Actor, Person};
use crate::book::Book;
use crate::command::error::{CommandError, away, failed, invalid, no};
use crate::command::{UserChange, UserCreate};
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::person::email_key;
use tradewarden_seal::TokenKind;
use tradewarden_store::invitations::{self, Invitation};
use tradewarden_store::{Error, Lock, Tx, directory, lockdowns, users};

/// How long an invitation waits.
const INVITATION_LASTS: Duration = Duration::from_hours(24);
/// Invitations of an organization that wait at one time.
const INVITATIONS_MAX: usize = 200;

impl Engine {
    /// Asks somebody into the organization, whether they have an account or not.
    pub(super) async fn invite(
        &self,
        org: Id<id::Org>,
        new: UserCreate,
        email_key: String,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let now = self.now();
        let principals = self.parts.people.principals.load_full();
        let open = principals.invitations.values();
        if open.filter(|one| one.org_id == org && now < one.expires_at).count() >= INVITATIONS_MAX {
            let detail = format!("{INVITATIONS_MAX} invitations wait: remove one first");
            return Err(invalid("email", &detail));
        }
        let token = self.new_token(TokenKind::PasswordReset);
        let invitation = Invitation {
            id: self.parts.environment.id(now),
            org_id: org,
            email: new.email,
            email_key,
            role: new.role,
            token_hash: *token.hash().as_bytes(),
            created_at: now,
            expires_at: now.plus(INVITATION_LASTS),
            code: [0; 32],
        };
        let invitation = self.parts.coded_invitation(invitation);
        let mut payload = json!({ "role": invitation.role });
        actor.sign(&mut payload);
        let (row, shared) = (invitation.clone(), Arc::clone(&self.parts));
        self.parts
            .change_people_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                if let Some(known) = users::by_email_in(tx, &row.email_key).await?
                    && users::role_of(tx, org, known.user.id).await?.is_some()
                {
                    return Ok(Judged::No(Code::UserExists));
                }
                let waits = invitations::of_email(tx, org, &row.email_key, book.now).await?;
                if waits {
                    return Ok(Judged::No(Code::UserExists));
                }
                invitations::take_of(tx, org, &row.email_key).await?;
                invitations::insert(tx, &row).await?;
                book.enter(&shared, org, row.id, "user.invited", &payload);
                Ok(Judged::Done)
            })
            .await?
            .outcome()?;
        let mut view = invitation_view(&invitation);
        if let Some(view) = view.as_object_mut() {
            view.insert("invite_token".to_owned(), json!(token.expose()));
        }
        Ok(view)
    }

    /// Takes an invitation up with its token: for somebody without an account, who gets one.
    pub(super) async fn join_with_password(
        &self,
        token_hash: [u8; 32],
        password: &Entered,
        client: &Client,
    ) -> Result<Said, CommandError> {
        let found = self
            .parts
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                invitations::by_token(tx, token_hash, book.now).await
            })
            .await?;
        let found = found.filter(|invitation| self.parts.is_whole_invitation(invitation));
        let Some(invitation) = found else {
            self.parts.people.sources.failed(client.address, self.now());
            return Err(failed());
        };
        let known = users::by_email(&self.parts.store, &invitation.email_key).await;
        let known = known.map_err(|error| away(&error))?;
        if known.is_some_and(|known| !self.org_ids_of(known.user.id).is_empty()) {
            return Err(has_account());
        }
        let org = invitation.org_id;
        self.still_a_role(&invitation)?;
        let hash = self.hash_password(password, &invitation.email, &[org]).await?;
        let mut user = self.new_user(&invitation.email, self.now());
        user.id = invitation.id;
        let shared = Arc::clone(&self.parts);
        let joined = self
            .parts
            .change_people(async move |tx: &mut Tx<'_>, book: &mut Book| {
                if is_locked_down(tx, org).await? {
                    return Ok(Judged::No(Code::LockdownActive));
                }
                let found = invitations::by_token(tx, token_hash, book.now).await?;
                let found = found.filter(|invitation| shared.is_whole_invitation(invitation));
                let Some(invitation) = found else {
                    return Ok(Judged::No(Code::Unauthenticated));
                };
                let id = match users::by_email_in(tx, &invitation.email_key).await? {
                    None => {
                        let key = &invitation.email_key;
                        shared.insert_user(tx, &user, key, Some(&hash)).await?;
                        user.id
                    }
                    // Somebody who was taken out everywhere comes back.
                    Some(known) if users::organizations_of(tx, known.user.id).await?.is_empty() => {
                        shared.must_be_whole(&known, &invitation.email_key)?;
                        shared.put_password(tx, known.user.id, &hash, book.now).await?;
                        known.user.id
                    }
                    Some(_) => return Ok(Judged::No(Code::UserExists)),
                };
                invitations::take(tx, invitation.id).await?;
                users::insert_member(tx, org, id, &invitation.role, book.now).await?;
                let payload = json!({
                    "actor": id, "invitation": invitation.id, "role": invitation.role,
                });
                book.enter(&shared, org, id, "user.created", &payload);
                Ok(Judged::Done)
            })
            .await?;
        joined.outcome()?;
        Ok(json!({ "changed": true }).into())
    }

    /// The invitations that wait for this person.
    pub(super) fn own_invitations(&self, person: &Person) -> Result<Value, CommandError> {
        let key = self.own_email_key(person)?;
        let now = self.now();
        let principals = self.parts.people.principals.load();
        let all = principals.invitations.values();
        let own = all.filter(|one| one.email_key == key && now < one.expires_at);
        let items: Vec<Value> = own
            .map(|one| {
                json!({
                    "id": one.id, "org_id": one.org_id, "organization": self.org_name(one.org_id),
                    "role": one.role, "expires_at": one.expires_at,
                })
            })
            .collect();
        Ok(json!({ "items": items, "next": null }))
    }

    /// Joins an organization with the account that the person has.
    pub(super) async fn accept_invitation(
        &self,
        actor: &Actor,
        id: &str,
    ) -> Result<Said, CommandError> {
        let user = person_of(actor)?.user_id;
        let invitation = self.own_invitation(actor, id)?;
        self.still_a_role(&invitation)?;
        let (org, role) = (invitation.org_id, invitation.role.clone());
        self.is_open(org).await?;
        let shared = Arc::clone(&self.parts);
        self.parts
            .change_people_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                if is_locked_down(tx, org).await? {
                    return Ok(Judged::No(Code::LockdownActive));
                }
                if !invitations::take(tx, invitation.id).await? {
                    return Ok(Judged::Missing);
                }
                super::organizations::add_member(tx, book.now, org, user, &invitation.role).await?;
                let payload = json!({
                    "actor": user, "invitation": invitation.id, "role": invitation.role,
                });
                book.enter(&shared, org, user, "user.joined", &payload);
                Ok(Judged::Done)
            })
            .await?
            .outcome()?;
        Ok(json!({ "id": org, "name": self.org_name(org), "role": role }).into())
    }

    /// Does not join. The organization hears that nobody comes, and not who said so.
    pub(super) async fn decline_invitation(
        &self,
        actor: &Actor,
        id: &str,
    ) -> Result<Said, CommandError> {
        let invitation = self.own_invitation(actor, id)?;
        let answer = json!({ "id": invitation.id, "removed": true });
        let shared = Arc::clone(&self.parts);
        self.parts
            .change_people_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                if !invitations::take(tx, invitation.id).await? {
                    return Ok(Judged::Missing);
                }
                let (org, id) = (invitation.org_id, invitation.id);
                book.enter(&shared, org, id, "invitation.declined", &json!({}));
                Ok(Judged::Done)
            })
            .await?
            .outcome()?;
        Ok(answer.into())
    }

    /// An invitation of the organization that the actor may change; `None` if it is none.
    pub(super) fn touched_invitation(
        &self,
        org: Id<id::Org>,
        name: &str,
        actor: &Actor,
    ) -> Result<Option<Invitation>, CommandError> {
        let principals = self.parts.people.principals.load();
        let Some(found) = principals.invited(org, name, self.now()) else { return Ok(None) };
        may_touch_role(&principals, org, &found.role, actor)?;
        Ok(Some(found.clone()))
    }

    /// Gives an invitation another role.
    pub(super) async fn change_invitation(
        &self,
        invitation: Invitation,
        change: UserChange,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let (Some(role), None) = (change.role, change.state) else {
            return Err(no(Code::UserInvited));
        };
        let (org, id) = (invitation.org_id, invitation.id);
        {
            let principals = self.parts.people.principals.load();
            may_grant(&principals, org, &role, actor)?;
        }
        let mut payload = json!({ "role": role });
        actor.sign(&mut payload);
        let shared = Arc::clone(&self.parts);
        self.parts
            .change_people_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                let Some(found) = whole(tx, &shared, id).await? else {
                    return Ok(Judged::Missing);
                };
                let after = Invitation { role: role.clone(), ..found };
                invitations::change(tx, &shared.coded_invitation(after)).await?;
                book.enter(&shared, org, id, "role.changed", &payload);
                Ok(Judged::Done)
            })
            .await?
            .outcome()?;
        self.user(org, &id.to_string())
    }

    /// Takes an invitation back.
    pub(super) async fn remove_invitation(
        &self,
        invitation: Invitation,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let (org, id) = (invitation.org_id, invitation.id);
        let mut payload = json!({});
        actor.sign(&mut payload);
        let shared = Arc::clone(&self.parts);
        self.parts
            .change_people_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                if !invitations::take(tx, id).await? {
                    return Ok(Judged::Missing);
                }
                book.enter(&shared, org, id, "user.removed", &payload);
                Ok(Judged::Done)
            })
            .await?
            .outcome()?;
        Ok(json!({ "id": id, "removed": true }))
    }

    /// Another token for an invitation, and another day.
    pub(super) async fn renew_invitation(
        &self,
        invitation: Invitation,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let (org, id) = (invitation.org_id, invitation.id);
        let token = self.new_token(TokenKind::PasswordReset);
        let hash = *token.hash().as_bytes();
        let mut payload = json!({});
        actor.sign(&mut payload);
        let shared = Arc::clone(&self.parts);
        self.parts
            .change_people_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                let expires_at = book.now.plus(INVITATION_LASTS);
                let Some(found) = whole(tx, &shared, id).await? else {
                    return Ok(Judged::Missing);
                };
                let after = Invitation { token_hash: hash, expires_at, ..found };
                invitations::change(tx, &shared.coded_invitation(after)).await?;
                book.enter(&shared, org, id, "password.reset_requested", &payload);
                Ok(Judged::Done)
            })
            .await?
            .outcome()?;
        let expires_in = INVITATION_LASTS.as_secs();
        Ok(json!({ "id": id, "token": token.expose(), "expires_in": expires_in }))
    }

    fn own_invitation(&self, actor: &Actor, id: &str) -> Result<Invitation, CommandError> {
        let key = self.own_email_key(person_of(actor)?)?;
        let id: Id<id::User> = parse_id(id)?;
        let now = self.now();
        let principals = self.parts.people.principals.load();
        let found = principals.invitations.get(&id);
        let found = found.filter(|one| one.email_key == key && now < one.expires_at);
        found.cloned().ok_or(CommandError::NotFound)
    }

    fn own_email_key(&self, person: &Person) -> Result<String, CommandError> {
        let principals = self.parts.people.principals.load();
        let user = principals.users.get(&person.user_id).ok_or_else(failed)?;
        email_key(&user.email).ok_or_else(failed)
    }

    /// Whether the organization still has the role that an invitation is for.
    fn still_a_role(&self, invitation: &Invitation) -> Result<(), CommandError> {
        let principals = self.parts.people.principals.load();
        let role = principals.permissions(invitation.org_id, &invitation.role);
        role.map(|_| ()).ok_or(CommandError::NotFound)
    }
}

/// An invitation that is there, locked, as the gateway wrote it.
async fn whole(
    tx: &mut Tx<'_>,
    shared: &Shared,
    id: Id<id::User>,
) -> Result<Option<Invitation>, Error> {
    let found = invitations::lock(tx, id).await?;
    Ok(found.filter(|invitation| shared.is_whole_invitation(invitation)))
}

/// Whether a lockdown began while somebody was on the way in: decided under the organization's lock,
/// which whoever engages one takes too.
async fn is_locked_down(tx: &mut Tx<'_>, org: Id<id::Org>) -> Result<bool, Error> {
    directory::lock_organizations(tx, &[org], Lock::Update).await?;
    Ok(lockdowns::in_force_in(tx, org).await?.is_some())
}

fn has_account() -> CommandError {
    let detail = "This e-mail has an account: log in with it, and accept the invitation there.";
    CommandError::Refused { code: Code::UserExists, detail: detail.to_owned() }
}

/// An invitation among the people of its organization. All it says was said by who invited.
pub(super) fn invitation_view(invitation: &Invitation) -> Value {
    json!({
        "id": invitation.id, "email": invitation.email, "role": invitation.role,
        "state": "invited", "factors": [], "created_at": invitation.created_at,
    })
}
