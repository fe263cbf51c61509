//! The key source is away for too long, and secrets are closed: what would need one is not called wrong,
//! so that its sender tries again; everything else goes on.

use super::keys;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::quota::Budget;
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::caller::{NotAuthenticated, Shown};
use tradewarden_engine::command::{ById, Command, CommandError};
use tradewarden_engine::intake::{Presented, RawSignal, SignatureHeaders};
use tradewarden_seal::http_signature::{
    Ed25519Key, RequestToSign, SigningKey, SigningParameters, sign,
};
use tradewarden_seal::{SecretBytes, standard_webhooks};
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::{Harness, Heard, Hook, OPEN_FOR, simulate};
use tradewarden_testkit::randomness::Seeded;

const A_WHILE: Duration = Duration::from_secs(10);
/// Of no key and no webhook.
const NOBODY: &str = "00000000000000000000000000";

async fn close(h: &Harness) {
    h.keys.go_away();
    h.elapse(A_WHILE).await;
    h.clock.advance(OPEN_FOR);
    h.elapse(A_WHILE).await;
    let asked = json!({ "command": "vault", "verb": "status" });
    let status = h.command(serde_json::from_value(asked).unwrap()).await;
    assert_eq!(status["secrets"], "closed", "{status}");
}

/// A signed request as it is answered.
fn signed(h: &Harness, key_id: &str, key: &SigningKey, at: Timestamp) -> Option<NotAuthenticated> {
    let origin = "https://localhost".parse().unwrap();
    let request = RequestToSign {
        method: "GET",
        origin: &origin,
        target: "/api/v1/me",
        content_type: None,
        idempotency_key: None,
        body: b"",
    };
    let parameters = SigningParameters {
        key_id,
        created_unix_s: at.unix_seconds(),
        expires_unix_s: None,
        nonce: "nonce-00000000000077",
    };
    let signature = sign(key, &request, &parameters).unwrap();
    let headers: Vec<_> = signature.lines().map(|(name, value)| (name, value.as_bytes())).collect();
    let shown = Shown {
        method: "GET",
        target: "/api/v1/me",
        authority: "localhost",
        headers: &headers,
        body: b"",
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        budget: Budget::Requests,
    };
    h.engine().caller(&shown).err()
}

#[test]
fn a_signature_that_cannot_be_judged_is_not_called_wrong() {
    simulate(async || {
        let h = Harness::sqlite(811, Venue::default()).await;
        h.ready().await;
        let key = keys::key(&h, json!({})).await;
        let id = key["id"].as_str().unwrap().to_owned();
        let ed25519 = json!({
            "command": "key-create", "name": "asymmetric", "algorithm": "ed25519",
            "scopes": ["orders:read"],
        });
        let ed25519 = h.command(serde_json::from_value(ed25519).unwrap()).await;
        let pem = ed25519["private_key_pem"].as_str().unwrap();
        let pair = SigningKey::Ed25519(Ed25519Key::from_pkcs8_pem(pem).unwrap());
        let ed25519_id = ed25519["id"].as_str().unwrap().to_owned();
        let unknown = format!("key_{NOBODY}");
        let hmac = |byte| SigningKey::HmacSha256(SecretBytes::new(vec![byte; 32]));
        let stranger = Ed25519Key::generate(&mut Seeded::new(9)).unwrap();
        let stranger = SigningKey::Ed25519(stranger);
        assert_eq!(signed(&h, &unknown, &hmac(1), h.now()), Some(NotAuthenticated::Failed));
        keys::caller(&h, &key, "nonce-0000000000001");
        close(&h).await;

        // Whose key it names makes no difference.
        let closed = Err(NotAuthenticated::Closed);
        assert_eq!(keys::try_caller(&h, &key, "nonce-0000000000002").map(|_| ()), closed);
        for named in [&id, &unknown, &ed25519_id] {
            assert_eq!(signed(&h, named, &hmac(1), h.now()), Some(NotAuthenticated::Closed));
        }
        // What needs no secret to be judged is judged: another algorithm, too old, by a public key.
        for named in [&id, &unknown, &ed25519_id] {
            let refused = Some(NotAuthenticated::Failed);
            assert_eq!(signed(&h, named, &stranger, h.now()), refused);
            assert_eq!(signed(&h, named, &hmac(1), h.now().minus(OPEN_FOR)), refused);
        }
        assert_eq!(signed(&h, &ed25519_id, &pair, h.now()), None);

        // What is known of a key without its secret is known: it can be shown, and taken away.
        let shown = h.command(Command::KeyShow(ById { id: id.clone() })).await;
        assert_eq!(shown["state"], "active");
        h.command(Command::KeyRevoke(ById { id: id.clone() })).await;
        let new = json!({
            "command": "key-create", "name": "bot", "algorithm": "hmac-sha256",
            "scopes": ["orders:read"],
        });
        let refused = h.try_command(serde_json::from_value(new).unwrap()).await.unwrap();
        let is_closed =
            matches!(refused, Err(CommandError::Refused { code: Code::VaultClosed, .. }));
        assert!(is_closed, "{refused:?}");

        h.keys.come_back();
        h.elapse(A_WHILE).await;
        for named in [&id, &unknown, &ed25519_id] {
            assert_eq!(signed(&h, named, &hmac(1), h.now()), Some(NotAuthenticated::Failed));
        }
        let again = keys::key(&h, json!({})).await;
        keys::caller(&h, &again, "nonce-0000000000003");
        h.finish().await;
    });
}

