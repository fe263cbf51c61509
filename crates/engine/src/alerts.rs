//! Alerts: told on every channel there is as soon as they are committed, and again every 5 minutes
//! until somebody acknowledges them (S24).
//!
//! Crash story: an alert is a row of the transaction of what it tells about, and due at once. That it
//! was told is written with the messages, which are rows too: a crash before leaves it due, a crash
//! after leaves the messages in the outbox.

use crate::actor::Actor;
use crate::book::Book;
use crate::command::Paging;
use crate::command::error::{CommandError, away};
use crate::lease::leads;
use crate::outbox::{self, Letter};
use crate::people::shown;
use crate::reads::{cut, window};
use crate::view::{AlertChannelView, AlertView, Page};
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_broker::port::Environment;
use tradewarden_domain::alert::{REPEATED_EVERY, may_be_switched_on};
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::message::{Channel, Topic};
use tradewarden_domain::permission::Permission;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::SecretString;
use tradewarden_store::alerts::{self, Alert};
use tradewarden_store::{Error, Tx};

/// Alerts that are told at one look.
const AT_ONCE: u32 = 200;
/// Alerts that one message repeats in words; of more it tells the number.
const REPEATED_MAX: usize = 20;

/// How long an alert is kept that was acknowledged, or was to be told once.
const KEPT: Duration = Duration::from_hours(90 * 24);
/// Alerts that are forgotten at one look, every 10 minutes.
const FORGOTTEN_AT_ONCE: u32 = 1_000;

/// A message about alerts, as each channel wants it.
struct Notice {
    topic: Topic,
    subject: String,
    text: String,
    event: Value,
}

/// Tells what is due.
pub(crate) async fn tell(shared: &Arc<Shared>) {
    if !shared.is_leader() {
        return;
    }
    let due = match alerts::due(&shared.store, shared.environment.now(), AT_ONCE).await {
        Ok(due) => due,
        Err(error) => return tracing::error!(%error, "alerts could not be read"),
    };
    let mut again: BTreeMap<Id<id::Org>, Vec<Alert>> = BTreeMap::new();
    for alert in due {
        if alert.told == 0 {
            tell_of(shared, alert.org_id, vec![alert]).await;
        } else {
            again.entry(alert.org_id).or_default().push(alert);
        }
    }
    for (org, alerts) in again {
        tell_of(shared, org, alerts).await;
    }
}

/// Tells of these alerts in one message on each channel.
async fn tell_of(shared: &Arc<Shared>, org: Id<id::Org>, alerts: Vec<Alert>) {
    let inner = Arc::clone(shared);
    let written = shared
        .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
            if !leads(tx, &inner).await? {
                return Ok(());
            }
            let mut told = Vec::new();
            for alert in &alerts {
                let next = alert.grouped_by.is_none().then(|| book.now.plus(REPEATED_EVERY));
                if alerts::told(tx, alert.id, alert.told, next).await? {
                    told.push(alert);
                }
            }
            if told.is_empty() {
                return Ok(());
            }
            let notice = notice(&inner, book, &told);
            send(tx, book, &inner, org, &notice).await
        })
        .await;
    if let Err(error) = written {
        tracing::error!(%error, "alerts were not told; they are told at the next look");
    }
}

