//! Telling people of rows that are not what the log says, once each.

use super::check::Mistrust;
use super::history::Place;
use crate::Shared;
use crate::effects::Severity;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tradewarden_domain::id::{self, Id};
use tradewarden_store::guarded::Guarded;

/// The code of the finding.
const CODE: &str = "row.mismatch";

/// What people were told of already.
#[derive(Debug, Default)]
pub(crate) struct ToldMistrust(Mutex<BTreeMap<Place, Mistrust>>);

impl ToldMistrust {
    /// Of what is mistrusted now, that of which nobody was told. What is right again is told anew if it
    /// is wrong once more.
    fn news(&self, now: &BTreeMap<Place, Mistrust>) -> Vec<Place> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|place, _| now.contains_key(place));
        let is_news = |(place, mistrust): &(&Place, &Mistrust)| told.get(place) != Some(*mistrust);
        now.iter().filter(is_news).map(|(place, _)| *place).collect()
    }

    /// Notes that people were told of it.
    fn is_told(&self, place: Place, mistrust: &Mistrust) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(place, mistrust.clone());
    }
}

/// Tells of rows that are not what the log says. What belongs to no organization is told to the first.
pub(crate) async fn tell(shared: &Arc<Shared>) {
    let now = shared.mistrusted();
    for place in shared.mistrust_told.news(&now) {
        let ((kind, org), Some(mistrust)) = (place, now.get(&place)) else { continue };
        let owner = shared.owner_of_rows(org);
        let detail = mistrust.detail(kind);
        tracing::error!(org.id = %owner, kind = kind.word(), detail, "the database was changed");
        let subject = mistrust.subject(kind, org);
        // What could not be written down is tried again at the next look.
        if shared.tell(owner, CODE, Severity::Critical, subject, detail).await {
            shared.mistrust_told.is_told(place, mistrust);
        }
    }
}

impl Shared {
    /// What this node mistrusts.
    pub(crate) fn mistrusted(&self) -> BTreeMap<Place, Mistrust> {
        let (directory, people) = (self.directory.load(), self.people.principals.load());
        let found = directory.seals.mistrusted().chain(people.seals.mistrusted());
        found.map(|(kind, org, mistrust)| ((kind, org), mistrust.clone())).collect()
    }

    /// The number of the newest head that this node knows.
    pub(super) fn known_number(&self, kind: Guarded, org: [u8; 16]) -> i64 {
        let (directory, people) = (self.directory.load(), self.people.principals.load());
        directory.seals.number(kind, org).max(people.seals.number(kind, org))
    }

    /// Who hears of rows; of those that belong to no organization the first one.
    pub(super) fn owner_of_rows(&self, org: [u8; 16]) -> Id<id::Org> {
        let directory = self.directory.load();
        let first = directory.organizations.first().map(|organization| organization.id);
        let own = Id::from_bytes(org);
        if org == [0; 16] { first.unwrap_or(own) } else { own }
    }
}
