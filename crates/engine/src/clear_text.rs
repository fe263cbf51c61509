//! Credentials that came in clear text, at the port without TLS (standards 2.11): whoever listened has
//! them too, so one that is right is void from then on: the secret of a webhook, or the session of a
//! person's access token. What an API key signs shows nothing of the key.
//!
//! A wrong one changes nothing and costs two hashes and comparisons for each form, whether there is such
//! a webhook or not. A right one is void when this returns, so nobody writes here twice with it.

use crate::Engine;
use crate::administer::{end_seen_session, revoke_secret};
use crate::command::error::CommandError;
use crate::intake::Presented;
use tradewarden_seal::HashedToken;

/// What of a request without TLS may be the credentials of a webhook.
pub struct ClearText {
    /// The token in the path.
    pub token: String,
    /// The secret in the query.
    pub query_secret: Option<Presented>,
    /// The secret in the header.
    pub header_secret: Option<Presented>,
    /// The header `Authorization`, where a person's access token may be.
    pub authorization: Option<Presented>,
}

impl Engine {
    /// Revokes the secret of the webhook that this request could trade at, ends the session whose token
    /// it shows, and tells people; whether there was one of them.
    pub async fn seen_in_clear_text(&self, seen: &ClearText) -> Result<bool, CommandError> {
        let shown = seen.authorization.as_ref().map(Presented::expose);
        if let Some(actor) = shown.and_then(|shown| self.bearer(shown)) {
            return end_seen_session(self, &actor).await;
        }
        let directory = self.parts.directory.load_full();
        let door = directory.door(&seen.token).cloned();
        let dummy = HashedToken::dummy();
        let current = door.as_ref().map_or(&dummy, |door| &door.secret);
        let previous = door.as_ref().and_then(|door| door.previous.as_ref());
        let previous = previous.filter(|previous| self.now() < previous.valid_until);
        let previous = previous.map_or(&dummy, |previous| &previous.secret);
        let mut is_right = false;
        for secret in [&seen.query_secret, &seen.header_secret] {
            let shown = secret.as_ref().map_or("", Presented::expose).as_bytes();
            is_right |= (current.verify(shown) | previous.verify(shown)) & secret.is_some();
        }
        match door {
            Some(door) if is_right => revoke_secret(self, &door).await,
            _ => Ok(false),
        }
    }
}
