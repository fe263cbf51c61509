//! What is known by heart: a snapshot that look-ups read without a lock, replaced as a whole.

pub(crate) mod keys;

use ipnet::IpNet;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tradewarden_domain::account::{Account, Activity};
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::limit::{Limit, LimitBook};
use tradewarden_domain::rate::{Bucket, SlidingWindow};
use tradewarden_domain::signal::Mapping;
use tradewarden_domain::strategy::Strategy;
use tradewarden_domain::time::Timestamp;
use tradewarden_domain::webhook::{CertificateName, CredentialForms, Webhook};
use tradewarden_seal::{DataKey, HashedToken, Place, SecretBytes};
use tradewarden_store::directory::{self as rows, Organization, WebhookRow};
use tradewarden_store::webhook_secrets::{self, Previous};
use tradewarden_store::{Error, Store};

/// A snapshot of everything that is configured.
#[derive(Default)]
pub(crate) struct Directory {
    pub(crate) organizations: Vec<Organization>,
    pub(crate) accounts: BTreeMap<Id<id::Account>, Arc<Account>>,
    pub(crate) doors: BTreeMap<Id<id::Webhook>, Arc<Door>>,
    pub(crate) strategies: BTreeMap<Id<id::Strategy>, Arc<Strategy>>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) books: BTreeMap<Id<id::Org>, LimitBook>,
    pub(crate) halts: Vec<Halt>,
    pub(crate) keys: keys::Keys,
    by_token: HashMap<String, Arc<Door>>,
    by_webhook: HashMap<Id<id::Webhook>, Vec<Arc<Strategy>>>,
}

/// A webhook as intake needs it.
pub(crate) struct Door {
    pub(crate) webhook: Webhook,
    pub(crate) secret: HashedToken,
    pub(crate) signing_secret: Option<SecretBytes>,
    /// What was replaced and is still taken for a while.
    pub(crate) previous: Option<PreviousSecrets>,
    pub(crate) allow: Vec<IpNet>,
    rates: Mutex<Rates>,
}

/// Secrets that were replaced.
pub(crate) struct PreviousSecrets {
    pub(crate) secret: HashedToken,
    pub(crate) signing_secret: Option<SecretBytes>,
    pub(crate) valid_until: Timestamp,
}

/// The budgets of one webhook (S16).
struct Rates {
    per_s: u32,
    flood: Bucket,
    entries: SlidingWindow,
    exits: Bucket,
}

/// Requests a second that are read at all, and how many at once (S16).
const FLOOD_PER_S: u32 = 100;
const FLOOD_BURST: u32 = 200;
/// Exits a second, and how many at once (S16).
const EXITS_PER_S: u32 = 50;
const EXITS_BURST: u32 = 200;

impl Rates {
    fn new(per_s: u32) -> Self {
        // A webhook that was given more than the usual rate is read and closed as generously.
        let flood = FLOOD_PER_S.max(per_s.saturating_mul(2));
        let exits = EXITS_PER_S.max(per_s);
        Self {
            per_s,
            flood: Bucket::new(flood, FLOOD_BURST.max(flood.saturating_mul(2))),
            entries: SlidingWindow::new(per_s, Duration::from_secs(1)),
            exits: Bucket::new(exits, EXITS_BURST.max(exits)),
        }
    }
}

/// Which budget a signal draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Budget {
    /// What is read at all.
    Flood,
    /// Signals that may add risk.
    Entries,
    /// Signals that reduce.
    Exits,
}

impl Door {
    /// Whether the address may use this door.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|net| net.contains(&address))
    }

    /// Draws one from a budget, or says how long to wait.
    pub(crate) fn draw(&self, budget: Budget, now: Timestamp) -> Result<(), Duration> {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        match budget {
            Budget::Flood => rates.flood.admit(now),
            Budget::Entries => rates.entries.admit(now),
            Budget::Exits => rates.exits.admit(now),
        }
    }
}

impl Directory {
    /// Reads everything; the budgets of doors that were there before go on.
    pub(crate) async fn load(
        store: &Store,
        keys: &BTreeMap<Id<id::Org>, Arc<DataKey>>,
        before: &Self,
    ) -> Result<Self, Error> {
        let mut directory = Self {
            organizations: rows::organizations(store).await?,
            limits: rows::limits(store).await?,
            halts: rows::halts(store).await?,
            keys: keys::load(store, keys, before).await?,
            ..Self::default()
        };
        for account in rows::accounts(store).await? {
            directory.accounts.insert(account.id, Arc::new(account));
        }
        for strategy in rows::strategies(store).await? {
            let strategy = Arc::new(strategy);
            let of_webhook = directory.by_webhook.entry(strategy.webhook_id).or_default();
            of_webhook.push(Arc::clone(&strategy));
            directory.strategies.insert(strategy.id, strategy);
        }
        // Those that have ended are told apart when they are shown; none is missed here.
        let replaced = webhook_secrets::all(store, Timestamp::default()).await?;
        let mut replaced: BTreeMap<_, _> =
            replaced.into_iter().map(|previous| (previous.webhook_id, previous)).collect();
        for row in rows::webhooks(store).await? {
            let key = keys.get(&row.org_id).map(AsRef::as_ref);
            let mut door = door(row, key, before)?;
            if let Some(replaced) = replaced.remove(&door.webhook.id) {
                door.previous = Some(previous(door.webhook.org_id, &replaced, key)?);
            }
            let door = Arc::new(door);
            if door.webhook.state == Activity::Active {
                directory.by_token.insert(door.webhook.token.clone(), Arc::clone(&door));
            }
            directory.doors.insert(door.webhook.id, door);
        }
        for organization in &directory.organizations {
            let own = directory.limits.iter().filter(|limit| limit.org_id == organization.id);
            directory.books.insert(organization.id, LimitBook::of(own));
        }
        Ok(directory)
    }

