//! `tradewarden vault`: the keys that wrap keys.

use serde_json::Value;
use tradewarden_engine::command::{self, Command, VaultCommand};

use crate::cli::{Shape, VaultVerb};
use crate::commands::{carry_out, show};
use crate::config::Config;
use crate::outcome::{Exit, Failure};
use crate::output;

/// Steps of one rewrap: more than an installation can need.
const STEPS_MAX: u32 = 100_000;

/// Does what was asked.
pub(crate) async fn run(config: &Config, verb: VaultVerb, json: bool) -> Result<Exit, Failure> {
    let answer = match verb {
        VaultVerb::Status => asked(config, VaultCommand::Status).await?,
        VaultVerb::Rotate => {
            let answer = asked(config, VaultCommand::Rotate).await?;
            if answer.get("kind").and_then(Value::as_str) == Some("file") {
                output::note(
                    "the key file has a new line: back it up again, apart from the database",
                );
            }
            answer
        }
        VaultVerb::Rewrap(new) => rewrap(config, new.to).await?,
    };
    show(&answer, Shape::One, json)?;
    Ok(Exit::Done)
}

async fn asked(config: &Config, asked: VaultCommand) -> Result<Value, Failure> {
    carry_out(config, None, Command::Vault(asked)).await
}

/// One step after the other until nothing is left.
async fn rewrap(config: &Config, to: Option<String>) -> Result<Value, Failure> {
    let mut done = 0_u64;
    for _step in 0..STEPS_MAX {
        let step = command::VaultRewrap { to: to.clone() };
        let mut answer = asked(config, VaultCommand::Rewrap(step)).await?;
        let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
        let (rewrapped, left) = (count("rewrapped"), count("left"));
        done = done.saturating_add(rewrapped);
        if left == 0 {
            if let Some(answer) = answer.as_object_mut() {
                answer.insert("rewrapped".to_owned(), done.into());
            }
            return Ok(answer);
        }
        output::note(&format!("{done} data keys are wrapped anew, {left} are left"));
    }
    Err(Failure::unavailable("data keys are added faster than they are wrapped: try again"))
}
