//! What is said to a lockdown, and what it says.

use super::*;
use tradewarden_domain::lockdown::{Positions, Step};
use tradewarden_engine::command::{
    AccountConfirm, LockdownAnswer, LockdownConfirm, LockdownEngage,
};
use tradewarden_engine::view::{
    DisconnectedView, LockdownLeftView, LockdownPositionView, LockdownStepView, LockdownView,
};

#[test]
fn lockdowns() {
    let position = |is_full: bool| LockdownPositionView {
        account_id: id(),
        account: text(),
        symbol: symbol(),
        quantity: ONE,
        broker_quantity: is_full.then_some(ONE),
    };
    assert_sent("LockdownPosition", &position(true), &position(false));
    let step = |is_full: bool| LockdownStepView {
        step: Step::Cancel,
        began_at: AT,
        done_at: is_full.then_some(AT),
        done: 1,
        failed: 0,
        note: is_full.then(text),
    };
    assert_sent("LockdownStep", &step(true), &step(false));
    let left = || LockdownLeftView { what: "halt", detail: text(), command: text() };
    assert_sent("LockdownLeft", &left(), &left());
    let full = LockdownView {
        in_force: true,
        id: Some(id()),
        reason: Some(text()),
        engaged_by: Some(text()),
        engaged_at: Some(AT),
        step: Some(Step::Confirm),
        positions: Some(Positions::Keep),
        answered_by: Some(text()),
        answered_at: Some(AT),
        answer_until: Some(AT),
        open_positions: Some(vec![position(true)]),
        phrase: Some(text()),
        confirmed_by: Some(text()),
        confirmed_at: Some(AT),
        ended_by: Some(text()),
        ended_at: Some(AT),
        steps: vec![step(true)],
        left: vec![left()],
    };
    assert_sent("Lockdown", &full, &LockdownView::default());
    assert_taken::<LockdownEngage>("LockdownEngage", &json!({"reason": "lost"}));
    assert_taken::<LockdownAnswer>("LockdownAnswer", &json!({"positions": "keep"}));
    assert_taken::<LockdownConfirm>("LockdownConfirm", &json!({"phrase": "p"}));
}

#[test]
fn disconnecting_an_account() {
    let done = DisconnectedView {
        account_id: id(),
        state: text(),
        strategies: vec![id()],
        canceled: vec![id()],
        open_positions: Vec::new(),
    };
    assert_sent("Disconnected", &done, &done);
    assert_taken::<AccountConfirm>("AccountDisconnect", &json!({"phrase": "read"}));
}
