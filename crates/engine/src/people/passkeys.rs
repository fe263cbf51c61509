//! Passkeys: options for a browser, and what it signed.

use super::ask::{PasskeyLogin, Proof, WebauthnEnrol};
use super::login::{ATTEMPTS_MAX, CHALLENGE_LASTS, hash_of};
use super::notices::{Notice, tell};
use super::principals::strange_session;
use super::proof::{Judge, Prepared};
use super::sessions::{method_of, with_method};
use super::{Client, Origin, Said};
use crate::actor::Person;
use crate::book::Book;
use crate::command::error::{CommandError, away, failed, invalid, no, unsealed};
use crate::effects::Severity;
use crate::{Engine, Settings, Shared, row_code};
use serde_json::{Value, json};
use std::sync::Arc;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::person::{ChallengeKind, FactorKind, SessionKind};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::webauthn::{
    self, AuthenticationResponse, Credential, RegistrationResponse, RelyingParty, User,
};
use tradewarden_seal::{Place, base64url_decode, base64url_encode};
use tradewarden_store::factors::{self, FactorRow};
use tradewarden_store::sessions::{self, SessionRow};
use tradewarden_store::{Error, Tx, challenges};

/// Where a challenge is sealed that is stored nowhere.
const HANDED_OUT: Place<'static> = Place {
    tenant: &[0; 16],
    table: "challenges",
    column: "content",
    row: b"handed out",
    schema_version: 1,
};
/// Passkeys of one person.
const PASSKEYS_MAX: usize = 10;

/// Who we are to browsers: the host of the console. An address instead of a name has no passkeys
/// (WebAuthn Level 3 section 5.1.2).
pub(super) fn relying_party(settings: &Settings) -> Option<RelyingParty> {
    let host = |origin: &str| -> Option<String> {
        let rest = origin.strip_prefix("https://")?;
        Some(rest.split(':').next().unwrap_or(rest).to_owned())
    };
    let id = host(&settings.console_origin)?;
    let origins = [&settings.console_origin, &settings.public_origin];
    let own = origins.into_iter().filter(|origin| host(origin).as_ref() == Some(&id)).cloned();
    match RelyingParty::new(&id, "Tradewarden", own) {
        Ok(party) => Some(party),
        Err(error) => {
            tracing::warn!(?error, "there are no passkeys at this address");
            None
        }
    }
}

/// A passkey that signed what it was asked to.
#[derive(Clone)]
pub(super) struct Checked {
    pub(super) user: Id<id::User>,
    /// As it is once this is noted.
    factor: FactorRow,
    counter_went_back: bool,
}

impl Checked {
    /// Notes the use; a counter that went back may mean a copy of the authenticator.
    pub(super) async fn note(
        &self,
        tx: &mut Tx<'_>,
        book: &mut Book,
        shared: &Shared,
        org: Id<id::Org>,
    ) -> Result<(), Error> {
        factors::use_credential(tx, &self.factor, book.now).await?;
        if self.counter_went_back {
            let subject = format!("factor:{}", self.factor.id);
            let detail = "a passkey's counter went back: there may be a copy of it".to_owned();
            let code = "auth.passkey_counter";
            book.find(shared, org, code, Severity::Critical, subject, detail);
        }
        Ok(())
    }
}

impl Engine {
    fn party(&self) -> Result<&RelyingParty, CommandError> {
        self.parts.people.relying_party.as_ref().ok_or_else(|| no(Code::RequestNotFound))
    }

    /// A challenge and the options for these passkeys; nothing if there are none.
    pub(super) fn request_options(
        &self,
        rows: &[&FactorRow],
    ) -> Result<Option<([u8; 32], Value)>, CommandError> {
        if rows.is_empty() {
            return Ok(None);
        }
        let known: Vec<Credential> = rows.iter().filter_map(|row| credential(row)).collect();
        let challenge = self.random_32();
        Ok(Some((challenge, self.party()?.request_options(&challenge, &known))))
    }

    pub(super) fn passkey_options(&self) -> Result<Said, CommandError> {
        let challenge = self.random_32();
        let options = self.party()?.request_options(&challenge, &[]);
        let id = self.handed_out(&challenge)?;
        Ok(json!({ "challenge_id": id, "options": options }).into())
    }

    /// A challenge for anybody, sealed for whoever brings it back: who only asks leaves no row, and
    /// cannot fill the disk (S19).
    fn handed_out(&self, challenge: &[u8; 32]) -> Result<String, CommandError> {
        let until = self.now().plus(CHALLENGE_LASTS).unix_micros();
        let content = [until.to_be_bytes().as_slice(), challenge].concat();
        let sealed = self.parts.environment.with_randomness(|random| {
            self.parts.people.key.load().seal(&HANDED_OUT, &content, random)
        });
        Ok(base64url_encode(&sealed.map_err(unsealed)?))
    }

