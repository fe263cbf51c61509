//! Key sources while the gateway runs: read again on SIGHUP, so that keys move without a restart.

use std::sync::Arc;

use tradewarden_engine::Engine;
use tradewarden_seal::{KeySource, KeySources, SystemRandomness};

use crate::config::{Config, SourceKind, Vault};
use crate::data::Data;
use crate::outcome::Failure;
use crate::signals;

/// Uses the key sources that the configuration's file names at each SIGHUP. What cannot be done is told to
/// people, and leaves the one in use that was. Ends only when it cannot hear.
pub(crate) async fn keep(config: &Config, data: &Data, engine: Engine) -> Result<(), Failure> {
    let mut asked = signals::reload()?;
    let mut opened = config.vault.clone();
    // Unknown after a move that failed: then the way back is a move as well.
    let mut in_use = Some(config.vault.clone());
    while asked.recv().await.is_some() {
        let moved = match config.with_key_sources_now() {
            Ok(now) if in_use.as_ref() == Some(&now.vault) => continue,
            Ok(now) => {
                in_use = None;
                moved(&now, data, &engine, &mut opened).await.map(|()| now.vault)
            }
            Err(failure) => Err(failure),
        };
        match moved {
            Ok(vault) => {
                tracing::info!(source = vault.source.word(), "the key sources were exchanged");
                in_use = Some(vault);
            }
            Err(failure) => {
                tracing::error!(%failure, "the key sources stay as they were");
                engine.not_moved(&failure.sentence).await;
            }
        }
    }
    Ok(())
}

/// Moves to what `now` says. `opened` is where each kind of source was found that was opened.
async fn moved(
    now: &Config,
    data: &Data,
    engine: &Engine,
    opened: &mut Vault,
) -> Result<(), Failure> {
    let vault = &now.vault;
    let current = source(now, vault.source, data, engine, opened)?;
    let previous =
        vault.previous.map(|kind| source(now, kind, data, engine, opened)).transpose()?;
    let others = previous.into_iter().collect();
    let wanted = KeySources { current, others, stay_open: vault.stay_open() };
    Ok(engine.move_keys(wanted).await?)
}

/// The source of this kind: the one that is open, else a new one.
fn source(
    now: &Config,
    kind: SourceKind,
    data: &Data,
    engine: &Engine,
    opened: &mut Vault,
) -> Result<Arc<dyn KeySource>, Failure> {
    let there = engine.key_sources();
    let Some(source) = there.all().find(|source| source.kind() == kind.word()) else {
        let source = data.further_source(now, kind, &mut SystemRandomness::new())?;
        opened.take(&now.vault, kind);
        return Ok(source);
    };
    if !opened.agrees(&now.vault, kind) {
        return Err(Failure::no(format!(
            "[vault.{kind}] says something else than the {kind} source that is in use: keys cannot be \
             moved between two sources of one kind; move them to the file first, or start again",
            kind = kind.word()
        )));
    }
    Ok(Arc::clone(source))
}
