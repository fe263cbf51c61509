//! Replaced secrets of webhooks.

use crate::backend::{Backend, at, id};
use tradewarden_store::directory::{self, WebhookRow};
use tradewarden_store::webhook_secrets::{self, Previous, Secrets};

pub(crate) async fn one_secret_before_is_kept(backend: &Backend) {
    let (mut writer, store) = crate::directory::founded(backend).await;
    let webhook = WebhookRow {
        signing_secret: Some(vec![1]),
        secret_hash: [1; 32],
        ..crate::directory::webhook()
    };
    let mut tx = writer.begin().await.unwrap();
    directory::insert_webhook(&mut tx, webhook.clone()).await.unwrap();
    let mut previous = Previous {
        webhook_id: webhook.id,
        secrets: Secrets { secret_hash: [1; 32], signing_secret: Some(vec![1]) },
        valid_until: at(10),
    };
    let new = Secrets { secret_hash: [2; 32], signing_secret: None };
    webhook_secrets::replace(&mut tx, &new, &previous).await.unwrap();
    previous.secrets = new;
    let newest = Secrets { secret_hash: [3; 32], signing_secret: Some(vec![3]) };
    webhook_secrets::replace(&mut tx, &newest, &previous).await.unwrap();
    let unknown = Previous { webhook_id: id(404), ..previous.clone() };
    tx.commit().await.unwrap();
    assert_eq!(webhook_secrets::all(&store, at(9)).await.unwrap(), [previous]);
    assert_eq!(webhook_secrets::all(&store, at(10)).await.unwrap(), []);
    let stored = directory::webhooks(&store).await.unwrap();
    let stored = stored.iter().find(|row| row.id == webhook.id).unwrap();
    assert_eq!((stored.secret_hash, stored.signing_secret.as_deref()), ([3; 32], Some(&[3][..])));
    let mut tx = writer.begin().await.unwrap();
    webhook_secrets::replace(&mut tx, &newest, &unknown).await.unwrap_err();
}
