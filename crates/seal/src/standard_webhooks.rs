//! Standard Webhooks 1.0.0, the symmetric scheme `v1`: who sent this body, and is it new?
//!
//! The sender signs `{id}.{timestamp}.{body}` with HMAC-SHA256 and sends `webhook-id`,
//! `webhook-timestamp` (Unix seconds) and `webhook-signature`, a list of `v1,<base64>` separated by
//! spaces. One of them has to be right; several are sent while a secret is being replaced. Whether
//! an id was seen before is not judged here: the caller keeps the ids.

use std::fmt;

use aws_lc_rs::hmac;

use crate::{
    Randomness, SecretBytes, SecretString,
    digest::{base64_decode, base64_encode},
};

/// How far the sender's clock may be from ours, in seconds, both ways. All reference libraries use
/// five minutes.
pub const TOLERANCE_S: i64 = 300;

/// Longest `webhook-id`, in bytes.
pub const MAX_ID_BYTES: usize = 256;

/// Longest `webhook-signature`, in bytes.
pub const MAX_SIGNATURES_BYTES: usize = 4096;

/// Most signatures in one header.
pub const MAX_SIGNATURES: usize = 16;

/// Bytes of a secret that we make.
const NEW_SECRET_BYTES: usize = 32;

const SECRET_PREFIX: &str = "whsec_";

/// Why a message is not taken. The sender hears one answer for all of them; the audit log and the
/// detectors hear which it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// A header is missing, too long, or not in its form.
    Malformed,
    /// None of the signatures is by this secret over this message.
    Mismatch,
    /// Rightly signed, but too old or from the future: a replay, or a clock that is wrong.
    OutsideTolerance {
        /// The sender's time minus ours, in seconds.
        skew_s: i64,
    },
}

impl fmt::Display for SignatureError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => {
                formatter.write_str("a Standard Webhooks header is missing or malformed")
            }
            Self::Mismatch => formatter.write_str("no signature is right for this message"),
            Self::OutsideTolerance { skew_s } => {
                write!(
                    formatter,
                    "the message is {skew_s} s off, more than {TOLERANCE_S} s are not taken"
                )
            }
        }
    }
}

impl std::error::Error for SignatureError {}

/// A text that is not `whsec_` and base64 of 24 to 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretFormatError;

impl fmt::Display for SecretFormatError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a webhook secret is `whsec_` and the base64 of 24 to 64 bytes")
    }
}

impl std::error::Error for SecretFormatError {}

/// Judges one message. `id`, `timestamp` and `signatures` are the header values as received, `body`
/// the bytes as received.
///
/// The signature is judged before the time, so that [`SignatureError::OutsideTolerance`] tells of a
/// real replay and not of noise.
pub fn verify(
    secret: &SecretBytes,
    id: &str,
    timestamp: &str,
    signatures: &str,
    body: &[u8],
    now_unix_s: i64,
) -> Result<(), SignatureError> {
    let sent_unix_s = parse_timestamp(timestamp)?;
    if !is_valid_id(id) || signatures.len() > MAX_SIGNATURES_BYTES {
        return Err(SignatureError::Malformed);
    }
    let expected = authentication_code(secret, id, timestamp, body);
    let mut found = false;
    for (position, signature) in signatures.split(' ').filter(|part| !part.is_empty()).enumerate() {
        if position >= MAX_SIGNATURES {
            return Err(SignatureError::Malformed);
        }
        // Other versions (`v1a` is Ed25519) are for other readers.
        if let Some(("v1", encoded)) = signature.split_once(',') {
            let candidate = base64_decode(encoded).map_err(|_| SignatureError::Malformed)?;
            // `|`, not `||`: which of several was right is not told by the duration.
            found |=
                aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_ref(), &candidate)
                    .is_ok();
        }
    }
    if !found {
        return Err(SignatureError::Mismatch);
    }
    within_tolerance(sent_unix_s, now_unix_s)
}

