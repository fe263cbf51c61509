//! An authenticator and its browser that do as they are told, also what they should not.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tradewarden_seal::{Digest, base64url_encode};

pub(crate) const USER_PRESENT: u8 = 0x01;
pub(crate) const USER_VERIFIED: u8 = 0x04;
pub(crate) const BACKUP_ELIGIBLE: u8 = 0x08;
pub(crate) const BACKUP_STATE: u8 = 0x10;
pub(crate) const HAS_CREDENTIAL: u8 = 0x40;
pub(crate) const HAS_EXTENSIONS: u8 = 0x80;

/// Everything that goes into an answer; a test changes one thing of it.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) kind: &'static str,
    pub(crate) challenge: [u8; 32],
    pub(crate) origin: &'static str,
    /// More members of the client data, from the comma on.
    pub(crate) more_client_data: &'static str,
    pub(crate) relying_party: &'static str,
    pub(crate) flags: u8,
    pub(crate) sign_count: u32,
    pub(crate) credential_id: Vec<u8>,
    pub(crate) public_key: Vec<u8>,
    /// What follows in the authenticator data.
    pub(crate) data_tail: Vec<u8>,
    /// `fmt` and `attStmt`, as CBOR.
    pub(crate) format: Vec<u8>,
    pub(crate) statement: Vec<u8>,
    /// What follows in the attestation object.
    pub(crate) object_tail: Vec<u8>,
    pub(crate) user_handle: Option<Vec<u8>>,
    pub(crate) seed: [u8; 32],
}

impl Draft {
    /// A registration that nothing is wrong with.
    pub(crate) fn registration(challenge: [u8; 32]) -> Self {
        let seed = [5; 32];
        Self {
            kind: "webauthn.create",
            challenge,
            origin: "https://console.example.org",
            more_client_data: r#","crossOrigin":false"#,
            relying_party: "example.org",
            flags: USER_PRESENT | USER_VERIFIED | HAS_CREDENTIAL,
            sign_count: 0,
            credential_id: vec![0xc1; 32],
            public_key: ed25519_key(&seed),
            data_tail: Vec::new(),
            format: b"\x64none".to_vec(),
            statement: vec![0xa0],
            object_tail: Vec::new(),
            user_handle: None,
            seed,
        }
    }

    /// A log-in with that credential that nothing is wrong with.
    pub(crate) fn authentication(challenge: [u8; 32]) -> Self {
        Self {
            kind: "webauthn.get",
            flags: USER_PRESENT | USER_VERIFIED,
            sign_count: 1,
            user_handle: Some(b"user-1".to_vec()),
            ..Self::registration(challenge)
        }
    }

    fn client_data(&self) -> Vec<u8> {
        format!(
            r#"{{"type":"{}","challenge":"{}","origin":"{}"{}}}"#,
            self.kind,
            base64url_encode(&self.challenge),
            self.origin,
            self.more_client_data
        )
        .into_bytes()
    }

    fn authenticator_data(&self) -> Vec<u8> {
        let hash = Digest::sha256(self.relying_party.as_bytes());
        let counter = self.sign_count.to_be_bytes();
        let mut data = [hash.as_bytes().as_slice(), &[self.flags], &counter].concat();
        if self.flags & HAS_CREDENTIAL != 0 {
            let length = u16::try_from(self.credential_id.len()).unwrap().to_be_bytes();
            data.extend([&[0xaa; 16][..], &length, &self.credential_id, &self.public_key].concat());
        }
        data.extend(&self.data_tail);
        data
    }

    /// `RegistrationResponseJSON`.
    pub(crate) fn register(&self) -> Value {
        let data = self.authenticator_data();
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        // The shortest form of a length below 256 has one byte.
        let length = match length {
            [0, low] => vec![0x58, low],
            [high, low] => vec![0x59, high, low],
        };
        let object = [
            b"\xa3\x63fmt".as_slice(),
            &self.format,
            b"\x67attStmt",
            &self.statement,
            b"\x68authData",
            &length,
            &data,
            &self.object_tail,
        ];
        self.answer(&json!({
            "clientDataJSON": base64url_encode(&self.client_data()),
            "attestationObject": base64url_encode(&object.concat()),
            "transports": ["usb", "internal", "usb"],
            "publicKeyAlgorithm": -8,
        }))
    }

    /// `AuthenticationResponseJSON`.
    pub(crate) fn assert(&self) -> Value {
        let (data, client_data) = (self.authenticator_data(), self.client_data());
        let message = [data.as_slice(), Digest::sha256(&client_data).as_bytes()].concat();
        let signature = pair(&self.seed).sign(&message);
        self.answer(&json!({
            "clientDataJSON": base64url_encode(&client_data),
            "authenticatorData": base64url_encode(&data),
            "signature": base64url_encode(signature.as_ref()),
            "userHandle": self.user_handle.as_deref().map(base64url_encode),
        }))
    }

    fn answer(&self, response: &Value) -> Value {
        let id = base64url_encode(&self.credential_id);
        json!({
            "id": id,
            "rawId": id,
            "type": "public-key",
            "authenticatorAttachment": "cross-platform",
            "clientExtensionResults": {},
            "response": response,
        })
    }
}

/// The `COSE_Key` of this seed.
pub(crate) fn ed25519_key(seed: &[u8; 32]) -> Vec<u8> {
    let head = [0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 0x20];
    [head.as_slice(), pair(seed).public_key().as_ref()].concat()
}

fn pair(seed: &[u8; 32]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed).unwrap()
}
