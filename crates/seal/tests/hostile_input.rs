//! Whatever is read from outside: no input panics, and what is taken is printed as it was read.

use proptest::prelude::*;
use tradewarden_seal::{
    Checkpoint, DataKeyId, DataKeyPlace, Digest, FileKeySource, Fresh, Keyring, LedgerKey,
    LocalAuthority, Password, PasswordHash, PasswordPolicy, Place, Purpose, RecoveryCode,
    RecoverySet, SecretString, SystemRandomness, TlogProof, TokenKind, TokenRealm, VerifierKey,
    WrappedKey, base64_decode, base64_encode, base64url_decode, base64url_encode, hex_decode,
    hex_encode,
    http_signature::{Ed25519Key, Origin, Origins, Presented, Received, Request, VerifyingKey},
    merkle::{TileAddress, parse_tile_path},
    open_note, standard_webhooks,
    webauthn::{
        AuthenticationResponse, Credential, RegistrationResponse, RelyingParty,
        verify_authentication, verify_registration,
    },
};

/// With the key of RFC 8032 section 7.1, test 1.
const CREDENTIAL: &str = r#"{"aaguid":"00000000000000000000000000000000","backup_eligible":false,"backup_state":false,"id":"CQkJCQkJCQkJCQkJCQkJCQ","public_key":"pAEBAycgBiFYINdamAGCsQq31Uv-08lkBzoO4XLz2qYjJa8CGmj3B1Ea","sign_count":0,"transports":[],"v":1}"#;
const VERIFIER: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