/// Judges what can be judged of a message without its secret: `Ok` if with the right one it could be
/// taken. Nothing is proven by that.
pub fn could_be_right(
    id: &str,
    timestamp: &str,
    signatures: &str,
    body: &[u8],
    now_unix_s: i64,
) -> Result<(), SignatureError> {
    let none = SecretBytes::new(vec![0; NEW_SECRET_BYTES]);
    match verify(&none, id, timestamp, signatures, body, now_unix_s) {
        Err(SignatureError::Mismatch)
            if signatures.split(' ').any(|one| one.starts_with("v1,")) =>
        {
            within_tolerance(parse_timestamp(timestamp)?, now_unix_s)
        }
        judged => judged,
    }
}

fn within_tolerance(sent_unix_s: i64, now_unix_s: i64) -> Result<(), SignatureError> {
    let skew_s = sent_unix_s.saturating_sub(now_unix_s);
    if skew_s.unsigned_abs() > TOLERANCE_S.unsigned_abs() {
        return Err(SignatureError::OutsideTolerance { skew_s });
    }
    Ok(())
}

/// The value of `webhook-signature` for a message of ours. An id with a full stop would make two
/// messages one signed text; it is refused.
pub fn sign(
    secret: &SecretBytes,
    id: &str,
    timestamp_unix_s: i64,
    body: &[u8],
) -> Result<String, SignatureError> {
    if !is_valid_id(id) || timestamp_unix_s < 0 {
        return Err(SignatureError::Malformed);
    }
    let code = authentication_code(secret, id, &timestamp_unix_s.to_string(), body);
    Ok(format!("v1,{}", base64_encode(code.as_ref())))
}

/// A new secret of 32 random bytes.
pub fn generate_secret(randomness: &mut dyn Randomness) -> SecretBytes {
    SecretBytes::random(NEW_SECRET_BYTES, randomness)
}

/// Reads `whsec_<base64>`.
pub fn parse_secret(text: &str) -> Result<SecretBytes, SecretFormatError> {
    // 64 bytes are 88 characters of base64.
    let encoded = text
        .strip_prefix(SECRET_PREFIX)
        .filter(|encoded| encoded.len() <= 88)
        .ok_or(SecretFormatError)?;
    let secret = SecretBytes::new(base64_decode(encoded).map_err(|_| SecretFormatError)?);
    if (24..=64).contains(&secret.expose().len()) { Ok(secret) } else { Err(SecretFormatError) }
}

/// `whsec_<base64>`, to show to whoever sets up the sender.
pub fn print_secret(secret: &SecretBytes) -> SecretString {
    let encoded = SecretString::new(base64_encode(secret.expose()));
    let mut text = String::with_capacity(SECRET_PREFIX.len() + encoded.expose().len());
    text.push_str(SECRET_PREFIX);
    text.push_str(encoded.expose());
    SecretString::new(text)
}

fn authentication_code(secret: &SecretBytes, id: &str, timestamp: &str, body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret.expose()));
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        context.update(part);
    }
    context.sign()
}

/// Visible ASCII without the full stop that separates the parts.
fn is_valid_id(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.')
}

