//! The `OpenAPI` 3.1 document, made from the table of routes.

use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use crate::api::PAGE_MAX;
use crate::problem::{PROBLEM_JSON, status_of};
use crate::route::{self, Access, Handler, Route, Shape, Takes};
use crate::schema::{self, reference};

const JSON: &str = "application/json";

/// The document.
pub(crate) fn document() -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in route::routes() {
        let method = route.method.as_str().to_ascii_lowercase();
        paths.entry(written_path(route)).or_default().insert(method, operation(route));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tradewarden",
            "description": "A security-first trading gateway. Amounts are decimal strings, times \
                            are RFC 3339 in UTC, identifiers have a prefix that says of what. \
                            Errors are problems (RFC 9457) with a code from a closed list.",
            "version": "v1",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schema::all(),
            "securitySchemes": {
                "person": {
                    "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": "A person's access token, of `POST /api/v1/auth/login`.",
                },
                "session": {
                    "type": "apiKey", "in": "cookie", "name": "__Host-tw_sid",
                    "description": "A person's session in a browser.",
                },
                "signature": {
                    "type": "apiKey", "in": "header", "name": "Signature",
                    "description": "HTTP Message Signatures (RFC 9421), profile `tw-v1`, by an API \
                                    key; see the guide.",
                },
                "webhookQuery": {
                    "type": "apiKey", "in": "query", "name": "secret",
                    "description": "The webhook's secret.",
                },
                "webhookHeader": {
                    "type": "apiKey", "in": "header", "name": "X-Webhook-Secret",
                    "description": "The webhook's secret.",
                },
                "webhookSignature": {
                    "type": "apiKey", "in": "header", "name": "webhook-signature",
                    "description": "Standard Webhooks 1.0.0, with `webhook-id` and \
                                    `webhook-timestamp`.",
                },
            },
        },
    })
}

/// The path as `OpenAPI` writes it: the rest of a path is a parameter like others.
fn written_path(route: &Route) -> String {
    route.path.replace("{*", "{")
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "parameters": parameters(route),
        "security": security(route.access),
        "responses": responses(route),
    });
    let body = match route.takes {
        Takes::Nothing | Takes::Paging | Takes::List(_) | Takes::Versions | Takes::Reason => None,
        Takes::Body(name) => Some(json!({
            "required": true, "content": {JSON: {"schema": {"$ref": reference(name)}}},
        })),
        Takes::OptionalBody(name) => Some(json!({
            "required": false, "content": {JSON: {"schema": {"$ref": reference(name)}}},
        })),
        Takes::Signal => Some(json!({
            "required": true,
            "description": "Read by its content, whatever its content type: Tradewarden's own form, \
                            TradersPost's, or the sender's own by the webhook's mapping. The \
                            member `secret` may hold the webhook's secret.",
            "content": {JSON: {"schema": {"type": "object"}}, "text/plain": {}},
        })),
        Takes::SignedSignal => Some(json!({
            "required": true,
            "description": "Read by its content: Tradewarden's own form or TradersPost's. The                             member `strategy_id` chooses one of the strategies that follow the key.",
            "content": {JSON: {"schema": {"type": "object"}}},
        })),
    };
    if let (Some(body), Some(members)) = (body, operation.as_object_mut()) {
        members.insert("requestBody".to_owned(), body);
    }
    operation
}

