//! An authenticator and a relying party that others wrote: the `fido2` package of `PyPI`, in a
//! virtual environment of its own for each run.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tradewarden_seal::webauthn::{
    Algorithm, AuthenticationResponse, Credential, RegistrationResponse, RelyingParty, User,
    WebauthnError, verify_authentication, verify_registration,
};

/// The version that is the reference. It brings `cryptography`, whose signatures these are.
const PACKAGE: &str = "fido2==2.2.1";
const INSTALLING: Duration = Duration::from_mins(3);
const ANSWERING: Duration = Duration::from_secs(30);
const ORIGIN: &str = "https://localhost:8443";
const HANDLE: &[u8] = b"\x00\x01user\xff";

/// Runs a step of the preparation; without it this test can say nothing.
fn prepare(program: &Path, args: &[&str]) {
    let (tell, told) = channel();
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    thread::spawn(move || tell.send(command.output()));
    let output = told.recv_timeout(INSTALLING);
    let output = output.unwrap_or_else(|_| panic!("{args:?} took more than {INSTALLING:?}"));
    let output = output.unwrap_or_else(|error| {
        panic!("{}: {error}; this test needs python3 with venv and pip", program.display())
    });
    assert!(
        output.status.success(),
        "{} {args:?} failed; this test needs python3 with venv, pip, and PyPI to install {PACKAGE} \
         from:\n{}{}",
        program.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The authenticator that others wrote, and its browser. Ends with the value that stands for it.
struct Peer {
    dir: PathBuf,
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Peer {
    fn install() -> Self {
        let name = format!("webauthn-{}", std::process::id());
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir).unwrap();
        }
        let venv = dir.join("venv");
        prepare(Path::new("python3"), &["-m", "venv", venv.to_str().unwrap()]);
        let python = venv.join("bin/python");
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        prepare(&python, &[&install[..], &["--no-cache-dir", PACKAGE]].concat());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/webauthn/authenticator.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (tell, lines) = channel();
        thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| tell.send(line))
        });
        Self { dir, child, input, lines }
    }

    /// The response, and whether the other relying party takes it.
    fn ask(&mut self, asked: &Value) -> (Value, bool) {
        self.input.write_all(format!("{asked}\n").as_bytes()).unwrap();
        let line = self.lines.recv_timeout(ANSWERING).expect("the authenticator answers");
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        (answer["response"].take(), answer["taken"].as_bool().unwrap())
    }

    fn create(&mut self, options: &Value, algorithm: Algorithm, ask: &Value) -> (Value, bool) {
        let mut asked = json!({
            "do": "create",
            "options": options,
            "algorithm": algorithm.identifier(),
            "origin": ORIGIN,
            "flags": ["UV"],
            "counter": 3,
            "attestation": "none",
        });
        asked.as_object_mut().unwrap().extend(ask.as_object().unwrap().clone());
        self.ask(&asked)
    }

    fn get(&mut self, options: &Value, counter: u32, flags: &[&str]) -> (Value, bool) {
        self.ask(&json!({
            "do": "get",
            "options": options,
            "origin": ORIGIN,
            "flags": flags,
            "counter": counter,
        }))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // When it has ended by itself there is nothing to kill, and nothing to say in a drop.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.dir));
    }
}

fn registration(response: &Value) -> RegistrationResponse {
    RegistrationResponse::from_json(response.to_string().as_bytes()).unwrap()
}

fn authentication(response: &Value) -> AuthenticationResponse {
    AuthenticationResponse::from_json(response.to_string().as_bytes()).unwrap()
}

#[test]
fn an_authenticator_of_an_independent_implementation() {
    let mut peer = Peer::install();
    let party = RelyingParty::new("localhost", "Tradewarden", [ORIGIN.to_owned()]).unwrap();
    let offering = party.clone().with_rs256();
    for (algorithm, ask) in [
        (Algorithm::EdDsa, json!({})),
        (Algorithm::EdDsa, json!({"flags": ["UV", "ED", "BE", "BS"]})),
        (Algorithm::Es256, json!({"attestation": "packed"})),
        (Algorithm::Es256, json!({"flags": ["UV", "ED"]})),
        (Algorithm::Rs256, json!({"flags": ["UV", "BE"]})),
    ] {
        whole_life(&mut peer, &offering, &party, algorithm, &ask);
    }
}

