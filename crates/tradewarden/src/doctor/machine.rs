//! Files and the machine they are on: what can be seen without asking anybody.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Resource, getegid, geteuid, getgid, getrlimit, getuid};
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::posture::Item;
use tradewarden_seal::FileKeySource;

use crate::config::{Config, SourceKind};
use crate::data::Data;
use crate::files;

/// With less than this a gateway does not start: a database that cannot grow stops in the middle.
const FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// With less than this somebody should look.
const FREE_BYTES_FEW: u64 = 1024 * 1024 * 1024;
/// A backup older than this is none.
const BACKUP_DAYS_MAX: i64 = 7;
/// Longest small file of the system that is read, in bytes.
const SMALL_BYTES_MAX: u64 = 64 * 1024;
/// What systemd-timesyncd leaves where it has set the clock; its time is that of the newest answer.
const TIMESYNCD: &str = "/run/systemd/timesync/synchronized";

/// Every item here.
pub(super) fn items(config: &Config, data: &Data, now: Timestamp) -> Vec<Item> {
    let mut items = vec![data_directory(data)];
    items.extend(database_files(data));
    items.extend(key_file(config, data));
    items.extend([core_dumps(), user(), swap(), clock()]);
    items.extend(disk(data));
    items.push(backup(config, data, now));
    items
}

fn data_directory(data: &Data) -> Item {
    let (name, root) = ("data_directory", data.root());
    let Ok(metadata) = fs::metadata(&root) else {
        let seen = format!("there is none at {}", root.display());
        return Item::amber(name, seen, "`tradewarden init` makes it; --data names another one");
    };
    if !metadata.is_dir() {
        let seen = format!("{} is not a directory", root.display());
        return Item::red(name, seen, "name a directory with --data");
    }
    closed(name, &root, &metadata)
}

/// The file of SQLite and what it writes beside it.
fn database_files(data: &Data) -> Vec<Item> {
    let database = data.database();
    let beside = |ending: &str| {
        let mut name = database.clone().into_os_string();
        name.push(ending);
        std::path::PathBuf::from(name)
    };
    let files = [database.clone(), beside("-wal"), beside("-shm")];
    let there = files.iter().filter_map(|path| Some((path, fs::metadata(path).ok()?)));
    let looked: Vec<_> =
        there.map(|(path, metadata)| closed("database_file", path, &metadata)).collect();
    // One item for all of them: the worst, and of alike ones the database itself.
    looked.into_iter().rev().max_by_key(|item| item.light).into_iter().collect()
}

fn key_file(config: &Config, data: &Data) -> Option<Item> {
    let name = "key_file";
    if !config.vault.uses(SourceKind::File) {
        return None;
    }
    let path = data.key_file();
    let Ok(metadata) = fs::metadata(&path) else {
        let seen = format!("there is none at {}", path.display());
        return Some(if data.is_set_up(config).is_ok() {
            Item::red(name, seen, "put its backup back: nothing sealed opens without it")
        } else {
            Item::amber(
                name,
                seen,
                "the first start makes it; then back it up apart from the database",
            )
        });
    };
    let item = closed(name, &path, &metadata);
    if item.fix.is_some() {
        return Some(item);
    }
    Some(match FileKeySource::open(&path) {
        Ok(_) => item,
        Err(error) => Item::red(name, error.to_string(), "put its backup back"),
    })
}

/// A file or directory that only its owner may use, who is us.
fn closed(name: &'static str, path: &Path, metadata: &fs::Metadata) -> Item {
    let seen = format!("{}, mode {:04o}", path.display(), metadata.mode() & 0o7777);
    if files::closed_to_others(path, metadata.mode()).is_err() {
        let fix = format!(
            "run `chmod go-rwx {}`, and if others have accounts on this machine, replace the secrets",
            path.display()
        );
        return Item::red(name, seen, fix);
    }
    if metadata.uid() != geteuid().as_raw() {
        let seen = format!("{seen}, owned by user {}", metadata.uid());
        let fix = format!("run as that user, or `chown {} {}`", geteuid().as_raw(), path.display());
        return Item::amber(name, seen, fix);
    }
    Item::green(name, seen)
}

/// The program switches them off at each start, this one too: what is seen is what a gateway has.
fn core_dumps() -> Item {
    let limit = getrlimit(Resource::Core);
    if limit.current == Some(0) && limit.maximum == Some(0) {
        return Item::green("core_dumps", "off, as every start of the program makes them");
    }
    Item::red("core_dumps", "on", "what confines this process must let it call setrlimit and prctl")
}

fn user() -> Item {
    let (effective, real) = (geteuid(), getuid());
    if effective != real || getegid() != getgid() {
        let seen = format!("user {} by the rights of {}", real.as_raw(), effective.as_raw());
        return Item::red("user", seen, "take the setuid and setgid bits from the program's file");
    }
    if effective.is_root() {
        let fix = "run as a user of its own; a port below 1024 needs CAP_NET_BIND_SERVICE alone";
        return Item::amber("user", "root", fix);
    }
    Item::green("user", format!("user {}, not root", effective.as_raw()))
}

