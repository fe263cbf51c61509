//! Showing a second factor: at a login and at a step-up.

use super::hashing::Turn;
use super::login::{WrongTry, after_failure, may_try, note_failure};
use super::notices::{Notice, tell};
use super::passkeys::Checked;
use super::sessions::{method_of, with_method};
use super::{Proof, sms};
use crate::book::Book;
use crate::command::error::{CommandError, away, failed, invalid, no};
use crate::effects::Severity;
use crate::{Engine, Shared};
use serde_json::json;
use std::sync::Arc;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::person::FactorKind;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::totp::TotpSecret;
use tradewarden_seal::{Place, RecoveryCode, RecoverySet, SecretString};
use tradewarden_store::factors::{self, FactorRow};
use tradewarden_store::users::{self, Failures};
use tradewarden_store::{Error, Tx};

/// Earlier steps whose code is still taken (RFC 6238 section 5.2).
const SKEW_BACK_STEPS: u64 = 1;

/// What was shown, as far as it could be judged before the transaction.
pub(super) struct Prepared {
    pub(super) material: Material,
    /// Held until what is counted is written.
    pub(super) turn: Option<Turn>,
}

/// Whose proof it is, and where it comes from.
pub(super) struct Judge {
    pub(super) org: Id<id::Org>,
    pub(super) user: Id<id::User>,
    pub(super) from: String,
}

/// What is left to judge inside the transaction.
#[derive(Clone)]
pub(super) enum Material {
    /// A code; it may be used once.
    Totp(Arc<SecretString>),
    /// The hash of a recovery code; it may be used once.
    Recovery([u8; 32]),
    /// A code by text message, and under what the right one is stored.
    Sms([u8; 32], Arc<SecretString>),
    /// What a passkey signed, found right or wrong.
    Passkey(Option<Checked>),
    /// Nothing that could be right.
    Nothing(FactorKind),
}

impl Engine {
    /// Does the slow work of a proof.
    pub(super) async fn prepared(
        &self,
        user: Id<id::User>,
        kind: FactorKind,
        proof: &Proof,
        challenge: Option<Vec<u8>>,
    ) -> Result<Prepared, CommandError> {
        let code =
            || proof.code.as_ref().ok_or_else(|| invalid("code", &"is required for this type"));
        let at_once = |material| Ok(Prepared { material, turn: None });
        if needs_secrets(kind) {
            self.parts.people.are_secrets_open()?;
        }
        match kind {
            FactorKind::Totp => {
                let code = SecretString::new(code()?.secret().expose().to_owned());
                at_once(Material::Totp(Arc::new(code)))
            }
            FactorKind::Webauthn => {
                let shown = proof.credential.as_ref();
                let shown =
                    shown.ok_or_else(|| invalid("credential", &"is required for this type"))?;
                let checked = match challenge {
                    Some(challenge) => self.check_passkey(&challenge, shown, Some(user)).await?,
                    None => None,
                };
                at_once(Material::Passkey(checked))
            }
            FactorKind::RecoveryCode => {
                let code = RecoveryCode::parse(code()?.secret());
                let Ok(code) = code else { return at_once(Material::Nothing(kind)) };
                self.hashed_code(user, code).await
            }
            FactorKind::Sms => {
                if !sms::is_available(&self.parts) {
                    return Err(no(Code::FactorUnavailable));
                }
                // Only a login has a challenge under which a code may have been sent.
                let slot = sms::slot_of_login(proof.challenge_id.as_deref().unwrap_or_default());
                let code = SecretString::new(code()?.secret().expose().to_owned());
                at_once(Material::Sms(slot, Arc::new(code)))
            }
        }
    }

    async fn hashed_code(
        &self,
        user: Id<id::User>,
        code: RecoveryCode,
    ) -> Result<Prepared, CommandError> {
        let turn = self.parts.people.hashing.turn().await?;
        let row = users::find(&self.parts.store, user).await.map_err(|error| away(&error))?;
        let row = row.ok_or_else(failed)?;
        let cost = self.parts.people.cost;
        let set = row.recovery_set.as_deref().and_then(|text| RecoverySet::from_text(text).ok());
        let set = set.unwrap_or_else(|| RecoverySet::decoy(cost));
        let shared = Arc::clone(&self.parts);
        let work = move || set.hash(&code, &shared.people.pepper).map(|hash| *hash.as_bytes());
        let (hash, turn) = self.parts.people.hashing.hash(turn, work).await?;
        let hash = hash.map_err(|_| no(Code::AuthBusy))?;
        Ok(Prepared { material: Material::Recovery(hash), turn: Some(turn) })
    }
}

/// Whether what a proof of this kind is held against is sealed.
pub(super) const fn needs_secrets(kind: FactorKind) -> bool {
    match kind {
        FactorKind::Totp | FactorKind::Sms => true,
        FactorKind::Webauthn | FactorKind::RecoveryCode => false,
    }
}

