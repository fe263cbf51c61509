//! The printed walk: every command is taken out of the text and pasted into a shell, as a stranger
//! would do, and each answer is held against the sentence above the command (S24).

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tradewarden_testkit::process::{Program, TestDir, until};

const BINARY: &str = env!("CARGO_BIN_EXE_tradewarden");
const DEADLINE: Duration = Duration::from_mins(1);
/// The walk's last line.
const LAST_LINE: &str = "Stop the demo with Ctrl-C.";

/// One command of the walk, under what is promised of it.
#[derive(Debug)]
struct Step {
    promise: String,
    command: String,
}

/// What can be pasted: lines that begin with two spaces, after the invitation to do so.
fn steps(page: &str) -> Vec<Step> {
    let (_, walk) = page.split_once("Open another shell there").unwrap();
    let mut promise = String::new();
    let mut steps = Vec::new();
    for line in walk.lines() {
        match line.strip_prefix("  ") {
            Some(command) if !command.starts_with(' ') => {
                steps.push(Step { promise: promise.clone(), command: command.to_owned() });
            }
            _ if line.is_empty() => {}
            _ => line.clone_into(&mut promise),
        }
    }
    steps
}

/// A shell in which one command after the other is typed.
struct Shell {
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    async fn begin(dir: &TestDir) -> Self {
        let mut child = Command::new("bash")
            .arg("--norc")
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("there is bash");
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut shell = Self { _child: child, input, output: BufReader::new(output) };
        shell.paste("exec 2>&1").await;
        shell
    }

    /// Everything that the command printed, and how it ended.
    async fn paste(&mut self, command: &str) -> (String, i32) {
        self.input
            .write_all(format!("{command}\necho \"<<ended $?>>\"\n").as_bytes())
            .await
            .unwrap();
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            let read = timeout(DEADLINE, self.output.read_line(&mut line)).await;
            assert!(read.expect(command).unwrap() > 0, "the shell ended: {command}");
            if let Some(code) =
                line.strip_prefix("<<ended ").and_then(|rest| rest.trim_end().strip_suffix(">>"))
            {
                return (printed, code.parse().unwrap());
            }
            printed.push_str(&line);
        }
    }

    /// A command that must go well.
    async fn paste_well(&mut self, command: &str) -> String {
        let (printed, code) = self.paste(command).await;
        assert_eq!(code, 0, "{command}\n{printed}");
        printed
    }

    async fn json(&mut self, command: &str) -> Value {
        let printed = self.paste_well(command).await;
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }
}

struct Demo {
    _child: Child,
    page: String,
    program: Program,
}

