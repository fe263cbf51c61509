//! API keys, their nonces and their use.

use crate::backend::{Backend, abandon, at, id};
use tradewarden_domain::few::Few;
use tradewarden_domain::key::{ApiKey, KeyAlgorithm, KeyState};
use tradewarden_domain::permission::{Permission, Permissions};
use tradewarden_domain::tier::Tier;
use tradewarden_store::api_keys::{self, KeyRow, LastUse};
use tradewarden_store::findings::{self, Finding};
use tradewarden_store::key_usage::{self, Day, Hour};
use tradewarden_store::nonces::{self, NonceRow};
use tradewarden_store::{Kind, Store, Writer, directory};

async fn founded(backend: &Backend) -> (Writer, Store) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    directory::insert_organization(&mut tx, id(1), "ours", at(1)).await.unwrap();
    tx.commit().await.unwrap();
    (writer, store)
}

fn plain(number: u64) -> ApiKey {
    ApiKey {
        id: id(number),
        org_id: id(1),
        user_id: None,
        name: "plain".to_owned().into(),
        algorithm: KeyAlgorithm::Ed25519,
        scopes: Permissions::of(&[Permission::OrdersRead]),
        accounts: Few::default(),
        instruments: Few::default(),
        allow: Few::default(),
        tier: Tier::Free,
        max_notional: None,
        environment: None,
        strategy_id: None,
        state: KeyState::Active,
        rotated_from: None,
        expires_at: at(1_000),
        created_at: at(2),
    }
}

fn full(number: u64) -> ApiKey {
    ApiKey {
        user_id: Some(id(7)),
        name: "a name, with a comma".to_owned().into(),
        algorithm: KeyAlgorithm::HmacSha256,
        scopes: Permissions::all(),
        accounts: vec![id(20), id(21)].into(),
        instruments: vec!["NQ".parse().unwrap(), "BTC/USD".parse().unwrap()].into(),
        allow: vec!["192.0.2.0/24".to_owned(), "2001:db8::/32".to_owned()].into(),
        tier: Tier::Institutional,
        max_notional: Some("12345.67".parse().unwrap()),
        environment: Some("live".into()),
        strategy_id: Some(id(30)),
        rotated_from: Some(id(3)),
        ..plain(number)
    }
}

async fn insert(writer: &mut Writer, keys: &[ApiKey]) {
    let mut tx = writer.begin().await.unwrap();
    for key in keys {
        api_keys::insert(&mut tx, key, vec![1, 2, 3]).await.unwrap();
    }
    tx.commit().await.unwrap();
}

fn row(key: ApiKey) -> KeyRow {
    KeyRow { key, material: vec![1, 2, 3], last_used_at: None, last_address: None }
}

pub(crate) async fn a_key_comes_back_as_it_was_made(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    insert(&mut writer, &[plain(10), full(11)]).await;
    assert_eq!(api_keys::all(&store).await.unwrap(), [row(plain(10)), row(full(11))]);
    assert_eq!(api_keys::find(&store, id(11)).await.unwrap(), Some(row(full(11))));
    assert_eq!(api_keys::find(&store, id(12)).await.unwrap(), None);
    let mut tx = writer.begin().await.unwrap();
    let again = api_keys::insert(&mut tx, &plain(10), vec![4]).await;
    assert_eq!(again.unwrap_err().kind(), Kind::Exists);
    abandon(tx);
}

pub(crate) async fn a_revoked_key_stays_revoked(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    insert(&mut writer, &[plain(10), plain(11)]).await;
    let mut tx = writer.begin().await.unwrap();
    api_keys::set_state(&mut tx, id(10), KeyState::Suspended).await.unwrap();
    api_keys::set_state(&mut tx, id(10), KeyState::Revoked).await.unwrap();
    api_keys::end_at(&mut tx, id(11), at(5)).await.unwrap();
    tx.commit().await.unwrap();
    let states: Vec<_> = api_keys::all(&store).await.unwrap();
    assert_eq!(states[0].key.state, KeyState::Revoked);
    assert_eq!((states[1].key.state, states[1].key.expires_at), (KeyState::Active, at(5)));
    let mut tx = writer.begin().await.unwrap();
    let woken = api_keys::set_state(&mut tx, id(10), KeyState::Active).await;
    assert_eq!(woken.unwrap_err().kind(), Kind::Broken);
    abandon(tx);
    let mut tx = writer.begin().await.unwrap();
    assert!(api_keys::end_at(&mut tx, id(10), at(9_000)).await.is_err());
    abandon(tx);
}

