//! A stranger follows the first five minutes: starts the demo, reads what it prints, pastes it.

#[cfg(test)]
#[path = "demo/announcement.rs"]
mod announcement;
#[cfg(test)]
#[path = "demo/walk.rs"]
mod walk;
