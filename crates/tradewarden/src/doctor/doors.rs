//! How others come to us and we to them: addresses, certificates, what is promised to browsers, and with
//! whom we speak how.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use tradewarden_domain::time::Timestamp;
use tradewarden_engine::posture::{Item, Known};
use tradewarden_seal::CertificateFacts;
use tradewarden_vault::Roots;

use crate::certificates::{self, PublicPair};
use crate::config::Config;
use crate::data::Data;
use crate::files;
use crate::outcome::Failure;

/// The ports to which TradingView sends. Source: its support article 43000529348.
const TRADINGVIEW_PORTS: [u16; 2] = [80, 443];
/// Whether sockets on the unspecified v6 address take v4 connections, too.
const V6_ONLY: &str = "/proc/sys/net/ipv6/bindv6only";
/// Longest small file of the system that is read, in bytes.
const SMALL_BYTES_MAX: u64 = 4 * 1024;
const DAY_S: i64 = 86_400;

/// Every item here but what TradingView needs.
pub(super) fn items(config: &Config, data: &Data, now: Timestamp) -> Vec<Item> {
    let pair = certificates::public_pair_as_it_is(config, data);
    let mut items = vec![tls_inbound(config), listen(config)];
    items.extend(certificate(config, &pair, now));
    items.extend([hsts(config, &pair), proxies(config), tls_outbound(config)]);
    items.extend(outbound_pins(config));
    items
}

fn tls_inbound(config: &Config) -> Item {
    let asked = match (&config.hooks_host, &config.hooks_client_ca_file) {
        (Some(host), Some(_)) => format!("; senders at {host} are asked for a certificate"),
        _ => String::new(),
    };
    Item::green("tls_inbound", format!("TLS 1.3 only, X25519MLKEM768 first{asked}"))
}

fn listen(config: &Config) -> Item {
    let listen = config.listen;
    let is_public = !listen.ip().to_canonical().is_loopback();
    if is_public && config.tls.is_none() && config.acme.is_none() {
        return Item::red(
            "public_listener",
            format!("{listen} is reached by other machines, which do not trust the local CA"),
            "set certificate_file and key_file under [tls], or [acme], or listen on 127.0.0.1",
        );
    }
    let internal = config.internal_listen;
    if !internal.ip().to_canonical().is_loopback() {
        return Item::amber(
            "public_listener",
            format!(
                "{listen}; the internal listener at {internal} is reached by other machines as well"
            ),
            "let a firewall keep all but your own machines from it; who comes in needs a certificate \
             of `tradewarden ca issue`",
        );
    }
    Item::green("public_listener", format!("{listen}; the internal one at {internal}"))
}

/// The certificate of the public listener and its key.
fn certificate(
    config: &Config,
    pair: &Result<Option<PublicPair>, Failure>,
    now: Timestamp,
) -> Vec<Item> {
    let name = "certificate";
    let pair = match pair {
        Ok(Some(pair)) => pair,
        Ok(None) => {
            let fix = "`tradewarden init` or the first start makes it";
            return vec![Item::amber(name, "there is none yet", fix)];
        }
        Err(failure) => {
            let fix = "put a certificate as PEM there that belongs to the key";
            return vec![Item::red(name, failure.sentence.clone(), fix)];
        }
    };
    let mut items = vec![life(pair, now), key(pair), trust(config, pair, now)];
    let missing = uncovered(config, &pair.facts);
    items.push(if missing.is_empty() {
        Item::green("certificate_names", "every name in the configuration that is no address")
    } else {
        Item::amber(
            "certificate_names",
            format!("the certificate is not for {}", missing.join(", ")),
            if pair.is_renewed {
                "start the gateway: it gets one for these names"
            } else {
                "get one for these names, unless a proxy before the gateway shows its own"
            },
        )
    });
    items
}

fn life(pair: &PublicPair, now: Timestamp) -> Item {
    let facts = &pair.facts;
    let name = "certificate";
    let at = |unix_s: i64| Timestamp::from_unix_micros(unix_s.saturating_mul(1_000_000));
    let until = at(facts.not_after_unix_s);
    let left = facts.not_after_unix_s.saturating_sub(now.unix_seconds());
    let life = facts.not_after_unix_s.saturating_sub(facts.not_before_unix_s);
    let renewed = if pair.is_renewed { "start the gateway: it renews it" } else { "renew it" };
    if left <= 0 {
        let seen = format!("it ended at {until}");
        return if pair.is_renewed {
            Item::amber(name, seen, renewed)
        } else {
            Item::red(name, seen, renewed)
        };
    }
    if now.unix_seconds() < facts.not_before_unix_s {
        let begins = at(facts.not_before_unix_s);
        let fix = "set the clock right, or use a certificate that holds already";
        return Item::red(name, format!("it begins at {begins}"), fix);
    }
    let seen = format!("until {until}, {} days; pin {}", left / DAY_S, facts.spki_sha256);
    if left.saturating_mul(3) < life {
        let fix = format!("{renewed}: less than a third of its life is left");
        return Item::amber(name, seen, fix);
    }
    Item::green(name, seen)
}

