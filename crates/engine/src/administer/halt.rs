//! Halts: engaged and resumed by a person, in the database or, when it does not answer, beside it.

use super::list;
use crate::Engine;
use crate::actor::{Actor, Who};
use crate::book::{Book, Scope};
use crate::command::HaltEngage;
use crate::command::error::{CommandError, away, invalid, no, parse_id, to_value};
use crate::effects::Effects;
use crate::environment::Environment;
use crate::free_text::{binds, halt_reason};
use crate::incarnation::is_of_restore;
use crate::journal::{NotWritten, Urgency};
use crate::local_halt::{JOURNAL_WAIT, LocalRecord, Resumed};
use crate::reads::halt_view;
use crate::view::{HaltProgressView, HaltView};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tradewarden_domain::code::Code;
use tradewarden_domain::halt::{Halt, HaltMode, HaltScope};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::permission::Permission;
use tradewarden_store::{Tx, directory as rows, halt_progress};

/// How long a halt holds before a person may end it (S20).
const HALT_HOLD: Duration = Duration::from_mins(1);
const REASON_BYTES_MAX: usize = 256;
/// Halts of something smaller than an account that one caller has engaged at a time.
const NARROW_MAX: usize = 500;

impl HaltEngage {
    /// The halt that is asked for. `scope` is what it covers if it names none, or the caller's
    /// organization (`org`); `org` owns it, where that is known.
    pub fn halt(
        self,
        scope: HaltScope,
        org: Option<Id<id::Org>>,
        actor: &Actor,
        environment: &Environment,
    ) -> Result<Halt, CommandError> {
        let scope = match self.scope.as_deref() {
            None | Some("org") => scope,
            Some(text) => {
                text.parse::<HaltScope>().map(HaltScope::without_exchange).map_err(|_| {
                    invalid(
                        "scope",
                        &"must be global, org, org:ID, account:ID, strategy:ID, webhook:ID, \
                      key:ID, instrument:SYMBOL or pair:ACCOUNT/SYMBOL",
                    )
                })?
            }
        };
        if let HaltScope::Instrument(symbol) | HaltScope::Pair(_, symbol) = &scope {
            binds(symbol)?;
        }
        let reason = self.reason.unwrap_or_else(|| "no reason was given".to_owned());
        if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
            return Err(invalid("reason", &"must be at most 256 printable characters"));
        }
        let reason = halt_reason(reason);
        let now = environment.now();
        Ok(Halt {
            id: environment.id(now),
            org_id: org.filter(|_| scope != HaltScope::Global),
            scope,
            mode: self.mode.unwrap_or(HaltMode::Block),
            include_protective: self.include_protective,
            reason,
            engaged_by: actor.name(),
            engaged_at: now,
        })
    }
}

impl Engine {
    /// What is engaged, in the database and beside it.
    pub(super) fn halts(&self, actor: &Actor) -> Result<Value, CommandError> {
        let directory = self.parts.directory.load_full();
        let local = self.parts.local_halts.in_force();
        let is_stored = |halt: &Halt| directory.halts.iter().any(|stored| stored.id == halt.id);
        let local = local.iter().chain(directory.seals.halts());
        let beside = local.filter(|halt| !is_stored(halt)).map(|halt| (halt, true));
        let own = |(halt, _): &(&Halt, bool)| self.knows(halt, actor);
        let all = directory.halts.iter().map(|halt| (halt, false)).chain(beside);
        list(all.filter(own), |(halt, local)| halt_view(halt, local))
    }

