//! Entries, the queue, the log and its head.

use crate::backend::{Backend, abandon, at, id};
use tradewarden_store::Kind;
use tradewarden_store::audit::{self, Entry, Ledger, PastIncarnation, Placed, Run};

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

fn run(numbers: std::ops::RangeInclusive<u64>) -> Run {
    let first_id = id(*numbers.start());
    Run { first_id, leaf_hashes: numbers.map(|number| entry(number).leaf_hash).collect() }
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

/// Entries whose identifiers follow one another are one run; a gap, and a new transaction, begin
/// another.
pub(crate) async fn entries_wait_for_their_places(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let entries: Vec<_> = (1..=100).map(entry).collect();
    let mut tx = writer.begin().await.unwrap();
    let with_a_gap: Vec<_> =
        entries.iter().filter(|entry| entry.id != id(50)).take(79).cloned().collect();
    audit::insert(&mut tx, with_a_gap).await.unwrap();
    audit::insert(&mut tx, entries[80..].to_vec()).await.unwrap();
    audit::insert(&mut tx, Vec::new()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(audit::count_queued(&store).await.unwrap(), 99);
    assert_eq!(audit::entry(&store, id(5)).await.unwrap(), Some(placed(&entries[4], None)));

    // What is drained and not committed stays queued.
    let all = [run(1..=49), run(51..=80), run(81..=100)];
    let mut tx = writer.begin().await.unwrap();
    assert_eq!(audit::drain(&mut tx, 1_000).await.unwrap(), all);
    abandon(tx);
    let mut tx = writer.begin().await.unwrap();
    assert_eq!(audit::drain(&mut tx, 2).await.unwrap(), all[..2], "oldest first");
    let turned = [all[1].clone(), all[0].clone()];
    audit::append(&mut tx, 0, &turned).await.unwrap();
    tx.commit().await.unwrap();

    assert_eq!(audit::count_queued(&store).await.unwrap(), 20);
    assert_eq!(audit::count_entries(&store).await.unwrap(), 99);
    let range = audit::range(&store, 29, 31).await.unwrap();
    assert_eq!(range, [placed(&entries[79], Some(29)), placed(&entries[0], Some(30))]);
    let places: Vec<_> = audit::range(&store, 0, 1_000).await.unwrap();
    let places: Vec<_> = places.iter().map(|entry| entry.position).collect();
    assert_eq!(places, (0..79).map(Some).collect::<Vec<_>>());
    assert_eq!(audit::range(&store, 79, 1_000).await.unwrap(), []);
    let of_object = audit::of_object(&store, [1; 16], 3).await.unwrap();
    let odd = [
        placed(&entries[0], Some(30)),
        placed(&entries[2], Some(32)),
        placed(&entries[4], Some(34)),
    ];
    assert_eq!(of_object, odd);
    let entry = audit::entry(&store, id(80)).await.unwrap();
    assert_eq!(entry, Some(placed(&entries[79], Some(29))));
    let waiting = audit::entry(&store, id(81)).await.unwrap();
    assert_eq!(waiting, Some(placed(&entries[80], None)), "the run before it ends before it");
    assert_eq!(audit::entry(&store, id(404)).await.unwrap(), None);
    // A place beyond what a column holds is no place.
    assert_eq!(audit::range(&store, 0, u64::MAX).await.unwrap_err().kind(), Kind::Broken);
}

/// A long transaction is cut into runs of 256, and every place of it can be asked for.
pub(crate) async fn a_run_has_an_end(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let entries: Vec<_> =
        (1..=600).map(|number| Entry { id: id(number), ..entry(number % 200) }).collect();
    let mut tx = writer.begin().await.unwrap();
    audit::insert(&mut tx, entries.clone()).await.unwrap();
    let runs = audit::drain(&mut tx, 10).await.unwrap();
    let lengths: Vec<_> = runs.iter().map(|run| run.leaf_hashes.len()).collect();
    assert_eq!(lengths, [256, 256, 88]);
    audit::append(&mut tx, 0, &runs).await.unwrap();
    tx.commit().await.unwrap();
    for (start, end) in [(0, 1), (255, 257), (300, 520), (511, 513), (599, 600)] {
        let range = audit::range(&store, start, end).await.unwrap();
        let expected: Vec<_> = (start..end)
            .map(|place| placed(&entries[usize::try_from(place).unwrap()], Some(place)))
            .collect();
        assert_eq!(range, expected, "{start} to {end}");
    }
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
        incarnation: 1,
        began_at: at(0),
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

pub(crate) async fn an_incarnation_begins_once_and_the_one_before_is_kept(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let ledger = Ledger {
        origin: "example.test/log".to_owned(),
        size: 0,
        checkpoint: "empty".to_owned(),
        verifier: "verifier".to_owned(),
        signing_key: vec![7],
        incarnation: 1,
        began_at: at(0),
    };
    let ended = PastIncarnation {
        number: 1,
        origin: ledger.origin.clone(),
        verifier: ledger.verifier.clone(),
        size: 0,
        checkpoint: ledger.checkpoint.clone(),
        published: Some("seen outside".to_owned()),
        ended_at: at(5),
    };
    let next = (3, "example.test/log/i3", "another");
    let mut tx = writer.begin().await.unwrap();
    audit::create_ledger(&mut tx, &ledger, at(0)).await.unwrap();
    audit::begin_incarnation(&mut tx, &ended, next).await.unwrap();
    tx.commit().await.unwrap();
    let expected = Ledger {
        origin: next.1.to_owned(),
        verifier: next.2.to_owned(),
        incarnation: 3,
        began_at: at(5),
        ..ledger
    };
    assert_eq!(audit::ledger(&store).await.unwrap(), Some(expected));
    assert_eq!(audit::past_incarnations(&store).await.unwrap(), std::slice::from_ref(&ended));
    // Nobody begins one from an incarnation that is over.
    let again = PastIncarnation { number: 2, ..ended };
    let mut tx = writer.begin().await.unwrap();
    let error = audit::begin_incarnation(&mut tx, &again, next).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Broken);
    abandon(tx);
}

pub(crate) async fn a_place_is_given_once(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    audit::insert(&mut tx, [1, 2, 4, 6].map(entry).to_vec()).await.unwrap();
    assert_eq!(audit::drain(&mut tx, 1).await.unwrap(), [run(1..=2)]);
    audit::append(&mut tx, 0, &[run(1..=2)]).await.unwrap();
    tx.commit().await.unwrap();
    for (what, start, runs) in [
        ("a taken place", 0, vec![run(4..=4)]),
        ("a run that has its places", 2, vec![run(1..=2)]),
        ("a run twice", 2, vec![run(4..=4), run(4..=4)]),
    ] {
        let mut tx = writer.begin().await.unwrap();
        let error = audit::append(&mut tx, start, &runs).await.unwrap_err();
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
