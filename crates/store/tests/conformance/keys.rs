//! The keys by which a second sending is known.

use crate::backend::{Backend, abandon, at, id};
use tradewarden_domain::id::Id;
use tradewarden_store::Kind;
use tradewarden_store::signals::{self, Claim, Key};

pub(crate) fn key(number: u8) -> Key {
    Key([number; 32])
}

pub(crate) fn claim(key_number: u8, signal: u64) -> Claim {
    Claim { key: key(key_number), signal_id: id(signal) }
}

pub(crate) async fn a_key_is_claimed_once(backend: &Backend) {
    let (mut writer, _store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    let free = signals::claim(&mut tx, &[claim(1, 10), claim(3, 11)]).await.unwrap();
    assert_eq!(free, [key(1), key(3)]);
    tx.commit().await.unwrap();

    let mut tx = writer.begin().await.unwrap();
    let wanted = [claim(1, 20), claim(2, 21), claim(3, 22), claim(4, 23)];
    assert_eq!(signals::claim(&mut tx, &wanted).await.unwrap(), [key(2), key(4)]);
    let holders = signals::holders(&mut tx, &[key(3), key(9), key(1), key(2)]).await.unwrap();
    assert_eq!(holders, [claim(3, 11), claim(1, 10), claim(2, 21)]);
    abandon(tx);

    let mut tx = writer.begin().await.unwrap();
    assert_eq!(signals::claim(&mut tx, &[claim(2, 40)]).await.unwrap(), [key(2)]);
    assert_eq!(signals::claim(&mut tx, &[]).await.unwrap(), []);
}

pub(crate) async fn an_expired_key_changes_hands(backend: &Backend) {
    let (mut writer, _store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    signals::claim(&mut tx, &[claim(1, 10)]).await.unwrap();
    let new = claim(1, 20);
    signals::take_over(&mut tx, &new, id(10)).await.unwrap();
    assert_eq!(signals::holders(&mut tx, &[key(1)]).await.unwrap(), [new]);
    tx.commit().await.unwrap();

    // Somebody else was faster: the holder is not the one that was seen.
    let mut tx = writer.begin().await.unwrap();
    let late = signals::take_over(&mut tx, &claim(1, 30), id(10)).await.unwrap_err();
    assert_eq!(late.kind(), Kind::Broken);
}

pub(crate) async fn old_keys_are_forgotten(backend: &Backend) {
    let (mut writer, _store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    // The times of signals are in their identifiers, to the millisecond.
    let received = |number: u8| Claim {
        key: key(number),
        signal_id: Id::new(at(i64::from(number) * 1_000), [number; 10]),
    };
    signals::claim(&mut tx, &[received(1), received(2), received(3)]).await.unwrap();
    assert_eq!(signals::purge_keys(&mut tx, at(3_000)).await.unwrap(), 2);
    let left = signals::holders(&mut tx, &[key(1), key(2), key(3)]).await.unwrap();
    assert_eq!(left, [received(3)]);
    tx.commit().await.unwrap();
}
