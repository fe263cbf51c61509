//! Codes by text message: a second factor for who has nothing better.
//!
//! Whoever takes over a number takes over its codes (NIST SP 800-63B-4 section 3.1.3.3 calls the way
//! restricted). So it is off until a provider is set up and under the hardened profile, it is marked
//! as weak wherever it is shown, and it never counts as a step-up. A code has six digits, opens once,
//! within ten minutes, at one of five tries; it is stored sealed.
//!
//! Each message costs money, and some numbers earn it: whoever sends many is held up by person, by
//! number and by organization (toll fraud).

use super::login::{ATTEMPTS_MAX, hash_of};
use super::notices::{Notice, allowance, tell};
use super::passkeys::{SteppedUp, store_step_up};
use super::proof::totp_place;
use super::sessions::{method_of, with_method};
use super::{Client, Said, SmsAsked, SmsEnrol, ask, parse_id};
use crate::actor::Person;
use crate::book::Book;
use crate::command::error::{CommandError, failed, invalid, no, unsealed};
use crate::outbox::{self, Letter};
use crate::{Engine, Shared};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::message::{Allowance, Channel, LOGIN_CODE_LASTS, PhoneNumber, Topic};
use tradewarden_domain::person::{ChallengeKind, FactorKind, Profile};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{Place, SecretString};
use tradewarden_store::factors::{self, FactorRow};
use tradewarden_store::outbox as rows;
use tradewarden_store::{Error, Tx, challenges, users};

/// Codes to one number within an hour, whoever asks.
const TO_NUMBER_MAX: usize = 5;
const NUMBER_SPAN: Duration = Duration::from_hours(1);
/// Codes of one organization within a day.
const OF_ORG_MAX: usize = 200;
const ORG_SPAN: Duration = Duration::from_hours(24);
/// What is said to who enrols a phone.
const RISK: &str = "Whoever takes over this number, or reads its messages, gets your codes. Enrol a \
                    passkey or an authenticator app as well: without one, what needs a fresh factor \
                    stays closed to you.";

/// What is sealed of a code that was sent.
#[derive(Serialize, Deserialize)]
struct Sent {
    code: String,
    factor: Id<id::Factor>,
}

/// A code that is to be sent, made before its transaction.
struct NewCode {
    org: Id<id::Org>,
    user: Id<id::User>,
    phone: PhoneNumber,
    destination: [u8; 32],
    /// Under what it is stored.
    slot: [u8; 32],
    sealed: Vec<u8>,
    text: SecretString,
}

/// Under what the code of a login is stored.
pub(super) fn slot_of_login(challenge: &str) -> [u8; 32] {
    hash_of(&format!("sms login {challenge}"))
}

fn slot_of_factor(id: Id<id::Factor>) -> [u8; 32] {
    hash_of(&format!("sms factor {id}"))
}

/// Where a code is sealed.
fn place(slot: &[u8; 32]) -> Place<'_> {
    Place { tenant: &[0; 16], table: "challenges", column: "content", row: slot, schema_version: 1 }
}

/// Whether phones are a second factor here at all.
pub(super) fn is_available(shared: &Shared) -> bool {
    shared.people.profile != Profile::Hardened && shared.messengers.contains_key(&Channel::Sms)
}

/// The number of a phone that is enrolled.
fn phone_of(shared: &Shared, row: &FactorRow) -> Option<PhoneNumber> {
    let opened =
        shared.people.key.load().open(&totp_place(&row.id.to_bytes()), &row.material).ok()?;
    PhoneNumber::parse(std::str::from_utf8(opened.expose()).ok()?)
}

fn required(shared: &Shared) -> Result<(), CommandError> {
    if is_available(shared) { Ok(()) } else { Err(no(Code::FactorUnavailable)) }
}

impl Engine {
    fn new_code(
        &self,
        (org, user): (Id<id::Org>, Id<id::User>),
        phone: PhoneNumber,
        factor: Id<id::Factor>,
        slot: [u8; 32],
    ) -> Result<NewCode, CommandError> {
        let people = &self.parts.people;
        let mut bytes = [0; 8];
        let sealed = self.parts.environment.with_randomness(|random| {
            random.fill(&mut bytes);
            // Of 2^64 numbers a million are no even part; the difference is one in 10^13.
            let code = format!("{:06}", u64::from_be_bytes(bytes) % 1_000_000);
            let sent = serde_json::to_vec(&Sent { code: code.clone(), factor });
            let sealed = people.key.load().seal(&place(&slot), &sent.unwrap_or_default(), random);
            sealed.map(|sealed| (sealed, code))
        });
        let (sealed, code) = sealed.map_err(unsealed)?;
        let text = format!(
            "{code} is your Tradewarden code, for {} minutes. Tell it to nobody.",
            LOGIN_CODE_LASTS.as_secs() / 60
        );
        let destination = people.pepper.of_address(phone.text());
        let text = SecretString::new(text);
        Ok(NewCode { org, user, phone, destination, slot, sealed, text })
    }

