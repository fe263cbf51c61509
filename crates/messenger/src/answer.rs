//! What an answer over HTTPS means for a message.

use crate::port::Outcome;
use tradewarden_outbound::Answered;

/// What a status means for the message. Only what is wrong with the message itself is final: an
/// operator can mend credentials, and a redirect is not followed.
pub(crate) fn outcome(answered: &Answered) -> Outcome {
    let reason = format!("the provider answered {}", answered.status);
    match answered.status {
        200..=299 => Outcome::Taken,
        400 | 410 | 413 | 422 => Outcome::Refused { reason },
        _ => Outcome::Later { reason, wait: answered.wait },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_a_status_means() {
        let answered = |status, wait| outcome(&Answered { status, wait, body: None });
        assert_eq!(answered(201, None), Outcome::Taken);
        let wait = Some(Duration::from_secs(30));
        for status in [301, 401, 403, 404, 408, 429, 500, 503] {
            let reason = format!("the provider answered {status}");
            assert_eq!(answered(status, wait), Outcome::Later { reason, wait });
        }
        let reason = "the provider answered 400".to_owned();
        assert_eq!(answered(400, wait), Outcome::Refused { reason });
    }
}
