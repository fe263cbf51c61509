//! Numbers of payment cards. They have no business here, and where one is kept, rules begin to hold
//! that this program does not claim to follow (PCI DSS); so free texts with one are refused.

use std::ops::Range;

/// Digits of a card number (ISO/IEC 7812-1).
const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;

/// Whether a text holds what looks like a card number: 13 to 19 digits, in one piece or in groups with
/// one space or hyphen between them, that begin like a bank's card (2 to 6) and whose check digit is
/// right. One in ten of all other numbers that long looks like that, too: the time in milliseconds does
/// not, because it begins with 1, nor a date and time, because of those that begin with 2 only what is
/// issued counts.
pub fn holds_card_number(text: &str) -> bool {
    let mut groups: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|character: char| character.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        if !matches!(before, " " | "-") {
            groups.clear();
        }
        let end = from.find(|character: char| !character.is_ascii_digit()).unwrap_or(from.len());
        let (digits, after) = from.split_at(end);
        groups.push(digits);
        if card_number_at_end(&groups).is_some() {
            return true;
        }
        rest = after;
    }
    false
}

/// How many of the last of these groups together are a card number, if they are one.
fn card_number_at_end(groups: &[&str]) -> Option<usize> {
    let mut digits = String::new();
    for (before, group) in groups.iter().rev().enumerate() {
        if digits.len().saturating_add(group.len()) > DIGITS_MAX {
            return None;
        }
        digits.insert_str(0, group);
        if digits.len() >= DIGITS_MIN && is_issued(&digits) && has_check_digit(&digits) {
            return Some(before.saturating_add(1));
        }
    }
    None
}

/// The bytes with every card number in them made unreadable but for its last four digits, if there is
/// one: the other digits are nines, so that what was a number stays one. Part of a decimal fraction is
/// none.
///
/// For a body that must not be refused for it: one in ten of all long numbers looks like a card's, and
/// an exit is an exit.
pub fn masked(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut masked: Option<Vec<u8>> = None;
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut at = 0_usize;
    while let Some(start) = position(bytes, at, u8::is_ascii_digit) {
        let end = position(bytes, start, |byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
        let between = bytes.get(at..start).unwrap_or_default();
        if !matches!(between, b" " | b"-") {
            groups.clear();
        }
        at = end;
        if between.last() == Some(&b'.') {
            continue;
        }
        // More groups than digits can be none.
        if groups.len() >= DIGITS_MAX {
            groups.remove(0);
        }
        groups.push(start..end);
        let texts: Option<Vec<&str>> =
            groups.iter().map(|group| str::from_utf8(bytes.get(group.clone())?).ok()).collect();
        if let Some(count) = texts.as_deref().and_then(card_number_at_end) {
            let first = groups.len().saturating_sub(count);
            let digits = groups.iter().skip(first).cloned().flatten();
            let hidden: Vec<usize> = digits.rev().skip(SHOWN).collect();
            let masked = masked.get_or_insert_with(|| bytes.to_vec());
            for place in hidden {
                if let Some(digit) = masked.get_mut(place) {
                    *digit = b'9';
                }
            }
            groups.clear();
        }
    }
    masked
}

/// Digits that may stay readable (PCI DSS 4.0, requirement 3.4.1).
const SHOWN: usize = 4;

fn position(bytes: &[u8], from: usize, is_meant: impl Fn(&u8) -> bool) -> Option<usize> {
    let place = bytes.get(from..)?.iter().position(is_meant)?;
    Some(from.saturating_add(place))
}

/// Whether some bank's cards begin so: with 3 to 6, or with 2200 to 2204 (Mir) or 2221 to 2720 (Mastercard) of
/// 16 digits or more.
fn is_issued(digits: &str) -> bool {
    let first: u32 = digits.get(..4).and_then(|first| first.parse().ok()).unwrap_or_default();
    let of_two = matches!(first, 2_200..=2_204 | 2_221..=2_720) && digits.len() >= 16;
    of_two || digits.starts_with(['3', '4', '5', '6'])
}

/// Luhn's formula (ISO/IEC 7812-1 annex B): from the right, every second digit counts twice, by the sum
/// of its own digits, and the sum of all ends in 0.
fn has_check_digit(digits: &str) -> bool {
    let mut sum = 0_u32;
    for (place, digit) in digits.chars().rev().filter_map(|digit| digit.to_digit(10)).enumerate() {
        let counted = match (place.is_multiple_of(2), digit) {
            (true, digit) => digit,
            (false, 0..=4) => digit.saturating_mul(2),
            (false, _) => digit.saturating_mul(2).saturating_sub(9),
        };
        sum = sum.saturating_add(counted);
    }
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that issuers and processors publish for tests.
    const PUBLISHED: [&str; 7] = [
        "4111111111111111",
        "4222222222222",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "6011111111111117",
        "30569309025904",
    ];

    #[test]
    fn a_masked_number_shows_its_last_digits_and_stays_a_number() {
        for number in PUBLISHED {
            let body = format!(r#"{{"id":{number},"comment":"paid with {number}"}}"#);
            let hidden = format!("{}{}", "9".repeat(number.len() - 4), &number[number.len() - 4..]);
            let masked = masked(body.as_bytes()).unwrap();
            let masked = String::from_utf8(masked).unwrap();
            assert_eq!(masked, body.replace(number, &hidden));
            assert!(!holds_card_number(&masked), "{masked}");
        }
        let grouped = masked(b"4111 1111-1111 1111, and \xff 5555-5555-5555-4444").unwrap();
        assert_eq!(grouped, b"9999 9999-9999 1111, and \xff 9999-9999-9999-4444");
        for none in ["", "1795371098268", "0.4111111111111111", "411111111111111", "a4 1 1"] {
            assert_eq!(masked(none.as_bytes()), None, "{none}");
        }
        // A date and time is none, though one in ten has the check digit.
        for minute in 0..60 {
            for time in [format!("2026112315{minute:02}00"), format!("20261123-16{minute:02}00000")]
            {
                assert_eq!(
                    (masked(time.as_bytes()), holds_card_number(&time)),
                    (None, false),
                    "{time}"
                );
            }
        }
    }

    #[test]
    fn published_test_numbers_are_seen_in_any_text() {
        for number in PUBLISHED {
            assert!(holds_card_number(number), "{number}");
            assert!(holds_card_number(&format!("paid with {number}, thanks")), "{number}");
            let (head, tail) = number.split_at(4);
            assert!(holds_card_number(&format!("{head} {tail}")), "{number}");
            assert!(holds_card_number(&format!("7 {head}-{tail}")), "{number}");
        }
        assert!(holds_card_number("4111 1111 1111 1111"));
        assert!(holds_card_number("nr 12 4111-1111-1111-1111"));
    }

    #[test]
    fn another_digit_and_other_numbers_are_not() {
        for number in PUBLISHED {
            let (head, last) = number.split_at(number.len() - 1);
            let other = (last.parse::<u32>().unwrap() + 1) % 10;
            assert!(!holds_card_number(&format!("{head}{other}")), "{number}");
        }
        for text in [
            "",
            "momentum 15m",
            "1795219200000",
            "4111  1111 1111 1111",
            "4111.1111.1111.1111",
            "41111111111111111111111111",
            "0000000000000000",
            "411111111111",
            "\u{664}111111111111111",
        ] {
            assert!(!holds_card_number(text), "{text}");
        }
    }
}
