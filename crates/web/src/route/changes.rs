//! The rows that change and take away what was made, and those about one limit.

use hyper::Method;
use tradewarden_domain::code::Code;
use tradewarden_domain::limit::{LimitName, LimitScope};
use tradewarden_domain::permission::Permission as P;
use tradewarden_engine::command::{
    AccountConfirm, AccountDisconnect, Change, Command, Delete, LimitDelete, LimitNamed,
};

use super::Access::Any;
use super::{Gives, Route, Takes, command};
use crate::api::Input;
use crate::problem::Problem;

const GET: Method = Method::GET;
const PATCH: Method = Method::PATCH;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;

const WEBHOOK: &str = "/api/v1/webhooks/{id}";
const STRATEGY: &str = "/api/v1/strategies/{id}";
const ACCOUNT: &str = "/api/v1/accounts/{id}";
pub(super) const DISCONNECT: &str = "/api/v1/accounts/{id}/disconnect";
const LIMIT: &str = "/api/v1/limits/{scope}/{name}";

pub(super) const CHANGES: &[Route] = &[
    Route {
        method: PATCH,
        path: WEBHOOK,
        access: Any(&[P::WebhooksManage]),
        summary: "Changes a webhook. To let more senders in needs a fresh second factor.",
        takes: Takes::Body("WebhookChanges"),
        gives: Gives::one("Webhook"),
        handler: command(|input| {
            change(input, Command::WebhookChange, &["client_certificate", "mapping"])
        }),
    },
    Route {
        method: DELETE,
        path: WEBHOOK,
        access: Any(&[P::WebhooksManage]),
        summary: "Deletes a webhook that no strategy follows; its token never works again.",
        takes: Takes::Nothing,
        gives: Gives::one("Deleted"),
        handler: command(|input| Ok(Command::WebhookDelete(delete(input)))),
    },
    Route {
        method: PATCH,
        path: STRATEGY,
        access: Any(&[P::StrategiesManage]),
        summary: "Changes a strategy, or switches it on, to exits only, or off.",
        takes: Takes::Body("StrategyChanges"),
        gives: Gives::one("Strategy"),
        handler: command(|input| {
            let nullable =
                ["schedule", "take_profit", "stop_loss", "entry_ttl_s", "expected_every_s"];
            change(input, Command::StrategyChange, &nullable)
        }),
    },
    Route {
        method: DELETE,
        path: STRATEGY,
        access: Any(&[P::StrategiesManage]),
        summary: "Deletes a strategy that is off and holds nothing.",
        takes: Takes::Nothing,
        gives: Gives::one("Deleted"),
        handler: command(|input| Ok(Command::StrategyDelete(delete(input)))),
    },
    Route {
        method: PATCH,
        path: ACCOUNT,
        access: Any(&[P::AccountsManage]),
        summary: "Changes an account; a disabled one takes exits only. Its days of trading change once \
                  the running session is over; to move them needs a fresh second factor.",
        takes: Takes::Body("AccountChanges"),
        gives: Gives::one("Account"),
        handler: command(|input| change(input, Command::AccountChange, &[])),
    },
    Route {
        method: POST,
        path: DISCONNECT,
        access: Any(&[P::AccountsManage]),
        summary: "Cuts an account off from its broker. With open positions it lists them, and wants the phrase that is shown with the list.",
        takes: Takes::OptionalBody("AccountDisconnect"),
        gives: Gives::one("Disconnected"),
        handler: command(|input| {
            let AccountConfirm { phrase } = input.body()?;
            Ok(Command::AccountDisconnect(AccountDisconnect { id: input.named(0), phrase }))
        }),
    },
    Route {
        method: GET,
        path: LIMIT,
        access: Any(&[P::LimitsManage, P::OrdersRead]),
        summary: "Shows a limit.",
        takes: Takes::Nothing,
        gives: Gives::one("Limit"),
        handler: command(|input| limit(input).map(Command::LimitShow)),
    },
    Route {
        method: DELETE,
        path: LIMIT,
        access: Any(&[P::LimitsManage]),
        summary: "Deletes a limit. That lets more be traded, so it needs a fresh second factor.",
        takes: Takes::Reason,
        gives: Gives::one("Deleted"),
        handler: command(|input| {
            let (limit, if_match) = (limit(input)?, input.if_match.clone());
            let reason = input.once("reason")?.map(str::to_owned);
            Ok(Command::LimitDelete(LimitDelete { limit, reason, if_match }))
        }),
    },
];

impl Route {
    /// Whether its answer is one object that has a tag.
    pub(crate) fn is_tagged(&self) -> bool {
        use super::Shape::One;
        matches!(self.gives.shape, One("Webhook" | "Strategy" | "Account" | "Limit"))
    }

    /// Whether it changes such an object, and only on the condition that the caller states.
    pub(crate) fn heeds_if_match(&self) -> bool {
        let changes = self.method == PATCH || self.method == DELETE;
        let sets = self.method == Method::PUT && self.path == "/api/v1/limits";
        sets || changes && [WEBHOOK, STRATEGY, ACCOUNT, LIMIT].contains(&self.path)
    }
}

fn change<T: serde::de::DeserializeOwned>(
    input: &Input<'_>,
    command: fn(Change<T>) -> Command,
    nullable: &[&str],
) -> Result<Command, Problem> {
    let (id, if_match) = (input.named(0), input.if_match.clone());
    Ok(command(Change { id, changes: input.changes(nullable)?, if_match }))
}

fn delete(input: &Input<'_>) -> Delete {
    Delete { id: input.named(0), if_match: input.if_match.clone() }
}

/// The limit that the path names; one that cannot be is not there.
fn limit(input: &Input<'_>) -> Result<LimitNamed, Problem> {
    let missing = || Problem::of(Code::RequestNotFound);
    let scope = input.named(0);
    // Whose organization is meant is the engine's to say.
    let is_one = scope.starts_with("org:") || scope.parse::<LimitScope>().is_ok();
    is_one.then_some(()).ok_or_else(missing)?;
    let name: LimitName = input.named(1).parse().map_err(|_| missing())?;
    Ok(LimitNamed { scope, name })
}
