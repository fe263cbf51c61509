use std::fs;

use super::*;
use crate::randomness::testing::Counting;

/// A directory that is gone when the test is over.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("tradewarden-seal-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn a_key_file_is_made_for_its_owner_and_read_back() {
    let directory = Directory::new("made");
    let path = directory.0.join("kek");
    let made = FileKeySource::create(&path, &mut Counting(0)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "twkek_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8_32agcN\n"
    );
    let opened = FileKeySource::open(&path).unwrap();
    assert_eq!(opened.newest_id().unwrap(), made.newest_id().unwrap());
    assert!(opened.versions()[0].key.matches(made.versions()[0].key.expose()));
    assert_eq!(format!("{opened:?}"), format!("FileKeySource({})", path.display()));
    let again = FileKeySource::create(&path, &mut Counting(1)).unwrap_err();
    assert!(again.to_string().starts_with("cannot create the key file"), "{again}");
}

#[test]
fn a_file_that_others_can_use_is_refused_with_what_to_do() {
    let directory = Directory::new("open");
    let path = directory.0.join("kek");
    FileKeySource::create(&path, &mut Counting(0)).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let refused = FileKeySource::open(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("`chmod 600 {}`", path.display())), "{refused}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(FileKeySource::open(&path).is_ok());
}

#[test]
fn a_file_that_is_no_key_is_refused() {
    let directory = Directory::new("damaged");
    let path = directory.0.join("kek");
    FileKeySource::create(&path, &mut Counting(0)).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    for bad in [
        String::new(),
        "twkek_".to_owned(),
        good.replace("AAEC", "AAED"),
        good.replace("twkek", "twwek"),
        format!("{good}\n"),
        format!("\n{good}"),
        good.repeat(17),
        "é".repeat(28),
    ] {
        fs::write(&path, &bad).unwrap();
        assert!(matches!(FileKeySource::open(&path), Err(KeyFileError::NotAKey { .. })), "{bad:?}");
    }
    assert!(matches!(FileKeySource::open(&directory.0), Err(KeyFileError::NotAKey { .. })));
    assert!(matches!(FileKeySource::open(&directory.0.join("none")), Err(KeyFileError::Io { .. })));
}

#[tokio::test]
async fn a_rotation_adds_a_line_and_what_older_ones_wrapped_opens() {
    let directory = Directory::new("rotated");
    let path = directory.0.join("kek");
    let source = FileKeySource::create(&path, &mut Counting(0)).unwrap();
    let first_line = fs::read_to_string(&path).unwrap();
    let secret = SecretBytes::new(vec![5; 32]);
    let old = source.wrap(&secret, &[1; 24]).await.unwrap();
    let newest = source.rotate(SecretBytes::new(vec![9; 32])).await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(&first_line) && text.lines().count() == 2);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);

    let opened = FileKeySource::open(&path).unwrap();
    for source in [&source, &opened] {
        assert_eq!(source.newest().await.unwrap(), newest);
        assert!(source.holds(&old.key_id) && source.holds(&newest) && !source.holds("file-0"));
        let unwrapped = source.unwrap(&old.key_id, &old.bytes).await.unwrap();
        assert!(unwrapped.matches(secret.expose()));
        let new = source.wrap(&secret, &[2; 24]).await.unwrap();
        assert_eq!(new.key_id, newest);
        assert!(source.unwrap(&newest, &new.bytes).await.unwrap().matches(secret.expose()));
        let mixed = source.unwrap(&newest, &old.bytes).await.unwrap_err();
        assert_eq!(mixed, SourceError::DoesNotOpen);
    }
}

#[tokio::test]
async fn a_file_takes_no_more_versions_than_are_read() {
    let directory = Directory::new("full");
    let path = directory.0.join("kek");
    let source = FileKeySource::create(&path, &mut Counting(0)).unwrap();
    for version in 1..MAX_KEY_FILE_VERSIONS {
        let fresh = vec![u8::try_from(version).unwrap(); 32];
        source.rotate(SecretBytes::new(fresh)).await.unwrap();
    }
    let refused = source.rotate(SecretBytes::new(vec![99; 32])).await.unwrap_err().to_string();
    assert!(refused.contains("16 versions") && refused.contains("remove their lines"), "{refused}");
    assert_eq!(FileKeySource::open(&path).unwrap().versions().len(), MAX_KEY_FILE_VERSIONS);
}

/// What is on the disk counts: a file that was damaged meanwhile is not written over.
#[tokio::test]
async fn a_rotation_does_not_replace_what_it_cannot_read() {
    let directory = Directory::new("unreadable");
    let path = directory.0.join("kek");
    let source = FileKeySource::create(&path, &mut Counting(0)).unwrap();
    fs::write(&path, "somebody else's").unwrap();
    assert!(source.rotate(SecretBytes::new(vec![9; 32])).await.is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
    assert_eq!(source.versions().len(), 1);
}

/// A file that went back, or is away, wraps nothing and is not added to: what was wrapped since opens
/// from this process's memory alone, and the file's backup is what is missing.
#[tokio::test]
async fn a_file_that_went_back_wraps_nothing() {
    let directory = Directory::new("back");
    let path = directory.0.join("kek");
    let source = FileKeySource::create(&path, &mut Counting(0)).unwrap();
    let old = fs::read_to_string(&path).unwrap();
    let newest = source.rotate(SecretBytes::new(vec![9; 32])).await.unwrap();
    let new = fs::read_to_string(&path).unwrap();
    let secret = SecretBytes::new(vec![5; 32]);
    let wrapped = source.wrap(&secret, &[1; 24]).await.unwrap();
    for back in [Some(&old), None] {
        match back {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        assert!(matches!(source.newest().await, Err(SourceError::Refused(_))));
        assert!(matches!(source.wrap(&secret, &[2; 24]).await, Err(SourceError::Refused(_))));
        let rotated = source.rotate(SecretBytes::new(vec![8; 32])).await;
        assert!(matches!(rotated, Err(SourceError::Refused(_))), "{rotated:?}");
        assert!(source.unwrap(&newest, &wrapped.bytes).await.unwrap().matches(&[5; 32]));
    }
    fs::write(&path, new).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(source.newest().await.unwrap(), newest);
}
