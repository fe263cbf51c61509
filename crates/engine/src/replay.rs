//! Replay: judges a stored period of signals by another policy and says what would differ. It reads
//! and writes nothing.
//!
//! Each signal is judged twice, on two imagined books: by the limits that were in force when it came,
//! and by the policy. Only what tells these two apart is the policy's doing, and only that is listed.
//! Where already the first differs from what was answered in truth, the replay knows less than the
//! gateway did; such signals are counted apart.
//!
//! What is assumed: positions begin as the sum of the fills before the period, and what was sent lately
//! and what was open as the last orders before it tell; every order fills whole and at once, as the
//! signal's own order filled if that filled as much, else at the price of its moment, which is the one the
//! stored trace compared with, else that of the signal's own fill, else the signal's, else the last one
//! known, with as much of the own order's fees; it counts as open for as long as the order of this signal
//! was in truth, and one that there was not ends at once; what no signal of the period brought fills as it
//! did, legs of brackets and orders by request, what closes as far as there is something to close; the
//! market was closed for a signal that was refused for that, and open for every other;
//! halts are those of the time, but for losses: these are judged again, and what a person ended is ended
//! here; so are the days of trading; strategies, accounts, webhooks, rates of exchange and the roll table are
//! those of today; a signal by a key is judged as the one that signed it. What was refused before a
//! strategy saw it (rates, freshness, what could not be read) is not judged again, and orders by request
//! are not part of it. Losses count from the beginning of the session in which the period begins, at the
//! marks that were stored; where there are none, that is told (`losses`). The equity is what was stored of
//! the broker's word, whatever the policy would have made of it; a signal for which none was stored is
//! judged without the limits in percent of it, and named.

mod began;
mod books;
mod days;
mod equities;
mod losses;
mod pages;
mod prices;
mod quotes;
pub(crate) mod trades;

