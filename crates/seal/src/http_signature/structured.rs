//! Dictionaries of Structured Fields (RFC 9651, before it RFC 8941), as far as signatures and
//! digests need them: strings, integers and byte sequences by value, everything else by its form.
//!
//! Stricter than the standard in one point: a key that stands twice is refused, where the standard
//! lets the last one win.

use super::{SignatureError, message::Class};

/// One member of a dictionary.
#[derive(Debug, PartialEq)]
pub(super) struct Member<'a> {
    pub(super) key: &'a str,
    pub(super) value: Value<'a>,
    pub(super) parameters: Vec<Parameter<'a>>,
    /// Value and parameters as received.
    pub(super) text: &'a str,
}

#[derive(Debug, PartialEq)]
pub(super) enum Value<'a> {
    Bare(Bare<'a>),
    List(Vec<Item<'a>>),
}

/// One item of an inner list.
#[derive(Debug, PartialEq)]
pub(super) struct Item<'a> {
    pub(super) bare: Bare<'a>,
    pub(super) parameters: Vec<Parameter<'a>>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Parameter<'a> {
    pub(super) name: &'a str,
    pub(super) value: Bare<'a>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Bare<'a> {
    Integer(i64),
    /// What stands between the quotes, escapes not resolved: a text that needs one is none of ours.
    Text(&'a str),
    /// The base64 between the colons, not decoded.
    Bytes(&'a str),
    /// A token, decimal, boolean or date.
    Other,
}

/// Reads a dictionary of at most `max_members`, each an inner list of at most `max_items` or an
/// item. The caller has bounded the text, and it is ASCII.
pub(super) fn dictionary(
    text: &str,
    max_members: usize,
    max_items: usize,
) -> Result<Vec<Member<'_>>, SignatureError> {
    let mut cursor = Cursor { rest: text.trim_matches(' ') };
    let mut members: Vec<Member<'_>> = Vec::with_capacity(1);
    while !cursor.rest.is_empty() {
        let member = cursor.member(max_items)?;
        if members.iter().any(|other| other.key == member.key) {
            return Err(SignatureError::Duplicate);
        }
        members.push(member);
        cursor.rest = cursor.rest.trim_start_matches([' ', '\t']);
        if cursor.rest.is_empty() {
            break;
        }
        cursor.expect(',')?;
        cursor.rest = cursor.rest.trim_start_matches([' ', '\t']);
        if cursor.rest.is_empty() || members.len() >= max_members {
            return Err(SignatureError::Malformed);
        }
    }
    Ok(members)
}

/// What is left to read.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn member(&mut self, max_items: usize) -> Result<Member<'a>, SignatureError> {
        let key = self.key()?;
        let is_given = self.take('=');
        let start = self.rest;
        let value = if !is_given {
            Value::Bare(Bare::Other)
        } else if self.take('(') {
            Value::List(self.items(max_items)?)
        } else {
            Value::Bare(self.bare()?)
        };
        let parameters = self.parameters()?;
        let text = start.get(..start.len() - self.rest.len()).unwrap_or_default();
        Ok(Member { key, value, parameters, text })
    }

    /// The items of an inner list up to its end.
    fn items(&mut self, max_items: usize) -> Result<Vec<Item<'a>>, SignatureError> {
        // As many as most signatures have.
        let mut items = Vec::with_capacity(8);
        loop {
            self.rest = self.rest.trim_start_matches(' ');
            if self.take(')') {
                return Ok(items);
            }
            if items.len() >= max_items {
                return Err(SignatureError::Malformed);
            }
            let bare = self.bare()?;
            items.push(Item { bare, parameters: self.parameters()? });
            if !self.rest.starts_with([' ', ')']) {
                return Err(SignatureError::Malformed);
            }
        }
    }

    fn parameters(&mut self) -> Result<Vec<Parameter<'a>>, SignatureError> {
        /// More than any signature has.
        const MAX_PARAMETERS: usize = 16;
        let mut parameters: Vec<Parameter<'a>> = Vec::new();
        while self.take(';') {
            if parameters.is_empty() {
                parameters.reserve_exact(6);
            }
            self.rest = self.rest.trim_start_matches(' ');
            let name = self.key()?;
            let value = if self.take('=') { self.bare()? } else { Bare::Other };
            if parameters.iter().any(|other| other.name == name) {
                return Err(SignatureError::Duplicate);
            }
            if parameters.len() >= MAX_PARAMETERS {
                return Err(SignatureError::Malformed);
            }
            parameters.push(Parameter { name, value });
        }
        Ok(parameters)
    }

    fn bare(&mut self) -> Result<Bare<'a>, SignatureError> {
        let first = self.rest.chars().next().ok_or(SignatureError::Malformed)?;
        match first {
            '"' => self.text(),
            ':' => {
                self.expect(':')?;
                let encoded = self.take_while(Class::BASE64);
                self.expect(':')?;
                Ok(Bare::Bytes(encoded))
            }
            '-' | '0'..='9' => self.number(),
            '?' => {
                self.expect('?')?;
                if self.take('0') || self.take('1') {
                    Ok(Bare::Other)
                } else {
                    Err(SignatureError::Malformed)
                }
            }
            '@' => {
                self.expect('@')?;
                match self.number()? {
                    Bare::Integer(_) => Ok(Bare::Other),
                    _ => Err(SignatureError::Malformed),
                }
            }
            'A'..='Z' | 'a'..='z' | '*' => {
                self.take_while(Class::LONG_TOKEN);
                Ok(Bare::Other)
            }
            _ => Err(SignatureError::Malformed),
        }
    }

    fn text(&mut self) -> Result<Bare<'a>, SignatureError> {
        self.expect('"')?;
        let start = self.rest;
        loop {
            self.take_while(Class::TEXT);
            if self.take('\\') {
                if !self.take('"') && !self.take('\\') {
                    return Err(SignatureError::Malformed);
                }
                continue;
            }
            let text = start.get(..start.len() - self.rest.len()).unwrap_or_default();
            self.expect('"')?;
            return Ok(Bare::Text(text));
        }
    }

    /// An integer of up to 15 digits, or a decimal of up to 12 and 3.
    fn number(&mut self) -> Result<Bare<'a>, SignatureError> {
        let start = self.rest;
        self.take('-');
        let whole = self.take_while(Class::DIGIT);
        if self.take('.') {
            let fraction = self.take_while(Class::DIGIT);
            let fits = (1..=12).contains(&whole.len()) && (1..=3).contains(&fraction.len());
            return if fits { Ok(Bare::Other) } else { Err(SignatureError::Malformed) };
        }
        if !(1..=15).contains(&whole.len()) {
            return Err(SignatureError::Malformed);
        }
        let text = start.get(..start.len() - self.rest.len()).unwrap_or_default();
        text.parse().map(Bare::Integer).map_err(|_| SignatureError::Malformed)
    }

    fn key(&mut self) -> Result<&'a str, SignatureError> {
        if !self.rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '*') {
            return Err(SignatureError::Malformed);
        }
        Ok(self.take_while(Class::KEY))
    }

    fn take(&mut self, expected: char) -> bool {
        let rest = self.rest.strip_prefix(expected);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, expected: char) -> Result<(), SignatureError> {
        if self.take(expected) { Ok(()) } else { Err(SignatureError::Malformed) }
    }

    fn take_while(&mut self, class: Class) -> &'a str {
        let end = self.rest.bytes().position(|byte| !class.has(byte)).unwrap_or(self.rest.len());
        // Only ASCII fits, so the end is between two characters.
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or(("", self.rest));
        self.rest = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Member<'_>>, SignatureError> {
        dictionary(text, 4, 3)
    }

    #[test]
    fn values_of_every_kind() {
        let members = read(
            "  a=-15;x;y=?0;z=tok/en:1, b-1*=\"q\\\"\\\\\" ,\t c.=:aGk=:, d=(\"e\";f=1.25 7  @12 );g  ",
        )
        .unwrap();
        let [a, b, c, d] = members.as_slice() else { panic!("{members:?}") };
        assert_eq!((a.key, &a.value), ("a", &Value::Bare(Bare::Integer(-15))));
        assert_eq!((a.parameters.len(), a.text), (3, "-15;x;y=?0;z=tok/en:1"));
        assert_eq!((b.key, &b.value), ("b-1*", &Value::Bare(Bare::Text("q\\\"\\\\"))));
        assert_eq!((c.key, &c.value), ("c.", &Value::Bare(Bare::Bytes("aGk="))));
        assert_eq!((d.key, d.text), ("d", "(\"e\";f=1.25 7  @12 );g"));
        let Value::List(items) = &d.value else { panic!("{d:?}") };
        let bare: Vec<_> = items.iter().map(|item| &item.bare).collect();
        assert_eq!(bare, [&Bare::Text("e"), &Bare::Integer(7), &Bare::Other]);
        assert_eq!(items.first().unwrap().parameters.len(), 1);
        assert_eq!(read("").unwrap(), []);
        assert_eq!(read("a").unwrap().first().unwrap().value, Value::Bare(Bare::Other));
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
            assert_eq!(read(text), Err(SignatureError::Malformed), "{text}");
        }
        for text in ["a=1, a=1", "a=1;b=1;b=1", "a=(1;b;b)"] {
            assert_eq!(read(text), Err(SignatureError::Duplicate), "{text}");
        }
        let many: Vec<_> = (0..17).map(|number| format!(";p{number}")).collect();
        assert_eq!(read(&format!("a{}", many.concat())), Err(SignatureError::Malformed));
    }
}
