//! A key in the Transit engine of OpenBao or HashiCorp Vault.
//!
//! Of its interface five calls are used: `encrypt`, `decrypt` and `rotate` of one key, the log-in of an
//! AppRole, and the renewal of a token. A role that may `update` the first two is enough to run. What is
//! wrapped is not bound to associated data there: OpenBao's `rewrap` and older servers do not take it, and
//! `keyring.rs` of `seal` binds everything around it.
//!
//! The token is renewed when half of its time is over, by whichever call comes then; whoever holds a
//! source asks it now and then whether it is there. A token that is refused is replaced by a new log-in, or
//! by what its file says now. Where the new one is refused as well it is the policy, and for a minute
//! there is no other log-in: each leaves a token there.
//!
//! Many data keys go in one call (`batch_input`): at a start with thousands of organizations, and when all
//! are wrapped anew. One that does not open is told by itself.
//!
//! What goes out and holds a secret is written into memory that is wiped. Copies in the buffers of HTTP and
//! TLS, and what came in, are not ours to wipe.

mod wire;

use std::sync::PoisonError;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, timeout};
use tradewarden_outbound::{
    Answered, Bytes, HeaderName, HeaderValue, Https, Method, Outbound, Roots, Unanswered, Unusable,
};
use tradewarden_seal::{
    KeySource, SOURCE_NONCE_BYTES, SecretBytes, SecretString, SourceAnswer, SourceError, Wrapping,
    base64_decode, base64_encode,
};

use self::wire::{
    Answers, Batch, BatchResult, Empty, LogIn, LoggedIn, LookedUp, ToDecrypt, ToEncrypt,
    is_version, parsed, said, unreadable, version_of, written,
};
use crate::{CALL_MAX, SecretReader};

/// A token that lives shorter than this is not worth renewing.
const RENEWED_AT_LEAST: Duration = Duration::from_secs(2);
/// How long a renewal that failed is not tried again.
const RENEWED_AGAIN: Duration = Duration::from_secs(30);
/// How long a refusal leads to no log-in after one was in vain.
const LOGGED_IN_AGAIN: Duration = Duration::from_mins(1);
/// Secrets in one call: an answer of ciphertexts stays well below 64 KiB.
const AT_ONCE: usize = 250;

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
    /// When the token of a new log-in was refused as the one before it was.
    in_vain_at: std::sync::Mutex<Option<Instant>>,
}

