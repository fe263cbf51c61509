//! What a round is played on: an installation with accounts, webhooks, strategies and limits, all
//! made at the command line, and the paper exchange in a process that is never killed.

use serde_json::Value;
use tokio::task::JoinSet;
use tradewarden_broker::paper::{PaperAdmin, PaperBroker, PaperLink, PaperSocket};
use tradewarden_broker::port::BrokerAccount;
use tradewarden_domain::id::{Account, Id};
use tradewarden_testkit::process::{Process, Program, TestDir, until};

/// Each webhook has an instrument of its own and leads two accounts.
const SYMBOLS: [&str; 4] = ["AAPL", "MSFT", "SPY", "EURUSD"];
const ACCOUNTS: usize = 4;
/// Limits that must be there and never bind.
const LIMITS: [(&str, &str); 5] = [
    ("max_order_quantity", "1000000"),
    ("max_order_notional", "1000000000"),
    ("max_position", "10000000"),
    ("price_collar_percent", "50"),
    ("max_orders_per_minute", "10000000"),
];

/// A webhook as its sender knows it.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) path: String,
    pub(crate) secret: String,
}

/// The exchange as its operator sees it, past the gateway.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) admin: PaperAdmin,
    pub(crate) broker: PaperBroker,
    _driver: JoinSet<()>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) doors: Vec<Door>,
    pub(crate) accounts: Vec<String>,
    pub(crate) exchange: Exchange,
    pub(crate) program: Program,
    _paper: Process,
    /// Last, because it goes when nothing uses it any more.
    pub(crate) dir: TestDir,
}

/// An installation that has nothing in it yet.
pub(crate) fn program(dir: &TestDir, database: &str) -> Program {
    let config = format!("database = \"{database}\"\n\n[paper]\nmode = \"socket\"\n");
    Program::new(env!("CARGO_BIN_EXE_tradewarden"), dir.data(), &config)
}

impl Stage {
    /// Sets it up, and stops the gateway again.
    pub(crate) async fn set_up(dir: TestDir, database: &str) -> Self {
        let program = program(&dir, database);
        let paper = program.start_paper().await;
        let gateway = program.start().await;
        for (name, value) in LIMITS {
            let args = ["limit", "set", "--scope", "org", "--name", name, "--value", value];
            program.json(&args).await;
        }
        let mut accounts = Vec::new();
        for number in 0..ACCOUNTS {
            let name = format!("account {number}");
            let args = ["account", "create", "--broker", "paper", "--name", &name];
            let cash = ["--cash", "1000000000"];
            accounts.push(text(&program.json(&[&args[..], &cash[..]].concat()).await, "id"));
        }
        let mut doors = Vec::new();
        for (number, symbol) in SYMBOLS.into_iter().enumerate() {
            let args = ["webhook", "create", "--name", symbol, "--rate-per-s", "100000"];
            let webhook = program.json(&args).await;
            let leads = [&accounts[number], &accounts[(number + 1) % ACCOUNTS]];
            for (place, account) in leads.into_iter().enumerate() {
                let id = text(&webhook, "id");
                let mut args = vec!["strategy", "create", "--name", symbol, "--webhook", &id];
                args.extend(["--account", account, "--symbol", symbol, "--quantity", "10"]);
                let send_within_s = send_within_s(number, place);
                args.extend(["--pyramiding", "allow", "--send-within-s", send_within_s]);
                if Self::sells_short(number) {
                    args.push("--allow-short");
                }
                program.json(&args).await;
            }
            let path = format!("/api/v1/webhooks/{}", text(&webhook, "token"));
            doors.push(Door { path, secret: text(&webhook, "secret") });
        }
        let ended = gateway.stop().await;
        assert_eq!(ended.code, Some(0), "{ended}");
        let exchange = Exchange::reached_by(&program);
        Self { doors, accounts, exchange, program, _paper: paper, dir }
    }

    /// Whether a sale while flat opens a position.
    pub(crate) fn sells_short(door: usize) -> bool {
        door.is_multiple_of(2)
    }
}

/// Some entries may wait long and are sent after a restart, some expire meanwhile. Where positions of
/// both signs are opened, one may have come up that an entry would be against: it waits for nothing.
fn send_within_s(door: usize, place: usize) -> &'static str {
    match place {
        _ if Stage::sells_short(door) => "5",
        0 => "300",
        _ => "10",
    }
}

impl Exchange {
    fn reached_by(program: &Program) -> Self {
        let (socket, driver) = PaperSocket::new(program.data().join("paper.sock"));
        let mut running = JoinSet::new();
        running.spawn(driver.run());
        let link = PaperLink::Socket(socket);
        Self {
            admin: PaperAdmin::new(link.clone()),
            broker: PaperBroker::new(link),
            _driver: running,
        }
    }

    /// The exchange's name of one of our accounts.
    pub(crate) fn account(id: &str) -> BrokerAccount {
        BrokerAccount::new(&id.parse::<Id<Account>>().unwrap().bare_text())
    }
}

/// A whole list, page by page, such as that of `order list`.
pub(crate) async fn all(program: &Program, things: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let list = [things, "list", "--limit", "200"];
    let mut page = program.json(&list).await;
    loop {
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { return items };
        page = program.json(&[&list[..], &["--cursor", next]].concat()).await;
    }
}

/// Waits until no order is live: then nothing is reserved in any position.
pub(crate) async fn until_nothing_lives(program: &Program) {
    until("no order lives", async || {
        let page = program.json(&["position", "list"]).await;
        let positions = page["items"].as_array().unwrap();
        let mut parts = positions.iter().flat_map(|one| one["strategies"].as_array().unwrap());
        parts.all(|part| {
            ["entry_buy", "entry_sell", "exit_buy", "exit_sell"]
                .into_iter()
                .all(|side| part[format!("working_{side}")] == "0")
        })
    })
    .await;
}

/// A text field that must be there.
pub(crate) fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_else(|| panic!("no {name} in {object}")).to_owned()
}