fn notice(shared: &Shared, book: &Book, told: &[&Alert]) -> Notice {
    let console = &shared.settings.console_origin;
    let event = |kind: &str| {
        let alerts: Vec<_> = told.iter().take(REPEATED_MAX).map(|alert| view_of(alert)).collect();
        json!({
            "type": kind, "timestamp": book.now,
            "data": { "alerts": alerts, "count": told.len(), "gateway": console },
        })
    };
    if let [alert] = told
        && alert.told == 0
    {
        let again = match alert.grouped_by {
            None => format!(
                "\nThis comes again every 5 minutes until somebody acknowledges it:\n\
                 tradewarden alert acknowledge {}\n",
                alert.id
            ),
            Some(_) => "\nOthers like it within 15 minutes are not told.\n".to_owned(),
        };
        return Notice {
            topic: Topic::Alert,
            subject: format!("Tradewarden {}: {}", alert.severity, alert.code),
            text: format!(
                "{}\n\nCode:    {}\nAbout:   {}\nTime:    {}\nGateway: {console}\n{again}",
                alert.detail,
                alert.code,
                alert.subject,
                shown(alert.raised_at),
            ),
            event: event("alert.raised"),
        };
    }
    let mut text = format!("{} alerts are not acknowledged:\n\n", told.len());
    for alert in told.iter().take(REPEATED_MAX) {
        let Alert { code, subject, detail, id, .. } = alert;
        // Writing to a string cannot fail.
        let _written =
            writeln!(text, "- {} {code} {subject}: {detail} ({id})", shown(alert.raised_at));
    }
    if told.len() > REPEATED_MAX {
        text.push_str("- and more: tradewarden alert list\n");
    }
    let _written = writeln!(text, "\nGateway: {console}");
    Notice {
        topic: Topic::Alert,
        subject: format!("Tradewarden: {} alerts are not acknowledged", told.len()),
        text,
        event: event("alert.repeated"),
    }
}

/// Puts a message for every channel into the outbox: mails to everybody who may halt.
async fn send(
    tx: &mut Tx<'_>,
    book: &mut Book,
    shared: &Shared,
    org: Id<id::Org>,
    notice: &Notice,
) -> Result<(), Error> {
    let Notice { topic, subject, text, event } = notice;
    for channel in shared.messengers.keys().copied() {
        let to = match channel {
            Channel::Mail => mailboxes(shared, org),
            // Their addresses are their own.
            Channel::Webhook | Channel::Chat => vec![(None, String::new())],
            Channel::Sms => Vec::new(),
        };
        let text = if channel == Channel::Webhook { event.to_string() } else { text.clone() };
        for (user, to) in to {
            let letter = Letter {
                channel,
                topic: *topic,
                to: SecretString::new(to),
                destination: None,
                subject: subject.clone(),
                text: SecretString::new(text.clone()),
            };
            outbox::put(tx, book, shared, org, user, letter).await?;
        }
    }
    Ok(())
}

fn mailboxes(shared: &Shared, org: Id<id::Org>) -> Vec<(Option<Id<id::User>>, String)> {
    let principals = shared.people.principals.load();
    let members = principals.members.iter().filter(|((of, _), member)| {
        *of == org
            && member.is_active()
            && principals
                .permissions(org, &member.role)
                .is_some_and(|may| may.has(Permission::HaltEngage))
    });
    members
        .filter_map(|((_, user), _)| Some((Some(*user), principals.users.get(user)?.email.clone())))
        .collect()
}

fn view_of(alert: &Alert) -> AlertView {
    let Alert {
        id,
        code,
        severity,
        subject,
        detail,
        raised_at,
        told,
        acknowledged_by,
        acknowledged_at,
        ..
    } = alert.clone();
    AlertView {
        id,
        at: raised_at,
        code,
        severity,
        subject,
        detail,
        told,
        acknowledged_by,
        acknowledged_at,
    }
}

/// The channels that have carried a test to where they lead now: another address wants another test.
async fn tested(shared: &Shared) -> Result<Vec<(Channel, String, Timestamp)>, CommandError> {
    let mut tested = alerts::tested(&shared.store).await.map_err(|error| away(&error))?;
    tested.retain(|(channel, address, _)| {
        let carrier = shared.messengers.get(channel);
        carrier.is_some_and(|carrier| carrier.address().to_string() == *address)
    });
    Ok(tested)
}

/// Forgets old alerts, so many at a look, that nobody has to be told of any more.
pub(crate) async fn purge(shared: &Arc<Shared>) {
    if !shared.is_leader() {
        return;
    }
    let before = shared.environment.now().minus(KEPT);
    let purged = shared
        .note(async move |tx: &mut Tx<'_>, _: &mut Book| {
            alerts::purge(tx, before, FORGOTTEN_AT_ONCE).await.map(|_| ())
        })
        .await;
    if let Err(error) = purged {
        tracing::error!(%error, "old alerts were not forgotten");
    }
}