    /// The challenge that was handed out under this name, the first time it is brought back.
    async fn brought_back(&self, name: &str) -> Result<Option<Vec<u8>>, CommandError> {
        let Ok(sealed) = base64url_decode(name) else { return Ok(None) };
        self.parts.people.are_secrets_open()?;
        let opened = self.parts.people.key.load().open(&HANDED_OUT, &sealed);
        let Ok(opened) = opened else { return Ok(None) };
        let Some((until, challenge)) = opened.expose().split_first_chunk() else {
            return Ok(None);
        };
        let until = Timestamp::from_unix_micros(i64::from_be_bytes(*until));
        if until < self.now() {
            return Ok(None);
        }
        let (hash, kind) = (hash_of(name), ChallengeKind::Passkey);
        let first = self
            .parts
            .note(async move |tx: &mut Tx<'_>, _book: &mut Book| {
                challenges::spend(tx, hash, kind, until).await
            })
            .await?;
        Ok(first.then(|| challenge.to_vec()))
    }

    pub(super) async fn passkey_login(
        &self,
        login: PasskeyLogin,
        client: &Client,
    ) -> Result<Said, CommandError> {
        if login.cookie && client.origin == Origin::Other {
            return Err(no(Code::AuthPermission));
        }
        self.slow_down(client).await?;
        let wrong = || {
            self.parts.people.sources.failed(client.address, self.now());
            failed()
        };
        let wanted = login.org_id.as_deref().map(super::parse_id).transpose()?;
        let challenge = self.brought_back(&login.challenge_id).await?.ok_or_else(wrong)?;
        let checked = self.check_passkey(&challenge, &login.credential, None).await?;
        let checked = checked.ok_or_else(wrong)?;
        let principals = self.parts.people.principals.load_full();
        let last = self.last_org(checked.user).await?;
        let org = principals.org_to_enter(checked.user, wanted, last).ok_or_else(wrong)?;
        let kind = if login.cookie { SessionKind::Cookie } else { SessionKind::Token };
        // A passkey is two factors: to have it, and what unlocks it.
        let methods = with_method(method_of(FactorKind::Webauthn), "mfa");
        let now = self.now();
        let opening = self.opening(checked.user, org, kind, &methods, Some(now), client);
        let (row, tokens) = opening.to_store();
        let shared = Arc::clone(&self.parts);
        self.parts
            .change_people(async move |tx: &mut Tx<'_>, book: &mut Book| {
                checked.note(tx, book, &shared, org).await?;
                super::sessions::store(tx, book, &shared, &row, tokens).await
            })
            .await?;
        self.opened(opening)
    }

    /// Uses a challenge up: whom it is for, and what it remembers.
    pub(super) async fn take_challenge(
        &self,
        name: &str,
        kind: ChallengeKind,
    ) -> Result<Option<(Option<Id<id::User>>, Vec<u8>)>, CommandError> {
        let hash = hash_of(name);
        let shared = Arc::clone(&self.parts);
        self.parts
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                let found = shared.try_challenge(tx, (hash, kind), ATTEMPTS_MAX, book.now).await?;
                let Some(found) = found else { return Ok(None) };
                challenges::take(tx, hash).await?;
                Ok(Some((found.user_id, found.content)))
            })
            .await
    }

    /// Whose passkey signed this challenge; `None` if it is wrong, or not `of` that person.
    pub(super) async fn check_passkey(
        &self,
        challenge: &[u8],
        shown: &Value,
        of: Option<Id<id::User>>,
    ) -> Result<Option<Checked>, CommandError> {
        let text = shown.to_string();
        let response = AuthenticationResponse::from_json(text.as_bytes());
        let Ok(response) = response else { return Ok(None) };
        let Ok(credential_id) = response.credential_id() else { return Ok(None) };
        let row = factors::by_credential(&self.parts.store, &credential_id).await;
        let row = row.map_err(|error| away(&error))?;
        let row = row.filter(|row| of.is_none_or(|user| user == row.user_id));
        let row = row.filter(|row| self.parts.is_whole_factor(row));
        let (Some(row), Ok(challenge)) = (row, <&[u8; 32]>::try_from(challenge)) else {
            return Ok(None);
        };
        let Some(known) = credential(&row) else { return Ok(None) };
        let found = webauthn::verify_authentication(self.party()?, challenge, &known, &response);
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::info!(?error, "a passkey was refused");
                return Ok(None);
            }
        };
        let handle = found.user_handle.as_deref();
        // Without a named person, the handle is what names one.
        let named = match (handle, of) {
            (Some(handle), _) => handle == row.user_id.to_bytes(),
            (None, named) => named.is_some(),
        };
        Ok(named.then(|| {
            let material = known.after(&found).to_stored().into_bytes();
            Checked {
                user: row.user_id,
                factor: self.parts.coded_factor(FactorRow { material, ..row }),
                counter_went_back: found.counter_went_back,
            }
        }))
    }

    pub(super) async fn step_up_options(&self, person: &Person) -> Result<Said, CommandError> {
        let rows = self.passkeys_of(person.user_id).await?;
        let rows: Vec<&FactorRow> = rows.iter().collect();
        let (challenge, options) =
            self.request_options(&rows)?.ok_or_else(super::sessions::factor_required)?;
        let kind = ChallengeKind::StepUp;
        let id = self.challenge(kind, Some(person.user_id), challenge.to_vec()).await?;
        Ok(json!({ "challenge_id": id, "options": options }).into())
    }

    /// Shows a second factor once more in a session that is alive.
    pub(super) async fn step_up(
        &self,
        person: &Person,
        proof: Proof,
    ) -> Result<Said, CommandError> {
        let kind: FactorKind = proof.kind.parse().map_err(super::ask::unknown)?;
        if kind == FactorKind::Sms {
            let detail = "A code by text message is no step-up: show another factor.".to_owned();
            return Err(CommandError::Refused { code: Code::AuthStepUp, detail });
        }
        let user = person.user_id;
        let challenge = match (&proof.challenge_id, kind) {
            (Some(id), FactorKind::Webauthn) => self
                .take_challenge(id, ChallengeKind::StepUp)
                .await?
                .filter(|(of, _)| *of == Some(user))
                .map(|(_, challenge)| challenge),
            _ => None,
        };
        let Prepared { material, turn } = self.prepared(user, kind, &proof, challenge).await?;
        let session = person.session_id;
        let principals = self.parts.people.principals.load_full();
        let row = principals.session(session, self.now()).ok_or_else(failed)?;
        let (org, methods) = (row.org_id, material.methods(&row.methods));
        let renewed = self.another_token(row);
        let hash = renewed.as_ref().map(|token| *token.hash().as_bytes());
        let judge = Judge { org, user, from: row.address.clone() };
        let shared = Arc::clone(&self.parts);
        let shown_at = self
            .parts
            .change_people(async move |tx: &mut Tx<'_>, book: &mut Book| {
                if !material.judge(tx, book, &shared, &judge).await? {
                    return Ok(None);
                }
                let shown = SteppedUp { org, session, user, methods: &methods, token_hash: hash };
                let stored = store_step_up(tx, book, &shared, &shown).await?;
                Ok(stored.then_some(book.now))
            })
            .await?;
        drop(turn);
        let factor_at = shown_at.ok_or_else(failed)?;
        Ok(self.shown_by(row, renewed, json!({ "factor_at": factor_at })))
    }

    pub(super) async fn passkeys_of(
        &self,
        user: Id<id::User>,
    ) -> Result<Vec<FactorRow>, CommandError> {
        let mut rows = self.parts.factors_of(user).await?;
        rows.retain(|row| row.kind == FactorKind::Webauthn);
        Ok(rows)
    }

    pub(super) async fn enrolment_options(&self, person: &Person) -> Result<Said, CommandError> {
        self.may_enrol(person)?;
        let rows = self.passkeys_of(person.user_id).await?;
        if rows.len() >= PASSKEYS_MAX {
            return Err(no(Code::FactorConflict));
        }
        let known: Vec<Credential> = rows.iter().filter_map(credential).collect();
        let email = self.email_of(person.user_id)?;
        let user = User::new(&person.user_id.to_bytes(), &email, &email)
            .map_err(|_| no(Code::FactorConflict))?;
        let challenge = self.random_32();
        let options = self.party()?.creation_options(&user, &challenge, &known);
        let kind = ChallengeKind::Enrolment;
        let id = self.challenge(kind, Some(person.user_id), challenge.to_vec()).await?;
        Ok(json!({ "challenge_id": id, "options": options }).into())
    }

    pub(super) async fn enrol_passkey(
        &self,
        person: &Person,
        enrol: WebauthnEnrol,
    ) -> Result<Said, CommandError> {
        self.may_enrol(person)?;
        let name = enrol.name.unwrap_or_else(|| "passkey".to_owned());
        if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
            return Err(invalid("name", &"must be 1 to 64 printable characters"));
        }
        let unusable = || invalid("credential", &"is not what was asked for");
        let taken = self.take_challenge(&enrol.challenge_id, ChallengeKind::Enrolment).await?;
        let (_, challenge) =
            taken.filter(|(of, _)| *of == Some(person.user_id)).ok_or_else(unusable)?;
        let challenge = <&[u8; 32]>::try_from(challenge.as_slice()).map_err(|_| unusable())?;
        let text = enrol.credential.to_string();
        let response = RegistrationResponse::from_json(text.as_bytes()).map_err(|_| unusable())?;
        let made = webauthn::verify_registration(self.party()?, challenge, &response);
        let made = made.map_err(|error| {
            tracing::info!(?error, "a new passkey was refused");
            unusable()
        })?;
        let now = self.now();
        let taken = factors::by_credential(&self.parts.store, made.id()).await;
        if taken.map_err(|error| away(&error))?.is_some() {
            return Err(no(Code::FactorConflict));
        }
        let row = FactorRow {
            id: self.parts.environment.id(now),
            user_id: person.user_id,
            kind: FactorKind::Webauthn,
            name,
            credential_id: Some(made.id().to_vec()),
            material: made.to_stored().into_bytes(),
            last_step: 0,
            confirmed_at: Some(now),
            last_used_at: None,
            created_at: now,
            code: [0; 32],
        };
        let row = self.parts.coded_factor(row);
        let view = super::enrolment::factor_view(&row);
        self.store_enrolled(person, row, view).await
    }

    async fn store_enrolled(
        &self,
        person: &Person,
        row: FactorRow,
        view: Value,
    ) -> Result<Said, CommandError> {
        let (session, user) = (person.session_id, person.user_id);
        let principals = self.parts.people.principals.load_full();
        let current = principals.session(session, self.now()).ok_or_else(failed)?;
        let (org, from) = (current.org_id, current.address.clone());
        let methods =
            with_method(&with_method(&current.methods, method_of(FactorKind::Webauthn)), "mfa");
        let renewed = self.another_token(current);
        let hash = renewed.as_ref().map(|token| *token.hash().as_bytes());
        let shared = Arc::clone(&self.parts);
        let stored = self
            .parts
            .change_people(async move |tx: &mut Tx<'_>, book: &mut Book| {
                factors::insert(tx, &row).await?;
                let payload = json!({ "actor": user, "kind": row.kind, "user_id": user });
                book.enter(&shared, org, row.id, "factor.enrolled", &payload);
                let told = Notice::FactorAdded(FactorKind::Webauthn).from(&from);
                tell(tx, book, &shared, org, user, told).await?;
                let shown = SteppedUp { org, session, user, methods: &methods, token_hash: hash };
                store_step_up(tx, book, &shared, &shown).await
            })
            .await?;
        if stored { Ok(self.shown_by(current, renewed, view)) } else { Err(failed()) }
    }
}

