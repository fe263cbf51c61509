//! What is asked of the vault.

use serde::{Deserialize, Serialize};

/// A command about the keys under which secrets are stored: the operator's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum VaultCommand {
    /// Shows the key sources, and what they wrap.
    Status,
    /// Has the key source make a new version of its key.
    Rotate,
    /// Wraps data keys under the newest version.
    Rewrap(VaultRewrap),
}

/// Data keys are to be wrapped anew.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultRewrap {
    /// The kind of source that must be the current one; absent, whichever it is.
    #[serde(default)]
    pub to: Option<String>,
}
