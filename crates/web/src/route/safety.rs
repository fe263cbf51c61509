//! The rows about halts, dead-man switches and alerts.

use hyper::Method;
use tradewarden_domain::permission::Permission as P;
use tradewarden_engine::command::Command;

use super::Access::Any;
use super::{Gives, Route, Takes, command};

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;

pub(super) const SAFETY: &[Route] = &[
    Route {
        method: GET,
        path: "/api/v1/halts",
        access: Any(&[P::HaltEngage, P::HaltResume, P::OrdersRead]),
        summary: "Lists the halts that are engaged.",
        takes: Takes::Nothing,
        gives: Gives::page_of("Halt"),
        handler: command(|_| Ok(Command::HaltStatus)),
    },
    Route {
        method: POST,
        path: "/api/v1/halts",
        access: Any(&[P::HaltEngage, P::HaltFlatten]),
        summary: "Engages a halt; without a body, one that blocks the whole organization.",
        takes: Takes::OptionalBody("HaltEngage"),
        gives: Gives::created("Halt"),
        handler: command(|input| input.body().map(Command::HaltEngage)),
    },
    Route {
        method: GET,
        path: "/api/v1/halts/{id}",
        access: Any(&[P::HaltEngage, P::HaltResume, P::OrdersRead]),
        summary: "Shows a halt and, if it cancels or flattens, how far it has come.",
        takes: Takes::Nothing,
        gives: Gives::one("Halt"),
        handler: command(|input| Ok(Command::HaltShow(input.id()))),
    },
    Route {
        method: POST,
        path: "/api/v1/halts/{id}/resume",
        access: Any(&[P::HaltResume]),
        summary: "Ends a halt.",
        takes: Takes::Nothing,
        gives: Gives::one("Halt"),
        handler: command(|input| Ok(Command::HaltResume(input.id()))),
    },
    Route {
        method: GET,
        path: "/api/v1/dead-man",
        access: Any(&[P::HaltEngage, P::HaltResume, P::OrdersRead]),
        summary: "Lists dead-man switches; a key sees its own.",
        takes: Takes::Nothing,
        gives: Gives::page_of("DeadMan"),
        handler: command(|_| Ok(Command::DeadManList)),
    },
    Route {
        method: POST,
        path: "/api/v1/dead-man",
        access: Any(&[P::HaltEngage]),
        summary: "Arms the caller's dead-man switch, or renews it: a key's own, or else the organization's.",
        takes: Takes::Body("DeadManSet"),
        gives: Gives::one("DeadMan"),
        handler: command(|input| input.body().map(Command::DeadManSet)),
    },
    Route {
        method: DELETE,
        path: "/api/v1/dead-man",
        access: Any(&[P::HaltEngage]),
        summary: "Disarms the caller's dead-man switch.",
        takes: Takes::Nothing,
        gives: Gives::one("Disarmed"),
        handler: command(|_| Ok(Command::DeadManRemove)),
    },
    Route {
        method: GET,
        path: "/api/v1/alerts",
        access: Any(&[P::AuditRead, P::OrdersRead]),
        summary: "Lists alerts, newest first.",
        takes: Takes::Paging,
        gives: Gives::page_of("Alert"),
        handler: command(|input| input.paging().map(Command::AlertList)),
    },
    Route {
        method: GET,
        path: "/api/v1/alerts/channels",
        access: Any(&[P::AuditRead, P::OrdersRead]),
        summary: "Lists the channels on which alerts go out.",
        takes: Takes::Nothing,
        gives: Gives::page_of("AlertChannel"),
        handler: command(|_| Ok(Command::AlertChannels)),
    },
    Route {
        method: POST,
        path: "/api/v1/alerts/test",
        access: Any(&[P::HaltEngage]),
        summary: "Sends a test on every channel for alerts.",
        takes: Takes::Nothing,
        gives: Gives::page_of("AlertChannel"),
        handler: command(|_| Ok(Command::AlertTest)),
    },
    Route {
        method: POST,
        path: "/api/v1/alerts/{id}/acknowledge",
        access: Any(&[P::HaltEngage]),
        summary: "Has an alert told no more.",
        takes: Takes::Nothing,
        gives: Gives::one("Alert"),
        handler: command(|input| Ok(Command::AlertAcknowledge(input.id()))),
    },
];
