//! The keys about certificates and about how others are spoken to.

use super::{Key, list, path, text};

pub(super) const KEYS: &[Key] = &[
    Key {
        section: "tls",
        name: "certificate_file",
        kind: "path",
        meaning: "The certificate chain in PEM, the server's own first; read again when it was \
                  replaced, and on SIGHUP. If not set: a certificate of the local CA in `DATA/tls`, made and renewed by \
                  itself.",
        shown: |config| config.tls.as_ref().map(|tls| path(&tls.certificate_file)),
    },
    Key {
        section: "tls",
        name: "key_file",
        kind: "path",
        meaning: "The private key of the certificate, in PEM. One that others can read is \
                  refused.",
        shown: |config| config.tls.as_ref().map(|tls| path(&tls.key_file)),
    },
    Key {
        section: "acme",
        name: "directory",
        kind: "https://HOST[:PORT]/PATH",
        meaning: "The directory of an authority that issues the public certificate by ACME (RFC 8555), \
                  in place of `[tls]`. Until it has, a certificate of the local CA is shown.",
        shown: |config| config.acme.as_ref().map(|acme| text(&acme.directory)),
    },
    Key {
        section: "acme",
        name: "contact",
        kind: "list of URIs",
        meaning: "Whom the authority may write to, for example `mailto:ops@example.com`.",
        shown: |config| config.acme.as_ref().map(|acme| list(&acme.contact)),
    },
    Key {
        section: "acme",
        name: "domains",
        kind: "list of host names",
        meaning: "The names in the certificate.",
        shown: |config| config.acme.as_ref().map(|acme| list(&acme.domains)),
    },
    Key {
        section: "acme",
        name: "challenge",
        kind: "http-01 or tls-alpn-01",
        meaning: "How it is shown that the names are ours: at port 80 (`http_listen`), or in a \
                  handshake at port 443 (`listen`).",
        shown: |config| config.acme.as_ref().map(|acme| text(&acme.challenge.word())),
    },
    Key {
        section: "acme",
        name: "terms_agreed",
        kind: "true",
        meaning: "That you agree to the authority's terms.",
        shown: |config| config.acme.as_ref().map(|acme| acme.terms_agreed.to_string()),
    },
    Key {
        section: "acme",
        name: "reuse_key",
        kind: "true or false",
        meaning: "Whether a renewed certificate has the key of the one before: while clients pin it.",
        shown: |config| config.acme.as_ref().map(|acme| acme.reuse_key.to_string()),
    },
    Key {
        section: "acme",
        name: "ca_file",
        kind: "path",
        meaning: "The CAs, as PEM, under which the authority's own certificate must be issued, in \
                  place of those that browsers trust.",
        shown: |config| config.acme.as_ref()?.ca_file.as_deref().map(path),
    },
    Key {
        section: "pins",
        name: "host",
        kind: "host name",
        meaning: "Whose keys are published at `/api/v1/pins`, signed by the key of the audit log; with \
                  this table only.",
        shown: |config| config.pins.as_ref().map(|pins| text(&pins.host)),
    },
    Key {
        section: "pins",
        name: "backups",
        kind: "list of pins",
        meaning: "Keys that no certificate has yet and that are kept elsewhere: SHA-256 of the public \
                  key in base64 (RFC 7469), 1 to 7.",
        shown: |config| config.pins.as_ref().map(|pins| list(&pins.backups)),
    },
    Key {
        section: "pins",
        name: "days",
        kind: "1 to 366",
        meaning: "How many days each signature may be believed; 60 if not set. It is renewed when half \
                  of them are over.",
        shown: |config| config.pins.as_ref().map(|pins| pins.days.to_string()),
    },
    Key {
        section: "outbound",
        name: "tls_1_2_hosts",
        kind: "list of host names",
        meaning: "Hosts that may be spoken to by TLS 1.2 because they know no better; all others by \
                  1.3 alone.",
        shown: |config| {
            let hosts: Vec<_> = config.outbound.tls_1_2_hosts.iter().cloned().collect();
            Some(list(&hosts))
        },
    },
    Key {
        section: "outbound",
        name: "pins",
        kind: "table of host names, each with a list of pins",
        meaning: "Public keys, one of which a host must have: SHA-256 in base64 (RFC 7469), at least \
                  two, one of them a backup. Its certificate must be valid as well. Not for mail \
                  servers.",
        shown: |config| {
            let hosts = config.outbound.pins.iter().map(|(host, pins)| {
                let pins: Vec<_> = pins.iter().cloned().collect();
                format!("{} = {}", text(host), list(&pins))
            });
            let hosts: Vec<_> = hosts.collect();
            (!hosts.is_empty()).then(|| format!("{{ {} }}", hosts.join(", ")))
        },
    },
];
