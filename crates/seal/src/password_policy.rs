//! Which passwords may be set. Judged when one is chosen, never when it is used.
//!
//! The rules are those of NIST SP 800-63B-4 section 3.1.1.2: length, a list of what is common or
//! breached, words that are expected of this person. Rules of composition are forbidden there; they
//! exist for houses that must have them, and are off.

use std::fmt;

use zeroize::Zeroizing;
use zxcvbn::{Score, zxcvbn};

use crate::{Password, is_breached, password::MIN_PASSWORD_LENGTH};

/// Expected of everybody's password here.
const PRODUCT: &str = "tradewarden";

/// More words about a person are not looked at.
pub const MAX_CONTEXT_WORDS: usize = 16;

/// Longer words about a person are not looked at, in bytes.
pub const MAX_CONTEXT_WORD_BYTES: usize = 256;

/// Shorter words would be found everywhere by chance, in letters.
const MIN_CONTEXT_LETTERS: usize = 3;

/// How hard a password is to guess for somebody who knows how people choose: 0 (at once) to 4
/// (10^10 guesses and more).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Strength(u8);

impl Strength {
    /// Between 10^8 and 10^10 guesses: what a slow hash makes safe against a stolen database.
    pub const SAFE: Self = Self(3);

    /// A strength of 0 to 4.
    pub const fn new(value: u8) -> Option<Self> {
        if value <= 4 { Some(Self(value)) } else { None }
    }

    /// 0 to 4.
    pub const fn value(self) -> u8 {
        self.0
    }
}

/// The estimated strength of a password (zxcvbn) against somebody who knows `context`: the person's
/// e-mail address and name, the organization's name. The first 100 code points are judged.
///
/// The estimate guesses at years by their distance from the current one, which the library takes
/// from the machine; nothing else here reads a clock. It leaves copies of pieces of the password in
/// freed memory, as nothing else here does; it runs only when a password is chosen.
pub fn strength(password: &Password, context: &[&str]) -> Strength {
    let mut known: Vec<&str> = bounded(context).collect();
    known.push(PRODUCT);
    Strength(match zxcvbn(password.expose(), &known).score() {
        Score::Zero => 0,
        Score::One => 1,
        Score::Two => 2,
        Score::Three => 3,
        // The library's list may grow; what it adds is stronger.
        _ => 4,
    })
}

/// Why a password may not be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordFlaw {
    /// Fewer code points than the policy wants.
    TooShort {
        /// How many it wants.
        at_least: usize,
    },
    /// Common, or known from a breach.
    Breached,
    /// Nothing but the product's name and words about the person, with digits or symbols around.
    Expected,
    /// Easier to guess than the policy wants.
    Weak,
    /// The policy wants lower case, upper case, a digit and a symbol, and one is missing.
    Classes,
}

impl PasswordFlaw {
    /// What to tell the person who chose it.
    pub fn text(self) -> String {
        match self {
            Self::TooShort { at_least } => format!("use at least {at_least} characters"),
            Self::Breached => "this password is known from a breach or very common".to_owned(),
            Self::Expected => {
                "this password is made of names that anybody would expect of you here".to_owned()
            }
            Self::Weak => {
                "this password is easy to guess: use more words or a password manager".to_owned()
            }
            Self::Classes => {
                "use lower case, upper case, a digit and a symbol, at least one of each".to_owned()
            }
        }
    }
}

impl fmt::Display for PasswordFlaw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text())
    }
}

/// The rules of one installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// Fewest code points. Below [`MIN_PASSWORD_LENGTH`] it has no effect.
    pub min_length: usize,
    /// Whether each of four classes must be there. Off, unless a house rule needs it.
    pub require_classes: bool,
    /// Least strength.
    pub min_strength: Strength,
}

impl PasswordPolicy {
    /// For people who also have a second factor: 12 code points.
    pub const fn standard() -> Self {
        Self { min_length: 12, require_classes: false, min_strength: Strength::SAFE }
    }

    /// 15 code points, enough to stand alone (NIST SP 800-63B-4 section 3.1.1.2).
    pub const fn hardened() -> Self {
        Self { min_length: 15, ..Self::standard() }
    }

