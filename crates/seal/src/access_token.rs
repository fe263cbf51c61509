//! Access tokens of people's clients: short-lived JWTs that this gateway makes and only this gateway
//! takes (RFC 9068 in form, RFC 8725 in strictness), signed with Ed25519 (RFC 8037).
//!
//! A key has exactly one header, so a token's header is compared, not read: another algorithm, another
//! type, an unknown key, `crit`, `jku`, `jwk`, `x5u` or another spelling of the same JSON are not our
//! header. Claims are read only after the signature was found right. Whether the session is still
//! there, and whether its `epoch` is still the current one, is for the caller to ask.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Digest, KeyError, Randomness, SecretBytes, SecretString,
    digest::{base64url_decode, base64url_encode},
};

/// Longest token, in bytes: what is longer is not looked at.
pub const MAX_ACCESS_TOKEN_BYTES: usize = 4096;

/// Most keys that count at once: one that signs, one before it, and room for several nodes.
pub const MAX_TOKEN_KEYS: usize = 8;

/// Longest claim that is text, in bytes.
pub const MAX_CLAIM_BYTES: usize = 256;

/// Most authentication methods in one token.
pub const MAX_METHODS: usize = 8;

/// How far in the future a token may have been made, in seconds: the clocks of two nodes differ.
pub const MAX_AHEAD_S: u64 = 10;

const SEED_BYTES: usize = 32;

/// Why a token is not made or not taken. The client hears one answer for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessTokenError {
    /// Too long, not three parts of base64url, or rightly signed claims that are not ours.
    Malformed,
    /// The header is not that of a key that counts.
    UnknownKey,
    /// The signature is not right for this token.
    Signature,
    /// Made by or for somebody else.
    OtherRealm,
    /// From the future by more than [`MAX_AHEAD_S`].
    NotYetValid,
    /// Its time is over.
    Expired {
        /// For how long, in seconds.
        since_s: u64,
    },
}

impl fmt::Display for AccessTokenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => formatter.write_str("not an access token of this gateway"),
            Self::UnknownKey => formatter.write_str("the access token names no key that counts"),
            Self::Signature => formatter.write_str("the access token's signature is not right"),
            Self::OtherRealm => formatter.write_str("the access token is for somebody else"),
            Self::NotYetValid => formatter.write_str("the access token is not valid yet"),
            Self::Expired { since_s } => {
                write!(formatter, "the access token expired {since_s} s ago")
            }
        }
    }
}

impl std::error::Error for AccessTokenError {}

/// What a token says. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessClaims {
    /// The person (`sub`).
    pub subject: String,
    /// The organization the person acts in (`org`).
    pub organization: String,
    /// The session it belongs to (`sid`).
    pub session: String,
    /// This token's own name (`jti`).
    pub id: String,
    /// How the person proved who they are, in the words of RFC 8176 (`amr`).
    pub methods: Vec<String>,
    /// When they last did (`auth_time`).
    pub authenticated_unix_s: u64,
    /// When the token was made (`iat`, `nbf`).
    pub issued_unix_s: u64,
    /// From when on it is worth nothing (`exp`).
    pub expires_unix_s: u64,
    /// Which state of the person's rights it was made in. An older one than the current is void.
    pub epoch: u64,
}

/// The claims as they stand in a token. Unknown and doubled members are refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    iss: String,
    aud: String,
    sub: String,
    org: String,
    sid: String,
    jti: String,
    iat: u64,
    nbf: u64,
    exp: u64,
    auth_time: u64,
    amr: Vec<String>,
    epoch: u64,
}

impl Payload {
    fn is_bounded(&self) -> bool {
        let names = [&self.iss, &self.aud, &self.sub, &self.org, &self.sid, &self.jti];
        let fits = |text: &String| (1..=MAX_CLAIM_BYTES).contains(&text.len());
        names.into_iter().chain(&self.amr).all(fits) && self.amr.len() <= MAX_METHODS
    }
}

/// Signs access tokens.
pub struct TokenKey {
    pair: Ed25519KeyPair,
    seed: SecretBytes,
    public: TokenPublicKey,
}

impl TokenKey {
    /// A new key.
    pub fn generate(randomness: &mut dyn Randomness) -> Result<Self, KeyError> {
        Self::from_seed(SecretBytes::random(SEED_BYTES, randomness))
    }

    /// The key with this seed, 32 bytes (RFC 8032 section 5.1.5 calls it the private key).
    pub fn from_seed(seed: SecretBytes) -> Result<Self, KeyError> {
        if seed.expose().len() != SEED_BYTES {
            return Err(KeyError::Seed);
        }
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| KeyError::Seed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Seed)?;
        Ok(Self { public: TokenPublicKey::new(public), pair, seed })
    }

    /// The seed, to be sealed and stored.
    pub fn seed(&self) -> &SecretBytes {
        &self.seed
    }

    /// The public half.
    pub fn public(&self) -> &TokenPublicKey {
        &self.public
    }

    fn sign(&self, payload: &[u8]) -> Option<String> {
        let mut token = format!("{}.{}", self.public.header, base64url_encode(payload));
        let signature = self.pair.try_sign(token.as_bytes()).ok()?;
        token.push('.');
        token.push_str(&base64url_encode(signature.as_ref()));
        Some(token)
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TokenKey({})", self.public.id)
    }
}

/// The public half of a [`TokenKey`].
#[derive(Clone, PartialEq, Eq)]
pub struct TokenPublicKey {
    id: String,
    public: [u8; 32],
    /// What every token of this key begins with, up to the first full stop.
    header: String,
}

