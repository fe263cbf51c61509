//! Who is at the other end of a connection, and whom a request behind a proxy really comes from.
//!
//! What a proxy says about its client is believed only if the socket's own peer is a configured
//! proxy. Everything else that is odd (a header that does not parse, two headers that disagree, too
//! many hops) falls back to the socket's peer, an address the sender cannot choose. So the worst a
//! client can do is to be taken for the proxy: never put a proxy's address on an allow list.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{FORWARDED, HeaderName};
use ipnet::{IpNet, Ipv4Net};

/// The other end of one connection, handed to the service that answers its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address of the socket, or the one announced by the PROXY protocol of a trusted proxy. A
    /// v4 address in v6 clothes is already a v4 address.
    pub address: IpAddr,
    /// The port that belongs to the address.
    pub port: u16,
    /// The client's own certificate as DER, if it was asked for one and showed one that is valid and
    /// issued under the CA of [`crate::tls::ClientCertificates`]. Its owner proved to hold the key.
    pub client_certificate: Option<Vec<u8>>,
    /// Whether the connection is encrypted; only loopback connections ever are not.
    pub tls: bool,
    /// Whether its forwarding headers may be believed, if it is a trusted proxy. One that announces by the
    /// PROXY protocol that it does not know its client passes on headers that anybody wrote.
    pub may_forward: bool,
}

impl Peer {
    /// A peer that is known by its address alone.
    pub fn plain(address: SocketAddr) -> Self {
        Self {
            address: address.ip().to_canonical(),
            port: address.port(),
            client_certificate: None,
            tls: false,
            may_forward: true,
        }
    }

    /// A proxy that did not say whose connection it is.
    pub fn unannounced(address: SocketAddr) -> Self {
        Self { may_forward: false, ..Self::plain(address) }
    }
}

/// The address under which limits count: v4 as it is, v6 by its first 64 bits, because one
/// subscriber owns all the addresses below them.
pub fn limit_address(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
    }
}

/// The proxies in front of us whose word about their clients is taken. Empty by default: then no
/// header is ever read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

impl TrustedProxies {
    /// How many networks may be listed; each request behind a proxy walks the list.
    pub const NETWORKS_MAX: usize = 64;
    /// How many hops of one request are looked at, from our end.
    pub const HOPS_MAX: usize = 16;

    /// Reads networks (`10.0.0.0/8`, `2001:db8::/32`) and single addresses.
    pub fn parse<I>(networks: I) -> Result<Self, TrustedProxiesError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let networks = networks
            .into_iter()
            .map(|text| parse_network(text.as_ref()))
            .collect::<Result<Vec<_>, _>>()?;
        if networks.len() > Self::NETWORKS_MAX {
            return Err(TrustedProxiesError::TooMany(networks.len()));
        }
        let everybody = IpNet::aggregate(&networks).into_iter().find(|net| net.prefix_len() == 0);
        if let Some(everybody) = everybody {
            return Err(TrustedProxiesError::Everyone(everybody.to_string()));
        }
        Ok(Self { networks })
    }

    /// Whether the address is one of the proxies.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The address the request comes from: the right-most hop that is not one of the proxies, if
    /// the socket's peer is one of them, else that peer. If all hops are proxies, the first hop.
    pub fn client_address(&self, peer: &Peer, headers: &HeaderMap) -> IpAddr {
        if self.networks.is_empty() || !peer.may_forward || !self.contains(peer.address) {
            return peer.address;
        }
        let for_hops = headers.contains_key(X_FORWARDED_FOR).then(|| {
            hops_from_right(headers, &X_FORWARDED_FOR)
                .and_then(|hops| self.client_of(hops.into_iter().map(parse_hop)))
        });
        let forwarded_hops = headers.contains_key(FORWARDED).then(|| {
            hops_from_right(headers, &FORWARDED)
                .and_then(|hops| self.client_of(hops.into_iter().map(parse_forwarded)))
        });
        // A proxy writes one of the two and lets the other through untouched, so a sender who adds
        // the other must not win. They count together only when they say the same.
        let client = match (for_hops, forwarded_hops) {
            (Some(one), None) | (None, Some(one)) => one,
            (Some(one), Some(other)) if one == other => one,
            (Some(_), Some(_)) | (None, None) => None,
        };
        client.unwrap_or(peer.address)
    }

    /// Walks the hops from our end; `None` as soon as one of them that matters does not parse.
    fn client_of(&self, hops: impl Iterator<Item = Option<IpAddr>>) -> Option<IpAddr> {
        let mut furthest = None;
        for hop in hops {
            let address = hop?;
            if !self.contains(address) {
                return Some(address);
            }
            furthest = Some(address);
        }
        furthest
    }
}

