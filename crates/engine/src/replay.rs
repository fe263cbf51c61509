//! Replay: judges a stored period of signals by another policy and says what would differ. It reads
//! and writes nothing.
//!
//! Each signal is judged twice, on two imagined books: by the limits that were in force when it came,
//! and by the policy. Only what tells these two apart is the policy's doing, and only that is listed.
//! Where already the first differs from what was answered in truth, the replay knows less than the
//! gateway did; such signals are counted apart.
//!
//! What is assumed: positions begin as the sum of the fills before the period, and what was sent lately
//! and what was open as the last orders before it tell; every order fills
//! whole, at once, at the price of its moment, which is the one the stored trace compared with, else
//! that of the signal's own fill, else the signal's, else the last one known; it counts as open for as
//! long as the order of this signal was in truth, and one that there was not ends at once; brackets close
//! nothing; the market was closed for a signal that was refused for that, and open for every other;
//! halts are those of the time; strategies, accounts, webhooks, rates of exchange and the roll table are
//! those of today. What was refused before a
//! strategy saw it (rates, freshness, what could not be read) is not judged again, and orders by request
//! are not part of it. What compares with equity or losses is left out, and named: nobody stores the
//! marks and the equity of the past.

mod books;
mod prices;

use self::books::{Books, Ground, POSITIONS_MAX, book_at};
use self::prices::known_of;
use crate::Engine;
use crate::actor::Actor;
use crate::administer::{invalid, to_value};
use crate::book::Moment;
use crate::command::replay::{ReplayPeriod, ReplayPrice, ReplayState};
use crate::command::{CommandError, LimitsImport};
use crate::directory::Directory;
use crate::intake::read_again;
use crate::journal::{Admission, SignalWork};
use crate::judge::{Verdict, imagine};
use crate::reads::away;
use crate::view::{ReplayCountView, ReplayDifferenceView, ReplayOutcomeView, ReplayView};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tradewarden_domain::exchange::ExchangeRate;
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::limit::{Limit, LimitBook, LimitName};
use tradewarden_domain::money::Price;
use tradewarden_domain::policy::Policy;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::signals::{self, StoredSignal};
use tradewarden_store::{directory as rows, orders, rates};

/// Signals that one step judges.
const STEP_SIGNALS_MAX: u32 = 5_000;
/// Signals that are read at one time, with their bodies.
const PAGE: u32 = 200;
/// Differences that one step tells of.
const DIFFERENCES_MAX: usize = 200;
/// Different pairs of outcomes that one step counts apart; there are fewer codes.
const COUNTS_MAX: usize = 1_000;

/// What judged the signals of a time: the limits, and until when.
struct Then {
    until: Option<Timestamp>,
    limits: Arc<LimitBook>,
}

