//! `kill -9` at any moment (C7, C8, C12, C14): the real program, the paper exchange as a process of
//! its own, on both databases. Nothing that was answered 202 is lost, nothing is sent twice, and
//! the log verifies.
//!
//! `TRADEWARDEN_KILL_ROUNDS=500` goes on for so many rounds, however long they take;
//! `TRADEWARDEN_KILL_SEED` repeats the choices of a run that failed, though not its timing. The
//! seed stands in the name of the directory that a failure keeps.

#[cfg(test)]
#[path = "kill/chance.rs"]
mod chance;
#[cfg(test)]
#[path = "kill/first.rs"]
mod first;
#[cfg(test)]
#[path = "kill/load.rs"]
mod load;
#[cfg(test)]
#[path = "kill/proof.rs"]
mod proof;
#[cfg(test)]
#[path = "kill/rounds.rs"]
mod rounds;
#[cfg(test)]
#[path = "kill/stage.rs"]
mod stage;
#[cfg(test)]
#[path = "kill/stop.rs"]
mod stop;
