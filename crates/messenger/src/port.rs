//! The port: everything the engine asks of whoever carries messages.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{Digest, SecretString};

/// How long one try may take, whatever the other side does.
pub const SENDING_MAX: Duration = Duration::from_secs(20);

/// What a call of the port returns: a future that may be sent to another thread.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whoever carries messages of one kind.
pub trait Messenger: Send + Sync {
    /// Hands a message over, once. Ends within [`SENDING_MAX`]. May be dropped at any point; what
    /// was handed over by then is on its way.
    fn send(&self, message: Message) -> Answer<'_, Outcome>;

    /// A hash of where messages are handed over: what a test has proven of another address proves
    /// nothing of this one.
    fn address(&self) -> Digest;
}

/// One message to one person.
#[derive(Debug)]
pub struct Message {
    /// Its name: letters, digits and underscores. The same at every try, so that whoever receives
    /// two copies can tell.
    pub name: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// The address: a mailbox, or a number in the form of E.164.
    pub to: SecretString,
    /// What a mail is about; other messages have none.
    pub subject: String,
    /// What it says, as plain text. It may hold a secret.
    pub text: SecretString,
}

/// What became of one try.
///
/// A reason is a few words of ours, never what the other side wrote: that may hold the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken, to be carried on.
    Taken,
    /// It was not, or nobody knows; trying again may help.
    Later {
        /// Why.
        reason: String,
        /// How long the other side asked to be left alone.
        wait: Option<Duration>,
    },
    /// It was not, and will not be.
    Refused {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// Trying again may help.
    pub(crate) fn later(reason: impl Into<String>) -> Self {
        Self::Later { reason: reason.into(), wait: None }
    }
}
