//! Streams: what happens, told to those who listen and may know of it, after it is durable.
//!
//! A listener that is too slow is told that it missed something and reads again; nothing waits for
//! it, and what it is behind by is kept once for all listeners, [`BEHIND_MAX`] events of it. Whether
//! it may still listen is asked anew for every event, and each second.

mod places;

use crate::Engine;
use crate::actor::{Actor, Who};
use crate::effects::Effects;
use crate::reads::{finding_view, halt_view};
use crate::view::{FillView, OrderView};
use places::{Place, Places, Sitter};
use serde::Serialize;
use serde_json::{Value, json};
use std::pin::pin;
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
/// Open streams of one session or key: more than a person has windows, and less than a program that
/// has lost count opens.
const STREAMS_PER_CALLER_MAX: usize = 8;
/// Open streams of everybody. Each holds a connection, of which the public listener has 4,096.
const STREAMS_MAX: usize = 1_024;
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
    /// Nothing for a second.
    Silence,
}

/// Why somebody may not listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotListening {
    /// The caller is of no organization.
    Nobody,
    /// The caller, or the whole gateway, has as many open streams as it may have.
    Full {
        /// So many.
        streams_max: usize,
    },
}

/// The way to all listeners.
pub(crate) struct Broadcast {
    sender: broadcast::Sender<Arc<Happened>>,
    places: Arc<Places>,
}

impl Default for Broadcast {
    fn default() -> Self {
        let places = Places::new(STREAMS_PER_CALLER_MAX, STREAMS_MAX);
        Self { sender: broadcast::Sender::new(BEHIND_MAX), places }
    }
}

impl Broadcast {
    /// Tells what a commit did. Costs nothing while nobody listens.
    pub(crate) fn tell(&self, effects: &Effects, halts_before: &[Halt]) {
        if self.sender.receiver_count() == 0 {
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
            let _nobody = self.sender.send(Arc::new(happened));
        }
    }
}

/// One listener.
pub struct Listener {
    engine: Engine,
    actor: Actor,
    org: Id<id::Org>,
    heard: broadcast::Receiver<Arc<Happened>>,
    _place: Place,
}

impl Engine {
    /// Listens from now on, as this actor.
    pub fn listen(&self, actor: &Actor) -> Result<Listener, NotListening> {
        let org = self.org_of(actor).map_err(|_| NotListening::Nobody)?;
        let sitter = match actor.who() {
            Who::Operator => Sitter::Operator,
            Who::Person(person) => Sitter::Session(person.session_id),
            Who::Key(known) => Sitter::Key(known.key.id),
        };
        let broadcast = &self.parts.broadcast;
        let place = broadcast.places.take(sitter);
        let place = place.map_err(|streams_max| NotListening::Full { streams_max })?;
        let heard = broadcast.sender.subscribe();
        let (engine, actor) = (self.clone(), actor.clone());
        Ok(Listener { engine, actor, org, heard, _place: place })
    }
}

impl Listener {
    /// What is heard next; `None` once the actor may not listen any more. What the actor may not
    /// know of is silence, however much of it there is.
    pub async fn next(&mut self) -> Option<Heard> {
        let mut silence = pin!(tokio::time::sleep(SILENCE));
        loop {
            let heard = tokio::select! {
                biased;
                () = &mut silence => None,
                heard = self.heard.recv() => Some(heard),
            };
            self.actor = self.engine.still(&self.actor)?;
            match heard {
                None => return Some(Heard::Silence),
                Some(Ok(happened)) => {
                    if let Some(event) = self.event(&happened) {
                        return Some(Heard::Event(event));
                    }
                }
                Some(Err(RecvError::Lagged(missed))) => {
                    let data = json!({ "events": missed });
                    return Some(Heard::Event(Event { event: "missed", data }));
                }
                Some(Err(RecvError::Closed)) => return None,
            }
        }
    }

    /// The event, if the actor may know of it.
    fn event(&self, happened: &Happened) -> Option<Event> {
        let may = |any_of: &[Permission]| self.actor.sees(any_of);
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
                let own = finding.org_id == self.org && self.actor.reaches_all();
                let may = own && may(&[Permission::AuditRead, Permission::OrdersRead]);
                may.then(|| ("finding", written(&finding_view(finding.clone()))))?
            }
        };
        Some(Event { event, data })
    }

    fn halt(&self, halt: &Halt, state: &str) -> Option<Value> {
        let sees = [Permission::HaltEngage, Permission::HaltResume, Permission::OrdersRead];
        if halt.org_id.is_some_and(|org| org != self.org)
            || !self.actor.sees(&sees)
            || !self.engine.parts.directory.load().knows(&self.actor, &halt.scope)
        {
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
