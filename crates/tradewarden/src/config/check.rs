//! What a configuration may not say, and what a start may not find: each refusal names the way out.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Config;
use crate::outcome::Failure;
use crate::{certificates, files};

/// Most names that go into the local certificate besides the fixed ones.
const HOST_NAMES_MAX: usize = 32;
/// Most live orders that one organization may be given: each is held in memory.
const LIVE_ORDERS_MAX: u64 = 50_000;
/// Largest bundle of CA certificates, in bytes: all that browsers trust have room.
const CLIENT_CA_BYTES_MAX: u64 = 1024 * 1024;

/// What can be judged from the values alone.
pub(super) fn values(config: &Config) -> Result<(), Failure> {
    config.trusted_proxies()?;
    if config.proxy_protocol && config.trusted_proxies.is_empty() {
        return refuse(
            "proxy_protocol is on, but trusted_proxies is empty, so no connection would be let \
             in: list the addresses of your proxies, or switch proxy_protocol off",
        );
    }
    if let Some(origin) = &config.public_origin
        && !is_origin(origin)
    {
        return refuse(&format!(
            "public_origin is {origin:?}; write it as https://HOST or https://HOST:PORT, in lower \
             case and without a path, as clients write it"
        ));
    }
    for name in config.host_names.iter().chain(&config.hooks_host) {
        if !is_host_name(name) {
            return refuse(&format!(
                "{name:?} in host_names or hooks_host is not a host name or address; write \
                 for example trade.example.com"
            ));
        }
    }
    if config.hooks_client_ca_file.is_some() && config.hooks_host.is_none() {
        return refuse(
            "hooks_client_ca_file is set, but hooks_host is not, so nobody would be asked for a \
             certificate: set the host name under which senders come with one, or leave both out",
        );
    }
    if config.host_names.len() > HOST_NAMES_MAX {
        return refuse(&format!("host_names has more than {HOST_NAMES_MAX} names; shorten it"));
    }
    if let Some(origin) = &config.log_origin
        && (origin.is_empty() || origin.len() > 200 || !origin.bytes().all(is_plain))
    {
        return refuse(
            "log_origin is 1 to 200 printable ASCII characters without spaces and plus signs, for \
             example trade.example.com/audit",
        );
    }
    config.tiers_of_this_node()?;
    if !(1..=LIVE_ORDERS_MAX).contains(&config.live_orders_max) {
        let given = config.live_orders_max;
        return refuse(&format!("live_orders_max is {given}; write 1 to {LIVE_ORDERS_MAX}"));
    }
    if let Some(acme) = &config.acme {
        acme.check(config)?;
    }
    if let Some(pins) = &config.pins {
        pins.check()?;
    }
    outbound(config)?;
    if let Some(smtp) = &config.smtp {
        smtp.check()?;
    }
    config.vault.check()?;
    config.paper.calls.check("paper")?;
    limits(config)
}

/// What a start needs besides, from the files that are there.
pub(super) fn start(config: &Config) -> Result<(), Failure> {
    public_bind(config)?;
    if let Some(tls) = &config.tls {
        readable(&tls.certificate_file, "certificate_file")?;
        let metadata = readable(&tls.key_file, "key_file")?;
        files::closed_to_others(&tls.key_file, metadata.mode())?;
        certificates::check(tls)?;
    }
    client_ca(config)?;
    if let Some(acme) = &config.acme {
        acme.roots().map_err(|failure| {
            Failure::no(format!("ca_file under [acme]: {failure}; correct the path"))
        })?;
    }
    // Made for its refusals only; what is kept is made when the origin is known.
    config.messengers("https://localhost")?;
    config.vault.check_files(&config.outbound)?;
    outbound_is_used(config)?;
    if let Ok(metadata) = fs::metadata(&config.data) {
        if !metadata.is_dir() {
            let data = config.data.display();
            return refuse(&format!("the data directory {data} is a file; name a directory"));
        }
        files::closed_to_others(&config.data, metadata.mode())?;
    }
    // Looked up for its refusals only; the address is not kept.
    config.database.location(config.data.join("tradewarden.db")).map(|_| ())
}

