//! What the gateway knows by heart.

use crate::backend::{Backend, abandon, at, id};
use std::collections::BTreeMap;
use tradewarden_domain::account::{Account, Activity};
use tradewarden_domain::bracket::OnNaked;
use tradewarden_domain::halt::{Halt, HaltMode, HaltScope};
use tradewarden_domain::instrument::Instrument;
use tradewarden_domain::loss::LossReset;
use tradewarden_domain::money::{Money, Quantity};
use tradewarden_domain::session::{SessionStart, TradingDays};
use tradewarden_domain::signal::Percentage;
use tradewarden_domain::source::Source;
use tradewarden_domain::strategy::{
    OnOpposite, Pyramiding, ShortSelling, Sizing, Strategy, StrategyState, SymbolSource,
};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::directory::{self, LockedAccount, Organization, Versions, WebhookRow};
use tradewarden_store::findings::{self, Finding};
use tradewarden_store::webhook_secrets::{self, Previous, Secrets};
use tradewarden_store::{Kind, Lock, Store, Writer, keys};

pub(crate) async fn founded(backend: &Backend) -> (Writer, Store) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    directory::insert_organization(&mut tx, id(1), "ours", at(1)).await.unwrap();
    directory::insert_organization(&mut tx, id(2), "theirs", at(2)).await.unwrap();
    tx.commit().await.unwrap();
    (writer, store)
}

pub(crate) fn account() -> Account {
    let instrument = |symbol: &str| Instrument {
        symbol: symbol.parse().unwrap(),
        tick: "0.25".parse().unwrap(),
        lot: "1".parse().unwrap(),
        quantity_min: "1".parse().unwrap(),
        point_value: "20".parse().unwrap(),
        currency: "USD".to_owned(),
        calendar: Some(tradewarden_domain::calendar::Calendar::UsFutures),
    };
    Account {
        id: id(10),
        org_id: id(1),
        name: "main".to_owned(),
        broker: "paper".to_owned(),
        broker_account: "P-1".to_owned(),
        currency: "USD".to_owned(),
        state: Activity::Active,
        days: TradingDays::new(SessionStart::FUTURES.parse().unwrap(), LossReset::Session),
        instruments: ["NQ", "ES"]
            .map(instrument)
            .map(|instrument| (instrument.symbol.clone(), instrument))
            .into(),
        created_at: at(3),
    }
}

pub(crate) async fn accounts_and_their_instruments(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let orgs = directory::organizations(&store).await.unwrap();
    let org = |number, name: &str| Organization {
        id: id(number),
        name: name.to_owned(),
        limits_version: 0,
        strategies_version: 0,
        created_at: at(i64::try_from(number).unwrap()),
    };
    assert_eq!(orgs, [org(1, "ours"), org(2, "theirs")]);

    let bare = Account { id: id(11), instruments: [].into(), ..account() };
    let mut tx = writer.begin().await.unwrap();
    directory::insert_account(&mut tx, &account()).await.unwrap();
    directory::insert_account(&mut tx, &bare).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(directory::accounts(&store).await.unwrap(), [account(), bare.clone()]);

    let mut tx = writer.begin().await.unwrap();
    directory::update_account(&mut tx, id(11), "spare", Activity::Disabled).await.unwrap();
    let settings = directory::account_settings(&mut tx, id(11)).await.unwrap();
    assert_eq!(settings, Some((id(1), "spare".to_owned(), Activity::Disabled)));
    assert_eq!(directory::account_settings(&mut tx, id(404)).await.unwrap(), None);
    assert_eq!(directory::account_days(&mut tx, id(404)).await.unwrap(), None);
    let days = account().days.changed("00:00 UTC".parse().unwrap(), LossReset::Person, at(5));
    assert!(days.next.is_some());
    directory::set_account_days(&mut tx, id(11), &days).await.unwrap();
    assert_eq!(directory::account_days(&mut tx, id(11)).await.unwrap(), Some(days));
    directory::set_account_days(&mut tx, id(11), &account().days).await.unwrap();
    assert_eq!(directory::account_days(&mut tx, id(11)).await.unwrap(), Some(account().days));
    directory::set_orders_minute(&mut tx, vec![(id(10), vec![1, 2]), (id(11), vec![3])])
        .await
        .unwrap();
    directory::set_fills_cursor(&mut tx, id(10), "cursor").await.unwrap();
    let locked = directory::lock_accounts(&mut tx, &[id(10), id(11)]).await.unwrap();
    let expected = [
        LockedAccount {
            state: Activity::Active,
            orders_minute: vec![1, 2],
            fills_cursor: Some("cursor".to_owned()),
        },
        LockedAccount { state: Activity::Disabled, orders_minute: vec![3], fills_cursor: None },
    ];
    assert_eq!(locked, expected);
    let minutes = directory::orders_minute_of(&mut tx, id(1)).await.unwrap();
    assert_eq!(minutes, [(id(10), vec![1, 2]), (id(11), vec![3])]);
    assert_eq!(directory::orders_minute_of(&mut tx, id(2)).await.unwrap(), []);
    let vanished = directory::lock_accounts(&mut tx, &[id(10), id(404)]).await.unwrap_err();
    assert_eq!(vanished.kind(), Kind::Broken);
    tx.commit().await.unwrap();
    assert_eq!(directory::fills_cursor(&store, id(10)).await.unwrap().as_deref(), Some("cursor"));
    assert_eq!(directory::fills_cursor(&store, id(11)).await.unwrap(), None);
    directory::fills_cursor(&store, id(404)).await.unwrap_err();
}

