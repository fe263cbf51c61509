//! A key in the Transit engine of OpenBao or HashiCorp Vault.
//!
//! Of its interface five calls are used: `encrypt`, `decrypt` and `rotate` of one key, the log-in of an
//! AppRole, and the renewal of a token. A role that may `update` the first two is enough to run. What is
//! wrapped is not bound to associated data there: OpenBao's `rewrap` and older servers do not take it, and
//! `keyring.rs` of `seal` binds everything around it.
//!
//! The token is renewed when half of its time is over, by whichever call comes then; whoever holds a
//! source asks it now and then whether it is there. A token that is refused is replaced once by a new
//! log-in, or by what its file says now.

use std::sync::PoisonError;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout};
use tradewarden_outbound::{
    Answered, HeaderName, HeaderValue, Https, Method, Outbound, Roots, Unanswered, Unusable,
};
use tradewarden_seal::{
    KeySource, SOURCE_NONCE_BYTES, SecretBytes, SecretString, SourceAnswer, SourceError, Wrapping,
    base64_decode, base64_encode,
};

use crate::{CALL_MAX, SecretReader};

/// The server's own sentence is shown up to here, in characters.
const SHOWN_MAX: usize = 200;
/// A token that lives shorter than this is not worth renewing.
const RENEWED_AT_LEAST: Duration = Duration::from_secs(2);

/// Who we are there.
pub enum TransitAuth {
    /// A token.
    Token(SecretReader),
    /// An AppRole: its role, and the secret that goes with it.
    AppRole {
        /// The role's identifier.
        role_id: String,
        /// Where the role's secret is read.
        secret_id: SecretReader,
    },
}

/// What a Transit source is made of.
pub struct TransitOptions {
    /// `https://HOST[:PORT]`.
    pub address: String,
    /// The authorities that are believed.
    pub roots: Roots,
    /// How others are spoken to.
    pub outbound: Outbound,
    /// Where the engine is mounted, usually `transit`.
    pub mount: String,
    /// The key's name.
    pub key: String,
    /// Who we are.
    pub auth: TransitAuth,
}

/// See the module.
pub struct Transit {
    https: Https,
    address: String,
    mount: String,
    key: String,
    auth: TransitAuth,
    /// The token in use. Held across a log-in, so that there is one at a time.
    token: tokio::sync::Mutex<Option<Held>>,
    /// The last sentence about a token, so that a refusal can say what went before it.
    renewal: std::sync::Mutex<Option<String>>,
}

/// A token, and when something is to be done about it.
struct Held {
    token: SecretString,
    /// None if it does not end or cannot be renewed.
    renew_at: Option<Instant>,
}

/// An answer with a token in it.
#[derive(Deserialize)]
struct LoggedIn {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: String,
    lease_duration: u64,
    renewable: bool,
}

#[derive(Deserialize)]
struct LookedUp {
    data: Looked,
}

#[derive(Deserialize)]
struct Looked {
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct Encrypted {
    data: Ciphertext,
}

#[derive(Deserialize)]
struct Ciphertext {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    data: Plaintext,
}

#[derive(Deserialize)]
struct Plaintext {
    plaintext: String,
}

#[derive(Deserialize)]
struct Problems {
    errors: Vec<String>,
}

impl Transit {
    /// A source on this key. Nobody is asked yet.
    pub fn new(options: TransitOptions) -> Result<Self, Unusable> {
        for (what, name) in [("mount", &options.mount), ("key", &options.key)] {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
                return Err(Unusable(format!(
                    "{what} is {name:?}; it has 1 to 64 letters, digits, and - _ ."
                )));
            }
        }
        Ok(Self {
            https: Https::at(&options.address, &options.roots, &options.outbound)?,
            address: options.address,
            mount: options.mount,
            key: options.key,
            auth: options.auth,
            token: tokio::sync::Mutex::default(),
            renewal: std::sync::Mutex::default(),
        })
    }

    /// The name of a version: `transit:MOUNT/KEY:v3`.
    fn version_id(&self, version: &str) -> String {
        format!("transit:{}/{}:{version}", self.mount, self.key)
    }

