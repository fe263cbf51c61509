//! The document against the running gateway, by a tool that others wrote: `schemathesis` of `PyPI`
//! makes requests from the document, right ones and wrong ones, and holds the answers against it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::process::Command;
use tradewarden_testkit::process::{Client, Gateway, QUICK_CALLERS, TestDir};

use crate::door::demo;
use crate::owner::{Owner, operations};
use crate::python::python_with;

const PACKAGE: &str = "schemathesis==4.32.5";
const OPTIONS: [&str; 17] = [
    "--phases",
    "coverage,fuzzing",
    "--max-examples",
    "3",
    "--seed",
    "1",
    "--generation-database",
    "none",
    // Two credentials in one request are none.
    "--generation-with-security-parameters",
    "false",
    // Which names and scopes there are is said in words, and in the refusal: not every text that the
    // document allows is taken.
    "--exclude-checks",
    "positive_data_acceptance",
    "--continue-on-failure",
    "--no-color",
    "--warnings",
    "off",
    // A kept connection may be closed while a request is on its way.
    "--request-retries=2",
];
/// On the public listener it does not exist.
const INTERNAL: &str = "get_metrics";
/// Its answer never ends; `stream` and `websocket` are its tests.
const STREAM: &str = "get_api_v1_stream";
/// What can end the session of whoever asks: the tool reads identifiers in the answers, and asks for
/// them. What comes after would be refused, and shown to nobody.
const ENDING: [&str; 9] = [
    "post_api_v1_lockdown",
    "post_api_v1_auth_switch",
    "post_api_v1_auth_logout",
    "delete_api_v1_me_sessions_id",
    "delete_api_v1_sessions_id",
    "post_api_v1_users_id_end_sessions",
    "post_api_v1_users_id_reset_factors",
    "patch_api_v1_users_id",
    "post_api_v1_me_password",
];

/// The tool, and what it is pointed at.
struct Tool {
    program: PathBuf,
    directory: PathBuf,
    base_url: String,
    ca: String,
}

impl Tool {
    async fn new(dir: &TestDir, gateway: &Gateway) -> Self {
        let python = python_with(dir, &[PACKAGE]).await;
        Self {
            program: python.with_file_name("st"),
            directory: dir.path().to_owned(),
            base_url: gateway.base_url().to_owned(),
            ca: gateway.ready()["ca_file"].as_str().unwrap().to_owned(),
        }
    }

    async fn run(&self, document: &str, options: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(["run", document, "--url", &self.base_url, "--tls-verify", &self.ca]);
        command.args(OPTIONS).args(options).current_dir(&self.directory);
        command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap()
    }

    /// Holds the gateway against its own document, but for these operations; how many it tried.
    async fn finds_nothing(&self, excluded: &[&str], options: &[&str]) -> usize {
        let document = format!("{}/api/v1/openapi.json", self.base_url);
        let mut all = options.to_vec();
        for operation in excluded {
            all.extend(["--exclude-operation-id", operation]);
        }
        let output = self.run(&document, &all).await;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let tested = said.lines().find_map(|line| line.trim().strip_prefix("Tested: "));
        tested.and_then(|number| number.parse().ok()).expect(&said)
    }
}

/// The document with another word in it.
async fn altered(client: &mut Client, dir: &Path) -> String {
    let document = client.get("/api/v1/openapi.json", &[]).await.unwrap();
    let mut document = document.json();
    let word = &mut document["components"]["schemas"]["Liveness"]["properties"]["status"]["enum"];
    assert_eq!(*word, serde_json::json!(["ok"]));
    *word = serde_json::json!(["fine"]);
    let path = dir.join("altered.json");
    std::fs::write(&path, document.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn others_find_what_the_document_says() {
    let dir = TestDir::new("api-contract");
    let (gateway, _door) = demo(&dir, QUICK_CALLERS).await;
    let tool = Tool::new(&dir, &gateway).await;
    let mut owner = Owner::of(&gateway).await;
    let every = operations(&mut owner.client).await.len();

    // What it would find.
    let document = altered(&mut owner.client, dir.path()).await;
    let control = tool.run(&document, &["--include-path", "/livez"]).await;
    let said = String::from_utf8_lossy(&control.stdout);
    assert!(!control.status.success() && said.contains("Response violates schema"), "{said}");

    let shown = format!("Authorization: {}", owner.bearer);
    let of_the_owner = async {
        let mut excluded = vec![INTERNAL, STREAM];
        excluded.extend(ENDING);
        // Whoever logs in shows no token: `as_nobody` is told what these say.
        let options = ["--header", &shown, "--exclude-path-regex", "^/api/v1/auth/(?!step)"];
        tool.finds_nothing(&excluded, &options).await
    };
    let as_nobody = tool.finds_nothing(&[INTERNAL], &[]);
    let (by_owner, by_nobody) = tokio::join!(of_the_owner, as_nobody);
    // The tool leaves out where the document is from.
    assert_eq!(by_nobody, every - 2);
    assert!(by_owner * 4 > every * 3, "{by_owner} of {every}");
    assert_eq!(owner.get("/api/v1/users").await.status, 200, "the session did not last");

    let mut ending = vec!["--header", &shown];
    for operation in ENDING {
        ending.extend(["--include-operation-id", operation]);
    }
    assert_eq!(tool.finds_nothing(&[], &ending).await, ENDING.len());
    gateway.stop().await;
}
