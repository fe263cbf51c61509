//! What is handed to whoever finds out what happened: what the gateway knows of the days around a
//! lockdown, without a secret, and with what proves the log's part of it.

use crate::Engine;
use crate::actor::Actor;
use crate::command::Search;
use crate::command::error::{CommandError, away, to_value};
use crate::reads::{account_view, finding_view, limit_view, strategy_view, webhook_view};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::base64_encode;
use tradewarden_store::audit::{self, Placed};
use tradewarden_store::lockdowns::{self, Lockdown};
use tradewarden_store::{findings, sessions};

/// From how long before the lockdown findings and entries are taken.
const BEFORE: Duration = Duration::from_hours(7 * 24);
/// Keys, webhooks, strategies, accounts and limits, of each.
const THINGS_MAX: usize = 2_000;
const SESSIONS_MAX: u32 = 2_000;
const FINDINGS_MAX: u32 = 1_000;
/// What the entries come to at most, in bytes.
const ENTRIES_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Entries that are read at once.
const ENTRIES_TOGETHER: u32 = 500;
const FORMAT: &str = "tradewarden-lockdown-1";
const HOW: &str = "Each entry: the SHA-256 of a zero byte and `leaf` is a leaf of the log (RFC 6962) \
    whose signed head is `checkpoint`; the leaf's `commitment` is opened by `salt` and `payload`. \
    `tradewarden audit prove ENTRY` prints the proof that leads from one to the other, and \
    `tradewarden audit export` the whole log.";

impl Engine {
    /// Everything about the lockdown that is in force, or the last one; without any, about the days
    /// until now. The same rows are always in the same order.
    pub(crate) async fn lockdown_bundle(
        &self,
        org: Id<id::Org>,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let store = &self.parts.store;
        let found = lockdowns::newest(store, org).await.map_err(|error| away(&error))?;
        let now = self.now();
        let until = found.as_ref().and_then(|lockdown| lockdown.ended_at).unwrap_or(now);
        let from = found.as_ref().map_or(now, |lockdown| lockdown.engaged_at).minus(BEFORE);
        let sessions = match &found {
            Some(lockdown) => self.sessions_ended_by(org, lockdown).await?,
            None => json!([]),
        };
        let (entries, entries_cut) = self.entries_of(org, from, until).await?;
        let (findings, findings_cut) = self.findings_of(org, from, until).await?;
        let mut bundle = self.things_of(org, actor).await?;
        let own = [
            ("format", json!(FORMAT)),
            ("how_to_verify", json!(HOW)),
            ("from", json!(from)),
            ("until", json!(until)),
            ("lockdown", self.lockdown(org).await?),
            ("sessions", sessions),
            ("checkpoint", json!(self.parts.published.load().note)),
            ("verifier_key", json!(self.parts.ledger_key.verifier().to_string())),
            ("entries", entries),
            ("entries_cut", json!(entries_cut)),
            ("findings", findings),
            ("findings_cut", json!(findings_cut)),
        ];
        if let Some(members) = bundle.as_object_mut() {
            members.extend(own.map(|(name, value)| (name.to_owned(), value)));
        }
        Ok(bundle)
    }

