//! API keys: made, followed by others, suspended and revoked by people; shown; looked at by the
//! gateway itself.

pub(crate) mod view;
mod watch;

use crate::keys::view::Credential;
pub(crate) use view::KeyView;
pub(crate) use watch::inspect;

use crate::Engine;
use crate::actor::{Actor, Who};
use crate::command::error::{CommandError, away, invalid, parse_id, to_value};
use crate::command::{KeyCreate, KeyRotate};
use crate::directory::keys::secret_place;
use crate::directory::{is_narrow, parse_network};
use crate::free_text::without_card_number;
use crate::known_key::KnownKey;
use crate::people::KEY_LIFETIME_DAYS;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::key::{
    ApiKey, KeyAlgorithm, KeyPolicy, KeyState, OVERLAP_DEFAULT, OVERLAP_MAX,
};
use tradewarden_domain::tier::Tier;
use tradewarden_seal::http_signature::{Ed25519Key, VerifyingKey};
use tradewarden_seal::{PlainToken, TokenKind, base64_decode};
use tradewarden_store::api_keys;

/// Networks, accounts or instruments of one key.
const LIST_MAX: usize = 200;
const ENVIRONMENT_CHARACTERS_MAX: usize = 32;
const DAY: Duration = Duration::from_hours(24);

impl Engine {
    pub(crate) async fn create_key(
        &self,
        org: Id<id::Org>,
        new: KeyCreate,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let key = self.key_to_be(org, &new, actor)?;
        let credential = self.credential(&key, new.public_key.as_deref())?;
        let (id, row, material) = (key.id, key.clone(), credential.material.clone());
        self.change(org, id, "key.created", actor, payload(&key), async move |tx| {
            api_keys::insert(tx, &row, material.clone()).await
        })
        .await?;
        to_value(&KeyView::new(&key, None).told(&credential))
    }

    /// How long the keys of an organization may live, by its own policy.
    fn key_policy(&self, org: Id<id::Org>) -> KeyPolicy {
        match self.parts.people.principals.load().policy(org, KEY_LIFETIME_DAYS) {
            Some("30") => KeyPolicy::strict(),
            _ => KeyPolicy::default(),
        }
    }

    fn key_to_be(
        &self,
        org: Id<id::Org>,
        new: &KeyCreate,
        actor: &Actor,
    ) -> Result<ApiKey, CommandError> {
        if new.scopes.is_empty() {
            return Err(invalid("scopes", &"must name at least one"));
        }
        covers(actor, new.scopes)?;
        let (now, allow) = (self.now(), networks(&new.allow)?);
        let policy = self.key_policy(org);
        let lifetime = match new.expires_in_days {
            None => policy.lifetime,
            Some(0) => return Err(invalid("expires_in_days", &"must be at least 1")),
            Some(days) => DAY.saturating_mul(days),
        };
        policy.judge(lifetime, is_narrow(allow.iter().map(String::as_str))).map_err(refused)?;
        let environment = new.environment.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let is_label = |text: &str| {
            text.chars().count() <= ENVIRONMENT_CHARACTERS_MAX
                && !text.chars().any(char::is_control)
        };
        if !environment.is_none_or(is_label) {
            return Err(invalid("environment", &"must have at most 32 printable characters"));
        }
        if new.max_notional.is_some_and(|most| !most.is_positive()) {
            return Err(invalid("max_notional", &"must be greater than zero"));
        }
        if new.instruments.len() > LIST_MAX || new.accounts.len() > LIST_MAX {
            return Err(invalid("instruments", &"must be at most 200, and so must the accounts"));
        }
        for symbol in &new.instruments {
            without_card_number("instruments", symbol.as_str())?;
        }
        Ok(ApiKey {
            id: self.parts.environment.id(now),
            org_id: org,
            user_id: match actor.who() {
                Who::Person(person) => Some(person.user_id),
                Who::Operator | Who::Key(_) => None,
            },
            name: crate::administer::name(&new.name)?.into(),
            algorithm: new.algorithm.unwrap_or(KeyAlgorithm::Ed25519),
            scopes: new.scopes,
            accounts: self.own_accounts(org, &new.accounts)?.into(),
            instruments: new
                .instruments
                .iter()
                .map(Symbol::without_exchange)
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            allow: allow.into(),
            tier: new.tier.unwrap_or(Tier::Standard),
            max_notional: new.max_notional,
            environment: environment.map(Box::from),
            strategy_id: self.own_strategy(org, new.strategy_id.as_deref())?,
            state: KeyState::Active,
            rotated_from: None,
            expires_at: now.plus(lifetime),
            created_at: now,
        })
    }

    fn own_accounts(
        &self,
        org: Id<id::Org>,
        texts: &[String],
    ) -> Result<Vec<Id<id::Account>>, CommandError> {
        let directory = self.parts.directory.load();
        let mut accounts = BTreeSet::new();
        for text in texts {
            let id: Id<id::Account> = text.parse().map_err(|error| invalid("accounts", &error))?;
            if directory.accounts.get(&id).is_none_or(|account| account.org_id != org) {
                return Err(invalid("accounts", &format!("there is no account {id}")));
            }
            accounts.insert(id);
        }
        Ok(accounts.into_iter().collect())
    }

