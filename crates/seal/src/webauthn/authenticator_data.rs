//! What an authenticator says about itself and the ceremony, and the object that carries it in a
//! registration (WebAuthn Level 3 sections 6.1 and 6.5).
//!
//! ```text
//! SHA-256 of the relying party's id   32
//! flags                                1
//! signature counter                    4   big-endian
//! when flag AT: AAGUID                16
//!               length of the id       2   big-endian
//!               credential id
//!               public key                 COSE_Key
//! when flag ED: extensions                 CBOR map
//! ```

use super::{
    cbor::{self, Key, Value},
    error::{Part, WebauthnError},
};

/// Longest format identifier of an attestation, in bytes (Level 3 section 8.1).
const MAX_FORMAT_BYTES: usize = 32;

/// The first bytes, which all authenticator data has.
const FIXED_BYTES: usize = 37;

const MALFORMED_DATA: WebauthnError = WebauthnError::Malformed(Part::AuthenticatorData);
const MALFORMED_OBJECT: WebauthnError = WebauthnError::Malformed(Part::AttestationObject);

/// The flags. Two bits are reserved and say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags(u8);

impl Flags {
    pub(super) const fn user_present(self) -> bool {
        self.0 & 0x01 != 0
    }

    pub(super) const fn user_verified(self) -> bool {
        self.0 & 0x04 != 0
    }

    pub(super) const fn backup_eligible(self) -> bool {
        self.0 & 0x08 != 0
    }

    pub(super) const fn backup_state(self) -> bool {
        self.0 & 0x10 != 0
    }

    const fn has_credential(self) -> bool {
        self.0 & 0x40 != 0
    }

    const fn has_extensions(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// Authenticator data that was read to its last byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AuthenticatorData<'a> {
    pub(super) relying_party_id_hash: [u8; 32],
    pub(super) flags: Flags,
    pub(super) sign_count: u32,
    pub(super) credential: Option<AttestedCredential<'a>>,
}

/// A new credential, as its authenticator tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttestedCredential<'a> {
    pub(super) aaguid: [u8; 16],
    pub(super) id: &'a [u8],
    pub(super) public_key: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, WebauthnError> {
        let (fixed, rest) = bytes.split_first_chunk::<FIXED_BYTES>().ok_or(MALFORMED_DATA)?;
        let (hash, fixed) = fixed.split_first_chunk::<32>().ok_or(MALFORMED_DATA)?;
        let ([flags], counter) = fixed.split_first_chunk().ok_or(MALFORMED_DATA)?;
        let flags = Flags(*flags);
        let counter = counter.try_into().map_err(|_| MALFORMED_DATA)?;
        let (credential, rest) = if flags.has_credential() {
            let (credential, rest) = AttestedCredential::read(rest).ok_or(MALFORMED_DATA)?;
            (Some(credential), rest)
        } else {
            (None, rest)
        };
        let complete = if flags.has_extensions() {
            matches!(cbor::read(rest), Ok(Value::Map(_)))
        } else {
            rest.is_empty()
        };
        if !complete {
            return Err(MALFORMED_DATA);
        }
        Ok(Self {
            relying_party_id_hash: *hash,
            flags,
            sign_count: u32::from_be_bytes(counter),
            credential,
        })
    }
}

impl<'a> AttestedCredential<'a> {
    /// Also returns what follows. The key has no length of its own: it ends where its CBOR does.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (aaguid, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (id, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let (_, after_key) = cbor::read_first(rest).ok()?;
        let public_key = rest.get(..rest.len().checked_sub(after_key.len())?)?;
        Some((Self { aaguid: *aaguid, id, public_key }, after_key))
    }
}

