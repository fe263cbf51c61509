use clap::CommandFactory;
use clap::error::ErrorKind;
use tradewarden_engine::command::Command;

use super::*;
use crate::scratch::Scratch;

fn asked(line: &str) -> Command {
    let cli = Cli::try_parse_from(format!("tradewarden {line}").split_whitespace()).unwrap();
    Asking::of(cli.verb).unwrap().unwrap().command
}

fn refused(line: &str) -> ErrorKind {
    Cli::try_parse_from(format!("tradewarden {line}").split_whitespace()).unwrap_err().kind()
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_reference_page_is_current() {
    let page = include_str!("../../../../docs/reference/cli.md");
    assert!(
        page == reference(),
        "run `cargo run --package tradewarden -- cli-reference > docs/reference/cli.md`"
    );
}

#[test]
fn global_options_stand_before_and_after_the_command() {
    for line in
        ["--data d --json order list", "order list --data d --json", "order --json list --data d"]
    {
        let words = format!("tradewarden {line}");
        let cli = Cli::try_parse_from(words.split_whitespace()).unwrap();
        assert_eq!(cli.global.data, Some(PathBuf::from("d")));
        assert!(cli.global.json);
    }
}

#[test]
fn a_schedule_is_one_argument_and_is_read_at_once() {
    let create = |schedule: &str| {
        let words = "tradewarden strategy create --name s --webhook w --account a --symbol S \
                     --quantity 1 --schedule";
        Cli::try_parse_from(words.split_whitespace().chain([schedule]))
    };
    assert!(create("mon-fri 09:30-16:00 America/New_York").is_ok());
    let refused = create("mon-fri 09:30-16:00 New_York").unwrap_err();
    assert!(refused.to_string().contains("no time zone of the IANA database"), "{refused}");
}

/// Every line of C27, with the request it becomes.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_typed_becomes_the_request() {
    let cases = [
        (
            "webhook create --name w --allow 10.0.0.0/8 --allow ::1 --preset tradingview \
             --client-certificate cn:X --dry-run --symbol ES1! --symbol NQ1! \
             --rate-per-s 5 --max-age-s 60 --form header --form body",
            r#"{"command":"webhook-create","name":"w","allow":["10.0.0.0/8","::1"],"preset":"tradingview","client_certificate":"cn:X","symbols":["ES1!","NQ1!"],"dry_run":true,"rate_per_s":5,"max_age_s":60,"forms":["header","body"],"mapping":null}"#,
        ),
        (
            "strategy create --name s --webhook w --account a --symbol AAPL --quantity 10 \
             --sizing payload --quantity-fallback --quantity-clamp --on-opposite reverse --pyramiding allow --allow-short \
             --payload-symbol --send-within-s 7 --entry-ttl-s 60 --shared-position --follower b --follower c \
             --require-leader --take-profit 2% --stop-loss 1.5 --on-naked close --expected-every-s 3600 --auto-roll --blind-market --blind-quantity-max 2",
            r#"{"command":"strategy-create","name":"s","webhook":"w","account":"a","followers":["b","c"],"require_leader":true,"symbol":"AAPL","quantity":"10","sizing":"payload","quantity_fallback":true,"quantity_clamp":true,"on_opposite":"reverse","pyramiding":"allow","allow_short":true,"symbol_source":"payload","send_within_s":7,"entry_ttl_s":60,"schedule":null,"take_profit":"2%","stop_loss":"1.5","on_naked":"close","expected_every_s":3600,"auto_roll":true,"blind_market":true,"blind_quantity_max":"2","shared_position":true}"#,
        ),
        (
            "account create --broker paper --name p --cash 100000",
            r#"{"command":"account-create","broker":"paper","name":"p","cash":"100000","session":null,"loss_reset":null}"#,
        ),
        (
            "account price AAPL 230.5 --market closed",
            r#"{"command":"paper-price","symbol":"AAPL","price":"230.5","market":"closed"}"#,
        ),
        (
            "account price AAPL synthetic",
            r#"{"command":"paper-price","symbol":"AAPL","price":null,"market":null}"#,
        ),
        (
            "limit set --scope org --name max_position --value 100",
            r#"{"command":"limit-set","scope":"org","name":"max_position","value":"100"}"#,
        ),
        (
            "webhook change whk_1 --name w --allow ::1 --preset tradingview --client-certificate cn:X \
             --symbol ES1! --dry-run false --rate-per-s 5 --max-age-s 60 --form body --no-mapping --state active",
            r#"{"command":"webhook-change","id":"whk_1","changes":{"name":"w","allow":["::1"],"preset":"tradingview","client_certificate":"cn:X","symbols":["ES1!"],"dry_run":false,"rate_per_s":5,"max_age_s":60,"forms":["body"],"mapping":null,"state":"active"}}"#,
        ),
        (
            "webhook change whk_1 --allow-any --no-client-certificate",
            r#"{"command":"webhook-change","id":"whk_1","changes":{"allow":[],"client_certificate":null}}"#,
        ),
        ("webhook delete whk_1", r#"{"command":"webhook-delete","id":"whk_1"}"#),
        (
            "strategy change str_1 --name s --webhook w --account a --symbol AAPL --quantity 10 \
             --sizing payload --quantity-fallback true --quantity-clamp false --on-opposite close --pyramiding allow --allow-short false \
             --payload-symbol false --send-within-s 7 --no-entry-ttl --no-schedule --shared-position --state off \
             --open-position leave --no-followers --require-leader false \
             --no-take-profit --stop-loss 3% --on-naked alert --no-expected-every --adopt false --auto-roll false --blind-market false --blind-quantity-max 1",
            r#"{"command":"strategy-change","id":"str_1","changes":{"name":"s","webhook":"w","account":"a","followers":[],"require_leader":false,"symbol":"AAPL","quantity":"10","sizing":"payload","quantity_fallback":true,"quantity_clamp":false,"on_opposite":"close","pyramiding":"allow","allow_short":false,"symbol_source":"strategy","send_within_s":7,"entry_ttl_s":null,"schedule":null,"take_profit":null,"stop_loss":"3%","on_naked":"alert","expected_every_s":null,"adopt":false,"auto_roll":false,"blind_market":false,"blind_quantity_max":"1","shared_position":true,"state":"off","open_position":"leave"}}"#,
        ),
        (
            "strategy on str_1",
            r#"{"command":"strategy-change","id":"str_1","changes":{"state":"on"}}"#,
        ),
        (
            "strategy off str_1 --open-position flatten",
            r#"{"command":"strategy-change","id":"str_1","changes":{"state":"off","open_position":"flatten"}}"#,
        ),
        ("strategy delete str_1", r#"{"command":"strategy-delete","id":"str_1"}"#),
        (
            "account change acc_1 --name a --state disabled",
            r#"{"command":"account-change","id":"acc_1","changes":{"name":"a","state":"disabled"}}"#,
        ),
        (
            "account change acc_1 --loss-reset person --session UTC",
            r#"{"command":"account-change","id":"acc_1","changes":{"session":"UTC","loss_reset":"person"}}"#,
        ),
        (
            "limit show --scope org --name restricted",
            r#"{"command":"limit-show","scope":"org","name":"restricted"}"#,
        ),
        (
            "limit delete --scope org --name restricted",
            r#"{"command":"limit-delete","limit":{"scope":"org","name":"restricted"}}"#,
        ),
        (
            "halt engage --scope global --mode reduce_only --reason why",
            r#"{"command":"halt-engage","scope":"global","mode":"reduce_only","include_protective":false,"reason":"why"}"#,
        ),
        (
            "halt engage --mode cancel --include-protective --wait",
            r#"{"command":"halt-engage","scope":null,"mode":"cancel","include_protective":true,"reason":null}"#,
        ),
        ("halt show hlt_1", r#"{"command":"halt-show","id":"hlt_1"}"#),
        (
            "dead-man set 30 --mode flatten",
            r#"{"command":"dead-man-set","timeout_s":30,"mode":"flatten","include_protective":false}"#,
        ),
        ("dead-man off", r#"{"command":"dead-man-remove"}"#),
        ("alert test", r#"{"command":"alert-test"}"#),
        ("alert acknowledge alr_1", r#"{"command":"alert-acknowledge","id":"alr_1"}"#),
        ("halt resume hlt_1", r#"{"command":"halt-resume","id":"hlt_1"}"#),
        ("halt status", r#"{"command":"halt-status"}"#),
        ("signal list --limit 3 --cursor c", r#"{"command":"signal-list","cursor":"c","limit":3}"#),
        (
            "signal list --source key_00000000000000000000000000 --status refused",
            r#"{"command":"signal-list","filter":{"source":"key_00000000000000000000000000","status":"refused"}}"#,
        ),
        ("signal replay sig_1", r#"{"command":"signal-replay","id":"sig_1"}"#),
        ("order show ord_1", r#"{"command":"order-show","id":"ord_1"}"#),
        (
            "order change ord_1 --quantity 3 --stop-price 99.5",
            r#"{"command":"order-change","id":"ord_1","quantity":"3","limit_price":null,"stop_price":"99.5"}"#,
        ),
        ("position list", r#"{"command":"position-list"}"#),
        (
            "position list --symbol aapl",
            r#"{"command":"position-list","filter":{"symbol":"AAPL"}}"#,
        ),
        (
            "order list --state filled --from 2026-11-22T00:00:00Z --limit 2",
            r#"{"command":"order-list","limit":2,"filter":{"state":"filled","from":"2026-11-22T00:00:00.000000Z"}}"#,
        ),
        ("finding list", r#"{"command":"finding-list"}"#),
    ];
    for (line, json) in cases {
        assert_eq!(serde_json::to_string(&asked(line)).unwrap(), json, "{line}");
    }
}

#[test]
fn a_mapping_is_read_from_its_file() {
    let scratch = Scratch::new();
    let path = scratch.file("m.json", r#"{"action":"order.side"}"#, 0o644);
    let Command::WebhookCreate(create) =
        asked(&format!("webhook create --name w --mapping {}", path.display()))
    else {
        panic!("another command");
    };
    assert!(create.mapping.is_some());
    let wrong = scratch.file("wrong.json", "{}", 0o644);
    let line = format!("tradewarden webhook create --name w --mapping {}", wrong.display());
    let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
    assert_eq!(Asking::of(cli.verb).unwrap_err().exit, crate::outcome::Exit::Usage);
}

#[test]
fn wrong_words_are_refused_as_usage() {
    for line in [
        "strategy create --name s --webhook w --account a --symbol S --quantity 1 --sizing percent",
        "limit set --scope org --name max_everything --value 1",
        "webhook create --name w --form cookie",
        "account create --broker alpaca --name p",
        "halt engage --mode sideways",
    ] {
        assert_eq!(refused(line), ErrorKind::InvalidValue, "{line}");
    }
    assert_eq!(refused("account price AAPL much"), ErrorKind::ValueValidation);
    assert_eq!(refused("order list --limit 201"), ErrorKind::ValueValidation);
    assert_eq!(refused("audit verify --key k"), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused("order change ord_1"), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused("withdraw"), ErrorKind::InvalidSubcommand);
}

#[test]
fn an_account_is_disconnected_by_the_phrase_that_was_read() {
    let json = |line: &str| serde_json::to_string(&asked(line)).unwrap();
    assert_eq!(
        json("account disconnect acc_1 --phrase read"),
        r#"{"command":"account-disconnect","id":"acc_1","phrase":"read"}"#
    );
    assert_eq!(
        json("account disconnect acc_1"),
        r#"{"command":"account-disconnect","id":"acc_1"}"#
    );
}
