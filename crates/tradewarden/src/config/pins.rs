//! What is published of the public certificate's keys.

use serde::Deserialize;

use crate::outcome::Failure;

/// More would be no pinning.
const BACKUPS_MAX: usize = 7;
/// The longest that they may be believed.
const DAYS_MAX: u16 = 366;

/// Whose keys, and for how long they may be believed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublicPins {
    /// The host name that they are for.
    pub(crate) host: String,
    /// Keys that no certificate has yet and that are kept elsewhere.
    pub(crate) backups: Vec<String>,
    /// How many days each signature may be believed.
    #[serde(default = "two_months")]
    pub(crate) days: u16,
}

fn two_months() -> u16 {
    60
}

impl PublicPins {
    /// What can be judged from the values alone.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let is_pin = |pin: &String| {
            tradewarden_seal::base64_decode(pin).is_ok_and(|bytes| bytes.len() == 32)
        };
        if !(1..=BACKUPS_MAX).contains(&self.backups.len()) || !self.backups.iter().all(is_pin) {
            return Err(Failure::no(format!(
                "backups under [pins] has 1 to {BACKUPS_MAX} pins, each the SHA-256 of a public key \
                 in base64: with no backup, a lost key locks everybody out who pins"
            )));
        }
        if !(1..=DAYS_MAX).contains(&self.days) {
            return Err(Failure::no(format!(
                "days under [pins] is {}; it must be between 1 and {DAYS_MAX}",
                self.days
            )));
        }
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if self.host.is_empty() || self.host.len() > 253 || !self.host.bytes().all(plain) {
            return Err(Failure::no(format!(
                "host under [pins] is {:?}; write a host name in lower case, without a port",
                self.host
            )));
        }
        Ok(())
    }
}
