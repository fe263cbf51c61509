//! A credential as it is kept.

use serde::Deserialize;
use serde_json::json;

use super::{
    authenticator_data::{AttestedCredential, AuthenticatorData},
    error::{Part, WebauthnError},
    public_key::{Algorithm, PublicKey},
    response::{MAX_CREDENTIAL_ID_BYTES, MAX_TRANSPORTS, MIN_CREDENTIAL_ID_BYTES, is_transport},
};
use crate::{EncodingError, base64url_decode, base64url_encode, hex_decode, hex_encode};

/// Longest stored text of a credential, in bytes: an id of 1,023 bytes, an RSA key of 4,096 bits and
/// all the transports need about 2,900.
pub const MAX_STORED_BYTES: usize = 4096;

/// What is kept of a registration (a credential record, Level 3 section 4). Public by nature: who
/// reads it can log in nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    id: Vec<u8>,
    public_key_cose: Vec<u8>,
    sign_count: u32,
    aaguid: [u8; 16],
    transports: Vec<String>,
    backup_eligible: bool,
    backup_state: bool,
}

/// A log-in that was verified. The caller has two things left to do: to hold `user_handle` against
/// the user whose credential it is, and to store the credential [`Credential::after`] it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// The authenticator's new signature counter; 0 where it keeps none.
    pub sign_count: u32,
    /// Whether the credential is backed up now.
    pub backup_state: bool,
    /// Whose credential it is according to the authenticator, 1 to 64 bytes. Always there in a
    /// log-in without a user name.
    pub user_handle: Option<Vec<u8>>,
    /// The counter is not above the last one although there is one: perhaps the key was copied. A
    /// sign, not a proof, so it is told and not refused (Level 3 section 6.1.1).
    pub counter_went_back: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    aaguid: String,
    backup_eligible: bool,
    backup_state: bool,
    id: String,
    public_key: String,
    sign_count: u32,
    transports: Vec<String>,
    v: u8,
}

impl Credential {
    /// What makes one credential another: unique among all users. 16 to 1,023 bytes.
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// The public key as the authenticator wrote it, a `COSE_Key`.
    pub fn public_key_cose(&self) -> &[u8] {
        &self.public_key_cose
    }

    /// The signature counter at the last use; 0 where the authenticator keeps none.
    pub fn sign_count(&self) -> u32 {
        self.sign_count
    }

    /// The model of the authenticator by its own word, which nothing proves; zeros where it does not
    /// say.
    pub fn aaguid(&self) -> &[u8; 16] {
        &self.aaguid
    }

    /// How the browser reaches the authenticator, such as `usb` or `internal`; sorted.
    pub fn transports(&self) -> &[String] {
        &self.transports
    }

    /// Whether it can be copied to other devices (a synced passkey). Fixed at registration.
    pub fn backup_eligible(&self) -> bool {
        self.backup_eligible
    }

    /// Whether it was backed up at the last use.
    pub fn backup_state(&self) -> bool {
        self.backup_state
    }

    /// The credential as it is to be stored after this log-in.
    #[must_use]
    pub fn after(mut self, authentication: &Authentication) -> Self {
        self.sign_count = authentication.sign_count;
        self.backup_state = authentication.backup_state;
        self
    }

    /// The text to store, canonical JSON (RFC 8785); up to [`MAX_STORED_BYTES`].
    pub fn to_stored(&self) -> String {
        json!({
            "aaguid": hex_encode(&self.aaguid),
            "backup_eligible": self.backup_eligible,
            "backup_state": self.backup_state,
            "id": base64url_encode(&self.id),
            "public_key": base64url_encode(&self.public_key_cose),
            "sign_count": self.sign_count,
            "transports": self.transports,
            "v": 1,
        })
        .to_string()
    }

    /// A credential as [`Self::to_stored`] wrote it; another spelling is refused.
    pub fn from_stored(text: &str) -> Result<Self, EncodingError> {
        if text.len() > MAX_STORED_BYTES {
            return Err(EncodingError);
        }
        let stored: Stored = serde_json::from_str(text).map_err(|_| EncodingError)?;
        let credential = Self {
            id: base64url_decode(&stored.id)?,
            public_key_cose: base64url_decode(&stored.public_key)?,
            sign_count: stored.sign_count,
            aaguid: hex_decode(&stored.aaguid)?.try_into().map_err(|_| EncodingError)?,
            transports: stored.transports,
            backup_eligible: stored.backup_eligible,
            backup_state: stored.backup_state,
        };
        let sorted = credential.transports.is_sorted_by(|one, next| one < next)
            && credential.transports.len() <= MAX_TRANSPORTS
            && credential.transports.iter().all(|name| is_transport(name));
        let sound = sorted
            && (MIN_CREDENTIAL_ID_BYTES..=MAX_CREDENTIAL_ID_BYTES).contains(&credential.id.len())
            && (credential.backup_eligible || !credential.backup_state)
            && credential.public_key().is_ok();
        if sound && stored.v == 1 && credential.to_stored() == text {
            Ok(credential)
        } else {
            Err(EncodingError)
        }
    }

    /// The kind of its key.
    pub fn algorithm(&self) -> Result<Algorithm, WebauthnError> {
        self.public_key().map(|key| key.algorithm())
    }

    pub(super) fn public_key(&self) -> Result<PublicKey, WebauthnError> {
        PublicKey::read(&self.public_key_cose)
    }