impl Engine {
    pub(crate) async fn alert_page(
        &self,
        org: Id<id::Org>,
        paging: &Paging,
    ) -> Result<Page<AlertView>, CommandError> {
        let (before, count) = window(paging)?;
        let rows = alerts::page(&self.parts.store, org, before, count.saturating_add(1)).await;
        let (rows, next) = cut(rows.map_err(|error| away(&error))?, count, |row| row.id);
        Ok(Page { items: rows.iter().map(view_of).collect(), next })
    }

    async fn alert_of(&self, org: Id<id::Org>, id: Id<id::Alert>) -> Result<Alert, CommandError> {
        let found = alerts::find(&self.parts.store, org, id).await;
        found.map_err(|error| away(&error))?.ok_or(CommandError::NotFound)
    }

    /// Somebody has seen an alert: it is told no more.
    pub(crate) async fn acknowledge_alert(
        &self,
        org: Id<id::Org>,
        text: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let id: Id<id::Alert> = crate::command::error::parse_id(text)?;
        self.alert_of(org, id).await?;
        let (shared, by) = (Arc::clone(&self.parts), actor.name());
        let mut payload = json!({});
        actor.sign(&mut payload);
        self.parts
            .note_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                if alerts::acknowledge(tx, id, &by, book.now).await? {
                    book.enter(&shared, org, id, "alert.acknowledged", &payload);
                }
                Ok(())
            })
            .await?;
        crate::command::error::to_value(&view_of(&self.alert_of(org, id).await?))
    }

    /// The channels that are set up, and when each last carried a test.
    pub(crate) async fn alert_channels(&self) -> Result<Value, CommandError> {
        let tested = tested(&self.parts).await?;
        let set_up = self.parts.messengers.keys().filter(|channel| **channel != Channel::Sms);
        let items = set_up.map(|channel| AlertChannelView {
            channel: *channel,
            tested_at: tested.iter().find(|(of, _, _)| of == channel).map(|(_, _, at)| *at),
        });
        crate::command::error::to_value(&Page { items: items.collect(), next: None })
    }

    /// Sends a test on every channel. A channel counts as tested once somebody has taken it there.
    pub(crate) async fn test_alerts(
        &self,
        org: Id<id::Org>,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let (shared, by) = (Arc::clone(&self.parts), actor.name());
        let mut payload = json!({});
        actor.sign(&mut payload);
        self.parts
            .note_by(actor, async move |tx: &mut Tx<'_>, book: &mut Book| {
                let console = &shared.settings.console_origin;
                let notice = Notice {
                    topic: Topic::AlertTest,
                    subject: "Tradewarden: a test of alerts".to_owned(),
                    text: format!(
                        "This is a test by {by}: alerts of {console} arrive here.\n\nTime: {}\n",
                        shown(book.now)
                    ),
                    event: json!({
                        "type": "alert.test", "timestamp": book.now,
                        "data": { "by": by, "gateway": console },
                    }),
                };
                book.enter(&shared, org, org, "alert.tested", &payload);
                send(tx, book, &shared, org, &notice).await
            })
            .await?;
        self.alert_channels().await
    }

    /// Whether a strategy on this account may be switched on: where money is at stake, only once a
    /// channel for alerts was tested (S24).
    pub(crate) async fn may_trade_live(
        &self,
        account: Id<id::Account>,
    ) -> Result<(), CommandError> {
        let shared = &self.parts;
        let account = crate::book::account(shared, account);
        let broker = account.and_then(|account| shared.brokers.get(&account.broker));
        let is_paper =
            broker.is_none_or(|broker| broker.capabilities().environment == Environment::Paper);
        if may_be_switched_on(is_paper, tested(shared).await?.len()) {
            return Ok(());
        }
        let code = Code::AlertUntested;
        Err(CommandError::Refused { code, detail: code.meaning().to_owned() })
    }
}
