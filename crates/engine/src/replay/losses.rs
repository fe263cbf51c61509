//! What would have been lost in a replay, and what would have been halted for it (S23): the watches of
//! the running gateway, over the positions of an imagined book.
//!
//! What was made by closing is known to the last digit: it is fills. What was open is marked with what was
//! stored of the quotes of its time. While something is open of which no mark of the last minute is
//! stored, only what was closed counts, as in the running gateway; from when to when, is told. A fall in
//! percent of an equity is judged while one of the minute before was stored.

use super::days::Days;
use super::equities::Equities;
use super::quotes::Quotes;
use crate::book::Book;
use crate::command::error::CommandError;
use crate::command::replay::ReplayWatch;
use crate::directory::Directory;
use crate::loss::{reading_of, strategy_of, watched};
use crate::profit::{Holdings, tally_at};
use crate::view::{ReplayTripView, ReplayUnmarkedView};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tradewarden_domain::account::Account;
use tradewarden_domain::exchange::ExchangeRate;
use tradewarden_domain::halt::{Halt, HaltMode, HaltScope};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::limit::LimitBook;
use tradewarden_domain::loss::{LossKind, Lost, Reading, Step, Watch};
use tradewarden_domain::money::Money;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::losses::Watched;

/// Trips, and times without marks, that one step tells of.
const TOLD_MAX: usize = 200;
/// Three marks in a row make it true, so one is looked at again so long after it.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

const MINUTE_MICROS: i64 = 60_000_000;

/// What the losses of a book are judged by.
pub(super) struct Rules<'a> {
    pub(super) org: Id<id::Org>,
    pub(super) directory: &'a Directory,
    pub(super) limits: &'a LimitBook,
    pub(super) rates: &'a [ExchangeRate],
    pub(super) quotes: &'a Quotes,
    pub(super) equities: &'a Equities,
    pub(super) days: &'a Days,
}

impl Rules<'_> {
    fn accounts(&self) -> impl Iterator<Item = &Account> {
        let all = self.directory.accounts.values();
        all.filter(|account| account.org_id == self.org).map(AsRef::as_ref)
    }
}

/// One account or strategy.
struct Kept {
    watch: Watch,
    /// Since when it is halted, for the loss of the day and for the fall from the best.
    since: [Option<Timestamp>; 2],
    lost: [Option<Lost>; 2],
}

/// The losses of one book.
pub(super) struct Losses {
    at: Timestamp,
    watches: BTreeMap<(Id<id::Account>, Watched), Kept>,
    trips: Vec<ReplayTripView>,
    /// Since when, and as far as is known until when, an account is open and without marks.
    unmarked: BTreeMap<Id<id::Account>, (Timestamp, Timestamp)>,
    told: Vec<ReplayUnmarkedView>,
}

const fn slot(kind: LossKind, pair: &mut [Option<Timestamp>; 2]) -> &mut Option<Timestamp> {
    let [daily, drawdown] = pair;
    match kind {
        LossKind::Daily => daily,
        LossKind::Drawdown => drawdown,
    }
}

