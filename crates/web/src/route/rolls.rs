//! The rows about the roll table.

use tradewarden_engine::command::Command;

use super::Access::Any;
use super::{DELETE, GET, Gives, P, PUT, Route, Takes, command};

/// Showing and keeping the roll table.
pub(super) const ROLLS: &[Route] = &[
    Route {
        method: GET,
        path: "/api/v1/rolls",
        access: Any(&[P::StrategiesManage, P::OrdersRead]),
        summary: "Lists the month contracts of the roll table.",
        takes: Takes::Nothing,
        gives: Gives::page_of("Roll"),
        handler: command(|_| Ok(Command::RollList)),
    },
    Route {
        method: PUT,
        path: "/api/v1/rolls",
        access: Any(&[P::StrategiesManage]),
        summary: "Puts a month contract into the roll table, or changes it there.",
        takes: Takes::Body("RollSet"),
        gives: Gives::created("Roll"),
        handler: command(|input| input.body().map(Command::RollSet)),
    },
    Route {
        method: DELETE,
        path: "/api/v1/rolls/{id}",
        access: Any(&[P::StrategiesManage]),
        summary: "Takes a month contract, by its symbol, out of the roll table.",
        takes: Takes::Nothing,
        gives: Gives::one("Roll"),
        handler: command(|input| Ok(Command::RollRemove(input.id()))),
    },
];
