//! Alerts: what people are told of at once, on every way there is, and again until somebody has
//! acknowledged it (S24).

use std::time::Duration;

/// What nobody acknowledged is told again after this.
pub const REPEATED_EVERY: Duration = Duration::from_mins(5);
/// What is told once for a strategy is told once within this.
pub const GROUPED_WITHIN: Duration = Duration::from_mins(15);

/// How people are told of something that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// At once, and every [`REPEATED_EVERY`] until it is acknowledged.
    UntilAcknowledged,
    /// Once for each strategy within [`GROUPED_WITHIN`].
    Grouped,
    /// By no message: it is in the list of findings.
    Listed,
}

/// How people are told of a finding of this code. Findings about people and keys have ways of their
/// own.
pub fn telling(code: &str, is_critical: bool) -> Telling {
    let kind = code.split_once('.').map_or(code, |(kind, _)| kind);
    match (kind, code) {
        ("auth" | "key" | "message", _) => Telling::Listed,
        ("loss", _) => Telling::UntilAcknowledged,
        _ if is_critical => Telling::UntilAcknowledged,
        ("limit" | "certificate", _)
        | (
            _,
            "dispatch.expired"
            | "dispatch.not_placed"
            | "duplicate.id_conflict"
            | "exit.pending_open"
            | "order.ttl_ended"
            | "position.dust"
            | "position.exits_taken_back"
            | "position.netted"
            | "position.not_rolled"
            | "position.old_month"
            | "position.unread"
            | "strategy.mixed_result"
            | "strategy.wrong_side",
        ) => Telling::Grouped,
        _ => Telling::Listed,
    }
}

/// Whether a strategy may be switched on: where money is at stake, only once a way for alerts was
/// tested.
pub const fn may_be_switched_on(is_paper: bool, channels_tested: usize) -> bool {
    is_paper || channels_tested > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s24_what_no_grouping_swallows() {
        for code in [
            "order.exit_rejected",
            "order.exit_short",
            "order.exit_slow",
            "order.unknown",
            "order.change_unknown",
            "position.naked",
            "position.not_rolled",
            "position.mismatch",
            "halt.engaged",
            "halt.not_closed",
            "broker.link_lost",
            "loss.daily_limit",
            "strategy.off",
            "signal.exit_size",
        ] {
            assert_eq!(telling(code, true), Telling::UntilAcknowledged, "{code}");
        }
        assert_eq!(telling("loss.daily_near", false), Telling::UntilAcknowledged, "70 and 90 %");
        for code in [
            "dispatch.expired",
            "order.ttl_ended",
            "certificate.ending",
            "limit.rate",
            "limit.flood",
            "duplicate.id_conflict",
            "position.exits_taken_back",
            "position.not_rolled",
            "position.old_month",
            "strategy.mixed_result",
            "strategy.wrong_side",
        ] {
            assert_eq!(telling(code, false), Telling::Grouped, "{code}");
        }
        for (code, is_critical) in
            [("auth.disabled", true), ("message.given_up", false), ("signal.sent_ahead", false)]
        {
            assert_eq!(telling(code, is_critical), Telling::Listed, "{code}");
        }
    }

    #[test]
    fn s24_money_is_at_stake_only_with_a_way_for_alerts() {
        assert!(may_be_switched_on(true, 0), "paper");
        assert!(!may_be_switched_on(false, 0));
        assert!(may_be_switched_on(false, 1));
    }
}
