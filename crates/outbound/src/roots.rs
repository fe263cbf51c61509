//! Whose certificates are believed.

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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

    /// Whether these authorities vouch for a server that shows this chain, in PEM and the server's own
    /// certificate first, under this name at this time since 1970; else why not, in words.
    pub fn vouch_for(&self, chain_pem: &str, name: &str, at: Duration) -> Result<(), String> {
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect();
        let chain = chain.map_err(|error| error.to_string())?;
        let (own, others) =
            chain.split_first().ok_or_else(|| "there is no certificate".to_owned())?;
        let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
        let store = self.store().map_err(|error| error.to_string())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build();
        let verifier = verifier.map_err(|error| error.to_string())?;
        let at = UnixTime::since_unix_epoch(at);
        let verified = verifier.verify_server_cert(own, others, &name, &[], at);
        verified.map(drop).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_vouches_does_so_for_a_name_and_a_time() {
        let mut randomness = tradewarden_seal::SystemRandomness::new();
        let ca = tradewarden_seal::LocalAuthority::create("ca", 86_400, &mut randomness).unwrap();
        let names = ["a.example".to_owned()];
        let own = ca.issue_server(&names, 86_400, 10 * 86_400, &mut randomness).unwrap();
        let roots = Roots::Own(ca.certificate_pem().to_owned());
        let day = |days: u64| Duration::from_secs(days * 86_400);
        assert_eq!(roots.vouch_for(&own.chain_pem, "a.example", day(2)), Ok(()));
        for (roots, chain, name, days) in [
            (&roots, own.chain_pem.as_str(), "b.example", 2),
            (&roots, own.chain_pem.as_str(), "a.example", 11),
            (&roots, "", "a.example", 2),
            (&Roots::Web, own.chain_pem.as_str(), "a.example", 2),
        ] {
            let said = roots.vouch_for(chain, name, day(days));
            assert!(said.is_err(), "{name} {days}");
        }
    }

    #[test]
    fn a_text_without_a_certificate_is_no_store() {
        assert!(Roots::Web.store().unwrap().len() > 50);
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "no certificate", broken] {
            assert_eq!(Roots::Own(text.to_owned()).store().unwrap_err(), RootsError, "{text}");
        }
    }
}
