//! The last look before the first byte: nothing leaves against a halt (C11).
//!
//! It is made by the task that calls, right before it calls, so that nothing the dispatcher does in
//! between can make it old. Halts of this node are in memory from their commit on. Those of others are
//! read once the attempt's commit is more than 10 ms past, by one for all who wait.

use super::Dispatcher;
use crate::Shared;
use crate::attempt::{ATTEMPT_SPAN, Learned};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::{Error, directory as rows};

/// After an attempt's commit the first byte leaves within this, or halts are read again.
const FIRST_BYTE: Duration = Duration::from_millis(10);

/// What the last look found.
pub(super) enum Look {
    /// No halt stops it.
    Free,
    /// One does.
    Halted,
    /// Halts could not be read.
    Unread(String),
}

/// The halts of the database as they were last read for a call, and when that reading began.
#[derive(Default)]
pub(super) struct Reading {
    last: Mutex<Option<(Timestamp, Arc<Vec<Halt>>)>>,
}

impl Reading {
    /// The halts, read again where the attempt that is void at `attempt_until` was committed more than
    /// 10 ms ago.
    pub(super) async fn again(
        &self,
        shared: &Shared,
        attempt_until: Option<Timestamp>,
    ) -> Result<Option<Arc<Vec<Halt>>>, Error> {
        let now = shared.environment.now();
        let committed_at = attempt_until.unwrap_or(now).minus(ATTEMPT_SPAN);
        if committed_at.plus(FIRST_BYTE) >= now {
            return Ok(None);
        }
        let mut last = self.last.lock().await;
        // Another call's reading, if it began after this one asked.
        if let Some((begun_at, halts)) = &*last
            && *begun_at >= now
        {
            return Ok(Some(Arc::clone(halts)));
        }
        let begun_at = shared.environment.now();
        let halts = Arc::new(rows::halts(&shared.store).await?);
        *last = Some((begun_at, Arc::clone(&halts)));
        Ok(Some(halts))
    }
}

/// Whether a call may go out now that `stops` says halts to stop: by those that were read again, and by
/// those of memory, which this node's own halts enter at their commit.
pub(super) fn look(
    shared: &Shared,
    read: Result<Option<Arc<Vec<Halt>>>, Error>,
    stops: impl Fn(&[Halt]) -> bool,
) -> Look {
    let read = match read {
        Ok(read) => read,
        Err(error) => return Look::Unread(error.to_string()),
    };
    let is_stopped = read.is_some_and(|halts| stops(&halts))
        || stops(&shared.halts.load())
        || stops(&shared.local_halts.in_force())
        || stops(shared.directory.load().seals.halts());
    if is_stopped { Look::Halted } else { Look::Free }
}

impl Dispatcher {
    /// The last look kept a call back: nothing of it has left.
    pub(super) fn kept_back(&mut self, id: Id<id::Order>, learned: Learned) {
        if let (Learned::NotSentHalted, Some(tracked)) = (&learned, self.orders.get_mut(&id)) {
            tracked.never_left = true;
        }
        self.learned.push((id, learned));
    }
}
