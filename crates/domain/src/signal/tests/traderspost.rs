//! TradersPost's form. The payloads are shaped like those in TradersPost's documentation.

use super::*;

fn percentage(text: &str) -> Percentage {
    Percentage::new(units(text)).unwrap()
}

fn away(percent: &str) -> Level {
    Level::Away(Distance::Percent(percentage(percent)))
}

#[test]
fn a_full_payload() {
    let signal = signal(
        r#"{"ticker":"NASDAQ:AAPL","action":"buy","sentiment":"long","signalPrice":191.25,
            "price":"190","quantity":10,"quantityType":"fixed_quantity","orderType":"limit",
            "limitPrice":"191.5","timeInForce":"day","time":"2026-06-18T14:30:00Z","test":true,
            "takeProfit":{"percent":10},"stopLoss":{"type":"stop","percent":5},
            "extras":{"strategy":"EMA"},"extendedHours":true,"cancel":false,"colour":"blue"}"#,
    );
    assert_eq!(signal.form, Form::TradersPost);
    assert_eq!((signal.action, signal.sentiment), (Action::Buy, Some(Sentiment::Long)));
    assert_eq!(signal.quantity, QuantityField::Given(units("10")));
    assert_eq!(signal.price, price("191.25"));
    assert_eq!((signal.order_type, signal.limit_price), (OrderKind::Limit, price("191.5")));
    assert_eq!(signal.time_in_force, Some(TimeInForceWord::Day));
    assert_eq!(signal.take_profit, Some(away("10")));
    assert_eq!(signal.stop_loss, Some(StopLoss::Stop(away("5"))));
    // S13: even where TradersPost means the alert's time by it.
    assert_eq!(signal.sent_at, None);
    assert_eq!(signal.bar_time, Some("2026-06-18T14:30:00Z".parse().unwrap()));
    assert!(signal.dry_run && !signal.is_exit() && !signal.only_reduces());
    assert_eq!(signal.unknown_fields, ["colour"]);
    assert_eq!(signal.notes, ["extendedHours is not supported; ignored"]);
}