/// A token, and when something is to be done about it.
struct Held {
    token: SecretString,
    /// None if it does not end or cannot be renewed.
    renew_at: Option<Instant>,
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
            in_vain_at: std::sync::Mutex::default(),
        })
    }

    /// The name of a version: `transit:MOUNT/KEY:v3`.
    fn version_id(&self, version: &str) -> String {
        format!("transit:{}/{}:{version}", self.mount, self.key)
    }

    /// Wraps several; one answer for each.
    async fn encrypt(
        &self,
        secrets: &[&SecretBytes],
    ) -> Result<Vec<Result<Wrapping, SourceError>>, SourceError> {
        let texts: Vec<_> =
            secrets.iter().map(|one| SecretString::new(base64_encode(one.expose()))).collect();
        let items = texts.iter().map(|text| ToEncrypt { plaintext: text.expose() });
        let answers = self.ask_for_each("encrypt", items.collect()).await?;
        let wrapped = answers.into_iter().map(|answer| {
            let answer = answer?;
            let version = version_of(&answer.ciphertext).ok_or_else(unreadable)?;
            let key_id = self.version_id(version);
            Ok(Wrapping { key_id, bytes: answer.ciphertext.into_bytes() })
        });
        Ok(wrapped.collect())
    }

    /// Opens several, each with the name of its version; one answer for each.
    async fn decrypt(
        &self,
        wrapped: &[(&str, &[u8])],
    ) -> Result<Vec<Result<SecretBytes, SourceError>>, SourceError> {
        // What another version wrapped is not sent.
        let ours: Vec<Option<&str>> = wrapped
            .iter()
            .map(|(key_id, bytes)| {
                let ciphertext = std::str::from_utf8(bytes).ok()?;
                let version = version_of(ciphertext)?;
                (self.version_id(version) == *key_id).then_some(ciphertext)
            })
            .collect();
        let items: Vec<_> =
            ours.iter().flatten().map(|ciphertext| ToDecrypt { ciphertext }).collect();
        let mut answers = self.ask_for_each("decrypt", items).await?.into_iter();
        let opened = ours.into_iter().map(|sent| {
            let answer = sent.and_then(|_| answers.next()).ok_or(SourceError::DoesNotOpen)??;
            let plaintext = SecretString::new(answer.plaintext);
            let bytes = base64_decode(plaintext.expose()).map_err(|_| unreadable())?;
            Ok(SecretBytes::new(bytes))
        });
        Ok(opened.collect())
    }

    /// Asks for each of several in one call. What is wrong with one is its own answer.
    async fn ask_for_each<T: Serialize>(
        &self,
        verb: &str,
        items: Vec<T>,
    ) -> Result<Vec<Result<BatchResult, SourceError>>, SourceError> {
        let count = items.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let answer = self.ask_as_ourselves(verb, &Batch { batch_input: items }).await?;
        let results = parsed::<Answers>(&answer)?.data.batch_results;
        if results.len() != count {
            return Err(unreadable());
        }
        let each = results.into_iter().map(|result| {
            if result.error.is_empty() { Ok(result) } else { Err(SourceError::DoesNotOpen) }
        });
        Ok(each.collect())
    }

    /// Asks for something about the key, with our token; once more with a new one if it is refused.
    async fn ask_as_ourselves(
        &self,
        verb: &str,
        body: &impl Serialize,
    ) -> Result<Answered, SourceError> {
        let path = match verb {
            "rotate" => format!("/v1/{}/keys/{}/rotate", self.mount, self.key),
            verb => format!("/v1/{}/{verb}/{}", self.mount, self.key),
        };
        let token = self.token().await?;
        let answer = self.ask(&path, Some(&token), body).await?;
        if answer.status != 403 {
            return self.judged(verb, answer);
        }
        let Some(next) = self.token_after(&token).await? else { return self.judged(verb, answer) };
        let answer = self.ask(&path, Some(&next), body).await?;
        let in_vain = (answer.status == 403).then(Instant::now);
        *self.in_vain_at.lock().unwrap_or_else(PoisonError::into_inner) = in_vain;
        self.judged(verb, answer)
    }

    /// The token to try after this one was refused; none if it is not the token that is refused.
    async fn token_after(
        &self,
        refused: &SecretString,
    ) -> Result<Option<SecretString>, SourceError> {
        {
            let mut held = self.token.lock().await;
            let is_held = held.as_ref().is_some_and(|held| held.token.expose() == refused.expose());
            // Somebody else may have logged in meanwhile.
            if is_held {
                if !self.may_log_in_again() {
                    return Ok(None);
                }
                *held = None;
            }
        }
        self.token().await.map(Some)
    }

    /// Whether a refusal may lead to a log-in now.
    fn may_log_in_again(&self) -> bool {
        let in_vain_at = *self.in_vain_at.lock().unwrap_or_else(PoisonError::into_inner);
        in_vain_at.is_none_or(|at| at.elapsed() >= LOGGED_IN_AGAIN)
    }

    /// What an answer about the key means.
    fn judged(&self, verb: &str, answer: Answered) -> Result<Answered, SourceError> {
        let said = said(&answer);
        let key = format!("{}/{}", self.mount, self.key);
        match answer.status {
            200..=299 => Ok(answer),
            // Of several one is wrong: which, is in the answer.
            400 if parsed::<Answers>(&answer).is_ok() => Ok(answer),
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

    async fn newest_now(&self) -> Result<String, SourceError> {
        let zeros = SecretBytes::new(vec![0; 32]);
        only(self.encrypt(&[&zeros]).await?).map(|wrapping| wrapping.key_id)
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
            // A token that is not renewed still holds for a while.
            let renewed = self.renew(&old.token).await;
            let mut told = self.renewal.lock().unwrap_or_else(PoisonError::into_inner);
            *told = renewed.as_ref().err().map(|error| format!("its renewal failed: {error}"));
            match renewed {
                Ok(renewed) => *old = renewed,
                Err(_) => old.renew_at = Instant::now().checked_add(RENEWED_AGAIN),
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
                let body = LogIn { role_id, secret_id: secret_id.expose() };
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
        let answer = self.ask("/v1/auth/token/renew-self", Some(token), &Empty {}).await?;
        match answer.status {
            200..=299 => held(&answer),
            status => Err(self.away(status, &said(&answer))),
        }
    }

    async fn ask(
        &self,
        path: &str,
        token: Option<&SecretString>,
        body: &impl Serialize,
    ) -> Result<Answered, SourceError> {
        self.exchange(Method::POST, path, token, written(body)?).await
    }

    async fn get(&self, path: &str, token: &SecretString) -> Result<Answered, SourceError> {
        self.exchange(Method::GET, path, Some(token), Bytes::new()).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        token: Option<&SecretString>,
        body: Bytes,
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
        let asked = self.https.ask(method, path, &headers, body);
        let address = &self.address;
        let why = match asked.await {
            Ok(answer) => return Ok(answer),
            Err(Unanswered::Unreachable) => "cannot be reached: start it, or write its address",
            Err(Unanswered::Tls) => {
                "does not show a certificate that we believe: write its CA as ca_file, and its name \
                 as the certificate has it"
            }
            Err(Unanswered::Broken) => "broke the connection off",
        };
        Err(SourceError::Unavailable(format!("{address} {why}")))
    }

    /// A call with its bound, whatever it takes: log-in, renewal and the question itself.
    async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, SourceError>> + Send,
    ) -> Result<T, SourceError> {
        let late = || SourceError::Unavailable(format!("{} did not answer in time", self.address));
        timeout(CALL_MAX, call).await.unwrap_or_else(|_| Err(late()))
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
        Box::pin(self.bounded(self.newest_now()))
    }

    fn wrap<'a>(
        &'a self,
        secret: &'a SecretBytes,
        _nonce: &'a [u8; SOURCE_NONCE_BYTES],
    ) -> SourceAnswer<'a, Wrapping> {
        Box::pin(self.bounded(async move { only(self.encrypt(&[secret]).await?) }))
    }

    fn unwrap<'a>(&'a self, key_id: &'a str, wrapped: &'a [u8]) -> SourceAnswer<'a, SecretBytes> {
        Box::pin(self.bounded(async move { only(self.decrypt(&[(key_id, wrapped)]).await?) }))
    }

    fn at_once(&self) -> usize {
        AT_ONCE
    }

    fn wrap_many<'a>(
        &'a self,
        secrets: &'a [(&'a SecretBytes, &'a [u8; SOURCE_NONCE_BYTES])],
    ) -> SourceAnswer<'a, Vec<Result<Wrapping, SourceError>>> {
        Box::pin(self.bounded(async move {
            let secrets: Vec<_> = secrets.iter().map(|(secret, _)| *secret).collect();
            self.encrypt(&secrets).await
        }))
    }

    fn unwrap_many<'a>(
        &'a self,
        wrapped: &'a [(&'a str, &'a [u8])],
    ) -> SourceAnswer<'a, Vec<Result<SecretBytes, SourceError>>> {
        Box::pin(self.bounded(self.decrypt(wrapped)))
    }

    fn rotate(&self, _fresh: SecretBytes) -> SourceAnswer<'_, String> {
        Box::pin(self.bounded(async {
            self.ask_as_ourselves("rotate", &Empty {}).await?;
            self.newest_now().await
        }))
    }
}

impl std::fmt::Debug for Transit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transit({})", self.place())
    }
}

/// The one answer to one question.
fn only<T>(mut answers: Vec<Result<T, SourceError>>) -> Result<T, SourceError> {
    answers.pop().unwrap_or_else(|| Err(unreadable()))
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

#[cfg(test)]
mod tests;
