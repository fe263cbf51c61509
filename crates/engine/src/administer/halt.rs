//! Halts: engaged and resumed by a person, in the database or, when it does not answer, beside it.

use super::{invalid, list, parse_id, to_value};
use crate::Engine;
use crate::actor::{Actor, Who};
use crate::command::{CommandError, HaltEngage};
use crate::environment::Environment;
use crate::journal::NotWritten;
use crate::local_halt::{JOURNAL_WAIT, LocalRecord, Resumed};
use crate::reads::halt_view;
use serde_json::{Value, json};
use tokio::time::timeout;
use tradewarden_domain::code::Code;
use tradewarden_domain::halt::{Halt, HaltMode, HaltScope};
use tradewarden_domain::id::{self, Id};
use tradewarden_store::directory as rows;

const REASON_BYTES_MAX: usize = 256;

impl HaltEngage {
    /// The halt that is asked for. `scope` is what it covers unless it says so itself; `org` owns it,
    /// where that is known.
    pub fn halt(
        self,
        scope: HaltScope,
        org: Option<Id<id::Org>>,
        actor: &Actor,
        environment: &Environment,
    ) -> Result<Halt, CommandError> {
        let scope = match self.scope.as_deref() {
            None => scope,
            Some(text) => text.parse().map_err(|_| {
                invalid(
                    "scope",
                    &"must be global, org:ID, account:ID, strategy:ID, webhook:ID, \
                      key:ID, instrument:SYMBOL or pair:ACCOUNT/SYMBOL",
                )
            })?,
        };
        let reason = self.reason.unwrap_or_else(|| "no reason was given".to_owned());
        if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
            return Err(invalid("reason", &"must be at most 256 printable characters"));
        }
        let now = environment.now();
        Ok(Halt {
            id: environment.id(now),
            org_id: org.filter(|_| scope != HaltScope::Global),
            scope,
            mode: self.mode.unwrap_or(HaltMode::Block),
            reason,
            engaged_by: actor.name(),
            engaged_at: now,
        })
    }
}

impl Engine {
    /// What is engaged, in the database and beside it.
    pub(super) fn halts(&self, org: Id<id::Org>) -> Result<Value, CommandError> {
        let directory = self.parts.directory.load_full();
        let local = self.parts.local_halts.in_force();
        let is_stored = |halt: &Halt| directory.halts.iter().any(|stored| stored.id == halt.id);
        let beside = local.iter().filter(|halt| !is_stored(halt)).map(|halt| (halt, true));
        let own = |(halt, _): &(&Halt, bool)| halt.org_id.is_none_or(|of| of == org);
        let all = directory.halts.iter().map(|halt| (halt, false)).chain(beside);
        list(all.filter(own), |(halt, local)| halt_view(halt, local))
    }

    /// The halt holds in this process at once, and is durable when this answers (C11).
    pub(super) async fn engage(
        &self,
        org: Id<id::Org>,
        new: HaltEngage,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let environment = &self.parts.environment;
        let halt = new.halt(HaltScope::Org(org), Some(org), actor, environment)?;
        let alone = self.parts.directory.load().organizations.len() == 1;
        if halt.scope == HaltScope::Global && !alone && !matches!(actor.who(), Who::Operator) {
            let detail = "Only the operator halts all organizations.".to_owned();
            return Err(CommandError::Refused { code: Code::AuthPermission, detail });
        }
        self.parts.local_halts.begin(halt.clone());
        let record = LocalRecord { halt: halt.clone(), resumed: None };
        let Err(error) = self.journal_halt(org, record).await else {
            return to_value(&halt_view(&halt, false));
        };
        tracing::error!(
            error = %error.0, halt.id = %halt.id, "a halt is kept beside the database"
        );
        self.parts.local_halts.keep(&halt, environment).map_err(|cause| {
            CommandError::Unavailable {
                detail: format!(
                    "the halt holds while this gateway runs, but could be kept neither in the \
                     database ({}) nor beside it ({cause})",
                    error.0
                ),
            }
        })?;
        to_value(&halt_view(&halt, true))
    }

    pub(super) async fn resume(
        &self,
        org: Id<id::Org>,
        text: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let id: Id<id::Halt> = parse_id(text)?;
        if let Some(halt) = self.parts.local_halts.find(id) {
            return self.resume_local(org, halt, actor).await;
        }
        let directory = self.parts.directory.load_full();
        let halt = directory
            .halts
            .iter()
            .find(|halt| halt.id == id && halt.org_id.is_none_or(|of| of == org))
            .ok_or(CommandError::NotFound)?;
        let (by, now) = (actor.name(), self.now());
        self.change(org, id, "halt.resumed", actor, json!({}), async move |tx| {
            rows::resume(tx, id, &by, now).await.map(|_| ())
        })
        .await?;
        to_value(&halt_view(halt, false))
    }

    async fn resume_local(
        &self,
        org: Id<id::Org>,
        halt: Halt,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let resumed = Resumed { by: actor.name(), at: self.now() };
        // First in the file: a halt that a person ended must not come back with a restart.
        let environment = &self.parts.environment;
        let kept = self.parts.local_halts.resume(&halt, &resumed, environment);
        let record = LocalRecord { halt: halt.clone(), resumed: Some(resumed) };
        match (self.journal_halt(org, record).await, kept) {
            (Ok(()), _) => to_value(&halt_view(&halt, false)),
            (Err(_), Ok(())) => to_value(&halt_view(&halt, true)),
            (Err(error), Err(_)) => Err(error.into()),
        }
    }

    /// Makes a halt a row and lets everybody see it, or says in time that it could not.
    async fn journal_halt(&self, org: Id<id::Org>, record: LocalRecord) -> Result<(), NotWritten> {
        let journaled = async {
            self.parts.journal_halts(org, vec![record.clone()]).await?;
            self.parts.reload().await;
            Ok(())
        };
        let late = |_| Err(NotWritten("the database did not answer in time".to_owned()));
        timeout(JOURNAL_WAIT, journaled).await.unwrap_or_else(late)?;
        self.parts.local_halts.journaled(&[record], &self.parts.environment);
        Ok(())
    }
}
