//! Many data keys are few calls, and a refusal is no reason to log in without end.

use std::sync::Arc;

use tokio::task::JoinSet;
use tradewarden_seal::{
    DataKeyPlace, FileKeySource, Fresh, KeySource, Keyring, Purpose, SourceError, SystemRandomness,
    WrappedKey,
};
use tradewarden_testkit::process::{TestDir, until};

use crate::bao::Bao;

const KEYS: i64 = 600;
/// 250, 250 and 100.
const CALLS: usize = 3;
const WITHOUT_ENCRYPT: &str = r#"path "transit/decrypt/tradewarden" { capabilities = ["update"] }"#;

fn place(version: i64) -> DataKeyPlace<'static> {
    DataKeyPlace { organization: b"org_1", purpose: Purpose::Intake, version }
}

/// 600 data keys move from a file to OpenBao in three calls that wrap and three that look whether it
/// opens; three open them at a start, and one that is damaged is left out alone.
#[tokio::test]
async fn many_data_keys_are_few_calls() {
    let dir = TestDir::new("vault-batches");
    let bao = Bao::start(&dir, "1h").await;
    let mut randomness = SystemRandomness::new();
    let file: Arc<dyn KeySource> = Arc::new(FileKeySource::from_randomness(&mut randomness));
    let local = Keyring::moving(Arc::clone(&file), None);
    let mut stored = Vec::new();
    for version in 1..=KEYS {
        let fresh = Fresh::draw(&mut randomness);
        stored.push(local.new_data_key(&place(version), fresh).await.unwrap());
    }

    let both = Keyring::moving(Arc::new(bao.source()), Some(file));
    let wanted = (1..).zip(&stored);
    let wanted = wanted.map(|(version, key)| (place(version), key, Fresh::draw(&mut randomness)));
    let moved = both.rewrap(wanted.collect()).await;
    let mut moved: Vec<WrappedKey> = moved.into_iter().map(Result::unwrap).collect();
    until("the calls are logged", async || bao.calls("transit/decrypt/tradewarden") >= CALLS).await;
    assert_eq!(bao.calls("transit/encrypt/tradewarden"), CALLS);
    assert_eq!(bao.calls("transit/decrypt/tradewarden"), CALLS);

    let mut damaged = moved[260].as_bytes().to_vec();
    let ciphertext = damaged.windows(9).position(|bytes| bytes == b"vault:v1:").unwrap() + 20;
    damaged[ciphertext] = if damaged[ciphertext] == b'A' { b'B' } else { b'A' };
    moved[260] = WrappedKey::from_stored(damaged);
    let alone = Keyring::new(bao.source());
    let wanted: Vec<_> = (1..).zip(&moved).map(|(version, key)| (place(version), key)).collect();
    let opened = alone.open_data_keys(&wanted).await;
    for (position, (key, stored)) in opened.iter().zip(&stored).enumerate() {
        match key {
            Ok(key) => assert_eq!(Some(key.id()), stored.key_id(), "{position}"),
            Err(error) => assert!(position == 260 && error.is_about_the_key(), "{error}"),
        }
    }
    assert_eq!(opened.iter().filter(|key| key.is_ok()).count(), stored.len() - 1);
    until("the calls are logged", async || bao.calls("transit/decrypt/tradewarden") >= 2 * CALLS)
        .await;
    assert_eq!(bao.calls("transit/decrypt/tradewarden"), 2 * CALLS);
}

/// What a policy refuses is refused to the next token, too: one log-in finds that out, and not one at
/// each look. Once it is let again, the token that is there is used.
#[tokio::test]
async fn a_policy_that_refuses_is_one_log_in() {
    let dir = TestDir::new("vault-policy");
    let bao = Bao::start(&dir, "1h").await;
    let source = Arc::new(bao.source());
    source.newest().await.unwrap();
    bao.set_policy(WITHOUT_ENCRYPT).await;
    for _look in 0..5 {
        let refused = source.newest().await.unwrap_err();
        let SourceError::Refused(text) = &refused else { panic!("{refused}") };
        assert!(text.contains("the token's policy needs `update`"), "{text}");
    }
    // Many at once take the same token away once.
    let mut looks = JoinSet::new();
    for _look in 0..8 {
        let source = Arc::clone(&source);
        looks.spawn(async move { source.newest().await });
    }
    while let Some(looked) = looks.join_next().await {
        assert!(looked.unwrap().is_err());
    }
    bao.set_policy(crate::bao::POLICY).await;
    source.newest().await.unwrap();
    // Fifteen looks with one question each, and one more after the log-in.
    until("the calls are logged", async || bao.calls("transit/encrypt/tradewarden") >= 16).await;
    assert_eq!(bao.calls("auth/approle/login"), 2);
}
