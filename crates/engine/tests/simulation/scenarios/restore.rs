//! A copy of the database that is put back.

use super::brackets::{both, bracketed};
use super::change::quantity;
use super::closed::Signer;
use super::{Small, keys, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_broker::port::MarketState;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::order::{Change, ChangeState, OrderState};
use tradewarden_engine::caller::NotAuthenticated;
use tradewarden_engine::command::{ById, Command, CommandError};
use tradewarden_testkit::broker::{Call, Fault, FillPlan, Venue};
use tradewarden_testkit::engine::{Harness, Heard, simulate};

impl Small {
    pub(super) async fn count_findings(&self, code: &str) -> usize {
        self.h.findings().await.iter().filter(|found| found.code == code).count()
    }
}

/// C16: what the copy does not know is told, nothing adds to it, and a person goes on once every account
/// was compared.
#[test]
fn c16_what_a_restore_lost_is_told_and_left_to_a_person() {
    simulate(async || {
        let mut s = Small::with(61, Venue::default(), |_| {}).await;
        let copy = s.h.copy().await;
        s.accept("BUY", "lost").await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("2", 2));

        let begun = s.h.restore(&copy).await;
        assert_eq!(begun.number, 2);
        assert!(begun.lost_entries_min > 0, "{begun:?}");
        s.h.ready().await;
        assert!(s.h.orders().await.is_empty(), "the copy was made before");
        let refused = s.send("BUY", "new").await;
        assert_eq!(refused.code, Some(Code::HaltActive));
        assert_eq!(refused.signal_id.to_bytes()[6], 2, "identifiers carry the incarnation");

        let resume = Command::HaltResume(ById { id: begun.halt.to_string() });
        match s.h.try_command(resume.clone()).await.unwrap() {
            Err(CommandError::Refused { code: Code::HaltUnreconciled, detail }) => {
                assert!(detail.contains("main"), "the account by its name: {detail}");
            }
            other => panic!("it is too early: {other:?}"),
        }
        s.h.elapse(millis(15_000)).await;
        for code in ["position.foreign", "position.mismatch"] {
            assert!(s.h.has_finding(code).await, "{code}: {:?}", s.h.findings().await);
        }
        s.h.command(resume).await;
        // What differs stays halted by itself, and nothing was done about it.
        assert_eq!(s.send("BUY", "again").await.code, Some(Code::HaltActive));
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 2));
        let verified = s.h.verify().await;
        assert_eq!((verified.incarnation, verified.earlier.len()), (2, 1));
        s.end().await;
    });
}

/// C16: the same copy put back twice is two incarnations, and each names the one it comes from.
#[test]
fn c16_a_copy_that_is_put_back_twice_is_two_incarnations() {
    simulate(async || {
        let mut s = Small::with(62, Venue::default(), |_| {}).await;
        let copy = s.h.copy().await;
        let first = s.h.restore(&copy).await;
        s.h.ready().await;
        s.h.elapse(millis(1_000)).await;
        let second = s.h.restore(&copy).await;
        assert_eq!((first.number, second.number), (2, 3));
        assert_ne!(first.origin, second.origin);
        assert_eq!(first.previous_origin, second.previous_origin);
        s.h.ready().await;
        s.end().await;
    });
}

/// C16: what waits in the copy may have left since, so the broker is asked and nothing is sent twice.
#[test]
fn c16_what_waited_in_the_copy_is_asked_for_and_not_sent_again() {
    simulate(async || {
        let mut s = Small::with(63, Venue::default(), |_| {}).await;
        s.h.broker.next_faults(Call::Place, &[Fault::Away(millis(1_500))]);
        s.accept("BUY", "kept").await;
        let copy = s.h.copy().await;
        let waits = s.order(0).await.state;
        assert!(matches!(waits, OrderState::Accepted | OrderState::Sending), "{waits:?}");
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("2", 2));
        s.h.restore(&copy).await;
        s.h.ready().await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("2", 2), "{:?}", s.h.findings().await);
        assert_eq!(s.order(0).await.state, OrderState::Filled);
        assert_eq!(s.h.broker.sent().len(), 1);
        s.end().await;
    });
}

