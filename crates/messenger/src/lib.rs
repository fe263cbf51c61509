//! Messages to people: the port, and what carries them.
//!
//! The engine knows the port alone. An adapter gets one message at a time, hands it to somebody who
//! carries it on, and says what they answered; keeping messages and trying again is the engine's.
//!
//! Never here: our database, retries, a message's content in a log or in a reason.
//!
//! Invariants
//! - Outside this machine everything goes over TLS 1.3, with the other side's name checked; over 1.2 only
//!   where [`Outbound`] lists the host.
//! - Every call ends within [`SENDING_MAX`].
//! - A message that is sent again has the same name.

pub mod chat;
pub mod port;
pub mod smtp;
pub mod twilio;
pub mod webhook;

mod answer;

pub use chat::{Chat, ChatOptions};
pub use port::{Answer, Message, Messenger, Outcome, SENDING_MAX};
pub use smtp::{Security, Smtp, SmtpOptions};
pub use tradewarden_outbound::{Outbound, Roots, RootsError, Unusable};
pub use twilio::{Twilio, TwilioOptions};
pub use webhook::{Webhook, WebhookOptions};