/// One replay in progress.
struct Replay {
    org: Id<id::Org>,
    directory: Arc<Directory>,
    policy: Arc<LimitBook>,
    then: Then,
    books: Books,
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
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        if !actor.reaches_all() {
            return Err(CommandError::NotFound);
        }
        if asked.from >= asked.to {
            return Err(invalid("to", &"must be after from"));
        }
        let signals_max = asked.signals_max.unwrap_or(STEP_SIGNALS_MAX);
        if !(1..=STEP_SIGNALS_MAX).contains(&signals_max) {
            let detail = format_args!("must be from 1 to {STEP_SIGNALS_MAX}");
            return Err(invalid("signals_max", &detail));
        }
        let import =
            LimitsImport { limits: asked.limits, reason: None, base_version: None, dry_run: true };
        let policy = import.policy()?;
        let names: BTreeSet<&'static str> = policy
            .limits()
            .filter(|(_, name, _)| !is_judged(*name))
            .map(|(_, name, _)| name.text())
            .collect();
        let view =
            ReplayView { limits_not_judged: names.into_iter().collect(), ..ReplayView::default() };
        let policy = book_of(org, 0, &policy);
        let directory = self.parts.directory.load_full();
        let first = Id::new(asked.from, [0; 10]);
        let end: Id<id::Signal> = Id::new(asked.to, [0; 10]);
        let ground = Ground { org, directory: &directory, rates: self.lasting_rates(org).await? };
        let (mut after, books, prices) = if let Some(state) = asked.state {
            let books = Books::read(&ground, &state)?;
            let prices = state.prices.into_iter().map(|known| (known.symbol, known.price));
            (state.after, books, prices.collect())
        } else {
            let store = &self.parts.store;
            let book = book_at(store, org, asked.from).await?;
            let most = u32::try_from(POSITIONS_MAX).unwrap_or(u32::MAX);
            let prices = orders::last_prices(store, org, asked.from, most).await;
            let prices = prices.map_err(|error| away(&error))?;
            (first, Books::begin(&ground, &book), prices.into_iter().collect())
        };
        let mut replay = Replay {
            org,
            directory,
            policy,
            then: self.limits_at(org, asked.from).await?,
            books,
            prices,
            view,
            counts: BTreeMap::new(),
        };
        let mut left = signals_max;
        let mut is_complete = false;
        while left > 0 && !is_complete {
            let count = left.min(PAGE);
            let page = signals::between(&self.parts.store, org, after, end, count).await;
            let page = page.map_err(|error| away(&error))?;
            let found = u32::try_from(page.len()).unwrap_or(count);
            (left, is_complete) = (left.saturating_sub(found), found < count);
            let Some((last, _)) = page.last() else { break };
            after = last.id;
            self.judge_page(&mut replay, page).await?;
        }
        to_value(&replay.told(after, is_complete)?)
    }

    async fn judge_page(
        &self,
        replay: &mut Replay,
        page: Vec<(StoredSignal, Vec<u8>)>,
    ) -> Result<(), CommandError> {
        let span = (page.first(), page.last());
        let (Some((first, _)), Some((last, _))) = span else { return Ok(()) };
        let halts =
            rows::halts_during(&self.parts.store, replay.org, first.received_at, last.received_at);
        let halts = halts.await.map_err(|error| away(&error))?;
        for (stored, body) in page {
            while replay.then.until.is_some_and(|until| until <= stored.received_at) {
                replay.then = self.limits_at(replay.org, stored.received_at).await?;
            }
            let in_force = |(halt, resumed_at): &(Halt, Option<Timestamp>)| {
                halt.engaged_at <= stored.received_at
                    && resumed_at.is_none_or(|at| at > stored.received_at)
            };
            let halts: Vec<Halt> =
                halts.iter().filter(|halt| in_force(halt)).map(|(halt, _)| halt.clone()).collect();
            self.judge_again(replay, &stored, body, halts).await?;
        }
        Ok(())
    }

    async fn judge_again(
        &self,
        replay: &mut Replay,
        stored: &StoredSignal,
        body: Vec<u8>,
        halts: Vec<Halt>,
    ) -> Result<(), CommandError> {
        replay.view.through = Some(stored.received_at);
        let Some(work) = work(&replay.directory, stored, body) else {
            replay.view.not_judged = replay.view.not_judged.saturating_add(1);
            return Ok(());
        };
        let Admission::Admitted(signal) = &work.admission else { return Ok(()) };
        let followers = replay.directory.followers(stored.source);
        let symbols = followers.iter().filter_map(|strategy| strategy.symbol_for(signal).ok());
        let known = known_of(&self.parts.store, stored, signal, symbols).await;
        let (prices, orders) = known.map_err(|error| away(&error))?;
        replay.prices.extend(prices);
        let moment = Moment {
            prices: replay.prices.clone(),
            is_closed: stored.code.as_deref() == Some("risk.market_closed"),
            orders,
        };
        let judge = |book: &mut crate::book::Book, limits: &Arc<LimitBook>| {
            let limits = (replay.org, Arc::clone(limits));
            book.imagine(stored.received_at, halts.clone(), limits, moment.clone());
            let verdict = imagine(&self.parts, book, &replay.directory, &work);
            book.fill_all();
            verdict
        };
        let as_then = judge(&mut replay.books.as_then, &replay.then.limits);
        let now = judge(&mut replay.books.now, &replay.policy);
        replay.compare(stored, &as_then, now);
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

    fn told(self, after: Id<id::Signal>, is_complete: bool) -> Result<ReplayView, CommandError> {
        let mut view = self.view;
        view.counts = self
            .counts
            .into_iter()
            .map(|((then, now), signals)| ReplayCountView { then, now, signals })
            .collect();
        if !is_complete {
            let prices = self.prices.into_iter();
            view.state = Some(ReplayState {
                after,
                prices: prices.map(|(symbol, price)| ReplayPrice { symbol, price }).collect(),
                as_then: books::written(&self.books.as_then)?,
                now: books::written(&self.books.now)?,
            });
        }
        Ok(view)
    }
}

/// A stored signal as it was when a strategy saw it; `None` if none did, or if it cannot be judged
/// again.
fn work(directory: &Directory, stored: &StoredSignal, body: Vec<u8>) -> Option<SignalWork> {
    // What passed everything before the strategies has this line in its trace.
    stored.checks.contains("\"name\":\"duplicate\"").then_some(())?;
    let work = read_again(directory, stored, body)?;
    matches!(work.admission, Admission::Admitted(_)).then_some(())?;
    Some(SignalWork { dry_run: stored.status == "dry_run", ..work })
}

/// The limits that compare an order with itself, its price, what is held, open and was sent before: a
/// replay knows these. What compares with the equity or with losses, it does not.
const fn is_judged(name: LimitName) -> bool {
    !matches!(
        name,
        LimitName::CreditPercent
            | LimitName::DailyLoss
            | LimitName::Drawdown
            | LimitName::DrawdownPercent
    )
}

fn book_of(org: Id<id::Org>, version: i64, policy: &Policy) -> Arc<LimitBook> {
    let limits: Vec<Limit> = policy
        .limits()
        .filter(|(_, name, _)| is_judged(*name))
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