/// Everything is set.
pub(crate) fn webhook() -> WebhookRow {
    WebhookRow {
        id: id(20),
        org_id: id(1),
        name: "alerts".to_owned(),
        token: "token".to_owned(),
        secret_hash: [5; 32],
        signing_secret: Some(vec![1, 2, 3]),
        forms: "query,header".to_owned(),
        allow: "192.0.2.0/24".to_owned(),
        symbols: "ES1!,NQ1!".to_owned(),
        client_certificate: Some("dns:sender.example".to_owned()),
        dry_run: true,
        rate_per_s: u32::MAX,
        max_age_s: 90,
        mapping: Some("{}".to_owned()),
        state: Activity::Active,
        created_at: at(4),
    }
}

pub(crate) async fn past_days_come_back_in_their_order(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let mut tx = writer.begin().await.unwrap();
    for (number, org) in [(10, 1), (11, 1), (12, 2)] {
        let account = Account { id: id(number), org_id: id(org), ..account() };
        directory::insert_account(&mut tx, &account).await.unwrap();
    }
    let old = account().days;
    let moved = old.changed("00:00 UTC".parse().unwrap(), LossReset::Person, at(5));
    for (number, until, days) in
        [(11, 7, &moved), (10, 6, &old), (12, 6, &old), (11, 7, &old), (11, 9, &old)]
    {
        directory::put_past_days(&mut tx, id(number), at(until), days).await.unwrap();
    }
    tx.commit().await.unwrap();
    // What held for no time at all is not kept.
    let all = [(id(10), at(6), old.clone()), (id(11), at(7), moved), (id(11), at(9), old.clone())];
    assert_eq!(directory::past_days(&store, id(1), 9).await.unwrap(), all);
    assert_eq!(directory::past_days(&store, id(1), 2).await.unwrap(), all[..2]);
    let mut tx = writer.begin().await.unwrap();
    directory::forget_past_days(&mut tx, at(7)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(directory::past_days(&store, id(1), 9).await.unwrap(), all[1..]);
    assert_eq!(directory::past_days(&store, id(2), 9).await.unwrap(), []);
}

pub(crate) async fn webhooks_and_strategies(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let webhook = webhook();
    let bare = WebhookRow {
        id: id(21),
        token: "another".to_owned(),
        signing_secret: None,
        client_certificate: None,
        mapping: None,
        dry_run: false,
        ..webhook.clone()
    };
    let strategy = Strategy {
        id: id(30),
        org_id: id(1),
        name: "follow".to_owned(),
        source: Source::Webhook(id(20)),
        account_id: id(10),
        followers: vec![id(11), id(12)],
        require_leader: true,
        take_profit: Some("2.5%".parse().unwrap()),
        stop_loss: Some("0.25".parse().unwrap()),
        on_naked: OnNaked::Close,
        adopt: true,
        auto_roll: true,
        quantity_fallback: true,
        quantity_clamp: false,
        blind_market: true,
        blind_quantity_max: Quantity::from_units(3),
        expected_every_s: Some(u32::MAX),
        percent: Percentage::new("0.5".parse().unwrap()),
        fee_per_unit: "2.25".parse().unwrap(),
        stop_ticks_min: 9,
        symbol: "NQ".parse().unwrap(),
        symbol_source: SymbolSource::Payload,
        quantity: "2".parse().unwrap(),
        sizing: Sizing::Payload,
        on_opposite: OnOpposite::Reverse,
        pyramiding: Pyramiding::Allow,
        short_selling: ShortSelling::Ignore,
        send_within_s: 10,
        entry_ttl_s: Some(u32::MAX),
        schedule: Some("sun-thu 18:00-17:00 America/New_York".parse().unwrap()),
        state: StrategyState::On,
        created_at: at(5),
    };
    let mut tx = writer.begin().await.unwrap();
    directory::insert_account(&mut tx, &account()).await.unwrap();
    directory::insert_webhook(&mut tx, webhook.clone()).await.unwrap();
    directory::insert_webhook(&mut tx, bare.clone()).await.unwrap();
    directory::insert_strategy(&mut tx, &strategy).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(directory::webhooks(&store).await.unwrap(), [webhook.clone(), bare.clone()]);
    assert_eq!(directory::strategies(&store).await.unwrap(), std::slice::from_ref(&strategy));

    let mut tx = writer.begin().await.unwrap();
    let same_token = WebhookRow { id: id(22), ..bare };
    let error = directory::insert_webhook(&mut tx, same_token).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Exists, "a token names one webhook");
    assert!(!error.to_string().contains("another"), "no token in an error: {error}");
    abandon(tx);

    for state in StrategyState::ALL {
        let after = Strategy { state: *state, ..other_strategy(&strategy) };
        let mut tx = writer.begin().await.unwrap();
        directory::update_strategy(&mut tx, &after).await.unwrap();
        let sources = [20, 21].map(|number| Source::Webhook(id(number)));
        let seen = directory::followers(&mut tx, &sources).await.unwrap();
        assert_eq!(seen, BTreeMap::from([(sources[0], vec![]), (sources[1], vec![after.clone()])]));
        let on = directory::strategies_of(&mut tx, id(1)).await.unwrap();
        assert_eq!(on, std::slice::from_ref(&after));
        let one = directory::strategy_in(&mut tx, id(30)).await.unwrap();
        assert_eq!(one, Some(after.clone()));
        tx.commit().await.unwrap();
        assert_eq!(directory::strategies(&store).await.unwrap(), [after]);
    }
    // A webhook and a key of the same bytes are two sources.
    let of_a_key = Strategy { source: Source::Key(id(20)), ..strategy.clone() };
    let mut tx = writer.begin().await.unwrap();
    directory::update_strategy(&mut tx, &of_a_key).await.unwrap();
    let sources = [Source::Webhook(id(20)), Source::Key(id(20))];
    let seen = directory::followers(&mut tx, &sources).await.unwrap();
    assert_eq!(seen, BTreeMap::from([(sources[0], vec![]), (sources[1], vec![of_a_key.clone()])]));
    tx.commit().await.unwrap();
    assert_eq!(directory::strategies(&store).await.unwrap(), [of_a_key]);
    let mut tx = writer.begin().await.unwrap();
    let nobody = Strategy { id: id(404), ..strategy };
    directory::update_strategy(&mut tx, &nobody).await.unwrap_err();
    abandon(tx);
    let mut tx = writer.begin().await.unwrap();
    directory::delete_strategy(&mut tx, id(404)).await.unwrap_err();
}