    pub(super) async fn begin_sms(
        &self,
        person: &Person,
        enrol: &SmsEnrol,
    ) -> Result<Said, CommandError> {
        self.may_enrol(person)?;
        required(&self.parts)?;
        let phone = PhoneNumber::parse(&enrol.phone)
            .ok_or_else(|| invalid("phone", &"must be a number like +14155550123 (E.164)"))?;
        let user = person.user_id;
        let rows = self.parts.factors_of(user).await?;
        if rows.iter().any(|row| row.kind == FactorKind::Sms && row.confirmed_at.is_some()) {
            return Err(no(Code::FactorConflict));
        }
        let now = self.now();
        let id: Id<id::Factor> = self.parts.environment.id(now);
        let material = self.parts.environment.with_randomness(|random| {
            let key = self.parts.people.key.load();
            key.seal(&totp_place(&id.to_bytes()), phone.text().as_bytes(), random)
        });
        let row = FactorRow {
            id,
            user_id: user,
            kind: FactorKind::Sms,
            name: phone.masked(),
            credential_id: None,
            material: material.map_err(unsealed)?,
            last_step: 0,
            confirmed_at: None,
            last_used_at: None,
            created_at: now,
            code: [0; 32],
        };
        let row = self.parts.coded_factor(row);
        let org = self.org_of_session(person.session_id)?;
        let masked = phone.masked();
        let code = self.new_code((org, user), phone, id, slot_of_factor(id))?;
        let shared = Arc::clone(&self.parts);
        let sent = self
            .parts
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                if !send(tx, book, &shared, &code).await? {
                    return Ok(false);
                }
                factors::remove_unconfirmed(tx, user).await?;
                factors::insert(tx, &row).await?;
                Ok(true)
            })
            .await?;
        if !sent {
            return Err(no(Code::LimitRate));
        }
        Ok(json!({
            "id": id, "type": FactorKind::Sms, "to": masked, "weak": true, "risk": RISK,
            "expires_in": LOGIN_CODE_LASTS.as_secs(),
        })
        .into())
    }

    pub(super) async fn confirm_sms(
        &self,
        person: &Person,
        id: &str,
        code: &ask::Code,
    ) -> Result<Said, CommandError> {
        // It was begun by who might; the code shows whose phone it is.
        required(&self.parts)?;
        let id: Id<id::Factor> = parse_id(id)?;
        let (user, session) = (person.user_id, person.session_id);
        let rows = self.parts.factors_of(user).await?;
        let waits = |row: &&FactorRow| row.id == id && row.confirmed_at.is_none();
        let row = rows.iter().find(waits).cloned().ok_or(CommandError::NotFound)?;
        self.parts.people.are_secrets_open()?;
        let principals = self.parts.people.principals.load_full();
        let current = principals.session(session, self.now()).ok_or_else(failed)?;
        let (org, from) = (current.org_id, current.address.clone());
        // A session with a factor keeps it: this one would make a better one look fresh.
        let methods = current.factor_at.is_none().then(|| {
            with_method(&with_method(&current.methods, method_of(FactorKind::Sms)), "mfa")
        });
        let renewed = methods.as_ref().and_then(|_| self.another_token(current));
        let hash = renewed.as_ref().map(|token| *token.hash().as_bytes());
        let code = SecretString::new(code.code.secret().expose().to_owned());
        let (begun, shared) = (row.clone(), Arc::clone(&self.parts));
        let confirmed = self
            .parts
            .change_people(async move |tx: &mut Tx<'_>, book: &mut Book| {
                let slot = slot_of_factor(id);
                let taken = take(tx, &shared, (user, slot), &code, book.now).await?;
                if taken != Some(id) || !shared.confirm_factor(tx, &begun, book.now).await? {
                    return Ok(false);
                }
                let payload = json!({ "actor": user, "kind": FactorKind::Sms, "user_id": user });
                book.enter(&shared, org, id, "factor.enrolled", &payload);
                let told = Notice::FactorAdded(FactorKind::Sms).from(&from);
                tell(tx, book, &shared, org, user, told).await?;
                let Some(methods) = &methods else { return Ok(true) };
                let shown = SteppedUp { org, session, user, methods, token_hash: hash };
                store_step_up(tx, book, &shared, &shown).await
            })
            .await?;
        if !confirmed {
            return Err(failed());
        }
        let row = FactorRow { confirmed_at: Some(self.now()), ..row };
        Ok(self.shown_by(current, renewed, super::enrolment::factor_view(&row)))
    }

    /// Sends the code that a login waits for.
    pub(super) async fn send_sms(
        &self,
        asked: &SmsAsked,
        client: &Client,
    ) -> Result<Said, CommandError> {
        self.slow_down(client).await?;
        let challenge = self.begun_login(&asked.challenge_id).await?;
        let Some((user, org)) = challenge else {
            self.parts.people.sources.failed(client.address, self.now());
            return Err(failed());
        };
        required(&self.parts)?;
        self.parts.people.are_secrets_open()?;
        let rows = self.parts.factors_of(user).await?;
        let enrolled = |row: &&FactorRow| row.kind == FactorKind::Sms && row.confirmed_at.is_some();
        let found = rows.iter().find(enrolled);
        let found = found.and_then(|row| Some((row.id, phone_of(&self.parts, row)?)));
        let (factor, phone) = found.ok_or_else(|| no(Code::FactorUnavailable))?;
        let masked = phone.masked();
        let (login, slot) = (hash_of(&asked.challenge_id), slot_of_login(&asked.challenge_id));
        let code = self.new_code((org, user), phone, factor, slot)?;
        let shared = Arc::clone(&self.parts);
        let sent = self
            .parts
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                let sent = send(tx, book, &shared, &code).await?;
                if sent {
                    // The login waits as long as the code it asked for.
                    let until = book.now.plus(LOGIN_CODE_LASTS);
                    shared.extend_challenge(tx, login, until).await?;
                }
                Ok(sent)
            })
            .await?;
        if !sent {
            return Err(no(Code::LimitRate));
        }
        let expires_in = LOGIN_CODE_LASTS.as_secs();
        Ok(json!({ "status": "accepted", "to": masked, "expires_in": expires_in }).into())
    }
}

