//! Nouns and rules of Tradewarden.
//!
//! Everything here is pure: a rule is a function from values to a value. Nothing in this crate
//! knows a clock, a random source, a database, a socket, or a status code.
//!
//! Invariants
//! - A value that exists is valid: constructors parse, fields with an invariant are private.
//! - Money, prices and quantities are fixed point with checked operations; there is no float.
//! - A business "no" is a [`code::Code`]; it is never an error.
#![deny(clippy::float_arithmetic, clippy::arithmetic_side_effects)]

pub mod account;
pub mod admit;
pub mod alert;
pub mod bracket;
pub mod calendar;
pub mod card_number;
pub mod certificate;
pub mod check;
pub mod code;
pub mod day;
pub mod exchange;
pub mod exposure;
pub mod few;
pub mod halt;
pub mod id;
pub mod instrument;
pub mod json;
pub mod key;
pub mod limit;
pub mod lockdown;
pub mod lockout;
pub mod loss;
pub mod message;
pub mod money;
pub mod order;
pub mod overrides;
pub mod permission;
pub mod person;
pub mod policy;
pub mod portfolio;
pub mod price;
pub mod profit;
pub mod quota;
pub mod rate;
pub mod recent;
pub mod risk;
pub mod roll;
pub mod schedule;
pub mod session;
pub mod signal;
pub mod source;
pub mod strategy;
pub mod tier;
pub mod time;
pub mod webhook;
