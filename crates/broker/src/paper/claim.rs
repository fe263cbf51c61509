//! Who was first: the one that does the work, or the one that gives up waiting for it.

use super::link::Lost;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A right that exactly one of its holders gets.
///
/// It goes with a command to the one that will do it. Who waits takes it when the deadline is
/// over: with it, the command provably never left; without it, the outcome is unknown. So a
/// command is never done after its caller was told that it was not sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// What the one that waits knows when there will be no answer, seeing `why`.
    pub(crate) fn lost(&self, why: &str) -> Lost {
        let why = why.to_owned();
        if self.take() { Lost::NotSent { why } } else { Lost::Unknown { why } }
    }

    /// Whether this was the first to ask.
    pub(crate) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}
