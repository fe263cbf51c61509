//! Somebody who carries messages, as a test says.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tradewarden_domain::message::Channel;
use tradewarden_engine::Messengers;
use tradewarden_messenger::{Answer, Message, Messenger, Outcome};
use tradewarden_seal::Digest;

/// A message that was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// On which way.
    pub channel: Channel,
    /// Its name, the same at every try.
    pub name: String,
    /// To where.
    pub to: String,
    /// What it is about.
    pub subject: String,
    /// What it says.
    pub text: String,
}

/// Carries what comes, and answers what it was told to; outlives the gateway. Switched off at first.
#[derive(Clone, Default)]
pub struct ScriptedPost {
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    address: String,
    channels: Vec<Channel>,
    posted: Vec<Posted>,
    answers: VecDeque<Outcome>,
}

struct Carrier {
    channel: Channel,
    script: Arc<Mutex<Script>>,
}

impl ScriptedPost {
    /// Switches these ways on, from the gateway's next start.
    pub fn switch_on(&self, channels: &[Channel]) {
        self.with(|script| script.channels = channels.to_vec());
    }

    /// Everything goes to another address from now on.
    pub fn moves_to(&self, address: &str) {
        self.with(|script| address.clone_into(&mut script.address));
    }

    /// What the next tries are answered; then everything is taken again.
    pub fn answers(&self, outcomes: impl IntoIterator<Item = Outcome>) {
        self.with(|script| script.answers = outcomes.into_iter().collect());
    }

    /// Everything that was handed over, every try of it, oldest first.
    pub fn posted(&self) -> Vec<Posted> {
        self.with(|script| script.posted.clone())
    }

    /// The same, and forgets it.
    pub fn take(&self) -> Vec<Posted> {
        self.with(|script| std::mem::take(&mut script.posted))
    }

    pub(crate) fn messengers(&self) -> Messengers {
        let channels = self.with(|script| script.channels.clone());
        let carrier = |channel| -> Arc<dyn Messenger> {
            Arc::new(Carrier { channel, script: Arc::clone(&self.script) })
        };
        channels.into_iter().map(|channel| (channel, carrier(channel))).collect::<BTreeMap<_, _>>()
    }

    fn with<T>(&self, work: impl FnOnce(&mut Script) -> T) -> T {
        work(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Messenger for Carrier {
    fn send(&self, message: Message) -> Answer<'_, Outcome> {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        script.posted.push(Posted {
            channel: self.channel,
            name: message.name,
            to: message.to.expose().to_owned(),
            subject: message.subject,
            text: message.text.expose().to_owned(),
        });
        let outcome = script.answers.pop_front().unwrap_or(Outcome::Taken);
        drop(script);
        Box::pin(std::future::ready(outcome))
    }

    fn address(&self) -> Digest {
        let script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        Digest::sha256(script.address.as_bytes())
    }
}
