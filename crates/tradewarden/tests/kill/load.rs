//! Senders that post signals until the gateway is gone, and write down what they were answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tradewarden_testkit::process::{Answer, Client, Gateway, Unanswered};

use crate::chance::Chance;
use crate::stage::{Door, text};

/// Kept connections that send signals.
const SENDERS: usize = 6;
/// How often the checkpoint is read meanwhile.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(20);

/// What a signal says. Mostly entries: whatever is against them ends those that were not sent yet.
fn words(chance: &mut Chance) -> (&'static str, &'static str) {
    match chance.below(32) {
        0 => ("EXIT", "EXIT_ALL"),
        1 => ("EXIT", "EXIT_50"),
        2 => ("EXIT", "EXIT_25"),
        3..=5 => ("SELL", "ENTRY"),
        _ => ("BUY", "ENTRY"),
    }
}

/// A signal that was sent at least once.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) door: usize,
    pub(crate) body: String,
    /// What the gateway called it, once an answer was heard.
    pub(crate) signal_id: Option<String>,
    /// Whether a 202 was heard.
    pub(crate) accepted: bool,
}

/// Everything that was sent and answered, by the sender's own id.
#[derive(Debug, Default)]
pub(crate) struct Diary {
    sent: Mutex<BTreeMap<String, Sent>>,
    checkpoints: Mutex<Vec<String>>,
}

impl Diary {
    pub(crate) fn sent(&self) -> BTreeMap<String, Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// Every checkpoint that was seen, in the order of seeing.
    pub(crate) fn checkpoints(&self) -> Vec<String> {
        self.checkpoints.lock().unwrap().clone()
    }

    fn begin(&self, id: &str, door: usize, body: &str) {
        let sent = Sent { door, body: body.to_owned(), signal_id: None, accepted: false };
        let before = self.sent.lock().unwrap().insert(id.to_owned(), sent);
        assert!(before.is_none(), "{id} is not new");
    }

    /// Those without an answer.
    pub(crate) fn unanswered(&self) -> Vec<(String, Sent)> {
        let sent = self.sent.lock().unwrap();
        let open = sent.iter().filter(|(_, sent)| sent.signal_id.is_none());
        open.map(|(id, sent)| (id.clone(), sent.clone())).collect()
    }

    /// Writes an answer down. Whatever is answered about an id names the same signal each time.
    fn hear(&self, id: &str, answer: &Answer) {
        let body = answer.json();
        let status = body["status"].as_str().unwrap_or_default();
        let accepted = match (answer.status, status) {
            (202, "accepted") => true,
            (200, "duplicate" | "skipped") => false,
            _ => panic!("{id}: {} {body}", answer.status),
        };
        let signal_id = text(&body, "signal_id");
        let mut sent = self.sent.lock().unwrap();
        let sent = sent.get_mut(id).unwrap();
        if let Some(known) = &sent.signal_id {
            assert_eq!(*known, signal_id, "{id} is two signals");
            assert_ne!(status, "accepted", "{id} was accepted twice");
        }
        sent.signal_id = Some(signal_id);
        sent.accepted |= accepted;
    }

    /// Writes a checkpoint down; the log never shrinks.
    fn see(&self, note: &str) {
        let mut checkpoints = self.checkpoints.lock().unwrap();
        if let Some(last) = checkpoints.last() {
            assert!(size_of(last) <= size_of(note), "the log shrank: {last} {note}");
        }
        if checkpoints.last().is_none_or(|last| last != note) {
            checkpoints.push(note.to_owned());
        }
    }
}

/// A checkpoint's second line.
pub(crate) fn size_of(note: &str) -> u64 {
    note.lines().nth(1).unwrap().parse().unwrap()
}

/// One connection to the webhooks.
struct Sender {
    client: Client,
    twin: Client,
    doors: Vec<Door>,
    diary: Arc<Diary>,
}

