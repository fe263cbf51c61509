//! Marks: every secret that passed through a test's hands, and where none of them may be.
//!
//! The clients, commands and configurations of [`crate::process`] note each secret that they send, are
//! shown or hand over, by the name of the field or header that carried it. From then on it is a mark.
//! Every later answer and everything a command prints is searched for it at once; the logs and the data
//! directory whenever a process is told to stop or has ended: so each test with the real program is a
//! test of masking too. A test marks by [`see`] what takes another way.
//!
//! What is searched for is the secret itself and its forms in base64 (both alphabets, at each of the
//! three places where it may begin), hexadecimal, percent-encoding and JSON's escapes, and the bytes
//! behind it where it is itself an encoding.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aho_corasick::{AhoCorasick, Anchored, Input};
use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, SET_COOKIE};
use serde_json::Value;
use tradewarden_seal::{
    base64_decode, base64_encode, base64url_decode, base64url_encode, hex_encode,
};

/// Shorter ones are words, or numbers that come up by chance.
const SHORTEST_BYTES: usize = 11;
/// More are not kept: a test under load shows the same secret in every request.
const MARKS_MAX: usize = 2_048;

/// What may be in the clear in a data directory, each closed to others (0600), and why.
pub const IN_THE_CLEAR: [(&str, &str); 5] = [
    ("kek", "the key file is what everything else is sealed under"),
    ("tls", "keys of the local CAs and of what they issued: TLS needs them before the vault opens"),
    ("acme/certificate.pem", "the key of the certificate that ACME brought, for the same reason"),
    ("demo.json", "the demo shows the same secrets at its next start; they move paper money alone"),
    ("demo-key.pem", "the demo's signing key, for the same reason"),
];

/// Members of JSON objects whose values are secrets.
const SECRET_MEMBERS: [&str; 14] = [
    "secret",
    "signing_secret",
    "password",
    "current_password",
    "new_password",
    "token",
    "access_token",
    "refresh_token",
    "csrf_token",
    "invite_token",
    "private_key_pem",
    "key_pem",
    "key_pkcs8",
    "codes",
];
/// Members that hold a secret among other things, in the one answer that shows it.
const SHOWING_MEMBERS: [&str; 2] = ["uri", "qr_svg"];
/// Headers whose whole value is a secret, or good for one request alone.
const SECRET_HEADERS: [&str; 6] = [
    "x-webhook-secret",
    "x-tw-csrf",
    "x-tw-signature",
    "x-tw-nonce",
    "webhook-signature",
    "signature",
];

/// How far a mark may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Nowhere at all.
    Nowhere,
    /// Into the database and answers, because it is an address, but not into logs.
    NotIntoLogs,
}

#[derive(Debug, Clone)]
struct Mark {
    what: String,
    reach: Reach,
}

#[derive(Default)]
struct Seen {
    marks: BTreeMap<Vec<u8>, Mark>,
    /// Made when it is first needed after a change of the marks.
    search: Option<Search>,
}

struct Search {
    automaton: AhoCorasick,
    /// By pattern: its form, and what it is of.
    patterns: Vec<(&'static str, Mark)>,
}

static SEEN: Mutex<Option<Seen>> = Mutex::new(None);

fn with<T>(work: impl FnOnce(&mut Seen) -> T) -> T {
    let mut seen: MutexGuard<'_, _> = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    work(seen.get_or_insert_with(Seen::default))
}

/// Marks a secret: from now on it may be nowhere. `what` names it in a failure; too short ones are not
/// marked.
pub fn see(what: &str, secret: impl AsRef<[u8]>) {
    mark(what, secret.as_ref(), Reach::Nowhere);
}

fn mark(what: &str, secret: &[u8], reach: Reach) {
    if secret.len() < SHORTEST_BYTES {
        return;
    }
    with(|seen| {
        for bytes in std::iter::once(secret.to_vec()).chain(behind(secret)) {
            if seen.marks.len() < MARKS_MAX && !seen.marks.contains_key(&bytes) {
                seen.marks.insert(bytes, Mark { what: what.to_owned(), reach });
                seen.search = None;
            }
        }
    });
}

/// The bytes that a secret is a text of.
fn behind(secret: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(secret) else { return Vec::new() };
    let mut found = Vec::new();
    if let Some(encoded) = text.strip_prefix("whsec_") {
        found.extend(base64_decode(encoded).ok());
    }
    if text.starts_with("-----BEGIN") {
        let lines = text.lines().filter(|line| !line.starts_with("-----"));
        let body: String = lines.collect();
        if let Ok(der) = base64_decode(&body) {
            // PKCS#8 of Ed25519 and of P-256: an octet string of 32 bytes. What follows it is public.
            let key = der.windows(34).find(|part| part.starts_with(&[0x04, 0x20]));
            found.extend(key.map(|key| key[2..].to_vec()));
        }
    } else if let Some((_, rest)) = text.split_once('_')
        && let Some((random, _checksum)) = rest.rsplit_once('_')
    {
        // Our own tokens: a kind, 32 random bytes, and a checksum.
        found.extend(base64url_decode(random).ok());
    } else {
        found.extend(base32(text));
    }
    found.retain(|bytes| bytes.len() >= SHORTEST_BYTES);
    found
}

/// RFC 4648 section 6, without padding: an authenticator's seed.
fn base32(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut held, mut bytes) = (0_u32, 0_u32, Vec::new());
    for character in text.bytes() {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'2'..=b'7' => character - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
            bits &= (1 << held) - 1;
        }
    }
    Some(bytes)
}

