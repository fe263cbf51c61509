//! What the browser sends: `RegistrationResponseJSON` and `AuthenticationResponseJSON` (WebAuthn
//! Level 3 section 5.1), the text of `PublicKeyCredential.toJSON()`.
//!
//! Members that are copies of others (`publicKey`, `authenticatorData` of a registration) or that
//! we asked nothing of (`clientExtensionResults`) are not read.

use serde::Deserialize;

use super::{
    cbor,
    error::{Part, WebauthnError},
};
use crate::base64url_decode;

/// Longest response, in bytes.
pub const MAX_RESPONSE_BYTES: usize = 128 * 1024;

/// Longest credential id, in bytes (Level 3 section 7.1 step 25).
pub const MAX_CREDENTIAL_ID_BYTES: usize = 1023;

/// Shortest credential id, in bytes (Level 3 section 4). A shorter one could be guessed.
pub(super) const MIN_CREDENTIAL_ID_BYTES: usize = 16;

/// Longest user handle, in bytes (Level 3 section 5.4.3).
pub const MAX_USER_HANDLE_BYTES: usize = 64;

/// Most transports of a credential.
pub(super) const MAX_TRANSPORTS: usize = 16;

/// Longest name of a transport, in bytes.
const MAX_TRANSPORT_BYTES: usize = 32;

const MAX_CLIENT_DATA_BYTES: usize = 8 * 1024;
const MAX_AUTHENTICATOR_DATA_BYTES: usize = 8 * 1024;
const MAX_SIGNATURE_BYTES: usize = 1024;

const MALFORMED: WebauthnError = WebauthnError::Malformed(Part::Response);

/// A new credential, as the browser sends it. Nothing in it is believed yet.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationResponse {
    id: String,
    raw_id: String,
    #[serde(rename = "type")]
    kind: String,
    response: AttestationJson,
}

#[derive(Clone, Debug, Deserialize)]
struct AttestationJson {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    #[serde(rename = "attestationObject")]
    attestation_object: String,
    #[serde(default)]
    transports: Vec<String>,
}

/// A log-in, as the browser sends it. Nothing in it is believed yet.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationResponse {
    id: String,
    raw_id: String,
    #[serde(rename = "type")]
    kind: String,
    response: AssertionJson,
}

#[derive(Clone, Debug, Deserialize)]
struct AssertionJson {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    #[serde(rename = "authenticatorData")]
    authenticator_data: String,
    signature: String,
    #[serde(rename = "userHandle")]
    user_handle: Option<String>,
}

/// The bytes of a registration, each within its bound.
pub(super) struct Registration {
    pub(super) id: Vec<u8>,
    pub(super) client_data: Vec<u8>,
    pub(super) attestation_object: Vec<u8>,
    pub(super) transports: Vec<String>,
}

/// The bytes of a log-in, each within its bound.
pub(super) struct Assertion {
    pub(super) id: Vec<u8>,
    pub(super) client_data: Vec<u8>,
    pub(super) authenticator_data: Vec<u8>,
    pub(super) signature: Vec<u8>,
    pub(super) user_handle: Option<Vec<u8>>,
}

impl RegistrationResponse {
    /// Reads the JSON text, up to [`MAX_RESPONSE_BYTES`].
    pub fn from_json(text: &[u8]) -> Result<Self, WebauthnError> {
        read(text)
    }

    pub(super) fn decode(&self) -> Result<Registration, WebauthnError> {
        Ok(Registration {
            id: credential_id(&self.kind, &self.id, &self.raw_id)?,
            client_data: bytes(&self.response.client_data, MAX_CLIENT_DATA_BYTES)?,
            attestation_object: bytes(&self.response.attestation_object, cbor::MAX_BYTES)?,
            transports: transports(&self.response.transports)?,
        })
    }
}

impl AuthenticationResponse {
    /// Reads the JSON text, up to [`MAX_RESPONSE_BYTES`].
    pub fn from_json(text: &[u8]) -> Result<Self, WebauthnError> {
        read(text)
    }

    /// The id of the credential that it claims to be made with, to look that up.
    pub fn credential_id(&self) -> Result<Vec<u8>, WebauthnError> {
        credential_id(&self.kind, &self.id, &self.raw_id)
    }

    pub(super) fn decode(&self) -> Result<Assertion, WebauthnError> {
        let user_handle = match &self.response.user_handle {
            Some(text) => Some(bytes(text, MAX_USER_HANDLE_BYTES)?),
            None => None,
        };
        if user_handle.as_ref().is_some_and(Vec::is_empty) {
            return Err(MALFORMED);
        }
        Ok(Assertion {
            id: self.credential_id()?,
            client_data: bytes(&self.response.client_data, MAX_CLIENT_DATA_BYTES)?,
            authenticator_data: bytes(
                &self.response.authenticator_data,
                MAX_AUTHENTICATOR_DATA_BYTES,
            )?,
            signature: bytes(&self.response.signature, MAX_SIGNATURE_BYTES)?,
            user_handle,
        })
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, WebauthnError> {
    if text.len() > MAX_RESPONSE_BYTES {
        return Err(MALFORMED);
    }
    serde_json::from_slice(text).map_err(|_| MALFORMED)
}

/// `id` and `rawId` are one value; both are sent because one of them is bytes in a browser.
fn credential_id(kind: &str, id: &str, raw_id: &str) -> Result<Vec<u8>, WebauthnError> {
    if kind != "public-key" || id != raw_id {
        return Err(MALFORMED);
    }
    if id.len() > encoded_length(MAX_CREDENTIAL_ID_BYTES) {
        return Err(WebauthnError::CredentialIdTooLong);
    }
    bytes(id, MAX_CREDENTIAL_ID_BYTES)
}

fn bytes(text: &str, most: usize) -> Result<Vec<u8>, WebauthnError> {
    if text.len() > encoded_length(most) {
        return Err(MALFORMED);
    }
    base64url_decode(text).map_err(|_| MALFORMED)
}

/// Letters of base64url without padding for so many bytes.
const fn encoded_length(bytes: usize) -> usize {
    bytes.saturating_mul(4).div_ceil(3)
}

/// Sorted, each once. Names that we do not know are kept: they are handed back to browsers that do.
fn transports(names: &[String]) -> Result<Vec<String>, WebauthnError> {
    if names.len() > MAX_TRANSPORTS || !names.iter().all(|name| is_transport(name)) {
        return Err(MALFORMED);
    }
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Small letters, digits and hyphens, as all names that there are.
pub(super) fn is_transport(name: &str) -> bool {
    (1..=MAX_TRANSPORT_BYTES).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
