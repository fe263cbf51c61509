//! Files that only their owner may read, written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::outcome::Failure;

/// The permission bits of group and others: none of them may be set on anything secret.
const OTHERS: u32 = 0o077;

/// Makes a directory with mode 0700, parents included, or sees that an existing one is closed to
/// others.
pub(crate) fn private_directory(path: &Path) -> Result<(), Failure> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => {
            Err(Failure::no(format!("{} is not a directory; name another one", path.display())))
        }
        Ok(metadata) => closed_to_others(path, metadata.mode()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|cause| failed("make the directory", path, &cause)),
        Err(cause) => Err(failed("look at", path, &cause)),
    }
}

/// Refuses what others than the owner can use, with the way out.
pub(crate) fn closed_to_others(path: &Path, mode: u32) -> Result<(), Failure> {
    if mode & OTHERS == 0 {
        return Ok(());
    }
    let (path, mode) = (path.display(), mode & 0o7777);
    Err(Failure::no(format!(
        "{path} can be used by others than its owner (mode {mode:04o}) and holds secrets; run \
         `chmod go-rwx {path}`, and if others have accounts on this machine, replace the secrets"
    )))
}

/// Reads a secret file of at most `bytes_max` bytes; one that others can read is refused.
pub(crate) fn read_secret(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    let file = File::open(path).map_err(|cause| failed("read", path, &cause))?;
    // Of the opened file, not of the path: what is judged is what is read.
    let metadata = file.metadata().map_err(|cause| failed("read", path, &cause))?;
    closed_to_others(path, metadata.mode())?;
    read_bounded(file, path, bytes_max)
}

/// Reads a file of at most `bytes_max` bytes.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    let file = File::open(path).map_err(|cause| failed("read", path, &cause))?;
    read_bounded(file, path, bytes_max)
}

/// The same, where a file that is not there is an answer.
pub(crate) fn read_text_if_there(path: &Path, bytes_max: u64) -> Result<Option<String>, Failure> {
    match File::open(path) {
        Ok(file) => read_bounded(file, path, bytes_max).map(Some),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(failed("read", path, &cause)),
    }
}

/// Writes a file with mode 0600 and puts it in its place in one step, on disk when this returns. A
/// crash leaves the old file or the new one, and at worst a file ending in `.new`.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = Path::new(&name);
    let write = || -> io::Result<()> {
        match fs::remove_file(new) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(new, path)?;
        sync_directory_of(path)
    };
    write().map_err(|cause| failed("write", path, &cause))
}

/// Makes a file that must not exist yet, with mode 0600.
pub(crate) fn create_private(path: &Path) -> Result<File, Failure> {
    let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    options.map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::usage(format!("{} exists already; name another file", path.display()))
        }
        _ => failed("write", path, &cause),
    })
}

/// Takes group and others their rights to a file.
pub(crate) fn make_private(path: &Path) -> Result<(), Failure> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(|cause| failed("protect", path, &cause))
}

/// A failure of the system about a path.
pub(crate) fn failed(action: &str, path: &Path, cause: &io::Error) -> Failure {
    let sentence = format!("cannot {action} {}: {cause}", path.display());
    match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Failure::not_found(sentence),
        _ => Failure::unavailable(sentence),
    }
}

/// Makes durable what was renamed in the directory of `path`.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn read_bounded(file: File, path: &Path, bytes_max: u64) -> Result<String, Failure> {
    let mut text = String::new();
    let read = file.take(bytes_max.saturating_add(1)).read_to_string(&mut text);
    let read = read.map_err(|cause| failed("read", path, &cause))?;
    if u64::try_from(read).unwrap_or(u64::MAX) > bytes_max {
        let path = path.display();
        return Err(Failure::usage(format!("{path} is larger than {bytes_max} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Exit;
    use crate::scratch::Scratch;

    #[test]
    fn a_directory_is_made_closed_and_an_open_one_is_refused() {
        let scratch = Scratch::new();
        let made = scratch.path().join("a/b");
        private_directory(&made).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().mode() & 0o7777, 0o700);
        private_directory(&made).unwrap();
        fs::set_permissions(&made, fs::Permissions::from_mode(0o750)).unwrap();
        let refused = private_directory(&made).unwrap_err();
        assert_eq!(refused.exit, Exit::No);
        assert!(refused.sentence.contains("chmod go-rwx"), "{refused}");
        assert!(private_directory(&scratch.file("file", "", 0o600)).is_err());
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let scratch = Scratch::new();
        for mode in [0o640, 0o604, 0o660, 0o601] {
            let open = scratch.file(&format!("{mode:o}"), "secret", mode);
            assert_eq!(read_secret(&open, 100).unwrap_err().exit, Exit::No, "{mode:o}");
        }
        let closed = scratch.file("closed", "secret", 0o600);
        assert_eq!(read_secret(&closed, 100).unwrap(), "secret");
        assert_eq!(read_secret(&closed, 5).unwrap_err().exit, Exit::Usage);
        assert_eq!(read_secret(&scratch.path().join("none"), 5).unwrap_err().exit, Exit::NotFound);
    }

    #[test]
    fn a_private_file_replaces_the_old_one_and_is_closed() {
        let scratch = Scratch::new();
        let path = scratch.file("file", "old", 0o644);
        write_private(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert!(create_private(&path).is_err());
        assert_eq!(read_text_if_there(&scratch.path().join("none"), 5).unwrap(), None);
    }
}
