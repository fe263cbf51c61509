//! How a row of the table answers a request: permission first, then what it takes, then its
//! handler.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};
use tradewarden_domain::code::Code;
use tradewarden_domain::quota::Budget;
use tradewarden_engine::actor::Actor;
use tradewarden_engine::caller::{NotAuthenticated, Shown};
use tradewarden_engine::command::{ById, CommandError, Filter, Paging, Search};
use tradewarden_engine::intake::SignedSignal;
use tradewarden_engine::once::OnceKey;
use tradewarden_engine::people::is_pending;
use tradewarden_engine::stream::NotListening;
use tradewarden_engine::tag::IfMatch;
use tradewarden_engine::{Drawn, Engine, TilePath};

use crate::body::AnswerBody;
use crate::budget;
use crate::condition;
use crate::hook;
use crate::paging;
use crate::pins;
use crate::problem::{Particulars, Problem};
use crate::query::{Query, Value};
use crate::route::{Access, Handler, Route, Takes};
use crate::service::{
    APPLICATION_JSON, EVENT_STREAM, Exchange, OCTET_STREAM, TEXT_PLAIN, let_finish, take_body,
};
use crate::session;
use crate::stream::EventBody;
use crate::websocket;

/// The largest page.
pub(crate) const PAGE_MAX: u32 = 200;
/// Hashes in a tile that will never change.
const TILE_WIDTH: u16 = 256;
/// A full tile of hashes never changes and is for everyone.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What a request gives to the making of a command.
pub(crate) struct Input<'a> {
    /// What the path names, in its order.
    named: &'a [String],
    query: Query<'a>,
    body: Bytes,
    /// On which content of the object a change is to be made.
    pub(crate) if_match: IfMatch,
}

/// Answers a request to a route.
pub(crate) async fn answer(
    route: &'static Route,
    exchange: Exchange,
    named: &[String],
    request: Request<axum::body::Body>,
) -> Response<AnswerBody> {
    let request_id = exchange.request_id;
    let mut known = Known::default();
    let mut response = match carried_out(route, &exchange, named, request, &mut known).await {
        Ok(response) => response,
        Err(problem) => problem.answer(request_id),
    };
    if let Some((actor, drawn)) = &known.caller {
        budget::dress(response.headers_mut(), &drawn.standing);
        if response.status().is_client_error() {
            exchange.site.engine().refused(actor);
        }
        let object = named.first().map_or("", String::as_str);
        let (method, status) = (route.method_text(), response.status().as_u16());
        exchange.site.engine().accessed(actor, method, route.path, object, status);
    }
    response
}

/// What became known of the caller on the way to the answer.
#[derive(Default)]
struct Known {
    caller: Option<(Actor, Drawn)>,
}

