//! The account at the authority that issues certificates: its key is sealed under a data key of its own
//! purpose, which is open only while the account is read or kept.
//!
//! Crash story: the account, the data key and their entries are one transaction. An account that was made
//! at the authority and not kept is made again.

use crate::Engine;
use crate::book::Book;
use crate::command::error::{CommandError, away, unsealed};
use crate::installation::{INSTALLATION, first_key};
use crate::vault;
use serde_json::json;
use std::sync::Arc;
use tradewarden_seal::{DataKeySet, Fresh, Place, Purpose, SecretString, WrappedKey};
use tradewarden_store::{Tx, acme_accounts, keys};

impl Engine {
    /// The account at the authority with this directory, as it was given to
    /// [`keep_acme_account`](Self::keep_acme_account).
    pub async fn acme_account(
        &self,
        directory: &str,
    ) -> Result<Option<SecretString>, CommandError> {
        let sealed = acme_accounts::find(&self.parts.store, directory).await;
        let Some(sealed) = sealed.map_err(|error| away(&error))? else { return Ok(None) };
        let unreadable = || CommandError::Unavailable {
            detail: format!("the account at {directory} does not open"),
        };
        let keys = self.certificates_key().await?.ok_or_else(unreadable)?;
        let opened = keys.open(&place(directory), &sealed).map_err(|_| unreadable())?;
        let text = String::from_utf8(opened.expose().to_vec()).map_err(|_| unreadable())?;
        Ok(Some(SecretString::new(text)))
    }

    /// Keeps the account at the authority with this directory, sealed. One that is there stays.
    pub async fn keep_acme_account(
        &self,
        directory: &str,
        account: &SecretString,
    ) -> Result<(), CommandError> {
        let org = self.org_id().ok_or(CommandError::NotFound)?;
        let (keys, wrapped) = match self.certificates_key().await? {
            Some(keys) => (keys, None),
            None => self.new_certificates_key().await?,
        };
        let sealed = self.parts.environment.with_randomness(|random| {
            keys.seal(&place(directory), account.expose().as_bytes(), random)
        });
        let sealed = sealed.map_err(unsealed)?;
        let (shared, directory) = (Arc::clone(&self.parts), directory.to_owned());
        self.parts
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                let purpose = Purpose::Certificates.name();
                if let Some(wrapped) = &wrapped {
                    let bytes = wrapped.as_bytes().to_vec();
                    keys::insert(tx, INSTALLATION, purpose, 1, bytes, book.now).await?;
                    let payload = json!({ "purpose": purpose, "version": "1" });
                    book.enter(&shared, org, org, "vault.data_key.created", &payload);
                }
                if acme_accounts::insert(tx, &directory, sealed.clone(), book.now).await? {
                    let payload = json!({ "actor": "gateway", "directory": directory });
                    book.enter(&shared, org, org, "acme.account_kept", &payload);
                }
                Ok(())
            })
            .await
    }

    async fn certificates_key(&self) -> Result<Option<DataKeySet>, CommandError> {
        let (store, keyring) = (&self.parts.store, &self.parts.keyring);
        let purpose = Purpose::Certificates;
        let opened = vault::opened(store, keyring, INSTALLATION, purpose, self.now()).await;
        opened.map_err(|error| CommandError::Unavailable { detail: error.to_string() })
    }

    async fn new_certificates_key(&self) -> Result<(DataKeySet, Option<WrappedKey>), CommandError> {
        let failed =
            |error: &dyn std::fmt::Display| CommandError::Unavailable { detail: error.to_string() };
        let (tenant, purpose) = (INSTALLATION.to_bytes(), Purpose::Certificates);
        let fresh = self.parts.environment.with_randomness(Fresh::draw);
        let place = first_key(&tenant, purpose);
        let wrapped = self.parts.keyring.new_data_key(&place, fresh).await;
        let wrapped = wrapped.map_err(|error| failed(&error))?;
        let key = self.parts.keyring.open_data_key(&place, &wrapped).await;
        let key = Arc::new(key.map_err(|error| failed(&error))?);
        Ok((DataKeySet::new(key, Vec::new()), Some(wrapped)))
    }
}

fn place(directory: &str) -> Place<'_> {
    Place {
        tenant: &[0; 16],
        table: "acme_accounts",
        column: "credentials",
        row: directory.as_bytes(),
        schema_version: 1,
    }
}
