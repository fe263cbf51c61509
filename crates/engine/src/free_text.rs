//! Texts of people's own choosing that are kept: names, reasons, symbols that nobody knows yet.

use crate::command::error::{CommandError, invalid};
use tradewarden_domain::card_number::holds_card_number;
use tradewarden_domain::code::Code;
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::roll::Continuous;

/// What stands in the place of a halt's reason that cannot be kept.
const NOT_KEPT: &str = "a reason with the number of a payment card, which is not kept";

/// Refuses the number of a payment card: whoever keeps one answers for it (product.md section 8).
pub(crate) fn without_card_number(field: &str, text: &str) -> Result<(), CommandError> {
    if !holds_card_number(text) {
        return Ok(());
    }
    let code = Code::TextCardNumber;
    Err(CommandError::Refused { code, detail: format!("{field}: {}", code.meaning()) })
}

/// A symbol that somebody names.
pub(crate) fn symbol(field: &'static str, text: &str) -> Result<Symbol, CommandError> {
    let symbol = text.parse().map_err(|error| invalid(field, &error))?;
    without_card_number(field, text)?;
    Ok(symbol)
}

/// Refuses a symbol by which nothing is ever traded: what holds for it would bind nothing.
pub(crate) fn binds(symbol: &Symbol) -> Result<(), CommandError> {
    without_card_number("scope", symbol.as_str())?;
    if Continuous::of(symbol).is_some() {
        let detail = "a continuous symbol stands for months: name each month, or an account or \
                      strategy";
        return Err(invalid("scope", &detail));
    }
    Ok(())
}

/// The reason of a halt or a lockdown, which is never refused for its words.
pub(crate) fn halt_reason(text: String) -> String {
    if holds_card_number(&text) { NOT_KEPT.to_owned() } else { text }
}

/// A name as it is kept: 1 to 64 printable characters, without spaces around them.
pub(crate) fn name(text: &str) -> Result<&str, CommandError> {
    let trimmed = text.trim();
    let fits =
        (1..=64).contains(&trimmed.chars().count()) && !trimmed.chars().any(char::is_control);
    if !fits {
        return Err(invalid("name", &"must have 1 to 64 printable characters"));
    }
    without_card_number("name", trimmed)?;
    Ok(trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halt_holds_whatever_its_reason() {
        assert_eq!(halt_reason("fat finger".to_owned()), "fat finger");
        assert_eq!(halt_reason("paid by 4111 1111 1111 1111".to_owned()), NOT_KEPT);
    }

    #[test]
    fn a_name_with_a_card_number_is_refused_without_repeating_it() {
        without_card_number("name", "momentum 15m").unwrap();
        let refused = without_card_number("name", "4111-1111-1111-1111").unwrap_err();
        let CommandError::Refused { code, detail } = refused else { panic!("{refused:?}") };
        assert_eq!(code, Code::TextCardNumber);
        assert!(!detail.contains("4111"), "{detail}");
    }
}
