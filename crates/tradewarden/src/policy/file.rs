//! A policy as a file: TOML with a table for each scope, so that a change of one limit is a change of
//! one line. Values are decimals in quotes, or whole numbers; there are no floats in it.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use tradewarden_domain::limit::{LimitLevel, LimitName, LimitScope};
use tradewarden_domain::money::Quantity;
use tradewarden_domain::policy::LIMITS_MAX;
use tradewarden_engine::command::LimitValue;

use crate::files;
use crate::outcome::{Exit, Failure};

/// Largest file, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;

/// The limits of a file. What cannot be read is named with its line.
pub(crate) fn read(path: &Path) -> Result<Vec<LimitValue>, Failure> {
    let text = files::read_text(path, BYTES_MAX)
        .map_err(|failure| Failure { exit: Exit::Usage, ..failure })?;
    parse(&text).map_err(|wrong| {
        let line = text.get(..wrong.at).unwrap_or_default().matches('\n').count();
        let (path, what) = (path.display(), wrong.what);
        Failure::usage(format!("{path}, line {}: {what}", line.saturating_add(1)))
    })
}

/// What is wrong with a file, and at which byte.
#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    at: usize,
    what: String,
}

fn wrong<T>(span: &Range<usize>, what: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { at: span.start, what: what.into() })
}

fn parse(text: &str) -> Result<Vec<LimitValue>, Wrong> {
    let table = DeTable::parse(text).map_err(|error| Wrong {
        at: error.span().map_or(0, |span| span.start),
        what: error.message().to_owned(),
    })?;
    let mut limits = Vec::new();
    for (name, value) in table.get_ref() {
        let (kind, span) = (name.get_ref().as_ref(), name.span());
        let Ok(level) = kind.parse::<LimitLevel>() else {
            let levels =
                LimitLevel::ALL.iter().map(|level| level.text()).collect::<Vec<_>>().join(", ");
            return wrong(&span, format!("there is no scope {kind}; there are {levels}"));
        };
        if level == LimitLevel::Org {
            limits_of(&LimitScope::Org, inner(kind, value)?, &mut limits)?;
            continue;
        }
        // Every other level has a table for each of its own names inside.
        for (named, value) in inner(kind, value)? {
            let text = format!("{kind}:{}", named.get_ref());
            let Ok(scope) = text.parse::<LimitScope>() else {
                return wrong(&named.span(), format!("{} is no {kind}", named.get_ref()));
            };
            limits_of(&scope, inner(&text, value)?, &mut limits)?;
        }
    }
    Ok(limits)
}

fn inner<'t, 'i>(name: &str, value: &'t Spanned<DeValue<'i>>) -> Result<&'t DeTable<'i>, Wrong> {
    match value.get_ref().as_table() {
        Some(table) => Ok(table),
        None => wrong(&value.span(), format!("{name} must be a table")),
    }
}

fn limits_of(
    scope: &LimitScope,
    table: &DeTable<'_>,
    limits: &mut Vec<LimitValue>,
) -> Result<(), Wrong> {
    for (key, value) in table {
        let (span, text) = (key.span(), key.get_ref());
        let Ok(name) = text.parse::<LimitName>() else {
            return wrong(&span, format!("there is no limit {text}"));
        };
        let value = bound(name, value)?;
        if limits.len() >= LIMITS_MAX {
            return wrong(&span, format!("there are more than {LIMITS_MAX} limits"));
        }
        limits.push(LimitValue { scope: scope.to_string(), name, value });
    }
    Ok(())
}

