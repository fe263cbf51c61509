//! What is shown outside: the shapes of `contract.md` C26, for the API and the command line alike.

mod lockdown;
mod policy;
mod profit;
mod replay;
mod safety;
mod strategy;

pub use self::lockdown::{
    DisconnectedView, LockdownLeftView, LockdownPositionView, LockdownStepView, LockdownView,
};
pub use self::safety::{AlertChannelView, AlertView, DeadManView, HaltProgressView, HaltView};
pub use crate::keys::view::{HourView, KeyUsageView, KeyView, MeView, OrganizationView};
pub use policy::{
    LimitChangeView, LimitValueView, LimitsView, OverrideView, PolicyView, VersionView,
};
pub use profit::{
    ExchangeRateView, InstrumentProfitView, LossView, ProfitView, StrategyProfitView,
};
pub use replay::{
    ReplayCountView, ReplayDifferenceView, ReplayOutcomeView, ReplayPageView, ReplayTripView,
    ReplayUnmarkedView, ReplayView, ReplayWithoutEquityView,
};
pub use strategy::StrategyView;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tradewarden_domain::bracket::Leg;
use tradewarden_domain::code::Code;
use tradewarden_domain::day::Day;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::order::{
    Change, ChangeState, Order, OrderState, OrderType, Purpose, Side, TimeInForce,
};
use tradewarden_domain::signal::Mapping;
use tradewarden_domain::source::Source;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::orders::Fill;

/// A list, and where the next page begins.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// The things, newest first.
    pub items: Vec<T>,
    /// Give it as `cursor` to read on; `null` at the end.
    pub next: Option<String>,
}

/// A signal with its decision trace and the orders that came of it.
#[derive(Debug, Serialize)]
pub struct SignalView {
    /// Its identifier.
    pub id: Id<id::Signal>,
    /// When it came.
    pub received_at: Timestamp,
    /// The webhook it came through, or the key that signed it; of keys that follow on one another,
    /// the first.
    pub source: Source,
    /// `accepted`, `skipped`, `dry_run` or `refused`.
    pub status: String,
    /// Why, unless accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same in a sentence.
    pub message: String,
    /// The hash of the body as it is stored, without the secret.
    pub body_sha256: String,
    /// Every check, in order.
    pub checks: Box<RawValue>,
    /// What became of it on each account.
    pub accounts: Box<RawValue>,
    /// The orders that came of it.
    pub orders: Vec<OrderView>,
}

/// An order.
#[derive(Debug, Serialize)]
pub struct OrderView {
    /// Its identifier.
    pub id: Id<id::Order>,
    /// The signal it came of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_id: Option<Id<id::Signal>>,
    /// Its account.
    pub account_id: Id<id::Account>,
    /// Its strategy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy_id: Option<Id<id::Strategy>>,
    /// The API key that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Id<id::Key>>,
    /// What the caller calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// What it trades.
    pub symbol: Symbol,
    /// Which way.
    pub side: Side,
    /// How it is priced.
    #[serde(rename = "type")]
    pub order_type: OrderType,
    /// How long it works.
    pub time_in_force: TimeInForce,
    /// How much.
    pub quantity: Quantity,
    /// How much has filled.
    pub filled_quantity: Quantity,
    /// Average price of the fills.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_price: Option<Price>,
    /// The limit price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_price: Option<Price>,
    /// The stop price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_price: Option<Price>,
    /// Where it is in its life.
    pub state: OrderState,
    /// Whether it can only reduce a position.
    pub reduce_only: bool,
    /// Which leg of a bracket it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leg: Option<Leg>,
    /// The entry whose levels it has, of a leg.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<Id<id::Order>>,
    /// Who cancels it when the other leg fills: `emulated`, the gateway. While the gateway is down,
    /// nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_cancels_other: Option<&'static str>,
    /// Why it ended as it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The identifier the broker was given.
    pub client_order_id: String,
    /// The identifier the broker gave.
    pub broker_order_id: Option<String>,
    /// When it is canceled if it still works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was journaled.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The version of the limits that cleared it.
    pub limits_version: i64,
    /// The last change of it that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeView>,
}

/// A change of an order.
#[derive(Debug, Serialize)]
pub struct ChangeView {
    /// Where it is in its life.
    pub state: ChangeState,
    /// Why it was not made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The quantity the order shall have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// The limit price it shall have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_price: Option<Price>,
    /// The stop price it shall have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_price: Option<Price>,
    /// The smaller quantity that is asked for next, once it is known what became of this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then_quantity: Option<Quantity>,
    /// When it was journaled.
    pub asked_at: Timestamp,
}

impl From<Change> for ChangeView {
    fn from(change: Change) -> Self {
        Self {
            state: change.state,
            code: change.code,
            quantity: change.quantity,
            limit_price: change.limit_price,
            stop_price: change.stop_price,
            then_quantity: change.then_quantity,
            asked_at: change.asked_at,
        }
    }
}

