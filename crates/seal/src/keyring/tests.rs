use super::*;
use crate::{
    FileKeySource, Place, SourceAnswer, SystemRandomness, Wrapping, digest::hex_encode,
    randomness::testing::Counting,
};

fn keyring(first_byte: u8) -> Keyring {
    Keyring::new(FileKeySource::from_randomness(&mut Counting(first_byte)))
}

fn fresh(first_byte: u8) -> Fresh {
    Fresh::draw(&mut Counting(first_byte))
}

async fn made(ring: &Keyring, purpose: Purpose) -> WrappedKey {
    ring.new_data_key(b"org_1", purpose, fresh(0)).await.unwrap()
}

const PLACE: Place<'_> =
    Place { tenant: b"org_1", table: "webhook", column: "secret", row: b"wh_7", schema_version: 1 };

/// Made by a second implementation (Python, pyca/cryptography) with the same random bytes. Every
/// wrapped key there is depends on these bytes. If this test fails, the format changed: make a new
/// algorithm number instead.
#[tokio::test]
async fn the_format_is_frozen() {
    let wrapped = keyring(0).new_data_key(b"org_1", Purpose::Broker, fresh(0x40)).await.unwrap();
    assert_eq!(
        hex_encode(wrapped.as_bytes()),
        concat!(
            "54574b31021566696c652d33643238666365663136653633643463404142434445464748494a4b4c",
            "4d4e4f0068909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a75ca52cb1b23dd612b6ff7c",
            "0e7fe08807627c3048957c0ba0012dada8c7b041d4a947bb3264b7d4dd8e0e42c8adb4bee2f958df",
            "3ff772719959d81ee971a9f544b220b3bfa4801446ed9043d466fd4789a8a9aaabacadaeafb0b1b2",
            "b3b4b5b6b7b8b9babbbcbdbebf5242ac321ceb8233c121cf81a116eb064d393bac58757df042868c",
            "ac0c826ebc33436ad3f08e0ecdcebba1ad204cc3e572f94314ae5348f327398b33731e8dd1b7e378",
            "7968de5e8e23b92e30eededa67",
        )
    );
    assert_eq!(wrapped.source_key_id(), Some("file-3d28fcef16e63d4c"));
    let key = keyring(0).open_data_key(b"org_1", Purpose::Broker, &wrapped).await.unwrap();
    assert_eq!((Some(key.id()), key.purpose()), (wrapped.key_id(), Purpose::Broker));
}

#[tokio::test]
async fn a_data_key_seals_and_opens_after_it_was_stored() {
    let mut randomness = SystemRandomness::new();
    let ring = Keyring::new(FileKeySource::from_randomness(&mut randomness));
    let fresh = Fresh::draw(&mut randomness);
    let wrapped = ring.new_data_key(b"org_1", Purpose::Intake, fresh).await.unwrap();
    let record = ring
        .open_data_key(b"org_1", Purpose::Intake, &wrapped)
        .await
        .unwrap()
        .seal(&PLACE, b"secret", &mut randomness)
        .unwrap();
    let stored = WrappedKey::from_stored(wrapped.as_bytes().to_vec());
    let key = ring.open_data_key(b"org_1", Purpose::Intake, &stored).await.unwrap();
    assert!(key.open(&PLACE, &record).unwrap().matches(b"secret"));
}

#[tokio::test]
async fn a_data_key_opens_for_its_organization_and_purpose_only() {
    let ring = keyring(0);
    let wrapped = made(&ring, Purpose::Intake).await;
    for purpose in Purpose::ALL {
        let opened = ring.open_data_key(b"org_1", purpose, &wrapped).await;
        assert_eq!(opened.is_ok(), purpose == Purpose::Intake);
        assert_eq!(Purpose::from_name(purpose.name()), Some(purpose));
    }
    for organization in [b"org_2".as_slice(), b"", b"org_1i"] {
        let error = ring.open_data_key(organization, Purpose::Intake, &wrapped).await.unwrap_err();
        assert_eq!(error, DataKeyError::DoesNotOpen(OpenError));
    }
    assert!(ring.open_data_key(&[0; 300], Purpose::Intake, &wrapped).await.is_err());
}

#[tokio::test]
async fn another_source_does_not_open_it() {
    let wrapped = made(&keyring(0), Purpose::Intake).await;
    let ring = keyring(1);
    let error = ring.open_data_key(b"org_1", Purpose::Intake, &wrapped).await.unwrap_err();
    assert!(matches!(error, DataKeyError::OtherSource { .. }), "{error}");

    // Nor when the name of the source is made to fit.
    let other = ring.current().newest().await.unwrap();
    let mut renamed = wrapped.as_bytes().to_vec();
    renamed[6..6 + other.len()].copy_from_slice(other.as_bytes());
    let renamed = WrappedKey(renamed);
    let error = ring.open_data_key(b"org_1", Purpose::Intake, &renamed).await.unwrap_err();
    assert_eq!(error, DataKeyError::Source(SourceError::DoesNotOpen));
}

