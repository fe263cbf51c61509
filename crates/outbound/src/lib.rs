//! How we ask other machines: one request over HTTPS, with the other side's name checked, without
//! redirects and proxies, and with a bound on what is read.
//!
//! Never here: what a request or an answer means, secrets of ours, retries, a log.

mod https;
mod policy;
mod roots;

pub use bytes::Bytes;
pub use https::{Answered, Https, Unanswered};
pub use hyper::Method;
pub use hyper::header::{HeaderName, HeaderValue};
pub use policy::Outbound;
pub use roots::{Roots, RootsError};

/// Why nobody can be asked with these options; a sentence for who wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable(pub String);

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}