impl From<Order> for OrderView {
    fn from(order: Order) -> Self {
        Self {
            client_order_id: order.client_order_id(),
            id: order.id,
            signal_id: order.signal_id,
            account_id: order.account_id,
            strategy_id: order.strategy_id,
            key_id: order.key_id,
            tag: order.tag,
            symbol: order.symbol,
            side: order.side,
            order_type: order.order_type,
            time_in_force: order.time_in_force,
            quantity: order.quantity,
            filled_quantity: order.filled_quantity,
            average_price: order.average_price,
            limit_price: order.limit_price,
            stop_price: order.stop_price,
            state: order.state,
            reduce_only: order.purpose == Purpose::Exit,
            leg: order.leg.map(|leg| leg.leg),
            parent_id: order.leg.map(|leg| leg.parent_id),
            one_cancels_other: order.leg.map(|_| "emulated"),
            code: order.code,
            broker_order_id: order.broker_order_id,
            expires_at: order.expires_at,
            created_at: order.created_at,
            updated_at: order.updated_at,
            limits_version: order.limits_version,
            change: order.change.map(ChangeView::from),
        }
    }
}

/// An account's money.
#[derive(Debug, Serialize)]
pub struct BalancesView {
    /// The account.
    pub account_id: Id<id::Account>,
    /// Currency of the amounts.
    pub currency: String,
    /// Money with all realised profit and loss and fees in it.
    pub cash: Money,
    /// Cash and the positions at their mark.
    pub equity: Money,
    /// When this was so, by the broker's clock.
    pub at: Timestamp,
}

/// What closes a position.
#[derive(Debug, Serialize)]
pub struct ClosingView {
    /// The account.
    pub account_id: Id<id::Account>,
    /// The instrument.
    pub symbol: Symbol,
    /// The orders that close it, one for each strategy that holds some.
    pub orders: Vec<OrderView>,
    /// Entries that were taken back, or whose cancel was asked for.
    pub canceled: Vec<Id<id::Order>>,
}

/// What a request to cancel many orders did.
#[derive(Debug, Serialize)]
pub struct CanceledView {
    /// Orders that have ended, or whose cancel was asked for.
    pub canceled: Vec<Id<id::Order>>,
    /// Orders that only reduce, and keep working.
    pub kept: Vec<Id<id::Order>>,
}

/// A fill.
#[derive(Debug, Serialize)]
pub struct FillView {
    /// Its identifier.
    pub id: Id<id::Fill>,
    /// The order that filled.
    pub order_id: Id<id::Order>,
    /// The account.
    pub account_id: Id<id::Account>,
    /// What was traded.
    pub symbol: Symbol,
    /// Which way.
    pub side: Side,
    /// How much.
    pub quantity: Quantity,
    /// At which price.
    pub price: Price,
    /// For which fee, in the account's currency.
    pub fee: Money,
    /// When, by the broker's clock.
    pub at: Timestamp,
}

impl From<Fill> for FillView {
    fn from(fill: Fill) -> Self {
        Self {
            id: fill.id,
            order_id: fill.order_id,
            account_id: fill.account_id,
            symbol: fill.symbol,
            side: fill.side,
            quantity: fill.quantity,
            price: fill.price,
            fee: fill.fee,
            at: fill.at,
        }
    }
}

/// What an account holds of an instrument, all strategies together.
#[derive(Debug, Serialize)]
pub struct PositionView {
    /// The account.
    pub account_id: Id<id::Account>,
    /// The instrument.
    pub symbol: Symbol,
    /// Filled position; negative is short.
    pub quantity: Quantity,
    /// Average price; absent when flat or when strategies hold both sides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_price: Option<Price>,
    /// The position when everything live has filled.
    pub projected_quantity: Quantity,
    /// Realised profit or loss, fees taken off.
    pub realized_pnl: Money,
    /// What closing it at its mark would make; absent if the mark is older than 60 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrealized_pnl: Option<Money>,
    /// The bid if long, the ask if short; absent when flat or without a quote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<Price>,
    /// Currency of prices and profits; absent if the account does not trade the instrument any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// The same by strategy.
    pub strategies: Vec<StrategyPosition>,
}

/// A strategy's part of a position.
#[derive(Debug, Serialize)]
pub struct StrategyPosition {
    /// The strategy; absent for orders of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy_id: Option<Id<id::Strategy>>,
    /// Filled position.
    pub quantity: Quantity,
    /// Average price; absent when flat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_price: Option<Price>,
    /// What live entries may still add, by side.
    pub working_entry_buy: Quantity,
    /// See `working_entry_buy`.
    pub working_entry_sell: Quantity,
    /// What live exits may still take away, by side.
    pub working_exit_buy: Quantity,
    /// See `working_exit_buy`.
    pub working_exit_sell: Quantity,
}

