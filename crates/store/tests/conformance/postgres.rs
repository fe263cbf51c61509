//! What only PostgreSQL can show: two writers at once, and connections that are lost.

use crate::backend::{Backend, abandon, at, count, id};
use crate::fake_server;
use crate::keys::{claim, key};
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;
use tradewarden_store::{
    Error, Kind, Location, Lock, Store, Tx, Writer, directory, leases, migrate, signals,
};

const MARKS: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM meta WHERE name LIKE 'mark%'";
const KILL_OTHERS: &str = "SELECT CAST(COUNT(pg_terminate_backend(pid)) AS BIGINT) \
    FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// Whether the future waits for something that does not come by itself.
async fn waits<T>(future: &mut Pin<&mut impl Future<Output = T>>) -> bool {
    tokio::time::timeout(Duration::from_millis(300), future.as_mut()).await.is_err()
}

/// Two nodes, one key: the second waits for the first, and sees what became of it.
#[tokio::test]
async fn two_nodes_never_claim_one_key() {
    let backend = Backend::postgres().await;
    let (mut first, _store) = backend.migrated().await;
    let mut second = backend.writer().await;
    for (key_number, first_commits) in [(1, true), (2, false)] {
        let mut tx = first.begin().await.unwrap();
        let free = signals::claim(&mut tx, &[claim(key_number, 10)]).await.unwrap();
        assert_eq!(free, [key(key_number)]);
        let mut other = pin!(async {
            let mut tx = second.begin().await.unwrap();
            let free = signals::claim(&mut tx, &[claim(key_number, 20)]).await.unwrap();
            let holders = signals::holders(&mut tx, &[key(key_number)]).await.unwrap();
            tx.commit().await.unwrap();
            (free, holders)
        });
        assert!(waits(&mut other).await, "the second does not know yet");
        if first_commits {
            tx.commit().await.unwrap();
            assert_eq!(other.await, (vec![], vec![claim(key_number, 10)]));
        } else {
            tx.rollback().await.unwrap();
            assert_eq!(other.await, (vec![key(key_number)], vec![claim(key_number, 20)]));
        }
    }
    backend.remove().await;
}

/// A halt waits for batches, batches do not wait for each other (C11, C13).
#[tokio::test]
async fn organization_and_account_rows_are_locked() {
    let backend = Backend::postgres().await;
    let (mut first, _store) = backend.migrated().await;
    let mut second = backend.writer().await;
    let mut tx = first.begin().await.unwrap();
    directory::insert_organization(&mut tx, id(1), "ours", at(0)).await.unwrap();
    directory::insert_account(&mut tx, &crate::directory::account()).await.unwrap();
    tx.commit().await.unwrap();

    for (held, wanted, blocks) in [
        (Lock::Share, Lock::Share, false),
        (Lock::Share, Lock::Update, true),
        (Lock::Update, Lock::Share, true),
        (Lock::Update, Lock::Update, true),
    ] {
        let mut tx = first.begin().await.unwrap();
        directory::lock_organizations(&mut tx, &[id(1)], held).await.unwrap();
        let mut other = pin!(async {
            let mut tx = second.begin().await.unwrap();
            directory::lock_organizations(&mut tx, &[id(1)], wanted).await.unwrap();
            tx.commit().await.unwrap();
        });
        assert_eq!(waits(&mut other).await, blocks, "{wanted:?} while {held:?}");
        tx.commit().await.unwrap();
        if blocks {
            other.await;
        }
    }
    let mut tx = first.begin().await.unwrap();
    directory::lock_accounts(&mut tx, &[id(10)]).await.unwrap();
    let mut other = pin!(async {
        let mut tx = second.begin().await.unwrap();
        directory::lock_accounts(&mut tx, &[id(10)]).await.unwrap();
    });
    assert!(waits(&mut other).await);
    tx.commit().await.unwrap();
    other.await;
    backend.remove().await;
}

#[tokio::test]
async fn two_nodes_never_hold_one_lease() {
    let backend = Backend::postgres().await;
    let (mut first, _store) = backend.migrated().await;
    let mut second = backend.writer().await;
    let mut tx = first.begin().await.unwrap();
    let lease = leases::acquire(&mut tx, "dispatch", "a", at(0), at(10)).await.unwrap();
    assert!(lease.is_some());
    let mut other = pin!(async {
        let mut tx = second.begin().await.unwrap();
        let lease = leases::acquire(&mut tx, "dispatch", "b", at(0), at(10)).await.unwrap();
        tx.commit().await.unwrap();
        lease
    });
    assert!(waits(&mut other).await);
    tx.commit().await.unwrap();
    assert_eq!(other.await, None);
    backend.remove().await;
}

