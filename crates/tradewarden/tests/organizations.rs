//! Two organizations in one gateway, from outside: made by the operator, apart from each other, and
//! people who belong to both.

#[cfg(test)]
#[path = "organizations/apart.rs"]
mod apart;
#[cfg(test)]
#[path = "organizations/commands.rs"]
mod commands;
#[cfg(test)]
#[path = "organizations/members.rs"]
mod members;
#[cfg(test)]
#[path = "people/someone.rs"]
mod someone;
#[cfg(test)]
#[path = "organizations/stage.rs"]
mod stage;
