//! The body as bytes: finding the document in it, and taking the secret out of it.

use super::{Document, FieldError, JsonError, Signal};
use crate::json::{Content, Value};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// What a body holds.
#[derive(Debug)]
pub struct Body {
    /// The member `secret`: what the sender claims, not yet compared with anything.
    pub secret: Option<BodySecret>,
    /// The body as received without the member `secret`, byte for byte otherwise: the only form in
    /// which a body may be stored, hashed or logged.
    ///
    /// Three exceptions. A form-encoded body with a secret is given decoded. A member that repeats
    /// a secret of 8 bytes or more stands as `***`. A body that is no document has no member to
    /// take out, so it is given with `***` where the value of such a member would stand; see also
    /// [`conceal`].
    pub redacted: Vec<u8>,
    /// The signal, or what is wrong with it.
    pub signal: Result<Signal, FieldError>,
}

/// A secret as it stood in a body. It cannot be printed or compared by accident.
pub struct BodySecret(String);

impl BodySecret {
    /// The secret, to be compared in constant time and dropped.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BodySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodySecret")
    }
}

/// Shorter secrets are not looked for elsewhere: they would hit words that mean something else.
const CONCEAL_MIN: usize = 8;
const MASK: &[u8] = b"***";

/// The bytes with every occurrence of a known secret of at least 8 bytes replaced by `***`.
///
/// For a body that is no document but whose sender proved to know the secret by other means: a
/// trailing comma must not bring a secret into the store.
pub fn conceal(body: &[u8], secret: &str) -> Vec<u8> {
    if secret.len() < CONCEAL_MIN {
        return body.to_vec();
    }
    let mut concealed = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((first, behind)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(secret.as_bytes()) {
            concealed.extend_from_slice(MASK);
            rest = after;
        } else {
            concealed.push(*first);
            rest = behind;
        }
    }
    concealed
}

/// The bytes of what is no document, with `***` where the value of a member `secret` would stand: its
/// sender may have proven another secret by other means.
pub(super) fn without_named_secrets(body: &[u8]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((first, behind)) = rest.split_first() {
        if let Some((value, quoted)) = named_secret(rest) {
            let before = rest.len().saturating_sub(value.len());
            masked.extend_from_slice(rest.get(..before).unwrap_or_default());
            masked.extend_from_slice(MASK);
            rest = behind_value(value, quoted);
        } else {
            masked.push(*first);
            rest = behind;
        }
    }
    masked
}

/// What follows the name `secret` and its separator, if the bytes begin with them, and whether it
/// stands in quotes.
fn named_secret(bytes: &[u8]) -> Option<(&[u8], bool)> {
    if let Some(value) = bytes.strip_prefix(b"secret=") {
        return Some((value, false));
    }
    let after = bytes.strip_prefix(b"\"secret\"")?.trim_ascii_start();
    let value = after.strip_prefix(b":")?.trim_ascii_start();
    match value.strip_prefix(b"\"") {
        Some(text) => Some((text, true)),
        None => Some((value, false)),
    }
}

/// What stands behind a value that may not end.
fn behind_value(value: &[u8], quoted: bool) -> &[u8] {
    let mut rest = value;
    while let Some((first, behind)) = rest.split_first() {
        rest = match first {
            b'"' if quoted => return rest,
            b'\\' if quoted => behind.split_first().map_or(behind, |(_, behind)| behind),
            b',' | b'&' | b'}' | b'"' if !quoted => return rest,
            space if !quoted && space.is_ascii_whitespace() => return rest,
            _ => behind,
        };
    }
    rest
}

