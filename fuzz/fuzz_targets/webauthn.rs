//! Any bytes as one part of a passkey's registration or log-in; the first byte says which. No panic;
//! what is taken is stored and read again as the same; and nothing logs in without the key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tradewarden_seal::webauthn::{
    AuthenticationResponse, Credential, RegistrationResponse, RelyingParty, verify_authentication,
    verify_registration,
};
use tradewarden_seal::{Digest, base64url_encode};

const CHALLENGE: [u8; 32] = [0; 32];
/// A credential with the key of RFC 8032 section 7.1, test 1, which signed nothing of this.
const STORED: &str = r#"{"aaguid":"00000000000000000000000000000000","backup_eligible":false,"backup_state":false,"id":"CQkJCQkJCQkJCQkJCQkJCQ","public_key":"pAEBAycgBiFYINdamAGCsQq31Uv-08lkBzoO4XLz2qYjJa8CGmj3B1Ea","sign_count":0,"transports":[],"v":1}"#;

static PARTY: LazyLock<RelyingParty> = LazyLock::new(|| {
    let origins = ["https://example.org".to_owned()];
    RelyingParty::new("example.org", "Example", origins).expect("a relying party").with_rs256()
});
static KNOWN: LazyLock<Credential> =
    LazyLock::new(|| Credential::from_stored(STORED).expect("a credential"));

fuzz_target!(|input: &[u8]| {
    let Some((part, bytes)) = input.split_first() else { return };
    match part {
        b'0' => register(bytes),
        b'1' => log_in(bytes),
        b'2' => {
            let id = id_inside(bytes).unwrap_or(&[9; 16]);
            register(&registration(id, &client_data("webauthn.create"), bytes));
        }
        b'3' => register(&registration(&[9; 16], bytes, &[0xa0])),
        b'4' => log_in(&assertion(&client_data("webauthn.get"), bytes)),
        b'5' => log_in(&assertion(bytes, &authenticator_data())),
        _ => read_stored(bytes),
    }
});

fn register(json: &[u8]) {
    let Ok(response) = RegistrationResponse::from_json(json) else { return };
    if let Ok(credential) = verify_registration(&PARTY, &CHALLENGE, &response) {
        assert!((16..=1023).contains(&credential.id().len()));
        assert!(credential.backup_eligible() || !credential.backup_state());
        assert_eq!(Credential::from_stored(&credential.to_stored()), Ok(credential));
    }
}

fn log_in(json: &[u8]) {
    let Ok(response) = AuthenticationResponse::from_json(json) else { return };
    assert!(verify_authentication(&PARTY, &CHALLENGE, &KNOWN, &response).is_err());
}

fn read_stored(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(credential) = Credential::from_stored(text) {
        assert_eq!(credential.to_stored(), text);
        assert!(credential.algorithm().is_ok());
    }
}

/// The credential id behind our hash: 32 bytes of hash, a flag byte, 4 of counter, 16 of AAGUID.
fn id_inside(object: &[u8]) -> Option<&[u8]> {
    let hash = Digest::sha256(b"example.org");
    let at = object.windows(32).position(|window| window == hash.as_bytes())?;
    let (length, rest) = object.get(at + 53..)?.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

fn client_data(kind: &str) -> Vec<u8> {
    let challenge = base64url_encode(&CHALLENGE);
    format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"https://example.org"}}"#)
        .into()
}

fn authenticator_data() -> Vec<u8> {
    [Digest::sha256(b"example.org").as_bytes().as_slice(), &[0x05, 0, 0, 0, 1]].concat()
}

fn registration(id: &[u8], client_data: &[u8], object: &[u8]) -> Vec<u8> {
    let (id, client_data) = (base64url_encode(id), base64url_encode(client_data));
    let object = base64url_encode(object);
    format!(
        r#"{{"id":"{id}","rawId":"{id}","type":"public-key","response":{{"clientDataJSON":"{client_data}","attestationObject":"{object}"}}}}"#
    )
    .into()
}

fn assertion(client_data: &[u8], data: &[u8]) -> Vec<u8> {
    let (id, client_data) = (base64url_encode(KNOWN.id()), base64url_encode(client_data));
    let (data, signature) = (base64url_encode(data), base64url_encode(&[0; 64]));
    format!(
        r#"{{"id":"{id}","rawId":"{id}","type":"public-key","response":{{"clientDataJSON":"{client_data}","authenticatorData":"{data}","signature":"{signature}"}}}}"#
    )
    .into()
}
