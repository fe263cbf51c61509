//! What people are told about their own account, by mail (NIST SP 800-63B-4 section 4.6, OWASP ASVS
//! 5.0 V6.3.5, V6.3.7): what happened, when, from where, and what to do if it was somebody else.
//!
//! At most ten in an hour to one person, of which the last says so: nobody can fill a mailbox by
//! logging in. What is left out stands in the audit log like everything else.

use crate::Shared;
use crate::book::Book;
use crate::outbox::{self, Letter};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::message::{ALLOWANCE_SPAN_MAX, Allowance, Channel, Topic};
use tradewarden_domain::person::FactorKind;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::SecretString;
use tradewarden_store::outbox as rows;
use tradewarden_store::{Error, Tx};

/// Something that a person is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Notice {
    NewDevice,
    FactorAdded(FactorKind),
    FactorRemoved(FactorKind),
    FactorsReset,
    RecoveryCodeUsed,
    RecoveryCodesMade,
    PasswordChanged,
    PasswordReset,
    SessionStolen,
    /// After so many wrong tries in a row.
    Locked(u32),
}

/// A notice, and from which address it was caused, if one is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) notice: Notice,
    pub(super) from: Option<&'a str>,
}

impl Notice {
    /// Caused from this address.
    pub(super) const fn from(self, address: &str) -> Told<'_> {
        Told { notice: self, from: Some(address) }
    }

    /// Caused by somebody else than the person, at the gateway itself or through it.
    pub(super) const fn by_others(self) -> Told<'static> {
        Told { notice: self, from: None }
    }

    const fn topic(self) -> Topic {
        match self {
            Self::NewDevice => Topic::NewDevice,
            Self::FactorAdded(_) => Topic::FactorAdded,
            Self::FactorRemoved(_) => Topic::FactorRemoved,
            Self::FactorsReset => Topic::FactorsReset,
            Self::RecoveryCodeUsed => Topic::RecoveryCodeUsed,
            Self::RecoveryCodesMade => Topic::RecoveryCodesMade,
            Self::PasswordChanged => Topic::PasswordChanged,
            Self::PasswordReset => Topic::PasswordReset,
            Self::SessionStolen => Topic::SessionStolen,
            Self::Locked(_) => Topic::Locked,
        }
    }

    const fn subject(self) -> &'static str {
        match self {
            Self::NewDevice => "New log-in to your account",
            Self::FactorAdded(_) => "A second factor was added",
            Self::FactorRemoved(_) => "A second factor was removed",
            Self::FactorsReset => "Your second factors were taken away",
            Self::RecoveryCodeUsed => "A recovery code was used",
            Self::RecoveryCodesMade => "New recovery codes were made",
            Self::PasswordChanged => "Your password was changed",
            Self::PasswordReset => "Your password was set anew",
            Self::SessionStolen => "A session was ended: its token was used twice",
            Self::Locked(_) => "Many wrong tries at your account",
        }
    }

    fn sentence(self) -> String {
        match self {
            Self::NewDevice => {
                "Somebody logged in to your account with a program, or from an address, that was \
                 not seen there before."
                    .to_owned()
            }
            Self::FactorAdded(kind) => {
                format!("{} was added to your account.", capital(name_of(kind)))
            }
            Self::FactorRemoved(kind) => {
                format!("{} was removed from your account.", capital(name_of(kind)))
            }
            Self::FactorsReset => {
                "An administrator took all second factors and recovery codes of your account away. \
                 Your sessions were ended; the next log-in enrols a new factor."
                    .to_owned()
            }
            Self::RecoveryCodeUsed => {
                "A recovery code was used in place of your usual second factor. It cannot be used \
                 again."
                    .to_owned()
            }
            Self::RecoveryCodesMade => {
                "New recovery codes were made for your account. Those from before are void."
                    .to_owned()
            }
            Self::PasswordChanged => {
                "The password of your account was changed. Your other sessions were ended."
                    .to_owned()
            }
            Self::PasswordReset => {
                "The password of your account was set anew with a token. Your sessions were ended."
                    .to_owned()
            }
            Self::SessionStolen => {
                "The token that renews one of your sessions was shown twice. One of the two who \
                 showed it is a thief, so the session was ended."
                    .to_owned()
            }
            Self::Locked(failures) => format!(
                "{failures} wrong tries in a row were made at your account. Further ones have to \
                 wait, also right ones. A passkey still works, and so does a new password."
            ),
        }
    }
}

