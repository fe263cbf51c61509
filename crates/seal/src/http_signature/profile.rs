//! The profile `tw-v1` of RFC 9421: reading one signature of it, and judging it.

use super::{
    Algorithm, Claim, MAX_AGE_S, MAX_COMPONENTS, MAX_FIELD_BYTES, MAX_SIGNATURES, MAX_UNIX_S,
    Origins, Request, SignatureError, TAG, US_PER_S, VerifyingKey,
    base::{Component, signature_base},
    is_valid_key_id, is_valid_nonce,
    structured::{Bare, Item, Member, Parameter, Value, dictionary},
};
use crate::digest::base64_decode;

/// What a request has of message signatures.
pub(super) enum Found {
    None,
    /// Signatures, and none with our tag.
    Foreign,
    Ours(Ours),
}

pub(super) struct Ours {
    pub(super) claim: Claim,
    pub(super) signature: MessageSignature,
}

/// One signature with our tag.
#[derive(Debug)]
pub(super) struct MessageSignature {
    components: Vec<Component>,
    /// The value of `@signature-params` as received.
    parameters: String,
    algorithm: Option<Algorithm>,
    signature: Vec<u8>,
}

/// Reads `Signature-Input` and `Signature`.
pub(super) fn read(request: &Request<'_>) -> Result<Found, SignatureError> {
    let Some(inputs) = request.field("signature-input", MAX_FIELD_BYTES)? else {
        let is_signed = !request.headers.values("signature").is_empty();
        return Ok(if is_signed { Found::Foreign } else { Found::None });
    };
    let inputs = dictionary(&inputs, MAX_SIGNATURES, MAX_COMPONENTS)?;
    let mut tagged = inputs.into_iter().filter(|input| is_tagged(&input.parameters));
    let Some(input) = tagged.next() else { return Ok(Found::Foreign) };
    if tagged.next().is_some() {
        return Err(SignatureError::Several);
    }
    let Value::List(items) = &input.value else { return Err(SignatureError::Malformed) };
    let components = read_components(items)?;
    let (claim, algorithm) = read_parameters(&input.parameters)?;
    let signature = read_signature(request, input.key)?;
    let parameters = input.text.to_owned();
    let signature = MessageSignature { components, parameters, algorithm, signature };
    Ok(Found::Ours(Ours { claim, signature }))
}

fn is_tagged(parameters: &[Parameter<'_>]) -> bool {
    parameters.iter().any(|parameter| parameter.name == "tag" && parameter.value == Bare::Text(TAG))
}

fn read_components(items: &[Item<'_>]) -> Result<Vec<Component>, SignatureError> {
    let mut components: Vec<Component> = Vec::new();
    for item in items {
        let (Bare::Text(name), []) = (&item.bare, item.parameters.as_slice()) else {
            return Err(SignatureError::Component);
        };
        let component = Component::parse(name)?;
        if components.contains(&component) {
            return Err(SignatureError::Duplicate);
        }
        components.push(component);
    }
    Ok(components)
}

fn read_parameters(
    parameters: &[Parameter<'_>],
) -> Result<(Claim, Option<Algorithm>), SignatureError> {
    let (mut created, mut expires, mut key_id, mut nonce, mut algorithm) =
        (None, None, None, None, None);
    for parameter in parameters {
        match (parameter.name, &parameter.value) {
            ("created", Bare::Integer(unix_s)) => created = Some(*unix_s),
            ("expires", Bare::Integer(unix_s)) => expires = Some(*unix_s),
            ("keyid", Bare::Text(text)) => key_id = Some(*text),
            ("nonce", Bare::Text(text)) => nonce = Some(*text),
            ("alg", Bare::Text(text)) => {
                algorithm = Some(Algorithm::parse(text).ok_or(SignatureError::Algorithm)?);
            }
            ("tag", _) => (),
            // One that we do not know may say that the signature means something else.
            _ => return Err(SignatureError::Parameter),
        }
    }
    let (Some(created), Some(key_id), Some(nonce)) = (created, key_id, nonce) else {
        return Err(SignatureError::Parameter);
    };
    let lasts = |expires: &i64| (1..=MAX_AGE_S).contains(&expires.saturating_sub(created));
    if !(0..=MAX_UNIX_S).contains(&created)
        || !expires.as_ref().is_none_or(lasts)
        || !is_valid_key_id(key_id)
        || !is_valid_nonce(nonce)
    {
        return Err(SignatureError::Parameter);
    }
    let claim = Claim {
        key_id: key_id.to_owned(),
        nonce: nonce.to_owned(),
        created_unix_us: created * US_PER_S,
        expires_unix_us: expires.map(|expires| expires * US_PER_S),
    };
    Ok((claim, algorithm))
}

/// The signature with this label.
fn read_signature(request: &Request<'_>, label: &str) -> Result<Vec<u8>, SignatureError> {
    let field = request.field("signature", MAX_FIELD_BYTES)?.ok_or(SignatureError::Malformed)?;
    let signatures = dictionary(&field, MAX_SIGNATURES, 0)?;
    let ours = signatures.iter().find(|signature| signature.key == label);
    let Some(Member { value: Value::Bare(Bare::Bytes(encoded)), parameters, .. }) = ours else {
        return Err(SignatureError::Malformed);
    };
    if !parameters.is_empty() {
        return Err(SignatureError::Malformed);
    }
    base64_decode(encoded).map_err(|_| SignatureError::Malformed)
}

impl MessageSignature {
    /// Whether everything is covered that this request must not be without.
    pub(super) fn check_coverage(&self, request: &Request<'_>) -> Result<(), SignatureError> {
        let covers = |name: &str| self.components.iter().any(|covered| covered.name() == name);
        let body = request.body.is_empty() || (covers("content-digest") && covers("content-type"));
        let is_idempotent = !request.headers.values("idempotency-key").is_empty();
        let key = !is_idempotent || covers("idempotency-key");
        let line = covers("@method") && covers("@target-uri");
        if line && body && key { Ok(()) } else { Err(SignatureError::Coverage) }
    }

    pub(super) fn likely_algorithm(&self) -> Algorithm {
        let by_length = if self.signature.len() == Algorithm::Ed25519.signature_bytes() {
            Algorithm::Ed25519
        } else {
            Algorithm::HmacSha256
        };
        self.algorithm.unwrap_or(by_length)
    }

    /// Whether `key` signed this request for one of `origins`. `authority` is the received one,
    /// normalised.
    pub(super) fn verify(
        &self,
        request: &Request<'_>,
        key: &VerifyingKey,
        origins: &Origins,
        authority: &str,
    ) -> Result<(), SignatureError> {
        if self.algorithm.is_some_and(|algorithm| algorithm != key.algorithm()) {
            return Err(SignatureError::Algorithm);
        }
        for origin in origins.iter() {
            let base =
                signature_base(request, origin, authority, &self.components, &self.parameters)?;
            if key.verifies(base.as_bytes(), &self.signature) {
                return Ok(());
            }
        }
        Err(SignatureError::Mismatch)
    }
}