impl Sender {
    async fn post(&mut self, id: &str, door: usize, body: &str) -> Result<(), Unanswered> {
        let Door { path, secret } = &self.doors[door];
        let headers = [("x-webhook-secret", secret.as_str())];
        let answer = self.client.post(path, &headers, body.to_owned()).await?;
        self.diary.hear(id, &answer);
        Ok(())
    }

    /// The same signal on two connections at once.
    async fn post_twice(&mut self, id: &str, door: usize, body: &str) -> Result<(), Unanswered> {
        let Door { path, secret } = &self.doors[door];
        let headers = [("x-webhook-secret", secret.as_str())];
        let (one, other) = tokio::join!(
            self.client.post(path, &headers, body.to_owned()),
            self.twin.post(path, &headers, body.to_owned()),
        );
        let mut answers: Vec<Answer> = [&one, &other].into_iter().flatten().cloned().collect();
        // Whichever was first is the one that was not a duplicate.
        answers.sort_by_key(|answer| answer.json()["status"] == "duplicate");
        for answer in answers {
            self.diary.hear(id, &answer);
        }
        one.and(other).map(drop)
    }

    /// Sends until there is no answer any more.
    async fn run(mut self, name: String, mut chance: Chance) {
        for number in 0_u32.. {
            let id = format!("{name}-{number}");
            let door = chance.below(self.doors.len());
            let (action, comment) = words(&mut chance);
            let body = format!(r#"{{"action":"{action}","comment":"{comment}","id":"{id}"}}"#);
            self.diary.begin(&id, door, &body);
            let answered = match chance.below(10) {
                0 => self.post_twice(&id, door, &body).await,
                1 => match self.post(&id, door, &body).await {
                    Ok(()) => self.post(&id, door, &body).await,
                    unanswered => unanswered,
                },
                _ => self.post(&id, door, &body).await,
            };
            if answered.is_err() {
                return;
            }
        }
    }
}

/// Sends what is unanswered again, with the same ids, as far as the gateway lives.
pub(crate) async fn send_again(
    gateway: &Gateway,
    doors: &[Door],
    diary: &Arc<Diary>,
) -> Result<(), Unanswered> {
    let mut sender = sender(gateway, doors, diary);
    for (id, sent) in diary.unanswered() {
        sender.post(&id, sent.door, &sent.body).await?;
    }
    Ok(())
}

fn sender(gateway: &Gateway, doors: &[Door], diary: &Arc<Diary>) -> Sender {
    let client = gateway.client();
    let twin = client.another();
    Sender { client, twin, doors: doors.to_vec(), diary: Arc::clone(diary) }
}

/// Reads the checkpoint once.
pub(crate) async fn look_at_log(gateway: &Gateway, diary: &Diary) {
    see_checkpoint(&mut gateway.client(), diary).await.unwrap();
}

async fn see_checkpoint(client: &mut Client, diary: &Diary) -> Result<(), Unanswered> {
    let answer = client.get("/audit/checkpoint", &[]).await?;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    diary.see(std::str::from_utf8(&answer.body).unwrap());
    Ok(())
}

async fn watch_log(mut client: Client, diary: Arc<Diary>) {
    while see_checkpoint(&mut client, &diary).await.is_ok() {
        tokio::time::sleep(CHECKPOINT_EVERY).await;
    }
}

/// Senders and a reader of checkpoints, each until the gateway does not answer.
pub(crate) fn begin(
    gateway: &Gateway,
    doors: &[Door],
    diary: &Arc<Diary>,
    name: &str,
    chance: &mut Chance,
) -> JoinSet<()> {
    let mut running = JoinSet::new();
    for number in 0..SENDERS {
        let sender = sender(gateway, doors, diary);
        running.spawn(sender.run(format!("{name}-{number}"), chance.split()));
    }
    running.spawn(watch_log(gateway.client(), Arc::clone(diary)));
    running
}