#[test]
fn one_name_of_its_own_tells_the_form() {
    for rest in [
        r#""sentiment":"long""#,
        r#""quantityType":"fixed_quantity""#,
        r#""orderType":"market""#,
        r#""limitPrice":5"#,
        r#""stopPrice":5"#,
        r#""takeProfit":{"amount":5}"#,
        r#""stopLoss":{"amount":5}"#,
        r#""timeInForce":"gtc""#,
        r#""signalPrice":5"#,
        r#""extendedHours":true"#,
        r#""strategyId":"x""#,
        r#""ignoreTradingWindows":true"#,
        r#""cancelOrderType":"all""#,
    ] {
        let signal = signal(&format!(r#"{{"action":"buy",{rest}}}"#));
        assert_eq!(signal.form, Form::TradersPost, "{rest}");
        assert_eq!(signal.unknown_fields, [""; 0], "{rest}");
    }
    for rest in [r#""extras":{}"#, r#""test":true"#, r#""cancel":true"#, r#""timestamp":5"#] {
        let signal = signal(&format!(r#"{{"action":"buy",{rest}}}"#));
        assert_eq!((signal.form, signal.unknown_fields.len()), (Form::Native, 1), "{rest}");
    }
}

#[test]
fn flat_is_a_full_exit_on_the_side_of_the_action() {
    for action in ["buy", "sell", "exit"] {
        for rest in [
            "",
            r#","quantity":2"#,
            r#","quantity":"NaN""#,
            r#","comment":"Close Long""#,
            r#","comment":"EXIT_50""#,
            r#","comment":"ENTRY""#,
            r#","quantity":50,"quantityType":"percent_of_position""#,
            r#","quantity":500,"quantityType":"dollar_amount""#,
        ] {
            let body = format!(r#"{{"action":"{action}","sentiment":"flat"{rest}}}"#);
            let signal = signal(&body);
            assert!(signal.is_full_exit() && signal.only_reduces(), "{body}");
            assert_eq!(signal.action.text().to_lowercase(), action);
            assert_eq!(signal.quantity, QuantityField::Absent, "{body}");
        }
    }
}

#[test]
fn sentiments() {
    for (word, sentiment) in [
        ("bullish", Sentiment::Long),
        ("long", Sentiment::Long),
        ("Bearish", Sentiment::Short),
        ("short", Sentiment::Short),
        ("flat", Sentiment::Flat),
    ] {
        let signal = signal(&format!(r#"{{"action":"buy","sentiment":"{word}"}}"#));
        assert_eq!(signal.sentiment, Some(sentiment), "{word}");
        assert_eq!(signal.only_reduces(), sentiment != Sentiment::Long, "{word}");
    }
}

#[test]
fn a_number_of_another_kind_is_never_a_number_of_units() {
    for kind in ["dollar_amount", "risk_dollar_amount", "risk_percent", "percent_of_equity"] {
        let body = format!(r#"{{"action":"buy","quantity":"500","quantityType":"{kind}"}}"#);
        let signal = signal(&body);
        assert_eq!(signal.quantity_kind.text(), kind);
        assert_eq!(signal.quantity_of_kind, Some(units("500")));
        assert!(matches!(signal.quantity, QuantityField::Unusable(_)), "{kind}");
    }
    let third = signal(r#"{"action":"exit","quantity":"33","quantityType":"percent_of_position"}"#);
    assert_eq!((third.exit_percent(), third.is_full_exit()), (33, false));
    assert_eq!(
        (third.quantity, third.quantity_of_kind),
        (QuantityField::Absent, Some(units("33")))
    );
}

#[test]
fn an_absolute_stop_with_a_limit_and_trailing_stops() {
    let amount = |text: &str| Distance::Amount(text.parse().unwrap());
    for (value, stop_loss) in [
        (r#"{"stopPrice":"10.71"}"#, StopLoss::Stop(Level::At(price("10.71").unwrap()))),
        (r#"{"type":"stop","amount":5}"#, StopLoss::Stop(Level::Away(amount("5")))),
        (
            r#"{"type":"stop_limit","stopPrice":10,"limitPrice":9}"#,
            StopLoss::StopLimit {
                stop: Level::At(price("10").unwrap()),
                limit: price("9").unwrap(),
            },
        ),
        (r#"{"type":"trailing_stop","trailAmount":1}"#, StopLoss::Trailing(amount("1"))),
        (r#"{"trailPercent":1}"#, StopLoss::Trailing(Distance::Percent(percentage("1")))),
    ] {
        let signal = signal(&format!(r#"{{"action":"buy","stopLoss":{value}}}"#));
        assert_eq!(signal.stop_loss, Some(stop_loss), "{value}");
    }
    for (value, level) in [
        (r#"{"limitPrice":19.99}"#, Level::At(price("19.99").unwrap())),
        (r#"{"price":19.99}"#, Level::At(price("19.99").unwrap())),
        (r#"{"amount":"100"}"#, Level::Away(amount("100"))),
        (r#"{"percent":0.5,"amount":null}"#, away("0.5")),
    ] {
        let signal = signal(&format!(r#"{{"action":"buy","takeProfit":{value}}}"#));
        assert_eq!(signal.take_profit, Some(level), "{value}");
    }
}

#[test]
fn wrong_values_are_refused_with_their_field() {
    for (field, rest) in [
        ("sentiment", r#""sentiment":"up""#),
        ("sentiment", r#""sentiment":1"#),
        ("quantityType", r#""quantityType":"lots""#),
        ("quantityType", r#""quantityType":"percent_of_position","quantity":50"#),
        ("orderType", r#""orderType":"trailing_stop""#),
        ("limitPrice", r#""orderType":"limit""#),
        ("stopPrice", r#""orderType":"stop""#),
        ("limitPrice", r#""limitPrice":"NaN""#),
        ("limit_price", r#""limitPrice":5,"limit_price":6"#),
        ("timeInForce", r#""timeInForce":"opg""#),
        ("timeInForce", r#""timeInForce":"cls""#),
        ("signalPrice", r#""signalPrice":0"#),
        ("test", r#""sentiment":"long","test":"maybe""#),
        ("trailAmount", r#""trailAmount":1"#),
        ("trailPercent", r#""trailPercent":1"#),
        ("optionType", r#""optionType":"put""#),
        ("strikePrice", r#""strikePrice":68"#),
        ("ticker", r#""sentiment":"long","ticker":"SPY 250624C596""#),
        ("takeProfit", r#""takeProfit":19.99"#),
        ("takeProfit", r#""takeProfit":{}"#),
        ("takeProfit", r#""takeProfit":{"percent":5,"amount":5}"#),
        ("takeProfit", r#""takeProfit":{"pct":5}"#),
        ("takeProfit.percent", r#""takeProfit":{"percent":0}"#),
        ("takeProfit.percent", r#""takeProfit":{"percent":"5%"}"#),
        ("takeProfit.amount", r#""takeProfit":{"amount":[]}"#),
        ("stopLoss", r#""stopLoss":{"type":"stop"}"#),
        ("stopLoss", r#""stopLoss":{"stopprice":5}"#),
        ("stopLoss.type", r#""stopLoss":{"type":"mental","percent":5}"#),
        ("stopLoss", r#""stopLoss":{"type":"stop","stopPrice":5,"limitPrice":4}"#),
        ("stopLoss", r#""stopLoss":{"type":"stop_limit","stopPrice":5}"#),
        ("stopLoss", r#""stopLoss":{"type":"stop","trailPercent":5}"#),
        ("stopLoss", r#""stopLoss":{"type":"trailing_stop","percent":5}"#),
        ("stopLoss", r#""stopLoss":{"trailPercent":5,"trailAmount":5}"#),
        ("stopLoss", r#""stopLoss":{"trailPercent":5,"stopPrice":5}"#),
        ("stopLoss.stopPrice", r#""stopLoss":{"stopPrice":"x"}"#),
    ] {
        let body = format!(r#"{{"action":"buy",{rest}}}"#);
        assert_eq!(error(&body), ("signal.field", field.into()), "{body}");
    }
    for rest in ["", r#","quantity":0"#, r#","quantity":101"#, r#","quantity":33.3"#] {
        let body = format!(r#"{{"action":"exit","quantityType":"percent_of_position"{rest}}}"#);
        assert_eq!(error(&body), ("signal.exit_size", "quantity".into()), "{body}");
    }
    for action in ["add", "cancel", "hold"] {
        let body = format!(r#"{{"action":"{action}","sentiment":"long"}}"#);
        assert_eq!(error(&body), ("signal.unknown_action", "action".into()), "{body}");
    }
    assert_eq!(error(r#"{"sentiment":"flat"}"#), ("signal.unknown_action", "action".into()));
}