fn key(pair: &PublicPair) -> Item {
    let name = "certificate_key";
    let path = pair.key_file.display();
    let Ok(metadata) = fs::metadata(&pair.key_file) else {
        return Item::red(name, format!("{path} cannot be read"), "correct key_file under [tls]");
    };
    let seen = format!("{path}, mode {:04o}", metadata.mode() & 0o7777);
    if files::closed_to_others(&pair.key_file, metadata.mode()).is_err() {
        let fix =
            format!("run `chmod 600 {path}`, and if others have accounts here, get a new key");
        return Item::red(name, seen, fix);
    }
    match &pair.fits {
        Ok(()) => Item::green(name, format!("{seen}; it belongs to the certificate")),
        Err(failure) => {
            Item::red(name, failure.sentence.clone(), "use the key of the first certificate")
        }
    }
}

/// Whether whoever believes the web's authorities believes this certificate.
fn is_trusted(config: &Config, pair: &PublicPair, now: Timestamp) -> Result<(), String> {
    let seconds = u64::try_from(now.unix_seconds()).unwrap_or_default();
    let host = config.public_host().or_else(|| pair.facts.dns_names.first().map(String::as_str));
    let host = host.ok_or_else(|| "it has no host name".to_owned())?;
    Roots::Web.vouch_for(&pair.chain, host, Duration::from_secs(seconds))
}

fn trust(config: &Config, pair: &PublicPair, now: Timestamp) -> Item {
    let name = "certificate_trust";
    match is_trusted(config, pair, now) {
        Ok(()) => Item::green(name, "an authority of the web vouches for it"),
        Err(_) if pair.is_renewed && config.acme.is_none() => Item::amber(
            name,
            "the local CA issued it: only who was given DATA/tls/ca.pem trusts it",
            "fine on this machine; for others set [tls] or [acme]",
        ),
        Err(why) => Item::amber(
            name,
            format!("no authority of the web vouches for it: {why}"),
            "fine where every client trusts your own CA; else get one of a public authority, with the \
             intermediate certificates in the file",
        ),
    }
}

/// The names in the configuration, none an address, that the certificate is not for.
fn uncovered(config: &Config, facts: &CertificateFacts) -> Vec<String> {
    let names = config.public_host().into_iter().map(str::to_owned);
    let names = names.chain(config.host_names.iter().cloned()).chain(config.hooks_host.clone());
    let mut missing: Vec<_> = names
        .map(|name| name.to_ascii_lowercase())
        .filter(|name| name.parse::<IpAddr>().is_err() && !name.starts_with('['))
        .filter(|name| !facts.dns_names.iter().any(|covers| is_covered(name, covers)))
        .collect();
    missing.sort();
    missing.dedup();
    missing
}

/// RFC 6125 section 6.4.3: a star stands for the whole leftmost label.
fn is_covered(name: &str, by: &str) -> bool {
    let by = by.to_ascii_lowercase();
    match (by.strip_prefix("*."), name.split_once('.')) {
        (Some(parent), Some((_, rest))) => rest == parent,
        _ => name == by,
    }
}

/// Standards 4.2: `preload` holds for all subdomains and cannot be taken back for years.
fn hsts(config: &Config, pair: &Result<Option<PublicPair>, Failure>) -> Item {
    let name = "hsts";
    if !config.preloads_hsts() {
        return Item::green(name, "two years, for this host alone");
    }
    let Some(host) = config.public_host() else {
        let fix = "take hsts_preload out, or set public_origin";
        return Item::red(name, "hsts_preload is on without a host name", fix);
    };
    if host == "localhost" || host.parse::<IpAddr>().is_ok() || host.starts_with('[') {
        let seen = format!("hsts_preload is on for {host}, which no browser preloads");
        return Item::red(name, seen, "take hsts_preload out");
    }
    let below = format!(".{host}");
    let missing: Vec<_> = match pair {
        Ok(Some(pair)) => uncovered(config, &pair.facts),
        _ => Vec::new(),
    };
    let is_below = |name: &String| name == host || name.ends_with(&below);
    let missing: Vec<_> = missing.into_iter().filter(is_below).collect();
    if !missing.is_empty() {
        let seen =
            format!("preload is promised, but {} has no certificate here", missing.join(", "));
        let fix = "have all names under it answered over HTTPS, or set hsts_preload = false";
        // Who wrote it down must mean it; else it is what a host with a name gets.
        return if config.hsts_preload == Some(true) {
            Item::red(name, seen, fix)
        } else {
            Item::amber(name, seen, fix)
        };
    }
    let seen = format!("two years, {host} and everything below it, to be preloaded");
    if config.http_listen.is_none() {
        return Item::amber(
            name,
            format!("{seen}; nothing here redirects from port 80, as the list of browsers asks"),
            "see that every name below it is HTTPS, and set http_listen or let a proxy redirect; else \
             hsts_preload = false",
        );
    }
    Item::green(name, seen)
}

