//! Lockdown: what it is asked, and which commands it keeps from being carried out.

use super::{AccountChanges, Command, LimitsImport, StrategyChanges, UserChange, WebhookChanges};
use serde::{Deserialize, Serialize};
use tradewarden_domain::account::Activity;
use tradewarden_domain::lockdown::Positions;
use tradewarden_domain::strategy::StrategyState;

/// A lockdown to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockdownEngage {
    /// Why, up to 200 characters.
    pub reason: String,
}

/// What becomes of open positions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockdownAnswer {
    /// They are closed, or stay with what protects them.
    pub positions: Positions,
}

/// That the list of open positions was read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockdownConfirm {
    /// The phrase that is shown with the list.
    pub phrase: String,
}

/// Whether a lockdown keeps a command from being carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freeze {
    /// It reads, stops, reduces, or takes something away from who may do it.
    Passes,
    /// It could let more be traded, or more people in.
    Frozen,
    /// That depends on the limits in force: what tightens passes.
    IfLooser,
}

impl Command {
    /// Whether a lockdown keeps this command from being carried out. Every command is named, so that
    /// a new one has to say.
    #[expect(clippy::too_many_lines, reason = "one table, which names every command")]
    pub(crate) fn freeze(&self) -> Freeze {
        match self {
            Self::LimitSet(_)
            | Self::LimitDelete(_)
            | Self::LimitsImport(LimitsImport { dry_run: false, .. }) => Freeze::IfLooser,
            Self::StrategyChange(change)
                if change.changes.state.is_some_and(|state| state != StrategyState::On)
                    && switches_only(&change.changes) =>
            {
                Freeze::Passes
            }
            Self::AccountChange(change)
                if matches!(
                    change.changes,
                    AccountChanges {
                        state: Some(Activity::Disabled),
                        name: None,
                        session: None,
                        loss_reset: None,
                    }
                ) =>
            {
                Freeze::Passes
            }
            Self::WebhookChange(change) if switches_off(&change.changes) => Freeze::Passes,
            Self::UserChange(UserChange { role: None, state: Some(Activity::Disabled), .. }) => {
                Freeze::Passes
            }
            Self::WebhookCreate(_)
            | Self::WebhookChange(_)
            | Self::WebhookDelete(_)
            | Self::WebhookRotate(_)
            | Self::StrategyCreate(_)
            | Self::StrategyChange(_)
            | Self::StrategyDelete(_)
            | Self::AccountCreate(_)
            | Self::AccountChange(_)
            | Self::OverrideRequest(_)
            | Self::OverrideConfirm(_)
            | Self::RollSet(_)
            | Self::RollRemove(_)
            | Self::RateSet(_)
            | Self::HaltResume(_)
            | Self::DeadManRemove
            | Self::UserCreate(_)
            | Self::UserChange(_)
            | Self::UserRemove(_)
            | Self::UserResetPassword(_)
            | Self::UserResetFactors(_)
            | Self::RoleCreate(_)
            | Self::RoleRemove(_)
            | Self::PolicySet(_)
            | Self::KeyCreate(_)
            | Self::KeyRotate(_)
            | Self::KeyActivate(_) => Freeze::Frozen,
            Self::LimitsImport(_)
            | Self::WebhookList
            | Self::WebhookShow(_)
            | Self::WebhookDisable(_)
            | Self::StrategyList
            | Self::StrategyShow(_)
            | Self::StrategyDisable(_)
            | Self::AccountList
            | Self::AccountShow(_)
            | Self::AccountDisable(_)
            | Self::AccountDisconnect(_)
            | Self::AccountBalances(_)
            | Self::AccountProfit(_)
            | Self::PaperPrice(_)
            | Self::LimitList
            | Self::LimitShow(_)
            | Self::LimitsVersions(_)
            | Self::LimitsShow(_)
            | Self::LimitsDiff(_)
            | Self::OverrideWithdraw(_)
            | Self::OverrideList(_)
            | Self::RollList
            | Self::RateList
            | Self::HaltEngage(_)
            | Self::HaltStatus
            | Self::HaltShow(_)
            | Self::DeadManSet(_)
            | Self::DeadManList
            | Self::LockdownEngage(_)
            | Self::LockdownStatus
            | Self::LockdownAnswer(_)
            | Self::LockdownConfirm(_)
            | Self::LockdownEnd
            | Self::LockdownBundle
            | Self::SignalList(_)
            | Self::SignalShow(_)
            | Self::SignalReplay(_)
            | Self::ReplayPeriod(_)
            | Self::ReplayPage(_)
            | Self::OrderList(_)
            | Self::OrderShow(_)
            | Self::OrderCreate(_)
            | Self::OrderChange(_)
            | Self::OrderCancel(_)
            | Self::OrderCancelAll(_)
            | Self::PositionList(_)
            | Self::PositionClose(_)
            | Self::Posture
            | Self::FindingList(_)
            | Self::AlertList(_)
            | Self::AlertAcknowledge(_)
            | Self::AlertChannels
            | Self::AlertTest
            | Self::AuditList(_)
            | Self::AuditProve(_)
            | Self::OrganizationCreate(_)
            | Self::OrganizationList
            | Self::OrganizationRename(_)
            | Self::UserList
            | Self::UserShow(_)
            | Self::UserEndSessions(_)
            | Self::RoleList
            | Self::SessionList
            | Self::SessionEnd(_)
            | Self::PolicyList
            | Self::PendingList
            // What it confirms is looked at by itself.
            | Self::PendingConfirm(_)
            | Self::PendingReject(_)
            | Self::KeyList
            | Self::KeyShow(_)
            | Self::KeySuspend(_)
            | Self::KeyRevoke(_)
            | Self::KeyUsage(_)
            // The gateway's own word of what it did.
            | Self::CertificateNote(_)
            | Self::PinsPublish(_)
            // The operator's alone; to replace keys is what a lockdown is for.
            | Self::Vault(_)
            | Self::Me => Freeze::Passes,
        }
    }
}

