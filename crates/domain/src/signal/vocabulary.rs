//! The words of a signal.

use super::field::{FieldError, Found, quoted};
use super::{Action, Comment, Percent, Sentiment};
use crate::code::Code;

/// Words for actions, in any case.
const ACTIONS: [(&str, Action); 7] = [
    ("buy", Action::Buy),
    ("long", Action::Buy),
    ("sell", Action::Sell),
    ("short", Action::Sell),
    ("exit", Action::Exit),
    ("close", Action::Exit),
    ("flat", Action::Exit),
];

/// Words for sides, in any case.
const SENTIMENTS: [(&str, Sentiment); 5] = [
    ("long", Sentiment::Long),
    ("bullish", Sentiment::Long),
    ("short", Sentiment::Short),
    ("bearish", Sentiment::Short),
    ("flat", Sentiment::Flat),
];

/// Reads an action, or says which words there are.
pub(super) fn action(found: Found<'_>) -> Result<Action, FieldError> {
    let text = found.text()?.trim();
    action_word(text).ok_or_else(|| {
        let detail = match text.to_ascii_lowercase().as_str() {
            "" => "it is empty".to_owned(),
            "add" => {
                "add does not say which side; send BUY or SELL and let the strategy add".into()
            }
            "cancel" => "a signal cannot cancel; orders are canceled through the API".to_owned(),
            _ => format!("{} is none of BUY, SELL, EXIT, long, short, close, flat", quoted(text)),
        };
        FieldError::new(Code::SignalUnknownAction, found.name, detail)
    })
}

pub(super) fn action_word(text: &str) -> Option<Action> {
    let (_, action) = ACTIONS.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(text))?;
    Some(action)
}

pub(super) fn sentiment(found: Found<'_>) -> Result<Sentiment, FieldError> {
    let text = found.text()?.trim();
    let known = SENTIMENTS.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    known.map(|(_, sentiment)| sentiment).ok_or_else(|| {
        let words = "long, bullish, short, bearish, flat";
        found.wrong(format!("{} is none of {words}", quoted(text)))
    })
}

/// Reads a comment: the exit vocabulary, `ENTRY`, or free text (S6). What begins as an exit but
/// has no size that can be read is refused, since guessing could close too much or nothing.
pub(super) fn comment(found: Found<'_>) -> Result<Comment, FieldError> {
    let text = found.text()?.trim();
    if text.is_empty() {
        return Ok(Comment::None);
    }
    let upper = text.to_ascii_uppercase();
    if upper == "ENTRY" {
        return Ok(Comment::Entry);
    }
    let Some(size) = upper.strip_prefix("EXIT_") else {
        return Ok(Comment::FreeText(free_text(text)));
    };
    let percent = match size {
        "ALL" | "FINAL" => Some(Percent::FULL),
        "HALF" => Some(Percent::HALF),
        digits => percent(digits),
    };
    percent.map(Comment::Exit).ok_or_else(|| {
        let detail = format!("{} has no whole number from 1 to 100", quoted(text));
        FieldError::new(Code::SignalExitSize, found.name, detail)
    })
}

/// A whole number from 1 to 100, in digits only.
pub(super) fn percent(digits: &str) -> Option<Percent> {
    let plain = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { Percent::new(digits.parse().ok()?) } else { None }
}

const FREE_TEXT_MAX: usize = 256;

fn free_text(text: &str) -> String {
    let letters = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    letters.take(FREE_TEXT_MAX).collect()
}
