//! Sessions in a browser: the cookie that shows one.

use hyper::header::{HeaderName, HeaderValue, SET_COOKIE};
use hyper::{Response, StatusCode};
use serde_json::Value;
use tradewarden_engine::people::{COOKIE, Cookie, Said};

use crate::api::written;
use crate::body::AnswerBody;
use crate::service::APPLICATION_JSON;

/// For this host alone, over TLS alone, out of reach of scripts, and never along with a request that
/// another site makes (RFC 6265bis).
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");
/// What a browser has of us goes with the session.
const EVERYTHING: HeaderValue = HeaderValue::from_static("\"cache\", \"cookies\", \"storage\"");

/// The answer to what a person asked about themselves.
pub(crate) fn answer(status: StatusCode, said: Said) -> Response<AnswerBody> {
    let accepted = said.value.get("status").and_then(Value::as_str) == Some("accepted");
    let status = if accepted { StatusCode::ACCEPTED } else { status };
    let body = serde_json::to_vec(&said.value).unwrap_or_default();
    let mut response = written(status, APPLICATION_JSON, body);
    let headers = response.headers_mut();
    let cookie = match said.cookie {
        Cookie::Keep => return response,
        Cookie::Set { token, max_age_s } => {
            format!("{COOKIE}={}; {ATTRIBUTES}; Max-Age={max_age_s}", token.expose())
        }
        Cookie::Clear => {
            headers.insert(CLEAR_SITE_DATA, EVERYTHING);
            format!("{COOKIE}=; {ATTRIBUTES}; Max-Age=0")
        }
    };
    // Letters, digits and underscores: always a header.
    if let Ok(mut value) = HeaderValue::from_str(&cookie) {
        value.set_sensitive(true);
        headers.insert(SET_COOKIE, value);
    }
    response
}
