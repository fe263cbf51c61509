//! Who we are to a browser, and what we ask it for.

use std::fmt;

use serde_json::{Value, json};

use super::{
    Algorithm, Credential, authenticator_data::AuthenticatorData, error::WebauthnError,
    response::MAX_USER_HANDLE_BYTES,
};
use crate::{Digest, base64url_encode, decimal::parse_decimal};

/// How long a browser lets its user take, in milliseconds: five minutes, the least that the
/// specification recommends (Level 3 section 15.1). The challenge should end then too.
pub const TIMEOUT_MS: u64 = 300_000;

/// Most origins of a relying party.
pub const MAX_ORIGINS: usize = 16;

/// Longest name of a relying party or a user, in bytes. Authenticators may keep 64 of them.
pub const MAX_NAME_BYTES: usize = 256;

/// Longest host name, in bytes (RFC 1035 section 2.3.4).
const MAX_HOST_BYTES: usize = 253;

/// What is wrong with a relying party or a user, before any browser is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// The relying party's id is not a host name in small letters. Addresses are not allowed.
    Id,
    /// A name is empty, too long or has control characters.
    Name,
    /// There is no origin, there are too many, or one is not `https://`, the id or a name below it,
    /// and a port that is not 443.
    Origin,
    /// The user handle is empty or longer than [`MAX_USER_HANDLE_BYTES`].
    UserHandle,
}

impl fmt::Display for SetupError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Id => "the relying party's id is not a host name in small letters",
            Self::Name => "a name is empty, too long or has control characters",
            Self::Origin => {
                "an origin is not `https://` with the relying party's id or a name below it"
            }
            Self::UserHandle => "the user handle is not 1 to 64 bytes",
        })
    }
}

impl std::error::Error for SetupError {}

/// Who we are to a browser: a host name, and the origins of the pages that may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    id: String,
    name: String,
    origins: Vec<String>,
    algorithms: Vec<Algorithm>,
}

impl RelyingParty {
    /// The relying party with this id, a host name such as `localhost` or `example.org`, and pages
    /// at these origins, such as `https://console.example.org:8443`. Offers Ed25519 and ES256.
    ///
    /// Credentials are bound to the id for good: with another one, all of them are lost.
    pub fn new(
        id: &str,
        name: &str,
        origins: impl IntoIterator<Item = String>,
    ) -> Result<Self, SetupError> {
        if !is_host_name(id) {
            return Err(SetupError::Id);
        }
        if !is_name(name) {
            return Err(SetupError::Name);
        }
        let origins: Vec<String> =
            origins.into_iter().take(MAX_ORIGINS.saturating_add(1)).collect();
        let fits = (1..=MAX_ORIGINS).contains(&origins.len())
            && origins.iter().all(|origin| is_origin_below(id, origin));
        if !fits {
            return Err(SetupError::Origin);
        }
        let algorithms = vec![Algorithm::EdDsa, Algorithm::Es256];
        Ok(Self { id: id.to_owned(), name: name.to_owned(), origins, algorithms })
    }

    /// Also offers RS256, which some TPMs need. OWASP ASVS 5.0.0 (V11) does not allow its padding,
    /// so it is a choice. Credentials that were registered with it stay good without it.
    #[must_use]
    pub fn with_rs256(mut self) -> Self {
        if !self.offers(Algorithm::Rs256) {
            self.algorithms.push(Algorithm::Rs256);
        }
        self
    }

    /// The id, a host name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `PublicKeyCredentialCreationOptionsJSON` (Level 3 section 5.1.8): asks for a passkey that can
    /// log in without a user name, and for no attestation. `known` are the credentials that the user
    /// has, so that one authenticator is not registered twice.
    ///
    /// `challenge` is 32 random bytes, used once, bound to who asked, and void after [`TIMEOUT_MS`].
    pub fn creation_options(
        &self,
        user: &User,
        challenge: &[u8; 32],
        known: &[Credential],
    ) -> Value {
        let offered: Vec<Value> = self
            .algorithms
            .iter()
            .map(|algorithm| json!({"type": "public-key", "alg": algorithm.identifier()}))
            .collect();
        json!({
            "rp": {"id": self.id, "name": self.name},
            "user": {
                "id": base64url_encode(&user.handle),
                "name": user.name,
                "displayName": user.display_name,
            },
            "challenge": base64url_encode(challenge),
            "pubKeyCredParams": offered,
            "timeout": TIMEOUT_MS,
            "excludeCredentials": descriptors(known),
            "authenticatorSelection": {
                "residentKey": "required",
                // The same for browsers that know only Level 1.
                "requireResidentKey": true,
                "userVerification": "required",
            },
            "attestation": "none",
        })
    }