#[tokio::test]
async fn a_wrapped_key_with_any_bit_changed_or_cut_does_not_open() {
    let ring = keyring(0);
    let wrapped = made(&ring, Purpose::Intake).await;
    let bytes = wrapped.as_bytes();
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.to_vec();
            changed[position] ^= 1 << bit;
            let changed = WrappedKey(changed);
            assert!(ring.open_data_key(b"org_1", Purpose::Intake, &changed).await.is_err());
        }
        let cut = WrappedKey(bytes[..position].to_vec());
        assert!(ring.open_data_key(b"org_1", Purpose::Intake, &cut).await.is_err());
    }
    let long = WrappedKey(vec![0; MAX_WRAPPED_KEY_BYTES + 1]);
    assert!(ring.open_data_key(b"org_1", Purpose::Intake, &long).await.is_err());
}

/// Parts of two wrapped keys of one organization and purpose do not make a third.
#[tokio::test]
async fn wrappings_are_not_exchanged() {
    let ring = keyring(0);
    let one = ring.new_data_key(b"org_1", Purpose::Intake, fresh(0)).await.unwrap();
    let two = ring.new_data_key(b"org_1", Purpose::Intake, fresh(9)).await.unwrap();
    let (head, body) = (one.parts().unwrap().header, two.parts().unwrap().body);
    let mixed = WrappedKey([head, body].concat());
    let opened = ring.open_data_key(b"org_1", Purpose::Intake, &mixed).await;
    assert_eq!(opened.unwrap_err(), DataKeyError::DoesNotOpen(OpenError));
}

#[tokio::test]
async fn after_a_rotation_old_wrappings_open_and_new_ones_are_of_the_new_version() {
    let ring = keyring(0);
    let old = made(&ring, Purpose::Intake).await;
    let before = ring.current().newest().await.unwrap();
    let after = ring.current().rotate(SecretBytes::new(vec![7; 32])).await.unwrap();
    assert_ne!(before, after);
    assert_eq!(ring.current().newest().await.unwrap(), after);
    assert_eq!(old.source_key_id(), Some(before.as_str()));
    let key = ring.open_data_key(b"org_1", Purpose::Intake, &old).await.unwrap();
    let record = key.seal(&PLACE, b"secret", &mut Counting(0)).unwrap();

    let new = ring.rewrap(b"org_1", Purpose::Intake, &old, fresh(3)).await.unwrap();
    assert_eq!(new.source_key_id(), Some(after.as_str()));
    assert_eq!(new.key_id(), old.key_id());
    let key = ring.open_data_key(b"org_1", Purpose::Intake, &new).await.unwrap();
    assert!(key.open(&PLACE, &record).unwrap().matches(b"secret"));
    assert!(ring.rewrap(b"org_2", Purpose::Intake, &old, fresh(3)).await.is_err());
}

#[tokio::test]
async fn what_the_previous_source_wrapped_opens_and_is_moved() {
    let file = |byte| -> Arc<dyn KeySource> {
        Arc::new(FileKeySource::from_randomness(&mut Counting(byte)))
    };
    let old = made(&keyring(0), Purpose::People).await;
    let both = Keyring::moving(file(1), Some(file(0)));
    let moved = both.rewrap(b"org_1", Purpose::People, &old, fresh(5)).await.unwrap();
    let alone = keyring(1);
    let key = alone.open_data_key(b"org_1", Purpose::People, &moved).await.unwrap();
    assert_eq!(Some(key.id()), old.key_id());
    assert!(alone.open_data_key(b"org_1", Purpose::People, &old).await.is_err());
}

/// A source that gives something it does not open again, as a token with two keys of one name.
struct Forgetful(FileKeySource);

impl KeySource for Forgetful {
    fn kind(&self) -> &'static str {
        "forgetful"
    }
    fn place(&self) -> String {
        "nowhere".to_owned()
    }
    fn holds(&self, key_id: &str) -> bool {
        self.0.holds(key_id)
    }
    fn newest(&self) -> SourceAnswer<'_, String> {
        self.0.newest()
    }
    fn wrap<'a>(
        &'a self,
        _secret: &'a SecretBytes,
        nonce: &'a [u8; SOURCE_NONCE_BYTES],
    ) -> SourceAnswer<'a, Wrapping> {
        Box::pin(async { self.0.wrap(&SecretBytes::new(vec![0; 32]), nonce).await })
    }
    fn unwrap<'a>(&'a self, key_id: &'a str, wrapped: &'a [u8]) -> SourceAnswer<'a, SecretBytes> {
        self.0.unwrap(key_id, wrapped)
    }
    fn rotate(&self, fresh: SecretBytes) -> SourceAnswer<'_, String> {
        self.0.rotate(fresh)
    }
}

#[tokio::test]
async fn a_wrapping_that_does_not_open_replaces_nothing() {
    let old = made(&keyring(0), Purpose::People).await;
    let forgetful = Forgetful(FileKeySource::from_randomness(&mut Counting(1)));
    let before = Arc::new(FileKeySource::from_randomness(&mut Counting(0)));
    let ring = Keyring::moving(Arc::new(forgetful), Some(before));
    let error = ring.rewrap(b"org_1", Purpose::People, &old, fresh(5)).await.unwrap_err();
    assert_eq!(error, DataKeyError::DoesNotOpen(OpenError));
    assert!(ring.new_data_key(b"org_1", Purpose::People, fresh(6)).await.is_err());
    ring.open_data_key(b"org_1", Purpose::People, &old).await.unwrap();
}
