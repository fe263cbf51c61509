//! Certificates while the gateway runs: read again, renewed, told about.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tradewarden_domain::time::Clock;
use tradewarden_engine::Engine;
use tradewarden_seal::SystemRandomness;

use crate::certificates::TlsFiles;
use crate::clock::SystemClock;
use crate::config::PublicPins;
use crate::outcome::Failure;
use crate::{pins, signals};

/// How often certificate files are looked at without being told.
const LOOK: Duration = Duration::from_hours(6);

/// Renews and reloads certificates, on SIGHUP, when `renewed` says so and every few hours, and tells what came of it: each new
/// one is an entry, one that cannot be used or is about to end a finding. Ends only when it cannot hear.
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
        tokio::select! {
            _ = asked.recv() => tracing::info!("asked to reload the certificates"),
            () = renewed.notified() => {}
            _ = beat.tick() => {}
        }
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
