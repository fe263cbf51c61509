//! Passwords: checked, chosen, changed.

use super::hashing::Turn;
use super::notices::{Notice, tell};
use super::{Client, Entered, PasswordChange, PasswordReset, Said, SetUp};
use crate::actor::{Actor, Person, Who};
use crate::book::Book;
use crate::command::error::{CommandError, away, failed, invalid, no};
use crate::environment::Environment;
use crate::{Engine, Shared};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::person::{ChallengeKind, Profile};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{
    HashedToken, HashingError, Password, PasswordHash, PasswordPolicy, PlainToken, Randomness,
    TokenKind,
};
use tradewarden_store::{Error, Tx, challenges, factors, invitations, sessions, users};

/// How long a reset or an invitation may wait.
const RESET_LASTS: Duration = Duration::from_hours(24);
/// How long the link for the first owner may wait.
const SET_UP_LASTS: Duration = Duration::from_hours(24);

/// Randomness that was drawn before: a hash takes long, and nobody else may wait for it.
struct Drawn([u8; 16]);

impl Randomness for Drawn {
    fn fill(&mut self, bytes: &mut [u8]) {
        for (slot, byte) in bytes.iter_mut().zip(self.0) {
            *slot = byte;
        }
    }
}

fn drawn(environment: &Environment) -> Drawn {
    let mut bytes = [0; 16];
    environment.with_randomness(|randomness| randomness.fill(&mut bytes));
    Drawn(bytes)
}

/// What one look at a password found.
pub(super) struct Looked {
    pub(super) matches: bool,
    /// The same password at today's cost, if it was stored at a lower one.
    pub(super) anew: Option<String>,
}

impl Engine {
    /// Holds a password against a stored hash; without one the work is the same.
    pub(super) async fn look_at_password(
        &self,
        turn: Turn,
        password: Password,
        stored: Option<&str>,
    ) -> Result<(Looked, Turn), CommandError> {
        let shared = Arc::clone(&self.parts);
        let cost = shared.people.cost;
        let stored = stored.and_then(|text| PasswordHash::from_phc(text).ok());
        let hash = stored.unwrap_or_else(|| PasswordHash::decoy(cost));
        let mut salt = drawn(&shared.environment);
        let people = Arc::clone(&self.parts);
        let work = move || -> Result<Looked, HashingError> {
            let pepper = &people.people.pepper;
            let found = hash.verify(&password, pepper, cost)?;
            let anew = if found.matches && found.needs_rehash {
                Some(PasswordHash::make(&password, pepper, cost, &mut salt)?.to_phc())
            } else {
                None
            };
            Ok(Looked { matches: found.matches, anew })
        };
        let (looked, turn) = shared.people.hashing.hash(turn, work).await?;
        Ok((looked.map_err(|_| no(Code::AuthBusy))?, turn))
    }

    /// Judges a password that a member of these organizations chooses, and hashes it.
    pub(crate) async fn hash_password(
        &self,
        entered: &Entered,
        email: &str,
        orgs: &[Id<id::Org>],
    ) -> Result<String, CommandError> {
        let refused =
            |detail: String| CommandError::Refused { code: Code::PasswordUnacceptable, detail };
        let password =
            Password::new(entered.secret()).map_err(|error| refused(error.to_string()))?;
        let policy = PasswordPolicy {
            require_classes: self.parts.settings.require_classes,
            ..match self.parts.people.profile {
                Profile::Standard => PasswordPolicy::standard(),
                Profile::Hardened => PasswordPolicy::hardened(),
            }
        };
        let directory = self.parts.directory.load_full();
        let local = email.split('@').next().unwrap_or_default();
        let mut context = vec![email, local];
        let own = directory.organizations.iter().filter(|org| orgs.contains(&org.id));
        context.extend(own.map(|org| org.name.as_str()));
        policy.judge(&password, &context).map_err(|flaws| {
            let texts: Vec<String> = flaws.iter().map(ToString::to_string).collect();
            refused(format!("{}.", texts.join("; ")))
        })?;
        let turn = self.parts.people.hashing.turn().await?;
        let shared = Arc::clone(&self.parts);
        let mut salt = drawn(&shared.environment);
        let work = move || {
            let people = &shared.people;
            PasswordHash::make(&password, &people.pepper, people.cost, &mut salt)
        };
        let (hash, _turn) = self.parts.people.hashing.hash(turn, work).await?;
        Ok(hash.map_err(|_| no(Code::AuthBusy))?.to_phc())
    }

