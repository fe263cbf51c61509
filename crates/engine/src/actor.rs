//! Actors: on whose authority something is done, and what that one may do.

use crate::command::Need;
use crate::command::error::CommandError;
use crate::known_key::KnownKey;
use crate::nonces::Nonce;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::code::{Code, Refusal};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::key::{ApiKey, KeyState};
use tradewarden_domain::permission::{Permission, Permissions};
use tradewarden_domain::strategy::{Strategy, SymbolSource};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::idempotency::{self, Claim};
use tradewarden_store::{Error, Tx};

/// On whose authority a command is carried out. Only this crate makes one, of credentials that it
/// verified; the permissions are read at that moment, so a revocation acts on the next request.
#[derive(Debug, Clone)]
pub struct Actor {
    who: Who,
    org: Option<Id<id::Org>>,
    permissions: Permissions,
    second: Option<Id<id::User>>,
    claim: Option<(Claim, [u8; 32])>,
    nonce: Option<Arc<Nonce>>,
    stops_only: bool,
}

/// Who it is.
#[derive(Debug, Clone)]
pub enum Who {
    /// The person who holds the data directory.
    Operator,
    /// A person with a session.
    Person(Person),
    /// A program with a key.
    Key(Arc<KnownKey>),
}

/// A person with a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The person.
    pub user_id: Id<id::User>,
    /// The session.
    pub session_id: Id<id::Session>,
    /// When a second factor was last shown in it, if ever.
    pub factor_at: Option<Timestamp>,
    /// The same for one that is not weak: what needs a fresh factor looks at this.
    pub proven_at: Option<Timestamp>,
    /// How long a factor counts as fresh.
    pub step_up: Duration,
}

impl Actor {
    /// The person who holds the data directory: may do everything, in the only organization there is.
    pub fn operator() -> Self {
        Self {
            who: Who::Operator,
            org: None,
            permissions: Permissions::all(),
            second: None,
            claim: None,
            nonce: None,
            stops_only: false,
        }
    }

    /// The same in one of several organizations.
    pub(crate) fn operator_in(org: Id<id::Org>) -> Self {
        Self { org: Some(org), ..Self::operator() }
    }

    /// A person, with what the role allows. Without a second factor only what changes nothing is
    /// left of it (product.md section 4).
    pub(crate) fn person(org: Id<id::Org>, person: Person, permissions: Permissions) -> Self {
        let permissions = if person.factor_at.is_some() {
            permissions
        } else {
            permissions.iter().filter(|permission| !permission.needs_factor()).collect()
        };
        Self {
            who: Who::Person(person),
            org: Some(org),
            permissions,
            second: None,
            claim: None,
            nonce: None,
            stops_only: false,
        }
    }

    /// A person who may do nothing but stop before showing a second factor: to see asks for one, too.
    pub(crate) fn stopping(org: Id<id::Org>, person: Person, permissions: Permissions) -> Self {
        let permissions = permissions.and(Permissions::of(&[Permission::HaltEngage]));
        Self { stops_only: true, ..Self::person(org, person, permissions) }
    }

    /// Whether it may see what one of these permissions shows.
    pub(crate) fn sees(&self, any_of: &[Permission]) -> bool {
        !self.stops_only && self.permissions.has_any(any_of)
    }

    /// A person whose request another person confirmed: as if the factor had been shown now.
    pub(crate) fn confirmed(
        org: Id<id::Org>,
        user: Id<id::User>,
        second: Id<id::User>,
        permissions: Permissions,
        now: Timestamp,
        step_up: Duration,
    ) -> Self {
        let session_id = Id::from_bytes([0; 16]);
        let person = Person {
            user_id: user,
            session_id,
            factor_at: Some(now),
            proven_at: Some(now),
            step_up,
        };
        Self { second: Some(second), ..Self::person(org, person, permissions) }
    }

    /// A program. A suspended key may only cancel and close (S19); of its signals, intake takes those
    /// that close.
    pub(crate) fn key(known: Arc<KnownKey>) -> Self {
        use Permission as P;
        const REDUCING: Permissions =
            Permissions::of(&[P::OrdersCancel, P::PositionsClose, P::SignalsWrite]);
        let key = &known.key;
        let permissions = match key.state {
            KeyState::Active => key.scopes,
            KeyState::Suspended => key.scopes.and(REDUCING),
            KeyState::Revoked => Permissions::NONE,
        };
        Self {
            org: Some(key.org_id),
            permissions,
            who: Who::Key(known),
            second: None,
            claim: None,
            nonce: None,
            stops_only: false,
        }
    }

