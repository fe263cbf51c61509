//! What holds for every body.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn any_mapping() -> Mapping {
    let paths = TargetField::ALL.iter().map(|field| (*field, format!("a.{field}")));
    let fields: BTreeMap<_, _> =
        paths.map(|(field, path)| (field, path.parse().unwrap())).collect();
    Mapping::new(fields, [("go".to_owned(), Action::Buy)]).unwrap()
}

/// Holds of everything that is read.
fn check(bytes: &[u8]) {
    let mapping = any_mapping();
    for mapping in [None, Some(&mapping)] {
        let body = read(bytes, mapping);
        if let Some(secret) = &body.secret
            && secret.expose().len() >= 8
        {
            let leaked = |text: &[u8]| {
                text.windows(secret.expose().len()).any(|part| part == secret.expose().as_bytes())
            };
            assert!(!leaked(&body.redacted), "{body:?}");
        }
        if body.secret.is_some() {
            let again = read(&body.redacted, mapping);
            assert!(again.secret.is_none());
        }
        if let Err(error) = &body.signal {
            assert!(error.field.len() <= 64 && error.detail.len() <= 400, "{error:?}");
            assert!(error.detail.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{error:?}");
        }
        if let Ok(signal) = &body.signal {
            assert!(signal.unknown_fields.len() <= 32 && signal.notes.len() <= 16);
            assert!(!(signal.id.is_some() && signal.derived_id.is_some()));
            assert!((1..=100).contains(&signal.exit_percent()));
            if let QuantityField::Given(quantity) = signal.quantity {
                assert!(quantity.is_positive());
            }
        }
    }
}

/// Values as senders might write them, right and wrong.
fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        "(0|[1-9][0-9]{0,3})(\\.[0-9]{1,9})?",
        "\"[A-Za-z_0-9:!. ]{0,12}\"",
        prop::sample::select(vec![
            "null",
            "true",
            "[]",
            "{}",
            "\"buy\"",
            "\"EXIT\"",
            "\"EXIT_50\"",
            "\"flat\"",
            "-1",
            "\"limit\"",
            "{\"percent\":5}",
            "{\"type\":\"stop\",\"amount\":2}",
            "1795312984",
            "\"2026-11-22T02:03:04Z\"",
            "\"dollar_amount\"",
            "\"percent_of_position\"",
            "1e30",
            "\"\\ud83d\\ude00\"",
            "\"12345678\"",
            "12345678",
            "\"\\u0031\\u00322345678\"",
        ])
        .prop_map(str::to_owned),
    ]
}

/// Names of every form, and strange ones.
fn names() -> impl Strategy<Value = String> {
    let own = [
        "secret",
        "sentiment",
        "quantityType",
        "orderType",
        "limitPrice",
        "stopPrice",
        "takeProfit",
        "stopLoss",
        "timeInForce",
        "signalPrice",
        "test",
        "delay",
        "optionType",
        "symbol",
        "contracts",
        "alert_id",
        "timestamp",
        "prev_x",
        "12345678",
        "a",
    ];
    let native = TargetField::ALL.iter().map(|field| field.text());
    let known: Vec<_> = own.into_iter().chain(native).map(str::to_owned).collect();
    prop_oneof![9 => prop::sample::select(known), 1 => "[a-z]{1,6}"]
}

