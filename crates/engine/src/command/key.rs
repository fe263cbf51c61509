//! What is asked for about API keys.

use serde::{Deserialize, Serialize};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::key::KeyAlgorithm;
use tradewarden_domain::money::Money;
use tradewarden_domain::permission::Permissions;
use tradewarden_domain::tier::Tier;

/// A key to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyCreate {
    /// What people call it, 1 to 64 characters.
    pub name: String,
    /// How it signs; `ed25519` if absent.
    #[serde(default)]
    pub algorithm: Option<KeyAlgorithm>,
    /// An Ed25519 public key: PEM, or its 32 bytes in base64. Without it the gateway makes the pair
    /// and answers the private key, once.
    #[serde(default)]
    pub public_key: Option<String>,
    /// What it may ask for; nothing that its maker may not.
    pub scopes: Permissions,
    /// The accounts it may name; none means all.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// The instruments it may trade; none means all.
    #[serde(default)]
    pub instruments: Vec<Symbol>,
    /// Addresses in CIDR form; none means any.
    #[serde(default)]
    pub allow: Vec<String>,
    /// How much it may ask for; `standard` if absent.
    #[serde(default)]
    pub tier: Option<Tier>,
    /// Largest value of one order.
    #[serde(default)]
    pub max_notional: Option<Money>,
    /// A label, up to 32 characters.
    #[serde(default)]
    pub environment: Option<String>,
    /// The strategy to which its orders belong.
    #[serde(default)]
    pub strategy_id: Option<String>,
    /// Days until it ends; 90 if absent, and at most that without addresses.
    #[serde(default)]
    pub expires_in_days: Option<u32>,
}

/// A key to be followed by another one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRotate {
    /// The key.
    pub id: String,
    /// How.
    pub rotation: KeyRotation,
}

/// How a key is followed by another one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRotation {
    /// Seconds for which both are taken, 0 to 604,800; 86,400 if absent.
    #[serde(default)]
    pub overlap_s: Option<u32>,
    /// The successor's Ed25519 public key, as in [`KeyCreate`].
    #[serde(default)]
    pub public_key: Option<String>,
}
