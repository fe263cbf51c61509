//! Hashing passwords within bounds: each hash takes 64 MiB and a tenth of a second of a core, so
//! few run at once, few wait, and who comes after that is told to come again.

use crate::command::error::{CommandError, no};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tradewarden_domain::code::Code;

/// Hashes at one time.
const AT_ONCE: usize = 2;
/// Requests that may wait for their turn.
const WAITING_MAX: usize = 64;

/// The place where passwords are hashed.
pub(crate) struct Hashing {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    hashes: AtomicU64,
}

impl Default for Hashing {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::default(),
            hashes: AtomicU64::new(0),
        }
    }
}

/// A turn: while it is held, at most one other hash runs. What is counted about a try is written
/// before the turn is given back, so that no more than two tries are ever ahead of the count.
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

/// A place in the line, given back however the waiting ends.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Hashing {
    /// Waits for a turn; [`Code::AuthBusy`] if too many wait already.
    pub(crate) async fn turn(&self) -> Result<Turn, CommandError> {
        if let Ok(permit) = Arc::clone(&self.turns).try_acquire_owned() {
            return Ok(Turn { _permit: permit });
        }
        let line = Waiting(Arc::clone(&self.waiting));
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= WAITING_MAX {
            return Err(no(Code::AuthBusy));
        }
        let permit = Arc::clone(&self.turns).acquire_owned().await;
        drop(line);
        permit.map(|permit| Turn { _permit: permit }).map_err(|_| no(Code::AuthBusy))
    }

    /// Lets `work`, which hashes once, run on a thread that may be blocked. The turn goes with it: if
    /// nobody waits for the answer any more, it is given back when the work is done and not before.
    pub(crate) async fn hash<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Turn), CommandError> {
        self.hashes.fetch_add(1, Ordering::Relaxed);
        tokio::task::spawn_blocking(move || (work(), turn))
            .await
            .map_err(|_| CommandError::Unavailable { detail: "a hash was not made".to_owned() })
    }

    /// How many hashes were begun.
    pub(crate) fn hashes(&self) -> u64 {
        self.hashes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn is_busy(outcome: &Result<Turn, CommandError>) -> bool {
        matches!(outcome, Err(CommandError::Refused { code: Code::AuthBusy, .. }))
    }

    #[test]
    fn the_line_is_bounded_and_its_places_are_given_back() {
        let hashing = Hashing::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE {
            let Poll::Ready(Ok(turn)) = pin!(hashing.turn()).poll(&mut context) else {
                panic!("a turn is free");
            };
            turns.push(turn);
        }
        let mut line: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(hashing.turn())).collect();
        for place in &mut line {
            assert!(place.as_mut().poll(&mut context).is_pending());
        }
        for _ in 0..10_000 {
            let Poll::Ready(outcome) = pin!(hashing.turn()).poll(&mut context) else {
                panic!("nobody waits beyond the line");
            };
            assert!(is_busy(&outcome));
        }
        drop(line.pop());
        let mut next = pin!(hashing.turn());
        assert!(next.as_mut().poll(&mut context).is_pending(), "a place was given back");
        drop(turns);
        assert!(matches!(
            line.first_mut().map(|place| place.as_mut().poll(&mut context)),
            Some(Poll::Ready(Ok(_)))
        ));
    }
}
