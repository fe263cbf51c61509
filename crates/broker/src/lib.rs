//! The broker port and the adapters behind it.
//!
//! The port ([`port::Broker`]) is what the engine knows of a broker: twelve calls, none with a
//! default body, each with a word for how the venue offers it. The adapters translate; they decide
//! nothing. [`paper`] is a broker of its own, with its own durable file.
//!
//! What this crate never does: retry a placement, mint a client order id, read our own database,
//! or offer any call that withdraws or transfers.
//!
//! Invariants
//! - An answer that was not heard is an outcome ([`port::Placement::Unknown`]), never an error and
//!   never a guess. `NotSent` is said only when no byte can have left.
//! - The cursor of fills is totally ordered and never passes a fill that was not handed out.
//! - No task is started here: whatever must run is a `run` method that the caller starts.

#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
pub mod paper;
pub mod port;
