//! Every reason with which Tradewarden says something other than a plain yes: one closed table.
//!
//! Codes are part of the interface: they appear in answers, in the decision trace, in the audit log
//! and in the generated reference.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// What kind of answer a code belongs to. The web crate alone turns it into a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Nothing was wrong and nothing was to be done (answered as success).
    Skip,
    /// The request cannot be read.
    Malformed,
    /// The caller could not be authenticated.
    Unauthenticated,
    /// The caller may not do this from here.
    Forbidden,
    /// No such thing, or not for this caller.
    NotFound,
    /// The request contradicts another one.
    Conflict,
    /// The request is larger than allowed.
    TooLarge,
    /// The request arrived too slowly.
    TooSlow,
    /// A rule said no.
    Refused,
    /// A rate limit said not now.
    Limited,
    /// It could not be made durable, or a needed part is away; trying again is safe.
    Unavailable,
    /// The order's own life: not an answer to a request.
    Order,
}

macro_rules! codes {
    ($($name:ident = $text:literal, $class:ident, $meaning:literal;)*) => {
        /// A stable reason.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            /// All codes, in the order of the reference.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code as it appears outside.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The kind of answer it belongs to.
            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* }
            }

            /// One sentence for people.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

// A macro so that a code cannot exist without its text, its class and its meaning.
codes! {
    RequestTooLarge = "request.too_large", TooLarge, "The body is larger than 64 KiB.";
    RequestHeadTooLarge = "request.head_too_large", TooLarge, "The request has too many headers, or too large ones.";
    RequestTooSlow = "request.too_slow", TooSlow, "The request did not arrive in time.";
    RequestMalformed = "request.malformed", Malformed, "The request cannot be read.";
    RequestNotFound = "request.not_found", NotFound, "There is no such thing, or it is not for this caller.";
    RequestPrecondition = "request.precondition_failed", Conflict, "The thing is no longer as `If-Match` has it.";
    TextCardNumber = "text.card_number", Refused, "A text holds what looks like the number of a payment card, which is not kept here.";
    RequestUnprotected = "request.unprotected", Forbidden, "This is not answered without TLS; what was sent may have been read by others.";
    RequestMethod = "request.method", Malformed, "This path does not take this method.";
    Unauthenticated = "auth.failed", Unauthenticated, "The credentials are missing or wrong.";
    ReplayBusy = "replay.busy", Unavailable, "Another replay is under way; trying again is safe.";
    AuthBusy = "auth.busy", Unavailable, "Too many logins are being checked; trying again is safe.";
    AuthPermission = "auth.permission", Forbidden, "The caller has no permission for this.";
    AuthStepUp = "auth.step_up_required", Forbidden, "This needs a second factor shown within the last 5 minutes.";
    AuthFactorRequired = "auth.factor_required", Forbidden, "This needs a second factor, and none is enrolled or was shown.";
    AuthSecondPerson = "auth.second_person", Forbidden, "This needs another person than the one who asked for it.";
    PasswordUnacceptable = "password.unacceptable", Refused, "The password does not meet the rules.";
    UserExists = "user.exists", Conflict, "There is a person with this e-mail already.";
    UserElsewhere = "user.elsewhere", Refused, "The person belongs to other organizations too: only they, or the operator, may do this.";
    UserInvited = "user.invited", Conflict, "The person was invited and has not joined yet.";
    OrganizationExists = "organization.exists", Conflict, "There is an organization with this name already.";
    RoleLastOwner = "role.last_owner", Refused, "An organization keeps at least one owner.";
    RoleConflict = "role.conflict", Refused, "The role would give a permission that the one who grants it does not have.";
    FactorConflict = "factor.conflict", Conflict, "The factor is enrolled already, or is the last one that is required.";
    FactorUnavailable = "factor.unavailable", Refused, "This kind of second factor is not set up here, or not allowed.";
    KeyLifetime = "key.lifetime", Refused, "The key would live longer than the policy allows.";
    KeyState = "key.state", Conflict, "The key's state does not allow this.";
    KeyAccount = "key.account", Refused, "The key may not trade on this account.";
    KeyInstrument = "key.instrument", Refused, "The key may not trade this instrument.";
    KeyMaxNotional = "key.max_notional", Refused, "The value is over the key's limit for one order.";
    AddressNotAllowed = "address.not_allowed", Forbidden, "The sender's address is not on the allow-list.";
    ClientCertificate = "auth.client_certificate", Forbidden, "The required client certificate is missing or another one.";
    SignalMalformed = "signal.malformed", Malformed, "The body is no JSON object that can be read.";
    SignalUnknownAction = "signal.unknown_action", Malformed, "The action is none of BUY, SELL, EXIT.";
    SignalField = "signal.field", Malformed, "A field has a value that is not allowed.";
    SignalExitSize = "signal.exit_size", Malformed, "`EXIT_n` needs a whole number from 1 to 100.";
    SignalSymbol = "signal.symbol", Refused, "The webhook's list of symbols does not have this one.";
    SignalStale = "signal.stale", Refused, "The signal was sent too long ago for an entry.";
    SignalOutOfOrder = "signal.out_of_order", Refused, "The exit is older than an entry that was accepted after it.";
    DuplicateIdConflict = "duplicate.id_conflict", Refused, "The same id came with another body.";
    DuplicateSuspect = "duplicate.suspect", Conflict, "The same order was placed within the last 2 seconds under another key.";
    IdempotencyKeyMissing = "idempotency.key_missing", Malformed, "The header Idempotency-Key is required here.";
    IdempotencyKeyReused = "idempotency.key_reused", Refused, "The idempotency key came with another request before.";
    IdempotencyInFlight = "idempotency.in_flight", Conflict, "The request with this idempotency key is still being carried out.";
    LimitDaily = "limit.daily", Limited, "More requests within a day than the tier allows.";
    LimitRate = "limit.rate", Limited, "More requests than this door takes in its window.";
    LimitStreams = "limit.streams", Limited, "More open streams than one caller, or all of them, may have.";
    LimitFlood = "limit.flood", Limited, "More requests than this door reads at all.";
    StrategyOff = "strategy.off", Refused, "The strategy is switched off.";
    StrategyExitsOnly = "strategy.exits_only", Refused, "The strategy takes exits only.";
    StrategyNone = "strategy.none", Refused, "No strategy listens to this webhook.";
    StrategyOpenPosition = "strategy.open_position", Conflict, "The strategy holds a position, or has orders that may still fill.";
    AccountOpenPosition = "account.open_position", Conflict, "The account holds positions, which no signal closes once it is disconnected.";
    PositionAmbiguous = "position.ambiguous", Conflict, "It is not certain what was opened elsewhere, or whose it is to be.";
    StrategyNotOff = "strategy.not_off", Conflict, "Only a strategy that is switched off can be deleted.";
    StrategyInUse = "strategy.in_use", Conflict, "API keys trade for this strategy.";
    WebhookInUse = "webhook.in_use", Conflict, "Strategies follow this webhook.";
    StrategyAlreadyLong = "strategy.already_long", Skip, "The position is long already and pyramiding is not allowed.";
    StrategyAlreadyShort = "strategy.already_short", Skip, "The position is short already and pyramiding is not allowed.";
    StrategyFlat = "strategy.flat", Skip, "There is nothing to close.";
    StrategyWrongSide = "strategy.wrong_side", Skip, "The exit names the other side than the position's.";
    StrategyFollowerFlat = "strategy.follower_flat", Skip, "The account missed the entry that its leader holds, and adds nothing to it.";
    StrategyLeaderRefused = "strategy.leader_refused", Refused, "The leading account was refused, and the strategy opens nothing without it.";
    StrategySymbol = "strategy.symbol", Refused, "The payload names a symbol that the strategy does not allow.";
    StrategySchedule = "strategy.schedule", Refused, "The strategy opens nothing at this time.";
    BracketInvalid = "bracket.invalid", Refused, "The take profit or the stop loss is on the wrong side of the price.";
    BracketUnsupported = "bracket.unsupported", Refused, "A trailing stop cannot be placed.";
    SizingUnusableQuantity = "sizing.unusable_quantity", Refused, "The quantity is missing, unreadable, or rounds to nothing.";
    AlertUntested = "alert.untested", Refused, "No way for alerts was tested: set one up, then `alert test`.";
    SizingStopInvalid = "sizing.stop_invalid", Refused, "The size comes of the stop, and the stop is missing, on the wrong side or too near.";
    SizingRateStale = "sizing.rate_stale", Refused, "The size needs a rate of exchange that nobody said, or whose time is over.";
    SizingEquityStale = "sizing.equity_stale", Refused, "The account's equity is not known, or was heard more than 60 s ago.";
    HaltEnded = "halt.ended", Conflict, "The halt was ended before.";
    HaltHold = "halt.hold", Refused, "The halt may be resumed only after its minimum hold.";
    HaltUnreconciled = "halt.unreconciled", Refused, "After a restore the halt may be resumed once every account was compared with its broker.";
    LockdownActive = "lockdown.active", Conflict, "A lockdown is in force: nothing may be changed that lets more be done, until a person ends it.";
    LockdownNone = "lockdown.none", Conflict, "There is no lockdown in force.";
    LockdownStep = "lockdown.step", Conflict, "The lockdown is at another step.";
    LockdownPhrase = "lockdown.phrase", Refused, "The phrase is not the one that is shown: read the list of open positions and type it anew.";
    LockdownHold = "lockdown.hold", Refused, "The lockdown may be ended only after its minimum hold.";
    VaultClosed = "vault.closed", Unavailable, "What this needs is sealed, and the key source is away; sending it again is safe.";
    VaultErased = "vault.erased", Conflict, "The organization's data key was erased: the operator makes a new one with `tradewarden vault rotate --data-keys`.";
    HaltActive = "halt.active", Refused, "A halt covers this order.";
    RiskLimitMissing = "risk.limit_missing", Refused, "A limit that must exist was never set.";
    RiskMaxOrderQuantity = "risk.max_order_quantity", Refused, "The quantity is over the limit for one order.";
    RiskMaxOrderNotional = "risk.max_order_notional", Refused, "The value is over the limit for one order.";
    RiskMaxPosition = "risk.max_position", Refused, "The position could become larger than allowed.";
    RiskMaxPositionNotional = "risk.max_position_notional", Refused, "The position's value could become larger than allowed.";
    RiskPriceCollar = "risk.price_collar", Refused, "The price is too far from the reference price.";
    RiskReferenceStale = "risk.reference_stale", Refused, "There is no reference price that is fresh enough.";
    RiskBlindQuantity = "risk.blind_quantity", Refused, "No reference price is fresh, and the quantity is more than the strategy may enter then.";
    RiskStaticBand = "risk.static_band", Refused, "No reference price is fresh, and the best known one is outside of the instrument's static band.";
    RiskMaxOrdersPerMinute = "risk.max_orders_per_minute", Refused, "More orders within 60 seconds than allowed.";
    RiskMaxGrossExposure = "risk.max_gross_exposure", Refused, "The account's gross exposure could become larger than allowed.";
    RiskMaxNetExposure = "risk.max_net_exposure", Refused, "The account's net exposure could become larger than allowed.";
    RiskMaxOpenOrders = "risk.max_open_orders", Refused, "More orders would be open than allowed.";
    RiskMaxOrdersPerSecond = "risk.max_orders_per_second", Refused, "More orders within one second than allowed.";
    RiskCredit = "risk.credit", Refused, "The exposure could become larger than the account's equity allows.";
    RiskEquityStale = "risk.equity_stale", Refused, "The broker has not told the account's equity within the last minute.";
    RiskFatFinger = "risk.fat_finger", Refused, "The quantity is many times what is usual for its strategy.";
    RiskRepeatedExecution = "risk.repeated_execution", Refused, "The strategy repeats itself: too many entries on one side within a minute.";
    RiskDailyLoss = "risk.daily_loss", Refused, "The loss of this session has reached its limit.";
    RiskDrawdown = "risk.drawdown", Refused, "The fall from the best has reached its limit.";
    RiskMarkStale = "risk.mark_stale", Refused, "Losses are limited, and what is held cannot be marked.";
    RiskRestricted = "risk.restricted", Refused, "The instrument is on the restricted list.";
    RiskUnknownInstrument = "risk.unknown_instrument", Refused, "The account's broker does not know this instrument.";
    RiskMarketClosed = "risk.market_closed", Refused, "The market is closed.";
    RiskRollUnresolved = "risk.roll_unresolved", Refused, "The roll table has no contract that the continuous symbol stands for.";
    RiskLastDay = "risk.last_day", Refused, "The contract takes no entries on its last day and after it.";
    RiskWorthTooLarge = "risk.overflow", Refused, "The order's value is larger than can be counted.";
    RiskSharedPosition = "risk.shared_position", Refused, "Another strategy holds this instrument on this account.";
    AccountOff = "account.off", Refused, "The account is not active.";
    NotDurable = "journal.not_durable", Unavailable, "It could not be written to disk; sending it again is safe.";
    Overloaded = "journal.overloaded", Unavailable, "Too much is waiting; sending it again is safe.";
    DispatchExpired = "dispatch.expired", Order, "The order was not sent before its send-by time.";
    OrderTtlEnded = "order.ttl_ended", Order, "The entry had rested for as long as it may, and was taken back.";
    DispatchNotPlaced = "dispatch.not_placed", Order, "The broker proved that it never had the order.";
    DispatchHalted = "dispatch.halted", Order, "A halt stopped the order before it was sent.";
    BrokerRejected = "broker.rejected", Order, "The broker rejected the order.";
    PositionFlat = "position.flat", Refused, "There is no position that this could reduce.";
    OrderNotOpen = "order.not_open", Conflict, "The order has ended already.";
    OrderBelowFilled = "order.below_filled", Refused, "The quantity is less than what has filled already.";
    OrderChangeInFlight = "order.change_in_flight", Conflict, "Another change of the order is still under way.";
    OrderChangeUnsupported = "order.change_unsupported", Refused, "The order's broker cannot change orders.";
    OrderChangeRejected = "order.change_rejected", Order, "The broker refused the change; the order is as it was.";
    OrderChangeNotMade = "order.change_not_made", Order, "The broker proved that it never made the change; the order is as it was.";
    OrderChangeOvertaken = "order.change_overtaken", Order, "The order ended before the change was made.";
    OrderSuperseded = "order.superseded", Order, "An exit took the entry back.";
    OrderCanceled = "order.canceled", Order, "The order was canceled on request.";
    ExitPendingOpen = "exit.pending_open", Order, "The market is closed; the exit is held and leaves when it opens.";
    PositionDust = "position.dust", Skip, "What is left of the position is smaller than the venue's minimum.";
}

