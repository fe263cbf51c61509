//! A message in a chat, by an incoming webhook as Slack has them and others offer as well: one object
//! `{"text": ...}` by `POST`. The address is the secret.

use crate::answer::outcome;
use crate::port::{Answer, Message, Messenger, Outcome, SENDING_MAX};
use crate::{Outbound, Roots, Unusable};
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use tradewarden_outbound::{Https, Method};
use tradewarden_seal::{Digest, SecretString};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What a [`Chat`] is made of.
#[derive(Debug)]
pub struct ChatOptions {
    /// `https://HOST[:PORT]/PATH`; whoever knows it may write there.
    pub url: SecretString,
    /// Whose certificates are believed.
    pub roots: Roots,
    /// How the other side is spoken to.
    pub outbound: Outbound,
}

/// A chat that takes our messages.
pub struct Chat {
    https: Https,
    address: Digest,
}

impl Chat {
    /// A chat; nothing is connected yet.
    pub fn new(options: &ChatOptions) -> Result<Self, Unusable> {
        // The sentence of the refusal would hold the address.
        let https = Https::at(options.url.expose(), &options.roots, &options.outbound)
            .map_err(|_| Unusable("the address is not https://HOST[:PORT]/PATH".to_owned()))?;
        // The path is the secret; nobody comes from the hash to it.
        Ok(Self { https, address: Digest::sha256(options.url.expose().as_bytes()) })
    }

    async fn hand_over(&self, message: Message) -> Outcome {
        let text = format!("*{}*\n{}", message.subject, message.text.expose());
        let body = Bytes::from(format!("{{\"text\":{}}}", json_text(&text)));
        let headers = [(CONTENT_TYPE, JSON)];
        let posted = self.https.ask(Method::POST, "", &headers, body);
        match tokio::time::timeout(SENDING_MAX, posted).await {
            Ok(Ok(answered)) => outcome(&answered),
            Ok(Err(unanswered)) => Outcome::later(unanswered.reason()),
            Err(_) => Outcome::later("no answer in time"),
        }
    }
}

impl Messenger for Chat {
    fn send(&self, message: Message) -> Answer<'_, Outcome> {
        Box::pin(self.hand_over(message))
    }

    fn address(&self) -> Digest {
        self.address
    }
}

/// A JSON string (RFC 8259 section 7). `&`, `<` and `>` are written as entities, which is what such a
/// chat asks for: they would be markup otherwise.
fn json_text(text: &str) -> String {
    let mut json = String::with_capacity(text.len().saturating_add(2));
    json.push('"');
    for letter in text.chars() {
        match letter {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '&' => json.push_str("&amp;"),
            '<' => json.push_str("&lt;"),
            '>' => json.push_str("&gt;"),
            letter if letter.is_control() => json.push(' '),
            letter => json.push(letter),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s24_an_address_is_told_apart_by_its_hash() {
        let address = |url: &str| {
            let url = SecretString::new(url.to_owned());
            let options = ChatOptions { url, roots: Roots::Web, outbound: Outbound::default() };
            Chat::new(&options).unwrap().address()
        };
        let here = address("https://chat.example.com/hooks/marked");
        assert_eq!(here, address("https://chat.example.com/hooks/marked"));
        assert_ne!(here, address("https://chat.example.com/hooks/other"));
        assert!(!here.to_string().contains("marked"));
    }

    #[test]
    fn a_text_is_json_and_no_markup() {
        let text = "a \"b\" \\ <!channel> & c\n\u{7}d";
        let json = r#""a \"b\" \\ &lt;!channel&gt; &amp; c\n d""#;
        assert_eq!(json_text(text), json);
    }

    #[test]
    fn a_refusal_does_not_tell_the_address() {
        let url = SecretString::new("http://chat.example.com/marked".to_owned());
        let refused =
            Chat::new(&ChatOptions { url, roots: Roots::Web, outbound: Outbound::default() })
                .map(|_| ())
                .unwrap_err();
        assert!(!refused.to_string().contains("marked"), "{refused}");
    }
}