    /// Everything that is wrong with a password of this person. `context` is what others know of
    /// them: the local part of the e-mail address, the name, the organization's name.
    pub fn judge(&self, password: &Password, context: &[&str]) -> Result<(), Vec<PasswordFlaw>> {
        let at_least = self.min_length.max(MIN_PASSWORD_LENGTH);
        let found = [
            (password.length() < at_least, PasswordFlaw::TooShort { at_least }),
            (is_breached(password), PasswordFlaw::Breached),
            (is_expected(password, context), PasswordFlaw::Expected),
            (strength(password, context) < self.min_strength, PasswordFlaw::Weak),
            (self.require_classes && !has_every_class(password), PasswordFlaw::Classes),
        ];
        let flaws: Vec<PasswordFlaw> =
            found.into_iter().filter_map(|(is_so, flaw)| is_so.then_some(flaw)).collect();
        if flaws.is_empty() { Ok(()) } else { Err(flaws) }
    }
}

fn bounded<'a>(context: &[&'a str]) -> impl Iterator<Item = &'a str> {
    let short_enough = |word: &&str| word.len() <= MAX_CONTEXT_WORD_BYTES;
    context.iter().copied().filter(short_enough).take(MAX_CONTEXT_WORDS)
}

/// Whether the letters of the password, in order, are nothing but expected words.
fn is_expected(password: &Password, context: &[&str]) -> bool {
    let letters = letters(password.expose());
    let words: Vec<Zeroizing<String>> = bounded(context)
        .chain([PRODUCT])
        .map(self::letters)
        .filter(|word| word.chars().count() >= MIN_CONTEXT_LETTERS)
        .collect();
    !letters.is_empty() && is_made_of(&letters, &words)
}

