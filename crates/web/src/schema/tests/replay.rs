use super::*;
use tradewarden_domain::loss::LossKind;
use tradewarden_engine::command::replay::ReplayPage;
use tradewarden_engine::view::{
    ReplayCountView, ReplayDifferenceView, ReplayOutcomeView, ReplayPageView, ReplayTripView,
    ReplayUnmarkedView, ReplayView, ReplayWithoutEquityView,
};

fn outcome(is_full: bool) -> ReplayOutcomeView {
    ReplayOutcomeView { status: text(), code: is_full.then(text), message: text() }
}

fn trip(is_full: bool) -> ReplayTripView {
    ReplayTripView {
        account_id: id(),
        strategy_id: is_full.then(id),
        limit: LossKind::Daily,
        at: AT,
        loss: Money::ZERO,
        allowed: Money::ZERO,
    }
}

fn page(is_full: bool) -> ReplayPageView {
    let found = ReplayView { through: is_full.then_some(AT), ..ReplayView::default() };
    ReplayPageView { found, next: is_full.then(text) }
}

#[test]
fn what_is_taken_and_sent_of_replays() {
    assert_taken::<ReplayPage>(
        "ReplayPage",
        &json!({"from": AT, "to": AT, "limits": [], "signals_max": 1, "cursor": "c"}),
    );
    assert_sent("Replay", &page(true), &page(false));
    let count = ReplayCountView { then: text(), now: text(), signals: 1 };
    assert_sent("ReplayCount", &count, &count);
    let difference = ReplayDifferenceView {
        signal_id: id(),
        received_at: AT,
        then: outcome(false),
        now: outcome(true),
    };
    assert_sent("ReplayDifference", &difference, &difference);
    assert_sent("ReplayOutcome", &outcome(true), &outcome(false));
    assert_sent("ReplayTrip", &trip(true), &trip(false));
    let unmarked = ReplayUnmarkedView { account_id: id(), from: AT, to: AT };
    assert_sent("ReplayUnmarked", &unmarked, &unmarked);
    let without =
        ReplayWithoutEquityView { signal_id: id(), received_at: AT, account_ids: vec![id()] };
    assert_sent("ReplayWithoutEquity", &without, &without);
}