    /// `PublicKeyCredentialRequestOptionsJSON` (Level 3 section 5.1.9). With no `allowed`
    /// credentials the browser offers every passkey that it has for us, without a user name.
    ///
    /// `challenge` is 32 random bytes, used once, bound to who asked, and void after [`TIMEOUT_MS`].
    pub fn request_options(&self, challenge: &[u8; 32], allowed: &[Credential]) -> Value {
        json!({
            "challenge": base64url_encode(challenge),
            "timeout": TIMEOUT_MS,
            "rpId": self.id,
            "allowCredentials": descriptors(allowed),
            "userVerification": "required",
        })
    }

    pub(super) fn offers(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    pub(super) fn has_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|known| known == origin)
    }

    /// What holds for authenticator data in both ceremonies.
    pub(super) fn check(&self, data: &AuthenticatorData<'_>) -> Result<(), WebauthnError> {
        let flags = data.flags;
        if data.relying_party_id_hash != *Digest::sha256(self.id.as_bytes()).as_bytes() {
            return Err(WebauthnError::RelyingParty);
        }
        if !flags.user_present() {
            return Err(WebauthnError::NotPresent);
        }
        if !flags.user_verified() {
            return Err(WebauthnError::NotVerified);
        }
        if flags.backup_state() && !flags.backup_eligible() {
            return Err(WebauthnError::BackupState);
        }
        Ok(())
    }
}

/// Whom a credential is for.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    handle: Vec<u8>,
    name: String,
    display_name: String,
}

impl User {
    /// `handle` is what an authenticator gives back to say who logs in: 1 to 64 bytes, the same for
    /// all credentials of a user, and nothing personal (Level 3 section 14.6.1). The names are what
    /// the user chooses by.
    pub fn new(handle: &[u8], name: &str, display_name: &str) -> Result<Self, SetupError> {
        if !(1..=MAX_USER_HANDLE_BYTES).contains(&handle.len()) {
            return Err(SetupError::UserHandle);
        }
        if !is_name(name) || !is_name(display_name) {
            return Err(SetupError::Name);
        }
        let (name, display_name) = (name.to_owned(), display_name.to_owned());
        Ok(Self { handle: handle.to_vec(), name, display_name })
    }
}

impl fmt::Debug for User {
    /// The names are somebody's; they do not belong in a log.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("User")
    }
}

fn descriptors(credentials: &[Credential]) -> Vec<Value> {
    credentials
        .iter()
        .map(|credential| {
            json!({
                "type": "public-key",
                "id": base64url_encode(credential.id()),
                "transports": credential.transports(),
            })
        })
        .collect()
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.contains(char::is_control)
}

/// Letters, digits and hyphens in labels. A last label of digits is an address (WHATWG URL
/// section 3.5), and addresses are no relying parties.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    text.len() <= MAX_HOST_BYTES
        && text.split('.').all(is_label)
        && text.rsplit('.').next().is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()))
}

