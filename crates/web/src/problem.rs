//! Problems (RFC 9457): the only place where a code becomes a status.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Response, StatusCode, Version, header::HeaderValue};
use serde::Serialize;
use tradewarden_domain::code::{Class, Code};
use tradewarden_domain::id::{self, Id};
use tradewarden_engine::command::CommandError;
use tradewarden_engine::intake::{AccountResult, Delivery};

use crate::body::AnswerBody;
use crate::listen::BodyError;

/// What stands before the code in a problem's `type`.
pub(crate) const TYPE_PREFIX: &str = "urn:tradewarden:problem:";
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
const ACCEPT_SIGNATURE: HeaderName = HeaderName::from_static("accept-signature");
/// What a signature covers at least (RFC 9421 section 5).
const WANTED_SIGNATURE: &str =
    "sig1=(\"@method\" \"@target-uri\");created;nonce;keyid;tag=\"tw-v1\"";
/// Seconds after which a request that could not be made durable may come again.
const UNAVAILABLE_RETRY_S: u64 = 5;

/// The status of an answer that names this code.
pub(crate) const fn status_of(code: Code) -> StatusCode {
    match code {
        Code::RequestMethod => StatusCode::METHOD_NOT_ALLOWED,
        Code::RequestPrecondition => StatusCode::PRECONDITION_FAILED,
        Code::RequestHeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        _ => status_of_class(code.class()),
    }
}

const fn status_of_class(class: Class) -> StatusCode {
    match class {
        Class::Skip => StatusCode::OK,
        Class::Malformed => StatusCode::BAD_REQUEST,
        Class::Unauthenticated => StatusCode::UNAUTHORIZED,
        Class::Forbidden => StatusCode::FORBIDDEN,
        Class::NotFound => StatusCode::NOT_FOUND,
        Class::TooSlow => StatusCode::REQUEST_TIMEOUT,
        Class::Conflict => StatusCode::CONFLICT,
        Class::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Class::Refused | Class::Order => StatusCode::UNPROCESSABLE_ENTITY,
        Class::Limited => StatusCode::TOO_MANY_REQUESTS,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// An answer that is no yes.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) detail: Cow<'static, str>,
    particulars: Option<Box<Particulars>>,
    challenge: Challenge,
}

/// What only some problems can say.
#[derive(Debug, Default)]
pub(crate) struct Particulars {
    /// The stored signal.
    pub(crate) signal_id: Option<Id<id::Signal>>,
    /// The order that was refused and stored, or the first of two that are alike.
    pub(crate) order_id: Option<Id<id::Order>>,
    /// The field or parameter that is wrong.
    pub(crate) field: Option<Cow<'static, str>>,
    /// What was asked for.
    pub(crate) input: Option<String>,
    /// What is allowed.
    pub(crate) limit: Option<String>,
    /// When a limited request may come again.
    pub(crate) retry_after_s: Option<u64>,
    /// What became of a signal on each account.
    pub(crate) accounts: Vec<AccountResult>,
}

/// How a caller who is not authenticated is told to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Challenge {
    /// Not at all.
    None,
    /// With a bearer token.
    Bearer,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: ProblemType,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: Code,
    request_id: Id<id::Request>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal_id: Option<Id<id::Signal>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<Id<id::Order>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    accounts: &'a [AccountResult],
}

struct ProblemType(Code);

impl Serialize for ProblemType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{TYPE_PREFIX}{}", self.0))
    }
}

impl Problem {
    /// The problem that says no more than its code.
    pub(crate) const fn of(code: Code) -> Self {
        Self::because(code, Cow::Borrowed(code.meaning()))
    }

    pub(crate) const fn because(code: Code, detail: Cow<'static, str>) -> Self {
        Self { code, detail, particulars: None, challenge: Challenge::None }
    }

    /// The same, with what it can say beyond its sentence.
    pub(crate) fn with(mut self, particulars: Particulars) -> Self {
        self.particulars = Some(Box::new(particulars));
        self
    }

    /// A field of the body or a parameter of the query that cannot be taken.
    pub(crate) fn field(
        field: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::because(Code::RequestMalformed, detail.into())
            .with(Particulars { field: Some(field.into()), ..Particulars::default() })
    }

    /// No credential, or a wrong one.
    pub(crate) fn unauthenticated() -> Self {
        Self { challenge: Challenge::Bearer, ..Self::of(Code::Unauthenticated) }
    }

