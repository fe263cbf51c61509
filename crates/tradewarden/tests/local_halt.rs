//! C11: the kill switch works when the database does not, with the real program.

#[cfg(test)]
#[path = "local_halt/stage.rs"]
mod stage;
#[cfg(test)]
#[path = "local_halt/switch.rs"]
mod switch;