/// An origin as browsers write it: the default port is left out, and there is no slash at the end.
fn is_origin_below(id: &str, origin: &str) -> bool {
    let Some(address) = origin.strip_prefix("https://") else { return false };
    let (host, port) = match address.split_once(':') {
        Some((host, port)) => (host, parse_decimal(port)),
        None => (address, Some(1)),
    };
    let below = host == id || host.strip_suffix(id).is_some_and(|above| above.ends_with('.'));
    is_host_name(host)
        && below
        && port.is_some_and(|port| (1..=65_535).contains(&port) && port != 443)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(id: &str, origins: &[&str]) -> Result<RelyingParty, SetupError> {
        RelyingParty::new(id, "Tradewarden", origins.iter().map(|origin| (*origin).to_owned()))
    }

    #[test]
    fn an_id_is_a_host_name() {
        for id in ["localhost", "example.org", "a-b.example", "1.example", "xn--bcher-kva.example"]
        {
            assert_eq!(party(id, &[&format!("https://{id}")]).unwrap().id(), id);
        }
        for id in [
            "",
            ".",
            "example.org.",
            "Example.org",
            "127.0.0.1",
            "example.1",
            "[::1]",
            "::1",
            "a b",
            "bücher.example",
            "-a.example",
            "a-.example",
            "https://example.org",
            "example.org:443",
            &"a.".repeat(127).replace("a.a.a.", "aaaaa."),
            &format!("{}.org", "a".repeat(64)),
        ] {
            assert_eq!(party(id, &[&format!("https://{id}")]), Err(SetupError::Id), "{id}");
        }
    }

    #[test]
    fn an_origin_is_a_page_of_the_id() {
        for origin in [
            "https://example.org",
            "https://example.org:8443",
            "https://console.example.org",
            "https://a.b.example.org:1",
        ] {
            assert!(party("example.org", &[origin]).is_ok(), "{origin}");
        }
        for origin in [
            "",
            "example.org",
            "http://example.org",
            "https://example.org/",
            "https://example.org:443",
            "https://example.org:0",
            "https://example.org:08443",
            "https://example.org:65536",
            "https://example.org:",
            "https://example.com",
            "https://evilexample.org",
            "https://example.org.evil.example",
            "https://.example.org",
            "https://a@example.org",
            "https://EXAMPLE.org",
            "https://org",
        ] {
            assert_eq!(party("example.org", &[origin]), Err(SetupError::Origin), "{origin}");
        }
        let good = "https://example.org";
        assert_eq!(party("example.org", &[]), Err(SetupError::Origin));
        assert_eq!(party("example.org", &[good, "https://x"]), Err(SetupError::Origin));
        assert!(party("example.org", &[good; MAX_ORIGINS]).is_ok());
        assert_eq!(party("example.org", &[good; MAX_ORIGINS + 1]), Err(SetupError::Origin));
    }

    #[test]
    fn names_and_handles_are_bounded() {
        for name in ["", "a\nb", "\u{0}", &"é".repeat(MAX_NAME_BYTES)] {
            let origins = ["https://a.example".to_owned()];
            assert_eq!(RelyingParty::new("a.example", name, origins), Err(SetupError::Name));
            assert_eq!(User::new(b"1", name, "A"), Err(SetupError::Name));
            assert_eq!(User::new(b"1", "a", name), Err(SetupError::Name));
        }
        for (length, fits) in [(0, false), (1, true), (64, true), (65, false)] {
            assert_eq!(User::new(&vec![0; length], "a", "A").is_ok(), fits, "{length}");
        }
        assert_eq!(format!("{:?}", User::new(b"1", "ann", "Ann").unwrap()), "User");
    }

    #[test]
    fn options_are_those_of_the_specification() {
        let party = party("localhost", &["https://localhost:8443"]).unwrap();
        let user = User::new(&[1, 2, 3], "ann@example.org", "Ann").unwrap();
        let known = [Credential::example()];
        let (id, challenge) = (base64url_encode(known[0].id()), base64url_encode(&[7; 32]));
        let descriptor =
            json!([{"type": "public-key", "id": id, "transports": ["internal", "usb"]}]);
        assert_eq!(
            party.creation_options(&user, &[7; 32], &known),
            json!({
                "rp": {"id": "localhost", "name": "Tradewarden"},
                "user": {"id": "AQID", "name": "ann@example.org", "displayName": "Ann"},
                "challenge": challenge,
                "pubKeyCredParams": [
                    {"type": "public-key", "alg": -8},
                    {"type": "public-key", "alg": -7},
                ],
                "timeout": 300_000,
                "excludeCredentials": descriptor,
                "authenticatorSelection": {
                    "residentKey": "required",
                    "requireResidentKey": true,
                    "userVerification": "required",
                },
                "attestation": "none",
            })
        );
        assert_eq!(
            party.request_options(&[7; 32], &known),
            json!({
                "challenge": challenge,
                "timeout": 300_000,
                "rpId": "localhost",
                "allowCredentials": descriptor,
                "userVerification": "required",
            })
        );
        assert_eq!(party.request_options(&[7; 32], &[])["allowCredentials"], json!([]));
        let options = party.with_rs256().with_rs256().creation_options(&user, &[7; 32], &[]);
        assert_eq!(options["pubKeyCredParams"].as_array().unwrap().len(), 3);
        assert_eq!(options["pubKeyCredParams"][2], json!({"type": "public-key", "alg": -257}));
    }
}
