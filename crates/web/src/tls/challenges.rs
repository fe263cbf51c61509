//! Answers to the challenges of an authority (ACME) that asks whether a name is ours: at port 80
//! (`http-01`, RFC 8555 section 8.3) and in a handshake of its own (`tls-alpn-01`, RFC 8737).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;

use super::{TlsError, certificates_in, provider};

/// The name of such a handshake among the protocols.
pub(crate) const ALPN_CHALLENGE: &[u8] = b"acme-tls/1";

/// What is answered now. Clones share it. Whoever puts answers in takes them out again.
#[derive(Clone, Default)]
pub struct Challenges(Arc<RwLock<Answers>>);

#[derive(Default)]
struct Answers {
    /// Key authorizations by token.
    http: BTreeMap<String, String>,
    /// What is shown under a host name.
    tls: BTreeMap<String, Arc<ServerConfig>>,
}

impl Challenges {
    /// Answers `http-01` for this token.
    pub fn answer_http(&self, token: &str, key_authorization: &str) {
        let mut answers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        answers.http.insert(token.to_owned(), key_authorization.to_owned());
    }

    /// Answers `tls-alpn-01` for this host name, with this certificate.
    pub fn answer_tls(&self, name: &str, chain_pem: &str, key_pem: &str) -> Result<(), TlsError> {
        let provider = provider();
        let chain = certificates_in(chain_pem.as_bytes(), "answer to a challenge")?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|_| TlsError::NotPem("key of the answer to a challenge"))?;
        let key = provider.key_provider.load_private_key(key).map_err(TlsError::Unusable)?;
        // Not compared with its key: the extension that answers is critical and unknown to who compares.
        let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown));
        config.alpn_protocols = vec![ALPN_CHALLENGE.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let mut answers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        answers.tls.insert(name.to_ascii_lowercase(), Arc::new(config));
        Ok(())
    }

    /// Answers nothing any more.
    pub fn clear(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Answers::default();
    }

    /// What is answered for a token.
    pub(crate) fn http(&self, token: &str) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).http.get(token).cloned()
    }

    /// What is shown to a client that asked for this name and offered these protocols; `None` if it
    /// came for something else, or nothing is to be answered.
    pub(crate) fn tls<'p>(
        &self,
        server_name: Option<&str>,
        mut protocols: impl Iterator<Item = &'p [u8]>,
    ) -> Option<Arc<ServerConfig>> {
        // RFC 8737 section 3: this protocol and no other.
        if protocols.next() != Some(ALPN_CHALLENGE) || protocols.next().is_some() {
            return None;
        }
        let name = server_name?.to_ascii_lowercase();
        self.0.read().unwrap_or_else(PoisonError::into_inner).tls.get(&name).cloned()
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Challenges")
    }
}