fn object(members: &[(String, String)]) -> String {
    let members: Vec<_> =
        members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// A valid native payload and what it must read as.
#[derive(Debug, Clone)]
struct Valid {
    action: Action,
    percent: Option<u32>,
    quantity: Option<i64>,
    price: Option<i64>,
    id: Option<String>,
    sent_at: Option<i64>,
    ticker: Option<String>,
    quoted: bool,
}

fn valid() -> impl Strategy<Value = Valid> {
    let units = || prop::option::of(1_i64..1_000_000_000_000);
    let id = prop::option::of("[ -!#-\\[\\]-~]{1,128}");
    let ticker = prop::option::of("([A-Z_]{1,10}:)?[A-Za-z0-9._/!-]{1,20}");
    let sent_at = prop::option::of(0_i64..4_102_444_800_000_000);
    let action = prop::sample::select(Action::ALL);
    let percent = prop::option::of(1_u32..=100);
    (action, percent, units(), units(), id, sent_at, ticker, any::<bool>()).prop_map(
        |(action, percent, quantity, price, id, sent_at, ticker, quoted)| Valid {
            action,
            percent,
            quantity,
            price,
            id,
            sent_at,
            ticker,
            quoted,
        },
    )
}

impl Valid {
    fn body(&self) -> String {
        let quote = if self.quoted { "\"" } else { "" };
        let mut members = vec![("action".to_owned(), format!("\"{}\"", self.action))];
        let mut add = |name: &str, value: Option<String>| {
            members.extend(value.map(|value| (name.to_owned(), value)));
        };
        add("comment", self.percent.map(|percent| format!("\"EXIT_{percent}\"")));
        let quantity = self.quantity.map(Quantity::from_units);
        add("quantity", quantity.map(|number| format!("{quote}{number}{quote}")));
        let price = self.price.map(Price::from_units);
        add("price", price.map(|number| format!("{quote}{number}{quote}")));
        add("id", self.id.as_ref().map(|id| format!("\"{id}\"")));
        let sent_at = self.sent_at.map(Timestamp::from_unix_micros);
        add("timenow", sent_at.map(|time| format!("\"{time}\"")));
        add("ticker", self.ticker.as_ref().map(|ticker| format!("\"{ticker}\"")));
        object(&members)
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        check(&bytes);
    }

    #[test]
    fn arbitrary_text(text in r#"[\[\]{}:,"\\a-z0-9+%=. ]{0,96}"#) {
        check(text.as_bytes());
    }

    #[test]
    fn arbitrary_members(members in prop::collection::vec((names(), values()), 0..12)) {
        check(object(&members).as_bytes());
        check(format!("{{\"a\":{}}}", object(&members)).as_bytes());
    }

    #[test]
    fn arbitrary_secrets(secret in "\\PC{0,24}", comment in "\\PC{0,8}") {
        let repeated = format!("{comment}{secret}{comment}");
        let body = serde_json::json!({"action": "BUY", "comment": repeated, "secret": secret});
        check(body.to_string().as_bytes());
        let read = read(body.to_string().as_bytes(), None);
        let found = read.secret.unwrap();
        prop_assert_eq!(found.expose(), secret);
    }

    #[test]
    fn redaction_leaves_the_others(members in prop::collection::vec(("[a-z]{1,6}", values()), 0..9),
        place: prop::sample::Index, space in "[ \n\t]{0,3}") {
        let mut members: Vec<_> =
            members.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
        members.retain(|(name, _)| name != "secret");
        let without: serde_json::Value = serde_json::from_str(&object(&members)).unwrap();
        members.insert(place.index(members.len().saturating_add(1)), ("secret".into(), "\"S\"".into()));
        let body = object(&members).replace(',', &format!("{space},{space}"));
        let read = read(body.as_bytes(), None);
        let found = read.secret.unwrap();
        prop_assert_eq!(found.expose(), "S");
        let redacted: serde_json::Value = serde_json::from_slice(&read.redacted).unwrap();
        prop_assert_eq!(redacted, without);
    }

    #[test]
    fn valid_signals_round_trip(valid in valid()) {
        let signal = signal(&valid.body());
        prop_assert_eq!(signal.action, valid.action);
        prop_assert_eq!(signal.exit_percent(), valid.percent.unwrap_or(100));
        prop_assert_eq!(signal.is_exit(), valid.action == Action::Exit || valid.percent.is_some());
        let quantity = valid.quantity.map(Quantity::from_units);
        prop_assert_eq!(signal.quantity, quantity.map_or(QuantityField::Absent, QuantityField::Given));
        prop_assert_eq!(signal.price, valid.price.map(Price::from_units));
        prop_assert_eq!(signal.sent_at, valid.sent_at.map(Timestamp::from_unix_micros));
        prop_assert_eq!(signal.id, valid.id);
        prop_assert_eq!(signal.ticker, valid.ticker);
        prop_assert!(signal.unknown_fields.is_empty() && signal.notes.is_empty());
    }
}
