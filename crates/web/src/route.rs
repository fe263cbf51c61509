//! Every route there is: one table. The router and the `OpenAPI` document are both made from it.

mod changes;
mod codes;
mod keys;
mod lockdown;
mod orders;
mod overrides;
mod people;
mod pins;
mod policies;
mod posture;
mod profit;
mod rolls;
mod safety;
mod takes;

pub(crate) use takes::Takes;

use hyper::{Method, StatusCode};
use tradewarden_domain::permission::Permission;
use tradewarden_domain::quota::Budget;
use tradewarden_engine::command::{
    Command, LimitSet, PositionClose, WebhookRotate, WebhookRotation,
};
use tradewarden_engine::people::Ask;

use crate::api::Input;
use crate::page::{self, Page};
use crate::pins::PinsForm;
use crate::problem::Problem;
use crate::service::Site;

/// Who may call a route. There is no route without one, and none is assumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Public,
    /// Whoever shows the credential of the webhook named in the path; the engine judges it.
    Credential,
    /// Whoever is authenticated.
    Caller,
    /// Whoever is authenticated and has one of these permissions; never an empty list.
    Any(&'static [Permission]),
    /// Anyone, but on the internal listener only: on the public one the route does not exist.
    InternalOnly,
}

/// One row: a method on a path.
#[derive(Debug)]
pub struct Route {
    /// The method. `HEAD` comes with `GET`.
    pub method: Method,
    /// The path, with its parameters in braces; `{*name}` takes the rest of it.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// What it does, in a sentence.
    pub summary: &'static str,
    pub(crate) takes: Takes,
    pub(crate) gives: Gives,
    pub(crate) handler: Handler,
}

/// What the answer is if nothing is wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gives {
    pub(crate) status: StatusCode,
    pub(crate) shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A JSON object of this schema.
    One(&'static str),
    /// A page of such objects.
    PageOf(&'static str),
    /// Something else than one of our objects, by its content type.
    Other(&'static str),
}

/// What makes the answer.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// The webhook intake.
    Signal,
    /// The intake of signed requests.
    SignedSignal,
    /// The engine, by a command.
    Command(fn(&Input<'_>) -> Result<Command, Problem>),
    /// The engine, by what a person asks about themselves.
    Ask(fn(&Input<'_>) -> Result<Ask, Problem>),
    /// This crate itself, at once.
    Page(fn(&Site) -> Page),
    /// The newest checkpoint of the audit log.
    Checkpoint,
    /// The pins of the public certificate's keys.
    Pins(PinsForm),
    /// A tile of the audit log, or the entries behind one.
    Tile,
    /// What happens, as it happens.
    Stream,
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Signal => "Signal",
            Self::SignedSignal => "SignedSignal",
            Self::Command(_) => "Command",
            Self::Ask(_) => "Ask",
            Self::Page(_) => "Page",
            Self::Checkpoint => "Checkpoint",
            Self::Pins(_) => "Pins",
            Self::Tile => "Tile",
            Self::Stream => "Stream",
        })
    }
}

impl Gives {
    const fn one(schema: &'static str) -> Self {
        Self { status: StatusCode::OK, shape: Shape::One(schema) }
    }

    const fn created(schema: &'static str) -> Self {
        Self { status: StatusCode::CREATED, shape: Shape::One(schema) }
    }

    const fn page_of(schema: &'static str) -> Self {
        Self { status: StatusCode::OK, shape: Shape::PageOf(schema) }
    }

    const fn other(content_type: &'static str) -> Self {
        Self { status: StatusCode::OK, shape: Shape::Other(content_type) }
    }
}

impl Route {
    /// The last parameter in the path, if it has one.
    pub(crate) fn parameter(&self) -> Option<&'static str> {
        let (_, rest) = self.path.split_once('{')?;
        rest.split('}').next().map(|name| name.trim_start_matches('*'))
    }

    /// Whether a request without an idempotency key is refused (C10).
    pub(crate) fn wants_once_key(&self) -> bool {
        let trades = [
            "/api/v1/orders",
            "/api/v1/orders/cancel-all",
            "/api/v1/positions/{account}/{symbol}/close",
            "/api/v1/halts",
        ];
        self.method == Method::POST && trades.contains(&self.path)
    }

    /// Whether its answer is that to a signal.
    pub(crate) const fn takes_signal(&self) -> bool {
        matches!(self.takes, Takes::Signal | Takes::SignedSignal)
    }

    /// Whether the engine answers a whole list, which is cut into pages behind it.
    pub(crate) fn is_cut(&self) -> bool {
        let is_list = matches!(self.gives.shape, Shape::PageOf(_));
        self.method == GET && self.takes == Takes::Nothing && is_list
    }

    /// The parameters that may stand in the query.
    pub(crate) fn query(&self) -> &'static [&'static str] {
        if self.is_cut() { Takes::Paging.query() } else { self.takes.query() }
    }

    /// The method, for records.
    pub(crate) fn method_text(&self) -> &'static str {
        ["GET", "POST", "PUT", "PATCH", "DELETE"]
            .into_iter()
            .find(|text| self.method == *text)
            .unwrap_or("-")
    }

    /// What a request draws on: taking risk away has a budget of its own (S18).
    pub(crate) fn budget(&self) -> Budget {
        let asks = |permission| matches!(self.access, Any(any_of) if any_of.contains(&permission));
        let reduces = [P::OrdersCancel, P::PositionsClose, P::HaltEngage, P::HaltFlatten];
        if self.method == GET {
            Budget::Requests
        } else if asks(P::OrdersCreate) {
            Budget::Orders
        } else if reduces.into_iter().any(asks) {
            Budget::Reducing
        } else {
            Budget::Requests
        }
    }

    /// Whether the listener that `exposure` names has this route.
    pub(crate) fn is_on(&self, exposure: crate::service::Exposure) -> bool {
        self.access != Access::InternalOnly || exposure == crate::service::Exposure::Internal
    }

    /// Whether it is told who calls.
    pub(crate) const fn knows_caller(&self) -> bool {
        matches!(self.access, Access::Caller | Access::Any(_))
    }
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

