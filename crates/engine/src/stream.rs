//! Streams: what happens, told to those who listen and may know of it, after it is durable.
//!
//! A listener that is too slow is told that it missed something and reads again; nothing waits for
//! it. Whether it may still listen is asked anew for every event, and each second.

use crate::Engine;
use crate::actor::Actor;
use crate::book::Effects;
use crate::reads::{finding_view, halt_view};
use crate::view::{FillView, OrderView};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::order::Order;
use tradewarden_domain::permission::Permission;
use tradewarden_store::findings::Finding;
use tradewarden_store::orders::Fill;

/// Events that a slow listener may be behind.
const BEHIND_MAX: usize = 4_096;
/// How long a listener hears nothing before it is asked whether it may still listen.
const SILENCE: Duration = Duration::from_secs(1);

/// What happened.
#[derive(Debug, Clone)]
pub(crate) enum Happened {
    Order(Box<Order>),
    Fill(Fill),
    Engaged(Halt),
    Resumed(Halt),
    Finding(Finding),
}

/// What a listener is told.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// `order`, `fill`, `halt`, `finding`, or `missed`.
    pub event: &'static str,
    /// The thing, as the API shows it.
    pub data: Value,
}

/// What a listener hears next.
#[derive(Debug)]
pub enum Heard {
    /// Something happened.
    Event(Event),
    /// Nothing for a while.
    Silence,
}

/// The way to all listeners.
pub(crate) struct Broadcast(broadcast::Sender<Arc<Happened>>);

impl Default for Broadcast {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND_MAX))
    }
}

impl Broadcast {
    /// Tells what a commit did. Costs nothing while nobody listens.
    pub(crate) fn tell(&self, effects: &Effects, halts_before: &[Halt]) {
        if self.0.receiver_count() == 0 {
            return;
        }
        let orders = effects.orders.iter().cloned().map(|order| Happened::Order(Box::new(order)));
        let fills = effects.fills.iter().cloned().map(Happened::Fill);
        let findings = effects.findings.iter().cloned().map(Happened::Finding);
        let mut all: Vec<_> = orders.chain(fills).chain(findings).collect();
        if let Some(halts) = &effects.halts {
            let is_in = |halts: &[Halt], halt: &Halt| halts.iter().any(|one| one.id == halt.id);
            let engaged = halts.iter().filter(|halt| !is_in(halts_before, halt));
            all.extend(engaged.cloned().map(Happened::Engaged));
            let resumed = halts_before.iter().filter(|halt| !is_in(halts, halt));
            all.extend(resumed.cloned().map(Happened::Resumed));
        }
        for happened in all {
            // The last listener may have gone meanwhile.
            let _nobody = self.0.send(Arc::new(happened));
        }
    }
}

/// One listener.
pub struct Listener {
    engine: Engine,
    actor: Actor,
    org: Id<id::Org>,
    heard: broadcast::Receiver<Arc<Happened>>,
}

impl Engine {
    /// Listens from now on, as this actor.
    pub fn listen(&self, actor: &Actor) -> Option<Listener> {
        let org = self.org_of(actor).ok()?;
        let heard = self.parts.broadcast.0.subscribe();
        Some(Listener { engine: self.clone(), actor: actor.clone(), org, heard })
    }
}

impl Listener {
    /// What is heard next; `None` once the actor may not listen any more.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            let heard = tokio::time::timeout(SILENCE, self.heard.recv()).await;
            self.actor = self.engine.still(&self.actor)?;
            match heard {
                Err(_) => return Some(Heard::Silence),
                Ok(Ok(happened)) => {
                    if let Some(event) = self.event(&happened) {
                        return Some(Heard::Event(event));
                    }
                }
                Ok(Err(RecvError::Lagged(missed))) => {
                    let data = json!({ "events": missed });
                    return Some(Heard::Event(Event { event: "missed", data }));
                }
                Ok(Err(RecvError::Closed)) => return None,
            }
        }
    }

    /// The event, if the actor may know of it.
    fn event(&self, happened: &Happened) -> Option<Event> {
        let may = |any_of: &[Permission]| self.actor.permissions().has_any(any_of);
        let trades = [Permission::OrdersRead];
        let (event, data) = match happened {
            Happened::Order(order) => {
                let own = order.org_id == self.org && self.actor.reaches(order.account_id);
                (own && may(&trades))
                    .then(|| ("order", written(&OrderView::from((**order).clone()))))?
            }
            Happened::Fill(fill) => {
                let own = fill.org_id == self.org && self.actor.reaches(fill.account_id);
                (own && may(&trades)).then(|| ("fill", written(&FillView::from(fill.clone()))))?
            }
            Happened::Engaged(halt) => ("halt", self.halt(halt, "engaged")?),
            Happened::Resumed(halt) => ("halt", self.halt(halt, "resumed")?),
            Happened::Finding(finding) => {
                let own = finding.org_id == self.org && self.actor.as_key().is_none();
                let may = own && may(&[Permission::AuditRead, Permission::OrdersRead]);
                may.then(|| ("finding", written(&finding_view(finding.clone()))))?
            }
        };
        Some(Event { event, data })
    }

    fn halt(&self, halt: &Halt, state: &str) -> Option<Value> {
        if halt.org_id.is_some_and(|org| org != self.org) {
            return None;
        }
        let mut data = written(&halt_view(halt, false));
        if let Some(members) = data.as_object_mut() {
            members.insert("state".to_owned(), json!(state));
        }
        Some(data)
    }
}

/// Views are strings and numbers: writing them cannot fail.
fn written(view: &impl Serialize) -> Value {
    serde_json::to_value(view).unwrap_or_default()
}
