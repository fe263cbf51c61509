//! One-time codes from an authenticator app (TOTP, RFC 6238): six digits, a new code every 30 s.
//!
//! SHA-1, because several apps silently take nothing else. It is used as HMAC, where its broken
//! collision resistance does not matter; OWASP ASVS 5.0.0 appendix C still calls it legacy, which is
//! a stated deviation.
//!
//! A code is good once. Who calls [`TotpSecret::matching_step`] stores the step in the transaction
//! that accepts the code, and refuses a step that is not after the stored one.

use std::fmt::{self, Write};

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

use crate::{Randomness, SecretBytes, SecretString};

/// Length of one step, in seconds.
pub const STEP_S: u64 = 30;

/// Digits of a code.
pub const CODE_DIGITS: usize = 6;

/// How many steps back a code may be from, at most (RFC 6238 section 5.2 recommends one).
pub const MAX_SKEW_BACK_STEPS: u64 = 1;

/// Longest issuer in a URI, in bytes.
pub const MAX_ISSUER_BYTES: usize = 64;

/// Longest account in a URI, in bytes: a mail address has at most 254.
pub const MAX_ACCOUNT_BYTES: usize = 254;

/// 160 bits, the length of the hash (RFC 4226 section 4, R6).
const SECRET_BYTES: usize = 20;

/// Longer texts are no code, in bytes: six digits with room for spaces.
const MAX_CODE_BYTES: usize = 16;

/// Light modules around a QR code (ISO/IEC 18004 section 5.3.8).
const QUIET_MODULES: usize = 4;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Why a secret cannot be used or shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TotpError {
    /// The secret is not 20 bytes.
    Secret,
    /// The issuer is empty or longer than [`MAX_ISSUER_BYTES`], or the account is empty or longer
    /// than [`MAX_ACCOUNT_BYTES`].
    Label,
    /// The URI does not fit a QR code. Not expected with labels of these sizes.
    Code,
}

impl fmt::Display for TotpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret => {
                write!(formatter, "the authenticator's secret is not {SECRET_BYTES} bytes")
            }
            Self::Label => write!(
                formatter,
                "the issuer has 1 to {MAX_ISSUER_BYTES} bytes, the account 1 to {MAX_ACCOUNT_BYTES}"
            ),
            Self::Code => formatter.write_str("the authenticator's address does not fit a QR code"),
        }
    }
}

impl std::error::Error for TotpError {}

/// What an authenticator app and the gateway share.
pub struct TotpSecret(SecretBytes);

impl TotpSecret {
    /// A new secret of 160 random bits.
    pub fn generate(randomness: &mut dyn Randomness) -> Self {
        Self(SecretBytes::random(SECRET_BYTES, randomness))
    }

    /// The secret with these 20 bytes, as they were sealed.
    pub fn from_bytes(bytes: SecretBytes) -> Result<Self, TotpError> {
        if bytes.expose().len() == SECRET_BYTES { Ok(Self(bytes)) } else { Err(TotpError::Secret) }
    }

    /// The 20 bytes, to be sealed and stored.
    pub fn bytes(&self) -> &SecretBytes {
        &self.0
    }

    /// The text to type into an app that cannot read a QR code: base 32 without padding (RFC 4648
    /// section 6), 32 characters.
    pub fn to_base32(&self) -> SecretString {
        let mut text = String::with_capacity(SECRET_BYTES / 5 * 8);
        let (groups, _) = self.0.expose().as_chunks::<5>();
        for [first, second, third, fourth, fifth] in groups {
            let bits = [0, 0, 0, *first, *second, *third, *fourth, *fifth];
            let bits = u64::from_be_bytes(bits);
            text.extend((0..8).rev().map(|position| base32_digit(bits >> (5 * position))));
        }
        SecretString::new(text)
    }

    /// `otpauth://totp/...`, which apps read from a QR code. `issuer` is what the app shows above
    /// the code, `account` whose it is.
    pub fn to_uri(&self, issuer: &str, account: &str) -> Result<SecretString, TotpError> {
        let fits = (1..=MAX_ISSUER_BYTES).contains(&issuer.len())
            && (1..=MAX_ACCOUNT_BYTES).contains(&account.len());
        if !fits {
            return Err(TotpError::Label);
        }
        let (issuer, account) = (percent_encode(issuer), percent_encode(account));
        let secret = self.to_base32();
        let parts = [
            "otpauth://totp/",
            &issuer,
            ":",
            &account,
            "?secret=",
            secret.expose(),
            "&issuer=",
            &issuer,
            "&algorithm=SHA1&digits=6&period=30",
        ];
        // Sized beforehand: a String that grows would leave pieces of the secret behind.
        let mut uri = String::with_capacity(parts.iter().map(|part| part.len()).sum());
        uri.extend(parts);
        Ok(SecretString::new(uri))
    }

