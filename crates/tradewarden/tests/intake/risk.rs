//! Every risk code that can be reached from outside: the limit is set by the command line, the
//! price by the paper exchange, and the running gateway sees it at once.

use serde_json::{Value, json};
use tradewarden_domain::calendar::Calendar;
use tradewarden_domain::price::Market;
use tradewarden_domain::time::Timestamp;
use tradewarden_testkit::process::{Gateway, Program, TestDir, until};

use crate::door::{BINARY, Door, demo};
use crate::stage::{check, follow, orders, refused, said, settled, signal};

async fn limit(gateway: &Gateway, scope: &str, name: &str, value: &str) {
    let set = ["limit", "set", "--scope", scope, "--name", name, "--value", value];
    let made = gateway.program().json(&set).await;
    assert_eq!((&made["name"], &made["value"]), (&name.into(), &value.into()));
}

async fn price(gateway: &Gateway, price: &str, market: &str) {
    let set = ["account", "price", "AAPL", price, "--market", market];
    gateway.program().json(&set).await;
}

/// Sends an entry that must be refused, and says what was compared.
async fn no(gateway: &Gateway, door: &mut Door, body: Value, code: &str) -> Value {
    let said = refused(&door.send(body.to_string()).await, 422, code);
    let trace = signal(gateway.program(), &said["signal_id"]).await;
    assert_eq!((&trace["status"], &trace["code"]), (&"refused".into(), &code.into()));
    let failed = trace["checks"].as_array().unwrap().iter().find(|one| one["result"] == "fail");
    assert_eq!(failed.unwrap()["code"], code, "the trace says the same: {trace}");
    assert_eq!(trace["orders"], json!([]), "no order came of it");
    said
}

/// A demo whose price stands still at 200, with the names of its scopes.
struct Still {
    gateway: Gateway,
    door: Door,
    strategy: String,
    account: String,
}

impl Still {
    async fn begin(dir: &TestDir) -> Self {
        let (gateway, door) = demo(dir, "").await;
        price(&gateway, "200", "open").await;
        let scope =
            |kind: &str, key: &str| format!("{kind}:{}", gateway.ready()[key].as_str().unwrap());
        let (strategy, account) =
            (scope("strategy", "strategy_id"), scope("account", "account_id"));
        Self { gateway, door, strategy, account }
    }

    async fn no(&mut self, body: Value, code: &str) -> Value {
        no(&self.gateway, &mut self.door, body, code).await
    }

    async fn limit(&self, scope: &str, name: &str, value: &str) {
        limit(&self.gateway, scope, name, value).await;
    }
}

fn buy(id: u32) -> Value {
    json!({"action": "BUY", "id": format!("entry-{id}")})
}

