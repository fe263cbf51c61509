//! The local certificate authority: TLS for a gateway that has no public name, without switching
//! any check off in its clients.
//!
//! ECDSA P-256 throughout. Keys come from the given randomness; signatures have their own nonces
//! from AWS-LC, so certificates made twice differ in their signature.

mod facts;
mod request;

pub use facts::CertificateFacts;
pub use request::{certificate_request, challenge_certificate, new_certificate_key};

use std::{fmt, net::IpAddr, time::Duration};

use aws_lc_rs::{
    agreement::{ECDH_P256, PrivateKey},
    encoding::{AsDer, Pkcs8V1Der},
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, date_time_ymd,
};
use x509_parser::{extensions::GeneralName, pem::parse_x509_pem, prelude::FromDer};
use zeroize::Zeroizing;

use crate::{Randomness, SecretString, randomness::random_array};

/// How long the authority's own certificate is valid, in days: about ten years.
pub const AUTHORITY_DAYS: i64 = 3653;

/// The longest validity of a certificate that is issued, in days: what clients of public
/// authorities took before 2026.
pub const MAX_ISSUED_DAYS: i64 = 397;

/// The validity to ask for, in days: the longest that Mozilla's `modern` profile for servers takes.
/// The CA/Browser Forum allows public authorities 200 days since 2026-03-15.
pub const DEFAULT_ISSUED_DAYS: i64 = 90;

/// Most names in one certificate.
pub const MAX_NAMES: usize = 64;

/// Largest PEM text that is read, in bytes.
pub const MAX_PEM_BYTES: usize = 64 * 1024;

/// One day, in seconds.
pub const DAY_S: i64 = 86_400;

/// The upper bound of a common name (RFC 5280 appendix A.1, ub-common-name).
const MAX_COMMON_NAME_CHARACTERS: usize = 64;

/// The last second that a certificate can name: 9999-12-31T23:59:59Z.
const MAX_UNIX_S: i64 = 253_402_300_799;

/// How much earlier than now the authority is valid, in seconds: a client's clock may be behind.
const BACKDATE_S: i64 = 3600;

/// Why a certificate is not made or not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateError {
    /// The common name is empty, too long, or has control characters.
    CommonName,
    /// There are no names, too many, or this one is neither an IP address nor a DNS name.
    Name(String),
    /// The times are outside 1970 to 9999, in the wrong order, or further apart than
    /// [`MAX_ISSUED_DAYS`].
    Validity,
    /// The PEM texts are not a certificate and a P-256 key.
    Pem,
    /// The bytes are not a certificate in DER.
    Der,
    /// The certificate is not that of an authority of ours, or the key is not its key.
    NotAnAuthority,
    /// The library refused, with its reason.
    Refused(String),
}

impl fmt::Display for CertificateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommonName => {
                write!(formatter, "a common name has 1 to {MAX_COMMON_NAME_CHARACTERS} characters")
            }
            Self::Name(name) => write!(
                formatter,
                "{name:?} is not a list of 1 to {MAX_NAMES} DNS names or IP addresses"
            ),
            Self::Validity => write!(
                formatter,
                "a certificate is valid for more than 0 s and at most {MAX_ISSUED_DAYS} days"
            ),
            Self::Pem => {
                formatter.write_str("the text is not PEM of a certificate and its ECDSA P-256 key")
            }
            Self::Der => formatter.write_str("the bytes are not a certificate in DER"),
            Self::NotAnAuthority => formatter.write_str(
                "the certificate is not of a local authority, or the key is not its key",
            ),
            Self::Refused(reason) => write!(formatter, "the certificate cannot be made: {reason}"),
        }
    }
}

impl std::error::Error for CertificateError {}

impl From<rcgen::Error> for CertificateError {
    fn from(error: rcgen::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

/// A certificate with its key, ready for a TLS server or client.
#[derive(Debug)]
pub struct IssuedCertificate {
    /// What to send, in PEM: the certificate. The authority's own is not sent; whoever trusts it
    /// has it.
    pub chain_pem: String,
    /// The private key, PKCS#8 in PEM.
    pub key_pem: SecretString,
}

/// An authority that nobody but its owner's clients trust.
pub struct LocalAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

impl LocalAuthority {
    /// A new authority, valid from an hour before now for ten years.
    pub fn create(
        common_name: &str,
        now_unix_s: i64,
        randomness: &mut dyn Randomness,
    ) -> Result<Self, CertificateError> {
        let mut parameters = authority_parameters(common_name)?;
        let not_before = now_unix_s.saturating_sub(BACKDATE_S).max(0);
        set_validity(
            &mut parameters,
            not_before,
            now_unix_s.saturating_add(AUTHORITY_DAYS * DAY_S),
        )?;
        parameters.serial_number = Some(new_serial_number(randomness));
        let key = new_key(randomness)?;
        let certificate_pem = parameters.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(parameters, key), certificate_pem })
    }

