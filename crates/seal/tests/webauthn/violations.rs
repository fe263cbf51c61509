//! Each check of the specification, violated alone.

use serde_json::{Value, json};
use tradewarden_seal::webauthn::{
    Authentication, AuthenticationResponse, Credential, MAX_CREDENTIAL_ID_BYTES,
    MAX_RESPONSE_BYTES, Part, RegistrationResponse, RelyingParty, WebauthnError,
    verify_authentication, verify_registration,
};
use tradewarden_seal::{base64url_encode, hex_decode};

use crate::authenticator::{
    BACKUP_ELIGIBLE, BACKUP_STATE, Draft, HAS_CREDENTIAL, HAS_EXTENSIONS, USER_PRESENT,
    USER_VERIFIED, ed25519_key,
};

const CHALLENGE: [u8; 32] = [0xfb; 32];

fn relying_party() -> RelyingParty {
    RelyingParty::new("example.org", "Example", ["https://console.example.org".to_owned()]).unwrap()
}

fn register(response: &Value) -> Result<Credential, WebauthnError> {
    let response = RegistrationResponse::from_json(response.to_string().as_bytes())?;
    verify_registration(&relying_party(), &CHALLENGE, &response)
}

fn log_in(credential: &Credential, response: &Value) -> Result<Authentication, WebauthnError> {
    let response = AuthenticationResponse::from_json(response.to_string().as_bytes())?;
    verify_authentication(&relying_party(), &CHALLENGE, credential, &response)
}

fn registered(change: impl Fn(&mut Draft)) -> Result<Credential, WebauthnError> {
    let mut draft = Draft::registration(CHALLENGE);
    change(&mut draft);
    register(&draft.register())
}

fn logged_in(change: impl Fn(&mut Draft)) -> Result<Authentication, WebauthnError> {
    let mut draft = Draft::authentication(CHALLENGE);
    change(&mut draft);
    log_in(&registered(|_| ()).unwrap(), &draft.assert())
}

