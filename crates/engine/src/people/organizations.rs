//! Organizations, and the people who belong to several.
//!
//! A session is in one organization. Going to another one ends it and begins a new one there: what
//! was shown for it counts on, its age too, so that switching never makes a session younger or
//! longer. Where the other organization wants more than was shown, it is asked for first.

use super::login::{Chosen, Left};
use super::sessions::factor_required;
use super::{Client, Said, Switch, parse_id};
use crate::Engine;
use crate::actor::{Actor, Person, Who};
use crate::book::Book;
use crate::command::error::{CommandError, invalid, no, to_value};
use crate::command::{OrganizationCreate, OrganizationRename};
use crate::free_text::{name, without_card_number};
use crate::installation::first_key;
use crate::people::principals::{Principals, counted_factor};
use crate::view::{OrganizationView, Page};
use serde_json::{Value, json};
use std::sync::Arc;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::person::{BuiltInRole, ChallengeKind, SessionKind, email_key};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{Fresh, Purpose, TokenKind};
use tradewarden_store::directory::{self as rows, Organization};
use tradewarden_store::{Error, Tx, challenges, keys, sessions, users};

/// Organizations of one installation.
const ORGANIZATIONS_MAX: usize = 1_000;
const OWNER: &str = BuiltInRole::Owner.text();

