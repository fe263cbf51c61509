//! A signed request to a program of the operator's (Standard Webhooks 1.0.0): one JSON object by
//! `POST`, with `webhook-id`, `webhook-timestamp` and `webhook-signature`.
//!
//! The identifier and the time are the message's own, so that a second try is the same request: who
//! receives both can tell.

use crate::answer::outcome;
use crate::port::{Answer, Message, Messenger, Outcome, SENDING_MAX};
use crate::{Outbound, Roots, Unusable};
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use tradewarden_outbound::{Https, Method};
use tradewarden_seal::{Digest, SecretBytes, SecretString, standard_webhooks};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What a [`Webhook`] is made of.
#[derive(Debug)]
pub struct WebhookOptions {
    /// `https://HOST[:PORT][/PATH]`.
    pub url: String,
    /// `whsec_` and base64 of 24 to 64 bytes.
    pub secret: SecretString,
    /// Whose certificates are believed.
    pub roots: Roots,
    /// How the other side is spoken to.
    pub outbound: Outbound,
}

/// A program that takes our signed requests.
pub struct Webhook {
    https: Https,
    address: Digest,
    secret: SecretBytes,
}

impl Webhook {
    /// A receiver; nothing is connected yet.
    pub fn new(options: &WebhookOptions) -> Result<Self, Unusable> {
        let secret = standard_webhooks::parse_secret(options.secret.expose())
            .map_err(|error| Unusable(error.to_string()))?;
        let https = Https::at(&options.url, &options.roots, &options.outbound)?;
        Ok(Self { https, address: Digest::sha256(options.url.as_bytes()), secret })
    }

    async fn hand_over(&self, message: Message) -> Outcome {
        let body = message.text.expose().as_bytes();
        let at_s = message.made_at.unix_seconds();
        let signature = standard_webhooks::sign(&self.secret, &message.name, at_s, body);
        let headers = signature.ok().and_then(|signature| {
            Some([
                (CONTENT_TYPE, JSON),
                (ID, HeaderValue::from_str(&message.name).ok()?),
                (TIMESTAMP, HeaderValue::from(at_s)),
                (SIGNATURE, HeaderValue::from_str(&signature).ok()?),
            ])
        });
        let Some(headers) = headers else {
            return Outcome::Refused { reason: "the message cannot be signed".to_owned() };
        };
        let posted = self.https.ask(Method::POST, "", &headers, Bytes::copy_from_slice(body));
        match tokio::time::timeout(SENDING_MAX, posted).await {
            Ok(Ok(answered)) => outcome(&answered),
            Ok(Err(unanswered)) => Outcome::later(unanswered.reason()),
            Err(_) => Outcome::later("no answer in time"),
        }
    }
}

impl Messenger for Webhook {
    fn send(&self, message: Message) -> Answer<'_, Outcome> {
        Box::pin(self.hand_over(message))
    }

    fn address(&self) -> Digest {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_needs_https_and_a_secret() {
        let made = |url: &str, secret: &str| {
            let (url, secret) = (url.to_owned(), SecretString::new(secret.to_owned()));
            Webhook::new(&WebhookOptions {
                url,
                secret,
                roots: Roots::Web,
                outbound: Outbound::default(),
            })
            .map(|_| ())
        };
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert_eq!(made("https://hooks.example.com/alerts", secret), Ok(()));
        assert!(made("http://hooks.example.com/alerts", secret).is_err());
        let refused = made("https://hooks.example.com/alerts", "marked").unwrap_err();
        assert!(!refused.to_string().contains("marked"), "{refused}");
    }
}