/// C16: of what was signed before a restore nobody knows whether it was carried out in what it lost.
#[test]
fn c16_what_was_signed_before_a_restore_is_refused() {
    simulate(async || {
        let mut h = Harness::sqlite(64, Venue::default()).await;
        h.ready().await;
        let signer = Signer::new(&h, &["signature"]).await;
        let key = keys::key(&h, json!({})).await;
        let copy = h.copy().await;
        let (sent_at, message) = (h.now(), |h: &Harness, late| signer.message(h, "m1", late));
        assert!(matches!(h.send_raw(message(&h, Duration::ZERO)).await, Heard::Answer(_)));
        h.elapse(millis(2_000)).await;
        h.restore(&copy).await;
        h.ready().await;

        // The copy does not know the message, nor a nonce; senders' clocks may be ahead.
        let late = h.now().since(sent_at);
        assert_eq!(h.send_raw(message(&h, late)).await, Heard::Unauthenticated);
        let refused = keys::try_caller(&h, &key, "nonce-0000000000001").map(|_| ());
        assert_eq!(refused, Err(NotAuthenticated::Failed), "it may be from before");
        h.elapse(Duration::from_secs(11)).await;
        let late = h.now().since(sent_at);
        assert_eq!(h.send_raw(message(&h, late)).await, Heard::Unauthenticated);
        assert!(matches!(h.send_raw(message(&h, Duration::ZERO)).await, Heard::Answer(_)));
        keys::caller(&h, &key, "nonce-0000000000002");
        h.finish().await;
    });
}

/// C16, S9: a stop of the lost tail may still work. A second one beside it would open what it closes, so
/// none is placed until a person has taken the lost ones back.
#[test]
fn c16_no_leg_is_placed_beside_one_that_a_restore_lost() {
    simulate(async || {
        let mut s = Small::with(65, Venue::default(), |_| {}).await;
        s.h.broker.next_plans(&[FillPlan::After(millis(2_000)).into()]);
        s.enter(&bracketed("a")).await;
        s.h.elapse(millis(100)).await;
        let copy = s.h.copy().await;
        s.h.elapse(millis(5_000)).await;
        assert_eq!(s.at_broker(), ["2", "2"], "the legs of the tail");
        s.h.restore(&copy).await;
        s.h.ready().await;
        s.h.elapse(millis(20_000)).await;
        assert_eq!((s.position().await.as_str(), s.held()), ("2", 2));
        assert_eq!(s.at_broker(), ["2", "2"], "and no others");
        assert!(s.legs().await.is_empty());
        assert_eq!(s.count_findings("order.foreign").await, 2, "each is told once");
        s.h.broker.reject_what_works();
        s.h.elapse(millis(10_000)).await;
        assert_eq!((s.at_broker(), s.legs().await), (vec!["2".to_owned(); 2], both("2")));
        s.end().await;
    });
}

/// C16, S9: legs that had not left in the copy work once in the end, whether the lost tail placed them or not.
#[test]
fn c16_legs_that_waited_in_the_copy_work_once() {
    for is_placed_since in [false, true] {
        simulate(async || {
            let mut s = Small::with(66, Venue::default(), |_| {}).await;
            s.h.broker.next_plans(&[FillPlan::After(millis(1_000)).into()]);
            s.enter(&bracketed("a")).await;
            s.h.elapse(millis(900)).await;
            s.h.broker.next_faults(Call::Place, &[Fault::Away(millis(2_500))]);
            s.h.until("the legs wait", async |h: &Harness| {
                let legs = h.orders().await.into_iter().filter(|order| order.leg.is_some());
                let waits = |state| matches!(state, OrderState::Accepted | OrderState::Sending);
                legs.filter(|leg| waits(leg.state)).count() == 2
            })
            .await;
            let copy = s.h.copy().await;
            assert!(s.at_broker().is_empty());
            if is_placed_since {
                s.h.elapse(millis(6_000)).await;
                assert_eq!(s.at_broker(), ["2", "2"]);
            }
            let begun = s.h.restore(&copy).await;
            assert_eq!(begun.orders_in_doubt, 2);
            s.h.ready().await;
            s.h.elapse(millis(45_000)).await;
            assert_eq!((s.at_broker(), s.legs().await), (vec!["2".to_owned(); 2], both("2")));
            assert!(!s.h.has_finding("order.foreign").await);
            s.end().await;
        });
    }
}

