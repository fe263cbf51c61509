//! Engaging a halt and watching it until nothing is left to cancel and to close.

use std::time::Duration;

use serde_json::Value;
use tradewarden_engine::command::{ById, Command};

use crate::cli::{Asking, HaltEngage, HaltVerb, Shape, Verb};
use crate::config::Config;
use crate::data::Data;
use crate::outcome::{Exit, Failure};
use crate::{commands, control, output};

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Engages a halt, and shows how far it has come until it is done.
pub(crate) async fn engage_and_wait(
    config: &Config,
    organization: Option<&str>,
    new: HaltEngage,
    json: bool,
) -> Result<Exit, Failure> {
    let asking = Asking::of(Verb::Halt(HaltVerb::Engage(new)))?;
    let command = asking.map(|asking| asking.command);
    let command = command.ok_or_else(|| Failure::usage("there is no such command; see --help"))?;
    let engaged = commands::carry_out(config, organization, command).await?;
    let id = engaged.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let show = Command::HaltShow(ById { id: id.clone() });
    let data = Data::at(config);
    let mut last = String::new();
    loop {
        let Some(halt) = control::ask(&data, organization, &show).await? else {
            return Err(Failure::unavailable(format!(
                "halt {id} is engaged, but no gateway runs that could cancel and close: it does so \
                 once one is started"
            )));
        };
        let progress = progress(&halt);
        if progress != last {
            output::note(&progress);
            last = progress;
        }
        if is_done(&halt) {
            commands::show(&halt, Shape::One, json)?;
            return Ok(Exit::Done);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A halt that cancels nothing is done as soon as it is engaged.
fn is_done(halt: &Value) -> bool {
    let is_local = halt.get("local").and_then(Value::as_bool).unwrap_or(false);
    let done = halt.get("progress").and_then(|progress| progress.get("is_done"));
    let unwinds = halt
        .get("mode")
        .and_then(Value::as_str)
        .is_some_and(|mode| matches!(mode, "cancel" | "flatten"));
    !is_local && (!unwinds || done.and_then(Value::as_bool).unwrap_or(false))
}

fn progress(halt: &Value) -> String {
    let count = |name: &str| {
        let count = halt.get("progress").and_then(|progress| progress.get(name));
        count.and_then(Value::as_u64).unwrap_or(0)
    };
    format!(
        "orders: {} of {} canceled, {} filled, {} working, {} unknown; positions: {} of {} flat",
        count("orders_canceled"),
        count("orders_to_cancel"),
        count("orders_filled"),
        count("orders_working"),
        count("orders_unknown"),
        count("positions_flat"),
        count("positions_to_close"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_halt_is_done_when_nothing_is_left() {
        let halt = |mode: &str, local: bool, done: bool| json!({"mode": mode, "local": local, "progress": {"is_done": done}});
        assert!(is_done(&json!({"mode": "block", "local": false})));
        assert!(is_done(&halt("flatten", false, true)));
        assert!(!is_done(&halt("flatten", false, false)));
        assert!(!is_done(&halt("cancel", true, true)), "its orders are not looked at yet");
        assert!(!is_done(&json!({"mode": "cancel", "local": false})));
        let text = progress(&json!({"progress": {"orders_to_cancel": 3, "orders_canceled": 2}}));
        assert!(text.starts_with("orders: 2 of 3 canceled, 0 filled"), "{text}");
    }
}
