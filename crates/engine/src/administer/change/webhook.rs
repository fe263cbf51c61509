//! Changing a webhook, and taking one away.

use super::{Stop, begin, differences, enter, lock};
use crate::actor::Actor;
use crate::administer::create::{
    allow_list, client_certificate, forms, may_trade, symbol_list, within,
};
use crate::book::{Book, Scope};
use crate::command::error::{CommandError, invalid, parse_id, to_value};
use crate::command::{Change, Delete, Setting, WebhookChanges};
use crate::directory::{SealedSigning, parse_network, webhook_of, with_signing};
use crate::effects::Effects;
use crate::free_text::name;
use crate::reads::webhook_view;
use crate::tag::IfMatch;
use crate::{Engine, Shared};
use ipnet::IpNet;
use serde_json::{Value, json};
use std::sync::Arc;
use tradewarden_domain::account::Activity;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::source::Source;
use tradewarden_domain::strategy::Strategy;
use tradewarden_domain::webhook::{MAX_AGE_S_DEFAULT, RATE_PER_S_DEFAULT};
use tradewarden_seal::standard_webhooks;
use tradewarden_store::directory::{self as rows, WebhookRow};
use tradewarden_store::{Error, Tx};

const SIGNATURE: &str = "signature";

/// Which webhook, and on which content of it.
#[derive(Clone)]
struct Target {
    org: Id<id::Org>,
    id: Id<id::Webhook>,
    if_match: IfMatch,
}

impl Engine {
    pub(in crate::administer) async fn change_webhook(
        &self,
        org: Id<id::Org>,
        change: Change<WebhookChanges>,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let Change { id, changes, if_match } = change;
        let id: Id<id::Webhook> = parse_id(&id)?;
        let target = Target { org, id, if_match };
        // Sealed ahead: whether it is needed shows in the transaction.
        let may_sign = changes.forms.iter().flatten().any(|form| form == SIGNATURE);
        let signing = may_sign
            .then(|| self.parts.environment.with_randomness(standard_webhooks::generate_secret));
        let sealed = signing.as_ref().map(|plain| self.seal_signing(org, id, plain)).transpose()?;
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        let has_new_secret = self
            .amend(actor, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                let sealed = sealed.as_ref();
                change_in(tx, &shared, &target, &changes, sealed, &claimant, effects).await
            })
            .await?;
        let directory = self.parts.directory.load_full();
        let door = directory.doors.get(&id).ok_or(CommandError::NotFound)?;
        let mut view = webhook_view(&self.parts, &door.webhook);
        view.signing_secret = signing
            .as_ref()
            .filter(|_| has_new_secret)
            .map(|plain| standard_webhooks::print_secret(plain).expose().to_owned());
        to_value(&view)
    }

    pub(in crate::administer) async fn delete_webhook(
        &self,
        org: Id<id::Org>,
        delete: Delete,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let id: Id<id::Webhook> = parse_id(&delete.id)?;
        let target = Target { org, id, if_match: delete.if_match };
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        self.amend(actor, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            delete_in(tx, &shared, &target, &claimant, effects).await
        })
        .await?;
        Ok(json!({ "deleted": true, "id": id }))
    }
}

/// Says whether the webhook was given the new signing secret.
async fn change_in(
    tx: &mut Tx<'_>,
    shared: &Arc<Shared>,
    target: &Target,
    changes: &WebhookChanges,
    sealed: Option<&SealedSigning>,
    actor: &Actor,
    effects: &mut Effects,
) -> Result<bool, Stop> {
    lock(tx, target.org).await?;
    let (before, _) = found(tx, shared, target, actor).await?;
    let after = applied(shared, &before, changes)?;
    if lets_more_in(&before, &after)? {
        actor.fresh(shared.environment.now())?;
    }
    let differences = differences(
        &webhook_view(shared, &webhook_of(&before)?),
        &webhook_view(shared, &webhook_of(&after)?),
    )?;
    let has_signature = after.forms.split(',').any(|form| form == SIGNATURE);
    let new_secret = sealed.filter(|_| has_signature && before.signing_secret.is_none());
    let book = Book::load(tx, shared, &Scope::default()).await?;
    begin(tx, shared, actor).await?;
    if differences.is_empty() {
        return Ok(false);
    }
    rows::update_webhook(tx, &after).await?;
    if let Some(sealed) = new_secret {
        rows::set_signing_secret(tx, target.id, &sealed.record).await?;
    }
    let object = (target.org, target.id);
    let mut payload = json!({ "changed": differences });
    if new_secret.is_some() {
        payload = with_signing(payload, new_secret);
    }
    enter(tx, shared, book, effects, object, "webhook.changed", (actor, payload)).await?;
    Ok(new_secret.is_some())
}

