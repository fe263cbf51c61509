//! `tradewarden sign`: signs one request and prints the curl line that sends it. Asks no gateway.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value, json};
use tradewarden_domain::time::{Clock as _, Timestamp};
use tradewarden_seal::http_signature::{
    Ed25519Key, Origin, RequestToSign, SigningKey, SigningParameters, new_nonce, sign, sign_simple,
};
use tradewarden_seal::{Randomness, SecretBytes, SystemRandomness};

use crate::cli::Sign;
use crate::clock::SystemClock;
use crate::outcome::{Exit, Failure};
use crate::shell::{quoted, quoted_path};
use crate::{files, output};

/// Largest key file, in bytes.
const KEY_BYTES_MAX: u64 = 16 * 1024;
/// The gateway takes no larger body.
const BODY_BYTES_MAX: u64 = 64 * 1024;

/// A request that can be sent.
struct Signed {
    headers: Vec<(String, String)>,
    curl: String,
}

/// Signs and prints.
pub(crate) fn run(asked: &Sign, json: bool) -> Result<Exit, Failure> {
    let key = signing_key(asked)?;
    let body = body(asked.body.as_deref())?;
    let signed = signed(asked, &key, &body, SystemClock.now(), &mut SystemRandomness::new())?;
    if json {
        let headers: Map<String, Value> =
            signed.headers.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        let shown = json!({
            "method": asked.method, "url": asked.url, "headers": headers, "curl": signed.curl,
        });
        output::print(&shown.to_string())?;
    } else {
        output::print(&signed.curl)?;
    }
    Ok(Exit::Done)
}

fn signed(
    asked: &Sign,
    key: &SigningKey,
    body: &[u8],
    now: Timestamp,
    randomness: &mut dyn Randomness,
) -> Result<Signed, Failure> {
    let (origin, target) = parts_of(&asked.url)?;
    let has_body = !body.is_empty();
    let content_type = has_body.then_some(asked.content_type.as_str());
    // A string of Structured Fields (RFC 9651).
    let idempotency_key = asked.idempotency_key.as_ref().map(|text| format!("\"{text}\""));
    let request = RequestToSign {
        method: &asked.method,
        origin: &origin,
        target: &target,
        content_type,
        idempotency_key: idempotency_key.as_deref(),
        body,
    };
    let nonce = new_nonce(randomness);
    let mut headers: Vec<(String, String)> =
        [("content-type", content_type), ("idempotency-key", idempotency_key.as_deref())]
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
    if asked.simple {
        let created_unix_ms = now.unix_micros().div_euclid(1_000);
        let lines = sign_simple(key, &request, &asked.key, created_unix_ms, &nonce);
        let lines = lines.map_err(|error| Failure::usage(error.to_string()))?;
        headers.extend(lines.map(|(name, value)| (name.to_owned(), value)));
    } else {
        let parameters = SigningParameters {
            key_id: &asked.key,
            created_unix_s: now.unix_seconds(),
            expires_unix_s: None,
            nonce: &nonce,
        };
        let signature = sign(key, &request, &parameters);
        let signature = signature.map_err(|error| Failure::usage(error.to_string()))?;
        headers.extend(signature.lines().map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    let url = format!("{origin}{target}");
    let curl = curl(asked, &url, &headers, body)?;
    Ok(Signed { headers, curl })
}

/// The line for a shell; it sends what was signed and nothing else.
fn curl(
    asked: &Sign,
    url: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Result<String, Failure> {
    let mut words = vec!["curl".to_owned(), "-sS".to_owned(), "--path-as-is".to_owned()];
    words.push("-g".to_owned());
    if let Some(path) = &asked.cacert {
        words.extend(["--cacert".to_owned(), quoted_path(path)]);
    }
    if asked.method == "HEAD" {
        words.push("-I".to_owned());
    } else {
        words.extend(["-X".to_owned(), quoted(&asked.method)]);
    }
    for (name, value) in headers {
        words.extend(["-H".to_owned(), quoted(&format!("{name}: {value}"))]);
    }
    match &asked.body {
        Some(path) if path.as_os_str() != "-" && !body.is_empty() => {
            words.extend(["--data-binary".to_owned(), quoted(&format!("@{}", path.display()))]);
        }
        _ if !body.is_empty() => {
            let text = std::str::from_utf8(body).ok().filter(|text| !text.contains('\0'));
            let text = text.ok_or_else(|| {
                Failure::usage("a body that is no text must come from a file: --body FILE")
            })?;
            words.extend(["--data-raw".to_owned(), quoted(text)]);
        }
        _ => {}
    }
    words.push(quoted(url));
    Ok(words.join(" "))
}

/// The origin, and what follows it in the bytes that are sent.
fn parts_of(url: &str) -> Result<(Origin, String), Failure> {
    let unusable = || Failure::usage(format!("{url:?} is no address like https://HOST/PATH"));
    let rest = url.strip_prefix("https://").ok_or_else(unusable)?;
    let (authority, target) = match rest.find(['/', '?']) {
        Some(place) => rest.split_at(place),
        None => (rest, "/"),
    };
    let origin = format!("https://{authority}").parse().map_err(|_| unusable())?;
    let slash = if target.starts_with('/') { "" } else { "/" };
    Ok((origin, format!("{slash}{target}")))
}

fn signing_key(asked: &Sign) -> Result<SigningKey, Failure> {
    match (&asked.private_key_file, &asked.secret_file) {
        (Some(path), _) => {
            let text = files::read_secret(path, KEY_BYTES_MAX)?;
            let key = Ed25519Key::from_pkcs8_pem(&text);
            let named = |error| Failure::usage(format!("{}: {error}", path.display()));
            key.map(SigningKey::Ed25519).map_err(named)
        }
        (None, Some(path)) => {
            let text = files::read_secret(path, KEY_BYTES_MAX)?;
            Ok(SigningKey::HmacSha256(SecretBytes::new(text.trim().as_bytes().to_vec())))
        }
        (None, None) => Err(Failure::usage("name --secret-file or --private-key-file")),
    }
}

fn body(path: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let failed = |cause: std::io::Error| files::failed("read", path, &cause);
    let limit = BODY_BYTES_MAX.saturating_add(1);
    let mut body = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut body).map_err(failed)?;
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(limit).read_to_end(&mut body).map_err(failed)?;
    }
    if u64::try_from(body.len()).unwrap_or(u64::MAX) > BODY_BYTES_MAX {
        return Err(Failure::usage("the body is larger than the 64 KiB that the gateway takes"));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_its_origin_and_the_bytes_after_it() {
        for (url, origin, target) in [
            ("https://a.example", "https://a.example", "/"),
            ("https://a.example:443/", "https://a.example", "/"),
            ("https://[::1]:8443/a%2Fb?x=1&y=", "https://[::1]:8443", "/a%2Fb?x=1&y="),
            ("https://a.example?x", "https://a.example", "/?x"),
        ] {
            let (found, rest) = parts_of(url).unwrap();
            assert_eq!((found.to_string().as_str(), rest.as_str()), (origin, target));
        }
        for url in ["http://a.example/", "a.example", "https://", "https:///x", "https://a b/"] {
            assert!(parts_of(url).is_err(), "{url}");
        }
    }
}
