//! Changing an account.

use super::{Stop, begin, differences, enter, lock};
use crate::actor::Actor;
use crate::administer::create::name;
use crate::administer::{parse_id, to_value};
use crate::book::{Book, Effects, Scope};
use crate::command::{AccountChanges, Change, CommandError};
use crate::reads::account_view;
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::sync::Arc;
use tradewarden_domain::account::Account;
use tradewarden_domain::id::{self, Id};
use tradewarden_store::{Tx, directory as rows};

impl Engine {
    pub(in crate::administer) async fn change_account(
        &self,
        org: Id<id::Org>,
        change: Change<AccountChanges>,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let id: Id<id::Account> = parse_id(&change.id)?;
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        self.amend(actor, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            change_in(tx, &shared, (org, id), &change, &claimant, effects).await
        })
        .await?;
        let directory = self.parts.directory.load_full();
        let account = directory.accounts.get(&id).ok_or(CommandError::NotFound)?;
        to_value(&account_view(account))
    }
}

async fn change_in(
    tx: &mut Tx<'_>,
    shared: &Arc<Shared>,
    (org, id): (Id<id::Org>, Id<id::Account>),
    change: &Change<AccountChanges>,
    actor: &Actor,
    effects: &mut Effects,
) -> Result<(), Stop> {
    lock(tx, org).await?;
    let known = shared.directory.load().accounts.get(&id).cloned();
    let known = known.filter(|known| known.org_id == org && actor.reaches(id));
    let known = known.ok_or(CommandError::NotFound)?;
    let (_, stored_name, state) =
        rows::account_settings(tx, id).await?.ok_or(CommandError::NotFound)?;
    let before = Account { name: stored_name, state, ..Account::clone(&known) };
    change.if_match.check(&account_view(&before))?;
    let mut after = before.clone();
    if let Some(text) = &change.changes.name {
        name(text)?.clone_into(&mut after.name);
    }
    after.state = change.changes.state.unwrap_or(after.state);
    let differences = differences(&account_view(&before), &account_view(&after))?;
    let book = Book::load(tx, shared, &Scope::default()).await?;
    begin(tx, shared, actor).await?;
    if differences.is_empty() {
        return Ok(());
    }
    rows::update_account(tx, id, &after.name, after.state).await?;
    let payload = json!({ "changed": differences });
    enter(tx, shared, book, effects, (org, id), "account.changed", (actor, payload)).await
}
