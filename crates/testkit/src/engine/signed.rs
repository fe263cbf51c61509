//! Signals that a key signs.

use super::{Harness, Heard, heard};
use tradewarden_engine::actor::Actor;
use tradewarden_engine::command::CommandError;
use tradewarden_engine::intake::SignedSignal;

impl Harness {
    /// Sends a signal of the key behind this actor; says whether the answer was one from before.
    pub async fn send_signed(
        &self,
        signal: SignedSignal,
        actor: &Actor,
    ) -> Result<(Heard, bool), CommandError> {
        let Some(running) = &self.running else { return Ok((Heard::Silence, false)) };
        let (engine, actor) = (running.engine.clone(), actor.clone());
        let answer = self.drive(async move { engine.receive_signed(signal, &actor).await }).await;
        match answer {
            None => Ok((Heard::Silence, false)),
            Some(answer) => answer.map(|answer| (heard(answer.received), answer.replayed)),
        }
    }
}