/// Whether a webhook is switched off, and nothing else of it is changed.
fn switches_off(changes: &WebhookChanges) -> bool {
    let all = serde_json::to_value(changes).ok();
    all.is_some_and(|all| all == serde_json::json!({ "state": Activity::Disabled }))
}

/// Whether nothing but the switch of a strategy is changed, and what becomes of its position.
fn switches_only(changes: &StrategyChanges) -> bool {
    let all = serde_json::to_value(changes).ok();
    let all = all.as_ref().and_then(serde_json::Value::as_object);
    all.is_some_and(|all| all.keys().all(|name| name == "state" || name == "open_position"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn s21_what_stops_and_reduces_is_not_frozen() {
        let freeze = |command| serde_json::from_value::<Command>(command).unwrap().freeze();
        let strategy =
            |changes| json!({"command": "strategy-change", "id": "s", "changes": changes});
        let account = |changes| json!({"command": "account-change", "id": "a", "changes": changes});
        let webhook = |changes| json!({"command": "webhook-change", "id": "w", "changes": changes});
        let user = |mut change: serde_json::Value| {
            change["command"] = json!("user-change");
            change
        };
        for passes in [
            strategy(json!({"state": "off", "open_position": "leave"})),
            strategy(json!({"state": "exits_only"})),
            account(json!({"state": "disabled"})),
            webhook(json!({"state": "disabled"})),
            user(json!({"id": "u", "state": "disabled"})),
            json!({"command": "halt-engage"}),
            json!({"command": "order-cancel-all"}),
            json!({"command": "key-revoke", "id": "k"}),
            json!({"command": "account-disconnect", "id": "a"}),
            json!({"command": "limits-import", "limits": [], "dry_run": true}),
        ] {
            assert_eq!(freeze(passes.clone()), Freeze::Passes, "{passes}");
        }
        for frozen in [
            strategy(json!({"state": "on"})),
            strategy(json!({"state": "off", "quantity": "9"})),
            strategy(json!({"state": "off", "shared_position": true})),
            account(json!({"state": "active"})),
            webhook(json!({"state": "active"})),
            webhook(json!({"state": "disabled", "allow": []})),
            account(json!({"state": "disabled", "name": "other"})),
            user(json!({"id": "u", "state": "active"})),
            user(json!({"id": "u", "state": "disabled", "role": "owner"})),
            json!({"command": "halt-resume", "id": "h"}),
            json!({"command": "webhook-rotate", "id": "w"}),
        ] {
            assert_eq!(freeze(frozen.clone()), Freeze::Frozen, "{frozen}");
        }
        let import = json!({"command": "limits-import", "limits": []});
        assert_eq!(freeze(import), Freeze::IfLooser);
    }
}
