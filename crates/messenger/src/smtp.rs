//! Mail over SMTP (RFC 5321), submitted to one server that carries it on (RFC 6409).

use crate::port::{Answer, Message, Messenger, Outcome, SENDING_MAX};
use crate::{Outbound, Roots, Unusable};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{
    Certificate, CertificateStore, Tls, TlsParameters, TlsVersion,
};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Severity;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use std::error::Error as _;
use std::time::{Duration, UNIX_EPOCH};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{Digest, SecretString};

/// Answers that are about our own credentials: an operator can mend them, so the message waits.
const ABOUT_CREDENTIALS: [u16; 4] = [530, 534, 535, 538];

/// How the connection to the mail server is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// TLS after `STARTTLS` (RFC 3207); without it nothing is sent.
    StartTls,
    /// None. Only for a server on this machine.
    None,
}

/// What an [`Smtp`] is made of.
#[derive(Debug)]
pub struct SmtpOptions {
    /// The server's host name, as its certificate has it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub security: Security,
    /// Whose certificates are believed.
    pub roots: Roots,
    /// How the server is spoken to; pins are not for mail servers.
    pub outbound: Outbound,
    /// User name and password, if the server wants them.
    pub credentials: Option<(String, SecretString)>,
    /// The sender: `name@example.com` or `Name <name@example.com>`.
    pub from: String,
    /// How this machine calls itself.
    pub hello: String,
}

/// A mail server that takes our mails.
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    address: Digest,
}

impl Smtp {
    /// A mail server; nothing is connected yet.
    pub fn new(options: SmtpOptions) -> Result<Self, Unusable> {
        let from: Mailbox = options
            .from
            .parse()
            .map_err(|_| Unusable(format!("{:?} is no sender's address", options.from)))?;
        let port = options.port.to_be_bytes();
        let parts = [&port[..], options.host.as_bytes(), b"/", options.from.as_bytes()];
        let address = Digest::sha256_parts(&parts);
        let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&options.host)
            .port(options.port)
            .tls(tls(&options)?)
            .hello_name(ClientId::Domain(options.hello))
            .timeout(Some(SENDING_MAX));
        let builder = match options.credentials {
            Some((name, password)) => {
                builder.credentials(Credentials::new(name, password.expose().to_owned()))
            }
            None => builder,
        };
        Ok(Self { transport: builder.build(), from, address })
    }

    async fn hand_over(&self, message: Message) -> Outcome {
        let Ok(letter) = self.letter(&message) else {
            return Outcome::Refused { reason: "no mail can be made of it".to_owned() };
        };
        match tokio::time::timeout(SENDING_MAX, self.transport.send(letter)).await {
            Ok(Ok(_)) => Outcome::Taken,
            Ok(Err(error)) => outcome_of(&error),
            Err(_) => Outcome::later("no answer in time"),
        }
    }

    /// The mail. Its `Message-ID` is made of the message's name and the sender's domain (RFC 5322
    /// section 3.6.4): a second copy is known by it.
    fn letter(&self, message: &Message) -> Result<lettre::Message, lettre::error::Error> {
        // Nobody is to answer automatically (RFC 3834 section 5).
        let automatic = HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        );
        let to = message.to.expose().parse().map_err(|_| lettre::error::Error::MissingTo)?;
        MessageBuilder::new()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(&message.subject)
            .date(UNIX_EPOCH + since_1970(message.made_at))
            .message_id(Some(format!("<{}@{}>", message.name, self.from.email.domain())))
            .header(ContentType::TEXT_PLAIN)
            .raw_header(automatic)
            .body(message.text.expose().to_owned())
    }
}

impl Messenger for Smtp {
    fn send(&self, message: Message) -> Answer<'_, Outcome> {
        Box::pin(self.hand_over(message))
    }

    fn address(&self) -> Digest {
        self.address
    }
}

fn since_1970(at: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(at.unix_seconds()).unwrap_or(0))
}

