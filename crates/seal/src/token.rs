//! Bearer credentials: made, shown once, stored as a hash.
//!
//! [`PlainToken`] and [`HashedToken`] are different types, so that a plain one cannot reach a
//! database and a hash cannot be shown as if it were a credential. SHA-256 without a salt is enough
//! because every body has at least 128 random bits (OWASP ASVS 5.0.0 V6.5.2).
//!
//! ```text
//! twh_<22 base62>_<6 checksum>   the name of a webhook in a path, 130 bits; an identifier, not a secret
//! tww_<43 base62>_<6 checksum>   the secret that proves a sender, 256 bits
//! tws_<43 base62>_<6 checksum>   a session of the console, 256 bits
//! twr_<43 base62>_<6 checksum>   what an access token is renewed with, 256 bits
//! twp_<43 base62>_<6 checksum>   what a forgotten password is set anew with, 256 bits
//! twl_<43 base62>_<6 checksum>   the link that sets an installation up, 256 bits
//! twk_<43 base62>_<6 checksum>   the secret of an API key, 256 bits
//! ```
//! A scanner looks for `tw[a-z]_[0-9A-Za-z]{22,43}_[0-9A-Za-z]{6}`. The secret of an API key is the
//! one that is not hashed but sealed: its ASCII bytes, all of them, are the HMAC key.
//!
//! All characters are unreserved in a URL, so no form of them is percent-encoded.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::{Digest, EncodingError, Randomness, SecretString, checked_text};

/// Longer candidates are never ours and are not hashed, in bytes.
pub const MAX_CANDIDATE_BYTES: usize = 1024;

/// What a token is for. It decides the prefix and the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Names a webhook in its path. Cannot be guessed, yet proves nothing alone.
    WebhookPath,
    /// Proves the sender of a webhook.
    WebhookSecret,
    /// A session of the console: the value of its cookie.
    Session,
    /// Renews an access token, once. It carries nothing: family and age are in its row.
    Refresh,
    /// Sets a forgotten password anew, once.
    PasswordReset,
    /// Sets an installation up and makes its first owner, once.
    Setup,
    /// What an API key signs with.
    KeySecret,
}

impl TokenKind {
    /// Every kind there is.
    pub const ALL: [Self; 7] = [
        Self::WebhookPath,
        Self::WebhookSecret,
        Self::Session,
        Self::Refresh,
        Self::PasswordReset,
        Self::Setup,
        Self::KeySecret,
    ];

    /// The letters before the first underscore.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::WebhookPath => "twh",
            Self::WebhookSecret => "tww",
            Self::Session => "tws",
            Self::Refresh => "twr",
            Self::PasswordReset => "twp",
            Self::Setup => "twl",
            Self::KeySecret => "twk",
        }
    }

    /// Random characters between the underscores.
    const fn body_characters(self) -> usize {
        match self {
            Self::WebhookPath => 22,
            Self::WebhookSecret
            | Self::Session
            | Self::Refresh
            | Self::PasswordReset
            | Self::Setup
            | Self::KeySecret => 43,
        }
    }

    /// The kind of a text that looks like one of our tokens and whose checksum is right. Says
    /// nothing about whether it was ever issued; it is for scanning logs and exports, and for a
    /// friendly answer to a token in the wrong place.
    pub fn recognise(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| checked_text::parse(kind.prefix(), kind.body_characters(), text).is_some())
    }
}

/// A credential as its holder knows it. It exists from its making until it is shown, and is not
/// stored.
pub struct PlainToken {
    kind: TokenKind,
    text: SecretString,
}

impl PlainToken {
    /// A new credential.
    pub fn generate(kind: TokenKind, randomness: &mut dyn Randomness) -> Self {
        let body = checked_text::random_base62(kind.body_characters(), randomness);
        Self { kind, text: SecretString::new(checked_text::print(kind.prefix(), &body)) }
    }