/// The checks that both ceremonies have: what is violated, how, and what is said.
#[expect(
    clippy::type_complexity,
    reason = "a table of changes reads better than a type per column"
)]
const COMMON: &[(&str, fn(&mut Draft), WebauthnError)] = &[
    ("challenge", |draft| draft.challenge[31] ^= 1, WebauthnError::Challenge),
    ("origin", |draft| draft.origin = "https://example.org", WebauthnError::Origin),
    ("scheme", |draft| draft.origin = "http://console.example.org", WebauthnError::Origin),
    ("frame", |draft| draft.more_client_data = r#","crossOrigin":true"#, WebauthnError::Framed),
    (
        "top origin",
        |draft| draft.more_client_data = r#","topOrigin":"https://console.example.org""#,
        WebauthnError::Framed,
    ),
    (
        "client data",
        |draft| draft.more_client_data = r#","type":"x""#,
        WebauthnError::Malformed(Part::ClientData),
    ),
    (
        "relying party",
        |draft| draft.relying_party = "console.example.org",
        WebauthnError::RelyingParty,
    ),
    ("presence", |draft| draft.flags &= !USER_PRESENT, WebauthnError::NotPresent),
    ("verification", |draft| draft.flags &= !USER_VERIFIED, WebauthnError::NotVerified),
    ("backup state", |draft| draft.flags |= BACKUP_STATE, WebauthnError::BackupState),
    (
        "trailing byte",
        |draft| draft.data_tail = vec![0],
        WebauthnError::Malformed(Part::AuthenticatorData),
    ),
    (
        "unannounced extensions",
        |draft| draft.data_tail = vec![0xa0],
        WebauthnError::Malformed(Part::AuthenticatorData),
    ),
    (
        "missing extensions",
        |draft| draft.flags |= HAS_EXTENSIONS,
        WebauthnError::Malformed(Part::AuthenticatorData),
    ),
];

#[test]
fn a_registration_that_nothing_is_wrong_with() {
    let credential = registered(|_| ()).unwrap();
    assert_eq!(credential.id(), [0xc1; 32]);
    assert_eq!(credential.public_key_cose(), ed25519_key(&[5; 32]));
    assert_eq!(credential.aaguid(), &[0xaa; 16]);
    assert_eq!((credential.sign_count(), credential.backup_eligible()), (0, false));
    assert_eq!(credential.transports(), ["internal", "usb"]);
    assert_eq!(Credential::from_stored(&credential.to_stored()), Ok(credential));

    let synced = registered(|draft| draft.flags |= BACKUP_ELIGIBLE | BACKUP_STATE).unwrap();
    assert!(synced.backup_eligible() && synced.backup_state());
    let extended = registered(|draft| {
        draft.flags |= HAS_EXTENSIONS;
        draft.data_tail = [b"\xa1\x6bcredProtect".as_slice(), &[3]].concat();
    });
    assert_eq!(extended, registered(|_| ()));
}

#[test]
fn each_check_of_a_registration() {
    for (what, change, error) in COMMON {
        assert_eq!(registered(change), Err(*error), "{what}");
    }
    let data = WebauthnError::Malformed(Part::AuthenticatorData);
    let object = WebauthnError::Malformed(Part::AttestationObject);
    let key = WebauthnError::Malformed(Part::PublicKey);
    assert_eq!(registered(|draft| draft.kind = "webauthn.get"), Err(WebauthnError::Ceremony));
    assert_eq!(registered(|draft| draft.flags &= !HAS_CREDENTIAL), Err(data));
    assert_eq!(registered(|draft| draft.object_tail = vec![0]), Err(object));
    assert_eq!(registered(|draft| draft.statement = vec![0xa1, 0x01, 0x01]), Err(object));
    // ES384, and a key that says ES256 and is of Ed25519.
    let es384 = |draft: &mut Draft| {
        draft.public_key = hex_decode("a1033822").unwrap();
    };
    assert_eq!(registered(es384), Err(WebauthnError::Algorithm));
    assert_eq!(registered(|draft| draft.public_key[4] = 0x26), Err(key));

    for (length, error) in [
        (0, Some(data)),
        (15, Some(data)),
        (16, None),
        (MAX_CREDENTIAL_ID_BYTES, None),
        (MAX_CREDENTIAL_ID_BYTES + 1, Some(WebauthnError::CredentialIdTooLong)),
    ] {
        let judged = registered(|draft| draft.credential_id = vec![7; length]);
        assert_eq!(judged.err(), error, "{length}");
    }
    // The length of the response's own id does not help an id inside that is longer.
    let mut inside = Draft::registration(CHALLENGE);
    inside.credential_id = vec![7; MAX_CREDENTIAL_ID_BYTES + 1];
    let mut response = inside.register();
    for name in ["id", "rawId"] {
        response[name] = base64url_encode(&[7; 32]).into();
    }
    assert_eq!(register(&response), Err(WebauthnError::CredentialIdTooLong));

    let mut response = Draft::registration(CHALLENGE).register();
    for name in ["id", "rawId"] {
        response[name] = base64url_encode(&[7; 32]).into();
    }
    assert_eq!(register(&response), Err(WebauthnError::OtherCredential));
}

#[test]
fn a_log_in_that_nothing_is_wrong_with() {
    let authentication = logged_in(|_| ()).unwrap();
    assert_eq!(
        authentication,
        Authentication {
            sign_count: 1,
            backup_state: false,
            user_handle: Some(b"user-1".to_vec()),
            counter_went_back: false,
        }
    );
    assert_eq!(logged_in(|draft| draft.user_handle = None).unwrap().user_handle, None);
    let extended = logged_in(|draft| {
        draft.flags |= HAS_EXTENSIONS;
        draft.data_tail = vec![0xa0];
    });
    assert_eq!(extended, Ok(authentication));
}

#[test]
fn each_check_of_a_log_in() {
    for (what, change, error) in COMMON {
        assert_eq!(logged_in(change), Err(*error), "{what}");
    }
    let data = WebauthnError::Malformed(Part::AuthenticatorData);
    assert_eq!(logged_in(|draft| draft.kind = "webauthn.create"), Err(WebauthnError::Ceremony));
    assert_eq!(logged_in(|draft| draft.flags |= HAS_CREDENTIAL), Err(data));
    let eligible = logged_in(|draft| draft.flags |= BACKUP_ELIGIBLE);
    assert_eq!(eligible, Err(WebauthnError::BackupEligibility));
    assert_eq!(logged_in(|draft| draft.seed = [6; 32]), Err(WebauthnError::Signature));
    let other = logged_in(|draft| draft.credential_id[0] ^= 1);
    assert_eq!(other, Err(WebauthnError::OtherCredential));

    // A synced passkey that says it is bound to a device now.
    let synced = registered(|draft| draft.flags |= BACKUP_ELIGIBLE).unwrap();
    let response = Draft::authentication(CHALLENGE).assert();
    assert_eq!(log_in(&synced, &response), Err(WebauthnError::BackupEligibility));
    let mut draft = Draft::authentication(CHALLENGE);
    draft.flags |= BACKUP_ELIGIBLE | BACKUP_STATE;
    assert!(log_in(&synced, &draft.assert()).unwrap().backup_state);
}

#[test]
fn every_bit_of_what_was_signed_counts() {
    let credential = registered(|_| ()).unwrap();
    let good = Draft::authentication(CHALLENGE).assert();
    assert!(log_in(&credential, &good).is_ok());
    for part in ["authenticatorData", "clientDataJSON", "signature"] {
        let bytes = tradewarden_seal::base64url_decode(good["response"][part].as_str().unwrap());
        let bytes = bytes.unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let mut response = good.clone();
            response["response"][part] = base64url_encode(&changed).into();
            let judged = log_in(&credential, &response);
            assert!(judged.is_err(), "{part} {bit}");
            if part == "signature" {
                assert_eq!(judged, Err(WebauthnError::Signature), "{bit}");
            }
        }
    }
}

