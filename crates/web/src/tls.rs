//! TLS of our own listeners: version 1.3 only, post-quantum hybrid key exchange first, no early
//! data (a replayed first flight would be a replayed order), certificates that can be replaced
//! while connections stay open, and a second host name where alone a client certificate is asked
//! for.
//!
//! Every configuration has its own ticket keys. So a session begun under one host name, where no
//! certificate was asked for, cannot be resumed under another where one is.

mod admission;
mod challenges;
#[cfg(test)]
mod vectors;

pub use admission::Admission;
pub use challenges::Challenges;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use self::admission::Admitted;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::aws_lc_rs::kx_group::{SECP256R1, X25519, X25519MLKEM768};
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    DigitallySignedStruct, DistinguishedName, PeerIncompatible, RootCertStore, SignatureScheme,
};

/// The name of HTTP/2 in the handshake.
pub(crate) const ALPN_H2: &[u8] = b"h2";
/// The name of HTTP/1.1 in the handshake.
const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

/// A certificate chain with its private key that can be replaced while it is in use: handshakes
/// that begin afterwards get the new one, connections that exist keep going. Clones share it.
#[derive(Clone)]
pub struct Certificates {
    current: Arc<RwLock<Arc<CertifiedKey>>>,
}

impl Certificates {
    /// How many certificates one chain may have; each is sent in every handshake.
    pub const CHAIN_LENGTH_MAX: usize = 8;

    /// Reads a chain, the server's own certificate first, and the private key that belongs to it.
    pub fn from_pem(chain_pem: &[u8], private_key_pem: &[u8]) -> Result<Self, TlsError> {
        let key = certified_key(chain_pem, private_key_pem)?;
        Ok(Self { current: Arc::new(RwLock::new(key)) })
    }

    /// Takes another chain and key into use. If they are refused, the old ones stay.
    pub fn replace(&self, chain_pem: &[u8], private_key_pem: &[u8]) -> Result<(), TlsError> {
        let key = certified_key(chain_pem, private_key_pem)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }

    /// The server's own certificate that is in use now, as DER.
    pub fn leaf_der(&self) -> Vec<u8> {
        self.current().cert.first().map(|leaf| leaf.to_vec()).unwrap_or_default()
    }

    fn current(&self) -> Arc<CertifiedKey> {
        // The lock guards one pointer, so whoever panicked with it left nothing half done.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Certificates")
    }
}

/// Whether clients are asked for a certificate, and what it must be.
#[derive(Clone, Debug)]
pub enum ClientCertificates {
    /// Clients are not asked.
    None,
    /// No handshake without a certificate for client authentication issued under this CA. Sessions
    /// are not resumed, so that each connection shows a certificate that is valid at that time.
    Required {
        /// The certificates of the CA, as PEM.
        ca_pem: Vec<u8>,
        /// Who of those that verify may come in.
        admission: Admission,
    },
    /// Clients are asked, and the handshake goes on with any certificate or none. One that is shown
    /// is proved to be the client's own. It stands in [`crate::peer::Peer::client_certificate`] only
    /// if it is valid, for client authentication, and issued under this CA when the connection is
    /// made, resumed or not; else it counts as not shown. Names are for the service to judge.
    Requested {
        /// The certificates of the CAs, as PEM.
        ca_pem: Vec<u8>,
    },
}

/// The TLS side of a listener: what is offered to which host name.
#[derive(Clone)]
pub struct Tls {
    main: Host,
    second_host: Option<(String, Host)>,
    challenges: Challenges,
}

/// What is offered under one host name.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) config: Arc<ServerConfig>,
    /// Judges a client certificate after the handshake, where the handshake takes any.
    judge: Option<Arc<dyn ClientCertVerifier>>,
}

impl Host {
    fn new(
        certificates: &Certificates,
        client_certificates: &ClientCertificates,
    ) -> Result<Self, TlsError> {
        let judge = match client_certificates {
            ClientCertificates::Requested { ca_pem } => {
                Some(issued_under(ca_pem, Arc::new(provider()))?)
            }
            ClientCertificates::None | ClientCertificates::Required { .. } => None,
        };
        Ok(Self { config: server_config(certificates, client_certificates)?, judge })
    }