impl Losses {
    /// Nothing is watched yet.
    pub(super) const fn begin(at: Timestamp) -> Self {
        Self {
            at,
            watches: BTreeMap::new(),
            trips: Vec::new(),
            unmarked: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    /// Until when everything was looked at.
    pub(super) const fn at(&self) -> Timestamp {
        self.at
    }

    /// As the step before has left them; `None` if it cannot be read.
    pub(super) fn read(at: Timestamp, watches: &[ReplayWatch]) -> Option<Self> {
        let mut losses = Self::begin(at);
        for kept in watches {
            let watched = kept.strategy_id.map_or(Watched::Account, Watched::Strategy);
            let since = [kept.daily_since, kept.drawdown_since];
            let watch = serde_json::from_value(kept.watch.clone()).ok()?;
            let kept_now = Kept { watch, since, lost: [None, None] };
            losses.watches.insert((kept.account_id, watched), kept_now);
        }
        Some(losses)
    }

    /// What the next step goes on from.
    pub(super) fn written(&self) -> Result<Vec<ReplayWatch>, CommandError> {
        let watch = |((account, watched), kept): (&(Id<id::Account>, Watched), &Kept)| {
            let [daily_since, drawdown_since] = kept.since;
            Ok(ReplayWatch {
                account_id: *account,
                strategy_id: strategy_of(*watched),
                watch: crate::command::error::to_value(&kept.watch)?,
                daily_since,
                drawdown_since,
            })
        };
        self.watches.iter().map(watch).collect()
    }

    /// What there is to tell of this step.
    pub(super) fn told(mut self) -> (Vec<ReplayTripView>, Vec<ReplayUnmarkedView>) {
        for (account, span) in std::mem::take(&mut self.unmarked) {
            self.tell_unmarked(account, span);
        }
        (self.trips, self.told)
    }

    /// The halts that are in force.
    pub(super) fn halts(&self, org: Id<id::Org>) -> Vec<Halt> {
        let each = self.watches.iter().flat_map(|((account, watched), kept)| {
            let kinds = LossKind::ALL.iter().zip(kept.since);
            kinds
                .filter_map(move |(kind, since)| Some(halt(org, *account, *watched, *kind, since?)))
        });
        each.collect()
    }

    /// What is lost of what may be, by account.
    pub(super) fn lost(&self) -> BTreeMap<Id<id::Account>, Vec<(Watched, Lost)>> {
        let mut lost = BTreeMap::<_, Vec<_>>::new();
        for ((account, watched), kept) in &self.watches {
            let each = kept.lost.iter().flatten().map(|lost| (*watched, *lost));
            lost.entry(*account).or_default().extend(each);
        }
        lost
    }

    /// Lets time pass until something happens: marks are taken again, sessions begin.
    pub(super) fn pass(&mut self, book: &Book, rules: &Rules<'_>, to: Timestamp) {
        let before = self.at;
        let minute = |at: Timestamp| at.unix_micros().checked_div_euclid(MINUTE_MICROS);
        // Marks come every second; sessions begin with a minute.
        if minute(before) == minute(to) && before.plus(Duration::from_secs(1)) >= to {
            self.at = self.at.max(to);
            return;
        }
        for account in rules.accounts() {
            let began = rules.days.began(account, to);
            let mut times: BTreeSet<Timestamp> = AGAIN.map(|span| before.plus(span)).into();
            times.insert(began);
            times.extend(AGAIN.map(|span| began.plus(span)));
            times.retain(|at| *at > before && *at < to);
            for at in times {
                self.look_at(account, book, rules, at);
            }
        }
        self.at = self.at.max(to);
    }

    /// Reads everything that is watched, now.
    pub(super) fn look(&mut self, book: &Book, rules: &Rules<'_>) {
        for account in rules.accounts() {
            self.look_at(account, book, rules, self.at);
        }
    }

    /// Reads what is watched of the accounts that hold what was marked.
    pub(super) fn look_marked(
        &mut self,
        book: &Book,
        rules: &Rules<'_>,
        (broker, symbol): (&str, &Symbol),
    ) {
        for account in rules.accounts().filter(|account| account.broker == broker) {
            if book.holds(account.id, symbol) {
                self.look_at(account, book, rules, self.at);
            }
        }
    }

    /// A person ended a halt for a loss: what is imagined of the same is ended as well.
    pub(super) fn resumed(&mut self, halt: &Halt, book: &Book, rules: &Rules<'_>) {
        let Some(kind) = kind_of(halt) else { return };
        for account in rules.accounts() {
            for ((of, watched), kept) in &mut self.watches {
                let scope = scope_of(*of, *watched);
                let since = slot(kind, &mut kept.since);
                if *of != account.id || scope != halt.scope || since.is_none() {
                    continue;
                }
                *since = None;
                let holdings = book.holdings(account.id);
                if let Some(reading) = reading(account, &holdings, rules, *watched, self.at) {
                    kept.watch.resumed(kind, &reading);
                }
            }
        }
    }

    fn look_at(&mut self, account: &Account, book: &Book, rules: &Rules<'_>, at: Timestamp) {
        let watched = watched(rules.directory, account, rules.limits);
        let is_watched = |of: Watched| watched.iter().any(|(watched, _)| *watched == of);
        self.watches.retain(|(of, each), _| *of != account.id || is_watched(*each));
        if watched.is_empty() {
            return;
        }
        let session_at = rules.days.began(account, at);
        let holdings = book.holdings(account.id);
        let mut is_marked = true;
        for (watched, bounds) in watched {
            let Some(mut reading) = reading(account, &holdings, rules, watched, at) else {
                is_marked = false;
                continue;
            };
            let known = self.watches.get(&(account.id, watched));
            if known.is_none_or(|kept| kept.watch.session_at() < session_at) {
                reading.before = total_before(account, &holdings, rules, watched, at);
            }
            let lacks_equity = bounds.drawdown_percent.is_some() && reading.equity.is_none();
            let is_judged = reading.total.is_some() && (reading.is_flat || !lacks_equity);
            is_marked = is_marked && is_judged;
            let kept = self.watches.entry((account.id, watched)).or_insert_with(|| Kept {
                watch: Watch::begin(session_at, &reading),
                since: [None, None],
                lost: [None, None],
            });
            let steps = kept.watch.read(&reading, session_at, at, &bounds);
            let resets = kept.watch.halt_of_session().is_some();
            if resets
                && steps.contains(&Step::Began)
                && slot(LossKind::Daily, &mut kept.since).take().is_some()
            {
                kept.watch.resumed(LossKind::Daily, &reading);
            }
            for step in steps {
                let Step::Broken { kind, loss, limit } = step else { continue };
                *slot(kind, &mut kept.since) = Some(at);
                let halt = halt(rules.org, account.id, watched, kind, at);
                let (_, reset) = rules.days.at(account, at).in_force(at);
                kept.watch.halted(kind, halt.id, reset);
                if self.trips.len() < TOLD_MAX {
                    self.trips.push(ReplayTripView {
                        account_id: account.id,
                        strategy_id: strategy_of(watched),
                        limit: kind,
                        at,
                        loss,
                        allowed: limit,
                    });
                }
            }
            kept.lost = kept.watch.lost(&reading, &bounds);
        }
        self.mark(account.id, at, is_marked);
    }

    /// Keeps from when to when an account was open and nobody knows its marks.
    fn mark(&mut self, account: Id<id::Account>, at: Timestamp, is_marked: bool) {
        if !is_marked {
            let span = self.unmarked.entry(account).or_insert((at, at));
            span.1 = at;
        } else if let Some((from, _)) = self.unmarked.remove(&account) {
            self.tell_unmarked(account, (from, at));
        }
    }

    fn tell_unmarked(&mut self, account_id: Id<id::Account>, (from, to): (Timestamp, Timestamp)) {
        if self.told.len() < TOLD_MAX {
            self.told.push(ReplayUnmarkedView { account_id, from, to });
        }
    }
}

fn reading(
    account: &Account,
    holdings: &Holdings,
    rules: &Rules<'_>,
    watched: Watched,
    at: Timestamp,
) -> Option<Reading> {
    let strategy = strategy_of(watched);
    let reference = |symbol: &Symbol| rules.quotes.reference(account, symbol);
    let tally = tally_at(account, holdings, rules.rates, strategy, (&reference, at));
    let reading = reading_of(&tally, holdings, strategy, at)?;
    // A strategy has no equity of its own.
    let equity = rules.equities.of(account.id, at).filter(|_| watched == Watched::Account);
    Some(Reading { equity, ..reading })
}

/// What it had made at the marks of a second or two before.
fn total_before(
    account: &Account,
    holdings: &Holdings,
    rules: &Rules<'_>,
    watched: Watched,
    at: Timestamp,
) -> Option<Money> {
    let strategy = strategy_of(watched);
    let reference = |symbol: &Symbol| rules.quotes.earlier(account, symbol);
    tally_at(account, holdings, rules.rates, strategy, (&reference, at)).total().ok()
}

/// Which loss engaged a halt, if one did.
pub(super) fn kind_of(halt: &Halt) -> Option<LossKind> {
    LossKind::ALL.iter().copied().find(|kind| halt.engaged_by == kind.text())
}

const fn scope_of(account: Id<id::Account>, watched: Watched) -> HaltScope {
    match watched {
        Watched::Account => HaltScope::Account(account),
        Watched::Strategy(strategy) => HaltScope::Strategy(strategy),
    }
}

fn halt(
    org: Id<id::Org>,
    account: Id<id::Account>,
    watched: Watched,
    kind: LossKind,
    at: Timestamp,
) -> Halt {
    let mark = match kind {
        LossKind::Daily => 1,
        LossKind::Drawdown => 2,
    };
    Halt {
        // It names itself within a replay alone, where what it halts and when tell it apart.
        id: Id::new(at, [mark; 10]),
        org_id: Some(org),
        scope: scope_of(account, watched),
        mode: HaltMode::ReduceOnly,
        include_protective: false,
        reason: "A limit of losses was reached.".to_owned(),
        engaged_by: kind.text().to_owned(),
        engaged_at: at,
    }
}
