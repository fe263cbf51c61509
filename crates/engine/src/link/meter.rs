//! What a link has spent of its budget, and whether a call of some kind still fits.

use std::collections::VecDeque;
use std::time::Duration;
use tradewarden_broker::port::CallWindow;
use tradewarden_domain::time::Timestamp;

/// How urgent a call is, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// It cancels: it may use all.
    Cancel,
    /// An exit, a change that only reduces, or a question about an order in doubt: all that no cancel
    /// waits for.
    Guard,
    /// It is asked again and again: half of the reserve stays, and of the budget it uses at most
    /// [`ROUTINE_PERCENT`].
    Routine,
    /// It adds risk: the reserve stays.
    Entry,
}

/// The least that is kept for cancels, exits and questions, in percent of a window (S18).
const RESERVE_PERCENT: u64 = 20;
/// The most that goes to what is asked again and again, in percent of a window, so that it leaves room
/// for entries; the nodes of one gateway share it.
const ROUTINE_PERCENT: u64 = 40;
/// All that is open can be canceled within this (S21): of a shorter window only a part is kept for it.
const ALL_CANCELED_IN: Duration = Duration::from_secs(10);
/// Longer than this no venue is left alone, whatever it asks for: positions may be open.
const LIMITED_MAX: Duration = Duration::from_hours(1);
/// A clock that goes back by less was read by somebody else meanwhile.
const SET_BACK_FROM: Duration = Duration::from_secs(1);
/// Somebody else may have used all of such a window in its last instant; a longer one as evenly as it
/// lasts, because the shorter ones held there, too.
const AT_ONCE_UP_TO: Duration = Duration::from_mins(1);
/// In so many steps the room of a longer one comes back.
const STEPS: u32 = 20;

/// A call of which an answer came, or none in time; or several that somebody else may have made.
#[derive(Debug, Clone, Copy)]
struct Spent {
    at: Timestamp,
    weight: u64,
    class: Class,
}

/// One window, and what was spent in it.
#[derive(Debug)]
struct Window {
    span: Duration,
    /// What this node may spend in it.
    all: u64,
    /// What of it stays for cancels, exits and questions at least.
    kept: u64,
    /// What of it may go to what is asked again and again.
    routine_max: u64,
    /// Oldest first; never more than the window allows.
    spent: VecDeque<Spent>,
    /// Until then a part of it was somebody else's.
    unknown_until: Timestamp,
    used: u64,
    routine: u64,
}

/// See the module.
///
/// A call counts from when it begins until a whole window after its answer: the venue counts it at some
/// instant between the two, so whatever its windows begin with, none of them holds more than is allowed.
#[derive(Debug)]
pub(super) struct Meter {
    windows: Vec<Window>,
    /// The clock went on until here; it may be set back.
    last: Timestamp,
    /// Calls that are under way, and routine ones among them.
    under_way: u64,
    routine_under_way: u64,
    /// What was set aside for calls that are about to be made.
    booked: u64,
    /// What the cancels weigh that wait for room.
    cancels_waiting: u64,
    /// What it takes to cancel what works and to close what is held (S18).
    guarded: u64,
    /// The venue asked not to be called before this.
    limited_until: Timestamp,
}

impl Meter {
    /// Nothing spent. Each of `nodes` asks its share; the rest is for the one that leads.
    pub(super) fn new(windows: impl Iterator<Item = CallWindow>, nodes: u32) -> Self {
        let nodes = u64::from(nodes.max(1));
        let window = |window: CallWindow| {
            let all = u64::from(window.weight_max);
            let routine_max = percent(all, ROUTINE_PERCENT).div_ceil(nodes);
            let elsewhere = routine_max.saturating_mul(nodes.saturating_sub(1));
            let all = all.saturating_sub(elsewhere);
            Window {
                span: window.span,
                all,
                kept: percent(all, RESERVE_PERCENT),
                routine_max,
                spent: VecDeque::new(),
                unknown_until: Timestamp::default(),
                used: 0,
                routine: 0,
            }
        };
        Self {
            windows: windows.map(window).collect(),
            last: Timestamp::default(),
            under_way: 0,
            routine_under_way: 0,
            booked: 0,
            cancels_waiting: 0,
            guarded: 0,
            limited_until: Timestamp::default(),
        }
    }

