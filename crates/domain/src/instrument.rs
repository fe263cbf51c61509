//! What can be traded on an account, and in which steps.

use crate::calendar::Calendar;
use crate::money::{Price, Quantity, Round};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The name of an instrument as its broker spells it: 1 to 32 of `A-Z 0-9 . _ : / ! -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Symbol {
    /// The text and zeros after it: in place, because where an order is judged a symbol that lies
    /// elsewhere is one more thing to wait for. Sorts like the text.
    bytes: [u8; SYMBOL_LENGTH_MAX],
}

const SYMBOL_LENGTH_MAX: usize = 32;

/// The text is no symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SymbolError;

impl fmt::Display for SymbolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a symbol has 1 to 32 characters of A-Z 0-9 . _ : / ! -")
    }
}

impl std::error::Error for SymbolError {}

impl Symbol {
    /// The symbol's text.
    pub fn as_str(&self) -> &str {
        let text = self.bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        // It was read from such a text.
        str::from_utf8(text).unwrap_or_default()
    }

    /// The symbol without the exchange that charts put in front, as orders name it: of `NASDAQ:AAPL` it is
    /// `AAPL`.
    #[must_use]
    pub fn without_exchange(&self) -> Self {
        let bare = self.as_str().split_once(':').and_then(|(_, symbol)| symbol.parse().ok());
        bare.unwrap_or_else(|| self.clone())
    }
}

impl FromStr for Symbol {
    type Err = SymbolError;

    fn from_str(text: &str) -> Result<Self, SymbolError> {
        let fits = (1..=SYMBOL_LENGTH_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:/!-".contains(&byte));
        if !fits {
            return Err(SymbolError);
        }
        let mut bytes = [0; SYMBOL_LENGTH_MAX];
        for (slot, byte) in bytes.iter_mut().zip(text.bytes()) {
            *slot = byte.to_ascii_uppercase();
        }
        Ok(Self { bytes })
    }
}

impl TryFrom<String> for Symbol {
    type Error = SymbolError;

    fn try_from(text: String) -> Result<Self, SymbolError> {
        text.parse()
    }
}

impl From<Symbol> for String {
    fn from(symbol: Symbol) -> Self {
        symbol.as_str().to_owned()
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The rules of one instrument at one broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instrument {
    /// Its name.
    pub symbol: Symbol,
    /// Smallest step of a price.
    pub tick: Price,
    /// Smallest step of a quantity.
    pub lot: Quantity,
    /// Smallest quantity of one order.
    pub quantity_min: Quantity,
    /// Money for one point of price and one unit of quantity.
    pub point_value: Quantity,
    /// Three-letter currency of prices.
    pub currency: String,
    /// When it trades, where its broker does not say whether it does (S14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Calendar>,
}

impl Instrument {
    /// Rounds the quantity of an entry down to the lot (S7).
    pub fn entry_quantity(&self, quantity: Quantity) -> Quantity {
        quantity.to_step(self.lot, Round::Down)
    }

    /// Whether something is held that no order can close: it is less than the venue's smallest (S7).
    pub fn is_dust(&self, position: Quantity) -> bool {
        position.is_positive() && position < self.quantity_min
    }

    /// Rounds the quantity of an exit up to the lot, at most `position`; a remainder below the
    /// venue's minimum is closed with it (S7).
    pub fn exit_quantity(&self, wanted: Quantity, position: Quantity) -> Quantity {
        let rounded = wanted.to_step(self.lot, Round::Up).max(self.quantity_min).min(position);
        let rest = position.saturating_minus(rounded);
        if rest.is_positive() && rest < self.quantity_min { position } else { rounded }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instrument(lot: &str, minimum: &str) -> Instrument {
        Instrument {
            symbol: "NQ".parse().unwrap(),
            tick: "0.25".parse().unwrap(),
            lot: lot.parse().unwrap(),
            quantity_min: minimum.parse().unwrap(),
            point_value: "20".parse().unwrap(),
            currency: "USD".to_owned(),
            calendar: None,
        }
    }

    #[test]
    fn symbols_sort_as_their_texts() {
        let texts = ["A", "B", "ES", "ESZ6", "ESZ26", "E", "0123456789ABCDEF", "0123456789ABCDEF0"];
        let long = ["ABCDEFGHIJKLMNOPQRSTUVWXYZ012345", "ABCDEFGHIJKLMNOPQRSTUVWXYZ012346"];
        let texts: Vec<_> = texts.into_iter().chain(long).collect();
        let symbols: Vec<Symbol> = texts.iter().map(|text| text.parse().unwrap()).collect();
        assert!(symbols.iter().map(Symbol::as_str).eq(texts.iter().copied()));
        for (one, text) in symbols.iter().zip(&texts) {
            for (other, against) in symbols.iter().zip(&texts) {
                assert_eq!(one.cmp(other), text.cmp(against), "{one} {other}");
            }
        }
        assert_eq!("es".parse::<Symbol>().unwrap().to_string(), "ES");
        for text in ["", "E S", "é", "ES\0", "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456"] {
            assert_eq!(text.parse::<Symbol>(), Err(SymbolError), "{text:?}");
        }
    }

    /// S7: an exit rounds up to the lot, is capped at the position, and takes dust with it.
    #[test]
    fn s7_exit_rounding() {
        let whole = instrument("1", "1");
        let cases = [("3.5", "7", "4"), ("0.25", "1", "1"), ("9", "7", "7")];
        for (wanted, position, expected) in cases {
            let quantity = whole.exit_quantity(wanted.parse().unwrap(), position.parse().unwrap());
            assert_eq!(quantity.to_string(), expected, "{wanted} of {position}");
        }
        let coin = instrument("0.001", "0.01");
        assert_eq!(
            coin.exit_quantity("0.095".parse().unwrap(), "0.1".parse().unwrap()).to_string(),
            "0.1"
        );
    }

    /// S7: what is less than the smallest order cannot be closed by any.
    #[test]
    fn s7_dust_is_less_than_the_smallest_order() {
        let coin = instrument("0.001", "0.01");
        for (position, is_dust) in [("0", false), ("0.004", true), ("0.01", false)] {
            assert_eq!(coin.is_dust(position.parse().unwrap()), is_dust, "{position}");
        }
    }

    #[test]
    fn symbols_are_bounded_and_upper_case() {
        assert_eq!("nq1!".parse::<Symbol>().unwrap().as_str(), "NQ1!");
        for text in ["", "A B", "ü", &"X".repeat(33)] {
            assert!(text.parse::<Symbol>().is_err(), "{text}");
        }
    }
}
