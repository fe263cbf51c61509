//! Rates, watches of losses, and what orders are counted against.

use crate::backend::{Backend, at, id};
use crate::directory::{account, founded};
use tradewarden_domain::account::Account;
use tradewarden_domain::exchange::ExchangeRate;
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::order::Side;
use tradewarden_domain::recent::RecentEntries;
use tradewarden_store::equities::{self, StoredEquity};
use tradewarden_store::exposures::{NO_STRATEGY, Place};
use tradewarden_store::losses::{self, StoredWatch, Watched};
use tradewarden_store::marks::{self, StoredMark};
use tradewarden_store::{closes, directory, rates, recent};

fn rate(quote: &str, units: i64) -> ExchangeRate {
    ExchangeRate {
        org_id: id(1),
        base: "EUR".to_owned(),
        quote: quote.to_owned(),
        rate: Price::from_units(units),
        source: "somebody".to_owned(),
        at: at(1),
        valid_until: at(2),
    }
}

pub(crate) async fn the_newest_rate_of_a_pair_stands(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    for one in [rate("USD", 1), rate("JPY", i64::MAX), rate("USD", 3)] {
        rates::put(&mut tx, &one).await.unwrap();
    }
    let known = vec![rate("JPY", i64::MAX), rate("USD", 3)];
    assert_eq!(rates::of_org_in(&mut tx, id(1)).await.unwrap(), known);
    tx.commit().await.unwrap();
    assert_eq!(rates::of_org(&store, id(1)).await.unwrap(), known);
    assert_eq!(rates::of_org(&store, id(2)).await.unwrap(), []);
}

pub(crate) async fn the_newest_close_of_an_instrument_stands(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let close = |broker: &str, symbol: &str, units, seen| closes::Close {
        broker: broker.to_owned(),
        symbol: symbol.parse().unwrap(),
        price: Price::from_units(units),
        at: at(seen),
    };
    let mut tx = writer.begin().await.unwrap();
    closes::put(&mut tx, &[]).await.unwrap();
    closes::put(&mut tx, &[close("paper", "ES", 1, 1), close("other", "ES", 2, 1)]).await.unwrap();
    closes::put(&mut tx, &[close("paper", "ES", i64::MAX, 2)]).await.unwrap();
    tx.commit().await.unwrap();
    let known = [close("other", "ES", 2, 1), close("paper", "ES", i64::MAX, 2)];
    assert_eq!(closes::all(&store).await.unwrap(), known);
}

/// Marks come back by time, page by page; what is there already stays, and old ones are forgotten.
pub(crate) async fn marks_come_back_in_their_order(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mark = |second, symbol: &str, bid, is_closed| StoredMark {
        at: at(second),
        broker: "paper".to_owned(),
        symbol: symbol.parse().unwrap(),
        bid: Price::from_units(bid),
        ask: Price::from_units(i64::MAX),
        is_closed,
    };
    let all = [mark(1, "ES", 1, false), mark(2, "ES", i64::MIN, true), mark(2, "NQ", 3, false)];
    let mut tx = writer.begin().await.unwrap();
    marks::put(&mut tx, &[]).await.unwrap();
    marks::put(&mut tx, &all).await.unwrap();
    marks::put(&mut tx, &[mark(1, "ES", 7, true), mark(9, "ES", 8, true)]).await.unwrap();
    tx.commit().await.unwrap();
    let first = marks::after(&store, (at(0), "", ""), at(9), 2).await.unwrap();
    assert_eq!(first, all[..2]);
    let rest = marks::after(&store, (at(2), "paper", "ES"), at(9), 2).await.unwrap();
    assert_eq!(rest, all[2..]);
    let mut tx = writer.begin().await.unwrap();
    marks::forget(&mut tx, at(2)).await.unwrap();
    tx.commit().await.unwrap();
    let left = marks::after(&store, (at(0), "", ""), at(9), 9).await.unwrap();
    assert_eq!(left, all[1..]);
    assert_eq!(marks::held(&store, 9).await.unwrap(), []);
}

