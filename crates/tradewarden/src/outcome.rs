//! How a command ends: an exit code that scripts can rely on (C25), and one sentence for people.

use std::fmt;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use tradewarden_engine::command::CommandError;

/// The exit codes of C25.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Exit {
    /// 0: yes, or done.
    Done,
    /// 1: the answer is no: a verification failed, a rule or a check refused.
    No,
    /// 2: the command was not understood, or a value in it is not allowed.
    Usage,
    /// 3: there is no such thing, or it is not for this caller.
    NotFound,
    /// 4: it could not be done now: no gateway, no database, no durable write.
    Unavailable,
}

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Unavailable => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A command that was not carried out, in one sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Failure {
    /// With which code the program ends.
    pub(crate) exit: Exit,
    /// The sentence.
    pub(crate) sentence: String,
}

impl Failure {
    /// The answer is no.
    pub(crate) fn no(sentence: impl Into<String>) -> Self {
        Self { exit: Exit::No, sentence: sentence.into() }
    }

    /// The command was wrong.
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, sentence: sentence.into() }
    }

    /// There is no such thing.
    pub(crate) fn not_found(sentence: impl Into<String>) -> Self {
        Self { exit: Exit::NotFound, sentence: sentence.into() }
    }

    /// Not now.
    pub(crate) fn unavailable(sentence: impl Into<String>) -> Self {
        Self { exit: Exit::Unavailable, sentence: sentence.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.sentence)
    }
}

impl std::error::Error for Failure {}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Invalid { field, detail } => Self::usage(format!("{field}: {detail}")),
            CommandError::NotFound => Self::not_found(
                "there is nothing with this identifier; the matching `list` command shows what \
                 there is",
            ),
            CommandError::Refused { code, detail } => {
                Self::no(format!("refused: {detail} ({code})"))
            }
            CommandError::Order(no) => Self::no(format!("refused: {} ({})", no.detail, no.code)),
            CommandError::Unavailable { detail } => Self::unavailable(format!(
                "{detail}; nothing was changed that was not confirmed, try again"
            )),
        }
    }
}

impl From<tradewarden_store::Error> for Failure {
    fn from(error: tradewarden_store::Error) -> Self {
        Self::unavailable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tradewarden_domain::code::Code;

    #[test]
    fn the_exit_codes_are_those_of_the_contract() {
        let codes = [Exit::Done, Exit::No, Exit::Usage, Exit::NotFound, Exit::Unavailable];
        assert_eq!(codes.map(Exit::code), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn every_way_a_command_can_fail_has_its_code() {
        let cases = [
            (CommandError::Invalid { field: "name", detail: "is empty".to_owned() }, Exit::Usage),
            (CommandError::NotFound, Exit::NotFound),
            (
                CommandError::Refused { code: Code::HaltActive, detail: "halted".to_owned() },
                Exit::No,
            ),
            (
                CommandError::Unavailable { detail: "the disk is full".to_owned() },
                Exit::Unavailable,
            ),
        ];
        for (error, exit) in cases {
            let failure = Failure::from(error);
            assert_eq!(failure.exit, exit, "{failure}");
            let text = serde_json::to_string(&failure).unwrap();
            assert_eq!(serde_json::from_str::<Failure>(&text).unwrap(), failure);
        }
    }
}
