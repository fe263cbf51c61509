//! Every column that holds sealed records, so that they can be sealed under another data key.
//!
//! A record says in its header which data key sealed it (`envelope.rs` of `seal`), so what is left
//! under a key is asked of the records themselves: there is no other note of it that could be wrong.
//! A new sealed column gets a line in [`ALL`]; a test of the engine fails until it has one.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::Value;
use tradewarden_seal::DataKeyId;

/// Records that [`Column::under`] reads at once.
pub const BATCH: usize = 128;

/// A column with sealed records.
#[derive(Debug)]
pub struct Column {
    /// Its table.
    pub table: &'static str,
    /// Its name.
    pub column: &'static str,
    /// The version of the format of what is sealed.
    pub schema_version: u32,
    /// What the data keys are for that seal it, by name.
    pub purpose: &'static str,
    is_named_by_text: bool,
    count: &'static str,
    under: &'static str,
    replace: &'static str,
}

/// A sealed record.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The primary key of its row.
    pub row: Vec<u8>,
    /// The record.
    pub sealed: Vec<u8>,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Record")
    }
}

/// Bytes 6 to 21 of a record name the data key.
macro_rules! column {
    ($table:literal, $column:literal, $schema:literal, $purpose:literal, $row:literal, $text:literal, $which:literal) => {
        Column {
            table: $table,
            column: $column,
            schema_version: $schema,
            purpose: $purpose,
            is_named_by_text: $text,
            count: concat!(
                "-- sealed::count\nSELECT COUNT(*) FROM ",
                $table,
                " WHERE substr(",
                $column,
                ", 6, 16) = $1",
                $which
            ),
            under: concat!(
                "-- sealed::under\nSELECT ",
                $row,
                ", ",
                $column,
                " FROM ",
                $table,
                " WHERE substr(",
                $column,
                ", 6, 16) = $1 AND ",
                $row,
                " > $2",
                $which,
                " ORDER BY ",
                $row,
                " LIMIT $3"
            ),
            replace: concat!(
                "-- sealed::replace\nUPDATE ",
                $table,
                " SET ",
                $column,
                " = $2 WHERE ",
                $row,
                " = $1 AND ",
                $column,
                " = $3"
            ),
        }
    };
}

/// Every one there is.
pub const ALL: &[Column] = &[
    column!("webhooks", "signing_secret", 2, "intake", "id", false, ""),
    column!("previous_secrets", "signing_secret", 2, "intake", "webhook_id", false, ""),
    // The material of other keys is public.
    column!("api_keys", "material", 1, "intake", "id", false, " AND algorithm = 'hmac-sha256'"),
    // That of a passkey is public.
    column!("factors", "material", 1, "people", "id", false, " AND kind IN ('totp', 'sms')"),
    column!("token_keys", "material", 1, "people", "id", true, ""),
    column!("outbox", "content", 1, "messages", "id", false, " AND state = 'waiting'"),
    column!("reset_requests", "content", 1, "messages", "id", false, ""),
    // Others hold nothing that is secret.
    column!("challenges", "content", 1, "people", "token_hash", false, " AND kind = 'sms'"),
    column!("ledger", "signing_key", 1, "ledger", "name", true, ""),
    column!("acme_accounts", "credentials", 1, "certificates", "directory", true, ""),
];

/// The statements of every column.
pub(crate) fn statements() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(|column| [column.count, column.under, column.replace])
}

/// Whether a statement puts a record sealed under another data key in the place of one: what it says
/// stays the same.
pub(crate) fn is_resealing(name: &str) -> bool {
    name == "sealed::replace"
}

impl Column {
    fn row(&self, bytes: &[u8]) -> Result<Value, Error> {
        if !self.is_named_by_text {
            return Ok(bytes.to_vec().into());
        }
        let text = std::str::from_utf8(bytes);
        Ok(text.map_err(|_| Error::unreadable("the name of a row is no text"))?.into())
    }

