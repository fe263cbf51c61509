//! Request signatures against implementations that others wrote.

#[cfg(test)]
#[path = "http_signature/interop.rs"]
mod interop;
