//! The signature base (RFC 9421 section 2.5): the one text that is signed.

use super::{
    MAX_FIELD_BYTES, Origin, SignatureError,
    message::{Class, Known, Received},
};

/// Largest signature base, in bytes.
const MAX_BASE_BYTES: usize = 64 * 1024;

/// More than the base of an order has; a longer one grows.
const COMMON_BASE_BYTES: usize = 1_024;

/// A component without parameters: a part of the request line (RFC 9421 section 2.2) or a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Component<'a> {
    Method,
    TargetUri,
    Authority,
    Scheme,
    RequestTarget,
    Path,
    Query,
    Known(Known),
    Field(&'a str),
}

impl<'a> Component<'a> {
    pub(super) fn parse(name: &'a str) -> Result<Self, SignatureError> {
        Ok(match name {
            "@method" => Self::Method,
            "@target-uri" => Self::TargetUri,
            "@authority" => Self::Authority,
            "@scheme" => Self::Scheme,
            "@request-target" => Self::RequestTarget,
            "@path" => Self::Path,
            "@query" => Self::Query,
            field => match Known::parse(field) {
                Some(known) => Self::Known(known),
                None if is_field_name(field) => Self::Field(field),
                None => return Err(SignatureError::Component),
            },
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
            Self::Known(known) => known.name(),
            Self::Field(name) => name,
        }
    }
}

fn is_field_name(name: &str) -> bool {
    !name.is_empty()
        && Class::TOKEN.has_all(name)
        && !name.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// The text that is signed. `authority` is the received one, normalised; `parameters` is the value
/// of `@signature-params`, taken as it is.
pub(super) fn signature_base(
    received: &Received<'_>,
    origin: &Origin,
    authority: &str,
    components: &[Component<'_>],
    parameters: &str,
) -> Result<String, SignatureError> {
    let request = &received.request;
    let parts = || request.target.split_once('?').unwrap_or((request.target, ""));
    let mut base = String::with_capacity(COMMON_BASE_BYTES);
    for component in components {
        // One after the other, so that the common names are copied as constants.
        match component {
            Component::Method => push(&mut base, "\"@method\": ", request.method),
            Component::TargetUri => {
                push(&mut base, "\"@target-uri\": https://", origin.authority());
                base.push_str(request.target);
            }
            Component::Authority => push(&mut base, "\"@authority\": ", authority),
            Component::Scheme => push(&mut base, "\"@scheme\": ", "https"),
            Component::RequestTarget => push(&mut base, "\"@request-target\": ", request.target),
            Component::Path => push(&mut base, "\"@path\": ", parts().0),
            // A query that is not there and an empty one are the same here (section 2.2.7).
            Component::Query => push(&mut base, "\"@query\": ?", parts().1),
            Component::Known(known) => {
                let value = received.field(*known)?.ok_or(SignatureError::Component)?;
                match known {
                    Known::ContentDigest => push(&mut base, "\"content-digest\": ", value),
                    Known::ContentType => push(&mut base, "\"content-type\": ", value),
                    Known::IdempotencyKey => push(&mut base, "\"idempotency-key\": ", value),
                    other => push_field(&mut base, other.name(), value),
                }
            }
            Component::Field(name) => {
                let value = request.field(name, MAX_FIELD_BYTES)?;
                push_field(&mut base, name, &value.ok_or(SignatureError::Component)?);
            }
        }
        base.push('\n');
        if base.len() > MAX_BASE_BYTES {
            return Err(SignatureError::Malformed);
        }
    }
    push(&mut base, "\"@signature-params\": ", parameters);
    Ok(base)
}

#[inline]
fn push(base: &mut String, name: &str, value: &str) {
    base.push_str(name);
    base.push_str(value);
}

fn push_field(base: &mut String, name: &str, value: &str) {
    base.push('"');
    push(base, name, "\": ");
    base.push_str(value);
}
