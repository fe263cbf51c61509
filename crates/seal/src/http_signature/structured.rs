//! Dictionaries of Structured Fields (RFC 9651, before it RFC 8941), as far as signatures and
//! digests need them: strings, integers and byte sequences by value, everything else by its form.
//!
//! Stricter than the standard in one point: a key that stands twice is refused, where the standard
//! lets the last one win.

use super::{SignatureError, message::Class};
use smallvec::SmallVec;
use std::ops::Range;

/// The members of a dictionary, each kind of part in one place, with room for what most signatures
/// have: reading one asks for no memory and moves nothing.
#[derive(Debug, Default)]
pub(super) struct Dictionary<'a> {
    members: SmallVec<[Member<'a>; 2]>,
    items: SmallVec<[Item<'a>; 6]>,
    parameters: SmallVec<[Parameter<'a>; 6]>,
}

/// One member of a dictionary.
#[derive(Debug, PartialEq)]
pub(super) struct Member<'a> {
    pub(super) key: &'a str,
    pub(super) value: Value<'a>,
    parameters: Range<usize>,
    /// Value and parameters as received.
    pub(super) text: &'a str,
}

#[derive(Debug, PartialEq)]
pub(super) enum Value<'a> {
    Bare(Bare<'a>),
    /// See [`Dictionary::items`].
    List(Range<usize>),
}

/// One item of an inner list.
#[derive(Debug, PartialEq)]
pub(super) struct Item<'a> {
    pub(super) bare: Bare<'a>,
    pub(super) has_parameters: bool,
}

