//! Signed requests: from a signature to the key behind it. Whatever is wrong, the answer is one; a
//! key that is not known costs as much as one that is.

use crate::Engine;
use crate::actor::Actor;
use crate::caller::{NotAuthenticated, Shown};
use crate::nonces::{self, Taken};
use std::sync::Arc;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::http_signature::{Presented, Received, Request, Verified, VerifyingKey};

impl Engine {
    /// The key that signed this request; nothing if none did, or tried to.
    pub(crate) fn signed(&self, shown: &Shown<'_>) -> Option<Result<Actor, NotAuthenticated>> {
        let request = Request {
            method: shown.method,
            target: shown.target,
            authority: shown.authority,
            headers: &shown.headers,
            body: shown.body,
        };
        let received = Received::new(request);
        let judged = match Presented::read(&received) {
            Ok(None) => return None,
            Ok(Some(presented)) => self.judged(shown, &presented),
            Err(error) => Err(Denied::as_one(error.reason())),
        };
        Some(judged.map_err(|denied| {
            if denied.answer == NotAuthenticated::Closed {
                return denied.answer;
            }
            self.parts.denials.count_as(shown.address.to_canonical(), denied.reason);
            tracing::debug!(reason = denied.reason, "a signed request was not taken");
            denied.answer
        }))
    }

    fn judged(&self, shown: &Shown<'_>, presented: &Presented<'_>) -> Result<Actor, Denied> {
        let now = self.now();
        let directory = self.parts.directory.load();
        let key_id: Option<Id<id::Key>> = presented.key_id().parse().ok();
        let known = key_id.and_then(|id| directory.keys.get(&id));
        let decoy = VerifyingKey::decoy(presented);
        let verifying = known.map_or(&decoy, |known| &known.verifying);
        let verified = presented.verify(verifying, &self.parts.origins, now.unix_micros());
        // Whose key it is makes no difference, so that nobody learns which keys there are.
        if verified.is_err()
            && self.parts.vault.lacks_keys()
            && presented.could_be_hmac(&self.parts.origins, now.unix_micros()).is_ok()
        {
            return Err(Denied { answer: NotAuthenticated::Closed, reason: "key.closed" });
        }
        let Some(known) = known else { return Err(Denied::as_one("key.unknown")) };
        let verified = verified.map_err(|error| Denied::as_one(error.reason()))?;
        if !known.key.is_alive(now) {
            return Err(Denied::as_one("key.ended"));
        }
        let nonce = self.first_shown(shown, known.key.id, &verified, now)?;
        let address = shown.address.to_canonical();
        if !known.admits(address) {
            return Err(Denied { answer: NotAuthenticated::Address, reason: "key.address" });
        }
        self.parts.usage.used(known.key.id, now, address);
        Ok(Actor::key(Arc::clone(known)).with_nonce(nonce))
    }

    /// The nonce, if it was never shown before; what has to be kept of it is in it.
    fn first_shown(
        &self,
        shown: &Shown<'_>,
        key_id: Id<id::Key>,
        verified: &Verified<'_>,
        now: Timestamp,
    ) -> Result<Option<Arc<nonces::Nonce>>, Denied> {
        let created_at = Timestamp::from_unix_micros(verified.created_unix_us);
        if created_at < self.parts.signed_since {
            return Err(Denied::as_one("nonce.before_restore"));
        }
        let reads = matches!(shown.method, "GET" | "HEAD");
        if reads && created_at < self.parts.reads_since {
            return Err(Denied::as_one("nonce.before_start"));
        }
        let ends_at = Timestamp::from_unix_micros(verified.ends_unix_us);
        let row = nonces::row(key_id, verified.nonce, ends_at);
        match self.parts.nonces.take(row, shown.budget, now) {
            Taken::First => {
                // A read of somebody whose clock is ahead could be shown again after a restart.
                let is_kept = !reads || created_at > now;
                Ok(is_kept.then(|| Arc::new(self.parts.nonces.to_be_written(row))))
            }
            Taken::Again => Err(Denied::as_one("nonce.replayed")),
            Taken::Full => Err(Denied::as_one("nonce.full")),
        }
    }
}

/// Why a signed request is not taken: what is answered, and what only the log is told.
struct Denied {
    answer: NotAuthenticated,
    reason: &'static str,
}

impl Denied {
    const fn as_one(reason: &'static str) -> Self {
        Self { answer: NotAuthenticated::Failed, reason }
    }
}
