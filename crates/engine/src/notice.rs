//! What the dispatcher hears of commits: a bounded queue that never holds up the journal. Whoever
//! finds it full leaves word that something was missed, and the dispatcher reads again what is live.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc::{self, error::TrySendError};
use tradewarden_domain::order::Order;

/// Notices that may wait: far more than the dispatcher ever lags behind.
pub(crate) const NOTICES_MAX: usize = 4_096;
/// Notices that are heard together.
const TOGETHER_MAX: usize = 1_024;

/// What the dispatcher hears after a commit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// These orders are new or changed.
    Orders(Vec<Order>),
    /// Something may have been missed: read again.
    Resync,
}

/// The telling end.
pub(crate) struct Notices {
    queue: mpsc::Sender<Notice>,
    missed: Arc<AtomicBool>,
}

/// The hearing end.
pub(crate) struct Heard {
    queue: mpsc::Receiver<Notice>,
    missed: Arc<AtomicBool>,
}

/// A queue of at most so many.
pub(crate) fn notices(max: usize) -> (Notices, Heard) {
    let (sender, receiver) = mpsc::channel(max);
    let missed = Arc::new(AtomicBool::new(false));
    (Notices { queue: sender, missed: Arc::clone(&missed) }, Heard { queue: receiver, missed })
}

impl Notices {
    /// Tells, without ever waiting.
    pub(crate) fn tell(&self, notice: Notice) {
        match self.queue.try_send(notice) {
            // The dispatcher has gone only when the process is ending.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => self.missed.store(true, Ordering::Release),
        }
    }
}

impl Heard {
    /// What was told since; nothing at all when nobody is left to tell. May be dropped at any point.
    pub(crate) async fn next(&mut self) -> Vec<Notice> {
        let mut heard = Vec::new();
        self.queue.recv_many(&mut heard, TOGETHER_MAX).await;
        heard
    }

    /// Whether something was missed since the last time this was asked.
    pub(crate) fn missed(&self) -> bool {
        self.missed.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_is_missed_once_and_holds_up_nobody() {
        let (notices, mut heard) = notices(2);
        notices.tell(Notice::Orders(Vec::new()));
        assert!(!heard.missed());
        notices.tell(Notice::Resync);
        notices.tell(Notice::Orders(Vec::new()));
        notices.tell(Notice::Orders(Vec::new()));
        assert_eq!(heard.next().await, [Notice::Orders(Vec::new()), Notice::Resync]);
        assert!(heard.missed());
        assert!(!heard.missed());
        notices.tell(Notice::Resync);
        assert_eq!(heard.next().await, [Notice::Resync]);
        drop(notices);
        assert_eq!(heard.next().await, []);
    }
}
