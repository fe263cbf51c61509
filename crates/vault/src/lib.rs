//! Where the key that wraps data keys can be kept besides a file: adapters of
//! [`tradewarden_seal::KeySource`].
//!
//! Never here: data keys, our database, orders, a secret in a log or an error.
//!
//! Invariants
//! - A source is handed 32 random bytes and gives them back wrapped; it never sees a data key.
//! - Every call ends within [`CALL_MAX`], whatever the other side does.
//! - What failed because the source is away is told apart from what it refuses: the first may work
//!   later, the second needs a person.

mod pkcs11;
mod transit;

pub use pkcs11::{Pkcs11, Pkcs11Options};
pub use tradewarden_outbound::{Outbound, Roots, Unusable};
pub use transit::{Transit, TransitAuth, TransitOptions};

use std::time::Duration;
use tradewarden_seal::SecretString;

/// How long one call of a source may take.
pub const CALL_MAX: Duration = Duration::from_secs(10);

/// Reads a secret anew each time it is needed, so that it can be replaced where it is kept. The error is a
/// sentence without the secret.
pub type SecretReader = Box<dyn Fn() -> Result<SecretString, String> + Send + Sync>;