/// Puts a code into the outbox in place of the one before it; answers whether it may be sent.
async fn send(
    tx: &mut Tx<'_>,
    book: &mut Book,
    shared: &Shared,
    code: &NewCode,
) -> Result<bool, Error> {
    let (org, user, topic) = (code.org, code.user, Topic::LoginCode);
    // Locked, so that requests at once are counted one after the other.
    users::lock(tx, user).await?;
    let to_person = allowance(tx, user, topic, book.now).await?;
    let recent = rows::of_topic(tx, topic, book.now.minus(NUMBER_SPAN)).await?;
    let to_number =
        recent.iter().filter(|(_, to)| to.as_deref() == Some(code.destination.as_slice())).count();
    let of_day = rows::of_topic(tx, topic, book.now.minus(ORG_SPAN)).await?;
    let of_org = of_day.iter().filter(|(of, _)| *of == org).count();
    if to_person == Allowance::No || to_number >= TO_NUMBER_MAX || of_org >= OF_ORG_MAX {
        outbox::drop_one(book, shared, org, Some(user), (Channel::Sms, topic));
        return Ok(false);
    }
    let letter = Letter {
        channel: Channel::Sms,
        topic,
        to: SecretString::new(code.phone.text().to_owned()),
        destination: Some(code.destination),
        subject: String::new(),
        text: SecretString::new(code.text.expose().to_owned()),
    };
    if !outbox::put(tx, book, shared, org, Some(user), letter).await? {
        return Ok(false);
    }
    challenges::take(tx, code.slot).await?;
    let until = book.now.plus(LOGIN_CODE_LASTS);
    let kind = ChallengeKind::Sms;
    shared.put_challenge(tx, (code.slot, kind), Some(user), &code.sealed, until).await?;
    Ok(true)
}

/// Takes a code once: the phone to which it was sent. Every try is counted.
pub(super) async fn take(
    tx: &mut Tx<'_>,
    shared: &Shared,
    (user, slot): (Id<id::User>, [u8; 32]),
    entered: &SecretString,
    now: Timestamp,
) -> Result<Option<Id<id::Factor>>, Error> {
    let kind = ChallengeKind::Sms;
    let Some(found) = shared.try_challenge(tx, (slot, kind), ATTEMPTS_MAX, now).await? else {
        return Ok(None);
    };
    let opened = shared.people.key.load().open(&place(&slot), &found.content).ok();
    let sent = opened.and_then(|bytes| serde_json::from_slice::<Sent>(bytes.expose()).ok());
    let Some(sent) = sent.filter(|_| found.user_id == Some(user)) else { return Ok(None) };
    if !SecretString::new(sent.code).matches(entered.expose().trim().as_bytes()) {
        return Ok(None);
    }
    challenges::take(tx, slot).await?;
    let rows = shared.factors_in(tx, user).await?;
    let is_there = rows.iter().any(|row| row.id == sent.factor && row.kind == FactorKind::Sms);
    // Notes the use; the step is the time, which nobody has used before.
    let used = is_there && factors::use_step(tx, sent.factor, now.unix_micros(), now).await?;
    Ok(used.then_some(sent.factor))
}