    /// An authority that was created earlier, from its certificate and key. Another program's
    /// authority is not taken.
    pub fn from_pem(
        certificate_pem: &str,
        key_pem: &SecretString,
    ) -> Result<Self, CertificateError> {
        if certificate_pem.len() > MAX_PEM_BYTES || key_pem.expose().len() > MAX_PEM_BYTES {
            return Err(CertificateError::Pem);
        }
        let key =
            KeyPair::from_pkcs8_pem_and_sign_algo(key_pem.expose(), &rcgen::PKCS_ECDSA_P256_SHA256)
                .map_err(|_| CertificateError::Pem)?;
        let (_, pem) =
            parse_x509_pem(certificate_pem.as_bytes()).map_err(|_| CertificateError::Pem)?;
        let (rest, certificate) =
            x509_parser::certificate::X509Certificate::from_der(&pem.contents)
                .map_err(|_| CertificateError::Pem)?;
        let belongs = certificate.public_key().raw == key.subject_public_key_info();
        if !rest.is_empty() || !certificate.is_ca() || !belongs {
            return Err(CertificateError::NotAnAuthority);
        }
        // Our authorities have one common name and nothing else, so their parameters can be made
        // again from it.
        let mut attributes = certificate.subject().iter_attributes();
        let (Some(name), None) = (attributes.next(), attributes.next()) else {
            return Err(CertificateError::NotAnAuthority);
        };
        let common_name = name.as_str().map_err(|_| CertificateError::NotAnAuthority)?;
        let parameters = authority_parameters(common_name)?;
        Ok(Self {
            issuer: Issuer::new(parameters, key),
            certificate_pem: certificate_pem.to_owned(),
        })
    }

    /// The certificate to trust, in PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, PKCS#8 in PEM, to be kept from everybody.
    pub fn key_pem(&self) -> SecretString {
        SecretString::new(self.issuer.key().serialize_pem())
    }

    /// A server's certificate for these DNS names and IP addresses, valid between the two times
    /// (Unix seconds), at most [`MAX_ISSUED_DAYS`] apart.
    pub fn issue_server(
        &self,
        names: &[String],
        not_before_unix_s: i64,
        not_after_unix_s: i64,
        randomness: &mut dyn Randomness,
    ) -> Result<IssuedCertificate, CertificateError> {
        let Some(first) = names.first().filter(|_| names.len() <= MAX_NAMES) else {
            return Err(CertificateError::Name(String::new()));
        };
        if let Some(wrong) = names.iter().find(|name| !is_valid_name(name)) {
            return Err(CertificateError::Name(wrong.clone()));
        }
        let mut parameters = CertificateParams::new(names)?;
        // For people only: clients look at the alternative names. A long name is left out, which
        // RFC 6125 prefers anyway.
        let common_name =
            if first.len() <= MAX_COMMON_NAME_CHARACTERS { first } else { "Tradewarden" };
        parameters.distinguished_name = distinguished_name(common_name)?;
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(parameters, not_before_unix_s, not_after_unix_s, randomness)
    }

    /// A client's certificate with this common name, valid between the two times (Unix seconds), at
    /// most [`MAX_ISSUED_DAYS`] apart. `uri` is its name for programs, as SPIFFE has them:
    /// `spiffe://TRUST-DOMAIN/PATH`.
    pub fn issue_client(
        &self,
        common_name: &str,
        uri: Option<&str>,
        not_before_unix_s: i64,
        not_after_unix_s: i64,
        randomness: &mut dyn Randomness,
    ) -> Result<IssuedCertificate, CertificateError> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = distinguished_name(common_name)?;
        if let Some(uri) = uri {
            let named = uri.try_into().map_err(|_| CertificateError::Name(uri.to_owned()))?;
            parameters.subject_alt_names = vec![SanType::URI(named)];
        }
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(parameters, not_before_unix_s, not_after_unix_s, randomness)
    }

    fn issue(
        &self,
        mut parameters: CertificateParams,
        not_before_unix_s: i64,
        not_after_unix_s: i64,
        randomness: &mut dyn Randomness,
    ) -> Result<IssuedCertificate, CertificateError> {
        if not_after_unix_s.saturating_sub(not_before_unix_s) > MAX_ISSUED_DAYS * DAY_S {
            return Err(CertificateError::Validity);
        }
        set_validity(&mut parameters, not_before_unix_s, not_after_unix_s)?;
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.use_authority_key_identifier_extension = true;
        parameters.serial_number = Some(new_serial_number(randomness));
        let key = new_key(randomness)?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        Ok(IssuedCertificate {
            chain_pem: certificate.pem(),
            key_pem: SecretString::new(key.serialize_pem()),
        })
    }
}