/// A list that covers everybody is refused with the configuration.
fn proxies(config: &Config) -> Item {
    let name = "trusted_proxies";
    if config.trusted_proxies.is_empty() {
        return Item::green(name, "none: what a request says of its address counts for nothing");
    }
    Item::green(name, format!("{}; nobody else's word counts", config.trusted_proxies.join(", ")))
}

fn tls_outbound(config: &Config) -> Item {
    let name = "tls_outbound";
    let older = &config.outbound.tls_1_2_hosts;
    if older.is_empty() {
        return Item::green(name, "TLS 1.3 with everybody we speak to");
    }
    let hosts: Vec<_> = older.iter().map(String::as_str).collect();
    Item::amber(
        name,
        format!("TLS 1.2 is taken from {}; 1.3 with all others", hosts.join(", ")),
        "take a host out of tls_1_2_hosts when it knows TLS 1.3",
    )
}

fn outbound_pins(config: &Config) -> Option<Item> {
    let pins = &config.outbound.pins;
    let shown = |(host, pins): (&String, &std::collections::BTreeSet<String>)| {
        let pins: Vec<_> = pins.iter().map(String::as_str).collect();
        format!("{host}: {}", pins.join(" or "))
    };
    let shown: Vec<_> = pins.iter().map(shown).collect();
    (!shown.is_empty()).then(|| Item::green("outbound_pins", shown.join("; ")))
}

/// TradingView sends to ports 80 and 443 over IPv4 and needs a certificate it trusts (C5).
pub(super) fn tradingview(config: &Config, data: &Data, now: Timestamp, known: Known) -> Item {
    let name = "tradingview";
    if !known.has_tradingview {
        return Item::green(name, "no webhook waits for it");
    }
    let trusted = match certificates::public_pair_as_it_is(config, data) {
        Ok(Some(pair)) => is_trusted(config, &pair, now),
        Ok(None) => Err("there is no certificate yet".to_owned()),
        Err(failure) => Err(failure.sentence),
    };
    let mut problems = unreached(config, is_v6_only());
    if let Err(why) = trusted {
        problems.push(format!("it does not trust the certificate ({why})"));
    }
    if problems.is_empty() {
        return Item::green(name, "it reaches its webhooks: port, IPv4, a certificate it trusts");
    }
    Item::amber(
        name,
        format!("a webhook waits for it, but {}", problems.join("; ")),
        "TradingView sends to ports 80 and 443 over IPv4 alone, with a certificate of a public \
         authority: set public_origin, listen, and [tls] or [acme] so",
    )
}

/// Why TradingView does not come through to the listener.
fn unreached(config: &Config, is_v6_only: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let port = config.public_port();
    if !TRADINGVIEW_PORTS.contains(&port) {
        problems.push(format!("the port is {port}, not 80 or 443"));
    }
    let listen: SocketAddr = config.listen;
    let address = listen.ip().to_canonical();
    // Behind a proxy somebody else listens.
    if config.trusted_proxies.is_empty() {
        if address.is_loopback() {
            problems.push(format!("{listen} is reached from this machine alone"));
        } else if address.is_ipv6() && (!address.is_unspecified() || is_v6_only) {
            problems.push(format!("{listen} takes no IPv4"));
        }
    }
    problems
}

