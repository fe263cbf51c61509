//! Orders and fills.

use crate::backend::{Backend, at, id};
use std::collections::BTreeSet;
use tradewarden_domain::account::Account;
use tradewarden_domain::bracket::{Away, Leg, LegOf, Levels, Mark, OnNaked};
use tradewarden_domain::code::Code;
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::order::{
    Change, ChangeState, Order, OrderState, OrderType, Purpose, Side, TimeInForce,
};
use tradewarden_domain::rate::Source;
use tradewarden_store::directory;
use tradewarden_store::orders::{self, Fill};

/// Everything is set.
pub(crate) fn full_order(number: u64) -> Order {
    Order {
        id: id(number),
        org_id: id(1),
        signal_id: Some(id(500)),
        account_id: id(2),
        strategy_id: Some(id(3)),
        symbol: "CME:NQ1!".parse().unwrap(),
        side: Side::Sell,
        order_type: OrderType::StopLimit,
        time_in_force: TimeInForce::Gtc,
        quantity: "12.5".parse().unwrap(),
        limit_price: Some("-0.25".parse().unwrap()),
        stop_price: Some("17000.25".parse().unwrap()),
        purpose: Purpose::Exit,
        state: OrderState::Working,
        code: Some(Code::BrokerRejected),
        filled_quantity: "0.5".parse().unwrap(),
        average_price: Some("16999".parse().unwrap()),
        broker_order_id: Some("broker-1".to_owned()),
        cancel_requested: true,
        send_by: Some(at(10)),
        attempt_until: Some(at(20)),
        limits_version: 7,
        created_at: at(1),
        updated_at: at(2),
        key_id: Some(id(4)),
        tag: Some("breakfast".to_owned()),
        expires_at: Some(at(30)),
        change: Some(Change {
            asked_at: at(3),
            attempt_until: Some(at(40)),
            code: Some(Code::OrderChangeRejected),
            limit_price: Some("-0.5".parse().unwrap()),
            limits_version: 8,
            quantity: Some("13".parse().unwrap()),
            send_by: Some(at(50)),
            state: ChangeState::Refused,
            stop_price: Some("17000.5".parse().unwrap()),
            then_quantity: Some("12".parse().unwrap()),
        }),
        passes_halts: true,
        bracket: Some(Levels {
            on_naked: OnNaked::Close,
            stop_limit: Some("90".parse().unwrap()),
            stop_loss: Some(Mark::Away(Away::Amount("3".parse().unwrap()))),
            take_profit: Some(Mark::At("120".parse().unwrap())),
        }),
        leg: Some(LegOf { leg: Leg::StopLoss, parent_id: id(600) }),
    }
}

/// Nothing is set that may be absent.
fn bare_order(number: u64) -> Order {
    Order {
        signal_id: None,
        strategy_id: None,
        limit_price: None,
        stop_price: None,
        code: None,
        average_price: None,
        broker_order_id: None,
        cancel_requested: false,
        send_by: None,
        attempt_until: None,
        key_id: None,
        tag: None,
        expires_at: None,
        change: None,
        passes_halts: false,
        bracket: None,
        leg: None,
        ..full_order(number)
    }
}

pub(crate) async fn an_order_comes_back_as_it_was_put(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let (full, bare) = (full_order(10), bare_order(11));
    let mut tx = writer.begin().await.unwrap();
    orders::put(&mut tx, &[full.clone(), bare.clone()]).await.unwrap();
    let locked = orders::lock_by_id(&mut tx, &[id(11), id(404), id(10)]).await.unwrap();
    assert_eq!(locked, [Some(bare.clone()), None, Some(full.clone())]);
    let pairs = orders::pairs_of(&mut tx, &[id(10), id(404), id(11)]).await.unwrap();
    let pair = |order: &Order| (order.org_id, order.account_id, order.symbol.clone());
    assert_eq!(pairs, [pair(&full), pair(&bare)]);
    tx.commit().await.unwrap();
    assert_eq!(orders::find(&store, id(10)).await.unwrap(), Some(full));
    assert_eq!(orders::find(&store, id(11)).await.unwrap(), Some(bare));
    assert_eq!(orders::find(&store, id(404)).await.unwrap(), None);
    // All words there are.
    let mut tx = writer.begin().await.unwrap();
    let states: Vec<_> = (100..)
        .zip(OrderState::ALL)
        .map(|(number, state)| Order { state: *state, ..bare_order(number) })
        .collect();
    let codes: Vec<_> = (200..)
        .zip(Code::ALL)
        .map(|(number, code)| Order { code: Some(*code), ..bare_order(number) })
        .collect();
    for batch in [states, codes] {
        orders::put(&mut tx, &batch).await.unwrap();
        let ids: Vec<_> = batch.iter().map(|order| order.id).collect();
        let found = orders::lock_by_id(&mut tx, &ids).await.unwrap();
        assert_eq!(found.into_iter().flatten().collect::<Vec<_>>(), batch);
    }
}

