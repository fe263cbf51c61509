//! Secrets of webhooks that were replaced and are still taken for a while.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::keys;
use crate::value::Row;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;

const REPLACE: &str = "-- webhook_secrets::replace\n\
    UPDATE webhooks SET secret_hash = $2, signing_secret = $3 WHERE id = $1";
const KEEP: &str = "-- webhook_secrets::keep\n\
    INSERT INTO previous_secrets (webhook_id, secret_hash, signing_secret, valid_until) \
    VALUES ($1, $2, $3, $4) ON CONFLICT (webhook_id) DO UPDATE SET \
    secret_hash = excluded.secret_hash, signing_secret = excluded.signing_secret, \
    valid_until = excluded.valid_until";
const ALL: &str = "-- webhook_secrets::all\n\
    SELECT webhook_id, secret_hash, signing_secret, valid_until FROM previous_secrets \
    WHERE valid_until > $1 ORDER BY webhook_id";

const FIND: &str = "-- webhook_secrets::find\n\
    SELECT webhook_id, secret_hash, signing_secret, valid_until FROM previous_secrets \
    WHERE webhook_id = $1";

const FORGET: &str =
    "-- webhook_secrets::forget\nDELETE FROM previous_secrets WHERE webhook_id = $1";

pub(crate) const STATEMENTS: &[&str] = &[REPLACE, KEEP, ALL, FIND, FORGET];

/// A pair of secrets: the hash of the one that is shown, and the sealed one that signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// The hash of the secret.
    pub secret_hash: [u8; 32],
    /// The Standard Webhooks secret, sealed, if the webhook takes signatures.
    pub signing_secret: Option<Vec<u8>>,
}

/// Secrets that were replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// The webhook.
    pub webhook_id: Id<id::Webhook>,
    /// What was replaced.
    pub secrets: Secrets,
    /// Until when it is taken.
    pub valid_until: Timestamp,
}

/// Replaces a webhook's secrets and keeps the ones before; those before them are forgotten.
pub async fn replace(tx: &mut Tx<'_>, new: &Secrets, previous: &Previous) -> Result<(), Error> {
    let id = previous.webhook_id;
    hold(tx, new).await?;
    hold(tx, &previous.secrets).await?;
    let replaced = [id.into(), new.secret_hash.into(), new.signing_secret.clone().into()];
    tx.execute_one(REPLACE, &replaced).await?;
    let kept = [
        id.into(),
        previous.secrets.secret_hash.into(),
        previous.secrets.signing_secret.clone().into(),
        previous.valid_until.into(),
    ];
    tx.execute_one(KEEP, &kept).await
}

/// Replaces a webhook's secrets and forgets all before them.
pub async fn replace_at_once(
    tx: &mut Tx<'_>,
    webhook: Id<id::Webhook>,
    new: &Secrets,
) -> Result<(), Error> {
    hold(tx, new).await?;
    let replaced = [webhook.into(), new.secret_hash.into(), new.signing_secret.clone().into()];
    tx.execute_one(REPLACE, &replaced).await?;
    tx.execute(FORGET, &[webhook.into()]).await.map(|_| ())
}

/// Every replaced secret that is still taken at this instant.
pub async fn all(store: &Store, now: Timestamp) -> Result<Vec<Previous>, Error> {
    store.query(ALL, vec![now.into()]).await?.into_iter().map(decode).collect()
}

/// The replaced secrets of a webhook, whether they are still taken or not.
pub async fn find(store: &Store, webhook: Id<id::Webhook>) -> Result<Option<Previous>, Error> {
    store.query_one(FIND, vec![webhook.into()]).await?.map(decode).transpose()
}

async fn hold(tx: &mut Tx<'_>, secrets: &Secrets) -> Result<(), Error> {
    match &secrets.signing_secret {
        Some(sealed) => keys::hold(tx, sealed).await,
        None => Ok(()),
    }
}

fn decode(mut row: Row) -> Result<Previous, Error> {
    Ok(Previous {
        webhook_id: row.id()?,
        secrets: Secrets { secret_hash: row.hash()?, signing_secret: row.bytes_or_null()? },
        valid_until: row.time()?,
    })
}
