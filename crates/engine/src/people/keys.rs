//! The keys of people: what passwords are peppered with, what second factors are sealed under, and
//! what signs access tokens.

use super::People;
use super::passkeys::relying_party;
use super::principals::{self, Principals};
use crate::command::error::{CommandError, away};
use crate::environment::Environment;
use crate::installation::{INSTALLATION, OpenError};
use crate::seals::Seals;
use crate::vault;
use crate::{Settings, Shared};
use arc_swap::ArcSwap;
use serde_json::Value;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{
    AccessClaims, DataKeyPlace, DataKeySet, Keyring, Pepper, Place, Purpose, RowSealer,
    SecretString, TokenKey, TokenRealm, WrappedKey,
};
use tradewarden_store::sessions::SessionRow;
use tradewarden_store::token_keys::{self, TokenKeyRow};
use tradewarden_store::{Store, Tx, Writer, keys};

/// How long a key signs.
const SIGNS_FOR: Duration = Duration::from_hours(30 * 24);
/// How long a key that signs no more is still taken: longer than any access token lives.
const TAKEN_FOR: Duration = Duration::from_hours(24);
/// Keys that are taken at one time; seal bounds them, too.
const TAKEN_MAX: usize = tradewarden_seal::MAX_TOKEN_KEYS;

/// The key that signs, and those that are taken.
pub(crate) struct TokenKeys {
    realm: TokenRealm,
    signer: TokenKey,
    since: Timestamp,
    /// From this instant on a retired key is taken no more.
    ends_at: Option<Timestamp>,
}

/// What an access token says, as far as it counts: everything else is read at each request.
pub(crate) struct Claims {
    pub(crate) user: Id<id::User>,
    pub(crate) org: Id<id::Org>,
    pub(crate) session: Id<id::Session>,
    pub(crate) epoch: i64,
}

fn failed(error: &dyn Display) -> OpenError {
    OpenError(error.to_string())
}

/// Makes the keys of people if they are not there; all of it in one transaction.
pub(crate) async fn found(
    writer: &mut Writer,
    store: &Store,
    environment: &Environment,
    keyring: &Keyring,
) -> Result<(), OpenError> {
    let now = environment.now();
    let tenant = INSTALLATION.to_bytes();
    let stored = keys::of(store, INSTALLATION, Purpose::People.name()).await?;
    let is_new = stored.is_empty();
    let rows = token_keys::all(store).await?;
    let signs = rows.iter().any(|row| row.retired_at.is_none() && !is_old(row.created_at, now));
    if signs && !is_new {
        return Ok(());
    }
    let (version, wrapped) = match stored.into_iter().next() {
        Some(row) => (row.version, WrappedKey::from_stored(row.wrapped)),
        None => (
            1,
            crate::installation::new_key(environment, keyring, INSTALLATION, Purpose::People)
                .await?,
        ),
    };
    let place =
        DataKeyPlace { version, ..crate::installation::first_key(&tenant, Purpose::People) };
    let key = keyring.open_data_key(&place, &wrapped).await;
    let key = Arc::new(key.map_err(|error| failed(&error))?);
    let row = new_key(environment, &DataKeySet::new(key, Vec::new()), now);
    let row = row.ok_or_else(|| OpenError("no key for access tokens was made".to_owned()))?;
    let mut made = Vec::new();
    if is_new {
        made.push((Purpose::People, wrapped));
        for purpose in [Purpose::Messages, Purpose::Pepper] {
            made.push((
                purpose,
                crate::installation::new_key(environment, keyring, INSTALLATION, purpose).await?,
            ));
        }
    }
    let mut tx = writer.begin().await?;
    for (purpose, key) in made {
        let bytes = key.as_bytes().to_vec();
        keys::insert(&mut tx, INSTALLATION, purpose.name(), 1, bytes, now).await?;
    }
    token_keys::insert(&mut tx, &row).await?;
    principals::set_mark(&mut tx, environment).await?;
    tx.commit().await?;
    Ok(())
}

impl People {
    /// Opens the keys and reads everybody.
    pub(crate) async fn open(
        store: &Store,
        environment: &Environment,
        keyring: &Keyring,
        settings: &Settings,
        sealer: &RowSealer,
    ) -> Result<Self, OpenError> {
        let missing = || OpenError("the keys for people are missing".to_owned());
        let open = async |purpose| {
            let now = environment.now();
            let opened = vault::opened(store, keyring, INSTALLATION, purpose, now).await?;
            opened.ok_or_else(missing)
        };
        let key = open(Purpose::People).await?;
        let messages = open(Purpose::Messages).await?;
        let pepper = open(Purpose::Pepper).await?;
        let pepper = Pepper::of(pepper.newest().ok_or_else(missing)?);
        let pepper = pepper.map_err(|error| failed(&error))?;
        let rows = token_keys::all(store).await?;
        let signing = TokenKeys::of(&rows, &key, &settings.public_origin, environment.now());
        let signing = signing.ok_or_else(|| {
            OpenError("no key for access tokens opens with this key file".to_owned())
        })?;
        let principals =
            Principals::load(store, sealer, &Seals::default(), environment.now()).await?;
        Ok(Self {
            profile: settings.profile,
            cost: settings.password_cost,
            key: ArcSwap::from_pointee(key),
            messages: ArcSwap::from_pointee(messages),
            pepper,
            hashing: super::Hashing::default(),
            principals: ArcSwap::from_pointee(principals),
            signing: ArcSwap::from_pointee(signing),
            relying_party: relying_party(settings),
            sources: super::Sources::default(),
            askers: super::Sources::default(),
            reloading: tokio::sync::Mutex::new(()),
            seen: std::sync::Mutex::default(),
        })
    }
}

