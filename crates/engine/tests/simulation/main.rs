//! The engine under simulation: time, chance, disk and broker are in the test's hand.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod scenarios;