/// Finds the document in a body, takes the secret out, and lets `parse` read what is left.
pub(super) fn open(
    body: &[u8],
    parse: impl Fn(&Document<'_>) -> Result<Signal, FieldError>,
) -> Result<Body, JsonError> {
    find(body, |source, document| source.redact(document, &parse))
}

/// The body with `***` for every name and value that repeats a secret which the sender showed elsewhere,
/// and what `parse` reads then. `None` if none does; a body that is no document has none.
pub(super) fn concealed(
    body: &[u8],
    secret: &str,
    parse: impl Fn(&Document<'_>) -> Result<Signal, FieldError>,
) -> Option<Body> {
    // It stands there as it is, or something is escaped: most bodies are not read twice.
    let may_repeat = contains(body, secret.as_bytes())
        || body.iter().any(|byte| matches!(byte, b'\\' | b'%' | b'+'));
    if secret.len() < CONCEAL_MIN || !may_repeat {
        return None;
    }
    let found = find(body, |source, document| {
        let mut repeats = Vec::new();
        collect_repeats(document.root(), secret, &(0..0), &mut repeats);
        (!repeats.is_empty()).then(|| source.redact_text(document, 0..0, secret, &parse))
    });
    found.ok().flatten()
}

/// Finds the document in a body, and what `read` makes of it.
fn find<T>(body: &[u8], read: impl Fn(&Source<'_>, &Document<'_>) -> T) -> Result<T, JsonError> {
    let plain = Source::plain(body);
    let error = match Document::read(&plain.json) {
        Ok(document) => return Ok(read(&plain, &document)),
        Err(error) => error,
    };
    if let Some(source) = plain.without_equals_sign()
        && let Ok(document) = Document::read(&source.json)
    {
        return Ok(read(&source, &document));
    }
    let Some(source) = plain.form_decoded() else { return Err(error) };
    match Document::read(&source.json) {
        Ok(document) => Ok(read(&source, &document)),
        Err(_) if plain.json.starts_with(b"{") => Err(error),
        Err(decoded_error) => Err(decoded_error),
    }
}

/// A body in three parts, of which the middle one may be a document.
struct Source<'a> {
    received: &'a [u8],
    lead: &'a [u8],
    json: Cow<'a, [u8]>,
    tail: &'a [u8],
}

impl<'a> Source<'a> {
    /// A byte order mark and space are no part of the document.
    fn plain(body: &'a [u8]) -> Self {
        let unmarked = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let json = unmarked.trim_ascii();
        let start = body.len().saturating_sub(unmarked.trim_ascii_start().len());
        let lead = body.get(..start).unwrap_or_default();
        let tail = body.get(start.saturating_add(json.len())..).unwrap_or_default();
        Self { received: body, lead, json: Cow::Borrowed(json), tail }
    }

    /// The same with a trailing `=` counted to what follows the document.
    fn without_equals_sign(&self) -> Option<Self> {
        let json = self.json.strip_suffix(b"=")?.trim_ascii_end().to_vec();
        let kept = self.lead.len().saturating_add(json.len());
        let tail = self.received.get(kept..)?;
        Some(Self { received: self.received, lead: self.lead, json: Cow::Owned(json), tail })
    }

    /// What a form names that has one field without a value, if it looks like an object.
    fn form_decoded(&self) -> Option<Self> {
        let encoded = self.json.strip_suffix(b"=").unwrap_or(&self.json);
        let decoded = percent_decoded(encoded)?;
        decoded.trim_ascii_start().starts_with(b"{").then_some(Self {
            received: self.received,
            lead: b"",
            json: Cow::Owned(decoded),
            tail: b"",
        })
    }

    fn redact(
        &self,
        document: &Document<'_>,
        parse: impl Fn(&Document<'_>) -> Result<Signal, FieldError>,
    ) -> Body {
        let (Some(member), Some(cut)) = (document.root().member("secret"), document.cut("secret"))
        else {
            return Body {
                secret: None,
                redacted: self.received.to_vec(),
                signal: parse(document),
            };
        };
        match &member.value.content {
            Content::Text(secret) => self.redact_text(document, cut, secret, parse),
            Content::Null => {
                let json = edited(&self.json, vec![(cut, b"")]);
                Body { secret: None, redacted: self.joined(&json), signal: parse(document) }
            }
            _ => {
                let json = edited(&self.json, vec![(cut, b"")]);
                let kind = member.value.kind();
                let wrong = FieldError::field("secret", format!("it is {kind}, not a text"));
                Body { secret: None, redacted: self.joined(&json), signal: Err(wrong) }
            }
        }
    }

    fn redact_text(
        &self,
        document: &Document<'_>,
        cut: Range<usize>,
        secret: &str,
        parse: impl Fn(&Document<'_>) -> Result<Signal, FieldError>,
    ) -> Body {
        let mut repeats = Vec::new();
        if secret.len() >= CONCEAL_MIN {
            collect_repeats(document.root(), secret, &cut, &mut repeats);
        }
        let repeated = !repeats.is_empty();
        let edits = repeats.into_iter().map(|span| (span, &b"\"***\""[..]));
        let json = edited(&self.json, edits.chain([(cut, &b""[..])]).collect());
        let redacted = self.joined(&json);
        let kept = Some(BodySecret(secret.to_owned()));
        // A secret made of brackets and quotes could still stand across the seams of members.
        if secret.len() >= CONCEAL_MIN && contains(&redacted, secret.as_bytes()) {
            let wrong = FieldError::field("secret", "it is repeated outside of its member");
            return Body { secret: kept, redacted: b"{}".to_vec(), signal: Err(wrong) };
        }
        let signal = if repeated {
            match Document::read(&json) {
                Ok(document) => parse(&document),
                Err(error) => Err(FieldError::unreadable(&error)),
            }
        } else {
            parse(document)
        };
        Body { secret: kept, redacted, signal }
    }

    fn joined(&self, json: &[u8]) -> Vec<u8> {
        [self.lead, json, self.tail].concat()
    }
}

/// The places of names and values outside of `cut` that contain the secret once unescaped.
fn collect_repeats(
    value: &Value<'_>,
    secret: &str,
    cut: &Range<usize>,
    repeats: &mut Vec<Range<usize>>,
) {
    match &value.content {
        Content::Object(members) => {
            for member in members.iter().filter(|member| !cut.contains(&member.value.span.start)) {
                if member.name.contains(secret) {
                    repeats.push(member.name_span.clone());
                }
                collect_repeats(&member.value, secret, cut, repeats);
            }
        }
        Content::List(values) => {
            for value in values {
                collect_repeats(value, secret, cut, repeats);
            }
        }
        _ => {
            if value.text_or_number().is_some_and(|text| text.contains(secret)) {
                repeats.push(value.span.clone());
            }
        }
    }
}

/// The source with each range replaced; ranges do not overlap.
fn edited(source: &[u8], mut edits: Vec<(Range<usize>, &[u8])>) -> Vec<u8> {
    edits.sort_by_key(|(range, _)| range.start);
    let mut result = Vec::with_capacity(source.len());
    let mut done = 0;
    for (range, replacement) in edits {
        result.extend_from_slice(source.get(done..range.start).unwrap_or_default());
        result.extend_from_slice(replacement);
        done = range.end;
    }
    result.extend_from_slice(source.get(done..).unwrap_or_default());
    result
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len().max(1)).any(|window| window == part)
}

/// Undoes form encoding; `None` if an escape is malformed.
fn percent_decoded(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (hex_digit(bytes.next()?)?, hex_digit(bytes.next()?)?);
                (high << 4) | low
            }
            _ => byte,
        });
    }
    Some(decoded)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
