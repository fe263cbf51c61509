//! How a command ends: an exit code that scripts can rely on (C25), and one sentence for people.

use std::fmt;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tradewarden_domain::code::Code;
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
    /// The stable reason, where a rule or the API has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<Code>,
    /// The value that is wrong, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
}

impl Failure {
    /// The answer is no.
    pub(crate) fn no(sentence: impl Into<String>) -> Self {
        Self::of(Exit::No, sentence)
    }

    /// The command was wrong.
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self::of(Exit::Usage, sentence)
    }

    /// There is no such thing.
    pub(crate) fn not_found(sentence: impl Into<String>) -> Self {
        Self::of(Exit::NotFound, sentence)
    }

    /// Not now.
    pub(crate) fn unavailable(sentence: impl Into<String>) -> Self {
        Self::of(Exit::Unavailable, sentence)
    }

    fn of(exit: Exit, sentence: impl Into<String>) -> Self {
        Self { exit, sentence: sentence.into(), code: None, field: None }
    }

    fn because(self, code: Code) -> Self {
        Self { code: Some(code), ..self }
    }

    /// The same as one object, with the members of the API's problems (RFC 9457).
    pub(crate) fn problem(&self) -> Value {
        let (code, title) = match (self.code, self.exit) {
            (Some(code), _) => (Some(code), code.meaning()),
            (None, Exit::Usage) => (Some(Code::RequestMalformed), Code::RequestMalformed.meaning()),
            (None, Exit::NotFound) => {
                (Some(Code::RequestNotFound), Code::RequestNotFound.meaning())
            }
            (None, Exit::Unavailable) => (None, "It cannot be done now."),
            (None, Exit::Done | Exit::No) => (None, "The answer is no."),
        };
        let mut problem =
            json!({ "title": title, "detail": self.sentence, "exit_code": self.exit.code() });
        if let Some(members) = problem.as_object_mut() {
            members.extend(code.map(|code| ("code".to_owned(), json!(code))));
            members.extend(self.field.as_ref().map(|field| ("field".to_owned(), json!(field))));
        }
        problem
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
            // An identifier that cannot exist names nothing.
            CommandError::Invalid { field: "id", detail } => {
                Self::not_found(format!("there is nothing with this identifier: {detail}"))
            }
            CommandError::Invalid { field, detail } => {
                let usage = Self::usage(format!("{field}: {detail}"));
                Self { field: Some(field.to_owned()), ..usage }
            }
            CommandError::NotFound => Self::not_found(
                "there is nothing with this identifier; the matching `list` command shows what \
                 there is",
            ),
            CommandError::Refused { code, detail } => {
                Self::no(format!("refused: {detail} ({code})")).because(code)
            }
            CommandError::Order(no) => {
                Self::no(format!("refused: {} ({})", no.detail, no.code)).because(no.code)
            }
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

    #[test]
    fn the_exit_codes_are_those_of_the_contract() {
        let codes = [Exit::Done, Exit::No, Exit::Usage, Exit::NotFound, Exit::Unavailable];
        assert_eq!(codes.map(Exit::code), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn every_way_a_command_can_fail_has_its_code() {
        let cases = [
            (CommandError::Invalid { field: "name", detail: "is empty".to_owned() }, Exit::Usage),
            (CommandError::Invalid { field: "id", detail: "is none".to_owned() }, Exit::NotFound),
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

    #[test]
    fn a_failure_is_told_as_one_object() {
        let refused =
            CommandError::Refused { code: Code::HaltActive, detail: "It is halted.".to_owned() };
        assert_eq!(
            Failure::from(refused).problem(),
            json!({"code": "halt.active", "title": Code::HaltActive.meaning(),
                   "detail": "refused: It is halted. (halt.active)", "exit_code": 1})
        );
        let wrong = CommandError::Invalid { field: "name", detail: "is empty".to_owned() };
        let wrong = Failure::from(wrong).problem();
        assert_eq!(
            (&wrong["code"], &wrong["field"]),
            (&"request.malformed".into(), &"name".into())
        );
        assert_eq!(Failure::not_found("no").problem()["code"], "request.not_found");
        for failure in [Failure::no("no"), Failure::unavailable("no")] {
            let problem = failure.problem();
            assert_eq!((problem.get("code"), &problem["detail"]), (None, &"no".into()));
        }
    }
}
