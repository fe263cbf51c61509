//! Webhooks: doors for signals.

use crate::account::Activity;
use crate::few::Few;
use crate::id::{self, Id};
use crate::instrument::Symbol;
use crate::signal::Mapping;
use crate::time::Timestamp;
use std::fmt;
use std::str::FromStr;

/// Which forms of credential a webhook takes (C4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four forms, each on or off")]
pub struct CredentialForms {
    /// `?secret=` in the query.
    pub query: bool,
    /// The header `X-Webhook-Secret`.
    pub header: bool,
    /// The member `secret` of the body.
    pub body: bool,
    /// Standard Webhooks signature headers.
    pub signature: bool,
}

impl CredentialForms {
    /// The forms that are on by default: query, header, body.
    pub const DEFAULT: Self = Self { query: true, header: true, body: true, signature: false };
}

/// A webhook's settings; its credentials live with the store and `seal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its identifier.
    pub id: Id<id::Webhook>,
    /// The owner.
    pub org_id: Id<id::Org>,
    /// What people call it.
    pub name: Box<str>,
    /// The token in its path: an identifier, not a secret.
    pub token: Token,
    /// Which forms of credential it takes.
    pub forms: CredentialForms,
    /// Addresses in CIDR form; empty means any.
    pub allow: Few<String>,
    /// The name that the sender's TLS client certificate must show; `None` asks for none.
    pub client_certificate: Option<Box<CertificateName>>,
    /// The symbols that entries may name, in their tickers' form without an exchange; empty means any.
    pub symbols: Few<Symbol>,
    /// Every signal is only judged, never traded.
    pub dry_run: bool,
    /// Risk-increasing signals a second; the default is 10.
    pub rate_per_s: u32,
    /// Entries that state when they were sent may be this old.
    pub max_age_s: u32,
    /// How to read the sender's own JSON, if it is not ours.
    pub mapping: Option<Box<Mapping>>,
    /// Whether it takes signals.
    pub state: Activity,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The token in a webhook's path. It lies in the webhook itself, so that who compares it looks no
/// further.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    length: u8,
    bytes: [u8; Self::BYTES_MAX],
}

/// The text is longer than any token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenError;

impl fmt::Display for TokenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a webhook's token has at most {} bytes", Token::BYTES_MAX)
    }
}

impl std::error::Error for TokenError {}

impl Token {
    /// Longest token, in bytes: just what is made, `twh_` and 43 characters.
    pub const BYTES_MAX: usize = 47;

    /// The token's bytes, which are a text.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let mut bytes = [0; Self::BYTES_MAX];
        let place = bytes.get_mut(..text.len()).ok_or(TokenError)?;
        place.copy_from_slice(text.as_bytes());
        Ok(Self { length: u8::try_from(text.len()).map_err(|_| TokenError)?, bytes })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(std::str::from_utf8(self.as_bytes()).unwrap_or_default())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Token({self})")
    }
}

/// Most symbols of a webhook's list.
pub const SYMBOLS_MAX: usize = 256;

/// Risk-increasing signals a second that a webhook takes unless it says otherwise.
pub const RATE_PER_S_DEFAULT: u32 = 10;
/// Age in seconds up to which an entry that states its time is fresh, unless the webhook says
/// otherwise (S13).
pub const MAX_AGE_S_DEFAULT: u32 = 90;
/// Seconds for which a replaced secret is still taken, unless the rotation says otherwise.
pub const OVERLAP_S_DEFAULT: u32 = 24 * 3_600;
/// The longest such time: a week.
pub const OVERLAP_S_MAX: u32 = 7 * 24 * 3_600;
/// The addresses from which TradingView sends.
/// Source: TradingView support article 43000529348.
pub const TRADINGVIEW_ADDRESSES: [&str; 4] =
    ["52.89.214.238", "34.212.75.30", "54.218.53.128", "52.32.178.7"];
/// The name in the client certificate with which TradingView sends.
/// Source: TradingView support article 43000680459.
pub const TRADINGVIEW_CERTIFICATE: &str = "email:webhook-server@tradingview.com";

/// A name in a certificate, of one of the kinds that a sender can be told by. As text
/// `email:NAME`, `dns:NAME` or `cn:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateName {
    /// A subject alternative name of the form `rfc822Name` (RFC 5280 section 4.2.1.6).
    Email(String),
    /// A subject alternative name of the form `dNSName`, compared without regard to case.
    Dns(String),
    /// The common name of the subject, for certificates without alternative names.
    CommonName(String),
}

impl CertificateName {
    /// Longest name, in bytes.
    pub const BYTES_MAX: usize = 253;

