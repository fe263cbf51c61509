//! The audit log as somebody sees it who does not trust us: verified over HTTPS by an independent
//! program, tampered with, exported, backed up.

#[cfg(test)]
#[path = "audit/copies.rs"]
mod copies;
#[cfg(test)]
#[path = "intake/door.rs"]
mod door;
#[cfg(test)]
#[path = "audit/log.rs"]
mod log;
#[cfg(test)]
#[path = "audit/restore.rs"]
mod restore;
#[cfg(test)]
#[path = "audit/stranger.rs"]
mod stranger;
#[cfg(test)]
#[path = "audit/trading.rs"]
mod trading;
