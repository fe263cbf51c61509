//! Lockdowns: one in force at a time, and what its steps find and leave.

use crate::backend::{Backend, abandon, at, id};
use crate::directory::{account, founded, webhook};
use tradewarden_domain::account::Activity;
use tradewarden_domain::id::{self as kind, Id};
use tradewarden_domain::lockdown::{Positions, Step};
use tradewarden_store::lockdowns::{self, Lockdown, StepDone};
use tradewarden_store::webhook_secrets::{self, Previous, Secrets};
use tradewarden_store::{directory, keys};

fn lockdown(number: u64, org_id: Id<kind::Org>) -> Lockdown {
    Lockdown {
        id: id(number),
        org_id,
        halt_id: id(50),
        reason: "lost".to_owned(),
        engaged_by: "ann".to_owned(),
        engaged_at: at(1),
        step: Step::EndAccess,
        step_at: at(1),
        positions: None,
        answered_by: None,
        answered_at: None,
        flatten_halt_id: None,
        confirmed_by: None,
        confirmed_at: None,
        ended_by: None,
        ended_at: None,
    }
}

pub(crate) async fn one_lockdown_is_in_force(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let org = account().org_id;
    let first = lockdown(60, org);
    let mut tx = writer.begin().await.unwrap();
    lockdowns::insert(&mut tx, &first).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = writer.begin().await.unwrap();
    lockdowns::insert(&mut tx, &lockdown(61, org)).await.unwrap_err();
    abandon(tx);
    assert_eq!(lockdowns::in_force(&store, org).await.unwrap(), Some(first.clone()));
    assert_eq!(lockdowns::in_force(&store, id(404)).await.unwrap(), None);

    let ended = Lockdown {
        step: Step::Confirm,
        step_at: at(2),
        positions: Some(Positions::Flatten),
        answered_by: Some("ann".to_owned()),
        answered_at: Some(at(3)),
        flatten_halt_id: Some(id(51)),
        confirmed_by: Some("bob".to_owned()),
        confirmed_at: Some(at(4)),
        ended_by: Some("bob".to_owned()),
        ended_at: Some(at(5)),
        ..first
    };
    let mut tx = writer.begin().await.unwrap();
    lockdowns::update(&mut tx, &ended).await.unwrap();
    lockdowns::update(&mut tx, &ended).await.unwrap_err();
    abandon(tx);
    let mut tx = writer.begin().await.unwrap();
    lockdowns::update(&mut tx, &ended).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(lockdowns::in_force(&store, org).await.unwrap(), None);
    assert_eq!(lockdowns::newest(&store, org).await.unwrap(), Some(ended));
    let next = lockdown(62, org);
    let mut tx = writer.begin().await.unwrap();
    lockdowns::insert(&mut tx, &next).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(lockdowns::all_in_force(&store).await.unwrap(), std::slice::from_ref(&next));
    assert_eq!(lockdowns::newest(&store, org).await.unwrap(), Some(next));
}

pub(crate) async fn a_lockdowns_steps_count_and_find_what_is_left(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let (org, hook) = (account().org_id, webhook());
    let locked = lockdown(60, org);
    let mut tx = writer.begin().await.unwrap();
    lockdowns::insert(&mut tx, &locked).await.unwrap();
    lockdowns::count(&mut tx, locked.id, Step::Cancel, at(2), (3, 0)).await.unwrap();
    lockdowns::count(&mut tx, locked.id, Step::Halt, at(1), (1, 0)).await.unwrap();
    lockdowns::count(&mut tx, locked.id, Step::Cancel, at(9), (2, 1)).await.unwrap();
    lockdowns::finish(&mut tx, locked.id, Step::Cancel, at(3), "said").await.unwrap();
    tx.commit().await.unwrap();
    let steps = lockdowns::steps(&store, locked.id).await.unwrap();
    let cancel = StepDone {
        step: Step::Cancel,
        began_at: at(2),
        done_at: Some(at(3)),
        done: 5,
        failed: 1,
        note: Some("said".to_owned()),
    };
    assert_eq!((steps.len(), steps[0].step, &steps[1]), (2, Step::Halt, &cancel));

    let mut tx = writer.begin().await.unwrap();
    directory::insert_webhook(&mut tx, hook.clone()).await.unwrap();
    let old = Secrets { secret_hash: [1; 32], signing_secret: None };
    let new = Secrets { secret_hash: [9; 32], signing_secret: None };
    let previous = Previous { webhook_id: hook.id, secrets: old.clone(), valid_until: at(99) };
    webhook_secrets::replace(&mut tx, &old, &previous).await.unwrap();
    assert_eq!(lockdowns::to_rotate(&mut tx, &locked, 9).await.unwrap(), [hook.id]);
    webhook_secrets::replace_at_once(&mut tx, hook.id, &new).await.unwrap();
    lockdowns::rotated(&mut tx, locked.id, hook.id, [9; 32]).await.unwrap();
    assert_eq!(lockdowns::to_rotate(&mut tx, &locked, 9).await.unwrap(), []);
    tx.commit().await.unwrap();
    assert_eq!(webhook_secrets::all(&store, at(3)).await.unwrap(), [], "none before is taken");
    let unseen = lockdowns::unseen(&store, locked.id, 9).await.unwrap();
    assert_eq!(unseen.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [hook.id]);
    let mut tx = writer.begin().await.unwrap();
    webhook_secrets::replace_at_once(&mut tx, hook.id, &old).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(lockdowns::unseen(&store, locked.id, 9).await.unwrap(), []);

    let mut tx = writer.begin().await.unwrap();
    directory::insert_account(&mut tx, &account()).await.unwrap();
    assert_eq!(lockdowns::active_accounts(&mut tx, org, 9).await.unwrap(), [account().id]);
    lockdowns::disable_account(&mut tx, account().id).await.unwrap();
    assert_eq!(lockdowns::active_accounts(&mut tx, org, 9).await.unwrap(), []);
    let settings = directory::account_settings(&mut tx, account().id).await.unwrap().unwrap();
    assert_eq!(settings.2, Activity::Disabled);
    keys::insert(&mut tx, org, "broker", 1, vec![1], at(1)).await.unwrap();
    assert!(keys::erase(&mut tx, org, "broker", at(2)).await.unwrap());
    assert!(!keys::erase(&mut tx, org, "broker", at(2)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(keys::of(&store, org, "broker").await.unwrap(), []);
}