impl Engine {
    /// Makes an organization with its key, its owner and the entries about both, in one transaction.
    /// Who has an account keeps it; who is new gets a token with which to set a password.
    pub(crate) async fn create_organization(
        &self,
        new: OrganizationCreate,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        only_the_operator(actor)?;
        let name = self.free_name(&new.name, None)?;
        let key = email_key(&new.owner).ok_or_else(|| {
            invalid("owner", &"must be an address of plain ASCII letters, at most 254 of them")
        })?;
        without_card_number("owner", &new.owner)?;
        if self.parts.directory.load().organizations.len() >= ORGANIZATIONS_MAX {
            return Err(invalid("name", &format!("there are {ORGANIZATIONS_MAX} already")));
        }
        let now = self.now();
        let org: Id<id::Org> = self.parts.environment.id(now);
        let fresh = self.parts.environment.with_randomness(Fresh::draw);
        let organization = org.to_bytes();
        let place = first_key(&organization, Purpose::Intake);
        let made = self.parts.keyring.new_data_key(&place, fresh).await;
        let wrapped = made.map_err(|error| CommandError::Unavailable {
            detail: format!("the organization's key could not be made: {error}"),
        })?;
        let user = self.new_user(&new.owner, now);
        let token = self.new_token(TokenKind::PasswordReset);
        let hash = *token.hash().as_bytes();
        let mut payload = json!({ "name": name });
        let mut owner_payload = json!({ "role": OWNER });
        actor.sign(&mut payload);
        actor.sign(&mut owner_payload);
        let (shared, named) = (Arc::clone(&self.parts), name.clone());
        let (owner, is_new) = self
            .parts
            .change_people_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                rows::insert_organization(tx, org, &named, book.now).await?;
                let (purpose, bytes) = (Purpose::Intake.name(), wrapped.as_bytes().to_vec());
                keys::insert(tx, org, purpose, 1, bytes, book.now).await?;
                let known = users::by_email_in(tx, &key).await?;
                let (id, is_new) = match &known {
                    Some(known) => {
                        shared.must_be_whole(known, &key)?;
                        (known.user.id, false)
                    }
                    None => (user.id, true),
                };
                if is_new {
                    shared.insert_user(tx, &user, &key, None).await?;
                }
                add_member(tx, book.now, org, id, OWNER).await?;
                if is_new {
                    super::passwords::store_password_token(tx, book, &shared, id, hash).await?;
                }
                book.enter(&shared, org, org, "organization.created", &payload);
                book.enter(&shared, org, id, "user.created", &owner_payload);
                Ok((id, is_new))
            })
            .await?;
        self.parts.reload().await;
        let mut made = json!({
            "id": org, "name": name, "owner": { "id": owner, "email": new.owner },
            "created_at": now,
        });
        if let (true, Some(made)) = (is_new, made.as_object_mut()) {
            made.insert("invite_token".to_owned(), json!(token.expose()));
        }
        Ok(made)
    }

    /// Gives an organization another name.
    pub(crate) async fn rename_organization(
        &self,
        new: OrganizationRename,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        only_the_operator(actor)?;
        let id = self.organization_named(&new.id)?.id;
        let name = self.free_name(&new.name, Some(id))?;
        let (payload, named) = (json!({ "name": name }), name.clone());
        self.change(id, id, "organization.renamed", actor, payload, async move |tx| {
            rows::rename_organization(tx, id, &named).await
        })
        .await?;
        let organization = self.organization_named(&id.to_string())?;
        to_value(&shown(&organization))
    }

    /// The organizations that the actor may know of: all, one's own, or the one of a key.
    pub(crate) fn organizations(&self, actor: &Actor) -> Result<Value, CommandError> {
        let directory = self.parts.directory.load();
        let items: Vec<OrganizationView> = match actor.who() {
            Who::Operator => directory.organizations.iter().map(shown).collect(),
            Who::Person(person) => {
                let principals = self.parts.people.principals.load();
                self.organizations_of(&principals, person.user_id)
            }
            Who::Key(known) => {
                let org_id = known.key.org_id;
                let own = directory.organizations.iter().filter(|org| org.id == org_id);
                own.map(|org| view(org.id, org.name.clone(), None)).collect()
            }
        };
        to_value(&Page { items, next: None })
    }

    /// The organizations of a person, with the role in each.
    pub(super) fn organizations_of(
        &self,
        principals: &Principals,
        user: Id<id::User>,
    ) -> Vec<OrganizationView> {
        let own = principals.orgs_of(user).filter(|(_, membership)| membership.is_active());
        own.map(|(org, member)| view(org, self.org_name(org), Some(member.role.clone()))).collect()
    }

    /// The identifiers of a person's organizations, the oldest first.
    pub(super) fn org_ids_of(&self, user: Id<id::User>) -> Vec<Id<id::Org>> {
        let principals = self.parts.people.principals.load();
        principals.orgs_of(user).map(|(org, _)| org).collect()
    }

    /// What people call an organization.
    pub(super) fn org_name(&self, org: Id<id::Org>) -> String {
        let directory = self.parts.directory.load();
        let found = directory.organizations.iter().find(|found| found.id == org);
        found.map(|found| found.name.clone()).unwrap_or_default()
    }

    /// The organization of this identifier or name.
    pub(crate) fn organization_named(&self, text: &str) -> Result<Organization, CommandError> {
        let directory = self.parts.directory.load();
        let id = text.parse::<Id<id::Org>>().ok();
        let same = |org: &&Organization| id == Some(org.id) || org.name == text;
        directory.organizations.iter().find(same).cloned().ok_or(CommandError::NotFound)
    }

    fn free_name(&self, text: &str, of: Option<Id<id::Org>>) -> Result<String, CommandError> {
        let name = name(text)?.to_owned();
        if name.parse::<Id<id::Org>>().is_ok() {
            return Err(invalid("name", &"must not look like an identifier"));
        }
        let directory = self.parts.directory.load();
        let taken = |org: &&Organization| Some(org.id) != of && org.name == name;
        match directory.organizations.iter().find(taken) {
            Some(_) => Err(no(Code::OrganizationExists)),
            None => Ok(name),
        }
    }

    /// A session in another organization of the person; this one ends.
    pub(super) async fn switch(
        &self,
        person: &Person,
        to: &Switch,
        client: &Client,
    ) -> Result<Said, CommandError> {
        let org: Id<id::Org> = parse_id(&to.org_id)?;
        let user = person.user_id;
        let principals = self.parts.people.principals.load_full();
        if !principals.is_active(org, user) {
            return Err(CommandError::NotFound);
        }
        // Who was logged in elsewhere logs in anew.
        self.is_open(org).await?;
        let now = self.now();
        let row = principals.session(person.session_id, now).ok_or_else(factor_required)?;
        let left = Left {
            session: row.id,
            authenticated_at: row.authenticated_at,
            expires_at: row.expires_at,
        };
        if counted_factor(row, self.parts.people.profile).is_none() {
            let chosen =
                Chosen { org, cookie: row.kind == SessionKind::Cookie, leaves: Some(left) };
            let found = users::find(&self.parts.store, user).await;
            let found = found
                .map_err(|error| crate::command::error::away(&error))?
                .ok_or_else(super::failed)?;
            if let Some(asked) = self.ask_for_factor(&found, chosen).await? {
                return Ok(asked);
            }
        }
        let mut opening = self.opening(user, org, row.kind, &row.methods, row.factor_at, client);
        opening.continues(&left);
        let stored = opening.to_store();
        let shared = Arc::clone(&self.parts);
        let switched = self
            .parts
            .change_people(async move |tx: &mut Tx<'_>, book: &mut Book| {
                if !sessions::end(tx, left.session, "switched", book.now).await? {
                    return Ok(false);
                }
                let (row, tokens) = &stored;
                super::sessions::store(tx, book, &shared, row, *tokens).await?;
                Ok(true)
            })
            .await?;
        if switched { self.opened(opening) } else { Err(super::failed()) }
    }
}

/// Adds a person to an organization. With the second one, what an administrator of the first had
/// handed out to set the password with is void.
pub(super) async fn add_member(
    tx: &mut Tx<'_>,
    now: Timestamp,
    org: Id<id::Org>,
    user: Id<id::User>,
    role: &str,
) -> Result<(), Error> {
    users::insert_member(tx, org, user, role, now).await?;
    if users::organizations_of(tx, user).await?.len() > 1 {
        challenges::void(tx, user, ChallengeKind::Password).await?;
    }
    Ok(())
}

pub(crate) fn only_the_operator(actor: &Actor) -> Result<(), CommandError> {
    match actor.who() {
        Who::Operator => Ok(()),
        Who::Person(_) | Who::Key(_) => Err(no(Code::AuthPermission)),
    }
}

fn view(id: Id<id::Org>, name: String, role: Option<String>) -> OrganizationView {
    OrganizationView { id, name, role, created_at: None }
}

fn shown(organization: &Organization) -> OrganizationView {
    let created_at = Some(organization.created_at);
    OrganizationView { created_at, ..view(organization.id, organization.name.clone(), None) }
}
