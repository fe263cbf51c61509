//! What state an installation is in as regards its security: items, each green, amber or red, with what
//! was seen and the way to a better light.
//!
//! The same items are evaluated by a command beside the gateway, which reads the database itself
//! ([`examine`]), and by a gateway that runs, from what it knows.

mod examine;

pub use examine::{Examined, examine};

use crate::Engine;
use crate::command::error::{CommandError, to_value};
use crate::seals::Mistrust;
use crate::vault::watch::Health;
use serde::Serialize;
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::halt::{Halt, HaltScope};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_domain::webhook::{TRADINGVIEW_ADDRESSES, TRADINGVIEW_CERTIFICATE, Webhook};
use tradewarden_store::guarded::Guarded;

/// How long whoever looks at the machine may take.
const MACHINE_TAKES: Duration = Duration::from_secs(5);
/// Halts that are named.
const NAMED_MAX: usize = 5;

/// How good an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Light {
    /// As it should be.
    Green,
    /// To be looked at: weaker than it could be, or not known.
    Amber,
    /// Not to be run like this.
    Red,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its stable name.
    pub name: &'static str,
    /// How good it is.
    pub light: Light,
    /// What was seen; never a secret.
    pub seen: String,
    /// The way to a better light; absent where it is green.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Item {
    /// As it should be.
    pub fn green(name: &'static str, seen: impl Into<String>) -> Self {
        Self { name, light: Light::Green, seen: seen.into(), fix: None }
    }

    /// To be looked at.
    pub fn amber(name: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, light: Light::Amber, seen: seen.into(), fix: Some(fix.into()) }
    }

    /// Not to be run like this.
    pub fn red(name: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, light: Light::Red, seen: seen.into(), fix: Some(fix.into()) }
    }
}

/// The state of an installation, as far as one node and one organization know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Posture {
    /// When it was looked at.
    pub at: Timestamp,
    /// The worst light of all items.
    pub light: Light,
    /// The items, the worst first.
    pub items: Vec<Item>,
}

/// The worst light of these; green if there are none.
pub fn worst(items: &[Item]) -> Light {
    items.iter().map(|item| item.light).max().unwrap_or(Light::Green)
}

/// What is to be known of the database by who looks at the machine and its doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Whether a webhook waits for TradingView, which has wishes of its own (C5).
    pub has_tradingview: bool,
}

/// Looks at what the engine does not know: files, certificates, the machine.
pub type LookAtMachine = dyn Fn(Known) -> Looking + Send + Sync;

/// A look that is under way.
pub type Looking = Pin<Box<dyn Future<Output = Vec<Item>> + Send>>;

impl Engine {
    /// Has the machine looked at like this whenever somebody asks for the posture. The first word counts.
    pub fn look_at_machine_by(&self, look: Arc<LookAtMachine>) {
        // Said once, at the start.
        let _said_before = self.parts.look_at_machine.set(look);
    }

    /// Every item that this node can evaluate. What is about the installation is told in the
    /// organization that it was founded with; of halts and rows each sees its own and everybody's.
    pub(crate) async fn posture(&self, org: Id<id::Org>) -> Result<Value, CommandError> {
        let shared = &self.parts;
        let is_first = self.org_id() == Some(org);
        let directory = shared.directory.load_full();
        let mut halts = shared.halts.load().to_vec();
        halts.extend(shared.local_halts.in_force().iter().cloned());
        halts.retain(|halt| halt.org_id.is_none_or(|of| of == org));
        let mistrusted = shared.mistrusted();
        let own = [org.to_bytes(), [0; 16]];
        let mistrusted: Vec<_> = mistrusted
            .iter()
            .filter(|((_, of), _)| own.contains(of))
            .map(|((kind, _), mistrust)| (*kind, mistrust))
            .collect();
        let mut items = vec![halts_item(&halts), rows_item(&mistrusted)];
        if is_first {
            items.extend([self.source_item(), self.database_item(), self.log_item()]);
            let has_tradingview =
                directory.doors.values().any(|door| waits_for_tradingview(&door.webhook));
            if let Some(look) = shared.look_at_machine.get() {
                let looked = tokio::time::timeout(MACHINE_TAKES, look(Known { has_tradingview }));
                items.extend(looked.await.unwrap_or_else(|_| {
                    let seen = "looking at the machine took too long";
                    vec![Item::amber("machine", seen, "ask again; see to the disk")]
                }));
            }
        }
        items.sort_by_key(|item| std::cmp::Reverse(item.light));
        to_value(&Posture { at: self.now(), light: worst(&items), items })
    }

    fn source_item(&self) -> Item {
        let source = self.parts.keyring.current();
        let place = format!("{} at {}", source.kind(), source.place());
        let fix =
            "make the key source answer again; `tradewarden vault status` says why it does not";
        match self.parts.vault.health() {
            Health::There => Item::green("key_source", place),
            Health::Away { since, is_closed: true, .. } => Item::red(
                "key_source",
                format!("{place}: away since {}, secrets are closed", crate::people::shown(since)),
                fix,
            ),
            Health::Away { since, .. } => Item::amber(
                "key_source",
                format!("{place}: away since {}", crate::people::shown(since)),
                fix,
            ),
        }
    }

    fn database_item(&self) -> Item {
        let kind = self.parts.store.location().kind();
        if self.parts.is_writable() {
            return Item::green("database", format!("{kind}, takes what is written"));
        }
        let fix = "see to the disk or the database; nothing is accepted until it writes again";
        Item::red("database", format!("{kind}, takes nothing"), fix)
    }

    fn log_item(&self) -> Item {
        let size = self.parts.published.load().size;
        Item::green("audit_log", format!("{size} entries under the newest checkpoint"))
    }
}

/// Whether this webhook waits for TradingView: by its addresses, or by the name in its certificate.
pub(crate) fn waits_for_tradingview(webhook: &Webhook) -> bool {
    let names = |network: &String| {
        let address = network.split('/').next().unwrap_or_default();
        TRADINGVIEW_ADDRESSES.contains(&address)
    };
    let certificate = webhook.client_certificate.as_ref().map(ToString::to_string);
    webhook.allow.iter().any(names) || certificate.as_deref() == Some(TRADINGVIEW_CERTIFICATE)
}

/// Halts in force: each is somebody's wish, and nobody's usual state.
fn halts_item(halts: &[Halt]) -> Item {
    if halts.is_empty() {
        return Item::green("halts", "none is in force");
    }
    let named: Vec<_> = halts.iter().take(NAMED_MAX).map(named).collect();
    let more = halts.len().saturating_sub(named.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Item::amber(
        "halts",
        format!("in force: {}{more}", named.join(", ")),
        "`tradewarden halt status` says why; resume what is over with `tradewarden halt resume`",
    )
}

fn named(halt: &Halt) -> String {
    let scope = match halt.scope {
        HaltScope::Global => "everything".to_owned(),
        _ => halt.scope.to_string(),
    };
    format!("{scope} ({})", halt.mode.text())
}

/// What the database holds of guarded rows against what the log says of them (C19).
fn rows_item(mistrusted: &[(Guarded, &Mistrust)]) -> Item {
    if mistrusted.is_empty() {
        let seen = "limits, halts, keys, members and roles are what the audit log says";
        return Item::green("guarded_rows", seen);
    }
    let seen: Vec<_> = mistrusted.iter().map(|(kind, mistrust)| mistrust.detail(*kind)).collect();
    Item::red(
        "guarded_rows",
        seen.join(" "),
        "find out who writes to the database; put the rows back, or accept them with \
         `tradewarden audit accept`",
    )
}
