//! The signature base (RFC 9421 section 2.5): the one text that is signed.

use std::borrow::Cow;

use super::{MAX_FIELD_BYTES, Origin, Request, SignatureError, message::Class};

/// Largest signature base, in bytes.
const MAX_BASE_BYTES: usize = 64 * 1024;

/// More than the base of an order has; a longer one grows.
const COMMON_BASE_BYTES: usize = 1_024;

/// A component without parameters: a part of the request line (RFC 9421 section 2.2) or a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Component {
    Method,
    TargetUri,
    Authority,
    Scheme,
    RequestTarget,
    Path,
    Query,
    Field(Cow<'static, str>),
}

impl Component {
    pub(super) fn parse(name: &str) -> Result<Self, SignatureError> {
        Ok(match name {
            "@method" => Self::Method,
            "@target-uri" => Self::TargetUri,
            "@authority" => Self::Authority,
            "@scheme" => Self::Scheme,
            "@request-target" => Self::RequestTarget,
            "@path" => Self::Path,
            "@query" => Self::Query,
            // Those of every signature of ours.
            "content-digest" => Self::Field(Cow::Borrowed("content-digest")),
            "content-type" => Self::Field(Cow::Borrowed("content-type")),
            "idempotency-key" => Self::Field(Cow::Borrowed("idempotency-key")),
            field
                if !field.is_empty()
                    && Class::TOKEN.has_all(field)
                    && !field.bytes().any(|byte| byte.is_ascii_uppercase()) =>
            {
                Self::Field(Cow::Owned(field.to_owned()))
            }
            _ => return Err(SignatureError::Component),
        })
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Method => "@method",
            Self::TargetUri => "@target-uri",
            Self::Authority => "@authority",
            Self::Scheme => "@scheme",
            Self::RequestTarget => "@request-target",
            Self::Path => "@path",
            Self::Query => "@query",
            Self::Field(name) => name,
        }
    }
}

/// The text that is signed. `authority` is the received one, normalised; `parameters` is the value
/// of `@signature-params`, taken as it is.
pub(super) fn signature_base(
    request: &Request<'_>,
    origin: &Origin,
    authority: &str,
    components: &[Component],
    parameters: &str,
) -> Result<String, SignatureError> {
    let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
    let mut base = String::with_capacity(COMMON_BASE_BYTES);
    for component in components {
        let field;
        let value: &[&str] = match component {
            Component::Method => &[request.method],
            Component::TargetUri => &["https://", origin.authority(), request.target],
            Component::Authority => &[authority],
            Component::Scheme => &["https"],
            Component::RequestTarget => &[request.target],
            Component::Path => &[path],
            // A query that is not there and an empty one are the same here (section 2.2.7).
            Component::Query => &["?", query],
            Component::Field(name) => {
                field = request.field(name, MAX_FIELD_BYTES)?.ok_or(SignatureError::Component)?;
                &[&field]
            }
        };
        push_line(&mut base, component.name(), value);
        base.push('\n');
        if base.len() > MAX_BASE_BYTES {
            return Err(SignatureError::Malformed);
        }
    }
    push_line(&mut base, "@signature-params", &[parameters]);
    Ok(base)
}

fn push_line(base: &mut String, name: &str, value: &[&str]) {
    base.push('"');
    base.push_str(name);
    base.push_str("\": ");
    for part in value {
        base.push_str(part);
    }
}
