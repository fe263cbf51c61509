//! What people say to a lockdown: what becomes of positions, that their list was read, and its end.

use super::advance;
use super::status::phrase;
use crate::Engine;
use crate::actor::{Actor, Who};
use crate::book::{Book, Scope};
use crate::command::error::{CommandError, away, no};
use crate::command::{LockdownAnswer, LockdownConfirm};
use crate::effects::Effects;
use crate::journal::Urgency;
use crate::local_halt::{self, LocalRecord};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::halt::{Halt, HaltMode, HaltScope};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::lockdown::{Positions, Step};
use tradewarden_store::lockdowns::{self, Lockdown};
use tradewarden_store::{Error, Lock, Tx, directory as rows};

/// How long a lockdown holds before a person may end it, like a halt (S20).
const HOLD: Duration = Duration::from_mins(1);
/// Open positions that one entry of the log names.
const NAMED_MAX: usize = 200;

/// What a person says.
enum Said {
    Positions(Positions, Option<LocalRecord>),
    Read(Value),
    End,
}

/// What came of it.
enum Heard {
    Yes,
    Replayed,
    No(Code),
}

impl Engine {
    /// Decides what becomes of open positions. Closing them takes what a halt that closes takes.
    pub(crate) async fn answer_lockdown(
        &self,
        org: Id<id::Org>,
        answer: LockdownAnswer,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let lockdown = self.lockdown_in_force(org).await?;
        let record = match answer.positions {
            Positions::Keep => None,
            Positions::Flatten => {
                let scope = HaltScope::Org(org);
                self.may_flatten(&scope, actor)?;
                let now = self.now();
                let halt = Halt {
                    id: self.parts.environment.id(now),
                    org_id: Some(org),
                    scope,
                    mode: HaltMode::Flatten,
                    include_protective: false,
                    reason: format!("lockdown: {}", lockdown.reason),
                    engaged_by: actor.name(),
                    engaged_at: now,
                };
                Some(LocalRecord { halt, resumed: None })
            }
        };
        self.say(lockdown, Said::Positions(answer.positions, record), actor).await
    }

    /// Confirms the list of open positions, by the phrase that is shown with it.
    pub(crate) async fn confirm_lockdown(
        &self,
        org: Id<id::Org>,
        confirm: &LockdownConfirm,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let lockdown = self.lockdown_in_force(org).await?;
        if lockdown.step != Step::Confirm {
            return Err(no(Code::LockdownStep));
        }
        let open = self.open_positions(org, None).await?;
        if confirm.phrase.trim() != phrase(&open) {
            return Err(no(Code::LockdownPhrase));
        }
        let named: Vec<_> = open.iter().take(NAMED_MAX).collect();
        let list = json!({ "count": open.len().to_string(), "positions": named });
        self.say(lockdown, Said::Read(list), actor).await
    }

    /// Lets changes be made again. The halts stay until somebody resumes them.
    pub(crate) async fn end_lockdown(
        &self,
        org: Id<id::Org>,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let lockdown = self.lockdown_in_force(org).await?;
        let until = lockdown.engaged_at.plus(HOLD);
        if matches!(actor.who(), Who::Person(_)) && self.now() < until {
            let detail = format!("{} It may be at {until}.", Code::LockdownHold.meaning());
            return Err(CommandError::Refused { code: Code::LockdownHold, detail });
        }
        self.say(lockdown, Said::End, actor).await
    }

    async fn lockdown_in_force(&self, org: Id<id::Org>) -> Result<Lockdown, CommandError> {
        let found = lockdowns::in_force(&self.parts.store, org).await;
        found.map_err(|error| away(&error))?.ok_or_else(|| no(Code::LockdownNone))
    }

    /// Writes what a person says, if the lockdown waits for it, and goes on with it.
    async fn say(
        &self,
        lockdown: Lockdown,
        said: Said,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        let (org, id) = (lockdown.org_id, lockdown.id);
        let heard = self
            .parts
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                rows::lock_organizations(tx, &[org], Lock::Update).await?;
                let found = lockdowns::in_force_in(tx, org).await?;
                let Some(mut lockdown) = found.filter(|found| found.id == id) else {
                    return Ok(Heard::No(Code::LockdownNone));
                };
                if !waits_for(&lockdown, &said) {
                    return Ok(Heard::No(Code::LockdownStep));
                }
                let mut book = Book::load(tx, &shared, &Scope::default()).await?;
                if !claimant.begin(tx, book.now).await? {
                    return Ok(Heard::Replayed);
                }
                let (event, mut payload) = match &said {
                    Said::Positions(positions, record) => {
                        lockdown.positions = Some(*positions);
                        lockdown.answered_by = Some(claimant.name());
                        lockdown.answered_at = Some(book.now);
                        if let Some(record) = record {
                            local_halt::write(tx, &shared, &mut book, record).await?;
                            effects.halts = Some(rows::halts_in(tx).await?);
                            lockdown.flatten_halt_id = Some(record.halt.id);
                        }
                        ("lockdown.answered", json!({ "positions": positions }))
                    }
                    Said::Read(list) => {
                        lockdown.confirmed_by = Some(claimant.name());
                        lockdown.confirmed_at = Some(book.now);
                        ("lockdown.confirmed", list.clone())
                    }
                    Said::End => {
                        lockdown.ended_by = Some(claimant.name());
                        lockdown.ended_at = Some(book.now);
                        let was_erased = lockdown.step == Step::Done;
                        ("lockdown.ended", json!({ "access_erased": was_erased }))
                    }
                };
                lockdowns::update(tx, &lockdown).await?;
                claimant.sign(&mut payload);
                book.enter(&shared, org, id, event, &payload);
                book.write(tx, effects).await?;
                Ok::<_, Error>(Heard::Yes)
            })
            .await?;
        match heard {
            Heard::No(code) => return Err(no(code)),
            Heard::Yes => actor.carried_out(true)?,
            Heard::Replayed => actor.carried_out(false)?,
        }
        self.parts.reload().await;
        let found = lockdowns::in_force(&self.parts.store, org).await;
        if let Some(found) = found.map_err(|error| away(&error))?
            && let Err(error) = advance(&self.parts, found).await
        {
            tracing::error!(lockdown.id = %id, error = %error.0, "a lockdown waits");
        }
        self.lockdown(org).await
    }
}

fn waits_for(lockdown: &Lockdown, said: &Said) -> bool {
    match said {
        // Who is there early need not wait for the question.
        Said::Positions(..) => lockdown.step <= Step::Ask && lockdown.positions.is_none(),
        Said::Read(_) => lockdown.step == Step::Confirm && lockdown.confirmed_at.is_none(),
        Said::End => lockdown.step.may_end(),
    }
}