/// A month contract of the roll table.
#[derive(Debug, Serialize)]
pub struct RollView {
    /// What it is a month of.
    pub root: Symbol,
    /// Its symbol.
    pub contract: Symbol,
    /// Its last trading day.
    pub expires_on: Day,
    /// From this day on who holds it may have to take delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_notice_on: Option<Day>,
    /// From when on entries go to the next month, if somebody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roll_at: Option<Timestamp>,
    /// From when on they do, said or by rule.
    pub rolls_at: Timestamp,
    /// The last day on which it should be held; it takes no entries then.
    pub last_day: Day,
    /// Whether the continuous symbol of the root stands for it now.
    pub is_front: bool,
    /// When it was set.
    pub updated_at: Timestamp,
}

/// An account.
#[derive(Debug, Serialize)]
pub struct AccountView {
    /// Its identifier.
    pub id: Id<id::Account>,
    /// What people call it.
    pub name: String,
    /// The broker's kind.
    pub broker: String,
    /// Currency of its cash.
    pub currency: String,
    /// `active` or `disabled`.
    pub state: String,
    /// When its days of trading begin.
    pub session: String,
    /// `session` or `person`: who lets it trade on after a loss of the day.
    pub loss_reset: &'static str,
    /// What both become once the running session is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_days: Option<NextDaysView>,
    /// Symbols that can be traded.
    pub instruments: Vec<Symbol>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What an account's days of trading become.
#[derive(Debug, Serialize)]
pub struct NextDaysView {
    /// When they begin.
    pub session: String,
    /// `session` or `person`: who lets it trade on after a loss of the day.
    pub loss_reset: &'static str,
    /// When the first of them begins.
    pub begins_at: Timestamp,
}

/// A webhook, without its secret.
#[derive(Debug, Serialize)]
pub struct WebhookView {
    /// Its identifier.
    pub id: Id<id::Webhook>,
    /// What people call it.
    pub name: String,
    /// The token in its path.
    pub token: String,
    /// Its address, without the secret.
    pub url: String,
    /// The secret: only in the answer that creates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The Standard Webhooks signing secret: only in the answer that creates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<String>,
    /// The forms of credential it takes.
    pub forms: Vec<&'static str>,
    /// Addresses it takes; empty means any.
    pub allow: Vec<String>,
    /// The name that the sender's TLS client certificate must show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    /// The symbols that entries may name; empty means any.
    pub symbols: Vec<Symbol>,
    /// Signals are judged, never traded.
    pub dry_run: bool,
    /// Risk-increasing signals a second.
    pub rate_per_s: u32,
    /// Age in seconds up to which an entry is fresh.
    pub max_age_s: u32,
    /// How to read the sender's own JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Mapping>,
    /// `active` or `disabled`.
    pub state: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A limit.
#[derive(Debug, Serialize)]
pub struct LimitView {
    /// Where it applies.
    pub scope: String,
    /// What it bounds.
    pub name: String,
    /// The bound.
    pub value: Quantity,
    /// The version that set it.
    pub version: i64,
    /// When it was set.
    pub updated_at: Timestamp,
}

/// A finding.
#[derive(Debug, Serialize)]
pub struct FindingView {
    /// Its identifier.
    pub id: Id<id::Finding>,
    /// When.
    pub at: Timestamp,
    /// What.
    pub code: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// What it is about.
    pub subject: String,
    /// In words and numbers.
    pub detail: String,
}

/// An entry of the audit log.
#[derive(Debug, Serialize)]
pub struct EntryView {
    /// Its identifier.
    pub id: Id<id::Entry>,
    /// Its place in the log; absent until it is sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The public part: when, what happened, to what, and the commitment to the payload.
    pub leaf: Box<RawValue>,
    /// The owner's part.
    pub payload: Box<RawValue>,
}

/// An inclusion proof of one audit entry (C2SP tlog-proof), with what it proves.
#[derive(Debug, Serialize)]
pub struct ProofView {
    /// The entry.
    pub entry_id: Id<id::Entry>,
    /// Its place in the log.
    pub index: u64,
    /// The entry's public part: what the log commits to.
    pub leaf: String,
    /// The owner's part.
    pub payload: String,
    /// What opens the commitment: base64.
    pub salt: String,
    /// The proof in the form of C2SP tlog-proof.
    pub proof: String,
    /// The key that verifies the checkpoint.
    pub verifier_key: String,
}

/// Members of answers that are shown once, and so are not repeated.
const SHOWN_ONCE: [&str; 10] = [
    "secret",
    "signing_secret",
    "private_key_pem",
    "codes",
    "uri",
    "qr_svg",
    "password",
    "token",
    "invite_token",
    "totp",
];

/// The answer without what is shown once.
pub(crate) fn without_secrets(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|name, _| !SHOWN_ONCE.contains(&name.as_str()));
        // What a second person confirmed stands in the answer to the confirmation.
        for member in members.values_mut() {
            *member = without_secrets(member.take());
        }
    }
    value
}