/// Everything that can change is another.
fn other_strategy(strategy: &Strategy) -> Strategy {
    Strategy {
        name: "another".to_owned(),
        source: Source::Webhook(id(21)),
        followers: Vec::new(),
        require_leader: false,
        take_profit: None,
        stop_loss: None,
        on_naked: OnNaked::Alert,
        adopt: false,
        auto_roll: false,
        quantity_fallback: false,
        quantity_clamp: true,
        blind_market: false,
        blind_quantity_max: Quantity::from_units(1),
        expected_every_s: None,
        percent: None,
        fee_per_unit: Money::ZERO,
        stop_ticks_min: 4,
        symbol: "ES".parse().unwrap(),
        symbol_source: SymbolSource::Strategy,
        quantity: "3".parse().unwrap(),
        sizing: Sizing::Fixed,
        on_opposite: OnOpposite::Close,
        pyramiding: Pyramiding::Ignore,
        short_selling: ShortSelling::Allow,
        send_within_s: 300,
        entry_ttl_s: None,
        schedule: None,
        ..strategy.clone()
    }
}

pub(crate) async fn what_is_changed_and_taken_away(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let before = webhook();
    let mut tx = writer.begin().await.unwrap();
    directory::insert_webhook(&mut tx, before.clone()).await.unwrap();
    let replaced = Secrets { secret_hash: [6; 32], signing_secret: None };
    let previous = Previous { webhook_id: id(20), secrets: replaced.clone(), valid_until: at(9) };
    webhook_secrets::replace(&mut tx, &replaced, &previous).await.unwrap();
    tx.commit().await.unwrap();

    let after = WebhookRow {
        name: "renamed".to_owned(),
        forms: "signature".to_owned(),
        allow: String::new(),
        symbols: String::new(),
        client_certificate: None,
        dry_run: false,
        rate_per_s: 1,
        max_age_s: 2,
        mapping: None,
        state: Activity::Disabled,
        secret_hash: [6; 32],
        signing_secret: Some(vec![7]),
        ..before.clone()
    };
    let mut tx = writer.begin().await.unwrap();
    // Neither token nor secrets are settings.
    let settings = WebhookRow {
        token: "other".to_owned(),
        secret_hash: [8; 32],
        signing_secret: None,
        ..after.clone()
    };
    directory::update_webhook(&mut tx, &settings).await.unwrap();
    directory::set_signing_secret(&mut tx, id(20), &[7]).await.unwrap();
    assert_eq!(directory::webhook_in(&mut tx, id(20)).await.unwrap(), Some(after.clone()));
    assert_eq!(directory::webhook_in(&mut tx, id(404)).await.unwrap(), None);
    tx.commit().await.unwrap();
    assert_eq!(directory::webhooks(&store).await.unwrap(), [after]);

    let mut tx = writer.begin().await.unwrap();
    directory::delete_webhook(&mut tx, id(20)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(directory::webhooks(&store).await.unwrap(), []);
    assert_eq!(webhook_secrets::all(&store, at(0)).await.unwrap(), []);
    let mut tx = writer.begin().await.unwrap();
    directory::delete_webhook(&mut tx, id(20)).await.unwrap_err();
    abandon(tx);

    let mut tx = writer.begin().await.unwrap();
    directory::set_strategies_version(&mut tx, id(1), 7).await.unwrap();
    let versions = directory::lock_organizations(&mut tx, &[id(1)], Lock::Update).await.unwrap();
    assert_eq!(
        versions,
        [Versions { limits: 0, strategies: 7, overrides_until: Timestamp::from_unix_micros(0) }]
    );
    tx.commit().await.unwrap();
}

pub(crate) async fn a_halt_is_resumed_once(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let halt = |number, org_id, scope, mode| Halt {
        id: id(number),
        org_id,
        scope,
        mode,
        include_protective: mode == HaltMode::Flatten,
        reason: "because".to_owned(),
        engaged_by: "operator".to_owned(),
        engaged_at: at(1),
    };
    let halts = [
        halt(1, None, HaltScope::Global, HaltMode::Block),
        halt(2, Some(id(1)), HaltScope::Org(id(1)), HaltMode::Flatten),
        halt(3, Some(id(1)), HaltScope::Pair(id(10), "NQ".parse().unwrap()), HaltMode::Block),
    ];
    let mut tx = writer.begin().await.unwrap();
    for halt in &halts {
        directory::insert_halt(&mut tx, halt).await.unwrap();
    }
    assert_eq!(directory::halts_in(&mut tx).await.unwrap(), halts);
    tx.commit().await.unwrap();

    let mut tx = writer.begin().await.unwrap();
    assert!(directory::resume(&mut tx, id(2), "owner", at(2)).await.unwrap());
    assert!(!directory::resume(&mut tx, id(2), "somebody", at(3)).await.unwrap());
    assert!(!directory::resume(&mut tx, id(404), "somebody", at(3)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(directory::halts(&store).await.unwrap(), [halts[0].clone(), halts[2].clone()]);
    let by = "SELECT resumed_by, resumed_at FROM halts WHERE resumed_at IS NOT NULL";
    let mut row = store.query_one(by, Vec::new()).await.unwrap().unwrap();
    assert_eq!((row.text().unwrap().as_str(), row.time().unwrap()), ("owner", at(2)));
}

pub(crate) async fn findings_are_newest_first(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let finding = |number, org| Finding {
        id: id(number),
        org_id: id(org),
        at: at(1),
        code: "position.dust".to_owned(),
        severity: "warning".to_owned(),
        subject: "acc".to_owned(),
        detail: "0.001".to_owned(),
    };
    let mut tx = writer.begin().await.unwrap();
    for (number, org) in [(1, 1), (2, 2), (3, 1), (4, 1)] {
        findings::insert(&mut tx, &finding(number, org)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let newest =
        findings::page(&store, id(1), tradewarden_domain::id::Id::from_bytes([255; 16]), 2);
    let newest = newest.await.unwrap();
    assert_eq!(newest, [finding(4, 1), finding(3, 1)]);
}

pub(crate) async fn data_keys_are_written_once(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let mut tx = writer.begin().await.unwrap();
    let rows = [(1, "intake", 1, 1), (1, "broker", 1, 2), (1, "intake", 2, 3), (2, "intake", 1, 4)];
    for (org, purpose, version, byte) in rows {
        keys::insert(&mut tx, id(org), purpose, version, vec![byte; 60], at(0)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let own = keys::of(&store, id(1), "intake").await.unwrap();
    let told: Vec<_> = own.iter().map(|row| (row.version, row.wrapped[0])).collect();
    assert_eq!(told, [(2, 3), (1, 1)], "the newest first");
    assert_eq!(keys::of(&store, id(2), "broker").await.unwrap(), []);
    let all = keys::of_purpose(&store, "intake").await.unwrap();
    let told: Vec<_> = all.iter().map(|row| (row.org_id, row.version)).collect();
    assert_eq!(told, [(id(1), 2), (id(1), 1), (id(2), 1)]);

    let page = keys::page(&store, None).await.unwrap();
    let told: Vec<_> = page.iter().map(|row| row.wrapped[0]).collect();
    assert_eq!(told, [2, 1, 3, 4]);
    let rest = keys::page(&store, Some(&page[1])).await.unwrap();
    assert_eq!(rest, page[2..]);

    // A wrapping takes the place of the one that was read, and of no other.
    let mut tx = writer.begin().await.unwrap();
    assert!(keys::rewrap(&mut tx, &page[1], vec![9; 60]).await.unwrap());
    assert!(!keys::rewrap(&mut tx, &page[1], vec![8; 60]).await.unwrap());
    assert!(keys::erase(&mut tx, id(1), "intake", at(1)).await.unwrap());
    assert!(!keys::erase(&mut tx, id(1), "intake", at(2)).await.unwrap());
    tx.rollback().await.unwrap();
}
