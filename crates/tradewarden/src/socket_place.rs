//! Where a Unix socket is, in a form the system takes.
//!
//! A socket's path may have about 107 bytes. A data directory may well be deeper; then the socket
//! is named through the directory's descriptor, which is short.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::files;
use crate::outcome::Failure;

/// Below the 108 bytes of `sun_path` with its zero byte and room for a suffix of ours.
const PATH_BYTES_MAX: usize = 100;

/// A path for a socket; it is good while this exists.
#[derive(Debug)]
pub(crate) struct SocketPlace {
    path: PathBuf,
    /// Keeps the descriptor that the path names.
    _directory: Option<File>,
}

impl SocketPlace {
    /// The place of the socket `path`, whose directory must exist.
    pub(crate) fn of(path: &Path) -> Result<Self, Failure> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Failure::usage(format!("{} is not the path of a socket", path.display())));
        };
        if path.as_os_str().as_bytes().len() <= PATH_BYTES_MAX {
            return Ok(Self { path: path.to_owned(), _directory: None });
        }
        let directory =
            File::open(parent).map_err(|cause| files::failed("open", parent, &cause))?;
        let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
        Ok(Self { path: short, _directory: Some(directory) })
    }

    /// What to bind or to connect to.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn a_deep_directory_has_a_place_too() {
        let scratch = Scratch::new();
        let deep = scratch.path().join("d".repeat(120));
        files::private_directory(&deep).unwrap();
        let socket = deep.join("control.sock");
        let place = SocketPlace::of(&socket).unwrap();
        let _listener = UnixListener::bind(place.path()).unwrap();
        assert!(socket.exists());
        UnixStream::connect(SocketPlace::of(&socket).unwrap().path()).unwrap();
    }
}
