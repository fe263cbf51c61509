//! The sender's own form: where in the sender's JSON our fields are.

use super::assemble::assemble;
use super::field::{FieldError, Fields, Found, TargetField};
use super::native::{action_missing, unknown};
use super::vocabulary::{self, action_word};
use super::{Action, Form, Signal};
use crate::json::{Content, Member, NAME_MAX, Value};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Where in the sender's JSON our fields are, and what the sender's words for actions mean.
///
/// Written as `{"action":"order.side","quantity":"order.qty","values":{"enter_long":"BUY"}}`.
/// A word that is not among the values still has its native meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    fields: BTreeMap<TargetField, Path>,
    values: BTreeMap<String, Action>,
}

/// Names from the outermost object inward, joined by dots: one to four.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(String);

/// How many words for actions a mapping may have.
const WORDS_MAX: usize = 64;
const WORD_LENGTH_MAX: usize = 64;
const SEGMENTS_MAX: usize = 4;

/// Why something is no mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MappingError {
    /// Nothing says where the action is.
    ActionMissing,
    /// Not one to four names of 1 to 128 bytes, joined by dots, without control characters.
    Path,
    /// The member `secret` is not a field of the signal.
    Secret,
    /// More than 64 words, or a word that is empty, longer than 64 bytes, or there twice in another
    /// case.
    Words,
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ActionMissing => "a mapping must say where the action is",
            Self::Path => "a path is 1 to 4 names of 1 to 128 bytes, joined by dots",
            Self::Secret => "the member secret cannot be mapped",
            Self::Words => "at most 64 different words of 1 to 64 bytes",
        })
    }
}

impl std::error::Error for MappingError {}

impl Mapping {
    /// A mapping within its bounds. Words mean the same in any case.
    pub fn new(
        fields: BTreeMap<TargetField, Path>,
        words: impl IntoIterator<Item = (String, Action)>,
    ) -> Result<Self, MappingError> {
        if !fields.contains_key(&TargetField::Action) {
            return Err(MappingError::ActionMissing);
        }
        let mut values = BTreeMap::new();
        for (word, action) in words {
            let folded = word.trim().to_ascii_lowercase();
            let fits = (1..=WORD_LENGTH_MAX).contains(&folded.len());
            if !fits || values.len() >= WORDS_MAX || values.insert(folded, action).is_some() {
                return Err(MappingError::Words);
            }
        }
        Ok(Self { fields, values })
    }

    /// Where each field is.
    pub const fn fields(&self) -> &BTreeMap<TargetField, Path> {
        &self.fields
    }

    /// What the sender's words mean; the words are in lower case.
    pub const fn values(&self) -> &BTreeMap<String, Action> {
        &self.values
    }

    fn action(&self, found: Found<'_>) -> Result<Action, FieldError> {
        let word = found.value.text_or_number().unwrap_or_default().trim().to_ascii_lowercase();
        match self.values.get(&word) {
            Some(action) => Ok(*action),
            None => vocabulary::action(found),
        }
    }
}

impl Path {
    /// The path as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    fn starts_with(&self, name: &str) -> bool {
        self.segments().next() == Some(name)
    }

    /// What stands there. A value in the middle of the way that is no object is an error: the
    /// sender's form is not the one that was mapped.
    fn find<'d>(&'d self, root: &'d Value<'d>) -> Result<Option<Found<'d>>, FieldError> {
        let mut value = root;
        for name in self.segments() {
            match &value.content {
                Content::Null => return Ok(None),
                Content::Object(_) => match value.member(name) {
                    Some(member) => value = &member.value,
                    None => return Ok(None),
                },
                _ => {
                    let detail = format!("{name} has no object around it");
                    return Err(FieldError::field(&self.0, detail));
                }
            }
        }
        Ok(Some(Found { name: &self.0, value }))
    }
}

impl FromStr for Path {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<Self, MappingError> {
        let segments: Vec<_> = text.split('.').collect();
        let fits = |name: &&str| {
            (1..=NAME_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
        };
        if segments.len() > SEGMENTS_MAX || !segments.iter().all(fits) {
            return Err(MappingError::Path);
        }
        if segments.first() == Some(&"secret") {
            return Err(MappingError::Secret);
        }
        Ok(Self(text.to_owned()))
    }
}

impl Serialize for Mapping {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (field, path) in &self.fields {
            map.serialize_entry(field.text(), path.as_str())?;
        }
        if !self.values.is_empty() {
            map.serialize_entry(VALUES, &self.values)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Mapping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MappingVisitor)
    }
}

const VALUES: &str = "values";

struct MappingVisitor;

impl<'de> Visitor<'de> for MappingVisitor {
    type Value = Mapping;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of field names and paths")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Mapping, A::Error> {
        let mut fields = BTreeMap::new();
        let mut words: Option<Words> = None;
        while let Some(name) = map.next_key::<String>()? {
            if name == VALUES {
                if words.replace(map.next_value()?).is_some() {
                    return Err(de::Error::duplicate_field(VALUES));
                }
                continue;
            }
            let Ok(field) = name.parse::<TargetField>() else {
                return Err(de::Error::custom(format!("unknown field {name:.64}")));
            };
            let path = map.next_value::<String>()?.parse().map_err(de::Error::custom)?;
            if fields.insert(field, path).is_some() {
                return Err(de::Error::duplicate_field(field.text()));
            }
        }
        let words = words.map(|words| words.0).unwrap_or_default();
        Mapping::new(fields, words).map_err(de::Error::custom)
    }
}

/// Words and their actions as they were written, so that a word written twice is seen.
struct Words(Vec<(String, Action)>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WordsVisitor)
    }
}

struct WordsVisitor;

impl<'de> Visitor<'de> for WordsVisitor {
    type Value = Words;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of words and actions")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Words, A::Error> {
        let mut words = Vec::new();
        while let Some((word, action)) = map.next_entry::<String, String>()? {
            let Some(action) = action_word(&action) else {
                return Err(de::Error::custom("an action is BUY, SELL or EXIT"));
            };
            if words.len() >= WORDS_MAX {
                return Err(de::Error::custom(MappingError::Words));
            }
            words.push((word, action));
        }
        Ok(Words(words))
    }
}

/// Reads a signal in the sender's own form.
pub(super) fn read(
    root: &Value<'_>,
    members: &[Member<'_>],
    mapping: &Mapping,
) -> Result<Signal, FieldError> {
    let mut fields = Fields::new(&[]);
    for (target, path) in &mapping.fields {
        if let Some(found) = path.find(root)? {
            fields.insert(*target, found);
        }
    }
    let Some(action) = fields.found(TargetField::Action) else {
        let path = mapping.fields.get(&TargetField::Action).map_or("action", Path::as_str);
        return Err(action_missing(path));
    };
    let known =
        |name: &str| name == "secret" || mapping.fields.values().any(|path| path.starts_with(name));
    assemble(&fields, (mapping.action(action)?, None), Form::Mapped, unknown(members, known))
}
