//! Codes of single rows that let something be done once: what waits for a second person, and what one
//! order may pass; and of those that somebody is let in by. Nobody else can make them, so a row that was
//! put in or changed past the gateway lets nothing be done, and is as if it were not there. Whoever puts a
//! whole row back as it once was is not seen by its code: rows that live longer are held against the audit
//! log, see `seals`.

mod strangers;

pub(crate) use strangers::{Stranger, Strangers};

use tradewarden_domain::id::{self, Id};
use tradewarden_domain::overrides::Override;
use tradewarden_domain::person::{ChallengeKind, FactorKind, User};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{Digest, RowSealer};
use tradewarden_store::challenges::Challenge;
use tradewarden_store::factors::{FactorRow, RecoveryRow};
use tradewarden_store::invitations::Invitation;
use tradewarden_store::overrides::OverrideRow;
use tradewarden_store::pending::PendingRow;
use tradewarden_store::sessions::{RefreshRow, SessionRow};

/// The code of an action that waits.
pub(crate) fn of_pending(sealer: &RowSealer, row: &PendingRow) -> [u8; 32] {
    let times = [row.requested_at, row.expires_at].map(|at| at.unix_micros().to_be_bytes());
    bytes(sealer.code(&[
        b"pending",
        &row.id.to_bytes(),
        &row.org_id.to_bytes(),
        row.command.as_bytes(),
        row.summary.as_bytes(),
        &row.requested_by.to_bytes(),
        &times[0],
        &times[1],
    ]))
}

/// The code of an override that waits for its second person.
pub(crate) fn of_request(sealer: &RowSealer, row: &OverrideRow) -> [u8; 32] {
    bytes(sealer.code(&[
        b"override requested",
        &of_override(sealer, &row.terms),
        &row.valid_s.to_be_bytes(),
        row.requested_by.as_bytes(),
        &row.requested_at.unix_micros().to_be_bytes(),
    ]))
}

/// The code of an override that an order may use.
pub(crate) fn of_override(sealer: &RowSealer, terms: &Override) -> [u8; 32] {
    bytes(sealer.code(&[
        b"override",
        &terms.id.to_bytes(),
        &terms.org_id.to_bytes(),
        &terms.account_id.to_bytes(),
        terms.symbol.as_str().as_bytes(),
        terms.side.text().as_bytes(),
        &terms.quantity.units().to_be_bytes(),
        terms.limit.text().as_bytes(),
        &terms.expires_at.unix_micros().to_be_bytes(),
    ]))
}

/// The code of a session that is alive. Where it comes from and when it was last seen grant nothing; the
/// latter changes with every request.
pub(crate) fn of_session(sealer: &RowSealer, row: &SessionRow) -> [u8; 32] {
    bytes(sealer.code(&[
        b"session",
        &row.id.to_bytes(),
        &row.user_id.to_bytes(),
        &row.org_id.to_bytes(),
        row.kind.text().as_bytes(),
        row.token_hash.as_ref().map_or(&[], |hash| hash.as_slice()),
        row.methods.as_bytes(),
        &instant(row.authenticated_at),
        &maybe(row.factor_at),
        &instant(row.expires_at),
    ]))
}

/// The code of a refresh token.
pub(crate) fn of_refresh(sealer: &RowSealer, row: &RefreshRow) -> [u8; 32] {
    bytes(sealer.code(&[
        b"refresh token",
        &row.token_hash,
        &row.session_id.to_bytes(),
        &instant(row.issued_at),
        &maybe(row.used_at),
    ]))
}

/// The code of a second factor. What is sealed is left out: it is sealed anew with another key, and opens
/// at this factor alone. When it was last used is left out, too: a code is right for a minute.
pub(crate) fn of_factor(sealer: &RowSealer, row: &FactorRow) -> [u8; 32] {
    let material: &[u8] = match row.kind {
        FactorKind::Webauthn => &row.material,
        FactorKind::Totp | FactorKind::Sms | FactorKind::RecoveryCode => &[],
    };
    bytes(sealer.code(&[
        b"factor",
        &row.id.to_bytes(),
        &row.user_id.to_bytes(),
        row.kind.text().as_bytes(),
        row.name.as_bytes(),
        row.credential_id.as_deref().unwrap_or_default(),
        material,
        &maybe(row.confirmed_at),
        &instant(row.created_at),
    ]))
}

/// The code of somebody's recovery code.
pub(crate) fn of_recovery(sealer: &RowSealer, user: Id<id::User>, row: &RecoveryRow) -> [u8; 32] {
    bytes(sealer.code(&[b"recovery code", &user.to_bytes(), &row.hash, &instant(row.created_at)]))
}

/// The code of who a person is: by the e-mail they are asked, let in and sent links.
pub(crate) fn of_person(sealer: &RowSealer, user: &User) -> [u8; 32] {
    let (id, created_at) = (user.id.to_bytes(), instant(user.created_at));
    bytes(sealer.code(&[b"person", &id, user.email.as_bytes(), &created_at]))
}

/// The code of somebody's password. It is apart from who the person is, so that a new one makes right what
/// was changed of the one before, and nothing else.
pub(crate) fn of_password(sealer: &RowSealer, user: Id<id::User>, hash: &str) -> [u8; 32] {
    bytes(sealer.code(&[b"password", &user.to_bytes(), hash.as_bytes()]))
}

/// The code of what was begun and waits for its second half. What is sealed is left out, as with factors,
/// and so are tries.
pub(crate) fn of_challenge(sealer: &RowSealer, row: &Challenge) -> [u8; 32] {
    let content: &[u8] = if row.kind == ChallengeKind::Sms { &[] } else { &row.content };
    bytes(sealer.code(&[
        b"challenge",
        &row.token_hash,
        row.kind.text().as_bytes(),
        &row.user_id.map(|user| user.to_bytes().to_vec()).unwrap_or_default(),
        content,
        &instant(row.expires_at),
    ]))
}

/// The code of an invitation.
pub(crate) fn of_invitation(sealer: &RowSealer, row: &Invitation) -> [u8; 32] {
    bytes(sealer.code(&[
        b"invitation",
        &row.id.to_bytes(),
        &row.org_id.to_bytes(),
        row.email.as_bytes(),
        row.email_key.as_bytes(),
        row.role.as_bytes(),
        &row.token_hash,
        &instant(row.created_at),
        &instant(row.expires_at),
    ]))
}

/// Those of the overrides that were confirmed as they stand there.
pub(crate) fn usable(sealer: &RowSealer, rows: Vec<(Override, [u8; 32])>) -> Vec<Override> {
    let whole = rows.into_iter().filter(|(terms, code)| {
        let is_whole = *code == of_override(sealer, terms);
        if !is_whole {
            tracing::error!(override.id = %terms.id, "an override was changed past the gateway");
        }
        is_whole
    });
    whole.map(|(terms, _)| terms).collect()
}

const fn instant(at: Timestamp) -> [u8; 8] {
    at.unix_micros().to_be_bytes()
}

/// Nothing where there is none.
fn maybe(at: Option<Timestamp>) -> Vec<u8> {
    at.map(|at| instant(at).to_vec()).unwrap_or_default()
}

const fn bytes(code: Digest) -> [u8; 32] {
    *code.as_bytes()
}
