//! Messages to people: what they are about, how many may go out, and when a failed one is tried
//! again.

use crate::order::words;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

words! {
    /// The way on which a message goes out.
    Channel {
        /// A mail.
        Mail = "mail",
        /// A text message to a phone.
        Sms = "sms",
        /// A signed request to a program of the operator's.
        Webhook = "webhook",
        /// A message in a chat.
        Chat = "chat",
    }

    /// What a message is about.
    Topic {
        /// A login from an address and with a program that were not seen together before.
        NewDevice = "new_device",
        /// A second factor was added.
        FactorAdded = "factor_added",
        /// A second factor was removed.
        FactorRemoved = "factor_removed",
        /// An administrator took every second factor away.
        FactorsReset = "factors_reset",
        /// A recovery code was used.
        RecoveryCodeUsed = "recovery_code_used",
        /// New recovery codes were made; the old ones are void.
        RecoveryCodesMade = "recovery_codes_made",
        /// The password was changed by who knew the old one.
        PasswordChanged = "password_changed",
        /// The password was set anew with a token.
        PasswordReset = "password_reset",
        /// A refresh token was shown twice, and its session was ended.
        SessionStolen = "session_stolen",
        /// Wrong tries in a row locked a password or the second factors.
        Locked = "locked",
        /// A link with which a password is set anew.
        ResetLink = "reset_link",
        /// A code that a login or an enrolment waits for.
        LoginCode = "login_code",
        /// Something that a person has to look at now.
        Alert = "alert",
        /// Whether alerts arrive.
        AlertTest = "alert_test",
    }

    /// What has become of a message.
    MessageState {
        /// It is to be sent, at first or again.
        Waiting = "waiting",
        /// Whoever carries it on has taken it.
        Sent = "sent",
        /// It was not taken in time and is not tried again.
        GivenUp = "given_up",
    }
}

/// How long a link lives with which a password is set anew.
pub const RESET_LINK_LASTS: Duration = Duration::from_mins(30);
/// How long a code lives that was sent by text message (NIST SP 800-63B-4 section 3.1.3.2).
pub const LOGIN_CODE_LASTS: Duration = Duration::from_mins(10);
/// How long any other message is tried to be sent.
const NOTICE_LASTS: Duration = Duration::from_hours(24);

/// The waits after each failed try. Together less than a day.
const WAITS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(3),
    Duration::from_hours(4),
    Duration::from_hours(6),
    Duration::from_hours(8),
];

/// The span that [`Allowance`] looks back over for any topic.
pub const ALLOWANCE_SPAN_MAX: Duration = Duration::from_hours(1);

/// Whether one more message may go to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// It may.
    Yes,
    /// It may, and no other of its kind within the span: it should say so.
    Last,
    /// It may not.
    No,
}

impl Topic {
    /// How long after it was made a message about this is still worth sending.
    pub const fn lasts(self) -> Duration {
        match self {
            Self::ResetLink => RESET_LINK_LASTS,
            Self::LoginCode => LOGIN_CODE_LASTS,
            // The next one says it again.
            Self::Alert | Self::AlertTest => crate::alert::REPEATED_EVERY,
            _ => NOTICE_LASTS,
        }
    }

    /// At most this many to one person within this span; the notices count together. A link is sent
    /// once in a third of its life, so that whoever asks for links in somebody's name keeps nobody
    /// from having one that works.
    const fn limit(self) -> (usize, Duration) {
        match self {
            Self::ResetLink => (1, Duration::from_mins(10)),
            Self::LoginCode => (5, ALLOWANCE_SPAN_MAX),
            _ => (10, ALLOWANCE_SPAN_MAX),
        }
    }

    const fn is_notice(self) -> bool {
        !matches!(self, Self::ResetLink | Self::LoginCode) && !self.is_alert()
    }

    /// Whether it is about alerts: nothing else holds such a message up (S24).
    pub const fn is_alert(self) -> bool {
        matches!(self, Self::Alert | Self::AlertTest)
    }

    /// Whether a message about this may go to a person who got `earlier` ones, as topics and when
    /// they were made, at least those of [`ALLOWANCE_SPAN_MAX`].
    pub fn allowance(self, earlier: &[(Self, Timestamp)], now: Timestamp) -> Allowance {
        let (most, span) = self.limit();
        let same = |topic: Self| topic == self || (topic.is_notice() && self.is_notice());
        let recent = |at: Timestamp| now < at.plus(span);
        let count = earlier.iter().filter(|(topic, at)| same(*topic) && recent(*at)).count();
        match count.saturating_add(1).cmp(&most) {
            std::cmp::Ordering::Less => Allowance::Yes,
            std::cmp::Ordering::Equal => Allowance::Last,
            std::cmp::Ordering::Greater => Allowance::No,
        }
    }
}

