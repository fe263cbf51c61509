//! Versions of a key source's key, and rotations that were begun.

use crate::backend::{Backend, at};
use tradewarden_store::source_keys::{self, Rotation};

pub(crate) async fn a_version_is_entered_once(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    assert!(!source_keys::is_entered(&store, "kek:1").await.unwrap());
    let mut tx = writer.begin().await.unwrap();
    assert!(source_keys::enter(&mut tx, "kek:1").await.unwrap());
    assert!(!source_keys::enter(&mut tx, "kek:1").await.unwrap());
    tx.commit().await.unwrap();
    assert!(source_keys::is_entered(&store, "kek:1").await.unwrap());
    assert!(!source_keys::is_entered(&store, "kek:2").await.unwrap());

    assert_eq!(source_keys::begun(&store).await.unwrap(), None);
    let mut tx = writer.begin().await.unwrap();
    source_keys::begin_rotation(&mut tx, "kek:1", "node a", at(5)).await.unwrap();
    tx.commit().await.unwrap();
    let begun = Rotation { node: "node a".to_owned(), begun_at: at(5) };
    assert_eq!(source_keys::begun(&store).await.unwrap(), Some(begun));
    let mut tx = writer.begin().await.unwrap();
    source_keys::end_rotations(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(source_keys::begun(&store).await.unwrap(), None);
}
