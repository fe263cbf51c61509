//! Numbers of payment cards. They have no business here, and where one is kept, rules begin to hold
//! that this program does not claim to follow (PCI DSS); so free texts with one are refused.

/// Digits of a card number (ISO/IEC 7812-1).
const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;

/// Whether a text holds what looks like a card number: 13 to 19 digits, in one piece or in groups with
/// one space or hyphen between them, that begin like a bank's card (2 to 6) and whose check digit is
/// right. One in ten of all other numbers that long looks like that, too: the time in milliseconds does
/// not, because it begins with 1.
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
        if ends_in_card_number(&groups) {
            return true;
        }
        rest = after;
    }
    false
}

/// Whether the last of these groups, with those right before it, are a card number.
fn ends_in_card_number(groups: &[&str]) -> bool {
    let mut digits = String::new();
    for group in groups.iter().rev() {
        if digits.len().saturating_add(group.len()) > DIGITS_MAX {
            return false;
        }
        digits.insert_str(0, group);
        if digits.len() >= DIGITS_MIN
            && digits.starts_with(['2', '3', '4', '5', '6'])
            && has_check_digit(&digits)
        {
            return true;
        }
    }
    false
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