fn bound(name: LimitName, value: &Spanned<DeValue<'_>>) -> Result<Quantity, Wrong> {
    let text = match value.get_ref() {
        DeValue::String(text) => text.as_ref(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
        DeValue::Float(_) => {
            let what = format!("{name} must be a decimal in quotes, such as \"0.5\"");
            return wrong(&value.span(), what);
        }
        _ => return wrong(&value.span(), format!("{name} must be a decimal in quotes")),
    };
    match text.parse::<Quantity>() {
        Ok(bound) if bound.units() >= 0 => Ok(bound),
        Ok(_) => wrong(&value.span(), format!("{name} must not be negative")),
        Err(error) => wrong(&value.span(), format!("{name}: {error}")),
    }
}

/// The file of a policy as the API shows it.
pub(super) fn print(policy: &Value) -> Result<String, Failure> {
    let unreadable = || Failure::unavailable("the gateway's answer is no policy");
    let version = policy.get("version").and_then(Value::as_i64).ok_or_else(unreadable)?;
    let mut text = format!("# Limits at version {version}");
    if let Some(made_at) = policy.get("made_at").and_then(Value::as_str) {
        written(write!(text, " of {made_at}"));
    }
    text.push_str(
        ".\n# `tradewarden limit import` puts this file in force: all of it, and nothing else.\n",
    );
    let limits = policy.get("limits").and_then(Value::as_array).ok_or_else(unreadable)?;
    let mut sorted: Vec<LimitValue> = limits
        .iter()
        .map(|limit| serde_json::from_value(limit.clone()).map_err(|_| unreadable()))
        .collect::<Result<_, _>>()?;
    let key = |limit: &LimitValue| (limit.scope != "org", limit.scope.clone(), limit.name.text());
    sorted.sort_by_key(key);
    let mut scope = None;
    for LimitValue { scope: of, name, value } in &sorted {
        if scope != Some(of) {
            let heading = match of.split_once(':') {
                Some((kind, named)) => format!("{kind}.{}", toml::Value::from(named)),
                None => of.clone(),
            };
            written(write!(text, "\n[{heading}]\n"));
            scope = Some(of);
        }
        written(writeln!(text, "{name} = \"{value}\""));
    }
    Ok(text)
}

/// Writing to a String cannot fail.
fn written(_result: std::fmt::Result) {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const ACCOUNT: &str = "acc_01m80000000000000000000000";

    /// Any scope of a level, so that a new level cannot be forgotten here.
    fn scope(level: LimitLevel) -> BoxedStrategy<String> {
        let named = |kind: &'static str| {
            let name = "[0-7][0-9a-hjkmnp-tv-z]{25}";
            name.prop_map(move |name| format!("{level}:{kind}_{name}")).boxed()
        };
        match level {
            LimitLevel::Org => Just(level.to_string()).boxed(),
            LimitLevel::Account => named("acc"),
            LimitLevel::Strategy => named("str"),
            LimitLevel::Key => named("key"),
            LimitLevel::Instrument => "(ES|BTC/USD|A\\.B|6E|X-Y)"
                .prop_map(|symbol| format!("instrument:{symbol}"))
                .boxed(),
        }
    }

    fn limits() -> impl Strategy<Value = Vec<LimitValue>> {
        let scope = prop::sample::select(LimitLevel::ALL.to_vec()).prop_flat_map(scope);
        let name = prop::sample::select(LimitName::ALL);
        let value = (0..=i64::MAX).prop_map(Quantity::from_units);
        let limits = prop::collection::btree_map((scope, name), value, 0..20);
        limits.prop_map(|limits| {
            let limit = |((scope, name), value)| LimitValue { scope, name, value };
            limits.into_iter().map(limit).collect()
        })
    }

    proptest! {
        /// What is exported is read as what it was, and exported again as the same text.
        #[test]
        fn export_and_import_are_each_others_way_back(limits in limits()) {
            let policy = |limits: &[LimitValue]| {
                json!({"version": 3, "made_at": "2026-01-02T03:04:05Z", "limits": limits})
            };
            let text = print(&policy(&limits)).unwrap();
            let mut read = parse(&text).unwrap();
            prop_assert_eq!(&print(&policy(&read)).unwrap(), &text);
            let key = |limit: &LimitValue| (limit.scope.clone(), limit.name);
            let mut limits = limits;
            limits.sort_by_key(key);
            read.sort_by_key(key);
            prop_assert_eq!(read, limits);
        }

        /// No text makes the reader stop in another way than with a line.
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            if let Err(wrong) = parse(&text) {
                prop_assert!(wrong.at <= text.len() && !wrong.what.is_empty());
            }
        }
    }

    #[test]
    fn what_people_write() {
        let text = format!(
            "# ours\n[org]\nmax_position = 10\nmax_order_notional = \"2.5\"\n\
             [account.{ACCOUNT}]\nmax_position = \"1\"\n[instrument.\"BTC/USD\"]\nrestricted = 1\n"
        );
        let read = parse(&text).unwrap();
        let read: Vec<_> = read
            .iter()
            .map(|limit| format!("{} {} {}", limit.scope, limit.name, limit.value))
            .collect();
        let account = format!("account:{ACCOUNT} max_position 1");
        let mut expected = [
            "org max_order_notional 2.5",
            "org max_position 10",
            &account,
            "instrument:BTC/USD restricted 1",
        ];
        let mut read: Vec<&str> = read.iter().map(String::as_str).collect();
        read.sort_unstable();
        expected.sort_unstable();
        assert_eq!(read, expected);
        assert_eq!(parse(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let cases = [
            ("[org]\nmax_luck = 1", 2, "there is no limit max_luck"),
            ("\n[moon]\nmax_position = 1", 2, "there is no scope moon"),
            ("[account.main]\nmax_position = 1", 1, "main is no account"),
            ("[org]\n\nmax_position = 1.5", 3, "must be a decimal in quotes"),
            ("[org]\nmax_position = \"x\"", 2, "max_position: "),
            ("[org]\nmax_position = -1", 2, "must not be negative"),
            ("[org]\nmax_position = 0x10", 2, "must be a decimal"),
            ("[org]\nmax_position = true", 2, "must be a decimal"),
            ("[org]\nmax_position = 1\nmax_position = 2", 3, "duplicate key"),
            ("org = 1", 1, "org must be a table"),
            ("[org]\nmax_position = ", 2, ""),
        ];
        let scratch = crate::scratch::Scratch::new();
        let path = scratch.path().join("limits.toml");
        for (text, line, what) in cases {
            std::fs::write(&path, text).unwrap();
            let failure = read(&path).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            let place = format!("line {line}: ");
            assert!(failure.sentence.contains(&place), "{text:?}: {failure}");
            assert!(failure.sentence.contains(what), "{text:?}: {failure}");
        }
        let missing = read(&scratch.path().join("none")).unwrap_err();
        assert_eq!(missing.exit, Exit::Usage);
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let scratch = crate::scratch::Scratch::new();
        let path = scratch.path().join("limits.toml");
        std::fs::write(&path, "#".repeat(usize::try_from(BYTES_MAX).unwrap() + 1)).unwrap();
        assert_eq!(read(&path).unwrap_err().exit, Exit::Usage);
    }
}