async fn delete_in(
    tx: &mut Tx<'_>,
    shared: &Arc<Shared>,
    target: &Target,
    actor: &Actor,
    effects: &mut Effects,
) -> Result<(), Stop> {
    lock(tx, target.org).await?;
    let (before, followers) = found(tx, shared, target, actor).await?;
    if !followers.is_empty() {
        let names: Vec<_> = followers
            .iter()
            .map(|follower| format!("{} ({})", follower.name, follower.id))
            .collect();
        let detail = format!(
            "Strategies follow it: {}. Let them follow another webhook, or delete them.",
            names.join(", ")
        );
        return Err(CommandError::Refused { code: Code::WebhookInUse, detail }.into());
    }
    let view = to_value(&webhook_view(shared, &webhook_of(&before)?))?;
    let book = Book::load(tx, shared, &Scope::default()).await?;
    begin(tx, shared, actor).await?;
    rows::delete_webhook(tx, target.id).await?;
    let payload = json!({ "before": view });
    enter(tx, shared, book, effects, (target.org, target.id), "webhook.deleted", (actor, payload))
        .await
}

/// The webhook as it is stored, if the actor may know of it and trade what comes through it, and the
/// strategies that follow it.
async fn found(
    tx: &mut Tx<'_>,
    shared: &Shared,
    target: &Target,
    actor: &Actor,
) -> Result<(WebhookRow, Vec<Strategy>), Stop> {
    let row = rows::webhook_in(tx, target.id).await?.filter(|row| row.org_id == target.org);
    let source = Source::Webhook(target.id);
    let followers = rows::followers(tx, &[source]).await?.remove(&source).unwrap_or_default();
    let reaches = followers.iter().all(|follower| actor.reaches_all_of(follower));
    let row = row.filter(|_| reaches).ok_or(CommandError::NotFound)?;
    followers.iter().try_for_each(|follower| may_trade(actor, follower))?;
    target.if_match.check(&webhook_view(shared, &webhook_of(&row)?))?;
    Ok((row, followers))
}

/// The webhook as it would be.
fn applied(
    shared: &Shared,
    before: &WebhookRow,
    changes: &WebhookChanges,
) -> Result<WebhookRow, CommandError> {
    let mut after = before.clone();
    if let Some(text) = &changes.name {
        name(text)?.clone_into(&mut after.name);
    }
    if changes.allow.is_some() || changes.preset.is_some() {
        let present = before.allow.split(',').filter(|part| !part.is_empty()).map(str::to_owned);
        let allow = changes.allow.clone().unwrap_or_else(|| present.collect());
        after.allow = allow_list(&allow, changes.preset.as_deref())?.join(",");
    }
    match &changes.client_certificate {
        Setting::Keep => {}
        Setting::Clear => after.client_certificate = None,
        Setting::Set(text) => {
            let name = client_certificate(&shared.settings, text)?;
            after.client_certificate = Some(name.to_string());
        }
    }
    if let Some(wanted) = &changes.forms {
        if wanted.is_empty() {
            return Err(invalid("forms", &"must have at least one"));
        }
        let wanted = forms(Some(wanted.clone()))?;
        after.forms = wanted.into_iter().collect::<Vec<_>>().join(",");
    }
    match &changes.mapping {
        Setting::Keep => {}
        Setting::Clear => after.mapping = None,
        Setting::Set(mapping) => {
            let text = serde_json::to_string(mapping);
            after.mapping = Some(text.map_err(|error| invalid("mapping", &error))?);
        }
    }
    if let Some(symbols) = &changes.symbols {
        after.symbols = symbol_list(symbols)?;
    }
    if let Some(dry_run) = changes.dry_run {
        after.dry_run = dry_run;
    }
    if changes.rate_per_s.is_some() {
        let rate = within("rate_per_s", changes.rate_per_s, RATE_PER_S_DEFAULT, 1_000_000)?;
        after.rate_per_s = rate;
    }
    if changes.max_age_s.is_some() {
        after.max_age_s = within("max_age_s", changes.max_age_s, MAX_AGE_S_DEFAULT, 86_400)?;
    }
    if let Some(state) = changes.state {
        after.state = state;
    }
    Ok(after)
}

