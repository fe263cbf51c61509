//! The examples of the specification. Many are made without user verification or in a frame, which
//! we do not take: what each must give is told one by one.

use serde_json::{Value, json};
use tradewarden_seal::webauthn::{
    AuthenticationResponse, Credential, Part, RegistrationResponse, RelyingParty,
    WebauthnError::{self, Algorithm, Challenge, Framed, Malformed, NotVerified},
    verify_authentication, verify_registration,
};
use tradewarden_seal::{base64url_encode, hex_decode, hex_encode};

const VECTORS: &str = include_str!("vectors.json");

/// Registration, then log-in. `None` for the second: there is no credential to log in with.
type Expected = (&'static str, Result<(), WebauthnError>, Option<Result<(), WebauthnError>>);

const EXPECTED: [Expected; 15] = [
    ("none-es256", Err(NotVerified), Some(Err(NotVerified))),
    ("packed-self-es256", Ok(()), Some(Err(NotVerified))),
    ("none-es256-crossOrigin", Err(Framed), Some(Err(Framed))),
    ("none-es256-topOrigin", Err(Framed), Some(Err(Framed))),
    ("none-es256-long-credential-id", Err(NotVerified), Some(Ok(()))),
    ("packed-es256", Ok(()), Some(Ok(()))),
    ("packed-es384", Err(NotVerified), None),
    // Its challenge has 128 bytes, as none of ours has.
    ("packed-es512", Err(Challenge), None),
    ("packed-rs256", Ok(()), Some(Err(NotVerified))),
    ("packed-eddsa", Err(NotVerified), Some(Err(NotVerified))),
    ("packed-ed448", Err(NotVerified), None),
    ("tpm-es256", Ok(()), Some(Ok(()))),
    ("android-key-es256", Ok(()), Some(Err(NotVerified))),
    ("apple-es256", Err(NotVerified), Some(Err(NotVerified))),
    ("fido-u2f-es256", Err(NotVerified), Some(Err(NotVerified))),
];

fn bytes(part: &Value) -> Vec<u8> {
    hex_decode(part.as_str().unwrap()).unwrap()
}

fn text(part: &Value) -> String {
    base64url_encode(&bytes(part))
}

fn relying_party() -> RelyingParty {
    RelyingParty::new("example.org", "Example", ["https://example.org".to_owned()]).unwrap()
}

fn register(vector: &Value, party: &RelyingParty) -> Result<Credential, WebauthnError> {
    let made = &vector["registration"];
    let id = text(&made["credential_id"]);
    let response = RegistrationResponse::from_json(
        json!({
            "id": id,
            "rawId": id,
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": text(&made["clientDataJSON"]),
                "attestationObject": text(&made["attestationObject"]),
                "transports": [],
            },
        })
        .to_string()
        .as_bytes(),
    )?;
    verify_registration(party, &challenge(made), &response)
}

/// Challenges of other lengths give one that matches nothing.
fn challenge(made: &Value) -> [u8; 32] {
    bytes(&made["challenge"]).try_into().unwrap_or([0; 32])
}

/// The credential of an example, also of one that we would not have registered.
fn credential(vector: &Value) -> Credential {
    let made = &vector["registration"];
    let (object, id) = (bytes(&made["attestationObject"]), bytes(&made["credential_id"]));
    // The key stands behind the id, up to the end: in all examples the data is the last member.
    let at = object.windows(id.len()).position(|window| window == id).unwrap();
    let flags = object[at - 18 - 5];
    let stored = json!({
        "aaguid": made["aaguid"],
        "backup_eligible": flags & 0x08 != 0,
        "backup_state": flags & 0x10 != 0,
        "id": base64url_encode(&id),
        "public_key": base64url_encode(&object[at + id.len()..]),
        "sign_count": 0,
        "transports": [],
        "v": 1,
    });
    Credential::from_stored(&stored.to_string()).unwrap()
}

fn log_in(vector: &Value, credential: &Credential) -> Result<(), WebauthnError> {
    let made = &vector["authentication"];
    let id = base64url_encode(credential.id());
    let response = AuthenticationResponse::from_json(
        json!({
            "id": id,
            "rawId": id,
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": text(&made["clientDataJSON"]),
                "authenticatorData": text(&made["authenticatorData"]),
                "signature": text(&made["signature"]),
            },
        })
        .to_string()
        .as_bytes(),
    )?;
    let judged = verify_authentication(&relying_party(), &challenge(made), credential, &response)?;
    assert_eq!((judged.sign_count, judged.counter_went_back), (0, false));
    assert_eq!(judged.user_handle, None);
    Ok(())
}

#[test]
fn every_example_gives_what_is_expected() {
    let document: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = document["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), EXPECTED.len());
    let party = relying_party().with_rs256();
    for (vector, (name, registration, log_in_expected)) in vectors.iter().zip(EXPECTED) {
        assert_eq!(vector["name"], name);
        let registered = register(vector, &party);
        assert_eq!(registered.clone().map(|_| ()), registration, "{name}");
        if let Ok(registered) = registered {
            let made = &vector["registration"];
            assert_eq!(hex_encode(registered.aaguid()), made["aaguid"], "{name}");
            assert_eq!(registered, credential(vector), "{name}");
        }
        if let Some(expected) = log_in_expected {
            assert_eq!(log_in(vector, &credential(vector)), expected, "{name}");
        }
    }
}

#[test]
fn rs256_is_taken_only_where_it_was_offered() {
    let document: Value = serde_json::from_str(VECTORS).unwrap();
    let vector = &document["vectors"][8];
    assert_eq!(vector["name"], "packed-rs256");
    assert_eq!(register(vector, &relying_party()).unwrap_err(), Algorithm);
    assert!(register(vector, &relying_party().with_rs256()).is_ok());
}

#[test]
fn an_example_with_a_changed_byte_is_refused_or_means_the_same() {
    let document: Value = serde_json::from_str(VECTORS).unwrap();
    let vector = &document["vectors"][11];
    assert_eq!(vector["name"], "tpm-es256");
    let known = credential(vector);
    for part in ["authenticatorData", "clientDataJSON", "signature"] {
        for index in 0..bytes(&vector["authentication"][part]).len() {
            let mut changed = bytes(&vector["authentication"][part]);
            changed[index] ^= 0x20;
            let mut other = vector.clone();
            other["authentication"][part] = hex_encode(&changed).into();
            assert!(log_in(&other, &known).is_err(), "{part} {index}");
        }
    }
    // Nothing signs a registration without attestation, so a change may pass; then it is seen in
    // the credential, or was in the statement that nobody reads.
    let registered = register(vector, &relying_party()).unwrap();
    let object = bytes(&vector["registration"]["attestationObject"]);
    let data_at = object.windows(8).position(|window| window == b"authData").unwrap();
    let data_at = data_at + 8 + 2;
    let mut taken = 0;
    for index in data_at..object.len() {
        let mut changed = object.clone();
        changed[index] ^= 0x01;
        let mut other = vector.clone();
        other["registration"]["attestationObject"] = hex_encode(&changed).into();
        match register(&other, &relying_party()) {
            Ok(credential) => {
                assert_ne!(credential, registered, "{index}");
                taken += 1;
            }
            Err(error) => assert_ne!(error, Malformed(Part::Response), "{index}"),
        }
    }
    // The counter's four bytes and the AAGUID's sixteen are free.
    assert_eq!(taken, 20);
}
