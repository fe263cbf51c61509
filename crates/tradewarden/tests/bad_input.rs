//! Everything a careless or hostile sender can do: each gets a clear answer within bounds, no order
//! comes of it, nothing leaks, and the next request works.

#[cfg(test)]
#[path = "bad_input/bodies.rs"]
mod bodies;
#[cfg(test)]
#[path = "intake/door.rs"]
mod door;
#[cfg(test)]
#[path = "bad_input/http.rs"]
mod http;
#[cfg(test)]
#[path = "bad_input/http2.rs"]
mod http2;
#[cfg(test)]
#[path = "bad_input/leaks.rs"]
mod leaks;
#[cfg(test)]
#[path = "bad_input/slow.rs"]
mod slow;
#[cfg(test)]
#[path = "bad_input/tls.rs"]
mod tls;
#[cfg(test)]
#[path = "bad_input/wire.rs"]
mod wire;
