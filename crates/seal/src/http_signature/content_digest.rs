//! Content-Digest (RFC 9530): which body was signed.

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, SHA512, digest},
};

use super::{
    SignatureError,
    message::{Known, Received},
    structured::{Bare, Dictionary, Value},
};
use crate::digest::{base64_decode, base64_decode_array, base64_encode};

/// More than there are algorithms in the registry.
const MAX_DIGESTS: usize = 16;

/// The value of Content-Digest for a body, with SHA-256.
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", base64_encode(digest(&SHA256, body).as_ref()))
}

/// Whether the body is the one that Content-Digest tells of. At least one digest must be SHA-256 or
/// SHA-512, and each of these must be right; others are no proof of anything and are not judged.
/// Without a body the field may be absent. That it is signed is judged elsewhere.
pub(super) fn check(received: &Received<'_>) -> Result<(), SignatureError> {
    let request = &received.request;
    if received.raw(Known::ContentDigest).is_some_and(|field| is_common(field, request.body)) {
        return Ok(());
    }
    let Some(field) = received.field(Known::ContentDigest)? else {
        return if request.body.is_empty() { Ok(()) } else { Err(SignatureError::Coverage) };
    };
    let mut known = 0_u32;
    let mut dictionary = Dictionary::default();
    dictionary.read(field, MAX_DIGESTS, 0)?;
    for member in dictionary.members() {
        let Value::Bare(Bare::Bytes(encoded)) = member.value else {
            return Err(SignatureError::Malformed);
        };
        let algorithm = match member.key {
            "sha-256" => &SHA256,
            "sha-512" => &SHA512,
            _ => continue,
        };
        known += 1;
        let claimed = base64_decode(encoded).map_err(|_| SignatureError::Malformed)?;
        let actual = digest(algorithm, request.body);
        verify_slices_are_equal(actual.as_ref(), &claimed).map_err(|_| SignatureError::Digest)?;
    }
    if known == 0 { Err(SignatureError::Digest) } else { Ok(()) }
}

/// Whether the field is one right digest by SHA-256 and nothing else, as nearly all are.
fn is_common(field: &str, body: &[u8]) -> bool {
    let encoded = field.strip_prefix("sha-256=:").and_then(|rest| rest.strip_suffix(':'));
    let claimed = encoded.and_then(base64_decode_array);
    claimed.is_some_and(|claimed| {
        verify_slices_are_equal(digest(&SHA256, body).as_ref(), &claimed).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::super::{MAX_FIELD_BYTES, Request};
    use super::*;

    // RFC 9530 appendix B.
    const BODY: &[u8] = br#"{"hello": "world"}"#;
    const SHA_256: &str = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
    const SHA_512: &str = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";

    fn judge(lines: &[&str], body: &[u8]) -> Result<(), SignatureError> {
        let headers: Vec<_> = lines.iter().map(|line| ("Content-Digest", *line)).collect();
        check(&Received::new(Request {
            method: "POST",
            target: "/",
            authority: "a",
            headers: &headers.as_slice(),
            body,
        }))
    }

    #[test]
    fn the_vectors_of_the_standard() {
        assert_eq!(content_digest(BODY), SHA_256);
        let both = format!("{SHA_512}, {SHA_256}");
        for lines in [&[SHA_256][..], &[SHA_512], &[SHA_256, SHA_512], &[&both]] {
            assert_eq!(judge(lines, BODY), Ok(()), "{lines:?}");
            assert_eq!(judge(lines, b"{\"hello\": \"world\"}\n"), Err(SignatureError::Digest));
            assert_eq!(judge(lines, b""), Err(SignatureError::Digest));
        }
    }

    #[test]
    fn one_that_is_known_must_be_there_and_all_that_are_must_be_right() {
        let wrong = content_digest(b"");
        let unknown = "md5=:AAAA:, unixsum=:AAAA:";
        assert_eq!(judge(&[unknown, SHA_256], BODY), Ok(()));
        assert_eq!(judge(&[unknown], BODY), Err(SignatureError::Digest));
        assert_eq!(judge(&[""], BODY), Err(SignatureError::Digest));
        assert_eq!(judge(&[SHA_512, &wrong], BODY), Err(SignatureError::Digest));
        assert_eq!(judge(&[SHA_256, SHA_256], BODY), Err(SignatureError::Duplicate));
        assert_eq!(judge(&[], BODY), Err(SignatureError::Coverage));
        assert_eq!(judge(&[], b""), Ok(()));
        assert_eq!(judge(&[&wrong], b""), Ok(()));
        assert_eq!(judge(&[SHA_256], b""), Err(SignatureError::Digest));
    }

    #[test]
    fn what_is_out_of_form_is_malformed() {
        let cut = SHA_256.replace("=:", ":");
        let loose = SHA_256.replace("PE=", "PF=");
        let many: Vec<_> = (0..17).map(|number| format!("x{number}=:AA==:")).collect();
        for line in [
            "sha-256",
            "sha-256=X48E",
            "sha-256=\"X48E\"",
            "SHA-256=:X48E:",
            "sha-256=:X48E",
            "sha-256=(:AA==:)",
            &cut,
            &loose,
            &format!("{}, {SHA_256}", many.join(", ")),
            &format!("{SHA_256}\r\n "),
            &" ".repeat(MAX_FIELD_BYTES + 1),
        ] {
            assert_eq!(judge(&[line], BODY), Err(SignatureError::Malformed), "{line}");
        }
        assert_eq!(judge(&["sha-256=:AA==:"], BODY), Err(SignatureError::Digest));
    }
}
