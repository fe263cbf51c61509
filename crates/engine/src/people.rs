//! People: logging in, second factors, sessions, and who may do what.
//!
//! A login goes password, second factor, session. Every wrong answer on the way is the same answer
//! and the same work: one slow hash and one write, whoever was named. What a person may do is read
//! from a snapshot at every request (`principals`); a token only says which session it belongs to.
//!
//! Crash story: a session, a used code, a spent token and a counted failure are each one transaction
//! with its audit entry. A crash before it leaves nothing; after it, an answer that was not heard is
//! a session that nobody uses, or a code that is spent: the person logs in again.

mod ask;
mod enrolment;
mod four_eyes;
mod hashing;
mod invitations;
mod keys;
mod login;
mod manage;
mod notices;
mod organizations;
mod passkeys;
mod passwords;
pub(crate) mod principals;
mod proof;
mod reset;
mod roles;
mod sessions;
mod sms;
mod sources;
mod whole;

use crate::command::error::{CommandError, failed, no};
pub use ask::{
    Ask, Client, Code as CodeShown, Cookie, Entered, FactorShown, Login, Origin, PasskeyLogin,
    PasswordChange, PasswordReset, Proof, RefreshShown, Said, SetUp, SmsAsked, SmsEnrol, Switch,
    WebauthnEnrol,
};
pub(crate) use four_eyes::FOUR_EYES_OF_LIMITS;
pub use four_eyes::is_pending;
pub(crate) use keys::{found, renew};
pub(crate) use notices::shown;
pub(crate) use organizations::only_the_operator;
pub(crate) use passwords::purge;
pub(crate) use principals::set_mark;
pub(crate) use reset::answer_requests;
pub(crate) use roles::KEY_LIFETIME_DAYS;
pub use sessions::COOKIE;
pub(crate) use sessions::note_seen;

use crate::actor::{Actor, Person, Who};
use crate::book::{Book, Scope};
use crate::caller::{Once, Shown};
use crate::command::{ById, Command};
use crate::effects::Effects;
use crate::journal::Urgency;
use crate::{Engine, Shared};
use arc_swap::ArcSwap;
use hashing::Hashing;
use principals::Principals;
use serde_json::Value;
use sources::Sources;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id, Kind};
use tradewarden_domain::person::Profile;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{DataKeySet, PasswordCost, Pepper};
use tradewarden_store::{Error, Tx};

/// What the engine holds about people.
pub(crate) struct People {
    pub(crate) profile: Profile,
    pub(crate) cost: PasswordCost,
    pub(crate) key: ArcSwap<DataKeySet>,
    /// What seals messages. It stays open while the key source is away: people must hear of that, too.
    pub(crate) messages: ArcSwap<DataKeySet>,
    pub(crate) pepper: Pepper,
    pub(crate) hashing: Hashing,
    pub(crate) principals: ArcSwap<Principals>,
    pub(crate) signing: ArcSwap<keys::TokenKeys>,
    relying_party: Option<tradewarden_seal::webauthn::RelyingParty>,
    sources: Sources,
    /// Who asks for links with which passwords are set anew.
    askers: Sources,
    reloading: tokio::sync::Mutex<()>,
    seen: Mutex<HashMap<Id<id::Session>, Timestamp>>,
}

impl Engine {
    /// Answers a request about oneself; `actor` is who asks, where somebody is logged in.
    pub async fn converse(
        &self,
        ask: Ask,
        actor: Option<&Actor>,
        client: &Client,
    ) -> Result<Said, CommandError> {
        // One conversation's future is as large as the largest; callers need not carry it inline.
        Box::pin(self.said(ask, actor, client)).await
    }

