//! The same for several at a time, and never more than a bound: one of which nothing is heard keeps its
//! own place, and holds up no other.

use std::future::Future;
use tokio::task::JoinSet;

/// Accounts or orders of one broker that are asked about together.
pub(crate) const ASKED_TOGETHER: usize = 64;

/// Does this for each, for at most so many at a time, and hands on each answer as it comes. What is under
/// way when this is dropped ends with it.
pub(crate) async fn each<T, A, F>(
    all: impl IntoIterator<Item = T>,
    together: usize,
    work: impl Fn(T) -> F,
    mut heard: impl FnMut(A),
) where
    A: Send + 'static,
    F: Future<Output = A> + Send + 'static,
{
    let mut under_way = JoinSet::new();
    let mut left = all.into_iter();
    loop {
        while under_way.len() < together
            && let Some(next) = left.next()
        {
            under_way.spawn(work(next));
        }
        match under_way.join_next().await {
            Some(Ok(answer)) => heard(answer),
            Some(Err(error)) => tracing::error!(%error, "one of several was lost"),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use tokio::time::timeout;

    /// Who never answers keeps one place; the others come through those that are left, and no more than
    /// are allowed are under way at a time.
    #[tokio::test(start_paused = true)]
    async fn a_silent_one_holds_up_no_other() {
        let under_way = Arc::new(AtomicUsize::new(0));
        let (mut heard, mut most) = (Vec::new(), 0);
        let work = |number: usize| {
            let under_way = Arc::clone(&under_way);
            async move {
                let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                if number == 0 {
                    pending::<()>().await;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
                under_way.fetch_sub(1, Ordering::SeqCst);
                (number, now)
            }
        };
        let all = each(0..7, 3, work, |(number, now)| {
            heard.push(number);
            most = most.max(now);
        });
        assert!(timeout(Duration::from_millis(31), all).await.is_err(), "one never answers");
        assert_eq!((heard, most), ((1..7).collect(), 3));
    }
}