    /// Whether a call fits now.
    pub(super) fn fits(&mut self, class: Class, weight: u64, now: Timestamp) -> bool {
        let now = self.settle(now);
        !self.is_limited(now)
            && self.windows.iter().all(|window| self.fits_in(window, class, weight))
    }

    fn fits_in(&self, window: &Window, class: Class, weight: u64) -> bool {
        let ahead = self.under_way.saturating_add(self.booked);
        let after = window.used.saturating_add(ahead).saturating_add(weight);
        let routine = window.routine.saturating_add(self.routine_under_way).saturating_add(weight);
        if class == Class::Routine && routine > window.routine_max {
            return false;
        }
        let is_unknown = self.last < window.unknown_until;
        let kept = match class {
            Class::Cancel => return after <= window.all,
            // Many may be in doubt then; cancels still find room at once.
            Class::Guard | Class::Routine if is_unknown => window.kept.div_ceil(4),
            Class::Guard => 0,
            Class::Routine => {
                // Where more is open than this leaves room for, it still asks.
                let half = window.kept.div_ceil(2).max(in_time(self.guarded, window.span));
                half.min(window.all.saturating_sub(window.routine_max))
            }
            Class::Entry => {
                // What it opens must be canceled, too.
                let opens = self.guarded.saturating_add(self.booked).saturating_add(weight);
                window.kept.max(in_time(opens, window.span))
            }
        };
        after.saturating_add(kept).saturating_add(self.cancels_waiting) <= window.all
    }

    /// Sets weight aside for a call that is about to be made.
    pub(super) const fn book(&mut self, weight: u64) {
        self.booked = self.booked.saturating_add(weight);
    }

    /// It is not made after all, or it begins.
    pub(super) const fn unbook(&mut self, weight: u64) {
        self.booked = self.booked.saturating_sub(weight);
    }

    /// A call begins.
    pub(super) fn begin(&mut self, class: Class, weight: u64) {
        self.under_way = self.under_way.saturating_add(weight);
        if class == Class::Routine {
            self.routine_under_way = self.routine_under_way.saturating_add(weight);
        }
    }

    /// A call was answered, or given up.
    pub(super) fn end(&mut self, class: Class, weight: u64, now: Timestamp) {
        let now = self.settle(now);
        self.under_way = self.under_way.saturating_sub(weight);
        if class == Class::Routine {
            self.routine_under_way = self.routine_under_way.saturating_sub(weight);
        }
        if weight > 0 {
            for window in &mut self.windows {
                window.spend(Spent { at: now, weight, class });
            }
        }
    }

    /// A cancel begins to wait for room: nothing else takes it meanwhile.
    pub(super) const fn wait(&mut self, weight: u64) {
        self.cancels_waiting = self.cancels_waiting.saturating_add(weight);
    }

    /// It waits no longer.
    pub(super) const fn waited(&mut self, weight: u64) {
        self.cancels_waiting = self.cancels_waiting.saturating_sub(weight);
    }

    /// What it takes to cancel what works and to close what is held.
    pub(super) const fn guard(&mut self, weight: u64) {
        self.guarded = weight;
    }

    /// The venue asks not to be called for a while; answers whether that is news.
    pub(super) fn limit(&mut self, until: Timestamp, now: Timestamp) -> bool {
        let was_limited = self.is_limited(now);
        self.limited_until = self.limited_until.max(until).min(now.plus(LIMITED_MAX));
        !was_limited && self.is_limited(now)
    }

    /// Whether the venue is not to be called now.
    pub(super) fn is_limited(&self, now: Timestamp) -> bool {
        self.limited_until > now
    }

    /// Somebody else may have used the link until now: a process before this one, or the node that leads.
    /// What entries and polls may use counts as spent: half of the reserve is there at once, and half of
    /// that for cancels alone.
    pub(super) fn assume_spent(&mut self, now: Timestamp) {
        let now = self.settle(now);
        for window in &mut self.windows {
            window.assume_spent(now);
        }
    }