/// An upsert moves what moves in an order's life; whose it is and what was asked stays.
pub(crate) async fn a_changed_order_keeps_what_never_changes(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let old = bare_order(10);
    let mut tx = writer.begin().await.unwrap();
    orders::put(&mut tx, std::slice::from_ref(&old)).await.unwrap();
    let moved = Order {
        quantity: "1".parse().unwrap(),
        state: OrderState::Canceled,
        code: Some(Code::OrderCanceled),
        filled_quantity: "1".parse().unwrap(),
        average_price: Some("5".parse().unwrap()),
        broker_order_id: Some("broker-9".to_owned()),
        cancel_requested: true,
        attempt_until: Some(at(30)),
        change: full_order(10).change,
        limits_version: 9,
        updated_at: at(40),
        ..old.clone()
    };
    let other_owner = Order {
        org_id: id(66),
        account_id: id(67),
        side: Side::Buy,
        purpose: Purpose::Entry,
        created_at: at(99),
        ..moved.clone()
    };
    orders::put(&mut tx, &[other_owner]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(orders::find(&store, id(10)).await.unwrap(), Some(moved));
}

pub(crate) async fn only_live_orders_are_work(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut all: Vec<Order> = (10..)
        .zip(OrderState::ALL)
        .map(|(number, state)| Order { state: *state, ..bare_order(number) })
        .collect();
    let (symbol, other): (_, tradewarden_domain::instrument::Symbol) =
        (all[0].symbol.clone(), "ES".parse().unwrap());
    all.push(Order { symbol: other.clone(), ..bare_order(50) });
    all.push(Order { account_id: id(9), ..bare_order(5) });
    let mut tx = writer.begin().await.unwrap();
    orders::put(&mut tx, &all).await.unwrap();
    let pairs = [(id(9), symbol.clone()), (id(2), symbol.clone()), (id(2), other), (id(7), symbol)];
    let found = orders::live_on_pairs(&mut tx, &pairs).await.unwrap();
    let live = |order: &&Order| order.state.is_live();
    let here: Vec<_> = all[..OrderState::ALL.len()].iter().filter(live).cloned().collect();
    assert_eq!(found.len(), 4);
    assert_eq!(found[0], all[all.len() - 1..]);
    assert_eq!(found[1], here);
    assert_eq!(found[2], all[all.len() - 2..all.len() - 1]);
    assert!(found[3].is_empty());
    tx.commit().await.unwrap();

    let alive = all.iter().filter(live).count();
    assert_eq!(orders::live(&store, None, 1_000).await.unwrap().len(), alive);
    // Page by page, nobody is left out.
    let mut read: Vec<Order> = Vec::new();
    loop {
        let page = orders::live(&store, read.last(), 2).await.unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    let ids = |orders: &[Order]| orders.iter().map(|order| order.id).collect::<BTreeSet<_>>();
    let wanted: Vec<_> = all.iter().filter(live).cloned().collect();
    assert_eq!((read.len(), ids(&read)), (alive, ids(&wanted)));

    // An order that ends leaves the index; a late fill does not bring it back.
    let mut tx = writer.begin().await.unwrap();
    let ended: Vec<_> =
        all.iter().map(|order| Order { state: OrderState::Filled, ..order.clone() }).collect();
    orders::put(&mut tx, &ended).await.unwrap();
    tx.commit().await.unwrap();
    assert!(orders::live(&store, None, 1_000).await.unwrap().is_empty());
}

/// Those of another organization are in nobody's way.
pub(crate) async fn live_orders_are_read_by_organization(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let (own, other) = (id(1), id(2));
    let mut all = Vec::new();
    for number in 10..40 {
        // Accounts of the other organization come first.
        let (org_id, account_id) = if number < 33 { (other, id(3)) } else { (own, id(9)) };
        all.push(Order { org_id, account_id, ..bare_order(number) });
    }
    let mut tx = writer.begin().await.unwrap();
    orders::put(&mut tx, &all).await.unwrap();
    tx.commit().await.unwrap();
    let mut read: Vec<Order> = Vec::new();
    loop {
        let after = read.last().map(|order| order.id);
        let page = orders::live_of_org(&store, own, after, 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert_eq!(read, all[23..]);
    assert!(orders::live_of_org(&store, id(7), None, 3).await.unwrap().is_empty());
}

/// However many legs and exits of others rest before them.
pub(crate) async fn nobodys_legs_are_out_of_sight(backend: &Backend) {
    const OTHERS: u64 = 50_100;
    let (mut writer, store) = backend.migrated().await;
    let (own, other) = (id(1), id(2));
    let leg = |number: u64| {
        let of = Some(LegOf { leg: Leg::StopLoss, parent_id: id(5) });
        Order { leg: of, purpose: Purpose::Exit, order_type: OrderType::Stop, ..bare_order(number) }
    };
    let exit = |number: u64| Order {
        purpose: Purpose::Exit,
        order_type: OrderType::Limit,
        ..bare_order(number)
    };
    let mut tx = writer.begin().await.unwrap();
    let mut all = Vec::new();
    for number in 0..OTHERS {
        // Those of the other organization come first.
        let order = if number % 50 == 0 { exit(number + 10) } else { leg(number + 10) };
        all.push(Order { org_id: other, account_id: id(3), ..order });
    }
    let mine =
        [leg(90_000), exit(90_001)].map(|order| Order { org_id: own, account_id: id(9), ..order });
    all.extend(mine.clone());
    for some in all.chunks(2_000) {
        orders::put(&mut tx, some).await.unwrap();
    }
    tx.commit().await.unwrap();
    let (mut legs, mut exits) = (Vec::new(), Vec::new());
    loop {
        let page = orders::legs(&store, legs.last(), 2_000).await.unwrap();
        if page.is_empty() {
            break;
        }
        legs.extend(page);
    }
    loop {
        let page = orders::resting_exits(&store, exits.last(), 2_000).await.unwrap();
        if page.is_empty() {
            break;
        }
        exits.extend(page);
    }
    let count = |orders: &[Order]| u64::try_from(orders.len()).unwrap();
    assert_eq!(count(&legs) + count(&exits), OTHERS + 2);
    assert_eq!((legs.last(), exits.last()), (Some(&mine[0]), Some(&mine[1])));
    assert_eq!(orders::crowded(&store, 3).await.unwrap(), [(other, OTHERS)]);
    assert_eq!(orders::crowded(&store, 2).await.unwrap(), [(own, 2), (other, OTHERS)]);
    assert!(orders::crowded(&store, OTHERS + 1).await.unwrap().is_empty());
}

/// What is live in an organization, by whom it counts for; the accounts say whose it is.
pub(crate) async fn live_orders_are_counted_by_source(backend: &Backend) {
    let (mut writer, _store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    for (org, account) in [(1, 2), (1, 5), (9, 8)] {
        if account != 5 {
            let name = format!("org {org}");
            directory::insert_organization(&mut tx, id(org), &name, at(0)).await.unwrap();
        }
        let account = Account { id: id(account), org_id: id(org), ..crate::directory::account() };
        directory::insert_account(&mut tx, &account).await.unwrap();
    }
    let all = [
        full_order(10),
        full_order(11),
        bare_order(12),
        Order { state: OrderState::Unknown, account_id: id(5), ..full_order(13) },
        Order { state: OrderState::Filled, ..full_order(14) },
        Order { account_id: id(8), org_id: id(9), ..full_order(15) },
    ];
    orders::put(&mut tx, &all).await.unwrap();
    let source = |order: &Order| Source {
        strategy: order.strategy_id,
        key: order.key_id,
        symbol: order.symbol.clone(),
    };
    let mut counted = orders::live_by_source(&mut tx, id(1)).await.unwrap();
    counted.sort_by_key(|(account, source, _)| (*account, source.key));
    let [full, _, bare, ..] = &all;
    assert_eq!(
        counted,
        [(id(2), source(bare), 1), (id(2), source(full), 2), (id(5), source(full), 1)]
    );
    assert_eq!(orders::live_by_source(&mut tx, id(404)).await.unwrap(), []);
    assert_eq!(orders::count_live(&mut tx, id(2)).await.unwrap(), 3);
}

pub(crate) async fn pages_go_back_in_time(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    let mine: Vec<_> = (10..17).map(bare_order).collect();
    let theirs: Vec<_> =
        (100..103).map(|number| Order { org_id: id(8), ..bare_order(number) }).collect();
    orders::put(&mut tx, &mine).await.unwrap();
    orders::put(&mut tx, &theirs).await.unwrap();
    tx.commit().await.unwrap();
    let mut seen = Vec::new();
    let mut before = tradewarden_domain::id::Id::from_bytes([255; 16]);
    loop {
        let page = orders::page(&store, id(1), before, 3).await.unwrap();
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        before = last.id;
        seen.extend(page);
    }
    seen.reverse();
    assert_eq!(seen, mine);
}

fn fill(number: u64, broker_fill_id: &str) -> Fill {
    Fill {
        id: id(number),
        org_id: id(1),
        account_id: id(2),
        broker_fill_id: broker_fill_id.to_owned(),
        order_id: id(10),
        symbol: "NQ".parse().unwrap(),
        side: Side::Buy,
        quantity: Quantity::from_units(i64::MAX),
        price: Price::from_units(i64::MIN),
        fee: Money::from_units(-1),
        at: at(3),
    }
}

pub(crate) async fn a_fill_counts_once(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    let first = [fill(1, "f1"), fill(2, "f2"), fill(3, "f1")];
    let new = orders::insert_fills(&mut tx, &first).await.unwrap();
    assert_eq!(new, [(id(2), "f1".to_owned()), (id(2), "f2".to_owned())]);
    tx.commit().await.unwrap();
    let mut tx = writer.begin().await.unwrap();
    // The broker's number is unique on the account, not beyond.
    let elsewhere = Fill { account_id: id(9), ..fill(5, "f1") };
    let second = [fill(4, "f2"), elsewhere, fill(6, "f3")];
    let new = orders::insert_fills(&mut tx, &second).await.unwrap();
    assert_eq!(new, [(id(9), "f1".to_owned()), (id(2), "f3".to_owned())]);
    tx.commit().await.unwrap();
    let stored = orders::fills_of_account(&store, id(2)).await.unwrap();
    let one = ("NQ".parse().unwrap(), Side::Buy, Quantity::MAX);
    assert_eq!(stored, vec![one; 3]);
    assert_eq!(orders::fills_of_account(&store, id(404)).await.unwrap(), []);
    let last = async |org, at| orders::last_prices(&store, id(org), at, 10).await.unwrap();
    let fill = fill(1, "f1");
    let after = fill.at.plus(std::time::Duration::from_secs(1));
    assert_eq!(last(1, after).await, [(fill.symbol.clone(), fill.price)]);
    assert_eq!((last(1, fill.at).await, last(404, after).await), (vec![], vec![]));
}

/// Fills of one organization come back by the broker's clock, page by page, with what their orders say.
pub(crate) async fn fills_come_back_in_their_order(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    let full = full_order(10);
    let bare = Order { symbol: full.symbol.clone(), ..bare_order(11) };
    orders::put(&mut tx, &[full.clone(), bare.clone()]).await.unwrap();
    let made = [(4, 30, 10), (2, 20, 11), (3, 20, 10), (1, 90, 10)];
    let made = made.map(|(number, second, order)| Fill {
        order_id: id(order),
        at: at(second),
        ..fill(number, &format!("f{number}"))
    });
    orders::insert_fills(&mut tx, &made).await.unwrap();
    let elsewhere = Fill { org_id: id(8), account_id: id(9), at: at(20), ..fill(7, "f7") };
    orders::insert_fills(&mut tx, &[elsewhere]).await.unwrap();
    tx.commit().await.unwrap();
    let (mut after, mut seen) = ((at(0), id(0)), Vec::new());
    loop {
        let page = orders::trades(&store, id(1), after, at(90), 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = (last.at, last.id);
        seen.extend(page);
    }
    let ids: Vec<_> = seen.iter().map(|trade| trade.id).collect();
    assert_eq!(ids, [id(2), id(3), id(4)], "the last is not before the end");
    let trade = &seen[1];
    let of_order = (trade.signal_id, trade.purpose, trade.leg);
    assert_eq!(of_order, (full.signal_id, full.purpose, full.leg.map(|of| of.leg)));
    assert_eq!(trade.place.strategy_id, full.strategy_id.unwrap());
    assert_eq!(
        (trade.side, trade.quantity, trade.price),
        (Side::Buy, made[2].quantity, made[2].price)
    );
    assert_eq!((trade.fee, trade.order_id), (made[2].fee, full.id));
    assert_eq!((seen[0].order_id, seen[0].signal_id), (bare.id, bare.signal_id));
}
