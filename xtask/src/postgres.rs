//! A private PostgreSQL for one run of the tests: its own directory, its own port, gone at the end.
//!
//! A guardian process, not a signal handler, stops it: the guardian waits on a pipe from us, and
//! the pipe closes when we end, be it by return, panic, Ctrl-C or `kill -9`.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Outcome, process};

/// Where the tests look for the database.
pub(crate) const VARIABLE: &str = "TRADEWARDEN_TEST_POSTGRES";

/// Reads until its standard input closes, then stops the server and removes the directory. At once
/// (`immediate`): nobody needs the data any more.
const GUARDIAN: &str = r#"
trap '' HUP INT TERM
cat > /dev/null
"$1/pg_ctl" -D "$2/data" -m immediate -w stop > /dev/null 2>&1
rm -rf "$2"
"#;

/// Another program may take the port between our look and the server's start.
const ATTEMPTS: u32 = 3;

/// A running server. Dropping it stops it and removes its files.
pub(crate) struct Instance {
    url: String,
    guardian: Child,
}

impl Instance {
    pub(crate) fn start() -> Result<Self, String> {
        let account = Account::choose()?;
        let programs = programs()?;
        let directory = directory(&account)?;
        // From here on the directory is removed however this function ends.
        let guardian = guardian(&account, &programs, &directory)?;
        let mut instance = Self { url: String::new(), guardian };

        let data = directory.join("data");
        let mut initdb = account.command(&programs.join("initdb"), &directory);
        initdb.args(["--no-sync", "-A", "trust", "-E", "UTF8", "--locale=C", "-U", "postgres"]);
        process::read(initdb.arg("-D").arg(&data))
            .map_err(|cause| format!("PostgreSQL could not be set up: {cause}"))?;
        let port = start_server(&account, &programs, &directory)?;
        instance.url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        Ok(instance)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        drop(self.guardian.stdin.take());
        if let Err(cause) = self.guardian.wait() {
            eprintln!("the private PostgreSQL may still be running: {cause}");
        }
    }
}

/// `cargo xtask postgres`: a server for tests that are started by hand.
pub(crate) fn serve() -> Outcome {
    let instance = Instance::start()?;
    println!("export {VARIABLE}={}", instance.url());
    println!("running until Ctrl-C or end of input");
    let mut ignored = Vec::new();
    let read = std::io::stdin().read_to_end(&mut ignored);
    read.map(|_| ()).map_err(|cause| format!("standard input: {cause}"))
}

/// Who the server runs as. PostgreSQL refuses to run as root.
enum Account {
    Ours,
    Other { user: u32, group: u32 },
}

impl Account {
    fn choose() -> Result<Self, String> {
        if id(&["-u"])? != 0 {
            return Ok(Self::Ours);
        }
        // The package makes `postgres`; a server installed by hand may not have it.
        let name = ["postgres", "nobody"].into_iter().find(|name| id(&["-u", name]).is_ok());
        let name = name.ok_or("PostgreSQL refuses to run as root: add a user `postgres`")?;
        Ok(Self::Other { user: id(&["-u", name])?, group: id(&["-g", name])? })
    }

    fn is_root(&self) -> bool {
        matches!(self, Self::Other { .. })
    }

    fn command(&self, program: &Path, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(directory).stdin(Stdio::null()).env("LC_ALL", "C");
        if let Self::Other { user, group } = self {
            command.uid(*user).gid(*group);
        }
        command
    }
}

fn id(arguments: &[&str]) -> Result<u32, String> {
    let answer = process::read(Command::new("id").args(arguments))?;
    answer.trim().parse().map_err(|_| format!("`id` answered `{}`", answer.trim()))
}

/// The directory with PostgreSQL's programs, installing the package where we may.
fn programs() -> Result<PathBuf, String> {
    if let Some(found) = find_programs() {
        return Ok(found);
    }
    let missing = "PostgreSQL is missing (initdb, pg_ctl, postgres)";
    crate::tools::install(&["postgresql"]).map_err(|how| format!("{missing}: {how}"))?;
    find_programs().ok_or_else(|| missing.to_owned())
}

