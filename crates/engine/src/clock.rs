//! The machine's clock that is set back: told once for each time, because people have to put it right.
//!
//! Everything here goes by a clock that never goes back, so nothing stands still or happens twice. But it
//! is ahead of the world's until the machine's has caught up: what says when it was made looks old then.
//! Entries may be refused as stale, codes of authenticators and signed requests as too old; exits pass.

use crate::Shared;
use crate::effects::Severity;
use std::sync::Arc;
use std::time::Duration;

/// Less than this is what clocks that are kept right do all day.
const STEP: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Default)]
pub(crate) struct ClockWatch {
    /// How far ahead it was when people were told, or less since.
    told: Duration,
}

impl ClockWatch {
    /// Looks whether the machine's clock was set back since the last look.
    pub(crate) async fn look(&mut self, shared: &Arc<Shared>) {
        let ahead = shared.environment.ahead();
        let stepped = ahead.saturating_sub(self.told);
        self.told = self.told.min(ahead);
        if stepped < STEP {
            return;
        }
        self.told = ahead;
        let org = shared.directory.load().organizations.first().map(|organization| organization.id);
        let Some(org) = org else { return };
        let detail = format!(
            "The machine's clock was set back; the gateway's never goes back and is {} s ahead of it. \
             Until it has caught up, entries may be refused as stale and codes and signed requests as \
             too old. A restart takes the machine's time at once.",
            ahead.as_secs()
        );
        let node = shared.settings.node.clone();
        shared.tell(org, "clock.stepped", Severity::Critical, node, detail).await;
    }
}