    /// The same with the nonce of its request.
    pub(crate) fn with_nonce(self, nonce: Option<Arc<Nonce>>) -> Self {
        Self { nonce, ..self }
    }

    /// Takes the nonce of the request, if it has one, in the transaction of what it changes: first
    /// of all, and a no means that nothing may be changed, for the request was carried out before.
    /// Once the transaction is committed, [`Actor::carried_out`] has to hear the answer.
    pub(crate) async fn claim(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        match &self.nonce {
            Some(nonce) => nonce.claim(tx).await,
            None => Ok(true),
        }
    }

    /// Hears what [`Actor::claim`] said in a transaction that is committed now.
    pub(crate) fn carried_out(&self, claimed: bool) -> Result<(), CommandError> {
        self.is_written();
        if claimed { Ok(()) } else { Err(no(Code::Unauthenticated)) }
    }

    /// Hears that the transaction of [`Actor::claim`] is committed.
    pub(crate) fn is_written(&self) {
        if let Some(nonce) = &self.nonce {
            nonce.is_written();
        }
    }

    /// Who it is.
    pub fn who(&self) -> &Who {
        &self.who
    }

    /// Its organization; `None` for an operator who named none.
    pub fn org(&self) -> Option<Id<id::Org>> {
        self.org
    }

    /// What it may do.
    pub fn permissions(&self) -> Permissions {
        self.permissions
    }

    /// How the actor is called in records.
    pub fn name(&self) -> String {
        match &self.who {
            Who::Operator => "operator".to_owned(),
            Who::Person(person) => person.user_id.to_string(),
            Who::Key(known) => known.key.id.to_string(),
        }
    }

    /// Who confirmed what this one asked for.
    pub(crate) fn second(&self) -> Option<Id<id::User>> {
        self.second
    }

    /// Puts the actor's name into an audit payload, and the second one's where there is one.
    pub(crate) fn sign(&self, payload: &mut Value) {
        if let Some(fields) = payload.as_object_mut() {
            fields.insert("actor".to_owned(), Value::String(self.name()));
            if let Some(second) = self.second {
                fields.insert("confirmed_by".to_owned(), Value::String(second.to_string()));
            }
        }
    }

    /// The key, if it is one.
    pub fn as_key(&self) -> Option<&ApiKey> {
        match &self.who {
            Who::Key(known) => Some(&known.key),
            Who::Operator | Who::Person(_) => None,
        }
    }

    /// Whether it may trade this instrument, or why not.
    pub(crate) fn trades(&self, symbol: &Symbol) -> Result<(), Refusal> {
        if self.as_key().is_none_or(|key| key.trades(symbol)) {
            return Ok(());
        }
        let detail = format!("{symbol} is not among the key's instruments.");
        Err(Refusal::because(Code::KeyInstrument, detail))
    }

    /// Whether it may know of every account, so of what is the organization's.
    pub(crate) fn reaches_all(&self) -> bool {
        self.as_key().is_none_or(|key| key.accounts.is_empty())
    }

    /// Whether it may know of this account at all.
    pub fn reaches(&self, account: Id<id::Account>) -> bool {
        self.as_key().is_none_or(|key| key.reaches(account))
    }

    /// Whether it may know of every account on which a strategy trades.
    pub(crate) fn reaches_all_of(&self, strategy: &Strategy) -> bool {
        strategy.accounts().all(|account| self.reaches(account))
    }

    /// Whether it may trade whatever a strategy does. Signals that name the symbol may name any.
    pub(crate) fn trades_all_of(&self, strategy: &Strategy) -> bool {
        let Some(key) = self.as_key() else { return true };
        let is_free =
            strategy.symbol_source == SymbolSource::Payload && !key.instruments.is_empty();
        key.trades(&strategy.symbol) && !is_free
    }

    /// The same actor, whose next change claims an idempotency key.
    pub(crate) fn claiming(&self, claim: Claim, fingerprint: [u8; 32]) -> Self {
        Self { claim: Some((claim, fingerprint)), ..self.clone() }
    }

    /// What every change of this actor writes first, in its own transaction: the nonce of the
    /// request and its idempotency key. A no is [`Actor::claim`]'s.
    pub(crate) async fn begin(&self, tx: &mut Tx<'_>, now: Timestamp) -> Result<bool, Error> {
        if !self.claim(tx).await? {
            return Ok(false);
        }
        if let Some((claim, fingerprint)) = &self.claim
            && !idempotency::claim(tx, claim, *fingerprint, now).await?
        {
            return Err(Error::taken("the idempotency key was claimed by another node"));
        }
        Ok(true)
    }

