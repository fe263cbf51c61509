//! The rows about profit, loss and rates of exchange.

use hyper::Method;
use tradewarden_domain::permission::Permission as P;
use tradewarden_engine::command::Command;

use super::Access::Any;
use super::{Gives, Route, Takes, command};

pub(super) const PROFIT: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/api/v1/accounts/{id}/profit",
        access: Any(&[P::BalancesRead]),
        summary: "Shows what was made on an account, by instrument and strategy.",
        takes: Takes::Nothing,
        gives: Gives::one("Profit"),
        handler: command(|input| Ok(Command::AccountProfit(input.id()))),
    },
    Route {
        method: Method::GET,
        path: "/api/v1/rates",
        access: Any(&[P::BalancesRead, P::LimitsManage]),
        summary: "Lists rates of exchange.",
        takes: Takes::Nothing,
        gives: Gives::page_of("ExchangeRate"),
        handler: command(|_| Ok(Command::RateList)),
    },
    Route {
        method: Method::POST,
        path: "/api/v1/rates",
        access: Any(&[P::LimitsManage]),
        summary: "Says a rate of exchange; it stands in for the one before.",
        takes: Takes::Body("RateSet"),
        gives: Gives::one("ExchangeRate"),
        handler: command(|input| input.body().map(Command::RateSet)),
    },
];