#[derive(Debug, PartialEq)]
pub(super) struct Parameter<'a> {
    pub(super) name: &'a str,
    pub(super) value: Bare<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bare<'a> {
    Integer(i64),
    /// What stands between the quotes, escapes not resolved: a text that needs one is none of ours.
    Text(&'a str),
    /// The base64 between the colons, not decoded.
    Bytes(&'a str),
    /// A token, decimal, boolean or date.
    Other,
}

impl<'a> Dictionary<'a> {
    /// Reads a dictionary of at most `max_members`, each an inner list of at most `max_items` or an
    /// item. The caller has bounded the text, and it is ASCII.
    pub(super) fn read(
        &mut self,
        text: &'a str,
        max_members: usize,
        max_items: usize,
    ) -> Result<(), SignatureError> {
        let mut cursor = Cursor { text: text.trim_matches(' '), at: 0 };
        while cursor.peek().is_some() {
            let member = cursor.member(self, max_items)?;
            if self.members.iter().any(|other| other.key == member.key) {
                return Err(SignatureError::Duplicate);
            }
            self.members.push(member);
            cursor.skip_blanks();
            if cursor.peek().is_none() {
                break;
            }
            cursor.expect(b',')?;
            cursor.skip_blanks();
            if cursor.peek().is_none() || self.members.len() >= max_members {
                return Err(SignatureError::Malformed);
            }
        }
        Ok(())
    }

    pub(super) fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    pub(super) fn parameters(&self, member: &Member<'a>) -> &[Parameter<'a>] {
        self.parameters.get(member.parameters.clone()).unwrap_or_default()
    }

    /// The items of a member that is a list.
    pub(super) fn items(&self, member: &Member<'a>) -> Option<&[Item<'a>]> {
        match &member.value {
            Value::List(items) => self.items.get(items.clone()),
            Value::Bare(_) => None,
        }
    }
}

/// What is read, and how far. Only ASCII is ever passed, so the place is between two characters.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn member(
        &mut self,
        dictionary: &mut Dictionary<'a>,
        max_items: usize,
    ) -> Result<Member<'a>, SignatureError> {
        let key = self.key()?;
        let is_given = self.take(b'=');
        let start = self.at;
        let value = if !is_given {
            Value::Bare(Bare::Other)
        } else if self.take(b'(') {
            Value::List(self.items(dictionary, max_items)?)
        } else {
            Value::Bare(self.bare()?)
        };
        let parameters = self.parameters(&mut dictionary.parameters)?;
        Ok(Member { key, value, parameters, text: self.since(start) })
    }

    /// The items of an inner list up to its end.
    fn items(
        &mut self,
        dictionary: &mut Dictionary<'a>,
        max_items: usize,
    ) -> Result<Range<usize>, SignatureError> {
        let start = dictionary.items.len();
        loop {
            self.skip_spaces();
            let end = dictionary.items.len();
            if self.take(b')') {
                return Ok(start..end);
            }
            if end - start >= max_items {
                return Err(SignatureError::Malformed);
            }
            let bare = self.bare()?;
            let has_parameters = !self.parameters(&mut dictionary.parameters)?.is_empty();
            dictionary.items.push(Item { bare, has_parameters });
            if !matches!(self.peek(), Some(b' ' | b')')) {
                return Err(SignatureError::Malformed);
            }
        }
    }

    fn parameters(
        &mut self,
        parameters: &mut SmallVec<[Parameter<'a>; 6]>,
    ) -> Result<Range<usize>, SignatureError> {
        /// More than any signature has.
        const MAX_PARAMETERS: usize = 16;
        let start = parameters.len();
        while self.take(b';') {
            self.skip_spaces();
            let name = self.key()?;
            let value = if self.take(b'=') { self.bare()? } else { Bare::Other };
            if parameters.iter().skip(start).any(|other| other.name == name) {
                return Err(SignatureError::Duplicate);
            }
            if parameters.len() - start >= MAX_PARAMETERS {
                return Err(SignatureError::Malformed);
            }
            parameters.push(Parameter { name, value });
        }
        Ok(start..parameters.len())
    }

    fn bare(&mut self) -> Result<Bare<'a>, SignatureError> {
        match self.peek().ok_or(SignatureError::Malformed)? {
            b'"' => self.text(),
            b':' => {
                self.expect(b':')?;
                let encoded = self.take_while(Class::BASE64);
                self.expect(b':')?;
                Ok(Bare::Bytes(encoded))
            }
            b'-' | b'0'..=b'9' => self.number(),
            b'?' => {
                self.expect(b'?')?;
                if self.take(b'0') || self.take(b'1') {
                    Ok(Bare::Other)
                } else {
                    Err(SignatureError::Malformed)
                }
            }
            b'@' => {
                self.expect(b'@')?;
                match self.number()? {
                    Bare::Integer(_) => Ok(Bare::Other),
                    _ => Err(SignatureError::Malformed),
                }
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'*' => {
                self.take_while(Class::LONG_TOKEN);
                Ok(Bare::Other)
            }
            _ => Err(SignatureError::Malformed),
        }
    }

    fn text(&mut self) -> Result<Bare<'a>, SignatureError> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            self.take_while(Class::TEXT);
            if self.take(b'\\') {
                if !self.take(b'"') && !self.take(b'\\') {
                    return Err(SignatureError::Malformed);
                }
                continue;
            }
            let text = self.since(start);
            self.expect(b'"')?;
            return Ok(Bare::Text(text));
        }
    }

    /// An integer of up to 15 digits, or a decimal of up to 12 and 3.
    fn number(&mut self) -> Result<Bare<'a>, SignatureError> {
        let start = self.at;
        self.take(b'-');
        let whole = self.take_while(Class::DIGIT);
        if self.take(b'.') {
            let fraction = self.take_while(Class::DIGIT);
            let fits = (1..=12).contains(&whole.len()) && (1..=3).contains(&fraction.len());
            return if fits { Ok(Bare::Other) } else { Err(SignatureError::Malformed) };
        }
        if !(1..=15).contains(&whole.len()) {
            return Err(SignatureError::Malformed);
        }
        self.since(start).parse().map(Bare::Integer).map_err(|_| SignatureError::Malformed)
    }

    fn key(&mut self) -> Result<&'a str, SignatureError> {
        if !matches!(self.peek(), Some(b'a'..=b'z' | b'*')) {
            return Err(SignatureError::Malformed);
        }
        Ok(self.take_while(Class::KEY))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, expected: u8) -> bool {
        let is_there = self.peek() == Some(expected);
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, expected: u8) -> Result<(), SignatureError> {
        if self.take(expected) { Ok(()) } else { Err(SignatureError::Malformed) }
    }

    fn skip_spaces(&mut self) {
        while self.take(b' ') {}
    }

    fn skip_blanks(&mut self) {
        while self.take(b' ') || self.take(b'\t') {}
    }

    fn take_while(&mut self, class: Class) -> &'a str {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        self.at += rest.iter().position(|byte| !class.has(*byte)).unwrap_or(rest.len());
        self.since(start)
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Dictionary<'_>, SignatureError> {
        let mut dictionary = Dictionary::default();
        dictionary.read(text, 4, 3)?;
        Ok(dictionary)
    }

    #[test]
    fn values_of_every_kind() {
        let members = read(
            "  a=-15;x;y=?0;z=tok/en:1, b-1*=\"q\\\"\\\\\" ,\t c.=:aGk=:, d=(\"e\";f=1.25 7  @12 );g  ",
        )
        .unwrap();
        let [a, b, c, d] = members.members() else { panic!("{members:?}") };
        assert_eq!((a.key, &a.value), ("a", &Value::Bare(Bare::Integer(-15))));
        assert_eq!((members.parameters(a).len(), a.text), (3, "-15;x;y=?0;z=tok/en:1"));
        assert_eq!((b.key, &b.value), ("b-1*", &Value::Bare(Bare::Text("q\\\"\\\\"))));
        assert_eq!((c.key, &c.value), ("c.", &Value::Bare(Bare::Bytes("aGk="))));
        assert_eq!((d.key, d.text), ("d", "(\"e\";f=1.25 7  @12 );g"));
        let items = members.items(d).unwrap();
        let bare: Vec<_> = items.iter().map(|item| &item.bare).collect();
        assert_eq!(bare, [&Bare::Text("e"), &Bare::Integer(7), &Bare::Other]);
        assert!(items.first().unwrap().has_parameters);
        assert!(read("").unwrap().members().is_empty());
        assert_eq!(read("a").unwrap().members().first().unwrap().value, Value::Bare(Bare::Other));
    }

    #[test]
    fn what_is_no_dictionary_is_refused() {
        for text in [
            "A=1",
            "1=1",
            "a=",
            "a =1",
            "a= 1",
            ",",
            "a=1,",
            "a=1,,b=1",
            "a=1 b=1",
            "\ta=1",
            "a=1;",
            "a=1;X",
            "a=\"",
            "a=\"\t\"",
            "a=\"\\n\"",
            "a=:aGk=",
            "a=:a-_:",
            "a=: :",
            "a=-",
            "a=1.",
            "a=.1",
            "a=1.2345",
            "a=1234567890123456",
            "a=1234567890123.1",
            "a=?2",
            "a=@1.5",
            "a=%\"x\"",
            "a=(",
            "a=(1",
            "a=(1,2)",
            "a=(1\t2)",
            "a=(\"a\"\"b\")",
            "a=((1))",
            "a=(1 2 3 4)",
            "a=é",
            "a=\"é\"",
            "a,b,c,d,e",
            "a=1;;b",
        ] {
            assert_eq!(read(text).err(), Some(SignatureError::Malformed), "{text}");
        }
        for text in ["a=1, a=1", "a=1;b=1;b=1", "a=(1;b;b)"] {
            assert_eq!(read(text).err(), Some(SignatureError::Duplicate), "{text}");
        }
        let many: Vec<_> = (0..17).map(|number| format!(";p{number}")).collect();
        let many = format!("a{}", many.concat());
        assert_eq!(read(&many).err(), Some(SignatureError::Malformed));
    }
}
