//! A small, strict, bounded reader of JSON (RFC 8259).
//!
//! It exists because a signal is read before its sender is known, and because money must not pass
//! through a float. Every value knows where it stands in the source, so that one member can be cut
//! out and the rest stays byte for byte.
//!
//! Invariants
//! - Nothing is guessed or repaired: duplicate names, unpaired surrogates, `NaN`, trailing commas
//!   and trailing text are refused.
//! - There is no float. A number is the text that was sent.
//! - Depth, members, names, texts and numbers are bounded here; the total size is bounded by the
//!   caller before it calls.

mod reader;

use self::reader::Reader;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// How many objects and lists may be open at once.
pub const DEPTH_MAX: usize = 8;
/// How many members of objects and elements of lists a document may have in all.
pub const MEMBERS_MAX: usize = 128;
/// How long a member's name may be, in bytes of UTF-8 after unescaping.
pub const NAME_MAX: usize = 128;
/// How long a text may be, in bytes of UTF-8 after unescaping.
pub const TEXT_MAX: usize = 8 * 1_024;
/// How many characters a number may have.
pub const NUMBER_MAX: usize = 128;

/// A document that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document<'a> {
    source: &'a [u8],
    root: Value<'a>,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value<'a> {
    /// What it is.
    pub content: Content<'a>,
    /// Its bytes in the source, quotes and brackets included.
    pub span: Range<usize>,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(&'a str),
    /// A text, unescaped.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Value<'a>>),
    /// An object; no two members have the same name.
    Object(Vec<Member<'a>>),
}

/// One member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name, unescaped.
    pub name: Cow<'a, str>,
    /// The name's bytes in the source, quotes included.
    pub name_span: Range<usize>,
    /// Its value.
    pub value: Value<'a>,
}

impl<'a> Document<'a> {
    /// Reads the whole source as one document.
    pub fn read(source: &'a [u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(source).map_err(|error| JsonError {
            problem: Problem::InvalidUtf8,
            offset: error.valid_up_to(),
            member: None,
        })?;
        let root = Reader::new(text).document()?;
        Ok(Self { source, root })
    }

    /// The outermost value.
    pub const fn root(&self) -> &Value<'a> {
        &self.root
    }

    /// What the document was read from.
    pub const fn source(&self) -> &'a [u8] {
        self.source
    }

    /// The bytes to take away so that the top-level member `name` is gone, with one comma and the
    /// space around it, and the rest is still a document. `None` if there is no such member.
    pub fn cut(&self, name: &str) -> Option<Range<usize>> {
        let members = self.root.members()?;
        let place = members.iter().position(|member| member.name == name)?;
        let member = members.get(place)?;
        let before = place.checked_sub(1).and_then(|place| members.get(place));
        let next = members.get(place.saturating_add(1));
        Some(match (before, next) {
            (_, Some(next)) => member.name_span.start..next.name_span.start,
            (Some(before), None) => before.value.span.end..member.value.span.end,
            (None, None) => member.name_span.start..member.value.span.end,
        })
    }
}

impl<'a> Value<'a> {
    /// The members, if it is an object.
    pub fn members(&self) -> Option<&[Member<'a>]> {
        match &self.content {
            Content::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The member of that name, if it is an object and has one.
    pub fn member(&self, name: &str) -> Option<&Member<'a>> {
        self.members()?.iter().find(|member| member.name == name)
    }

    /// The text, if it is a text.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text or the number's text, if it is one of them.
    pub fn text_or_number(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            Content::Number(number) => Some(number),
            _ => None,
        }
    }

    /// Whether it is `null`.
    pub const fn is_null(&self) -> bool {
        matches!(self.content, Content::Null)
    }

    /// What kind of value it is, in words.
    pub const fn kind(&self) -> &'static str {
        match self.content {
            Content::Null => "null",
            Content::Bool(_) => "true or false",
            Content::Number(_) => "a number",
            Content::Text(_) => "a text",
            Content::List(_) => "a list",
            Content::Object(_) => "an object",
        }
    }
}

/// Why a source is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// What is wrong.
    pub problem: Problem,
    /// Where, in bytes from the start of the source.
    pub offset: usize,
    /// The innermost member that was being read, if one was.
    pub member: Option<String>,
}

/// What can be wrong with a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// Bytes that are no UTF-8.
    InvalidUtf8,
    /// The source ends too early.
    Ended,
    /// Something else than a value.
    ValueExpected,
    /// Something else than a quoted name.
    NameExpected,
    /// Something else than a colon after a name.
    ColonExpected,
    /// Something else than a comma or the closing bracket.
    CommaExpected,
    /// A comma before the closing bracket.
    TrailingComma,
    /// Typographic or single quotes.
    WrongQuotes,
    /// A word that is none of `true`, `false`, `null`.
    UnknownWord,
    /// A number that is not written as JSON writes numbers.
    MalformedNumber,
    /// An escape that JSON does not have.
    UnknownEscape,
    /// Half of a surrogate pair.
    UnpairedSurrogate,
    /// A line break or another control character inside a text.
    ControlCharacter,
    /// The same name twice in one object.
    DuplicateName,
    /// More than [`DEPTH_MAX`].
    TooDeep,
    /// More than [`MEMBERS_MAX`].
    TooManyMembers,
    /// Longer than [`NAME_MAX`].
    NameTooLong,
    /// Longer than [`TEXT_MAX`].
    TextTooLong,
    /// Longer than [`NUMBER_MAX`].
    NumberTooLong,
    /// Something after the end of the document.
    TrailingText,
}

impl Problem {
    const fn words(self) -> &'static str {
        match self {
            Self::InvalidUtf8 => "not UTF-8",
            Self::Ended => "the text ends too early",
            Self::ValueExpected => "a value was expected",
            Self::NameExpected => "a name in double quotes was expected",
            Self::ColonExpected => "a colon was expected",
            Self::CommaExpected => "a comma or a closing bracket was expected",
            Self::TrailingComma => "a comma before the closing bracket",
            Self::WrongQuotes => "quotes other than the plain double quote",
            Self::UnknownWord => "a word without quotes that is not true, false or null",
            Self::MalformedNumber => "a malformed number",
            Self::UnknownEscape => "an unknown escape in a text",
            Self::UnpairedSurrogate => "half of a surrogate pair in a text",
            Self::ControlCharacter => "an unescaped control character in a text",
            Self::DuplicateName => "the same name twice",
            Self::TooDeep => "nested more than 8 deep",
            Self::TooManyMembers => "more than 128 members",
            Self::NameTooLong => "a name longer than 128 bytes",
            Self::TextTooLong => "a text longer than 8192 bytes",
            Self::NumberTooLong => "a number longer than 128 characters",
            Self::TrailingText => "text after the end",
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not readable as JSON at byte {}: {}", self.offset, self.problem.words())
    }
}

impl std::error::Error for JsonError {}

#[cfg(test)]
mod tests;
