//! What others hear of a transaction.

use crate::backend::{Backend, at, id};
use crate::directory::account;
use tradewarden_domain::account::Activity;
use tradewarden_domain::id::{Account, Id, Org};
use tradewarden_store::changes::{self, Change, FOLLOWED_MAX, News, Subject};
use tradewarden_store::{Store, Writer, directory};

async fn founded(backend: &Backend) -> (Writer, Store) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    directory::insert_organization(&mut tx, id(1), "ours", at(1)).await.unwrap();
    directory::insert_account(&mut tx, &account()).await.unwrap();
    tx.commit().await.unwrap();
    (writer, store)
}

fn rows(changes: &[(Subject, [u8; 16])], newest: i64) -> News {
    let changes = changes.iter().map(|(subject, id)| Change { subject: *subject, id: *id });
    News::Rows(changes.collect(), newest)
}

pub(crate) async fn they_are_heard_in_the_order_of_their_commits(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let (org, account): (Id<Org>, Id<Account>) = (id(1), id(10));
    let (org, account_id) = (org.to_bytes(), account.to_bytes());
    // The account and its instruments are one change.
    let founded = rows(&[(Subject::Organization, org), (Subject::Account, account_id)], 2);
    assert_eq!(changes::since(&store, 0).await.unwrap(), founded);
    assert_eq!(changes::newest(&store).await.unwrap(), 2);
    assert_eq!(changes::since(&store, 2).await.unwrap(), News::None);
    for _ in 0..2 {
        let mut tx = writer.begin().await.unwrap();
        directory::update_account(&mut tx, account, "main", Activity::Disabled).await.unwrap();
        tx.commit().await.unwrap();
    }
    let twice = rows(&[(Subject::Account, account_id)], 4);
    assert_eq!(changes::since(&store, 2).await.unwrap(), twice);
    assert_eq!(changes::since(&store, 4).await.unwrap(), News::None);
}

pub(crate) async fn what_is_undone_or_unheard_is_no_change(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let mut tx = writer.begin().await.unwrap();
    directory::update_account(&mut tx, id(10), "main", Activity::Disabled).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = writer.begin().await.unwrap();
    directory::update_account(&mut tx, id(10), "main", Activity::Disabled).await.unwrap();
    drop(tx);
    let mut tx = writer.begin().await.unwrap();
    directory::set_orders_minute(&mut tx, vec![(id(10), vec![1])]).await.unwrap();
    directory::set_fills_cursor(&mut tx, id(10), "cursor").await.unwrap();
    // Nobody is there to be changed.
    assert!(!directory::resume(&mut tx, id(404), "owner", at(2)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(changes::since(&store, 2).await.unwrap(), News::None);
}

pub(crate) async fn who_is_too_far_behind_reads_everything(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let mut tx = writer.begin().await.unwrap();
    changes::forget(&mut tx, 1).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(changes::since(&store, 0).await.unwrap(), News::Everything);
    let last: Id<Account> = id(10);
    let last = rows(&[(Subject::Account, last.to_bytes())], 2);
    assert_eq!(changes::since(&store, 1).await.unwrap(), last);
    let mut tx = writer.begin().await.unwrap();
    for number in 0..u64::try_from(FOLLOWED_MAX).unwrap() {
        let name = format!("one more {number}");
        directory::insert_organization(&mut tx, id(1_000 + number), &name, at(2)).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert!(matches!(changes::since(&store, 2).await.unwrap(), News::Rows(..)));
    assert_eq!(changes::since(&store, 1).await.unwrap(), News::Everything);
}
