//! The rounds: start, load, kill, again; then one start more, and everything must be in order.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tradewarden_testkit::postgres::TestDatabase;
use tradewarden_testkit::process::TestDir;

use crate::chance::Chance;
use crate::load::{self, Diary};
use crate::proof;
use crate::stage::{Stage, until_nothing_lives};

/// No sender goes on longer after the gateway is gone.
const SENDERS_END: Duration = Duration::from_secs(30);

/// In which of its lives the gateway is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// While it starts: it may not even serve yet.
    Starting,
    /// Under load, while what the kill before left unknown is still being asked for.
    Recovering,
    /// Under load, while orders go out freely.
    Dispatching,
}

impl Moment {
    const ORDER: [Self; 5] =
        [Self::Dispatching, Self::Recovering, Self::Dispatching, Self::Starting, Self::Recovering];
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_on_sqlite() {
    kill_again_and_again("sqlite", "sqlite", 20, Duration::from_mins(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_on_postgresql() {
    let database = TestDatabase::create().await;
    kill_again_and_again("postgresql", database.url(), 20, Duration::from_secs(45)).await;
    database.drop_database().await;
}

/// So many rounds, or fewer when the time is over; who asks for a number gets it.
#[expect(clippy::print_stdout, reason = "how much was played belongs to the result")]
async fn kill_again_and_again(name: &str, database: &str, rounds: usize, span: Duration) {
    let wanted: Option<usize> = from_environment("TRADEWARDEN_KILL_ROUNDS");
    let seed = from_environment("TRADEWARDEN_KILL_SEED").unwrap_or_else(Chance::new_seed);
    let mut chance = Chance::new(seed);
    let dir = TestDir::new(&format!("kill-{name}-seed-{seed}"));
    let stage = Stage::set_up(dir, database).await;
    let diary = Arc::new(Diary::default());
    let begun = Instant::now();
    let rounds = wanted.unwrap_or(rounds);
    let mut played = 0;
    while played < rounds && (wanted.is_some() || begun.elapsed() < span) {
        let moment = Moment::ORDER[played % Moment::ORDER.len()];
        round(&stage, &diary, &format!("r{played}"), moment, &mut chance).await;
        played += 1;
    }
    println!("{name}: {played} rounds in {:?}", begun.elapsed());
    assert!(played >= Moment::ORDER.len(), "{played} rounds are not enough to say anything");
    proof::everything_is_in_order(&stage, &diary).await;
    println!("{name}: proven after {:?}", begun.elapsed());
}

async fn round(stage: &Stage, diary: &Arc<Diary>, name: &str, moment: Moment, chance: &mut Chance) {
    // These sleeps wait for nothing: they are the random moment.
    if moment == Moment::Starting {
        let args = ["serve", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"];
        let process = stage.program.spawn(&args);
        tokio::time::sleep(chance.millis(1, 300)).await;
        return process.kill9().await;
    }
    let gateway = stage.program.start().await;
    load::look_at_log(&gateway, diary).await;
    if moment == Moment::Dispatching {
        load::send_again(&gateway, &stage.doors, diary).await.unwrap();
        until_nothing_lives(&stage.program).await;
    }
    let mut running = load::begin(&gateway, &stage.doors, diary, name, chance);
    tokio::time::sleep(chance.millis(5, 400)).await;
    gateway.kill9().await;
    let all_end = async {
        while let Some(ended) = running.join_next().await {
            ended.unwrap();
        }
    };
    timeout(SENDERS_END, all_end).await.expect("senders end with the gateway");
}

#[expect(clippy::disallowed_methods, reason = "the person who runs the test chooses")]
fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    let Ok(value) = text.parse() else { panic!("{name}={text} is not a number") };
    Some(value)
}
