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

/// The seventh of its organization.
const fn at(purpose: Purpose) -> DataKeyPlace<'static> {
    DataKeyPlace { organization: b"org_1", purpose, version: 7 }
}

async fn rewrapped(
    ring: &Keyring,
    place: &DataKeyPlace<'_>,
    old: &WrappedKey,
    fresh: Fresh,
) -> Result<WrappedKey, DataKeyError> {
    ring.rewrap(vec![(*place, old, fresh)]).await.pop().unwrap()
}

async fn made(ring: &Keyring, purpose: Purpose) -> WrappedKey {
    ring.new_data_key(&at(purpose), fresh(0)).await.unwrap()
}

const PLACE: Place<'_> =
    Place { tenant: b"org_1", table: "webhook", column: "secret", row: b"wh_7", schema_version: 1 };

/// Made by a second implementation (Python, pyca/cryptography) with the same random bytes. Every
/// wrapped key there is depends on these bytes. If this test fails, the format changed: make a new
/// algorithm number instead.
#[tokio::test]
async fn the_format_is_frozen() {
    let wrapped = keyring(0).new_data_key(&at(Purpose::Broker), fresh(0x40)).await.unwrap();
    assert_eq!(
        hex_encode(wrapped.as_bytes()),
        concat!(
            "54574b31031566696c652d33643238666365663136653633643463404142434445464748494a4b",
            "4c4d4e4f0068909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a75ca52cb1b23dd612b6",
            "ff7c0e7fe08807627c3048957c0ba0012dada8c7b041d4a947bb3264b7d4dd8e0e42c8adb4bee2",
            "f958df3ff772719959d81ee971a9f544b220b3bfa4801446ed9043d466fd4789a8a9aaabacadae",
            "afb0b1b2b3b4b5b6b7b8b9babbbcbdbebf87f37d2fa0a712f36f6cdf6b94945572c9d8ff08385f",
            "2df3a1ab5c93eb187d692566145eca72d242fa3d4ba7169673c145aa2e26c17ac30fbd403cd9ff",
            "594b20c80ca7b30e5e148adbd54fd56082273d",
        )
    );
    assert_eq!(wrapped.source_key_id(), Some("file-3d28fcef16e63d4c"));
    let key = keyring(0).open_data_key(&at(Purpose::Broker), &wrapped).await.unwrap();
    assert_eq!((Some(key.id()), key.purpose()), (wrapped.key_id(), Purpose::Broker));
}

#[tokio::test]
async fn a_data_key_seals_and_opens_after_it_was_stored() {
    let mut randomness = SystemRandomness::new();
    let ring = Keyring::new(FileKeySource::from_randomness(&mut randomness));
    let fresh = Fresh::draw(&mut randomness);
    let wrapped = ring.new_data_key(&at(Purpose::Intake), fresh).await.unwrap();
    let record = ring
        .open_data_key(&at(Purpose::Intake), &wrapped)
        .await
        .unwrap()
        .seal(&PLACE, b"secret", &mut randomness)
        .unwrap();
    let stored = WrappedKey::from_stored(wrapped.as_bytes().to_vec());
    let key = ring.open_data_key(&at(Purpose::Intake), &stored).await.unwrap();
    assert!(key.open(&PLACE, &record).unwrap().matches(b"secret"));
}

#[tokio::test]
async fn a_data_key_opens_for_its_organization_purpose_and_version_only() {
    let ring = keyring(0);
    let wrapped = made(&ring, Purpose::Intake).await;
    for purpose in Purpose::ALL {
        let opened = ring.open_data_key(&at(purpose), &wrapped).await;
        assert_eq!(opened.is_ok(), purpose == Purpose::Intake);
        assert_eq!(Purpose::from_name(purpose.name()), Some(purpose));
    }
    for version in [6, 8, 0, -7, i64::MAX] {
        let place = DataKeyPlace { version, ..at(Purpose::Intake) };
        let error = ring.open_data_key(&place, &wrapped).await.unwrap_err();
        assert_eq!(error, DataKeyError::DoesNotOpen(OpenError), "version {version}");
    }
    for organization in [b"org_2".as_slice(), b"", b"org_1i"] {
        let error = ring
            .open_data_key(&DataKeyPlace { organization, ..at(Purpose::Intake) }, &wrapped)
            .await
            .unwrap_err();
        assert_eq!(error, DataKeyError::DoesNotOpen(OpenError));
    }
    assert!(
        ring.open_data_key(
            &DataKeyPlace { organization: &[0; 300], ..at(Purpose::Intake) },
            &wrapped
        )
        .await
        .is_err()
    );
}