    /// The client's own certificate out of the chain it showed in a handshake with this
    /// configuration, if it verified then or does now.
    pub(crate) fn verified(&self, chain: &[CertificateDer<'_>]) -> Option<Vec<u8>> {
        let (own, intermediates) = chain.split_first()?;
        if let Some(judge) = &self.judge {
            let now = self.config.time_provider.current_time()?;
            if let Err(cause) = judge.verify_client_cert(own, intermediates, now) {
                tracing::debug!(%cause, "a client certificate that was asked for does not verify");
                return None;
            }
        }
        Some(own.to_vec())
    }
}

impl Tls {
    /// Offers the certificates to every client.
    pub fn new(
        certificates: &Certificates,
        client_certificates: &ClientCertificates,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            main: Host::new(certificates, client_certificates)?,
            second_host: None,
            challenges: Challenges::default(),
        })
    }

    /// Treats clients that ask for this host name (the `hooks` host) in their own way.
    pub fn with_second_host(
        self,
        name: &str,
        certificates: &Certificates,
        client_certificates: &ClientCertificates,
    ) -> Result<Self, TlsError> {
        if DnsName::try_from(name).is_err() {
            return Err(TlsError::NotAHostName(name.to_owned()));
        }
        let host = Host::new(certificates, client_certificates)?;
        Ok(Self { second_host: Some((name.to_owned(), host)), ..self })
    }

    /// What a client gets that asks for no host name of its own: for who measures what is around it.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.main.config)
    }

    /// Answers these challenges as well, in handshakes of their own.
    #[must_use]
    pub fn with_challenges(self, challenges: Challenges) -> Self {
        Self { challenges, ..self }
    }

    /// What a client gets that came for the answer to a challenge alone.
    pub(crate) fn challenge_for(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        self.challenges.tls(hello.server_name(), hello.alpn()?)
    }

    /// What a client gets that asked for this name.
    pub(crate) fn host_for(&self, server_name: Option<&str>) -> &Host {
        match &self.second_host {
            Some((own, host)) if server_name.is_some_and(|name| name.eq_ignore_ascii_case(own)) => {
                host
            }
            _ => &self.main,
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tls")
            .field("second_host", &self.second_host.as_ref().map(|(name, _)| name))
            .finish_non_exhaustive()
    }
}

/// Why TLS cannot be set up. No message shows anything of a private key.
#[derive(Debug)]
pub enum TlsError {
    /// The text is not PEM; the word names which text.
    NotPem(&'static str),
    /// The chain has no certificate.
    NoCertificate,
    /// The chain has that many certificates.
    ChainTooLong(usize),
    /// The key file has no private key in it.
    NoPrivateKey,
    /// The private key is not the one of the first certificate in the chain.
    KeyMismatch,
    /// The certificate or the key is of a kind that cannot be used.
    Unusable(rustls::Error),
    /// The CA for client certificates cannot be used, with the reason.
    ClientCa(String),
    /// This is not a host name.
    NotAHostName(String),
    /// The random numbers for ticket keys could not be had, or a setting was refused.
    Setup(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPem(what) => write!(formatter, "the {what} is not valid PEM"),
            Self::NoCertificate => formatter.write_str(
                "the certificate file holds no certificate; it needs the chain as PEM, the \
                 server's own certificate first",
            ),
            Self::ChainTooLong(count) => write!(
                formatter,
                "the certificate file holds {count} certificates; at most {} are allowed, leave \
                 out those that clients know",
                Certificates::CHAIN_LENGTH_MAX
            ),
            Self::NoPrivateKey => {
                formatter.write_str("the key file holds no private key; it needs one as PEM")
            }
            Self::KeyMismatch => formatter.write_str(
                "the private key does not belong to the first certificate of the chain; check the \
                 order of the chain and the key file",
            ),
            Self::Unusable(cause) => {
                write!(formatter, "the certificate or its key cannot be used: {cause}")
            }
            Self::ClientCa(cause) => {
                write!(formatter, "the CA for client certificates cannot be used: {cause}")
            }
            Self::NotAHostName(name) => write!(formatter, "{name:?} is not a host name"),
            Self::Setup(cause) => write!(formatter, "TLS could not be set up: {cause}"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unusable(cause) | Self::Setup(cause) => Some(cause),
            _ => None,
        }
    }
}

/// Says whether a bundle of CA certificates for clients can be used.
pub fn check_client_ca(ca_pem: &[u8]) -> Result<(), TlsError> {
    issued_under(ca_pem, Arc::new(provider())).map(|_| ())
}

fn server_config(
    certificates: &Certificates,
    client_certificates: &ClientCertificates,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(provider());
    // Leaving out the crate feature for TLS 1.2 would not be enough: any other crate of the build
    // can switch it on again.
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Setup)?;
    let builder = match client_certificates {
        ClientCertificates::None => builder.with_no_client_auth(),
        ClientCertificates::Required { ca_pem, admission } => {
            let (issued, admission) = (issued_under(ca_pem, provider)?, admission.clone());
            builder.with_client_cert_verifier(Arc::new(Admitted { issued, admission }))
        }
        ClientCertificates::Requested { .. } => {
            builder.with_client_cert_verifier(Arc::new(AnyClientCertificate {
                algorithms: provider.signature_verification_algorithms,
            }))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(certificates.clone()));
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP_1_1.to_vec()];
    config.max_early_data_size = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    match client_certificates {
        ClientCertificates::None | ClientCertificates::Requested { .. } => {
            // The keys change every six hours and a ticket lives for at most twelve.
            config.ticketer = Ticketer::new().map_err(TlsError::Setup)?;
        }
        ClientCertificates::Required { .. } => config.send_tls13_tickets = 0,
    }
    Ok(Arc::new(config))
}