    /// The credential that this data tells of, whose key was read and is of a kind that was offered.
    pub(super) fn registered(
        data: &AuthenticatorData<'_>,
        attested: &AttestedCredential<'_>,
        transports: Vec<String>,
    ) -> Result<Self, WebauthnError> {
        if attested.id.len() > MAX_CREDENTIAL_ID_BYTES {
            return Err(WebauthnError::CredentialIdTooLong);
        }
        if attested.id.len() < MIN_CREDENTIAL_ID_BYTES {
            return Err(WebauthnError::Malformed(Part::AuthenticatorData));
        }
        Ok(Self {
            id: attested.id.to_vec(),
            public_key_cose: attested.public_key.to_vec(),
            sign_count: data.sign_count,
            aaguid: attested.aaguid,
            transports,
            backup_eligible: data.flags.backup_eligible(),
            backup_state: data.flags.backup_state(),
        })
    }

    pub(super) fn counter_goes_back_to(&self, new: u32) -> bool {
        (new != 0 || self.sign_count != 0) && new <= self.sign_count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &str = concat!(
        r#"{"aaguid":"000102030405060708090a0b0c0d0e0f","backup_eligible":true,"backup_state":false,"#,
        r#""id":"CQkJCQkJCQkJCQkJCQkJCQ","#,
        r#""public_key":"pAEBAycgBiFYINdamAGCsQq31Uv-08lkBzoO4XLz2qYjJa8CGmj3B1Ea","#,
        r#""sign_count":4294967295,"transports":["internal","usb"],"v":1}"#
    );

    impl Credential {
        /// A credential with the key of RFC 8032 section 7.1, test 1.
        pub(in crate::webauthn) fn example() -> Self {
            Self::from_stored(STORED).unwrap()
        }
    }

    /// The form is on somebody's disk.
    #[test]
    fn the_stored_form_is_frozen() {
        let credential = Credential::example();
        assert_eq!(credential.to_stored(), STORED);
        assert_eq!(crate::to_canonical(&serde_json::from_str(STORED).unwrap()).unwrap(), STORED);
        assert_eq!(credential.id(), [9; 16]);
        assert_eq!(credential.aaguid()[15], 15);
        assert_eq!(credential.sign_count(), u32::MAX);
        assert_eq!(credential.transports(), ["internal", "usb"]);
        assert!(credential.backup_eligible() && !credential.backup_state());
        assert_eq!(credential.algorithm(), Ok(Algorithm::EdDsa));
        assert_eq!(credential.public_key_cose().len(), 42);
    }

    #[test]
    fn another_text_is_no_credential() {
        for (from, to) in [
            (r#""v":1"#, r#""v":2"#),
            (r#""v":1"#, r#""v":1,"w":1"#),
            (r#""v":1"#, r#""v": 1"#),
            (r#","v":1"#, ""),
            (
                r#""backup_eligible":true,"backup_state":false"#,
                r#""backup_eligible":false,"backup_state":true"#,
            ),
            ("0f\"", "0F\""),
            ("0f\"", "\""),
            ("CQkJCQkJCQkJCQkJCQkJCQ", "CQkJCQkJCQkJCQkJCQkJCR"),
            ("CQkJCQkJCQkJCQkJCQkJCQ", "CQkJCQkJCQkJCQkJCQkJ"),
            ("pAEBAyc", "pAEBAyY"),
            ("4294967295", "4294967296"),
            ("4294967295", "-1"),
            (r#"["internal","usb"]"#, r#"["usb","internal"]"#),
            (r#"["internal","usb"]"#, r#"["usb","usb"]"#),
            (r#"["internal","usb"]"#, r#"["USB"]"#),
            (r#"["internal","usb"]"#, r#"[""]"#),
        ] {
            let changed = STORED.replacen(from, to, 1);
            assert_ne!(changed, STORED, "{from}");
            assert_eq!(Credential::from_stored(&changed), Err(EncodingError), "{from} {to}");
        }
        assert!(Credential::from_stored("").is_err());
        assert!(Credential::from_stored(&" ".repeat(MAX_STORED_BYTES + 1)).is_err());
    }

    #[test]
    fn the_largest_credential_fits() {
        let mut largest = Credential::example();
        largest.id = vec![0xff; MAX_CREDENTIAL_ID_BYTES];
        let modulus = vec![0xff; 512];
        let head = [0xa4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20, 0x59, 0x02, 0x00];
        let exponent = [0x21, 0x44, 0xff, 0xff, 0xff, 0xff];
        largest.public_key_cose = [&head[..], &modulus, &exponent].concat();
        largest.transports = (0..16).map(|n| format!("{n:x}").repeat(32)).collect();
        let stored = largest.to_stored();
        assert_eq!(Credential::from_stored(&stored), Ok(largest));
    }

    #[test]
    fn only_the_counter_and_the_backup_change() {
        let before = Credential::example();
        let (sign_count, backup_state) = (7, true);
        let authentication =
            Authentication { sign_count, backup_state, user_handle: None, counter_went_back: true };
        let after = before.clone().after(&authentication);
        assert_eq!((after.sign_count(), after.backup_state()), (7, true));
        assert_eq!(Credential { sign_count: u32::MAX, backup_state: false, ..after }, before);
    }

    #[test]
    fn a_counter_goes_back_when_there_is_one() {
        let with = |sign_count| Credential { sign_count, ..Credential::example() };
        for (stored, new, back) in [
            (0, 0, false), // it keeps none
            (0, 1, false),
            (1, 2, false),
            (1, 1, true),
            (2, 1, true),
            (1, 0, true),
            (u32::MAX, 0, true),
        ] {
            assert_eq!(with(stored).counter_goes_back_to(new), back, "{stored} {new}");
        }
    }
}
