//! Another node on the same database.

use super::Harness;
use std::time::Duration;
use tradewarden_store::{Writer, leases};

impl Harness {
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
