//! Which programs the tests need, and what to install where one is missing.

use std::process::Command;

use crate::{Outcome, process};

/// Program, the arguments that make it answer, and the sentence for whoever lacks it.
const NEEDED: &[(&str, &[&str], &str)] = &[
    ("git", &["--version"], "install git"),
    (
        "cc",
        &["--version"],
        "install a C compiler (Debian: build-essential): SQLite and AWS-LC are C",
    ),
    ("rustc", &["--version"], "install Rust with rustup; rust-toolchain.toml names the version"),
    ("cargo", &["fmt", "--version"], "run `rustup component add rustfmt`"),
    ("cargo", &["clippy", "--version"], "run `rustup component add clippy`"),
];

/// Where Debian has SoftHSM's module.
const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// Programs of other people that tests hold us against: what makes each answer, and Debian's package.
const PEERS: &[(&str, &[&str], &[&str])] = &[
    ("bash", &["--version"], &["bash"]),
    ("chromium", &["--version"], &["chromium"]),
    ("curl", &["--version"], &["curl", "ca-certificates"]),
    ("openssl", &["version"], &["openssl"]),
    ("oathtool", &["--version"], &["oathtool"]),
    ("testssl", &["--version"], &["testssl.sh"]),
    ("pebble", &["-h"], &["pebble"]),
    (
        "python3",
        &["-c", "import ensurepip, sqlite3, venv"],
        &["python3", "python3-venv", "python3-pip"],
    ),
    ("script", &["--version"], &["bsdutils"]),
    ("softhsm2-util", &["--version"], &["softhsm2"]),
    ("pkcs11-tool", &["--list-mechanisms", "--module", SOFTHSM], &["opensc"]),
    ("node", &["--version"], &["nodejs"]),
    ("npm", &["--version"], &["npm"]),
];

/// Fails with every missing program at once. The optional ones only change how a step is done.
pub(crate) fn check() -> Outcome {
    let root = process::root();
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(program, arguments, _)| {
            !process::answers(Command::new(program).args(*arguments).current_dir(&root))
        })
        .map(|(_, _, remedy)| *remedy)
        .collect();
    println!("cargo-nextest: {}", if has_nextest() { "yes" } else { "no, using cargo test" });
    println!("cargo-deny: {}", if has_deny() { "yes" } else { "no, using our own check" });
    if !missing.is_empty() {
        return Err(missing.join("; "));
    }
    PEERS.iter().try_for_each(|(program, arguments, packages)| {
        let there = || process::answers(Command::new(program).args(*arguments));
        if there() {
            return Ok(());
        }
        install(packages)?;
        if there() {
            Ok(())
        } else {
            Err(format!("{program} does not work after it was installed"))
        }
    })
}

/// Installs Debian packages where we may, and else says which ones are missing.
pub(crate) fn install(packages: &[&str]) -> Outcome {
    let missing = format!("install {0}: on Debian `apt-get install {0}`", packages.join(" "));
    let root = process::read(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if !root || !process::answers(Command::new("apt-get").arg("--version")) {
        return Err(missing);
    }
    for arguments in [&["update"][..], &["install", "-y", "--no-install-recommends"]] {
        let packages = if arguments.len() > 1 { packages } else { &[] };
        let mut apt = Command::new("apt-get");
        process::run(apt.args(arguments).args(packages).env("DEBIAN_FRONTEND", "noninteractive"))
            .map_err(|cause| format!("{missing} ({cause})"))?;
    }
    Ok(())
}

pub(crate) fn has_nextest() -> bool {
    process::answers(process::cargo().args(["nextest", "--version"]))
}

pub(crate) fn has_deny() -> bool {
    process::answers(process::cargo().args(["deny", "--version"]))
}
