//! The disk by itself: 4 KiB appended, then synced.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::load::{now_us, percentile};
use super::probe_file;
use crate::outcome::Failure;

/// How long syncs take, in microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Sync {
    pub(super) count: usize,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

pub(super) fn probe(directory: &Path, count: usize) -> Result<Sync, Failure> {
    let path = probe_file(directory);
    let failed = |cause: std::io::Error| {
        Failure::unavailable(format!("{} cannot be written: {cause}", path.display()))
    };
    let mut file = OpenOptions::new().create_new(true).append(true).open(&path).map_err(failed)?;
    let page = [7_u8; 4096];
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let started = now_us();
        file.write_all(&page).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        times.push(now_us().saturating_sub(started));
    }
    std::fs::remove_file(&path).map_err(failed)?;
    times.sort_unstable();
    Ok(Sync { count, p50_us: percentile(&times, 500), p99_us: percentile(&times, 990) })
}
