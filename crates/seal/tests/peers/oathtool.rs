//! Codes that an implementation of others makes: `oathtool` of the OATH Toolkit, a program of
//! Debian's.

use std::process::{Command, Stdio};

use tradewarden_seal::{SecretBytes, SecretString, totp::TotpSecret};

/// The code that `oathtool` shows for a secret in base 32 at a time.
fn code(secret: &str, now_unix_s: u64) -> SecretString {
    let output = Command::new("oathtool")
        .args(["--totp", "--base32", "--now", &format!("@{now_unix_s}"), secret])
        .stdin(Stdio::null())
        .output()
        .expect("this test needs oathtool: on Debian `apt-get install oathtool`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    SecretString::new(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn codes_of_an_independent_implementation() {
    for now_unix_s in [0_u64, 29, 30, 59, 60, 1_234_567_890, 1_795_000_015, 4_102_444_800] {
        // A secret of its own for each time, and the same ones in each run.
        let bytes = (0..20)
            .map(|n: u8| n.wrapping_mul(13).wrapping_add(now_unix_s.to_le_bytes()[0]))
            .collect::<Vec<u8>>();
        let secret = TotpSecret::from_bytes(SecretBytes::new(bytes)).unwrap();
        let (now, step) = (code(secret.to_base32().expose(), now_unix_s), now_unix_s / 30);
        assert_eq!(secret.matching_step(&now, now_unix_s, 1), Some(step), "{now_unix_s}");
        assert_eq!(secret.matching_step(&now, now_unix_s + 30, 1), Some(step), "{now_unix_s}");
        assert_eq!(secret.matching_step(&now, now_unix_s + 30, 0), None, "{now_unix_s}");
    }
}