    async fn said(
        &self,
        ask: Ask,
        actor: Option<&Actor>,
        client: &Client,
    ) -> Result<Said, CommandError> {
        let person = || actor.ok_or_else(failed).and_then(person_of);
        match ask {
            Ask::Login(login) => self.login(login, client).await,
            Ask::Factor(shown) => self.second_factor(shown, client).await,
            Ask::Refresh(shown) => self.refresh(&shown, client).await,
            Ask::Switch(to) => self.switch(person()?, &to, client).await,
            Ask::InvitationList => Ok(self.own_invitations(person()?)?.into()),
            Ask::InvitationAccept(id) => {
                self.accept_invitation(actor.ok_or_else(failed)?, &id).await
            }
            Ask::InvitationDecline(id) => {
                self.decline_invitation(actor.ok_or_else(failed)?, &id).await
            }
            Ask::Logout => self.log_out(actor.ok_or_else(failed)?).await,
            Ask::StepUpOptions => self.step_up_options(person()?).await,
            Ask::StepUp(proof) => self.step_up(person()?, proof).await,
            Ask::PasswordReset(reset) => self.reset_password(reset, client).await,
            Ask::PasskeyOptions => self.passkey_options(),
            Ask::Passkey(login) => self.passkey_login(login, client).await,
            Ask::SetUp(set_up) => self.set_up(set_up, client).await,
            Ask::FactorList => self.factors(person()?).await,
            Ask::TotpBegin => self.begin_totp(person()?).await,
            Ask::TotpConfirm(id, code) => self.confirm_totp(person()?, &id, &code).await,
            Ask::SmsSend(asked) => self.send_sms(&asked, client).await,
            Ask::SmsBegin(enrol) => self.begin_sms(person()?, &enrol).await,
            Ask::SmsConfirm(id, code) => self.confirm_sms(person()?, &id, &code).await,
            Ask::WebauthnOptions => self.enrolment_options(person()?).await,
            Ask::WebauthnEnrol(enrol) => self.enrol_passkey(person()?, enrol).await,
            Ask::FactorRemove(id) => self.remove_factor(actor.ok_or_else(failed)?, &id).await,
            Ask::RecoveryCodes => self.recovery_codes(actor.ok_or_else(failed)?).await,
            Ask::SessionList => Ok(self.own_sessions(person()?)),
            Ask::SessionEnd(id) => self.end_own_session(actor.ok_or_else(failed)?, &id).await,
            Ask::PasswordChange(change) => self.change_password(person()?, change, client).await,
        }
    }

    /// Carries out a command about people; every other one was carried out before.
    pub(crate) async fn carry_out_about_people(
        &self,
        org: Id<id::Org>,
        command: Command,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        match command {
            Command::UserCreate(new) => self.create_user(org, new, actor).await,
            Command::UserList => Ok(self.users(org)),
            Command::UserShow(ById { id }) => self.user(org, &id),
            Command::UserChange(change) => self.change_user(org, change, actor).await,
            Command::UserRemove(ById { id }) => self.remove_user(org, &id, actor).await,
            Command::UserResetPassword(ById { id }) => {
                self.reset_user_password(org, &id, actor).await
            }
            Command::UserResetFactors(ById { id }) => {
                self.reset_user_factors(org, &id, actor).await
            }
            Command::UserEndSessions(ById { id }) => self.end_user_sessions(org, &id, actor).await,
            Command::RoleList => Ok(self.roles(org)),
            Command::RoleCreate(new) => self.create_role(org, new, actor).await,
            Command::RoleRemove(ById { id }) => self.remove_role(org, &id, actor).await,
            Command::SessionList => Ok(self.sessions(org, actor)),
            Command::SessionEnd(ById { id }) => self.end_session_of(org, &id, actor).await,
            Command::PolicyList => Ok(self.policies(org)),
            Command::PolicySet(new) => self.set_policy(org, new, actor).await,
            Command::PendingList => self.pending(org).await,
            Command::PendingConfirm(ById { id }) => self.confirm_pending(org, &id, actor).await,
            Command::PendingReject(ById { id }) => self.reject_pending(org, &id, actor).await,
            _ => Err(CommandError::NotFound),
        }
    }

    /// Where a request comes from.
    pub fn client(&self, shown: &Shown<'_>) -> Client {
        let agent = shown.first("user-agent").unwrap_or_default();
        Client {
            address: shown.address,
            user_agent: agent.chars().filter(|letter| !letter.is_control()).take(256).collect(),
            origin: self.origin_of(shown),
            session: self.shown_session(shown),
        }
    }

    /// The origin of a request, by what only a browser can set (Fetch Metadata; else `Origin`).
    pub(crate) fn origin_of(&self, shown: &Shown<'_>) -> Origin {
        let settings = &self.parts.settings;
        let is_own = |origin| origin == settings.public_origin || origin == settings.console_origin;
        let own = match (shown.first("sec-fetch-site"), shown.first("origin")) {
            (Some(site), _) => matches!(site, "same-origin" | "none"),
            (None, Some(origin)) => is_own(origin),
            (None, None) => return Origin::Unsaid,
        };
        if own { Origin::Own } else { Origin::Other }
    }