    #[cfg(test)]
    pub(crate) fn named_field(&self) -> Option<&str> {
        self.particulars.as_deref()?.field.as_deref()
    }

    /// The answer to a request.
    pub(crate) fn answer(self, request_id: Id<id::Request>) -> Response<AnswerBody> {
        self.written(request_id, AnswerBody::whole)
    }

    /// The answer to a signal that was stored.
    pub(crate) fn answer_to_signal(
        self,
        request_id: Id<id::Request>,
        delivery: Delivery,
    ) -> Response<AnswerBody> {
        self.written(request_id, |bytes| AnswerBody::signal(bytes, delivery))
    }

    /// The answer to what is no request yet.
    pub(crate) fn answer_whole(self, request_id: Id<id::Request>) -> Response<Bytes> {
        self.written(request_id, Bytes::from)
    }

    fn written<B>(
        mut self,
        request_id: Id<id::Request>,
        body: impl FnOnce(Vec<u8>) -> B,
    ) -> Response<B> {
        let status = status_of(self.code);
        if status.is_server_error() {
            // What went wrong inside is for the log.
            self = Self::of(self.code);
        }
        let mut response = Response::new(body(self.document(status, request_id)));
        *response.status_mut() = status;
        self.add_headers(status, response.headers_mut());
        response
    }

    fn document(&self, status: StatusCode, request_id: Id<id::Request>) -> Vec<u8> {
        let particulars = self.particulars.as_deref();
        let document = Document {
            kind: ProblemType(self.code),
            title: self.code.meaning(),
            status: status.as_u16(),
            detail: &self.detail,
            code: self.code,
            request_id,
            signal_id: particulars.and_then(|more| more.signal_id),
            order_id: particulars.and_then(|more| more.order_id),
            field: particulars.and_then(|more| more.field.as_deref()),
            input: particulars.and_then(|more| more.input.as_deref()),
            limit: particulars.and_then(|more| more.limit.as_deref()),
            accounts: particulars.map_or(&[], |more| &more.accounts),
        };
        // Nothing in it can fail to serialize; an empty body would still carry the status.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    fn add_headers(&self, status: StatusCode, headers: &mut HeaderMap) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        let retry_after_s = match status {
            StatusCode::TOO_MANY_REQUESTS => {
                let seconds = self.particulars.as_deref().and_then(|more| more.retry_after_s);
                Some(seconds.unwrap_or(1).max(1))
            }
            StatusCode::SERVICE_UNAVAILABLE => Some(UNAVAILABLE_RETRY_S),
            _ => None,
        };
        if let Some(seconds) = retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.challenge == Challenge::Bearer {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            headers.insert(ACCEPT_SIGNATURE, HeaderValue::from_static(WANTED_SIGNATURE));
        }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        Self::of(match error {
            BodyError::TooLarge => Code::RequestTooLarge,
            BodyError::TooSlow => Code::RequestTooSlow,
            BodyError::Broken => Code::RequestMalformed,
        })
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Invalid { field, detail } => Self::field(field, detail),
            CommandError::NotFound => Self::of(Code::RequestNotFound),
            CommandError::Refused { code: Code::Unauthenticated, .. } => Self::unauthenticated(),
            CommandError::Refused { code, detail } => Self::because(code, Cow::Owned(detail)),
            CommandError::Order(no) => {
                Self::because(no.code, Cow::Owned(no.detail)).with(Particulars {
                    order_id: no.order_id,
                    input: no.input,
                    limit: no.limit,
                    ..Particulars::default()
                })
            }
            CommandError::Unavailable { detail } => {
                tracing::error!(%detail, "a command could not be carried out");
                Self::of(Code::NotDurable)
            }
        }
    }
}

