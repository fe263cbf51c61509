//! The way out: whoever holds the installation looks at the rows that are not what the log says, and
//! makes them what it says from now on. Over the network nobody does.
//!
//! What is accepted is what was shown: everything is read anew for it, the phrase is over what the rows
//! hold, and the transaction that enters them looks once more whether they still do.

use super::check::{Found, Mistrust};
use super::history::{Place, newest_number};
use super::shown::{Shown, shown};
use super::{ROWS_MAX, Told, code_of, first_head, following, found};
use crate::actor::Actor;
use crate::book::{Book, Scope};
use crate::command::error::{CommandError, away, invalid};
use crate::effects::{Effects, Severity};
use crate::journal::Urgency;
use crate::people::set_mark;
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::sync::Arc;
use tradewarden_domain::id::Id;
use tradewarden_seal::{Digest, RowSum};
use tradewarden_store::guarded::{self, Guarded, Head, Image};
use tradewarden_store::{Error, Tx, audit};

/// What is mistrusted in a place, and how it is shown.
type Listed = (Place, Mistrust, Value);

impl Engine {
    /// Lists the rows that are not what the log says, with the phrase that accepts exactly these; with
    /// the phrase, enters all rows of these kinds as they are.
    pub(crate) async fn accept_rows(
        &self,
        phrase: Option<&str>,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let list = self.list_rows().await?;
        let listed: Vec<_> = list.iter().map(|(_, _, listed)| listed.clone()).collect();
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
            let detail = "is not for what the database holds now: list it again without a phrase";
            return Err(invalid("phrase", &detail));
        }
        let mut accepted = 0_usize;
        for listed in list {
            accepted = accepted.saturating_add(self.accept(listed, actor).await?);
        }
        let left: Vec<_> =
            self.list_rows().await?.into_iter().map(|(_, _, listed)| listed).collect();
        Ok(json!({ "accepted": accepted, "mistrusted": left, "phrase": null }))
    }

    /// What is mistrusted, as the database holds it now.
    async fn list_rows(&self) -> Result<Vec<Listed>, CommandError> {
        self.parts.reload_everything().await.map_err(|error| away(&error))?;
        self.parts.reload_people().await?;
        let mut list = Vec::new();
        for (place, mistrust) in self.parts.mistrusted() {
            let shown = shown(&self.parts, place, &mistrust).await;
            let listed = listed(place, &mistrust, &shown.map_err(|error| away(&error))?)?;
            list.push((place, mistrust, listed));
        }
        Ok(list)
    }

    async fn accept(
        &self,
        (place, mistrust, listed): Listed,
        actor: &Actor,
    ) -> Result<usize, CommandError> {
        let (shared, actor) = (Arc::clone(&self.parts), actor.clone());
        let written = self.parts.journal.write(
            Urgency::Now,
            async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                let mut book = Book::load(tx, &shared, &Scope::default()).await?;
                // The head is the last thing that is locked, here as everywhere.
                set_mark(tx, &shared.environment).await?;
                let Some(rows) = begin_anew(tx, &shared, place, &mistrust).await? else {
                    return Ok(None);
                };
                let (kind, org) = place;
                let owner = shared.owner_of_rows(org);
                let mut payload = listed.clone();
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
                Ok::<_, Error>(Some(rows))
            },
        );
        written.await?.ok_or_else(changed)
    }
}

/// What is shown, and entered, of what is mistrusted.
fn listed((kind, org): Place, mistrust: &Mistrust, shown: &Shown) -> Result<Value, CommandError> {
    let mut rows = Vec::with_capacity(mistrust.rows.len());
    for (row, code) in &mistrust.rows {
        let held = shown.get(row);
        if held.map(|(code, _)| *code) != *code {
            return Err(changed());
        }
        let code = code.map(|code| code.to_string());
        let holds = held.map(|(_, holds)| holds);
        rows.push(json!({ "id": kind.name_of(*row), "holds": holds, "code": code }));
    }
    let org = (org != [0; 16]).then(|| Id::<tradewarden_domain::id::Org>::from_bytes(org));
    Ok(json!({ "kind": kind.word(), "org_id": org, "rows": rows, "why": mistrust.why }))
}

fn changed() -> CommandError {
    let detail = "the rows changed while they were looked at: list them again".to_owned();
    CommandError::Unavailable { detail }
}

/// Enters all rows of a kind in an organization as they are, if what is to be mistrusted of them is what
/// was listed; answers how many there are.
async fn begin_anew(
    tx: &mut Tx<'_>,
    shared: &Shared,
    (kind, org): Place,
    listed: &Mistrust,
) -> Result<Option<usize>, Error> {
    let sealer = &shared.row_sealer;
    // Locked first: what others change meanwhile goes on from here.
    let mut head = guarded::lock_head(tx, &first_head(sealer, kind, org)).await?;
    let images = guarded::all_in(tx, kind, org).await?;
    let held = found(sealer, kind, images.iter().cloned()).remove(&org).unwrap_or_default();
    if judged(shared, &head, &held).await?.as_ref() != Some(listed) {
        return Ok(None);
    }
    let known = shared.known_number(kind, org);
    head.number = newest_number(&shared.store, sealer, &head, known).await?;
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
    Ok(Some(rows.len()))
}

/// What this node would mistrust of these rows.
async fn judged(shared: &Shared, head: &Head, held: &Found) -> Result<Option<Mistrust>, Error> {
    let of = (&shared.store, &shared.row_sealer);
    if matches!(head.kind, Guarded::Members | Guarded::Roles) {
        return shared.people.principals.load_full().seals.judge(of, head, held).await;
    }
    shared.directory.load_full().seals.judge(of, head, held).await
}
