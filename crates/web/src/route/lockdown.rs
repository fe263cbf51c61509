//! The rows about lockdown.

use hyper::Method;
use tradewarden_domain::permission::Permission as P;
use tradewarden_engine::command::Command;

use super::Access::Any;
use super::{Gives, Route, Takes, command};

const GET: Method = Method::GET;
const POST: Method = Method::POST;

pub(super) const LOCKDOWN: &[Route] = &[
    Route {
        method: GET,
        path: "/api/v1/lockdown",
        access: Any(&[P::HaltEngage, P::HaltResume, P::AuditRead]),
        summary: "Shows the lockdown that is in force, or the last one, and what people still have to do.",
        takes: Takes::Nothing,
        gives: Gives::one("Lockdown"),
        handler: command(|_| Ok(Command::LockdownStatus)),
    },
    Route {
        method: POST,
        path: "/api/v1/lockdown",
        access: Any(&[P::HaltEngage]),
        summary: "Locks a compromised organization down: halts new risk, ends every session and API key, this one too, and cancels what adds risk.",
        takes: Takes::Body("LockdownEngage"),
        gives: Gives::one("Lockdown"),
        handler: command(|input| input.body().map(Command::LockdownEngage)),
    },
    Route {
        method: GET,
        path: "/api/v1/lockdown/bundle",
        access: Any(&[P::AuditRead]),
        summary: "Gives everything that is known of the days around the lockdown, for whoever finds out what happened.",
        takes: Takes::Nothing,
        gives: Gives::one("LockdownBundle"),
        handler: command(|_| Ok(Command::LockdownBundle)),
    },
    Route {
        method: POST,
        path: "/api/v1/lockdown/answer",
        access: Any(&[P::HaltEngage, P::HaltFlatten]),
        summary: "Says what becomes of open positions; without an answer in 60 s they are kept.",
        takes: Takes::Body("LockdownAnswer"),
        gives: Gives::one("Lockdown"),
        handler: command(|input| input.body().map(Command::LockdownAnswer)),
    },
    Route {
        method: POST,
        path: "/api/v1/lockdown/confirm",
        access: Any(&[P::AccountsManage]),
        summary: "Confirms the list of open positions by its phrase; then the access to brokers is erased.",
        takes: Takes::Body("LockdownConfirm"),
        gives: Gives::one("Lockdown"),
        handler: command(|input| input.body().map(Command::LockdownConfirm)),
    },
    Route {
        method: POST,
        path: "/api/v1/lockdown/end",
        access: Any(&[P::HaltResume]),
        summary: "Ends the lockdown: changes are possible again. Its halts stay until they are resumed.",
        takes: Takes::Nothing,
        gives: Gives::one("Lockdown"),
        handler: command(|_| Ok(Command::LockdownEnd)),
    },
];