/// Why a list of trusted proxies is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustedProxiesError {
    /// The entry is neither an address nor a network.
    NotANetwork(String),
    /// The entry covers every address there is.
    Everyone(String),
    /// The list has that many entries.
    TooMany(usize),
}

impl fmt::Display for TrustedProxiesError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANetwork(text) => write!(
                formatter,
                "trusted proxy {text:?} is neither an address nor a network such as 10.0.0.0/8"
            ),
            Self::Everyone(text) => write!(
                formatter,
                "trusted proxy {text:?} covers every address, so any client could claim to be any \
                 other; list the addresses of your own proxies"
            ),
            Self::TooMany(count) => write!(
                formatter,
                "{count} trusted proxies are listed; at most {} are allowed, use larger networks",
                TrustedProxies::NETWORKS_MAX
            ),
        }
    }
}

impl std::error::Error for TrustedProxiesError {}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

fn parse_network(text: &str) -> Result<IpNet, TrustedProxiesError> {
    let text = text.trim();
    let network = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| TrustedProxiesError::NotANetwork(text.to_owned()))?;
    let network = unmapped(network).trunc();
    if network.prefix_len() == 0 {
        return Err(TrustedProxiesError::Everyone(text.to_owned()));
    }
    Ok(network)
}

/// A v4 network written in v6 form (`::ffff:10.0.0.0/104`) as what it means.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(six) = network else {
        return network;
    };
    six.addr()
        .to_ipv4_mapped()
        .zip(six.prefix_len().checked_sub(96))
        .and_then(|(address, prefix_bits)| Ipv4Net::new(address, prefix_bits).ok())
        .map_or(network, IpNet::V4)
}

/// The list elements of a header that may be repeated, nearest to us first; `None` if a line is
/// not text or there are more than [`TrustedProxies::HOPS_MAX`].
fn hops_from_right<'headers>(
    headers: &'headers HeaderMap,
    name: &HeaderName,
) -> Option<Vec<&'headers str>> {
    let mut hops = Vec::new();
    for line in headers.get_all(name) {
        for hop in split_outside_quotes(line.to_str().ok()?, ',') {
            if hops.len() == TrustedProxies::HOPS_MAX {
                return None;
            }
            hops.push(hop.trim());
        }
    }
    hops.reverse();
    Some(hops)
}

/// `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:443`.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| {
            let inner = text.strip_prefix('[')?.strip_suffix(']')?;
            inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        })?;
    Some(address.to_canonical())
}

/// The node of the one `for` parameter of a `Forwarded` element (RFC 7239 section 4). Obfuscated
/// and `unknown` nodes are no addresses.
fn parse_forwarded(element: &str) -> Option<IpAddr> {
    let mut node = None;
    for pair in split_outside_quotes(element, ';') {
        let (name, value) = pair.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") {
            if node.is_some() {
                return None;
            }
            let value = value.trim();
            let bare = match value.strip_prefix('"') {
                Some(rest) => rest.strip_suffix('"')?,
                None => value,
            };
            node = Some(parse_hop(bare)?);
        }
    }
    node
}

