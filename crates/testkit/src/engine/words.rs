//! Requests and commands as tests write them.

use super::Hook;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use tradewarden_engine::command::{Command, HaltEngage, LimitSet, StrategyCreate};
use tradewarden_engine::intake::{Presented, RawSignal};
use tradewarden_engine::tag::IfMatch;

/// A request with the right secret in the header.
#[must_use]
pub fn raw(hook: &Hook, body: &Value) -> RawSignal {
    RawSignal {
        token: hook.token.clone(),
        query_secret: None,
        header_secret: Some(Presented::new(hook.secret.clone())),
        signature: None,
        client_certificate: None,
        address: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
        dry_run: false,
        body: body.to_string().into_bytes(),
    }
}

/// The command that sets a limit.
///
/// # Panics
///
/// When that is no limit.
#[must_use]
pub fn limit_set(scope: &str, name: &str, value: &str) -> Command {
    Command::LimitSet(LimitSet {
        scope: scope.to_owned(),
        name: name.parse().unwrap(),
        value: value.parse().unwrap(),
        reason: None,
        if_match: IfMatch::Unsaid,
    })
}

/// The command that engages a halt.
///
/// # Panics
///
/// When that is no mode.
#[must_use]
pub fn halt_engage(scope: Option<&str>, mode: &str) -> Command {
    Command::HaltEngage(HaltEngage {
        scope: scope.map(str::to_owned),
        mode: Some(mode.parse().unwrap()),
        include_protective: false,
        reason: Some("simulation".to_owned()),
    })
}

/// A strategy with a fixed size that closes on an opposite signal.
///
/// # Panics
///
/// When that is no quantity.
#[must_use]
pub fn strategy(
    name: &str,
    hook: &Hook,
    account: &str,
    symbol: &str,
    size: &str,
) -> StrategyCreate {
    StrategyCreate {
        name: name.to_owned(),
        webhook: Some(hook.id.clone()),
        key: None,
        account: account.to_owned(),
        symbol: symbol.to_owned(),
        quantity: size.parse().unwrap(),
        followers: Vec::new(),
        require_leader: false,
        sizing: None,
        percent: None,
        fee_per_unit: None,
        stop_ticks_min: None,
        on_opposite: None,
        pyramiding: None,
        allow_short: false,
        symbol_source: None,
        send_within_s: None,
        entry_ttl_s: None,
        schedule: None,
        take_profit: None,
        stop_loss: None,
        on_naked: None,
        expected_every_s: None,
        auto_roll: false,
        quantity_fallback: false,
        quantity_clamp: false,
        blind_market: false,
        blind_quantity_max: None,
        shared_position: false,
    }
}

/// A signal with an action and an id.
#[must_use]
pub fn signal(action: &str, id: &str) -> Value {
    json!({ "action": action, "id": id })
}