/// C16, S14: an exit that waited for its market in the copy may have been sent since: it ends and is told,
/// what it was to close is held, and the next exit closes it.
#[test]
fn c16_an_exit_that_waited_for_its_market_ends_and_is_told() {
    simulate(async || {
        let mut s = Small::with(67, Venue::default(), |_| {}).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.broker.set_market("ES", None, MarketState::Closed);
        s.h.elapse(millis(3_000)).await;
        s.accept("EXIT", "b").await;
        s.h.elapse(millis(1_000)).await;
        assert_eq!(s.order(1).await.code, Some(Code::ExitPendingOpen));
        let copy = s.h.copy().await;
        s.h.restore(&copy).await;
        s.h.ready().await;
        s.h.elapse(millis(20_000)).await;
        let exit = s.order(1).await;
        assert_eq!((exit.state, exit.code), (OrderState::Expired, Some(Code::DispatchNotPlaced)));
        assert!(s.h.has_finding("dispatch.not_placed").await);
        s.trades_at("5000");
        s.h.elapse(millis(5_000)).await;
        assert_eq!((s.position().await.as_str(), s.held()), ("2", 2));
        s.accept("EXIT", "c").await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.end().await;
    });
}

/// C16: a change that had not left in the copy is looked for at the broker and not called for again; one
/// that the copy does not know at all is told.
#[test]
fn c16_a_change_that_waited_in_the_copy_is_looked_for_and_not_made_again() {
    for (is_wanted, is_made_since) in [(true, true), (true, false), (false, true)] {
        simulate(async || {
            let mut s = Small::resting(68, Venue::default()).await;
            let copy = s.h.copy().await;
            let order = s.order(0).await;
            if is_wanted {
                let change = Change {
                    asked_at: s.h.now(),
                    attempt_until: None,
                    code: None,
                    limit_price: None,
                    limits_version: order.limits_version,
                    quantity: Some("1".parse().unwrap()),
                    send_by: None,
                    state: ChangeState::Wanted,
                    stop_price: None,
                    then_quantity: None,
                };
                let change = serde_json::to_string(&change).unwrap();
                Harness::change_copy(&copy, &format!("UPDATE orders SET last_change = '{change}'"));
            }
            let size = if is_wanted { "1" } else { "4" };
            if is_made_since {
                assert_eq!(s.change(quantity(&order, size)).await, None);
                s.h.elapse(millis(1_000)).await;
                assert_eq!(s.h.broker.orders()[0].quantity.to_string(), size);
            }
            let begun = s.h.restore(&copy).await;
            assert_eq!(begun.changes_in_doubt, u64::from(is_wanted));
            s.h.ready().await;
            s.h.elapse(millis(15_000)).await;
            let calls = s.h.broker.records().iter().filter(|r| r.call == Call::Replace).count();
            assert_eq!(calls, usize::from(is_made_since), "none after the restore");
            if is_wanted {
                let made = ("1".to_owned(), ChangeState::Made, None);
                let not = Some(Code::OrderChangeNotMade);
                let not_made = ("2".to_owned(), ChangeState::Refused, not);
                assert_eq!(s.outcome(0).await, if is_made_since { made } else { not_made });
            }
            assert_eq!(s.h.has_finding("order.differs").await, !is_wanted);
            s.h.broker.let_all_fill();
            s.h.quiet().await;
            let held = s.h.broker.orders()[0].quantity.to_string();
            assert_eq!(s.position().await, held);
            s.h.finish().await;
        });
    }
}