    async fn encrypt(&self, secret: &SecretBytes) -> Result<Wrapping, SourceError> {
        let body = json!({ "plaintext": base64_encode(secret.expose()) });
        let answer = self.ask_as_ourselves("encrypt", &body).await?;
        let Encrypted { data } = parsed(&answer)?;
        let version = version_of(&data.ciphertext).ok_or_else(unreadable)?;
        Ok(Wrapping { key_id: self.version_id(version), bytes: data.ciphertext.into_bytes() })
    }

    async fn decrypt(&self, key_id: &str, wrapped: &[u8]) -> Result<SecretBytes, SourceError> {
        let ciphertext = std::str::from_utf8(wrapped).map_err(|_| SourceError::DoesNotOpen)?;
        let version = version_of(ciphertext).ok_or(SourceError::DoesNotOpen)?;
        if self.version_id(version) != key_id {
            return Err(SourceError::DoesNotOpen);
        }
        let body = json!({ "ciphertext": ciphertext });
        let answer = self.ask_as_ourselves("decrypt", &body).await?;
        let Decrypted { data } = parsed(&answer)?;
        let plaintext = SecretString::new(data.plaintext);
        let bytes = base64_decode(plaintext.expose()).map_err(|_| unreadable())?;
        Ok(SecretBytes::new(bytes))
    }

    /// Asks for something about the key, with our token; once more with a new one if it is refused.
    async fn ask_as_ourselves(
        &self,
        verb: &str,
        body: &serde_json::Value,
    ) -> Result<Answered, SourceError> {
        let path = match verb {
            "rotate" => format!("/v1/{}/keys/{}/rotate", self.mount, self.key),
            verb => format!("/v1/{}/{verb}/{}", self.mount, self.key),
        };
        let answer = self.ask(&path, Some(&self.token().await?), body).await?;
        if answer.status != 403 {
            return self.judged(verb, answer);
        }
        *self.token.lock().await = None;
        let answer = self.ask(&path, Some(&self.token().await?), body).await?;
        self.judged(verb, answer)
    }

    /// What an answer about the key means.
    fn judged(&self, verb: &str, answer: Answered) -> Result<Answered, SourceError> {
        let said = said(&answer);
        let key = format!("{}/{}", self.mount, self.key);
        match answer.status {
            200..=299 => Ok(answer),
            403 => {
                let renewal = self.renewal.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let renewal = renewal.map(|text| format!(" ({text})")).unwrap_or_default();
                Err(SourceError::Refused(format!(
                    "{} does not let us {verb} with {key}{renewal}: the token's policy needs \
                     `update` on {}/{verb}/{}, and the token must not have ended",
                    self.address, self.mount, self.key
                )))
            }
            404 => Err(SourceError::Refused(format!(
                "{} has no key {key}: mount the transit engine, or write its mount and key as \
                 they are there",
                self.address
            ))),
            status => Err(self.away(status, &said)),
        }
    }

    /// What any other status means.
    fn away(&self, status: u16, said: &str) -> SourceError {
        let address = &self.address;
        match status {
            503 => SourceError::Unavailable(format!(
                "{address} is sealed or not ready{said}: unseal it; we go on by ourselves then"
            )),
            400 => SourceError::Refused(format!("{address} says no{said}")),
            // Too many requests, a standby, or something on their side.
            status if matches!(status, 429 | 472 | 473) || status >= 500 => {
                SourceError::Unavailable(format!("{address} answers {status}{said}"))
            }
            _ => SourceError::Refused(format!("{address} answers {status}{said}")),
        }
    }

    /// The token, logged in or renewed if it is time.
    async fn token(&self) -> Result<SecretString, SourceError> {
        let mut held = self.token.lock().await;
        if held.is_none() {
            *held = Some(self.log_in().await?);
        }
        let renew_at = held.as_ref().and_then(|held| held.renew_at);
        let is_due = renew_at.is_some_and(|at| at <= Instant::now());
        if let Some(old) = held.as_mut().filter(|_| is_due) {
            // A token that is not renewed still holds for a while; the next call tries again.
            let renewed = self.renew(&old.token).await;
            let mut told = self.renewal.lock().unwrap_or_else(PoisonError::into_inner);
            *told = renewed.as_ref().err().map(|error| format!("its renewal failed: {error}"));
            if let Ok(renewed) = renewed {
                *old = renewed;
            }
        }
        let token = held.as_ref().map(|held| SecretString::new(held.token.expose().to_owned()));
        token.ok_or_else(unreadable)
    }

