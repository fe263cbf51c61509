//! The signing side: what a client sends. Built from the same parts as the verifier.

use super::{
    Headers, MAX_AGE_S, Origin, Request, SignatureError, SigningKey, TAG,
    base::{Component, signature_base},
    content_digest, is_valid_key_id, is_valid_nonce,
    message::{Known, Received},
    simple::{HEADERS, signed_text},
};
use crate::{
    Randomness,
    digest::{base64_encode, base64url_encode, hex_encode},
    randomness::random_array,
};

/// What is to be signed.
#[derive(Clone, Copy, Debug)]
pub struct RequestToSign<'a> {
    /// The method, in its own case.
    pub method: &'a str,
    /// The gateway's public origin.
    pub origin: &'a Origin,
    /// Path and query in the bytes that will be sent.
    pub target: &'a str,
    /// `Content-Type`, if it will be sent. Needed with a body.
    pub content_type: Option<&'a str>,
    /// `Idempotency-Key`, if it will be sent.
    pub idempotency_key: Option<&'a str>,
    /// The body; empty when there is none.
    pub body: &'a [u8],
}

/// What the signature says of itself.
#[derive(Clone, Copy, Debug)]
pub struct SigningParameters<'a> {
    /// The key, as the gateway knows it.
    pub key_id: &'a str,
    /// Now, in seconds since 1970.
    pub created_unix_s: i64,
    /// When it ends, in seconds since 1970: at most [`MAX_AGE_S`] after its making.
    pub expires_unix_s: Option<i64>,
    /// Unique for the key: [`new_nonce`].
    pub nonce: &'a str,
}

/// The headers to send beside those that were signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureHeaders {
    /// `Content-Digest`, with a body only.
    pub content_digest: Option<String>,
    /// `Signature-Input`.
    pub signature_input: String,
    /// `Signature`.
    pub signature: String,
}

impl SignatureHeaders {
    /// Names in lower case, and values.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let digest = self.content_digest.as_deref().map(|value| ("content-digest", value));
        digest.into_iter().chain([
            ("signature-input", self.signature_input.as_str()),
            ("signature", self.signature.as_str()),
        ])
    }
}

/// A nonce of 128 random bits, 22 characters of base64url.
pub fn new_nonce(randomness: &mut dyn Randomness) -> String {
    base64url_encode(&random_array::<16>(randomness))
}

/// Signs in the profile `tw-v1`, everything that it wants covered.
///
/// The parameters stand in the order created, expires, nonce, alg, keyid, tag, which also those
/// verifiers take that write the parameters anew instead of taking them as received. Refuses with
/// the verifier's reasons what the verifier would refuse.
pub fn sign(
    key: &SigningKey,
    request: &RequestToSign<'_>,
    parameters: &SigningParameters<'_>,
) -> Result<SignatureHeaders, SignatureError> {
    let lasts_s = parameters.expires_unix_s.map_or(MAX_AGE_S, |expires_unix_s| {
        expires_unix_s.saturating_sub(parameters.created_unix_s)
    });
    if !is_valid_key_id(parameters.key_id)
        || !is_valid_nonce(parameters.nonce)
        || !(0..=super::MAX_UNIX_S).contains(&parameters.created_unix_s)
        || !(1..=MAX_AGE_S).contains(&lasts_s)
    {
        return Err(SignatureError::Parameter);
    }
    let has_body = !request.body.is_empty();
    if has_body && request.content_type.is_none() {
        return Err(SignatureError::Coverage);
    }
    let content_digest = has_body.then(|| content_digest(request.body));
    let headers: Vec<(&'static str, &str)> = [
        ("content-digest", content_digest.as_deref()),
        ("content-type", request.content_type.filter(|_| has_body)),
        ("idempotency-key", request.idempotency_key),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    let fields = headers.iter().filter_map(|(name, _)| Known::parse(name)).map(Component::Known);
    let components: Vec<_> =
        [Component::Method, Component::TargetUri].into_iter().chain(fields).collect();
    let signature_params = print_parameters(key, &components, parameters);
    let lines = headers.as_slice();
    let received = as_received(request, &lines);
    received.check()?;
    let authority = request.origin.authority();
    let base = signature_base(
        &Received::new(received),
        request.origin,
        authority,
        &components,
        &signature_params,
    )?;
    let signature = base64_encode(&key.sign(base.as_bytes())?);
    Ok(SignatureHeaders {
        content_digest,
        signature_input: format!("sig1={signature_params}"),
        signature: format!("sig1=:{signature}:"),
    })
}

/// Signs in the simple form; the four headers. `created_unix_ms` is now, in milliseconds since 1970.
pub fn sign_simple(
    key: &SigningKey,
    request: &RequestToSign<'_>,
    key_id: &str,
    created_unix_ms: i64,
    nonce: &str,
) -> Result<[(&'static str, String); 4], SignatureError> {
    if !matches!(key, SigningKey::HmacSha256(_)) {
        return Err(SignatureError::Algorithm);
    }
    if !is_valid_key_id(key_id) || !is_valid_nonce(nonce) || created_unix_ms < 0 {
        return Err(SignatureError::Parameter);
    }
    let lines: &[(&str, &str)] = &[];
    let received = as_received(request, &lines);
    received.check()?;
    let timestamp = created_unix_ms.to_string();
    let signature = key.sign(signed_text(&received, &timestamp, nonce).as_bytes())?;
    let [key_name, timestamp_name, nonce_name, signature_name] = HEADERS.map(Known::name);
    Ok([
        (key_name, key_id.to_owned()),
        (timestamp_name, timestamp),
        (nonce_name, nonce.to_owned()),
        (signature_name, hex_encode(&signature)),
    ])
}

/// The request as the gateway will see it.
fn as_received<'a>(request: &RequestToSign<'a>, headers: &'a dyn Headers) -> Request<'a> {
    Request {
        method: request.method,
        target: request.target,
        authority: request.origin.authority(),
        headers,
        body: request.body,
    }
}

fn print_parameters(
    key: &SigningKey,
    components: &[Component<'_>],
    parameters: &SigningParameters<'_>,
) -> String {
    let covered: Vec<_> =
        components.iter().map(|component| format!("\"{}\"", component.name())).collect();
    let expires =
        parameters.expires_unix_s.map_or(String::new(), |unix_s| format!(";expires={unix_s}"));
    format!(
        "({});created={}{expires};nonce=\"{}\";alg=\"{}\";keyid=\"{}\";tag=\"{TAG}\"",
        covered.join(" "),
        parameters.created_unix_s,
        parameters.nonce,
        key.algorithm().name(),
        parameters.key_id,
    )
}
