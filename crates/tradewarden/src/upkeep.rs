//! Certificates while the gateway runs: read again, renewed, told about.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tradewarden_domain::time::Clock;
use tradewarden_engine::Engine;
use tradewarden_seal::SystemRandomness;

use crate::certificates::{Stamps, TlsFiles};
use crate::clock::SystemClock;
use crate::config::PublicPins;
use crate::outcome::Failure;
use crate::{pins, signals};

/// How often certificates are read without being told.
const LOOK: Duration = Duration::from_hours(6);
/// How often it is looked whether the owner's files were replaced: twice the same is whole.
const GLANCE: Duration = Duration::from_secs(5);

/// The owner's files as they were used, and as they were at the last look.
struct Glances {
    used: Stamps,
    seen: Stamps,
}

impl Glances {
    /// Whether they were replaced, and nobody writes at them any more: a certificate and its key come
    /// one after the other.
    fn are_new(&mut self, now: Stamps) -> bool {
        let is_whole = now == self.seen;
        self.seen = now;
        is_whole && self.seen != self.used
    }
}

/// Renews and reloads certificates, on SIGHUP, when `renewed` says so, when the owner's files were replaced and every few
/// hours, and tells what came of it: each new one is an entry, one that cannot be used or is about to
/// end a finding. Ends only when it cannot hear.
pub(crate) async fn keep(
    tls: TlsFiles,
    public_pins: Option<&PublicPins>,
    engine: Engine,
    renewed: Arc<Notify>,
) -> Result<(), Failure> {
    let mut asked = signals::reload()?;
    let mut beat = interval(LOOK);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat.reset();
    let mut glance = interval(GLANCE);
    glance.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut glances = Glances { used: tls.stamps(), seen: tls.stamps() };
    for made in tls.made() {
        told(engine.certificate_renewed(&made).await);
    }
    loop {
        for shown in tls.shown() {
            told(engine.watch_certificate(&shown).await);
        }
        if let Some(asked) = pins::configured(public_pins, &tls, SystemClock.now()) {
            told(engine.show_pins(&asked).await);
        }
        loop {
            tokio::select! {
                _ = asked.recv() => break tracing::info!("asked to reload the certificates"),
                () = renewed.notified() => break,
                _ = beat.tick() => break,
                _ = glance.tick() => {
                    if glances.are_new(tls.stamps()) {
                        break;
                    }
                }
            }
        }
        glances.used = tls.stamps();
        let (changed, failures) = tls.reload(SystemClock.now(), &mut SystemRandomness::new());
        tracing::info!(changed = changed.len(), "the certificates were read");
        for shown in changed {
            told(engine.certificate_renewed(&shown).await);
        }
        for failure in failures {
            tracing::error!(%failure, "the old certificate stays in use");
            told(engine.certificate_unusable(&failure.sentence).await);
        }
    }
}

/// The certificate is in use whether that could be recorded or not.
fn told(outcome: Result<(), impl std::fmt::Display>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "what a certificate is or has could not be recorded");
    }
}
