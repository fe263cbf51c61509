//! Clients whose certificate verifies and who may not come in any more.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

/// Says of a client's own certificate, as DER, whether it may still come in. It is asked in every
/// handshake, after the certificate verified, so it must not wait for long.
#[derive(Clone)]
pub struct Admission(Arc<Judge>);

type Judge = dyn Fn(&[u8]) -> bool + Send + Sync;

impl Admission {
    /// Whoever has a certificate comes in.
    pub fn everybody() -> Self {
        Self(Arc::new(|_| true))
    }

    /// Who comes in is said by `admits`.
    pub fn by(admits: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(admits))
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Admission")
    }
}

/// What another verifier takes, as far as it is admitted. The rest hears that it was revoked.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) issued: Arc<dyn ClientCertVerifier>,
    pub(super) admission: Admission,
}

impl ClientCertVerifier for Admitted {
    fn client_auth_mandatory(&self) -> bool {
        self.issued.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.issued.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.issued.verify_client_cert(end_entity, intermediates, now)?;
        if (self.admission.0)(end_entity) {
            Ok(verified)
        } else {
            Err(Error::InvalidCertificate(CertificateError::Revoked))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.issued.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.issued.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.issued.supported_verify_schemes()
    }
}
