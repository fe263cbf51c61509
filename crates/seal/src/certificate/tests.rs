#![expect(clippy::print_stderr, reason = "tests")]

use std::io::{ErrorKind, Write as _};
use std::process::{Command, Stdio};
use std::{fs, path::PathBuf};

use super::*;
use crate::SystemRandomness;

/// 2026-11-21T00:00:00Z.
const NOW: i64 = 1_795_219_200;

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn authority() -> LocalAuthority {
    LocalAuthority::create("Tradewarden local authority", NOW, &mut SystemRandomness::new())
        .unwrap()
}

fn server(authority: &LocalAuthority) -> IssuedCertificate {
    let names = names(&["localhost", "127.0.0.1", "::1"]);
    authority
        .issue_server(&names, NOW, NOW + DEFAULT_ISSUED_DAYS * DAY_S, &mut SystemRandomness::new())
        .unwrap()
}

/// Runs `openssl verify` on a certificate; nothing where openssl is not installed.
fn openssl_verifies(
    name: &str,
    authority_pem: &str,
    certificate_pem: &str,
    options: &[&str],
) -> Option<bool> {
    let directory =
        std::env::temp_dir().join(format!("tradewarden-seal-{}-{name}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-check_ss_sig", "-attime", &(NOW + 60).to_string()])
        .args(options)
        .arg("-CAfile")
        .args([file("authority.pem", authority_pem), file("certificate.pem", certificate_pem)])
        .output();
    fs::remove_dir_all(&directory).unwrap();
    match output {
        Ok(output) => {
            eprintln!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            Some(output.status.success())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: openssl is not installed");
            None
        }
        Err(error) => unreachable!("{error}"),
    }
}

#[test]
fn openssl_takes_what_is_issued_for_its_purpose_only() {
    let authority = authority();
    let server = server(&authority).chain_pem;
    let client = authority
        .issue_client(
            "sender",
            Some("spiffe://example.org/sender"),
            NOW,
            NOW + DAY_S,
            &mut SystemRandomness::new(),
        )
        .unwrap()
        .chain_pem;
    let other =
        LocalAuthority::create("Tradewarden local authority", NOW, &mut SystemRandomness::new())
            .unwrap();
    let long = "a".repeat(63) + ".example";
    let long = authority
        .issue_server(&[long], NOW, NOW + DAY_S, &mut SystemRandomness::new())
        .unwrap()
        .chain_pem;
    let cases: [(&str, &str, &[&str], bool); 10] = [
        (
            authority.certificate_pem(),
            &server,
            &["-purpose", "sslserver", "-verify_hostname", "localhost"],
            true,
        ),
        (
            authority.certificate_pem(),
            &server,
            &["-purpose", "sslserver", "-verify_ip", "127.0.0.1"],
            true,
        ),
        (
            authority.certificate_pem(),
            &server,
            &["-purpose", "sslserver", "-verify_ip", "::1"],
            true,
        ),
        (authority.certificate_pem(), &long, &["-purpose", "sslserver"], true),
        (authority.certificate_pem(), &client, &["-purpose", "sslclient"], true),
        (authority.certificate_pem(), authority.certificate_pem(), &[], true),
        (authority.certificate_pem(), &server, &["-verify_hostname", "example.com"], false),
        (authority.certificate_pem(), &server, &["-purpose", "sslclient"], false),
        (authority.certificate_pem(), &client, &["-purpose", "sslserver"], false),
        (other.certificate_pem(), &server, &[], false),
    ];
    for (number, (authority_pem, certificate_pem, options, expected)) in
        cases.into_iter().enumerate()
    {
        if let Some(verified) =
            openssl_verifies(&number.to_string(), authority_pem, certificate_pem, options)
        {
            assert_eq!(verified, expected, "case {number}: {options:?}");
        }
    }
}

#[test]
fn an_authority_goes_on_after_it_was_stored() {
    let first = authority();
    let again = LocalAuthority::from_pem(first.certificate_pem(), &first.key_pem()).unwrap();
    assert_eq!(again.certificate_pem(), first.certificate_pem());
    let issued = server(&again);
    assert!(issued.key_pem.expose().starts_with("-----BEGIN PRIVATE KEY-----"));
    if let Some(verified) =
        openssl_verifies("again", first.certificate_pem(), &issued.chain_pem, &[])
    {
        assert!(verified);
    }
    assert_eq!(format!("{again:?}"), "LocalAuthority");
    assert!(!format!("{issued:?}").contains("PRIVATE"));
}

#[test]
fn what_is_no_authority_is_not_loaded() {
    let (authority, other) = (authority(), authority());
    let issued = server(&authority);
    let load = |certificate: &str, key: &SecretString| {
        LocalAuthority::from_pem(certificate, key).unwrap_err()
    };
    assert_eq!(
        load(authority.certificate_pem(), &other.key_pem()),
        CertificateError::NotAnAuthority
    );
    assert_eq!(load(&issued.chain_pem, &issued.key_pem), CertificateError::NotAnAuthority);
    assert_eq!(load("", &authority.key_pem()), CertificateError::Pem);
    assert_eq!(load(authority.key_pem().expose(), &authority.key_pem()), CertificateError::Pem);
    let no_key = SecretString::new(authority.certificate_pem().to_owned());
    assert_eq!(load(authority.certificate_pem(), &no_key), CertificateError::Pem);
    let long = "a".repeat(MAX_PEM_BYTES + 1);
    assert_eq!(load(&long, &authority.key_pem()), CertificateError::Pem);
}