impl Demo {
    async fn begin(dir: &TestDir) -> Self {
        let program = Program::new(BINARY, dir.data(), "");
        let mut child = Command::new(BINARY)
            .args(["demo", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"])
            .arg("--data")
            .arg(dir.data())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut page = String::new();
        while !page.contains(LAST_LINE) {
            let read = timeout(DEADLINE, stdout.read_line(&mut page)).await;
            assert!(read.expect("ready in time").unwrap() > 0, "the demo ended: {page}");
        }
        Self { _child: child, page, program }
    }

    /// Waits until no order is under way: a person reads the answer before the next command.
    async fn settle(&self) -> Vec<Value> {
        let mut orders = Vec::new();
        until("every order has ended", async || {
            let list = self.program.json(&["order", "list"]).await;
            orders.clone_from(list["items"].as_array().unwrap());
            orders.iter().all(|order| order["state"] == "filled" || order["state"] == "refused")
        })
        .await;
        // Oldest first.
        orders.reverse();
        orders
    }
}

fn trades(orders: &[Value]) -> Vec<(&str, &str, bool)> {
    orders
        .iter()
        .map(|order| {
            assert_eq!(order["filled_quantity"], order["quantity"], "{order}");
            assert_eq!(order["symbol"], "AAPL");
            let text = |name: &str| order[name].as_str().unwrap();
            (text("side"), text("quantity"), order["reduce_only"].as_bool().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn a_stranger_pastes_the_walk() {
    let dir = TestDir::new("demo-walk");
    let demo = Demo::begin(&dir).await;
    assert!(demo.page.contains("PAPER"), "S24: PAPER is everywhere");
    let mut steps = steps(&demo.page).into_iter();
    let mut next = |about: &str| {
        let step = steps.next().unwrap_or_else(|| panic!("no step {about} in\n{}", demo.page));
        assert!(step.promise.contains(about), "{step:?} is not about {about}");
        step.command
    };
    let mut shell = Shell::begin(&dir).await;

    let name = next("paste one line after the other");
    shell.paste_well(&name).await;

    let entry = shell.json(&next("An entry. Expect {\"status\":\"accepted\"")).await;
    assert_eq!(entry["status"], "accepted", "{entry}");
    assert_eq!(trades(&demo.settle().await), [("buy", "10", false)]);

    let again = shell.json(&next("Expect {\"status\":\"duplicate\"")).await;
    assert_eq!(again["status"], "duplicate", "{again}");
    assert_eq!(again["signal_id"], entry["signal_id"], "with the same signal_id");
    assert_eq!(demo.settle().await.len(), 1, "nothing is bought twice");

    let half = shell.json(&next("Half of it out. Expect \"accepted\": 5 are sold")).await;
    assert_eq!(half["status"], "accepted", "{half}");
    assert_eq!(trades(&demo.settle().await)[1..], [("sell", "5", true)]);

    let rest = shell.json(&next("The rest. Expect \"accepted\": 5 are sold")).await;
    assert_eq!(rest["status"], "accepted", "{rest}");
    assert_eq!(trades(&demo.settle().await)[2..], [("sell", "5", true)]);
    let positions = demo.program.json(&["position", "list"]).await;
    let flat = |position: &Value| position["quantity"] == "0";
    assert!(positions["items"].as_array().unwrap().iter().all(flat), "{positions}");

    let halt = shell.paste_well(&next("Expect the halt with mode \"block\"")).await;
    assert!(halt.contains("block") && halt.contains("hlt_"), "{halt}");

    let refused_entry = next("Expect status 422 in the body, with \"code\":\"halt.active\"");
    let refused = shell.json(&refused_entry).await;
    assert_eq!((&refused["status"], &refused["code"]), (&422.into(), &"halt.active".into()));
    assert!(refused["signal_id"].as_str().unwrap().starts_with("sig_"), "{refused}");
    assert_eq!(demo.settle().await.len(), 3, "no order came of it");

    let resumed = shell.paste_well(&next("Go on. Expect the halt that ended")).await;
    let id = halt.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let id = id.into_iter().find(|word| word.starts_with("hlt_")).unwrap();
    assert!(resumed.contains(id), "{resumed}");
    let engaged = demo.program.json(&["halt", "status"]).await;
    assert_eq!(engaged["items"].as_array().unwrap().len(), 0, "{engaged}");

    let orders = shell.paste_well(&next("What became of it")).await;
    assert_eq!(orders.matches("ord_").count(), 3, "{orders}");
    assert_eq!(orders.matches("filled").count(), 3, "{orders}");
    let positions = shell.paste_well(&next("What became of it")).await;
    assert!(positions.contains("AAPL"), "{positions}");
    let signals = shell.paste_well(&next("What became of it")).await;
    assert_eq!(signals.matches("sig_").count(), 4, "{signals}");
    let signal = shell.paste_well(&next("What became of it")).await;
    assert!(signal.contains("halt.active") && signal.contains("risk."), "{signal}");
    let proof = shell.paste_well(&next("What became of it")).await;
    assert!(proof.starts_with("c2sp.org/tlog-proof@v1\n"), "{proof}");
    let verdict = shell.paste_well(&next("What became of it")).await;
    assert!(verdict.contains("ok"), "{verdict}");

    let list = shell.json(&next("The same by API, signed")).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 3, "{list}");
    let owner = "As the owner, who may look but not trade";
    let mut next = || {
        let step = steps.next().unwrap_or_else(|| panic!("no step of the owner"));
        assert!(step.promise.contains(owner), "{step:?}");
        step.command
    };
    shell.paste_well(&next()).await;
    let me = shell.json(&next()).await;
    assert_eq!((&me["kind"], &me["role"]), (&"person".into(), &"owner".into()), "{me}");
    let totp = shell.json(&next()).await;
    assert!(totp["uri"].as_str().unwrap().starts_with("otpauth://totp/"), "{totp}");
    assert!(steps.next().is_none(), "nothing in the walk is left untried");

    // "Go on" was true: what the halt refused is bought now, and the walk can be walked again.
    let again = shell.paste_well(&name).await;
    assert_eq!(again, "");
    let entry = refused_entry.replace("-halted", "-after-the-halt");
    let entry = shell.json(&entry).await;
    assert_eq!(entry["status"], "accepted", "{entry}");
}
