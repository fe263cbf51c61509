//! The way out: whoever holds the installation looks at the rows that are not what the log says, and
//! makes them what it says from now on. Over the network nobody does.

use super::check::{Mistrust, newest_number};
use super::tell::Place;
use super::{ROWS_MAX, Told, code_of, first_head, following};
use crate::actor::Actor;
use crate::book::{Book, Scope};
use crate::command::error::{CommandError, invalid};
use crate::effects::{Effects, Severity};
use crate::journal::Urgency;
use crate::people::set_mark;
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::sync::Arc;
use tradewarden_domain::id::Id;
use tradewarden_seal::{Digest, RowSum};
use tradewarden_store::guarded::{self, Image};
use tradewarden_store::{Error, Tx, audit};

impl Engine {
    /// Lists the rows that are not what the log says, with the phrase that accepts exactly these; with
    /// the phrase, enters all rows of these kinds as they are.
    pub(crate) async fn accept_rows(
        &self,
        phrase: Option<&str>,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let mistrusted = self.parts.mistrusted();
        let listed: Vec<_> =
            mistrusted.iter().map(|(place, mistrust)| listed(*place, mistrust)).collect();
        if listed.is_empty() {
            return Ok(json!({ "accepted": 0, "mistrusted": listed, "phrase": null }));
        }
        let digest = Digest::sha256(Value::from(listed.clone()).to_string().as_bytes());
        let digest = digest.to_string();
        let expected = format!("accept {}", digest.get(..8).unwrap_or_default());
        let Some(typed) = phrase else {
            return Ok(json!({ "accepted": 0, "mistrusted": listed, "phrase": expected }));
        };
        if typed.trim() != expected {
            return Err(invalid("phrase", &format!("must be exactly: {expected}")));
        }
        let mut accepted = 0_usize;
        for (place, mistrust) in mistrusted {
            accepted = accepted.saturating_add(self.accept(place, mistrust, actor).await?);
        }
        self.parts.reload().await;
        self.parts.reload_people().await?;
        let left = self.parts.mistrusted();
        let left: Vec<_> =
            left.iter().map(|(place, mistrust)| self::listed(*place, mistrust)).collect();
        Ok(json!({ "accepted": accepted, "mistrusted": left, "phrase": null }))
    }

    async fn accept(
        &self,
        place: Place,
        mistrust: Mistrust,
        actor: &Actor,
    ) -> Result<usize, CommandError> {
        let (shared, actor) = (Arc::clone(&self.parts), actor.clone());
        let written = self.parts.journal.write(
            Urgency::Now,
            async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                let mut book = Book::load(tx, &shared, &Scope::default()).await?;
                // The head is the last thing that is locked, here as everywhere.
                set_mark(tx, &shared.environment).await?;
                let rows = begin_anew(tx, &shared, place).await?;
                let (kind, org) = place;
                let owner = shared.owner_of_rows(org);
                let mut payload = listed(place, &mistrust);
                actor.sign(&mut payload);
                book.enter(&shared, owner, owner, "rows.accepted", &payload);
                let detail = format!(
                    "{} accepted what the database holds. Before: {}",
                    actor.name(),
                    mistrust.detail(kind)
                );
                let subject = mistrust.subject(kind, org);
                book.find(&shared, owner, "row.accepted", Severity::Critical, subject, detail);
                book.write(tx, effects).await?;
                tx.have_all_read_anew(org);
                Ok::<_, Error>(rows)
            },
        );
        Ok(written.await?)
    }
}

/// What is shown, and entered, of what is mistrusted.
fn listed((kind, org): Place, mistrust: &Mistrust) -> Value {
    let rows: Vec<_> = mistrust.rows.iter().map(|row| kind.name_of(*row)).collect();
    let org = (org != [0; 16]).then(|| Id::<tradewarden_domain::id::Org>::from_bytes(org));
    json!({ "kind": kind.word(), "org_id": org, "rows": rows, "why": mistrust.why })
}

/// Enters all rows of a kind in an organization as they are; answers how many there are.
async fn begin_anew(tx: &mut Tx<'_>, shared: &Shared, (kind, org): Place) -> Result<usize, Error> {
    let sealer = &shared.row_sealer;
    // Locked first: what others change meanwhile goes on from here.
    let mut head = guarded::lock_head(tx, &first_head(sealer, kind, org)).await?;
    let known = shared.known_number(kind, org);
    head.number = newest_number(&shared.store, sealer, &head, known).await?;
    let images = guarded::all_in(tx, kind, org).await?;
    let told = |image: &Image| {
        let after = Some(code_of(sealer, kind, image));
        Told { row: image.row, before: None, after }
    };
    let rows: Vec<Told> = images.iter().map(told).collect();
    // Of no rows, too, there is an entry.
    let none: &[Told] = &[];
    let chunks = rows.chunks(ROWS_MAX).chain(rows.is_empty().then_some(none));
    let (mut sum, mut entries) = (RowSum::default(), Vec::new());
    for chunk in chunks {
        sum = chunk.iter().fold(sum, |sum, told| told.moves(sum));
        let begins = entries.is_empty();
        entries.push(following(&shared.environment, sealer, &mut head, (sum, begins), chunk));
    }
    guarded::put_head(tx, &head).await?;
    audit::insert(tx, entries).await?;
    Ok(rows.len())
}
