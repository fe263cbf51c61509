//! The keys about where the wrapping key is.

use std::path::PathBuf;

use super::{Key, path, text};

pub(super) const KEYS: &[Key] = &[
    Key {
        section: "vault",
        name: "source",
        kind: "file, transit or pkcs11",
        meaning: "Where the key is that wraps all data keys: `file` is `DATA/kek`, `transit` a key in OpenBao or HashiCorp Vault, `pkcs11` one in a token.",
        shown: |config| Some(text(&config.vault.source.word())),
    },
    Key {
        section: "vault",
        name: "previous",
        kind: "file, transit or pkcs11",
        meaning: "The source that wrapped before, while keys are moved: what it wrapped opens, and `vault rewrap` puts it under `source`. Leave it out when nothing is moved.",
        shown: |config| config.vault.previous.map(|kind| text(&kind.word())),
    },
    Key {
        section: "vault",
        name: "unreachable_max_s",
        kind: "whole number",
        meaning: "Seconds that secrets stay open in memory while the source does not answer; 0 is without end. See the guide.",
        shown: |config| Some(config.vault.unreachable_max_s.to_string()),
    },
    Key {
        section: "vault",
        name: "data_key_rotate_days",
        kind: "whole number",
        meaning: "Days after which a data key is replaced by itself, and what it sealed is sealed anew; 0 is never. See the guide.",
        shown: |config| Some(config.vault.data_key_rotate_days.to_string()),
    },
    Key {
        section: "vault.transit",
        name: "address",
        kind: "https://HOST[:PORT]",
        meaning: "Where OpenBao or HashiCorp Vault answers. TLS 1.3.",
        shown: |config| config.vault.transit.as_ref().map(|transit| text(&transit.address)),
    },
    Key {
        section: "vault.transit",
        name: "mount",
        kind: "text",
        meaning: "Where its Transit engine is mounted.",
        shown: |config| config.vault.transit.as_ref().map(|transit| text(&transit.mount)),
    },
    Key {
        section: "vault.transit",
        name: "key",
        kind: "text",
        meaning: "The name of the key there, of type aes256-gcm96.",
        shown: |config| config.vault.transit.as_ref().map(|transit| text(&transit.key)),
    },
    Key {
        section: "vault.transit",
        name: "token_file",
        kind: "path",
        meaning: "The file with a token, with mode 0600; read again when a token is refused.",
        shown: |config| {
            path_of(config.vault.transit.as_ref().and_then(|transit| transit.token_file.as_ref()))
        },
    },
    Key {
        section: "vault.transit",
        name: "role_id",
        kind: "text",
        meaning: "The identifier of an AppRole, in place of a token.",
        shown: |config| {
            text_of(config.vault.transit.as_ref().and_then(|transit| transit.role_id.as_ref()))
        },
    },
    Key {
        section: "vault.transit",
        name: "secret_id_file",
        kind: "path",
        meaning: "The file with the AppRole's secret, with mode 0600; read at each log-in.",
        shown: |config| {
            path_of(
                config.vault.transit.as_ref().and_then(|transit| transit.secret_id_file.as_ref()),
            )
        },
    },
    Key {
        section: "vault.transit",
        name: "ca_file",
        kind: "path",
        meaning: "The authorities that are believed, as PEM, in place of those of the web.",
        shown: |config| {
            path_of(config.vault.transit.as_ref().and_then(|transit| transit.ca_file.as_ref()))
        },
    },
    Key {
        section: "vault.pkcs11",
        name: "module",
        kind: "path",
        meaning: "The token's module, a shared library. It runs inside the gateway.",
        shown: |config| path_of(config.vault.pkcs11.as_ref().map(|token| &token.module)),
    },
    Key {
        section: "vault.pkcs11",
        name: "token",
        kind: "text",
        meaning: "The token's label.",
        shown: |config| text_of(config.vault.pkcs11.as_ref().map(|token| &token.token)),
    },
    Key {
        section: "vault.pkcs11",
        name: "key",
        kind: "text",
        meaning: "The label of the AES-256 keys in it; the one with the greatest id wraps.",
        shown: |config| text_of(config.vault.pkcs11.as_ref().map(|token| &token.key)),
    },
    Key {
        section: "vault.pkcs11",
        name: "pin_file",
        kind: "path",
        meaning: "The file with the user's PIN, with mode 0600; read at each log-in.",
        shown: |config| path_of(config.vault.pkcs11.as_ref().map(|token| &token.pin_file)),
    },
];

fn text_of(value: Option<&String>) -> Option<String> {
    value.map(text)
}

fn path_of(value: Option<&PathBuf>) -> Option<String> {
    value.map(|value| path(value))
}
