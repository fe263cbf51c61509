//! The packages `http-message-signatures` of `PyPI` and of npm, installed anew for each run: what
//! they sign we verify, what we sign they verify, and both refuse what was changed on the way. And
//! OpenSSL, which reads our key files and writes ones that we read.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tradewarden_seal::{
    SecretBytes, SystemRandomness,
    http_signature::{
        Ed25519Key, Origin, Origins, Presented, Received, Request, RequestToSign, SignatureError,
        SigningKey, SigningParameters, VerifyingKey, new_nonce, sign,
    },
};

const PYTHON_PACKAGE: &str = "http-message-signatures==3.0.0";
const NPM_PACKAGE: &str = "http-message-signatures@1.0.6";
const ANSWERING: Duration = Duration::from_mins(1);

const KEY_ID: &str = "k_7Qm";
const SECRET: &str = "twk_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg_000000";
const ORIGIN: &str = "https://gw.example:8443";

/// An empty directory of this run.
fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("http-signature-{name}"));
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    fs::create_dir_all(&path).unwrap();
    path
}

/// Runs a step of the preparation; without it this test can say nothing. Each program bounds its
/// own time on the network.
fn prepare<A: AsRef<OsStr>>(program: &Path, arguments: &[A], needs: &str) {
    let mut command = Command::new(program);
    let output = command.args(arguments).stdin(Stdio::null()).output();
    let output = output
        .unwrap_or_else(|error| panic!("{}: {error}; this test needs {needs}", program.display()));
    assert!(
        output.status.success(),
        "{command:?} failed; this test needs {needs}:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A process that signs and verifies with somebody else's code.
struct Peer {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
}

impl Peer {
    fn python() -> Self {
        let needs = format!("python3 with venv and pip, and PyPI to install {PYTHON_PACKAGE} from");
        let venv = directory("python").join("venv");
        let new_venv = [OsStr::new("-m"), OsStr::new("venv"), venv.as_os_str()];
        prepare(Path::new("python3"), &new_venv, &needs);
        let python = venv.join("bin/python");
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        let bounded = ["--timeout", "30", "--retries", "2", PYTHON_PACKAGE];
        prepare(&python, &[&install[..], &bounded].concat(), &needs);
        Self::start(Command::new(python).arg(script("peer.py")))
    }

    fn javascript() -> Self {
        let needs = format!("node and npm, and npm's registry to install {NPM_PACKAGE} from");
        let directory = directory("javascript");
        let install = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
        let bounded = ["--fetch-timeout=30000", "--fetch-retries=2", NPM_PACKAGE, "--prefix"];
        let arguments = install.iter().chain(&bounded).map(OsStr::new);
        let arguments: Vec<_> = arguments.chain([directory.as_os_str()]).collect();
        prepare(Path::new("npm"), &arguments, &needs);
        let modules = directory.join("node_modules");
        Self::start(Command::new("node").env("NODE_PATH", modules).arg(script("peer.js")))
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, answers) = channel();
        thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Self { child, input, answers }
    }

    fn ask(&mut self, asked: &Value) -> Value {
        writeln!(self.input, "{asked}").unwrap();
        let answer = self.answers.recv_timeout(ANSWERING).expect("the peer answers");
        serde_json::from_str(&answer).unwrap()
    }

    fn now_s(&mut self) -> i64 {
        self.ask(&json!({"do": "now"}))["unix_s"].as_i64().unwrap()
    }

    fn sign(&mut self, sent: &Sent, keys: &Keys, created: i64, nonce: &str) -> Sent {
        let mut asked = sent.asked("sign", keys.algorithm(), &keys.signing_text);
        asked["created"] = created.into();
        asked["expires"] = (created + 60).into();
        asked["nonce"] = nonce.into();
        let answer = self.ask(&asked);
        let headers = serde_json::from_value(answer["headers"].clone()).unwrap();
        Sent { headers, ..sent.clone() }
    }

    fn verifies(&mut self, sent: &Sent, keys: &Keys) -> Result<(), String> {
        let answer = self.ask(&sent.asked("verify", keys.algorithm(), &keys.verifying_text));
        if answer["verified"] == true { Ok(()) } else { Err(answer.to_string()) }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        assert!(ended.is_ok() || thread::panicking(), "{ended:?}");
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http_signature").join(name)
}

/// A request on its way. Names of headers are in lower case.
#[derive(Clone, Debug)]
struct Sent {
    method: &'static str,
    target: &'static str,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Sent {
    fn all() -> [Self; 4] {
        let make = |method, target, headers: &[(&str, &str)], body: &str| {
            let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            Self { method, target, headers: headers.collect(), body: body.to_owned() }
        };
        let order = [("content-type", "application/json"), ("idempotency-key", "\"6f1c\"")];
        [
            make("GET", "/api/v1/orders", &[], ""),
            make("GET", "/api/v1/orders?symbol=ES%2FZ6&x=&y", &[], ""),
            make("DELETE", "/a%2Fb//c?", &[("idempotency-key", "k")], ""),
            make("POST", "/api/v1/orders", &order, "{\"comment\": \"caf\u{e9} \u{2713}\"}"),
        ]
    }

    fn asked(&self, what: &str, algorithm: &str, key: &str) -> Value {
        json!({
            "do": what, "algorithm": algorithm, "key": key, "key_id": KEY_ID, "method": self.method,
            "url": format!("{ORIGIN}{}", self.target), "headers": self.headers, "body": self.body,
        })
    }

    fn judge(&self, key: &VerifyingKey, now_s: i64) -> Result<String, SignatureError> {
        let headers: Vec<_> = self.headers.iter().collect();
        let headers = headers.as_slice();
        let request = Request {
            method: self.method,
            target: self.target,
            authority: "gw.example:8443",
            headers: &headers,
            body: self.body.as_bytes(),
        };
        let received = Received::new(request);
        let presented = Presented::read(&received)?.expect("it is signed");
        let origins = Origins::new(vec![ORIGIN.parse().unwrap()]).unwrap();
        presented.verify(key, &origins, now_s * 1_000_000).map(|verified| verified.nonce.to_owned())
    }

    fn signed(&self, key: &SigningKey, created_unix_s: i64, nonce: &str) -> Self {
        let origin: Origin = ORIGIN.parse().unwrap();
        let header = |name: &str| self.headers.get(name).map(String::as_str);
        let request = RequestToSign {
            method: self.method,
            origin: &origin,
            target: self.target,
            content_type: header("content-type"),
            idempotency_key: header("idempotency-key"),
            body: self.body.as_bytes(),
        };
        let expires_unix_s = Some(created_unix_s + 60);
        let parameters =
            SigningParameters { key_id: KEY_ID, created_unix_s, expires_unix_s, nonce };
        let signed = sign(key, &request, &parameters).unwrap();
        let mut sent = self.clone();
        let lines = signed.lines().map(|(name, value)| (name.to_owned(), value.to_owned()));
        sent.headers.extend(lines);
        sent
    }

    /// The same with something else in each place that is covered.
    fn changed(&self) -> Vec<Self> {
        let mut changed = vec![
            Self { method: "PUT", ..self.clone() },
            Self { target: "/api/v1/order", ..self.clone() },
        ];
        if !self.body.is_empty() {
            changed.push(Self { body: self.body.replace("comment", "Comment"), ..self.clone() });
        }
        for name in self.headers.keys() {
            let mut headers = self.headers.clone();
            let value = headers.get_mut(name).unwrap();
            *value = match name.as_str() {
                "signature" => value.replacen(':', ":AAAA", 1),
                "content-digest" => value.replacen("=:", "=:AAAA", 1),
                "signature-input" => value.replacen("created=1", "created=2", 1),
                _ => format!("{value}x"),
            };
            changed.push(Self { headers, ..self.clone() });
        }
        changed
    }
}

/// One key as both sides hold it.
struct Keys {
    signing: SigningKey,
    verifying: VerifyingKey,
    signing_text: String,
    verifying_text: String,
}

impl Keys {
    fn both() -> [Self; 2] {
        let secret = || SecretBytes::new(SECRET.as_bytes().to_vec());
        let pair = Ed25519Key::generate(&mut SystemRandomness::new()).unwrap();
        [
            Self {
                signing_text: pair.to_pkcs8_pem().expose().to_owned(),
                verifying_text: pair.public_pem(),
                verifying: VerifyingKey::ed25519_from_pem(&pair.public_pem()).unwrap(),
                signing: SigningKey::Ed25519(pair),
            },
            Self {
                signing_text: SECRET.to_owned(),
                verifying_text: SECRET.to_owned(),
                verifying: VerifyingKey::hmac_sha256(secret()).unwrap(),
                signing: SigningKey::HmacSha256(secret()),
            },
        ]
    }

    fn algorithm(&self) -> &'static str {
        self.signing.algorithm().name()
    }
}

fn agrees_with(mut peer: Peer) {
    for keys in Keys::both() {
        for sent in Sent::all() {
            let now_s = peer.now_s();
            let nonce = new_nonce(&mut SystemRandomness::new());
            let theirs = peer.sign(&sent, &keys, now_s, &nonce);
            assert_eq!(theirs.judge(&keys.verifying, now_s), Ok(nonce.clone()), "{theirs:?}");
            for changed in theirs.changed() {
                assert!(changed.judge(&keys.verifying, now_s).is_err(), "{changed:?}");
            }
            let ours = sent.signed(&keys.signing, now_s, &nonce);
            assert_eq!(peer.verifies(&ours, &keys), Ok(()), "{ours:?}");
            for changed in ours.changed() {
                assert!(peer.verifies(&changed, &keys).is_err(), "{changed:?}");
            }
        }
    }
}

#[test]
fn python() {
    agrees_with(Peer::python());
}

#[test]
fn javascript() {
    agrees_with(Peer::javascript());
}

/// Standard output of OpenSSL, which must succeed.
fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).stdin(Stdio::null()).output();
    let output = output.expect("this test needs openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn openssl_reads_our_key_files_and_we_read_its_own() {
    let file = directory("openssl").join("key.pem");
    let path = file.to_str().unwrap();
    let ours = Ed25519Key::generate(&mut SystemRandomness::new()).unwrap();
    fs::write(&file, ours.to_pkcs8_pem().expose()).unwrap();
    assert_eq!(openssl(&["pkey", "-in", path, "-pubout"]), ours.public_pem());
    assert_eq!(openssl(&["pkey", "-in", path]), ours.to_pkcs8_pem().expose());

    openssl(&["genpkey", "-algorithm", "ed25519", "-out", path]);
    let theirs = Ed25519Key::from_pkcs8_pem(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(openssl(&["pkey", "-in", path, "-pubout"]), theirs.public_pem());
    openssl(&["genpkey", "-algorithm", "x25519", "-out", path]);
    assert!(Ed25519Key::from_pkcs8_pem(&fs::read_to_string(&file).unwrap()).is_err());
}
