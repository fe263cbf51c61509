//! Text messages, handed to a provider of the test's.

#![expect(clippy::unwrap_used, reason = "test code")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;
use tradewarden_domain::time::Timestamp;
use tradewarden_messenger::{Message, Messenger, Outbound, Outcome, Roots, Twilio, TwilioOptions};
use tradewarden_seal::certificate::{DAY_S, LocalAuthority};
use tradewarden_seal::{CertificateFacts, SecretString, SystemRandomness};
use tradewarden_testkit::process::{TestDir, until};
use tradewarden_testkit::provider::{Provider, Reply};

/// An authority and a certificate of it for this name: the authority as PEM, the other two as files.
fn issue(dir: &TestDir, name: &str) -> (String, PathBuf, PathBuf) {
    #[expect(clippy::disallowed_methods, reason = "certificates are judged by the real time")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    let mut randomness = SystemRandomness::new();
    let authority = LocalAuthority::create("Provider test", now, &mut randomness).unwrap();
    let names = [name.to_owned()];
    let issued = authority.issue_server(&names, now - DAY_S, now + DAY_S, &mut randomness).unwrap();
    let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
    std::fs::write(&chain, &issued.chain_pem).unwrap();
    std::fs::write(&key, issued.key_pem.expose()).unwrap();
    (authority.certificate_pem().to_owned(), chain, key)
}

fn twilio(base_url: &str, roots: Roots) -> Twilio {
    twilio_under(base_url, roots, Outbound::default())
}

fn twilio_under(base_url: &str, roots: Roots, outbound: Outbound) -> Twilio {
    Twilio::new(TwilioOptions {
        base_url: base_url.to_owned(),
        account_sid: "AC0123".to_owned(),
        auth_token: SecretString::new("secret".to_owned()),
        from: "+14155550100".to_owned(),
        roots,
        outbound,
    })
    .unwrap()
}

fn message() -> Message {
    Message {
        name: "msg_0".to_owned(),
        made_at: Timestamp::from_unix_micros(0),
        to: SecretString::new("+14155550123".to_owned()),
        subject: String::new(),
        text: SecretString::new("hello".to_owned()),
    }
}

async fn provider(chain: &Path, key: &Path) -> Provider {
    Provider::open(chain, key).await
}

fn later(reason: &str) -> Outcome {
    Outcome::Later { reason: reason.to_owned(), wait: None }
}

#[tokio::test]
async fn every_answer_has_its_meaning() {
    let dir = TestDir::new("messenger-answers");
    let (authority, chain, key) = issue(&dir, "localhost");
    let provider = provider(&chain, &key).await;
    let twilio = twilio(provider.base_url(), Roots::Own(authority));
    provider.replies([
        Reply::Status(201, None),
        Reply::Status(429, Some(7)),
        Reply::Status(302, None),
        Reply::Status(400, None),
        Reply::Close,
    ]);
    assert_eq!(twilio.send(message()).await, Outcome::Taken);
    let wait = Some(Duration::from_secs(7));
    let reason = "the provider answered 429".to_owned();
    assert_eq!(twilio.send(message()).await, Outcome::Later { reason, wait });
    assert_eq!(twilio.send(message()).await, later("the provider answered 302"));
    let reason = "the provider answered 400".to_owned();
    assert_eq!(twilio.send(message()).await, Outcome::Refused { reason });
    assert_eq!(twilio.send(message()).await, later("the connection broke"));
    assert_eq!(provider.asked().len(), 5, "nothing is sent twice, no redirect is followed");
}

/// What was answered counts, also from a server that closes right behind its answer.
#[tokio::test]
async fn an_answer_before_the_end_of_the_connection_is_heard() {
    let dir = TestDir::new("messenger-last");
    let (authority, chain, key) = issue(&dir, "localhost");
    let provider = provider(&chain, &key).await;
    let twilio = twilio(provider.base_url(), Roots::Own(authority));
    provider.replies([Reply::Last(201); 20]);
    for _ in 0..20 {
        assert_eq!(twilio.send(message()).await, Outcome::Taken);
    }
    assert_eq!(provider.asked().len(), 20, "none was sent twice");
}