    /// The active door behind this token.
    pub(crate) fn door(&self, token: &str) -> Option<&Arc<Door>> {
        self.by_token.get(token)
    }

    /// The strategies that follow this webhook, oldest first.
    pub(crate) fn followers(&self, webhook: Id<id::Webhook>) -> &[Arc<Strategy>] {
        self.by_webhook.get(&webhook).map_or(&[], Vec::as_slice)
    }
}

/// Where a webhook's signing secret is sealed.
pub(crate) fn signing_place<'a>(org: &'a [u8; 16], webhook: &'a [u8; 16]) -> Place<'a> {
    Place {
        tenant: org,
        table: "webhooks",
        column: "signing_secret",
        row: webhook,
        schema_version: 1,
    }
}

/// Where a webhook's replaced signing secret is sealed.
pub(crate) fn previous_signing_place<'a>(org: &'a [u8; 16], webhook: &'a [u8; 16]) -> Place<'a> {
    Place { table: "previous_secrets", ..signing_place(org, webhook) }
}

fn previous(
    org: Id<id::Org>,
    previous: &Previous,
    key: Option<&DataKey>,
) -> Result<PreviousSecrets, Error> {
    let broken = || Error::unreadable(format!("webhook {}: replaced secret", previous.webhook_id));
    let (org, webhook) = (org.to_bytes(), previous.webhook_id.to_bytes());
    let place = previous_signing_place(&org, &webhook);
    let signing_secret = match (&previous.secrets.signing_secret, key) {
        (None, _) => None,
        (Some(record), Some(key)) => Some(key.open(&place, record).map_err(|_| broken())?),
        (Some(_), None) => return Err(broken()),
    };
    Ok(PreviousSecrets {
        secret: HashedToken::from_stored(&previous.secrets.secret_hash).map_err(|_| broken())?,
        signing_secret,
        valid_until: previous.valid_until,
    })
}

fn door(row: WebhookRow, key: Option<&DataKey>, before: &Directory) -> Result<Door, Error> {
    let broken = |what: &str| Error::unreadable(format!("webhook {}: {what}", row.id));
    let signing_secret = match (&row.signing_secret, key) {
        (None, _) => None,
        (Some(record), Some(key)) => {
            let (org, webhook) = (row.org_id.to_bytes(), row.id.to_bytes());
            let opened = key.open(&signing_place(&org, &webhook), record);
            Some(opened.map_err(|_| broken("its signing secret does not open"))?)
        }
        (Some(_), None) => return Err(broken("there is no key to open its signing secret")),
    };
    let allow: Result<Vec<IpNet>, _> =
        row.allow.split(',').filter(|part| !part.is_empty()).map(parse_network).collect();
    let mapping = row.mapping.as_deref().map(serde_json::from_str::<Mapping>).transpose();
    let client_certificate =
        row.client_certificate.as_deref().map(str::parse::<CertificateName>).transpose();
    let has = |form: &str| row.forms.split(',').any(|word| word == form);
    let rates = match before.doors.get(&row.id) {
        Some(door) => {
            let mut old = door.rates.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = Rates::new(row.rate_per_s);
            if old.per_s == row.rate_per_s { std::mem::replace(&mut *old, fresh) } else { fresh }
        }
        None => Rates::new(row.rate_per_s),
    };
    Ok(Door {
        secret: HashedToken::from_stored(&row.secret_hash)
            .map_err(|_| broken("its secret's hash is unreadable"))?,
        signing_secret,
        previous: None,
        allow: allow.map_err(|_| broken("its allow-list is unreadable"))?,
        rates: Mutex::new(rates),
        webhook: Webhook {
            id: row.id,
            org_id: row.org_id,
            forms: CredentialForms {
                query: has("query"),
                header: has("header"),
                body: has("body"),
                signature: has("signature"),
            },
            allow: row
                .allow
                .split(',')
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
            client_certificate: client_certificate
                .map_err(|_| broken("its client certificate's name is unreadable"))?,
            dry_run: row.dry_run,
            rate_per_s: row.rate_per_s,
            max_age_s: row.max_age_s,
            mapping: mapping.map_err(|_| broken("its mapping is unreadable"))?,
            state: row.state,
            created_at: row.created_at,
            name: row.name,
            token: row.token,
        },
    })
}

/// The text is neither an address nor a network.
#[derive(Debug)]
pub(crate) struct NotANetwork;

/// Reads an address or a network in CIDR form, v4 or v6.
pub(crate) fn parse_network(text: &str) -> Result<IpNet, NotANetwork> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map(|net| net.trunc())
        .map_err(|_| NotANetwork)
}