/// The CAs of client certificates, as they are read at the start; `None` if none are set.
pub(super) fn client_ca(config: &Config) -> Result<Option<String>, Failure> {
    let Some(file) = &config.hooks_client_ca_file else { return Ok(None) };
    let text = files::read_text(file, CLIENT_CA_BYTES_MAX).map_err(|failure| {
        Failure::no(format!("hooks_client_ca_file: {failure}; correct the path"))
    })?;
    tradewarden_web::tls::check_client_ca(text.as_bytes()).map_err(|error| {
        Failure::no(format!(
            "hooks_client_ca_file {}: {error}; it needs one or more CA certificates as PEM",
            file.display()
        ))
    })?;
    Ok(Some(text))
}

/// Other machines must be able to check whom they talk to, by a certificate they trust.
fn public_bind(config: &Config) -> Result<(), Failure> {
    let listen = config.listen;
    if listen.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    if config.tls.is_none() && config.acme.is_none() {
        return refuse(&format!(
            "refusing to listen on {listen}: other machines reach it, and there is only the local \
             CA's certificate, which they do not trust; set certificate_file and key_file under \
             [tls], let an authority issue one ([acme]), or listen on 127.0.0.1"
        ));
    }
    if config.public_origin.is_none() {
        return refuse(&format!(
            "refusing to listen on {listen} without public_origin: set it to the address that \
             clients write, for example https://trade.example.com"
        ));
    }
    Ok(())
}

fn outbound(config: &Config) -> Result<(), Failure> {
    let outbound = &config.outbound;
    if let Some(wrong) = outbound
        .tls_1_2_hosts
        .iter()
        .chain(outbound.pins.keys())
        .find(|host| !is_host_name(host) || host.bytes().any(|byte| byte.is_ascii_uppercase()))
    {
        return refuse(&format!(
            "{wrong:?} under [outbound] is not a host name in lower case, without a port"
        ));
    }
    for (host, pins) in &outbound.pins {
        if pins.len() < 2 {
            return refuse(&format!(
                "pins under [outbound] has fewer than two for {host}: with one, a lost key ends the \
                 connection for good; add a backup"
            ));
        }
        let is_pin = |pin: &String| {
            tradewarden_seal::base64_decode(pin).is_ok_and(|bytes| bytes.len() == 32)
        };
        if let Some(wrong) = pins.iter().find(|pin| !is_pin(pin)) {
            return refuse(&format!(
                "{wrong:?} in pins under [outbound] is no pin: it is the SHA-256 of a public key in \
                 base64"
            ));
        }
    }
    Ok(())
}

/// Who misspells a host would believe that it is held to its pins.
fn outbound_is_used(config: &Config) -> Result<(), Failure> {
    let hosts = config.outbound_hosts()?;
    let outbound = &config.outbound;
    let listed = outbound.tls_1_2_hosts.iter().map(|host| (host, "tls_1_2_hosts"));
    let pinned = outbound.pins.keys().map(|host| (host, "pins"));
    match listed.chain(pinned).find(|(host, _)| !hosts.contains(*host)) {
        None => Ok(()),
        Some((host, key)) => refuse(&format!(
            "{host:?} in {key} under [outbound] is a host that nothing in this configuration speaks \
             to: correct its name, or leave it out"
        )),
    }
}

fn limits(config: &Config) -> Result<(), Failure> {
    let limits = &config.listener;
    let widened = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    for (name, value, least, most) in [
        ("connections_max", widened(limits.connections_max), 1, 1_000_000),
        ("connections_per_address_max", widened(limits.connections_per_address_max), 1, 1_000_000),
        ("header_timeout_ms", limits.header_timeout_ms, 1, 3_600_000),
        ("drain_ms", limits.drain_ms, 0, 3_600_000),
    ] {
        if !(least..=most).contains(&value) {
            return refuse(&format!(
                "{name} under [listener] is {value}; it must be between {least} and {most}"
            ));
        }
    }
    Ok(())
}

fn readable(path: &Path, key: &str) -> Result<fs::Metadata, Failure> {
    let opened = fs::File::open(path).and_then(|file| file.metadata());
    opened.map_err(|cause| {
        let path = path.display();
        Failure::no(format!("{key} {path} cannot be read: {cause}; correct the path under [tls]"))
    })
}

fn is_origin(text: &str) -> bool {
    let Some(host) = text.strip_prefix("https://") else { return false };
    let plain = |byte: u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
    };
    !host.is_empty() && host.bytes().all(plain) && !host.starts_with(':')
}

fn is_host_name(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
        || ((1..=253).contains(&text.len())
            && text.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            }))
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'+'
}

fn refuse(sentence: &str) -> Result<(), Failure> {
    Err(Failure::no(sentence))
}
