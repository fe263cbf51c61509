//! The rows about orders.

use hyper::Method;
use tradewarden_engine::command::{Command, OrderAsChanged, OrderChange};

use super::Access::Any;
use super::{DELETE, GET, Gives, P, POST, Route, Takes, command};

const PATCH: Method = Method::PATCH;

/// Placing, changing, canceling and showing orders.
pub(super) const ORDERS: &[Route] = &[
    Route {
        method: GET,
        path: "/api/v1/orders",
        access: Any(&[P::OrdersRead]),
        summary: "Lists orders, newest first.",
        takes: Takes::List(&[
            "limit",
            "cursor",
            "account_id",
            "strategy_id",
            "symbol",
            "state",
            "from",
            "to",
        ]),
        gives: Gives::page_of("Order"),
        handler: command(|input| input.search().map(Command::OrderList)),
    },
    Route {
        method: POST,
        path: "/api/v1/orders",
        access: Any(&[P::OrdersCreate]),
        summary: "Places an order. It is durable when this answers.",
        takes: Takes::Body("OrderCreate"),
        gives: Gives::created("Order"),
        handler: command(|input| input.with_nulls().map(Command::OrderCreate)),
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
        method: PATCH,
        path: "/api/v1/orders/{id}",
        access: Any(&[P::OrdersCreate]),
        summary: "Changes quantity and prices of an order. The change is durable when this answers.",
        takes: Takes::Body("OrderChange"),
        gives: Gives::one("Order"),
        handler: command(|input| {
            let OrderAsChanged { quantity, limit_price, stop_price } = input.body()?;
            let id = input.named(0);
            Ok(Command::OrderChange(OrderChange { id, quantity, limit_price, stop_price }))
        }),
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
];