    /// The URI as a QR code: an `svg` element to put into a page, one unit for each module, without
    /// styles or scripts. It holds the secret.
    ///
    /// The library that makes the code does not overwrite what it worked on; this runs once, when a
    /// factor is enrolled.
    pub fn to_qr_svg(&self, issuer: &str, account: &str) -> Result<SecretString, TotpError> {
        let uri = self.to_uri(issuer, account)?;
        let code = QrCode::with_error_correction_level(uri.expose(), EcLevel::M)
            .map_err(|_| TotpError::Code)?;
        draw(&code).map_err(|_| TotpError::Code)
    }

    /// The step that `code` is from, if it is from the step of `now_unix_s` or from one of the
    /// `skew_back_steps` before it; more than [`MAX_SKEW_BACK_STEPS`] count as that. Never from a
    /// later one: a clock that runs ahead is mended, not followed.
    ///
    /// Spaces in the code are left out, as apps show some. Every step is computed and compared in
    /// full, so the duration tells neither whether nor which.
    pub fn matching_step(
        &self,
        code: &SecretString,
        now_unix_s: u64,
        skew_back_steps: u64,
    ) -> Option<u64> {
        let digits = read_code(code.expose())?;
        let current = now_unix_s / STEP_S;
        let earliest = current.saturating_sub(skew_back_steps.min(MAX_SKEW_BACK_STEPS));
        let mut found = None;
        for step in earliest..=current {
            let matches = verify_slices_are_equal(&*self.code_at(step), &*digits).is_ok();
            found = if matches { Some(step) } else { found };
        }
        found
    }

    /// The code of one step, as ASCII digits (RFC 4226 section 5.3).
    fn code_at(&self, step: u64) -> Zeroizing<[u8; CODE_DIGITS]> {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.0.expose());
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag.last().copied().unwrap_or_default() & 0x0f);
        let word =
            tag.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
        let mut rest = u32::from_be_bytes(word) & 0x7fff_ffff;
        let mut digits = Zeroizing::new([b'0'; CODE_DIGITS]);
        for digit in digits.iter_mut().rev() {
            // At most 9, so the fallback is never taken.
            *digit += u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        digits
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TotpSecret")
    }
}

fn read_code(text: &str) -> Option<Zeroizing<[u8; CODE_DIGITS]>> {
    if text.len() > MAX_CODE_BYTES {
        return None;
    }
    let mut typed = text.bytes().filter(|byte| *byte != b' ');
    let mut digits = Zeroizing::new([0; CODE_DIGITS]);
    for digit in digits.iter_mut() {
        *digit = typed.next().filter(u8::is_ascii_digit)?;
    }
    typed.next().is_none().then_some(digits)
}

fn base32_digit(bits: u64) -> char {
    let digit = usize::try_from(bits % 32).ok().and_then(|index| BASE32.get(index));
    char::from(digit.copied().unwrap_or(b'A'))
}

/// Everything but the unreserved characters of RFC 3986 section 2.3.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(3 * text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for digit in [byte >> 4, byte & 0x0f] {
                encoded
                    .push(char::from_digit(digit.into(), 16).unwrap_or('0').to_ascii_uppercase());
            }
        }
    }
    encoded
}

