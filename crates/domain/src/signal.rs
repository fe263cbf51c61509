//! Signals: what a sender asks for, read from the body of a request.
//!
//! The body is judged by its content, never by its content type, in one of three forms: the native
//! one, TradersPost's, or the sender's own through a [`Mapping`]. A field that is not known is
//! reported; a known field with an unknown value is refused. Nothing is guessed.
//!
//! Invariants
//! - The member `secret` is taken out of the body before anything else looks at it: no field of a
//!   [`Signal`] and no byte of [`Body::redacted`] holds it.
//! - A [`QuantityField::Given`] is a number of units, positive and exact. Whether it is used at all
//!   is the strategy's to say.
//! - Reading never fails as a whole: a body that cannot be read still has its redacted bytes.

mod assemble;
mod body;
mod field;
mod mapping;
mod native;
mod traderspost;
mod vocabulary;

pub use self::body::{Body, BodySecret, conceal};
pub use self::field::{FieldError, TargetField};
pub use self::mapping::{Mapping, MappingError, Path};
pub use crate::order::{OrderType as OrderKind, TimeInForce as TimeInForceWord};

use crate::json::{Document, JsonError};
use crate::money::{Price, Quantity, Round};
use crate::order::words;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

words! {
    /// What the sender wants done.
    Action {
        /// Toward long: open, add, or close a short.
        Buy = "BUY",
        /// Toward short: open, add, or close a long.
        Sell = "SELL",
        /// Close, whichever side it is.
        Exit = "EXIT",
    }

    /// The side on which a position is, as the sender sees it after the trade.
    Sentiment {
        /// More than nothing (`long`, `bullish`).
        Long = "long",
        /// Less than nothing (`short`, `bearish`).
        Short = "short",
        /// No position.
        Flat = "flat",
    }

    /// What the number in a TradersPost quantity counts.
    QuantityKind {
        /// Units or contracts.
        FixedQuantity = "fixed_quantity",
        /// The worth of the position in dollars.
        DollarAmount = "dollar_amount",
        /// The loss in dollars at the stop.
        RiskDollarAmount = "risk_dollar_amount",
        /// The loss in percent of equity at the stop.
        RiskPercent = "risk_percent",
        /// The worth of the position in percent of equity.
        PercentOfEquity = "percent_of_equity",
        /// The part of the position to close.
        PercentOfPosition = "percent_of_position",
    }

    /// In which form the signal was written.
    Form {
        /// Ours.
        Native = "native",
        /// TradersPost's.
        TradersPost = "traderspost",
        /// The sender's own, read by a mapping.
        Mapped = "mapped",
    }
}

/// What a sender asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// What to do.
    pub action: Action,
    /// What the comment adds to it.
    pub comment: Comment,
    /// The number of units, if there is one.
    pub quantity: QuantityField,
    /// What the number in the payload counts. For all but [`QuantityKind::FixedQuantity`] the
    /// number is in `quantity_of_kind`, never in a usable `quantity`.
    pub quantity_kind: QuantityKind,
    /// The number sent, where `quantity_kind` says that it does not count units.
    pub quantity_of_kind: Option<Quantity>,
    /// The price the sender saw; it may refuse an order, never justify one (S22).
    pub price: Option<Price>,
    /// The symbol as sent, an exchange prefix included.
    pub ticker: Option<String>,
    /// The explicit id of the signal: 1 to 128 printable ASCII characters.
    pub id: Option<String>,
    /// Without an explicit id, what identifies the signal at its webhook (S15): ticker, interval,
    /// order id, action, comment, contracts, market position size and `timenow`, joined by
    /// U+001F. There if at least order id and `timenow` are; the caller adds the webhook.
    pub derived_id: Option<String>,
    /// When it was sent: from `timenow` or `sent_at`, nothing else (S13).
    pub sent_at: Option<Timestamp>,
    /// The bar's time: information only (S13).
    pub bar_time: Option<Timestamp>,
    /// How an order is to be priced.
    pub order_type: OrderKind,
    /// The limit price; there if and only if `order_type` needs one.
    pub limit_price: Option<Price>,
    /// The stop price; there if and only if `order_type` needs one.
    pub stop_price: Option<Price>,
    /// How long an order is to work.
    pub time_in_force: Option<TimeInForceWord>,
    /// Where to take the profit.
    pub take_profit: Option<Level>,
    /// Where to stop the loss.
    pub stop_loss: Option<StopLoss>,
    /// The side after the trade, as TradersPost says it.
    pub sentiment: Option<Sentiment>,
    /// The side after the trade, as TradingView says it.
    pub market_position: Option<Sentiment>,
    /// The size of the position after the trade, without a sign.
    pub market_position_size: Option<Quantity>,
    /// Judge only, do not trade.
    pub dry_run: bool,
    /// Which strategy of its source the sender means, as it was sent; only who signs its signals may
    /// say. Otherwise it stands among the unknown fields, as it does in any case.
    pub strategy_id: Option<String>,
    /// Names of members that mean nothing here: at most 32, printable ASCII, at most 64 characters.
    pub unknown_fields: Vec<String>,
    /// What was read but is not acted on, in sentences: at most 16.
    pub notes: Vec<String>,
    /// The form it was written in.
    pub form: Form,
}

impl Signal {
    /// Whether it only closes: the action is EXIT or the comment is an exit (C1).
    pub const fn is_exit(&self) -> bool {
        matches!((self.action, &self.comment), (Action::Exit, _) | (_, Comment::Exit(_)))
    }

    /// Whether it closes all of the position, by its words: an exit of all of it, or an action after
    /// which the stated side is flat. A quantity that the strategy may read is not looked at.
    pub fn is_full_exit(&self) -> bool {
        if self.is_exit() {
            return self.exit_percent() == Percent::FULL.whole();
        }
        self.sentiment.or(self.market_position) == Some(Sentiment::Flat)
    }

