//! `WebAuthn` Level 3, the relying party's half: passkeys and hardware keys (W3C, Web Authentication
//! Level 3, sections 7.1 and 7.2; why it is our own: docs/adr/0009).
//!
//! Pure: challenges are made, kept and forgotten by the caller, and nothing here looks at a clock.
//!
//! ```text
//! creation_options ──> browser ──> RegistrationResponse   ──> verify_registration   ──> Credential
//! request_options  ──> browser ──> AuthenticationResponse ──> verify_authentication ──> Authentication
//! ```
//!
//! Invariants
//! - The user was present and verified, in both ceremonies, always.
//! - Nothing was made in a frame of another site's page.
//! - Attestation is neither asked for nor verified: no certificate is read, and what a credential
//!   says of its authenticator's model is that authenticator's own word.
//! - Everything that is signed is judged as the bytes that came.
//!
//! What is left to the caller: a challenge is random, used once, bound to who asked, and ends; a
//! credential id belongs to one user of all; the user handle is the user's; a counter that went back
//! is looked at.

mod authenticator_data;
mod cbor;
mod client_data;
mod credential;
mod error;
mod public_key;
mod relying_party;
mod response;

use authenticator_data::{AuthenticatorData, read_attestation_object};
use client_data::Ceremony;
pub use credential::{Authentication, Credential, MAX_STORED_BYTES};
pub use error::{Part, WebauthnError};
pub use public_key::Algorithm;
use public_key::PublicKey;
pub use relying_party::{MAX_NAME_BYTES, MAX_ORIGINS, RelyingParty, SetupError, TIMEOUT_MS, User};
pub use response::{
    AuthenticationResponse, MAX_CREDENTIAL_ID_BYTES, MAX_RESPONSE_BYTES, MAX_USER_HANDLE_BYTES,
    RegistrationResponse,
};

use crate::Digest;

/// Judges a registration (Level 3 section 7.1). `challenge` is the one of the options that the
/// browser was given. Whether the credential's id is another user's already is for the caller.
pub fn verify_registration(
    relying_party: &RelyingParty,
    challenge: &[u8; 32],
    response: &RegistrationResponse,
) -> Result<Credential, WebauthnError> {
    let registration = response.decode()?;
    let client_data = &registration.client_data;
    client_data::check(relying_party, Ceremony::Registration, challenge, client_data)?;
    let data = AuthenticatorData::read(read_attestation_object(&registration.attestation_object)?)?;
    relying_party.check(&data)?;
    let attested = data.credential.ok_or(WebauthnError::Malformed(Part::AuthenticatorData))?;
    let key = PublicKey::read(attested.public_key)?;
    if !relying_party.offers(key.algorithm()) {
        return Err(WebauthnError::Algorithm);
    }
    let credential = Credential::registered(&data, &attested, registration.transports)?;
    if credential.id() != registration.id {
        return Err(WebauthnError::OtherCredential);
    }
    Ok(credential)
}

/// Judges a log-in (Level 3 section 7.2). `challenge` is the one of the options that the browser
/// was given, and `credential` the stored one with [`AuthenticationResponse::credential_id`], which
/// the caller has found among those it allowed.
///
/// The caller then holds [`Authentication::user_handle`] against the user whose credential it is.
pub fn verify_authentication(
    relying_party: &RelyingParty,
    challenge: &[u8; 32],
    credential: &Credential,
    response: &AuthenticationResponse,
) -> Result<Authentication, WebauthnError> {
    let assertion = response.decode()?;
    if credential.id() != assertion.id {
        return Err(WebauthnError::OtherCredential);
    }
    let client_data = &assertion.client_data;
    client_data::check(relying_party, Ceremony::Authentication, challenge, client_data)?;
    let data = AuthenticatorData::read(&assertion.authenticator_data)?;
    relying_party.check(&data)?;
    // A new credential has no place in a log-in (Level 3 section 6.1).
    if data.credential.is_some() {
        return Err(WebauthnError::Malformed(Part::AuthenticatorData));
    }
    if data.flags.backup_eligible() != credential.backup_eligible() {
        return Err(WebauthnError::BackupEligibility);
    }
    let hash = Digest::sha256(client_data);
    let message = [assertion.authenticator_data.as_slice(), hash.as_bytes()].concat();
    if !credential.public_key()?.verifies(&message, &assertion.signature) {
        return Err(WebauthnError::Signature);
    }
    Ok(Authentication {
        sign_count: data.sign_count,
        backup_state: data.flags.backup_state(),
        user_handle: assertion.user_handle,
        counter_went_back: credential.counter_goes_back_to(data.sign_count),
    })
}
