//! The one JSON object of `demo --json`, and that everything it names works.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use tradewarden_testkit::process::{Client, Gateway, Program, TestDir, log_in};

const BINARY: &str = env!("CARGO_BIN_EXE_tradewarden");
/// The keys of the product page, in its order.
const KEYS: [&str; 12] = [
    "base_url",
    "ca_file",
    "console_url",
    "internal_url",
    "org_id",
    "owner",
    "account_id",
    "strategy_id",
    "webhook",
    "api_keys",
    "data_dir",
    "pid",
];

async fn start(dir: &TestDir) -> Gateway {
    let program = Program::new(BINARY, dir.data(), "");
    match program.try_start("demo").await {
        Ok(gateway) => gateway,
        Err(ended) => panic!("the demo did not start: {ended}"),
    }
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is no text in {value}"))
}

/// Product page, section 1: exactly one object, exactly these keys, and each of them is true.
#[tokio::test]
async fn exactly_one_object_with_the_keys_of_the_product_page() {
    let dir = TestDir::new("demo-json");
    let gateway = start(&dir).await;
    let ready = gateway.ready().clone();
    let mut wanted = KEYS;
    wanted.sort_unstable();
    assert_eq!(keys(&ready), wanted);
    assert_eq!(keys(&ready["webhook"]), ["id", "secret", "token", "url"]);
    assert_eq!(keys(&ready["owner"]), ["email", "password"]);
    assert!(text(&ready["owner"], "password").len() >= 20, "made up, not to be guessed");
    let [hmac, pair] = &ready["api_keys"].as_array().unwrap()[..] else { panic!("two keys") };
    assert_eq!(keys(hmac), ["algorithm", "key_id", "secret"]);
    assert_eq!(keys(pair), ["algorithm", "key_id", "private_key_file"]);
    assert_eq!((text(hmac, "algorithm"), text(pair, "algorithm")), ("hmac-sha256", "ed25519"));
    let mode = fs::metadata(text(pair, "private_key_file")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    for (name, prefix) in [("org_id", "org_"), ("account_id", "acc_"), ("strategy_id", "str_")] {
        assert!(text(&ready, name).starts_with(prefix), "{ready}");
    }
    let webhook = &ready["webhook"];
    assert!(text(webhook, "id").starts_with("whk_"), "{webhook}");
    let url = format!("{}/api/v1/webhooks/{}", text(&ready, "base_url"), text(webhook, "token"));
    assert_eq!(text(webhook, "url"), url);
    assert!(!url.contains(text(webhook, "secret")), "C4: the address is without the secret");
    // C21: the console lives at localhost, on the same port.
    let port = text(&ready, "base_url").rsplit(':').next().unwrap();
    assert_eq!(text(&ready, "console_url"), format!("https://localhost:{port}"));
    assert!(text(&ready, "internal_url").starts_with("https://127.0.0.1:"));
    assert_eq!(Path::new(text(&ready, "data_dir")), dir.data());
    let command = fs::read_to_string(format!("/proc/{}/cmdline", ready["pid"])).unwrap();
    assert!(command.contains("demo"), "{command}");

    // The CA is enough to be sure whom we talk to, under both names.
    let mut client = gateway.client();
    assert_eq!(client.get("/livez", &[]).await.unwrap().status, 200);
    let bearer = log_in(&mut client, &ready["owner"]).await;
    for path in [
        format!("/api/v1/accounts/{}", text(&ready, "account_id")),
        format!("/api/v1/strategies/{}", text(&ready, "strategy_id")),
        format!("/api/v1/webhooks/{}", text(webhook, "id")),
    ] {
        let answer = client.get(&path, &[("authorization", &bearer)]).await.unwrap();
        assert_eq!(answer.status, 200, "{path}");
    }
    let headers = [("x-webhook-secret", text(webhook, "secret"))];
    let path = format!("/api/v1/webhooks/{}", text(webhook, "token"));
    let answer = client.post(&path, &headers, r#"{"action":"BUY"}"#).await.unwrap();
    assert_eq!(answer.status, 202, "{:?}", answer.body);

    let ended = gateway.stop().await;
    assert_eq!(ended.code, Some(0), "{ended}");
    assert_eq!(ended.stdout, "", "nothing else is printed");
}

/// The keys stand in the order of the product page, on one line, in `./tradewarden-demo` unless
/// told otherwise.
#[tokio::test]
async fn without_options_it_lives_where_it_was_started() {
    let dir = TestDir::new("demo-here");
    let mut child = Command::new(BINARY)
        .args(["demo", "--json", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let read = timeout(Duration::from_mins(1), stdout.read_line(&mut line)).await;
    read.expect("ready in time").unwrap();
    let places: Vec<_> = KEYS.map(|key| line.find(&format!("\"{key}\":")).unwrap()).into();
    assert!(places.is_sorted(), "{line}");
    let ready: Value = serde_json::from_str(&line).unwrap();
    let data = dir.path().join("tradewarden-demo");
    assert_eq!(Path::new(text(&ready, "data_dir")), data);
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    let mut client = Client::new(text(&ready, "base_url"), Path::new(text(&ready, "ca_file")));
    assert_eq!(client.get("/readyz", &[]).await.unwrap().status, 200);

    child.kill().await.unwrap();
    let (mut more, mut complaints) = (String::new(), String::new());
    stdout.read_to_string(&mut more).await.unwrap();
    child.stderr.take().unwrap().read_to_string(&mut complaints).await.unwrap();
    assert_eq!((more.as_str(), complaints.as_str()), ("", ""), "a demo has nothing to warn of");
}

/// The second start finds everything: the same identifiers, the same secret, the same orders.
#[tokio::test]
async fn the_second_start_reuses_everything() {
    let dir = TestDir::new("demo-again");
    let first = start(&dir).await;
    let before = first.ready().clone();
    let headers = [("x-webhook-secret", text(&before["webhook"], "secret"))];
    let path = format!("/api/v1/webhooks/{}", text(&before["webhook"], "token"));
    let body = r#"{"action":"BUY","id":"once"}"#;
    let answer = first.client().post(&path, &headers, body).await.unwrap().json();
    assert_eq!(answer["status"], "accepted", "{answer}");
    let ca = fs::read(text(&before, "ca_file")).unwrap();
    assert_eq!(first.stop().await.code, Some(0));

    let second = start(&dir).await;
    let after = second.ready().clone();
    for key in ["org_id", "account_id", "strategy_id", "ca_file", "data_dir"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    for key in ["id", "token", "secret"] {
        assert_eq!(before["webhook"][key], after["webhook"][key], "{key}");
    }
    assert_eq!(fs::read(text(&after, "ca_file")).unwrap(), ca, "who trusted it still does");
    for things in ["account", "strategy", "webhook"] {
        let list = second.program().json(&[things, "list"]).await;
        assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    }
    // What was remembered still is: the same signal is not traded twice.
    let again = second.client().post(&path, &headers, body).await.unwrap().json();
    assert_eq!(again["status"], "duplicate", "{again}");
    assert_eq!(again["signal_id"], answer["signal_id"]);
    let orders = second.program().json(&["order", "list"]).await;
    assert_eq!(orders["items"].as_array().unwrap().len(), 1, "{orders}");
    assert_eq!(second.stop().await.code, Some(0));
}

/// C12: a second gateway on the same directory does not start, and says why.
/// The demo is its first organization's, whichever others are made in its directory.
#[tokio::test]
async fn a_second_organization_hinders_no_start() {
    let dir = TestDir::new("demo-second-organization");
    let first = start(&dir).await;
    let before = first.ready().clone();
    let new = ["organization", "create", "--name", "Other House", "--owner", "o@example.com"];
    first.program().json(&new).await;
    assert_eq!(first.stop().await.code, Some(0));

    let second = start(&dir).await;
    for key in ["org_id", "account_id", "strategy_id", "webhook", "api_keys", "owner"] {
        let mut after = second.ready()[key].clone();
        if key == "webhook" {
            after["url"] = before[key]["url"].clone();
        }
        assert_eq!(before[key], after, "{key}");
    }
    assert_eq!(second.stop().await.code, Some(0));

    // Without what it kept it makes everything anew, there as well.
    fs::remove_file(dir.data().join("demo.json")).unwrap();
    let third = start(&dir).await;
    assert_eq!(third.ready()["org_id"], before["org_id"]);
    assert_ne!(third.ready()["webhook"]["id"], before["webhook"]["id"]);
    assert_eq!(third.stop().await.code, Some(0));
}

#[tokio::test]
async fn two_demos_do_not_share_a_directory() {
    let dir = TestDir::new("demo-two");
    let first = start(&dir).await;
    let second = first.program().try_start("demo").await;
    let Err(ended) = second else { panic!("two gateways on one directory") };
    assert_eq!(ended.code, Some(4), "{ended}");
    assert!(ended.stderr.contains(&dir.data().display().to_string()), "{ended}");
    let mut client = first.client();
    assert_eq!(client.get("/readyz", &[]).await.unwrap().status, 200, "the first goes on");
}
