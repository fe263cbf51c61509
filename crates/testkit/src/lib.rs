//! Test-only: a whole engine in a test, with time, chance, disk and broker in the test's hand.
//!
//! What it never is: part of a build that ships. Nothing here is random or late by itself: what
//! happens follows from a seed and from what the test asks for.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so at once"
)]

pub mod broker;
pub mod clock;
pub mod engine;
pub mod key_source;
pub mod life;
pub mod marks;
pub mod post;
pub mod postgres;
pub mod process;
pub mod provider;
pub mod randomness;
