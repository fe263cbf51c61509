//! What is known by heart: a snapshot that look-ups read without a lock. A change makes the next
//! snapshot of the one before and of the rows that changed; what did not change is shared.

pub(crate) mod keys;
mod read;
mod read_keys;
mod shards;
mod signing;

pub(crate) use read::webhook_of;
pub(crate) use signing::{SealedSigning, previous_signing_place, versioned, with_signing};

use crate::actor::Actor;
use crate::seals::Seals;
use ipnet::{IpNet, Ipv4Net};
use shards::{Print, Shards};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tradewarden_domain::account::{Account, Activity};
use tradewarden_domain::few::Few;
use tradewarden_domain::halt::{Halt, HaltScope};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::key::ApiKey;
use tradewarden_domain::limit::{Limit, LimitBook};
use tradewarden_domain::rate::{Bucket, SlidingWindow};
use tradewarden_domain::roll::RollTable;
use tradewarden_domain::source::Source;
use tradewarden_domain::strategy::Strategy;
use tradewarden_domain::time::Timestamp;
use tradewarden_domain::webhook::Webhook;
use tradewarden_seal::{HashedToken, Place, SecretBytes};
use tradewarden_store::directory::Organization;

/// The roll tables, by organization.
pub(crate) type Rolls = Arc<BTreeMap<Id<id::Org>, Arc<RollTable>>>;

/// A snapshot of everything that is configured. To copy it copies none of it.
#[derive(Clone, Default)]
pub(crate) struct Directory {
    /// Every change up to this number is in it.
    seen: i64,
    /// Goes on whenever data keys were made or taken away.
    pub(crate) data_keys_changed: u64,
    /// Webhooks whose signing secret is older than the log says.
    pub(crate) older: Arc<BTreeSet<Id<id::Webhook>>>,
    pub(crate) organizations: Arc<Vec<Organization>>,
    pub(crate) accounts: Arc<BTreeMap<Id<id::Account>, Arc<Account>>>,
    pub(crate) doors: Shards<Id<id::Webhook>, Arc<Door>>,
    pub(crate) strategies: Shards<Id<id::Strategy>, Arc<Strategy>>,
    pub(crate) limits: Arc<Vec<Limit>>,
    pub(crate) books: Arc<BTreeMap<Id<id::Org>, Arc<LimitBook>>>,
    pub(crate) halts: Arc<Vec<Halt>>,
    pub(crate) rolls: Rolls,
    /// What of all this was held against the log.
    pub(crate) seals: Arc<Seals>,
    pub(crate) keys: Shards<Id<id::Key>, Arc<crate::known_key::KnownKey>>,
    /// Active doors by their tokens.
    by_token: Shards<Print, Arc<Door>>,
    by_source: Shards<Source, Arc<Vec<Arc<Strategy>>>>,
}

/// A webhook as intake needs it.
pub(crate) struct Door {
    pub(crate) webhook: Webhook,
    pub(crate) secret: HashedToken,
    pub(crate) signing_secret: Option<SecretBytes>,
    /// What was replaced and is still taken for a while.
    pub(crate) previous: Option<Box<PreviousSecrets>>,
    pub(crate) allow: Few<IpNet>,
    /// Made at the first draw: most doors are quiet for most of the time.
    rates: Mutex<Option<Box<Rates>>>,
}

/// With the two counts of what shares it, and the allocator's own word, 272 bytes.
const _: () = assert!(size_of::<Door>() <= 248);

/// Secrets that were replaced.
pub(crate) struct PreviousSecrets {
    pub(crate) secret: HashedToken,
    pub(crate) signing_secret: Option<SecretBytes>,
    pub(crate) valid_until: Timestamp,
}

/// The budgets of one webhook (S16).
struct Rates {
    flood: Bucket,
    entries: SlidingWindow,
    exits: Bucket,
}

/// Requests a second that are read at all, and how many at once (S16).
const FLOOD_PER_S: u32 = 100;
const FLOOD_BURST: u32 = 200;
/// Exits a second, and how many at once (S16).
const EXITS_PER_S: u32 = 50;
const EXITS_BURST: u32 = 200;

impl Rates {
    fn new(per_s: u32) -> Self {
        // A webhook that was given more than the usual rate is read and closed as generously.
        let flood = FLOOD_PER_S.max(per_s.saturating_mul(2));
        let exits = EXITS_PER_S.max(per_s);
        Self {
            flood: Bucket::new(flood, FLOOD_BURST.max(flood.saturating_mul(2))),
            entries: SlidingWindow::new(per_s, Duration::from_secs(1)),
            exits: Bucket::new(exits, EXITS_BURST.max(exits)),
        }
    }
}