/// One path: a rectangle for each run of dark modules in a row.
fn draw(code: &QrCode) -> Result<SecretString, fmt::Error> {
    /// `M177 177h177v1h-177z`
    const LONGEST_RUN_BYTES: usize = 20;
    let width = code.width();
    let side = width + 2 * QUIET_MODULES;
    let colors = code.to_colors();
    // Sized beforehand: at most every second module begins a run.
    let mut svg = String::with_capacity(256 + width * (width / 2 + 1) * LONGEST_RUN_BYTES);
    write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 {side} {side}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path d=\""
    )?;
    for (y, row) in colors.chunks(width).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|left, right| left == right) {
            if run.first() == Some(&Color::Dark) {
                let (left, top, length) = (x + QUIET_MODULES, y + QUIET_MODULES, run.len());
                write!(svg, "M{left} {top}h{length}v1h-{length}z")?;
            }
            x += run.len();
        }
    }
    svg.push_str("\"/></svg>");
    Ok(SecretString::new(svg))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SystemRandomness, randomness::testing::Counting};

    fn secret(text: &str) -> SecretString {
        SecretString::new(text.to_owned())
    }

    fn totp(bytes: &[u8]) -> TotpSecret {
        TotpSecret::from_bytes(SecretBytes::new(bytes.to_vec())).unwrap()
    }

    /// The secret of RFC 6238 appendix B.
    fn rfc() -> TotpSecret {
        totp(b"12345678901234567890")
    }

    #[test]
    fn codes_of_rfc_6238() {
        // Appendix B, SHA-1; the last six of its eight digits.
        for (now_unix_s, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let step = rfc().matching_step(&secret(code), now_unix_s, 0);
            assert_eq!(step, Some(now_unix_s / 30), "{now_unix_s}");
        }
    }

    #[test]
    fn codes_of_rfc_4226() {
        // Appendix D: the codes of the first ten counters.
        let codes = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583",
            "399871", "520489",
        ];
        for (step, code) in (0..).zip(codes) {
            assert_eq!(*rfc().code_at(step), *code.as_bytes());
        }
    }

    #[test]
    fn a_code_is_good_in_its_step_and_one_later_never_before() {
        // Step 1 is 30 to 59 s.
        let code = secret("287082");
        let at = |now_unix_s, back| rfc().matching_step(&code, now_unix_s, back);
        for (now_unix_s, strict, one_back) in [
            (0, None, None),
            (29, None, None),
            (30, Some(1), Some(1)),
            (59, Some(1), Some(1)),
            (60, None, Some(1)),
            (89, None, Some(1)),
            (90, None, None),
        ] {
            assert_eq!((at(now_unix_s, 0), at(now_unix_s, 1)), (strict, one_back), "{now_unix_s}");
            assert_eq!(at(now_unix_s, u64::MAX), one_back, "more steps back count as one");
        }
        assert_eq!(rfc().matching_step(&secret("755224"), 0, 1), Some(0));
        assert_eq!(rfc().matching_step(&secret("755224"), u64::MAX, 1), None);
    }

    #[test]
    fn a_code_has_six_digits_and_maybe_spaces() {
        for text in ["287082", "287 082", " 2 8 7 0 8 2 "] {
            assert_eq!(rfc().matching_step(&secret(text), 59, 0), Some(1), "{text}");
        }
        for text in [
            "", "28708", "2870820", "94287082", "28708a", "+87082", "２87082", "287-082",
            "287082\n",
        ] {
            assert_eq!(rfc().matching_step(&secret(text), 59, 0), None, "{text}");
        }
        assert_eq!(rfc().matching_step(&secret(&"2".repeat(1_000_000)), 59, 0), None);
        assert_eq!(rfc().matching_step(&secret("287083"), 59, 0), None);
    }

    #[test]
    fn a_secret_is_written_in_base_32() {
        // RFC 4648 section 10: "foobar" is MZXW6YTBOI======; here four groups of five bytes.
        assert_eq!(rfc().to_base32().expose(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let made = TotpSecret::generate(&mut Counting(0));
        assert_eq!(made.to_base32().expose(), "AAAQEAYEAUDAOCAJBIFQYDIOB4IBCEQT");
        for length in [0, 19, 21] {
            let bytes = SecretBytes::new(vec![0; length]);
            assert_eq!(TotpSecret::from_bytes(bytes).unwrap_err(), TotpError::Secret);
        }
    }

    #[test]
    fn a_uri_is_what_apps_read() {
        let uri = rfc().to_uri("Tradewarden", "anna@example.com").unwrap();
        assert_eq!(
            uri.expose(),
            "otpauth://totp/Tradewarden:anna%40example.com\
             ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Tradewarden\
             &algorithm=SHA1&digits=6&period=30"
        );
        let hostile = rfc().to_uri("A:B &secret=X", "é?#%/\"<>").unwrap();
        assert_eq!(
            hostile.expose(),
            "otpauth://totp/A%3AB%20%26secret%3DX:%C3%A9%3F%23%25%2F%22%3C%3E\
             ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=A%3AB%20%26secret%3DX\
             &algorithm=SHA1&digits=6&period=30"
        );
        let (issuer, account) = ("a".repeat(65), "a".repeat(255));
        for (issuer, account) in [("", "a"), ("a", ""), (&issuer, "a"), ("a", &account)] {
            assert_eq!(rfc().to_uri(issuer, account).unwrap_err(), TotpError::Label);
        }
    }

    #[test]
    fn the_qr_code_shows_the_uri_module_by_module() {
        let svg = rfc().to_qr_svg("Tradewarden", "anna@example.com").unwrap();
        let uri = rfc().to_uri("Tradewarden", "anna@example.com").unwrap();
        let code = QrCode::with_error_correction_level(uri.expose(), EcLevel::M).unwrap();
        let width = code.width();
        let side = width + 8;
        let (head, path) = svg.expose().split_once("<path d=\"").unwrap();
        assert!(head.contains(&format!("viewBox=\"0 0 {side} {side}\"")), "{head}");
        let mut drawn = vec![Color::Light; width * width];
        for run in path.strip_suffix("\"/></svg>").unwrap().split_terminator('z') {
            let numbers: Vec<usize> = run
                .split(|character: char| !character.is_ascii_digit())
                .filter_map(|number| number.parse().ok())
                .collect();
            let [x, y, length, 1, again] = numbers[..] else { panic!("{run}") };
            assert_eq!(length, again);
            let start = (y - 4) * width + (x - 4);
            drawn[start..start + length].fill(Color::Dark);
        }
        assert!(drawn == code.to_colors());
    }

    #[test]
    fn the_longest_labels_fit_a_qr_code() {
        let (issuer, account) = ("#".repeat(MAX_ISSUER_BYTES), "#".repeat(MAX_ACCOUNT_BYTES));
        let made = TotpSecret::generate(&mut SystemRandomness::new());
        let svg = made.to_qr_svg(&issuer, &account).unwrap();
        assert!(svg.expose().len() > 10_000);
        assert_eq!(svg.expose().matches("<path").count(), 2);
    }

    #[test]
    fn nothing_is_printed() {
        assert_eq!(format!("{:?}", rfc()), "TotpSecret");
    }
}
