//! Why a command is not carried out.

use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::str::FromStr;
use tradewarden_domain::code::{Code, Refusal};
use tradewarden_domain::id::{self, Id, Kind};
use tradewarden_seal::SealError;
use tradewarden_store::Error;

/// A command that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandError {
    /// A field is missing or has a value that is not allowed.
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// There is no such thing.
    NotFound,
    /// A rule said no.
    Refused {
        /// Which.
        code: Code,
        /// In a sentence.
        detail: String,
    },
    /// A rule said no to an order.
    Order(Box<OrderNo>),
    /// It could not be made durable, or the database is away.
    Unavailable {
        /// In a sentence.
        detail: String,
    },
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { field, detail } => write!(f, "{field}: {detail}"),
            Self::NotFound => f.write_str("there is no such thing"),
            Self::Refused { code, detail } => write!(f, "{code}: {detail}"),
            Self::Order(no) => write!(f, "{}: {}", no.code, no.detail),
            Self::Unavailable { detail } => write!(f, "unavailable: {detail}"),
        }
    }
}

impl std::error::Error for CommandError {}

/// A rule said no to an order, or to a change of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderNo {
    /// Which rule.
    pub code: Code,
    /// In a sentence.
    pub detail: String,
    /// The order: the one that was refused and stored, whose change was refused, or the one that this
    /// one is too much like.
    pub order_id: Option<Id<id::Order>>,
    /// What was asked for, if the rule compares.
    pub input: Option<String>,
    /// What is allowed, if the rule compares.
    pub limit: Option<String>,
}

impl OrderNo {
    pub(crate) fn of(refusal: Refusal, order_id: Option<Id<id::Order>>) -> Self {
        let Refusal { code, input, limit, detail } = refusal;
        Self { code, detail, order_id, input, limit }
    }
}

pub(crate) fn away(error: &Error) -> CommandError {
    tracing::error!(error = %error, "a read failed");
    CommandError::Unavailable { detail: "the database does not answer".to_owned() }
}

/// A refusal that says no more than its code.
pub(crate) fn no(code: Code) -> CommandError {
    CommandError::Refused { code, detail: code.meaning().to_owned() }
}

/// Why something could not be sealed.
pub(crate) fn unsealed(error: SealError) -> CommandError {
    match error {
        SealError::Closed => no(Code::VaultClosed),
        error => CommandError::Unavailable { detail: format!("it could not be sealed: {error}") },
    }
}

/// The one answer to every credential that is wrong.
pub(crate) fn failed() -> CommandError {
    no(Code::Unauthenticated)
}

pub(crate) fn invalid(field: &'static str, detail: &dyn std::fmt::Display) -> CommandError {
    CommandError::Invalid { field, detail: detail.to_string() }
}

pub(crate) fn parse_id<K: Kind>(text: &str) -> Result<Id<K>, CommandError> {
    Id::from_str(text).map_err(|error| invalid("id", &error))
}

pub(crate) fn to_value(view: &impl Serialize) -> Result<Value, CommandError> {
    serde_json::to_value(view).map_err(|error| {
        tracing::error!(error = %error, "a view could not be written as JSON");
        CommandError::Unavailable { detail: "the answer could not be written".to_owned() }
    })
}