pub(super) struct Signer {
    token: String,
    secret: String,
    signing: SecretBytes,
}

impl Signer {
    pub(super) async fn new(h: &Harness, forms: &[&str]) -> Self {
        let new = json!({"command": "webhook-create", "name": forms.join(" "), "forms": forms});
        let made = h.command(serde_json::from_value(new).unwrap()).await;
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let signing = standard_webhooks::parse_secret(&text("signing_secret")).unwrap();
        Self { token: text("token"), secret: text("secret"), signing }
    }

    /// A message that is rightly signed, `late` after it was.
    pub(super) fn message(&self, h: &Harness, id: &str, late: Duration) -> RawSignal {
        let body = json!({"action": "BUY", "symbol": "ES", "quantity": "1"}).to_string();
        let at = h.now().minus(late).unix_seconds();
        let signature = standard_webhooks::sign(&self.signing, id, at, body.as_bytes()).unwrap();
        RawSignal {
            token: self.token.clone(),
            query_secret: None,
            header_secret: None,
            signature: Some(SignatureHeaders {
                id: id.to_owned(),
                timestamp: at.to_string(),
                signature,
            }),
            client_certificate: None,
            address: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
            dry_run: false,
            body: body.into_bytes(),
        }
    }
}

#[test]
fn a_signed_message_that_cannot_be_judged_is_sent_again() {
    simulate(async || {
        let h = Harness::sqlite(812, Venue::default()).await;
        h.ready().await;
        let only = Signer::new(&h, &["signature"]).await;
        let both = Signer::new(&h, &["signature", "header"]).await;
        let hook = h.webhook("secret only", 100).await;
        let hook_only =
            |raw: RawSignal, hook: &Hook| RawSignal { token: hook.token.clone(), ..raw };
        let soon = Duration::ZERO;
        let is_answered = |heard: &Heard| matches!(heard, Heard::Answer(_));
        assert!(is_answered(&h.send_raw(only.message(&h, "m1", soon)).await));
        close(&h).await;

        let closed = Heard::Unavailable(Code::VaultClosed);
        assert_eq!(h.send_raw(only.message(&h, "m2", soon)).await, closed);
        // The same at a webhook that takes no signatures, and at none.
        let elsewhere = hook_only(only.message(&h, "m2", soon), &hook);
        assert_eq!(h.send_raw(elsewhere).await, closed);
        let nowhere = RawSignal { token: NOBODY.to_owned(), ..only.message(&h, "m2", soon) };
        assert_eq!(h.send_raw(nowhere).await, closed);
        // Too old is too old.
        let old = only.message(&h, "m2", OPEN_FOR);
        assert_eq!(h.send_raw(old).await, Heard::Unauthenticated);

        // A secret in the header is judged, with a signature beside it or without.
        let with = |secret: &str, raw: RawSignal| RawSignal {
            header_secret: Some(Presented::new(secret.to_owned())),
            ..raw
        };
        let alone =
            RawSignal { signature: None, ..with(&both.secret, both.message(&h, "m3", soon)) };
        assert!(is_answered(&h.send_raw(alone).await), "a webhook's other secrets go on");
        assert_eq!(h.send_raw(with(&both.secret, both.message(&h, "m4", soon))).await, closed);
        let wrong = with(&only.secret, both.message(&h, "m4", soon));
        assert_eq!(h.send_raw(wrong).await, Heard::Unauthenticated);

        h.keys.come_back();
        h.elapse(A_WHILE).await;
        assert!(is_answered(&h.send_raw(only.message(&h, "m2", soon)).await), "it is no duplicate");
        let nowhere = RawSignal { token: NOBODY.to_owned(), ..only.message(&h, "m2", soon) };
        assert_eq!(h.send_raw(nowhere).await, Heard::Unauthenticated);
        let told: Vec<Value> = h.findings().await.iter().map(|one| json!(one.code)).collect();
        assert!(told.contains(&json!("vault.recovered")), "{told:?}");
        h.finish().await;
    });
}