fn is_v6_only() -> bool {
    let said = files::read_text_if_there(Path::new(V6_ONLY), SMALL_BYTES_MAX);
    said.ok().flatten().is_some_and(|said| said.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tradewarden_engine::posture::Light;

    fn config(origin: &str, listen: &str) -> Config {
        Config {
            public_origin: Some(origin.to_owned()),
            listen: listen.parse().unwrap(),
            ..Config::default()
        }
    }

    #[test]
    fn tradingview_needs_its_ports_and_ipv4() {
        let cases = [
            ("https://a.example", "0.0.0.0:8443", false, 0),
            ("https://a.example:443", "0.0.0.0:443", false, 0),
            ("https://a.example:8443", "0.0.0.0:8443", false, 1),
            ("https://a.example", "[::]:443", false, 0),
            ("https://a.example", "[::]:443", true, 1),
            ("https://a.example", "[2001:db8::1]:443", false, 1),
            ("https://a.example:8443", "127.0.0.1:8443", false, 2),
        ];
        for (origin, listen, v6_only, problems) in cases {
            let found = unreached(&config(origin, listen), v6_only);
            assert_eq!(found.len(), problems, "{origin} {listen} {v6_only}: {found:?}");
        }
        let behind = Config {
            trusted_proxies: vec!["10.0.0.1".into()],
            ..config("https://a.example", "127.0.0.1:8443")
        };
        assert_eq!(unreached(&behind, false), Vec::<String>::new());
        assert_eq!(unreached(&Config::default(), false).len(), 2, "8443 of this machine");
    }

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(is_covered("a.example.com", "*.example.com"));
        assert!(is_covered("example.com", "EXAMPLE.com"));
        for (name, by) in [("example.com", "*.example.com"), ("a.b.example.com", "*.example.com")] {
            assert!(!is_covered(name, by), "{name} {by}");
        }
    }

    fn facts(names: &[&str], days: (i64, i64)) -> CertificateFacts {
        CertificateFacts {
            serial: "1".to_owned(),
            spki_sha256: "pin".to_owned(),
            not_before_unix_s: days.0 * DAY_S,
            not_after_unix_s: days.1 * DAY_S,
            dns_names: names.iter().map(|name| (*name).to_owned()).collect(),
            renewal_id: None,
        }
    }

    #[test]
    fn a_certificate_is_amber_in_its_last_third_and_red_outside_its_life() {
        let mut pair = PublicPair { facts: facts(&[], (10, 100)), ..pair(&[]).unwrap().unwrap() };
        let at = |day: i64| Timestamp::from_unix_micros(day * DAY_S * 1_000_000);
        for (day, light) in [
            (9, Light::Red),
            (10, Light::Green),
            (70, Light::Green),
            (71, Light::Amber),
            (99, Light::Amber),
            (100, Light::Red),
        ] {
            assert_eq!(life(&pair, at(day)).light, light, "{day}");
        }
        pair.is_renewed = true;
        assert_eq!(life(&pair, at(100)).light, Light::Amber, "the start renews it");
    }

    #[expect(clippy::unnecessary_wraps, reason = "what is read may fail")]
    fn pair(names: &[&str]) -> Result<Option<PublicPair>, Failure> {
        Ok(Some(PublicPair {
            facts: facts(names, (0, 1)),
            chain: String::new(),
            key_file: "key".into(),
            is_renewed: false,
            fits: Ok(()),
        }))
    }

    /// Standards 4.2: preload is refused unless all subdomains are HTTPS, as far as they are known here.
    #[test]
    fn preload_needs_a_certificate_for_every_name_below_it() {
        let mut config = config("https://a.example", "0.0.0.0:443");
        config.hooks_host = Some("hooks.a.example".to_owned());
        config.http_listen = Some("0.0.0.0:80".parse().unwrap());
        assert_eq!(hsts(&config, &pair(&["a.example"])).light, Light::Amber);
        config.hsts_preload = Some(true);
        assert_eq!(hsts(&config, &pair(&["a.example"])).light, Light::Red);
        assert_eq!(hsts(&config, &pair(&["a.example", "*.a.example"])).light, Light::Green);
        config.http_listen = None;
        assert_eq!(hsts(&config, &pair(&["a.example", "*.a.example"])).light, Light::Amber);
        config.hsts_preload = Some(false);
        assert_eq!(hsts(&config, &pair(&["a.example"])).light, Light::Green);
        let local =
            Config { hsts_preload: Some(true), ..self::config("https://localhost", "127.0.0.1:1") };
        assert_eq!(hsts(&local, &pair(&["localhost"])).light, Light::Red);
        assert_eq!(hsts(&Config::default(), &pair(&[])).light, Light::Green);
    }

    #[test]
    fn what_weakens_is_said() {
        let mut config = config("https://a.example", "0.0.0.0:443");
        assert_eq!(listen(&config).light, Light::Red, "other machines, the local CA");
        assert_eq!(tls_outbound(&config).light, Light::Green);
        config.outbound.tls_1_2_hosts.insert("old.example".to_owned());
        let item = tls_outbound(&config);
        assert!(item.light == Light::Amber && item.seen.contains("old.example"), "{item:?}");
        let pins = ["one", "two"].map(str::to_owned).into();
        config.outbound.pins.insert("b.example".to_owned(), pins);
        assert!(outbound_pins(&config).unwrap().seen.contains("b.example: one or two"));
    }
}
