//! Findings: what a person should look at.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::Value;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;

const INSERT: &str = "-- findings::insert\n\
    INSERT INTO findings (id, org_id, at, code, severity, subject, detail) \
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const PAGE: &str = "-- findings::page\n\
    SELECT id, org_id, at, code, severity, subject, detail FROM findings \
    WHERE org_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
const SINCE: &str = "-- findings::was_found\n\
    SELECT id FROM findings \
    WHERE org_id = $1 AND id >= $2 AND code = $3 AND subject = $4 LIMIT 1";

pub(crate) const STATEMENTS: &[&str] = &[INSERT, PAGE, SINCE];

/// Something a person should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its identifier.
    pub id: Id<id::Finding>,
    /// The owner.
    pub org_id: Id<id::Org>,
    /// When.
    pub at: Timestamp,
    /// What, as a code.
    pub code: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// What it is about.
    pub subject: String,
    /// In words and numbers.
    pub detail: String,
}

/// Records a finding.
pub async fn insert(tx: &mut Tx<'_>, finding: &Finding) -> Result<(), Error> {
    tx.execute_one(
        INSERT,
        &[
            finding.id.into(),
            finding.org_id.into(),
            finding.at.into(),
            finding.code.as_str().into(),
            finding.severity.as_str().into(),
            finding.subject.as_str().into(),
            finding.detail.as_str().into(),
        ],
    )
    .await
}

/// Whether this was found about this subject since an instant.
pub async fn was_found(
    store: &Store,
    org: Id<id::Org>,
    since: Timestamp,
    code: &'static str,
    subject: &str,
) -> Result<bool, Error> {
    // Identifiers sort by time, and the index is by them.
    let first: Id<id::Finding> = Id::new(since, [0; 10]);
    let parameters = vec![org.into(), first.into(), Value::Word(code), subject.into()];
    Ok(store.query_one(SINCE, parameters).await?.is_some())
}

/// At most `count` findings of an organization, newest first, before the identifier.
pub async fn page(
    store: &Store,
    org: Id<id::Org>,
    before: Id<id::Finding>,
    count: u32,
) -> Result<Vec<Finding>, Error> {
    let rows = store.query(PAGE, vec![org.into(), before.into(), count.into()]).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Finding {
                id: row.id()?,
                org_id: row.id()?,
                at: row.time()?,
                code: row.text()?,
                severity: row.text()?,
                subject: row.text()?,
                detail: row.text()?,
            })
        })
        .collect()
}