fn tls(options: &SmtpOptions) -> Result<Tls, Unusable> {
    if options.security == Security::None {
        return Ok(Tls::None);
    }
    let unusable = |cause: &dyn std::fmt::Display| Unusable(format!("TLS: {cause}"));
    options.roots.store().map_err(|error| unusable(&error))?;
    let least = if options.outbound.lets_tls_1_2(&options.host) {
        TlsVersion::Tlsv12
    } else {
        TlsVersion::Tlsv13
    };
    let builder = TlsParameters::builder(options.host.clone()).set_min_tls_version(least);
    let builder = match &options.roots {
        Roots::Web => builder.certificate_store(CertificateStore::WebpkiRoots),
        Roots::Own(pem) => {
            let own = Certificate::from_pem(pem.as_bytes()).map_err(|error| unusable(&error))?;
            builder.certificate_store(CertificateStore::None).add_root_certificate(own)
        }
    };
    let parameters = builder.build().map_err(|error| unusable(&error))?;
    Ok(match options.security {
        Security::Tls => Tls::Wrapper(parameters),
        Security::StartTls | Security::None => Tls::Required(parameters),
    })
}

/// Whether TLS is the reason, however deep it lies.
fn is_about_tls(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let wrapped = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(wrapped) = wrapped
            && wrapped.is::<rustls::Error>()
        {
            return true;
        }
        if inner.is::<rustls::Error>() {
            return true;
        }
        cause = inner.source();
    }
    error.is_tls()
}

/// What an error means for the message; the server's own words may hold the address, and stay here.
fn outcome_of(error: &Error) -> Outcome {
    let Some(code) = error.status() else {
        return Outcome::later(if is_about_tls(error) {
            "TLS did not come about"
        } else if error.is_timeout() {
            "no answer in time"
        } else if error.is_client() {
            "the server does not offer what is needed"
        } else {
            "the server could not be reached"
        });
    };
    let number = u16::from(code);
    let reason = format!("the mail server answered {number}");
    let is_final = code.severity == Severity::PermanentNegativeCompletion;
    if is_final && !ABOUT_CREDENTIALS.contains(&number) {
        return Outcome::Refused { reason };
    }
    Outcome::later(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smtp() -> Smtp {
        Smtp::new(SmtpOptions {
            host: "mail.example.com".to_owned(),
            port: 465,
            security: Security::Tls,
            roots: Roots::Web,
            outbound: Outbound::default(),
            credentials: None,
            from: "Tradewarden <gateway@example.com>".to_owned(),
            hello: "trade.example.com".to_owned(),
        })
        .unwrap()
    }

    fn message(to: &str, subject: &str, text: &str) -> Message {
        Message {
            name: "msg_0".to_owned(),
            made_at: Timestamp::from_unix_micros(1_800_000_000_000_000),
            to: SecretString::new(to.to_owned()),
            subject: subject.to_owned(),
            text: SecretString::new(text.to_owned()),
        }
    }

    #[test]
    fn a_mail_is_the_same_each_time_it_is_made() {
        let made = || {
            let letter = smtp().letter(&message("ann@example.com", "A subject", "Hello,\nyou.\n"));
            String::from_utf8(letter.unwrap().formatted()).unwrap()
        };
        let text = made();
        assert_eq!(text, made());
        for line in [
            "From: Tradewarden <gateway@example.com>\r\n",
            "To: ann@example.com\r\n",
            "Subject: A subject\r\n",
            "Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n",
            "Message-ID: <msg_0@example.com>\r\n",
            "Content-Type: text/plain; charset=utf-8\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "\r\n\r\nHello,\r\nyou.\r\n",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
    }

    #[test]
    fn nothing_breaks_out_of_a_header() {
        let letter = smtp().letter(&message("ann@example.com", "A\r\nBcc: eve@example.com", "x"));
        let text = String::from_utf8(letter.unwrap().formatted()).unwrap();
        assert!(!text.contains("\nBcc:"), "{text}");
        for to in ["", "ann", "ann@example.com\r\nBcc: e@example.com", "a@example.com,b@x.org"] {
            assert!(smtp().letter(&message(to, "s", "x")).is_err(), "{to:?}");
        }
    }

    #[test]
    fn a_sender_without_an_address_is_refused() {
        let options = SmtpOptions {
            host: "localhost".to_owned(),
            port: 25,
            security: Security::None,
            roots: Roots::Web,
            outbound: Outbound::default(),
            credentials: None,
            from: "nobody".to_owned(),
            hello: "localhost".to_owned(),
        };
        let refused = Smtp::new(options).err().unwrap();
        assert_eq!(refused.to_string(), "\"nobody\" is no sender's address");
    }
}
