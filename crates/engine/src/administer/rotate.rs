//! Rotating a webhook's secrets: the new ones are taken at once, the old ones for a while longer,
//! so that the sender can be changed without a gap.

use super::create::may_trade;
use crate::Engine;
use crate::actor::Actor;
use crate::command::WebhookRotate;
use crate::command::error::{CommandError, invalid, parse_id, to_value};
use crate::directory::{previous_signing_place, with_signing};
use crate::reads::webhook_view;
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::source::Source;
use tradewarden_domain::webhook::{OVERLAP_S_DEFAULT, OVERLAP_S_MAX};
use tradewarden_seal::{PlainToken, TokenKind, standard_webhooks};
use tradewarden_store::webhook_secrets::{self, Previous, Secrets};

impl Engine {
    pub(super) async fn rotate_webhook(
        &self,
        org: Id<id::Org>,
        rotate: WebhookRotate,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let id: Id<id::Webhook> = parse_id(&rotate.id)?;
        let overlap_s = rotate.overlap_s.unwrap_or(OVERLAP_S_DEFAULT);
        if overlap_s > OVERLAP_S_MAX {
            return Err(invalid("overlap_s", &format_args!("must be at most {OVERLAP_S_MAX}")));
        }
        let directory = self.parts.directory.load_full();
        let door = directory
            .doors
            .get(&id)
            .filter(|door| {
                door.webhook.org_id == org && directory.reaches(actor, Source::Webhook(id))
            })
            .ok_or(CommandError::NotFound)?;
        // Whoever has the secret trades what comes through it.
        let followers = directory.followers(Source::Webhook(id));
        followers.iter().try_for_each(|follower| may_trade(actor, follower))?;
        let environment = &self.parts.environment;
        let secret = environment
            .with_randomness(|random| PlainToken::generate(TokenKind::WebhookSecret, random));
        let signing = door
            .webhook
            .forms
            .signature
            .then(|| environment.with_randomness(standard_webhooks::generate_secret));
        let sealed = signing.as_ref().map(|plain| self.seal_signing(org, id, plain)).transpose()?;
        let new = Secrets {
            secret_hash: *secret.hash().as_bytes(),
            signing_secret: sealed.as_ref().map(|sealed| sealed.record.clone()),
        };
        let (org_bytes, id_bytes) = (org.to_bytes(), id.to_bytes());
        let place = previous_signing_place(&org_bytes, &id_bytes);
        let replaced = door
            .signing_secret
            .as_ref()
            .map(|plain| self.seal_signing_at(org, &place, plain))
            .transpose()?;
        let previous = Previous {
            webhook_id: id,
            secrets: Secrets {
                secret_hash: *door.secret.as_bytes(),
                signing_secret: replaced.as_ref().map(|sealed| sealed.record.clone()),
            },
            valid_until: self.now().plus(Duration::from_secs(u64::from(overlap_s))),
        };
        let payload = json!({
            "previous_signing_version": replaced.map(|sealed| sealed.version),
            "previous_valid_until": previous.valid_until,
        });
        let payload = with_signing(payload, sealed.as_ref());
        self.change(org, id, "webhook.rotated", actor, payload, async move |tx| {
            webhook_secrets::replace(tx, &new, &previous).await
        })
        .await?;
        let directory = self.parts.directory.load_full();
        let door = directory.doors.get(&id).ok_or(CommandError::NotFound)?;
        let mut view = webhook_view(&self.parts, &door.webhook);
        view.secret = Some(secret.expose().to_owned());
        view.signing_secret = signing
            .as_ref()
            .map(|plain| standard_webhooks::print_secret(plain).expose().to_owned());
        to_value(&view)
    }
}
