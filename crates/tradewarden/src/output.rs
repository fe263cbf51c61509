//! What is printed: the only module that writes to standard output and standard error.
//!
//! Standard output holds the answer and nothing else, so that it can be piped. A reader that went
//! away (EPIPE) is no error: whoever reads the first line of a list has what they wanted.

use std::io::{self, ErrorKind, Write};

use crate::outcome::Failure;

/// Prints text to standard output, with a line end if it has none.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    to(&mut io::stdout().lock(), text)
}

/// Says one sentence on standard error. Nobody is left to tell if that fails.
pub(crate) fn complain(failure: &Failure) {
    let _nobody_is_left = writeln!(io::stderr().lock(), "tradewarden: {failure}");
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