/// Which budget a signal draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Budget {
    /// What is read at all.
    Flood,
    /// Signals that may add risk.
    Entries,
    /// Signals that reduce.
    Exits,
}

impl Door {
    /// Whether the address may use this door.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|net| net.contains(&address))
    }

    /// Draws one from a budget, or says how long to wait.
    pub(crate) fn draw(&self, budget: Budget, now: Timestamp) -> Result<(), Duration> {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Box::new(Rates::new(self.webhook.rate_per_s));
        let rates = rates.get_or_insert_with(fresh);
        match budget {
            Budget::Flood => rates.flood.admit(now),
            Budget::Entries => rates.entries.admit(now),
            Budget::Exits => rates.exits.admit(now),
        }
    }
}

impl Directory {
    /// The active door behind this token.
    pub(crate) fn door(&self, token: &str) -> Option<&Arc<Door>> {
        let print = self.by_token.print(token.as_bytes());
        self.by_token.find(&print, |door| door.webhook.token.as_bytes() == token.as_bytes())
    }

    /// The version of an organization's strategies that is known here.
    pub(crate) fn strategies_version(&self, org: Id<id::Org>) -> Option<i64> {
        let place = self.organizations.binary_search_by_key(&org, |known| known.id).ok()?;
        self.organizations.get(place).map(|known| known.strategies_version)
    }

    /// Whether the actor may know of a source: of every account that its strategies trade on. What
    /// no strategy follows is the organization's.
    pub(crate) fn reaches(&self, actor: &Actor, source: Source) -> bool {
        self.followers(source).iter().all(|follower| actor.reaches_all_of(follower))
    }

    /// Whether the actor may know of what a halt of this scope covers. What covers instruments or the
    /// whole organization is everybody's to know.
    pub(crate) fn knows(&self, actor: &Actor, scope: &HaltScope) -> bool {
        actor.reaches_all()
            || match scope {
                HaltScope::Global | HaltScope::Org(_) | HaltScope::Instrument(_) => true,
                HaltScope::Account(account) | HaltScope::Pair(account, _) => {
                    actor.reaches(*account)
                }
                HaltScope::Strategy(id) => {
                    self.strategies.get(id).is_some_and(|found| actor.reaches_all_of(found))
                }
                HaltScope::Webhook(id) => {
                    self.doors.get(id).is_some() && self.reaches(actor, Source::Webhook(*id))
                }
                HaltScope::Key(id) => actor.as_key().is_some_and(|key| key.id == *id),
            }
    }

    /// Whether all that a halt of this scope covers is the actor's to stop: a key that is bound to
    /// accounts or instruments stops nothing else.
    pub(crate) fn is_within(&self, actor: &Actor, scope: &HaltScope) -> bool {
        let Some(key) = actor.as_key() else { return true };
        let (all_accounts, all_instruments) = (key.accounts.is_empty(), key.instruments.is_empty());
        let is_own =
            |strategy: &Strategy| actor.reaches_all_of(strategy) && actor.trades_all_of(strategy);
        match scope {
            HaltScope::Global | HaltScope::Org(_) => all_accounts && all_instruments,
            HaltScope::Account(account) => actor.reaches(*account) && all_instruments,
            HaltScope::Pair(account, symbol) => actor.reaches(*account) && key.trades(symbol),
            HaltScope::Instrument(symbol) => all_accounts && key.trades(symbol),
            HaltScope::Strategy(id) => self.strategies.get(id).is_some_and(|found| is_own(found)),
            HaltScope::Webhook(id) => {
                self.followers(Source::Webhook(*id)).iter().all(|found| is_own(found))
            }
            HaltScope::Key(id) => *id == key.id || (all_accounts && all_instruments),
        }
    }

    /// The strategies that follow this source, oldest first.
    pub(crate) fn followers(&self, source: Source) -> &[Arc<Strategy>] {
        self.by_source.get(&source).map_or(&[], |strategies| strategies.as_slice())
    }

    /// The source that a key is: the first of the keys that follow on one another up to it, so that
    /// strategies and the memory of duplicates outlive a rotation.
    pub(crate) fn source_of(&self, key: &ApiKey) -> Source {
        let (mut first, mut before) = (key.id, key.rotated_from);
        // Each was made after the one it follows on, so this ends.
        while let Some(earlier) = before {
            first = earlier;
            before = self.keys.get(&earlier).and_then(|known| known.key.rotated_from);
        }
        Source::Key(first)
    }

    /// The webhooks of an organization, oldest first.
    pub(crate) fn doors_of(&self, org: Id<id::Org>) -> Vec<&Arc<Door>> {
        let mut own: Vec<_> =
            self.doors.values().filter(|door| door.webhook.org_id == org).collect();
        own.sort_unstable_by_key(|door| door.webhook.id);
        own
    }

