//! Debian's Chromium without a window: a browser that others wrote, with an authenticator of its
//! own making (the `WebDriver` extension of WebAuthn Level 3, section 11).
//!
//! It is driven over the `DevTools` protocol, on the two pipes that it reads and writes as its file
//! descriptors 3 and 4: JSON, each message with a zero byte at its end. It finds no address but this
//! machine, and trusts no certificate but those whose public keys it is told.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tradewarden_seal::{Digest, base64_decode, base64_encode};
use tradewarden_testkit::process::{Gateway, TestDir};

/// How long one command may take; the first one waits for the browser's start.
const ANSWERING: Duration = Duration::from_mins(1);
const OPTIONS: [&str; 14] = [
    "--headless=new",
    "--remote-debugging-pipe",
    // It does not start as root with its sandbox, and sees no page but ours.
    "--no-sandbox",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-sync",
    "--no-first-run",
    "--password-store=basic",
];

/// A browser with one page; it ends with this value, because its pipes do.
pub(crate) struct Chromium {
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: Option<String>,
    commands: u64,
}

impl Chromium {
    /// Starts one that trusts what these gateways show.
    pub(crate) async fn start(dir: &TestDir, gateways: &[&Gateway]) -> Self {
        let mut trusted = Vec::new();
        for gateway in gateways {
            trusted.push(public_key_hash(gateway).await);
        }
        let home = dir.path().join("browser");
        let mut child = Command::new("sh")
            .args(["-c", "exec chromium \"$@\" 3<&0 4>&1 < /dev/null > /dev/null", "sh"])
            .args(OPTIONS)
            .arg(format!("--user-data-dir={}", home.display()))
            .arg(format!("--ignore-certificate-errors-spki-list={}", trusted.join(",")))
            .env("HOME", &home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(dir.path().join("browser.log")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let output = BufReader::new(output);
        let mut browser = Self { _child: child, input, output, session: None, commands: 0 };
        let page = browser.command("Target.createTarget", &json!({"url": "about:blank"})).await;
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        let attached = browser.command("Target.attachToTarget", &attach).await;
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        browser.command("Page.enable", &json!({})).await;
        browser.command("WebAuthn.enable", &json!({"enableUI": false})).await;
        browser
    }

    /// Carries out one command of the protocol.
    pub(crate) async fn command(&mut self, method: &str, parameters: &Value) -> Value {
        self.commands += 1;
        let id = self.commands;
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let lacking = "this test needs Chromium (Debian: apt-get install chromium)";
        let sent = self.input.write_all(format!("{message}\0").as_bytes()).await;
        sent.expect(lacking);
        let told = loop {
            let told = self.hear().await.expect(lacking);
            if told["id"] == id {
                break told;
            }
        };
        assert!(told.get("error").is_none(), "{method}: {told}");
        told["result"].clone()
    }

    /// The next answer or event; `None` at its end.
    async fn hear(&mut self) -> Option<Value> {
        let mut message = Vec::new();
        let heard = timeout(ANSWERING, self.output.read_until(0, &mut message)).await;
        heard.expect("the browser says nothing").unwrap();
        message.pop()?;
        Some(serde_json::from_slice(&message).unwrap())
    }

    /// Goes to this page, and waits until it is there.
    pub(crate) async fn visit(&mut self, url: &str) {
        let went = self.command("Page.navigate", &json!({"url": url})).await;
        assert!(went.get("errorText").is_none(), "{url}: {went}");
        let here = "new Promise(here => document.readyState == 'complete' ? here() \
                    : addEventListener('load', here)).then(() => location.href)";
        assert_eq!(self.evaluate(here).await, Ok(json!(url)));
    }

    /// What this expression comes to in the page, as if its user had touched it; a promise is
    /// awaited, and what it throws is an error.
    pub(crate) async fn evaluate(&mut self, expression: &str) -> Result<Value, String> {
        let asked = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true,
            "userGesture": true,
        });
        let told = self.command("Runtime.evaluate", &asked).await;
        match told.get("exceptionDetails") {
            Some(thrown) => Err(thrown["exception"]["description"].to_string()),
            None => Ok(told["result"]["value"].clone()),
        }
    }

    /// Makes a passkey for these options, as the console's page does.
    pub(crate) async fn create(&mut self, options: &Value) -> Result<Value, String> {
        let options = format!("PublicKeyCredential.parseCreationOptionsFromJSON({options})");
        let create = format!("navigator.credentials.create({{publicKey: {options}}})");
        self.evaluate(&format!("{create}.then(made => made.toJSON())")).await
    }

    /// Shows a passkey for these options.
    pub(crate) async fn get(&mut self, options: &Value) -> Result<Value, String> {
        let options = format!("PublicKeyCredential.parseRequestOptionsFromJSON({options})");
        let get = format!("navigator.credentials.get({{publicKey: {options}}})");
        self.evaluate(&format!("{get}.then(shown => shown.toJSON())")).await
    }

    /// Plugs an authenticator in, in the place of what there was. It keeps passkeys, and always is
    /// touched at once; if it verifies its user, by a PIN say, that always succeeds.
    pub(crate) async fn plug_in(&mut self, verifies: bool) -> Authenticator {
        self.command("WebAuthn.disable", &json!({})).await;
        self.command("WebAuthn.enable", &json!({"enableUI": false})).await;
        let options = json!({
            "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "usb",
            "hasResidentKey": true, "hasUserVerification": verifies, "isUserVerified": verifies,
            "automaticPresenceSimulation": true,
        });
        let added = json!({ "options": options });
        let added = self.command("WebAuthn.addVirtualAuthenticator", &added).await;
        Authenticator(added["authenticatorId"].clone())
    }
}

/// An authenticator in a browser.
pub(crate) struct Authenticator(Value);

impl Authenticator {
    /// The one passkey in it, with its private key.
    pub(crate) async fn passkey(&self, browser: &mut Chromium) -> Value {
        let asked = json!({"authenticatorId": self.0});
        let held = browser.command("WebAuthn.getCredentials", &asked).await;
        let [passkey] = held["credentials"].as_array().unwrap().as_slice() else {
            panic!("{held}")
        };
        passkey.clone()
    }

    /// Puts a passkey into it.
    pub(crate) async fn put(&self, browser: &mut Chromium, passkey: &Value) {
        let put = json!({"authenticatorId": self.0, "credential": passkey});
        browser.command("WebAuthn.addCredential", &put).await;
    }
}

/// The hash of the public key that a gateway shows under its authority's certificate, as Chromium
/// takes it: base64 of SHA-256 over the `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7).
async fn public_key_hash(gateway: &Gateway) -> String {
    let shown = gateway.client().raw().await.unwrap();
    let certificate = shown.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    let mut openssl = Command::new("openssl")
        .args(["x509", "-inform", "der", "-noout", "-pubkey"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs openssl (Debian: apt-get install openssl)");
    let mut input = openssl.stdin.take().unwrap();
    input.write_all(&certificate).await.unwrap();
    drop(input);
    let pem = openssl.wait_with_output().await.unwrap();
    let pem = String::from_utf8(pem.stdout).unwrap();
    let encoded: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    base64_encode(Digest::sha256(&base64_decode(&encoded).unwrap()).as_bytes())
}
