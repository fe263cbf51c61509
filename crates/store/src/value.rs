//! Values that go into statements and come out of rows: three column types and NULL.

use crate::Error;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::profit::Points;
use tradewarden_domain::source::Source;
use tradewarden_domain::time::Timestamp;

/// A parameter or a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// BIGINT.
    Int(i64),
    /// TEXT.
    Text(String),
    /// TEXT that the program knows by heart.
    Word(&'static str),
    /// BLOB or BYTEA.
    Bytes(Vec<u8>),
    /// An identifier's sixteen bytes.
    Id([u8; 16]),
    /// A hash's 32 bytes.
    Hash([u8; 32]),
}

impl Value {
    /// Whether it is a text with a NUL in it.
    pub(crate) fn has_nul(&self) -> bool {
        match self {
            Self::Text(text) => text.as_bytes().contains(&0),
            Self::Word(text) => text.as_bytes().contains(&0),
            Self::Null | Self::Int(_) | Self::Bytes(_) | Self::Id(_) | Self::Hash(_) => false,
        }
    }

    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Id(bytes) => Some(bytes),
            Self::Hash(bytes) => Some(bytes),
            Self::Null | Self::Int(_) | Self::Text(_) | Self::Word(_) => None,
        }
    }
}

impl<K> From<Id<K>> for Value {
    fn from(id: Id<K>) -> Self {
        Self::Id(id.to_bytes())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

/// Sixteen bytes: it is larger than any integer of a database.
impl From<Points> for Value {
    fn from(points: Points) -> Self {
        Self::Bytes(points.units().to_be_bytes().to_vec())
    }
}

impl From<[u8; 32]> for Value {
    fn from(hash: [u8; 32]) -> Self {
        Self::Hash(hash)
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        Self::Int(at.unix_micros())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of an answer, read from left to right.
#[derive(Debug, Clone)]
pub struct Row {
    columns: std::vec::IntoIter<Value>,
}

impl Row {
    pub(crate) fn new(columns: Vec<Value>) -> Self {
        Self { columns: columns.into_iter() }
    }

    fn next(&mut self) -> Result<Value, Error> {
        self.columns.next().ok_or_else(|| Error::broken("a row has fewer columns than expected"))
    }

    /// The next column, which may be NULL.
    fn optional<T>(
        &mut self,
        read: impl FnOnce(Value) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match self.next()? {
            Value::Null => Ok(None),
            value => read(value).map(Some),
        }
    }

    /// The next column, an integer.
    pub fn int(&mut self) -> Result<i64, Error> {
        int(self.next()?)
    }

    /// The next column, an integer or NULL.
    pub fn int_or_null(&mut self) -> Result<Option<i64>, Error> {
        self.optional(int)
    }

    /// The next column, an integer within 32 bits.
    pub fn small(&mut self) -> Result<u32, Error> {
        u32::try_from(self.int()?).map_err(|_| Error::broken("a number is out of its range"))
    }

    /// The next column, a text.
    pub fn text(&mut self) -> Result<String, Error> {
        text(self.next()?)
    }

    /// The next column, a text or NULL.
    pub fn text_or_null(&mut self) -> Result<Option<String>, Error> {
        self.optional(text)
    }

    /// The next column, a text that parses.
    pub fn word<T: std::str::FromStr>(&mut self) -> Result<T, Error> {
        let text = self.text()?;
        text.parse().map_err(|_| Error::broken(format!("unknown word {text:?}")))
    }

    /// The next column, a text that parses, or NULL.
    pub fn word_or_null<T: std::str::FromStr>(&mut self) -> Result<Option<T>, Error> {
        let Some(text) = self.text_or_null()? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Error::broken(format!("unknown word {text:?}")))
    }

    /// The next column, bytes.
    pub fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        bytes(self.next()?)
    }

    /// The next column, bytes or NULL.
    pub fn bytes_or_null(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.optional(bytes)
    }

    /// The next column, a hash.
    pub fn hash(&mut self) -> Result<[u8; 32], Error> {
        self.bytes()?.try_into().map_err(|_| Error::broken("a hash has not 32 bytes"))
    }

    /// The next column, price times quantity.
    pub fn points(&mut self) -> Result<Points, Error> {
        let bytes = self.bytes()?.try_into();
        let bytes = bytes.map_err(|_| Error::broken("a number has not 16 bytes"))?;
        Ok(Points::from_units(i128::from_be_bytes(bytes)))
    }

    /// The next column, an identifier.
    pub fn id<K>(&mut self) -> Result<Id<K>, Error> {
        id(self.next()?)
    }

    /// The next column, an identifier or NULL.
    pub fn id_or_null<K>(&mut self) -> Result<Option<Id<K>>, Error> {
        self.optional(id)
    }

    /// The next column, a time.
    pub fn time(&mut self) -> Result<Timestamp, Error> {
        self.int().map(Timestamp::from_unix_micros)
    }

    /// The next column, a time or NULL.
    pub fn time_or_null(&mut self) -> Result<Option<Timestamp>, Error> {
        Ok(self.int_or_null()?.map(Timestamp::from_unix_micros))
    }
}

/// The source that two columns name, of which one is NULL.
pub(crate) fn source_of(
    webhook: Option<Id<id::Webhook>>,
    key: Option<Id<id::Key>>,
) -> Result<Source, Error> {
    match (webhook, key) {
        (Some(webhook), None) => Ok(Source::Webhook(webhook)),
        (None, Some(key)) => Ok(Source::Key(key)),
        _ => Err(Error::unreadable("a source is a webhook or a key")),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "one shape with its neighbours")]
fn int(value: Value) -> Result<i64, Error> {
    match value {
        Value::Int(number) => Ok(number),
        _ => Err(Error::broken("a column is not the integer that was expected")),
    }
}

fn text(value: Value) -> Result<String, Error> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Word(text) => Ok(text.to_owned()),
        _ => Err(Error::broken("a column is not the text that was expected")),
    }
}

fn bytes(value: Value) -> Result<Vec<u8>, Error> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        _ => Err(Error::broken("a column is not the bytes that were expected")),
    }
}

fn id<K>(value: Value) -> Result<Id<K>, Error> {
    let bytes = bytes(value)?;
    bytes
        .try_into()
        .map(Id::from_bytes)
        .map_err(|_| Error::broken("an identifier has not 16 bytes"))
}
