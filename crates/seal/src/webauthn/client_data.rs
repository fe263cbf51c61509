//! What the browser says it was asked for, and where (WebAuthn Level 3 section 5.8.1). The
//! authenticator signs its hash, so it is judged as the bytes that came.

use serde::{Deserialize, Deserializer};

use super::{
    RelyingParty,
    error::{Part, WebauthnError},
};
use crate::base64url_encode;

/// Which of the two ceremonies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ceremony {
    Registration,
    Authentication,
}

impl Ceremony {
    const fn name(self) -> &'static str {
        match self {
            Self::Registration => "webauthn.create",
            Self::Authentication => "webauthn.get",
        }
    }
}

/// Members that we do not know are passed over: browsers add some on purpose, so that nobody
/// compares the text as a whole.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    #[serde(default, deserialize_with = "present")]
    top_origin: Option<String>,
}

/// A member that is there has to be of its type; `null` is not the same as absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

/// Holds the client data against what was asked for, in the order of the specification (Level 3
/// sections 7.1 and 7.2).
pub(super) fn check(
    relying_party: &RelyingParty,
    ceremony: Ceremony,
    challenge: &[u8; 32],
    bytes: &[u8],
) -> Result<(), WebauthnError> {
    // UTF-8 decoding in the sense of the specification takes a byte order mark away.
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let data: ClientData =
        serde_json::from_slice(text).map_err(|_| WebauthnError::Malformed(Part::ClientData))?;
    if data.kind != ceremony.name() {
        return Err(WebauthnError::Ceremony);
    }
    if data.challenge != base64url_encode(challenge) {
        return Err(WebauthnError::Challenge);
    }
    if !relying_party.has_origin(&data.origin) {
        return Err(WebauthnError::Origin);
    }
    // The console is never in a frame, so there is no top-level origin to expect.
    if data.cross_origin || data.top_origin.is_some() {
        return Err(WebauthnError::Framed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: [u8; 32] = [0xff; 32];

    fn judge(text: &str) -> Result<(), WebauthnError> {
        let origins = ["https://example.org", "https://console.example.org:8443"];
        let party =
            RelyingParty::new("example.org", "Example", origins.map(str::to_owned)).unwrap();
        check(&party, Ceremony::Authentication, &CHALLENGE, text.as_bytes())
    }

    fn text(extra: &str) -> String {
        let challenge = base64url_encode(&CHALLENGE);
        format!(
            r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"https://example.org"{extra}}}"#
        )
    }

    #[test]
    fn members_that_are_not_known_are_passed_over() {
        for extra in [
            "",
            r#","crossOrigin":false"#,
            r#","crossOrigin":false,"other_keys_can_be_added_here":"do not compare""#,
            r#","tokenBinding":{"status":"supported"},"x":[1.5,null,{"y":"z"}]"#,
        ] {
            assert_eq!(judge(&text(extra)), Ok(()), "{extra}");
        }
        assert_eq!(judge(&format!("\u{feff}{}", text(""))), Ok(()));
        assert_eq!(judge(&text("").replace("example.org", "console.example.org:8443")), Ok(()));
    }

    #[test]
    fn each_member_is_held_against_what_was_asked() {
        use WebauthnError::{Ceremony, Challenge, Framed, Origin};
        let changed = |from: &str, to: &str| {
            assert!(text("").contains(from), "{from}");
            judge(&text("").replacen(from, to, 1))
        };
        for wrong in ["webauthn.create", "webauthn.GET", "payment.get", "webauthn.get ", ""] {
            assert_eq!(changed("webauthn.get", wrong), Err(Ceremony), "{wrong}");
        }
        let challenge = base64url_encode(&CHALLENGE);
        for wrong in [
            base64url_encode(&[0xfe; 32]),
            base64url_encode(&[0xff; 31]),
            challenge.replace('_', "/"),
            format!("{challenge}="),
            format!(" {challenge}"),
            // The last letter has two bits that no byte uses.
            challenge.replace("_8\"", "_9\"").trim_end_matches('8').to_owned() + "9",
            String::new(),
        ] {
            assert_eq!(changed(&challenge, &wrong), Err(Challenge), "{wrong}");
        }
        for wrong in [
            "https://evil.example",
            "https://example.org.evil.example",
            "https://other.example.org",
            "https://example.org:8443",
            "https://console.example.org",
            "https://example.org/",
            "https://EXAMPLE.org",
            "http://example.org",
            "android:apk-key-hash:47DEQpj8HBSa",
            "null",
            "",
        ] {
            assert_eq!(changed("https://example.org", wrong), Err(Origin), "{wrong}");
        }
        for extra in [
            r#","crossOrigin":true"#,
            r#","crossOrigin":true,"topOrigin":"https://example.com""#,
            r#","topOrigin":"https://example.com""#,
            r#","crossOrigin":false,"topOrigin":"https://example.org""#,
        ] {
            assert_eq!(judge(&text(extra)), Err(Framed), "{extra}");
        }
    }

    #[test]
    fn another_shape_is_malformed() {
        let good = text("");
        for wrong in [
            String::new(),
            "null".to_owned(),
            "[]".to_owned(),
            "{}".to_owned(),
            format!("{good} {good}"),
            format!("\u{feff}\u{feff}{good}"),
            good.replace("type", "Type"),
            good.replace("challenge", "Challenge"),
            good.replace("origin", "Origin"),
            good.replace(r#""webauthn.get""#, "1"),
            good.replace(r#""https://example.org""#, r#"["https://example.org"]"#),
            text(r#","type":"webauthn.get""#),
            text(r#","origin":"https://example.org""#),
            text(r#","crossOrigin":"true""#),
            text(r#","crossOrigin":null"#),
            text(r#","crossOrigin":0"#),
            text(r#","crossOrigin":false,"crossOrigin":false"#),
            text(r#","topOrigin":null"#),
            text(r#","x":"#),
            good.replace('}', ",}"),
            good.replace("example", "ex\u{1}ample"),
        ] {
            assert_eq!(judge(&wrong), Err(WebauthnError::Malformed(Part::ClientData)), "{wrong}");
        }
        let party = RelyingParty::new("a.example", "A", ["https://a.example".to_owned()]).unwrap();
        let invalid = text("").replace("example", "\u{1}").into_bytes();
        let invalid: Vec<u8> = invalid.iter().map(|b| if *b == 1 { 0xff } else { *b }).collect();
        assert_eq!(
            check(&party, Ceremony::Authentication, &CHALLENGE, &invalid),
            Err(WebauthnError::Malformed(Part::ClientData))
        );
    }
}
