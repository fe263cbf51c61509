//! What must be so after the last restart, whatever the kills hit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tradewarden_broker::port::{Broker, Lookup, OrderName};
use tradewarden_seal::merkle::{Tree, leaf_hash};
use tradewarden_seal::{Checkpoint, Digest, VerifierKey};
use tradewarden_testkit::process::Gateway;

use crate::load::{self, Diary};
use crate::stage::{Exchange, Stage, all, text, until_nothing_lives};

/// So many signals are proven to be in the log one by one.
const PROVEN: usize = 20;
/// What a kill may lead to and a person is told: an order that waited too long, an attempt that
/// never arrived, an answer that was long in coming.
const FINDINGS: [&str; 3] = ["dispatch.expired", "dispatch.not_placed", "order.unknown"];

/// Starts the gateway once more, lets it finish, and looks at everything.
pub(crate) async fn everything_is_in_order(stage: &Stage, diary: &Arc<Diary>) {
    let gateway = stage.program.start().await;
    load::look_at_log(&gateway, diary).await;
    load::send_again(&gateway, &stage.doors, diary).await.unwrap();
    until_nothing_lives(&stage.program).await;
    let signals = all(&stage.program, "signal").await;
    let orders = all(&stage.program, "order").await;

    let accepted = signals_are_there_once(diary, &signals);
    signals_have_their_orders(diary, &signals, &orders);
    orders_are_at_the_exchange_at_most_once(&stage.exchange, &orders).await;
    positions_are_the_exchanges(stage).await;
    nothing_odd_was_found(stage).await;
    signals_are_proven(&gateway, &stage.dir.path().join("proof"), &accepted).await;

    load::look_at_log(&gateway, diary).await;
    let ended = gateway.stop().await;
    assert_eq!(ended.code, Some(0), "{ended}");
    log_holds(stage, diary, &accepted).await;
    tell(accepted.len(), &signals, &orders);
}

/// What the kills hit, for whoever wonders whether they hit anything.
#[expect(clippy::print_stdout, reason = "how much was hit belongs to the result")]
fn tell(heard: usize, signals: &[Value], orders: &[Value]) {
    let accepted = signals.iter().filter(|signal| signal["status"] == "accepted").count();
    let mut ends: BTreeMap<(String, Option<&str>), usize> = BTreeMap::new();
    for order in orders {
        *ends.entry((text(order, "state"), order["code"].as_str())).or_default() += 1;
    }
    let all = signals.len();
    println!(
        "{all} signals; {heard} of {accepted} accepted ones were answered 202; orders {ends:?}"
    );
}

/// Every id that was sent is exactly one signal, the one that was answered; nothing else is stored.
/// Answers the signals that were answered 202.
fn signals_are_there_once(diary: &Diary, signals: &[Value]) -> Vec<String> {
    let mut by_body: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for signal in signals {
        by_body.entry(text(signal, "body_sha256")).or_default().push(signal);
    }
    let sent = diary.sent();
    assert!(sent.len() > 100, "{} signals are not enough to say anything", sent.len());
    let mut accepted = Vec::new();
    for (id, sent) in &sent {
        let stored = by_body.remove(&Digest::sha256(sent.body.as_bytes()).to_string());
        let Some([signal]) = stored.as_deref() else { panic!("{id} is stored as {stored:?}") };
        assert_eq!(Some(text(signal, "id")), sent.signal_id, "{id}");
        if sent.accepted {
            assert_eq!(signal["status"], "accepted", "{id} was answered 202: {signal}");
            accepted.push(text(signal, "id"));
        }
    }
    assert!(by_body.is_empty(), "nobody sent these: {by_body:?}");
    assert!(accepted.len() > 50, "{} of {} accepted", accepted.len(), sent.len());
    accepted
}

