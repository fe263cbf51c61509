//! HTTP, TLS and JSON of Tradewarden: the listener, the webhook intake and the API.
//!
//! It is the only crate that knows status codes, and the only one that writes JSON for others. It
//! turns requests into the engine's commands and signals, and what the engine says into answers.
//!
//! What it never does: decide about an order, a limit or a halt; read or write the database; talk
//! to a broker; put a query string, a header or a part of a path that a caller chose into a log.
//!
//! What always holds:
//! - There is one table of routes, [`route::routes`]. The router and the `OpenAPI` document are both
//!   made from it, and every row of it has a [`route::Access`], checked before its handler runs
//!   and before its body is read.
//! - Codes become status codes in one place, `problem`, and nowhere is an error answered but as a
//!   problem (RFC 9457). A 5xx says nothing but its code.
//! - Every answer, whichever way it came about, gets its security headers and its request
//!   identifier in one place, [`service::Site`].
//! - Whoever is not authenticated hears one answer. What does not exist and what is not for this
//!   caller are one answer too.
//! - An answer to a signal counts as delivered only when it was taken for writing.
//! - Everything read has a bound in size and in time.

mod api;
mod body;
mod budget;
mod condition;
mod hook;
pub mod listen;
mod metrics;
mod openapi;
mod page;
mod paging;
pub mod peer;
mod pins;
pub mod plain;
mod problem;
mod query;
pub mod route;
mod schema;
pub mod service;
mod session;
mod stream;
pub mod tls;
mod websocket;
