//! Rows that people are let in by, as far as their codes hold. The others are as if they were not there, and
//! people are told of them; but who has a factor that somebody changed does not log in without one.

use crate::Shared;
use crate::command::error::{CommandError, away};
use crate::row_code::{self, Stranger};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::person::{ChallengeKind, User, email_key};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::challenges::{self, Challenge};
use tradewarden_store::factors::{self, FactorRow, RecoveryRow};
use tradewarden_store::invitations::Invitation;
use tradewarden_store::users::{self, UserRow};
use tradewarden_store::{Error, Tx};

/// What people are told of a factor that was put in or changed past the gateway.
pub(super) fn strange_factor(org: Id<id::Org>, row: &FactorRow, content: [u8; 32]) -> Stranger {
    let detail = "A second factor was put in or changed past the gateway: it proves nothing.";
    Stranger { content, org, subject: row.id.to_string(), detail }
}

/// What people are told of a person whose e-mail was changed past the gateway, or who was put in.
pub(super) fn strange_person(org: Id<id::Org>, user: &User, content: [u8; 32]) -> Stranger {
    let detail =
        "A person was put in, or their e-mail changed, past the gateway: nobody logs in by it.";
    Stranger { content, org, subject: user.id.to_string(), detail }
}

/// What people are told of an invitation that was put in or changed past the gateway.
pub(super) fn strange_invitation(row: &Invitation, content: [u8; 32]) -> Stranger {
    let detail = "An invitation was put in or changed past the gateway: nobody joins by it.";
    Stranger { content, org: row.org_id, subject: row.id.to_string(), detail }
}

impl Shared {
    /// Where people are told of what concerns a person.
    pub(super) fn told_in(&self, user: Id<id::User>) -> Id<id::Org> {
        self.people.principals.load().told_in(user)
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

    /// Adds a person, with the hash of a password if there is one.
    pub(super) async fn insert_user(
        &self,
        tx: &mut Tx<'_>,
        user: &User,
        email_key: &str,
        hash: Option<&str>,
    ) -> Result<(), Error> {
        let code = row_code::of_person(&self.row_sealer, user);
        let password =
            hash.map(|hash| (hash, row_code::of_password(&self.row_sealer, user.id, hash)));
        users::insert(tx, user, email_key, code, password).await
    }

    /// Gives a person another password.
    pub(super) async fn put_password(
        &self,
        tx: &mut Tx<'_>,
        user: Id<id::User>,
        hash: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let code = row_code::of_password(&self.row_sealer, user, hash);
        users::set_password(tx, user, (hash, code), now).await
    }

    /// Whether the person who was found by an e-mail is who the gateway wrote down.
    pub(super) fn is_whole_person(&self, row: &UserRow, key: &str) -> bool {
        let code = row_code::of_person(&self.row_sealer, &row.user);
        let is_whole = row.code == code && email_key(&row.user.email).as_deref() == Some(key);
        if !is_whole {
            self.strangers.note(strange_person(self.told_in(row.user.id), &row.user, code));
        }
        is_whole
    }

    /// The same, as an error where nothing can be done without knowing who it is.
    pub(super) fn must_be_whole(&self, row: &UserRow, key: &str) -> Result<(), Error> {
        if self.is_whole_person(row, key) {
            return Ok(());
        }
        Err(Error::unreadable(format!("person {}: changed past the gateway", row.user.id)))
    }

    /// The hash of a person's password, as far as the gateway wrote it.
    pub(super) fn whole_password<'r>(&self, row: &'r UserRow) -> Option<&'r str> {
        let hash = row.password_hash.as_deref()?;
        let content = row_code::of_password(&self.row_sealer, row.user.id, hash);
        if row.password_code == Some(content) {
            return Some(hash);
        }
        let detail = "A password was changed past the gateway: another has to be set.";
        let (org, subject) = (self.told_in(row.user.id), row.user.id.to_string());
        self.strangers.note(Stranger { content, org, subject, detail });
        None
    }

    /// Stores a challenge.
    pub(super) async fn put_challenge(
        &self,
        tx: &mut Tx<'_>,
        (token_hash, kind): ([u8; 32], ChallengeKind),
        user_id: Option<Id<id::User>>,
        content: &[u8],
        expires_at: Timestamp,
    ) -> Result<(), Error> {
        let content = content.to_vec();
        let code = [0; 32];
        let row = Challenge { token_hash, kind, user_id, content, attempts: 0, expires_at, code };
        let code = row_code::of_challenge(&self.row_sealer, &row);
        challenges::insert(tx, &Challenge { code, ..row }).await
    }

    /// Counts a try at a challenge; `None` if there is none that can be tried.
    pub(super) async fn try_challenge(
        &self,
        tx: &mut Tx<'_>,
        (token_hash, kind): ([u8; 32], ChallengeKind),
        attempts_max: u32,
        now: Timestamp,
    ) -> Result<Option<Challenge>, Error> {
        let found = challenges::attempt(tx, token_hash, kind, attempts_max, now).await?;
        Ok(found.filter(|row| self.is_whole_challenge(row)))
    }

    /// Whether a challenge is as the gateway wrote it.
    pub(super) fn is_whole_challenge(&self, row: &Challenge) -> bool {
        let content = row_code::of_challenge(&self.row_sealer, row);
        if row.code != content {
            let detail = "A link or code was put in or changed past the gateway: it opens nothing.";
            let org = row.user_id.map(|user| self.told_in(user));
            let org = org.unwrap_or_else(|| Id::from_bytes([0; 16]));
            let subject =
                row.user_id.map_or_else(|| row.kind.text().to_owned(), |user| user.to_string());
            self.strangers.note(Stranger { content, org, subject, detail });
        }
        row.code == content
    }

    /// Lets a challenge live until an instant, if it would end before.
    pub(super) async fn extend_challenge(
        &self,
        tx: &mut Tx<'_>,
        token_hash: [u8; 32],
        expires_at: Timestamp,
    ) -> Result<(), Error> {
        let found = challenges::find(tx, token_hash).await?;
        let Some(row) = found.filter(|row| self.is_whole_challenge(row)) else { return Ok(()) };
        let row = Challenge { expires_at, ..row };
        let code = row_code::of_challenge(&self.row_sealer, &row);
        challenges::extend(tx, &Challenge { code, ..row }).await
    }

    /// The same invitation with its code.
    pub(super) fn coded_invitation(&self, row: Invitation) -> Invitation {
        Invitation { code: row_code::of_invitation(&self.row_sealer, &row), ..row }
    }

    /// Whether an invitation is as the gateway wrote it.
    pub(super) fn is_whole_invitation(&self, row: &Invitation) -> bool {
        let code = row_code::of_invitation(&self.row_sealer, row);
        if row.code != code {
            self.strangers.note(strange_invitation(row, code));
        }
        row.code == code
    }
}