    /// Whether a request that names the page it comes from (`Origin`) names one of our own. A browser
    /// asks nobody before it opens a WebSocket, and sends cookies along (OWASP ASVS 5.0 V4.4.2).
    pub fn has_own_origin(&self, shown: &Shown<'_>) -> bool {
        let settings = &self.parts.settings;
        let mut own = settings.further_origins.iter();
        match shown.once("origin") {
            Once::Absent => true,
            Once::Unusable => false,
            Once::Text(origin) => {
                origin == settings.public_origin
                    || origin == settings.console_origin
                    || own.any(|further| further == origin)
            }
        }
    }

    /// The public keys of access tokens as a JWK set (RFC 7517).
    pub fn token_keys(&self) -> Value {
        self.parts.people.signing.load().jwks()
    }

    /// Whether there is a person who owns the first organization.
    pub fn has_owner(&self) -> bool {
        let first = self.org_id();
        let principals = self.parts.people.principals.load();
        let mut members = principals.members.iter();
        members.any(|((org, _), member)| Some(*org) == first && member.role == "owner")
    }
}

/// The person that an actor is. A key and the operator have no password, no factor and no session.
fn person_of(actor: &Actor) -> Result<&Person, CommandError> {
    match actor.who() {
        Who::Person(person) => Ok(person),
        Who::Operator | Who::Key(_) => Err(no(Code::AuthPermission)),
    }
}

/// A text form of an identifier; a wrong one names nothing.
fn parse_id<K: Kind>(text: &str) -> Result<Id<K>, CommandError> {
    text.parse().map_err(|_| CommandError::NotFound)
}

impl People {
    /// [`Code::VaultClosed`] while what is sealed of people cannot be opened.
    fn are_secrets_open(&self) -> Result<(), CommandError> {
        if self.key.load().newest().is_some() { Ok(()) } else { Err(no(Code::VaultClosed)) }
    }
}

impl Shared {
    /// Writes something about people with its audit entries; the snapshot stays as it is.
    pub(crate) async fn note<T: Send + 'static>(
        self: &Arc<Self>,
        mut write: impl AsyncFnMut(&mut Tx<'_>, &mut Book) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, CommandError> {
        let shared = Arc::clone(self);
        let written = self
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                let mut book = Book::load(tx, &shared, &Scope::default()).await?;
                let answer = write(tx, &mut book).await?;
                book.write(tx, effects).await?;
                Ok(answer)
            })
            .await;
        Ok(written?)
    }

    /// The same on somebody's authority: an idempotency key of theirs is claimed first.
    pub(crate) async fn note_by<T: Send + 'static>(
        self: &Arc<Self>,
        actor: &Actor,
        mut write: impl AsyncFnMut(&mut Tx<'_>, &mut Book) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, CommandError> {
        let claimant = actor.clone();
        let answer = self
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                if !claimant.begin(tx, book.now).await? {
                    return Ok(None);
                }
                write(tx, book).await.map(Some)
            })
            .await?;
        actor.carried_out(answer.is_some())?;
        answer.ok_or_else(failed)
    }

    /// The same as [`Self::change_people`] on somebody's authority.
    pub(crate) async fn change_people_by<T: Send + 'static>(
        self: &Arc<Self>,
        actor: &Actor,
        mut write: impl AsyncFnMut(&mut Tx<'_>, &mut Book) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, CommandError> {
        let claimant = actor.clone();
        let answer = self
            .change_people(async move |tx: &mut Tx<'_>, book: &mut Book| {
                if !claimant.begin(tx, book.now).await? {
                    return Ok(None);
                }
                write(tx, book).await.map(Some)
            })
            .await?;
        actor.carried_out(answer.is_some())?;
        answer.ok_or_else(failed)
    }

    /// The same for what changes who may do what: every node sees it, this one before it answers.
    pub(crate) async fn change_people<T: Send + 'static>(
        self: &Arc<Self>,
        mut write: impl AsyncFnMut(&mut Tx<'_>, &mut Book) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, CommandError> {
        let shared = Arc::clone(self);
        let answer = self
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                let answer = write(tx, book).await?;
                set_mark(tx, &shared.environment).await?;
                Ok(answer)
            })
            .await?;
        self.reload_people().await?;
        Ok(answer)
    }
}