/// What follows an unread or half-read body on an HTTP/1.1 connection is not a request: the
/// connection is given up. HTTP/2 has frames for that, and forbids the header.
pub(crate) fn give_up_connection(version: Version, response: &mut Response<AnswerBody>) {
    if version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use tradewarden_engine::intake::SignalStatus;

    fn parts(problem: Problem) -> (StatusCode, HeaderMap, Value) {
        let response = problem.answer(Id::from_bytes([7; 16]));
        let (head, body) = response.into_parts();
        let mut body = Box::pin(body.collect());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(Ok(body)) = Future::poll(body.as_mut(), &mut context) else {
            panic!("a whole body is there at once");
        };
        (head.status, head.headers, serde_json::from_slice(&body.to_bytes()).unwrap())
    }

    fn everything() -> Particulars {
        Particulars {
            signal_id: Some(Id::from_bytes([1; 16])),
            order_id: Some(Id::from_bytes([2; 16])),
            field: Some("quantity".into()),
            input: Some("9".to_owned()),
            limit: Some("5".to_owned()),
            retry_after_s: Some(3),
            accounts: vec![AccountResult {
                account_id: Id::from_bytes([3; 16]),
                strategy_id: Id::from_bytes([4; 16]),
                result: SignalStatus::Refused,
                code: Some(Code::HaltActive),
                order_id: None,
                order_ids: Vec::new(),
            }],
        }
    }

    #[test]
    fn every_class_has_its_status() {
        for (class, status) in [
            (Class::Skip, 200),
            (Class::Malformed, 400),
            (Class::Unauthenticated, 401),
            (Class::Forbidden, 403),
            (Class::NotFound, 404),
            (Class::TooSlow, 408),
            (Class::Conflict, 409),
            (Class::TooLarge, 413),
            (Class::Refused, 422),
            (Class::Order, 422),
            (Class::Limited, 429),
            (Class::Unavailable, 503),
        ] {
            assert_eq!(status_of_class(class).as_u16(), status, "{class:?}");
        }
        assert_eq!(status_of(Code::RequestMethod).as_u16(), 405);
        assert_eq!(status_of(Code::RequestPrecondition).as_u16(), 412);
    }

    #[test]
    fn every_code_is_a_whole_problem() {
        for code in Code::ALL {
            let (status, headers, body) = parts(Problem::of(*code));
            assert_eq!(headers["content-type"], "application/problem+json");
            assert_eq!(body["type"], format!("urn:tradewarden:problem:{code}"));
            assert_eq!(body["status"], status.as_u16());
            assert_eq!(body["code"], code.text());
            assert_eq!(body["title"], code.meaning());
            assert_eq!(body["request_id"].as_str().unwrap().len(), 30);
        }
    }

    #[test]
    fn a_server_error_says_nothing_but_its_code() {
        let talkative = Problem::because(Code::NotDurable, Cow::Borrowed("disk /dev/sda1 is full"))
            .with(everything());
        let (status, headers, body) = parts(talkative);
        assert_eq!(status, 503);
        assert_eq!(headers["retry-after"], "5");
        assert_eq!(body, parts(Problem::of(Code::NotDurable)).2);
    }

    #[test]
    fn a_limited_request_waits_a_second_at_least() {
        for (wait, header) in [(None, "1"), (Some(0), "1"), (Some(7), "7")] {
            let particulars = Particulars { retry_after_s: wait, ..Particulars::default() };
            let problem = Problem::of(Code::LimitRate).with(particulars);
            assert_eq!(parts(problem).1["retry-after"], header);
        }
    }

    #[test]
    fn what_a_rule_compared_is_shown() {
        let (status, _, body) = parts(Problem::of(Code::RiskMaxOrderQuantity).with(everything()));
        assert_eq!(status, 422);
        assert_eq!((&body["input"], &body["limit"]), (&json!("9"), &json!("5")));
        assert_eq!(body["field"], "quantity");
        assert!(body["signal_id"].as_str().unwrap().starts_with("sig_"));
    }

    #[test]
    fn a_problem_is_what_the_document_says() {
        let schema = crate::schema::all().remove("Problem").unwrap();
        let names =
            |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
        let full = parts(Problem::of(Code::HaltActive).with(everything())).2;
        assert_eq!(names(&full), names(&schema["properties"]));
        let bare = parts(Problem::of(Code::HaltActive)).2;
        let mut required: Vec<String> = serde_json::from_value(schema["required"].clone()).unwrap();
        required.sort();
        assert_eq!(names(&bare), required);
    }

    #[test]
    fn only_the_operators_door_shows_a_challenge() {
        assert_eq!(parts(Problem::unauthenticated()).1["www-authenticate"], "Bearer");
        let (_, headers, body) = parts(Problem::of(Code::Unauthenticated));
        assert!(!headers.contains_key("www-authenticate"));
        assert_eq!(body, parts(Problem::unauthenticated()).2);
    }
}
