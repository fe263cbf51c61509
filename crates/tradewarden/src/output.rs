//! What is printed: the only module that writes to standard output and standard error.
//!
//! Standard output holds the answer and nothing else, so that it can be piped. A reader that went
//! away (EPIPE) is no error: whoever reads the first line of a list has what they wanted.

use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::outcome::Failure;

/// Prints text to standard output, with a line end if it has none.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    to(&mut io::stdout().lock(), text)
}

/// Says why not on standard error: one sentence, or one line of JSON. Nobody is left to tell if that
/// fails.
pub(crate) fn complain(failure: &Failure, json: bool) {
    let _nobody_is_left = if json {
        writeln!(io::stderr().lock(), "{}", failure.problem())
    } else {
        writeln!(io::stderr().lock(), "tradewarden: {failure}")
    };
}

/// A note for people beside the answer, on standard error.
pub(crate) fn note(text: &str) {
    let _a_note_may_get_lost = writeln!(io::stderr().lock(), "{text}");
}

fn to(stream: &mut dyn Write, text: &str) -> Result<(), Failure> {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let written = stream
        .write_all(text.as_bytes())
        .and_then(|()| stream.write_all(end.as_bytes()))
        .and_then(|()| stream.flush());
    match written {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => Err(Failure::unavailable(format!(
            "the answer could not be printed ({cause}); what was asked for was done"
        ))),
        _ => Ok(()),
    }
}

/// How far long work is: a bar on standard error, if that is a terminal, which goes when the work is
/// done.
pub(crate) struct Progress {
    what: &'static str,
    is_seen: bool,
}

impl Progress {
    /// Shows an empty bar.
    pub(crate) fn begin(what: &'static str) -> Self {
        let mut progress = Self { what, is_seen: io::stderr().is_terminal() };
        progress.show(0);
        progress
    }

    /// Shows how much is done, in percent.
    pub(crate) fn show(&mut self, percent: u8) {
        if self.is_seen {
            let bar = bar(self.what, percent);
            let _a_bar_may_get_lost = write!(io::stderr().lock(), "\r{bar}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_seen {
            let blank = " ".repeat(bar(self.what, 100).chars().count());
            let _a_bar_may_stay = write!(io::stderr().lock(), "\r{blank}\r");
        }
    }
}

/// Characters of a full bar.
const BAR_WIDTH: usize = 30;

fn bar(what: &str, percent: u8) -> String {
    let percent = percent.min(100);
    let full = usize::from(percent) * BAR_WIDTH / 100;
    let (done, left) = ("#".repeat(full), ".".repeat(BAR_WIDTH - full));
    format!("{what} [{done}{left}] {percent:3} %")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Exit;

    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_bar_is_always_as_long() {
        assert_eq!(bar("replaying", 0), format!("replaying [{}]   0 %", ".".repeat(30)));
        assert_eq!(bar("replaying", 100), format!("replaying [{}] 100 %", "#".repeat(30)));
        for percent in 0..=u8::MAX {
            assert_eq!(bar("a", percent).len(), bar("a", 100).len());
        }
    }

    #[test]
    fn one_line_end_and_no_second() {
        for text in ["a", "a\n"] {
            let mut printed = Vec::new();
            to(&mut printed, text).unwrap();
            assert_eq!(printed, b"a\n");
        }
    }

    #[test]
    fn a_reader_that_left_is_no_error_and_a_full_disk_is() {
        assert_eq!(to(&mut Broken(ErrorKind::BrokenPipe), "a"), Ok(()));
        let failure = to(&mut Broken(ErrorKind::StorageFull), "a").unwrap_err();
        assert_eq!(failure.exit, Exit::Unavailable);
    }
}