/// When a message is tried again after its `attempts`-th try failed at `now`: after its wait and up
/// to a tenth more by `chance`, and not before what the other side asked for; `None` if that is too
/// late or was the last try.
pub fn next_try(
    attempts: u32,
    now: Timestamp,
    expires_at: Timestamp,
    asked: Option<Duration>,
    chance: u8,
) -> Option<Timestamp> {
    let index = usize::try_from(attempts.checked_sub(1)?).ok()?;
    let wait = *WAITS.get(index)?;
    let more = wait.checked_div(2_560)?.saturating_mul(u32::from(chance));
    let wait = wait.saturating_add(more).max(asked.unwrap_or_default());
    let at = now.plus(wait);
    (at < expires_at).then_some(at)
}

/// The number of a phone in the form of E.164: a plus sign and 7 to 15 digits, the first not 0.
#[derive(Clone, PartialEq, Eq)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// The number in this text; spaces, dots, hyphens and parentheses between digits are left out.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.trim().strip_prefix('+')?;
        let digits: String = rest.chars().filter(|letter| !" .-()".contains(*letter)).collect();
        let sound = text.len() <= 40
            && (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        sound.then(|| Self(format!("+{digits}")))
    }

    /// The number.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The number with all but its last two digits hidden, whatever its length.
    pub fn masked(&self) -> String {
        let digits: Vec<char> = self.0.chars().rev().take(2).collect();
        format!("+*******{}", digits.iter().rev().collect::<String>())
    }
}

impl std::fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.masked())
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests compute with small numbers")]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    #[test]
    fn tries_are_spread_over_a_day_and_end() {
        let end = at(0).plus(Topic::Locked.lasts());
        let (mut now, mut tries) = (at(0), 1);
        while let Some(next) = next_try(tries, now, end, None, 0) {
            assert!(next > now);
            (now, tries) = (next, tries + 1);
        }
        assert_eq!((tries, now), (10, at(5 + 60 + 300 + 1_800 + 3_600 * (2 + 3 + 4 + 6 + 8))));
        assert!(now < end);
        assert_eq!(next_try(0, at(0), end, None, 0), None);
    }

    #[test]
    fn a_wait_has_some_chance_in_it_and_heeds_the_other_side() {
        let end = at(86_400);
        let most = next_try(2, at(0), end, None, 255).unwrap();
        assert!(most > at(65) && most < at(66), "{most:?}");
        let asked = Some(Duration::from_mins(2));
        assert_eq!(next_try(1, at(0), end, asked, 0), Some(at(120)));
        assert_eq!(next_try(3, at(0), end, asked, 0), Some(at(300)));
        assert_eq!(next_try(1, at(0), at(5), None, 0), None, "no time is left");
    }

    #[test]
    fn notices_count_together_and_the_last_is_known() {
        let mut earlier = Vec::new();
        for number in 0..9 {
            assert_eq!(Topic::NewDevice.allowance(&earlier, at(number)), Allowance::Yes);
            let topic = if number % 2 == 0 { Topic::NewDevice } else { Topic::FactorAdded };
            earlier.push((topic, at(number)));
        }
        assert_eq!(Topic::Locked.allowance(&earlier, at(9)), Allowance::Last);
        earlier.push((Topic::Locked, at(9)));
        assert_eq!(Topic::NewDevice.allowance(&earlier, at(3_599)), Allowance::No);
        assert_eq!(Topic::NewDevice.allowance(&earlier, at(3_600)), Allowance::Last);
        assert_eq!(Topic::ResetLink.allowance(&earlier, at(10)), Allowance::Last);
        assert_eq!(Topic::LoginCode.allowance(&earlier, at(10)), Allowance::Yes);
    }

    #[test]
    fn one_link_in_ten_minutes() {
        let earlier = [(Topic::ResetLink, at(0))];
        assert_eq!(Topic::ResetLink.allowance(&earlier, at(599)), Allowance::No);
        assert_eq!(Topic::ResetLink.allowance(&earlier, at(600)), Allowance::Last);
    }

    #[test]
    fn numbers_of_phones() {
        for (text, number) in [
            ("+14155550123", Some("+14155550123")),
            ("+49 (30) 901820-0", Some("+49309018200")),
            ("+6421555001", Some("+6421555001")),
            ("14155550123", None),
            ("+0415555012", None),
            ("+123456", None),
            ("+1234567890123456", None),
            ("+1415555012a", None),
            ("+1415555012\u{661}", None),
            ("+1415555012\n3", None),
            ("", None),
        ] {
            assert_eq!(PhoneNumber::parse(text).as_ref().map(PhoneNumber::text), number, "{text}");
        }
        let number = PhoneNumber::parse("+14155550123").unwrap();
        assert_eq!(number.masked(), "+*******23");
        assert_eq!(format!("{number:?}"), "+*******23");
    }
}