/// A certificate of another authority or for another name: nothing is sent, the secret least of all.
#[tokio::test]
async fn strangers_are_not_spoken_to() {
    let dir = TestDir::new("messenger-strangers");
    let (authority, chain, key) = issue(&dir, "other.example");
    let provider = provider(&chain, &key).await;
    for roots in [Roots::Own(authority), Roots::Web] {
        let outcome = twilio(provider.base_url(), roots).send(message()).await;
        assert_eq!(outcome, later("TLS did not come about"));
    }
    assert!(provider.asked().is_empty());
    drop(provider);
    let nobody = twilio("https://127.0.0.1:1", Roots::Web).send(message()).await;
    assert_eq!(nobody, later("the provider could not be reached"));
}

#[tokio::test]
async fn a_provider_that_says_nothing_is_left() {
    let dir = TestDir::new("messenger-silence");
    let (authority, chain, key) = issue(&dir, "localhost");
    let provider = provider(&chain, &key).await;
    let twilio = Arc::new(twilio(provider.base_url(), Roots::Own(authority)));
    provider.replies([Reply::Silence]);
    let mut sending = JoinSet::new();
    sending.spawn(async move { twilio.send(message()).await });
    until("it was asked", async || provider.asked().len() == 1).await;
    // From here on time jumps to the next timer when nothing else is to be done.
    tokio::time::pause();
    assert_eq!(sending.join_next().await.unwrap().unwrap(), later("no answer in time"));
}

/// C5: TLS 1.3, and 1.2 only with a host that is listed.
#[tokio::test]
async fn c5_tls_1_2_is_spoken_with_listed_hosts_alone() {
    let dir = TestDir::new("messenger-tls12");
    let (authority, chain, key) = issue(&dir, "localhost");
    let provider = Provider::open_speaking(&chain, &key, &[&rustls::version::TLS12]).await;
    let listed = |hosts: &[&str]| Outbound {
        tls_1_2_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        ..Outbound::default()
    };
    for (hosts, outcome) in [
        (&[][..], later("TLS did not come about")),
        (&["other.example"], later("TLS did not come about")),
        (&["localhost"], Outcome::Taken),
    ] {
        let roots = Roots::Own(authority.clone());
        let twilio = twilio_under(provider.base_url(), roots, listed(hosts));
        assert_eq!(twilio.send(message()).await, outcome, "{hosts:?}");
    }
    assert_eq!(provider.asked().len(), 1);
}

/// A pinned host must be valid and have one of the keys that were named.
#[tokio::test]
async fn a_pinned_host_is_spoken_to_under_its_keys_alone() {
    let dir = TestDir::new("messenger-pins");
    let (authority, chain, key) = issue(&dir, "localhost");
    let provider = provider(&chain, &key).await;
    let own = CertificateFacts::from_pem(&std::fs::read_to_string(&chain).unwrap()).unwrap();
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned();
    let refused = || later("TLS did not come about");
    for (host, pins, roots, outcome) in [
        ("localhost", vec![own.spki_sha256.clone()], Some(&authority), Outcome::Taken),
        (
            "localhost",
            vec![other.clone(), own.spki_sha256.clone()],
            Some(&authority),
            Outcome::Taken,
        ),
        ("localhost", vec![other.clone()], Some(&authority), refused()),
        ("other.example", vec![other], Some(&authority), Outcome::Taken),
        // A pin is not enough: the certificate must be valid as well.
        ("localhost", vec![own.spki_sha256], None, refused()),
    ] {
        let outbound = Outbound {
            pins: [(host.to_owned(), pins.into_iter().collect())].into(),
            ..Outbound::default()
        };
        let roots = roots.map_or(Roots::Web, |authority| Roots::Own(authority.clone()));
        let twilio = twilio_under(provider.base_url(), roots, outbound.clone());
        assert_eq!(twilio.send(message()).await, outcome, "{outbound:?}");
    }
}
