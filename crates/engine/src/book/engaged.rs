//! Halts that the gateway engages by itself, in the transaction that found the reason.

use super::Book;
use crate::Shared;
use serde_json::json;
use tradewarden_domain::halt::{Halt, HaltMode, HaltScope};
use tradewarden_domain::id::{self, Id};

impl Book {
    /// Lets nothing add risk within the scope until a person says so; one that is halted stays as it is.
    pub(crate) fn reduce_only(
        &mut self,
        shared: &Shared,
        org: Id<id::Org>,
        scope: HaltScope,
        engaged_by: &str,
        reason: String,
    ) {
        if self.halts.iter().any(|halt| halt.scope == scope) {
            return;
        }
        let halt = Halt {
            id: shared.environment.id(self.now),
            org_id: Some(org),
            scope,
            mode: HaltMode::ReduceOnly,
            include_protective: false,
            reason,
            engaged_by: engaged_by.to_owned(),
            engaged_at: self.now,
        };
        let payload = json!({
            "engaged_by": halt.engaged_by, "mode": halt.mode, "reason": halt.reason,
            "scope": halt.scope.to_string(),
        });
        self.enter(shared, org, halt.id, "halt.engaged", &payload);
        self.engaged.push(halt.clone());
        self.halts.push(halt);
    }
}