    /// The halt holds in this process at once, and is durable when this answers (C11).
    pub(super) async fn engage(
        &self,
        new: HaltEngage,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let environment = &self.parts.environment;
        // An operator who names neither organization nor scope means everything.
        let org = self.org_of(actor).ok();
        let scope = org.map_or(HaltScope::Global, HaltScope::Org);
        let halt = new.halt(scope, org, actor, environment)?;
        let halt = self.owned(halt, org, actor)?;
        self.is_within(&halt.scope, actor)?;
        if halt.mode == HaltMode::Flatten {
            self.may_flatten(&halt.scope, actor)?;
        } else {
            actor.allowed(&[Permission::HaltEngage])?;
        }
        self.has_room(&halt, actor)?;
        self.parts.local_halts.begin(halt.clone());
        let before = self.engaged_before(&halt, actor).await;
        if !matches!(before, Ok(None)) {
            self.parts.local_halts.forget(&halt);
        }
        if let Some(before) = before? {
            return to_value(&halt_view(&before, false));
        }
        let record = LocalRecord { halt: halt.clone(), resumed: None };
        let error = match self.journal_halt(record, actor).await {
            Ok(true) => return to_value(&halt_view(&halt, false)),
            Ok(false) => {
                self.parts.local_halts.forget(&halt);
                return Err(no(Code::Unauthenticated));
            }
            Err(error) => error,
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

    /// What this caller engaged before, as wide and as far, if it is in force still: then there is
    /// nothing to add. While the database does not answer, each is a halt of its own.
    async fn engaged_before(
        &self,
        halt: &Halt,
        actor: &Actor,
    ) -> Result<Option<Halt>, CommandError> {
        if !self.parts.directory.load().halts.iter().any(|known| is_same(known, halt)) {
            return Ok(None);
        }
        let (wanted, claimant, now) = (halt.clone(), actor.clone(), self.now());
        let looked = self.parts.journal.write(
            Urgency::Now,
            async move |tx: &mut Tx<'_>, _: &mut Effects| {
                // Somebody may have ended it a moment ago: what counts is what is stored.
                let engaged = rows::halts_in(tx).await?;
                match engaged.into_iter().find(|known| is_same(known, &wanted)) {
                    Some(same) => Ok(Some((same, claimant.begin(tx, now).await?))),
                    None => Ok(None),
                }
            },
        );
        match timeout(JOURNAL_WAIT, looked).await {
            Ok(Ok(Some((same, claimed)))) => {
                actor.carried_out(claimed)?;
                Ok(Some(same))
            }
            Ok(Ok(None) | Err(_)) | Err(_) => Ok(None),
        }
    }

    /// Whether a caller may engage one more halt. Every transaction reads them all, so that those of
    /// single things are bounded; whoever has so many stops an account or the organization, which is
    /// never refused.
    fn has_room(&self, halt: &Halt, actor: &Actor) -> Result<(), CommandError> {
        let is_narrow = |scope: &HaltScope| {
            !matches!(scope, HaltScope::Global | HaltScope::Org(_) | HaltScope::Account(_))
        };
        let directory = self.parts.directory.load();
        let own = |known: &&Halt| known.engaged_by == halt.engaged_by && is_narrow(&known.scope);
        let is_there = || directory.halts.iter().any(|known| is_same(known, halt));
        let local = self.parts.local_halts.in_force();
        let count = directory.halts.iter().chain(local.iter()).filter(own).count();
        if matches!(actor.who(), Who::Operator)
            || !is_narrow(&halt.scope)
            || count < NARROW_MAX
            || is_there()
        {
            return Ok(());
        }
        let detail = format!(
            "{NARROW_MAX} halts of single things are engaged by this caller: halt the account or \
             the organization, or end some of them"
        );
        Err(invalid("scope", &detail))
    }

    /// One halt, engaged or ended, with how far it has come.
    pub(super) async fn halt(&self, text: &str, actor: &Actor) -> Result<Value, CommandError> {
        let id: Id<id::Halt> = parse_id(text)?;
        if let Some(halt) = self.parts.local_halts.find(id)
            && self.knows(&halt, actor)
        {
            return to_value(&halt_view(&halt, true));
        }
        let store = &self.parts.store;
        let found = rows::find_halt(store, id).await.map_err(|error| away(&error))?;
        let found = found.filter(|(halt, _)| self.knows(halt, actor));
        let (halt, resumed) = found.ok_or(CommandError::NotFound)?;
        // How many orders of all accounts it took back is told to who may know of all of them.
        let is_wide =
            matches!(halt.scope, HaltScope::Global | HaltScope::Org(_) | HaltScope::Instrument(_));
        let progress = if halt.mode.cancels() && (actor.reaches_all() || !is_wide) {
            Some(halt_progress::of(store, id).await.map_err(|error| away(&error))?)
        } else {
            None
        };
        let (resumed_by, resumed_at) = resumed.unzip();
        to_value(&HaltView {
            resumed_by,
            resumed_at,
            progress: progress.map(HaltProgressView::from),
            ..halt_view(&halt, false)
        })
    }

    pub(super) async fn resume(&self, text: &str, actor: &Actor) -> Result<Value, CommandError> {
        let id: Id<id::Halt> = parse_id(text)?;
        let (halt, is_local) = self.engaged(id, actor).await?;
        self.may_end(&halt, actor)?;
        if is_local {
            return self.resume_local(halt, actor).await;
        }
        let (by, now) = (actor.name(), self.now());
        let resumed_by = Some(by.clone());
        let (shared, claimant, ended) = (Arc::clone(&self.parts), actor.clone(), halt.clone());
        let claimed = self
            .parts
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                if !claimant.begin(tx, now).await? {
                    return Ok(false);
                }
                if rows::resume(tx, id, &by, now).await? {
                    let mut book = Book::load(tx, &shared, &Scope::default()).await?;
                    effects.halts = Some(rows::halts_in(tx).await?);
                    let mut payload = json!({});
                    claimant.sign(&mut payload);
                    for org in shared.concerned(&ended) {
                        book.enter(&shared, org, id, "halt.resumed", &payload);
                    }
                    book.write(tx, effects).await?;
                }
                Ok(true)
            })
            .await?;
        actor.carried_out(claimed)?;
        self.parts.reload().await;
        to_value(&HaltView { resumed_by, resumed_at: Some(now), ..halt_view(&halt, false) })
    }

    /// The organization in which the end of a halt is decided: its own, where it has one.
    pub(super) async fn org_of_halt(
        &self,
        text: &str,
        actor: &Actor,
    ) -> Result<Id<id::Org>, CommandError> {
        let (halt, _) = self.engaged(parse_id(text)?, actor).await?;
        let own = actor.org().or_else(|| self.parts.owner_of(&halt));
        own.or_else(|| self.org_id()).ok_or(CommandError::NotFound)
    }

    /// A halt that is engaged and that the actor may know of, and whether it is kept beside the database.
    async fn engaged(&self, id: Id<id::Halt>, actor: &Actor) -> Result<(Halt, bool), CommandError> {
        let known = |halt: &Halt| self.knows(halt, actor);
        if let Some(halt) = self.parts.local_halts.find(id).filter(known) {
            return Ok((halt, true));
        }
        let directory = self.parts.directory.load_full();
        if let Some(halt) = directory.halts.iter().find(|halt| halt.id == id && known(halt)) {
            return Ok((halt.clone(), false));
        }
        let found = rows::find_halt(&self.parts.store, id).await.map_err(|error| away(&error))?;
        match found.filter(|(halt, _)| known(halt)) {
            Some((_, Some((by, at)))) => {
                let detail = format!("The halt was ended by {by} at {at}.");
                Err(CommandError::Refused { code: Code::HaltEnded, detail })
            }
            _ => Err(CommandError::NotFound),
        }
    }

    /// Whether the actor may know of a halt.
    fn knows(&self, halt: &Halt, actor: &Actor) -> bool {
        self.parts.is_about(halt, actor.org())
            && self.parts.directory.load().knows(actor, &halt.scope)
    }

    /// Whether what a halt would cover is the actor's to stop, or why not. What the actor may not
    /// know of is not there.
    fn is_within(&self, scope: &HaltScope, actor: &Actor) -> Result<(), CommandError> {
        let directory = self.parts.directory.load();
        if directory.is_within(actor, scope) {
            return Ok(());
        }
        if !directory.knows(actor, scope) {
            return Err(CommandError::NotFound);
        }
        let detail = "A key for some accounts or instruments halts what lies within them: name one \
                      of its accounts, a pair of account and instrument, a strategy or webhook, or \
                      the key itself.";
        Err(CommandError::Refused { code: Code::AuthPermission, detail: detail.to_owned() })
    }

    /// The halt with its owner, if it is the actor's to engage.
    fn owned(
        &self,
        halt: Halt,
        org: Option<Id<id::Org>>,
        actor: &Actor,
    ) -> Result<Halt, CommandError> {
        let owner = match &halt.scope {
            HaltScope::Global => {
                self.may_stop_everybody(actor)?;
                None
            }
            HaltScope::Instrument(_) => org,
            _ => {
                let owner = self.parts.owner_of(&Halt { org_id: None, ..halt.clone() });
                let own = owner.filter(|owner| actor.org().is_none_or(|org| org == *owner));
                Some(own.ok_or(CommandError::NotFound)?)
            }
        };
        Ok(Halt { org_id: owner, ..halt })
    }

    /// Closing positions takes a key that may, or a person who showed a factor a moment ago (C11).
    pub(crate) fn may_flatten(&self, scope: &HaltScope, actor: &Actor) -> Result<(), CommandError> {
        match actor.who() {
            Who::Key(_) => actor.allowed(&[Permission::HaltFlatten])?,
            Who::Operator | Who::Person(_) => actor.fresh(self.now())?,
        }
        let HaltScope::Key(id) = scope else { return Ok(()) };
        let directory = self.parts.directory.load();
        if let Some(strategy) = directory.keys.get(id).and_then(|known| known.key.strategy_id) {
            // All that its strategy holds is closed, on every account.
            return self.is_within(&HaltScope::Strategy(strategy), actor);
        }
        // What a key holds without a strategy cannot be told from what others hold.
        Err(invalid("scope", &"of a key without a strategy: halt its account or use mode cancel"))
    }

    fn may_stop_everybody(&self, actor: &Actor) -> Result<(), CommandError> {
        let alone = self.parts.directory.load().organizations.len() == 1;
        if alone || matches!(actor.who(), Who::Operator) {
            return Ok(());
        }
        let detail = "Only the operator halts all organizations.".to_owned();
        Err(CommandError::Refused { code: Code::AuthPermission, detail })
    }

    /// A person may end a halt after its hold; whoever holds the data directory, at once. A halt of
    /// several organizations is not one's to end.
    fn may_end(&self, halt: &Halt, actor: &Actor) -> Result<(), CommandError> {
        if self.parts.owner_of(halt).is_none() {
            self.may_stop_everybody(actor)?;
        }
        let until = halt.engaged_at.plus(HALT_HOLD);
        if matches!(actor.who(), Who::Person(_)) && self.now() < until {
            let detail = format!("{} It ends at {until}.", Code::HaltHold.meaning());
            return Err(CommandError::Refused { code: Code::HaltHold, detail });
        }
        if is_of_restore(halt)
            && let Some(left) = self.parts.not_compared()
        {
            let detail = format!("{} {left}", Code::HaltUnreconciled.meaning());
            return Err(CommandError::Refused { code: Code::HaltUnreconciled, detail });
        }
        Ok(())
    }

    /// Whether the halt is engaged and may be ended now, by a person's word.
    pub(crate) async fn may_be_resumed(
        &self,
        text: &str,
        actor: &Actor,
    ) -> Result<(), CommandError> {
        let (halt, _) = self.engaged(parse_id(text)?, actor).await?;
        self.may_end(&halt, actor)
    }

    async fn resume_local(&self, halt: Halt, actor: &Actor) -> Result<Value, CommandError> {
        let resumed = Resumed { by: actor.name(), at: self.now() };
        // First in the file: a halt that a person ended must not come back with a restart.
        let environment = &self.parts.environment;
        let kept = self.parts.local_halts.resume(&halt, &resumed, environment);
        let record = LocalRecord { halt: halt.clone(), resumed: Some(resumed) };
        match (self.journal_halt(record, actor).await, kept) {
            (Ok(false), _) => Err(no(Code::Unauthenticated)),
            (Ok(true), _) => to_value(&halt_view(&halt, false)),
            (Err(_), Ok(())) => to_value(&halt_view(&halt, true)),
            (Err(error), Err(_)) => Err(error.into()),
        }
    }

    /// Makes a halt a row and lets everybody see it, or says in time that it could not. A no is
    /// [`Actor::claim`]'s: the request was carried out before.
    async fn journal_halt(&self, record: LocalRecord, actor: &Actor) -> Result<bool, NotWritten> {
        let journaled = async {
            let claimed = self.parts.journal_halts(vec![record.clone()], Some(actor)).await?;
            self.parts.reload().await;
            Ok(claimed)
        };
        let late = |_| Err(NotWritten("the database did not answer in time".to_owned()));
        let claimed = timeout(JOURNAL_WAIT, journaled).await.unwrap_or_else(late)?;
        if claimed {
            self.parts.local_halts.journaled(&[record], &self.parts.environment);
        }
        Ok(claimed)
    }
}

/// Whether the same caller asked for the same. What somebody else engaged, or a rule, ends apart.
fn is_same(known: &Halt, halt: &Halt) -> bool {
    known.org_id == halt.org_id
        && known.scope == halt.scope
        && known.mode == halt.mode
        && known.include_protective == halt.include_protective
        && known.engaged_by == halt.engaged_by
}
