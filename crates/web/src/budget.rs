//! What the answer to a caller says of the caller's budget: `RateLimit-Policy` and `RateLimit`
//! (draft-ietf-httpapi-ratelimit-headers), and on a refusal when to come again.

use std::fmt::Write as _;
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tradewarden_domain::quota::{Exceeded, Fill, Standing};

use crate::problem::{Particulars, Problem};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");
const DAY_S: u64 = 86_400;

/// Writes how full the budget is onto an answer.
pub(crate) fn dress(headers: &mut HeaderMap, standing: &Standing) {
    let mut policy = format!("\"second\";q={};w=1", standing.second.limit);
    let mut rest = written("second", standing.second, 1);
    if let Some(day) = standing.day {
        // Writing to a String cannot fail.
        let _written = write!(policy, ", \"day\";q={};w={DAY_S}", day.limit);
        let _written = write!(rest, ", {}", written("day", day, DAY_S));
    }
    for (name, text) in [(POLICY, policy), (STANDING, rest)] {
        if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)) {
            headers.insert(name, value);
        }
    }
}

/// What is left of a window, and when more is: never later than the window is long, as the policy says
/// it, although the day is counted in parts and its first one may leave a little after that.
fn written(name: &str, fill: Fill, window_s: u64) -> String {
    format!("\"{name}\";r={};t={}", fill.remaining, seconds(fill.reset).min(window_s))
}

/// The refusal, with the time after which one is taken again.
pub(crate) fn refusal(exceeded: Exceeded) -> Problem {
    waiting(exceeded.code, exceeded.wait)
}

/// A refusal that ends after so long.
pub(crate) fn waiting(code: tradewarden_domain::code::Code, wait: Duration) -> Problem {
    let retry_after_s = Some(seconds(wait));
    Problem::of(code).with(Particulars { retry_after_s, ..Particulars::default() })
}

/// Whole seconds, rounded up, so that a caller who waits them is not early.
fn seconds(span: Duration) -> u64 {
    let rest = u64::from(span.subsec_nanos() > 0);
    span.as_secs().saturating_add(rest).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_windows_are_told_in_structured_fields() {
        let fill = |limit, remaining, reset_ms| Fill {
            limit,
            remaining,
            reset: Duration::from_millis(reset_ms),
        };
        let mut headers = HeaderMap::new();
        let day = Some(fill(100_000, 99_999, 86_400_001));
        dress(&mut headers, &Standing { second: fill(20, 19, 400), day });
        assert_eq!(headers["ratelimit-policy"], "\"second\";q=20;w=1, \"day\";q=100000;w=86400");
        assert_eq!(headers["ratelimit"], "\"second\";r=19;t=1, \"day\";r=99999;t=86400");
        dress(&mut headers, &Standing { second: fill(1_000, 0, 0), day: None });
        assert_eq!(headers["ratelimit-policy"], "\"second\";q=1000;w=1");
        assert_eq!(headers["ratelimit"], "\"second\";r=0;t=1");
    }
}