/// For example `get_api_v1_orders_id`: unique, because method and path are.
fn operation_id(route: &Route) -> String {
    let mut id = route.method.as_str().to_ascii_lowercase();
    for word in route.path.split(|letter: char| !letter.is_ascii_alphanumeric()) {
        if !word.is_empty() {
            id.push('_');
            id.push_str(word);
        }
    }
    id
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = route.path.split('{').skip(1).filter_map(|rest| {
        let name = rest.split('}').next()?.trim_start_matches('*');
        Some(json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
    });
    let in_query = route.query().iter().filter_map(|name| {
        let (schema, about) = match *name {
            name if matches!(route.takes, Takes::List(_)) && name != "limit" => searched(name),
            "limit" => (
                json!({"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": 50}),
                "At most so many.",
            ),
            "cursor" => (json!({"type": "string"}), "The `next` of the page before."),
            "from" => (json!({"type": "integer", "minimum": 0}), "The version it was."),
            "to" => (json!({"type": "integer", "minimum": 0}), "The version that came of it."),
            "reason" => (
                json!({"type": "string", "minLength": 1, "maxLength": 256}),
                "Why; it stands in the history.",
            ),
            "dry_run" => (json!({"type": "boolean"}), "Judge the signal, trade nothing."),
            // The secret is a security scheme.
            _ => return None,
        };
        Some(json!({
            "name": name, "in": "query", "required": route.takes == Takes::Versions,
            "description": about, "schema": schema,
        }))
    });
    let changes = route.method != Method::GET
        && matches!(route.handler, Handler::Command(_) | Handler::SignedSignal);
    let in_header = changes.then(|| {
        json!({
            "name": "Idempotency-Key", "in": "header", "required": route.wants_once_key(),
            "description": "The caller's own name for the request: the same key again gets the \
                            same answer, with `Idempotent-Replayed: true`.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 128},
        })
    });
    let condition = route.heeds_if_match().then(|| {
        json!({
            "name": "If-Match", "in": "header", "required": false,
            "description": "The `ETag` of the object as the caller saw it: another content is \
                            refused.",
            "schema": {"type": "string"},
        })
    });
    in_path.chain(in_query).chain(in_header).chain(condition).collect()
}

/// What a list is searched for.
fn searched(name: &str) -> (Value, &'static str) {
    let text = json!({"type": "string", "minLength": 1, "maxLength": 64});
    let instant = json!({"type": "string", "format": "date-time"});
    match name {
        "account_id" => (schema::id("acc_"), "Of this account."),
        "strategy_id" => (schema::id("str_"), "Of this strategy."),
        "source" => (schema::id("(whk|key)_"), "Of this webhook or key."),
        "symbol" => (text, "Of this instrument."),
        "state" => (text, "In this state."),
        "status" => (text, "Of which this became."),
        "code" => (text, "With this reason."),
        "severity" => (text, "That are so bad."),
        "object" => (text, "About the thing with this identifier."),
        "event" => (text, "That say that this happened."),
        "from" => (instant, "From this millisecond on."),
        "to" => (instant, "Before this millisecond."),
        _ => (json!({"type": "string"}), "The `next` of the page before."),
    }
}

/// Any one of the list is enough.
fn security(access: Access) -> Value {
    match access {
        Access::Public | Access::InternalOnly => json!([]),
        Access::Caller | Access::Any(_) => {
            json!([{"person": []}, {"session": []}, {"signature": []}])
        }
        Access::Credential => json!([
            {"webhookQuery": []}, {"webhookHeader": []}, {"webhookSignature": []},
            // In the body, which a security scheme cannot say.
            {},
        ]),
    }
}

fn responses(route: &Route) -> Map<String, Value> {
    let mut responses = Map::new();
    let content = content(route.gives.shape);
    if route.takes_signal() {
        responses.insert(
            StatusCode::OK.as_str().to_owned(),
            json!({"description": "A duplicate, skipped, or a dry run.", "content": content}),
        );
    }
    if route.gives.shape == Shape::One("Readiness") {
        responses.insert(
            StatusCode::SERVICE_UNAVAILABLE.as_str().to_owned(),
            json!({"description": "Not ready.", "content": content}),
        );
    }
    if let Some(schema) = route.accepts() {
        let about = "Accepted: it waits for a second person, or is answered whoever asks.";
        responses.insert(
            StatusCode::ACCEPTED.as_str().to_owned(),
            json!({"description": about, "content": self::content(Shape::One(schema))}),
        );
    }
    if matches!(route.handler, Handler::Stream) {
        responses.insert(
            StatusCode::SWITCHING_PROTOCOLS.as_str().to_owned(),
            json!({"description": "WebSocket: each event is a text frame, a JSON object with \
                                   `event` and `data`."}),
        );
    }
    let description = match route.gives.status {
        StatusCode::ACCEPTED if route.takes_signal() => "Journaled durably; orders go out.",
        StatusCode::ACCEPTED => "Accepted: it is on its way.",
        StatusCode::CREATED => "Done, durably.",
        _ => "Yes.",
    };
    let mut answer = json!({"description": description, "content": content});
    if let Some(members) = answer.as_object_mut().filter(|_| route.is_tagged()) {
        let tag = json!({
            "description": "What the object's content comes to, for `If-Match`.",
            "schema": {"type": "string"},
        });
        members.insert("headers".to_owned(), json!({ "ETag": tag }));
    }
    responses.insert(route.gives.status.as_str().to_owned(), answer);
    let mut problems: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for code in route.codes() {
        let status = status_of(code);
        problems.entry(status.as_str().to_owned()).or_default().push(code.text());
    }
    for (status, codes) in problems {
        responses.insert(status, problem(&format!("`{}`", codes.join("`, `"))));
    }
    if matches!(route.access, Access::Caller | Access::Any(_)) && route.method != Method::GET {
        responses.insert("default".to_owned(), problem("Another rule said no; `code` names it."));
    }
    responses
}

fn problem(description: &str) -> Value {
    json!({
        "description": description,
        "content": {PROBLEM_JSON: {"schema": {"$ref": reference("Problem")}}},
    })
}

fn content(shape: Shape) -> Value {
    match shape {
        Shape::One(name) => json!({JSON: {"schema": {"$ref": reference(name)}}}),
        Shape::PageOf(name) => json!({JSON: {"schema": schema::page_of(name)}}),
        Shape::Other(content_type) => json!({content_type: {}}),
    }
}

#[cfg(test)]
mod tests;
