//! What is said about organizations.

use serde::{Deserialize, Serialize};

/// An organization to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrganizationCreate {
    /// What people call it, 1 to 64 characters; no other has the name.
    pub name: String,
    /// The owner's e-mail: of somebody who has an account, or of somebody new.
    pub owner: String,
}

/// Another name for an organization.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrganizationRename {
    /// Its identifier, or its name until now.
    pub id: String,
    /// Its name from now on.
    pub name: String,
}