#[test]
fn a_counter_that_goes_back_is_told_and_not_refused() {
    let mut credential = registered(|draft| draft.sign_count = 5).unwrap();
    for (sign_count, went_back) in [(6, false), (6, true), (9, false), (1, true), (2, false)] {
        let mut draft = Draft::authentication(CHALLENGE);
        draft.sign_count = sign_count;
        let judged = log_in(&credential, &draft.assert()).unwrap();
        assert_eq!((judged.sign_count, judged.counter_went_back), (sign_count, went_back));
        credential = credential.after(&judged);
    }
    let mut draft = Draft::authentication(CHALLENGE);
    draft.sign_count = 0;
    assert!(log_in(&credential, &draft.assert()).unwrap().counter_went_back);
    let keeps_none = registered(|_| ()).unwrap();
    assert!(!log_in(&keeps_none, &draft.assert()).unwrap().counter_went_back);
}

/// Changes to the JSON around everything.
fn shapes() -> Vec<(&'static str, Value)> {
    let long = |bytes: usize| Value::from("A".repeat(bytes / 3 * 4));
    vec![
        ("/type", json!("password")),
        ("/type", json!(null)),
        ("/id", json!("other")),
        ("/rawId", json!("AAAA")),
        ("/rawId", json!(7)),
        ("/response", json!({})),
        ("/response/clientDataJSON", json!("=")),
        ("/response/clientDataJSON", json!("e30=")),
        ("/response/clientDataJSON", json!([123, 125])),
        ("/response/clientDataJSON", long(9_000)),
    ]
}

#[test]
fn another_shape_of_a_registration_is_malformed() {
    let malformed = Err(WebauthnError::Malformed(Part::Response));
    let mut shapes = shapes();
    shapes.extend([
        ("/response/attestationObject", json!("A")),
        ("/response/attestationObject", json!("AA+A")),
        ("/response/attestationObject", Value::from("A".repeat(90_000))),
        ("/response/transports", json!("usb")),
        ("/response/transports", json!(["USB"])),
        ("/response/transports", json!([""])),
        ("/response/transports", json!(["a".repeat(33)])),
        ("/response/transports", json!(vec!["usb"; 17])),
    ]);
    for (at, value) in shapes {
        let mut response = Draft::registration(CHALLENGE).register();
        *response.pointer_mut(at).unwrap() = value;
        assert_eq!(register(&response), malformed, "{at}");
    }
    let mut bare = Draft::registration(CHALLENGE).register();
    bare["response"].as_object_mut().unwrap().remove("transports");
    assert_eq!(register(&bare).unwrap().transports(), [""; 0]);
    let padded = " ".repeat(MAX_RESPONSE_BYTES + 1);
    assert!(RegistrationResponse::from_json(padded.as_bytes()).is_err());
    assert!(AuthenticationResponse::from_json(padded.as_bytes()).is_err());
}

#[test]
fn another_shape_of_a_log_in_is_malformed() {
    let malformed = Err(WebauthnError::Malformed(Part::Response));
    let credential = registered(|_| ()).unwrap();
    let mut shapes = shapes();
    shapes.extend([
        ("/response/authenticatorData", json!("A")),
        ("/response/authenticatorData", Value::from("A".repeat(12_000))),
        ("/response/signature", json!(null)),
        ("/response/signature", Value::from("A".repeat(2_000))),
        ("/response/userHandle", json!("")),
        ("/response/userHandle", json!(base64url_encode(&[1; 65]))),
    ]);
    for (at, value) in shapes {
        let mut response = Draft::authentication(CHALLENGE).assert();
        *response.pointer_mut(at).unwrap() = value;
        assert_eq!(log_in(&credential, &response), malformed, "{at}");
    }
    let response = Draft::authentication(CHALLENGE).assert().to_string();
    let response = AuthenticationResponse::from_json(response.as_bytes()).unwrap();
    assert_eq!(response.credential_id().unwrap(), credential.id());
}