    async fn log_in(&self) -> Result<Held, SourceError> {
        match &self.auth {
            TransitAuth::Token(read) => {
                let token = read().map_err(SourceError::Refused)?;
                // Whether it can be renewed is told by itself; one that may not ask is used as it is.
                let answer = self.get("/v1/auth/token/lookup-self", &token).await?;
                let looked: Option<LookedUp> = match answer.status {
                    200..=299 => Some(parsed(&answer)?),
                    403 | 404 => None,
                    status => return Err(self.away(status, &said(&answer))),
                };
                let lease = looked.filter(|looked| looked.data.renewable);
                let lease = lease.map_or(0, |looked| looked.data.ttl);
                Ok(Held { token, renew_at: half_of(lease) })
            }
            TransitAuth::AppRole { role_id, secret_id } => {
                let secret_id = secret_id().map_err(SourceError::Refused)?;
                let body = json!({ "role_id": role_id, "secret_id": secret_id.expose() });
                let answer = self.ask("/v1/auth/approle/login", None, &body).await?;
                match answer.status {
                    200..=299 => held(&answer),
                    400 | 401 | 403 => Err(SourceError::Refused(format!(
                        "{} does not take our AppRole{}: look whether role_id is right and put a \
                         new secret_id into its file",
                        self.address,
                        said(&answer)
                    ))),
                    status => Err(self.away(status, &said(&answer))),
                }
            }
        }
    }

    async fn renew(&self, token: &SecretString) -> Result<Held, SourceError> {
        let answer = self.ask("/v1/auth/token/renew-self", Some(token), &json!({})).await?;
        match answer.status {
            200..=299 => held(&answer),
            status => Err(self.away(status, &said(&answer))),
        }
    }

    async fn ask(
        &self,
        path: &str,
        token: Option<&SecretString>,
        body: &serde_json::Value,
    ) -> Result<Answered, SourceError> {
        let body = serde_json::to_vec(body).map_err(|_| unreadable())?;
        self.exchange(Method::POST, path, token, body).await
    }

    async fn get(&self, path: &str, token: &SecretString) -> Result<Answered, SourceError> {
        self.exchange(Method::GET, path, Some(token), Vec::new()).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        token: Option<&SecretString>,
        body: Vec<u8>,
    ) -> Result<Answered, SourceError> {
        let mut headers =
            vec![(HeaderName::from_static("x-vault-request"), HeaderValue::from_static("true"))];
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token.expose()).map_err(|_| {
                SourceError::Refused("the token has characters that no token has".to_owned())
            })?;
            value.set_sensitive(true);
            headers.push((HeaderName::from_static("x-vault-token"), value));
        }
        let asked = self.https.ask(method, path, &headers, body.into());
        let address = &self.address;
        let why = match timeout(CALL_MAX, asked).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(Unanswered::Unreachable)) => "cannot be reached: start it, or write its address",
            Ok(Err(Unanswered::Tls)) => {
                "does not show a certificate that we believe: write its CA as ca_file, and its name \
                 as the certificate has it"
            }
            Ok(Err(Unanswered::Broken)) => "broke the connection off",
            Err(_) => "did not answer in time",
        };
        Err(SourceError::Unavailable(format!("{address} {why}")))
    }
}

impl KeySource for Transit {
    fn kind(&self) -> &'static str {
        "transit"
    }

    fn place(&self) -> String {
        format!("{}/v1/{}/keys/{}", self.address, self.mount, self.key)
    }

    fn holds(&self, key_id: &str) -> bool {
        key_id.strip_prefix(&self.version_id("")).is_some_and(is_version)
    }

    /// Wraps zeros: so it needs no permission that wrapping does not need, and what answers is what
    /// will be needed.
    fn newest(&self) -> SourceAnswer<'_, String> {
        Box::pin(async {
            let zeros = SecretBytes::new(vec![0; 32]);
            self.encrypt(&zeros).await.map(|wrapping| wrapping.key_id)
        })
    }

    fn wrap<'a>(
        &'a self,
        secret: &'a SecretBytes,
        _nonce: &'a [u8; SOURCE_NONCE_BYTES],
    ) -> SourceAnswer<'a, Wrapping> {
        Box::pin(self.encrypt(secret))
    }

    fn unwrap<'a>(&'a self, key_id: &'a str, wrapped: &'a [u8]) -> SourceAnswer<'a, SecretBytes> {
        Box::pin(self.decrypt(key_id, wrapped))
    }

    fn rotate(&self, _fresh: SecretBytes) -> SourceAnswer<'_, String> {
        Box::pin(async {
            self.ask_as_ourselves("rotate", &json!({})).await?;
            self.newest().await
        })
    }
}

