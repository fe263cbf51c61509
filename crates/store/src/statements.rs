//! Every statement of this crate, so that a test can prepare each on both databases.

use crate::{
    acme_accounts, alerts, api_keys, audit, auto_rolls, challenges, changes, closes, dead_men,
    directory, equities, exposures, factors, findings, guarded, halt_progress, idempotency,
    invitations, key_usage, keys, leases, lockdowns, losses, marks, migrate, nonces, orders,
    outbox, overrides, pending, rates, recent, sealed, sessions, signals, source_keys, token_keys,
    users, webhook_secrets,
};

/// The text of every statement; an insert appears for one row and for several.
pub fn all() -> Vec<String> {
    let fixed = [
        acme_accounts::STATEMENTS,
        alerts::STATEMENTS,
        api_keys::STATEMENTS,
        audit::STATEMENTS,
        auto_rolls::STATEMENTS,
        challenges::STATEMENTS,
        changes::STATEMENTS,
        closes::STATEMENTS,
        dead_men::STATEMENTS,
        directory::STATEMENTS,
        directory::accounts::STATEMENTS,
        directory::edits::STATEMENTS,
        directory::halts::STATEMENTS,
        directory::past_days::STATEMENTS,
        directory::policies::STATEMENTS,
        directory::rolls::STATEMENTS,
        equities::STATEMENTS,
        exposures::STATEMENTS,
        factors::STATEMENTS,
        findings::STATEMENTS,
        guarded::STATEMENTS,
        halt_progress::STATEMENTS,
        idempotency::STATEMENTS,
        invitations::STATEMENTS,
        key_usage::STATEMENTS,
        keys::STATEMENTS,
        leases::STATEMENTS,
        lockdowns::STATEMENTS,
        losses::STATEMENTS,
        marks::STATEMENTS,
        migrate::STATEMENTS,
        nonces::STATEMENTS,
        orders::STATEMENTS,
        outbox::STATEMENTS,
        overrides::STATEMENTS,
        pending::STATEMENTS,
        rates::STATEMENTS,
        recent::STATEMENTS,
        sessions::STATEMENTS,
        signals::STATEMENTS,
        source_keys::STATEMENTS,
        token_keys::STATEMENTS,
        users::STATEMENTS,
        webhook_secrets::STATEMENTS,
    ];
    let inserts = [
        audit::INSERTS,
        changes::INSERTS,
        closes::INSERTS,
        directory::accounts::INSERTS,
        equities::INSERTS,
        exposures::INSERTS,
        halt_progress::INSERTS,
        key_usage::INSERTS,
        marks::INSERTS,
        nonces::INSERTS,
        orders::INSERTS,
        recent::INSERTS,
        signals::INSERTS,
    ];
    let mut texts: Vec<String> =
        fixed.iter().flat_map(|part| part.iter().map(|text| (*text).to_owned())).collect();
    texts.extend(sealed::statements().map(str::to_owned));
    for insert in inserts.iter().flat_map(|part| part.iter()) {
        texts.push(insert.text(1));
        texts.push(insert.text(3));
    }
    texts
}
