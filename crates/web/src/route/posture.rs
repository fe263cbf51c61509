//! The state of the installation as regards its security.

use hyper::Method;
use tradewarden_domain::permission::Permission;
use tradewarden_engine::command::Command;

use super::{Access, Gives, Handler, Route, Takes};

pub(super) const POSTURE: &[Route] = &[Route {
    method: Method::GET,
    path: "/api/v1/posture",
    access: Access::Any(&[Permission::AuditRead]),
    summary: "Shows what is as it should be and what is not, with the way to put it right.",
    takes: Takes::Nothing,
    gives: Gives::one("Posture"),
    handler: Handler::Command(|_| Ok(Command::Posture)),
}];