    /// The strategies of an organization, oldest first.
    pub(crate) fn strategies_of(&self, org: Id<id::Org>) -> Vec<&Arc<Strategy>> {
        let mut own: Vec<_> =
            self.strategies.values().filter(|strategy| strategy.org_id == org).collect();
        own.sort_unstable_by_key(|strategy| strategy.id);
        own
    }

    /// Puts a webhook in the place of the one before, or takes it away.
    fn set_door(&mut self, id: Id<id::Webhook>, door: Option<Door>) {
        if let Some(before) = self.doors.remove(&id) {
            let print = self.by_token.print(before.webhook.token.as_bytes());
            self.by_token.remove_found(&print, |door| door.webhook.id == id);
        }
        let Some(door) = door.map(Arc::new) else { return };
        if door.webhook.state == Activity::Active {
            let print = self.by_token.print(door.webhook.token.as_bytes());
            self.by_token.add(print, Arc::clone(&door));
        }
        self.doors.insert(id, door);
    }

    /// Puts a strategy in the place of the one before, or takes it away.
    fn set_strategy(&mut self, id: Id<id::Strategy>, strategy: Option<Strategy>) {
        if let Some(before) = self.strategies.remove(&id) {
            let mut followers = self.by_source.remove(&before.source).unwrap_or_default();
            Arc::make_mut(&mut followers).retain(|follower| follower.id != id);
            if !followers.is_empty() {
                self.by_source.insert(before.source, followers);
            }
        }
        let Some(strategy) = strategy.map(Arc::new) else { return };
        let source = strategy.source;
        let mut followers = self.by_source.remove(&source).unwrap_or_default();
        let place = followers.partition_point(|follower| follower.id < id);
        Arc::make_mut(&mut followers).insert(place, Arc::clone(&strategy));
        self.by_source.insert(source, followers);
        self.strategies.insert(id, strategy);
    }
}

/// Where a webhook's signing secret is sealed.
pub(crate) fn signing_place<'a>(org: &'a [u8; 16], webhook: &'a [u8; 16]) -> Place<'a> {
    Place {
        tenant: org,
        table: "webhooks",
        column: "signing_secret",
        row: webhook,
        schema_version: 2,
    }
}

/// The text is neither an address nor a network.
#[derive(Debug)]
pub(crate) struct NotANetwork;

/// Reads an address or a network in CIDR form, v4 or v6. A v4 address in the clothes of v6 is v4, as
/// those of callers are.
pub(crate) fn parse_network(text: &str) -> Result<IpNet, NotANetwork> {
    let text = text.trim();
    let net = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| NotANetwork)?;
    Ok(unmapped(net).unwrap_or(net).trunc())
}

/// The v4 network that a v6 one is about, if it is in `::ffff:0:0/96` (RFC 4291 section 2.5.5.2).
fn unmapped(net: IpNet) -> Option<IpNet> {
    let IpNet::V6(six) = net else { return None };
    let length = six.prefix_len().checked_sub(96)?;
    let four = six.addr().to_ipv4_mapped()?;
    Ipv4Net::new(four, length).ok().map(IpNet::V4)
}

/// Networks with a shorter prefix are no list: they say "from anywhere" in other words.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 16;

/// Whether a list of networks narrows down where a caller may be.
pub(crate) fn is_narrow<'a>(mut networks: impl Iterator<Item = &'a str>) -> bool {
    let mut any = false;
    let narrow = networks.all(|text| {
        any = true;
        match parse_network(text) {
            Ok(IpNet::V4(net)) => net.prefix_len() >= WIDEST_V4,
            Ok(IpNet::V6(net)) => net.prefix_len() >= WIDEST_V6,
            Err(NotANetwork) => false,
        }
    });
    any && narrow
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_v4_network_in_the_clothes_of_v6_is_v4() {
        for (text, read) in [
            ("::ffff:127.0.0.1", "127.0.0.1/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.0.0.7/120", "10.0.0.0/24"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(parse_network(text).unwrap().to_string(), read, "{text}");
        }
    }

    #[test]
    fn a_list_of_everything_is_no_list() {
        for (list, narrow) in [
            (&[][..], false),
            (&["0.0.0.0/0"], false),
            (&["0.0.0.0/1", "128.0.0.0/1"], false),
            (&["192.0.2.1", "::/0"], false),
            (&["::ffff:0.0.0.0/96"], false),
            (&["10.0.0.0/8", "2001::/16"], true),
            (&["192.0.2.1"], true),
        ] {
            assert_eq!(is_narrow(list.iter().copied()), narrow, "{list:?}");
        }
    }
}
