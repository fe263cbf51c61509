//! API keys from outside: the command line, signers that others wrote, the guide's own examples, and
//! a gateway that is killed in between.

#[cfg(test)]
#[path = "keys/guide.rs"]
mod guide;
#[cfg(test)]
#[path = "keys/peers.rs"]
mod peers;
#[cfg(test)]
#[path = "keys/program.rs"]
mod program;
#[cfg(test)]
#[path = "keys/reach.rs"]
mod reach;
#[cfg(test)]
#[path = "keys/restart.rs"]
mod restart;
#[cfg(test)]
#[path = "keys/signals.rs"]
mod signals;
#[cfg(test)]
#[path = "keys/stage.rs"]
mod stage;
#[cfg(test)]
#[path = "keys/websocket.rs"]
mod websocket;
