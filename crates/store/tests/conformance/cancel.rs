//! A request may vanish at any await point.

use crate::backend::{Backend, count, id};
use crate::rows::signals;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use tradewarden_store::{Writer, migrate, signals as rows};

const WRITTEN: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM signals";
const ROWS: u64 = 65;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Working,
    Committing,
    Done,
}

/// Drops the future after so many polls; whether it came to its end.
async fn poll_at_most(polls: u32, future: impl Future<Output = ()>) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn write(writer: &mut Writer, start: u64, stage: &Cell<Stage>) {
    let mut tx = writer.begin().await.unwrap();
    // SQLite has no await points of its own.
    tokio::task::yield_now().await;
    for step in 0..4 {
        migrate::set_meta(&mut tx, &format!("step-{start}-{step}"), "set").await.unwrap();
        tokio::task::yield_now().await;
    }
    rows::insert(&mut tx, signals(start, ROWS)).await.unwrap();
    tokio::task::yield_now().await;
    let ids: Vec<_> = (start..start + ROWS).map(id).collect();
    assert!(rows::by_ids(&mut tx, &ids).await.unwrap().iter().all(Option::is_some));
    stage.set(Stage::Committing);
    tx.commit().await.unwrap();
    stage.set(Stage::Done);
}

pub(crate) async fn a_future_dropped_midway_leaves_all_or_nothing(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let (mut stages, mut start, mut before) = (Vec::new(), 1, 0);
    for polls in 0..200 {
        let stage = Cell::new(Stage::Working);
        let finished = poll_at_most(polls, write(&mut writer, start, &stage)).await;
        // The next one works, and what it does not see never happened.
        let mut tx = writer.begin().await.unwrap();
        migrate::set_meta(&mut tx, "next", &polls.to_string()).await.unwrap();
        tx.commit().await.unwrap();
        let written = count(&store, WRITTEN).await - before;
        let all = i64::try_from(ROWS).unwrap();
        match stage.get() {
            Stage::Working => assert_eq!(written, 0, "after {polls} polls"),
            Stage::Committing => assert!([0, all].contains(&written), "after {polls} polls"),
            Stage::Done => assert_eq!(written, all, "after {polls} polls"),
        }
        assert_eq!(finished, stage.get() == Stage::Done);
        stages.push(stage.get());
        before += written;
        start += ROWS;
        if finished && polls >= 20 {
            break;
        }
    }
    assert!(stages.len() > 20, "at least twenty places");
    let worked = stages.iter().filter(|stage| **stage == Stage::Working).count();
    assert!(worked >= 5, "{stages:?}");
    assert_eq!(stages.last(), Some(&Stage::Done), "{stages:?}");

    // In the commit: its outcome is not known, but it is one of two, and the next begins anew.
    for round in 0..5 {
        let mut tx = writer.begin().await.unwrap();
        migrate::set_meta(&mut tx, &format!("commit-{round}-1"), "set").await.unwrap();
        migrate::set_meta(&mut tx, &format!("commit-{round}-2"), "set").await.unwrap();
        let heard = poll_at_most(1, async { tx.commit().await.unwrap() }).await;
        let mut tx = writer.begin().await.unwrap();
        let mut written = 0;
        for part in 1..=2 {
            let name = format!("commit-{round}-{part}");
            written += migrate::meta(&mut tx, &name).await.unwrap().map_or(0, |_| 1);
        }
        assert!(written == 2 || (written == 0 && !heard), "{written} of 2, heard: {heard}");
    }
}
