//! Every statement of this crate, so that a test can prepare each on both databases.

use crate::{
    audit, challenges, directory, exposures, factors, findings, idempotency, keys, leases, migrate,
    orders, pending, sessions, signals, token_keys, users,
};

/// The text of every statement; an insert appears for one row and for several.
pub fn all() -> Vec<String> {
    let fixed = [
        audit::STATEMENTS,
        challenges::STATEMENTS,
        directory::STATEMENTS,
        exposures::STATEMENTS,
        factors::STATEMENTS,
        findings::STATEMENTS,
        idempotency::STATEMENTS,
        keys::STATEMENTS,
        leases::STATEMENTS,
        migrate::STATEMENTS,
        orders::STATEMENTS,
        pending::STATEMENTS,
        sessions::STATEMENTS,
        signals::STATEMENTS,
        token_keys::STATEMENTS,
        users::STATEMENTS,
    ];
    let inserts =
        [audit::INSERTS, directory::INSERTS, exposures::INSERTS, orders::INSERTS, signals::INSERTS];
    let mut texts: Vec<String> =
        fixed.iter().flat_map(|part| part.iter().map(|text| (*text).to_owned())).collect();
    for insert in inserts.iter().flat_map(|part| part.iter()) {
        texts.push(insert.text(1));
        texts.push(insert.text(3));
    }
    texts
}