    /// Whether a certificate that shows `shown` is the one meant. Kinds are never mixed: a CA that
    /// vouches for an address may let everybody choose a common name. A wildcard is a name like
    /// any other, so that nobody is let in who was not named.
    pub fn is_shown_by(&self, shown: &Self) -> bool {
        match (self, shown) {
            (Self::Email(wanted), Self::Email(shown)) => {
                match mailbox(wanted).zip(mailbox(shown)) {
                    // The host is a DNS name; the part before it is the host's own affair (RFC 5321).
                    Some(((user, host), (shown_user, shown_host))) => {
                        user == shown_user && host.eq_ignore_ascii_case(shown_host)
                    }
                    None => false,
                }
            }
            (Self::Dns(wanted), Self::Dns(shown)) => wanted.eq_ignore_ascii_case(shown),
            (Self::CommonName(wanted), Self::CommonName(shown)) => wanted == shown,
            _ => false,
        }
    }
}

fn mailbox(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once('@').filter(|(user, host)| !user.is_empty() && !host.is_empty())
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(name) => write!(f, "email:{name}"),
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::CommonName(name) => write!(f, "cn:{name}"),
        }
    }
}

/// The text is no name that a certificate can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotACertificateName;

impl fmt::Display for NotACertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "must be tradingview, an e-mail address, a host name, or a common name as cn:NAME",
        )
    }
}

impl std::error::Error for NotACertificateName {}

impl FromStr for CertificateName {
    type Err = NotACertificateName;

    /// Reads a name, with its kind before it or without: then an `@` makes it an e-mail address,
    /// and everything else is a host name. A common name is never guessed.
    fn from_str(text: &str) -> Result<Self, NotACertificateName> {
        if text == "tradingview" {
            return TRADINGVIEW_CERTIFICATE.parse();
        }
        let name = match text.split_once(':') {
            Some(("email", name)) => Self::Email(name.to_owned()),
            Some(("dns", name)) => Self::Dns(name.to_owned()),
            Some(("cn", name)) => Self::CommonName(name.to_owned()),
            Some(_) => return Err(NotACertificateName),
            None if text.contains('@') => Self::Email(text.to_owned()),
            None => Self::Dns(text.to_owned()),
        };
        let fits = |text: &str| {
            (1..=Self::BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control)
        };
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let valid = match &name {
            Self::Email(name) => fits(name) && is_plain(name) && mailbox(name).is_some(),
            Self::Dns(name) => {
                fits(name) && is_plain(name) && name.contains('.') && !name.contains('@')
            }
            Self::CommonName(name) => fits(name) && name.trim() == name,
        };
        if valid { Ok(name) } else { Err(NotACertificateName) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> CertificateName {
        text.parse().unwrap()
    }

    #[test]
    fn a_token_is_its_text() {
        for text in ["", "twh_0", &"é".repeat(23), &"a".repeat(Token::BYTES_MAX)] {
            let token: Token = text.parse().unwrap();
            assert_eq!((token.to_string(), token.as_bytes()), (text.to_owned(), text.as_bytes()));
            assert_eq!(format!("{token:?}"), format!("Token({text})"));
            assert_eq!(token == "twh_0".parse().unwrap(), text == "twh_0");
        }
        assert_eq!("a".repeat(Token::BYTES_MAX + 1).parse::<Token>(), Err(TokenError));
        assert_eq!("a".repeat(300).parse::<Token>(), Err(TokenError));
    }

    #[test]
    fn names_are_read_with_and_without_their_kind() {
        for (text, read) in [
            ("tradingview", "email:webhook-server@tradingview.com"),
            ("a@b.example", "email:a@b.example"),
            ("email:a@b.example", "email:a@b.example"),
            ("sender.example", "dns:sender.example"),
            ("dns:*.sender.example", "dns:*.sender.example"),
            ("cn:TradingView Webhooks", "cn:TradingView Webhooks"),
        ] {
            assert_eq!(name(text).to_string(), read);
            assert_eq!(name(&name(text).to_string()), name(text));
        }
        let long = format!("cn:{}", "x".repeat(254));
        for wrong in [
            "",
            "TradingView",
            "dns:",
            "cn:",
            "cn: x",
            "email:x",
            "email:@x",
            "email:x@",
            "dns:a b.c",
            "dns:a@b.c",
            "uri:https://x.example",
            "cn:a\nb",
            "a@b\u{e9}.example",
            &long,
        ] {
            assert_eq!(wrong.parse::<CertificateName>(), Err(NotACertificateName), "{wrong:?}");
        }
    }

    #[test]
    fn kinds_are_not_mixed_and_only_hosts_ignore_case() {
        for (wanted, shown, same) in [
            ("email:a@b.example", "email:a@B.example", true),
            ("email:a@b.example", "email:A@b.example", false),
            ("dns:a.example", "dns:A.EXAMPLE", true),
            ("dns:a.example", "dns:b.a.example", false),
            ("dns:a.example", "dns:*.example", false),
            ("cn:One", "cn:One", true),
            ("cn:One", "cn:one", false),
            ("email:a@b.example", "cn:a@b.example", false),
            ("dns:a.example", "cn:a.example", false),
            ("cn:a.example", "dns:a.example", false),
        ] {
            assert_eq!(name(wanted).is_shown_by(&name(shown)), same, "{wanted} {shown}");
        }
    }
}
