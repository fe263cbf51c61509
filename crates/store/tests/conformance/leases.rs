//! Who may do what only one may do.

use crate::backend::{Backend, abandon, at};
use tradewarden_store::leases::{Lease, acquire, is_held};

pub(crate) async fn a_lease_has_one_holder(backend: &Backend) {
    let (mut writer, _store) = backend.migrated().await;
    let held = |fence, until| Some(Lease { fence, until: at(until) });
    for (holder, now, until, expected) in [
        ("a", 0, 10, held(1, 10)),
        ("b", 5, 15, None),
        ("b", 10, 20, None),
        ("a", 9, 19, held(1, 19)),
        ("b", 19, 29, None),
        ("b", 20, 30, held(2, 30)),
        ("a", 25, 35, None),
        ("b", 28, 38, held(2, 38)),
        // Expired, and nobody else came: still the same holder.
        ("b", 90, 99, held(2, 99)),
        ("a", 100, 110, held(3, 110)),
    ] {
        let mut tx = writer.begin().await.unwrap();
        let lease = acquire(&mut tx, "dispatch", holder, at(now), at(until)).await.unwrap();
        assert_eq!(lease, expected, "{holder} at {now}");
        tx.commit().await.unwrap();
    }
    let mut tx = writer.begin().await.unwrap();
    let other = acquire(&mut tx, "seal", "b", at(101), at(102)).await.unwrap();
    assert_eq!(other, held(1, 102), "another lease is another holder's");
    for (name, holder, now, held) in [
        ("dispatch", "a", 110, true),
        ("dispatch", "a", 111, false),
        ("dispatch", "b", 101, false),
        ("nobody's", "a", 101, false),
    ] {
        let found = is_held(&mut tx, name, holder, at(now)).await.unwrap();
        assert_eq!(found, held, "{name} by {holder} at {now}");
    }
    // What is not committed was never held.
    abandon(tx);
    let mut tx = writer.begin().await.unwrap();
    let lease = acquire(&mut tx, "seal", "c", at(101), at(103)).await.unwrap();
    assert_eq!(lease, held(1, 103));
}
