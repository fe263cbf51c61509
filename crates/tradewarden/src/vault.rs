//! `tradewarden vault`: the keys that wrap keys.

use std::time::Duration;

use serde_json::{Value, json};
use tradewarden_engine::command::{self, Command, VaultCommand};

use crate::cli::{Shape, VaultRotate, VaultVerb};
use crate::commands::{carry_out, show};
use crate::config::Config;
use crate::data::Data;
use crate::outcome::{Exit, Failure};
use crate::output;

/// Steps of one rewrap: more than an installation can need.
const STEPS_MAX: u32 = 100_000;
/// Between two looks at work that the gateway does.
const PAUSE: Duration = Duration::from_millis(100);
/// Looks without any progress: a minute.
const IDLE_MAX: u32 = 600;

/// Does what was asked.
pub(crate) async fn run(config: &Config, verb: VaultVerb, json: bool) -> Result<Exit, Failure> {
    let answer = match verb {
        VaultVerb::Status => {
            Data::at(config).is_set_up(config)?;
            asked(config, VaultCommand::Status).await?
        }
        VaultVerb::Rotate(asked) if asked.data_keys => rotate_data_keys(config, asked).await?,
        VaultVerb::Rotate(_) => {
            let answer = asked(config, VaultCommand::Rotate).await?;
            if answer.get("kind").and_then(Value::as_str) == Some("file") {
                output::note(
                    "the key file has a new line: back it up again, apart from the database",
                );
            }
            answer
        }
        VaultVerb::Erase(new) => {
            let erase =
                command::VaultErase { org: new.org, purpose: new.purpose, phrase: new.phrase };
            asked(config, VaultCommand::Erase(erase)).await?
        }
        VaultVerb::Rewrap(new) => rewrap(config, new.to).await?,
    };
    let is_whole = answer.get("unusable").and_then(Value::as_array).is_none_or(Vec::is_empty);
    show(&answer, Shape::One, json)?;
    Ok(if is_whole { Exit::Done } else { Exit::No })
}

async fn asked(config: &Config, asked: VaultCommand) -> Result<Value, Failure> {
    carry_out(config, None, Command::Vault(asked)).await
}

/// Makes new data keys, and sees to it that what the old ones sealed is sealed anew.
async fn rotate_data_keys(config: &Config, new: VaultRotate) -> Result<Value, Failure> {
    let VaultRotate { org, purpose, .. } = new;
    let mut step = command::VaultDataKeys { org, purpose, before: None };
    let (mut made, mut under_way) = (0_u64, 0);
    for _step in 0..STEPS_MAX {
        let answer = asked(config, VaultCommand::RotateDataKeys(step.clone())).await?;
        let now_made = count(&answer, "made");
        made = made.saturating_add(now_made);
        if step.before.is_none() {
            under_way = count(&answer, "under_way");
        }
        step.before =
            answer.get("before").and_then(|before| serde_json::from_value(before.clone()).ok());
        if count(&answer, "left") == 0 || now_made == 0 {
            break;
        }
    }
    let resealed = reseal(config).await?;
    Ok(json!({ "made": made, "under_way_before": under_way, "resealed": resealed, "left": 0 }))
}

/// Waits until nothing is left under a replaced data key, and does its part.
async fn reseal(config: &Config) -> Result<u64, Failure> {
    let mut progress = output::Progress::begin("sealing anew");
    let (mut most, mut done, mut before, mut idle) = (0_u64, 0_u64, u64::MAX, 0_u32);
    while idle < IDLE_MAX {
        let answer = asked(config, VaultCommand::Reseal).await?;
        let (resealed, left) = (count(&answer, "resealed"), count(&answer, "left"));
        done = done.saturating_add(resealed);
        if left == 0 {
            return Ok(done);
        }
        most = most.max(left.saturating_add(resealed));
        let percent = most.saturating_sub(left).saturating_mul(100).checked_div(most).unwrap_or(0);
        progress.show(u8::try_from(percent).unwrap_or(100));
        idle = if left < before { 0 } else { idle.saturating_add(1) };
        before = left;
        if resealed == 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Err(Failure::unavailable(
        "sealing anew makes no progress: the gateway goes on by itself, `vault status` says how far",
    ))
}

fn count(answer: &Value, name: &str) -> u64 {
    answer.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// One step after the other until nothing is left.
async fn rewrap(config: &Config, to: Option<String>) -> Result<Value, Failure> {
    let mut done = 0_u64;
    for _step in 0..STEPS_MAX {
        let step = command::VaultRewrap { to: to.clone() };
        let mut answer = asked(config, VaultCommand::Rewrap(step)).await?;
        let (rewrapped, left) = (count(&answer, "rewrapped"), count(&answer, "left"));
        done = done.saturating_add(rewrapped);
        if left == 0 || rewrapped == 0 {
            if let Some(answer) = answer.as_object_mut() {
                answer.insert("rewrapped".to_owned(), done.into());
            }
            return Ok(answer);
        }
        output::note(&format!("{done} data keys are wrapped anew, {left} are left"));
    }
    Err(Failure::unavailable("data keys are added faster than they are wrapped: try again"))
}
