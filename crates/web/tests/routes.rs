//! The site over a real engine with a real database, every route against every kind of caller.

#[cfg(test)]
#[path = "routes/api.rs"]
mod api;
#[cfg(test)]
#[path = "routes/callers.rs"]
mod callers;
#[cfg(test)]
#[path = "routes/changes.rs"]
mod changes;
#[cfg(test)]
#[path = "routes/harness.rs"]
mod harness;
#[cfg(test)]
#[path = "routes/signals.rs"]
mod signals;
#[cfg(test)]
#[path = "routes/signed.rs"]
mod signed;