impl fmt::Debug for LocalAuthority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LocalAuthority")
    }
}

fn authority_parameters(common_name: &str) -> Result<CertificateParams, CertificateError> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = distinguished_name(common_name)?;
    // It signs certificates itself and cannot make another authority.
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(parameters)
}

fn distinguished_name(common_name: &str) -> Result<DistinguishedName, CertificateError> {
    let length = common_name.chars().count();
    if !(1..=MAX_COMMON_NAME_CHARACTERS).contains(&length) || common_name.contains(char::is_control)
    {
        return Err(CertificateError::CommonName);
    }
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    Ok(name)
}

/// An IP address, or a DNS name of letters, digits, hyphens and underscores, whose first label may
/// be `*`.
fn is_valid_name(name: &str) -> bool {
    if name.parse::<IpAddr>().is_ok() {
        return true;
    }
    let label_is_valid = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let labels = name.strip_prefix("*.").unwrap_or(name);
    // A last label of digits would be read as part of an IP address (RFC 3696 section 2).
    let last_is_name =
        !labels.rsplit('.').next().unwrap_or_default().bytes().all(|byte| byte.is_ascii_digit());
    name.len() <= 253 && last_is_name && labels.split('.').all(label_is_valid)
}

fn set_validity(
    parameters: &mut CertificateParams,
    not_before_unix_s: i64,
    not_after_unix_s: i64,
) -> Result<(), CertificateError> {
    let in_order = 0 <= not_before_unix_s
        && not_before_unix_s < not_after_unix_s
        && not_after_unix_s <= MAX_UNIX_S;
    let (true, Ok(not_before), Ok(not_after)) =
        (in_order, u64::try_from(not_before_unix_s), u64::try_from(not_after_unix_s))
    else {
        return Err(CertificateError::Validity);
    };
    let epoch = date_time_ymd(1970, 1, 1);
    parameters.not_before = epoch + Duration::from_secs(not_before);
    parameters.not_after = epoch + Duration::from_secs(not_after);
    Ok(())
}

/// 128 random bits but for the first, which is 0, and the second, which is 1: positive and never
/// zero (RFC 5280 section 4.1.2.2).
fn new_serial_number(randomness: &mut dyn Randomness) -> SerialNumber {
    let bytes = random_array::<16>(randomness);
    let [first, rest @ ..] = bytes;
    SerialNumber::from_slice(&[&[(first & 0x7f) | 0x40], rest.as_slice()].concat())
}

/// A P-256 key whose number is drawn evenly: 32 bytes that are 0 or not below the group's order are
/// drawn again (FIPS 186-5 A.2.2).
fn new_key(randomness: &mut dyn Randomness) -> Result<KeyPair, CertificateError> {
    /// A draw fails with a probability of 2^-32; as many failures as this mean that the source is
    /// broken.
    const DRAWS: usize = 8;
    let refused = || CertificateError::Refused("the randomness gives no key".to_owned());
    let drawn = (0..DRAWS).find_map(|_| {
        let number = Zeroizing::new(random_array::<32>(randomness));
        PrivateKey::from_private_key(&ECDH_P256, number.as_slice()).ok()
    });
    let encoded: Pkcs8V1Der<'_> = drawn.ok_or_else(refused)?.as_der().map_err(|_| refused())?;
    Ok(KeyPair::from_pkcs8_der_and_sign_algo(
        &encoded.as_ref().into(),
        &rcgen::PKCS_ECDSA_P256_SHA256,
    )?)
}

/// The names in a certificate by which its owner can be told. Nothing else is read: whether the
/// certificate may be believed is for whoever checked its chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// Subject alternative names of the form `rfc822Name` (RFC 5280 section 4.2.1.6).
    pub emails: Vec<String>,
    /// Subject alternative names of the form `dNSName`.
    pub dns: Vec<String>,
    /// Common names of the subject.
    pub common_names: Vec<String>,
}

impl CertificateNames {
    /// Reads the names of a certificate in DER.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let (rest, certificate) = x509_parser::certificate::X509Certificate::from_der(der)
            .map_err(|_| CertificateError::Der)?;
        if !rest.is_empty() {
            return Err(CertificateError::Der);
        }
        let mut names = Self::default();
        let alternatives =
            certificate.subject_alternative_name().map_err(|_| CertificateError::Der)?;
        for name in alternatives.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::RFC822Name(email) => names.emails.push((*email).to_owned()),
                GeneralName::DNSName(host) => names.dns.push((*host).to_owned()),
                _ => {}
            }
        }
        // One in an encoding that is no text is nobody's name.
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        names.common_names.extend(common.map(str::to_owned));
        Ok(names)
    }
}

#[cfg(test)]
mod tests;
