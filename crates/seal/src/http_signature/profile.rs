//! The profile `tw-v1` of RFC 9421: reading one signature of it, and judging it.

use std::borrow::Cow;

use super::{
    Algorithm, Claim, MAX_AGE_S, MAX_COMPONENTS, MAX_SIGNATURES, MAX_UNIX_S, Origins,
    SignatureBytes, SignatureError, TAG, US_PER_S, VerifyingKey,
    base::{Component, signature_base},
    is_valid_key_id, is_valid_nonce,
    message::{Known, Received},
    structured::{Bare, Dictionary, Item, Member, Parameter, Value},
    usual,
};
use crate::digest::base64_decode;

/// What a request has of message signatures.
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
    components: Cow<'a, [Component<'a>]>,
    /// The value of `@signature-params` as received.
    parameters: &'a str,
    algorithm: Option<Algorithm>,
    signature: SignatureBytes,
}

/// The member of `Signature-Input` that has our tag.
#[derive(Debug, PartialEq)]
pub(super) struct Input<'a> {
    pub(super) label: &'a str,
    pub(super) components: Cow<'a, [Component<'a>]>,
    pub(super) claim: Claim<'a>,
    pub(super) algorithm: Option<Algorithm>,
    /// Components and parameters as received.
    pub(super) text: &'a str,
}

/// What the parameters say, each if it is there.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Stated<'a> {
    pub(super) created_unix_s: Option<i64>,
    pub(super) expires_unix_s: Option<i64>,
    pub(super) key_id: Option<&'a str>,
    pub(super) nonce: Option<&'a str>,
    pub(super) algorithm: Option<Algorithm>,
}

/// Reads `Signature-Input` and `Signature`.
pub(super) fn read<'r>(received: &'r Received<'r>) -> Result<Found<'r>, SignatureError> {
    let usual = received.raw(Known::SignatureInput).and_then(usual::read);
    let input = match usual {
        Some(input) => input,
        None => match received.field(Known::SignatureInput)? {
            None if received.count(Known::Signature) > 0 => return Ok(Found::Foreign),
            None => return Ok(Found::None),
            Some(inputs) => match read_any(inputs)? {
                Some(input) => input,
                None => return Ok(Found::Foreign),
            },
        },
    };
    let Input { label, components, claim, algorithm, text } = input;
    let signature = read_signature(received, label)?;
    let signature = MessageSignature { components, parameters: text, algorithm, signature };
    Ok(Found::Ours(Ours { claim, signature }))
}

/// Reads `Signature-Input` in any form it may have; nothing if none of its members has our tag.
pub(super) fn read_any<'a>(inputs: &'a str) -> Result<Option<Input<'a>>, SignatureError> {
    let mut dictionary = Dictionary::default();
    dictionary.read(inputs, MAX_SIGNATURES, MAX_COMPONENTS)?;
    let is_ours = |input: &&Member<'a>| is_tagged(dictionary.parameters(input));
    let mut tagged = dictionary.members().iter().filter(is_ours);
    let Some(input) = tagged.next() else { return Ok(None) };
    if tagged.next().is_some() {
        return Err(SignatureError::Several);
    }
    let items = dictionary.items(input).ok_or(SignatureError::Malformed)?;
    let components = Cow::Owned(read_components(items)?);
    let stated = read_parameters(dictionary.parameters(input))?;
    let (claim, algorithm) = (stated.claim()?, stated.algorithm);
    Ok(Some(Input { label: input.key, components, claim, algorithm, text: input.text }))
}

fn is_tagged(parameters: &[Parameter<'_>]) -> bool {
    parameters.iter().any(|parameter| parameter.name == "tag" && parameter.value == Bare::Text(TAG))
}

fn read_components<'a>(items: &[Item<'a>]) -> Result<Vec<Component<'a>>, SignatureError> {
    let mut components = Vec::with_capacity(items.len());
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