#[test]
fn names_and_times_are_judged() {
    let authority = authority();
    let issue = |list: &[&str], from: i64, to: i64| {
        authority.issue_server(&names(list), from, to, &mut SystemRandomness::new()).map(|_| ())
    };
    for good in [
        "localhost",
        "*.example.com",
        "a_b.example",
        "10.0.0.1",
        "fe80::1",
        "xn--bcher-kva.example",
    ] {
        assert_eq!(issue(&[good], NOW, NOW + 1), Ok(()), "{good}");
    }
    let (label, long) = (format!("{}.example", "a".repeat(64)), "a.".repeat(130));
    for wrong in [
        "",
        ".",
        "a..b",
        "-a",
        "a-",
        "a b",
        "a/b",
        "bücher.example",
        "*",
        "a.*.b",
        "1.2.3",
        "300.1.1.1",
        "a.",
        &label,
        &long,
    ] {
        assert_eq!(
            issue(&["localhost", wrong], NOW, NOW + 1),
            Err(CertificateError::Name(wrong.to_owned()))
        );
    }
    assert_eq!(issue(&[], NOW, NOW + 1), Err(CertificateError::Name(String::new())));
    assert_eq!(
        issue(&["a"; MAX_NAMES + 1], NOW, NOW + 1),
        Err(CertificateError::Name(String::new()))
    );

    let longest = MAX_ISSUED_DAYS * DAY_S;
    assert_eq!(issue(&["a"], NOW, NOW + longest), Ok(()));
    for (from, to) in [
        (NOW, NOW + longest + 1),
        (NOW, NOW),
        (NOW, NOW - 1),
        (-1, 1),
        (i64::MIN, i64::MAX),
        (MAX_UNIX_S, MAX_UNIX_S + 1),
    ] {
        assert_eq!(issue(&["a"], from, to), Err(CertificateError::Validity), "{from} {to}");
    }
    for name in ["", "a\nb", &"a".repeat(65)] {
        assert_eq!(
            LocalAuthority::create(name, NOW, &mut SystemRandomness::new()).unwrap_err(),
            CertificateError::CommonName
        );
    }
    let late = LocalAuthority::create("a", MAX_UNIX_S, &mut SystemRandomness::new());
    assert_eq!(late.unwrap_err(), CertificateError::Validity);
}

#[test]
fn broken_randomness_gives_no_key() {
    struct Zeros;
    impl Randomness for Zeros {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }
    assert!(matches!(
        LocalAuthority::create("a", NOW, &mut Zeros),
        Err(CertificateError::Refused(_))
    ));
}

#[test]
fn the_names_in_a_certificate_are_read_by_kind() {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "TradingView Webhooks");
    parameters.subject_alt_names = vec![
        rcgen::SanType::Rfc822Name("webhook-server@tradingview.com".try_into().unwrap()),
        rcgen::SanType::DnsName("sender.example".try_into().unwrap()),
        rcgen::SanType::IpAddress("192.0.2.1".parse().unwrap()),
    ];
    let certificate = parameters.self_signed(&key).unwrap();
    let shown = CertificateNames::from_der(certificate.der()).unwrap();
    assert_eq!(shown.emails, ["webhook-server@tradingview.com"]);
    assert_eq!(shown.dns, ["sender.example"]);
    assert!(shown.common_names.contains(&"TradingView Webhooks".to_owned()), "{shown:?}");
    let mut cut = certificate.der().to_vec();
    cut.pop();
    assert_eq!(CertificateNames::from_der(&cut), Err(CertificateError::Der));
    let longer = [certificate.der().as_ref(), &[0]].concat();
    assert_eq!(CertificateNames::from_der(&longer), Err(CertificateError::Der));
}

/// What openssl prints of a certificate, where it is installed.
fn openssl_says(pem: &str, options: &[&str]) -> String {
    let mut child = Command::new("openssl")
        .args(["x509", "-noout"])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs openssl");
    child.stdin.take().unwrap().write_all(pem.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn openssl_reads_the_same_facts() {
    let authority = authority();
    let mut randomness = SystemRandomness::new();
    let uri = "spiffe://trade.example.com/metrics";
    let client =
        authority.issue_client("metrics", Some(uri), NOW, NOW + 90 * DAY_S, &mut randomness);
    let pem = client.unwrap().chain_pem;
    let facts = CertificateFacts::from_pem(&pem).unwrap();
    assert_eq!((facts.not_before_unix_s, facts.not_after_unix_s), (NOW, NOW + 90 * DAY_S));
    let serial = openssl_says(&pem, &["-serial"]).to_lowercase();
    assert_eq!(serial.trim(), format!("serial={}", facts.serial));
    let names = openssl_says(&pem, &["-ext", "subjectAltName,extendedKeyUsage"]);
    assert!(names.contains(&format!("URI:{uri}")), "{names}");
    assert!(names.contains("TLS Web Client Authentication"), "{names}");
    // The pin, by the way that RFC 7469 appendix A describes.
    let public = openssl_says(&pem, &["-pubkey"]);
    let der: String = public.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = crate::base64_decode(&der).unwrap();
    assert_eq!(facts.spki_sha256, crate::base64_encode(crate::Digest::sha256(&der).as_bytes()));

    assert_eq!(CertificateFacts::from_pem("nothing"), Err(CertificateError::Pem));
    assert_eq!(CertificateFacts::from_der(&[0x30, 0x00]), Err(CertificateError::Der));
    let twice = authority.issue_client("x", Some("\u{e9}"), NOW, NOW + DAY_S, &mut randomness);
    assert!(matches!(twice, Err(CertificateError::Name(_))), "a URI is ASCII");
}
