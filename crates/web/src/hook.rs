//! The webhook intake: a request becomes a raw signal, and what the engine says an answer.
//!
//! Nothing is judged here but size and time. A request that contradicts itself (a secret given
//! twice, a header that is no text) is handed on under no token at all: so it costs, counts and
//! sounds exactly like every other request whose token is unknown.

use bytes::Bytes;
use hyper::body::Body;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::clear_text::ClearText;
use tradewarden_engine::intake::{
    AccountResult, Presented, RawSignal, Received, SignalAnswer, SignalStatus, SignatureHeaders,
};

use crate::body::AnswerBody;
use crate::problem::{Particulars, Problem, status_of};
use crate::query::{Query, Value};
use crate::service::{APPLICATION_JSON, Exchange, take_body};

/// What stands before the token in the path.
const PATH_PREFIX: &str = "/api/v1/webhooks/";

const SECRET: HeaderName = HeaderName::from_static("x-webhook-secret");
const SIGNED_ID: HeaderName = HeaderName::from_static("webhook-id");
const SIGNED_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Whether this request is for the intake. The table of routes says the same; asking it takes
/// longer.
pub(crate) fn is_signal<B>(request: &Request<B>) -> bool {
    request.method() == Method::POST && token(request.uri().path()).is_some()
}

/// The last part of the path, if that is all there is behind the prefix.
fn token(path: &str) -> Option<&str> {
    path.strip_prefix(PATH_PREFIX).filter(|rest| !rest.is_empty() && !rest.contains('/'))
}

/// Takes a signal.
pub(crate) async fn receive<B>(exchange: &Exchange, request: Request<B>) -> Response<AnswerBody>
where
    B: Body<Data = Bytes>,
{
    let (head, body) = request.into_parts();
    let limit_ms = exchange.site.options().body_timeout_ms;
    let body = match take_body(head.version, body, limit_ms).await {
        Ok(body) => body,
        Err(error) => return Problem::from(error).answer(exchange.request_id),
    };
    let received = exchange.site.engine().receive(raw_signal(exchange, &head, body)).await;
    told(exchange, received)
}

/// The answer to a signal, and its count.
pub(crate) fn told(exchange: &Exchange, received: Received) -> Response<AnswerBody> {
    exchange.site.counters().signal(&received);
    match received {
        Received::Answer(answer) => answered(*answer, exchange.request_id),
        Received::Unauthenticated => Problem::of(Code::Unauthenticated).answer(exchange.request_id),
        Received::Unavailable(code) => Problem::of(code).answer(exchange.request_id),
    }
}

fn raw_signal(exchange: &Exchange, head: &Parts, body: Bytes) -> RawSignal {
    let address =
        exchange.site.options().trusted_proxies.client_address(&exchange.peer, &head.headers);
    let Claim { token, query_secret, header_secret, signature, dry_run } =
        Claim::of(head).unwrap_or_default();
    RawSignal {
        token,
        query_secret: query_secret.map(Presented::new),
        header_secret: header_secret.map(Presented::new),
        signature,
        client_certificate: exchange.peer.client_certificate.clone(),
        address,
        dry_run,
        body: body.into(),
    }
}

/// The secrets of a webhook, or a person's token, in the head of a request that came without TLS, if
/// there are any.
pub(crate) fn seen_in_clear_text(head: &Parts) -> Option<ClearText> {
    let Claim { token, query_secret, header_secret, .. } = Claim::of(head).unwrap_or_default();
    let has_secret = !token.is_empty() && (query_secret.is_some() || header_secret.is_some());
    let authorization = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    (has_secret || authorization.is_some()).then(|| ClearText {
        token,
        query_secret: query_secret.map(Presented::new),
        header_secret: header_secret.map(Presented::new),
        authorization: authorization.map(|text| Presented::new(text.to_owned())),
    })
}

/// What the head of a request claims.
#[derive(Default)]
struct Claim {
    token: String,
    query_secret: Option<String>,
    header_secret: Option<String>,
    signature: Option<SignatureHeaders>,
    dry_run: bool,
}

/// The head of a request says two things at once, or something that is no text.
#[derive(Debug)]
struct Contradiction;

impl Claim {
    fn of(head: &Parts) -> Result<Self, Contradiction> {
        let query = Query::parse(head.uri.query()).map_err(|_| Contradiction)?;
        let query_secret = match query.value("secret") {
            Value::Absent => None,
            Value::Once(secret) => Some(secret.to_owned()),
            Value::Repeated => return Err(Contradiction),
        };
        Ok(Self {
            token: token(head.uri.path()).unwrap_or_default().to_owned(),
            query_secret,
            header_secret: header(&head.headers, &SECRET)?.map(str::to_owned),
            signature: signature(&head.headers)?,
            dry_run: query.is_dry_run(),
        })
    }
}

/// The three headers of Standard Webhooks; a signature without its id or time is a wrong one.
fn signature(headers: &HeaderMap) -> Result<Option<SignatureHeaders>, Contradiction> {
    let Some(signature) = header(headers, &SIGNATURE)? else {
        return Ok(None);
    };
    Ok(Some(SignatureHeaders {
        id: header(headers, &SIGNED_ID)?.unwrap_or_default().to_owned(),
        timestamp: header(headers, &SIGNED_TIMESTAMP)?.unwrap_or_default().to_owned(),
        signature: signature.to_owned(),
    }))
}

