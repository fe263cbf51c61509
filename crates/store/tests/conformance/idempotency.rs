//! Idempotency keys.

use crate::backend::{Backend, at, id};
use tradewarden_domain::id::Id;
use tradewarden_store::idempotency::{self, Claim, Stored};

fn claim(caller: &str, key: &str) -> Claim {
    Claim { org_id: id(1), caller: caller.to_owned(), key: key.to_owned() }
}

fn answered(order_id: Option<Id<tradewarden_domain::id::Order>>, second: i64) -> Stored {
    Stored {
        fingerprint: [7; 32],
        order_id,
        refusal: Some("halt.active".to_owned()),
        answer: Some("{}".to_owned()),
        at: at(second),
    }
}

pub(crate) async fn a_key_belongs_to_its_first_request(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mine = claim("key_a", "breakfast");
    let mut tx = writer.begin().await.unwrap();
    assert!(idempotency::claim(&mut tx, &mine, [7; 32], at(1)).await.unwrap());
    assert!(!idempotency::claim(&mut tx, &mine, [8; 32], at(2)).await.unwrap());
    assert!(
        idempotency::claim(&mut tx, &claim("key_b", "breakfast"), [8; 32], at(2)).await.unwrap()
    );
    let open = idempotency::find_in(&mut tx, &mine).await.unwrap().unwrap();
    assert_eq!((open.fingerprint, open.answer), ([7; 32], None));
    let expected = answered(Some(id(5)), 1);
    idempotency::answer(&mut tx, &mine, &expected).await.unwrap();
    let unclaimed = claim("key_a", "dinner");
    idempotency::answer(&mut tx, &unclaimed, &expected).await.unwrap();
    tx.commit().await.unwrap();
    for claim in [&mine, &unclaimed] {
        let stored = idempotency::find(&store, claim).await.unwrap();
        assert_eq!(stored.as_ref(), Some(&expected));
    }
    assert_eq!(idempotency::find(&store, &claim("key_a", "lunch")).await.unwrap(), None);
}

pub(crate) async fn answers_are_forgotten_and_orders_are_not(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    for (key, order) in [("order", Some(id(5))), ("other", None)] {
        let claim = claim("key_a", key);
        assert!(idempotency::claim(&mut tx, &claim, [7; 32], at(1)).await.unwrap());
        idempotency::answer(&mut tx, &claim, &answered(order, 1)).await.unwrap();
    }
    assert!(idempotency::claim(&mut tx, &claim("key_a", "young"), [7; 32], at(9)).await.unwrap());
    assert_eq!(idempotency::purge(&mut tx, at(5)).await.unwrap(), 1);
    tx.commit().await.unwrap();
    for (key, there) in [("order", true), ("other", false), ("young", true)] {
        let found = idempotency::find(&store, &claim("key_a", key)).await.unwrap();
        assert_eq!(found.is_some(), there, "{key}");
    }
}
