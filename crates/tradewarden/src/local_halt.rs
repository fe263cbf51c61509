//! The kill switch without gateway and database: halts are written to, shown from and ended in the file
//! `DATA/halt` (C11). The next gateway on this directory heeds them before it serves; one that hangs
//! heeds them when it goes on.

use std::sync::Arc;

use serde_json::{Value, json};
use tradewarden_domain::halt::{Halt, HaltScope};
use tradewarden_engine::actor::Actor;
use tradewarden_engine::command::Command;
use tradewarden_engine::local_halt::{LocalHaltFile, LocalRecord, Resumed, unreadable};
use tradewarden_engine::{Environment, halt_view};
use tradewarden_seal::SystemRandomness;

use crate::clock::SystemClock;
use crate::data::Data;
use crate::outcome::{Exit, Failure};
use crate::output;

/// Does a halt command with the file alone, after it failed in the regular way; every other command
/// stays failed.
pub(crate) fn instead(
    data: &Data,
    organization: Option<&str>,
    command: Command,
    failure: Failure,
) -> Result<Value, Failure> {
    let file = LocalHaltFile::at(data.halt());
    let environment = Environment::new(Arc::new(SystemClock), Box::new(SystemRandomness::new()));
    let illegible = |why: &str| -> LocalRecord { unreadable(&environment, why) };
    match command {
        // What was not understood would not be understood here either, and what was not found is not
        // there.
        Command::HaltEngage(new) if !matches!(failure.exit, Exit::Usage | Exit::NotFound) => {
            // A name cannot be looked up without the database: then everything is halted.
            let org = organization.filter(|_| new.scope.is_none());
            let org = org.and_then(|text| text.parse().ok());
            let scope = org.map_or(HaltScope::Global, HaltScope::Org);
            let halt = new.halt(scope, org, &Actor::operator(), &environment)?;
            file.engage(&halt, illegible).map_err(|cause| not_kept(data, &failure, &cause))?;
            output::note(&format!("kept in {}: {failure}", data.halt().display()));
            shown(&halt)
        }
        Command::HaltResume(by_id) => {
            let halts = file.in_force(illegible);
            let Some(halt) = halts.iter().find(|halt| halt.id.to_string() == by_id.id) else {
                return Err(failure);
            };
            let by = Actor::operator().name();
            let resumed = Resumed { by, at: environment.now() };
            file.resume(halt, &resumed, illegible)
                .map_err(|cause| not_kept(data, &failure, &cause))?;
            shown(halt)
        }
        Command::HaltStatus => {
            let halts = file.in_force(illegible);
            if halts.is_empty() {
                return Err(failure);
            }
            output::note(&format!("from {} alone: {failure}", data.halt().display()));
            let items = halts.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
            Ok(json!({ "items": items, "next": null }))
        }
        _ => Err(failure),
    }
}

fn shown(halt: &Halt) -> Result<Value, Failure> {
    serde_json::to_value(halt_view(halt, true))
        .map_err(|error| Failure::unavailable(format!("cannot be written as JSON: {error}")))
}

fn not_kept(data: &Data, failure: &Failure, cause: &std::io::Error) -> Failure {
    Failure::unavailable(format!(
        "{failure}; and {} cannot be written either: {cause}. Stop the gateway, or take its way to \
         the broker away",
        data.halt().display()
    ))
}