/// C16: what two people were about to let through, or had let through and nobody used, is asked for anew.
#[test]
fn c16_approvals_and_overrides_of_the_copy_are_ended() {
    simulate(async || {
        let mut s = Small::with(69, Venue::default(), |_| {}).await;
        let asked = json!({
            "command": "override-request", "account_id": s.account, "symbol": "ES", "side": "buy",
            "quantity": "2", "limit": "max_order_quantity", "reason": "the hedge of today",
        });
        let asked = s.h.command(serde_json::from_value(asked).unwrap()).await;
        let user: Id<id::User> = Id::from_bytes([7; 16]);
        let pending: Id<id::Pending> = Id::from_bytes([8; 16]);
        s.h.sabotage(&format!(
            "INSERT INTO pending_actions SELECT x'{}', id, '{{}}', 'resume a halt', '{user}', 0, \
             {}, zeroblob(32), NULL, NULL, NULL FROM organizations",
            "08".repeat(16),
            i64::MAX
        ));
        let copy = s.h.copy().await;
        let begun = s.h.restore(&copy).await;
        assert_eq!((begun.approvals_ended, begun.overrides_ended), (1, 1));
        s.h.ready().await;
        let list = json!({ "command": "override-list" });
        let list = s.h.command(serde_json::from_value(list).unwrap()).await;
        let found = &list["items"][0];
        assert_eq!(
            (&found["id"], &found["state"], &found["withdrawn_by"]),
            (&asked["id"], &json!("withdrawn"), &json!("restore"))
        );
        for (object, event) in [
            (pending.to_bytes(), "pending.rejected"),
            (
                asked["id"].as_str().unwrap().parse::<Id<id::Override>>().unwrap().to_bytes(),
                "override.withdrawn",
            ),
        ] {
            let entries = s.h.entries(object).await;
            let leaf: Value = serde_json::from_str(&entries.last().unwrap().leaf).unwrap();
            assert_eq!(leaf["event"], event);
            assert!(entries.last().unwrap().payload.contains("restore"));
        }
        s.end().await;
    });
}

/// C16: a database that is put back under the gateway, or fails over to one that lacks what was published,
/// is not gone on with.
#[test]
fn c16_a_database_that_is_replaced_ends_the_process() {
    for (statement, why) in [
        ("UPDATE ledger SET size = size - 1", "the database was set back"),
        (
            "UPDATE ledger SET origin = origin || '/i2-0123456789abcdef'",
            "the database was restored",
        ),
    ] {
        simulate(async || {
            let mut s = Small::with(70, Venue::default(), |_| {}).await;
            s.accept("BUY", "a").await;
            s.h.quiet().await;
            s.h.sabotage_soon(statement).await;
            let last_words = s.h.ends_by_itself(millis(5_000)).await;
            assert!(last_words.as_ref().is_some_and(|words| words.contains(why)), "{last_words:?}");
            s.h.finish().await;
        });
    }
}

/// C16: of a database that was set back nothing is believed but what the log's key signed.
#[test]
fn c16_a_database_that_was_set_back_does_not_start_whatever_it_says_of_itself() {
    for (seed, statement, why) in [
        (171, "", "the database was set back"),
        (172, "UPDATE ledger SET incarnation = 2", "it says that it is incarnation 2"),
        (
            173,
            "UPDATE ledger SET incarnation = 2, origin = origin || '/i2-0123456789abcdef'",
            "its verifier key is not that of the log's key",
        ),
        (
            174,
            "INSERT INTO past_incarnations SELECT 0, 'x', verifier, size, checkpoint, NULL, began_at \
             FROM ledger",
            "the database was set back",
        ),
        (175, "UPDATE ledger SET size = size + 1000", "its checkpoint covers"),
    ] {
        simulate(async || {
            let mut s = Small::with(seed, Venue::default(), |_| {}).await;
            s.h.elapse(millis(2_000)).await;
            let copy = s.h.copy().await;
            s.accept("BUY", "a").await;
            s.h.quiet().await;
            s.h.elapse(millis(2_000)).await;
            Harness::change_copy(&copy, statement);
            let refused = s.h.refuses(&copy).await;
            assert!(refused.as_ref().is_some_and(|text| text.contains(why)), "{why}: {refused:?}");
            s.h.finish().await;
        });
    }
}

