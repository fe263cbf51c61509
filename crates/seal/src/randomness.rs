//! Where random bytes come from. Always a parameter, so that a test can say which bytes there will
//! be.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// A source of random bytes.
///
/// The gateway has one, [`SystemRandomness`]. Anything else is for tests and simulation: keys made
/// from it are worth nothing.
pub trait Randomness: Send {
    /// Fills `bytes` from first to last.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// The operating system's randomness through the AWS-LC generator.
#[derive(Debug, Default)]
pub struct SystemRandomness(SystemRandom);

impl SystemRandomness {
    /// The system's generator.
    pub fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl Randomness for SystemRandomness {
    /// Ends the process when the system has no randomness to give: every answer after that would be
    /// a guess an attacker can make too.
    fn fill(&mut self, bytes: &mut [u8]) {
        if self.0.fill(bytes).is_err() {
            std::process::abort();
        }
    }
}

/// `N` random bytes.
pub(crate) fn random_array<const N: usize>(randomness: &mut dyn Randomness) -> [u8; N] {
    let mut bytes = [0; N];
    randomness.fill(&mut bytes);
    bytes
}

#[cfg(test)]
pub(crate) mod testing {
    use super::Randomness;

    /// Counts up from a first byte, wrapping: what a frozen vector is made with.
    pub(crate) struct Counting(pub(crate) u8);

    impl Randomness for Counting {
        fn fill(&mut self, bytes: &mut [u8]) {
            for byte in bytes {
                *byte = self.0;
                self.0 = self.0.wrapping_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        let mut system = SystemRandomness::new();
        assert_ne!(random_array::<32>(&mut system), random_array::<32>(&mut system));
    }
}
