//! The engine under simulation: time, chance, disk and broker are in the test's hand.
//!
//! `scenarios` holds one rule each, by hand; `random` draws workloads from seeds; `crashes` kills
//! the process at every commit and call of one scenario; `postgres` runs some of it on PostgreSQL.
//! After every step of the last three, `witness` checks everything that must always hold.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test code"
)]

mod crashes;
mod postgres;
mod random;
mod scenarios;
mod witness;
