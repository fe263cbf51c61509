//! Codes of single rows that let something be done once: what waits for a second person, and what one
//! order may pass. Nobody else can make them, so a row that was put in or changed past the gateway lets
//! nothing be done. Rows that live longer are held against the audit log: see `seals`.

use tradewarden_domain::overrides::Override;
use tradewarden_seal::{Digest, RowSealer};
use tradewarden_store::overrides::OverrideRow;
use tradewarden_store::pending::PendingRow;

/// The code of an action that waits.
pub(crate) fn of_pending(sealer: &RowSealer, row: &PendingRow) -> [u8; 32] {
    let times = [row.requested_at, row.expires_at].map(|at| at.unix_micros().to_be_bytes());
    bytes(sealer.code(&[
        b"pending",
        &row.id.to_bytes(),
        &row.org_id.to_bytes(),
        row.command.as_bytes(),
        row.summary.as_bytes(),
        &row.requested_by.to_bytes(),
        &times[0],
        &times[1],
    ]))
}

/// The code of an override that waits for its second person.
pub(crate) fn of_request(sealer: &RowSealer, row: &OverrideRow) -> [u8; 32] {
    bytes(sealer.code(&[
        b"override requested",
        &of_override(sealer, &row.terms),
        &row.valid_s.to_be_bytes(),
        row.requested_by.as_bytes(),
        &row.requested_at.unix_micros().to_be_bytes(),
    ]))
}

/// The code of an override that an order may use.
pub(crate) fn of_override(sealer: &RowSealer, terms: &Override) -> [u8; 32] {
    bytes(sealer.code(&[
        b"override",
        &terms.id.to_bytes(),
        &terms.org_id.to_bytes(),
        &terms.account_id.to_bytes(),
        terms.symbol.as_str().as_bytes(),
        terms.side.text().as_bytes(),
        &terms.quantity.units().to_be_bytes(),
        terms.limit.text().as_bytes(),
        &terms.expires_at.unix_micros().to_be_bytes(),
    ]))
}

/// Those of the overrides that were confirmed as they stand there.
pub(crate) fn usable(sealer: &RowSealer, rows: Vec<(Override, [u8; 32])>) -> Vec<Override> {
    let whole = rows.into_iter().filter(|(terms, code)| {
        let is_whole = *code == of_override(sealer, terms);
        if !is_whole {
            tracing::error!(override.id = %terms.id, "an override was changed past the gateway");
        }
        is_whole
    });
    whole.map(|(terms, _)| terms).collect()
}

const fn bytes(code: Digest) -> [u8; 32] {
    *code.as_bytes()
}
