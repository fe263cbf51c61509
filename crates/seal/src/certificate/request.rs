//! What is needed to have a certificate issued by somebody else, by ACME (RFC 8555).

use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256,
};

use super::{
    CertificateError, DAY_S, IssuedCertificate, MAX_NAMES, is_valid_name, new_key,
    new_serial_number, set_validity,
};
use crate::{Digest, Randomness, SecretString, base64url_encode};

/// How long the answer to a challenge could be valid, in seconds; it is shown for minutes.
const CHALLENGE_S: i64 = DAY_S;

/// A new ECDSA P-256 key for a certificate that somebody else issues: PKCS#8 in PEM.
pub fn new_certificate_key(
    randomness: &mut dyn Randomness,
) -> Result<SecretString, CertificateError> {
    new_key(randomness).map(|key| SecretString::new(key.serialize_pem()))
}

/// A request (PKCS#10, RFC 2986) for a certificate of these DNS names over this key, in DER.
pub fn certificate_request(
    names: &[String],
    key_pem: &SecretString,
) -> Result<Vec<u8>, CertificateError> {
    if names.is_empty() || names.len() > MAX_NAMES {
        return Err(CertificateError::Name(String::new()));
    }
    if let Some(wrong) = names.iter().find(|name| !is_valid_name(name)) {
        return Err(CertificateError::Name(wrong.clone()));
    }
    let key = KeyPair::from_pkcs8_pem_and_sign_algo(key_pem.expose(), &PKCS_ECDSA_P256_SHA256)
        .map_err(|_| CertificateError::Pem)?;
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name = DistinguishedName::new();
    Ok(parameters.serialize_request(&key)?.der().to_vec())
}

/// The certificate that answers a challenge of the kind `tls-alpn-01` (RFC 8737 section 3): its own
/// issuer, for this name alone, with the hash of the key authorization in a critical extension.
pub fn challenge_certificate(
    name: &str,
    key_authorization: &str,
    now_unix_s: i64,
    randomness: &mut dyn Randomness,
) -> Result<IssuedCertificate, CertificateError> {
    if !is_valid_name(name) {
        return Err(CertificateError::Name(name.to_owned()));
    }
    let mut parameters = CertificateParams::new([name.to_owned()])?;
    parameters.distinguished_name = DistinguishedName::new();
    let digest = Digest::sha256(key_authorization.as_bytes());
    parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_bytes())];
    let begin = now_unix_s.saturating_sub(CHALLENGE_S).max(0);
    set_validity(&mut parameters, begin, now_unix_s.saturating_add(CHALLENGE_S))?;
    parameters.serial_number = Some(new_serial_number(randomness));
    let key = new_key(randomness)?;
    Ok(IssuedCertificate {
        chain_pem: parameters.self_signed(&key)?.pem(),
        key_pem: SecretString::new(key.serialize_pem()),
    })
}

/// The name of a certificate in renewal information (RFC 9773 section 4.1), of the identifier of its
/// authority's key and its serial number, both as their DER has them.
pub(super) fn renewal_id(authority_key: &[u8], serial: &[u8]) -> String {
    format!("{}.{}", base64url_encode(authority_key), base64url_encode(serial))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandomness;

    /// RFC 9773 section 4.1, the example.
    #[test]
    fn the_name_of_a_certificate_as_rfc_9773_has_it() {
        let authority_key = crate::hex_decode("69885b6b87464041e1b37b847ba0ae2cde01c8d4").unwrap();
        let id = renewal_id(&authority_key, &[0x00, 0x87, 0x65, 0x43, 0x21]);
        assert_eq!(id, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
    }

    #[test]
    fn only_for_names_and_with_a_key_of_ours() {
        let mut randomness = SystemRandomness::new();
        let key = new_certificate_key(&mut randomness).unwrap();
        let names = ["trade.example.com".to_owned(), "hooks.example.com".to_owned()];
        assert!(certificate_request(&names, &key).unwrap().len() > 200);
        assert!(certificate_request(&[], &key).is_err());
        assert!(certificate_request(&["a b".to_owned()], &key).is_err());
        let no_key = SecretString::new("none".to_owned());
        assert_eq!(certificate_request(&names, &no_key), Err(CertificateError::Pem));
        assert!(challenge_certificate("a b", "x", 0, &mut randomness).is_err());
    }
}