/// The authenticator data in an attestation object.
///
/// The attestation statement is not verified, whatever its format: we ask for none, so none is
/// trusted. It has to be in the form that its format `none` has, or a map or list of any content.
pub(super) fn read_attestation_object(bytes: &[u8]) -> Result<&[u8], WebauthnError> {
    let Ok(Value::Map(members)) = cbor::read(bytes) else { return Err(MALFORMED_OBJECT) };
    // In canonical order, which sorts shorter names first.
    let [
        (Key::Text("fmt"), Value::Text(format)),
        (Key::Text("attStmt"), statement),
        (Key::Text("authData"), Value::Bytes(data)),
    ] = members.as_slice()
    else {
        return Err(MALFORMED_OBJECT);
    };
    let fits = match statement {
        Value::Map(members) => *format != "none" || members.is_empty(),
        Value::Array(_) => *format != "none",
        _ => false,
    };
    if fits && (1..=MAX_FORMAT_BYTES).contains(&format.len()) {
        Ok(data)
    } else {
        Err(MALFORMED_OBJECT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex_decode;

    const KEY: &str =
        "a4010103272006215820d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn data(flags: u8, rest: &str) -> Vec<u8> {
        [&[7; 32][..], &[flags], &[0, 0, 1, 2], &hex_decode(rest).unwrap()].concat()
    }

    #[test]
    fn the_layout_of_the_specification() {
        let bytes = data(0x1d, "");
        let read = AuthenticatorData::read(&bytes).unwrap();
        assert_eq!((read.relying_party_id_hash, read.sign_count), ([7; 32], 258));
        assert_eq!(read.credential, None);
        let flags = read.flags;
        assert!(flags.user_present() && flags.user_verified());
        assert!(flags.backup_eligible() && flags.backup_state());

        let bytes = data(0xc0, &format!("{}0003aabbcc{KEY}a0", "09".repeat(16)));
        let read = AuthenticatorData::read(&bytes).unwrap();
        let credential = read.credential.unwrap();
        assert_eq!((credential.aaguid, credential.id), ([9; 16], &[0xaa, 0xbb, 0xcc][..]));
        assert_eq!(credential.public_key, hex_decode(KEY).unwrap());
        assert!(!read.flags.user_present() && !read.flags.backup_eligible());
    }

    #[test]
    fn every_byte_has_its_place() {
        let credential = format!("{}0003aabbcc{KEY}", "09".repeat(16));
        for (flags, rest) in [
            (0x01, String::new()),
            (0x41, credential.clone()),
            (0xc1, format!("{credential}a0")),
            (0x81, "a10000".to_owned()),
        ] {
            let bytes = data(flags, &rest);
            assert!(AuthenticatorData::read(&bytes).is_ok(), "{flags:x}");
            for length in 0..bytes.len() {
                let read = AuthenticatorData::read(&bytes[..length]);
                assert_eq!(read, Err(MALFORMED_DATA), "{flags:x} {length}");
            }
            let longer = [bytes.as_slice(), &[0]].concat();
            assert_eq!(AuthenticatorData::read(&longer), Err(MALFORMED_DATA), "{flags:x}");
        }
        for (flags, rest) in [(0x41, ""), (0x01, "a0"), (0x81, "80"), (0x81, "")] {
            assert_eq!(AuthenticatorData::read(&data(flags, rest)), Err(MALFORMED_DATA));
        }
    }

    #[test]
    fn the_statement_is_in_its_form_or_is_not_looked_at() {
        for (text, fits) in [
            ("a363666d74646e6f6e656761747453746d74a068617574684461746141ff", true),
            ("a363666d74646e6f6e656761747453746d74a1000068617574684461746141ff", false),
            ("a363666d74646e6f6e656761747453746d748068617574684461746141ff", false),
            ("a363666d74667061636b65646761747453746d74a1000068617574684461746141ff", true),
            ("a363666d7468636f6d706f756e646761747453746d748068617574684461746141ff", true),
            ("a363666d74667061636b65646761747453746d740068617574684461746141ff", false),
            // No format, another member, data that is no bytes, something that follows, no statement.
            ("a363666d74606761747453746d74a068617574684461746141ff", false),
            (
                "a463666d74646e6f6e656761747453746d74a068617574684461746141ff6961757468446174613100",
                false,
            ),
            ("a363666d74646e6f6e656761747453746d74a06861757468446174616161", false),
            ("a363666d74646e6f6e656761747453746d74a068617574684461746141ff00", false),
            ("a263666d74646e6f6e6568617574684461746141ff", false),
            ("80", false),
        ] {
            let bytes = hex_decode(text).unwrap();
            let read = read_attestation_object(&bytes);
            assert_eq!(read, if fits { Ok(&[0xff][..]) } else { Err(MALFORMED_OBJECT) }, "{text}");
        }
    }
}
