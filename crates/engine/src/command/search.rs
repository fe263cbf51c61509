//! Looking for something in a list: which page, and what its items must be like.

use super::Paging;
use crate::command::error::CommandError;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::source::Source;
use tradewarden_domain::time::Timestamp;

/// A page of what a filter lets through.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// The `next` of the page before; absent for the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// At most so many, 1 to 200; 50 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// What the items must be like.
    #[serde(default, skip_serializing_if = "Filter::is_empty")]
    pub filter: Filter,
}

/// What items of a list must be like; what is absent does not matter. Each list looks at some of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Of this account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<Id<id::Account>>,
    /// Of this strategy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy_id: Option<Id<id::Strategy>>,
    /// Of this instrument.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<Symbol>,
    /// Signals of this webhook or key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Orders in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Signals of which this became.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// With this reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Findings that are so bad.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Entries about the thing with this identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Entries that say that this happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// From this millisecond on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Before this millisecond.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
}

/// Longest text that a filter compares with.
const TEXT_BYTES_MAX: usize = 64;

impl Filter {
    /// Every name that a filter may have.
    pub const NAMES: [&str; 12] = [
        "account_id",
        "strategy_id",
        "symbol",
        "source",
        "state",
        "status",
        "code",
        "severity",
        "object",
        "event",
        "from",
        "to",
    ];

    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes one of the names with its value as text.
    pub fn set(&mut self, name: &'static str, text: &str) -> Result<(), CommandError> {
        match name {
            "account_id" => self.account_id = Some(read(name, text, "an account's identifier")?),
            "strategy_id" => self.strategy_id = Some(read(name, text, "a strategy's identifier")?),
            "symbol" => self.symbol = Some(read(name, text, "a symbol")?),
            "source" => self.source = Some(read(name, text, "a webhook's or a key's identifier")?),
            "from" => self.from = Some(read(name, text, INSTANT)?),
            "to" => self.to = Some(read(name, text, INSTANT)?),
            _ => {
                let slot = match name {
                    "state" => &mut self.state,
                    "status" => &mut self.status,
                    "code" => &mut self.code,
                    "severity" => &mut self.severity,
                    "object" => &mut self.object,
                    _ => &mut self.event,
                };
                if text.is_empty() || text.len() > TEXT_BYTES_MAX {
                    return Err(wrong(name, "1 to 64 characters"));
                }
                *slot = Some(text.to_owned());
            }
        }
        Ok(())
    }
}

const INSTANT: &str = "an instant such as 2026-11-22T02:03:04Z";

fn read<T: FromStr>(name: &'static str, text: &str, what: &str) -> Result<T, CommandError> {
    text.parse().map_err(|_| wrong(name, what))
}

fn wrong(field: &'static str, what: &str) -> CommandError {
    CommandError::Invalid { field, detail: format!("must be {what}") }
}

impl Search {
    /// Which page it is.
    pub(crate) fn paging(&self) -> Paging {
        Paging { cursor: self.cursor.clone(), limit: self.limit }
    }
}

impl From<Paging> for Search {
    fn from(paging: Paging) -> Self {
        Self { cursor: paging.cursor, limit: paging.limit, filter: Filter::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_taken_and_written_again() {
        let zero = "00000000000000000000000000";
        let mut filter = Filter::default();
        assert!(filter.is_empty());
        for name in Filter::NAMES {
            let text = match name {
                "account_id" => format!("acc_{zero}"),
                "strategy_id" => format!("str_{zero}"),
                "source" => format!("key_{zero}"),
                "from" | "to" => "2026-11-22T02:03:04Z".to_owned(),
                _ => "AAPL".to_owned(),
            };
            assert!(filter.set(name, "").is_err(), "{name}");
            filter.set(name, &text).unwrap();
        }
        let written = serde_json::to_value(&filter).unwrap();
        assert_eq!(written.as_object().unwrap().len(), Filter::NAMES.len());
        assert_eq!(serde_json::from_value::<Filter>(written).unwrap(), filter);
        let long = "x".repeat(65);
        for (name, text) in
            [("account_id", "whk_x"), ("source", "acc_x"), ("from", "today"), ("code", &long)]
        {
            let wrong = filter.set(name, text);
            assert!(matches!(wrong, Err(CommandError::Invalid { field, .. }) if field == name));
        }
    }
}
