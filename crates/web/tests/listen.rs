//! The listener over real sockets on loopback.

#[cfg(test)]
#[path = "listen/certificates.rs"]
mod certificates;
#[cfg(test)]
#[path = "listen/harness.rs"]
mod harness;
#[cfg(test)]
#[path = "listen/limits.rs"]
mod limits;
#[cfg(test)]
#[path = "listen/proxy.rs"]
mod proxy;
#[cfg(test)]
#[path = "listen/shutdown.rs"]
mod shutdown;
