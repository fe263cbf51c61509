//! The table against the types it describes: each with everything in it, and with nothing that may
//! be absent.

mod lockdown;
mod replay;

use super::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use tradewarden_domain::bracket::Leg;
use tradewarden_domain::check::{Check, Outcome, Shown};
use tradewarden_domain::halt::HaltMode;
use tradewarden_domain::id;
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::message::Channel;
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::schedule::Schedule;
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::command::{
    AccountChanges, AccountCreate, CancelAll, DeadManSet, HaltEngage, KeyCreate, KeyRotation,
    LimitSet, LimitValue, LimitsImport, OrderAsChanged, OrderCreate, OverrideRequest, RateSet,
    RollSet, StrategyChanges, StrategyCreate, WebhookChanges, WebhookCreate, WebhookRotation,
};
use tradewarden_engine::intake::{AccountResult, SignalStatus};
use tradewarden_engine::pins::{Pin, PinUse, PinsDocument, PublishedPins};
use tradewarden_engine::posture::{Item, Light, Posture};
use tradewarden_engine::view::{
    AccountView, AlertChannelView, AlertView, BalancesView, CanceledView, ChangeView, ClosingView,
    DeadManView, EntryView, ExchangeRateView, FindingView, HaltProgressView, HaltView, HourView,
    InstrumentProfitView, KeyUsageView, KeyView, LimitChangeView, LimitValueView, LimitView,
    LimitsView, LossView, MeView, NextDaysView, OrderView, OrganizationView, OverrideView, Page,
    PolicyView, PositionView, ProfitView, ProofView, RollView, SignalView, StrategyPosition,
    StrategyProfitView, StrategyView, VersionView, WebhookView,
};