    /// Whether the actor has what is needed, or why not.
    pub fn check(&self, need: Need, now: Timestamp) -> Result<(), CommandError> {
        self.allowed(need.any_of)?;
        if self.stops_only && !need.any_of.is_empty() && !need.stops {
            return Err(no(Code::AuthFactorRequired));
        }
        if need.factor && self.lacks_factor() {
            return Err(no(Code::AuthFactorRequired));
        }
        if need.whole && !self.reaches_all() {
            return Err(no(Code::AuthPermission));
        }
        if need.step_up { self.fresh(now) } else { Ok(()) }
    }

    /// Whether the actor has one of these permissions, or why not. None of them asks for nothing.
    pub fn allowed(&self, any_of: &[Permission]) -> Result<(), CommandError> {
        if any_of.is_empty() || self.permissions.has_any(any_of) {
            return Ok(());
        }
        Err(no(if self.lacks_factor() { Code::AuthFactorRequired } else { Code::AuthPermission }))
    }

    fn lacks_factor(&self) -> bool {
        matches!(&self.who, Who::Person(person) if person.factor_at.is_none())
    }

    /// Whether a person showed a second factor a moment ago, or why not. A key never did; whoever
    /// holds the data directory could change the clock anyway.
    pub fn fresh(&self, now: Timestamp) -> Result<(), CommandError> {
        let fresh = match &self.who {
            Who::Operator => true,
            Who::Key(_) => false,
            Who::Person(person) => {
                person.proven_at.is_some_and(|at| is_recent(at, person.step_up, now))
            }
        };
        if fresh { Ok(()) } else { Err(no(Code::AuthStepUp)) }
    }
}

/// How far ahead another node's clock may be.
const CLOCKS_APART: Duration = Duration::from_mins(1);

/// Whether something was no longer ago than that. What lies ahead was not: a clock that was set back
/// would keep it young.
pub(crate) fn is_recent(at: Timestamp, within: Duration, now: Timestamp) -> bool {
    at <= now.plus(CLOCKS_APART) && now <= at.plus(within)
}

fn no(code: Code) -> CommandError {
    CommandError::Refused { code, detail: code.meaning().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(factor_at: Option<i64>) -> Actor {
        let person = Person {
            user_id: Id::from_bytes([1; 16]),
            session_id: Id::from_bytes([2; 16]),
            factor_at: factor_at.map(Timestamp::from_unix_micros),
            proven_at: factor_at.map(Timestamp::from_unix_micros),
            step_up: Duration::from_mins(5),
        };
        Actor::person(Id::from_bytes([3; 16]), person, Permissions::all())
    }

    fn code(result: Result<(), CommandError>) -> Option<Code> {
        match result {
            Ok(()) => None,
            Err(CommandError::Refused { code, .. }) => Some(code),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn without_a_factor_a_person_only_sees() {
        let weak = person(None);
        assert_eq!(code(weak.allowed(&[Permission::OrdersRead])), None);
        assert_eq!(code(weak.allowed(&[Permission::OrdersCreate])), Some(Code::AuthFactorRequired));
        assert_eq!(code(person(Some(0)).allowed(&[Permission::OrdersCreate])), None);
    }

    #[test]
    fn a_weak_factor_is_never_fresh() {
        let mut weak = person(Some(0));
        if let Who::Person(person) = &mut weak.who {
            person.proven_at = None;
        }
        assert_eq!(code(weak.allowed(&[Permission::OrdersCreate])), None);
        let now = Timestamp::from_unix_micros(1);
        assert_eq!(code(weak.fresh(now)), Some(Code::AuthStepUp));
    }

    #[test]
    fn a_factor_is_fresh_for_five_minutes() {
        let now = Timestamp::from_unix_micros(300_000_000);
        assert_eq!(code(person(Some(0)).fresh(now)), None);
        assert_eq!(code(person(Some(-1)).fresh(now)), Some(Code::AuthStepUp));
        assert_eq!(code(person(Some(360_000_000)).fresh(now)), None);
        assert_eq!(code(person(Some(360_000_001)).fresh(now)), Some(Code::AuthStepUp));
        assert_eq!(code(person(None).fresh(now)), Some(Code::AuthStepUp));
        assert_eq!(code(Actor::operator().fresh(now)), None);
    }
}