    /// What it is for.
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The text to show, once.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// What may be stored of it.
    pub fn hash(&self) -> HashedToken {
        HashedToken(Digest::sha256(self.text.expose().as_bytes()))
    }
}

impl fmt::Debug for PlainToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PlainToken")
    }
}

/// The SHA-256 of a token: what is stored, and what a candidate is held against.
#[derive(Clone)]
pub struct HashedToken(Digest);

impl HashedToken {
    /// The hash of a credential that somebody presents, to look it up.
    pub fn of(candidate: &[u8]) -> Self {
        Self(Digest::sha256(candidate))
    }

    /// A hash as it was stored, 32 bytes.
    pub fn from_stored(bytes: &[u8]) -> Result<Self, EncodingError> {
        bytes.try_into().map(Self)
    }

    /// A hash that no candidate has, for a token that is not known: verifying against it takes as
    /// long as against a real one.
    pub const fn dummy() -> Self {
        // All zeros: finding its preimage is as hard as finding that of any other value of SHA-256.
        Self(Digest::from_bytes([0; 32]))
    }

    /// The 32 bytes to store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Whether this is the hash of `candidate`, in constant time. Candidates over
    /// [`MAX_CANDIDATE_BYTES`] are a no.
    pub fn verify(&self, candidate: &[u8]) -> bool {
        candidate.len() <= MAX_CANDIDATE_BYTES
            && verify_slices_are_equal(self.0.as_bytes(), Digest::sha256(candidate).as_bytes())
                .is_ok()
    }
}

impl fmt::Debug for HashedToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HashedToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SystemRandomness, randomness::testing::Counting};

    #[test]
    fn tokens_have_the_documented_form_and_are_recognised() {
        for kind in TokenKind::ALL {
            let token = PlainToken::generate(kind, &mut SystemRandomness::new());
            let parts: Vec<_> = token.expose().split('_').collect();
            assert_eq!(parts.len(), 3);
            assert_eq!(parts.first(), Some(&kind.prefix()));
            assert!(
                token.expose().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            );
            assert_eq!(TokenKind::recognise(token.expose()), Some(kind));
            assert_eq!(
                TokenKind::recognise(&token.expose().replacen(kind.prefix(), "twz", 1)),
                None
            );
        }
        let prefixes: std::collections::BTreeSet<_> =
            TokenKind::ALL.into_iter().map(TokenKind::prefix).collect();
        assert_eq!(prefixes.len(), TokenKind::ALL.len());
        let webhook = PlainToken::generate(TokenKind::WebhookSecret, &mut Counting(0));
        assert_eq!(webhook.expose(), "tww_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg_2z3JU6");
    }

    #[test]
    fn every_secret_has_256_bits() {
        // 62^43 is more than 2^256. The name of a webhook is no secret.
        for kind in TokenKind::ALL {
            let characters = kind.body_characters();
            assert_eq!(characters >= 43, kind != TokenKind::WebhookPath, "{kind:?}");
        }
        let secret = PlainToken::generate(TokenKind::KeySecret, &mut SystemRandomness::new());
        assert!(secret.expose().is_ascii() && secret.expose().len() >= 32, "an HMAC key");
    }

    #[test]
    fn only_the_token_itself_verifies() {
        let token = PlainToken::generate(TokenKind::Session, &mut SystemRandomness::new());
        let hash = HashedToken::from_stored(token.hash().as_bytes()).unwrap();
        assert!(hash.verify(token.expose().as_bytes()));
        assert!(!hash.verify(b""));
        assert!(!hash.verify(token.expose().to_lowercase().as_bytes()));
        assert!(!hash.verify(&vec![b'a'; MAX_CANDIDATE_BYTES + 1]));
        assert!(!HashedToken::dummy().verify(token.expose().as_bytes()));
        assert!(HashedToken::from_stored(&[0; 31]).is_err());
        assert_eq!(format!("{token:?} {hash:?}"), "PlainToken HashedToken");
    }
}