/// C16: a copy whose head the log's key did not sign is not gone on from.
#[test]
fn c16_a_copy_that_another_key_signed_is_not_restored() {
    for (seed, statement, why) in [
        (
            176,
            "UPDATE ledger SET verifier = replace(verifier, '+', '+0')",
            "its verifier key is not that of the log's key",
        ),
        (177, "UPDATE ledger SET checkpoint = '-' || checkpoint", "its checkpoint does not verify"),
        (
            178,
            "UPDATE audit_entries SET leaf = replace(leaf, '\"v\":1', '\"v\":2')",
            "its history was rewritten",
        ),
    ] {
        simulate(async || {
            let mut s = Small::with(seed, Venue::default(), |_| {}).await;
            s.h.elapse(millis(2_000)).await;
            let copy = s.h.copy().await;
            s.accept("BUY", "a").await;
            s.h.quiet().await;
            s.h.elapse(millis(2_000)).await;
            Harness::change_copy(&copy, statement);
            let refused = s.h.try_restore(&copy).await.unwrap_err();
            assert!(refused.contains(why), "{why}: {refused}");
            s.h.finish().await;
        });
    }
}

/// C16: an invitation of the copy may have been taken back or used in what was lost.
#[test]
fn c16_a_restore_ends_invitations() {
    simulate(async || {
        let mut s = Small::with(179, Venue::default(), |_| {}).await;
        let copy = s.h.copy().await;
        Harness::change_copy(
            &copy,
            "INSERT INTO invitations (id, org_id, email, email_key, role, token_hash, created_at, \
             expires_at, code) SELECT zeroblob(16), id, 'eve@example.com', 'eve@example.com', \
             'administrator', zeroblob(32), 0, 9000000000000000, zeroblob(32) FROM organizations",
        );
        let begun = s.h.restore(&copy).await;
        assert_eq!(begun.invitations_ended, 1);
        s.h.ready().await;
        let again = s.h.copy().await;
        assert_eq!(s.h.restore(&again).await.invitations_ended, 0, "it is gone");
        s.h.ready().await;
        s.end().await;
    });
}

/// C19: an entry is found by its columns, which have to be those that were sealed.
#[test]
fn c19_an_entry_that_is_hidden_shown_to_others_or_beside_the_log_is_found() {
    for (seed, statement, why) in [
        (
            180,
            "UPDATE audit_entries SET object_id = zeroblob(16) WHERE id = (SELECT MIN(id) FROM audit_entries)",
            "names another object or owner",
        ),
        (
            181,
            "PRAGMA foreign_keys = OFF; UPDATE audit_entries SET org_id = zeroblob(16) WHERE id = \
             (SELECT MIN(id) FROM audit_entries)",
            "names another object or owner",
        ),
        (
            182,
            "INSERT INTO audit_entries (id, org_id, object_id, leaf, payload, salt) \
             SELECT zeroblob(16), org_id, object_id, leaf, payload, salt FROM audit_entries LIMIT 1",
            "have no place",
        ),
    ] {
        simulate(async || {
            let s = Small::with(seed, Venue::default(), |_| {}).await;
            s.h.elapse(millis(2_000)).await;
            let before = s.h.verify().await;
            assert!(before.ok, "{before:?}");
            s.h.change_behind(statement).await;
            let found = s.h.verify().await;
            let is_told = found.problems.iter().any(|problem| problem.contains(why));
            assert!(!found.ok && is_told, "{why}: {found:?}");
            s.h.finish().await;
        });
    }
}
