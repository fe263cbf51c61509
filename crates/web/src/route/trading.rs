//! The rows about orders and positions.

use tradewarden_domain::permission::Permission as P;
use tradewarden_engine::command::{Command, PositionClose};

use super::Access::Any;
use super::{DELETE, GET, Gives, POST, Route, Takes, command};

pub(super) const TRADING: &[Route] = &[
    Route {
        method: GET,
        path: "/api/v1/orders",
        access: Any(&[P::OrdersRead]),
        summary: "Lists orders, newest first.",
        takes: Takes::Paging,
        gives: Gives::page_of("Order"),
        handler: command(|input| input.paging().map(Command::OrderList)),
    },
    Route {
        method: POST,
        path: "/api/v1/orders",
        access: Any(&[P::OrdersCreate]),
        summary: "Places an order. It is durable when this answers.",
        takes: Takes::Body("OrderCreate"),
        gives: Gives::created("Order"),
        handler: command(|input| input.body().map(Command::OrderCreate)),
    },
    Route {
        method: POST,
        path: "/api/v1/orders/cancel-all",
        access: Any(&[P::OrdersCancel]),
        summary: "Cancels every open order that is meant; without a body, all but those that only reduce.",
        takes: Takes::OptionalBody("CancelAll"),
        gives: Gives::one("Canceled"),
        handler: command(|input| input.body().map(Command::OrderCancelAll)),
    },
    Route {
        method: DELETE,
        path: "/api/v1/orders/{id}",
        access: Any(&[P::OrdersCancel]),
        summary: "Cancels an order.",
        takes: Takes::Nothing,
        gives: Gives::one("Order"),
        handler: command(|input| Ok(Command::OrderCancel(input.id()))),
    },
    Route {
        method: GET,
        path: "/api/v1/orders/{id}",
        access: Any(&[P::OrdersRead]),
        summary: "Shows an order.",
        takes: Takes::Nothing,
        gives: Gives::one("Order"),
        handler: command(|input| Ok(Command::OrderShow(input.id()))),
    },
    Route {
        method: GET,
        path: "/api/v1/positions",
        access: Any(&[P::PositionsRead]),
        summary: "Lists positions.",
        takes: Takes::Nothing,
        gives: Gives::page_of("Position"),
        handler: command(|_| Ok(Command::PositionList)),
    },
    Route {
        method: POST,
        path: "/api/v1/positions/{account}/{symbol}/close",
        access: Any(&[P::PositionsClose]),
        summary: "Closes what is held of an instrument on an account.",
        takes: Takes::Nothing,
        gives: Gives::one("Closing"),
        handler: command(|input| {
            Ok(Command::PositionClose(PositionClose {
                account: input.named(0),
                symbol: input.named(1),
            }))
        }),
    },
];