    /// How long to wait before a look is worth it.
    pub(super) fn next_look(&self, now: Timestamp) -> Duration {
        const LEAST: Duration = Duration::from_millis(2);
        const MOST: Duration = Duration::from_millis(100);
        let frees = self.windows.iter().filter_map(|window| {
            let oldest = window.spent.front()?;
            Some(oldest.at.plus(window.span).since(now))
        });
        frees.min().unwrap_or(MOST).clamp(LEAST, MOST)
    }

    /// The least distance between two looks at one of so many orders, so that all looks together take
    /// half of what is for questions that are asked again and again.
    pub(super) fn rounds_every(&self, weight: u64) -> Duration {
        let rounds = self.windows.iter().map(|window| {
            let millis = millis(window.span).saturating_mul(weight).saturating_mul(2);
            Duration::from_millis(millis.div_ceil(window.routine_max.max(1)))
        });
        rounds.max().unwrap_or_default()
    }

    /// What the narrowest window still takes, the reserve included; `None` where nothing is limited.
    pub(super) fn left(&mut self, now: Timestamp) -> Option<u64> {
        self.settle(now);
        let ahead = self.under_way.saturating_add(self.booked);
        let left = |window: &Window| window.all.saturating_sub(window.used.saturating_add(ahead));
        self.windows.iter().map(left).min()
    }

    /// Forgets what no window holds any more, and answers what time it is here: callers on several
    /// threads do not come in the order of their clocks, and a clock that was set back takes along what
    /// was noted before.
    fn settle(&mut self, now: Timestamp) -> Timestamp {
        let back = self.last.since(now);
        if back >= SET_BACK_FROM {
            self.limited_until = self.limited_until.minus(back);
            for spent in self.windows.iter_mut().flat_map(|window| &mut window.spent) {
                spent.at = spent.at.minus(back);
            }
            self.last = now;
        }
        self.last = self.last.max(now);
        for window in &mut self.windows {
            window.settle(self.last);
        }
        self.last
    }
}

impl Window {
    fn spend(&mut self, spent: Spent) {
        self.used = self.used.saturating_add(spent.weight);
        if spent.class == Class::Routine {
            self.routine = self.routine.saturating_add(spent.weight);
        }
        self.spent.push_back(spent);
    }

    fn settle(&mut self, now: Timestamp) {
        while let Some(oldest) = self.spent.front().copied()
            && oldest.at.plus(self.span) <= now
        {
            self.spent.pop_front();
            self.used = self.used.saturating_sub(oldest.weight);
            if oldest.class == Class::Routine {
                self.routine = self.routine.saturating_sub(oldest.weight);
            }
        }
    }

    fn assume_spent(&mut self, now: Timestamp) {
        self.unknown_until = now.plus(self.span);
        let half = self.kept.div_ceil(2);
        let missing = self.all.saturating_sub(half).saturating_sub(self.used);
        let steps = if self.span <= AT_ONCE_UP_TO { 1 } else { STEPS };
        let step_span = self.span / steps;
        let mut before = 0;
        for step in 1..=steps {
            let until = missing.saturating_mul(u64::from(step)).div_ceil(u64::from(steps));
            let weight = until.saturating_sub(before);
            if weight > 0 {
                let at = now.minus(step_span.saturating_mul(steps.saturating_sub(step)));
                self.spend(Spent { at, weight, class: Class::Entry });
            }
            before = until;
        }
        self.spent.make_contiguous().sort_by_key(|spent| spent.at);
    }
}

/// What of so many calls a window has to take, so that all are made within [`ALL_CANCELED_IN`].
fn in_time(weight: u64, span: Duration) -> u64 {
    let most = millis(ALL_CANCELED_IN);
    weight.saturating_mul(millis(span).min(most)).div_ceil(most)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// So much of it, rounded up.
const fn percent(all: u64, percent: u64) -> u64 {
    all.saturating_mul(percent).div_ceil(100)
}

#[cfg(test)]
mod tests;