    fn own_strategy(
        &self,
        org: Id<id::Org>,
        text: Option<&str>,
    ) -> Result<Option<Id<id::Strategy>>, CommandError> {
        let Some(text) = text else { return Ok(None) };
        let id: Id<id::Strategy> = text.parse().map_err(|error| invalid("strategy_id", &error))?;
        let directory = self.parts.directory.load();
        if directory.strategies.get(&id).is_none_or(|strategy| strategy.org_id != org) {
            return Err(invalid("strategy_id", &format!("there is no strategy {id}")));
        }
        Ok(Some(id))
    }

    /// Makes what the key signs with, or takes the public half of what its holder has made.
    fn credential(&self, key: &ApiKey, public: Option<&str>) -> Result<Credential, CommandError> {
        let environment = &self.parts.environment;
        let unmade = || CommandError::Unavailable { detail: "no key could be made".to_owned() };
        match (key.algorithm, public) {
            (KeyAlgorithm::Ed25519, Some(text)) => {
                let verifying = public_key(text).ok_or_else(|| {
                    invalid("public_key", &"must be an Ed25519 public key, PEM or base64")
                })?;
                let public = verifying.ed25519_public().ok_or_else(unmade)?;
                Ok(Credential { material: public.to_vec(), secret: None, private_key_pem: None })
            }
            (KeyAlgorithm::Ed25519, None) => {
                let pair = environment.with_randomness(Ed25519Key::generate);
                let pair = pair.map_err(|_| unmade())?;
                Ok(Credential {
                    material: pair.public().to_vec(),
                    secret: None,
                    private_key_pem: Some(pair.to_pkcs8_pem()),
                })
            }
            (KeyAlgorithm::HmacSha256, Some(_)) => {
                Err(invalid("public_key", &"is for keys of algorithm ed25519"))
            }
            (KeyAlgorithm::HmacSha256, None) => {
                let secret = environment
                    .with_randomness(|random| PlainToken::generate(TokenKind::KeySecret, random));
                let data_keys = self.parts.intake_keys.load();
                let data_key = data_keys
                    .get(&key.org_id)
                    .ok_or_else(|| self.parts.vault.no_key(key.org_id))?;
                let (org, id) = (key.org_id.to_bytes(), key.id.to_bytes());
                let place = secret_place(&org, &id);
                let material = environment.with_randomness(|random| {
                    data_key.seal(&place, secret.expose().as_bytes(), random)
                });
                Ok(Credential {
                    material: material.map_err(|_| unmade())?,
                    secret: Some(secret),
                    private_key_pem: None,
                })
            }
        }
    }

    /// Makes a successor; both are taken until the overlap ends.
    pub(crate) async fn rotate_key(
        &self,
        org: Id<id::Org>,
        asked: KeyRotate,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let old = self.own_key(org, &asked.id)?;
        covers(actor, old.key.scopes)?;
        let overlap =
            asked.rotation.overlap_s.map_or(OVERLAP_DEFAULT, |s| Duration::from_secs(s.into()));
        if overlap > OVERLAP_MAX {
            return Err(invalid("overlap_s", &"must be at most 604800"));
        }
        let now = self.now();
        if old.key.state != KeyState::Active || !old.key.is_alive(now) {
            return Err(state_forbids("only an active key is rotated"));
        }
        let longest =
            self.key_policy(org).longest(is_narrow(old.key.allow.iter().map(String::as_str)));
        let lifetime = old.key.expires_at.since(old.key.created_at).min(longest);
        let key = ApiKey {
            id: self.parts.environment.id(now),
            rotated_from: Some(old.key.id),
            created_at: now,
            expires_at: now.plus(lifetime),
            ..old.key.clone()
        };
        let credential = self.credential(&key, asked.rotation.public_key.as_deref())?;
        let old_ends_at = old.key.expires_at.min(now.plus(overlap));
        let mut payload = payload(&key);
        if let Some(fields) = payload.as_object_mut() {
            fields.insert("rotated_from".to_owned(), json!(old.key.id));
            fields.insert("rotated_from_ends_at".to_owned(), json!(old_ends_at));
        }
        let (row, material, old_id) = (key.clone(), credential.material.clone(), old.key.id);
        self.change(org, key.id, "key.rotated", actor, payload, async move |tx| {
            api_keys::end_at(tx, old_id, old_ends_at).await?;
            api_keys::insert(tx, &row, material.clone()).await
        })
        .await?;
        to_value(&KeyView::new(&key, None).told(&credential))
    }

    pub(crate) async fn suspend_key(
        &self,
        org: Id<id::Org>,
        text: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let known = self.own_key(org, text)?;
        if known.key.state != KeyState::Active {
            return Err(state_forbids("only an active key is suspended"));
        }
        self.set_key_state(&known, KeyState::Suspended, "key.suspended", actor).await
    }

