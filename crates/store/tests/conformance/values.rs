//! Values at the ends of what they may be.

use crate::backend::{Backend, abandon, at, id};
use crate::rows::signals;
use tradewarden_domain::bracket::{Bracket, OnNaked};
use tradewarden_domain::exposure::{Exposure, Reported};
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::order::Side;
use tradewarden_domain::profit::Points;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::exposures::{self, NO_STRATEGY, Place};
use tradewarden_store::signals::{self as rows, StoredSignal};
use tradewarden_store::{Kind, Value, migrate, orders};

fn exposure(units: i64) -> Exposure {
    Exposure {
        quantity: Quantity::from_units(units),
        cost: Points::of(Price::from_units(units), Quantity::from_units(units)),
        realized: Points::from_units(i128::from(units)),
        fees: Money::from_units(units),
        entry_buy: Quantity::from_units(units),
        entry_sell: Quantity::from_units(units),
        exit_buy: Quantity::from_units(units),
        exit_sell: Quantity::from_units(units),
        entry_sent_at: Some(Timestamp::from_unix_micros(units)),
        bracket: (units > 0).then(|| Bracket {
            on_naked: OnNaked::Alert,
            parent_id: id(7),
            side: Side::Sell,
            stop_limit: Some(Price::from_units(units)),
            stop_loss: Some(Price::from_units(units)),
            take_profit: None,
        }),
        reported: (units == -1 || units == i64::MAX).then(|| Reported {
            average_price: Price::from_units(units),
            entry_id: id(7),
            first_read_at: Timestamp::from_unix_micros(1),
            quantity: Quantity::from_units(units),
            second_read_at: Timestamp::from_unix_micros(2),
            side: Side::Sell,
        }),
        unclosed_since: (units > 0).then(|| Timestamp::from_unix_micros(units)),
    }
}

