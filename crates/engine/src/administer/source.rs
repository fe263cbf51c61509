//! Whose signals a strategy follows: a webhook's or a key's.

use crate::actor::Actor;
use crate::command::error::{CommandError, invalid};
use crate::directory::Directory;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::permission::Permission;
use tradewarden_domain::source::Source;
use tradewarden_domain::strategy::Strategy;
use tradewarden_domain::time::Timestamp;

/// Whose signals a strategy is to follow, if that is said: a webhook or a key, never both.
pub(super) fn source(
    (webhook, key): (Option<&str>, Option<&str>),
) -> Result<Option<Source>, CommandError> {
    match (webhook, key) {
        (Some(_), Some(_)) => Err(invalid("key", &"goes in place of a webhook, not beside it")),
        (Some(text), None) => {
            let id = text.parse().map_err(|error| invalid("webhook", &error))?;
            Ok(Some(Source::Webhook(id)))
        }
        (None, Some(text)) => {
            let id = text.parse().map_err(|error| invalid("key", &error))?;
            Ok(Some(Source::Key(id)))
        }
        (None, None) => Ok(None),
    }
}

/// The source that a named key is, if it is of the organization, may send signals, and the actor may
/// know of what follows it. A webhook is one as it is.
pub(super) fn usable(
    directory: &Directory,
    source: Source,
    org: Id<id::Org>,
    actor: &Actor,
    now: Timestamp,
) -> Result<Source, CommandError> {
    let Source::Key(id) = source else { return Ok(source) };
    let known = directory.keys.get(&id).filter(|known| known.key.org_id == org);
    let key = &known.ok_or(CommandError::NotFound)?.key;
    let source = directory.source_of(key);
    if !directory.reaches(actor, source) {
        return Err(CommandError::NotFound);
    }
    if !key.is_alive(now) {
        return Err(invalid("key", &"is revoked or expired"));
    }
    if !key.scopes.has(Permission::SignalsWrite) {
        return Err(invalid("key", &"has not the scope signals:write"));
    }
    Ok(source)
}

/// Whether the key that a strategy follows may trade on its accounts what it trades.
pub(super) fn fits_source(directory: &Directory, strategy: &Strategy) -> Result<(), CommandError> {
    let known = strategy.source.key().and_then(|id| directory.keys.get(&id));
    let Some(key) = known.map(|known| &known.key) else { return Ok(()) };
    if let Some(account) = strategy.accounts().find(|account| !key.reaches(*account)) {
        return Err(invalid("key", &format!("may not name account {account}")));
    }
    if !key.trades(&strategy.symbol) {
        return Err(invalid("key", &format!("may not trade {}", strategy.symbol)));
    }
    Ok(())
}