#[tokio::test]
async fn another_source_does_not_open_it() {
    let wrapped = made(&keyring(0), Purpose::Intake).await;
    let ring = keyring(1);
    let error = ring.open_data_key(&at(Purpose::Intake), &wrapped).await.unwrap_err();
    assert!(matches!(error, DataKeyError::OtherSource { .. }), "{error}");

    // Nor when the name of the source is made to fit.
    let other = ring.current().newest().await.unwrap();
    let mut renamed = wrapped.as_bytes().to_vec();
    renamed[6..6 + other.len()].copy_from_slice(other.as_bytes());
    let renamed = WrappedKey(renamed);
    let error = ring.open_data_key(&at(Purpose::Intake), &renamed).await.unwrap_err();
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
            assert!(ring.open_data_key(&at(Purpose::Intake), &changed).await.is_err());
        }
        let cut = WrappedKey(bytes[..position].to_vec());
        assert!(ring.open_data_key(&at(Purpose::Intake), &cut).await.is_err());
    }
    let long = WrappedKey(vec![0; MAX_WRAPPED_KEY_BYTES + 1]);
    assert!(ring.open_data_key(&at(Purpose::Intake), &long).await.is_err());
}

/// Parts of two wrapped keys of one organization and purpose do not make a third.
#[tokio::test]
async fn wrappings_are_not_exchanged() {
    let ring = keyring(0);
    let one = ring.new_data_key(&at(Purpose::Intake), fresh(0)).await.unwrap();
    let two = ring.new_data_key(&at(Purpose::Intake), fresh(9)).await.unwrap();
    let (head, body) = (one.parts().unwrap().header, two.parts().unwrap().body);
    let mixed = WrappedKey([head, body].concat());
    let opened = ring.open_data_key(&at(Purpose::Intake), &mixed).await;
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
    let key = ring.open_data_key(&at(Purpose::Intake), &old).await.unwrap();
    let record = key.seal(&PLACE, b"secret", &mut Counting(0)).unwrap();

    let new = rewrapped(&ring, &at(Purpose::Intake), &old, fresh(3)).await.unwrap();
    assert_eq!(new.source_key_id(), Some(after.as_str()));
    assert_eq!(new.key_id(), old.key_id());
    let key = ring.open_data_key(&at(Purpose::Intake), &new).await.unwrap();
    assert!(key.open(&PLACE, &record).unwrap().matches(b"secret"));
    assert!(
        rewrapped(
            &ring,
            &DataKeyPlace { organization: b"org_2", ..at(Purpose::Intake) },
            &old,
            fresh(3)
        )
        .await
        .is_err()
    );
}

#[tokio::test]
async fn what_the_previous_source_wrapped_opens_and_is_moved() {
    let file = |byte| -> Arc<dyn KeySource> {
        Arc::new(FileKeySource::from_randomness(&mut Counting(byte)))
    };
    let old = made(&keyring(0), Purpose::People).await;
    let both = Keyring::moving(file(1), Some(file(0)));
    let moved = rewrapped(&both, &at(Purpose::People), &old, fresh(5)).await.unwrap();
    let alone = keyring(1);
    let key = alone.open_data_key(&at(Purpose::People), &moved).await.unwrap();
    assert_eq!(Some(key.id()), old.key_id());
    assert!(alone.open_data_key(&at(Purpose::People), &old).await.is_err());
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
    let error = rewrapped(&ring, &at(Purpose::People), &old, fresh(5)).await.unwrap_err();
    assert_eq!(error, DataKeyError::DoesNotOpen(OpenError));
    assert!(ring.new_data_key(&at(Purpose::People), fresh(6)).await.is_err());
    ring.open_data_key(&at(Purpose::People), &old).await.unwrap();
}