/// Whether `text` can be cut into `words`. Every place is looked at once: no choice of words makes
/// this slow.
fn is_made_of(text: &str, words: &[Zeroizing<String>]) -> bool {
    let mut reached = vec![false; text.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for position in 0..text.len() {
        if reached.get(position) != Some(&true) {
            continue;
        }
        let rest = text.get(position..).unwrap_or_default();
        for word in words.iter().filter(|word| rest.starts_with(word.as_str())) {
            if let Some(end) = reached.get_mut(position + word.len()) {
                *end = true;
            }
        }
    }
    reached.last() == Some(&true)
}

/// In lower case, without digits, spaces and symbols.
fn letters(text: &str) -> Zeroizing<String> {
    // Sized beforehand, as everywhere: lower case is at most three times as long.
    let mut letters = Zeroizing::new(String::with_capacity(3 * text.len()));
    letters
        .extend(text.chars().flat_map(char::to_lowercase).filter(|letter| letter.is_alphabetic()));
    letters
}

fn has_every_class(password: &Password) -> bool {
    let text = password.expose();
    text.contains(char::is_lowercase)
        && text.contains(char::is_uppercase)
        && text.contains(char::is_numeric)
        && text.contains(|character: char| !character.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretString;

    const CONTEXT: &[&str] = &["anna.schmidt", "Anna Schmidt", "Nordwind Capital"];

    fn password(text: &str) -> Password {
        Password::new(&SecretString::new(text.to_owned())).unwrap()
    }

    fn flaws(policy: &PasswordPolicy, text: &str) -> Vec<PasswordFlaw> {
        policy.judge(&password(text), CONTEXT).err().unwrap_or_default()
    }

    #[test]
    fn a_good_password_needs_no_symbols() {
        for text in ["glassy otter borrows kite", "wv8Jq2nRb5Lk", "größte Möwe am Kai 1883 x"] {
            assert_eq!(flaws(&PasswordPolicy::standard(), text), [], "{text}");
        }
    }

    #[test]
    fn length_follows_the_policy() {
        let short = |at_least| PasswordFlaw::TooShort { at_least };
        assert_eq!(flaws(&PasswordPolicy::standard(), "wv8Jq2nRb5L"), [short(12)]);
        assert_eq!(flaws(&PasswordPolicy::standard(), "wv8Jq2nRb5Lk"), []);
        assert_eq!(flaws(&PasswordPolicy::hardened(), "wv8Jq2nRb5LkZ4"), [short(15)]);
        assert_eq!(flaws(&PasswordPolicy::hardened(), "wv8Jq2nRb5LkZ4t"), []);
        let none = PasswordPolicy { min_length: 0, ..PasswordPolicy::standard() };
        assert_eq!(flaws(&none, "wv8Jq2nRb5L"), []);
    }

    #[test]
    fn a_breached_password_is_refused_however_strong_it_looks() {
        let found = flaws(&PasswordPolicy::standard(), "LiveFastDieSlow");
        assert!(found.contains(&PasswordFlaw::Breached), "{found:?}");
    }

    #[test]
    fn words_that_are_expected_here_are_refused_with_anything_around_them() {
        for text in [
            "Tradewarden2026!",
            "tradewarden tradewarden",
            "Anna.Schmidt#1987",
            "anna.schmidt_nordwind.capital",
            "NordwindCapital!!",
            "!nordwind capital TRADEWARDEN 7",
        ] {
            let found = flaws(&PasswordPolicy::standard(), text);
            assert!(found.contains(&PasswordFlaw::Expected), "{text}: {found:?}");
        }
        for text in ["tradewarden otter borrows", "annaschmidtx 1987", "123456789012345"] {
            let found = flaws(&PasswordPolicy::standard(), text);
            assert!(!found.contains(&PasswordFlaw::Expected), "{text}: {found:?}");
        }
        // Two letters are in everything.
        let short = PasswordPolicy::standard().judge(&password("abababababab"), &["ab"]);
        assert!(!short.unwrap_err().contains(&PasswordFlaw::Expected));
    }

    #[test]
    fn strength_knows_how_people_choose() {
        for (text, least, most) in [
            ("password", 0, 0),
            ("aaaaaaaaaaaaaaaa", 0, 1),
            ("qwertyuiop123456", 0, 2),
            ("nordwind1987", 0, 3),
            ("wv8Jq2nRb5Lk", 4, 4),
            ("glassy otter borrows kite", 4, 4),
        ] {
            let value = strength(&password(text), CONTEXT).value();
            assert!((least..=most).contains(&value), "{text}: {value}");
        }
        let name = password("Schmidt-Nordwind");
        assert!(strength(&name, &["schmidt", "nordwind"]) < strength(&name, &[]));
        assert_eq!(Strength::new(4).map(Strength::value), Some(4));
        assert_eq!(Strength::new(5), None);
    }

    #[test]
    fn classes_are_wanted_only_where_a_house_wants_them() {
        let classes = PasswordPolicy { require_classes: true, ..PasswordPolicy::standard() };
        for text in ["wv8jq2nrb5lk!", "WV8JQ2NRB5LK!", "wvXJqYnRbZLk!", "wv8Jq2nRb5Lk"] {
            assert_eq!(flaws(&classes, text), [PasswordFlaw::Classes], "{text}");
        }
        assert_eq!(flaws(&classes, "wv8Jq2nRb5Lk!"), []);
        assert_eq!(flaws(&classes, "wv8Jq2nRb5Lk ü"), []);
    }

    #[test]
    fn every_flaw_is_told_at_once_and_in_words() {
        let strict = PasswordPolicy { require_classes: true, ..PasswordPolicy::hardened() };
        let found = flaws(&strict, "password");
        assert_eq!(
            found,
            [
                PasswordFlaw::TooShort { at_least: 15 },
                PasswordFlaw::Breached,
                PasswordFlaw::Weak,
                PasswordFlaw::Classes,
            ]
        );
        assert_eq!(PasswordFlaw::TooShort { at_least: 15 }.text(), "use at least 15 characters");
        assert!(found.iter().all(|flaw| !flaw.to_string().contains("password\"")));
    }

    #[test]
    fn hostile_context_is_bounded() {
        let words: Vec<String> = (0..10_000).map(|number| format!("word{number}")).collect();
        let mut context: Vec<&str> = words.iter().map(String::as_str).collect();
        let long = "a".repeat(1_000_000);
        context.insert(0, &long);
        let text = password(&"a".repeat(256));
        let found = PasswordPolicy::standard().judge(&text, &context).unwrap_err();
        assert!(found.contains(&PasswordFlaw::Weak));
    }
}
