//! What travels, judged by other people's tools: scanners, clients, authorities.

#[cfg(test)]
#[path = "transport/acme.rs"]
mod acme;
#[cfg(test)]
#[path = "transport/clients.rs"]
mod clients;
#[cfg(test)]
#[path = "intake/door.rs"]
#[expect(dead_code, reason = "signals are the matter of their own tests")]
mod door;
#[cfg(test)]
#[path = "transport/internal.rs"]
mod internal;
#[cfg(test)]
#[path = "transport/pins.rs"]
mod pins;
#[cfg(test)]
#[path = "people/python.rs"]
mod python;
#[cfg(test)]
#[path = "transport/reload.rs"]
mod reload;
#[cfg(test)]
#[path = "transport/scanners.rs"]
mod scanners;
#[cfg(test)]
#[path = "transport/tools.rs"]
mod tools;
