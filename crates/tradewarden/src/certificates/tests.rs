use super::*;
use crate::clock::SystemClock;
use crate::scratch::Scratch;
use std::fs;
use std::time::Duration;
use tradewarden_domain::time::Clock;
use tradewarden_seal::SystemRandomness;

struct Case {
    scratch: Scratch,
    config: Config,
    now: Timestamp,
}

impl Case {
    fn new() -> Self {
        let scratch = Scratch::new();
        let config = Config { data: scratch.path().join("data"), ..Config::default() };
        Data::at(&config).create().unwrap();
        Self { scratch, config, now: SystemClock.now() }
    }

    fn prepare(&self) -> TlsFiles {
        let data = Data::at(&self.config);
        let mut randomness = SystemRandomness::new();
        TlsFiles::prepare(&self.config, &data, self.now, &mut randomness).unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.config.data.join("tls").join(name)).unwrap()
    }
}

/// Two writers can leave a key and a chain of different pairs under a note that fits.
#[test]
fn a_pair_that_does_not_load_is_made_anew() {
    let case = Case::new();
    case.prepare();
    let (chain, other) = (case.read("server.pem"), case.read("internal-server.key"));
    fs::write(case.config.data.join("tls/server.key"), &other).unwrap();
    case.prepare();
    assert_ne!(case.read("server.pem"), chain);
    assert_ne!(case.read("server.key"), other);
    let made = case.read("server.pem");
    case.prepare();
    assert_eq!(case.read("server.pem"), made, "once");
}

/// Whoever asks for pins makes no certificate: not where there is none, and not for other names.
#[test]
fn asking_what_is_shown_makes_nothing() {
    let mut case = Case::new();
    let data = Data::at(&case.config);
    assert!(TlsFiles::public_as_it_is(&case.config, &data).is_err());
    assert!(!data.tls().join("server.pem").exists());
    case.prepare();
    let (chain, key) = (case.read("server.pem"), case.read("server.key"));
    case.config.host_names = vec!["other.example.com".to_owned()];
    let shown = TlsFiles::public_as_it_is(&case.config, &data).unwrap();
    assert_eq!((case.read("server.pem"), case.read("server.key")), (chain.clone(), key));
    assert_eq!(shown.spki_sha256, CertificateFacts::from_pem(&chain).unwrap().spki_sha256);
}

#[test]
fn everything_is_made_once_and_closed_to_others() {
    let mut case = Case::new();
    let first = case.prepare();
    first.public(&Challenges::default()).unwrap();
    first.internal().unwrap();
    let tls = case.config.data.join("tls");
    assert_eq!(first.ca_file(), Some(tls.join("ca.pem")));
    for name in ["ca", "server", "internal-ca", "internal-server", "internal-client"] {
        let key = fs::metadata(tls.join(format!("{name}.key"))).unwrap();
        assert_eq!(key.mode() & 0o7777, 0o600, "{name}");
    }
    case.now = case.now.plus(Duration::from_hours(24 * 59));
    assert_eq!(case.prepare().public.certificates.leaf_der(), first.public.certificates.leaf_der());
}

#[test]
fn with_a_third_of_its_life_left_a_certificate_is_renewed_and_the_ca_stays() {
    let mut case = Case::new();
    let first = case.prepare();
    let authority = case.read("ca.pem");
    case.now = case.now.plus(Duration::from_hours(24 * 61));
    let later = case.prepare();
    assert_ne!(later.public.certificates.leaf_der(), first.public.certificates.leaf_der());
    assert_ne!(later.internal.certificates.leaf_der(), first.internal.certificates.leaf_der());
    assert_eq!(case.read("ca.pem"), authority);
    // A gateway that kept running takes the renewed one at its next look.
    let (changed, failures) = first.reload(case.now, &mut SystemRandomness::new());
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(changed, later.shown().collect::<Vec<_>>());
    assert_eq!(changed, later.made().collect::<Vec<_>>());
    assert_eq!(first.reload(case.now, &mut SystemRandomness::new()).0, []);
    assert_eq!(later.public.certificates.leaf_der(), first.public.certificates.leaf_der());
}

#[test]
fn another_name_or_another_file_makes_a_new_certificate() {
    let mut case = Case::new();
    let first = case.prepare();
    case.config.host_names = vec!["trade.internal".to_owned()];
    let named = case.prepare();
    assert_ne!(named.public.certificates.leaf_der(), first.public.certificates.leaf_der());
    let tls = case.config.data.join("tls");
    fs::write(tls.join("server.pem"), case.read("ca.pem")).unwrap();
    let repaired = case.prepare();
    assert_ne!(repaired.public.certificates.leaf_der(), named.public.certificates.leaf_der());
}

#[test]
fn files_of_the_owner_are_used_and_read_again() {
    let mut case = Case::new();
    case.prepare();
    let copy = |from: &str, to: &str| case.scratch.file(to, &case.read(from), 0o600);
    let files = CertificateFiles {
        certificate_file: copy("server.pem", "c.pem"),
        key_file: copy("server.key", "k.pem"),
    };
    case.config.tls = Some(files);
    case.config.hooks_host = Some("hooks.example.com".to_owned());
    let own = case.prepare();
    assert_eq!(own.ca_file(), None);
    own.public(&Challenges::default()).unwrap();
    let before = own.public.certificates.leaf_der();
    fs::write(case.scratch.path().join("c.pem"), case.read("internal-server.pem")).unwrap();
    // The key does not belong to it: the old stays.
    assert_eq!(own.reload(case.now, &mut SystemRandomness::new()).1.len(), 1);
    assert_eq!(own.public.certificates.leaf_der(), before);
}
