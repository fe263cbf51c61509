//! The guide's examples are run as they are printed.

use std::path::Path;

use serde_json::Value;
use tradewarden_testkit::process::TestDir;

use crate::stage::{demo, run_well};

const GUIDE: &str = include_str!("../../../../docs/guide/api-keys.md");

/// The examples in this language.
fn examples(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    GUIDE.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[tokio::test]
async fn each_example_does_what_it_says() {
    let dir = TestDir::new("keys-guide");
    let (gateway, keys) = demo(&dir).await;
    let ca = gateway.ready()["ca_file"].as_str().unwrap();
    let hmac = keys.iter().find(|key| key.algorithm == "hmac-sha256").unwrap();
    let pair = keys.iter().find(|key| key.algorithm == "ed25519").unwrap();
    let secret = std::fs::read_to_string(&hmac.file).unwrap();
    let url = gateway.base_url();
    let with_secret =
        [("TW_URL", url), ("TW_CA", ca), ("TW_KEY", &hmac.id), ("TW_SECRET", &secret)];
    let with_pair = [
        ("TW_URL", url),
        ("TW_CA", ca),
        ("TW_KEY", &pair.id),
        ("TW_KEY_FILE", pair.file.to_str().unwrap()),
    ];

    let program = gateway.program();
    let account = gateway.ready()["account_id"].as_str().unwrap();
    let create = ["strategy", "create", "--name", "bot", "--key", &hmac.id, "--account", account];
    program.json(&[&create[..], &["--symbol", "MSFT", "--quantity", "1"]].concat()).await;
    let [python] = examples("python")[..] else { panic!("one example in Python") };
    let printed = run_well(Path::new("python3"), &["-c", python], &with_secret).await;
    let answers: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&answers[0][0], &answers[0][1]["id"]), (&200.into(), &hmac.id.as_str().into()));
    assert_eq!((&answers[1][0], &answers[1][1]["items"]), (&200.into(), &Value::Array(vec![])));

    assert_eq!((&answers[2][0], &answers[2][1]["status"]), (&200.into(), &"dry_run".into()));

    let [message, simple] = examples("sh")[..] else { panic!("two examples for a shell") };
    for (script, environment, id) in
        [(message, with_pair, &pair.id), (simple, with_secret, &hmac.id)]
    {
        let printed = run_well(Path::new("sh"), &["-c", script], &environment).await;
        let me: Value = serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{printed}"));
        assert_eq!((&me["kind"], &me["id"]), (&"key".into(), &id.as_str().into()), "{me}");
    }
}