/// The cryptography offered: nothing but the suites of TLS 1.3, hybrid key exchange first.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            TLS13_AES_256_GCM_SHA384,
            TLS13_AES_128_GCM_SHA256,
            TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![X25519MLKEM768, X25519, SECP256R1],
        ..default_provider()
    }
}

fn certified_key(chain_pem: &[u8], private_key_pem: &[u8]) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificates_in(chain_pem, "certificate file")?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    if chain.len() > Certificates::CHAIN_LENGTH_MAX {
        return Err(TlsError::ChainTooLong(chain.len()));
    }
    // What the PEM reader complains about may quote a line of the key, so it goes no further.
    let private_key = PrivateKeyDer::pem_slice_iter(private_key_pem)
        .next()
        .ok_or(TlsError::NoPrivateKey)?
        .map_err(|_| TlsError::NotPem("key file"))?;
    match CertifiedKey::from_der(chain, private_key, &provider()) {
        Ok(key) => Ok(Arc::new(key)),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::KeyMismatch),
        Err(cause) => Err(TlsError::Unusable(cause)),
    }
}

fn certificates_in(
    pem: &[u8],
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| TlsError::NotPem(what))
}

fn issued_under(
    ca_pem: &[u8],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_in(ca_pem, "CA file for client certificates")? {
        roots.add(certificate).map_err(|cause| TlsError::ClientCa(cause.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|cause| TlsError::ClientCa(cause.to_string()))
}

/// Asks for a certificate and lets the handshake go on with any whose key signed it; see
/// [`ClientCertificates::Requested`].
#[derive(Debug)]
struct AnyClientCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyClientCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey as Generated, generate_simple_self_signed};

    use super::*;

    fn generated() -> (String, String) {
        let Generated { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    #[test]
    fn only_tls_1_3_with_the_hybrid_group_first_and_no_early_data() {
        let (chain, key) = generated();
        let certificates = Certificates::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let config = server_config(&certificates, &ClientCertificates::None).unwrap();
        let groups: Vec<_> =
            config.crypto_provider().kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(
            groups,
            [
                rustls::NamedGroup::X25519MLKEM768,
                rustls::NamedGroup::X25519,
                rustls::NamedGroup::secp256r1,
            ]
        );
        assert!(config.crypto_provider().cipher_suites.iter().all(|suite| suite.tls13().is_some()));
        assert_eq!(config.max_early_data_size, 0);
        assert!(config.ticketer.enabled());
    }

    #[test]
    fn unusable_material_is_refused_with_a_reason_and_the_old_stays() {
        let (chain, key) = generated();
        let (other_chain, other_key) = generated();
        let certificates = Certificates::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let before = certificates.leaf_der();
        for (chain, key, wanted) in [
            (chain.as_str(), other_key.as_str(), "does not belong"),
            ("", key.as_str(), "no certificate"),
            (&key, &key, "no certificate"),
            (&chain, "", "no private key"),
            (&chain, &chain, "no private key"),
            (&chain, "-----BEGIN PRIVATE KEY-----\nAAAA", "key file is not valid PEM"),
            (&chain.repeat(9), &key, "9 certificates"),
        ] {
            let error = certificates.replace(chain.as_bytes(), key.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
        }
        assert_eq!(certificates.leaf_der(), before);
        certificates.replace(other_chain.as_bytes(), other_key.as_bytes()).unwrap();
        assert_ne!(certificates.leaf_der(), before);
    }

    #[test]
    fn the_second_host_is_chosen_by_name_alone() {
        let (chain, key) = generated();
        let certificates = Certificates::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let none = ClientCertificates::None;
        let tls = Tls::new(&certificates, &none).unwrap();
        assert!(matches!(
            tls.clone().with_second_host("not a host", &certificates, &none),
            Err(TlsError::NotAHostName(_))
        ));
        let tls = tls.with_second_host("hooks.example", &certificates, &none).unwrap();
        let main = tls.host_for(None);
        assert!(Arc::ptr_eq(&main.config, &tls.host_for(Some("gateway.example")).config));
        assert!(!Arc::ptr_eq(&main.config, &tls.host_for(Some("Hooks.Example")).config));
    }

    #[test]
    fn an_empty_ca_is_refused() {
        let (chain, key) = generated();
        let certificates = Certificates::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let required =
            ClientCertificates::Required { ca_pem: Vec::new(), admission: Admission::everybody() };
        let error = Tls::new(&certificates, &required).unwrap_err();
        assert!(error.to_string().contains("CA for client certificates"), "{error}");
    }
}
