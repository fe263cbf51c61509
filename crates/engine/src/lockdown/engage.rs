//! Engaging a lockdown, and what it keeps from being changed.

use super::advance;
use crate::actor::Actor;
use crate::book::{Book, Scope};
use crate::command::error::{CommandError, away, invalid, no};
use crate::command::{Command, Freeze, LockdownEngage};
use crate::effects::{Effects, Severity};
use crate::free_text::halt_reason;
use crate::journal::{NotWritten, Urgency};
use crate::local_halt::{self, JOURNAL_WAIT, LocalRecord};
use crate::orders::live;
use crate::people::set_mark;
use crate::profit::by_symbol;
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::time::timeout;
use tradewarden_domain::code::Code;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::halt::{Halt, HaltMode, HaltScope};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::lockdown::Step;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::person::ChallengeKind;
use tradewarden_store::lockdowns::{self, Lockdown};
use tradewarden_store::{Lock, Tx, challenges, directory as rows, exposures, invitations};

const REASON_BYTES_MAX: usize = 200;
/// Open orders and positions that the log names; an entry has 48 KiB (C15).
const ORDERS_NAMED_MAX: usize = 400;
const POSITIONS_NAMED_MAX: usize = 150;

/// What became of a lockdown that was asked for.
enum Begun {
    Yes,
    /// One was in force already.
    Before,
    /// The signed request was carried out before.
    Replayed,
}

impl Engine {
    /// Halts new risk in this process at once, then goes on as far as nobody has to be waited for. To
    /// ask again changes nothing.
    pub(crate) async fn engage_lockdown(
        &self,
        org: Id<id::Org>,
        new: LockdownEngage,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let reason = new.reason;
        if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
            return Err(invalid("reason", &"must be at most 200 printable characters"));
        }
        let reason = halt_reason(reason);
        let (environment, now) = (&self.parts.environment, self.now());
        let halt = Halt {
            id: environment.id(now),
            org_id: Some(org),
            scope: HaltScope::Org(org),
            // What only reduces passes: nobody is kept from closing (S18).
            mode: HaltMode::ReduceOnly,
            include_protective: false,
            reason: format!("lockdown: {reason}"),
            engaged_by: actor.name(),
            engaged_at: now,
        };
        let lockdown = Lockdown {
            id: environment.id(now),
            org_id: org,
            halt_id: halt.id,
            reason,
            engaged_by: actor.name(),
            engaged_at: now,
            step: Step::EndAccess,
            step_at: now,
            positions: None,
            answered_by: None,
            answered_at: None,
            flatten_halt_id: None,
            confirmed_by: None,
            confirmed_at: None,
            ended_by: None,
            ended_at: None,
        };
        self.parts.local_halts.begin(halt.clone());
        let record = LocalRecord { halt: halt.clone(), resumed: None };
        let writing = write(&self.parts, lockdown.clone(), record.clone(), actor);
        let late = |_| Err(NotWritten("the database did not answer in time".to_owned()));
        match timeout(JOURNAL_WAIT, writing).await.unwrap_or_else(late) {
            Ok(Begun::Yes) => {
                self.parts.reload().await;
                self.parts.local_halts.journaled(&[record], environment);
            }
            Ok(Begun::Before) => self.parts.local_halts.forget(&halt),
            Ok(Begun::Replayed) => {
                self.parts.local_halts.forget(&halt);
                return Err(no(Code::Unauthenticated));
            }
            Err(error) => return Err(self.halted_only(&halt, &error)),
        }
        // Whatever fails from here on is gone on with by the background task.
        let found = lockdowns::in_force(&self.parts.store, org).await;
        if let Some(found) = found.map_err(|error| away(&error))?
            && let Err(error) = advance(&self.parts, found).await
        {
            tracing::error!(lockdown.id = %lockdown.id, error = %error.0, "a lockdown waits");
        }
        self.lockdown(org).await
    }

    /// Without the database there is a halt, and no more than that.
    fn halted_only(&self, halt: &Halt, error: &NotWritten) -> CommandError {
        tracing::error!(
            error = %error.0, halt.id = %halt.id,
            "a lockdown was not journaled: its halt is kept beside the database"
        );
        let kept = self.parts.local_halts.keep(halt, &self.parts.environment);
        let how =
            if kept.is_ok() { "is kept beside the database" } else { "is kept in memory only" };
        let detail = format!(
            "New risk is halted, and the halt {how}; the database did not take the lockdown ({}). \
             Ask again once it answers.",
            error.0
        );
        CommandError::Unavailable { detail }
    }

    /// Whether a command may be carried out although a lockdown may be in force.
    pub(crate) async fn passes_lockdown(
        &self,
        org: Id<id::Org>,
        command: &Command,
    ) -> Result<(), CommandError> {
        let is_frozen = match command.freeze() {
            Freeze::Passes => false,
            Freeze::Frozen => true,
            Freeze::IfLooser => self.loosens_limits(org, command),
        };
        if is_frozen { self.is_open(org).await } else { Ok(()) }
    }

    /// Whether an organization is not locked down.
    pub(crate) async fn is_open(&self, org: Id<id::Org>) -> Result<(), CommandError> {
        let found = lockdowns::in_force(&self.parts.store, org).await;
        match found.map_err(|error| away(&error))? {
            None => Ok(()),
            Some(_) => Err(no(Code::LockdownActive)),
        }
    }
}