proptest! {
    #[test]
    fn any_text(text in "(?s).{0,200}") {
        if let Ok(bytes) = hex_decode(&text) {
            prop_assert_eq!(hex_encode(&bytes), text.as_str());
        }
        if let Ok(bytes) = base64_decode(&text) {
            prop_assert_eq!(base64_encode(&bytes), text.as_str());
        }
        if let Ok(bytes) = base64url_decode(&text) {
            prop_assert_eq!(base64url_encode(&bytes), text.as_str());
        }
        let key: VerifierKey = VERIFIER.parse().unwrap();
        prop_assert!(text.parse::<Digest>().is_err());
        prop_assert!(text.parse::<VerifierKey>().is_err());
        prop_assert!(text.parse::<TlogProof>().is_err());
        prop_assert!(open_note(&text, &key).is_err());
        prop_assert!(Checkpoint::open(&text, &key).is_err());
        prop_assert!(parse_tile_path(&text).is_err());
        prop_assert!(standard_webhooks::parse_secret(&text).is_err());
        prop_assert_eq!(TokenKind::recognise(&text), None);
        prop_assert!(PasswordHash::from_phc(&text).is_err());
        prop_assert!(RecoverySet::from_text(&text).is_err());
        let realm = TokenRealm::new("issuer", "audience", Vec::new()).unwrap();
        prop_assert!(realm.verify(&text, 0).is_err());
        let typed = SecretString::new(text.clone());
        if let Ok(code) = RecoveryCode::parse(&typed) {
            let shown = code.shown();
            let again = RecoveryCode::parse(&shown).unwrap().shown();
            prop_assert_eq!(again.expose(), shown.expose());
        }
        if let Ok(password) = Password::new(&typed) {
            // Nothing panics, whatever people type, and whatever is known of them.
            drop(PasswordPolicy::standard().judge(&password, &[&text, "anna"]));
        }
        prop_assert!(text.parse::<Origin>().is_err());
        prop_assert!(Ed25519Key::from_pkcs8_pem(&text).is_err());
        prop_assert!(VerifyingKey::ed25519_from_pem(&text).is_err());
        prop_assert!(LocalAuthority::from_pem(&text, &SecretString::new(text.clone())).is_err());
    }

    #[test]
    fn text_that_is_almost_a_proof(
        extra in "(extra [A-Za-z0-9+/=]{0,9}\n)?",
        index in "[0-9x]{0,21}",
        hashes in "([A-Za-z0-9+/]{43}=\n){0,3}",
        note in "(?s).{0,50}",
    ) {
        let text = format!("c2sp.org/tlog-proof@v1\n{extra}index {index}\n{hashes}\n{note}");
        if let Ok(proof) = text.parse::<TlogProof>() {
            prop_assert_eq!(proof.to_string(), text);
            prop_assert!(proof.verify(b"", &VERIFIER.parse().unwrap()).is_err());
        }
    }

    #[test]
    fn text_that_is_almost_a_note(text in "[a\n]{0,9}\n\n(— [a+ ]{0,9} [A-Za-z0-9+/=]{0,9}\n){0,3}") {
        prop_assert!(open_note(&text, &VERIFIER.parse().unwrap()).is_err());
    }

    #[test]
    fn text_that_is_almost_a_tile(path in "tile/(entries|[0-9]{1,2})/(x[0-9]{3}/){0,7}[0-9]{3}(\\.p/[0-9]{0,3})?") {
        match parse_tile_path(&path) {
            Ok(TileAddress::Hashes(tile)) => prop_assert_eq!(tile.path(), path),
            Ok(TileAddress::Entries(tile)) => prop_assert_eq!(tile.entries_path(), path),
            Err(_) => (),
        }
    }

    #[test]
    fn any_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), magic in 0..3) {
        match magic {
            1 => drop(bytes.splice(..0, *b"TW1\x01")),
            2 => drop(bytes.splice(..0, *b"TWK1\x03")),
            _ => (),
        }
        let ring = Keyring::new(FileKeySource::from_randomness(&mut SystemRandomness::new()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let fresh = Fresh::draw(&mut SystemRandomness::new());
        let at = DataKeyPlace { organization: b"org_1", purpose: Purpose::Intake, version: 1 };
        let wrapped = runtime.block_on(ring.new_data_key(&at, fresh)).unwrap();
        let key = runtime.block_on(ring.open_data_key(&at, &wrapped)).unwrap();
        let place = Place { tenant: b"org_1", table: "t", column: "c", row: b"r", schema_version: 1 };
        prop_assert!(key.open(&place, &bytes).is_err());
        prop_assert_ne!(DataKeyId::of_record(&bytes), Some(key.id()));
        let other = WrappedKey::from_stored(bytes);
        let opened = runtime.block_on(ring.open_data_key(&at, &other));
        prop_assert!(opened.is_err());
    }

    #[test]
    fn any_headers(id in ".{0,20}", timestamp in "[0-9+ -]{0,21}", signatures in "(v1,?[A-Za-z0-9+/=]{0,9} ?){0,4}", now: i64) {
        let secret = standard_webhooks::generate_secret(&mut SystemRandomness::new());
        prop_assert!(standard_webhooks::verify(&secret, &id, &timestamp, &signatures, b"", now).is_err());
    }

    #[test]
    fn any_passkey(
        json in "(?s).{0,200}",
        client_data in "[A-Za-z0-9_-]{0,80}",
        part in proptest::collection::vec(any::<u8>(), 0..120),
        signature in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        prop_assert!(RegistrationResponse::from_json(json.as_bytes()).is_err());
        prop_assert!(AuthenticationResponse::from_json(json.as_bytes()).is_err());
        prop_assert!(Credential::from_stored(&json).is_err());
        let party = RelyingParty::new("a.example", "A", ["https://a.example".to_owned()]).unwrap();
        let credential = Credential::from_stored(CREDENTIAL).unwrap();
        let id = base64url_encode(credential.id());
        let right = format!(
            r#"{{"type":"webauthn.get","challenge":"{}","origin":"https://a.example"}}"#,
            base64url_encode(&[0; 32])
        );
        for client_data in [client_data, base64url_encode(right.as_bytes())] {
            let part = base64url_encode(&part);
            let signature = base64url_encode(&signature);
            let text = format!(
                r#"{{"id":"{id}","rawId":"{id}","type":"public-key","response":{{"clientDataJSON":"{client_data}","attestationObject":"{part}","authenticatorData":"{part}","signature":"{signature}"}}}}"#
            );
            let response = RegistrationResponse::from_json(text.as_bytes()).unwrap();
            prop_assert!(verify_registration(&party, &[0; 32], &response).is_err());
            let response = AuthenticationResponse::from_json(text.as_bytes()).unwrap();
            let judged = verify_authentication(&party, &[0; 32], &credential, &response);
            prop_assert!(judged.is_err());
        }
    }

    #[test]
    fn any_signature_fields(
        method in "(GET|.{0,4})",
        target in "(/|.{0,9})",
        components in "(\"(@method|@target-uri|@path|@x|x|X|é)\"(;sf|;key=\"x\")? ?){0,4}",
        parameters in "(;(created=[0-9]{1,11}|nonce=\"[a-z]{12,20}\"|keyid=\"k\"|alg=\"ed25519\"|.{0,4})){0,5}",
        signature in "(a=:[A-Za-z0-9+/=]{0,90}:)?.{0,3}",
        digest in "(sha-256=:[A-Za-z0-9+/]{43}=:)?.{0,9}",
        body: Vec<u8>,
        now: i64,
    ) {
        let covered = format!("a=(\"@method\" \"@target-uri\" {components})");
        let input = format!("{covered};created=1;nonce=\"aaaaaaaaaaaaaaaa\";keyid=\"k\";tag=\"tw-v1\"");
        let other = format!("{covered}{parameters};tag=\"tw-v1\"");
        for input in [input, other] {
            let fields = [
                ("signature-input", input.as_str()),
                ("signature", signature.as_str()),
                ("content-digest", digest.as_str()),
            ];
            let fields = fields.as_slice();
            let request =
                Request { method: &method, target: &target, authority: "a", headers: &fields, body: &body };
            if let Ok(presented) = Presented::read(&Received::new(request)) {
                let presented = presented.expect("there are signatures");
                let key = VerifyingKey::ed25519([3; 32]).unwrap();
                let origins = Origins::new(vec!["https://a".parse().unwrap()]).unwrap();
                prop_assert!(presented.verify(&key, &origins, now).is_err());
                prop_assert!(presented.verify(&VerifyingKey::decoy(&presented), &origins, now).is_err());
            }
        }
    }

    #[test]
    fn any_seed(seed: [u8; 32]) {
        let key = LedgerKey::from_seed("log", seed.to_vec().into()).unwrap();
        let checkpoint = Checkpoint { origin: "log".to_owned(), size: 1, root: Digest::sha256(&seed) };
        let note = checkpoint.sign(&key).unwrap();
        prop_assert_eq!(Checkpoint::open(&note, key.verifier()), Ok(checkpoint));
    }
}