    /// Changes the password of a person who shows the old one; other sessions end.
    pub(super) async fn change_password(
        &self,
        person: &Person,
        change: PasswordChange,
        client: &Client,
    ) -> Result<Said, CommandError> {
        let row = users::find(&self.parts.store, person.user_id).await;
        let row = row.map_err(|error| away(&error))?.ok_or_else(failed)?;
        self.check_password((row.user.id, &row.user.email), &change.current, client).await?;
        let orgs = self.org_ids_of(person.user_id);
        let hash = self.hash_password(&change.new, &row.user.email, &orgs).await?;
        let (user, session) = (person.user_id, person.session_id);
        let org = self.org_of_session(session)?;
        let (from, shared) = (client.address.to_string(), Arc::clone(&self.parts));
        self.parts
            .change_people(async move |tx: &mut Tx<'_>, book: &mut Book| {
                shared.put_password(tx, user, &hash, book.now).await?;
                challenges::void(tx, user, ChallengeKind::Password).await?;
                end_sessions(tx, book.now, user, Some(session), "password").await?;
                let payload = json!({ "actor": user });
                book.enter(&shared, org, user, "password.changed", &payload);
                tell(tx, book, &shared, org, user, Notice::PasswordChanged.from(&from)).await
            })
            .await?;
        Ok(json!({ "changed": true }).into())
    }

    /// Asks for a new password, or sets one with the token that was handed out.
    pub(super) async fn reset_password(
        &self,
        reset: PasswordReset,
        client: &Client,
    ) -> Result<Said, CommandError> {
        match (reset.email, reset.token, reset.password) {
            (Some(email), None, None) => self.ask_for_link(&email, client).await,
            (None, Some(token), Some(password)) => {
                self.set_password(&token, &password, client).await
            }
            _ => Err(invalid("token", &"send either email, or token and password")),
        }
    }

    async fn set_password(
        &self,
        token: &Entered,
        password: &Entered,
        client: &Client,
    ) -> Result<Said, CommandError> {
        self.slow_down(client).await?;
        let hash = *HashedToken::of(token.secret().expose().as_bytes()).as_bytes();
        // Looked at first, so that a wrong token costs no slow hash.
        let user = self.challenged(hash, ChallengeKind::Password).await?;
        let Some(user) = user else {
            return self.join_with_password(hash, password, client).await;
        };
        let row = users::find(&self.parts.store, user).await.map_err(|error| away(&error))?;
        let email = row.ok_or_else(failed)?.user.email;
        let orgs = self.org_ids_of(user);
        let org = orgs.first().copied().ok_or_else(failed)?;
        let password_hash = self.hash_password(password, &email, &orgs).await?;
        let (from, shared) = (client.address.to_string(), Arc::clone(&self.parts));
        let set = self
            .parts
            .change_people(async move |tx: &mut Tx<'_>, book: &mut Book| {
                if !challenges::take(tx, hash).await? {
                    return Ok(false);
                }
                shared.put_password(tx, user, &password_hash, book.now).await?;
                challenges::void(tx, user, ChallengeKind::Password).await?;
                end_sessions(tx, book.now, user, None, "password").await?;
                let payload = json!({ "actor": user });
                book.enter(&shared, org, user, "password.reset", &payload);
                let told = Notice::PasswordReset.from(&from);
                tell(tx, book, &shared, org, user, told).await?;
                Ok(true)
            })
            .await?;
        if set { Ok(json!({ "changed": true }).into()) } else { Err(failed()) }
    }

    /// Whom a token is for, without using it up.
    async fn challenged(
        &self,
        hash: [u8; 32],
        kind: ChallengeKind,
    ) -> Result<Option<Id<id::User>>, CommandError> {
        let shared = Arc::clone(&self.parts);
        let found = self
            .parts
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                shared.try_challenge(tx, (hash, kind), u32::from(u16::MAX), book.now).await
            })
            .await?;
        Ok(found.and_then(|challenge| challenge.user_id))
    }

    /// A token with which a person sets a password, within a day; those before are void.
    pub(crate) async fn password_token(
        &self,
        org: Id<id::Org>,
        user: Id<id::User>,
        actor: &Actor,
    ) -> Result<PlainToken, CommandError> {
        let token = self.new_token(TokenKind::PasswordReset);
        let hash = *token.hash().as_bytes();
        let shared = Arc::clone(&self.parts);
        let mut payload = json!({});
        actor.sign(&mut payload);
        let alone = !matches!(actor.who(), Who::Operator);
        let made = self
            .parts
            .note_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                if alone && users::organizations_of(tx, user).await?.len() > 1 {
                    return Ok(false);
                }
                store_password_token(tx, book, &shared, user, hash).await?;
                book.enter(&shared, org, user, "password.reset_requested", &payload);
                Ok(true)
            })
            .await?;
        if made { Ok(token) } else { Err(no(Code::UserElsewhere)) }
    }

    /// A token with which the first owner is made, within a day; those before are void. `None` once
    /// there is an owner.
    pub async fn set_up_token(&self) -> Result<Option<PlainToken>, CommandError> {
        if self.has_owner() {
            return Ok(None);
        }
        let token = self.new_token(TokenKind::Setup);
        let hash = *token.hash().as_bytes();
        let shared = Arc::clone(&self.parts);
        self.parts
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                challenges::void_kind(tx, ChallengeKind::SetUp).await?;
                let until = book.now.plus(SET_UP_LASTS);
                shared.put_challenge(tx, (hash, ChallengeKind::SetUp), None, b"", until).await
            })
            .await?;
        Ok(Some(token))
    }

    /// Makes the first owner.
    pub(super) async fn set_up(
        &self,
        set_up: SetUp,
        client: &Client,
    ) -> Result<Said, CommandError> {
        self.slow_down(client).await?;
        let hash = *HashedToken::of(set_up.token.secret().expose().as_bytes()).as_bytes();
        let shared = Arc::clone(&self.parts);
        let attempted = self
            .parts
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                let most = u32::from(u16::MAX);
                shared.try_challenge(tx, (hash, ChallengeKind::SetUp), most, book.now).await
            })
            .await?;
        if attempted.is_none() || self.has_owner() {
            self.parts.people.sources.failed(client.address, self.now());
            return Err(failed());
        }
        let made = self.first_owner(&set_up.email, &set_up.password, Some(hash)).await?;
        Ok(made.into())
    }

    pub(super) fn new_token(&self, kind: TokenKind) -> PlainToken {
        self.parts.environment.with_randomness(|random| PlainToken::generate(kind, random))
    }

    /// Holds a try back whose source failed often.
    pub(super) async fn slow_down(&self, client: &Client) -> Result<(), CommandError> {
        let wait = self.parts.people.sources.wait(client.address, self.now())?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// The organization of a session that is alive, and the address it was opened from.
    pub(super) fn origin_of_session(
        &self,
        session: Id<id::Session>,
    ) -> Result<(Id<id::Org>, String), CommandError> {
        let principals = self.parts.people.principals.load();
        let session = principals.session(session, self.now());
        session.map(|session| (session.org_id, session.address.clone())).ok_or_else(failed)
    }

    /// The organization of a session that is alive.
    pub(super) fn org_of_session(
        &self,
        session: Id<id::Session>,
    ) -> Result<Id<id::Org>, CommandError> {
        let principals = self.parts.people.principals.load();
        let session = principals.session(session, self.now());
        session.map(|session| session.org_id).ok_or_else(failed)
    }
}

