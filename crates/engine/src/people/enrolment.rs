//! Second factors of a person: begun, confirmed, listed, removed; and recovery codes.
//!
//! The first factor is enrolled within five minutes of a login, every other change needs a factor
//! that was shown within five minutes: a session that was taken over cannot add one.

use super::notices::{Notice, tell};
use super::passkeys::{SteppedUp, store_step_up};
use super::principals::proven_at;
use super::proof::{Confirmed, take_code, totp_place};
use super::sessions::{method_of, with_method};
use super::{Said, ask, parse_id, person_of};
use crate::actor::{Actor, Person, is_recent};
use crate::book::Book;
use crate::command::error::{CommandError, away, failed, no, unsealed};
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::person::{FactorKind, Profile};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::totp::TotpSecret;
use tradewarden_seal::{RECOVERY_CODES, RecoveryCode, RecoverySet, SealError, SecretString};
use tradewarden_store::factors::{self, FactorRow};
use tradewarden_store::{Tx, users};

/// How old a login may be when the first factor is enrolled.
const FIRST_WITHIN: Duration = Duration::from_mins(5);
/// Secrets for time-based codes of one person.
const TOTP_MAX: usize = 5;
const ISSUER: &str = "Tradewarden";

/// A new secret for time-based codes, to be shown once.
pub(crate) struct NewTotp {
    pub(crate) row: FactorRow,
    pub(crate) secret: SecretString,
    pub(crate) uri: SecretString,
    pub(crate) qr_svg: SecretString,
}

impl Engine {
    /// Whether a person may change factors now.
    pub(super) fn may_enrol(&self, person: &Person) -> Result<(), CommandError> {
        let principals = self.parts.people.principals.load();
        let now = self.now();
        let enrolled = principals.factors.get(&person.user_id).map_or(&[][..], Vec::as_slice);
        let session = principals.session(person.session_id, now).ok_or_else(failed)?;
        let fresh = if enrolled.iter().any(|kind| *kind != FactorKind::Sms) {
            proven_at(session).is_some_and(|at| is_recent(at, person.step_up, now))
        } else {
            // Who has no more than a phone shows that, and enrols a better factor like a first one.
            let shown = enrolled.is_empty() || session.factor_at.is_some();
            shown && is_recent(session.authenticated_at, FIRST_WITHIN, now)
        };
        if fresh { Ok(()) } else { Err(no(Code::AuthStepUp)) }
    }

    pub(super) fn email_of(&self, user: Id<id::User>) -> Result<String, CommandError> {
        let principals = self.parts.people.principals.load();
        principals.users.get(&user).map(|user| user.email.clone()).ok_or_else(failed)
    }

    pub(super) async fn factors(&self, person: &Person) -> Result<Said, CommandError> {
        let store = &self.parts.store;
        let rows = self.parts.factors_of(person.user_id).await?;
        let codes = factors::codes(store, person.user_id).await.map_err(|error| away(&error))?;
        let is_whole = |code: &&_| self.parts.is_whole_recovery(person.user_id, code);
        let left = codes.iter().filter(is_whole).count();
        let mut items: Vec<Value> = rows.iter().map(factor_view).collect();
        if left > 0 {
            items.push(json!({ "type": FactorKind::RecoveryCode, "left": left }));
        }
        Ok(json!({ "items": items, "next": null }).into())
    }

    /// A new secret, sealed, and what its owner is shown of it.
    pub(crate) fn new_totp(
        &self,
        user: Id<id::User>,
        email: &str,
        confirmed_at: Option<Timestamp>,
    ) -> Result<NewTotp, CommandError> {
        let now = self.now();
        let environment = &self.parts.environment;
        let id: Id<id::Factor> = environment.id(now);
        let secret = environment.with_randomness(TotpSecret::generate);
        let sealed: Result<Vec<u8>, SealError> = environment.with_randomness(|random| {
            let key = self.parts.people.key.load();
            key.seal(&totp_place(&id.to_bytes()), secret.bytes().expose(), random)
        });
        let unmade = |_| CommandError::Unavailable { detail: "no secret was made".to_owned() };
        let row = FactorRow {
            id,
            user_id: user,
            kind: FactorKind::Totp,
            name: "authenticator app".to_owned(),
            credential_id: None,
            material: sealed.map_err(unsealed)?,
            last_step: 0,
            confirmed_at,
            last_used_at: None,
            created_at: now,
            code: [0; 32],
        };
        Ok(NewTotp {
            row: self.parts.coded_factor(row),
            secret: secret.to_base32(),
            uri: secret.to_uri(ISSUER, email).map_err(unmade)?,
            qr_svg: secret.to_qr_svg(ISSUER, email).map_err(unmade)?,
        })
    }