/// What begins a stream: by events, or by a WebSocket where the request asks for one.
fn listened(
    exchange: &Exchange,
    head: &mut Parts,
    actor: &Actor,
    has_own_origin: bool,
) -> Result<Response<AnswerBody>, Problem> {
    let listener = exchange.site.engine().listen(actor).map_err(not_listening)?;
    if websocket::is_wanted(head) {
        if !has_own_origin {
            return Err(Problem::because(
                Code::AuthPermission,
                Cow::Borrowed("A browser may listen from our own pages only."),
            ));
        }
        return Ok(websocket::answer(head, listener, exchange.request_id));
    }
    let body = axum::body::Body::new(EventBody::new(listener));
    let mut response = Response::new(AnswerBody::routed(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    Ok(response)
}

async fn carried_out(
    route: &'static Route,
    exchange: &Exchange,
    named: &[String],
    request: Request<axum::body::Body>,
    known: &mut Known,
) -> Result<Response<AnswerBody>, Problem> {
    let engine = exchange.site.engine();
    if matches!(route.handler, Handler::Signal) {
        return Ok(hook::receive(exchange, request).await);
    }
    let (mut head, body) = request.into_parts();
    let address = exchange.client_address(&head.headers);
    if route.knows_caller() {
        engine.may_knock(address).map_err(|wait| budget::waiting(Code::LimitFlood, wait))?;
    }
    // A signature covers the body, so it is read before the caller is known, wanted or not.
    let body = if route.takes.has_body() || route.knows_caller() {
        let limit_ms = exchange.site.options().body_timeout_ms;
        take_body(head.version, body, limit_ms).await?
    } else {
        let_finish(head.version, body).await;
        Bytes::new()
    };
    let headers: Vec<_> =
        head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let shown = Shown {
        method: head.method.as_str(),
        target: head.uri.path_and_query().map_or("/", |target| target.as_str()),
        authority: authority(&head),
        headers: &headers,
        body: &body,
        address: exchange.client_address(&head.headers),
        budget: budget_of(route, &body),
    };
    let actor = permitted(route, exchange, &shown, known)?;
    match route.handler {
        Handler::Signal => Err(Problem::of(Code::RequestNotFound)),
        Handler::SignedSignal => {
            let actor = actor.ok_or_else(Problem::unauthenticated)?;
            signed_signal(route, exchange, &head, &body, &actor).await
        }
        Handler::Page(make) => {
            let page = make(&exchange.site);
            Ok(written(page.status, page.content_type, page.body))
        }
        Handler::Checkpoint => Ok(written(StatusCode::OK, TEXT_PLAIN, engine.checkpoint().await?)),
        Handler::Pins(form) => pins::answer(engine, form),
        Handler::Tile => tile(engine, head.uri.path(), actor.as_ref()).await,
        Handler::Stream => {
            let actor = actor.ok_or_else(Problem::unauthenticated)?;
            query_of(route.query(), head.uri.query())?;
            let has_own_origin = engine.has_own_origin(&shown);
            listened(exchange, &mut head, &actor, has_own_origin)
        }
        Handler::Command(make) => {
            let actor = actor.ok_or_else(Problem::unauthenticated)?;
            let query = query_of(route.query(), head.uri.query())?;
            let once = once_key(route, &head, &body)?;
            let body = match route.takes {
                Takes::OptionalBody(_) if body.is_empty() => Bytes::from_static(b"{}"),
                _ => body.clone(),
            };
            let if_match = if route.heeds_if_match() {
                condition::read(&head.headers)?
            } else {
                IfMatch::Unsaid
            };
            let input = Input { named, query, body, if_match };
            let asked = input.page_of(route)?;
            let command = make(&input)?;
            let performed = engine.perform(command, &actor, once).await;
            let value = match performed.outcome {
                Ok(value) => value,
                // A path that names nothing that could exist is a path that does not exist.
                Err(CommandError::Invalid { field: "id", .. }) if route.parameter().is_some() => {
                    return Err(Problem::of(Code::RequestNotFound));
                }
                Err(error) if performed.replayed => {
                    return Ok(replayed(Problem::from(error).answer(exchange.request_id)));
                }
                Err(error) => return Err(error.into()),
            };
            let value = paging::cut(value, asked.as_ref())?;
            let status = if is_pending(&value) { StatusCode::ACCEPTED } else { route.gives.status };
            let body = serde_json::to_vec(&value).unwrap_or_default();
            let mut response = written(status, APPLICATION_JSON, body);
            if route.is_tagged() && status == route.gives.status {
                condition::dress(response.headers_mut(), &value);
            }
            Ok(if performed.replayed { replayed(response) } else { response })
        }
        Handler::Ask(make) => {
            let query = query_of(route.query(), head.uri.query())?;
            let body = body.clone();
            let input = Input { named, query, body, if_match: IfMatch::Unsaid };
            let asked = input.page_of(route)?;
            let ask = make(&input)?;
            let mut said = engine.converse(ask, actor.as_ref(), &engine.client(&shown)).await?;
            said.value = paging::cut(said.value, asked.as_ref())?;
            Ok(session::answer(route.gives.status, said))
        }
    }
}

/// What a request draws on; of a signal its body tells.
fn budget_of(route: &Route, body: &[u8]) -> Budget {
    match route.handler {
        Handler::SignedSignal => Engine::signal_budget(body),
        _ => route.budget(),
    }
}

/// Takes the signal of a key.
async fn signed_signal(
    route: &Route,
    exchange: &Exchange,
    head: &Parts,
    body: &[u8],
    actor: &Actor,
) -> Result<Response<AnswerBody>, Problem> {
    let dry_run = query_of(route.query(), head.uri.query())?.is_dry_run();
    let once = once_key(route, head, body)?;
    let signal = SignedSignal { body: body.to_vec(), dry_run, once };
    let answer = exchange.site.engine().receive_signed(signal, actor).await?;
    let response = hook::told(exchange, answer.received);
    Ok(if answer.replayed { replayed(response) } else { response })
}

fn not_listening(no: NotListening) -> Problem {
    match no {
        NotListening::Nobody => Problem::unauthenticated(),
        NotListening::Full { streams_max } => Problem::of(Code::LimitStreams)
            .with(Particulars { limit: Some(streams_max.to_string()), ..Particulars::default() }),
    }
}

/// The idempotency key of a request that changes something.
fn once_key(route: &Route, head: &Parts, body: &[u8]) -> Result<Option<OnceKey>, Problem> {
    if head.method == Method::GET || head.method == Method::HEAD {
        return Ok(None);
    }
    let mut values = head.headers.get_all(IDEMPOTENCY_KEY).iter();
    let value = match (values.next(), values.next()) {
        (None, _) if route.wants_once_key() => {
            return Err(Problem::of(Code::IdempotencyKeyMissing));
        }
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().ok(),
        (Some(_), Some(_)) => None,
    };
    let path = head.uri.path_and_query().map_or("/", |target| target.as_str());
    value
        .and_then(|value| OnceKey::read(value, head.method.as_str(), path, body))
        .map(Some)
        .ok_or_else(|| {
            Problem::field(
                "Idempotency-Key",
                "The header must be there once, with 1 to 128 printable ASCII characters.",
            )
        })
}

fn replayed(mut response: Response<AnswerBody>) -> Response<AnswerBody> {
    response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    response
}

/// Who calls, if the route has to know; the problem, if the caller may not.
fn permitted(
    route: &Route,
    exchange: &Exchange,
    shown: &Shown<'_>,
    known: &mut Known,
) -> Result<Option<Actor>, Problem> {
    let any_of = match route.access {
        // Internal-only routes are not on the public listener's router at all.
        Access::Public | Access::InternalOnly | Access::Credential => return Ok(None),
        Access::Caller => &[],
        Access::Any(any_of) => any_of,
    };
    let engine = exchange.site.engine();
    let actor = engine.caller(shown).map_err(|no| match no {
        NotAuthenticated::Failed => {
            engine.knocked_wrongly(shown.address);
            Problem::unauthenticated()
        }
        NotAuthenticated::Address => Problem::of(Code::AddressNotAllowed),
        NotAuthenticated::Closed => Problem::of(Code::VaultClosed),
        NotAuthenticated::Origin => Problem::because(
            Code::AuthPermission,
            Cow::Borrowed("A browser may ask for changes from our own pages only."),
        ),
    })?;
    let drawn = engine.draw(&actor, shown.budget);
    known.caller = Some((actor.clone(), drawn));
    if let Some(exceeded) = drawn.exceeded {
        return Err(budget::refusal(exceeded));
    }
    actor.allowed(any_of)?;
    Ok(Some(actor))
}

/// The host that the request names: HTTP/2 has it in the target, HTTP/1.1 in a header.
fn authority(head: &Parts) -> &str {
    let host = || head.headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    head.uri.authority().map_or_else(host, |authority| authority.as_str())
}

async fn tile(
    engine: &Engine,
    path: &str,
    actor: Option<&Actor>,
) -> Result<Response<AnswerBody>, Problem> {
    let missing = || Problem::of(Code::RequestNotFound);
    let path = path.strip_prefix("/audit/").and_then(Engine::parse_tile_path);
    match (path.ok_or_else(missing)?, actor) {
        (TilePath::Hashes { level, number, width }, _) => {
            let hashes = engine.tile(level, number, width).await?.ok_or_else(missing)?;
            let mut response = written(StatusCode::OK, OCTET_STREAM, hashes);
            if width == TILE_WIDTH {
                response.headers_mut().insert(CACHE_CONTROL, FOR_EVER);
            }
            Ok(response)
        }
        (TilePath::Entries { number, width }, Some(actor)) => {
            let entries = engine.entries(number, width, actor).await?.ok_or_else(missing)?;
            Ok(written(StatusCode::OK, OCTET_STREAM, entries))
        }
        (TilePath::Entries { .. }, None) => Err(Problem::unauthenticated()),
    }
}

pub(crate) fn written(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Reads the query; a parameter that the route does not take is named.
fn query_of<'a>(names: &[&str], text: Option<&'a str>) -> Result<Query<'a>, Problem> {
    let query = Query::parse(text)
        .map_err(|_| Problem::field("query", "The query is not percent-encoded UTF-8."))?;
    let unknown =
        query.names().find(|name| !names.contains(name)).map(|name| repeated(name).to_owned());
    match unknown {
        Some(name) => Err(Problem::field(name, "There is no such parameter.")),
        None => Ok(query),
    }
}

impl Input<'_> {
    /// What the path names.
    pub(crate) fn id(&self) -> ById {
        ById { id: self.named(0) }
    }

    /// What the path names at this place.
    pub(crate) fn named(&self, place: usize) -> String {
        self.named.get(place).cloned().unwrap_or_default()
    }

    /// Which page is asked for.
    pub(crate) fn paging(&self) -> Result<Paging, Problem> {
        let limit = match self.once("limit")? {
            None => None,
            Some(text) => Some(
                text.parse()
                    .ok()
                    .filter(|limit| (1..=PAGE_MAX).contains(limit))
                    .ok_or_else(|| Problem::field("limit", "A whole number from 1 to 200."))?,
            ),
        };
        Ok(Paging { cursor: self.once("cursor")?.map(str::to_owned), limit })
    }

    /// Which page of a list that is cut is asked for.
    fn page_of(&self, route: &Route) -> Result<Option<Paging>, Problem> {
        route.is_cut().then(|| self.paging()).transpose()
    }

    /// Which page of what is asked for; the route says which names it takes.
    pub(crate) fn search(&self) -> Result<Search, Problem> {
        let mut search = Search::from(self.paging()?);
        for name in Filter::NAMES {
            if let Some(text) = self.once(name)? {
                search.filter.set(name, text)?;
            }
        }
        Ok(search)
    }

    pub(crate) fn once(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        match self.query.value(name) {
            Value::Absent => Ok(None),
            Value::Once(text) => Ok(Some(text)),
            Value::Repeated => Err(Problem::field(name, "The parameter is there twice.")),
        }
    }

    /// The body as a command's fields; the problem names the field that is wrong.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        self.changes(&[])
    }

    /// The same of what is made, where a member without a value may be null: there is nothing yet that
    /// a null could be meant to take away.
    pub(crate) fn with_nulls<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        self.members()
    }

    /// The same of what changes, where null takes these settings away (RFC 7396).
    pub(crate) fn changes<T: DeserializeOwned>(&self, nullable: &[&str]) -> Result<T, Problem> {
        let taken = self.members()?;
        match null_member(&self.body, nullable) {
            Some(name) => Err(Problem::field(name, "Leave it out instead of sending null.")),
            None => Ok(taken),
        }
    }

    fn members<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        // The derived readers would take an array of values in order, too.
        if self.body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problem::because(
                Code::RequestMalformed,
                Cow::Borrowed("The body must be a JSON object."),
            ));
        }
        let taken = serde_json::from_slice(&self.body);
        taken.map_err(|error| wrong_field::<T>(&self.body, &error))
    }
}

