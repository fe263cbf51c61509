//! What halts do, dead-man switches and alerts.

use crate::backend::{Backend, abandon, at, id};
use crate::orders::full_order;
use tradewarden_domain::halt::{HaltMode, HaltScope};
use tradewarden_domain::id::{self as kind, Id};
use tradewarden_domain::message::Channel;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::{Order, OrderState, Side};
use tradewarden_store::alerts::{self, Alert};
use tradewarden_store::auto_rolls::{self, AutoRoll};
use tradewarden_store::dead_men::{self, DeadMan};
use tradewarden_store::exposures::Place;
use tradewarden_store::{halt_progress, orders};

pub(crate) async fn a_halt_tells_how_far_it_is(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let halt: Id<kind::Halt> = id(1);
    let nothing = halt_progress::of(&store, halt).await.unwrap();
    assert_eq!((nothing.looked_at, nothing.orders.len(), nothing.positions_to_close), (None, 0, 0));
    let mut tx = writer.begin().await.unwrap();
    let states = [OrderState::Working, OrderState::Canceled, OrderState::Canceled];
    let stored: Vec<_> =
        (10..).zip(states).map(|(number, state)| Order { state, ..full_order(number) }).collect();
    orders::put(&mut tx, &stored).await.unwrap();
    let ids: Vec<_> = stored.iter().map(|order| order.id).collect();
    halt_progress::note_orders(&mut tx, halt, &ids).await.unwrap();
    halt_progress::note_orders(&mut tx, halt, &ids).await.unwrap();
    halt_progress::note_orders(&mut tx, id(2), &ids[..1]).await.unwrap();
    halt_progress::note_look(&mut tx, halt, at(3)).await.unwrap();
    halt_progress::note_look(&mut tx, halt, at(4)).await.unwrap();
    let (es, nq) = ("ES".parse().unwrap(), "NQ".parse().unwrap());
    for (symbol, flat_at) in [(&es, None), (&nq, None), (&es, Some(at(5)))] {
        halt_progress::note_position(&mut tx, halt, id(7), symbol, flat_at).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut progress = halt_progress::of(&store, halt).await.unwrap();
    progress.orders.sort_by_key(|(_, count)| *count);
    assert_eq!(progress.looked_at, Some(at(3)), "the first look counts");
    assert_eq!(progress.orders, [(OrderState::Working, 1), (OrderState::Canceled, 2)]);
    assert_eq!((progress.positions_to_close, progress.positions_flat), (2, 1));
    assert_eq!(halt_progress::open_positions(&store, halt).await.unwrap(), [(id(7), nq)]);
}

pub(crate) async fn a_switch_fires_once_for_each_renewal(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let switch = DeadMan {
        org_id: id(1),
        scope: HaltScope::Key(id(4)),
        timeout_s: 60,
        mode: HaltMode::Cancel,
        include_protective: true,
        armed_by: "key".to_owned(),
        renewed_at: at(1),
        fired_at: None,
    };
    let later = DeadMan { renewed_at: at(2), timeout_s: 30, ..switch.clone() };
    let mut tx = writer.begin().await.unwrap();
    dead_men::put(&mut tx, &switch).await.unwrap();
    dead_men::put(&mut tx, &later).await.unwrap();
    assert!(!dead_men::fire(&mut tx, &switch, at(3)).await.unwrap(), "it was renewed since");
    assert!(dead_men::fire(&mut tx, &later, at(3)).await.unwrap());
    assert!(!dead_men::fire(&mut tx, &later, at(3)).await.unwrap(), "it has fired");
    tx.commit().await.unwrap();
    let fired = DeadMan { fired_at: Some(at(3)), ..later.clone() };
    assert_eq!(dead_men::all(&store).await.unwrap(), [fired]);
    let mut tx = writer.begin().await.unwrap();
    dead_men::put(&mut tx, &later).await.unwrap();
    assert!(dead_men::fire(&mut tx, &later, at(4)).await.unwrap(), "it was armed again");
    assert!(!dead_men::remove(&mut tx, id(2), &switch.scope).await.unwrap());
    assert!(dead_men::remove(&mut tx, id(1), &switch.scope).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(dead_men::all(&store).await.unwrap(), []);
}

pub(crate) async fn alerts_are_due_until_they_are_acknowledged(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let alert = |number, grouped_by: Option<&str>| Alert {
        id: id(number),
        org_id: id(1),
        code: "order.unknown".to_owned(),
        severity: "critical".to_owned(),
        subject: "ord".to_owned(),
        detail: "unknown".to_owned(),
        raised_at: at(10),
        grouped_by: grouped_by.map(str::to_owned),
        told: 0,
        next_at: Some(at(10)),
        acknowledged_by: None,
        acknowledged_at: None,
    };
    let (lasting, once) = (alert(20, None), alert(21, Some("entries")));
    let mut tx = writer.begin().await.unwrap();
    alerts::insert(&mut tx, &lasting).await.unwrap();
    alerts::insert(&mut tx, &once).await.unwrap();
    assert!(alerts::was_raised(&mut tx, id(1), "entries", at(9)).await.unwrap());
    assert!(!alerts::was_raised(&mut tx, id(1), "entries", at(10)).await.unwrap());
    assert!(!alerts::was_raised(&mut tx, id(2), "entries", at(9)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(alerts::due(&store, at(9), 10).await.unwrap(), []);
    assert_eq!(alerts::due(&store, at(10), 10).await.unwrap(), [lasting.clone(), once.clone()]);

    let mut tx = writer.begin().await.unwrap();
    assert!(alerts::told(&mut tx, id(20), 0, Some(at(15))).await.unwrap());
    assert!(!alerts::told(&mut tx, id(20), 0, Some(at(15))).await.unwrap(), "another node did");
    assert!(alerts::told(&mut tx, id(21), 0, None).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(alerts::due(&store, at(14), 10).await.unwrap(), []);
    let told = Alert { told: 1, next_at: Some(at(15)), ..lasting };
    assert_eq!(alerts::due(&store, at(15), 10).await.unwrap(), [told]);

    let mut tx = writer.begin().await.unwrap();
    assert!(alerts::acknowledge(&mut tx, id(20), "ann", at(16)).await.unwrap());
    assert!(!alerts::acknowledge(&mut tx, id(20), "bob", at(17)).await.unwrap());
    assert!(!alerts::told(&mut tx, id(20), 1, Some(at(20))).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(alerts::due(&store, at(99), 10).await.unwrap(), []);
    let seen = alerts::find(&store, id(1), id(20)).await.unwrap().unwrap();
    assert_eq!(
        (seen.acknowledged_by.as_deref(), seen.acknowledged_at),
        (Some("ann"), Some(at(16)))
    );
    assert_eq!(alerts::find(&store, id(2), id(20)).await.unwrap(), None, "another's");
    let page = alerts::page(&store, id(1), id(99), 1).await.unwrap();
    assert_eq!(page.iter().map(|alert| alert.id).collect::<Vec<_>>(), [id(21)]);

    // What is still told is never forgotten; the rest in steps.
    let mut tx = writer.begin().await.unwrap();
    alerts::insert(&mut tx, &alert(22, None)).await.unwrap();
    assert_eq!(alerts::purge(&mut tx, at(10), 10).await.unwrap(), 0, "not that old");
    assert_eq!(alerts::purge(&mut tx, at(11), 1).await.unwrap(), 1);
    assert_eq!(alerts::purge(&mut tx, at(11), 10).await.unwrap(), 1);
    assert_eq!(alerts::purge(&mut tx, at(11), 10).await.unwrap(), 0);
    tx.commit().await.unwrap();
    let left = alerts::page(&store, id(1), id(99), 9).await.unwrap();
    assert_eq!(left.iter().map(|alert| alert.id).collect::<Vec<_>>(), [id(22)]);
}

pub(crate) async fn a_channel_remembers_its_last_test(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    assert_eq!(alerts::tested(&store).await.unwrap(), []);
    for (channel, when) in [(Channel::Webhook, 1), (Channel::Chat, 2), (Channel::Webhook, 3)] {
        let mut tx = writer.begin().await.unwrap();
        alerts::note_tested(&mut tx, channel, &format!("to {when}"), at(when)).await.unwrap();
        tx.commit().await.unwrap();
    }
    let tested = alerts::tested(&store).await.unwrap();
    assert_eq!(
        tested,
        [(Channel::Chat, "to 2".to_owned(), at(2)), (Channel::Webhook, "to 3".to_owned(), at(3))]
    );
}

/// What rolls is one row, as it was last written, and is gone once it has ended.
pub(crate) async fn a_roll_stands_until_it_has_ended(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let roll = |account: u64, symbol: &str| AutoRoll {
        place: Place {
            account_id: id(account),
            symbol: symbol.parse().unwrap(),
            strategy_id: id(3),
        },
        org_id: id(1),
        next_symbol: "ESM26".parse().unwrap(),
        side: Side::Sell,
        quantity: Quantity::from_units(7),
        stays_closed: Quantity::ZERO,
        exit_id: id(4),
        entry_id: None,
        had_stop: true,
        begun_at: at(5),
    };
    let (first, other) = (roll(2, "ESH26"), roll(9, "ESH26"));
    let stays_closed = Quantity::from_units(3);
    let opening = AutoRoll { entry_id: Some(id(6)), stays_closed, ..first.clone() };
    assert_eq!(opening.to_open(), Quantity::from_units(4));
    let mut tx = writer.begin().await.unwrap();
    auto_rolls::put(&mut tx, &first).await.unwrap();
    auto_rolls::put(&mut tx, &other).await.unwrap();
    auto_rolls::put(&mut tx, &opening).await.unwrap();
    let of_both = auto_rolls::of_accounts(&mut tx, &[id(2), id(8)]).await.unwrap();
    assert_eq!(of_both, std::slice::from_ref(&opening));
    tx.commit().await.unwrap();
    assert_eq!(auto_rolls::all(&store).await.unwrap(), [opening.clone(), other.clone()]);
    let mut tx = writer.begin().await.unwrap();
    auto_rolls::remove(&mut tx, &opening.place).await.unwrap();
    auto_rolls::remove(&mut tx, &roll(2, "ESU26").place).await.unwrap_err();
    abandon(tx);
    let mut tx = writer.begin().await.unwrap();
    auto_rolls::remove(&mut tx, &opening.place).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(auto_rolls::all(&store).await.unwrap(), [other]);
}