impl TokenKeys {
    /// The newest key signs; all that are not long retired are taken.
    fn of(rows: &[TokenKeyRow], key: &DataKeySet, origin: &str, now: Timestamp) -> Option<Self> {
        let newest = rows.iter().rev().find(|row| row.retired_at.is_none())?;
        let signer = opened(newest, key)?;
        let taken = rows
            .iter()
            .rev()
            .filter(|row| row.retired_at.is_none_or(|at| now < at.plus(TAKEN_FOR)))
            .take(TAKEN_MAX)
            .filter_map(|row| opened(row, key))
            .map(|key| key.public().clone())
            .collect();
        Some(Self {
            realm: TokenRealm::new(origin, origin, taken)?,
            signer,
            since: newest.created_at,
            ends_at: rows
                .iter()
                .filter_map(|row| row.retired_at.map(|at| at.plus(TAKEN_FOR)))
                .filter(|ends_at| now < *ends_at)
                .min(),
        })
    }

    /// The public keys as a JWK set.
    pub(crate) fn jwks(&self) -> Value {
        serde_json::from_str(&self.realm.jwks()).unwrap_or_default()
    }

    /// An access token for a session.
    pub(crate) fn issue(
        &self,
        shared: &Shared,
        session: &SessionRow,
        epoch: i64,
        now: Timestamp,
        lasts: Duration,
    ) -> Option<SecretString> {
        let seconds = |at: Timestamp| u64::try_from(at.unix_seconds()).ok();
        let id: Id<id::Request> = shared.environment.id(now);
        let claims = AccessClaims {
            subject: session.user_id.to_string(),
            organization: session.org_id.to_string(),
            session: session.id.to_string(),
            id: id.bare_text(),
            methods: session.methods.split(' ').map(str::to_owned).collect(),
            authenticated_unix_s: seconds(session.authenticated_at)?,
            issued_unix_s: seconds(now)?,
            expires_unix_s: seconds(now.plus(lasts))?,
            epoch: u64::try_from(epoch).ok()?,
        };
        self.realm.issue(&self.signer, &claims).ok()
    }

    /// What a token says, if it is one of ours and its time is not over.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Option<Claims> {
        let now_s = u64::try_from(now.unix_seconds()).ok()?;
        let claims = self.realm.verify(token, now_s).ok()?;
        Some(Claims {
            user: claims.subject.parse().ok()?,
            org: claims.organization.parse().ok()?,
            session: claims.session.parse().ok()?,
            epoch: i64::try_from(claims.epoch).ok()?,
        })
    }
}

impl Shared {
    /// Reads the keys of access tokens anew.
    pub(super) async fn reload_token_keys(&self) -> Result<(), CommandError> {
        let rows = token_keys::all(&self.store).await.map_err(|error| away(&error))?;
        let (key, origin) = (self.people.key.load(), &self.settings.public_origin);
        if let Some(keys) = TokenKeys::of(&rows, &key, origin, self.environment.now()) {
            self.people.signing.store(Arc::new(keys));
        } else {
            tracing::error!("no key for access tokens can be opened: the old ones stay");
        }
        Ok(())
    }
}

/// Replaces the key that signs when it is old, and forgets those that are taken no more.
pub(crate) async fn renew(shared: &Arc<Shared>) {
    let now = shared.environment.now();
    let (since, ends_at) = {
        let signing = shared.people.signing.load();
        (signing.since, signing.ends_at)
    };
    if ends_at.is_some_and(|ends_at| ends_at <= now)
        && let Err(error) = shared.reload_token_keys().await
    {
        tracing::error!(error = %error, "a retired key of access tokens was not forgotten");
    }
    if !is_old(since, now) {
        return;
    }
    let Some(row) = new_key(&shared.environment, &shared.people.key.load(), now) else { return };
    let renewed = shared
        .change_people(async move |tx: &mut Tx<'_>, _book| {
            token_keys::insert(tx, &row).await?;
            token_keys::purge(tx, now.minus(TAKEN_FOR)).await
        })
        .await;
    if let Err(error) = renewed {
        tracing::error!(error = %error, "the key of access tokens was not replaced");
    }
}

fn is_old(since: Timestamp, now: Timestamp) -> bool {
    since.plus(SIGNS_FOR) < now
}

fn new_key(environment: &Environment, key: &DataKeySet, now: Timestamp) -> Option<TokenKeyRow> {
    environment.with_randomness(|random| {
        let made = TokenKey::generate(random).ok()?;
        let id = made.public().id().to_owned();
        let material = key.seal(&place(&id), made.seed().expose(), random).ok()?;
        let verifier = tradewarden_seal::base64url_encode(made.public().bytes());
        Some(TokenKeyRow { id, material, verifier, created_at: now, retired_at: None })
    })
}

fn opened(row: &TokenKeyRow, key: &DataKeySet) -> Option<TokenKey> {
    let seed = key.open(&place(&row.id), &row.material).ok()?;
    TokenKey::from_seed(seed).ok().filter(|key| key.public().id() == row.id)
}

fn place(id: &str) -> Place<'_> {
    Place {
        tenant: &[0; 16],
        table: "token_keys",
        column: "material",
        row: id.as_bytes(),
        schema_version: 1,
    }
}
