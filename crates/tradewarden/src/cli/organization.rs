//! `organization ...`

use clap::{Args, Subcommand};

/// `organization ...`
#[derive(Debug, Subcommand)]
pub(crate) enum OrganizationVerb {
    /// Make an organization with its owner
    ///
    /// Who has an account keeps it, and belongs to one organization more; for somebody new a token
    /// is printed, once, with which the owner sets a password within 24 hours.
    Create(OrganizationCreate),
    /// List organizations
    List,
    /// Give an organization another name
    Rename(OrganizationRename),
}

/// `organization create`
#[derive(Debug, Args)]
pub(crate) struct OrganizationCreate {
    /// What people call it; no other has the name
    #[arg(long, value_name = "N")]
    pub(crate) name: String,
    /// The owner's e-mail
    #[arg(long, value_name = "E")]
    pub(crate) owner: String,
}

/// `organization rename`
#[derive(Debug, Args)]
pub(crate) struct OrganizationRename {
    /// Its identifier, or its name until now
    #[arg(value_name = "ORG")]
    pub(crate) id: String,
    /// Its name from now on
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}