/// Whether something could pass that did not before: from another address, without the certificate
/// that was asked for, by another form of credential, with another symbol, more of it, an older one,
/// or at all.
fn lets_more_in(before: &WebhookRow, after: &WebhookRow) -> Result<bool, Error> {
    let forms_before: Vec<_> = before.forms.split(',').collect();
    let another_form = after.forms.split(',').any(|form| !forms_before.contains(&form));
    let another_certificate = before.client_certificate.is_some()
        && before.client_certificate != after.client_certificate;
    let symbols_before: Vec<_> = before.symbols.split(',').collect();
    let another_symbol = !before.symbols.is_empty()
        && after.symbols.split(',').any(|symbol| !symbols_before.contains(&symbol));
    let more = after.rate_per_s > before.rate_per_s || after.max_age_s > before.max_age_s;
    let trades = before.dry_run && !after.dry_run;
    let opens = before.state == Activity::Disabled && after.state == Activity::Active;
    let (before, after) = (networks(before)?, networks(after)?);
    let another = another_form || another_certificate || another_symbol;
    Ok(another || more || trades || opens || is_wider(&before, &after))
}

/// Whether an allow-list takes an address that another one did not; an empty one takes all.
fn is_wider(before: &[IpNet], after: &[IpNet]) -> bool {
    if before.is_empty() {
        return false;
    }
    let before = IpNet::aggregate(&before.to_vec());
    let is_inside = |network: &IpNet| before.iter().any(|known| known.contains(network));
    after.is_empty() || !after.iter().all(is_inside)
}

fn networks(row: &WebhookRow) -> Result<Vec<IpNet>, Error> {
    let broken = |_| Error::unreadable(format!("webhook {}: its allow-list is unreadable", row.id));
    let parts = row.allow.split(',').filter(|part| !part.is_empty());
    parts.map(|text| parse_network(text).map_err(broken)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_lists_are_wider() {
        let list = |text: &str| -> Vec<IpNet> {
            text.split_whitespace().map(|one| parse_network(one).unwrap()).collect()
        };
        for (before, after, wider) in [
            ("", "", false),
            ("", "192.0.2.0/24", false),
            ("192.0.2.0/24", "", true),
            ("192.0.2.0/24", "192.0.2.0/24", false),
            ("192.0.2.0/24", "192.0.2.7", false),
            ("192.0.2.0/24", "192.0.2.0/25 192.0.2.200", false),
            ("192.0.2.7", "192.0.2.0/24", true),
            ("192.0.2.0/24", "192.0.2.0/23", true),
            ("192.0.2.0/24", "192.0.2.0/24 198.51.100.1", true),
            ("192.0.2.0/24 198.51.100.1", "198.51.100.1", false),
            ("10.0.0.0/9 10.128.0.0/9", "10.0.0.0/8", false),
            ("10.0.0.0/9", "10.0.0.0/8", true),
            ("0.0.0.0/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:1::/48", false),
            ("2001:db8::/48", "2001:db8::/32", true),
            ("0.0.0.0/0 ::/0", "", true),
        ] {
            assert_eq!(is_wider(&list(before), &list(after)), wider, "{before:?} to {after:?}");
        }
    }
}
