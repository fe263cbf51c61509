//! Access tokens read by an implementation of others: `PyJWT` of `PyPI`, in a virtual environment of
//! its own for each run.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tradewarden_seal::{AccessClaims, SystemRandomness, TokenKey, TokenRealm};

/// The version that reads, with the library it checks signatures with.
const PACKAGES: [&str; 2] = ["PyJWT==2.15.1", "cryptography==50.0.2"];

const ISSUER: &str = "https://trade.example.com";
const AUDIENCE: &str = "tradewarden";

/// The reader's clock is the machine's: tokens here are from 2023 and good until 2100.
const ISSUED_UNIX_S: u64 = 1_700_000_000;
const EXPIRES_UNIX_S: u64 = 4_102_444_800;

/// A directory of this process that goes away with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let name = format!("pyjwt-{}", std::process::id());
        let directory = Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
        fs::create_dir_all(&directory.0).unwrap();
        directory
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Runs a step of the preparation; without it this test can say nothing.
fn prepare(program: &Path, args: &[&str]) {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{}: {error}; this test needs python3 with venv and pip", program.display())
    });
    assert!(
        output.status.success(),
        "{} {args:?} failed; this test needs python3 with venv, pip, and PyPI to install \
         {PACKAGES:?} from:\n{}{}",
        program.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What the reader says of each token.
fn judged(asked: &[Value]) -> Vec<Value> {
    let directory = Directory::new();
    let venv = directory.0.join("venv");
    prepare(Path::new("python3"), &["-m", "venv", venv.to_str().unwrap()]);
    let python = venv.join("bin/python");
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    prepare(&python, &[&install[..], &["--no-cache-dir"], &PACKAGES].concat());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/verify.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for line in asked {
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn tokens_for_an_independent_implementation() {
    let mut randomness = SystemRandomness::new();
    let mut key = || TokenKey::generate(&mut randomness).unwrap();
    let (old, new, stranger) = (key(), key(), key());
    let realm = |keys: &[&TokenKey]| {
        let keys = keys.iter().map(|key| key.public().clone()).collect();
        TokenRealm::new(ISSUER, AUDIENCE, keys).unwrap()
    };
    let both = realm(&[&new, &old]);
    let claims = |expires_unix_s| AccessClaims {
        subject: "usr_1".to_owned(),
        organization: "org_é \"\\\u{7}".to_owned(),
        session: "ses_1".to_owned(),
        id: "jti_1".to_owned(),
        methods: vec!["pwd".to_owned(), "otp".to_owned()],
        authenticated_unix_s: ISSUED_UNIX_S - 5,
        issued_unix_s: ISSUED_UNIX_S,
        expires_unix_s,
        epoch: 7,
    };
    let issue = |realm: &TokenRealm, key, expires_unix_s| {
        realm.issue(key, &claims(expires_unix_s)).unwrap().expose().to_owned()
    };
    let good = issue(&both, &new, EXPIRES_UNIX_S);
    let asked = |token: &str, audience: &str| json!({"jwks": both.jwks(), "token": token, "issuer": ISSUER, "audience": audience});
    let changed = {
        let (signed, signature) = good.rsplit_once('.').unwrap();
        format!("{}.{signature}", &signed[..signed.len() - 4])
    };
    let answers = judged(&[
        asked(&good, AUDIENCE),
        asked(&issue(&both, &old, EXPIRES_UNIX_S), AUDIENCE),
        asked(&issue(&both, &new, ISSUED_UNIX_S + 1), AUDIENCE),
        asked(&good, "somebody else"),
        asked(&issue(&realm(&[&stranger]), &stranger, EXPIRES_UNIX_S), AUDIENCE),
        asked(&changed, AUDIENCE),
    ]);
    let [by_new, by_old, rest @ ..] = answers.as_slice() else { panic!("{answers:?}") };
    for (key, answer) in [(&new, by_new), (&old, by_old)] {
        let kid = key.public().id();
        let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid});
        assert_eq!(answer["header"], header, "{answer}");
        assert_eq!(
            answer["claims"],
            json!({
                "iss": ISSUER, "aud": AUDIENCE, "sub": "usr_1", "org": "org_é \"\\\u{7}",
                "sid": "ses_1", "jti": "jti_1", "iat": ISSUED_UNIX_S, "nbf": ISSUED_UNIX_S,
                "exp": EXPIRES_UNIX_S, "auth_time": ISSUED_UNIX_S - 5, "amr": ["pwd", "otp"],
                "epoch": 7,
            })
        );
    }
    let refused: Vec<&str> =
        rest.iter().map(|answer| answer["refused"].as_str().unwrap()).collect();
    assert_eq!(
        refused,
        ["ExpiredSignatureError", "InvalidAudienceError", "KeyError", "InvalidSignatureError"]
    );
}
