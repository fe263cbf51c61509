//! The vault from outside: the keys that wrap keys are rotated, moved and taken away while a real
//! gateway runs, and rows are changed under it.

#[cfg(test)]
#[path = "vault/bao.rs"]
mod bao;
#[cfg(test)]
#[path = "vault/batches.rs"]
mod batches;
#[cfg(test)]
#[path = "vault/doctor.rs"]
mod doctor;
#[cfg(test)]
#[path = "vault/erase.rs"]
mod erase;
#[cfg(test)]
#[path = "vault/file.rs"]
mod file;
#[cfg(test)]
#[path = "vault/guarded.rs"]
mod guarded;
#[cfg(test)]
#[path = "vault/load.rs"]
mod load;
#[cfg(test)]
#[path = "vault/moving.rs"]
mod moving;
#[cfg(test)]
#[path = "vault/older.rs"]
mod older;
#[cfg(test)]
#[path = "vault/rows.rs"]
mod rows;
#[cfg(test)]
#[path = "vault/stage.rs"]
mod stage;
#[cfg(test)]
#[path = "vault/token.rs"]
mod token;
#[cfg(test)]
#[path = "vault/transit.rs"]
mod transit;
