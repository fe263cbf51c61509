//! What each route may answer but for a plain yes: 202, and problems by their codes.

use hyper::Method;
use tradewarden_domain::code::{Class, Code};
use tradewarden_domain::permission::Permission;

use super::{Access, Handler, Route, Takes};
use crate::problem::status_of;

pub(super) const REPLAY: &str = "/api/v1/signals/replay";

impl Route {
    /// Every code with which it may answer a problem, sorted by status.
    pub(crate) fn codes(&self) -> Vec<Code> {
        let mut codes: Vec<Code> =
            Code::ALL.iter().copied().filter(|code| self.may_answer(*code)).collect();
        codes.sort_by_key(|code| status_of(*code));
        codes
    }

    /// What a 202 holds, if the answer may be one: the action waits for a second person, or a reset
    /// of a password is answered the same whoever asks.
    pub(crate) fn accepts(&self) -> Option<&'static str> {
        let with_two = [
            (Method::POST, "/api/v1/halts/{id}/resume"),
            (Method::POST, "/api/v1/lockdown/end"),
            (Method::PUT, "/api/v1/limits"),
            (Method::DELETE, "/api/v1/limits/{scope}/{name}"),
            (Method::POST, super::policies::IMPORT),
            (Method::PATCH, "/api/v1/accounts/{id}"),
            (Method::POST, "/api/v1/users"),
            (Method::PATCH, "/api/v1/users/{id}"),
        ];
        if with_two.contains(&(self.method.clone(), self.path)) {
            return Some("Pending");
        }
        (self.takes == Takes::Body("PasswordReset")).then_some("Done")
    }

    fn may_answer(&self, code: Code) -> bool {
        let knows_caller = self.knows_caller();
        let manages_keys = self.method != Method::GET
            && matches!(self.access, Access::Any(any_of) if any_of.contains(&Permission::KeysManage));
        let places = self.path.starts_with("/api/v1/orders")
            && matches!(self.access, Access::Any(any_of) if any_of.contains(&Permission::OrdersCreate));
        let takes_body = matches!(self.takes, Takes::Body(_) | Takes::OptionalBody(_));
        let asks_engine = !matches!(self.handler, Handler::Page(_) | Handler::Pins(_));
        match (self.takes, code) {
            (
                Takes::Signal | Takes::SignedSignal,
                Code::RequestMalformed | Code::TextCardNumber,
            )
            | (
                Takes::SignedSignal,
                Code::LimitDaily
                | Code::AuthPermission
                | Code::AuthFactorRequired
                | Code::IdempotencyKeyReused
                | Code::IdempotencyInFlight
                | Code::KeyInstrument
                | Code::KeyMaxNotional,
            ) => true,
            (Takes::SignedSignal, Code::ClientCertificate)
            | (
                Takes::Signal | Takes::SignedSignal,
                Code::RequestNotFound | Code::RequestMethod | Code::RequestUnprotected,
            ) => false,
            (Takes::Signal | Takes::SignedSignal, _) => {
                !matches!(code.class(), Class::Skip | Class::Order | Class::Conflict)
                    && concerns_signals(code)
            }
            (_, Code::IdempotencyKeyMissing) => self.wants_once_key(),
            (_, Code::IdempotencyKeyReused | Code::IdempotencyInFlight) => {
                self.method != Method::GET && matches!(self.handler, Handler::Command(_))
            }
            (
                _,
                Code::Unauthenticated
                | Code::AddressNotAllowed
                | Code::LimitRate
                | Code::LimitDaily
                | Code::LimitFlood
                | Code::VaultClosed,
            ) if knows_caller => true,
            (_, Code::RequestPrecondition) => {
                self.heeds_if_match() || self.path == super::policies::IMPORT
            }
            (
                _,
                Code::LockdownNone
                | Code::LockdownStep
                | Code::LockdownPhrase
                | Code::LockdownHold
                | Code::LockdownActive,
            ) => self.meets_lockdown(code),
            (_, Code::HaltHold | Code::HaltUnreconciled | Code::HaltEnded) => {
                self.path == "/api/v1/halts/{id}/resume"
            }
            (_, Code::VaultErased) => self.seals_secrets(),
            (_, Code::TextCardNumber) => takes_body && self.keeps_free_text(),
            (_, code) if self.may_change(code) => true,
            (_, Code::AuthStepUp | Code::KeyState | Code::KeyLifetime) => manages_keys,
            (_, Code::AuthPermission | Code::AuthFactorRequired) => {
                matches!(self.access, Access::Any(_))
            }
            // Whoever knocks without being known may be slowed down or held up.
            (_, Code::Unauthenticated | Code::LimitRate | Code::AuthBusy | Code::VaultClosed) => {
                self.access == Access::Public && matches!(self.handler, Handler::Ask(_))
            }
            (_, Code::ReplayBusy) => self.path == REPLAY,
            (_, Code::LimitStreams) => matches!(self.handler, Handler::Stream),
            (_, Code::RequestTooLarge | Code::RequestTooSlow) => takes_body,
            // A parameter that there is not is refused, where parameters are read at all.
            (_, Code::RequestMalformed) => !matches!(
                self.handler,
                Handler::Page(_) | Handler::Checkpoint | Handler::Pins(_) | Handler::Tile
            ),
            (_, Code::RequestNotFound) => {
                takes_body
                    || self.parameter().is_some()
                    || self.takes == Takes::Versions
                    || matches!(self.handler, Handler::Checkpoint | Handler::Pins(_))
            }
            (_, Code::NotDurable) => asks_engine,
            (_, Code::FactorUnavailable) => {
                let of_a_login = self.path.starts_with("/api/v1/auth/factor");
                of_a_login || self.path.starts_with("/api/v1/me/factors/sms")
            }
            (_, Code::DuplicateSuspect) => self.path == "/api/v1/orders" && places,
            (
                _,
                Code::OrderBelowFilled | Code::OrderChangeInFlight | Code::OrderChangeUnsupported,
            ) => self.method == Method::PATCH && places,
            (_, Code::OrderNotOpen) => {
                self.method != Method::GET && self.path == "/api/v1/orders/{id}"
            }
            (_, code) if places => concerns_orders(code),
            _ => false,
        }
    }

    /// What is said to a lockdown, and what it keeps from being changed.
    fn meets_lockdown(&self, code: Code) -> bool {
        const FREE: [&str; 6] =
            ["orders", "positions", "alerts", "dead-man", "lockdown", "signals"];
        let asks = |end: &str| self.path.strip_prefix("/api/v1/lockdown/") == Some(end);
        match code {
            Code::LockdownNone | Code::LockdownStep => {
                asks("answer") || asks("confirm") || asks("end")
            }
            Code::LockdownPhrase => asks("confirm"),
            Code::LockdownHold => asks("end"),
            _ => {
                let noun = self.path.split('/').nth(3).unwrap_or_default();
                let is_change = matches!(self.handler, Handler::Command(_))
                    && matches!(self.access, Access::Any(_))
                    && self.method != Method::GET;
                is_change && !FREE.contains(&noun) && self.path != "/api/v1/halts"
            }
        }
    }

    /// Whether it may make a secret that is stored sealed.
    fn seals_secrets(&self) -> bool {
        let sealing = [
            (Method::POST, "/api/v1/webhooks"),
            (Method::PATCH, "/api/v1/webhooks/{id}"),
            (Method::POST, "/api/v1/webhooks/{id}/rotate"),
            (Method::POST, "/api/v1/keys"),
            (Method::POST, "/api/v1/keys/{id}/rotate"),
        ];
        sealing.contains(&(self.method.clone(), self.path))
    }

    /// Whether a name or a reason is kept of what is sent.
    fn keeps_free_text(&self) -> bool {
        let nouns = [
            "webhooks",
            "strategies",
            "accounts",
            "keys",
            "limits",
            "overrides",
            "organizations",
            "rates",
            "rolls",
            "roles",
        ];
        let path = self.path.strip_prefix("/api/v1/").unwrap_or_default();
        let names =
            nouns.iter().any(|noun| path.starts_with(noun)) || ["halts", "users"].contains(&path);
        // An order has a tag.
        (names && !self.takes_signal()) || self.path == "/api/v1/orders"
    }

    /// What a change of a webhook, a strategy or a limit may meet.
    fn may_change(&self, code: Code) -> bool {
        let changes = |noun: &str| self.method != Method::GET && self.path.starts_with(noun);
        match (self.heeds_if_match(), code) {
            (_, Code::AuthStepUp) if changes("/api/v1/limits") => true,
            (_, Code::AuthStepUp)
                if ["/api/v1/strategies", "/api/v1/accounts"].contains(&self.path) =>
            {
                self.method == Method::POST
            }
            (_, Code::StrategyOpenPosition) if changes("/api/v1/rolls") => true,
            (_, Code::AccountOpenPosition) => self.path == super::changes::DISCONNECT,
            (true, Code::AuthStepUp) => {
                let of_one = ["webhooks", "strategies", "accounts"]
                    .iter()
                    .any(|noun| changes(&format!("/api/v1/{noun}/")));
                of_one && self.method == Method::PATCH
            }
            (true, Code::WebhookInUse) => {
                changes("/api/v1/webhooks/") && self.method == Method::DELETE
            }
            (true, Code::StrategyOpenPosition) => changes("/api/v1/strategies/"),
            (true, Code::StrategyNotOff | Code::StrategyInUse) => {
                changes("/api/v1/strategies/") && self.method == Method::DELETE
            }
            (true, Code::RiskSharedPosition | Code::PositionAmbiguous) => {
                changes("/api/v1/strategies/") && self.method == Method::PATCH
            }
            _ => false,
        }
    }
}

/// Whether it is a rule's no to an order.
fn concerns_orders(code: Code) -> bool {
    let is_rule = code.class() == Class::Refused && code.text().starts_with("risk.");
    // Nothing is entered blind by request.
    let of_others =
        matches!(code, Code::RiskSharedPosition | Code::RiskBlindQuantity | Code::RiskStaticBand);
    is_rule && !of_others
        || matches!(
            code,
            Code::AccountOff
                | Code::HaltActive
                | Code::KeyInstrument
                | Code::KeyMaxNotional
                | Code::PositionFlat
                | Code::SizingUnusableQuantity
        )
}

/// Whether a sender of signals can meet it: the others are for callers of the API.
fn concerns_signals(code: Code) -> bool {
    let text = code.text();
    let family = text.split('.').next().unwrap_or_default();
    match family {
        "request" | "signal" | "strategy" | "sizing" | "risk" | "account" | "journal"
        | "address" => true,
        _ => matches!(
            code,
            Code::Unauthenticated
                | Code::ClientCertificate
                | Code::DuplicateIdConflict
                | Code::HaltActive
                | Code::LimitRate
                | Code::LimitFlood
                | Code::VaultClosed
        ),
    }
}