/// Takes three at once, counts how often it is asked, and can be away.
struct Batches {
    inner: FileKeySource,
    calls: std::sync::atomic::AtomicUsize,
    away_after: usize,
}

impl Batches {
    fn new(away_after: usize) -> Self {
        let inner = FileKeySource::from_randomness(&mut Counting(0));
        Self { inner, calls: std::sync::atomic::AtomicUsize::new(0), away_after }
    }
}

impl KeySource for Batches {
    fn kind(&self) -> &'static str {
        "batches"
    }
    fn place(&self) -> String {
        "nowhere".to_owned()
    }
    fn holds(&self, key_id: &str) -> bool {
        self.inner.holds(key_id)
    }
    fn newest(&self) -> SourceAnswer<'_, String> {
        self.inner.newest()
    }
    fn wrap<'a>(
        &'a self,
        secret: &'a SecretBytes,
        nonce: &'a [u8; SOURCE_NONCE_BYTES],
    ) -> SourceAnswer<'a, Wrapping> {
        self.inner.wrap(secret, nonce)
    }
    fn unwrap<'a>(&'a self, key_id: &'a str, wrapped: &'a [u8]) -> SourceAnswer<'a, SecretBytes> {
        self.inner.unwrap(key_id, wrapped)
    }
    fn at_once(&self) -> usize {
        3
    }
    fn unwrap_many<'a>(
        &'a self,
        wrapped: &'a [(&'a str, &'a [u8])],
    ) -> SourceAnswer<'a, Vec<Result<SecretBytes, SourceError>>> {
        let calls = self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if calls >= self.away_after {
            let away = SourceError::Unavailable("the link is cut".to_owned());
            return Box::pin(std::future::ready(Err(away)));
        }
        assert!((1..=3).contains(&wrapped.len()), "{}", wrapped.len());
        self.inner.unwrap_many(wrapped)
    }
    fn rotate(&self, fresh: SecretBytes) -> SourceAnswer<'_, String> {
        self.inner.rotate(fresh)
    }
}

/// Eight keys of which two do not open are three calls, and each answer stands in its place; when the
/// source goes away it is asked once more and not for each of the rest.
#[tokio::test]
async fn many_keys_are_opened_in_few_calls_and_one_harms_no_other() {
    let ring = keyring(0);
    let mut stored = Vec::new();
    for byte in 0..8 {
        stored.push(ring.new_data_key(&at(Purpose::Intake), fresh(byte)).await.unwrap());
    }
    let mut changed = stored[2].as_bytes().to_vec();
    *changed.last_mut().unwrap() ^= 1;
    stored[2] = WrappedKey(changed);
    stored[4] = WrappedKey(b"nothing".to_vec());
    let wanted: Vec<_> = stored.iter().map(|stored| (at(Purpose::Intake), stored)).collect();
    for (away_after, opens, calls) in [(9, 6, 3), (1, 2, 2), (0, 0, 1)] {
        let source = Arc::new(Batches::new(away_after));
        let shared: Arc<dyn KeySource> = Arc::<Batches>::clone(&source);
        let ring = Keyring::moving(shared, None);
        let opened = ring.open_data_keys(&wanted).await;
        assert_eq!(opened.len(), 8);
        for (position, (key, stored)) in opened.iter().zip(&stored).enumerate() {
            // What was not answered says nothing of what it was.
            let is_damaged = position == 4 || position == 2 && away_after > 0;
            match key {
                Ok(key) => assert_eq!(Some(key.id()), stored.key_id(), "{position}"),
                Err(error) => {
                    assert_eq!(error.is_about_the_key(), is_damaged, "{position} {error}");
                }
            }
        }
        assert_eq!(opened.iter().filter(|key| key.is_ok()).count(), opens, "{away_after}");
        assert_eq!(source.calls.load(std::sync::atomic::Ordering::Relaxed), calls, "{away_after}");
    }
}
