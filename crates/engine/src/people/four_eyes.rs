//! Four eyes: what an organization lets nobody do alone waits here for another person.
//!
//! The command is stored as it was given, and carried out as its author's once somebody else, with a
//! factor that was shown a moment ago, confirms it; both names are in the entry. It is decided before
//! it is carried out: a crash in between leaves it undone, never done twice.

use super::manage::member;
use super::roles::FOUR_EYES;
use super::{parse_id, person_of};
use crate::actor::{Actor, Who};
use crate::book::Book;
use crate::command::error::{CommandError, away, invalid, no};
use crate::command::{
    AccountChanges, ById, Change, Command, LimitDelete, LimitNamed, LimitSet, LimitsImport,
    PolicySet, RateSet, UserChange, loosens_days,
};
use crate::effects::Severity;
use crate::{Engine, row_code};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::account::Activity;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::limit::{LimitName, LimitScope};
use tradewarden_domain::permission::Permission;
use tradewarden_domain::person::Decision;
use tradewarden_domain::policy::LimitChange;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::Tx;
use tradewarden_store::pending::{self, PendingRow};
use tradewarden_store::rates;

/// How long an action waits.
const WAITS: Duration = Duration::from_mins(15);
/// What stands in for the second person where there is none (S20).
const TIME_LOCK: Duration = Duration::from_mins(10);
const PENDING: &str = "pending";
/// The policy under which whatever lets more be traded waits for a second person.
pub(crate) const FOUR_EYES_OF_LIMITS: &str = "four_eyes.limit_override";
/// How far a rate of exchange moves without a second person, in percent of the one before.
const RATE_MOVES_PERCENT: u128 = 5;
/// The policy under which the end of a halt waits.
const HALT_RESUME: &str = "four_eyes.halt_resume";
/// The policy under which whatever makes an administrator waits.
const ADMIN_GRANT: &str = "four_eyes.admin_grant";
/// With which permission what waits under a policy is confirmed.
const CONFIRMED_WITH: [(&str, Permission); 3] = [
    (HALT_RESUME, Permission::HaltResume),
    (FOUR_EYES_OF_LIMITS, Permission::LimitsManage),
    (ADMIN_GRANT, Permission::UsersManage),
];

/// Whether an answer says that the command waits for a second person.
pub fn is_pending(answer: &Value) -> bool {
    answer.get("status").and_then(Value::as_str) == Some(PENDING)
        && answer.get("pending_id").is_some()
}