/// A member that is null. The derived readers would take it for an absent one: whoever sends a null
/// by mistake, for `expires_at` say, would get something else than was meant.
fn null_member(body: &[u8], nullable: &[&str]) -> Option<String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
    let null = members
        .into_iter()
        .find(|(name, value)| value.get() == "null" && !nullable.contains(&name.as_str()));
    null.map(|(name, _)| repeated(&name).to_owned())
}

/// Finds the field that `error` is about: a member that alone is refused for itself, or the name
/// that the error itself has in backticks.
fn wrong_field<T: DeserializeOwned>(body: &[u8], error: &serde_json::Error) -> Problem {
    let Ok(members) = serde_json::from_slice::<Map<String, Json>>(body) else {
        return Problem::because(
            Code::RequestMalformed,
            Cow::Owned(format!(
                "The body is not JSON, from line {}, column {} on.",
                error.line(),
                error.column()
            )),
        );
    };
    for (name, value) in members {
        let alone = Json::Object(Map::from_iter([(name.clone(), value)]));
        let Err(error) = serde_json::from_value::<T>(alone) else { continue };
        let text = error.to_string();
        if !text.starts_with(MISSING) {
            return Problem::field(repeated(&name).to_owned(), reason(&text));
        }
    }
    let text = error.to_string();
    match text.split('`').nth(1) {
        Some(name) => Problem::field(repeated(name).to_owned(), reason(&text)),
        None => Problem::because(Code::RequestMalformed, Cow::Owned(reason(&text))),
    }
}

