//! Another node on the same database.

use super::Harness;
use crate::randomness::Seeded;
use std::time::Duration;
use tradewarden_engine::{Engine, Tasks};
use tradewarden_store::{Writer, leases};

impl Harness {
    /// A second gateway on the same database, which runs as long as this one does.
    ///
    /// # Panics
    ///
    /// When the gateway does not run, or the other one does not open.
    pub async fn second_node(&self) -> Engine {
        let mut parts = self.parts();
        "node-2".clone_into(&mut parts.settings.node);
        parts.settings.checkpoint_file = None;
        parts.randomness = Box::new(Seeded::new(!self.seed));
        let opened: Option<Result<(Engine, Tasks), _>> = self.drive(Engine::create(parts)).await;
        let (engine, tasks) = opened.expect("the gateway lives").expect("the other one opens");
        let running = self.running.as_ref().expect("the gateway runs");
        let _ends_with_the_first =
            running.local.spawn_local(tasks.run_local(std::future::pending()));
        engine
    }

    /// Another node takes the lead for so long, as it may while this one is paused past its lease:
    /// this one does not know yet, and goes on.
    ///
    /// # Panics
    ///
    /// When the gateway dies, the database does not answer, or the lease cannot be taken.
    pub async fn lose_the_lead(&self, span: Duration) {
        let now = self.now();
        let long_after = now.plus(Duration::from_mins(1));
        let taken = self.drive(async {
            let mut writer = Writer::open(&self.location()).await?;
            let mut tx = writer.begin().await?;
            let lease =
                leases::acquire(&mut tx, "leader", "node-2", long_after, now.plus(span)).await?;
            tx.commit().await?;
            Ok::<_, tradewarden_store::Error>(lease)
        });
        let taken = taken.await.expect("the gateway lives, and ends what it holds locked");
        assert!(taken.expect("the database answers").is_some());
    }
}
