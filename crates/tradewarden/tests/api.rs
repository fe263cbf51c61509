//! The API over HTTPS with the real program: every route, every kind of caller, every header.

#[cfg(test)]
#[path = "api/accesses.rs"]
mod accesses;
#[cfg(test)]
#[path = "api/callers.rs"]
mod callers;
#[cfg(test)]
#[path = "api/changes.rs"]
mod changes;
#[cfg(test)]
#[path = "api/contract.rs"]
mod contract;
#[cfg(test)]
#[path = "intake/door.rs"]
mod door;
#[cfg(test)]
#[path = "api/headers.rs"]
mod headers;
#[cfg(test)]
#[path = "api/internal.rs"]
mod internal;
#[cfg(test)]
#[path = "api/orders.rs"]
mod orders;
#[cfg(test)]
#[path = "api/owner.rs"]
mod owner;
#[cfg(test)]
#[path = "api/pages.rs"]
mod pages;
#[cfg(test)]
#[path = "api/policies.rs"]
mod policies;
#[cfg(test)]
#[path = "api/profit.rs"]
mod profit;
#[cfg(test)]
#[path = "people/python.rs"]
mod python;
#[cfg(test)]
#[path = "api/safety.rs"]
mod safety;
#[cfg(test)]
#[path = "api/stream.rs"]
mod stream;
