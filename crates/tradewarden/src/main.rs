//! Tradewarden, a security-first gateway for automated trading: the program.
//!
//! It reads the command line and the configuration, wires the rooms together, and runs them. It
//! decides nothing about a signal, an order or a limit.
//!
//! Invariants
//! - One process writes to a data directory at a time; the lock says which.
//! - The wall clock is read in `clock`, the environment in `config`, and nothing is printed outside
//!   `output`.
//! - Tasks are started and joined in `serve`, `gateway` and `paper`.
//! - A start that would be insecure does not happen; the sentence says what to do.

mod acme;
mod audit;
mod bench;
mod certificates;
mod cli;
mod clock;
mod commands;
mod config;
mod control;
mod core_dumps;
mod data;
mod db;
mod demo;
mod doctor;
mod files;
mod gateway;
mod halt;
mod internal_clients;
mod key_sources;
mod keys;
mod local_halt;
mod lockdown;
mod logs;
mod outcome;
mod output;
mod paper;
mod pins;
mod policy;
mod program;
mod replay;
#[cfg(test)]
mod scratch;
mod serve;
mod shell;
mod sign;
mod signals;
mod socket_place;
mod table;
mod upkeep;
mod vault;

use std::process::ExitCode;

fn main() -> ExitCode {
    program::run().into()
}
