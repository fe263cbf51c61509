//! Everything in Tradewarden that touches key material or proofs: secrets, tokens, sealed records,
//! signatures, the hashing and the proofs of the audit log, certificates, passkeys. No other
//! crate names a cryptographic primitive; the primitives are those of AWS-LC.
//!
//! What it never does: read a clock, choose its own randomness (both are parameters), speak to a
//! database or a network, know what an order is. It reads and writes one kind of file, the wrapping
//! key's ([`FileKeySource`]).
//!
//! Invariants
//! - No secret has `Display`, `Serialize`, `Clone` or `==`; `Debug` of one prints its type, or the
//!   public name of its key. What was opened is zeroized when it is dropped.
//! - Secrets are compared in constant time. A value that does not open gives one error for every
//!   reason.
//! - There is no way to open a sealed record at another place than it was sealed for.
//! - A text that was signed is seen only through the key that verified it ([`open_note`],
//!   [`Checkpoint::open`], [`TlogProof::verify`]).
//! - Everything that is parsed has a largest size, stated beside it, and one text form; another
//!   spelling of the same value is refused.
//! - Formats that exist on somebody's disk are frozen by tests with literal bytes.

mod access_token;
mod breached;
pub mod canonical;
pub mod certificate;
mod checked_text;
mod checkpoint;
mod commitment;
mod committing;
mod decimal;
pub mod digest;
mod envelope;
pub mod http_signature;
mod key_file;
mod key_source;
mod keyring;
mod ledger_key;
pub mod merkle;
mod note;
mod password;
mod password_policy;
mod pepper;
mod proof;
mod randomness;
mod recovery_code;
mod row_seal;
mod secret;
pub mod standard_webhooks;
mod stretching;
mod token;
pub mod totp;
pub mod webauthn;

pub use access_token::{
    AccessClaims, AccessTokenError, MAX_ACCESS_TOKEN_BYTES, MAX_AHEAD_S, MAX_CLAIM_BYTES,
    MAX_METHODS, MAX_TOKEN_KEYS, TokenKey, TokenPublicKey, TokenRealm,
};
pub use breached::is_breached;
pub use canonical::{CanonicalError, to_canonical};
pub use certificate::{
    CertificateError, CertificateFacts, CertificateNames, IssuedCertificate, LocalAuthority,
};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use commitment::{commit, new_salt, opens_commitment};
pub use committing::{MAX_PLAINTEXT_BYTES, OpenError, SealError};
pub use digest::{
    Digest, EncodingError, base64_decode, base64_encode, base64url_decode, base64url_encode,
    hex_decode, hex_encode,
};
pub use envelope::{DataKey, DataKeyId, DataKeySet, MAX_PLACE_PART_BYTES, MAX_RECORD_BYTES, Place};
pub use key_file::{FileKeySource, KeyFileError, MAX_KEY_FILE_VERSIONS};
pub use key_source::{
    KeySource, MAX_SOURCE_KEY_ID_BYTES, MAX_WRAPPING_BYTES, SOURCE_NONCE_BYTES, SourceAnswer,
    SourceError, Wrapping,
};
pub use keyring::{
    DataKeyError, DataKeyPlace, Fresh, KeySources, Keyring, MAX_WRAPPED_KEY_BYTES, Purpose,
    WrappedKey,
};
pub use ledger_key::{KeyError, LedgerKey, MAX_KEY_NAME_BYTES, VerifierKey};
pub use note::{MAX_NOTE_BYTES, MAX_NOTE_SIGNATURES, NoteError, open_note, sign_note};
pub use password::{
    MAX_PASSWORD_HASH_BYTES, MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH, Password,
    PasswordFormatError, PasswordHash, Verified,
};
pub use password_policy::{
    MAX_CONTEXT_WORD_BYTES, MAX_CONTEXT_WORDS, PasswordFlaw, PasswordPolicy, Strength, strength,
};
pub use pepper::{Pepper, PepperError};
pub use proof::{MAX_EXTRA_BYTES, MAX_PROOF_BYTES, MAX_PROOF_HASHES, ProofError, TlogProof};
pub use randomness::{Randomness, SystemRandomness};
pub use recovery_code::{
    MAX_RECOVERY_SET_BYTES, RECOVERY_CODES, RecoveryCode, RecoveryCodeError, RecoveryCodeHash,
    RecoverySet,
};
pub use row_seal::{RowSealer, RowSum};
pub use secret::{SecretBytes, SecretString, constant_time_equal};
pub use stretching::{HashingError, PasswordCost};
pub use token::{HashedToken, MAX_CANDIDATE_BYTES, PlainToken, TokenKind};