impl Material {
    const fn kind(&self) -> FactorKind {
        match self {
            Self::Totp(_) => FactorKind::Totp,
            Self::Recovery(_) => FactorKind::RecoveryCode,
            Self::Sms(..) => FactorKind::Sms,
            Self::Passkey(_) => FactorKind::Webauthn,
            Self::Nothing(kind) => *kind,
        }
    }

    /// The methods of a session once this was shown.
    pub(super) fn methods(&self, before: &str) -> String {
        with_method(&with_method(before, method_of(self.kind())), "mfa")
    }

    /// Judges the proof and uses it up; a wrong one is counted. Passkeys cannot be guessed, so they
    /// are neither counted nor locked: nobody can keep their owner out with wrong codes.
    pub(super) async fn judge(
        &self,
        tx: &mut Tx<'_>,
        book: &mut Book,
        shared: &Shared,
        judge: &Judge,
    ) -> Result<bool, Error> {
        let Judge { org, user, from } = judge;
        let (org, user) = (*org, *user);
        let Some(row) = users::lock(tx, user).await? else { return Ok(false) };
        if let Self::Passkey(checked) = self {
            let Some(checked) = checked else { return Ok(false) };
            checked.note(tx, book, shared, org).await?;
            return Ok(true);
        }
        if !may_try(row.factor, book.now) {
            return Ok(false);
        }
        let right = match self {
            Self::Totp(code) => {
                let rows = shared.factors_in(tx, user).await?;
                take_code(tx, shared, &rows, code, Confirmed::Only, book.now).await?.is_some()
            }
            Self::Recovery(hash) => shared.use_recovery(tx, user, hash).await?,
            Self::Sms(slot, code) => {
                sms::take(tx, shared, (user, *slot), code, book.now).await?.is_some()
            }
            Self::Passkey(_) | Self::Nothing(_) => false,
        };
        if !right {
            let failures = after_failure(row.factor.count, book.now);
            users::set_factor_failures(tx, user, failures).await?;
            let (method, failures) = (method_of(self.kind()), failures.count);
            let wrong = WrongTry { org, user, method, from, failures };
            note_failure(tx, book, shared, wrong).await?;
            return Ok(false);
        }
        if row.factor.count > 0 {
            let none = Failures { count: 0, locked_until: Timestamp::from_unix_micros(0) };
            users::set_factor_failures(tx, user, none).await?;
        }
        if matches!(self, Self::Recovery(_)) {
            let payload = json!({ "actor": user });
            book.enter(shared, org, user, "recovery_code.used", &payload);
            let subject = format!("user:{user}");
            let detail = "a recovery code was used in place of the usual factor".to_owned();
            let code = "auth.recovery_code";
            book.find(shared, org, code, Severity::Warning, subject, detail);
            let told = Notice::RecoveryCodeUsed.from(from);
            tell(tx, book, shared, org, user, told).await?;
        }
        Ok(true)
    }
}

/// Which factors a code may belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirmed {
    /// Those that were confirmed.
    Only,
    /// One that is being confirmed.
    NotYet(Id<id::Factor>),
}

/// Takes a code once: the factor whose code it is, if neither it nor a later one was taken before.
pub(super) async fn take_code(
    tx: &mut Tx<'_>,
    shared: &Shared,
    rows: &[FactorRow],
    code: &SecretString,
    which: Confirmed,
    now: Timestamp,
) -> Result<Option<Id<id::Factor>>, Error> {
    for row in rows.iter().filter(|row| row.kind == FactorKind::Totp) {
        let wanted = match which {
            Confirmed::Only => row.confirmed_at.is_some(),
            Confirmed::NotYet(id) => row.id == id && row.confirmed_at.is_none(),
        };
        if !wanted {
            continue;
        }
        let id = row.id.to_bytes();
        let opened = shared.people.key.load().open(&totp_place(&id), &row.material);
        let opened = opened.map_err(|_| {
            Error::unreadable(format!("factor {}: its secret does not open", row.id))
        })?;
        let secret = TotpSecret::from_bytes(opened)
            .map_err(|_| Error::unreadable(format!("factor {}: it is no secret", row.id)))?;
        let unix_s = u64::try_from(now.unix_seconds()).unwrap_or(0);
        let Some(step) = secret.matching_step(code, unix_s, SKEW_BACK_STEPS) else {
            continue;
        };
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        if factors::use_step(tx, row.id, step, now).await? {
            return Ok(Some(row.id));
        }
    }
    Ok(None)
}

/// Where the secret of time-based codes is sealed.
pub(super) fn totp_place(id: &[u8; 16]) -> Place<'_> {
    Place { tenant: &[0; 16], table: "factors", column: "material", row: id, schema_version: 1 }
}
