//! Commands of an operator: carried out by the running gateway, or by ourselves if there is none.

use serde_json::Value;
use tradewarden_engine::command::Command;

use crate::cli::Shape;
use crate::config::Config;
use crate::control;
use crate::data::{Data, LOOK_AGAIN_AFTER, LOOKS_MAX, Locking};
use crate::gateway;
use crate::local_halt;
use crate::outcome::{Exit, Failure};
use crate::{output, table};

/// Has the command carried out, in this organization, and returns the answer.
pub(crate) async fn carry_out(
    config: &Config,
    organization: Option<&str>,
    command: Command,
) -> Result<Value, Failure> {
    let data = Data::at(config);
    if !data.exists() {
        return Err(Failure::not_found(format!(
            "there is no data directory {}: `tradewarden init` makes it, --data names another one",
            config.data.display()
        )));
    }
    crate::files::private_directory(&config.data)?;
    match asked(config, &data, organization, &command).await {
        Err(failure) => local_halt::instead(&data, organization, command, failure),
        done => done,
    }
}

/// The running gateway's answer, or ours if there is none.
async fn asked(
    config: &Config,
    data: &Data,
    organization: Option<&str>,
    command: &Command,
) -> Result<Value, Failure> {
    for _look in 0..LOOKS_MAX {
        if let Some(answer) = control::ask(data, organization, command).await? {
            return Ok(answer);
        }
        match data.lock()? {
            Locking::Held(lock) => {
                return gateway::execute(config, data, lock, organization, command.clone()).await;
            }
            // A gateway that starts or stops, or another command: soon one of the two will do.
            Locking::Taken => tokio::time::sleep(LOOK_AGAIN_AFTER).await,
        }
    }
    Err(Failure::unavailable(format!(
        "another process holds {} and does not answer: wait until it has started, or stop it",
        data.lock_file().display()
    )))
}

/// Carries out a command and prints its answer.
pub(crate) async fn run(
    config: &Config,
    organization: Option<&str>,
    command: Command,
    shape: Shape,
    json: bool,
) -> Result<Exit, Failure> {
    let judges = matches!(command, Command::SignalReplay(_));
    let is_unsaid = matches!(&command, Command::StrategyCreate(new) if new.on_opposite.is_none());
    let answer = carry_out(config, organization, command).await?;
    show(&answer, shape, json)?;
    if is_unsaid {
        // No silent default (S5).
        output::note(
            "--on-opposite was not given, so an opposite signal closes what is held and opens nothing; \
             `strategy change --on-opposite reverse` turns the position over instead",
        );
    }
    Ok(if judges && is_refusal(&answer) { Exit::No } else { Exit::Done })
}

/// Prints an answer: one line of JSON, or text.
pub(crate) fn show(answer: &Value, shape: Shape, json: bool) -> Result<(), Failure> {
    if json {
        output::print(&answer.to_string())
    } else {
        output::print(&table::render(answer, shape))
    }
}

fn is_refusal(answer: &Value) -> bool {
    answer.get("status").and_then(Value::as_str) == Some("refused")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use serde_json::json;
    use tradewarden_engine::command::Search;

    #[tokio::test]
    async fn without_a_data_directory_nothing_is_made() {
        let scratch = Scratch::new();
        let config = Config { data: scratch.path().join("none"), ..Config::default() };
        let list = Command::OrderList(Search::default());
        let failure = carry_out(&config, None, list).await.unwrap_err();
        assert_eq!(failure.exit, Exit::NotFound);
        assert!(!config.data.exists());
    }

    #[test]
    fn only_a_refusal_is_a_no() {
        assert!(is_refusal(&json!({"status": "refused"})));
        for status in ["accepted", "skipped", "dry_run"] {
            assert!(!is_refusal(&json!({ "status": status })));
        }
    }
}