const fn name_of(kind: FactorKind) -> &'static str {
    match kind {
        FactorKind::Totp => "an authenticator app",
        FactorKind::Webauthn => "a passkey",
        FactorKind::Sms => "a phone for codes by text message",
        FactorKind::RecoveryCode => "a recovery code",
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// Tells a person, in the transaction of what happened.
pub(super) async fn tell(
    tx: &mut Tx<'_>,
    book: &mut Book,
    shared: &Shared,
    org: Id<id::Org>,
    user: Id<id::User>,
    told: Told<'_>,
) -> Result<(), Error> {
    if !shared.messengers.contains_key(&Channel::Mail) {
        return Ok(());
    }
    let principals = shared.people.principals.load_full();
    let Some(to) = principals.users.get(&user).map(|user| user.email.clone()) else {
        return Ok(());
    };
    let topic = told.notice.topic();
    let allowance = allowance(tx, user, topic, book.now).await?;
    if allowance == Allowance::No {
        outbox::drop_one(book, shared, org, Some(user), (Channel::Mail, topic));
        return Ok(());
    }
    let text = letter(told, book.now, &shared.settings.console_origin, allowance);
    let letter = Letter {
        channel: Channel::Mail,
        topic,
        to: SecretString::new(to),
        destination: None,
        subject: format!("Tradewarden: {}", told.notice.subject()),
        text: SecretString::new(text),
    };
    outbox::put(tx, book, shared, org, Some(user), letter).await.map(|_| ())
}

/// Whether one more message about this may go to a person.
pub(super) async fn allowance(
    tx: &mut Tx<'_>,
    user: Id<id::User>,
    topic: Topic,
    now: Timestamp,
) -> Result<Allowance, Error> {
    let since = now.minus(ALLOWANCE_SPAN_MAX);
    let earlier = rows::to_user(tx, user, since).await?;
    Ok(topic.allowance(&earlier, now))
}

/// The time as people read it, to the second.
pub(crate) fn shown(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} UTC", text.get(..19).unwrap_or(&text).replace('T', " "))
}

fn letter(told: Told<'_>, now: Timestamp, console: &str, allowance: Allowance) -> String {
    let from = told.from.map(|from| format!("Address: {from}\n")).unwrap_or_default();
    let last = match allowance {
        Allowance::Last => {
            "\nMuch happens at your account: within the next hour no more of these mails are sent.\n"
        }
        Allowance::Yes | Allowance::No => "",
    };
    format!(
        "{}\n\nGateway: {console}\nTime:    {}\n{from}\n\
         If it was you, there is nothing to do. If not, set a new password, end the sessions that \
         you do not know, look at your second factors, and tell whoever runs the gateway.\n{last}",
        told.notice.sentence(),
        shown(now),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_says_what_when_from_where_and_what_to_do() {
        let now = Timestamp::from_unix_micros(1_800_000_000_123_456);
        let told = Notice::FactorAdded(FactorKind::Totp).from("192.0.2.7");
        let text = letter(told, now, "https://trade.example.com", Allowance::Yes);
        assert_eq!(
            text,
            "An authenticator app was added to your account.\n\n\
             Gateway: https://trade.example.com\n\
             Time:    2027-01-15 08:00:00 UTC\n\
             Address: 192.0.2.7\n\n\
             If it was you, there is nothing to do. If not, set a new password, end the sessions \
             that you do not know, look at your second factors, and tell whoever runs the \
             gateway.\n"
        );
        let told = Notice::Locked(10).by_others();
        let text = letter(told, now, "https://trade.example.com", Allowance::Last);
        assert!(text.starts_with("10 wrong tries in a row") && !text.contains("Address"), "{text}");
        assert!(text.ends_with("no more of these mails are sent.\n"), "{text}");
    }
}