    pub(super) async fn begin_totp(&self, person: &Person) -> Result<Said, CommandError> {
        self.may_enrol(person)?;
        if self.parts.people.profile == Profile::Hardened {
            return Err(CommandError::Refused {
                code: Code::FactorConflict,
                detail: "The hardened profile takes passkeys only.".to_owned(),
            });
        }
        let user = person.user_id;
        let rows = self.parts.factors_of(user).await?;
        let confirmed =
            |row: &&FactorRow| row.kind == FactorKind::Totp && row.confirmed_at.is_some();
        if rows.iter().filter(confirmed).count() >= TOTP_MAX {
            return Err(no(Code::FactorConflict));
        }
        let new = self.new_totp(user, &self.email_of(user)?, None)?;
        let row = new.row.clone();
        self.parts
            .note(async move |tx: &mut Tx<'_>, _book: &mut Book| {
                factors::remove_unconfirmed(tx, user).await?;
                factors::insert(tx, &row).await
            })
            .await?;
        Ok(json!({
            "id": new.row.id, "type": FactorKind::Totp, "secret": new.secret.expose(),
            "uri": new.uri.expose(), "qr_svg": new.qr_svg.expose(),
        })
        .into())
    }

    pub(super) async fn confirm_totp(
        &self,
        person: &Person,
        id: &str,
        code: &ask::Code,
    ) -> Result<Said, CommandError> {
        self.may_enrol(person)?;
        let id: Id<id::Factor> = parse_id(id)?;
        let (user, session) = (person.user_id, person.session_id);
        let rows = self.parts.factors_of(user).await?;
        let row = rows.iter().find(|row| row.id == id && row.confirmed_at.is_none());
        let row = row.cloned().ok_or(CommandError::NotFound)?;
        self.parts.people.are_secrets_open()?;
        let principals = self.parts.people.principals.load_full();
        let current = principals.session(session, self.now()).ok_or_else(failed)?;
        let org = current.org_id;
        let methods =
            with_method(&with_method(&current.methods, method_of(FactorKind::Totp)), "mfa");
        let renewed = self.another_token(current);
        let hash = renewed.as_ref().map(|token| *token.hash().as_bytes());
        let code = SecretString::new(code.code.secret().expose().to_owned());
        let (from, shared) = (current.address.clone(), Arc::clone(&self.parts));
        let begun = row.clone();
        let confirmed = self
            .parts
            .change_people(async move |tx: &mut Tx<'_>, book: &mut Book| {
                let rows = shared.factors_in(tx, user).await?;
                let which = Confirmed::NotYet(id);
                let taken = take_code(tx, &shared, &rows, &code, which, book.now).await?;
                if taken.is_none() || !shared.confirm_factor(tx, &begun, book.now).await? {
                    return Ok(false);
                }
                let payload = json!({ "actor": user, "kind": FactorKind::Totp, "user_id": user });
                book.enter(&shared, org, id, "factor.enrolled", &payload);
                let told = Notice::FactorAdded(FactorKind::Totp).from(&from);
                tell(tx, book, &shared, org, user, told).await?;
                let shown = SteppedUp { org, session, user, methods: &methods, token_hash: hash };
                store_step_up(tx, book, &shared, &shown).await
            })
            .await?;
        if !confirmed {
            return Err(failed());
        }
        let view = factor_view(&FactorRow { confirmed_at: Some(self.now()), ..row });
        Ok(self.shown_by(current, renewed, view))
    }

    pub(super) async fn remove_factor(
        &self,
        actor: &Actor,
        id: &str,
    ) -> Result<Said, CommandError> {
        let person = person_of(actor)?;
        actor.fresh(self.now())?;
        let id: Id<id::Factor> = parse_id(id)?;
        let user = person.user_id;
        let (org, from) = self.origin_of_session(person.session_id)?;
        let shared = Arc::clone(&self.parts);
        let removed = self
            .parts
            .change_people(async move |tx: &mut Tx<'_>, book: &mut Book| {
                // Locked, so that two requests cannot each leave the other's factor as the last.
                users::lock(tx, user).await?;
                let rows = shared.factors_in(tx, user).await?;
                let confirmed = rows.iter().filter(|row| row.confirmed_at.is_some());
                let others = confirmed.filter(|row| row.id != id).count();
                let Some(row) = rows.iter().find(|row| row.id == id) else {
                    return Ok(Removed::Unknown);
                };
                if row.confirmed_at.is_some() && others == 0 {
                    return Ok(Removed::Last);
                }
                factors::remove(tx, user, id).await?;
                let payload = json!({ "actor": user, "kind": row.kind, "user_id": user });
                book.enter(&shared, org, id, "factor.removed", &payload);
                if row.confirmed_at.is_some() {
                    let told = Notice::FactorRemoved(row.kind).from(&from);
                    tell(tx, book, &shared, org, user, told).await?;
                }
                Ok(Removed::Yes)
            })
            .await?;
        match removed {
            Removed::Yes => Ok(json!({ "id": id, "removed": true }).into()),
            Removed::Unknown => Err(CommandError::NotFound),
            Removed::Last => Err(no(Code::FactorConflict)),
        }
    }

    /// Ten new recovery codes, shown once; those before are void.
    pub(super) async fn recovery_codes(&self, actor: &Actor) -> Result<Said, CommandError> {
        let person = person_of(actor)?;
        actor.fresh(self.now())?;
        let user = person.user_id;
        let (org, from) = self.origin_of_session(person.session_id)?;
        let people = &self.parts.people;
        let environment = &self.parts.environment;
        let (codes, set) = environment.with_randomness(|random| {
            let codes: Vec<RecoveryCode> =
                (0..RECOVERY_CODES).map(|_| RecoveryCode::generate(random)).collect();
            (codes, RecoverySet::new(people.cost, random))
        });
        let shown: Vec<SecretString> = codes.iter().map(RecoveryCode::shown).collect();
        let text = set.to_text();
        let turn = people.hashing.turn().await?;
        let shared = Arc::clone(&self.parts);
        let work = move || hashed(&shared, &set, &codes);
        let (hashes, turn) = people.hashing.hash(turn, work).await?;
        let hashes = hashes.ok_or_else(|| no(Code::AuthBusy))?;
        let shared = Arc::clone(&self.parts);
        self.parts
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                let codes = shared.coded_recovery(user, &hashes, book.now);
                factors::replace_codes(tx, user, &codes).await?;
                users::set_recovery_set(tx, user, Some(&text)).await?;
                let payload = json!({ "actor": user });
                book.enter(&shared, org, user, "recovery_codes.made", &payload);
                let told = Notice::RecoveryCodesMade.from(&from);
                tell(tx, book, &shared, org, user, told).await
            })
            .await?;
        drop(turn);
        let codes: Vec<&str> = shown.iter().map(SecretString::expose).collect();
        Ok(json!({ "codes": codes }).into())
    }
}

enum Removed {
    Yes,
    Unknown,
    Last,
}

fn hashed(shared: &Shared, set: &RecoverySet, codes: &[RecoveryCode]) -> Option<Vec<Vec<u8>>> {
    let hash = |code| set.hash(code, &shared.people.pepper).ok();
    codes.iter().map(|code| Some(hash(code)?.as_bytes().to_vec())).collect()
}

/// A factor as its owner sees it.
pub(super) fn factor_view(row: &FactorRow) -> Value {
    json!({
        "id": row.id, "type": row.kind, "name": row.name,
        "confirmed": row.confirmed_at.is_some(), "weak": row.kind == FactorKind::Sms,
        "created_at": row.created_at, "last_used_at": row.last_used_at,
    })
}
