//! Followers: which strategies a source's signals are for.

use crate::directory::Directory;
use crate::signal::SignalWork;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tradewarden_domain::source::Source;
use tradewarden_domain::strategy::Strategy;
use tradewarden_store::{Error, Tx, directory as rows};

/// The strategies that follow each source.
pub(super) enum Followers {
    /// As they are known by heart.
    Known(Arc<Directory>),
    /// As the transaction sees them.
    Read(BTreeMap<Source, Vec<Arc<Strategy>>>),
}

impl Followers {
    /// Reads those of these sources in the transaction.
    pub(super) async fn read(tx: &mut Tx<'_>, sources: BTreeSet<Source>) -> Result<Self, Error> {
        let sources: Vec<_> = sources.into_iter().collect();
        let found = rows::followers(tx, &sources).await?.into_iter();
        let shared = |all: Vec<Strategy>| all.into_iter().map(Arc::new).collect();
        Ok(Self::Read(found.map(|(source, all)| (source, shared(all))).collect()))
    }

    /// Those that a signal is for, oldest first: all of its source's, or the one that it means.
    pub(super) fn of(&self, work: &SignalWork) -> impl Iterator<Item = &Arc<Strategy>> + use<'_> {
        let all = match self {
            Self::Known(directory) => directory.followers(work.source),
            Self::Read(followers) => followers.get(&work.source).map_or(&[][..], Vec::as_slice),
        };
        let meant = work.strategy_id;
        all.iter().filter(move |strategy| meant.is_none_or(|id| strategy.id == id))
    }
}