/// The forms in which a secret may have been written down.
fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hexadecimal = hex_encode(secret);
    let mut forms = vec![
        ("as it is", secret.to_vec()),
        ("in hexadecimal", hexadecimal.to_uppercase().into_bytes()),
        ("in hexadecimal", hexadecimal.into_bytes()),
    ];
    for before in 0..3_usize {
        let placed = [&[0; 2][..before], secret].concat();
        // Characters that also hold bits of what stands before and after are left out.
        let (first, last) = ([0, 2, 3][before], placed.len() * 4 / 3);
        for encoded in [base64_encode(&placed), base64url_encode(&placed)] {
            forms.push(("in base64", encoded.as_bytes()[first..last].to_vec()));
        }
    }
    if let Ok(text) = std::str::from_utf8(secret) {
        let percent = text.bytes().map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        });
        forms.push(("percent-encoded", percent.collect::<String>().into_bytes()));
        let quoted = Value::from(text).to_string();
        forms.push(("in JSON", quoted.trim_matches('"').as_bytes().to_vec()));
    }
    forms
}

impl Search {
    fn of(marks: &BTreeMap<Vec<u8>, Mark>) -> Self {
        let mut patterns = BTreeMap::new();
        for (secret, mark) in marks {
            for (form, bytes) in forms(secret) {
                patterns.entry(bytes).or_insert((form, mark.clone()));
            }
        }
        let automaton = AhoCorasick::new(patterns.keys()).expect("so many patterns are taken");
        Self { automaton, patterns: patterns.into_values().collect() }
    }

    /// What is found in `bytes`, each mark once.
    fn find(&self, bytes: &[u8], logs: bool) -> Vec<String> {
        let mut found = BTreeMap::new();
        let input = Input::new(bytes).anchored(Anchored::No);
        for at in self.automaton.find_overlapping_iter(input) {
            let (form, mark) = &self.patterns[at.pattern().as_usize()];
            if logs || mark.reach == Reach::Nowhere {
                let place = at.start();
                found.entry(&mark.what).or_insert_with(|| {
                    let near = bytes[place.saturating_sub(160)..place].escape_ascii();
                    format!("{} {form}, at byte {place}, after `{near}`", mark.what)
                });
            }
        }
        found.into_values().collect()
    }
}

/// The marks in `bytes`, each named with its form and place.
#[must_use]
pub fn found_in(bytes: &[u8]) -> Vec<String> {
    search(bytes, false)
}

fn search(bytes: &[u8], logs: bool) -> Vec<String> {
    with(|seen| {
        let Seen { marks, search } = seen;
        search.get_or_insert_with(|| Search::of(marks)).find(bytes, logs)
    })
}

/// Marks in what is short, and only as they are: for what is looked at after every request.
fn plainly_in(text: &str) -> Option<String> {
    with(|seen| {
        let nowhere = seen.marks.iter().filter(|(_, mark)| mark.reach == Reach::Nowhere);
        let texts =
            nowhere.filter_map(|(secret, mark)| Some((std::str::from_utf8(secret).ok()?, mark)));
        texts
            .into_iter()
            .find(|(secret, _)| text.contains(secret))
            .map(|(_, mark)| mark.what.clone())
    })
}

/// Looks through a log. The link for the first owner is printed to whoever started the program, once,
/// and no logged line: a test has both in one file.
///
/// # Panics
///
/// When a mark is in it.
pub fn look_through_log(log: &str) {
    let logged: Vec<&str> = log.lines().filter(|line| !line.contains("/setup?token=")).collect();
    let found = search(logged.join("\n").as_bytes(), true);
    assert!(found.is_empty(), "secrets in the log: {found:#?}");
}

