//! The certificate with which a sender comes: judged behind the secret and before the address (C1),
//! through the real TLS listener.

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType, date_time_ymd,
};
use serde_json::Value;
use tradewarden_testkit::process::{Client, Gateway, TestDir};

use crate::door::{Door, demo};
use crate::stage::{another_door, another_webhook, check, orders, problem, refused, said, signal};

const DRY: &str = r#"{"action":"BUY","dry_run":true}"#;
const HOOKS: &str = "hooks.localhost";
const CONFIG: &str = "hooks_host = \"hooks.localhost\"\nhooks_client_ca_file = \"ca.pem\"\n";
const TRADINGVIEW: &str = "email:webhook-server@tradingview.com";

/// A CA that the gateway was told of, or was not.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
type Own = (String, String);

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn issue(&self, common_name: &str, names: Vec<SanType>) -> Own {
        self.issue_with(common_name, names, |_| {})
    }

    fn issue_with(
        &self,
        common_name: &str,
        names: Vec<SanType>,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Own {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// What TradingView shows.
    fn tradingview(&self) -> Own {
        self.issue("TradingView Webhooks", vec![email("webhook-server@tradingview.com")])
    }
}

fn email(address: &str) -> SanType {
    SanType::Rfc822Name(address.try_into().unwrap())
}

fn host(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn at(gateway: &Gateway, host: &str, own: Option<&Own>) -> Client {
    let own = own.map(|(chain, key)| (chain.as_str(), key.as_str()));
    gateway.client().at_host(host, own)
}

/// The line of the trace about the certificate, of a dry run that was taken or refused with it.
async fn judged(gateway: &Gateway, door: &mut Door, client: Client) -> (u16, Value) {
    door.client = client;
    let answer = door.send(DRY).await;
    let body = match answer.status {
        200 => said(&answer, 200, "dry_run"),
        _ => refused(&answer, 403, "auth.client_certificate"),
    };
    let stored = signal(gateway.program(), &body["signal_id"]).await;
    (answer.status, check(&stored, "client_certificate").clone())
}

#[tokio::test]
async fn only_the_named_sender_of_a_known_ca_passes() {
    let dir = TestDir::new("intake-certificate");
    let (ours, others) = (Authority::new(), Authority::new());
    // A bundle: the first CA in it is of somebody else.
    fs::write(dir.path().join("ca.pem"), Authority::new().pem + &ours.pem).unwrap();
    let (gateway, mut demo_door) = demo(&dir, CONFIG).await;
    let required = ["--client-certificate", "tradingview"];
    let mut door = another_door(&gateway, &required, &[]).await;

    // Two connections: the second resumes the session of the first, and is judged as well.
    let right = ours.tradingview();
    let client = at(&gateway, HOOKS, Some(&right));
    for client in [client.another(), client] {
        let (status, check) = judged(&gateway, &mut door, client).await;
        assert_eq!(status, 200, "{check}");
        assert_eq!(check["result"], "pass");
        assert_eq!((&check["input"], &check["limit"]), (&TRADINGVIEW.into(), &TRADINGVIEW.into()));
    }

    let expired = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    let for_servers = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    let name = || vec![email("webhook-server@tradingview.com")];
    let another =
        ours.issue("TradingView Webhooks", vec![email("x@example.com"), host("b.example")]);
    let claimed = ours.issue("webhook-server@tradingview.com", Vec::new());
    for (what, host, own, input) in [
        ("wrong CA", HOOKS, Some(others.tradingview()), "none"),
        ("expired", HOOKS, Some(ours.issue_with("TradingView", name(), expired)), "none"),
        ("a server's", HOOKS, Some(ours.issue_with("TradingView", name(), for_servers)), "none"),
        ("none", HOOKS, None, "none"),
        ("never asked", "localhost", Some(right), "none"),
        (
            "wrong name",
            HOOKS,
            Some(another),
            "email:x@example.com, dns:b.example, cn:TradingView Webhooks",
        ),
        ("common name", HOOKS, Some(claimed), "cn:webhook-server@tradingview.com"),
    ] {
        let client = at(&gateway, host, own.as_ref());
        let (status, check) = judged(&gateway, &mut door, client).await;
        assert_eq!((status, &check["result"]), (403, &"fail".into()), "{what}: {check}");
        assert_eq!(
            (&check["input"], &check["limit"]),
            (&input.into(), &TRADINGVIEW.into()),
            "{what}"
        );
    }

    // A webhook that asks for none takes what comes, on the same connections too.
    demo_door.client = at(&gateway, HOOKS, Some(&others.tradingview()));
    let body = said(&demo_door.send(DRY).await, 200, "dry_run");
    let stored = signal(gateway.program(), &body["signal_id"]).await;
    assert_eq!(check(&stored, "client_certificate")["result"], "skip");
    assert_eq!(orders(gateway.program()).await.len(), 0);
}

/// C1: behind the secret, before the address.
#[tokio::test]
async fn the_certificate_is_judged_in_its_place() {
    let dir = TestDir::new("intake-certificate-order");
    let ours = Authority::new();
    fs::write(dir.path().join("ca.pem"), &ours.pem).unwrap();
    let (gateway, _) = demo(&dir, CONFIG).await;
    let required = ["--client-certificate", "sender.example", "--allow", "192.0.2.1"];
    let mut door = another_door(&gateway, &required, &[]).await;
    let own = ours.issue("somebody", vec![host("Sender.Example")]);

    door.client = at(&gateway, HOOKS, Some(&own));
    refused(&door.send(DRY).await, 403, "address.not_allowed");
    door.client = at(&gateway, HOOKS, None);
    refused(&door.send(DRY).await, 403, "auth.client_certificate");
    door.secret = "wrong".to_owned();
    problem(&door.send(DRY).await, 401, "auth.failed");
}

#[tokio::test]
async fn a_webhook_that_requires_one_is_told_where_to_be_called() {
    let dir = TestDir::new("intake-certificate-url");
    fs::write(dir.path().join("ca.pem"), Authority::new().pem).unwrap();
    let (gateway, _) = demo(&dir, CONFIG).await;
    let port = gateway.base_url().rsplit_once(':').unwrap().1.to_owned();
    let made = another_webhook(&gateway, &["--client-certificate", "cn:One Sender"]).await;
    assert_eq!(made["client_certificate"], "cn:One Sender");
    let expected = format!("https://{HOOKS}:{port}/api/v1/webhooks/");
    assert!(made["url"].as_str().unwrap().starts_with(&expected), "{made}");
    let plain = another_webhook(&gateway, &[]).await;
    assert!(plain["url"].as_str().unwrap().starts_with(gateway.base_url()), "{plain}");
    assert_eq!(plain.get("client_certificate"), None);

    let create = ["webhook", "create", "--name", "n", "--client-certificate", "Some Body"];
    let ended = gateway.run(&create).await;
    assert_eq!(ended.code, Some(2), "{ended}");
    assert!(ended.stderr.contains("cn:NAME"), "{ended}");
}

/// Where nobody is asked, a webhook that requires a certificate would refuse for ever.
#[tokio::test]
async fn without_a_ca_no_webhook_can_require_a_certificate() {
    for config in ["", "hooks_host = \"hooks.localhost\"\n"] {
        let dir = TestDir::new("intake-certificate-refused");
        let (gateway, _) = demo(&dir, config).await;
        let create = ["webhook", "create", "--name", "n", "--client-certificate", "tradingview"];
        let ended = gateway.run(&create).await;
        assert_eq!(ended.code, Some(2), "{ended}");
        assert!(ended.stderr.contains("set hooks_host and hooks_client_ca_file"), "{ended}");
    }
}