fn swap() -> Item {
    let name = "memory";
    let Ok(text) = files::read_text(Path::new("/proc/swaps"), SMALL_BYTES_MAX) else {
        let fix = "see that swap is off or encrypted: memory is not locked";
        return Item::amber(name, "it cannot be seen whether there is swap", fix);
    };
    let areas = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let areas: Vec<_> = areas.collect();
    // Compressed memory is no disk.
    if areas.iter().all(|area| area.starts_with("/dev/zram")) {
        return Item::green(name, "no swap on a disk; memory is not locked, and need not be");
    }
    Item::amber(
        name,
        format!(
            "swap on {}; memory is not locked, so secrets may be written there",
            areas.join(", ")
        ),
        "switch swap off, or encrypt it under a key of each boot; for the service alone, \
         MemorySwapMax=0",
    )
}

/// The kernel says whether its clock is disciplined by a call that needs `unsafe`; what a time service
/// leaves behind is the next best.
fn clock() -> Item {
    if Path::new(TIMESYNCD).exists() {
        return Item::green("clock", "systemd-timesyncd has set it");
    }
    Item::amber(
        "clock",
        "nothing here says that it is synchronized; chrony and ntpd leave no mark that could be seen",
        "see that a time service runs: `chronyc tracking`, `ntpq -p` or `timedatectl`",
    )
}

fn disk(data: &Data) -> Option<Item> {
    let root = data.root();
    let place = if root.is_dir() { root } else { root.parent()?.to_owned() };
    let found = rustix::fs::statvfs(&place).ok()?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let seen = format!("{} MiB free at {}", free / (1024 * 1024), place.display());
    Some(if free < FREE_BYTES_MIN {
        Item::red("disk", seen, "make room: a database that cannot grow stops the gateway")
    } else if free < FREE_BYTES_FEW {
        Item::amber("disk", seen, "make room before it is needed")
    } else {
        Item::green("disk", seen)
    })
}

/// `db backup` notes when it ended; of PostgreSQL's own tools nothing is known here.
fn backup(config: &Config, data: &Data, now: Timestamp) -> Item {
    let name = "backup";
    let fix = if config.database.is_sqlite() {
        "make one with `tradewarden db backup`, and keep the key file apart from it"
    } else {
        "see that PostgreSQL is backed up by its own tools (pg_dump, or its archive)"
    };
    match data.last_backup() {
        None => Item::amber(name, "not known when the last one was made", fix),
        Some(at) => {
            let days = now.unix_seconds().saturating_sub(at.unix_seconds()).div_euclid(86_400);
            let seen = format!("the last one by `db backup` was made at {at}, {days} days ago");
            if days > BACKUP_DAYS_MAX {
                Item::amber(name, seen, fix)
            } else {
                Item::green(name, seen)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::fs::PermissionsExt;
    use tradewarden_engine::posture::Light;

    fn at(mode: u32) -> (Scratch, Config, Data) {
        let scratch = Scratch::new();
        let config = Config { data: scratch.path().to_owned(), ..Config::default() };
        let data = Data::at(&config);
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(mode)).unwrap();
        (scratch, config, data)
    }

    fn light(items: &[Item], name: &str) -> Option<Light> {
        items.iter().find(|item| item.name == name).map(|item| item.light)
    }

    #[test]
    fn what_others_can_read_is_red() {
        let now = Timestamp::default();
        let (scratch, config, data) = at(0o700);
        scratch.file("tradewarden.db", "", 0o600);
        scratch.file("tradewarden.db-wal", "", 0o600);
        let items = super::items(&config, &data, now);
        assert_eq!(light(&items, "data_directory"), Some(Light::Green), "{items:?}");
        assert_eq!(light(&items, "database_file"), Some(Light::Green), "{items:?}");
        assert_eq!(light(&items, "key_file"), Some(Light::Red), "used, and away: {items:?}");
        scratch.file("tradewarden.db-wal", "", 0o640);
        scratch.file("kek", "no key", 0o600);
        let items = super::items(&config, &data, now);
        assert_eq!(light(&items, "database_file"), Some(Light::Red), "{items:?}");
        assert_eq!(light(&items, "key_file"), Some(Light::Red), "not a key: {items:?}");
        let (_scratch, config, data) = at(0o750);
        let items = super::items(&config, &data, now);
        assert_eq!(light(&items, "data_directory"), Some(Light::Red), "{items:?}");
        assert!(items.iter().all(|item| item.fix.is_some() == (item.light != Light::Green)));
    }

    #[test]
    fn an_old_backup_is_amber() {
        let (_scratch, config, data) = at(0o700);
        let day = |days: i64| Timestamp::from_unix_micros(days * 86_400_000_000);
        assert_eq!(backup(&config, &data, day(1)).light, Light::Amber);
        data.note_backup(day(1)).unwrap();
        assert_eq!(backup(&config, &data, day(8)).light, Light::Green);
        assert_eq!(backup(&config, &data, day(9)).light, Light::Amber);
    }
}
