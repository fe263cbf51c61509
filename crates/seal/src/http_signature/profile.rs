//! The profile `tw-v1` of RFC 9421: reading one signature of it, and judging it.

use smallvec::SmallVec;

use super::{
    Algorithm, Claim, MAX_AGE_S, MAX_COMPONENTS, MAX_SIGNATURES, MAX_UNIX_S, Origins,
    SignatureError, TAG, US_PER_S, VerifyingKey,
    base::{Component, signature_base},
    is_valid_key_id, is_valid_nonce,
    message::{Known, Received},
    structured::{Bare, Dictionary, Item, Member, Parameter, Value},
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

/// Room for as many as most signatures cover.
type Components<'a> = SmallVec<[Component<'a>; 6]>;

/// One signature with our tag.
#[derive(Debug)]
pub(super) struct MessageSignature<'a> {
    components: Components<'a>,
    /// The value of `@signature-params` as received.
    parameters: &'a str,
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
pub(super) fn read<'r>(received: &'r Received<'r>) -> Result<Found<'r>, SignatureError> {
    match received.field(Known::SignatureInput)? {
        None if received.count(Known::Signature) > 0 => Ok(Found::Foreign),
        None => Ok(Found::None),
        Some(inputs) => read_inputs(received, inputs),
    }
}

fn read_inputs<'a>(received: &Received<'_>, inputs: &'a str) -> Result<Found<'a>, SignatureError> {
    let mut dictionary = Dictionary::default();
    dictionary.read(inputs, MAX_SIGNATURES, MAX_COMPONENTS)?;
    let is_ours = |input: &&Member<'a>| is_tagged(dictionary.parameters(input));
    let mut tagged = dictionary.members().iter().filter(is_ours);
    let Some(input) = tagged.next() else { return Ok(Found::Foreign) };
    if tagged.next().is_some() {
        return Err(SignatureError::Several);
    }
    let items = dictionary.items(input).ok_or(SignatureError::Malformed)?;
    let components = read_components(items)?;
    let (claim, algorithm) = read_parameters(dictionary.parameters(input))?;
    let signature = read_signature(received, input.key)?;
    let parameters = input.text;
    let signature = MessageSignature { components, parameters, algorithm, signature };
    Ok(Found::Ours(Ours { claim, signature }))
}

fn is_tagged(parameters: &[Parameter<'_>]) -> bool {
    parameters.iter().any(|parameter| parameter.name == "tag" && parameter.value == Bare::Text(TAG))
}

fn read_components<'a>(items: &[Item<'a>]) -> Result<Components<'a>, SignatureError> {
    let mut components = Components::new();
    for item in items {
        let (Bare::Text(name), false) = (item.bare, item.has_parameters) else {
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
        key_id,
        nonce,
        created_unix_us: created * US_PER_S,
        expires_unix_us: expires.map(|expires| expires * US_PER_S),
    };
    Ok((claim, algorithm))
}

/// The signature with this label.
fn read_signature(received: &Received<'_>, label: &str) -> Result<SignatureBytes, SignatureError> {
    let field = received.field(Known::Signature)?.ok_or(SignatureError::Malformed)?;
    let mut dictionary = Dictionary::default();
    dictionary.read(field, MAX_SIGNATURES, 0)?;
    let ours = dictionary.members().iter().find(|signature| signature.key == label);
    let ours = ours.filter(|ours| dictionary.parameters(ours).is_empty());
    let Some(Member { value: Value::Bare(Bare::Bytes(encoded)), .. }) = ours else {
        return Err(SignatureError::Malformed);
    };
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
    pub(super) fn check_coverage(&self, received: &Received<'_>) -> Result<(), SignatureError> {
        let covers = |component| self.components.contains(&component);
        let covers_field = |known| covers(Component::Known(known));
        let body = received.request.body.is_empty()
            || (covers_field(Known::ContentDigest) && covers_field(Known::ContentType));
        let is_idempotent = received.count(Known::IdempotencyKey) > 0;
        let key = !is_idempotent || covers_field(Known::IdempotencyKey);
        let line = covers(Component::Method) && covers(Component::TargetUri);
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
        received: &Received<'_>,
        origins: &Origins,
        authority: &str,
    ) -> Result<(String, Vec<u8>), SignatureError> {
        let origin = origins.iter().next().ok_or(SignatureError::Authority)?;
        let base = signature_base(received, origin, authority, &self.components, self.parameters)?;
        Ok((base, self.signature.as_slice().to_vec()))
    }

    /// Whether `key` signed this request for one of `origins`. `authority` is the received one,
    /// normalised.
    pub(super) fn verify(
        &self,
        received: &Received<'_>,
        key: &VerifyingKey,
        origins: &Origins,
        authority: &str,
    ) -> Result<(), SignatureError> {
        if self.algorithm.is_some_and(|algorithm| algorithm != key.algorithm()) {
            return Err(SignatureError::Algorithm);
        }
        for origin in origins.iter() {
            let base =
                signature_base(received, origin, authority, &self.components, self.parameters)?;
            if key.verifies(base.as_bytes(), self.signature.as_slice()) {
                return Ok(());
            }
        }
        Err(SignatureError::Mismatch)
    }
}
