//! What is to be known about a certificate to renew it, name it or pin it.

use x509_parser::{
    extensions::ParsedExtension,
    pem::parse_x509_pem,
    prelude::{FromDer, X509Certificate},
};

use super::{CertificateError, CertificateNames, MAX_PEM_BYTES, request::renewal_id};
use crate::{Digest, base64_encode, hex_encode};

/// Facts of one certificate. Whether it may be believed is for whoever checks its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Its serial number: the bytes of its DER in lower-case hex, as most tools print it, without the
    /// zero byte that only says that it is positive.
    pub serial: String,
    /// The pin of its public key (RFC 7469 section 2.4): SHA-256 of the DER of its
    /// `SubjectPublicKeyInfo`, in base64.
    pub spki_sha256: String,
    /// Valid from this second since 1970.
    pub not_before_unix_s: i64,
    /// Valid to this second since 1970.
    pub not_after_unix_s: i64,
    /// The host names it is for.
    pub dns_names: Vec<String>,
    /// Its name in renewal information (RFC 9773 section 4.1), if it says which key its authority has.
    pub renewal_id: Option<String>,
}

impl CertificateFacts {
    /// Reads a certificate in DER.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| CertificateError::Der)?;
        if !rest.is_empty() {
            return Err(CertificateError::Der);
        }
        let serial = certificate.raw_serial();
        let serial = match serial {
            [0, positive @ ..] if !positive.is_empty() => positive,
            as_written => as_written,
        };
        let validity = certificate.validity();
        let authority_key = certificate.iter_extensions().find_map(|extension| {
            let ParsedExtension::AuthorityKeyIdentifier(authority) = extension.parsed_extension()
            else {
                return None;
            };
            authority.key_identifier.as_ref().map(|key| key.0)
        });
        Ok(Self {
            serial: hex_encode(serial),
            spki_sha256: base64_encode(Digest::sha256(certificate.public_key().raw).as_bytes()),
            not_before_unix_s: validity.not_before.timestamp(),
            not_after_unix_s: validity.not_after.timestamp(),
            dns_names: CertificateNames::from_der(der)?.dns,
            renewal_id: authority_key.map(|key| renewal_id(key, certificate.raw_serial())),
        })
    }

    /// Reads the first certificate of a chain in PEM: the owner's own.
    pub fn from_pem(chain: &str) -> Result<Self, CertificateError> {
        if chain.len() > MAX_PEM_BYTES {
            return Err(CertificateError::Pem);
        }
        let (_, pem) = parse_x509_pem(chain.as_bytes()).map_err(|_| CertificateError::Pem)?;
        Self::from_der(&pem.contents)
    }
}