pub(crate) async fn extreme_numbers_come_back(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let symbol: tradewarden_domain::instrument::Symbol = "NQ".parse().unwrap();
    let place = |strategy_id| Place { account_id: id(1), symbol: symbol.clone(), strategy_id };
    let mut put = vec![
        (place(NO_STRATEGY), exposure(i64::MIN)),
        (place(id(1)), exposure(i64::MAX)),
        (place(id(2)), exposure(-1)),
        (place(id(3)), Exposure { entry_sent_at: None, ..exposure(0) }),
    ];
    let mut tx = writer.begin().await.unwrap();
    let rows = put.iter().map(|(place, exposure)| (place, exposure));
    exposures::put(&mut tx, rows, at(0)).await.unwrap();
    let pairs = [(id(1), symbol.clone()), (id(7), symbol.clone())];
    assert_eq!(exposures::of_pairs(&mut tx, &pairs).await.unwrap(), put);
    tx.commit().await.unwrap();
    assert_eq!(exposures::of_account(&store, id(1)).await.unwrap(), put);
    // Written over, from one end to the other.
    for (_, exposure) in &mut put {
        exposure.quantity = Quantity::from_units(exposure.quantity.units().wrapping_neg());
        exposure.entry_sent_at = None;
    }
    let mut tx = writer.begin().await.unwrap();
    let rows = put.iter().map(|(place, exposure)| (place, exposure));
    exposures::put(&mut tx, rows, at(1)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(exposures::of_account(&store, id(1)).await.unwrap(), put);
}

pub(crate) async fn large_texts_and_bytes_come_back(backend: &Backend) {
    const MIB: usize = 1 << 20;
    let (mut writer, store) = backend.migrated().await;
    let body: Vec<u8> = (0..MIB).map(|place| u8::try_from(place % 251).unwrap()).collect();
    let (mut stored, _) = signals(1, 1).remove(0);
    stored.checks = "ä€🦀".chars().cycle().take(MIB / 3).collect();
    stored.message = "m".repeat(MIB);
    let mut tx = writer.begin().await.unwrap();
    rows::insert(&mut tx, vec![(stored.clone(), body.clone())]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(rows::find(&store, id(1)).await.unwrap(), Some(stored));
    assert_eq!(rows::body(&store, id(1)).await.unwrap(), Some(body));
    assert_eq!(rows::body(&store, id(404)).await.unwrap(), None);
}

pub(crate) async fn every_letter_but_nul_comes_back(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let texts = [
        String::new(),
        " leading and trailing ".to_owned(),
        "'; DROP TABLE signals; --".to_owned(),
        "$1 ?1 {text} \\x00 %s".to_owned(),
        (1..=127_u8).map(char::from).collect(),
        "\u{85}\u{a0}\u{2028}\u{feff}\u{fffd}\u{10ffff}".to_owned(),
        "e\u{301} é".to_owned(),
    ];
    let mut stored = signals(1, u64::try_from(texts.len()).unwrap());
    for ((signal, _), text) in stored.iter_mut().zip(&texts) {
        signal.message.clone_from(text);
        signal.code = Some(text.clone());
    }
    stored[0].1.clear();
    stored[1].1 = (0..=255).collect();
    let mut tx = writer.begin().await.unwrap();
    rows::insert(&mut tx, stored.clone()).await.unwrap();
    tx.commit().await.unwrap();
    for (signal, _) in &stored {
        assert_eq!(rows::find(&store, signal.id).await.unwrap().as_ref(), Some(signal));
    }
    assert_eq!(rows::body(&store, id(1)).await.unwrap(), Some(Vec::new()), "empty is not NULL");
    assert_eq!(rows::body(&store, id(2)).await.unwrap().unwrap().len(), 256);
}

/// PostgreSQL has no NUL in texts; SQLite would take it and cut the text in places. Bytes may hold
/// anything. Callers keep NUL out; this is what happens if one does not.
pub(crate) async fn nul_in_a_text_is_refused_and_nothing_else_happens(backend: &Backend) {
    const PUT: &str = "INSERT INTO meta (name, value) VALUES ($1, $2)";
    const FIND: &str = "SELECT value FROM meta WHERE name = $1 AND value <> $2";
    let (mut writer, store) = backend.migrated().await;
    let with_nul = |number| {
        let mut stored = signals(number, 1);
        stored[0].0.message = "before\0after".to_owned();
        stored
    };
    let mut tx = writer.begin().await.unwrap();
    let error = rows::insert(&mut tx, with_nul(1)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Broken, "{error}");
    assert!(!error.to_string().contains("after"), "the value is not repeated: {error}");
    abandon(tx);
    // Each way in.
    let words = [Value::from("a\0b"), Value::Word("text")];
    let sets = vec![words.to_vec()];
    for way in 0..5 {
        let mut tx = writer.begin().await.unwrap();
        let refused = match way {
            0 => tx.execute(PUT, &words).await.map(|_| ()),
            1 => tx.query(FIND, &words).await.map(|_| ()),
            2 => tx.query_each(FIND, &sets).await.map(|_| ()),
            3 => tx.execute_each(PUT, &sets).await.map(|_| ()),
            _ => migrate::set_meta(&mut tx, "name", "\0").await,
        };
        assert_eq!(refused.unwrap_err().kind(), Kind::Broken, "way {way}");
    }
    let read = store.query(FIND, words.to_vec()).await;
    assert_eq!(read.unwrap_err().kind(), Kind::Broken);

    // The connection lives, and the neighbours are written.
    let mut stored = signals(2, 1);
    stored[0].1 = b"a\0b".to_vec();
    let mut tx = writer.begin().await.unwrap();
    rows::insert(&mut tx, stored).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(rows::find(&store, id(1)).await.unwrap(), None);
    assert!(rows::find(&store, id(2)).await.unwrap().is_some());
    assert_eq!(rows::body(&store, id(2)).await.unwrap(), Some(b"a\0b".to_vec()));
}

/// A row that this program cannot have written is `Broken`, never a guess and never a panic.
pub(crate) async fn what_cannot_be_read_is_an_error(backend: &Backend) {
    const DAMAGE: &str = "UPDATE orders SET state = 'teleported' WHERE id = $1";
    const SHORTEN: &str = "UPDATE signals SET body_sha256 = $1 WHERE id = $2";
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    orders::put(&mut tx, &[crate::orders::full_order(1)]).await.unwrap();
    rows::insert(&mut tx, signals(1, 1)).await.unwrap();
    assert_eq!(tx.execute(DAMAGE, &[Value::Id(id::<()>(1).to_bytes())]).await.unwrap(), 1);
    let short = [Value::Bytes(vec![1; 31]), Value::Id(id::<()>(1).to_bytes())];
    assert_eq!(tx.execute(SHORTEN, &short).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(orders::find(&store, id(1)).await.unwrap_err().kind(), Kind::Broken);
    let unread: Result<Option<StoredSignal>, _> = rows::find(&store, id(1)).await;
    assert_eq!(unread.unwrap_err().kind(), Kind::Broken);
    let missing = store.query_one("SELECT name FROM meta", Vec::new()).await.unwrap();
    let mut row = missing.unwrap();
    row.text().unwrap();
    assert_eq!(row.text().unwrap_err().kind(), Kind::Broken, "one column too many");
}