/// Looks through every file below a directory but those that [`IN_THE_CLEAR`] names. What was looked at.
///
/// # Panics
///
/// When a mark is in one.
pub fn look_through(directory: &Path) -> Vec<PathBuf> {
    for (name, _) in IN_THE_CLEAR {
        see_what_is_clear(&directory.join(name));
    }
    let mut looked_at = Vec::new();
    let mut waiting = vec![directory.to_path_buf()];
    while let Some(next) = waiting.pop() {
        // A running process makes and removes files.
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let below = path.strip_prefix(directory).unwrap_or(&path);
            if IN_THE_CLEAR.iter().any(|(name, _)| below == Path::new(name)) {
                continue;
            }
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                waiting.push(path);
            } else if kind.is_file()
                && let Ok(bytes) = fs::read(&path)
            {
                let found = found_in(&bytes);
                assert!(found.is_empty(), "secrets in {}: {found:#?}", path.display());
                looked_at.push(path);
            }
        }
    }
    looked_at
}

/// What may be in the clear in its own file may be nowhere else.
fn see_what_is_clear(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        see_what_is_clear(&entry.path());
    }
    let Ok(text) = fs::read_to_string(path) else { return };
    let name = path.display().to_string();
    if let Ok(value) = serde_json::from_str::<Value>(&text) {
        see_json(&value);
    } else if text.contains("PRIVATE KEY-----") {
        see(&name, text.trim_end());
    } else if path.ends_with("kek") {
        text.lines().for_each(|line| see(&name, line));
    }
}

/// Marks what the members of this object, and of those in it, say by their names.
pub(crate) fn see_json(value: &Value) {
    match value {
        Value::Array(items) => items.iter().for_each(see_json),
        Value::Object(members) => {
            for (name, value) in members {
                if !SECRET_MEMBERS.contains(&name.as_str()) {
                    see_json(value);
                    continue;
                }
                // A webhook's token is a part of its address.
                let address = name == "token" && members.contains_key("url");
                let reach = if address { Reach::NotIntoLogs } else { Reach::Nowhere };
                let several = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                for text in several.iter().filter_map(Value::as_str) {
                    mark(name, text.as_bytes(), reach);
                }
            }
        }
        _ => {}
    }
}

/// The same without the members that show a secret.
fn without_secrets(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(without_secrets).collect(),
        Value::Object(members) => {
            let shown =
                |name: &str| SECRET_MEMBERS.contains(&name) || SHOWING_MEMBERS.contains(&name);
            let rest = members.iter().filter(|(name, _)| !shown(name));
            rest.map(|(name, value)| (name.clone(), without_secrets(value))).collect()
        }
        other => other.clone(),
    }
}

/// Marks what a request carries.
pub(crate) fn see_request(path: &str, headers: &[(&str, &str)], body: &[u8]) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    for pair in query.split('&') {
        if let Some((name @ ("secret" | "token" | "code"), value)) = pair.split_once('=') {
            see(&format!("{name} in a query"), value);
        }
    }
    if let Some(token) = path.strip_prefix("/api/v1/webhooks/") {
        mark("a webhook's token", token.as_bytes(), Reach::NotIntoLogs);
    }
    for (name, value) in headers {
        see_header(&name.to_ascii_lowercase(), value);
    }
    if let Ok(body) = serde_json::from_slice::<Value>(body) {
        see_json(&body);
        if let Some(code) = body.get("code").and_then(Value::as_str) {
            see("a code", code);
        }
    }
}

fn see_header(name: &str, value: &str) {
    if name == AUTHORIZATION.as_str() {
        let (_, credential) = value.split_once(' ').unwrap_or(("", value));
        see("a credential", credential);
    } else if name == COOKIE.as_str() || name == SET_COOKIE.as_str() {
        for cookie in value.split(';').filter_map(|cookie| cookie.split_once('=')).take(4) {
            if !["Path", "Max-Age", "SameSite", "Expires"].contains(&cookie.0.trim()) {
                see("a cookie", cookie.1);
            }
        }
    } else if SECRET_HEADERS.contains(&name) {
        let bare = value.split_once('=').map_or(value, |(_, value)| value).trim_matches(':');
        see(&format!("the header {name}"), if name.starts_with("x-") { value } else { bare });
    } else if name == "signature-input"
        && let Some((_, nonce)) = value.split_once("nonce=\"")
    {
        see("a nonce", nonce.split('"').next().unwrap_or_default());
    }
}

/// Looks at an answer, and marks what it shows.
///
/// # Panics
///
/// When it shows a secret that was there before, in another member than one for secrets.
pub(crate) fn look_at_answer(asked: &str, headers: &HeaderMap, body: &[u8]) {
    let mut shown = String::new();
    for (name, value) in headers {
        let value = value.to_str().unwrap_or_default();
        if name == SET_COOKIE {
            see_header(SET_COOKIE.as_str(), value);
        } else {
            shown.push_str(value);
            shown.push('\n');
        }
    }
    shown.push_str(&told(body));
    let found = plainly_in(&shown);
    let asked = asked.split('?').next().unwrap_or_default();
    assert!(found.is_none(), "the answer to {asked} shows {found:?}: {shown}");
}

