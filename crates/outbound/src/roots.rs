//! Whose certificates are believed.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;

/// The authorities under which the other side's certificate must be issued.
#[derive(Debug, Clone, Default)]
pub enum Roots {
    /// Those that browsers trust.
    #[default]
    Web,
    /// These and no other, as PEM.
    Own(String),
}

/// The text has no certificate of an authority in it, or one that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootsError;

impl fmt::Display for RootsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it needs one or more CA certificates as PEM")
    }
}

impl std::error::Error for RootsError {}

impl Roots {
    /// The certificates as a store.
    pub fn store(&self) -> Result<RootCertStore, RootsError> {
        let mut store = RootCertStore::empty();
        match self {
            Self::Web => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Self::Own(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                    let certificate = certificate.map_err(|_| RootsError)?;
                    store.add(certificate).map_err(|_| RootsError)?;
                }
            }
        }
        if store.is_empty() { Err(RootsError) } else { Ok(store) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_a_certificate_is_no_store() {
        assert!(Roots::Web.store().unwrap().len() > 50);
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "no certificate", broken] {
            assert_eq!(Roots::Own(text.to_owned()).store().unwrap_err(), RootsError, "{text}");
        }
    }
}
