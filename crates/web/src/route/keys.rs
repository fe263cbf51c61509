//! The rows about API keys, and about who calls.

use tradewarden_domain::permission::Permission as P;
use tradewarden_engine::command::{Command, KeyRotate};

use super::Access::{Any, Caller};
use super::{DELETE, GET, Gives, POST, Route, Takes, command};

pub(super) const KEYS: &[Route] = &[
    Route {
        method: GET,
        path: "/api/v1/me",
        access: Caller,
        summary: "Tells who calls, and what that one may do.",
        takes: Takes::Nothing,
        gives: Gives::one("Me"),
        handler: command(|_| Ok(Command::Me)),
    },
    Route {
        method: GET,
        path: "/api/v1/keys",
        access: Any(&[P::KeysManage]),
        summary: "Lists API keys.",
        takes: Takes::Nothing,
        gives: Gives::page_of("Key"),
        handler: command(|_| Ok(Command::KeyList)),
    },
    Route {
        method: POST,
        path: "/api/v1/keys",
        access: Any(&[P::KeysManage]),
        summary: "Makes an API key; the answer holds what it signs with, once.",
        takes: Takes::Body("KeyCreate"),
        gives: Gives::created("Key"),
        handler: command(|input| input.body().map(Command::KeyCreate)),
    },
    Route {
        method: GET,
        path: "/api/v1/keys/{id}",
        access: Any(&[P::KeysManage]),
        summary: "Shows an API key.",
        takes: Takes::Nothing,
        gives: Gives::one("Key"),
        handler: command(|input| Ok(Command::KeyShow(input.id()))),
    },
    Route {
        method: DELETE,
        path: "/api/v1/keys/{id}",
        access: Any(&[P::KeysManage]),
        summary: "Revokes an API key, for ever and at once.",
        takes: Takes::Nothing,
        gives: Gives::one("Key"),
        handler: command(|input| Ok(Command::KeyRevoke(input.id()))),
    },
    Route {
        method: POST,
        path: "/api/v1/keys/{id}/rotate",
        access: Any(&[P::KeysManage]),
        summary: "Makes the successor of an API key; both are taken until the overlap ends.",
        takes: Takes::OptionalBody("KeyRotation"),
        gives: Gives::created("Key"),
        handler: command(|input| {
            let rotation = input.body()?;
            Ok(Command::KeyRotate(KeyRotate { id: input.id().id, rotation }))
        }),
    },
    Route {
        method: POST,
        path: "/api/v1/keys/{id}/suspend",
        access: Any(&[P::KeysManage]),
        summary: "Suspends an API key: it may only cancel and close.",
        takes: Takes::Nothing,
        gives: Gives::one("Key"),
        handler: command(|input| Ok(Command::KeySuspend(input.id()))),
    },
    Route {
        method: POST,
        path: "/api/v1/keys/{id}/activate",
        access: Any(&[P::KeysManage]),
        summary: "Lets a suspended API key go on.",
        takes: Takes::Nothing,
        gives: Gives::one("Key"),
        handler: command(|input| Ok(Command::KeyActivate(input.id()))),
    },
    Route {
        method: GET,
        path: "/api/v1/keys/{id}/usage",
        access: Any(&[P::KeysManage]),
        summary: "Tells what an API key did in the last seven days, by the hour.",
        takes: Takes::Nothing,
        gives: Gives::one("KeyUsage"),
        handler: command(|input| Ok(Command::KeyUsage(input.id()))),
    },
];
