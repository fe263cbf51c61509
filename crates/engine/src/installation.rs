//! An installation: what it is told of its surroundings, why it does not open, and its own keys.

use crate::environment::Environment;
use crate::link::CallLimits;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::person::Profile;
use tradewarden_domain::tier::Tiers;
use tradewarden_seal::{DataKeyPlace, Fresh, Keyring, PasswordCost, Place, Purpose};

/// What the engine needs to know of its surroundings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address under which the gateway is reached, without a slash at the end.
    pub public_origin: String,
    /// The address under which senders are asked for a TLS client certificate, and where one that
    /// does not verify counts as none; `None` where nobody is asked. Without a slash at the end.
    pub hooks_origin: Option<String>,
    /// More such addresses that callers may sign for.
    pub further_origins: Vec<String>,
    /// What each tier allows on this node.
    pub tiers: Tiers,
    /// How much this node calls brokers.
    pub call_limits: CallLimits,
    /// With so many live orders an organization enters nothing more.
    pub live_orders_max: u64,
    /// The audit log's name in its checkpoints.
    pub log_origin: String,
    /// Where a copy of the newest checkpoint is kept, outside the database.
    pub checkpoint_file: Option<PathBuf>,
    /// Where halts are kept that the database did not take.
    pub halt_file: Option<PathBuf>,
    /// This node's name, the same after every restart.
    pub node: String,
    /// Where the console's pages are, without a slash at the end; its host is what passkeys are
    /// bound to.
    pub console_origin: String,
    /// How strict the rules for people are.
    pub profile: Profile,
    /// Whether a password needs letters in both cases, a digit and another character. NIST forbids
    /// such rules (SP 800-63B-4 section 3.1.1.2); some houses must have them.
    pub require_classes: bool,
    /// What a guess at a password costs.
    pub password_cost: PasswordCost,
    /// How long a data key seals before another takes its place by itself; `None` is without end.
    pub data_keys_last: Option<Duration>,
}

/// Why an engine does not open.
#[derive(Debug)]
pub struct OpenError(pub(crate) String);

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OpenError {}

impl From<tradewarden_store::Error> for OpenError {
    fn from(error: tradewarden_store::Error) -> Self {
        Self(error.to_string())
    }
}

/// The audit log's own keys belong to no organization.
pub(crate) const INSTALLATION: Id<id::Org> = Id::from_bytes([0; 16]);

pub(crate) const LEDGER_PLACE: Place<'static> = Place {
    tenant: &[0; 16],
    table: "ledger",
    column: "signing_key",
    row: b"main",
    schema_version: 1,
};

/// A new data key, wrapped: the first one.
pub(crate) async fn new_key(
    environment: &Environment,
    keyring: &Keyring,
    org: Id<id::Org>,
    purpose: Purpose,
) -> Result<tradewarden_seal::WrappedKey, OpenError> {
    let fresh = environment.with_randomness(Fresh::draw);
    let made = keyring.new_data_key(&first_key(&org.to_bytes(), purpose), fresh).await;
    made.map_err(|error| OpenError(error.to_string()))
}

/// The first data key of an organization for a purpose.
pub(crate) const fn first_key(organization: &[u8; 16], purpose: Purpose) -> DataKeyPlace<'_> {
    DataKeyPlace { organization, purpose, version: 1 }
}