impl Engine {
    /// Lets a command wait, if its organization wants two people for it; `None` if it may go on.
    /// Whoever holds the data directory is not held up: that person could change the policy, too.
    pub(crate) async fn held_for_two(
        &self,
        org: Id<id::Org>,
        command: &Command,
        actor: &Actor,
    ) -> Result<Option<Value>, CommandError> {
        let Who::Person(person) = actor.who() else { return Ok(None) };
        let found = match command {
            Command::RateSet(rate) => self.moved_rate(org, rate).await?,
            command => self.two_for(org, command),
        };
        let Some((policy, summary)) = found else { return Ok(None) };
        let principals = self.parts.people.principals.load_full();
        if actor.second().is_some() || principals.policy(org, policy) != Some("on") {
            return Ok(None);
        }
        actor.fresh(self.now())?;
        if matches!(command, Command::UserCreate(new) if new.password.is_some()) {
            return Err(invalid("password", &"leave it out: the person sets it by invitation"));
        }
        let now = self.now();
        let mut row = PendingRow {
            code: [0; 32],
            id: self.parts.environment.id(now),
            org_id: org,
            command: serde_json::to_string(command).map_err(|_| CommandError::Unavailable {
                detail: "the command could not be stored".to_owned(),
            })?,
            summary,
            requested_by: person.user_id,
            requested_at: now,
            expires_at: now.plus(WAITS),
        };
        row.code = row_code::of_pending(&self.parts.row_sealer, &row);
        let view = view(&row);
        let mut payload = json!({ "policy": policy, "summary": row.summary });
        actor.sign(&mut payload);
        let shared = Arc::clone(&self.parts);
        self.parts
            .note_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                pending::insert(tx, &row).await?;
                book.enter(&shared, org, row.id, "pending.requested", &payload);
                Ok(())
            })
            .await?;
        Ok(Some(view))
    }

    /// The policy that a command falls under, and the command in a few words.
    fn two_for(&self, org: Id<id::Org>, command: &Command) -> Option<(&'static str, String)> {
        match command {
            Command::HaltResume(halt) => Some((HALT_RESUME, format!("resume halt {}", halt.id))),
            Command::LockdownEnd => Some((HALT_RESUME, "end the lockdown".to_owned())),
            Command::LimitSet(LimitSet { scope, name, value, .. }) => {
                let loosens = self.loosens(org, scope, *name, Some(value.units()));
                let summary = || format!("set limit {name} of {scope} to {value}");
                loosens.then(|| (FOUR_EYES_OF_LIMITS, summary()))
            }
            Command::LimitDelete(LimitDelete { limit: LimitNamed { scope, name }, .. }) => {
                let loosens = self.loosens(org, scope, *name, None);
                loosens.then(|| (FOUR_EYES_OF_LIMITS, format!("delete limit {name} of {scope}")))
            }
            Command::AccountChange(change) => self.moved_days(org, change),
            Command::LimitsImport(import) if !import.dry_run => {
                let (changes, loosening) = self.imported(org, import)?;
                let summary =
                    || format!("import limits: {changes} changes, {loosening} of them loosen");
                (loosening > 0).then(|| (FOUR_EYES_OF_LIMITS, summary()))
            }
            Command::UserCreate(new) if self.is_admin_role(org, &new.role) => {
                Some((ADMIN_GRANT, format!("add a person as {}", new.role)))
            }
            Command::UserChange(change) => self.grant(org, change),
            // Where one person could switch it off, one person would be enough for everything.
            Command::PolicySet(PolicySet { name, value }) if value == "off" => {
                let policy = FOUR_EYES.into_iter().find(|policy| *policy == name.as_str())?;
                Some((policy, format!("set the policy {name} to {value}")))
            }
            Command::UserResetPassword(ById { id }) => {
                self.reset(org, id, "have the password set anew of")
            }
            Command::UserResetFactors(ById { id }) => {
                self.reset(org, id, "take away the second factors of")
            }
            _ => None,
        }
    }

    /// Giving a role that may manage people, to whom is there or is invited, or letting in again who
    /// has one. Of whom nobody knows the role decides: they may be invited a moment later.
    fn grant(&self, org: Id<id::Org>, change: &UserChange) -> Option<(&'static str, String)> {
        let known = self.role_of(org, &change.id);
        let (who, held) = known.unwrap_or_else(|| ("somebody".to_owned(), String::new()));
        let (role, summary) = match (change.role.as_deref(), change.state) {
            (Some(role), _) => (role, format!("make {who} {role}")),
            (None, Some(Activity::Active)) => {
                (held.as_str(), format!("let {who} in again as {held}"))
            }
            (None, _) => return None,
        };
        self.is_admin_role(org, role).then_some((ADMIN_GRANT, summary))
    }

    /// Other days of trading by which more may be lost of what an account may lose.
    fn moved_days(
        &self,
        org: Id<id::Org>,
        change: &Change<AccountChanges>,
    ) -> Option<(&'static str, String)> {
        let (directory, now) = (self.parts.directory.load(), self.now());
        let account = directory.accounts.get(&change.id.parse().ok()?)?;
        let days = change.changes.days(&account.days, now)?;
        let loosens = account.org_id == org && loosens_days(&account.days, &days, now);
        let summary = || format!("change the days of trading of {}", account.id);
        loosens.then(|| (FOUR_EYES_OF_LIMITS, summary()))
    }

    /// Whoever resets what somebody logs in with could log in as them, and be the second person: it
    /// falls under the first policy in force under which they could confirm.
    fn reset(&self, org: Id<id::Org>, name: &str, what: &str) -> Option<(&'static str, String)> {
        let (who, role) = self.role_of(org, name)?;
        let principals = self.parts.people.principals.load();
        let held = principals.permissions(org, &role)?;
        let (policy, _) = CONFIRMED_WITH.into_iter().find(|(policy, permission)| {
            held.has(*permission) && principals.policy(org, policy) == Some("on")
        })?;
        Some((policy, format!("{what} {who}")))
    }

    /// The identifier and the role of who is invited or there. An e-mail has no place in the audit
    /// log.
    fn role_of(&self, org: Id<id::Org>, name: &str) -> Option<(String, String)> {
        let principals = self.parts.people.principals.load();
        if let Some(invited) = principals.invited(org, name, self.now()) {
            return Some((invited.id.to_string(), invited.role.clone()));
        }
        let id = member(&principals, org, name).ok()?;
        let member = principals.members.get(&(org, id))?;
        Some((id.to_string(), member.role.clone()))
    }

    /// What is said of a currency decides how much of it fits under a limit. A rate that is about the
    /// one before, whether that has ended or not, needs no second person.
    async fn moved_rate(
        &self,
        org: Id<id::Org>,
        rate: &RateSet,
    ) -> Result<Option<(&'static str, String)>, CommandError> {
        let known = rates::of_org(&self.parts.store, org).await.map_err(|error| away(&error))?;
        let is_about = |before: i128, after: i128| {
            after.abs_diff(before).saturating_mul(100 / RATE_MOVES_PERCENT) <= before.unsigned_abs()
        };
        let mut known = known.iter().filter(|one| one.base == rate.base && one.quote == rate.quote);
        let after = i128::from(rate.rate.units());
        if known.any(|before| is_about(i128::from(before.rate.units()), after)) {
            return Ok(None);
        }
        let RateSet { base, quote, rate, .. } = rate;
        Ok(Some((FOUR_EYES_OF_LIMITS, format!("say that one {base} is {rate} {quote}"))))
    }

    /// Whether a command lets more be traded by its limits.
    pub(crate) fn loosens_limits(&self, org: Id<id::Org>, command: &Command) -> bool {
        let found = self.two_for(org, command);
        found.is_some_and(|(policy, _)| policy == FOUR_EYES_OF_LIMITS)
    }

    /// Whether a role lets its holder change people.
    fn is_admin_role(&self, org: Id<id::Org>, role: &str) -> bool {
        let principals = self.parts.people.principals.load();
        principals
            .permissions(org, role)
            .is_some_and(|permissions| permissions.has(Permission::UsersManage))
    }

    /// Whether more may be traded once a limit is `after`; `None` is none.
    fn loosens(&self, org: Id<id::Org>, scope: &str, name: LimitName, after: Option<i64>) -> bool {
        let Ok(scope) = LimitScope::read(scope, org) else { return false };
        let policy = self.policy_in_force(org);
        let before = policy.value(&scope, name);
        policy.is_loosened_by(&LimitChange { scope, name, before, after })
    }

    /// How many limits an import changes, and how many of these changes let more be traded.
    fn imported(&self, org: Id<id::Org>, import: &LimitsImport) -> Option<(usize, usize)> {
        let policy = self.policy_in_force(org);
        let changes = policy.changes_to(&import.policy().ok()?);
        let loosening = changes.iter().filter(|change| policy.is_loosened_by(change)).count();
        Some((changes.len(), loosening))
    }

    pub(crate) async fn pending(&self, org: Id<id::Org>) -> Result<Value, CommandError> {
        let rows = self.whole_rows(org).await?;
        let items: Vec<Value> = rows.iter().map(view).collect();
        Ok(json!({ "items": items, "next": null }))
    }

    async fn waiting(&self, org: Id<id::Org>, id: &str) -> Result<PendingRow, CommandError> {
        let id: Id<id::Pending> = parse_id(id)?;
        let mut rows = self.whole_rows(org).await?.into_iter();
        rows.find(|row| row.id == id).ok_or(CommandError::NotFound)
    }

    /// What waits, as it was asked for: what was put in or changed past the gateway is not there, and
    /// people are told.
    async fn whole_rows(&self, org: Id<id::Org>) -> Result<Vec<PendingRow>, CommandError> {
        let rows = pending::open(&self.parts.store, org, self.now()).await;
        let rows = rows.map_err(|error| away(&error))?;
        let sealer = &self.parts.row_sealer;
        let is_whole = |row: &PendingRow| row.code == row_code::of_pending(sealer, row);
        let (whole, changed): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_whole);
        for row in changed {
            let detail = "An action that waits for a second person was changed past the gateway: it \
                          cannot be confirmed.";
            let (subject, detail) = (row.id.to_string(), detail.to_owned());
            self.parts.tell(org, "row.mismatch", Severity::Critical, subject, detail).await;
        }
        Ok(whole)
    }

    pub(crate) async fn confirm_pending(
        &self,
        org: Id<id::Org>,
        id: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let row = self.waiting(org, id).await?;
        let confirmer = person_of(actor)?;
        let command: Command = serde_json::from_str(&row.command)
            .map_err(|_| CommandError::Unavailable { detail: "it is unreadable".to_owned() })?;
        actor.check(command.needs(), self.now())?;
        if confirmer.user_id == row.requested_by {
            self.may_wait_instead(org, row.requested_at)?;
        }
        let author = self.author(org, row.requested_by, confirmer.user_id)?;
        author.check(command.needs(), self.now())?;
        // What cannot be done yet stays to be confirmed later.
        if let Command::HaltResume(ById { id }) = &command {
            self.may_be_resumed(id, &author).await?;
        }
        self.decide(org, row.id, actor, Decision::Confirmed).await?;
        // This is a command inside a command: boxed, or its future would hold itself.
        let result = Box::pin(self.execute(command, &author)).await?;
        Ok(json!({ "status": Decision::Confirmed, "pending_id": row.id, "result": result }))
    }

    pub(crate) async fn reject_pending(
        &self,
        org: Id<id::Org>,
        id: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let row = self.waiting(org, id).await?;
        let command: Command = serde_json::from_str(&row.command)
            .map_err(|_| CommandError::Unavailable { detail: "it is unreadable".to_owned() })?;
        actor.allowed(command.needs().any_of)?;
        self.decide(org, row.id, actor, Decision::Rejected).await?;
        Ok(json!({ "status": Decision::Rejected, "pending_id": row.id }))
    }

    /// An organization of one person waits ten minutes in place of a second one.
    pub(crate) fn may_wait_instead(
        &self,
        org: Id<id::Org>,
        requested_at: Timestamp,
    ) -> Result<(), CommandError> {
        let principals = self.parts.people.principals.load();
        let members = principals.members.iter().filter(|((of, _), _)| *of == org);
        let active = members.filter(|(_, membership)| membership.is_active()).count();
        let until = requested_at.plus(TIME_LOCK);
        if active > 1 {
            return Err(no(Code::AuthSecondPerson));
        }
        if self.now() < until {
            let detail = format!("Nobody else is there to confirm it: wait until {until}.");
            return Err(CommandError::Refused { code: Code::AuthSecondPerson, detail });
        }
        Ok(())
    }

    /// The person who asked, with what the role allows now; the factor was fresh at the time.
    pub(crate) fn author(
        &self,
        org: Id<id::Org>,
        user: Id<id::User>,
        second: Id<id::User>,
    ) -> Result<Actor, CommandError> {
        let people = &self.parts.people;
        let principals = people.principals.load();
        let member = principals.members.get(&(org, user)).filter(|member| member.is_active());
        let permissions = member.and_then(|member| principals.permissions(org, &member.role));
        let permissions = permissions.ok_or_else(|| no(Code::AuthPermission))?;
        let step_up = people.profile.lifetimes().step_up;
        Ok(Actor::confirmed(org, user, second, permissions, self.now(), step_up))
    }

    async fn decide(
        &self,
        org: Id<id::Org>,
        id: Id<id::Pending>,
        actor: &Actor,
        decision: Decision,
    ) -> Result<(), CommandError> {
        let by = actor.name();
        let mut payload = json!({});
        actor.sign(&mut payload);
        let shared = Arc::clone(&self.parts);
        let decided = self
            .parts
            .note_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                if !pending::decide(tx, id, &by, decision, book.now).await? {
                    return Ok(false);
                }
                let event = match decision {
                    Decision::Confirmed => "pending.confirmed",
                    Decision::Rejected => "pending.rejected",
                };
                book.enter(&shared, org, id, event, &payload);
                Ok(true)
            })
            .await?;
        if decided { Ok(()) } else { Err(CommandError::NotFound) }
    }
}

fn view(row: &PendingRow) -> Value {
    json!({
        "status": PENDING, "pending_id": row.id, "summary": row.summary,
        "requested_by": row.requested_by, "requested_at": row.requested_at,
        "expires_at": row.expires_at,
    })
}
