//! The native form, and what all forms share.

mod mapping;
mod properties;
mod redaction;
mod traderspost;

use super::*;
use crate::code::Code;

fn signal(body: &str) -> Signal {
    read(body.as_bytes(), None).signal.unwrap_or_else(|error| panic!("{body}: {error}"))
}

fn error(body: &str) -> (&'static str, String) {
    let error = read(body.as_bytes(), None).signal.expect_err(body);
    (error.code.text(), error.field)
}

#[expect(clippy::unnecessary_wraps, reason = "compared with fields that may be absent")]
fn price(text: &str) -> Option<Price> {
    Some(text.parse().unwrap())
}

fn units(text: &str) -> Quantity {
    text.parse().unwrap()
}

fn exit(whole: u32) -> Comment {
    Comment::Exit(Percent::new(whole).unwrap())
}

#[test]
fn actions_and_their_aliases() {
    for (word, action) in [
        ("BUY", Action::Buy),
        ("buy", Action::Buy),
        ("Buy", Action::Buy),
        ("long", Action::Buy),
        ("LONG", Action::Buy),
        ("SELL", Action::Sell),
        ("sell", Action::Sell),
        ("short", Action::Sell),
        ("EXIT", Action::Exit),
        ("exit", Action::Exit),
        ("close", Action::Exit),
        ("Flat", Action::Exit),
        (" buy ", Action::Buy),
    ] {
        assert_eq!(signal(&format!(r#"{{"action":"{word}"}}"#)).action, action, "{word}");
    }
}

#[test]
fn unknown_actions_are_refused() {
    for value in [r#""""#, r#""hold""#, r#""add""#, r#""cancel""#, r#""{{action}}""#, "null"] {
        let body = format!(r#"{{"action":{value}}}"#);
        assert_eq!(error(&body), ("signal.unknown_action", "action".into()), "{value}");
    }
    assert_eq!(error("{}"), ("signal.unknown_action", "action".into()));
    assert_eq!(error(r#"{"Action":"buy"}"#), ("signal.unknown_action", "action".into()));
}

#[test]
fn comments_of_the_vocabulary() {
    for (word, comment, percent) in [
        ("", Comment::None, 100),
        ("ENTRY", Comment::Entry, 100),
        ("entry", Comment::Entry, 100),
        ("EXIT_25", exit(25), 25),
        ("EXIT_50", exit(50), 50),
        ("EXIT_75", exit(75), 75),
        ("EXIT_100", exit(100), 100),
        ("EXIT_HALF", exit(50), 50),
        ("exit_half", exit(50), 50),
        ("EXIT_FINAL", exit(100), 100),
        ("EXIT_ALL", exit(100), 100),
        ("EXIT_1", exit(1), 1),
        ("EXIT_33", exit(33), 33),
        ("EXIT_05", exit(5), 5),
        (" EXIT_50 ", exit(50), 50),
        ("EXIT", Comment::FreeText("EXIT".into()), 100),
        ("EXITS_50", Comment::FreeText("EXITS_50".into()), 100),
        ("Long entry \u{2116} 1", Comment::FreeText("Long entry \u{2116} 1".into()), 100),
        ("a\\u0000b", Comment::FreeText("a b".into()), 100),
    ] {
        let signal = signal(&format!(r#"{{"action":"BUY","comment":"{word}"}}"#));
        assert_eq!(signal.comment, comment, "{word}");
        let is_exit = matches!(comment, Comment::Exit(_));
        assert_eq!(signal.is_exit(), is_exit, "{word}");
        assert_eq!(signal.is_full_exit(), is_exit && percent == 100, "{word}");
        assert_eq!(signal.exit_percent(), percent, "{word}");
    }
}

/// S6: what begins as an exit but has no size is refused, never guessed.
#[test]
fn s6_exit_sizes_outside_of_1_to_100_are_refused() {
    for word in [
        "EXIT_",
        "EXIT_0",
        "EXIT_101",
        "EXIT_-5",
        "EXIT_+5",
        "EXIT_33.3",
        "EXIT_50%",
        "EXIT_1e1",
        "EXIT_ 5",
        "EXIT_LONG",
        "EXIT_HALFS",
        "exit_999999999999",
        "EXIT_0000050",
    ] {
        let body = format!(r#"{{"action":"EXIT","comment":"{word}"}}"#);
        assert_eq!(error(&body), ("signal.exit_size", "comment".into()), "{word}");
    }
}

#[test]
fn exits_by_action_close_all_unless_the_comment_says_less() {
    for (body, percent) in [
        (r#"{"action":"EXIT"}"#, 100),
        (r#"{"action":"EXIT","comment":"ENTRY"}"#, 100),
        (r#"{"action":"EXIT","comment":"stop hit"}"#, 100),
        (r#"{"action":"close","comment":"EXIT_40"}"#, 40),
    ] {
        let signal = signal(body);
        assert!(signal.is_exit() && signal.only_reduces(), "{body}");
        assert_eq!(signal.exit_percent(), percent, "{body}");
        assert_eq!(signal.is_full_exit(), percent == 100, "{body}");
    }
}

#[test]
fn the_side_after_the_trade_tells_what_only_reduces() {
    for (action, after, reduces) in [
        ("buy", "long", false),
        ("buy", "flat", true),
        ("buy", "short", true),
        ("sell", "short", false),
        ("sell", "flat", true),
        ("sell", "long", true),
    ] {
        let body = format!(r#"{{"action":"{action}","market_position":"{after}"}}"#);
        assert_eq!(signal(&body).only_reduces(), reduces, "{body}");
        assert!(!signal(&body).is_exit(), "{body}");
    }
    assert!(!signal(r#"{"action":"buy"}"#).only_reduces());
}

#[test]
fn a_full_native_payload() {
    let signal = signal(
        r#"{"action":"BUY","comment":"ENTRY","quantity":"2.5","price":4500.25,
            "ticker":"CME_MINI:es1!","time":"2026-11-22T02:03:00Z","timenow":"2026-11-22T02:03:04Z",
            "order_id":"Long","interval":"5","market_position":"long","market_position_size":"2.5",
            "prev_market_position":"flat","prev_market_position_size":"0","dry_run":true,
            "order_type":"stop_limit","limit_price":"4501","stop_price":4500.5,
            "time_in_force":"GTC","take_profit":4600,"stop_loss":"4400","colour":"blue"}"#,
    );
    assert_eq!(signal.action, Action::Buy);
    assert_eq!(signal.comment, Comment::Entry);
    assert_eq!(signal.quantity, QuantityField::Given(units("2.5")));
    assert_eq!(signal.quantity_kind, QuantityKind::FixedQuantity);
    assert_eq!(signal.price, price("4500.25"));
    assert_eq!(signal.ticker.as_deref(), Some("CME_MINI:es1!"));
    assert_eq!(signal.ticker_symbol().as_deref(), Some("ES1!"));
    assert_eq!(signal.id, None);
    let derived = "CME_MINI:es1!|5|Long|BUY|ENTRY|2.5|2.5|2026-11-22T02:03:04.000000Z";
    assert_eq!(signal.derived_id, Some(derived.replace('|', "\u{1f}")));
    assert_eq!(signal.sent_at, Some("2026-11-22T02:03:04Z".parse().unwrap()));
    assert_eq!(signal.bar_time, Some("2026-11-22T02:03:00Z".parse().unwrap()));
    assert_eq!(signal.order_type, OrderKind::StopLimit);
    assert_eq!((signal.limit_price, signal.stop_price), (price("4501"), price("4500.5")));
    assert_eq!(signal.time_in_force, Some(TimeInForceWord::Gtc));
    assert_eq!(signal.take_profit, price("4600").map(Level::At));
    assert_eq!(signal.stop_loss, price("4400").map(Level::At).map(StopLoss::Stop));
    assert_eq!(signal.market_position, Some(Sentiment::Long));
    assert_eq!(signal.market_position_size, Some(units("2.5")));
    assert!(signal.dry_run);
    assert_eq!(signal.unknown_fields, ["colour"]);
    assert_eq!(signal.notes, [""; 0]);
    assert_eq!(signal.form, Form::Native);
}

#[test]
fn quantities_that_cannot_be_used_are_left_to_the_strategy() {
    for (value, reason) in [
        (r#""""#, "empty"),
        (r#""NaN""#, "not a decimal number"),
        (r#""five""#, "not a decimal number"),
        (r#""{{strategy.order.contracts}}""#, "not a decimal number"),
        ("0", "not greater than zero"),
        (r#""-0""#, "not greater than zero"),
        ("-1", "not greater than zero"),
        ("1e30", "larger than"),
        ("0.000000001", "more than 8 decimals"),
        (r#""50%""#, "not a decimal number"),
    ] {
        for name in ["quantity", "contracts"] {
            let signal = signal(&format!(r#"{{"action":"BUY","{name}":{value}}}"#));
            let (QuantityField::Unreadable(said) | QuantityField::Unusable(said)) =
                &signal.quantity
            else {
                panic!("{value}")
            };
            assert!(said.contains(reason), "{value}: {said}");
        }
    }
    for (value, number) in [("5", "5"), (r#""5""#, "5"), ("1e3", "1000"), (r#"" 0.1 ""#, "0.1")] {
        let signal = signal(&format!(r#"{{"action":"BUY","contracts":{value}}}"#));
        assert_eq!(signal.quantity, QuantityField::Given(units(number)), "{value}");
    }
    assert_eq!(signal(r#"{"action":"BUY","quantity":null}"#).quantity, QuantityField::Absent);
}

#[test]
fn wrong_values_are_refused_with_their_field() {
    for (field, values) in [
        ("action", vec!["1", "true", "[]", "{}"]),
        ("comment", vec!["5", "true", "[]", "{}"]),
        ("quantity", vec!["true", "[]", r#"{"a":1}"#]),
        ("contracts", vec!["false", "[1]"]),
        ("price", vec![r#""""#, r#""NaN""#, "0", "-1", "1e30", "true", "[]", "0.000000001"]),
        ("limit_price", vec!["0", r#""x""#]),
        ("stop_price", vec!["-0.5", "{}"]),
        ("take_profit", vec!["0", r#"{"percent":5}"#]),
        ("stop_loss", vec!["0", r#""5%""#]),
        ("ticker", vec![r#""""#, r#""A B""#, r#""AB\u00e9""#, r#""X:""#, "7", r#""<script>""#]),
        ("symbol", vec![r#""012345678901234567890123456789012""#]),
        ("id", vec![r#""""#, r#""a\nb""#, r#""\u00e9""#, "true", "{}"]),
        ("alert_id", vec![r#""""#]),
        ("timenow", vec![r#""""#, r#""now""#, "1e9", "-5", "100000000000000", "true"]),
        ("sent_at", vec![r#""2026-13-01T00:00:00Z""#, "1.5"]),
        ("order_id", vec!["true", "[]"]),
        ("interval", vec!["{}"]),
        ("market_position", vec![r#""""#, r#""up""#, "1"]),
        ("market_position_size", vec![r#""""#, "-1", r#""many""#, "true", "1e30"]),
        ("dry_run", vec![r#""yes""#, "1", r#""""#]),
        ("order_type", vec![r#""trailing_stop""#, r#""""#, "1"]),
        ("time_in_force", vec![r#""opg""#, r#""cls""#, "1"]),
    ] {
        for value in values {
            let action = if field == "action" { "" } else { r#","action":"BUY""# };
            let body = format!(r#"{{"{field}":{value}{action}}}"#);
            assert_eq!(error(&body), ("signal.field", field.into()), "{body}");
        }
    }
    let long = format!(r#"{{"action":"BUY","id":"{}"}}"#, "x".repeat(129));
    assert_eq!(error(&long), ("signal.field", "id".into()));
    let long = format!(r#"{{"action":"BUY","order_id":"{}"}}"#, "x".repeat(257));
    assert_eq!(error(&long), ("signal.field", "order_id".into()));
}

#[test]
fn two_names_for_one_thing_must_agree() {
    assert_eq!(
        error(r#"{"action":"BUY","quantity":1,"contracts":"5"}"#),
        ("signal.field", "contracts".into())
    );
    assert_eq!(
        error(r#"{"action":"BUY","symbol":"A","ticker":"B"}"#),
        ("signal.field", "symbol".into())
    );
    let same = signal(r#"{"action":"BUY","quantity":1,"contracts":"1","ticker":"A","symbol":"A"}"#);
    assert_eq!(same.quantity, QuantityField::Given(units("1")));
    let ids = signal(r#"{"action":"BUY","alert_id":"second","id":"first"}"#);
    assert_eq!(ids.id.as_deref(), Some("first"));
}

#[test]
fn bodies_that_are_no_signal() {
    for (body, field) in [
        (&b""[..], "body"),
        (b"BUY", "body"),
        (b"[]", "body"),
        (b"\"action\"", "body"),
        (b"5", "body"),
        (b"{\"action\":\"BUY\",}", "body"),
        (b"{\"action\":\"BUY\"", "body"),
        (b"{\"action\":NaN}", "action"),
        (b"{\"action\":\"BUY\",\"quantity\":Infinity}", "quantity"),
        (b"{\"action\":\"BUY\",\"action\":\"SELL\"}", "action"),
        (b"{\"action\":\"\xff\"}", "body"),
        (b"{\"action\":\"\\ud800\"}", "action"),
        (b"{\"extras\":[[[[[[[[1]]]]]]]]}", "extras"),
        (b"%7B%22action%22%3A=", "action"),
        (b"%7B%zz=", "body"),
        (b"action=BUY", "body"),
    ] {
        let read = read(body, None);
        let error = read.signal.unwrap_err();
        assert_eq!((error.code, error.field.as_str()), (Code::SignalMalformed, field), "{body:?}");
        assert_eq!(read.redacted, body);
        assert!(read.secret.is_none());
    }
}

#[test]
fn bodies_are_judged_by_content() {
    for body in [
        r#"{"action":"BUY","comment":"a + b"}"#,
        "\u{feff}{\"action\":\"BUY\",\"comment\":\"a + b\"}",
        "\r\n\t {\"action\":\"BUY\",\"comment\":\"a + b\"} \n",
        r#"{"action":"BUY","comment":"a + b"}="#,
        "%7B%22action%22%3A%22BUY%22%2C%22comment%22%3A%22a+%2B+b%22%7D=",
        "%7b%22action%22%3a%22BUY%22%2c%22comment%22%3a%22a%20%2b%20b%22%7d",
        "{%22action%22:%22BUY%22,%22comment%22:%22a+%2B+b%22}=\r\n",
    ] {
        assert_eq!(signal(body).comment, Comment::FreeText("a + b".into()), "{body}");
    }
}

/// S13: age is measured from `timenow` or `sent_at` only.
#[test]
fn s13_only_timenow_and_sent_at_say_when() {
    let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
    for (value, time) in [
        (r#""2026-11-22T02:03:04Z""#, at("2026-11-22T02:03:04Z")),
        (r#""2026-11-22T04:03:04.5+02:00""#, at("2026-11-22T02:03:04.5Z")),
        ("1795312984", at("2026-11-22T02:03:04Z")),
        (r#""1795312984""#, at("2026-11-22T02:03:04Z")),
        ("1795312984500", at("2026-11-22T02:03:04.5Z")),
        ("null", None),
    ] {
        for name in ["timenow", "sent_at"] {
            let signal = signal(&format!(r#"{{"action":"BUY","{name}":{value}}}"#));
            assert_eq!(signal.sent_at, time, "{name} {value}");
        }
        let signal = signal(&format!(r#"{{"action":"BUY","time":{value}}}"#));
        assert_eq!((signal.bar_time, signal.sent_at), (time, None), "{value}");
    }
    let both = signal(r#"{"action":"BUY","timenow":1795312984,"sent_at":1}"#);
    assert_eq!(both.sent_at, at("2026-11-22T02:03:04Z"));
    for value in [r#""{{time}}""#, r#""""#, "true", "[]", "1e5"] {
        let signal = signal(&format!(r#"{{"action":"BUY","time":{value}}}"#));
        assert_eq!(signal.bar_time, None);
        assert!(signal.notes[0].starts_with("time: "), "{:?}", signal.notes);
    }
}

/// S15: derived only where at least order id and `timenow` are there and no id is.
#[test]
fn s15_derived_ids() {
    let derived = |rest: &str| signal(&format!(r#"{{"action":"BUY"{rest}}}"#)).derived_id;
    let (order, now) = (r#","order_id":"L""#, r#","timenow":1795312984"#);
    assert_eq!(derived(""), None);
    assert_eq!(derived(order), None);
    assert_eq!(derived(now), None);
    assert_eq!(derived(&format!(r#","order_id":""{now}"#)), None);
    assert_eq!(derived(&format!(r#"{order},"sent_at":1795312984"#)), None);
    assert_eq!(derived(&format!(r#"{order}{now},"id":"x""#)), None);
    let plain = derived(&format!("{order}{now}")).unwrap();
    assert_eq!(plain.split('\u{1f}').count(), 8);
    let forged = derived(&format!(r#","order_id":"L\u001fBUY"{now}"#)).unwrap();
    assert_eq!(forged.split('\u{1f}').count(), 8);
    for other in [
        r#","comment":"x""#,
        r#","interval":5"#,
        r#","ticker":"A""#,
        r#","contracts":1"#,
        r#","market_position_size":0"#,
    ] {
        assert_ne!(derived(&format!("{order}{now}{other}")).unwrap(), plain, "{other}");
    }
    assert_eq!(derived(&format!("{order}{now},\"price\":5,\"time\":1")), Some(plain));
}

#[test]
fn order_types_follow_the_prices_that_are_there() {
    for (rest, kind) in [
        ("", OrderKind::Market),
        (r#","limit_price":5"#, OrderKind::Limit),
        (r#","stop_price":5"#, OrderKind::Stop),
        (r#","stop_price":5,"limit_price":5"#, OrderKind::StopLimit),
        (r#","order_type":"market","limit_price":5"#, OrderKind::Market),
        (r#","order_type":"LIMIT","limit_price":5"#, OrderKind::Limit),
    ] {
        let signal = signal(&format!(r#"{{"action":"BUY"{rest}}}"#));
        assert_eq!(signal.order_type, kind, "{rest}");
        let unused = kind == OrderKind::Market && !rest.is_empty();
        assert_eq!(signal.notes.len(), usize::from(unused), "{:?}", signal.notes);
        assert!(!unused || signal.limit_price.is_none(), "it is used by nothing");
    }
    for (rest, field) in [
        (r#","order_type":"limit""#, "limit_price"),
        (r#","order_type":"stop""#, "stop_price"),
        (r#","order_type":"stop_limit","limit_price":5"#, "stop_price"),
        (r#","order_type":"stop_limit","stop_price":5"#, "limit_price"),
    ] {
        let body = format!(r#"{{"action":"BUY"{rest}}}"#);
        assert_eq!(error(&body), ("signal.field", field.into()), "{rest}");
    }
}

#[test]
fn unknown_fields_are_listed_printable_and_bounded() {
    let odd = signal(r#"{"action":"BUY","caf\u00e9\n":1,"prev_x":2,"secret":"s"}"#);
    assert_eq!(odd.unknown_fields, ["caf??"]);
    let many: Vec<_> = (0..40).map(|place| format!("\"{}{place}\":0", "x".repeat(80))).collect();
    let signal = signal(&format!(r#"{{"action":"BUY",{}}}"#, many.join(",")));
    assert_eq!(signal.unknown_fields.len(), 32);
    assert!(signal.unknown_fields.iter().all(|name| name.len() == 64));
}

#[test]
fn percentages_of_prices() {
    let five = Percentage::new(units("2.5")).unwrap();
    assert_eq!(five.of("200".parse().unwrap()), price("5"));
    assert_eq!(Percentage::new(Quantity::ZERO), None);
    assert_eq!((Percent::new(0), Percent::new(101)), (None, None));
}

/// S18: what closes uses no price, so none refuses it; an entry is refused.
#[test]
fn s18_no_price_refuses_what_closes() {
    for rest in [
        r#""price":-37.63"#,
        r#""take_profit":0,"stop_loss":"-1""#,
        r#""order_type":"limit""#,
        r#""limit_price":"NaN""#,
    ] {
        for closes in [
            r#""action":"EXIT""#,
            r#""action":"SELL","comment":"EXIT_FINAL""#,
            r#""action":"sell","market_position":"flat""#,
            r#""action":"sell","sentiment":"flat""#,
        ] {
            let signal = signal(&format!("{{{closes},{rest}}}"));
            assert!(signal.only_reduces() && !signal.notes.is_empty(), "{closes} {rest}");
            assert_eq!((signal.price, signal.stop_loss), (None, None), "{closes} {rest}");
        }
        assert_eq!(error(&format!(r#"{{"action":"BUY",{rest}}}"#)).0, "signal.field", "{rest}");
    }
    let signal = signal(r#"{"action":"sell","sentiment":"flat","takeProfit":{"x":1}}"#);
    assert_eq!((signal.take_profit, signal.notes.len()), (None, 1));
}

/// S24: that it was an exit is known of a body that cannot be read, too.
#[test]
fn s24_an_exit_that_cannot_be_read_is_known_as_one() {
    for (body, of_exit) in [
        (r#"{"action":"EXIT","timenow":"now"}"#, true),
        (r#"{"action":"SELL","comment":"EXIT_150"}"#, true),
        (r#"{"action":"SELL","comment":"EXIT_50","id":""}"#, true),
        (r#"{"action":"SELL","timenow":"now"}"#, false),
        (r#"{"action":"PANIC"}"#, false),
    ] {
        let error = read(body.as_bytes(), None).signal.expect_err(body);
        assert_eq!(error.of_exit, of_exit, "{body}");
    }
}

/// S15: all of the position, by the words of the signal.
#[test]
fn s15_what_ends_flat_is_a_full_exit() {
    for (body, full) in [
        (r#"{"action":"sell","market_position":"flat"}"#, true),
        (r#"{"action":"sell","market_position":"long"}"#, false),
        (r#"{"action":"sell","comment":"EXIT_50","market_position":"flat"}"#, false),
        (r#"{"action":"sell"}"#, false),
    ] {
        assert_eq!(signal(body).is_full_exit(), full, "{body}");
    }
}