use self::began::Began;
use self::books::{Books, Ground};
use self::days::Days;
use self::equities::Equities;
use self::losses::{Losses, Rules, kind_of};
pub(crate) use self::pages::Pages;
use self::prices::known_of;
use self::quotes::Quotes;
use self::trades::Trades;
use crate::Engine;
use crate::book::{Book, Moment};
use crate::command::LimitsImport;
use crate::command::error::{CommandError, away, invalid, to_value};
use crate::command::replay::{ReplayPeriod, ReplayPrice, ReplayState};
use crate::directory::Directory;
use crate::funds::sizes_by_equity;
use crate::intake::read_again;
use crate::judge::{Verdict, imagine};
use crate::loss::OF_LOSSES;
use crate::signal::{Admission, SignalWork};
use crate::view::{
    ReplayCountView, ReplayDifferenceView, ReplayOutcomeView, ReplayView, ReplayWithoutEquityView,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewarden_domain::exchange::ExchangeRate;
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::limit::{Limit, LimitBook};
use tradewarden_domain::money::Price;
use tradewarden_domain::policy::Policy;
use tradewarden_domain::strategy::Strategy;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::signals::{self, StoredSignal};
use tradewarden_store::{audit, directory as rows, rates};

/// Signals that one step judges.
const STEP_SIGNALS_MAX: u32 = 5_000;
/// New marks that one step looks at.
const STEP_MARKS_MAX: u32 = 100_000;
/// After so many, whatever else waits on this thread goes first.
const AT_A_STRETCH: u32 = 64;
/// Signals that are read at one time, with their bodies.
const PAGE: u32 = 200;
/// Differences that one step tells of.
const DIFFERENCES_MAX: usize = 200;
/// Different pairs of outcomes that one step counts apart; there are fewer codes.
const COUNTS_MAX: usize = 1_000;
/// Entries of the log about one signal that are read.
const ENTRIES_MAX: i64 = 8;

/// What judged the signals of a time: the limits, and until when.
struct Then {
    until: Option<Timestamp>,
    limits: Arc<LimitBook>,
}

/// A halt, and when it was ended.
type Ended = (Halt, Option<Timestamp>);

/// One replay in progress.
struct Replay {
    org: Id<id::Org>,
    directory: Arc<Directory>,
    policy: Arc<LimitBook>,
    then: Then,
    rates: Vec<ExchangeRate>,
    books: Books,
    losses_then: Losses,
    losses_now: Losses,
    /// From when on losses are judged; halts for older ones are those of the time.
    losses_from: Timestamp,
    trades: Trades,
    quotes: Quotes,
    equities: Equities,
    days: Days,
    /// What is older came before the period.
    first: Id<id::Signal>,
    /// The last signal that was looked at.
    after: Id<id::Signal>,
    /// So many new marks may still be looked at.
    marks_left: u32,
    prices: BTreeMap<Symbol, Price>,
    view: ReplayView,
    counts: BTreeMap<(String, String), u64>,
}

impl Engine {
    /// Judges the next signals of a period by a policy.
    pub(crate) async fn replay_period(
        &self,
        org: Id<id::Org>,
        asked: ReplayPeriod,
    ) -> Result<Value, CommandError> {
        to_value(&self.replay_step(org, asked).await?)
    }

    async fn replay_step(
        &self,
        org: Id<id::Org>,
        asked: ReplayPeriod,
    ) -> Result<ReplayView, CommandError> {
        if asked.from >= asked.to {
            return Err(invalid("to", &"must be after from"));
        }
        let signals_max = asked.signals_max.unwrap_or(STEP_SIGNALS_MAX);
        if !(1..=STEP_SIGNALS_MAX).contains(&signals_max) {
            let detail = format_args!("must be from 1 to {STEP_SIGNALS_MAX}");
            return Err(invalid("signals_max", &detail));
        }
        let marks_left = asked.marks_max.unwrap_or(STEP_MARKS_MAX);
        if !(1..=STEP_MARKS_MAX).contains(&marks_left) {
            let detail = format_args!("must be from 1 to {STEP_MARKS_MAX}");
            return Err(invalid("marks_max", &detail));
        }
        let ReplayPeriod { from, to, limits, state, .. } = asked;
        let import = LimitsImport { limits, reason: None, base_version: None, dry_run: true };
        let policy = import.policy()?;
        let policy = book_of(org, 0, &policy);
        let directory = self.parts.directory.load_full();
        let first = Id::new(from, [0; 10]);
        let end: Id<id::Signal> = Id::new(to, [0; 10]);
        let rates = self.lasting_rates(org).await?;
        let days = Days::read(&self.parts.store, org).await?;
        let ground = Ground { org, directory: &directory, days: &days, rates: rates.clone() };
        let began = Began::read(&self.parts.store, &ground, state.as_ref(), (from, to)).await?;
        let losses_from = ground.watched_from(from);
        let Began { after, books, losses_then, losses_now, trades, prices } = began;
        let equities = Equities::from(&self.parts.store, org, (losses_now.at(), to)).await?;
        let mut replay = Replay {
            org,
            then: self.limits_at(org, from.max(losses_now.at())).await?,
            directory,
            policy,
            rates,
            books,
            losses_then,
            quotes: Quotes::from(losses_now.at(), to),
            equities,
            days,
            losses_now,
            losses_from,
            trades,
            first,
            after: after.unwrap_or(first),
            marks_left,
            prices,
            view: ReplayView::default(),
            counts: BTreeMap::new(),
        };
        let mut is_through = true;
        if replay.after == first && replay.losses_now.at() <= from {
            // From the beginning of the session in which the period begins.
            let halts = self.halts_to(&replay, from).await?;
            replay.look();
            is_through = self.pass(&mut replay, &halts, from).await?;
        }
        let mut left = signals_max;
        let mut is_complete = false;
        while left > 0 && is_through && !is_complete {
            let count = left.min(PAGE);
            let page = signals::between(&self.parts.store, org, replay.after, end, count).await;
            let page = page.map_err(|error| away(&error))?;
            let found = u32::try_from(page.len()).unwrap_or(count);
            (left, is_complete) = (left.saturating_sub(found), found < count);
            is_through = self.judge_page(&mut replay, page).await?;
        }
        if is_complete && is_through {
            let halts = self.halts_to(&replay, to).await?;
            is_through = self.pass(&mut replay, &halts, to).await?;
        }
        replay.told(is_complete && is_through)
    }

    /// Judges these, as far as this step may look at marks; whether it came through.
    async fn judge_page(
        &self,
        replay: &mut Replay,
        page: Vec<(StoredSignal, Vec<u8>)>,
    ) -> Result<bool, CommandError> {
        let Some((last, _)) = page.last() else { return Ok(true) };
        let halts = self.halts_to(replay, last.received_at).await?;
        for (stored, body) in page {
            let is_over = |until: &Timestamp| *until <= stored.received_at;
            while let Some(until) = replay.then.until.filter(is_over) {
                if !self.pass(replay, &halts, until).await? {
                    return Ok(false);
                }
                replay.then = self.limits_at(replay.org, until).await?;
            }
            if !self.pass(replay, &halts, stored.received_at).await? {
                return Ok(false);
            }
            let is_again =
                |halt: &Halt| kind_of(halt).is_some() && halt.engaged_at >= replay.losses_from;
            let in_force = |(halt, resumed_at): &Ended| {
                halt.engaged_at <= stored.received_at
                    && resumed_at.is_none_or(|at| at > stored.received_at)
                    && !is_again(halt)
            };
            let halts: Vec<Halt> =
                halts.iter().filter(|halt| in_force(halt)).map(|(halt, _)| halt.clone()).collect();
            self.judge_again(replay, &stored, body, halts).await?;
            replay.after = stored.id;
        }
        Ok(true)
    }

    /// The halts that were in force since what was looked at last.
    async fn halts_to(&self, replay: &Replay, to: Timestamp) -> Result<Vec<Ended>, CommandError> {
        let from = replay.losses_now.at();
        let halts = rows::halts_during(&self.parts.store, replay.org, from, to).await;
        halts.map_err(|error| away(&error))
    }

    /// Lets everything happen that was before an instant and is no signal; `false` where this step has
    /// looked at as many marks as one may.
    async fn pass(
        &self,
        replay: &mut Replay,
        halts: &[Ended],
        to: Timestamp,
    ) -> Result<bool, CommandError> {
        let store = &self.parts.store;
        let limits = [&replay.policy, &replay.then.limits];
        let is_watched = limits.iter().any(|limits| limits.has_any(OF_LOSSES));
        let mut stretch: u32 = 0;
        loop {
            stretch = stretch.saturating_add(1);
            if stretch.checked_rem(AT_A_STRETCH) == Some(0) {
                tokio::task::yield_now().await;
            }
            let trade_at = replay.trades.next_at(store, replay.org, to).await?;
            if is_watched
                && let Some(at) = replay.quotes.next_at(store, trade_at.unwrap_or(to)).await?
            {
                let is_new = at >= replay.losses_now.at();
                if is_new {
                    let Some(left) = replay.marks_left.checked_sub(1) else {
                        replay.view.through = Some(replay.losses_now.at());
                        return Ok(false);
                    };
                    replay.marks_left = left;
                    replay.pass(halts, at);
                    replay.equities.advance(store, at).await?;
                }
                replay.mark(is_new);
                continue;
            }
            let Some(trade) = trade_at.and_then(|_| replay.trades.take()) else { break };
            let is_of_signal = trade.signal_id.is_some_and(|signal| signal >= replay.first);
            if is_of_signal && trade.leg.is_none() {
                continue;
            }
            replay.pass(halts, trade.at);
            replay.equities.advance(store, trade.at).await?;
            trades::take(&mut replay.books.as_then, &trade);
            trades::take(&mut replay.books.now, &trade);
            replay.look();
        }
        replay.pass(halts, to);
        replay.equities.advance(store, to).await?;
        replay.look();
        Ok(true)
    }

    /// The key that signed a stored signal: of several that follow on one another, the one.
    pub(crate) async fn signed_by(
        &self,
        stored: &StoredSignal,
    ) -> Result<Option<Id<id::Key>>, CommandError> {
        if stored.source.webhook().is_some() {
            return Ok(None);
        }
        let entries = audit::of_object(&self.parts.store, stored.id.to_bytes(), ENTRIES_MAX).await;
        let entries = entries.map_err(|error| away(&error))?;
        let signed = entries.iter().find_map(|entry| {
            let payload: Value = serde_json::from_str(&entry.payload).ok()?;
            payload.get("signed_by")?.as_str()?.parse().ok()
        });
        Ok(signed)
    }

    async fn judge_again(
        &self,
        replay: &mut Replay,
        stored: &StoredSignal,
        body: Vec<u8>,
        halts: Vec<Halt>,
    ) -> Result<(), CommandError> {
        replay.view.through = Some(stored.received_at);
        let signed_by = self.signed_by(stored).await?;
        let Some(work) = work(&replay.directory, stored, body, signed_by) else {
            replay.view.not_judged = replay.view.not_judged.saturating_add(1);
            return Ok(());
        };
        let Admission::Admitted(signal) = &work.admission else { return Ok(()) };
        let directory = Arc::clone(&replay.directory);
        let followers = directory.followers(stored.source);
        let symbols = followers.iter().filter_map(|strategy| strategy.symbol_for(signal).ok());
        let code = stored.code.as_deref();
        let is_unheard = matches!(code, Some("risk.equity_stale" | "sizing.equity_stale"));
        if !is_unheard {
            let without = replay.without_equity(followers, stored.received_at);
            replay.tell_without_equity(stored, without);
        }
        let known = known_of(&self.parts.store, stored, signal, symbols).await;
        let (prices, orders) = known.map_err(|error| away(&error))?;
        replay.prices.extend(prices);
        let moment = Moment {
            prices: replay.prices.clone(),
            is_closed: code == Some("risk.market_closed"),
            orders,
            lost: BTreeMap::new(),
            equities: replay.equities.at(stored.received_at),
            is_unheard,
        };
        let judge = |book: &mut Book, losses: &Losses, limits: &Arc<LimitBook>| {
            let limits = (replay.org, Arc::clone(limits));
            let halts = halts.iter().cloned().chain(losses.halts(replay.org)).collect();
            let moment = Moment { lost: losses.lost(), ..moment.clone() };
            book.imagine(stored.received_at, halts, limits, moment);
            let verdict = imagine(&self.parts, book, &replay.directory, &work);
            book.fill_all();
            verdict
        };
        let then = &replay.then.limits;
        let as_then = judge(&mut replay.books.as_then, &replay.losses_then, then);
        let now = judge(&mut replay.books.now, &replay.losses_now, &replay.policy);
        replay.compare(stored, &as_then, now);
        replay.look();
        Ok(())
    }

    /// The rates of exchange, without an end.
    async fn lasting_rates(&self, org: Id<id::Org>) -> Result<Vec<ExchangeRate>, CommandError> {
        let rates = rates::of_org(&self.parts.store, org).await.map_err(|error| away(&error))?;
        let lasting =
            |rate| ExchangeRate { valid_until: Timestamp::from_unix_micros(i64::MAX), ..rate };
        Ok(rates.into_iter().map(lasting).collect())
    }

    /// The limits that were in force at a time.
    async fn limits_at(&self, org: Id<id::Org>, at: Timestamp) -> Result<Then, CommandError> {
        let store = &self.parts.store;
        let known = rows::policy_version_at(store, org, at).await;
        let (version, until) = known.map_err(|error| away(&error))?;
        let policy = rows::policy(store, org, version).await.map_err(|error| away(&error))?;
        Ok(Then { until, limits: book_of(org, version, &policy) })
    }
}

impl Replay {
    /// Both books' losses, with what they are judged by.
    fn each_loss(&mut self, mut change: impl FnMut(&mut Losses, &Book, &Rules<'_>)) {
        let rules = |limits| Rules {
            org: self.org,
            directory: &self.directory,
            limits,
            rates: &self.rates,
            quotes: &self.quotes,
            equities: &self.equities,
            days: &self.days,
        };
        change(&mut self.losses_then, &self.books.as_then, &rules(&self.then.limits));
        change(&mut self.losses_now, &self.books.now, &rules(&self.policy));
    }

    /// Lets time pass, and persons end halts.
    fn pass(&mut self, halts: &[Ended], to: Timestamp) {
        let from = self.losses_now.at();
        let mut ended: Vec<(&Halt, Timestamp)> =
            halts.iter().filter_map(|(halt, at)| at.map(|at| (halt, at))).collect();
        ended.retain(|(_, at)| *at > from && *at <= to);
        ended.sort_by_key(|(_, at)| *at);
        for (halt, at) in ended {
            self.each_loss(|losses, book, rules| {
                losses.pass(book, rules, at);
                losses.resumed(halt, book, rules);
            });
        }
        self.each_loss(|losses, book, rules| losses.pass(book, rules, to));
    }

    /// Takes a mark in, and reads what it marks if it is new.
    fn mark(&mut self, is_new: bool) {
        let Some((broker, symbol)) = self.quotes.take().filter(|_| is_new) else { return };
        self.each_loss(|losses, book, rules| losses.look_marked(book, rules, (&broker, &symbol)));
    }

    /// Reads everything that is watched, now.
    fn look(&mut self) {
        self.each_loss(Losses::look);
    }

    /// Accounts whose equity counts for a signal of these strategies, and is not known.
    fn without_equity(&self, followers: &[Arc<Strategy>], at: Timestamp) -> Vec<Id<id::Account>> {
        let is_of_equity = |strategy: &Strategy, account: Id<id::Account>| {
            [&self.policy, &self.then.limits].iter().any(|limits| {
                let one = limits.tightest(account, Some(strategy.id), None, &strategy.symbol);
                one.credit_percent.is_some()
                    || limits.of_account(account).drawdown_percent.is_some()
            })
        };
        let each = followers.iter().flat_map(|strategy| {
            let sizes = sizes_by_equity(strategy);
            strategy.accounts().filter(move |account| sizes || is_of_equity(strategy, *account))
        });
        let mut accounts: Vec<_> =
            each.filter(|account| self.equities.of(*account, at).is_none()).collect();
        accounts.sort_unstable();
        accounts.dedup();
        accounts
    }

    fn tell_without_equity(&mut self, stored: &StoredSignal, account_ids: Vec<Id<id::Account>>) {
        if account_ids.is_empty() {
            return;
        }
        let view = &mut self.view;
        view.without_equity = view.without_equity.saturating_add(1);
        if view.equity_not_known.len() < DIFFERENCES_MAX {
            view.equity_not_known.push(ReplayWithoutEquityView {
                signal_id: stored.id,
                received_at: stored.received_at,
                account_ids,
            });
        }
    }

    fn compare(&mut self, stored: &StoredSignal, as_then: &Verdict, now: Verdict) {
        let view = &mut self.view;
        view.judged = view.judged.saturating_add(1);
        let then = ReplayOutcomeView {
            status: stored.status.clone(),
            code: stored.code.clone(),
            message: stored.message.clone(),
        };
        if !as_then.says(&then.status, then.code.as_deref()) {
            view.unexplained = view.unexplained.saturating_add(1);
        }
        if now.is_same(as_then) {
            return;
        }
        view.differs = view.differs.saturating_add(1);
        let outcome = ReplayOutcomeView {
            status: now.status.text().to_owned(),
            code: now.code.map(|code| code.text().to_owned()),
            message: now.message,
        };
        let pair = (then.in_short(), outcome.in_short());
        if self.counts.len() < COUNTS_MAX || self.counts.contains_key(&pair) {
            let count = self.counts.entry(pair).or_default();
            *count = count.saturating_add(1);
        }
        if view.differences.len() < DIFFERENCES_MAX {
            view.differences.push(ReplayDifferenceView {
                signal_id: stored.id,
                received_at: stored.received_at,
                then,
                now: outcome,
            });
        }
    }

    fn told(self, is_complete: bool) -> Result<ReplayView, CommandError> {
        let mut view = self.view;
        view.counts = self
            .counts
            .into_iter()
            .map(|((then, now), signals)| ReplayCountView { then, now, signals })
            .collect();
        if !is_complete {
            let prices = self.prices.into_iter();
            let (fills_at, fills_after) = self.trades.cursor();
            view.state = Some(ReplayState {
                after: self.after,
                prices: prices.map(|(symbol, price)| ReplayPrice { symbol, price }).collect(),
                fills_at,
                fills_after,
                losses_at: self.losses_now.at(),
                as_then: books::written(&self.books.as_then, &self.losses_then)?,
                now: books::written(&self.books.now, &self.losses_now)?,
            });
        }
        (view.trips, view.losses_not_judged) = self.losses_now.told();
        Ok(view)
    }
}

/// A stored signal as it was when a strategy saw it; `None` if none did, or if it cannot be judged
/// again.
fn work(
    directory: &Directory,
    stored: &StoredSignal,
    body: Vec<u8>,
    signed_by: Option<Id<id::Key>>,
) -> Option<SignalWork> {
    // What passed everything before the strategies has this line in its trace.
    stored.checks.contains("\"name\":\"duplicate\"").then_some(())?;
    let work = read_again(directory, stored, body, signed_by)?;
    matches!(work.admission, Admission::Admitted(_)).then_some(())?;
    Some(SignalWork { dry_run: stored.status == "dry_run", ..work })
}

fn book_of(org: Id<id::Org>, version: i64, policy: &Policy) -> Arc<LimitBook> {
    let limits: Vec<Limit> = policy
        .limits()
        .map(|(scope, name, value)| Limit {
            org_id: org,
            scope: scope.clone(),
            name,
            value,
            version,
            updated_at: Timestamp::default(),
        })
        .collect();
    Arc::new(LimitBook::of(version, limits.iter()))
}