    /// What there is to trade with, and how it stands.
    async fn things_of(&self, org: Id<id::Org>, actor: &Actor) -> Result<Value, CommandError> {
        let directory = self.parts.directory.load_full();
        let doors = directory.doors_of(org).into_iter().take(THINGS_MAX);
        let webhooks: Vec<_> = doors.map(|door| webhook_view(&self.parts, &door.webhook)).collect();
        let strategies: Vec<_> = directory
            .strategies
            .values()
            .filter(|strategy| strategy.org_id == org)
            .take(THINGS_MAX)
            .map(|strategy| strategy_view(strategy))
            .collect();
        let accounts: Vec<_> = directory
            .accounts
            .values()
            .filter(|account| account.org_id == org)
            .take(THINGS_MAX)
            .map(|account| account_view(account, self.now()))
            .collect();
        let limits: Vec<_> = directory
            .limits
            .iter()
            .filter(|limit| limit.org_id == org)
            .take(THINGS_MAX)
            .map(limit_view)
            .collect();
        let keys = self.list_keys(org).await?;
        let mut used = Vec::new();
        let keys = keys.get("items").and_then(Value::as_array).into_iter().flatten();
        for key in keys.take(THINGS_MAX) {
            let id = key.get("id").and_then(Value::as_str).unwrap_or_default();
            let is_used = key.get("last_used_at").is_some_and(|at| !at.is_null());
            let usage = if is_used { self.key_usage(org, id).await? } else { Value::Null };
            used.push(json!({ "key": key, "usage": usage }));
        }
        Ok(json!({
            "accounts": to_value(&accounts)?, "keys": used, "limits": to_value(&limits)?,
            "positions": to_value(&self.positions(org, actor, &Search::default()).await?.items)?,
            "strategies": to_value(&strategies)?, "webhooks": to_value(&webhooks)?,
        }))
    }

    async fn sessions_ended_by(
        &self,
        org: Id<id::Org>,
        lockdown: &Lockdown,
    ) -> Result<Value, CommandError> {
        let by = format!("lockdown {}", lockdown.id);
        let rows = sessions::ended_by(&self.parts.store, org, &by, SESSIONS_MAX).await;
        let rows = rows.map_err(|error| away(&error))?;
        let shown = rows.iter().map(|(row, ended_at)| {
            json!({
                "id": row.id, "user_id": row.user_id, "kind": row.kind,
                "methods": row.methods.split(' ').collect::<Vec<_>>(), "address": row.address,
                "user_agent": row.user_agent, "authenticated_at": row.authenticated_at,
                "factor_at": row.factor_at, "last_seen_at": row.last_seen_at,
                "ended_at": ended_at,
            })
        });
        Ok(shown.collect())
    }

    /// The findings of a span, newest first, and whether there were more.
    async fn findings_of(
        &self,
        org: Id<id::Org>,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<(Value, bool), CommandError> {
        let before = Id::new(until, [u8::MAX; 10]);
        let count = FINDINGS_MAX.saturating_add(1);
        let rows = findings::page(&self.parts.store, org, before, count).await;
        let mut rows = rows.map_err(|error| away(&error))?;
        rows.retain(|finding| finding.at >= from);
        let most = usize::try_from(FINDINGS_MAX).unwrap_or(usize::MAX);
        let is_cut = rows.len() > most;
        rows.truncate(most);
        let views: Vec<_> = rows.into_iter().map(finding_view).collect();
        Ok((to_value(&views)?, is_cut))
    }

    /// The entries of a span, newest first, and whether there were more.
    async fn entries_of(
        &self,
        org: Id<id::Org>,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<(Value, bool), CommandError> {
        let oldest: Id<id::Entry> = Id::new(from, [0; 10]);
        let mut before: Id<id::Entry> = Id::new(until, [u8::MAX; 10]);
        let (mut bytes, mut shown) = (0_usize, Vec::new());
        loop {
            let page = audit::page(&self.parts.store, org, before, ENTRIES_TOGETHER).await;
            let page = page.map_err(|error| away(&error))?;
            let Some(last) = page.last() else { return Ok((Value::Array(shown), false)) };
            before = last.id;
            for Placed { position, id, leaf, payload, salt, .. } in page {
                if id < oldest {
                    return Ok((Value::Array(shown), false));
                }
                bytes = bytes.saturating_add(leaf.len()).saturating_add(payload.len());
                if bytes > ENTRIES_BYTES_MAX {
                    return Ok((Value::Array(shown), true));
                }
                let mut entry = json!({
                    "id": id, "leaf": leaf, "payload": payload, "salt": base64_encode(&salt),
                });
                if let (Some(place), Some(members)) = (position, entry.as_object_mut()) {
                    members.insert("index".to_owned(), json!(place));
                }
                shown.push(entry);
            }
        }
    }
}
