//! What a transaction leaves, whichever way it ends.

use crate::backend::{Backend, abandon, at, count, id};
use tradewarden_domain::account::{Account, Activity};
use tradewarden_domain::loss::LossReset;
use tradewarden_domain::session::{SessionStart, TradingDays};
use tradewarden_store::{Kind, Tx, Value, directory, keys, migrate};

const MARKS: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM meta WHERE name LIKE 'mark%'";
const PUT_WITHOUT_VALUE: &str = "INSERT INTO meta (name, value) VALUES ($1, $2)";

async fn mark(tx: &mut Tx<'_>, name: &str) {
    migrate::set_meta(tx, name, "set").await.unwrap();
}

pub(crate) async fn what_is_rolled_back_is_gone(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    mark(&mut tx, "mark-1").await;
    tx.rollback().await.unwrap();
    assert_eq!(count(&store, MARKS).await, 0);
    let mut tx = writer.begin().await.unwrap();
    mark(&mut tx, "mark-2").await;
    tx.commit().await.unwrap();
    assert_eq!(count(&store, MARKS).await, 1);
}

pub(crate) async fn what_is_dropped_is_gone(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    for _ in 0..3 {
        let mut tx = writer.begin().await.unwrap();
        mark(&mut tx, "mark-dropped").await;
        abandon(tx);
    }
    let mut tx = writer.begin().await.unwrap();
    assert_eq!(migrate::meta(&mut tx, "mark-dropped").await.unwrap(), None);
    mark(&mut tx, "mark-kept").await;
    tx.commit().await.unwrap();
    assert_eq!(count(&store, MARKS).await, 1);
}

pub(crate) async fn a_dropped_writer_leaves_nothing(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    mark(&mut tx, "mark").await;
    abandon(tx);
    drop(writer);
    // On the same key: what the first held must be let go.
    let mut writer = backend.writer().await;
    let mut tx = writer.begin().await.unwrap();
    mark(&mut tx, "mark").await;
    assert_eq!(count(&store, MARKS).await, 0);
    tx.commit().await.unwrap();
    assert_eq!(count(&store, MARKS).await, 1);
}

pub(crate) async fn what_is_committed_outlives_its_connections(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    mark(&mut tx, "mark").await;
    tx.commit().await.unwrap();
    let mut tx = writer.begin().await.unwrap();
    mark(&mut tx, "mark-open").await;
    abandon(tx);
    drop((writer, store));
    let (mut writer, store) = (backend.writer().await, backend.store().await);
    assert_eq!(count(&store, MARKS).await, 1);
    let mut tx = writer.begin().await.unwrap();
    assert_eq!(migrate::meta(&mut tx, "mark").await.unwrap().as_deref(), Some("set"));
}

/// PostgreSQL answers a COMMIT of a failed transaction with a rollback and without an error. A
/// caller that went on after a failed statement must not take that for durable.
pub(crate) async fn a_failed_statement_fails_the_commit(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    mark(&mut tx, "mark").await;
    tx.execute(PUT_WITHOUT_VALUE, &[Value::Word("mark"), Value::Word("again")]).await.unwrap_err();
    assert_eq!(tx.commit().await.unwrap_err().kind(), Kind::Broken);
    assert_eq!(count(&store, MARKS).await, 0);

    let mut tx = writer.begin().await.unwrap();
    mark(&mut tx, "mark").await;
    tx.commit().await.unwrap();
    assert_eq!(count(&store, MARKS).await, 1);
}

pub(crate) async fn the_kinds_of_failure_are_the_same(backend: &Backend) {
    let (mut writer, _store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    mark(&mut tx, "mark").await;
    tx.commit().await.unwrap();
    let word = Value::Word;
    for (what, parameters, kind) in [
        ("unique", [word("mark"), word("again")], Kind::Exists),
        ("null", [word("mark-null"), Value::Null], Kind::Broken),
        ("type", [word("mark-type"), Value::Bytes(vec![255])], Kind::Broken),
    ] {
        let mut tx = writer.begin().await.unwrap();
        let error = tx.execute(PUT_WITHOUT_VALUE, &parameters).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error}");
    }
    let mut tx = writer.begin().await.unwrap();
    let error = keys::insert(&mut tx, id(1), "intake", 1, vec![1], at(0)).await;
    error.unwrap();
    let error = keys::insert(&mut tx, id(1), "intake", 1, vec![1], at(0)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Exists);

    // A row that names another that is not there.
    let orphan = Account {
        id: id(1),
        org_id: id(404),
        name: "orphan".to_owned(),
        broker: "paper".to_owned(),
        broker_account: "1".to_owned(),
        currency: "USD".to_owned(),
        state: Activity::Active,
        days: TradingDays::new(SessionStart::FUTURES.parse().unwrap(), LossReset::Session),
        instruments: [].into(),
        created_at: at(0),
    };
    let mut tx = writer.begin().await.unwrap();
    let error = directory::insert_account(&mut tx, &orphan).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Broken, "{error}");

    // A change that hits nothing is an error, but not one of the database.
    let mut tx = writer.begin().await.unwrap();
    let error = directory::update_account(&mut tx, id(404), "x", Activity::Active).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::Broken);
    assert!(error.to_string().contains("directory::update_account hit 0 rows"), "{error}");
}

pub(crate) async fn readers_see_only_what_is_committed(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    mark(&mut tx, "mark").await;
    for _ in 0..8 {
        assert_eq!(count(&store, MARKS).await, 0);
    }
    tx.commit().await.unwrap();
    // Each of the readers, whichever answers.
    for _ in 0..8 {
        assert_eq!(count(&store, MARKS).await, 1);
    }
}