impl TokenPublicKey {
    /// The key with these 32 bytes.
    pub fn new(public: [u8; 32]) -> Self {
        let x = base64url_encode(&public);
        // RFC 7638 section 3, RFC 8037 section 2: the required members in this order.
        let required = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let id = base64url_encode(Digest::sha256(required.as_bytes()).as_bytes());
        let header = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{id}"}}"#);
        Self { id, public, header: base64url_encode(header.as_bytes()) }
    }

    /// Its name (`kid`): the thumbprint of RFC 7638, so that no two keys have the same.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.public
    }
}

impl fmt::Debug for TokenPublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TokenPublicKey({})", self.id)
    }
}

/// Who makes tokens, for whom, and which keys count now. While a key is being replaced both do.
#[derive(Clone, Debug)]
pub struct TokenRealm {
    issuer: String,
    audience: String,
    keys: Vec<TokenPublicKey>,
}

impl TokenRealm {
    /// A realm with at most [`MAX_TOKEN_KEYS`] keys, none twice; `None` if there are more, or a name
    /// is empty or longer than [`MAX_CLAIM_BYTES`].
    pub fn new(issuer: &str, audience: &str, keys: Vec<TokenPublicKey>) -> Option<Self> {
        let named =
            [issuer, audience].iter().all(|name| (1..=MAX_CLAIM_BYTES).contains(&name.len()));
        let mut ids: Vec<&str> = keys.iter().map(TokenPublicKey::id).collect();
        ids.sort_unstable();
        ids.dedup();
        let usable = named && keys.len() <= MAX_TOKEN_KEYS && ids.len() == keys.len();
        usable.then(|| Self { issuer: issuer.to_owned(), audience: audience.to_owned(), keys })
    }

    /// A token with these claims. The key has to be one that counts, or nobody would take the token.
    pub fn issue(
        &self,
        key: &TokenKey,
        claims: &AccessClaims,
    ) -> Result<SecretString, AccessTokenError> {
        if !self.keys.contains(&key.public) {
            return Err(AccessTokenError::UnknownKey);
        }
        let payload = Payload {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: claims.subject.clone(),
            org: claims.organization.clone(),
            sid: claims.session.clone(),
            jti: claims.id.clone(),
            iat: claims.issued_unix_s,
            nbf: claims.issued_unix_s,
            exp: claims.expires_unix_s,
            auth_time: claims.authenticated_unix_s,
            amr: claims.methods.clone(),
            epoch: claims.epoch,
        };
        if !payload.is_bounded() {
            return Err(AccessTokenError::Malformed);
        }
        let payload = serde_json::to_vec(&payload).map_err(|_| AccessTokenError::Malformed)?;
        let token = key.sign(&payload).ok_or(AccessTokenError::Signature)?;
        if token.len() > MAX_ACCESS_TOKEN_BYTES {
            return Err(AccessTokenError::Malformed);
        }
        Ok(SecretString::new(token))
    }

    /// The claims of a token of this realm that is valid now.
    pub fn verify(&self, token: &str, now_unix_s: u64) -> Result<AccessClaims, AccessTokenError> {
        if token.len() > MAX_ACCESS_TOKEN_BYTES {
            return Err(AccessTokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(AccessTokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(AccessTokenError::Malformed)?;
        // A further full stop is in the payload, where base64url has none.
        let decoded = |text| base64url_decode(text).map_err(|_| AccessTokenError::Malformed);
        let (payload, signature) = (decoded(payload)?, decoded(signature)?);
        let key = self.keys.iter().find(|key| key.header == header);
        let key = key.ok_or(AccessTokenError::UnknownKey)?;
        UnparsedPublicKey::new(&ED25519, key.public)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| AccessTokenError::Signature)?;
        let payload: Payload =
            serde_json::from_slice(&payload).map_err(|_| AccessTokenError::Malformed)?;
        if !payload.is_bounded() {
            return Err(AccessTokenError::Malformed);
        }
        self.judge(payload, now_unix_s)
    }

    fn judge(&self, payload: Payload, now_unix_s: u64) -> Result<AccessClaims, AccessTokenError> {
        if payload.iss != self.issuer || payload.aud != self.audience {
            return Err(AccessTokenError::OtherRealm);
        }
        if payload.nbf.max(payload.iat) > now_unix_s.saturating_add(MAX_AHEAD_S) {
            return Err(AccessTokenError::NotYetValid);
        }
        if payload.exp <= now_unix_s {
            return Err(AccessTokenError::Expired { since_s: now_unix_s - payload.exp });
        }
        Ok(AccessClaims {
            subject: payload.sub,
            organization: payload.org,
            session: payload.sid,
            id: payload.jti,
            methods: payload.amr,
            authenticated_unix_s: payload.auth_time,
            issued_unix_s: payload.iat,
            expires_unix_s: payload.exp,
            epoch: payload.epoch,
        })
    }

    /// The public keys as a JWK set (RFC 7517 section 5, RFC 8037 section 2).
    pub fn jwks(&self) -> String {
        let keys: Vec<_> = self
            .keys
            .iter()
            .map(|key| {
                let x = base64url_encode(&key.public);
                json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": key.id, "x": x})
            })
            .collect();
        json!({ "keys": keys }).to_string()
    }
}

#[cfg(test)]
#[path = "access_token/tests.rs"]
mod tests;