pub(crate) async fn only_a_newer_use_is_noted(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    insert(&mut writer, &[plain(10), plain(11)]).await;
    let last = |key, second, address: &str| LastUse {
        key_id: id(key),
        at: at(second),
        address: address.to_owned(),
    };
    let mut tx = writer.begin().await.unwrap();
    let uses = [last(10, 5, "192.0.2.1"), last(11, 6, "::1"), last(99, 6, "::1")];
    api_keys::set_last_use(&mut tx, &uses).await.unwrap();
    api_keys::set_last_use(&mut tx, &[last(10, 4, "192.0.2.9")]).await.unwrap();
    tx.commit().await.unwrap();
    let found = api_keys::find(&store, id(10)).await.unwrap().unwrap();
    assert_eq!(
        (found.last_used_at, found.last_address.as_deref()),
        (Some(at(5)), Some("192.0.2.1"))
    );
}

pub(crate) async fn a_nonce_is_taken_once(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let nonce =
        |key, hash, second| NonceRow { key_id: id(key), nonce_hash: [hash; 32], at: at(second) };
    let mut tx = writer.begin().await.unwrap();
    let two = [nonce(10, 1, 5), nonce(10, 2, 6)];
    assert_eq!(nonces::claim(&mut tx, &two).await.unwrap(), 2);
    assert_eq!(nonces::claim(&mut tx, &[nonce(10, 1, 9)]).await.unwrap(), 0);
    // The same nonce of another key is another nonce.
    assert_eq!(nonces::claim(&mut tx, &[nonce(10, 1, 5), nonce(11, 1, 7)]).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let kept = nonces::since(&store, at(6)).await.unwrap();
    assert_eq!(kept, [nonce(10, 2, 6), nonce(11, 1, 7)]);
    let mut tx = writer.begin().await.unwrap();
    assert_eq!(nonces::purge(&mut tx, at(6)).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(nonces::since(&store, at(0)).await.unwrap().len(), 2);
}

pub(crate) async fn uses_add_up_by_the_hour(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let hour = |second, calls| Hour { hour: at(second), calls, orders: 1, refusals: 2 };
    let mut tx = writer.begin().await.unwrap();
    let first = [(id(10), hour(0, 5)), (id(10), hour(3_600, 6)), (id(11), hour(0, 7))];
    key_usage::add(&mut tx, &first).await.unwrap();
    key_usage::add(&mut tx, &[(id(10), hour(0, 10))]).await.unwrap();
    tx.commit().await.unwrap();
    let sum = Hour { hour: at(0), calls: 15, orders: 2, refusals: 4 };
    let found = key_usage::of_key(&store, id(10), at(0)).await.unwrap();
    assert_eq!(found, [sum, hour(3_600, 6)]);
    let mut tx = writer.begin().await.unwrap();
    key_usage::purge(&mut tx, at(1), at(0)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(key_usage::of_key(&store, id(10), at(0)).await.unwrap(), [hour(3_600, 6)]);
    assert!(key_usage::of_key(&store, id(11), at(0)).await.unwrap().is_empty());
}

pub(crate) async fn each_node_keeps_its_own_day(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let day = |caller, requests: u8| Day {
        caller_id: [caller; 16],
        requests: vec![requests],
        orders: Vec::new(),
    };
    let mut tx = writer.begin().await.unwrap();
    key_usage::put_days(&mut tx, "a", vec![day(1, 1), day(2, 2)], at(1)).await.unwrap();
    key_usage::put_days(&mut tx, "b", vec![day(1, 9)], at(1)).await.unwrap();
    key_usage::put_days(&mut tx, "a", vec![day(1, 3)], at(5)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(key_usage::days(&store, "a").await.unwrap(), [day(1, 3), day(2, 2)]);
    assert_eq!(key_usage::days(&store, "b").await.unwrap(), [day(1, 9)]);
    let mut tx = writer.begin().await.unwrap();
    key_usage::purge(&mut tx, at(0), at(5)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(key_usage::days(&store, "a").await.unwrap(), [day(1, 3)]);
}

pub(crate) async fn a_finding_is_found_again(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let finding = Finding {
        id: tradewarden_domain::id::Id::new(at(100), [9; 10]),
        org_id: id(1),
        at: at(100),
        code: "key.expires_soon".to_owned(),
        severity: "warning".to_owned(),
        subject: "key_1".to_owned(),
        detail: String::new(),
    };
    let mut tx = writer.begin().await.unwrap();
    findings::insert(&mut tx, &finding).await.unwrap();
    tx.commit().await.unwrap();
    for (org, since, code, subject, found) in [
        (1, 100, "key.expires_soon", "key_1", true),
        (1, 0, "key.expires_soon", "key_1", true),
        (1, 101, "key.expires_soon", "key_1", false),
        (1, 0, "key.expires_soon", "key_2", false),
        (1, 0, "key.unused", "key_1", false),
        (2, 0, "key.expires_soon", "key_1", false),
    ] {
        let answer = findings::was_found(&store, id(org), at(since), code, subject).await.unwrap();
        assert_eq!(answer, found, "{org} {since} {code} {subject}");
    }
}
