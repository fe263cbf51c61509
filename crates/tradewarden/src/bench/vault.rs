//! `tradewarden bench vault`: what it takes to seal and to open one record, and to wrap and to open a
//! data key with a key file, in one thread.

use std::fmt::Write as _;
use std::hint::black_box;

use serde::Serialize;
use tradewarden_seal::{
    DataKeyPlace, FileKeySource, Fresh, Keyring, MAX_PLAINTEXT_BYTES, Place, Purpose,
    SystemRandomness,
};

use super::load::{median, now_ns, to_f64};
use crate::outcome::Failure;
use crate::output;

/// Plaintexts: a signing secret, a message, and the largest there is.
const SIZES: [usize; 3] = [32, 1_024, MAX_PLAINTEXT_BYTES];
const ROUNDS: usize = 50;
/// Records of a round; of the largest there are fewer.
const RECORDS: usize = 200;
const ORGANIZATION: &[u8] = &[1; 16];
const PLACE: DataKeyPlace<'_> =
    DataKeyPlace { organization: ORGANIZATION, purpose: Purpose::Intake, version: 1 };

#[derive(Debug, Serialize)]
struct Report {
    records: Vec<Record>,
    data_key_wrap_ns: f64,
    data_key_open_ns: f64,
}

/// Medians over the rounds, in nanoseconds.
#[derive(Debug, Serialize)]
struct Record {
    bytes: usize,
    seal_ns: f64,
    open_ns: f64,
}

/// Measures and prints.
pub(crate) async fn run(json: bool) -> Result<(), Failure> {
    let mut randomness = SystemRandomness::new();
    let ring = Keyring::new(FileKeySource::from_randomness(&mut randomness));
    let (mut wraps, mut opens, mut newest) = (Vec::new(), Vec::new(), None);
    for _round in 0..ROUNDS {
        let fresh = Fresh::draw(&mut randomness);
        let begun = now_ns();
        let wrapped = ring.new_data_key(&PLACE, fresh).await;
        let wrapped = wrapped.map_err(|error| failed(&error))?;
        let between = now_ns();
        let key = ring.open_data_key(&PLACE, &wrapped).await;
        newest = Some(key.map_err(|error| failed(&error))?);
        wraps.push(to_f64(between.saturating_sub(begun)));
        opens.push(to_f64(now_ns().saturating_sub(between)));
    }
    let key = newest.ok_or_else(|| Failure::unavailable("nothing was measured"))?;
    let place = Place {
        tenant: ORGANIZATION,
        table: "bench",
        column: "secret",
        row: &[2; 16],
        schema_version: 1,
    };
    let mut records = Vec::new();
    for bytes in SIZES {
        let plaintext = vec![0x5a; bytes];
        let count = if bytes > 100_000 { 1 } else { RECORDS };
        let (mut seals, mut openings) = (Vec::new(), Vec::new());
        for _round in 0..ROUNDS {
            let begun = now_ns();
            let mut record = Vec::new();
            for _record in 0..count {
                let sealed = key.seal(&place, black_box(&plaintext), &mut randomness);
                record = sealed.map_err(|error| failed(&error))?;
            }
            let between = now_ns();
            for _record in 0..count {
                let opened = key.open(&place, black_box(&record));
                black_box(opened.map_err(|error| failed(&error))?);
            }
            let each = to_f64(u64::try_from(count).unwrap_or(1));
            seals.push(to_f64(between.saturating_sub(begun)) / each);
            openings.push(to_f64(now_ns().saturating_sub(between)) / each);
        }
        records.push(Record { bytes, seal_ns: median(&mut seals), open_ns: median(&mut openings) });
    }
    let report = Report {
        records,
        data_key_wrap_ns: median(&mut wraps),
        data_key_open_ns: median(&mut opens),
    };
    output::print(&if json {
        serde_json::to_string(&report).map_err(|error| failed(&error))?
    } else {
        text(&report)
    })
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for Record { bytes, seal_ns, open_ns } in &report.records {
        let line = writeln!(text, "{bytes} bytes: seal {seal_ns:.0} ns, open {open_ns:.0} ns");
        line.unwrap_or_default();
    }
    let Report { data_key_wrap_ns, data_key_open_ns, .. } = report;
    let line =
        write!(text, "data key: wrap {data_key_wrap_ns:.0} ns, open {data_key_open_ns:.0} ns");
    line.unwrap_or_default();
    text
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::unavailable(error.to_string())
}