/// Looks at what a command printed, and marks what it shows.
///
/// # Panics
///
/// When it shows a secret that was there before, in another member than one for secrets.
pub(crate) fn look_at_output(stdout: &[u8], stderr: &[u8]) {
    for (stream, printed) in [("output", told(stdout)), ("error", told(stderr))] {
        let found = plainly_in(&printed);
        assert!(found.is_none(), "standard {stream} shows {found:?}: {printed}");
    }
}

/// What is said outside of members for secrets, which are marked.
fn told(bytes: &[u8]) -> String {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) => {
            let rest = without_secrets(&value).to_string();
            see_json(&value);
            rest
        }
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Marks what is in the files that a command is given for secrets: `--password-file FILE`.
pub(crate) fn see_options(args: &[&str]) {
    for pair in args.windows(2) {
        let [option, file] = pair else { continue };
        if ["--password-file", "--secret-file", "--private-key-file"].contains(option)
            && let Ok(text) = fs::read_to_string(file)
        {
            see(option, text.trim_end());
        }
    }
}

/// Marks what is in the files for secrets that a configuration names.
pub(crate) fn see_configuration(path: &Path, config: &str) {
    let directory = path.parent().unwrap_or(path);
    for (key, value) in config.lines().filter_map(|line| line.split_once(" = ")) {
        let Some(kind) = key.strip_suffix("_file") else { continue };
        let is_secret = ["password", "auth_token", "token", "secret", "secret_id", "url", "pin"]
            .iter()
            .any(|name| kind.ends_with(name));
        if is_secret && let Ok(text) = fs::read_to_string(directory.join(value.trim_matches('"'))) {
            let text = text.trim_end();
            see(key, text);
            if let Some((_, address)) = text.split_once("://")
                && let Some((_, path)) = address.split_once('/')
            {
                see(key, path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cret+with/odd \"signs\"";

    fn search_for(secret: &[u8]) -> Search {
        let mark = Mark { what: "it".to_owned(), reach: Reach::Nowhere };
        Search::of(&BTreeMap::from([(secret.to_vec(), mark)]))
    }

    #[test]
    fn every_form_is_found_wherever_it_begins() {
        let search = search_for(SECRET.as_bytes());
        for before in ["", "a", "ab", "abc", "abcd"] {
            for after in ["", "x", "xy", "xyz"] {
                let bytes = format!("{before}{SECRET}{after}");
                let escaped = Value::from(bytes.as_str()).to_string();
                let texts = [
                    base64_encode(bytes.as_bytes()),
                    base64url_encode(bytes.as_bytes()),
                    hex_encode(bytes.as_bytes()),
                    hex_encode(bytes.as_bytes()).to_uppercase(),
                    escaped,
                    format!("{before}s3cret%2Bwith%2Fodd%20%22signs%22{after}"),
                    bytes,
                ];
                for text in texts {
                    assert_eq!(search.find(text.as_bytes(), false).len(), 1, "{text}");
                }
            }
        }
        let other = base64_encode(b"s3cret+with/odd 'signs'");
        assert!(search.find(other.as_bytes(), true).is_empty());
    }

    #[test]
    fn what_a_secret_is_a_text_of_is_a_mark_too() {
        assert_eq!(base32("GEZDGNBVGY3TQOJQ").unwrap(), b"1234567890");
        let seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        assert_eq!(behind(seed.as_bytes()), [b"12345678901234567890".to_vec()]);
        let signing = format!("whsec_{}", base64_encode(&[7; 24]));
        assert_eq!(behind(signing.as_bytes()), [vec![7; 24]]);
        let der = [[1; 16].as_slice(), &[4, 32], &[9; 32], &[5; 20]].concat();
        let pem = format!("-----BEGIN K-----\n{}\n-----END K-----\n", base64_encode(&der));
        assert_eq!(behind(pem.as_bytes()), [vec![9; 32]]);
    }

    #[test]
    fn a_directory_is_looked_through_but_for_what_may_be_clear() {
        let dir = crate::process::TestDir::new("marks");
        see("a test's own", "kept-in-a-corner-of-marks");
        fs::create_dir(dir.path().join("inner")).unwrap();
        fs::write(dir.path().join("kek"), "kept-in-a-corner-of-marks").unwrap();
        fs::write(dir.path().join("inner/file"), "nothing").unwrap();
        assert_eq!(look_through(dir.path()), [dir.path().join("inner/file")]);
        fs::write(dir.path().join("inner/kek"), "kept-in-a-corner-of-marks").unwrap();
        let path = dir.path().to_path_buf();
        let outcome = std::panic::catch_unwind(|| look_through(&path));
        assert!(outcome.is_err(), "the name counts at the top alone");
    }
}