/// Digits only: no sign, no space, no fraction.
fn parse_timestamp(text: &str) -> Result<i64, SignatureError> {
    let digits = (1..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(SignatureError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandomness;

    // The example of the Standard Webhooks specification and its reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: &str = "1614265330";
    const NOW: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn judge(
        id: &str,
        timestamp: &str,
        signatures: &str,
        body: &[u8],
        now: i64,
    ) -> Result<(), SignatureError> {
        verify(&parse_secret(SECRET).unwrap(), id, timestamp, signatures, body, now)
    }

    #[test]
    fn the_vector_of_the_specification() {
        assert_eq!(sign(&parse_secret(SECRET).unwrap(), ID, NOW, BODY).unwrap(), SIGNATURE);
        assert_eq!(judge(ID, TIMESTAMP, SIGNATURE, BODY, NOW), Ok(()));
    }

    #[test]
    fn any_of_several_signatures_will_do() {
        let wrong = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        for list in [
            format!("{wrong} {SIGNATURE}"),
            format!("{SIGNATURE} {wrong}"),
            format!("v1a,anything v2,x  {SIGNATURE}"),
            format!("nothing {SIGNATURE}"),
        ] {
            assert_eq!(judge(ID, TIMESTAMP, &list, BODY, NOW), Ok(()), "{list}");
        }
        for list in ["", wrong, "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1,AAAA"] {
            assert_eq!(
                judge(ID, TIMESTAMP, list, BODY, NOW),
                Err(SignatureError::Mismatch),
                "{list}"
            );
        }
    }

    #[test]
    fn every_part_is_signed() {
        assert_eq!(
            judge("msg_other", TIMESTAMP, SIGNATURE, BODY, NOW),
            Err(SignatureError::Mismatch)
        );
        assert_eq!(judge(ID, "1614265331", SIGNATURE, BODY, NOW), Err(SignatureError::Mismatch));
        assert_eq!(judge(ID, TIMESTAMP, SIGNATURE, b"{}", NOW), Err(SignatureError::Mismatch));
        let other = generate_secret(&mut SystemRandomness::new());
        assert_eq!(
            verify(&other, ID, TIMESTAMP, SIGNATURE, BODY, NOW),
            Err(SignatureError::Mismatch)
        );
    }

    #[test]
    fn five_minutes_and_no_more() {
        for now in [NOW - TOLERANCE_S, NOW + TOLERANCE_S] {
            assert_eq!(judge(ID, TIMESTAMP, SIGNATURE, BODY, now), Ok(()));
        }
        for now in [NOW - TOLERANCE_S - 1, NOW + TOLERANCE_S + 1, i64::MIN, i64::MAX] {
            let skew_s = NOW.saturating_sub(now);
            assert_eq!(
                judge(ID, TIMESTAMP, SIGNATURE, BODY, now),
                Err(SignatureError::OutsideTolerance { skew_s })
            );
        }
    }

    #[test]
    fn what_is_out_of_form_is_malformed() {
        let long_id = "a".repeat(MAX_ID_BYTES + 1);
        for id in ["", "a.b", "a b", "é", "a\n", &long_id] {
            assert_eq!(
                judge(id, TIMESTAMP, SIGNATURE, BODY, NOW),
                Err(SignatureError::Malformed),
                "{id:?}"
            );
        }
        for timestamp in [
            "",
            "+1614265330",
            "-1",
            " 1614265330",
            "1614265330.0",
            "99999999999999999999",
            "9999999999999999999",
        ] {
            assert_eq!(
                judge(ID, timestamp, SIGNATURE, BODY, NOW),
                Err(SignatureError::Malformed),
                "{timestamp:?}"
            );
        }
        let many = vec![SIGNATURE; MAX_SIGNATURES + 1].join(" ");
        for signatures in [many.as_str(), "v1,!", "v1,AAA", &"v".repeat(MAX_SIGNATURES_BYTES + 1)] {
            assert_eq!(judge(ID, TIMESTAMP, signatures, BODY, NOW), Err(SignatureError::Malformed));
        }
        assert_eq!(
            sign(&parse_secret(SECRET).unwrap(), "a.b", NOW, BODY),
            Err(SignatureError::Malformed)
        );
        assert_eq!(
            sign(&parse_secret(SECRET).unwrap(), "a", -1, BODY),
            Err(SignatureError::Malformed)
        );
    }

    #[test]
    fn secrets_are_24_to_64_bytes() {
        let secret = generate_secret(&mut SystemRandomness::new());
        let printed = print_secret(&secret);
        assert!(parse_secret(printed.expose()).unwrap().matches(secret.expose()));
        for (length, fits) in [(23, false), (24, true), (64, true), (65, false), (4096, false)] {
            let text = format!("whsec_{}", base64_encode(&vec![7; length]));
            assert_eq!(parse_secret(&text).is_ok(), fits, "{length}");
        }
        assert!(parse_secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_err());
    }
}