/// Equities come back by time and organization, page by page, with the newest of each account before a
/// time; what is written again was heard for longer, and old ones are forgotten.
pub(crate) async fn equities_come_back_in_their_order(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let said = |org, second, account, units, until| StoredEquity {
        org_id: id(org),
        at: at(second),
        account_id: id(account),
        equity: Money::from_units(units),
        heard_until: at(until),
    };
    let mut tx = writer.begin().await.unwrap();
    for (account_id, org) in [(11, 1), (12, 1), (13, 1), (21, 2)] {
        let account = Account { id: id(account_id), org_id: id(org), ..account() };
        directory::insert_account(&mut tx, &account).await.unwrap();
    }
    let all = [
        said(1, 1, 11, i64::MAX, 1),
        said(1, 2, 11, -5, 8),
        said(1, 2, 12, 7, 2),
        said(1, 6, 12, i64::MIN, 6),
    ];
    equities::put(&mut tx, &[]).await.unwrap();
    equities::put(&mut tx, &all).await.unwrap();
    equities::put(&mut tx, &[said(2, 2, 21, 3, 3), said(1, 6, 12, 0, 9)]).await.unwrap();
    tx.commit().await.unwrap();
    let last = said(1, 6, 12, i64::MIN, 9);
    let first = equities::after(&store, id(1), (at(0), id(0)), at(7), 2).await.unwrap();
    assert_eq!(first, all[..2]);
    let rest = equities::after(&store, id(1), (at(2), id(11)), at(7), 9).await.unwrap();
    assert_eq!(rest, [all[2].clone(), last.clone()]);
    assert_eq!(equities::after(&store, id(1), (at(2), id(11)), at(6), 9).await.unwrap().len(), 1);
    let newest =
        async |org, second| equities::newest_before(&store, id(org), at(second)).await.unwrap();
    assert_eq!(newest(1, 6).await, all[1..3]);
    assert_eq!(newest(1, 7).await, [all[1].clone(), last.clone()]);
    assert_eq!(newest(2, 7).await, [said(2, 2, 21, 3, 3)]);
    assert_eq!(newest(1, 1).await, []);
    let mut tx = writer.begin().await.unwrap();
    equities::forget(&mut tx, at(6)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(newest(1, 7).await, [last]);
    assert_eq!(newest(2, 7).await, []);
}

pub(crate) async fn watches_of_losses_come_back(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    let strategy = Watched::Strategy(id(5));
    for (watched, text, now) in
        [(Watched::Account, "{}", 1), (strategy, "[1]", 2), (Watched::Account, "{\"a\":1}", 3)]
    {
        losses::put(&mut tx, id(1), watched, text.to_owned(), at(now)).await.unwrap();
    }
    let stored = |watched, watch: &str, now| StoredWatch {
        watched,
        watch: watch.to_owned(),
        updated_at: at(now),
    };
    let all = vec![stored(Watched::Account, "{\"a\":1}", 3), stored(strategy, "[1]", 2)];
    assert_eq!(losses::of_account_in(&mut tx, id(1)).await.unwrap(), all);
    losses::remove(&mut tx, id(1), strategy).await.unwrap();
    losses::remove(&mut tx, id(2), strategy).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(losses::of_account(&store, id(1)).await.unwrap(), all[..1]);
}

pub(crate) async fn recent_entries_come_back(backend: &Backend) {
    let (mut writer, _store) = backend.migrated().await;
    let symbol: Symbol = "NQ".parse().unwrap();
    let place = |strategy_id| Place { account_id: id(1), symbol: symbol.clone(), strategy_id };
    let mut entries = RecentEntries::default();
    let mut tx = writer.begin().await.unwrap();
    for size in 1..40 {
        entries.add(at(size), Side::Sell, Quantity::from_units(size));
        let put = [(place(NO_STRATEGY), entries.clone()), (place(id(3)), entries.clone())];
        recent::put(&mut tx, put.iter().map(|(place, recent)| (place, recent))).await.unwrap();
    }
    let pairs = [(id(1), symbol.clone()), (id(2), symbol.clone())];
    let found = recent::of_pairs(&mut tx, &pairs).await.unwrap();
    assert_eq!(found, [(place(NO_STRATEGY), entries.clone()), (place(id(3)), entries)]);
    tx.commit().await.unwrap();
}