/// What was open when a lockdown began, for its entry in the log.
#[derive(Default)]
struct AtStart {
    orders: Vec<Id<id::Order>>,
    /// Account, instrument and signed quantity.
    positions: Vec<(Id<id::Account>, Symbol, Quantity)>,
}

impl AtStart {
    /// As far as the entry has room for it. What cannot be read holds nothing up.
    async fn of(shared: &Shared, org: Id<id::Org>) -> Self {
        let live = live::of(&shared.store, Some(org)).await.unwrap_or_default();
        let orders = live.iter().map(|order| order.id).take(ORDERS_NAMED_MAX).collect();
        let mut positions = Vec::new();
        let directory = shared.directory.load_full();
        for account in directory.accounts.values().filter(|account| account.org_id == org) {
            let all = exposures::of_account(&shared.store, account.id).await.unwrap_or_default();
            for (symbol, parts) in by_symbol(all) {
                let sum = parts.iter().fold(Exposure::default(), |sum, (_, part)| sum.and(part));
                if !sum.quantity.is_zero() && positions.len() < POSITIONS_NAMED_MAX {
                    positions.push((account.id, symbol, sum.quantity));
                }
            }
        }
        Self { orders, positions }
    }
}

/// Makes halt and lockdown rows in one transaction, with their entries and alerts.
async fn write(
    shared: &Arc<Shared>,
    lockdown: Lockdown,
    record: LocalRecord,
    actor: &Actor,
) -> Result<Begun, NotWritten> {
    let at_start = AtStart::of(shared, lockdown.org_id).await;
    let (inner, claimant) = (Arc::clone(shared), actor.clone());
    let begun = shared
        .journal
        .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            let (org, id) = (lockdown.org_id, lockdown.id);
            // No `sending` commit can be between this lock and this commit (C11).
            rows::lock_organizations(tx, &[org], Lock::Update).await?;
            let mut book = Book::load(tx, &inner, &Scope::default()).await?;
            let is_before = lockdowns::in_force_in(tx, org).await?.is_some();
            if !claimant.begin(tx, book.now).await? {
                return Ok(Begun::Replayed);
            }
            if is_before {
                return Ok(Begun::Before);
            }
            local_halt::write(tx, &inner, &mut book, &record).await?;
            // Whoever is in may have prepared a way back: nobody joins, and no password is set, by
            // what was handed out before.
            let invitations = invitations::void_of_organization(tx, org).await?;
            let kind = ChallengeKind::Password;
            let password_tokens = challenges::void_of_organization(tx, org, kind).await?;
            set_mark(tx, &inner.environment).await?;
            lockdowns::insert(tx, &lockdown).await?;
            lockdowns::count(tx, id, Step::Halt, lockdown.engaged_at, (1, 0)).await?;
            let note = format!("halt {} refuses what adds risk", lockdown.halt_id);
            lockdowns::finish(tx, id, Step::Halt, book.now, &note).await?;
            let mut payload = json!({
                "halt_id": lockdown.halt_id, "reason": lockdown.reason.as_str(),
                "orders": at_start.orders, "positions": at_start.positions,
                "voided_invitations": invitations.to_string(),
                "voided_password_tokens": password_tokens.to_string(),
            });
            claimant.sign(&mut payload);
            book.enter(&inner, org, id, "lockdown.engaged", &payload);
            let payload = json!({ "next": lockdown.step, "note": note, "step": Step::Halt });
            book.enter(&inner, org, id, "lockdown.step_done", &payload);
            let detail = format!(
                "{} locked the organization down: {}. Sessions and API keys end now.",
                lockdown.engaged_by, lockdown.reason
            );
            let critical = Severity::Critical;
            book.find(&inner, org, "lockdown.engaged", critical, id.to_string(), detail);
            effects.halts = Some(rows::halts_in(tx).await?);
            book.write(tx, effects).await?;
            Ok(Begun::Yes)
        })
        .await?;
    actor.is_written();
    Ok(begun)
}
