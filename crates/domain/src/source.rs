//! Sources: where the signals of a strategy come from.

use crate::id::{self, Id, IdError};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use std::str::FromStr;

/// A webhook, or a key whose holder signs each signal. As text the identifier of the one or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Whoever knows the webhook's secret.
    Webhook(Id<id::Webhook>),
    /// Whoever holds the key, or one that follows on it: a line of keys is one source, called by the
    /// first of them.
    Key(Id<id::Key>),
}

impl Source {
    /// The webhook, if it is one.
    pub const fn webhook(self) -> Option<Id<id::Webhook>> {
        match self {
            Self::Webhook(id) => Some(id),
            Self::Key(_) => None,
        }
    }

    /// The key, if it is one.
    pub const fn key(self) -> Option<Id<id::Key>> {
        match self {
            Self::Webhook(_) => None,
            Self::Key(id) => Some(id),
        }
    }

    /// The identifier's sixteen bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        match self {
            Self::Webhook(id) => id.to_bytes(),
            Self::Key(id) => id.to_bytes(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook(id) => id.fmt(f),
            Self::Key(id) => id.fmt(f),
        }
    }
}

impl FromStr for Source {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.parse() {
            Ok(key) => Ok(Self::Key(key)),
            Err(_) => text.parse().map(Self::Webhook),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_the_identifier_of_a_webhook_or_of_a_key() {
        let (webhook, key) = (Id::from_bytes([7; 16]), Id::from_bytes([7; 16]));
        for source in [Source::Webhook(webhook), Source::Key(key)] {
            assert_eq!(source.to_string().parse(), Ok(source));
            assert_eq!(source.to_bytes(), [7; 16]);
            let written = serde_json::to_value(source).unwrap();
            assert_eq!(written, source.to_string());
            assert_eq!(serde_json::from_value::<Source>(written).unwrap(), source);
        }
        assert_ne!(Source::Webhook(webhook), Source::Key(key));
        assert!(Source::Webhook(webhook).to_string().starts_with("whk_"));
        assert!("str_00000000000000000000000000".parse::<Source>().is_err());
    }
}
