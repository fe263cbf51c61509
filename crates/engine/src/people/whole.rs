//! Rows that people are let in by, as far as their codes hold. The others are as if they were not there, and
//! people are told of them; but who has a factor that somebody changed does not log in without one.

use crate::Shared;
use crate::command::error::{CommandError, away};
use crate::row_code::{self, Stranger};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::factors::{self, FactorRow, RecoveryRow};
use tradewarden_store::{Error, Tx};

/// What people are told of a factor that was put in or changed past the gateway.
pub(super) fn strange_factor(org: Id<id::Org>, row: &FactorRow, content: [u8; 32]) -> Stranger {
    let detail =
        "A second factor was put in or changed past the gateway: nothing is taken as its proof.";
    Stranger { content, org, subject: row.id.to_string(), detail }
}

impl Shared {
    /// Where people are told of what concerns a person.
    pub(super) fn told_in(&self, user: Id<id::User>) -> Id<id::Org> {
        let principals = self.people.principals.load();
        let own = principals.orgs_of(user).next().map(|(org, _)| org);
        own.unwrap_or_else(|| Id::from_bytes([0; 16]))
    }

    /// The same factor with its code.
    pub(super) fn coded_factor(&self, row: FactorRow) -> FactorRow {
        FactorRow { code: row_code::of_factor(&self.row_sealer, &row), ..row }
    }

    /// Whether a factor is as the gateway wrote it.
    pub(super) fn is_whole_factor(&self, row: &FactorRow) -> bool {
        let code = row_code::of_factor(&self.row_sealer, row);
        if row.code != code {
            self.strangers.note(strange_factor(self.told_in(row.user_id), row, code));
        }
        row.code == code
    }

    /// The factors of a person.
    pub(super) async fn factors_of(
        &self,
        user: Id<id::User>,
    ) -> Result<Vec<FactorRow>, CommandError> {
        let mut rows = factors::of_user(&self.store, user).await.map_err(|error| away(&error))?;
        rows.retain(|row| self.is_whole_factor(row));
        Ok(rows)
    }

    /// The same inside a transaction.
    pub(super) async fn factors_in(
        &self,
        tx: &mut Tx<'_>,
        user: Id<id::User>,
    ) -> Result<Vec<FactorRow>, Error> {
        let mut rows = factors::of_user_in(tx, user).await?;
        rows.retain(|row| self.is_whole_factor(row));
        Ok(rows)
    }

    /// Confirms a factor; answers whether it was still to be confirmed.
    pub(super) async fn confirm_factor(
        &self,
        tx: &mut Tx<'_>,
        row: &FactorRow,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let confirmed = FactorRow { confirmed_at: Some(now), ..row.clone() };
        factors::confirm(tx, &self.coded_factor(confirmed)).await
    }

    /// Somebody's new recovery codes, of which these are the hashes.
    pub(super) fn coded_recovery(
        &self,
        user: Id<id::User>,
        hashes: &[Vec<u8>],
        now: Timestamp,
    ) -> Vec<RecoveryRow> {
        let row = |hash: &Vec<u8>| {
            let row = RecoveryRow { hash: hash.clone(), created_at: now, code: [0; 32] };
            RecoveryRow { code: row_code::of_recovery(&self.row_sealer, user, &row), ..row }
        };
        hashes.iter().map(row).collect()
    }

    /// Uses a recovery code up; answers whether it was there.
    pub(super) async fn use_recovery(
        &self,
        tx: &mut Tx<'_>,
        user: Id<id::User>,
        hash: &[u8],
    ) -> Result<bool, Error> {
        let Some(row) = factors::code(tx, user, hash).await? else { return Ok(false) };
        if !self.is_whole_recovery(user, &row) {
            return Ok(false);
        }
        factors::use_code(tx, user, hash).await
    }

    /// Whether a recovery code is as the gateway wrote it.
    pub(super) fn is_whole_recovery(&self, user: Id<id::User>, row: &RecoveryRow) -> bool {
        let content = row_code::of_recovery(&self.row_sealer, user, row);
        if row.code != content {
            let detail = "A recovery code was put in or changed past the gateway: it is not taken.";
            let (org, subject) = (self.told_in(user), user.to_string());
            self.strangers.note(Stranger { content, org, subject, detail });
        }
        row.code == content
    }
}
