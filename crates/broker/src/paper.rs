//! The paper exchange: a broker of its own (C8), for the demo, for tests, and for anyone who wants
//! to watch a strategy trade before money is at stake.
//!
//! It shares nothing with the gateway's store. It has its own directory with its own journal, and
//! a task of its own owns both; the gateway reaches it through [`PaperLink`], inside the process or
//! over a Unix socket, so that in the kill tests it can outlive the gateway and count what it was
//! sent.
//!
//! ```text
//!   PaperBroker ── PaperLink ─┬─ PaperDesk (channel) ──────────────┐
//!   (the port)                └─ PaperSocket ~ socket ~ serve_socket ┴─> PaperTask
//!                                                                        exchange + journal
//! ```
//!
//! Invariants
//! - No answer leaves before what it says is on disk.
//! - The exchange changes only by [`record::Record`]s, and what a record does depends on nothing
//!   but the record and the state: after a crash the same records make the same state.
//! - A client order id makes at most one order on an account, for ever.
//! - Except for what somebody does by hand, a position is the sum of its fills.

mod admin;
mod book;
mod broker;
mod change;
mod claim;
mod crc;
mod fault;
mod file;
mod judge;
mod link;
mod matching;
mod message;
mod order;
mod position;
mod price;
mod query;
mod record;
mod serve;
mod snapshot;
mod socket;
mod state;
mod task;
mod wire;

pub use broker::PaperBroker;
pub use fault::{Chance, Fault, Injection, On};
pub use file::{Journal, PaperError};
pub use link::{Lost, PaperAdmin, PaperAdminError, PaperLink};
pub use message::{Command, PaperCounts, PriceSource, Reply};
pub use order::Rejection;
pub use price::{Listing, synthetic_price};
pub use query::PAGE_MAX;
pub use record::{NewOrder, NoOrder, Record};
pub use serve::{ServeLimits, bind_socket, serve_socket};
pub use snapshot::Snapshot;
pub use socket::{PaperSocket, PaperSocketDriver};
pub use state::{Applied, Inconsistent, PaperExchange, Twist};
pub use task::{PaperDesk, PaperSettings, PaperTask, PaperTicker};