    pub(crate) async fn activate_key(
        &self,
        org: Id<id::Org>,
        text: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let known = self.own_key(org, text)?;
        covers(actor, known.key.scopes)?;
        if known.key.state != KeyState::Suspended {
            return Err(state_forbids("only a suspended key is activated"));
        }
        self.set_key_state(&known, KeyState::Active, "key.activated", actor).await
    }

    /// Ends a key for ever. To end it again changes nothing.
    pub(crate) async fn revoke_key(
        &self,
        org: Id<id::Org>,
        text: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let known = self.own_key(org, text)?;
        if known.key.state == KeyState::Revoked {
            return self.show_key(org, text).await;
        }
        self.set_key_state(&known, KeyState::Revoked, "key.revoked", actor).await
    }

    async fn set_key_state(
        &self,
        known: &KnownKey,
        state: KeyState,
        event: &'static str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let (org, id) = (known.key.org_id, known.key.id);
        let payload = json!({ "name": known.key.name, "was": known.key.state });
        self.change(org, id, event, actor, payload, async move |tx| {
            api_keys::set_state(tx, id, state).await
        })
        .await?;
        self.show_key(org, &id.to_string()).await
    }

    pub(crate) async fn list_keys(&self, org: Id<id::Org>) -> Result<Value, CommandError> {
        let own = api_keys::of_org(&self.parts.store, org).await.map_err(|error| away(&error))?;
        let items: Vec<_> = own.iter().map(|row| self.stored_view(row)).collect();
        to_value(&crate::view::Page { items, next: None })
    }

    pub(crate) async fn show_key(
        &self,
        org: Id<id::Org>,
        text: &str,
    ) -> Result<Value, CommandError> {
        let id: Id<id::Key> = parse_id(text)?;
        let row = api_keys::find(&self.parts.store, id).await.map_err(|error| away(&error))?;
        let row = row.filter(|row| row.key.org_id == org).ok_or(CommandError::NotFound)?;
        to_value(&self.stored_view(&row))
    }

    /// Whether a key of this identifier is known and not revoked: the look-up that every signed
    /// request begins with.
    pub fn knows_key(&self, id: Id<id::Key>) -> bool {
        let directory = self.parts.directory.load();
        directory.keys.get(&id).is_some_and(|known| known.key.state != KeyState::Revoked)
    }

    /// Whether an active webhook has this token: the look-up that every signal begins with.
    pub fn knows_webhook(&self, token: &str) -> bool {
        self.parts.directory.load().door(token).is_some()
    }

    fn own_key(&self, org: Id<id::Org>, text: &str) -> Result<Arc<KnownKey>, CommandError> {
        let id: Id<id::Key> = parse_id(text)?;
        let directory = self.parts.directory.load();
        let known = directory.keys.get(&id).filter(|known| known.key.org_id == org);
        known.cloned().ok_or(CommandError::NotFound)
    }
}

/// Nobody gives or takes over what he does not have.
fn covers(
    actor: &Actor,
    scopes: tradewarden_domain::permission::Permissions,
) -> Result<(), CommandError> {
    let missing = scopes.without(actor.permissions());
    if missing.is_empty() {
        return Ok(());
    }
    let detail = format!("A key cannot have scopes that you do not have: {missing}.");
    Err(CommandError::Refused { code: Code::AuthPermission, detail })
}

fn refused(refusal: tradewarden_domain::code::Refusal) -> CommandError {
    CommandError::Refused { code: refusal.code, detail: refusal.detail }
}

fn state_forbids(detail: &str) -> CommandError {
    CommandError::Refused { code: Code::KeyState, detail: format!("The key's state: {detail}.") }
}

fn networks(texts: &[String]) -> Result<Vec<String>, CommandError> {
    let mut networks = BTreeSet::new();
    for text in texts {
        // Not repeated: what is no network may be a secret in the wrong place.
        let network = parse_network(text).map_err(|_| {
            invalid("allow", &"has an entry that is no address and no network in CIDR form")
        })?;
        networks.insert(network.to_string());
    }
    if networks.len() > LIST_MAX {
        return Err(invalid("allow", &"must have at most 200 networks"));
    }
    Ok(networks.into_iter().collect())
}

/// PEM, or the 32 bytes in base64.
fn public_key(text: &str) -> Option<VerifyingKey> {
    if text.trim_start().starts_with("-----") {
        return VerifyingKey::ed25519_from_pem(text.trim_start()).ok();
    }
    let bytes = base64_decode(text.trim()).ok()?;
    VerifyingKey::ed25519(bytes.try_into().ok()?).ok()
}

/// What the log says of a key; never what it signs with.
fn payload(key: &ApiKey) -> Value {
    json!({
        "accounts": key.accounts, "algorithm": key.algorithm, "allow": key.allow,
        "environment": key.environment, "expires_at": key.expires_at,
        "instruments": key.instruments, "max_notional": key.max_notional, "name": key.name,
        "scopes": key.scopes, "strategy_id": key.strategy_id, "tier": key.tier,
    })
}