    /// At most [`BATCH`] records under this data key after the row named so, by their rows' names;
    /// after an empty name, the first ones.
    pub async fn under(
        &self,
        store: &Store,
        key: DataKeyId,
        after: &[u8],
    ) -> Result<Vec<Record>, Error> {
        let most = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let wanted = vec![named(key), self.row(after)?, most.into()];
        let rows = store.query(self.under, wanted).await?;
        rows.into_iter()
            .map(|mut row| {
                let name =
                    if self.is_named_by_text { row.text()?.into_bytes() } else { row.bytes()? };
                Ok(Record { row: name, sealed: row.bytes()? })
            })
            .collect()
    }

    /// Puts a record in the place of the one that was read; `false` if that is not there any more.
    pub async fn replace(
        &self,
        tx: &mut Tx<'_>,
        read: &Record,
        sealed: Vec<u8>,
    ) -> Result<bool, Error> {
        let values = [self.row(&read.row)?, sealed.into(), read.sealed.clone().into()];
        Ok(tx.execute(self.replace, &values).await? == 1)
    }
}

/// How many records are under a data key of this purpose.
pub async fn count(store: &Store, purpose: &str, key: DataKeyId) -> Result<u64, Error> {
    let mut sum = 0_u64;
    for column in ALL.iter().filter(|column| column.purpose == purpose) {
        let row = store.query_one(column.count, vec![named(key)]).await?;
        sum = sum.saturating_add(counted(row)?);
    }
    Ok(sum)
}

/// The same as this transaction sees it.
pub async fn count_in(tx: &mut Tx<'_>, purpose: &str, key: DataKeyId) -> Result<u64, Error> {
    let mut sum = 0_u64;
    for column in ALL.iter().filter(|column| column.purpose == purpose) {
        let row = tx.query(column.count, &[named(key)]).await?.into_iter().next();
        sum = sum.saturating_add(counted(row)?);
    }
    Ok(sum)
}

fn counted(row: Option<crate::value::Row>) -> Result<u64, Error> {
    let count = row.ok_or_else(|| Error::unreadable("nothing was counted"))?.int()?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn named(key: DataKeyId) -> Value {
    key.as_bytes().to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statements;

    /// Statements that put another record into a row that is there, each with why no older record opens
    /// in its place.
    const REPLACING: [(&str, &str); 8] = [
        ("sealed::replace", "says the same; the older one's data key is deleted"),
        ("webhook_secrets::replace", "held against the log (directory/signing.rs of the engine)"),
        ("webhook_secrets::keep", "the same"),
        ("directory::set_signing_secret", "the same"),
        ("outbox::end", "puts nothing in its place"),
        ("factors::use_credential", "of passkeys alone, whose material is public"),
        ("keys::forget_signing", "puts nothing in its place; the data key is erased"),
        ("keys::forget_previous", "the same"),
    ];

    /// A sealed record is written with its row and never again, or there is a reason why the one before
    /// does not come back.
    #[test]
    fn no_sealed_record_has_an_older_version_that_opens() {
        let mut found = Vec::new();
        for sql in statements::all() {
            let (name, text) = sql.split_once('\n').unwrap();
            let name = name.trim_start_matches("-- ");
            for column in ALL {
                let (verb, rest) = text.split_once(' ').unwrap();
                let table = match verb {
                    "UPDATE" => rest.split(' ').next().unwrap(),
                    "INSERT" if rest.contains("DO UPDATE") => rest.split(' ').nth(1).unwrap(),
                    _ => continue,
                };
                let (_, set) = text.split_once(" SET ").unwrap();
                let set = set.split(" WHERE ").next().unwrap();
                if table == column.table && set.contains(&format!("{} =", column.column)) {
                    found.push(name.to_owned());
                }
            }
        }
        found.sort();
        found.dedup();
        let revoking = "keys::revoke_shared".to_owned();
        assert!(
            found.contains(&revoking),
            "it empties the material of keys whose data key is erased"
        );
        found.retain(|name| *name != revoking);
        let mut known: Vec<_> = REPLACING.iter().map(|(name, _)| (*name).to_owned()).collect();
        known.sort();
        assert_eq!(found, known);
    }
}
