//! The overrides that an order of a transaction can use.

use super::Book;
use crate::Shared;
use serde_json::json;
use tradewarden_domain::order::Order;
use tradewarden_domain::overrides::Override;

impl Book {
    /// The overrides that an order can use.
    pub(crate) fn overrides(&self) -> &[Override] {
        &self.overrides
    }

    /// Uses these up for an order of this transaction.
    pub(crate) fn use_overrides(&mut self, shared: &Shared, used: &[Override], order: &Order) {
        for one in used {
            self.overrides.retain(|other| other.id != one.id);
            self.used_overrides.push((one.id, order.id));
            let payload = json!({
                "limit": one.limit, "limits_version": order.limits_version, "order_id": order.id,
                "quantity": order.quantity,
            });
            self.enter(shared, one.org_id, one.id, "override.used", &payload);
        }
    }
}
