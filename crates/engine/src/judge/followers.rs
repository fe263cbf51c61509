//! Followers: which strategies a webhook's signals are for.

use crate::directory::Directory;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::strategy::Strategy;
use tradewarden_store::{Error, Tx, directory as rows};

/// The strategies that follow each webhook.
pub(super) enum Followers {
    /// As they are known by heart.
    Known(Arc<Directory>),
    /// As the transaction sees them.
    Read(BTreeMap<Id<id::Webhook>, Vec<Arc<Strategy>>>),
}

impl Followers {
    /// Reads those of these webhooks in the transaction.
    pub(super) async fn read(
        tx: &mut Tx<'_>,
        webhooks: BTreeSet<Id<id::Webhook>>,
    ) -> Result<Self, Error> {
        let webhooks: Vec<_> = webhooks.into_iter().collect();
        let found = rows::followers(tx, &webhooks).await?;
        let shared = |all: Vec<Strategy>| all.into_iter().map(Arc::new).collect();
        Ok(Self::Read(webhooks.into_iter().zip(found.into_iter().map(shared)).collect()))
    }

    /// Those of one webhook, oldest first.
    pub(super) fn of(&self, webhook: Id<id::Webhook>) -> &[Arc<Strategy>] {
        match self {
            Self::Known(directory) => directory.followers(webhook),
            Self::Read(followers) => followers.get(&webhook).map_or(&[], Vec::as_slice),
        }
    }
}