/// Whoever stops waiting for a statement does not know what became of it, so it cannot be committed.
#[tokio::test]
async fn a_statement_that_was_not_heard_fails_the_commit() {
    let backend = Backend::postgres().await;
    let (mut first, store) = backend.migrated().await;
    let mut second = backend.writer().await;
    let mut in_the_way = first.begin().await.unwrap();
    mark(&mut in_the_way, "mark-1").await.unwrap();
    let mut tx = second.begin().await.unwrap();
    mark(&mut tx, "mark-2").await.unwrap();
    {
        let mut statement = pin!(mark(&mut tx, "mark-1"));
        assert!(waits(&mut statement).await);
    }
    in_the_way.rollback().await.unwrap();
    assert_eq!(tx.commit().await.unwrap_err().kind(), Kind::Broken);
    assert_eq!(count(&store, MARKS).await, 0);
    write_mark(&mut second, "mark-3").await.unwrap();
    assert_eq!(count(&store, MARKS).await, 1);
    drop((first, second));
    backend.remove().await;
}

async fn mark(tx: &mut Tx<'_>, name: &str) -> Result<(), Error> {
    migrate::set_meta(tx, name, "set").await
}

async fn kill_others(killer: &mut Writer) {
    let mut tx = killer.begin().await.unwrap();
    let killed = tx.query(KILL_OTHERS, &[]).await.unwrap().remove(0).int().unwrap();
    assert!(killed > 0);
    tx.commit().await.unwrap();
}

async fn write_mark(writer: &mut Writer, name: &str) -> Result<(), Error> {
    let mut tx = writer.begin().await?;
    mark(&mut tx, name).await?;
    tx.commit().await
}

/// What every caller does: again, when the connection is gone. Once must be enough.
async fn write_again(writer: &mut Writer, name: &str) {
    if let Err(error) = write_mark(writer, name).await {
        assert!(matches!(error.kind(), Kind::Gone | Kind::Busy), "{error}");
        write_mark(writer, name).await.unwrap();
    }
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let backend = Backend::postgres().await;
    let (mut writer, store) = backend.migrated().await;
    let mut killer = backend.writer().await;

    // Idle: found dead at the next begin, at once or after it was seen.
    for round in 0..3 {
        kill_others(&mut killer).await;
        if round == 1 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        write_again(&mut writer, &format!("mark-idle-{round}")).await;
    }

    // In the middle: what it did is gone.
    let mut tx = writer.begin().await.unwrap();
    mark(&mut tx, "mark-lost-1").await.unwrap();
    kill_others(&mut killer).await;
    let error = mark(&mut tx, "mark-lost-2").await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Gone | Kind::Busy), "{error}");
    abandon(tx);
    write_again(&mut writer, "mark-after").await;

    // Before the commit: an error, never a yes.
    let mut tx = writer.begin().await.unwrap();
    mark(&mut tx, "mark-lost-3").await.unwrap();
    kill_others(&mut killer).await;
    let error = tx.commit().await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Gone | Kind::Busy), "{error}");
    write_again(&mut writer, "mark-last").await;

    // Readers, all of which may be dead.
    kill_others(&mut killer).await;
    let mut answers = 0;
    for _ in 0..12 {
        match store.query_one(MARKS, Vec::new()).await {
            Ok(row) => {
                assert_eq!(row.unwrap().int().unwrap(), 5);
                answers += 1;
            }
            Err(error) => assert!(matches!(error.kind(), Kind::Gone | Kind::Busy), "{error}"),
        }
    }
    assert!(answers >= 8, "each reader fails at most once: {answers} of 12");
    assert_eq!(count(&store, MARKS).await, 5);
    drop((writer, killer));
    backend.remove().await;
}

/// Nothing hangs and nothing is taken for done where there is no server.
#[tokio::test]
async fn without_a_server_it_says_so() {
    let nobody = Location::Postgres("postgres://nobody@127.0.0.1:1/none".to_owned());
    assert_eq!(Writer::open(&nobody).await.err().unwrap().kind(), Kind::Gone);
    assert_eq!(Store::open(nobody).await.err().unwrap().kind(), Kind::Gone);
    let nonsense = Location::Postgres("postgres://user:hunter2@host:port/x".to_owned());
    let error = Writer::open(&nonsense).await.err().unwrap();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    // Without TLS, a password and every order would cross the network in the clear.
    for address in ["postgres://u@192.0.2.1/x", "postgres://u@localhost,db.example/x"] {
        let error = Writer::open(&Location::Postgres(address.to_owned())).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Broken, "{error}");
        assert!(error.to_string().contains("needs TLS"), "{error}");
    }
}

/// C16: a server that does not sync would lose what was acknowledged.
#[tokio::test]
async fn a_server_that_does_not_sync_is_refused() {
    for (setting, value, taken) in
        [("none", "off", true), ("fsync", "off", false), ("full_page_writes", "off", false)]
    {
        let url = fake_server::start(setting, value).await;
        let opened = Writer::open(&Location::Postgres(url)).await;
        assert_eq!(opened.is_ok(), taken, "{setting} = {value}");
        if let Err(error) = opened {
            assert_eq!(error.kind(), Kind::Broken);
            assert!(error.to_string().contains(&format!("{setting} = off")), "{error}");
        }
    }
}

/// A PostgreSQL database is not copied by us, and the answer says how it is.
#[tokio::test]
async fn a_backup_names_the_tool_for_it() {
    let backend = Backend::postgres().await;
    let (writer, store) = backend.migrated().await;
    let error = store.backup("copy".into()).await.unwrap_err();
    assert!(error.to_string().contains("pg_dump"), "{error}");
    drop((writer, store));
    backend.remove().await;
}
