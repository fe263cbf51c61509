//! How keys and their use are shown, and who a caller is.

use crate::Engine;
use crate::actor::{Actor, Who};
use crate::command::error::{CommandError, away, parse_id, to_value};
use crate::usage::hour_of;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::key::{ApiKey, KeyAlgorithm, KeyState};
use tradewarden_domain::money::Money;
use tradewarden_domain::permission::Permissions;
use tradewarden_domain::tier::Tier;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{PlainToken, SecretString};
use tradewarden_store::api_keys::{self, KeyRow, LastUse};
use tradewarden_store::key_usage::{self, Hour};

/// How far back use is shown.
const USAGE_SPAN: Duration = Duration::from_hours(7 * 24);

/// A key.
#[derive(Debug, Serialize)]
pub struct KeyView {
    /// Its identifier, and the `keyid` of signatures.
    pub id: Id<id::Key>,
    /// What people call it.
    pub name: String,
    /// How it signs.
    pub algorithm: KeyAlgorithm,
    /// What it may ask for.
    pub scopes: Permissions,
    /// The accounts it may name; none means all.
    pub accounts: Vec<Id<id::Account>>,
    /// The instruments it may trade; none means all.
    pub instruments: Vec<Symbol>,
    /// The addresses it may be used from; none means any.
    pub allow: Vec<String>,
    /// How much it may ask for.
    pub tier: Tier,
    /// Largest value of one order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_notional: Option<Money>,
    /// The owner's label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The strategy to which its orders belong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy_id: Option<Id<id::Strategy>>,
    /// Whether it is taken.
    pub state: KeyState,
    /// The key it follows on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotated_from: Option<Id<id::Key>>,
    /// From when on it is not taken any more.
    pub expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_address: Option<String>,
    /// What it signs with, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// What it signs with, once: PKCS#8 in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key_pem: Option<String>,
}

impl KeyView {
    pub(crate) fn new(key: &ApiKey, last: Option<(Timestamp, Option<String>)>) -> Self {
        let (last_used_at, last_used_address) = match last {
            Some((at, address)) => (Some(at), address),
            None => (None, None),
        };
        Self {
            id: key.id,
            name: key.name.to_string(),
            algorithm: key.algorithm,
            scopes: key.scopes,
            accounts: key.accounts.to_vec(),
            instruments: key.instruments.to_vec(),
            allow: key.allow.to_vec(),
            tier: key.tier,
            max_notional: key.max_notional,
            environment: key.environment.as_deref().map(str::to_owned),
            strategy_id: key.strategy_id,
            state: key.state,
            rotated_from: key.rotated_from,
            expires_at: key.expires_at,
            created_at: key.created_at,
            last_used_at,
            last_used_address,
            secret: None,
            private_key_pem: None,
        }
    }

    /// The same with what its holder is told once.
    pub(super) fn told(mut self, credential: &Credential) -> Self {
        self.secret = credential.secret.as_ref().map(|secret| secret.expose().to_owned());
        self.private_key_pem =
            credential.private_key_pem.as_ref().map(|pem| pem.expose().to_owned());
        self
    }
}

/// What a key did.
#[derive(Debug, Serialize)]
pub struct KeyUsageView {
    /// The key.
    pub key_id: Id<id::Key>,
    /// From when on it is counted.
    pub since: Timestamp,
    /// Requests, those for orders included.
    pub calls: u64,
    /// Requests for new or changed orders.
    pub orders: u64,
    /// Requests that were answered with a no.
    pub refusals: u64,
    /// The same by the hour, oldest first; hours without use are left out.
    pub hours: Vec<HourView>,
}

/// What a key did in an hour.
#[derive(Debug, Serialize)]
pub struct HourView {
    /// Where the hour begins.
    pub hour: Timestamp,
    /// Requests, those for orders included.
    pub calls: u64,
    /// Requests for new or changed orders.
    pub orders: u64,
    /// Requests that were answered with a no.
    pub refusals: u64,
}

/// An organization.
#[derive(Debug, Serialize)]
pub struct OrganizationView {
    /// Its identifier.
    pub id: Id<id::Org>,
    /// What people call it.
    pub name: String,
    /// What the person is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// When it was made; the operator is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
}

