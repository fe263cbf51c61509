//! The reader proper: one pass, no going back.

use super::{Content, DEPTH_MAX, JsonError, MEMBERS_MAX, Member, NAME_MAX, NUMBER_MAX, Problem};
use super::{TEXT_MAX, Value};
use std::borrow::Cow;

pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// How many members and elements were begun.
    members: usize,
    /// The innermost member that is being read, for errors.
    member: Option<Cow<'a, str>>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, members: 0, member: None }
    }

    /// Reads the one value that the text is.
    pub(super) fn document(mut self) -> Result<Value<'a>, JsonError> {
        let root = self.value(0)?;
        self.skip_space();
        match self.peek() {
            None => Ok(root),
            Some(_) => Err(self.wrong(Problem::TrailingText)),
        }
    }

    /// Reads one value, inside of `depth` open brackets.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        self.skip_space();
        let start = self.at;
        let content = match self.peek() {
            None => return Err(self.wrong(Problem::Ended)),
            Some(b'{') => Content::Object(self.object(depth)?),
            Some(b'[') => Content::List(self.list(depth)?),
            Some(b'"') => Content::Text(self.quoted(TEXT_MAX, Problem::TextTooLong)?),
            Some(b'-' | b'0'..=b'9') => Content::Number(self.number()?),
            Some(_) => self.word()?,
        };
        Ok(Value { content, span: start..self.at })
    }

    fn object(&mut self, depth: usize) -> Result<Vec<Member<'a>>, JsonError> {
        let depth = self.open(depth)?;
        let mut members = Vec::new();
        if self.closes(b'}') {
            return Ok(members);
        }
        loop {
            let member = self.member(depth, &members)?;
            members.push(member);
            if self.closes(b'}') {
                return Ok(members);
            }
            self.comma(b'}')?;
        }
    }

    fn member(&mut self, depth: usize, earlier: &[Member<'a>]) -> Result<Member<'a>, JsonError> {
        self.count()?;
        let start = self.at;
        match self.peek() {
            Some(b'"') => {}
            None => return Err(self.wrong(Problem::Ended)),
            Some(_) if self.at_wrong_quotes() => return Err(self.wrong(Problem::WrongQuotes)),
            Some(_) => return Err(self.wrong(Problem::NameExpected)),
        }
        let name = self.quoted(NAME_MAX, Problem::NameTooLong)?;
        let name_span = start..self.at;
        let outer = self.member.replace(name.clone());
        if earlier.iter().any(|member| member.name == name) {
            return Err(self.wrong_at(Problem::DuplicateName, start));
        }
        self.skip_space();
        self.expect(b':', Problem::ColonExpected)?;
        let value = self.value(depth)?;
        self.member = outer;
        Ok(Member { name, name_span, value })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Value<'a>>, JsonError> {
        let depth = self.open(depth)?;
        let mut values = Vec::new();
        if self.closes(b']') {
            return Ok(values);
        }
        loop {
            self.count()?;
            values.push(self.value(depth)?);
            if self.closes(b']') {
                return Ok(values);
            }
            self.comma(b']')?;
        }
    }

    /// Reads a text or a name; stands on the opening quote.
    fn quoted(&mut self, limit: usize, too_long: Problem) -> Result<Cow<'a, str>, JsonError> {
        let opening = self.at;
        self.step();
        let mut run_start = self.at;
        let mut unescaped: Option<String> = None;
        loop {
            match self.peek() {
                None => return Err(self.wrong(Problem::Ended)),
                Some(b'"') => break,
                Some(b'\\') => {
                    let run = self.since(run_start);
                    let character = self.escape()?;
                    let text = unescaped.get_or_insert_default();
                    text.push_str(run);
                    text.push(character);
                    run_start = self.at;
                }
                Some(0..=0x1f) => return Err(self.wrong(Problem::ControlCharacter)),
                Some(_) => self.step(),
            }
        }
        let run = self.since(run_start);
        self.step();
        let text = match unescaped {
            None => Cow::Borrowed(run),
            Some(mut text) => {
                text.push_str(run);
                Cow::Owned(text)
            }
        };
        if text.len() > limit { Err(self.wrong_at(too_long, opening)) } else { Ok(text) }
    }

    /// Reads one escape; stands on the backslash.
    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        self.step();
        let Some(byte) = self.peek() else { return Err(self.wrong(Problem::Ended)) };
        self.step();
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(start),
            _ => return Err(self.wrong_at(Problem::UnknownEscape, start)),
        })
    }

    /// Reads the four digits after `\u`, and a second such escape where the first is the high half
    /// of a surrogate pair.
    fn unicode_escape(&mut self, start: usize) -> Result<char, JsonError> {
        let high = self.four_digits(start)?;
        let units = if (0xd800..0xdc00).contains(&high) {
            if !(self.take(b'\\') && self.take(b'u')) {
                return Err(self.wrong_at(Problem::UnpairedSurrogate, start));
            }
            [Some(high), Some(self.four_digits(start)?)]
        } else {
            [Some(high), None]
        };
        let mut characters = char::decode_utf16(units.into_iter().flatten());
        match (characters.next(), characters.next()) {
            (Some(Ok(character)), None) => Ok(character),
            _ => Err(self.wrong_at(Problem::UnpairedSurrogate, start)),
        }
    }

    fn four_digits(&mut self, start: usize) -> Result<u16, JsonError> {
        let mut code = 0_u16;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit.and_then(|digit| u16::try_from(digit).ok()) else {
                return Err(self.wrong_at(Problem::UnknownEscape, start));
            };
            code = (code << 4) | digit;
            self.step();
        }
        Ok(code)
    }

    /// Reads `[-] (0 | 1-9 digits) [. digits] [e [+-] digits]`.
    fn number(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits(start)?;
        }
        if self.take(b'.') {
            self.digits(start)?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits(start)?;
        }
        if matches!(self.peek(), Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.')) {
            return Err(self.wrong_at(Problem::MalformedNumber, start));
        }
        let number = self.since(start);
        if number.len() > NUMBER_MAX {
            return Err(self.wrong_at(Problem::NumberTooLong, start));
        }
        Ok(number)
    }

    fn digits(&mut self, start: usize) -> Result<(), JsonError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.wrong_at(Problem::MalformedNumber, start));
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.step();
        }
        Ok(())
    }

    fn word(&mut self) -> Result<Content<'a>, JsonError> {
        let start = self.at;
        if self.at_wrong_quotes() {
            return Err(self.wrong(Problem::WrongQuotes));
        }
        while matches!(self.peek(), Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_')) {
            self.step();
        }
        match self.since(start) {
            "null" => Ok(Content::Null),
            "true" => Ok(Content::Bool(true)),
            "false" => Ok(Content::Bool(false)),
            "" => Err(self.wrong_at(Problem::ValueExpected, start)),
            _ => Err(self.wrong_at(Problem::UnknownWord, start)),
        }
    }

    /// Steps over an opening bracket and the space behind it; the depth inside of it.
    fn open(&mut self, depth: usize) -> Result<usize, JsonError> {
        if depth >= DEPTH_MAX {
            return Err(self.wrong(Problem::TooDeep));
        }
        self.step();
        Ok(depth.saturating_add(1))
    }

    /// Steps over the closing bracket, if it is next.
    fn closes(&mut self, bracket: u8) -> bool {
        self.skip_space();
        self.take(bracket)
    }

    /// Steps over a comma that is not the last thing before the closing bracket.
    fn comma(&mut self, bracket: u8) -> Result<(), JsonError> {
        let comma = self.at;
        self.expect(b',', Problem::CommaExpected)?;
        self.skip_space();
        if self.peek() == Some(bracket) {
            return Err(self.wrong_at(Problem::TrailingComma, comma));
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), JsonError> {
        if self.members >= MEMBERS_MAX {
            return Err(self.wrong(Problem::TooManyMembers));
        }
        self.members = self.members.saturating_add(1);
        Ok(())
    }

    fn at_wrong_quotes(&self) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        rest.starts_with(['\'', '`', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{201e}'])
    }

    fn expect(&mut self, byte: u8, problem: Problem) -> Result<(), JsonError> {
        if self.take(byte) {
            return Ok(());
        }
        let ended = self.peek().is_none();
        Err(self.wrong(if ended { Problem::Ended } else { problem }))
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.step();
        }
        there
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.step();
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    /// The text from `start` up to here; both stand on ASCII, so they never part a character.
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn wrong(&self, problem: Problem) -> JsonError {
        self.wrong_at(problem, self.at)
    }

    fn wrong_at(&self, problem: Problem, offset: usize) -> JsonError {
        let member = self.member.as_ref().map(|name| name.clone().into_owned());
        JsonError { problem, offset, member }
    }
}
