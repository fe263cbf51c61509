//! Changing an account.

use super::policy::may_loosen;
use super::{Stop, begin, differences, enter, lock};
use crate::actor::Actor;
use crate::administer::create::session_start;
use crate::book::{Book, Scope};
use crate::command::error::{CommandError, parse_id, to_value};
use crate::command::{AccountChanges, Change, loosens_days};
use crate::effects::Effects;
use crate::free_text::name;
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
        to_value(&account_view(account, self.now()))
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
    let days = rows::account_days(tx, id).await?.ok_or(CommandError::NotFound)?;
    let before = Account { name: stored_name, state, days, ..Account::clone(&known) };
    let now = shared.environment.now();
    change.if_match.check(&account_view(&before, now))?;
    let mut after = before.clone();
    if let Some(text) = &change.changes.name {
        name(text)?.clone_into(&mut after.name);
    }
    after.state = change.changes.state.unwrap_or(after.state);
    change.changes.session.as_deref().map(session_start).transpose()?;
    if let Some(days) = change.changes.days(&before.days, now) {
        if loosens_days(&before.days, &days, now) {
            may_loosen(shared, org, actor)?;
        }
        after.days = days;
    }
    let differences = differences(&account_view(&before, now), &account_view(&after, now))?;
    let book = Book::load(tx, shared, &Scope::default()).await?;
    begin(tx, shared, actor).await?;
    if differences.is_empty() {
        return Ok(());
    }
    rows::update_account(tx, id, &after.name, after.state).await?;
    if after.days != before.days {
        rows::put_past_days(tx, id, now, &before.days).await?;
        rows::set_account_days(tx, id, &after.days).await?;
    }
    let payload = json!({ "changed": differences });
    enter(tx, shared, book, effects, (org, id), "account.changed", (actor, payload)).await
}
