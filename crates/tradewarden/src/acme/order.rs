//! One certificate from an authority: order, challenges, request, chain.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use tokio::time::timeout;
use tradewarden_domain::time::Clock;
use tradewarden_seal::certificate::{
    certificate_request, challenge_certificate, new_certificate_key,
};
use tradewarden_seal::{SecretString, SystemRandomness};
use tradewarden_web::tls::Challenges;

use crate::clock::SystemClock;
use crate::config::{Acme, ChallengeKind};

/// How long an order may take in all.
const ORDER_TIME: Duration = Duration::from_mins(3);
/// How the authority is asked whether it has got further.
const POLLS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_mins(1));
const ALREADY_REPLACED: &str = "urn:ietf:params:acme:error:alreadyReplaced";

/// Why there is no certificate, for people.
#[derive(Debug)]
pub(super) struct NotIssued(pub(super) String);

impl<E: std::error::Error> From<E> for NotIssued {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// A chain, the server's own certificate first, and the key of that one, both as PEM.
pub(super) struct Chain {
    pub(super) chain_pem: String,
    pub(super) key_pem: SecretString,
}

/// Has a certificate issued. The challenges are answered as long as this takes, and no longer.
pub(super) async fn issue(
    config: &Acme,
    account: &Account,
    challenges: &Challenges,
    replaces: Option<&str>,
    key: Option<SecretString>,
) -> Result<Chain, NotIssued> {
    let issued = timeout(ORDER_TIME, issued(config, account, challenges, replaces, key)).await;
    challenges.clear();
    issued.unwrap_or_else(|_| Err(NotIssued("the order took too long".to_owned())))
}

async fn issued(
    config: &Acme,
    account: &Account,
    challenges: &Challenges,
    replaces: Option<&str>,
    key: Option<SecretString>,
) -> Result<Chain, NotIssued> {
    let key_pem = match key {
        Some(key) => key,
        None => new_certificate_key(&mut SystemRandomness::new())?,
    };
    let request = certificate_request(&config.domains, &key_pem)?;
    let mut order = ordered(config, account, replaces).await?;
    let mut authorizations = order.authorizations();
    while let Some(handle) = authorizations.next().await {
        let mut handle = handle?;
        match handle.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            other => return Err(NotIssued(format!("an authorization is {other:?}"))),
        }
        let name = handle.identifier().to_string();
        let kind = match config.challenge {
            ChallengeKind::Http01 => ChallengeType::Http01,
            ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        };
        let Some(mut challenge) = handle.challenge(kind) else {
            return Err(NotIssued(format!("no such challenge is offered for {name}")));
        };
        let authorization = challenge.key_authorization();
        match config.challenge {
            ChallengeKind::Http01 => {
                challenges.answer_http(&challenge.token, authorization.as_str());
            }
            ChallengeKind::TlsAlpn01 => {
                let now = SystemClock.now().unix_seconds();
                let mut randomness = SystemRandomness::new();
                let shown =
                    challenge_certificate(&name, authorization.as_str(), now, &mut randomness)?;
                challenges.answer_tls(&name, &shown.chain_pem, shown.key_pem.expose())?;
            }
        }
        challenge.set_ready().await?;
    }
    if order.poll_ready(&POLLS).await? != OrderStatus::Ready {
        return Err(NotIssued(refused_because(&mut order).await));
    }
    order.finalize_csr(&request).await?;
    Ok(Chain { chain_pem: order.poll_certificate(&POLLS).await?, key_pem })
}

/// The order; a new one beside what it replaces if the authority says that something else does.
async fn ordered(
    config: &Acme,
    account: &Account,
    replaces: Option<&str>,
) -> Result<Order, NotIssued> {
    let identifiers: Vec<_> = config.domains.iter().cloned().map(Identifier::Dns).collect();
    let plain = NewOrder::new(&identifiers);
    let Some(identifier) = replaces.and_then(identifier) else {
        return Ok(account.new_order(&plain).await?);
    };
    match account.new_order(&NewOrder::new(&identifiers).replaces(identifier)).await {
        Err(Error::Api(problem)) if problem.r#type.as_deref() == Some(ALREADY_REPLACED) => {
            Ok(account.new_order(&plain).await?)
        }
        ordered => Ok(ordered?),
    }
}

/// The name of a certificate in renewal information, as the client wants it.
pub(super) fn identifier(id: &str) -> Option<CertificateIdentifier<'_>> {
    let (authority_key, serial) = id.split_once('.')?;
    let authority_key_identifier = authority_key.into();
    Some(CertificateIdentifier { authority_key_identifier, serial: serial.into() })
}

/// What the authority found wrong with a name.
async fn refused_because(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut handle)) = authorizations.next().await {
        let Ok(state) = handle.refresh().await else { continue };
        let error = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(error) = error {
            return format!("{}: {error}", state.identifier());
        }
    }
    "the authority refused the order".to_owned()
}
