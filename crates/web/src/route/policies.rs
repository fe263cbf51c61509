//! The rows about limits as a whole: their versions, and putting a policy in force.

use hyper::Method;
use tradewarden_domain::code::Code;
use tradewarden_domain::permission::Permission as P;
use tradewarden_engine::command::{Command, LimitsDiff, LimitsVersion};

use super::Access::Any;
use super::{Gives, Route, Takes, command};
use crate::api::Input;
use crate::problem::Problem;

const GET: Method = Method::GET;
const POST: Method = Method::POST;

pub(super) const IMPORT: &str = "/api/v1/limits/import";

pub(super) const POLICIES: &[Route] = &[
    Route {
        method: GET,
        path: "/api/v1/limits/versions",
        access: Any(&[P::LimitsManage, P::OrdersRead]),
        summary: "Lists the versions of the limits, newest first: who made each, when and why.",
        takes: Takes::Paging,
        gives: Gives::page_of("LimitsVersion"),
        handler: command(|input| input.paging().map(Command::LimitsVersions)),
    },
    Route {
        method: GET,
        path: "/api/v1/limits/versions/{version}",
        access: Any(&[P::LimitsManage, P::OrdersRead]),
        summary: "Shows the limits as they were at a version.",
        takes: Takes::Nothing,
        gives: Gives::one("LimitsPolicy"),
        handler: command(|input| {
            let version = input.named(0).parse().ok().filter(|version| *version >= 0);
            let version = version.ok_or_else(|| Problem::of(Code::RequestNotFound))?;
            Ok(Command::LimitsShow(LimitsVersion { version }))
        }),
    },
    Route {
        method: GET,
        path: "/api/v1/limits/diff",
        access: Any(&[P::LimitsManage, P::OrdersRead]),
        summary: "Tells two versions of the limits apart.",
        takes: Takes::Versions,
        gives: Gives::page_of("LimitChange"),
        handler: command(|input| {
            let (from, to) = (version(input, "from")?, version(input, "to")?);
            Ok(Command::LimitsDiff(LimitsDiff { from, to }))
        }),
    },
    Route {
        method: POST,
        path: IMPORT,
        access: Any(&[P::LimitsManage]),
        summary: "Puts a whole policy in force as one version; what is not in it is taken away.",
        takes: Takes::Body("LimitsImport"),
        gives: Gives::one("LimitsImported"),
        handler: command(|input| input.body().map(Command::LimitsImport)),
    },
];

fn version(input: &Input<'_>, name: &'static str) -> Result<i64, Problem> {
    let number = input.once(name)?.and_then(|text| text.parse().ok());
    number
        .filter(|version| *version >= 0)
        .ok_or_else(|| Problem::field(name, "The number of a version, from 0 on."))
}