fn names(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

/// The properties of a schema: all, and those that must be there.
fn properties(name: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let schema = all().remove(name).unwrap();
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let required = required.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    (names(&schema["properties"]), required)
}

fn assert_sent(name: &str, full: &impl Serialize, bare: &impl Serialize) {
    let (every, required) = properties(name);
    assert_eq!(names(&serde_json::to_value(full).unwrap()), every, "{name}, full");
    assert_eq!(names(&serde_json::to_value(bare).unwrap()), required, "{name}, bare");
}

/// A full sample is taken and written again with every property; without any one of the required
/// members it is not taken.
fn assert_taken<T: DeserializeOwned + Serialize>(name: &str, sample: &Value) {
    let (every, required) = properties(name);
    assert_eq!(names(sample), every, "{name}, sample");
    let taken: T = serde_json::from_value(sample.clone()).unwrap();
    assert_eq!(names(&serde_json::to_value(&taken).unwrap()), every, "{name}, taken");
    for member in names(sample) {
        let mut without = sample.clone();
        without.as_object_mut().unwrap().remove(&member);
        let refused = serde_json::from_value::<T>(without).is_err();
        assert_eq!(refused, required.contains(&member), "{name} without {member}");
    }
}

fn id<K>() -> id::Id<K> {
    id::Id::from_bytes([1; 16])
}

fn symbol() -> Symbol {
    "ES".parse().unwrap()
}

const ONE: Quantity = Quantity::from_units(100_000_000);
const PRICE: Price = Price::from_units(100_000_000);
const AT: Timestamp = Timestamp::from_unix_micros(1);

fn text() -> String {
    "x".to_owned()
}

fn empty_list() -> Box<RawValue> {
    RawValue::from_string("[]".to_owned()).unwrap()
}

fn order(code: Option<Code>, is_full: bool) -> OrderView {
    OrderView {
        id: id(),
        signal_id: is_full.then(id),
        account_id: id(),
        strategy_id: is_full.then(id),
        key_id: is_full.then(id),
        tag: is_full.then(text),
        symbol: symbol(),
        side: Side::Buy,
        order_type: OrderType::Market,
        time_in_force: TimeInForce::Day,
        quantity: ONE,
        filled_quantity: ONE,
        average_price: is_full.then_some(PRICE),
        limit_price: is_full.then_some(PRICE),
        stop_price: is_full.then_some(PRICE),
        state: OrderState::Filled,
        reduce_only: false,
        leg: is_full.then_some(Leg::StopLoss),
        parent_id: is_full.then(id),
        one_cancels_other: is_full.then_some("emulated"),
        code,
        client_order_id: text(),
        broker_order_id: is_full.then(text),
        expires_at: is_full.then_some(AT),
        created_at: AT,
        updated_at: AT,
        limits_version: 1,
        change: is_full.then(|| change(true)),
    }
}

fn change(is_full: bool) -> ChangeView {
    ChangeView {
        state: ChangeState::Refused,
        code: is_full.then_some(Code::OrderChangeRejected),
        quantity: is_full.then_some(ONE),
        limit_price: is_full.then_some(PRICE),
        stop_price: is_full.then_some(PRICE),
        then_quantity: is_full.then_some(ONE),
        asked_at: AT,
    }
}

#[test]
fn signals_and_orders() {
    let signal = |code| SignalView {
        id: id(),
        received_at: AT,
        source: tradewarden_domain::source::Source::Key(id()),
        status: text(),
        code,
        message: text(),
        body_sha256: text(),
        checks: empty_list(),
        accounts: empty_list(),
        orders: Vec::new(),
    };
    assert_sent("Signal", &signal(Some(text())), &signal(None));
    assert_sent("Order", &order(Some(Code::HaltActive), true), &order(None, false));
    assert_sent("Change", &change(true), &change(false));
    let canceled = CanceledView { canceled: Vec::new(), kept: Vec::new() };
    assert_sent("Canceled", &canceled, &canceled);
    let closing = ClosingView {
        account_id: id(),
        symbol: symbol(),
        orders: Vec::new(),
        canceled: Vec::new(),
    };
    assert_sent("Closing", &closing, &closing);
    let balances = BalancesView {
        account_id: id(),
        currency: text(),
        cash: Money::ZERO,
        equity: Money::ZERO,
        at: AT,
    };
    assert_sent("Balances", &balances, &balances);
    let check = |code: Option<Code>| Check {
        name: "halt",
        result: Outcome::Pass,
        code,
        input: code.map(|_| Shown::Text(text())),
        limit: code.map(|_| Shown::Text(text())),
        took_us: 1,
    };
    assert_sent("Check", &check(Some(Code::HaltActive)), &check(None));
    let result = |code: Option<Code>| AccountResult {
        account_id: id(),
        strategy_id: id(),
        result: SignalStatus::Refused,
        code,
        order_id: code.map(|_| id()),
        order_ids: code.map(|_| id()).into_iter().collect(),
    };
    assert_sent("AccountResult", &result(Some(Code::HaltActive)), &result(None));
}

#[test]
fn profit_and_rates() {
    let profit = |sum: Option<Money>| ProfitView {
        account_id: id(),
        currency: text(),
        realized: sum,
        unrealized: sum,
        total: sum,
        fees: Money::ZERO,
        gaps: Vec::new(),
        losses: Vec::new(),
        instruments: Vec::new(),
        at: AT,
    };
    assert_sent("Profit", &profit(Some(Money::ZERO)), &profit(None));
    let loss = |limit: Option<Money>| LossView {
        strategy_id: limit.map(|_| id()),
        session_at: AT,
        of_the_day: limit,
        daily_loss: limit,
        below_best: limit,
        drawdown: limit,
        halts: Vec::new(),
    };
    assert_sent("Loss", &loss(Some(Money::ZERO)), &loss(None));
    let instrument = |sum: Option<Money>| InstrumentProfitView {
        symbol: symbol(),
        currency: sum.map(|_| text()),
        quantity: ONE,
        mark: sum.map(|_| PRICE),
        marked_at: sum.map(|_| AT),
        realized: sum,
        unrealized: sum,
        fees: Money::ZERO,
        rate: sum.map(|_| PRICE),
        strategies: Vec::new(),
    };
    assert_sent("InstrumentProfit", &instrument(Some(Money::ZERO)), &instrument(None));
    let strategy = |sum: Option<Money>| StrategyProfitView {
        strategy_id: sum.map(|_| id()),
        quantity: ONE,
        average_price: sum.map(|_| PRICE),
        realized: sum,
        unrealized: sum,
        fees: Money::ZERO,
    };
    assert_sent("StrategyProfit", &strategy(Some(Money::ZERO)), &strategy(None));
    let rate = ExchangeRateView {
        base: text(),
        quote: text(),
        rate: PRICE,
        source: text(),
        at: AT,
        valid_until: AT,
    };
    assert_sent("ExchangeRate", &rate, &rate);
}

#[test]
fn positions_and_accounts() {
    let position = |average_price| PositionView {
        account_id: id(),
        symbol: symbol(),
        quantity: ONE,
        average_price,
        projected_quantity: ONE,
        realized_pnl: Money::ZERO,
        unrealized_pnl: average_price.map(|_| Money::ZERO),
        mark: average_price,
        currency: average_price.map(|_| text()),
        strategies: Vec::new(),
    };
    assert_sent("Position", &position(Some(PRICE)), &position(None));
    let part = |average_price: Option<Price>| StrategyPosition {
        strategy_id: average_price.map(|_| id()),
        quantity: ONE,
        average_price,
        working_entry_buy: ONE,
        working_entry_sell: ONE,
        working_exit_buy: ONE,
        working_exit_sell: ONE,
    };
    assert_sent("StrategyPosition", &part(Some(PRICE)), &part(None));
    let next_days = || NextDaysView { session: text(), loss_reset: "person", begins_at: AT };
    assert_sent("NextDays", &next_days(), &next_days());
    let account = |next_days: Option<NextDaysView>| AccountView {
        id: id(),
        name: text(),
        broker: text(),
        currency: text(),
        state: text(),
        session: text(),
        loss_reset: "session",
        next_days,
        instruments: vec![symbol()],
        created_at: AT,
    };
    assert_sent("Account", &account(Some(next_days())), &account(None));
}

#[test]
fn webhooks_and_strategies() {
    let webhook = |secret: Option<String>| WebhookView {
        id: id(),
        name: text(),
        token: text(),
        url: text(),
        signing_secret: secret.clone(),
        forms: vec!["query"],
        allow: Vec::new(),
        client_certificate: secret.clone(),
        symbols: vec![symbol()],
        dry_run: false,
        rate_per_s: 10,
        max_age_s: 90,
        mapping: secret.is_some().then(|| serde_json::from_str(r#"{"action":"side"}"#).unwrap()),
        state: text(),
        created_at: AT,
        secret,
    };
    assert_sent("Webhook", &webhook(Some(text())), &webhook(None));
    let strategy = |schedule: Option<Schedule>| StrategyView {
        id: id(),
        name: text(),
        webhook_id: schedule.as_ref().map(|_| id()),
        key_id: schedule.as_ref().map(|_| id()),
        account_id: id(),
        followers: vec![id()],
        require_leader: false,
        symbol: symbol(),
        symbol_source: text(),
        quantity: ONE,
        sizing: text(),
        percent: schedule.as_ref().map(|_| ONE),
        fee_per_unit: Money::ZERO,
        stop_ticks_min: 4,
        on_opposite: text(),
        pyramiding: text(),
        allow_short: false,
        send_within_s: 10,
        entry_ttl_s: schedule.as_ref().map(|_| 1),
        take_profit: schedule.as_ref().map(|_| "2%".parse().unwrap()),
        stop_loss: schedule.as_ref().map(|_| "1.5".parse().unwrap()),
        on_naked: text(),
        expected_every_s: schedule.as_ref().map(|_| 60),
        adopt: false,
        auto_roll: false,
        quantity_fallback: false,
        quantity_clamp: false,
        blind_market: false,
        blind_quantity_max: ONE,
        schedule,
        state: text(),
        created_at: AT,
    };
    let schedule = "mon 09:00-10:00 UTC".parse().unwrap();
    assert_sent("Strategy", &strategy(Some(schedule)), &strategy(None));
}

#[test]
fn policies_and_overrides() {
    let change = |is_full: bool| LimitChangeView {
        scope: text(),
        name: text(),
        before: is_full.then_some(ONE),
        after: is_full.then_some(ONE),
    };
    assert_sent("LimitChange", &change(true), &change(false));
    let value = LimitValueView { scope: text(), name: text(), value: ONE };
    assert_sent("LimitValue", &value, &value);
    let version = |is_full: bool| VersionView {
        version: 1,
        made_at: AT,
        made_by: text(),
        confirmed_by: is_full.then(id),
        reason: is_full.then(text),
        content_sha256: text(),
        changed: 1,
    };
    assert_sent("LimitsVersion", &version(true), &version(false));
    let policy = |is_full: bool| PolicyView {
        version: 1,
        made_at: is_full.then_some(AT),
        made_by: is_full.then(text),
        confirmed_by: is_full.then(id),
        reason: is_full.then(text),
        content_sha256: text(),
        limits: Vec::new(),
        changes: Vec::new(),
    };
    assert_sent("LimitsPolicy", &policy(true), &policy(false));
    let imported = LimitsView {
        version: 1,
        dry_run: true,
        loosens: true,
        content_sha256: text(),
        changes: Vec::new(),
    };
    assert_sent("LimitsImported", &imported, &imported);
    let one = |is_full: bool| OverrideView {
        id: id(),
        account_id: id(),
        symbol: symbol(),
        side: Side::Buy,
        quantity: ONE,
        limit: text(),
        reason: text(),
        state: "requested",
        valid_s: 60,
        requested_by: text(),
        requested_at: AT,
        confirmed_by: is_full.then(text),
        confirmed_at: is_full.then_some(AT),
        withdrawn_by: is_full.then(text),
        expires_at: AT,
        order_id: is_full.then(id),
        used_at: is_full.then_some(AT),
    };
    assert_sent("Override", &one(true), &one(false));
}

#[test]
fn limits_halts_findings_and_proofs() {
    let limit = LimitView { scope: text(), name: text(), value: ONE, version: 1, updated_at: AT };
    assert_sent("Limit", &limit, &limit);
    let day = || "2026-12-18".parse().unwrap();
    let roll = |is_full: bool| RollView {
        root: symbol(),
        contract: symbol(),
        expires_on: day(),
        first_notice_on: is_full.then(day),
        roll_at: is_full.then_some(AT),
        rolls_at: AT,
        last_day: day(),
        is_front: true,
        updated_at: AT,
    };
    assert_sent("Roll", &roll(true), &roll(false));
    let alert = |is_full: bool| AlertView {
        id: id(),
        at: AT,
        code: text(),
        severity: text(),
        subject: text(),
        detail: text(),
        told: 1,
        acknowledged_by: is_full.then(text),
        acknowledged_at: is_full.then_some(AT),
    };
    assert_sent("Alert", &alert(true), &alert(false));
    let channel = |is_full: bool| AlertChannelView {
        channel: Channel::Webhook,
        tested_at: is_full.then_some(AT),
    };
    assert_sent("AlertChannel", &channel(true), &channel(false));
    let switch = |is_full: bool| DeadManView {
        scope: text(),
        timeout_s: 60,
        mode: HaltMode::Cancel,
        include_protective: false,
        armed_by: text(),
        renewed_at: AT,
        fires_at: is_full.then_some(AT),
        fired_at: is_full.then_some(AT),
    };
    assert_sent("DeadMan", &switch(true), &switch(false));
    let progress = || HaltProgressView {
        orders_to_cancel: 1,
        orders_canceled: 1,
        orders_filled: 0,
        orders_working: 0,
        orders_unknown: 0,
        positions_to_close: 1,
        positions_flat: 1,
        is_done: true,
    };
    assert_sent("HaltProgress", &progress(), &progress());
    let halt = |is_full: bool| HaltView {
        id: id(),
        scope: text(),
        mode: text(),
        include_protective: false,
        reason: text(),
        engaged_by: text(),
        engaged_at: AT,
        local: false,
        resumed_by: is_full.then(text),
        resumed_at: is_full.then_some(AT),
        progress: is_full.then(progress),
    };
    assert_sent("Halt", &halt(true), &halt(false));
    let finding = FindingView {
        id: id(),
        at: AT,
        code: text(),
        severity: text(),
        subject: text(),
        detail: text(),
    };
    assert_sent("Finding", &finding, &finding);
    let entry = |index| EntryView { id: id(), index, leaf: empty_list(), payload: empty_list() };
    assert_sent("Entry", &entry(Some(1)), &entry(None));
    let proof = ProofView {
        entry_id: id(),
        index: 1,
        leaf: text(),
        payload: text(),
        salt: text(),
        proof: text(),
        verifier_key: text(),
    };
    assert_sent("Proof", &proof, &proof);
}

#[test]
fn keys_and_their_use() {
    let key = |is_full: bool| KeyView {
        id: id(),
        name: text(),
        algorithm: KeyAlgorithm::Ed25519,
        scopes: tradewarden_domain::permission::Permissions::all(),
        accounts: Vec::new(),
        instruments: Vec::new(),
        allow: Vec::new(),
        tier: Tier::Free,
        max_notional: is_full.then_some(Money::ZERO),
        environment: is_full.then(text),
        strategy_id: is_full.then(id),
        state: KeyState::Active,
        rotated_from: is_full.then(id),
        expires_at: AT,
        created_at: AT,
        last_used_at: is_full.then_some(AT),
        last_used_address: is_full.then(text),
        secret: is_full.then(text),
        private_key_pem: is_full.then(text),
    };
    assert_sent("Key", &key(true), &key(false));
    let hour = HourView { hour: AT, calls: 1, orders: 1, refusals: 1 };
    assert_sent("KeyHour", &hour, &hour);
    let usage = KeyUsageView {
        key_id: id(),
        since: AT,
        calls: 1,
        orders: 1,
        refusals: 1,
        hours: Vec::new(),
    };
    assert_sent("KeyUsage", &usage, &usage);
    let me = |is_full: bool| MeView {
        kind: "key",
        id: is_full.then(text),
        org_id: id(),
        permissions: tradewarden_domain::permission::Permissions::all(),
        scopes: is_full.then(tradewarden_domain::permission::Permissions::all),
        name: is_full.then(text),
        tier: is_full.then_some(Tier::Free),
        state: is_full.then_some(KeyState::Active),
        expires_at: is_full.then_some(AT),
        email: is_full.then(text),
        role: is_full.then(text),
        organizations: is_full.then(Vec::new),
        factor_at: is_full.then_some(AT),
        csrf_token: is_full.then(text),
        session_id: is_full.then(id),
    };
    assert_sent("Me", &me(true), &me(false));
    let organization = |is_full: bool| OrganizationView {
        id: id(),
        name: text(),
        role: is_full.then(text),
        created_at: is_full.then_some(AT),
    };
    assert_sent("Organization", &organization(true), &organization(false));
}

#[test]
fn pages_and_what_the_site_says_itself() {
    let page: Page<OrderView> = Page { items: Vec::new(), next: None };
    let schema = page_of("Order");
    assert_eq!(names(&serde_json::to_value(&page).unwrap()), names(&schema["properties"]));
    let time = crate::page::Time::from(AT);
    assert_sent("Time", &time, &time);
    assert_sent("Liveness", &crate::page::ALIVE, &crate::page::ALIVE);
    let pin = Pin { sha256: text(), usage: PinUse::Current };
    let document = PinsDocument { host: text(), not_after: AT, pins: vec![pin.clone()] };
    assert_sent("Pin", &pin, &pin);
    assert_sent("PinsDocument", &document, &document);
    let pins = PublishedPins { document, note: text(), verifier_key: text() };
    assert_sent("Pins", &pins, &pins);
    let readiness = tradewarden_engine::Readiness { ready: true, reasons: Vec::new() };
    assert_sent("Readiness", &readiness, &readiness);
    let (green, red) = (Item::green("a", ""), Item::red("b", "", ""));
    assert_sent("PostureItem", &red, &green);
    let posture = Posture { at: AT, light: Light::Red, items: vec![red, green] };
    assert_sent("Posture", &posture, &posture);
}

#[test]
fn what_is_taken() {
    assert_taken::<WebhookCreate>(
        "WebhookCreate",
        &json!({
            "name": "a", "allow": [], "preset": "tradingview", "dry_run": true, "rate_per_s": 1,
            "client_certificate": "tradingview", "symbols": ["ES1!"], "max_age_s": 1, "forms": ["query"], "mapping": {"action": "side"},
        }),
    );
    assert_taken::<WebhookChanges>(
        "WebhookChanges",
        &json!({
            "name": "a", "allow": [], "preset": "tradingview", "dry_run": true, "rate_per_s": 1,
            "client_certificate": null, "symbols": [], "max_age_s": 1, "forms": ["query"], "mapping": null,
            "state": "active",
        }),
    );
    assert_taken::<StrategyChanges>(
        "StrategyChanges",
        &json!({
            "name": "a", "webhook": "w", "key": "k", "account": "a", "symbol": "ES", "quantity": "1",
            "followers": ["a"], "require_leader": true,
            "sizing": "fixed", "quantity_fallback": true, "quantity_clamp": true, "percent": "1", "fee_per_unit": "1", "stop_ticks_min": 4,
            "on_opposite": "close", "pyramiding": "ignore", "allow_short": true,
            "symbol_source": "strategy", "send_within_s": 1, "entry_ttl_s": null, "shared_position": true,
            "state": "off", "open_position": "leave", "schedule": null,
            "take_profit": null, "stop_loss": "1.5", "on_naked": "close", "expected_every_s": null,
            "adopt": true, "auto_roll": true, "blind_market": true, "blind_quantity_max": "1",
        }),
    );
    assert_taken::<AccountChanges>(
        "AccountChanges",
        &json!({"name": "a", "state": "active", "session": "00:00 UTC", "loss_reset": "person"}),
    );
    assert_taken::<WebhookRotation>("WebhookRotation", &json!({"overlap_s": 60}));
    assert_taken::<StrategyCreate>(
        "StrategyCreate",
        &json!({
            "name": "a", "webhook": "w", "key": "k", "account": "a", "symbol": "ES", "quantity": "1",
            "followers": ["a"], "require_leader": true,
            "sizing": "fixed", "quantity_fallback": true, "quantity_clamp": true, "percent": "1", "fee_per_unit": "1", "stop_ticks_min": 4,
            "on_opposite": "close", "pyramiding": "ignore", "allow_short": true,
            "symbol_source": "strategy", "send_within_s": 1, "entry_ttl_s": 1, "shared_position": true,
            "schedule": "mon 09:00-10:00 UTC", "take_profit": "2%", "stop_loss": "1.5",
            "on_naked": "close", "expected_every_s": 60, "auto_roll": true,
            "blind_market": true, "blind_quantity_max": "1",
        }),
    );
    assert_taken::<OrderCreate>(
        "OrderCreate",
        &json!({
            "account_id": "a", "symbol": "ES", "side": "buy", "type": "limit", "quantity": "1",
            "limit_price": "1", "stop_price": "1", "time_in_force": "day", "reduce_only": true,
            "expires_at": AT, "tag": "t", "allow_repeat": true,
        }),
    );
    assert_taken::<OrderAsChanged>(
        "OrderChange",
        &json!({"quantity": "1", "limit_price": "1", "stop_price": "1"}),
    );
    assert_taken::<CancelAll>(
        "CancelAll",
        &json!({"account_id": "a", "symbol": "ES", "include_protective": true}),
    );
    assert_taken::<AccountCreate>(
        "AccountCreate",
        &json!({"broker": "paper", "name": "a", "cash": "100000", "session": "00:00 UTC",
            "loss_reset": "person"}),
    );
    assert_taken::<RateSet>(
        "RateSet",
        &json!({"base": "EUR", "quote": "USD", "rate": "1.08", "source": "ECB",
            "at": AT, "valid_s": 60}),
    );
    assert_taken::<RollSet>(
        "RollSet",
        &json!({
            "root": "ES", "contract": "ESZ26", "expires_on": "2026-12-18",
            "first_notice_on": "2026-12-18", "roll_at": "2026-12-10T05:00:00Z",
        }),
    );
}

#[test]
fn what_is_taken_of_limits_keys_and_halts() {
    assert_taken::<LimitSet>(
        "LimitSet",
        &json!({"scope": "org", "name": "max_position", "value": "1", "reason": "a"}),
    );
    assert_taken::<LimitsImport>(
        "LimitsImport",
        &json!({"limits": [], "reason": "a", "base_version": 1, "dry_run": true}),
    );
    assert_taken::<OverrideRequest>(
        "OverrideRequest",
        &json!({
            "account_id": "a", "symbol": "ES", "side": "buy", "quantity": "1",
            "limit": "max_position", "reason": "a", "minutes": 5,
        }),
    );
    assert_taken::<LimitValue>(
        "LimitValue",
        &json!({"scope": "org", "name": "max_position", "value": "1"}),
    );
    assert_taken::<KeyCreate>(
        "KeyCreate",
        &json!({
            "name": "a", "algorithm": "ed25519", "public_key": "x", "scopes": ["orders:read"],
            "accounts": ["acc"], "instruments": ["ES"], "allow": ["::1"], "tier": "pro",
            "max_notional": "1", "environment": "live", "strategy_id": "str", "expires_in_days": 1,
        }),
    );
    assert_taken::<KeyRotation>("KeyRotation", &json!({"overlap_s": 1, "public_key": "x"}));
    assert_taken::<DeadManSet>(
        "DeadManSet",
        &json!({"timeout_s": 60, "mode": "cancel", "include_protective": true}),
    );
    assert_taken::<HaltEngage>(
        "HaltEngage",
        &json!({
            "scope": "global", "mode": "cancel", "include_protective": true, "reason": "test",
        }),
    );
}

#[test]
fn the_patterns_are_those_of_the_types() {
    // No regex engine is at hand: the parts are checked one by one.
    let id = id::Id::<id::Order>::from_bytes([0xff; 16]).to_string();
    let bare = id.strip_prefix("ord_").unwrap();
    let letters = "0123456789abcdefghjkmnpqrstvwxyz";
    assert_eq!((bare.len(), &bare[..1]), (26, "7"));
    assert!(bare.chars().all(|letter| letters.contains(letter)));
    assert_eq!(Quantity::MAX.to_string().split_once('.').map(|(whole, _)| whole.len()), Some(11));
}

/// What people send about themselves is read and never written: each sample is taken, and without a
/// required member it is not.
fn assert_read<T: DeserializeOwned>(name: &str, sample: &Value) {
    let (every, required) = properties(name);
    assert_eq!(names(sample), every, "{name}, sample");
    assert!(serde_json::from_value::<T>(sample.clone()).is_ok(), "{name}");
    for member in names(sample) {
        let mut without = sample.clone();
        without.as_object_mut().unwrap().remove(&member);
        let refused = serde_json::from_value::<T>(without).is_err();
        assert_eq!(refused, required.contains(&member), "{name} without {member}");
    }
    let mut with_more = sample.clone();
    with_more["more"] = json!(1);
    assert!(serde_json::from_value::<T>(with_more).is_err(), "{name} with more");
}

#[test]
fn what_people_send() {
    use tradewarden_engine::command::{PolicySet, RoleCreate, UserChange, UserCreate};
    use tradewarden_engine::people as ask;
    let org = id::Id::<id::Org>::from_bytes([1; 16]).to_string();
    let login = json!({"email": "e", "password": "p", "cookie": true, "org_id": org});
    assert_read::<ask::Login>("Login", &login);
    let shown = json!({"challenge_id": "c", "type": "totp", "code": "1", "credential": {}});
    assert_read::<ask::FactorShown>("FactorShown", &shown);
    assert_read::<ask::Proof>("FactorProof", &shown);
    assert_read::<ask::RefreshShown>("Refresh", &json!({"refresh_token": "t"}));
    let passkey = json!({"challenge_id": "c", "credential": {}, "cookie": true, "org_id": org});
    assert_read::<ask::PasskeyLogin>("PasskeyLogin", &passkey);
    let reset = json!({"email": "e", "token": "t", "password": "p"});
    assert_read::<ask::PasswordReset>("PasswordReset", &reset);
    assert_read::<ask::SetUp>("SetUp", &reset);
    assert_read::<ask::CodeShown>("CodeShown", &json!({"code": "1"}));
    assert_read::<ask::SmsAsked>("SmsAsked", &json!({"challenge_id": "c"}));
    assert_read::<ask::SmsEnrol>("SmsEnrol", &json!({"phone": "+1"}));
    let enrol = json!({"challenge_id": "c", "credential": {}, "name": "n"});
    assert_read::<ask::WebauthnEnrol>("PasskeyEnrol", &enrol);
    assert_read::<ask::PasswordChange>("PasswordChange", &json!({"current": "c", "new": "n"}));
    let user = json!({"email": "e", "role": "viewer", "password": "p"});
    assert_read::<UserCreate>("UserCreate", &user);
    assert_read::<UserChange>("UserChange", &json!({"role": "viewer", "state": "active"}));
    let role = json!({"name": "n", "permissions": ["orders:read"]});
    assert_read::<RoleCreate>("RoleCreate", &role);
    assert_read::<PolicySet>("PolicySet", &json!({"name": "n", "value": "on"}));
}
