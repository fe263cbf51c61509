//! People, their roles and the policies about them.

use crate::people::Entered;
use serde::{Deserialize, Serialize};
use tradewarden_domain::account::Activity;
use tradewarden_domain::permission::Permissions;

/// A person to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserCreate {
    /// The e-mail; it is what the person logs in with.
    pub email: String,
    /// A built-in role, or one of the organization's own.
    pub role: String,
    /// The password; absent makes an invitation with which the person sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Entered>,
    /// Whether a secret for time-based codes is made and shown: on the command line only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub totp: bool,
}

/// What changes about a person.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// The person's identifier; the path names it.
    #[serde(default)]
    pub id: String,
    /// Another role.
    #[serde(default)]
    pub role: Option<String>,
    /// Whether the person may log in.
    #[serde(default)]
    pub state: Option<Activity>,
}

/// A role to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleCreate {
    /// What it is called: 1 to 32 of a-z, 0-9 and `_`.
    pub name: String,
    /// What it may do.
    pub permissions: Permissions,
}

/// A policy about people.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySet {
    /// `four_eyes.halt_resume`, `four_eyes.limit_override`, `four_eyes.admin_grant`,
    /// `require_factor` or `require_factor.ROLE`.
    pub name: String,
    /// `on` or `off`; for the last two, `always` or `changes`.
    pub value: String,
}
