//! Which rows changed of what every node knows by heart, in the order of the commits.
//!
//! Nobody has to remember to write it: every statement passes through [`Tx`], which sees when one
//! writes a table below and puts the row's identifier into the log at the commit. Numbers are dense
//! and are given under the lock of one row that is held until the commit, so they are in the order
//! of the commits: who has read up to a number has missed nothing before it.

use crate::Error;
use crate::dialect::{Insert, Store, Tx, name_of};
use crate::sealed;
use crate::value::Value;
use std::collections::BTreeSet;

const NEWEST: &str = "-- changes::newest\nSELECT newest FROM change_head WHERE id = 1";
const NUMBER: &str = "-- changes::number\n\
    UPDATE change_head SET newest = newest + $1 WHERE id = 1 RETURNING newest";
const PUT: Insert = Insert {
    into: "-- changes::put\nINSERT INTO changes (number, subject, row_id)",
    columns: 3,
    tail: "",
};
const SINCE: &str = "-- changes::since\n\
    SELECT number, subject, row_id FROM changes WHERE number > $1 ORDER BY number LIMIT $2";
const FORGET: &str = "-- changes::forget\n\
    DELETE FROM changes WHERE number <= (SELECT newest FROM change_head WHERE id = 1) - $1";

pub(crate) const STATEMENTS: &[&str] = &[NEWEST, NUMBER, SINCE, FORGET];
pub(crate) const INSERTS: &[&Insert] = &[&PUT];

/// Changes that are kept: a node that is further behind reads everything.
pub const KEPT: i64 = 100_000;
/// Changes that are read one by one; of more everything is read anew.
pub const FOLLOWED_MAX: usize = 4_096;

/// Statements that write a watched table, and nothing of it that is known by heart.
const UNHEARD: [&str; 7] = [
    "directory::set_orders_minute",
    "directory::set_fills_cursor",
    "api_keys::set_last_use",
    "keys::rewrap",
    // Of what is erased everything is read anew.
    "keys::forget_signing",
    "keys::forget_previous",
    "keys::revoke_shared",
];

/// What is known by heart, by what the identifier of a change means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An organization.
    Organization,
    /// An account, with its instruments.
    Account,
    /// A webhook, with its replaced secrets.
    Webhook,
    /// A strategy.
    Strategy,
    /// The limits of an organization, which the identifier names.
    Limits,
    /// The roll table of an organization, which the identifier names.
    Rolls,
    /// A halt.
    Halt,
    /// An API key.
    Key,
    /// The data keys of an organization, which the identifier names; zeros name the installation.
    DataKeys,
    /// Data keys of an organization were erased, or its rows accepted: everything is read anew.
    Erased,
}

impl Subject {
    const ALL: [Self; 10] = [
        Self::Organization,
        Self::Account,
        Self::Webhook,
        Self::Strategy,
        Self::Limits,
        Self::Rolls,
        Self::Halt,
        Self::Key,
        Self::DataKeys,
        Self::Erased,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Account => "account",
            Self::Webhook => "webhook",
            Self::Strategy => "strategy",
            Self::Limits => "limits",
            Self::Rolls => "rolls",
            Self::Halt => "halt",
            Self::Key => "key",
            Self::DataKeys => "data_keys",
            Self::Erased => "erased",
        }
    }

    fn of_table(table: &str) -> Option<Self> {
        Some(match table {
            "organizations" => Self::Organization,
            "accounts" | "instruments" => Self::Account,
            "webhooks" | "previous_secrets" => Self::Webhook,
            "strategies" => Self::Strategy,
            "limits" => Self::Limits,
            "rolls" => Self::Rolls,
            "halts" => Self::Halt,
            "api_keys" => Self::Key,
            "data_keys" => Self::DataKeys,
            "erased_keys" => Self::Erased,
            _ => return None,
        })
    }
}

/// A row that was made, changed or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What it is.
    pub subject: Subject,
    /// Its identifier, as [`Subject`] says.
    pub id: [u8; 16],
}

/// What changed since a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Nothing.
    None,
    /// These rows; up to this number nothing else.
    Rows(BTreeSet<Change>, i64),
    /// More than is followed one by one, or more than is still known: read everything.
    Everything,
}

/// The number of the newest change.
pub async fn newest(store: &Store) -> Result<i64, Error> {
    let row = store.query_one(NEWEST, Vec::new()).await?;
    row.ok_or_else(|| Error::broken("the head of the changes is missing"))?.int()
}

