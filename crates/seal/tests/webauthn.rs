//! Passkeys: the specification's examples, each check violated alone, and an authenticator that
//! others wrote.

#[cfg(test)]
#[path = "webauthn/authenticator.rs"]
mod authenticator;
#[cfg(test)]
#[path = "webauthn/peer.rs"]
mod peer;
#[cfg(test)]
#[path = "webauthn/vectors.rs"]
mod vectors;
#[cfg(test)]
#[path = "webauthn/violations.rs"]
mod violations;
