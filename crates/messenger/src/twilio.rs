//! Text messages over Twilio's interface, which others offer as well: one form by `POST
//! /2010-04-01/Accounts/{sid}/Messages.json` with basic authentication.
//!
//! The interface has no key by which a repeated request is known: a message whose answer was lost is
//! sent again, and may arrive twice.

use crate::answer::outcome;
use crate::port::{Answer, Message, Messenger, Outcome, SENDING_MAX};
use crate::{Outbound, Roots, Unusable};
use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use std::fmt::Write as _;
use tradewarden_domain::message::PhoneNumber;
use tradewarden_outbound::{Https, Method};
use tradewarden_seal::{Digest, SecretString, base64_encode};

/// Where Twilio itself is.
pub const BASE_URL: &str = "https://api.twilio.com";

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// What a [`Twilio`] is made of.
#[derive(Debug)]
pub struct TwilioOptions {
    /// `https://HOST[:PORT][/PATH]`.
    pub base_url: String,
    /// The account: letters and digits.
    pub account_sid: String,
    /// Its secret.
    pub auth_token: SecretString,
    /// The sender: a number in the form of E.164, or a name of up to 11 letters and digits.
    pub from: String,
    /// Whose certificates are believed.
    pub roots: Roots,
    /// How the other side is spoken to.
    pub outbound: Outbound,
}

/// A provider that takes our text messages.
pub struct Twilio {
    https: Https,
    address: Digest,
    path: String,
    authorization: HeaderValue,
    from: String,
}

impl Twilio {
    /// A provider; nothing is connected yet.
    pub fn new(options: TwilioOptions) -> Result<Self, Unusable> {
        let is_plain = |text: &str, most: usize| {
            (1..=most).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        if !is_plain(&options.account_sid, 64) {
            return Err(Unusable("account_sid is 1 to 64 letters and digits".to_owned()));
        }
        if PhoneNumber::parse(&options.from).is_none() && !is_plain(&options.from, 11) {
            return Err(Unusable(
                "from is a number like +14155550123, or a name of up to 11 letters and digits"
                    .to_owned(),
            ));
        }
        let pair = format!("{}:{}", options.account_sid, options.auth_token.expose());
        let mut authorization =
            HeaderValue::from_str(&format!("Basic {}", base64_encode(pair.as_bytes())))
                .map_err(|_| Unusable("the token cannot be sent".to_owned()))?;
        authorization.set_sensitive(true);
        Ok(Self {
            address: Digest::sha256(options.base_url.as_bytes()),
            https: Https::at(&options.base_url, &options.roots, &options.outbound)?,
            path: format!("/2010-04-01/Accounts/{}/Messages.json", options.account_sid),
            authorization,
            from: options.from,
        })
    }

    async fn hand_over(&self, message: Message) -> Outcome {
        let fields = [
            ("To", message.to.expose()),
            ("From", self.from.as_str()),
            ("Body", message.text.expose()),
        ];
        let headers: [(HeaderName, HeaderValue); 2] =
            [(AUTHORIZATION, self.authorization.clone()), (CONTENT_TYPE, FORM)];
        let posted = self.https.ask(Method::POST, &self.path, &headers, Bytes::from(form(&fields)));
        match tokio::time::timeout(SENDING_MAX, posted).await {
            Ok(Ok(answered)) => outcome(&answered),
            Ok(Err(unanswered)) => Outcome::later(unanswered.reason()),
            Err(_) => Outcome::later("no answer in time"),
        }
    }
}

impl Messenger for Twilio {
    fn send(&self, message: Message) -> Answer<'_, Outcome> {
        Box::pin(self.hand_over(message))
    }

    fn address(&self) -> Digest {
        self.address
    }
}

/// `application/x-www-form-urlencoded` (WHATWG URL section 5.2).
fn form(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                    text.push(char::from(byte));
                }
                b' ' => text.push('+'),
                // Writing to a string cannot fail.
                _ => drop(write!(text, "%{byte:02X}")),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_as_browsers_write_it() {
        let fields = [("To", "+14155550123"), ("Body", "a b&c=d%\u{e9}\n*-._~")];
        assert_eq!(form(&fields), "To=%2B14155550123&Body=a+b%26c%3Dd%25%C3%A9%0A*-._%7E");
    }

    #[test]
    fn what_cannot_be_a_provider_is_refused() {
        let made = |account_sid: &str, from: &str| {
            Twilio::new(TwilioOptions {
                base_url: BASE_URL.to_owned(),
                account_sid: account_sid.to_owned(),
                auth_token: SecretString::new("secret".to_owned()),
                from: from.to_owned(),
                roots: Roots::Web,
                outbound: Outbound::default(),
            })
            .map(|_| ())
            .map_err(|error| error.to_string())
        };
        assert_eq!(made("AC0123", "+14155550123"), Ok(()));
        assert_eq!(made("AC0123", "Tradewarden"), Ok(()));
        assert!(made("AC/../0123", "+14155550123").unwrap_err().starts_with("account_sid"));
        assert!(made("", "+14155550123").is_err());
        assert!(made("AC0123", "Tradewarden!").unwrap_err().starts_with("from"));
    }
}