const MISSING: &str = "missing field `";
/// Longer than any name of ours.
const NAME_BYTES_MAX: usize = 40;
/// More than any name of ours has.
const NAME_DIGITS_MAX: usize = 2;

/// The reader's reason without the caller's own value in it.
fn reason(text: &str) -> String {
    if text.starts_with("unknown field") {
        return "There is no such field.".to_owned();
    }
    if text.starts_with(MISSING) {
        return "The field is required.".to_owned();
    }
    if text.starts_with("duplicate field") {
        return "The field is there twice.".to_owned();
    }
    let reason = text.split_once(", expected ").map(|(_, expected)| expected);
    let cut = |text: &str| text.split_once(" at line ").map_or(text, |(text, _)| text).to_owned();
    match reason.map(cut) {
        Some(expected) => format!("Expected {}.", in_words(&expected)),
        None => format!("{}.", cut(text)),
    }
}

/// What the reader expects, in the words of JSON and not in those of its types.
fn in_words(expected: &str) -> &str {
    match expected {
        "string or map" => "one of the words that the field knows, as a string",
        "a sequence" => "a list",
        "a map" => "an object",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        text if text.starts_with("struct ") => "an object",
        text => text,
    }
}

/// A caller's name for something, if it could be the name of a field or a parameter. People paste
/// secrets into the wrong place, and proxies and clients keep what answers say.
fn repeated(name: &str) -> &str {
    let is_of_a_name =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    if name.len() <= NAME_BYTES_MAX && digits <= NAME_DIGITS_MAX && name.bytes().all(is_of_a_name) {
        name
    } else {
        "(not repeated)"
    }
}

#[cfg(test)]
mod tests;
