//! What is asked of the vault.

use serde::{Deserialize, Serialize};
use tradewarden_domain::time::Timestamp;

/// A command about the keys under which secrets are stored: the operator's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum VaultCommand {
    /// Shows the key sources, and what they wrap.
    Status,
    /// Has the key source make a new version of its key.
    Rotate,
    /// Has new data keys take the place of old ones, some at a time.
    RotateDataKeys(VaultDataKeys),
    /// Erases data keys of an organization, so that what they sealed never opens again.
    Erase(VaultErase),
    /// Seals some of what replaced data keys sealed under the new ones.
    Reseal,
    /// Wraps data keys under the newest version.
    Rewrap(VaultRewrap),
    /// Accepts guarded rows as the database holds them.
    AcceptRows(AcceptRows),
}

/// Rows that are not what the audit log says are to be what it says from now on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptRows {
    /// The phrase that is answered without one, with what it accepts.
    #[serde(default)]
    pub phrase: Option<String>,
}

/// Data keys are to be replaced.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultDataKeys {
    /// The organization whose keys they are; absent, every one, and the installation.
    #[serde(default)]
    pub org: Option<String>,
    /// What they are for; absent, everything but the pepper.
    #[serde(default)]
    pub purpose: Option<String>,
    /// Those made before this instant, which the first answer gives; absent, before now.
    #[serde(default)]
    pub before: Option<Timestamp>,
}

/// Data keys are to be erased.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultErase {
    /// The organization.
    pub org: String,
    /// What they are for; absent, all that are the organization's own.
    #[serde(default)]
    pub purpose: Option<String>,
    /// The phrase that is answered without one.
    #[serde(default)]
    pub phrase: Option<String>,
}

/// Data keys are to be wrapped anew.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultRewrap {
    /// The kind of source that must be the current one; absent, whichever it is.
    #[serde(default)]
    pub to: Option<String>,
}