/// A second factor that was shown in a session.
pub(super) struct SteppedUp<'a> {
    pub(super) org: Id<id::Org>,
    pub(super) session: Id<id::Session>,
    pub(super) user: Id<id::User>,
    pub(super) methods: &'a str,
    /// The hash of the cookie that shows the session from now on.
    pub(super) token_hash: Option<[u8; 32]>,
}

/// Notes in a session that a factor was shown.
pub(super) async fn store_step_up(
    tx: &mut Tx<'_>,
    book: &mut Book,
    shared: &Shared,
    shown: &SteppedUp<'_>,
) -> Result<bool, Error> {
    let SteppedUp { org, session, user, methods, token_hash } = *shown;
    let Some(before) = sessions::lock(tx, session).await? else { return Ok(false) };
    let code = row_code::of_session(&shared.row_sealer, &before);
    if before.code != code {
        shared.strangers.note(strange_session(&before, code));
        return Ok(false);
    }
    let mut after = SessionRow {
        factor_at: Some(book.now),
        methods: methods.to_owned(),
        token_hash: token_hash.or(before.token_hash),
        ..before
    };
    after.code = row_code::of_session(&shared.row_sealer, &after);
    if !sessions::set_factor(tx, &after).await? {
        return Ok(false);
    }
    let payload = json!({ "actor": user, "methods": methods });
    book.enter(shared, org, session, "session.stepped_up", &payload);
    Ok(true)
}

fn credential(row: &FactorRow) -> Option<Credential> {
    Credential::from_stored(std::str::from_utf8(&row.material).ok()?).ok()
}
