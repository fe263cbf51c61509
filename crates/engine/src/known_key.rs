//! An API key as a request is held against it.

use ipnet::IpNet;
use std::net::IpAddr;
use tradewarden_domain::few::Few;
use tradewarden_domain::key::ApiKey;
use tradewarden_seal::http_signature::VerifyingKey;
use tradewarden_store::guarded::{self, Image};

/// A key as a request is held against it, all of it in one place: there may be a million.
#[derive(Debug)]
pub struct KnownKey {
    pub(crate) key: ApiKey,
    pub(crate) verifying: VerifyingKey,
    pub(crate) allow: Few<IpNet>,
}

/// With the two counts of what shares it, and the allocator's own word, 256 bytes.
const _: () = assert!(size_of::<KnownKey>() <= 232);

impl KnownKey {
    /// What its row held when it was read. (What a sealed secret opens to is bound to it otherwise.)
    pub(crate) fn image(&self) -> Image {
        let public = self.verifying.ed25519_public().map(<[u8; 32]>::as_slice);
        guarded::key_of(&self.key, public.unwrap_or_default())
    }

    /// Whether the key may be used from this address.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|net| net.contains(&address))
    }
}