    /// The part of the position that an exit closes, in percent; 100 where none is stated.
    pub const fn exit_percent(&self) -> u32 {
        match self.comment {
            Comment::Exit(percent) => percent.whole(),
            _ => Percent::FULL.whole(),
        }
    }

    /// Whether, by the sender's own words, the position is smaller or gone after the trade: an
    /// exit, or an action whose stated side after the trade is not its own. `sell` with a position
    /// that is still long closes a part of it, and must not open a short.
    pub fn only_reduces(&self) -> bool {
        let own_side = match self.action {
            Action::Buy => Sentiment::Long,
            Action::Sell => Sentiment::Short,
            Action::Exit => return true,
        };
        let after = self.sentiment.or(self.market_position);
        self.is_exit() || after.is_some_and(|side| side != own_side)
    }

    /// The symbol without the exchange, in upper case: `CME_MINI:es1!` is `ES1!`.
    pub fn ticker_symbol(&self) -> Option<String> {
        let ticker = self.ticker.as_deref()?;
        let symbol = ticker.split_once(':').map_or(ticker, |(_, symbol)| symbol);
        Some(symbol.to_ascii_uppercase())
    }

    /// Adds a note, unless there are too many.
    fn note(&mut self, note: impl Into<String>) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note.into());
        }
    }
}

const NOTES_MAX: usize = 16;

/// What the comment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comment {
    /// There is none.
    None,
    /// The signal is an entry.
    Entry,
    /// The signal closes this part of the position.
    Exit(Percent),
    /// Words that mean nothing here; kept for the trace, cut to 256 characters (S6).
    FreeText(String),
}

/// A whole number of percent, 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u32);

impl Percent {
    /// All of it.
    pub const FULL: Self = Self(100);
    /// Half of it.
    pub const HALF: Self = Self(50);

    /// `None` outside of 1 to 100.
    pub const fn new(whole: u32) -> Option<Self> {
        if whole >= 1 && whole <= 100 { Some(Self(whole)) } else { None }
    }

    /// The number.
    pub const fn whole(self) -> u32 {
        self.0
    }
}

/// The quantity field of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuantityField {
    /// There is none.
    Absent,
    /// So many units; positive.
    Given(Quantity),
    /// There is something that is no number; the reason names it.
    Unreadable(String),
    /// There is a number that cannot be used; the reason names it.
    Unusable(String),
}

/// A decimal percentage, greater than zero, exact to eight decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percentage(Quantity);

impl Percentage {
    /// `None` if the number is not positive.
    pub fn new(number: Quantity) -> Option<Self> {
        number.is_positive().then_some(Self(number))
    }

    /// The number before the percent sign.
    pub const fn number(self) -> Quantity {
        self.0
    }

    /// So much of a price, rounded down; `None` if it does not fit.
    pub fn of(self, price: Price) -> Option<Price> {
        price.ratio(self.0.units(), 10_000_000_000, Round::Down)
    }
}

/// How far from a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distance {
    /// In percent of it.
    Percent(Percentage),
    /// In the price's own currency; positive.
    Amount(Price),
}

/// Where an order that ends a position stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// At a price.
    At(Price),
    /// Away from the price of the entry.
    Away(Distance),
}

/// Where to stop the loss, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopLoss {
    /// At the market once the level trades.
    Stop(Level),
    /// At the limit price or better once the level trades.
    StopLimit {
        /// What triggers it.
        stop: Level,
        /// The worst price it takes.
        limit: Price,
    },
    /// At the market once the price is so far from its best.
    Trailing(Distance),
}

/// Reads a body of at most 64 KiB (the caller's bound): takes the secret out, then reads the signal.
///
/// A byte order mark and space around the document are ignored. TradingView sometimes sends the
/// document form-encoded with a trailing `=`; that is undone.
pub fn read(body: &[u8], mapping: Option<&Mapping>) -> Body {
    match body::open(body, |document| parse(document, mapping)) {
        Ok(body) => body,
        Err(error) => Body {
            secret: None,
            redacted: body::without_named_secrets(body),
            signal: Err(FieldError::unreadable(&error)),
        },
    }
}

/// Takes every repeat of a secret of at least 8 bytes that the sender showed elsewhere out of what was
/// read of a body: the names and values of a document that contain it stand as `***`, in the signal too.
pub fn conceal_shown(body: &mut Body, secret: &str, mapping: Option<&Mapping>) {
    if let Some(concealed) =
        body::concealed(&body.redacted, secret, |document| parse(document, mapping))
    {
        (body.redacted, body.signal) = (concealed.redacted, concealed.signal);
    }
    body.redacted = conceal(&body.redacted, secret);
}

/// Reads the signal of a document from which the secret has been taken.
fn parse(document: &Document<'_>, mapping: Option<&Mapping>) -> Result<Signal, FieldError> {
    let Some(members) = document.root().members() else {
        return Err(FieldError::malformed("the body is not an object"));
    };
    let signal = match mapping {
        Some(mapping) => mapping::read(document.root(), members, mapping),
        None if traderspost::is_spoken(members) => traderspost::read(members),
        None => native::read(members),
    }?;
    let strategy_id = document.root().member(STRATEGY_ID).filter(|member| !member.value.is_null());
    let strategy_id = strategy_id.map(|member| member.value.text_or_number().unwrap_or_default());
    Ok(Signal { strategy_id: strategy_id.map(str::to_owned), ..signal })
}

/// The member that names a strategy.
pub const STRATEGY_ID: &str = "strategy_id";

#[cfg(test)]
mod tests;