/// Who calls.
#[derive(Debug, Serialize)]
pub struct MeView {
    /// `key`, `person` or `operator`.
    pub kind: &'static str,
    /// The key or the person; the operator has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The organization.
    pub org_id: Id<id::Org>,
    /// What the caller may ask for now.
    pub permissions: Permissions,
    /// What a key was given; a suspended one may ask for less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Permissions>,
    /// What people call a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How much a key may ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// Whether a key is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<KeyState>,
    /// From when on a key is not taken any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// A person's e-mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// A person's role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The organizations that a person belongs to, this one included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organizations: Option<Vec<OrganizationView>>,
    /// When a person last showed a second factor in this session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor_at: Option<Timestamp>,
    /// What goes into `X-TW-CSRF` with every change, in a session that a cookie shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csrf_token: Option<String>,
    /// A person's session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<Id<id::Session>>,
}

/// What a key verifies with, and what its holder is told of it, once.
pub(super) struct Credential {
    pub(super) material: Vec<u8>,
    pub(super) secret: Option<PlainToken>,
    pub(super) private_key_pem: Option<SecretString>,
}

impl Engine {
    pub(super) fn stored_view(&self, row: &KeyRow) -> KeyView {
        let unwritten = self.parts.usage.last_use(row.key.id);
        let stored = row.last_used_at.map(|at| (at, row.last_address.clone()));
        let last = match unwritten {
            Some(LastUse { at, address, .. }) => Some((at, Some(address))),
            None => stored,
        };
        KeyView::new(&row.key, last)
    }

    /// What a key did in the last seven days, by the hour.
    pub(crate) async fn key_usage(
        &self,
        org: Id<id::Org>,
        text: &str,
    ) -> Result<Value, CommandError> {
        let id: Id<id::Key> = parse_id(text)?;
        let store = &self.parts.store;
        let row = api_keys::find(store, id).await.map_err(|error| away(&error))?;
        row.filter(|row| row.key.org_id == org).ok_or(CommandError::NotFound)?;
        let since = hour_of(self.now().minus(USAGE_SPAN));
        let stored = key_usage::of_key(store, id, since).await.map_err(|error| away(&error))?;
        let mut hours: BTreeMap<Timestamp, Hour> = BTreeMap::new();
        for hour in stored.into_iter().chain(self.parts.usage.hours_of(id)) {
            let fresh = Hour { hour: hour.hour, ..Hour::default() };
            let sum = hours.entry(hour.hour).or_insert(fresh);
            sum.calls = sum.calls.saturating_add(hour.calls);
            sum.orders = sum.orders.saturating_add(hour.orders);
            sum.refusals = sum.refusals.saturating_add(hour.refusals);
        }
        let total = |count: fn(&Hour) -> u64| {
            hours.values().fold(0_u64, |sum, hour| sum.saturating_add(count(hour)))
        };
        to_value(&KeyUsageView {
            key_id: id,
            since,
            calls: total(|hour| hour.calls),
            orders: total(|hour| hour.orders),
            refusals: total(|hour| hour.refusals),
            hours: hours
                .values()
                .map(|hour| HourView {
                    hour: hour.hour,
                    calls: hour.calls,
                    orders: hour.orders,
                    refusals: hour.refusals,
                })
                .collect(),
        })
    }

    /// Who calls, and what that one may do.
    pub(crate) fn me(org: Id<id::Org>, actor: &Actor) -> MeView {
        let key = actor.as_key();
        let (kind, id) = match actor.who() {
            Who::Operator => ("operator", None),
            Who::Person(person) => ("person", Some(person.user_id.to_string())),
            Who::Key(known) => ("key", Some(known.key.id.to_string())),
        };
        MeView {
            kind,
            id,
            org_id: org,
            permissions: actor.permissions(),
            scopes: key.map(|key| key.scopes),
            name: key.map(|key| key.name.to_string()),
            tier: key.map(|key| key.tier),
            state: key.map(|key| key.state),
            expires_at: key.map(|key| key.expires_at),
            email: None,
            role: None,
            organizations: None,
            factor_at: None,
            csrf_token: None,
            session_id: None,
        }
    }
}
