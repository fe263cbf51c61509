//! Any body, read with and without a mapping: no panic, and no secret in what may be stored.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use tradewarden_domain::signal::{self, Action, Body, Mapping, QuantityField, TargetField};

/// Shorter secrets are words that may stand elsewhere and mean something else.
const SECRET_MIN: usize = 8;

static MAPPING: LazyLock<Mapping> = LazyLock::new(|| {
    let fields: BTreeMap<_, _> = TargetField::ALL
        .iter()
        .map(|field| (*field, format!("order.{field}").parse().expect("a path")))
        .collect();
    let words = [("enter_long".to_owned(), Action::Buy), ("enter_short".to_owned(), Action::Sell)];
    Mapping::new(fields, words).expect("a mapping")
});

fuzz_target!(|body: &[u8]| {
    check(body, &signal::read(body, None));
    check(body, &signal::read(body, Some(&MAPPING)));
});

fn check(received: &[u8], body: &Body) {
    match &body.secret {
        Some(secret) => {
            let secret = secret.expose().as_bytes();
            assert!(secret.len() < SECRET_MIN || !contains(&body.redacted, secret));
            assert!(signal::read(&body.redacted, None).secret.is_none());
        }
        None => assert!(body.redacted.len() <= received.len()),
    }
    if let Ok(signal) = &body.signal {
        assert!((1..=100).contains(&signal.exit_percent()));
        assert!(signal.is_exit() || !signal.is_full_exit());
        assert!(signal.unknown_fields.len() <= 32 && signal.notes.len() <= 16);
        if let QuantityField::Given(quantity) = signal.quantity {
            assert!(quantity.is_positive());
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
