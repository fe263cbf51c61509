//! Rates of exchange, the newest of each pair of currencies; the older ones are in the audit log.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::exchange::ExchangeRate;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::money::Price;

const PUT: &str = "-- rates::put\n\
    INSERT INTO rates (org_id, base, quote, rate, source, at, valid_until) \
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (org_id, base, quote) DO UPDATE SET \
    rate = excluded.rate, source = excluded.source, at = excluded.at, \
    valid_until = excluded.valid_until";
const OF_ORG: &str = "-- rates::of_org\n\
    SELECT org_id, base, quote, rate, source, at, valid_until FROM rates WHERE org_id = $1 \
    ORDER BY base, quote";

pub(crate) const STATEMENTS: &[&str] = &[PUT, OF_ORG];

/// Sets the rate of a pair.
pub async fn put(tx: &mut Tx<'_>, rate: &ExchangeRate) -> Result<(), Error> {
    let values = [
        rate.org_id.into(),
        rate.base.as_str().into(),
        rate.quote.as_str().into(),
        rate.rate.units().into(),
        rate.source.as_str().into(),
        rate.at.into(),
        rate.valid_until.into(),
    ];
    tx.execute_one(PUT, &values).await
}

/// An organization's rates, those included whose time is over.
pub async fn of_org(store: &Store, org: Id<id::Org>) -> Result<Vec<ExchangeRate>, Error> {
    let rows = store.query(OF_ORG, vec![Value::from(org)]).await?;
    rows.into_iter().map(decode).collect()
}

/// The same inside a transaction.
pub async fn of_org_in(tx: &mut Tx<'_>, org: Id<id::Org>) -> Result<Vec<ExchangeRate>, Error> {
    tx.query(OF_ORG, &[Value::from(org)]).await?.into_iter().map(decode).collect()
}

fn decode(mut row: Row) -> Result<ExchangeRate, Error> {
    Ok(ExchangeRate {
        org_id: row.id()?,
        base: row.text()?,
        quote: row.text()?,
        rate: Price::from_units(row.int()?),
        source: row.text()?,
        at: row.time()?,
        valid_until: row.time()?,
    })
}
