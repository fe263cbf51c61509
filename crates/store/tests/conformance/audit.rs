//! Entries, the queue, the log and its head.

use crate::backend::{Backend, abandon, at, id};
use tradewarden_store::Kind;
use tradewarden_store::audit::{self, Entry, Ledger, Placed};

fn entry(number: u64) -> Entry {
    let byte = u8::try_from(number).unwrap();
    Entry {
        id: id(number),
        org_id: id(1),
        object_id: [byte % 2; 16],
        leaf: format!("{{\"n\":{number}}}"),
        leaf_hash: [byte; 32],
        payload: format!("payload {number}"),
        salt: [byte.wrapping_add(1); 32],
    }
}

fn placed(entry: &Entry, position: Option<u64>) -> Placed {
    Placed {
        position,
        id: entry.id,
        org_id: entry.org_id,
        object_id: entry.object_id,
        leaf: entry.leaf.clone(),
        payload: entry.payload.clone(),
        salt: entry.salt,
    }
}

pub(crate) async fn entries_wait_for_their_places(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let entries: Vec<_> = (1..=100).map(entry).collect();
    let mut tx = writer.begin().await.unwrap();
    audit::insert(&mut tx, entries.clone()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(audit::count_queued(&store).await.unwrap(), 100);
    assert_eq!(audit::entry(&store, id(5)).await.unwrap(), Some(placed(&entries[4], None)));

    // What is drained and not committed stays queued.
    let mut tx = writer.begin().await.unwrap();
    assert_eq!(audit::drain(&mut tx, 1_000).await.unwrap().len(), 100);
    abandon(tx);
    let mut tx = writer.begin().await.unwrap();
    let queued = audit::drain(&mut tx, 70).await.unwrap();
    let expected: Vec<_> = entries[..70].iter().map(|entry| (entry.id, entry.leaf_hash)).collect();
    assert_eq!(queued, expected, "oldest first");
    let order: Vec<_> = queued.iter().map(|(id, _)| *id).rev().collect();
    audit::append(&mut tx, 0, &order).await.unwrap();
    tx.commit().await.unwrap();

    assert_eq!(audit::count_queued(&store).await.unwrap(), 30);
    assert_eq!(audit::count_entries(&store).await.unwrap(), 100);
    let range = audit::range(&store, 3, 5).await.unwrap();
    assert_eq!(range, [placed(&entries[66], Some(3)), placed(&entries[65], Some(4))]);
    assert_eq!(audit::range(&store, 0, 1_000).await.unwrap().len(), 70);
    assert_eq!(audit::range(&store, 70, 1_000).await.unwrap(), []);
    let of_object = audit::of_object(&store, [1; 16], 3).await.unwrap();
    let odd = [
        placed(&entries[0], Some(69)),
        placed(&entries[2], Some(67)),
        placed(&entries[4], Some(65)),
    ];
    assert_eq!(of_object, odd);
    assert_eq!(audit::entry(&store, id(404)).await.unwrap(), None);
    // A place beyond what a column holds is no place.
    assert_eq!(audit::range(&store, 0, u64::MAX).await.unwrap_err().kind(), Kind::Broken);
}

pub(crate) async fn the_head_moves_only_from_where_it_is(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    assert_eq!(audit::ledger(&store).await.unwrap(), None);
    let ledger = Ledger {
        origin: "example.test/log".to_owned(),
        size: 0,
        checkpoint: "empty".to_owned(),
        verifier: "verifier".to_owned(),
        signing_key: vec![0, 1, 255],
    };
    let mut tx = writer.begin().await.unwrap();
    assert_eq!(audit::ledger_in(&mut tx).await.unwrap(), None);
    audit::create_ledger(&mut tx, &ledger, at(0)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(audit::ledger(&store).await.unwrap().as_ref(), Some(&ledger));
    let mut tx = writer.begin().await.unwrap();
    let twice = audit::create_ledger(&mut tx, &ledger, at(0)).await.unwrap_err();
    assert_eq!(twice.kind(), Kind::Exists);
    abandon(tx);

    let mut tx = writer.begin().await.unwrap();
    audit::advance(&mut tx, 0, 10, "ten", at(1)).await.unwrap();
    tx.commit().await.unwrap();
    for wrong in [0, 9, 11] {
        let mut tx = writer.begin().await.unwrap();
        let error = audit::advance(&mut tx, wrong, 20, "twenty", at(2)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Broken, "from {wrong}");
    }
    let mut tx = writer.begin().await.unwrap();
    let head = audit::ledger_in(&mut tx).await.unwrap();
    assert_eq!(head, Some(Ledger { size: 10, checkpoint: "ten".to_owned(), ..ledger }));
}

pub(crate) async fn a_place_is_given_once(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    audit::insert(&mut tx, (1..=4).map(entry).collect()).await.unwrap();
    assert_eq!(audit::drain(&mut tx, 2).await.unwrap().len(), 2);
    audit::append(&mut tx, 0, &[id(1), id(2)]).await.unwrap();
    tx.commit().await.unwrap();
    for (what, start, entries) in [
        ("a taken place", 1, vec![id(3)]),
        ("an entry that has a place", 2, vec![id(1)]),
        ("an entry twice", 2, vec![id(3), id(3)]),
    ] {
        let mut tx = writer.begin().await.unwrap();
        let error = audit::append(&mut tx, start, &entries).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Exists, "{what}: {error}");
    }
    let mut tx = writer.begin().await.unwrap();
    let again = audit::insert(&mut tx, vec![entry(4)]).await.unwrap_err();
    assert_eq!(again.kind(), Kind::Exists);
    abandon(tx);
    assert_eq!(audit::count_queued(&store).await.unwrap(), 2);
    assert_eq!(audit::range(&store, 0, 10).await.unwrap().len(), 2);
}

pub(crate) async fn tiles_grow(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    audit::put_tiles(&mut tx, vec![(0, 0, vec![1; 32]), (1, 0, vec![2; 32])]).await.unwrap();
    audit::put_tiles(&mut tx, vec![(0, 0, vec![1; 64]), (0, 1, vec![3; 32])]).await.unwrap();
    assert_eq!(audit::tile_in(&mut tx, 0, 0).await.unwrap(), Some(vec![1; 64]));
    tx.commit().await.unwrap();
    assert_eq!(audit::tile(&store, 0, 0).await.unwrap(), Some(vec![1; 64]));
    assert_eq!(audit::tile(&store, 1, 0).await.unwrap(), Some(vec![2; 32]));
    assert_eq!(audit::tile(&store, 0, 1).await.unwrap(), Some(vec![3; 32]));
    assert_eq!(audit::tile(&store, 1, 1).await.unwrap(), None);
}
