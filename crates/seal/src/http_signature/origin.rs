//! The names under which this gateway is reached, as its operator configured them.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use super::SignatureError;

/// Most origins, and most further authorities, of one gateway. Each origin may cost one verification.
pub const MAX_ORIGINS: usize = 8;

/// A DNS name of 253 characters, a colon and a port.
const MAX_AUTHORITY_BYTES: usize = 259;

/// A text that is not `https://host` or `https://host:port`, or a list of none or too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginError;

impl fmt::Display for OriginError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "an origin is https:// and a host, perhaps with a port, without a path; there are 1 to \
             {MAX_ORIGINS}"
        )
    }
}

impl std::error::Error for OriginError {}

/// An origin such as `https://gateway.example`: scheme https, host in lower case, no default port.
/// Whatever spelling is read, this is the one that clients sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    authority: String,
}

impl Origin {
    /// Host, and port unless it is 443.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    /// Reads `https://host[:port]`, in any case and with or without a slash at the end.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        let (scheme, rest) = text.split_once("://").ok_or(OriginError)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if !scheme.eq_ignore_ascii_case("https") {
            return Err(OriginError);
        }
        Ok(Self { authority: normalise(authority).ok_or(OriginError)? })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "https://{}", self.authority)
    }
}

/// The origins of a gateway, and the authorities under which requests arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    origins: Vec<Origin>,
    further_authorities: Vec<String>,
}

impl Origins {
    /// The origins that clients may sign, 1 to [`MAX_ORIGINS`]. Requests have to arrive with the
    /// authority of one of them.
    pub fn new(origins: Vec<Origin>) -> Result<Self, OriginError> {
        if !(1..=MAX_ORIGINS).contains(&origins.len()) {
            return Err(OriginError);
        }
        Ok(Self { origins, further_authorities: Vec::new() })
    }

    /// Takes requests that arrive with these authorities as well, for a proxy that puts its own
    /// name for us into `Host`. Clients still sign one of the origins.
    pub fn also_received_as(mut self, authorities: &[&str]) -> Result<Self, OriginError> {
        if authorities.len() > MAX_ORIGINS {
            return Err(OriginError);
        }
        self.further_authorities = authorities
            .iter()
            .map(|authority| normalise(authority).ok_or(OriginError))
            .collect::<Result<_, _>>()?;
        Ok(self)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Origin> {
        self.origins.iter()
    }

    /// The received authority, normalised, if it is one of ours.
    pub(super) fn admit(&self, received: &str) -> Result<&str, SignatureError> {
        let admitted = |received: &str| {
            let ours = self.origins.iter().map(|origin| &origin.authority);
            ours.chain(&self.further_authorities).find(|authority| *authority == received)
        };
        // Most write it as we do.
        admitted(received)
            .or_else(|| admitted(&normalise(received)?))
            .map(String::as_str)
            .ok_or(SignatureError::Authority)
    }
}

/// Host and port with the host in lower case and without the port 443 (RFC 9110 section 4.2.3).
fn normalise(authority: &str) -> Option<String> {
    if authority.len() > MAX_AUTHORITY_BYTES {
        return None;
    }
    let lower = authority.to_ascii_lowercase();
    let (host, port) = match lower.rsplit_once(':') {
        // The colon was one inside the address of IPv6.
        Some((_, end)) if end.ends_with(']') => (lower.as_str(), None),
        Some((host, port)) => (host, Some(port)),
        None => (lower.as_str(), None),
    };
    if !is_host(host) || !port.is_none_or(is_port) {
        return None;
    }
    Some(if port == Some("443") { host.to_owned() } else { lower })
}

/// 1 to 65535, in the one way to write it.
fn is_port(digits: &str) -> bool {
    digits.parse::<u16>().is_ok_and(|port| port > 0 && port.to_string() == digits)
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_becomes_the_one_that_is_signed() {
        for (text, origin) in [
            ("https://gw.example", "https://gw.example"),
            ("HTTPS://GW.Example:443/", "https://gw.example"),
            ("https://gw.example:8443", "https://gw.example:8443"),
            ("https://127.0.0.1:4430", "https://127.0.0.1:4430"),
            ("https://[::1]", "https://[::1]"),
            ("https://[2001:DB8::1]:443", "https://[2001:db8::1]"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), origin, "{text}");
        }
        let long = format!("https://{}", "a".repeat(MAX_AUTHORITY_BYTES + 1));
        for text in [
            "gw.example",
            "http://gw.example",
            "https://",
            "https:///",
            "https://gw.example/api",
            "https://gw.example//",
            "https://gw.example?x",
            "https://user@gw.example",
            "https://gw.example:",
            "https://gw.example:0",
            "https://gw.example:0443",
            "https://gw.example:+443",
            "https://gw.example:65536",
            "https://gw.example:1:443",
            "https://:443",
            "https://[::1",
            "https://::1",
            "https://[::g]",
            "https://[::1]x",
            "https://gw example",
            "https://gẃ.example",
            &long,
        ] {
            assert_eq!(text.parse::<Origin>(), Err(OriginError), "{text}");
        }
    }

    #[test]
    fn only_our_authorities_are_admitted() {
        let origins = ["https://gw.example", "https://gw.example:8443"];
        let origins = origins.iter().map(|text| text.parse().unwrap()).collect();
        let origins = Origins::new(origins).unwrap();
        for (received, normal) in [
            ("gw.example", "gw.example"),
            ("GW.example:443", "gw.example"),
            ("gw.example:8443", "gw.example:8443"),
        ] {
            assert_eq!(origins.admit(received), Ok(normal));
        }
        for received in ["", "gw.example:80", "gw.example.", "gw", "inner:8080", "gw.example, x"] {
            assert_eq!(origins.admit(received), Err(SignatureError::Authority), "{received}");
        }
        let origins = origins.also_received_as(&["Inner:8080"]).unwrap();
        assert_eq!(origins.admit("inner:8080"), Ok("inner:8080"));
        assert!(origins.clone().also_received_as(&["a b"]).is_err());
        assert!(origins.clone().also_received_as(&["a"; MAX_ORIGINS + 1]).is_err());
        assert!(Origins::new(Vec::new()).is_err());
        let one: Origin = "https://a".parse().unwrap();
        assert!(Origins::new(vec![one; MAX_ORIGINS + 1]).is_err());
    }
}