/// A header that may come once.
fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Contradiction> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Contradiction),
        (Some(_), Some(_)) => Err(Contradiction),
    }
}

/// What is answered to a signal that was stored.
#[derive(Serialize)]
struct Document<'a> {
    status: &'static str,
    signal_id: Id<id::Signal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    message: &'a str,
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    accounts: &'a [AccountResult],
}

fn answered(answer: SignalAnswer, request_id: Id<id::Request>) -> Response<AnswerBody> {
    let status = match answer.status {
        SignalStatus::Accepted => StatusCode::ACCEPTED,
        SignalStatus::Duplicate | SignalStatus::Skipped | SignalStatus::DryRun => StatusCode::OK,
        SignalStatus::Refused => return refused(answer, request_id),
    };
    let document = Document {
        status: answer.status.text(),
        signal_id: answer.signal_id,
        code: answer.code,
        message: &answer.message,
        timestamp: answer.timestamp,
        accounts: &answer.accounts,
    };
    let mut bytes = Vec::with_capacity(512);
    // Nothing in it can fail to serialize; the status would still say what happened.
    if serde_json::to_writer(&mut bytes, &document).is_err() {
        bytes.clear();
    }
    let mut response = Response::new(AnswerBody::signal(bytes, answer.delivery));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(APPLICATION_JSON));
    response
}

fn refused(answer: SignalAnswer, request_id: Id<id::Request>) -> Response<AnswerBody> {
    let Some(code) = answer.code else {
        tracing::error!(signal_id = %answer.signal_id, "a signal was refused without a reason");
        return Problem::of(Code::NotDurable).answer(request_id);
    };
    let problem = Problem::because(code, answer.message.into()).with(Particulars {
        signal_id: Some(answer.signal_id),
        order_id: None,
        field: answer.field.map(Into::into),
        input: answer.input,
        limit: answer.limit,
        retry_after_s: answer.retry_after_s,
        accounts: answer.accounts,
    });
    if status_of(code).is_server_error() {
        // The sender will come again, as if it had heard nothing (C3).
        drop(answer.delivery);
        return problem.answer(request_id);
    }
    problem.answer_to_signal(request_id, answer.delivery)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(uri: &str, headers: &[(&str, &str)]) -> Result<Claim, Contradiction> {
        let mut request = Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Claim::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn the_intake_is_one_shape_of_path() {
        for (method, path, expected) in [
            ("POST", "/api/v1/webhooks/twh_x", true),
            ("POST", "/api/v1/webhooks/twh_x?secret=y", true),
            ("GET", "/api/v1/webhooks/whk_x", false),
            ("POST", "/api/v1/webhooks/", false),
            ("POST", "/api/v1/webhooks", false),
            ("POST", "/api/v1/webhooks/twh_x/", false),
            ("POST", "/api/v1/webhooks/twh_x/y", false),
            ("POST", "//api/v1/webhooks/twh_x", false),
        ] {
            let request = Request::builder().method(method).uri(path).body(()).unwrap();
            assert_eq!(is_signal(&request), expected, "{method} {path}");
        }
    }

    #[test]
    fn each_form_of_credential_is_found() {
        let claim = claim(
            "/api/v1/webhooks/t?secret=a%2Db&x=1",
            &[
                ("x-webhook-secret", "h"),
                ("webhook-id", "msg_1"),
                ("webhook-timestamp", "1"),
                ("webhook-signature", "v1,AA=="),
            ],
        )
        .unwrap();
        assert_eq!(claim.token, "t");
        assert_eq!(claim.query_secret.as_deref(), Some("a-b"));
        assert_eq!(claim.header_secret.as_deref(), Some("h"));
        let signature = claim.signature.unwrap();
        assert_eq!(
            [signature.id, signature.timestamp, signature.signature],
            ["msg_1", "1", "v1,AA=="]
        );
        assert!(!claim.dry_run);
    }

    #[test]
    fn what_contradicts_itself_claims_nothing() {
        let path = "/api/v1/webhooks/t";
        assert!(claim(&format!("{path}?secret=a&secret=a"), &[]).is_err());
        assert!(claim(&format!("{path}?secret=a&secr%65t=b"), &[]).is_err());
        assert!(claim(&format!("{path}?secret=%zz"), &[]).is_err());
        assert!(claim(path, &[("x-webhook-secret", "a"), ("x-webhook-secret", "a")]).is_err());
        assert!(claim(path, &[("x-webhook-secret", "\u{e9}")]).is_err());
        let twice = [("webhook-signature", "v1,a"), ("webhook-id", "a"), ("webhook-id", "b")];
        assert!(claim(path, &twice).is_err());
        assert!(claim(path, &[("webhook-id", "a")]).unwrap().signature.is_none());
    }

    #[test]
    fn in_doubt_a_run_is_dry() {
        for (query, dry) in [
            ("", false),
            ("?dry_run=false", false),
            ("?dry_run=true", true),
            ("?dry_run", true),
            ("?dry_run=yes", true),
            ("?dry_run=false&dry_run=true", true),
        ] {
            let claim = claim(&format!("/api/v1/webhooks/t{query}"), &[]).unwrap();
            assert_eq!(claim.dry_run, dry, "{query}");
        }
    }
}