/// What changed after this number. What is read of a row afterwards may be newer than its change;
/// then the next look hears of it again.
pub async fn since(store: &Store, seen: i64) -> Result<News, Error> {
    let most = i64::try_from(FOLLOWED_MAX).unwrap_or(i64::MAX);
    let rows = store.query(SINCE, vec![seen.into(), most.saturating_add(1).into()]).await?;
    if rows.len() > FOLLOWED_MAX {
        return Ok(News::Everything);
    }
    let (mut changes, mut last) = (BTreeSet::new(), seen);
    for mut row in rows {
        let (number, word) = (row.int()?, row.text()?);
        if number != last.saturating_add(1) {
            return Ok(News::Everything);
        }
        last = number;
        let subject = Subject::ALL.into_iter().find(|subject| subject.word() == word);
        let id = row.bytes()?.try_into().ok();
        let (Some(subject), Some(id)) = (subject, id) else {
            // A newer program may watch more than this one does.
            return Ok(News::Everything);
        };
        changes.insert(Change { subject, id });
    }
    Ok(if changes.is_empty() { News::None } else { News::Rows(changes, last) })
}

/// Forgets all but the newest `kept`.
pub async fn forget(tx: &mut Tx<'_>, kept: i64) -> Result<(), Error> {
    tx.execute(FORGET, &[kept.into()]).await.map(|_| ())
}

/// Puts changes into the log; the last thing of a transaction, so that the lock is the last one.
pub(crate) async fn put(tx: &mut Tx<'_>, changes: BTreeSet<Change>) -> Result<(), Error> {
    let count = i64::try_from(changes.len()).unwrap_or(i64::MAX);
    let head = tx.query(NUMBER, &[count.into()]).await?.into_iter().next();
    let newest = head.ok_or_else(|| Error::broken("the head of the changes is missing"))?.int()?;
    let first = newest.saturating_sub(count).saturating_add(1);
    let mut values = Vec::with_capacity(changes.len().saturating_mul(PUT.columns));
    for (number, change) in (first..).zip(changes) {
        values.extend([number.into(), Value::Word(change.subject.word()), Value::Id(change.id)]);
    }
    tx.insert(&PUT, &values).await.map(|_| ())
}

/// What of it a statement writes, if it writes any.
pub(crate) fn written(sql: &str) -> Option<Subject> {
    let (_, text) = sql.split_once('\n')?;
    let verbs = ["INSERT INTO ", "UPDATE ", "DELETE FROM "];
    let rest = verbs.into_iter().find_map(|verb| text.strip_prefix(verb))?;
    let subject = Subject::of_table(rest.split(' ').next()?)?;
    let name = name_of(sql);
    (!UNHEARD.contains(&name) && !sealed::is_resealing(name)).then_some(subject)
}

/// The change that a statement makes of these parameters: the first one names the row.
pub(crate) fn change(sql: &str, subject: Subject, first: Option<&Value>) -> Result<Change, Error> {
    match first {
        Some(Value::Id(id)) => Ok(Change { subject, id: *id }),
        _ => Err(Error::broken(format!("{}: its first value names no row", name_of(sql)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statements;

    /// The column that names the row, in the tables of [`Subject::of_table`].
    fn naming(table: &str) -> &'static str {
        match table {
            "instruments" => "account_id",
            "previous_secrets" => "webhook_id",
            "limits" | "rolls" | "data_keys" | "erased_keys" => "org_id",
            _ => "id",
        }
    }

    #[test]
    fn every_statement_that_is_heard_names_its_row_first() {
        let mut heard = BTreeSet::new();
        for sql in statements::all() {
            let Some(subject) = written(&sql) else { continue };
            heard.insert(subject);
            let text = sql.split_once('\n').unwrap().1;
            let words: Vec<&str> = text.split(' ').collect();
            let table = if words[0] == "UPDATE" { words[1] } else { words[2] };
            let column = naming(table);
            let names = match words[0] {
                "INSERT" => {
                    text.starts_with(&format!("INSERT INTO {table} ({column}, "))
                        && text.contains("VALUES ($1, ")
                }
                _ => text.contains(&format!(" WHERE {column} = $1")),
            };
            assert!(names, "the first value must be {column}: {sql}");
        }
        assert_eq!(heard.into_iter().collect::<Vec<_>>(), Subject::ALL);
    }

    #[test]
    fn what_is_not_heard_is_there() {
        let all = statements::all();
        for name in UNHEARD {
            assert!(all.iter().any(|sql| name_of(sql) == name), "{name}");
        }
        assert_eq!(written("a name\nSELECT id FROM api_keys WHERE id = $1"), None);
        assert_eq!(written("a name\nINSERT INTO api_keys_more (id)"), None);
        assert_eq!(written("a name\nDELETE FROM api_keys WHERE id = $1"), Some(Subject::Key));
    }
}