/// The limits of each level bind, the tightest wins, and the answer says input and limit.
#[tokio::test]
async fn size_value_and_position_at_every_level() {
    let dir = TestDir::new("risk-size");
    let mut still = Still::begin(&dir).await;
    let (strategy, account) = (still.strategy.clone(), still.account.clone());

    still.limit(&strategy, "max_order_quantity", "9").await;
    let body = still.no(buy(1), "risk.max_order_quantity").await;
    assert_eq!((&body["input"], &body["limit"]), (&"10".into(), &"9".into()));
    still.limit(&strategy, "max_order_quantity", "100").await;

    // 10 shares at 200 and what the exchange adds on either side.
    still.limit(&account, "max_order_notional", "1990").await;
    let body = still.no(buy(2), "risk.max_order_notional").await;
    assert_eq!(body["limit"], "1990");
    assert!(body["input"].as_str().unwrap().starts_with("200"), "{body}");
    still.limit(&account, "max_order_notional", "50000").await;

    still.limit("instrument:AAPL", "max_position", "9.5").await;
    let body = still.no(buy(3), "risk.max_position").await;
    assert_eq!((&body["input"], &body["limit"]), (&"10".into(), &"9.5".into()));
    still.limit("instrument:AAPL", "max_position", "10").await;

    still.limit("org", "max_orders_per_minute", "0").await;
    still.no(buy(4), "risk.max_orders_per_minute").await;
    still.limit("org", "max_orders_per_minute", "60").await;

    still.limit("instrument:AAPL", "restricted", "1").await;
    still.no(buy(5), "risk.restricted").await;
    still.limit("instrument:AAPL", "restricted", "0").await;

    // At the limit is within it.
    said(&still.door.send(buy(6).to_string()).await, 202, "accepted");
    let program = still.gateway.program();
    assert_eq!(settled(program).await.len(), 1);

    // S18: what reduces is not stopped by any of them; they are computed and traced.
    still.limit(&strategy, "max_order_quantity", "1").await;
    still.limit("instrument:AAPL", "restricted", "1").await;
    let exit = said(&still.door.send(r#"{"action":"EXIT"}"#).await, 202, "accepted");
    let trace = signal(program, &exit["signal_id"]).await;
    for name in ["risk.max_order_quantity", "risk.restricted"] {
        assert_eq!(check(&trace, name)["result"], "skip", "{trace}");
    }
    assert_eq!(settled(program).await.len(), 2);
}

/// A price in the signal may refuse, never justify (S22).
#[tokio::test]
async fn a_price_too_far_from_the_market() {
    let dir = TestDir::new("risk-collar");
    let mut still = Still::begin(&dir).await;
    for (id, price) in [(1, "211"), (2, "189"), (3, "0.01"), (4, "92233720368")] {
        let body = json!({"action": "BUY", "id": format!("c-{id}"), "price": price});
        still.no(body, "risk.price_collar").await;
    }
    let limit = json!({"action": "BUY", "id": "l", "order_type": "limit", "limit_price": "215"});
    still.no(limit, "risk.price_collar").await;
    let near = json!({"action": "BUY", "id": "near", "price": "209.5"});
    said(&still.door.send(near.to_string()).await, 202, "accepted");
}

/// S14: entries of a closed market are refused, never queued; its exits are held until it opens.
#[tokio::test]
async fn a_closed_market() {
    let dir = TestDir::new("risk-closed");
    let mut still = Still::begin(&dir).await;
    said(&still.door.send(buy(1).to_string()).await, 202, "accepted");
    settled(still.gateway.program()).await;
    price(&still.gateway, "200", "closed").await;
    let mut other = {
        let webhook = crate::stage::another_webhook(&still.gateway, &[]).await;
        follow(&still.gateway, webhook["id"].as_str().unwrap(), &[]).await;
        Door::of(&still.gateway, &webhook)
    };
    no(&still.gateway, &mut other, buy(2), "risk.market_closed").await;
    let program = still.gateway.program();
    said(&still.door.send(r#"{"action":"EXIT"}"#).await, 202, "accepted");
    let held = orders(program).await;
    assert_eq!((held.len(), &held[1]["reduce_only"]), (2, &true.into()));
    assert_ne!(held[1]["state"], "filled", "{held:?}");
    price(&still.gateway, "200", "open").await;
    let sold = settled(program).await;
    assert_eq!((&sold[1]["state"], &sold[1]["quantity"]), (&"filled".into(), &"10".into()));
    said(&other.send(buy(3).to_string()).await, 202, "accepted");
}

/// S14, S22: of whose market and price nothing is known, nothing is bought. The paper exchange is a
/// process of its own here, and is not there when the gateway starts again. (Had it been there, its
/// last trade would count for 60 s more.)
#[tokio::test]
async fn a_market_of_which_nothing_is_known() {
    let dir = TestDir::new("risk-unknown");
    let program = Program::new(BINARY, dir.data(), "[paper]\nmode = \"socket\"\n");
    program.json(&["init"]).await;
    let paper = program.start_paper().await;
    let gateway = match program.try_start("demo").await {
        Ok(gateway) => gateway,
        Err(ended) => panic!("the demo did not start: {ended}"),
    };
    let webhook = gateway.ready()["webhook"].clone();
    let mut door = Door::of(&gateway, &webhook);
    let dry = json!({"action": "BUY", "dry_run": true}).to_string();
    let judged = said(&door.send(dry).await, 200, "dry_run");
    assert!(judged.get("code").is_none(), "{judged}");
    assert_eq!(gateway.stop().await.code, Some(0));
    paper.kill9().await;

    let gateway = program.start().await;
    let mut door = Door::of(&gateway, &webhook);
    let body = no(&gateway, &mut door, buy(1), "risk.market_closed").await;
    let trace = signal(&program, &body["signal_id"]).await;
    for name in ["risk.price_collar", "risk.max_order_notional"] {
        let check = check(&trace, name);
        let found = (&check["result"], &check["code"]);
        assert_eq!(found, (&"fail".into(), &"risk.reference_stale".into()), "{trace}");
    }
    assert_eq!(orders(&program).await.len(), 0);

    // It comes back, and with it the price.
    let _paper = program.start_paper().await;
    let mut number = 1;
    until("the market is open again", async || {
        number += 1;
        door.send(buy(number).to_string()).await.status == 202
    })
    .await;
    assert_eq!(settled(&program).await.len(), 1);
}

/// A limit that must exist and was never set refuses, and says which.
#[tokio::test]
async fn a_missing_limit() {
    let dir = TestDir::new("risk-missing");
    let program = Program::new(BINARY, dir.data(), "");
    let gateway = program.start().await;
    let webhook = crate::stage::another_webhook(&gateway, &[]).await;
    follow(&gateway, webhook["id"].as_str().unwrap(), &[]).await;
    let mut door = Door::of(&gateway, &webhook);
    for (id, (name, value)) in (0..).zip([
        ("max_order_quantity", "100"),
        ("max_order_notional", "50000"),
        ("price_collar_percent", "5"),
        ("max_position", "200"),
        ("max_orders_per_minute", "60"),
    ]) {
        let body = no(&gateway, &mut door, buy(id), "risk.limit_missing").await;
        assert_eq!(body["limit"], name, "{body}");
        limit(&gateway, "org", name, value).await;
    }
    said(&door.send(buy(9).to_string()).await, 202, "accepted");
    assert_eq!(settled(&program).await.len(), 1);
}

/// S14: an instrument of the paper exchange trades at any hour unless it is told to keep those of its
/// calendar; what the calendar says of the instant of the signal is what the gateway does.
#[tokio::test]
async fn a_paper_market_keeps_its_hours_when_asked() {
    let dir = TestDir::new("risk-hours");
    let mut still = Still::begin(&dir).await;
    let set = ["account", "price", "AAPL", "200", "--market", "hours"];
    let made = still.gateway.program().json(&set).await;
    assert_eq!(made["market"], "hours");
    let answer = still.door.send(buy(1).to_string()).await.json();
    let stored = signal(still.gateway.program(), &answer["signal_id"]).await;
    let received: Timestamp = stored["received_at"].as_str().unwrap().parse().unwrap();
    match Calendar::UsEquities.market(received) {
        Market::Open => assert_eq!(answer["status"], "accepted", "{answer}"),
        Market::Closed | Market::Unknown => assert_eq!(answer["code"], "risk.market_closed"),
    }
    price(&still.gateway, "200", "open").await;
    said(&still.door.send(buy(2).to_string()).await, 202, "accepted");
}

/// S20, C11: a halt from the command line closes what is held and says how far it is; a heartbeat that
/// stops halts by itself, and over HTTP nothing about either is told to who may not know.
#[tokio::test]
async fn s20_flatten_is_watched_until_flat() {
    let dir = TestDir::new("intake-flatten");
    let (gateway, mut door) = demo(&dir, "").await;
    let program = gateway.program();
    said(&door.send(r#"{"action":"BUY","id":"held"}"#).await, 202, "accepted");
    settled(program).await;
    let engage = ["halt", "engage", "--mode", "flatten", "--reason", "drill", "--wait", "--json"];
    let ended = program.run(&engage).await;
    let halt = ended.json();
    assert!(ended.stderr.contains("positions: 1 of 1 flat"), "{ended}");
    let progress = &halt["progress"];
    assert_eq!((&progress["is_done"], &progress["positions_flat"]), (&true.into(), &1.into()));
    let shown = program.json(&["halt", "show", halt["id"].as_str().unwrap()]).await;
    assert_eq!(shown["progress"], *progress);
    let positions = program.json(&["position", "list"]).await;
    assert!(!positions.to_string().contains("\"quantity\":\"10\""), "{positions}");
    refused(&door.send(r#"{"action":"BUY","id":"later"}"#).await, 422, "halt.active");
    let ended = program.run(&["halt", "resume", halt["id"].as_str().unwrap()]).await;
    assert_eq!(ended.code, Some(0), "{ended}");
    let shown = program.json(&["halt", "show", halt["id"].as_str().unwrap()]).await;
    assert_eq!(shown["resumed_by"], "operator");

    let switch = program.json(&["dead-man", "set", "5", "--mode", "reduce_only"]).await;
    assert!(switch["fires_at"].is_string(), "{switch}");
    until("the switch fires", async || {
        let halts = program.json(&["halt", "status"]).await;
        halts["items"][0]["engaged_by"] == "dead-man"
    })
    .await;
    program.json(&["dead-man", "off"]).await;
    let stranger = door.client.get("/api/v1/dead-man", &[]).await.unwrap();
    assert_eq!(stranger.status, 401);
}
