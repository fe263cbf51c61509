//! Why a registration or a log-in with a passkey is not taken.

use std::fmt;

/// Why a response is not taken. Whoever sent it hears one answer for all of them; the log and the
/// detectors hear which it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebauthnError {
    /// A part is missing, too long, or not in its form.
    Malformed(Part),
    /// Made for the other ceremony: a registration where a log-in was asked for, or the reverse.
    Ceremony,
    /// An answer to another challenge.
    Challenge,
    /// Made on a page that is not ours.
    Origin,
    /// Made in a frame of another site's page.
    Framed,
    /// Made for another relying party.
    RelyingParty,
    /// Nobody touched the authenticator.
    NotPresent,
    /// The authenticator did not verify who touched it.
    NotVerified,
    /// Said to be backed up, while it cannot be.
    BackupState,
    /// Whether it can be backed up is not what it was at registration, where it is fixed for good.
    BackupEligibility,
    /// A kind of key that was not offered.
    Algorithm,
    /// The credential's id is longer than [`crate::webauthn::MAX_CREDENTIAL_ID_BYTES`].
    CredentialIdTooLong,
    /// Another credential than the one it is held against.
    OtherCredential,
    /// The signature is not by this key over this message.
    Signature,
}

/// Which part was malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The JSON around everything.
    Response,
    /// What the browser says it was asked for.
    ClientData,
    /// The CBOR around a new credential.
    AttestationObject,
    /// What the authenticator says about itself and the ceremony.
    AuthenticatorData,
    /// The credential's public key.
    PublicKey,
}

impl WebauthnError {
    /// The reason, for our log.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed(Part::Response) => "the response is malformed",
            Self::Malformed(Part::ClientData) => "the client data is malformed",
            Self::Malformed(Part::AttestationObject) => "the attestation object is malformed",
            Self::Malformed(Part::AuthenticatorData) => "the authenticator data is malformed",
            Self::Malformed(Part::PublicKey) => "the public key is malformed",
            Self::Ceremony => "it was made for the other ceremony",
            Self::Challenge => "it answers another challenge",
            Self::Origin => "it was made at another origin",
            Self::Framed => "it was made in a frame of another origin",
            Self::RelyingParty => "it was made for another relying party",
            Self::NotPresent => "the user was not present",
            Self::NotVerified => "the user was not verified",
            Self::BackupState => "it is said to be backed up and not eligible for it",
            Self::BackupEligibility => "its eligibility for backup has changed",
            Self::Algorithm => "its key is of a kind that was not offered",
            Self::CredentialIdTooLong => "its credential id is too long",
            Self::OtherCredential => "it is of another credential",
            Self::Signature => "its signature is wrong",
        }
    }
}

impl fmt::Display for WebauthnError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason())
    }
}

impl std::error::Error for WebauthnError {}