use Access::{Any, Credential, InternalOnly, Public};
use Handler::{Checkpoint, Signal, SignedSignal, Tile};
use Permission as P;

const fn command(make: fn(&Input<'_>) -> Result<Command, Problem>) -> Handler {
    Handler::Command(make)
}

/// Every row of the table.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    ROUTES
        .iter()
        .chain(changes::CHANGES)
        .chain(policies::POLICIES)
        .chain(overrides::OVERRIDES)
        .chain(orders::ORDERS)
        .chain(rolls::ROLLS)
        .chain(safety::SAFETY)
        .chain(lockdown::LOCKDOWN)
        .chain(keys::KEYS)
        .chain(people::PEOPLE)
        .chain(profit::PROFIT)
        .chain(pins::PINS)
        .chain(posture::POSTURE)
}

/// The table, but for the rows that change things, and those about orders, keys and people.
const ROUTES: &[Route] = &[
    Route {
        method: POST,
        path: "/api/v1/webhooks/{id}",
        access: Credential,
        summary: "Takes a signal. The id is the webhook's token.",
        takes: Takes::Signal,
        gives: Gives { status: StatusCode::ACCEPTED, shape: Shape::One("SignalAnswer") },
        handler: Signal,
    },
    Route {
        method: GET,
        path: "/api/v1/webhooks",
        access: Any(&[P::WebhooksManage, P::OrdersRead]),
        summary: "Lists webhooks.",
        takes: Takes::Nothing,
        gives: Gives::page_of("Webhook"),
        handler: command(|_| Ok(Command::WebhookList)),
    },
    Route {
        method: POST,
        path: "/api/v1/webhooks",
        access: Any(&[P::WebhooksManage]),
        summary: "Makes a webhook; the answer holds its secrets, once.",
        takes: Takes::Body("WebhookCreate"),
        gives: Gives::created("Webhook"),
        handler: command(|input| input.body().map(Command::WebhookCreate)),
    },
    Route {
        method: POST,
        path: "/api/v1/webhooks/{id}/rotate",
        access: Any(&[P::WebhooksManage]),
        summary: "Gives a webhook new secrets; the old ones are taken for a while longer.",
        takes: Takes::OptionalBody("WebhookRotation"),
        gives: Gives::one("Webhook"),
        handler: command(|input| {
            let WebhookRotation { overlap_s } = input.body()?;
            Ok(Command::WebhookRotate(WebhookRotate { id: input.named(0), overlap_s }))
        }),
    },
    Route {
        method: GET,
        path: "/api/v1/webhooks/{id}",
        access: Any(&[P::WebhooksManage, P::OrdersRead]),
        summary: "Shows a webhook.",
        takes: Takes::Nothing,
        gives: Gives::one("Webhook"),
        handler: command(|input| Ok(Command::WebhookShow(input.id()))),
    },
    Route {
        method: GET,
        path: "/api/v1/signals",
        access: Any(&[P::OrdersRead]),
        summary: "Lists signals with their decision traces, newest first.",
        takes: Takes::List(&[
            "limit",
            "cursor",
            "source",
            "account_id",
            "strategy_id",
            "status",
            "code",
            "from",
            "to",
        ]),
        gives: Gives::page_of("Signal"),
        handler: command(|input| input.search().map(Command::SignalList)),
    },
    Route {
        method: POST,
        path: "/api/v1/signals",
        access: Any(&[P::SignalsWrite]),
        summary: "Takes a signal of the key that signed the request, for the strategies that follow the key.",
        takes: Takes::SignedSignal,
        gives: Gives { status: StatusCode::ACCEPTED, shape: Shape::One("SignalAnswer") },
        handler: SignedSignal,
    },
    Route {
        method: GET,
        path: "/api/v1/signals/{id}",
        access: Any(&[P::OrdersRead]),
        summary: "Shows a signal with its decision trace and its orders.",
        takes: Takes::Nothing,
        gives: Gives::one("Signal"),
        handler: command(|input| Ok(Command::SignalShow(input.id()))),
    },
    Route {
        method: POST,
        path: "/api/v1/signals/{id}/replay",
        access: Any(&[P::OrdersRead]),
        summary: "Judges a stored signal by today's rules, without an order.",
        takes: Takes::Nothing,
        gives: Gives::one("Signal"),
        handler: command(|input| Ok(Command::SignalReplay(input.id()))),
    },
    Route {
        method: POST,
        path: codes::REPLAY,
        access: Any(&[P::OrdersRead]),
        summary: "Judges a part of a stored period of signals by another policy, and tells what would differ.",
        takes: Takes::Body("ReplayPage"),
        gives: Gives::one("Replay"),
        handler: command(|input| input.body().map(Command::ReplayPage)),
    },
    Route {
        method: GET,
        path: "/api/v1/positions",
        access: Any(&[P::PositionsRead]),
        summary: "Lists positions.",
        takes: Takes::List(&["account_id", "strategy_id", "symbol"]),
        gives: Gives::page_of("Position"),
        handler: command(|input| input.search().map(Command::PositionList)),
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
    Route {
        method: GET,
        path: "/api/v1/accounts/{id}/balances",
        access: Any(&[P::BalancesRead]),
        summary: "Shows an account's cash and equity.",
        takes: Takes::Nothing,
        gives: Gives::one("Balances"),
        handler: command(|input| Ok(Command::AccountBalances(input.id()))),
    },
    Route {
        method: GET,
        path: "/api/v1/accounts",
        access: Any(&[P::BalancesRead, P::AccountsManage]),
        summary: "Lists accounts.",
        takes: Takes::Nothing,
        gives: Gives::page_of("Account"),
        handler: command(|_| Ok(Command::AccountList)),
    },
    Route {
        method: POST,
        path: "/api/v1/accounts",
        access: Any(&[P::AccountsManage]),
        summary: "Makes an account. Needs a fresh second factor.",
        takes: Takes::Body("AccountCreate"),
        gives: Gives::created("Account"),
        handler: command(|input| input.body().map(Command::AccountCreate)),
    },
    Route {
        method: GET,
        path: "/api/v1/accounts/{id}",
        access: Any(&[P::BalancesRead, P::AccountsManage]),
        summary: "Shows an account.",
        takes: Takes::Nothing,
        gives: Gives::one("Account"),
        handler: command(|input| Ok(Command::AccountShow(input.id()))),
    },
    Route {
        method: GET,
        path: "/api/v1/strategies",
        access: Any(&[P::StrategiesManage, P::OrdersRead]),
        summary: "Lists strategies.",
        takes: Takes::Nothing,
        gives: Gives::page_of("Strategy"),
        handler: command(|_| Ok(Command::StrategyList)),
    },
    Route {
        method: POST,
        path: "/api/v1/strategies",
        access: Any(&[P::StrategiesManage]),
        summary: "Makes a strategy.",
        takes: Takes::Body("StrategyCreate"),
        gives: Gives::created("Strategy"),
        handler: command(|input| input.body().map(Command::StrategyCreate)),
    },
    Route {
        method: GET,
        path: "/api/v1/strategies/{id}",
        access: Any(&[P::StrategiesManage, P::OrdersRead]),
        summary: "Shows a strategy.",
        takes: Takes::Nothing,
        gives: Gives::one("Strategy"),
        handler: command(|input| Ok(Command::StrategyShow(input.id()))),
    },
    Route {
        method: GET,
        path: "/api/v1/limits",
        access: Any(&[P::LimitsManage, P::OrdersRead]),
        summary: "Lists limits.",
        takes: Takes::Nothing,
        gives: Gives::page_of("Limit"),
        handler: command(|_| Ok(Command::LimitList)),
    },
    Route {
        method: PUT,
        path: "/api/v1/limits",
        access: Any(&[P::LimitsManage]),
        summary: "Sets a limit: makes a new version of the limits.",
        takes: Takes::Body("LimitSet"),
        gives: Gives::created("Limit"),
        handler: command(|input| {
            let asked: LimitSet = input.body()?;
            Ok(Command::LimitSet(LimitSet { if_match: input.if_match.clone(), ..asked }))
        }),
    },
    Route {
        method: GET,
        path: "/api/v1/findings",
        access: Any(&[P::AuditRead, P::OrdersRead]),
        summary: "Lists findings, newest first.",
        takes: Takes::List(&[
            "limit",
            "cursor",
            "code",
            "severity",
            "account_id",
            "strategy_id",
            "source",
            "from",
            "to",
        ]),
        gives: Gives::page_of("Finding"),
        handler: command(|input| input.search().map(Command::FindingList)),
    },
    Route {
        method: GET,
        path: "/api/v1/audit",
        access: Any(&[P::AuditRead]),
        summary: "Lists entries of the audit log, newest first.",
        takes: Takes::List(&["limit", "cursor", "object", "event", "from", "to"]),
        gives: Gives::page_of("Entry"),
        handler: command(|input| input.search().map(Command::AuditList)),
    },
    Route {
        method: GET,
        path: "/api/v1/audit/proof/{id}",
        access: Any(&[P::AuditRead]),
        summary: "Proves that an entry, or the entry about an object, is in the audit log.",
        takes: Takes::Nothing,
        gives: Gives::one("Proof"),
        handler: command(|input| Ok(Command::AuditProve(input.id()))),
    },
    Route {
        method: GET,
        path: "/api/v1/stream",
        access: Any(&[P::OrdersRead, P::PositionsRead, P::AuditRead]),
        summary: "Tells orders, fills, halts and findings as they happen (server-sent events, or WebSocket if the \
                  request asks for the upgrade).",
        takes: Takes::Nothing,
        gives: Gives::other(crate::service::EVENT_STREAM),
        handler: Handler::Stream,
    },
    Route {
        method: GET,
        path: "/api/v1/time",
        access: Public,
        summary: "Tells the time.",
        takes: Takes::Nothing,
        gives: Gives::one("Time"),
        handler: Handler::Page(page::time),
    },
    Route {
        method: GET,
        path: "/api/v1/openapi.json",
        access: Public,
        summary: "This document.",
        takes: Takes::Nothing,
        gives: Gives::one("OpenApi"),
        handler: Handler::Page(page::openapi),
    },
    Route {
        method: GET,
        path: "/livez",
        access: Public,
        summary: "Whether the process serves.",
        takes: Takes::Nothing,
        gives: Gives::one("Liveness"),
        handler: Handler::Page(page::livez),
    },
    Route {
        method: GET,
        path: "/readyz",
        access: Public,
        summary: "Whether signals can be taken, and if not (503), why.",
        takes: Takes::Nothing,
        gives: Gives::one("Readiness"),
        handler: Handler::Page(page::readyz),
    },
    Route {
        method: GET,
        path: "/metrics",
        access: InternalOnly,
        summary: "Counters for Prometheus; on the internal listener only.",
        takes: Takes::Nothing,
        gives: Gives::other(crate::metrics::EXPOSITION),
        handler: Handler::Page(page::metrics),
    },
    Route {
        method: GET,
        path: "/audit/checkpoint",
        access: Public,
        summary: "The newest signed checkpoint of the audit log (C2SP tlog-checkpoint).",
        takes: Takes::Nothing,
        gives: Gives::other(crate::service::TEXT_PLAIN),
        handler: Checkpoint,
    },
    Route {
        method: GET,
        path: "/audit/tile/entries/{*path}",
        access: Any(&[P::AuditRead]),
        summary: "A bundle of entries of the audit log (C2SP tlog-tiles).",
        takes: Takes::Nothing,
        gives: Gives::other(crate::service::OCTET_STREAM),
        handler: Tile,
    },
    Route {
        method: GET,
        path: "/audit/tile/{level}/{*path}",
        access: Public,
        summary: "A tile of hashes of the audit log (C2SP tlog-tiles).",
        takes: Takes::Nothing,
        gives: Gives::other(crate::service::OCTET_STREAM),
        handler: Tile,
    },
];
