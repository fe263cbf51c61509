//! Signals of the system: stop (SIGTERM, SIGINT) and reload (SIGHUP).

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::outcome::Failure;

/// A future that is ready when the process is asked to stop. From this call on the signals do not
/// end the process by themselves.
pub(crate) fn stop() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Each SIGHUP from this call on.
pub(crate) fn reload() -> Result<Signal, Failure> {
    listen(SignalKind::hangup())
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind)
        .map_err(|cause| Failure::unavailable(format!("cannot listen for signals: {cause}")))
}