/// Every account that accepted a signal has its orders, and every order has its signal. Only what is
/// no entry may have come to nothing but the end of entries that were not sent yet (S2, S5).
fn signals_have_their_orders(diary: &Diary, signals: &[Value], orders: &[Value]) {
    let entries: BTreeSet<String> = diary
        .sent()
        .into_values()
        .filter(|sent| sent.body.contains(r#""BUY""#) && !Stage::sells_short(sent.door))
        .filter_map(|sent| sent.signal_id)
        .collect();
    let superseded: BTreeSet<String> = orders
        .iter()
        .filter(|order| order["code"] == "order.superseded")
        .map(|order| text(order, "account_id"))
        .collect();
    let signal_of: BTreeMap<String, String> =
        orders.iter().map(|order| (text(order, "id"), text(order, "signal_id"))).collect();
    assert_eq!(signal_of.len(), orders.len(), "an order is listed twice");
    let mut accepted = BTreeSet::new();
    for signal in signals.iter().filter(|signal| signal["status"] == "accepted") {
        let id = text(signal, "id");
        for account in signal["accounts"].as_array().unwrap() {
            if account["result"] != "accepted" {
                continue;
            }
            let ids = account["order_ids"].as_array().map(Vec::as_slice).unwrap_or_default();
            let ended_others =
                !entries.contains(&id) && superseded.contains(&text(account, "account_id"));
            assert!(ended_others || !ids.is_empty(), "no order came of {signal}");
            for order in ids {
                assert_eq!(signal_of.get(order.as_str().unwrap()), Some(&id), "{signal}");
            }
        }
        accepted.insert(id);
    }
    for (order, signal) in signal_of {
        assert!(accepted.contains(&signal), "{order} came of {signal}, which was not accepted");
    }
}

/// No order reached the exchange twice; what we say of an order is what the exchange says; and the
/// exchange was sent nothing that is not ours.
async fn orders_are_at_the_exchange_at_most_once(exchange: &Exchange, orders: &[Value]) {
    let (mut received, mut created) = (0, 0);
    for order in orders {
        let name = text(order, "client_order_id");
        let times = exchange.admin.times_received(&name).await.unwrap();
        assert!(times <= 1, "the exchange was sent {times} times {order}");
        received += times;
        let lookup = OrderName {
            account: Exchange::account(&text(order, "account_id")),
            client_order_id: name,
            symbol: text(order, "symbol").parse().unwrap(),
            broker_order_id: None,
        };
        let state = text(order, "state");
        match exchange.broker.find(lookup).await {
            Lookup::Found(there) => {
                assert_eq!(times, 1, "never received, but there: {order}");
                // Of a reduce-only order that the exchange shrank we say that the rest is canceled
                // (S4).
                let shrunk = there.quantity < text(order, "quantity").parse().unwrap();
                let states = (there.state.text(), state.as_str());
                let agree = states.0 == states.1 || shrunk && states == ("filled", "canceled");
                assert!(agree, "{there:?} {order}");
                assert_eq!(there.filled_quantity.to_string(), text(order, "filled_quantity"));
                assert_eq!(there.broker_order_id, text(order, "broker_order_id"));
                created += 1;
            }
            Lookup::Absent => {
                assert!(order["broker_order_id"].is_null(), "not there: {order}");
                assert_eq!(order["filled_quantity"], "0", "not there: {order}");
                // What arrived and is not there was rejected, be it for arriving too late.
                let ends: &[&str] = match times {
                    0 => &["expired", "canceled"],
                    _ => &["rejected", "expired"],
                };
                assert!(ends.contains(&state.as_str()), "received {times} times: {order}");
            }
            Lookup::Unheard { why } => panic!("{why}: {order}"),
        }
    }
    let counts = exchange.admin.counts().await.unwrap();
    assert_eq!(counts.place_received, received, "orders arrived that are not journaled");
    assert_eq!(counts.orders_created, created, "orders were made that are not journaled");
    assert_eq!(counts.duplicates_refused, 0);
    assert!(created > 50, "{created} orders are not enough to say anything");
}

/// `position list` says what the exchange says.
async fn positions_are_the_exchanges(stage: &Stage) {
    let mut theirs = BTreeMap::new();
    for account in &stage.accounts {
        for position in stage.exchange.broker.positions(Exchange::account(account)).await.unwrap() {
            let place = (account.clone(), position.symbol.to_string());
            theirs.insert(place, position.quantity.to_string());
        }
    }
    let listed = stage.program.json(&["position", "list"]).await;
    let ours: BTreeMap<_, _> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| ((text(one, "account_id"), text(one, "symbol")), text(one, "quantity")))
        .filter(|(_, quantity)| quantity != "0")
        .collect();
    assert_eq!(ours, theirs);
}

/// No halt was engaged, and nothing was found but what a kill may lead to.
async fn nothing_odd_was_found(stage: &Stage) {
    let halts = stage.program.json(&["halt", "status"]).await;
    assert_eq!(halts["items"], Value::Array(Vec::new()));
    let findings = stage.program.json(&["finding", "list", "--limit", "200"]).await;
    for finding in findings["items"].as_array().unwrap() {
        assert!(FINDINGS.contains(&text(finding, "code").as_str()), "{finding}");
    }
}

/// Some of the signals, spread over all rounds, each with a proof that stands alone.
async fn signals_are_proven(gateway: &Gateway, file: &Path, accepted: &[String]) {
    let file = file.to_str().unwrap();
    for signal in accepted.iter().step_by(accepted.len().div_ceil(PROVEN)) {
        let printed = gateway.run(&["audit", "prove", signal, "--json"]).await;
        let shown = printed.json();
        let key = text(&shown, "verifier_key");
        let leaf: Value = serde_json::from_str(&text(&shown, "leaf")).unwrap();
        assert_eq!(leaf["object"], **signal);
        assert_eq!(leaf["event"], "signal.accepted");
        fs::write(file, printed.stdout).unwrap();
        let args = ["audit", "verify", "--offline", file, "--key", &key];
        assert_eq!(gateway.program().json(&args).await["ok"], true, "{signal}");
    }
}

/// The log verifies, has each 202's entry once, and extends every checkpoint that was ever seen.
async fn log_holds(stage: &Stage, diary: &Diary, accepted: &[String]) {
    let verified = stage.program.json(&["audit", "verify"]).await;
    assert_eq!(verified["ok"], true, "{verified}");
    assert_eq!(verified["unsealed"], 0, "{verified}");

    let path = stage.dir.path().join("bundle");
    let exported = stage.program.run(&["audit", "export", "--out", path.to_str().unwrap()]).await;
    assert_eq!(exported.code, Some(0), "{exported}");
    let bundle = fs::read_to_string(&path).unwrap();
    let mut lines = bundle.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let key: VerifierKey = text(&lines.next().unwrap(), "verifier_key").parse().unwrap();

    let mut tree = Tree::new();
    let mut roots = vec![tree.root()];
    let mut entries: BTreeMap<String, usize> = BTreeMap::new();
    for entry in lines {
        let leaf = text(&entry, "leaf");
        tree.push(leaf_hash(leaf.as_bytes()));
        roots.push(tree.root());
        let leaf: Value = serde_json::from_str(&leaf).unwrap();
        if leaf["event"] == "signal.accepted" {
            *entries.entry(text(&leaf, "object")).or_default() += 1;
        }
    }
    for signal in accepted {
        assert_eq!(entries.get(signal), Some(&1), "entries about {signal}");
    }
    let checkpoints = diary.checkpoints();
    assert!(checkpoints.len() > 5, "{} checkpoints are too few", checkpoints.len());
    for note in checkpoints {
        let checkpoint = Checkpoint::open(&note, &key).unwrap();
        let size = usize::try_from(checkpoint.size).unwrap();
        assert_eq!(roots.get(size), Some(&checkpoint.root), "the log does not extend {note}");
    }
}
