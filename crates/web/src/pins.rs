//! The pins of the public certificate's keys, for whoever wants to hold us to them.

use hyper::Response;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use tradewarden_domain::code::Code;
use tradewarden_engine::Engine;

use crate::api::written;
use crate::problem::Problem;
use crate::service::{APPLICATION_JSON, AnswerBody, TEXT_PLAIN};

/// An XML document.
pub(crate) const APPLICATION_XML: &str = "application/xml; charset=utf-8";
/// Long enough to spare us, short enough for a key that was changed in a hurry.
const AN_HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// The form in which pins are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PinsForm {
    /// JSON, with its signature.
    Signed,
    /// An Android network security configuration.
    Android,
    /// The part of an iOS app's `Info.plist`.
    Ios,
}

pub(crate) fn answer(engine: &Engine, form: PinsForm) -> Result<Response<AnswerBody>, Problem> {
    let pins = engine.pins().ok_or_else(|| Problem::of(Code::RequestNotFound))?;
    let (content_type, body) = match form {
        PinsForm::Signed => (APPLICATION_JSON, serde_json::to_vec(&*pins).unwrap_or_default()),
        PinsForm::Android => (APPLICATION_XML, pins.android().into_bytes()),
        PinsForm::Ios => (TEXT_PLAIN, pins.ios().into_bytes()),
    };
    let mut response = written(StatusCode::OK, content_type, body);
    response.headers_mut().insert(CACHE_CONTROL, AN_HOUR);
    Ok(response)
}