/// Stores the hash of a token with which a person sets a password; those before are void.
pub(super) async fn store_password_token(
    tx: &mut Tx<'_>,
    book: &Book,
    shared: &Shared,
    user: Id<id::User>,
    hash: [u8; 32],
) -> Result<(), Error> {
    let kind = ChallengeKind::Password;
    challenges::void(tx, user, kind).await?;
    let until = book.now.plus(RESET_LASTS);
    shared.put_challenge(tx, (hash, kind), Some(user), b"", until).await
}

/// Ends the sessions of a person in one organization.
pub(super) async fn end_sessions_in(
    tx: &mut Tx<'_>,
    now: Timestamp,
    org: Id<id::Org>,
    user: Id<id::User>,
    by: &str,
) -> Result<(), Error> {
    for session in sessions::alive_in(tx, user, org, now).await? {
        sessions::end(tx, session, by, now).await?;
    }
    Ok(())
}

/// Ends the sessions of a person everywhere, but for one.
pub(super) async fn end_sessions(
    tx: &mut Tx<'_>,
    now: Timestamp,
    user: Id<id::User>,
    except: Option<Id<id::Session>>,
    by: &str,
) -> Result<(), Error> {
    for session in sessions::alive_of(tx, user, now).await? {
        if Some(session) != except {
            sessions::end(tx, session, by, now).await?;
        }
    }
    Ok(())
}

/// Takes every factor and code away from a person who lost them.
pub(super) async fn forget_factors(tx: &mut Tx<'_>, user: Id<id::User>) -> Result<(), Error> {
    factors::remove_all(tx, user).await?;
    users::set_recovery_set(tx, user, None).await
}

/// What is purged once it is of no use any more.
pub(crate) async fn purge(shared: &Arc<Shared>) {
    /// How long ended sessions are kept, to be looked at.
    const SESSIONS_KEPT: Duration = Duration::from_hours(30 * 24);
    let kept = shared.environment.now().minus(SESSIONS_KEPT);
    let purged = shared
        .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
            challenges::purge(tx, book.now).await?;
            invitations::purge(tx, book.now).await?;
            sessions::purge(tx, kept).await
        })
        .await;
    if let Err(error) = purged {
        tracing::error!(error = %error, "old sessions were not removed");
    }
}
