//! How others are spoken to: TLS 1.3, and 1.2 only with hosts that are listed; with some hosts only
//! under keys that were named beforehand.

use crate::{Roots, Unusable};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tradewarden_seal::CertificateFacts;

/// The policy for everybody we connect to. Hosts are named in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outbound {
    /// Hosts that may be spoken to by TLS 1.2, because they know no better.
    pub tls_1_2_hosts: BTreeSet<String>,
    /// The pins (RFC 7469 section 2.4: base64 of SHA-256) of a host's public keys, one of which its
    /// certificate must have, besides being valid. A host that is not named may have any.
    pub pins: BTreeMap<String, BTreeSet<String>>,
}

impl Outbound {
    /// Whether this host may be spoken to by TLS 1.2.
    pub fn lets_tls_1_2(&self, host: &str) -> bool {
        self.tls_1_2_hosts.contains(&named(host))
    }

    /// What a connection to this host is made with.
    pub fn client_config(&self, host: &str, roots: &Roots) -> Result<ClientConfig, Unusable> {
        let unusable = |cause: &dyn std::fmt::Display| Unusable(cause.to_string());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions: &[_] = if self.lets_tls_1_2(host) { &[&TLS13, &TLS12] } else { &[&TLS13] };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| unusable(&error))?;
        let roots = roots.store().map_err(|error| unusable(&error))?;
        let Some(pins) = self.pins.get(&named(host)) else {
            return Ok(builder.with_root_certificates(roots).with_no_client_auth());
        };
        let pinned =
            Pinned::new(pins.clone(), roots, provider).map_err(|error| unusable(&error))?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(pinned));
        Ok(builder.with_no_client_auth())
    }
}

/// A host as the policy names it. With its final dot it is the same host.
fn named(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// Takes what is valid under the authorities, if its public key is one of those that were named.
#[derive(Debug)]
struct Pinned {
    valid: Arc<WebPkiServerVerifier>,
    pins: BTreeSet<String>,
}

impl Pinned {
    fn new(
        pins: BTreeSet<String>,
        roots: rustls::RootCertStore,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, rustls::server::VerifierBuilderError> {
        let valid =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { valid, pins })
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.valid.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        let facts = CertificateFacts::from_der(end_entity)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if self.pins.contains(&facts.spki_sha256) {
            Ok(verified)
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.valid.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.valid.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.valid.supported_verify_schemes()
    }
}
