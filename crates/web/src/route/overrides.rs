//! The rows about overrides: one order that may pass one limit.

use hyper::Method;
use tradewarden_domain::permission::Permission as P;
use tradewarden_engine::command::Command;

use super::Access::Any;
use super::{Gives, Route, Takes, command};

const GET: Method = Method::GET;
const POST: Method = Method::POST;

pub(super) const OVERRIDES: &[Route] = &[
    Route {
        method: GET,
        path: "/api/v1/overrides",
        access: Any(&[P::LimitsManage, P::OrdersRead]),
        summary: "Lists overrides, newest first.",
        takes: Takes::Paging,
        gives: Gives::page_of("Override"),
        handler: command(|input| input.paging().map(Command::OverrideList)),
    },
    Route {
        method: POST,
        path: "/api/v1/overrides",
        access: Any(&[P::LimitsManage, P::OrdersCreate]),
        summary: "Asks that one order may pass one limit; it waits 15 minutes for another person.",
        takes: Takes::Body("OverrideRequest"),
        gives: Gives::created("Override"),
        handler: command(|input| input.body().map(Command::OverrideRequest)),
    },
    Route {
        method: POST,
        path: "/api/v1/overrides/{id}/confirm",
        access: Any(&[P::LimitsManage]),
        summary: "Confirms what another person asked for: one order may pass the limit, once.",
        takes: Takes::Nothing,
        gives: Gives::one("Override"),
        handler: command(|input| Ok(Command::OverrideConfirm(input.id()))),
    },
    Route {
        method: POST,
        path: "/api/v1/overrides/{id}/withdraw",
        access: Any(&[P::LimitsManage, P::OrdersCreate]),
        summary: "Takes an override back that no order has used.",
        takes: Takes::Nothing,
        gives: Gives::one("Override"),
        handler: command(|input| Ok(Command::OverrideWithdraw(input.id()))),
    },
];