/// On the path first, then where Debian keeps its versions, newest first.
fn find_programs() -> Option<PathBuf> {
    let path = process::variable("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).collect::<Vec<_>>();
    on_path.into_iter().chain(debian_directories()).find(|directory| {
        ["initdb", "pg_ctl", "postgres"].iter().all(|name| directory.join(name).is_file())
    })
}

fn debian_directories() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by(|one, other| other.cmp(one));
    versions.into_iter().map(|(_, directory)| directory).collect()
}

/// A new directory that the server's account owns and nobody else reads. Not below a root's own
/// TMPDIR, which another account may not reach; short, for a socket's path ends at 107 bytes.
fn directory(account: &Account) -> Result<PathBuf, String> {
    let own = std::env::temp_dir();
    let short = own.as_os_str().len() <= 60;
    let base = if short && !account.is_root() { own } else { PathBuf::from("/tmp") };
    let failed =
        |cause: std::io::Error| format!("a temporary directory in {}: {cause}", base.display());
    // The process id is ours alone now; one left over from an earlier process is not ours to use.
    let mut counter = 0;
    let path = loop {
        let path = base.join(format!("tradewarden-postgres-{}-{counter}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => break path,
            Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => counter += 1,
            Err(cause) => return Err(failed(cause)),
        }
    };
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    if let Account::Other { user, group } = account {
        chown(&path, Some(*user), Some(*group)).map_err(failed)?;
    }
    Ok(path)
}

fn guardian(account: &Account, programs: &Path, directory: &Path) -> Result<Child, String> {
    let mut command = account.command(Path::new("/bin/sh"), directory);
    command.args(["-c", GUARDIAN, "guardian"]).arg(programs).arg(directory);
    // A group of its own: Ctrl-C in the terminal reaches us, and through the pipe the guardian.
    command.stdin(Stdio::piped()).process_group(0);
    command.spawn().map_err(|cause| format!("the guardian of PostgreSQL: {cause}"))
}

/// Starts the server on a free port and waits until it answers; returns the port.
fn start_server(account: &Account, programs: &Path, directory: &Path) -> Result<u16, String> {
    let mut reason = String::new();
    for _ in 0..ATTEMPTS {
        let port = free_port()?;
        let settings = directory.join("data/postgresql.auto.conf");
        fs::write(&settings, configuration(directory, port))
            .map_err(|cause| format!("{}: {cause}", settings.display()))?;
        let log = directory.join("log");
        let mut start = account.command(&programs.join("pg_ctl"), directory);
        start.arg("-D").arg(directory.join("data")).arg("-l").arg(&log);
        match process::read(start.args(["-w", "-t", "60", "start"])) {
            Ok(_) => return Ok(port),
            Err(cause) => {
                let said = fs::read_to_string(&log).unwrap_or_default();
                reason = format!("{cause}\n{said}");
            }
        }
    }
    Err(format!("PostgreSQL could not be started: {reason}"))
}

/// `fsync` stays on: the product refuses a server that has it off.
fn configuration(directory: &Path, port: u16) -> String {
    format!(
        "listen_addresses = '127.0.0.1'\n\
         port = {port}\n\
         unix_socket_directories = '{}'\n\
         max_connections = 200\n\
         fsync = on\n",
        directory.display()
    )
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|cause| format!("no free port: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_local_and_durable() {
        let settings = configuration(Path::new("/tmp/x"), 5433);
        assert!(settings.contains("listen_addresses = '127.0.0.1'"));
        assert!(settings.contains("fsync = on"));
        assert!(settings.contains("port = 5433"));
    }

    #[test]
    fn a_free_port_can_be_bound() {
        let port = free_port().unwrap();
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
    }
}
