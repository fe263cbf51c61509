//! A second organization beside the demo's.

use serde_json::{Value, json};
use tradewarden_testkit::process::{Gateway, Program, QUICK_CALLERS, TestDir};

use crate::someone::{PASSWORD, Someone, success};

/// The name of the second organization.
pub(crate) const OTHER: &str = "Other House";

/// A demo whose callers may ask quickly.
pub(crate) async fn quick_demo(dir: &TestDir) -> Gateway {
    let program = Program::new(env!("CARGO_BIN_EXE_tradewarden"), dir.data(), QUICK_CALLERS);
    program.try_start("demo").await.unwrap_or_else(|ended| panic!("{ended}"))
}

/// Makes the second organization with an owner who is new; answers its identifier and the owner,
/// logged in with the password alone.
pub(crate) async fn second(gateway: &Gateway, email: &str) -> (String, Someone) {
    let new = ["organization", "create", "--name", OTHER, "--owner", email];
    let made = gateway.program().json(&new).await;
    let mut owner = Someone::new(gateway, email, PASSWORD);
    let body = json!({"token": made["invite_token"], "password": PASSWORD});
    let path = "/api/v1/auth/password-reset";
    success(&owner.client.post(path, &[], body.to_string()).await.unwrap(), 200);
    owner.log_in().await;
    (text(&made, "id"), owner)
}

/// A command of the operator in the second organization.
pub(crate) async fn in_other(gateway: &Gateway, args: &[&str]) -> Value {
    let args: Vec<&str> =
        ["--organization", OTHER].into_iter().chain(args.iter().copied()).collect();
    gateway.program().json(&args).await
}

/// A member that is a text.
#[track_caller]
pub(crate) fn text(object: &Value, name: &str) -> String {
    let found = object[name].as_str();
    found.unwrap_or_else(|| panic!("no {name} in {object}")).to_owned()
}
