//! Telling people of rows whose code does not hold, once each.

use crate::Shared;
use crate::effects::Severity;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tradewarden_domain::id::{self, Id};

/// The code of the finding.
const CODE: &str = "row.mismatch";
/// Rows that one process tells of: whoever puts in more has been noticed.
const TOLD_MAX: usize = 1_000;

/// A row whose code does not hold, and who is to hear of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stranger {
    /// The code that it would have: a row that is changed once more is told once more.
    pub(crate) content: [u8; 32],
    pub(crate) org: Id<id::Org>,
    pub(crate) subject: String,
    pub(crate) detail: &'static str,
}

/// What was found and is to be told, and of what people were told already.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    waiting: BTreeSet<Stranger>,
    told: BTreeSet<[u8; 32]>,
}

impl Strangers {
    /// Notes a row, to be told of soon.
    pub(crate) fn note(&self, stranger: Stranger) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = found.waiting.len().saturating_add(found.told.len());
        if count < TOLD_MAX && !found.told.contains(&stranger.content) {
            found.waiting.insert(stranger);
        }
    }

    fn waiting(&self) -> BTreeSet<Stranger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting.clone()
    }

    fn is_told(&self, stranger: &Stranger) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.waiting.remove(stranger);
        found.told.insert(stranger.content);
    }
}

impl Shared {
    /// Tells of rows whose code does not hold. What belongs to no organization that is there is told to
    /// the first.
    pub(crate) async fn tell_of_strangers(self: &Arc<Self>) {
        for stranger in &self.people.principals.load_full().strangers {
            self.strangers.note(stranger.clone());
        }
        for stranger in self.strangers.waiting() {
            let owner = {
                let directory = self.directory.load();
                let orgs = directory.organizations.iter().map(|organization| organization.id);
                let first = orgs.clone().next().unwrap_or(stranger.org);
                orgs.into_iter().find(|org| *org == stranger.org).unwrap_or(first)
            };
            let (subject, detail) = (stranger.subject.clone(), stranger.detail.to_owned());
            tracing::error!(org.id = %owner, subject, detail, "the database was changed");
            // What could not be written down is tried again at the next look.
            if self.tell(owner, CODE, Severity::Critical, subject, detail).await {
                self.strangers.is_told(&stranger);
            }
        }
    }
}