impl Code {
    /// The code whose text this is.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.text() == text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_text(&text).ok_or_else(|| D::Error::custom("expected a code of the table"))
    }
}

/// A rule said no (or "nothing to do"): which rule, what it looked at, what it allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule.
    pub code: Code,
    /// What was asked for, if the rule compares.
    pub input: Option<String>,
    /// What is allowed, if the rule compares.
    pub limit: Option<String>,
    /// A sentence that names the field or the thing, for people.
    pub detail: String,
}

impl Refusal {
    /// A refusal that says nothing beyond its code.
    pub fn plain(code: Code) -> Self {
        Self { code, input: None, limit: None, detail: code.meaning().to_owned() }
    }

    /// A refusal with its own sentence.
    pub fn because(code: Code, detail: impl Into<String>) -> Self {
        Self { code, input: None, limit: None, detail: detail.into() }
    }

    /// A refusal by comparison.
    pub fn over(code: Code, input: impl fmt::Display, limit: impl fmt::Display) -> Self {
        Self {
            code,
            detail: format!("{} Asked {input}, allowed {limit}.", code.meaning()),
            input: Some(input.to_string()),
            limit: Some(limit.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn texts_are_unique_and_found_again() {
        let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.text()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::from_text(code.text()), Some(*code));
        }
    }
}
