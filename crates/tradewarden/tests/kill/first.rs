//! The very first start makes keys, certificates and the database: killed anywhere in it, the next
//! start goes on from there.

use tradewarden_testkit::process::{Program, TestDir};

use crate::chance::Chance;

/// Data directories that are begun, and how often each is killed before it may live.
const INSTALLATIONS: usize = 12;
const KILLS: usize = 2;

#[tokio::test]
async fn a_kill_in_the_first_start_leaves_what_the_next_can_use() {
    let seed = Chance::new_seed();
    let mut chance = Chance::new(seed);
    for _ in 0..INSTALLATIONS {
        let dir = TestDir::new(&format!("kill-first-seed-{seed}"));
        let program = Program::new(env!("CARGO_BIN_EXE_tradewarden"), dir.data(), "");
        for _ in 0..KILLS {
            let args = ["serve", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"];
            let process = program.spawn(&args);
            // This waits for nothing: it is the random moment.
            tokio::time::sleep(chance.millis(1, 200)).await;
            process.kill9().await;
        }
        let ended = program.start().await.stop().await;
        assert_eq!(ended.code, Some(0), "{ended}");
        let verified = program.json(&["audit", "verify"]).await;
        assert_eq!(verified["ok"], true, "{verified}");
        assert_eq!(verified["unsealed"], 0, "{verified}");
    }
}
