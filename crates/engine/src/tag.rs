//! Tags: what an object's content comes to, so that a change can be made on the condition that the
//! object is still the one that its author saw (RFC 9110 sections 8.8.3 and 13.1.1).

use crate::command::error::{CommandError, to_value};
use crate::view::without_secrets;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tradewarden_domain::code::Code;
use tradewarden_seal::{Digest, hex_encode};

/// Bytes of the hash that make a tag: two contents never meet in one by chance.
const TAG_BYTES: usize = 16;

/// The tag of an object as it is shown: 32 hexadecimal digits. What is shown only once has no part
/// in it, so that the answer that makes a thing has the tag of the thing.
pub fn tag(object: &Value) -> String {
    let text = without_secrets(object.clone()).to_string();
    let digest = Digest::sha256(text.as_bytes());
    hex_encode(digest.as_bytes().get(..TAG_BYTES).unwrap_or_default())
}

/// On which tags a change is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IfMatch {
    /// On any: nothing was said.
    #[default]
    Unsaid,
    /// On any, as long as the thing exists.
    Any,
    /// On one of these.
    OneOf(Vec<String>),
}

impl IfMatch {
    /// Whether nothing was said.
    pub fn is_unsaid(&self) -> bool {
        *self == Self::Unsaid
    }

    /// Whether a change of this object may be made, or why not.
    pub(crate) fn check(&self, object: &impl Serialize) -> Result<(), CommandError> {
        let Self::OneOf(tags) = self else { return Ok(()) };
        let present = tag(&to_value(object)?);
        if tags.contains(&present) {
            return Ok(());
        }
        let detail = "It was changed meanwhile: look at it again.".to_owned();
        Err(CommandError::Refused { code: Code::RequestPrecondition, detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_content_has_another_tag() {
        let object = json!({"id": "whk_1", "name": "a"});
        assert_eq!(tag(&object).len(), 32);
        assert_eq!(tag(&object), tag(&json!({"name": "a", "id": "whk_1", "secret": "s"})));
        assert_ne!(tag(&object), tag(&json!({"id": "whk_1", "name": "b"})));
    }

    #[test]
    fn a_condition_holds_or_is_refused() {
        let object = json!({"name": "a"});
        let right = tag(&object);
        for (condition, holds) in [
            (IfMatch::Unsaid, true),
            (IfMatch::Any, true),
            (IfMatch::OneOf(vec!["x".to_owned(), right.clone()]), true),
            (IfMatch::OneOf(vec!["x".to_owned()]), false),
            (IfMatch::OneOf(vec![right.to_ascii_uppercase()]), false),
            (IfMatch::OneOf(Vec::new()), false),
        ] {
            let outcome = condition.check(&object);
            assert_eq!(outcome.is_ok(), holds, "{condition:?}");
            if let Err(CommandError::Refused { code, .. }) = outcome {
                assert_eq!(code, Code::RequestPrecondition);
            }
        }
    }
}