impl std::fmt::Debug for Transit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transit({})", self.place())
    }
}

/// The version in `vault:v3:...`.
fn version_of(ciphertext: &str) -> Option<&str> {
    let (version, _) = ciphertext.strip_prefix("vault:")?.split_once(':')?;
    is_version(version).then_some(version)
}

fn is_version(text: &str) -> bool {
    let digits = text.strip_prefix('v').unwrap_or_default();
    (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn parsed<'a, T: Deserialize<'a>>(answer: &'a Answered) -> Result<T, SourceError> {
    let body = answer.body.as_deref().ok_or_else(unreadable)?;
    serde_json::from_slice(body).map_err(|_| unreadable())
}

fn held(answer: &Answered) -> Result<Held, SourceError> {
    let LoggedIn { auth } = parsed(answer)?;
    let lease = if auth.renewable { auth.lease_duration } else { 0 };
    Ok(Held { token: SecretString::new(auth.client_token), renew_at: half_of(lease) })
}

/// When a token that lives so many seconds is renewed; 0 stands for one that is not.
fn half_of(lease_s: u64) -> Option<Instant> {
    let half = Duration::from_secs(lease_s).checked_div(2)?;
    (half >= RENEWED_AT_LEAST).then(|| Instant::now().checked_add(half)).flatten()
}

fn unreadable() -> SourceError {
    SourceError::Refused("the answer is not one of a Transit engine".to_owned())
}

/// What the server says went wrong, in short and in brackets. It names no secret of ours.
fn said(answer: &Answered) -> String {
    let problems: Option<Problems> =
        answer.body.as_deref().and_then(|body| serde_json::from_slice(body).ok());
    let first = problems.and_then(|problems| problems.errors.into_iter().next());
    first.map_or_else(String::new, |text| {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        format!(" ({})", text.chars().map(plain).take(SHOWN_MAX).collect::<String>().trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transit() -> Transit {
        let options = TransitOptions {
            address: "https://127.0.0.1:1".to_owned(),
            roots: Roots::Web,
            outbound: Outbound::default(),
            mount: "transit".to_owned(),
            key: "tradewarden".to_owned(),
            auth: TransitAuth::Token(Box::new(|| Ok(SecretString::new("t".to_owned())))),
        };
        Transit::new(options).unwrap()
    }

    #[test]
    fn versions_are_told_by_their_names() {
        assert_eq!(version_of("vault:v12:AAAA"), Some("v12"));
        for text in ["", "vault:v1", "vault:1:A", "vault:v:A", "v1:A", "vault:v1234567890:A"] {
            assert_eq!(version_of(text), None, "{text}");
        }
        let transit = transit();
        assert!(transit.holds("transit:transit/tradewarden:v7"));
        for other in ["transit:transit/tradewarden:", "transit:transit/other:v7", "file-0011"] {
            assert!(!transit.holds(other), "{other}");
        }
    }

    #[test]
    fn names_that_would_change_a_path_are_refused() {
        for (mount, key) in [("", "k"), ("transit", ""), ("a/b", "k"), ("transit", "../sys/seal")] {
            let options = TransitOptions {
                address: "https://127.0.0.1:1".to_owned(),
                roots: Roots::Web,
                outbound: Outbound::default(),
                mount: mount.to_owned(),
                key: key.to_owned(),
                auth: TransitAuth::Token(Box::new(|| Ok(SecretString::new(String::new())))),
            };
            assert!(Transit::new(options).is_err(), "{mount} {key}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_unavailable_with_what_to_do() {
        let error = transit().newest().await.unwrap_err();
        let SourceError::Unavailable(text) = &error else { panic!("{error}") };
        assert!(text.contains("https://127.0.0.1:1 cannot be reached: start it"), "{text}");
    }

    #[tokio::test]
    async fn what_another_version_wrapped_is_not_sent() {
        let wrapped = b"vault:v1:AAAA";
        for key_id in ["transit:transit/tradewarden:v2", "file-1"] {
            let error = transit().unwrap(key_id, wrapped).await.unwrap_err();
            assert_eq!(error, SourceError::DoesNotOpen);
        }
    }
}