/// The parts of `text` between separators that are not inside a quoted string.
fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |letter: char| {
        if escaped {
            escaped = false;
        } else if quoted && letter == '\\' {
            escaped = true;
        } else if letter == '"' {
            quoted = !quoted;
        }
        !quoted && letter == separator
    })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const PROXY: &str = "10.0.0.1:4000";

    fn proxies() -> TrustedProxies {
        TrustedProxies::parse(["10.0.0.0/8", "2001:db8:ffff::/48", "192.0.2.7"]).unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client(socket: &str, headers: &[(&'static str, &'static str)]) -> IpAddr {
        let peer = Peer::plain(socket.parse().unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        proxies().client_address(&peer, &map)
    }

    #[test]
    fn a_stranger_is_who_the_socket_says() {
        let headers = [("x-forwarded-for", "198.51.100.1"), ("forwarded", "for=198.51.100.2")];
        assert_eq!(client("203.0.113.9:1", &headers), address("203.0.113.9"));
        let nobody = TrustedProxies::default();
        let peer = Peer::plain(PROXY.parse().unwrap());
        assert_eq!(nobody.client_address(&peer, &HeaderMap::new()), address("10.0.0.1"));
    }

    #[test]
    fn the_right_most_hop_that_is_no_proxy_is_the_client() {
        for (headers, expected) in [
            (vec![("x-forwarded-for", "198.51.100.1")], "198.51.100.1"),
            (vec![("x-forwarded-for", "1.1.1.1, 198.51.100.1, 10.9.9.9")], "198.51.100.1"),
            (vec![("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")], "2.2.2.2"),
            (vec![("x-forwarded-for", "garbage, 2.2.2.2")], "2.2.2.2"),
            (vec![("x-forwarded-for", "10.1.1.1, 10.2.2.2")], "10.1.1.1"),
            (vec![("x-forwarded-for", "198.51.100.1:8080")], "198.51.100.1"),
            (vec![("x-forwarded-for", "[2001:db8::5]:8080")], "2001:db8::5"),
            (vec![("x-forwarded-for", "[2001:db8::5]")], "2001:db8::5"),
            (vec![("x-forwarded-for", "::ffff:198.51.100.1")], "198.51.100.1"),
            (vec![("forwarded", "for=198.51.100.1;proto=https")], "198.51.100.1"),
            (vec![("forwarded", "for=1.1.1.1, For=\"[2001:db8::5]:1\";by=_x")], "2001:db8::5"),
            (vec![("forwarded", "host=\"a,b;\\\"for=9.9.9.9\";for=2.2.2.2")], "2.2.2.2"),
            (vec![("forwarded", "for=2.2.2.2"), ("x-forwarded-for", "2.2.2.2")], "2.2.2.2"),
        ] {
            assert_eq!(client(PROXY, &headers), address(expected), "{headers:?}");
        }
    }

    #[test]
    fn what_does_not_parse_is_the_socket_peer() {
        for headers in [
            vec![],
            vec![("x-forwarded-for", "")],
            vec![("x-forwarded-for", "unknown")],
            vec![("x-forwarded-for", "1.1.1.1, garbage")],
            vec![("x-forwarded-for", "1.1.1.1,")],
            vec![("x-forwarded-for", "1.1.1.1, garbage, 10.0.0.2")],
            vec![("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=2.2.2.2")],
            vec![("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=_hidden")],
            vec![("forwarded", "for=_hidden")],
            vec![("forwarded", "for=unknown")],
            vec![("forwarded", "proto=https")],
            vec![("forwarded", "for=1.1.1.1;for=2.2.2.2")],
            vec![("forwarded", "for=\"1.1.1.1")],
            vec![("forwarded", "nonsense")],
            vec![("x-forwarded-for", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1.1.1.1")],
        ] {
            assert_eq!(client(PROXY, &headers), address("10.0.0.1"), "{headers:?}");
        }
    }

    #[test]
    fn mapped_addresses_are_v4_everywhere() {
        let peer = Peer::plain("[::ffff:10.0.0.1]:4000".parse().unwrap());
        assert_eq!(peer.address, address("10.0.0.1"));
        assert!(proxies().contains(address("::ffff:10.0.0.1")));
        let mapped = TrustedProxies::parse(["::ffff:10.0.0.0/104"]).unwrap();
        assert!(mapped.contains(address("10.200.0.1")));
        assert!(!mapped.contains(address("11.0.0.1")));
    }

    /// A PROXY header that names nobody leaves the proxy's own address, whose headers anybody wrote.
    #[test]
    fn headers_behind_an_unannounced_proxy_are_not_read() {
        let headers =
            HeaderMap::from_iter([(X_FORWARDED_FOR, HeaderValue::from_static("198.51.100.1"))]);
        let peer = Peer::unannounced(PROXY.parse().unwrap());
        assert_eq!(proxies().client_address(&peer, &headers), address("10.0.0.1"));
        let peer = Peer::plain(PROXY.parse().unwrap());
        assert_eq!(proxies().client_address(&peer, &headers), address("198.51.100.1"));
    }

    #[test]
    fn two_halves_of_everybody_are_everybody() {
        for halves in [["0.0.0.0/1", "128.0.0.0/1"], ["::/1", "8000::/1"]] {
            assert!(matches!(TrustedProxies::parse(halves), Err(TrustedProxiesError::Everyone(_))));
        }
    }

    #[test]
    fn a_list_that_trusts_everyone_is_refused() {
        for text in ["0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96", "8.8.8.8/0"] {
            let error = TrustedProxies::parse([text]).unwrap_err();
            assert_eq!(error, TrustedProxiesError::Everyone(text.to_owned()));
            assert!(error.to_string().contains("covers every address"));
        }
        assert!(matches!(
            TrustedProxies::parse(["proxy.example"]),
            Err(TrustedProxiesError::NotANetwork(_))
        ));
        assert_eq!(
            TrustedProxies::parse(vec!["10.0.0.1"; 65]),
            Err(TrustedProxiesError::TooMany(65))
        );
        assert_eq!(TrustedProxies::parse(Vec::<String>::new()), Ok(TrustedProxies::default()));
    }

    #[test]
    fn limits_count_a_v6_subscriber_once() {
        assert_eq!(limit_address(address("2001:db8:1:2:3::4")), address("2001:db8:1:2::"));
        assert_eq!(limit_address(address("::ffff:192.0.2.1")), address("192.0.2.1"));
        assert_eq!(limit_address(address("192.0.2.1")), address("192.0.2.1"));
    }
}
