//! An installation in which something is sealed for every purpose.

use serde_json::{Value, json};
use tradewarden_testkit::process::{Gateway, Program, QUICK_CALLERS, TestDir};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_tradewarden");

/// Secrets of people who come back after the restart.
pub(crate) struct Sealed {
    key_id: String,
    secret_file: String,
    owner: Value,
}

/// A demo, with the configuration's end as given.
pub(crate) async fn demo(dir: &TestDir, config: &str) -> Gateway {
    let program = Program::new(BINARY, dir.data(), &format!("{config}\n{QUICK_CALLERS}"));
    program.try_start("demo").await.unwrap_or_else(|ended| panic!("{ended}"))
}

/// The same installation again.
pub(crate) async fn again(program: &Program) -> Gateway {
    program.try_start("demo").await.unwrap_or_else(|ended| panic!("{ended}"))
}

/// What the demo has sealed for intake and for people.
pub(crate) fn sealed(dir: &TestDir, gateway: &Gateway) -> Sealed {
    let keys = gateway.ready()["api_keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["algorithm"] == "hmac-sha256").unwrap();
    let file = dir.path().join("hmac-secret");
    std::fs::write(&file, key["secret"].as_str().unwrap()).unwrap();
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, closed).unwrap();
    Sealed {
        key_id: key["key_id"].as_str().unwrap().to_owned(),
        secret_file: file.to_str().unwrap().to_owned(),
        owner: gateway.ready()["owner"].clone(),
    }
}

impl Sealed {
    /// The key's identifier.
    pub(crate) fn id(&self) -> &str {
        &self.key_id
    }

    /// The secret of an API key is opened with intake's key, a token is signed by one under people's,
    /// and a password is hashed with the pepper.
    pub(crate) async fn opens(&self, gateway: &Gateway) {
        assert_eq!(self.key_opens(gateway).await, 200);
        self.people_come_in(gateway).await;
    }

    /// A password is hashed with the pepper, and a token is signed by a key under people's.
    pub(crate) async fn people_come_in(&self, gateway: &Gateway) {
        let mut client = gateway.client();
        let body = json!({"email": self.owner["email"], "password": self.owner["password"]});
        let login = client.post("/api/v1/auth/login", &[], body.to_string()).await.unwrap();
        assert_eq!(login.status, 200, "{}", login.json());
        let bearer = format!("Bearer {}", login.json()["access_token"].as_str().unwrap());
        let me = client.get("/api/v1/me", &[("authorization", &bearer)]).await.unwrap();
        assert_eq!(me.status, 200, "{}", me.json());
    }

    /// What a request signed by the key is answered.
    pub(crate) async fn key_opens(&self, gateway: &Gateway) -> u16 {
        let url = format!("{}/api/v1/me", gateway.base_url());
        let sign = ["sign", "--key", &self.key_id, "--secret-file", &self.secret_file];
        let signed = gateway.program().json(&[&sign[..], &["--url", &url]].concat()).await;
        let headers = signed["headers"].as_object().unwrap().iter();
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        gateway.client().get("/api/v1/me", &headers).await.unwrap().status
    }
}

/// The audit log is whole, and what it is signed with opens.
pub(crate) async fn log_is_whole(program: &Program) {
    let log = program.json(&["audit", "verify"]).await;
    assert_eq!(log["ok"], true, "{log}");
}

/// Data keys by the source's key that wraps them.
pub(crate) fn by_source_key(status: &Value) -> Vec<(String, u64)> {
    let keys = status["keys"].as_array().unwrap().iter();
    let mut counted = std::collections::BTreeMap::new();
    for key in keys {
        let name = key["source_key"].as_str().unwrap().to_owned();
        *counted.entry(name).or_insert(0) += key["data_keys"].as_u64().unwrap();
    }
    counted.into_iter().collect()
}
