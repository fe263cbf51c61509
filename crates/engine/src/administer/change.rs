//! Changing and taking away what was made: judged on the stored row, under the lock of its
//! organization, in the transaction that writes it. So two changes never overlook one another, and
//! no signal is judged in between.
//!
//! Crash story: one transaction with its audit entry. A crash before it leaves everything as it was,
//! after it the change is in force and unheard.

mod account;
mod adopt;
mod disconnect;
mod limit;
mod policy;
mod roll;
mod strategy;
mod webhook;

pub(super) use self::policy::reason_of;
pub(super) use self::strategy::Unsaid;

use crate::actor::Actor;
use crate::book::Book;
use crate::command::error::{CommandError, to_value};
use crate::effects::Effects;
use crate::journal::Urgency;
use crate::{Engine, Shared};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id, Kind};
use tradewarden_store::{Error, Lock, Tx, directory as rows};

/// Why a change ends before anything of it is written.
pub(super) enum Stop {
    /// A rule said no.
    No(CommandError),
    /// The signed request was carried out before.
    Replayed,
    /// The database failed.
    Broken(Error),
}

impl From<CommandError> for Stop {
    fn from(no: CommandError) -> Self {
        Self::No(no)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

enum Judged<T> {
    Done(T),
    No(CommandError),
    Replayed,
}

impl Engine {
    /// Judges and writes a change in one transaction, and lets everybody see it before it is
    /// answered. A step that says no must not have written anything: the transaction is others' too.
    pub(super) async fn amend<T, F>(&self, actor: &Actor, mut step: F) -> Result<T, CommandError>
    where
        T: Send + 'static,
        F: AsyncFnMut(&mut Tx<'_>, &mut Effects) -> Result<T, Stop> + Send + 'static,
    {
        let judged = self
            .parts
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                match step(tx, effects).await {
                    Ok(done) => Ok(Judged::Done(done)),
                    Err(Stop::No(no)) => Ok(Judged::No(no)),
                    Err(Stop::Replayed) => Ok(Judged::Replayed),
                    Err(Stop::Broken(error)) => Err(error),
                }
            })
            .await?;
        match judged {
            Judged::Done(done) => {
                actor.carried_out(true)?;
                self.parts.reload().await;
                crate::funds::hear_first(&self.parts).await;
                Ok(done)
            }
            Judged::No(no) => Err(no),
            Judged::Replayed => {
                actor.carried_out(false)?;
                Err(refused(Code::Unauthenticated))
            }
        }
    }
}

/// Locks the organization against every judgement and every other change.
pub(super) async fn lock(tx: &mut Tx<'_>, org: Id<id::Org>) -> Result<rows::Versions, Stop> {
    let versions = rows::lock_organizations(tx, &[org], Lock::Update).await?;
    // One was asked for: there is one, or the look-up has failed.
    versions.into_iter().next().ok_or_else(|| CommandError::NotFound.into())
}

/// The first thing that a change writes, once every rule has said yes.
pub(super) async fn begin(tx: &mut Tx<'_>, shared: &Shared, actor: &Actor) -> Result<(), Stop> {
    if actor.begin(tx, shared.environment.now()).await? { Ok(()) } else { Err(Stop::Replayed) }
}

/// The members of an object that differ, each as it was and as it is. Both are what is shown of the
/// thing, which holds no secret.
pub(super) fn differences(
    before: &impl Serialize,
    after: &impl Serialize,
) -> Result<Map<String, Value>, CommandError> {
    let (before, after) = (to_value(before)?, to_value(after)?);
    let names = |object: &Value| -> Vec<String> {
        object.as_object().map(|members| members.keys().cloned().collect()).unwrap_or_default()
    };
    let mut all = names(&before);
    all.extend(names(&after));
    let of = |object: &Value, name: &str| object.get(name).cloned().unwrap_or(Value::Null);
    let differ = all.into_iter().filter_map(|name| {
        let (was, is) = (of(&before, &name), of(&after, &name));
        (was != is).then(|| (name, json!({ "after": is, "before": was })))
    });
    Ok(differ.collect())
}

/// Writes what a book holds with one more entry.
pub(super) async fn enter<K: Kind>(
    tx: &mut Tx<'_>,
    shared: &Arc<Shared>,
    mut book: Book,
    effects: &mut Effects,
    (org, object): (Id<id::Org>, Id<K>),
    event: &'static str,
    (actor, mut payload): (&Actor, Value),
) -> Result<(), Stop> {
    actor.sign(&mut payload);
    book.enter(shared, org, object, event, &payload);
    Ok(book.write(tx, effects).await?)
}

pub(super) fn refused(code: Code) -> CommandError {
    CommandError::Refused { code, detail: code.meaning().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_as_it_was_and_as_it_is() {
        let before = json!({"name": "a", "same": 1, "gone": "x"});
        let after = json!({"name": "b", "same": 1, "new": [1]});
        let told = Value::Object(differences(&before, &after).unwrap());
        let expected = json!({
            "gone": {"after": null, "before": "x"}, "name": {"after": "b", "before": "a"},
            "new": {"after": [1], "before": null},
        });
        assert_eq!(told, expected);
        assert!(differences(&before, &before).unwrap().is_empty());
    }
}