fn read_parameters<'a>(parameters: &[Parameter<'a>]) -> Result<Stated<'a>, SignatureError> {
    let mut stated = Stated::default();
    for parameter in parameters {
        match (parameter.name, &parameter.value) {
            ("created", Bare::Integer(unix_s)) => stated.created_unix_s = Some(*unix_s),
            ("expires", Bare::Integer(unix_s)) => stated.expires_unix_s = Some(*unix_s),
            ("keyid", Bare::Text(text)) => stated.key_id = Some(*text),
            ("nonce", Bare::Text(text)) => stated.nonce = Some(*text),
            ("alg", Bare::Text(text)) => {
                let algorithm = Algorithm::parse(text).ok_or(SignatureError::Algorithm)?;
                stated.algorithm = Some(algorithm);
            }
            ("tag", _) => (),
            // One that we do not know may say that the signature means something else.
            _ => return Err(SignatureError::Parameter),
        }
    }
    Ok(stated)
}

impl<'a> Stated<'a> {
    pub(super) fn claim(&self) -> Result<Claim<'a>, SignatureError> {
        let (Some(created), Some(key_id), Some(nonce)) =
            (self.created_unix_s, self.key_id, self.nonce)
        else {
            return Err(SignatureError::Parameter);
        };
        let lasts = |expires: i64| (1..=MAX_AGE_S).contains(&expires.saturating_sub(created));
        if !(0..=MAX_UNIX_S).contains(&created)
            || !self.expires_unix_s.is_none_or(lasts)
            || !is_valid_key_id(key_id)
            || !is_valid_nonce(nonce)
        {
            return Err(SignatureError::Parameter);
        }
        Ok(Claim {
            key_id,
            nonce,
            created_unix_us: created * US_PER_S,
            expires_unix_us: self.expires_unix_s.map(|expires| expires * US_PER_S),
        })
    }
}

/// The signature with this label.
fn read_signature(received: &Received<'_>, label: &str) -> Result<SignatureBytes, SignatureError> {
    if let Some(usual) = received.raw(Known::Signature)
        && let Some(rest) = usual.strip_prefix(label)
        && let Some(encoded) = rest.strip_prefix("=:").and_then(|rest| rest.strip_suffix(':'))
        && let Some(signature) = SignatureBytes::from_base64(encoded)
    {
        return Ok(signature);
    }
    let field = received.field(Known::Signature)?.ok_or(SignatureError::Malformed)?;
    let mut dictionary = Dictionary::default();
    dictionary.read(field, MAX_SIGNATURES, 0)?;
    let ours = dictionary.members().iter().find(|signature| signature.key == label);
    let ours = ours.filter(|ours| dictionary.parameters(ours).is_empty());
    let Some(Member { value: Value::Bare(Bare::Bytes(encoded)), .. }) = ours else {
        return Err(SignatureError::Malformed);
    };
    if let Some(signature) = SignatureBytes::from_base64(encoded) {
        return Ok(signature);
    }
    let longer = base64_decode(encoded).map_err(|_| SignatureError::Malformed)?;
    Ok(SignatureBytes::from_slice(&longer))
}

impl MessageSignature<'_> {
    /// Whether everything is covered that this request must not be without.
    pub(super) fn check_coverage(&self, received: &Received<'_>) -> Result<(), SignatureError> {
        let (mut method, mut target, mut digest, mut kind, mut key) = <(_, _, _, _, _)>::default();
        for component in self.components.iter() {
            match component {
                Component::Method => method = true,
                Component::TargetUri => target = true,
                Component::Known(Known::ContentDigest) => digest = true,
                Component::Known(Known::ContentType) => kind = true,
                Component::Known(Known::IdempotencyKey) => key = true,
                _ => {}
            }
        }
        let line = method && target;
        let body = received.request.body.is_empty() || (digest && kind);
        let key = key || received.count(Known::IdempotencyKey) == 0;
        if line && body && key { Ok(()) } else { Err(SignatureError::Coverage) }
    }

    pub(super) fn likely_algorithm(&self) -> Algorithm {
        let by_length = if self.signature.as_slice().len() == Algorithm::Ed25519.signature_bytes() {
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