/// Registers a credential where its kind is offered, logs in where it may not be any more, with and
/// without a user name, and does it wrongly.
fn whole_life(
    peer: &mut Peer,
    offering: &RelyingParty,
    party: &RelyingParty,
    algorithm: Algorithm,
    ask: &Value,
) {
    let user = User::new(HANDLE, "ann@example.org", "Ann Ω").unwrap();
    let (first, second) = ([0xfe; 32], [0x7f; 32]);
    let options = offering.creation_options(&user, &first, &[]);

    let unverified = json!({"flags": []});
    let (made, taken) = peer.create(&options, algorithm, &unverified);
    let judged = verify_registration(offering, &first, &registration(&made));
    assert_eq!((judged, taken), (Err(WebauthnError::NotVerified), false));

    let (made, taken) = peer.create(&options, algorithm, ask);
    assert!(taken, "the other relying party takes it: {made}");
    let judged = verify_registration(offering, &second, &registration(&made));
    assert_eq!(judged, Err(WebauthnError::Challenge));
    let credential = verify_registration(offering, &first, &registration(&made)).unwrap();
    assert_eq!(credential.algorithm(), Ok(algorithm));
    assert_eq!((credential.id().len(), credential.sign_count()), (48, 3));
    assert_eq!(credential.transports(), ["nfc", "usb"]);
    let has = |flag: &str| ask["flags"].as_array().is_some_and(|all| all.contains(&flag.into()));
    assert_eq!((credential.backup_eligible(), credential.backup_state()), (has("BE"), has("BS")));
    let credential = Credential::from_stored(&credential.to_stored()).unwrap();

    let flags: &[&str] = if has("BE") { &["UV", "BE", "BS"] } else { &["UV"] };
    let named = party.request_options(&second, std::slice::from_ref(&credential));
    let unnamed = party.request_options(&second, &[]);
    for (options, counter, went_back) in
        [(&named, 4, false), (&unnamed, 9, false), (&named, 3, true)]
    {
        let (made, taken) = peer.get(options, counter, flags);
        assert!(taken, "the other relying party takes it: {made}");
        let response = authentication(&made);
        assert_eq!(response.credential_id().unwrap(), credential.id());
        let judged = verify_authentication(party, &second, &credential, &response).unwrap();
        assert_eq!((judged.sign_count, judged.counter_went_back), (counter, went_back));
        assert_eq!((judged.user_handle.as_deref(), judged.backup_state), (Some(HANDLE), has("BE")));
        let judged = verify_authentication(party, &first, &credential, &response);
        assert_eq!(judged, Err(WebauthnError::Challenge));
        // What the counter says is signed.
        let mut forged = made.clone();
        let (other, _) = peer.get(options, counter + 1, flags);
        forged["response"]["authenticatorData"] = other["response"]["authenticatorData"].clone();
        let judged = verify_authentication(party, &second, &credential, &authentication(&forged));
        assert_eq!(judged, Err(WebauthnError::Signature));
    }
    let (made, taken) = peer.get(&named, 10, &[]);
    let judged = verify_authentication(party, &second, &credential, &authentication(&made));
    assert_eq!((judged, taken), (Err(WebauthnError::NotVerified), false));

    // Another key, under the id of this one.
    let (_, taken) = peer.create(&offering.creation_options(&user, &first, &[]), algorithm, ask);
    assert!(taken);
    let (mut made, taken) = peer.get(&unnamed, 11, flags);
    assert!(taken);
    let judged = verify_authentication(party, &second, &credential, &authentication(&made));
    assert_eq!(judged, Err(WebauthnError::OtherCredential));
    for name in ["id", "rawId"] {
        made[name] = tradewarden_seal::base64url_encode(credential.id()).into();
    }
    let judged = verify_authentication(party, &second, &credential, &authentication(&made));
    assert_eq!(judged, Err(WebauthnError::Signature));
}
