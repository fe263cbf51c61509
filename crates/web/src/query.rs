//! Reading the query of a request: names and values, percent-decoded, in a bounded number.

use std::borrow::Cow;

/// More parameters are never ours.
const PARAMETERS_MAX: usize = 16;

/// The parameters of one request, in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Query<'a> {
    parameters: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// The query is not percent-encoded UTF-8, or has too many parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueryError;

/// What one name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Absent,
    Once(&'a str),
    Repeated,
}

impl<'a> Query<'a> {
    /// Reads what follows the question mark; nothing is an empty query.
    pub(crate) fn parse(text: Option<&'a str>) -> Result<Self, QueryError> {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(Self::default());
        };
        let mut parameters = Vec::with_capacity(2);
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if parameters.len() >= PARAMETERS_MAX {
                return Err(QueryError);
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.push((decode(name)?, decode(value)?));
        }
        Ok(Self { parameters })
    }

    pub(crate) fn value(&self, name: &str) -> Value<'_> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (None, _) => Value::Absent,
            (Some(value), None) => Value::Once(value),
            (Some(_), Some(_)) => Value::Repeated,
        }
    }

    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.parameters
            .iter()
            .filter(move |(its_name, _)| its_name == name)
            .map(|(_, value)| value.as_ref())
    }

    /// Whether the request asks for judgement only. In doubt nothing is traded.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.values("dry_run").any(|value| value != "false")
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|(name, _)| name.as_ref())
    }
}

/// Decodes `%xx`. A plus sign is a plus sign: our values never hold a space, and a secret that is
/// pasted into a path would be changed by the other reading.
fn decode(text: &str) -> Result<Cow<'_, str>, QueryError> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next())? << 4 | hex(bytes.next())?,
            plain => plain,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| QueryError)
}

fn hex(digit: Option<u8>) -> Result<u8, QueryError> {
    digit
        .and_then(|digit| char::from(digit).to_digit(16))
        .and_then(|value| u8::try_from(value).ok())
        .ok_or(QueryError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Value::{Absent, Once, Repeated};

    #[test]
    fn names_and_values() {
        let query = Query::parse(Some("secret=a%2Bb+c%C3%A9&dry_run=true&&flag")).unwrap();
        assert_eq!(query.value("secret"), Once("a+b+cé"));
        assert_eq!(query.value("dry_run"), Once("true"));
        assert_eq!(query.value("flag"), Once(""));
        assert_eq!(query.value("other"), Absent);
        assert_eq!(Query::parse(None).unwrap().value("secret"), Absent);
    }

    #[test]
    fn a_name_that_comes_twice_is_known_for_it_however_it_is_written() {
        let query = Query::parse(Some("secret=a&%73ecret=b")).unwrap();
        assert_eq!(query.value("secret"), Repeated);
        assert_eq!(query.values("secret").collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn what_is_no_query_is_refused() {
        for text in ["a=%", "a=%4", "a=%zz", "a=%ff", "%=a", "a=%+1"] {
            assert_eq!(Query::parse(Some(text)).unwrap_err(), QueryError, "{text}");
        }
        let many = "a=1&".repeat(PARAMETERS_MAX + 1);
        assert_eq!(Query::parse(Some(&many)).unwrap_err(), QueryError);
    }
}
