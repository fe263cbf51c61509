//! Inserts of many rows: PostgreSQL cuts them into statements of 64, 16, 4 and 1 rows, SQLite runs
//! one statement again and again. Nobody may see a difference.

use crate::backend::{Backend, abandon, at, count, id};
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::id::Id;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::source::Source;
use tradewarden_store::dialect::Insert;
use tradewarden_store::exposures::{self, Place};
use tradewarden_store::signals::{self as rows, Claim, Key, StoredSignal};
use tradewarden_store::{Kind, Value};

const SIZES: [u64; 10] = [0, 1, 3, 4, 5, 16, 63, 64, 65, 300];

/// Signals with these numbers, each with its body.
pub(crate) fn signals(start: u64, number: u64) -> Vec<(StoredSignal, Vec<u8>)> {
    (start..start + number)
        .map(|number| StoredSignal {
            id: id(number),
            org_id: id(1),
            source: if number.is_multiple_of(3) {
                Source::Key(id(2))
            } else {
                Source::Webhook(id(2))
            },
            received_at: at(0),
            status: "accepted".to_owned(),
            code: number.is_multiple_of(2).then(|| format!("code.{number}")),
            message: format!("message {number}"),
            body_sha256: hash(number),
            checks: "[]".to_owned(),
            accounts: "[]".to_owned(),
        })
        .map(|signal| (signal.clone(), signal.message.into_bytes()))
        .collect()
}

fn hash(number: u64) -> [u8; 32] {
    let mut hash = [7; 32];
    let (head, _) = hash.split_at_mut(8);
    head.copy_from_slice(&number.to_be_bytes());
    hash
}

pub(crate) async fn any_number_of_rows_is_the_same_rows(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut start = 1;
    for size in SIZES {
        let written = signals(start, size);
        let mut tx = writer.begin().await.unwrap();
        rows::insert(&mut tx, written.clone()).await.unwrap();
        tx.commit().await.unwrap();
        let before = id(start + size);
        let count = u32::try_from(size).unwrap();
        let mut found = rows::page(&store, id(1), before, count).await.unwrap();
        found.reverse();
        assert_eq!(found.len(), written.len(), "{size} rows");
        for (found, (signal, body)) in found.iter().zip(written) {
            assert_eq!(*found, signal);
            assert_eq!(rows::body(&store, signal.id).await.unwrap(), Some(body));
        }
        start += size;
    }
}

pub(crate) async fn returned_rows_are_those_that_were_written(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    for (round, size) in (1..).zip(SIZES) {
        let claims: Vec<_> = (0..size)
            .map(|number| Claim { key: Key(hash(round * 1_000 + number)), signal_id: id(number) })
            .collect();
        let (early, all): (Vec<_>, Vec<Key>) = (
            claims.iter().step_by(3).copied().collect(),
            claims.iter().map(|claim| claim.key).collect(),
        );
        let mut tx = writer.begin().await.unwrap();
        assert_eq!(rows::claim(&mut tx, &early).await.unwrap().len(), early.len());
        let free = rows::claim(&mut tx, &claims).await.unwrap();
        let mut expected = all.clone();
        expected.retain(|key| early.iter().all(|claim| claim.key != *key));
        assert_eq!(free, expected, "{size} claims");
        assert_eq!(rows::holders(&mut tx, &all).await.unwrap(), claims);
        tx.commit().await.unwrap();

        let places: Vec<_> = (0..size)
            .map(|number| Place {
                account_id: id(round),
                symbol: "NQ".parse().unwrap(),
                strategy_id: Id::from_bytes(id::<()>(number).to_bytes()),
            })
            .collect();
        for held in [1, 2] {
            let exposure = Exposure { quantity: Quantity::from_units(held), ..Exposure::default() };
            let mut tx = writer.begin().await.unwrap();
            let rows = places.iter().map(|place| (place, &exposure));
            exposures::put(&mut tx, rows, at(0)).await.unwrap();
            tx.commit().await.unwrap();
            let found = exposures::of_account(&store, id(round)).await.unwrap();
            let expected: Vec<_> = places.iter().map(|place| (place.clone(), exposure)).collect();
            assert_eq!(found, expected, "{size} exposures");
        }
    }
}

/// A mistake of ours in the number of values must not lose a row.
pub(crate) async fn half_a_row_is_refused(backend: &Backend) {
    const PAIRS: Insert =
        Insert { into: "-- test\nINSERT INTO meta (name, value)", columns: 2, tail: "" };
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    let values = [Value::Word("half-1"), Value::Word("whole"), Value::Word("half-2")];
    assert_eq!(tx.insert(&PAIRS, &values).await.unwrap_err().kind(), Kind::Broken);
    abandon(tx);
    let mut tx = writer.begin().await.unwrap();
    tx.insert(&PAIRS, &values[..2]).await.unwrap();
    tx.commit().await.unwrap();
    let halves = "SELECT CAST(COUNT(*) AS BIGINT) FROM meta WHERE name LIKE 'half%'";
    assert_eq!(count(&store, halves).await, 1);
}
