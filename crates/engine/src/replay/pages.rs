//! Replays for whoever asks over the API: part by part, one at a time on a node, so that they take no
//! more than one reader of the database and a share of one thread. What goes from part to part is too
//! large for a cursor, so the cursor names what is kept here, in memory and for a while.

use crate::Engine;
use crate::command::LimitValue;
use crate::command::error::{CommandError, invalid, no, to_value};
use crate::command::replay::{ReplayPage, ReplayPeriod, ReplayState};
use crate::view::ReplayPageView;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{Digest, hex_encode};

/// Signals that one part judges.
const SIGNALS_MAX: u32 = 1_000;
/// How long a period may be.
const PERIOD_MAX: Duration = Duration::from_hours(31 * 24);
/// How long a cursor is known.
const KEPT_FOR: Duration = Duration::from_mins(10);
/// Cursors that are known, and of these so many of one organization: the oldest go first.
const KEPT_MAX: usize = 16;
const KEPT_OF_ORG_MAX: usize = 4;

/// Where a replay goes on.
struct Kept {
    cursor: String,
    org: Id<id::Org>,
    /// What was asked for.
    about: Digest,
    until: Timestamp,
    state: ReplayState,
}

/// See the module.
pub(crate) struct Pages {
    turn: Semaphore,
    kept: Mutex<VecDeque<Kept>>,
}

impl Default for Pages {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), kept: Mutex::default() }
    }
}

impl Pages {
    fn find(
        &self,
        cursor: &str,
        (org, about): (Id<id::Org>, Digest),
        now: Timestamp,
    ) -> Option<ReplayState> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |kept: &&Kept| {
            kept.cursor == cursor && (kept.org, kept.about) == (org, about) && kept.until > now
        };
        kept.iter().find(is_it).map(|kept| kept.state.clone())
    }

    /// The cursor before stays known, for whoever did not hear the answer.
    fn keep(&self, new: Kept, now: Timestamp) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| kept.until > now);
        if kept.iter().filter(|kept| kept.org == new.org).count() >= KEPT_OF_ORG_MAX
            && let Some(oldest) = kept.iter().position(|kept| kept.org == new.org)
        {
            kept.remove(oldest);
        }
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(new);
    }
}

impl Engine {
    /// Judges the next part of a period by a policy.
    pub(crate) async fn replay_page(
        &self,
        org: Id<id::Org>,
        asked: ReplayPage,
    ) -> Result<Value, CommandError> {
        let ReplayPage { from, to, limits, signals_max, cursor } = asked;
        if from.plus(PERIOD_MAX) < to {
            return Err(invalid("to", &"must be at most 31 days after from"));
        }
        let signals_max = signals_max.unwrap_or(SIGNALS_MAX);
        if !(1..=SIGNALS_MAX).contains(&signals_max) {
            return Err(invalid("signals_max", &format_args!("must be from 1 to {SIGNALS_MAX}")));
        }
        let pages = &self.parts.replays;
        let about = about((from, to), &limits)?;
        let state = match cursor {
            None => None,
            Some(cursor) => {
                let known = pages.find(&cursor, (org, about), self.now());
                Some(known.ok_or_else(|| {
                    invalid("cursor", &"is not known (any more): ask without one to begin again")
                })?)
            }
        };
        let _turn = pages.turn.try_acquire().map_err(|_| no(Code::ReplayBusy))?;
        let signals_max = Some(signals_max);
        let period = ReplayPeriod { from, to, limits, signals_max, marks_max: None, state };
        let mut found = self.replay_step(org, period).await?;
        let next = found.state.take().map(|state| {
            let now = self.now();
            let mut random = [0; 16];
            self.parts.environment.with_randomness(|randomness| randomness.fill(&mut random));
            let cursor = hex_encode(&random);
            let until = now.plus(KEPT_FOR);
            pages.keep(Kept { cursor: cursor.clone(), org, about, until, state }, now);
            cursor
        });
        to_value(&ReplayPageView { found, next })
    }
}

fn about(period: (Timestamp, Timestamp), limits: &[LimitValue]) -> Result<Digest, CommandError> {
    Ok(Digest::sha256(to_value(&(period, limits))?.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::replay::ReplayBook;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_micros(second * 1_000_000)
    }

    fn org(number: u8) -> Id<id::Org> {
        Id::from_bytes([number; 16])
    }

    fn about(text: &str) -> Digest {
        Digest::sha256(text.as_bytes())
    }

    fn keep(pages: &Pages, cursor: &str, number: u8, second: i64) {
        let state = ReplayState {
            after: Id::from_bytes([0; 16]),
            prices: Vec::new(),
            fills_at: at(0),
            fills_after: Id::from_bytes([0; 16]),
            losses_at: at(0),
            as_then: ReplayBook::default(),
            now: ReplayBook::default(),
        };
        let until = at(second).plus(KEPT_FOR);
        let cursor = cursor.to_owned();
        pages.keep(Kept { cursor, org: org(number), about: about("a"), until, state }, at(second));
    }

    fn is_known(pages: &Pages, cursor: &str, number: u8, second: i64) -> bool {
        pages.find(cursor, (org(number), about("a")), at(second)).is_some()
    }

    #[test]
    fn a_cursor_is_for_its_organization_its_question_and_its_time() {
        let pages = Pages::default();
        keep(&pages, "one", 1, 0);
        assert!(is_known(&pages, "one", 1, 0) && is_known(&pages, "one", 1, 599));
        assert!(!is_known(&pages, "one", 1, 600), "it is over");
        assert!(!is_known(&pages, "one", 2, 0), "it is another organization's");
        assert!(!is_known(&pages, "two", 1, 0));
        assert!(pages.find("one", (org(1), about("b")), at(0)).is_none());
    }

    #[test]
    fn cursors_have_bounds_and_one_organization_takes_few() {
        let pages = Pages::default();
        keep(&pages, "theirs", 9, 0);
        for number in 0..50 {
            keep(&pages, &format!("ours {number}"), 1, 1);
        }
        assert!(is_known(&pages, "theirs", 9, 1));
        let known: Vec<_> =
            (0..50).filter(|number| is_known(&pages, &format!("ours {number}"), 1, 1)).collect();
        assert_eq!(known, [46, 47, 48, 49]);
        for number in 20..60 {
            keep(&pages, "many", number, 2);
        }
        assert!(!is_known(&pages, "theirs", 9, 2) && is_known(&pages, "many", 59, 2));
        assert_eq!(pages.kept.lock().unwrap().len(), KEPT_MAX);
    }
}
