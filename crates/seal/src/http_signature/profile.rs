//! The profile `tw-v1` of RFC 9421: reading one signature of it, and judging it.

use std::borrow::Cow;

use super::{
    Algorithm, Claim, MAX_AGE_S, MAX_COMPONENTS, MAX_FIELD_BYTES, MAX_SIGNATURES, MAX_UNIX_S,
    Origins, Request, SignatureError, TAG, US_PER_S, VerifyingKey,
    base::{Component, signature_base},
    is_valid_key_id, is_valid_nonce,
    structured::{Bare, Item, Member, Parameter, Value, dictionary},
};
use crate::digest::{base64_decode, base64_decode_into};

/// What a request has of message signatures.
#[expect(clippy::large_enum_variant, reason = "one for each request; a box would be an allocation")]
pub(super) enum Found<'a> {
    None,
    /// Signatures, and none with our tag.
    Foreign,
    Ours(Ours<'a>),
}

pub(super) struct Ours<'a> {
    pub(super) claim: Claim<'a>,
    pub(super) signature: MessageSignature<'a>,
}

/// One signature with our tag.
#[derive(Debug)]
pub(super) struct MessageSignature<'a> {
    components: Vec<Component>,
    /// The value of `@signature-params` as received.
    parameters: Cow<'a, str>,
    algorithm: Option<Algorithm>,
    signature: SignatureBytes,
}

/// The bytes of a signature; of one that is longer than any of ours none, for it cannot be right.
#[derive(Debug)]
struct SignatureBytes {
    bytes: [u8; SIGNATURE_BYTES_MAX],
    length: usize,
}

/// The 64 of Ed25519, and what the decoder wants to have beside them.
const SIGNATURE_BYTES_MAX: usize = 72;

/// Reads `Signature-Input` and `Signature`.
pub(super) fn read<'r>(request: &Request<'r>) -> Result<Found<'r>, SignatureError> {
    match request.field("signature-input", MAX_FIELD_BYTES)? {
        None if request.lines("signature") > 0 => Ok(Found::Foreign),
        None => Ok(Found::None),
        Some(Cow::Borrowed(inputs)) => read_inputs(request, inputs),
        // Several lines, which were put together: what is found does not lie in the request.
        Some(Cow::Owned(inputs)) => Ok(match read_inputs(request, &inputs)? {
            Found::None => Found::None,
            Found::Foreign => Found::Foreign,
            Found::Ours(ours) => Found::Ours(ours.into_owned()),
        }),
    }
}

fn read_inputs<'a>(request: &Request<'_>, inputs: &'a str) -> Result<Found<'a>, SignatureError> {
    let inputs = dictionary(inputs, MAX_SIGNATURES, MAX_COMPONENTS)?;
    let mut tagged = inputs.into_iter().filter(|input| is_tagged(&input.parameters));
    let Some(input) = tagged.next() else { return Ok(Found::Foreign) };
    if tagged.next().is_some() {
        return Err(SignatureError::Several);
    }
    let Value::List(items) = &input.value else { return Err(SignatureError::Malformed) };
    let components = read_components(items)?;
    let (claim, algorithm) = read_parameters(&input.parameters)?;
    let signature = read_signature(request, input.key)?;
    let parameters = Cow::Borrowed(input.text);
    let signature = MessageSignature { components, parameters, algorithm, signature };
    Ok(Found::Ours(Ours { claim, signature }))
}

impl Ours<'_> {
    fn into_owned(self) -> Ours<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        let (claim, signature) = (self.claim, self.signature);
        Ours {
            claim: Claim {
                key_id: owned(claim.key_id),
                nonce: owned(claim.nonce),
                created_unix_us: claim.created_unix_us,
                expires_unix_us: claim.expires_unix_us,
            },
            signature: MessageSignature {
                components: signature.components,
                parameters: owned(signature.parameters),
                algorithm: signature.algorithm,
                signature: signature.signature,
            },
        }
    }
}

fn is_tagged(parameters: &[Parameter<'_>]) -> bool {
    parameters.iter().any(|parameter| parameter.name == "tag" && parameter.value == Bare::Text(TAG))
}

fn read_components(items: &[Item<'_>]) -> Result<Vec<Component>, SignatureError> {
    let mut components: Vec<Component> = Vec::with_capacity(items.len());
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

fn read_parameters<'a>(
    parameters: &[Parameter<'a>],
) -> Result<(Claim<'a>, Option<Algorithm>), SignatureError> {
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
        key_id: Cow::Borrowed(key_id),
        nonce: Cow::Borrowed(nonce),
        created_unix_us: created * US_PER_S,
        expires_unix_us: expires.map(|expires| expires * US_PER_S),
    };
    Ok((claim, algorithm))
}

/// The signature with this label.
fn read_signature(request: &Request<'_>, label: &str) -> Result<SignatureBytes, SignatureError> {
    let field = request.field("signature", MAX_FIELD_BYTES)?.ok_or(SignatureError::Malformed)?;
    let signatures = dictionary(&field, MAX_SIGNATURES, 0)?;
    let ours = signatures.iter().find(|signature| signature.key == label);
    let Some(Member { value: Value::Bare(Bare::Bytes(encoded)), parameters, .. }) = ours else {
        return Err(SignatureError::Malformed);
    };
    if !parameters.is_empty() {
        return Err(SignatureError::Malformed);
    }
    let mut signature = SignatureBytes { bytes: [0; SIGNATURE_BYTES_MAX], length: 0 };
    match base64_decode_into(encoded, &mut signature.bytes) {
        Ok(length) => signature.length = length,
        Err(_) => drop(base64_decode(encoded).map_err(|_| SignatureError::Malformed)?),
    }
    Ok(signature)
}

impl SignatureBytes {
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl MessageSignature<'_> {
    /// Whether everything is covered that this request must not be without.
    pub(super) fn check_coverage(&self, request: &Request<'_>) -> Result<(), SignatureError> {
        let covers = |name: &str| self.components.iter().any(|covered| covered.name() == name);
        let body = request.body.is_empty() || (covers("content-digest") && covers("content-type"));
        let is_idempotent = request.lines("idempotency-key") > 0;
        let key = !is_idempotent || covers("idempotency-key");
        let line = covers("@method") && covers("@target-uri");
        if line && body && key { Ok(()) } else { Err(SignatureError::Coverage) }
    }

    pub(super) fn likely_algorithm(&self) -> Algorithm {
        let by_length = if self.signature.length == Algorithm::Ed25519.signature_bytes() {
            Algorithm::Ed25519
        } else {
            Algorithm::HmacSha256
        };
        self.algorithm.unwrap_or(by_length)
    }

    /// The text that is signed for the first of `origins`, and the signature.
    pub(super) fn signed(
        &self,
        request: &Request<'_>,
        origins: &Origins,
        authority: &str,
    ) -> Result<(String, Vec<u8>), SignatureError> {
        let origin = origins.iter().next().ok_or(SignatureError::Authority)?;
        let base = signature_base(request, origin, authority, &self.components, &self.parameters)?;
        Ok((base, self.signature.as_slice().to_vec()))
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
            if key.verifies(base.as_bytes(), self.signature.as_slice()) {
                return Ok(());
            }
        }
        Err(SignatureError::Mismatch)
    }
}
