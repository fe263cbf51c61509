//! What a crash leaves of the process's memory: nothing. There are secrets in it, and a core file would
//! be a copy that nobody sealed.

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::outcome::Failure;

/// Switches core dumps off for this process, for good, and closes its memory to debuggers of the same
/// user.
pub(crate) fn switch_off() -> Result<(), Failure> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(failed)?;
    // A limit of 0 keeps no dump from a program that the kernel pipes them to (core(5)).
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(failed)?;
    Ok(())
}

fn failed(cause: rustix::io::Errno) -> Failure {
    Failure::unavailable(format!(
        "core dumps, which would hold secrets, cannot be switched off ({cause}): what confines this \
         process must let it call setrlimit and prctl"
    ))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::process::{DumpableBehavior, dumpable_behavior, getrlimit};

    #[test]
    fn neither_a_file_nor_a_pipe_gets_the_memory() {
        switch_off().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        let Rlimit { current, maximum } = getrlimit(Resource::Core);
        assert_eq!((current, maximum), (Some(0), Some(0)));
        switch_off().unwrap();
    }
}
