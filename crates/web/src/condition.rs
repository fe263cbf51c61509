//! Conditional changes: `ETag` says what an object's content comes to, and a change with `If-Match`
//! is made only if the object still is one that its author saw (RFC 9110 sections 8.8.3, 13.1.1).

use hyper::header::{ETAG, HeaderMap, HeaderValue, IF_MATCH};
use serde_json::Value;
use tradewarden_engine::tag::{IfMatch, tag};

use crate::problem::Problem;

/// More tags than this name no author's view of one object.
const TAGS_MAX: usize = 16;

/// Reads the header `If-Match`: `*`, or a list of entity tags. A weak one never matches.
pub(crate) fn read(headers: &HeaderMap) -> Result<IfMatch, Problem> {
    let lines: Vec<_> = headers.get_all(IF_MATCH).iter().map(HeaderValue::to_str).collect();
    if lines.is_empty() {
        return Ok(IfMatch::Unsaid);
    }
    let lines: Vec<_> = lines.into_iter().collect::<Result<_, _>>().map_err(|_| malformed())?;
    let text = lines.join(",");
    if text.trim() == "*" {
        return Ok(IfMatch::Any);
    }
    strong_tags(&text).map(IfMatch::OneOf).ok_or_else(malformed)
}

/// The strong tags of a list, without their quotes; `None` if it is no list of entity tags.
fn strong_tags(text: &str) -> Option<Vec<String>> {
    let mut tags = Vec::new();
    let mut seen = 0_usize;
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return (seen > 0).then_some(tags);
        }
        let strong = rest.strip_prefix("W/");
        let quoted = strong.unwrap_or(rest).strip_prefix('"')?;
        let (tag, after) = quoted.split_once('"')?;
        let is_printable = |byte: u8| byte.is_ascii_graphic();
        if !tag.bytes().all(is_printable) {
            return None;
        }
        if strong.is_none() {
            tags.push(tag.to_owned());
        }
        seen = seen.saturating_add(1);
        rest = after.trim_start_matches([' ', '\t']);
        if seen > TAGS_MAX || !(rest.is_empty() || rest.starts_with(',')) {
            return None;
        }
    }
}

fn malformed() -> Problem {
    Problem::field("If-Match", "The header must be `*`, or a list of at most 16 entity tags.")
}

/// Puts an object's tag into the headers of its answer.
pub(crate) fn dress(headers: &mut HeaderMap, object: &Value) {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{}\"", tag(object))) {
        headers.insert(ETAG, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (IF_MATCH, HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn tags_are_read() {
        let one_of =
            |tags: &[&str]| IfMatch::OneOf(tags.iter().map(|tag| (*tag).to_owned()).collect());
        for (lines, read_as) in [
            (&[][..], IfMatch::Unsaid),
            (&["*"], IfMatch::Any),
            (&[" * "], IfMatch::Any),
            (&["\"a\""], one_of(&["a"])),
            (&["\"a\", \"b,c\" ,,\"\""], one_of(&["a", "b,c", ""])),
            (&["\"a\"", "\"b\""], one_of(&["a", "b"])),
            (&["W/\"a\""], one_of(&[])),
            (&["W/\"a\", \"b\""], one_of(&["b"])),
        ] {
            assert_eq!(read(&headers(lines)).unwrap(), read_as, "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        let many: &'static str = Box::leak("\"a\",".repeat(17).into_boxed_str());
        for line in [
            "",
            ",",
            "a",
            "\"a",
            "a\"",
            "\"a\"\"b\"",
            "\"a\" b",
            "w/\"a\"",
            "\"a b\"",
            "*,\"a\"",
            many,
        ] {
            let problem = read(&headers(&[line])).unwrap_err();
            assert_eq!(problem.named_field(), Some("If-Match"), "{line:?}");
        }
    }
}
