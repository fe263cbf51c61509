//! People, their factors, sessions and challenges.

use crate::backend::{Backend, abandon, at, id};
use tradewarden_domain::account::Activity;
use tradewarden_domain::permission::{Permission, Permissions};
use tradewarden_domain::person::{ChallengeKind, Decision, FactorKind, SessionKind, User};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::challenges::{self, Challenge};
use tradewarden_store::factors::{self, FactorRow, RecoveryRow};
use tradewarden_store::pending::{self, PendingRow};
use tradewarden_store::sessions::{self, RefreshRow, SessionRow};
use tradewarden_store::token_keys::{self, TokenKeyRow};
use tradewarden_store::users::{self, Failures, Member, PolicyRow, RoleRow, UserRow};
use tradewarden_store::{Kind, Store, Writer, directory};

fn user(number: u64, email: &str) -> User {
    User { id: id(number), email: email.to_owned(), created_at: at(5) }
}

async fn founded(backend: &Backend) -> (Writer, Store) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    directory::insert_organization(&mut tx, id(1), "ours", at(1)).await.unwrap();
    for (number, email) in [(10, "Ann@example.com"), (11, "bob@example.com")] {
        let key = email.to_lowercase();
        let password = Some(("hash", [2; 32]));
        users::insert(&mut tx, &user(number, email), &key, [1; 32], password).await.unwrap();
        users::insert_member(&mut tx, id(1), id(number), "owner", at(5)).await.unwrap();
    }
    tx.commit().await.unwrap();
    (writer, store)
}

pub(crate) async fn people_and_their_roles(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let ann = users::by_email(&store, "ann@example.com").await.unwrap().unwrap();
    let none = Failures { count: 0, locked_until: Timestamp::from_unix_micros(0) };
    let expected = UserRow {
        user: user(10, "Ann@example.com"),
        password_hash: Some("hash".to_owned()),
        password: none,
        factor: none,
        recovery_set: None,
        code: [1; 32],
        password_code: Some([2; 32]),
    };
    assert!(ann == expected);
    assert!(users::by_email(&store, "Ann@example.com").await.unwrap().is_none());
    let mut tx = writer.begin().await.unwrap();
    let same = users::insert(&mut tx, &user(12, "x"), "ann@example.com", [1; 32], None).await;
    assert_eq!(same.unwrap_err().kind(), Kind::Exists);
    abandon(tx);

    let mut tx = writer.begin().await.unwrap();
    let failures = Failures { count: 7, locked_until: at(9) };
    assert!(users::set_password_failures(&mut tx, id(10), failures).await.unwrap());
    assert!(!users::set_password_failures(&mut tx, id(404), failures).await.unwrap());
    users::set_factor_failures(&mut tx, id(10), failures).await.unwrap();
    users::set_recovery_set(&mut tx, id(10), Some("set")).await.unwrap();
    users::set_state(&mut tx, id(1), id(10), Activity::Disabled).await.unwrap();
    users::set_state(&mut tx, id(2), id(10), Activity::Disabled).await.unwrap_err();
    let locked = users::lock(&mut tx, id(10)).await.unwrap().unwrap();
    assert_eq!((locked.password, locked.factor), (failures, failures));
    assert_eq!(users::holders(&mut tx, id(1), "owner").await.unwrap(), [id(11)]);
    users::set_password(&mut tx, id(10), ("other", [3; 32]), at(9)).await.unwrap();
    users::set_role(&mut tx, id(1), id(10), "clerk").await.unwrap();
    assert!(users::has_role(&mut tx, id(1), "clerk").await.unwrap());
    users::remove_member(&mut tx, id(1), id(11)).await.unwrap();
    assert_eq!(users::role_of(&mut tx, id(1), id(11)).await.unwrap(), None);
    tx.commit().await.unwrap();
    let ann = users::find(&store, id(10)).await.unwrap().unwrap();
    assert_eq!((ann.password, ann.password_hash.as_deref()), (none, Some("other")));
    assert_eq!((ann.code, ann.password_code), ([1; 32], Some([3; 32])));
    let member = Member {
        org_id: id(1),
        user_id: id(10),
        role: "clerk".to_owned(),
        state: Activity::Disabled,
        epoch: 1,
    };
    assert_eq!(users::members(&store).await.unwrap(), [member]);
    assert_eq!(users::all(&store).await.unwrap().len(), 2);

    let permissions = Permissions::of(&[Permission::OrdersRead, Permission::UsersManage]);
    let role = RoleRow {
        id: id(20),
        org_id: id(1),
        name: "clerk".to_owned(),
        permissions,
        created_at: at(6),
    };
    let policy = |value: &str| PolicyRow {
        org_id: id(1),
        name: "require_factor".to_owned(),
        value: value.to_owned(),
    };
    let mut tx = writer.begin().await.unwrap();
    users::insert_role(&mut tx, &role).await.unwrap();
    users::put_policy(&mut tx, &policy("always"), at(6)).await.unwrap();
    users::put_policy(&mut tx, &policy("changes"), at(7)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(users::roles(&store).await.unwrap(), [role]);
    assert_eq!(users::policies(&store).await.unwrap(), [policy("changes")]);
    let mut tx = writer.begin().await.unwrap();
    users::remove_role(&mut tx, id(20)).await.unwrap();
    users::remove_role(&mut tx, id(20)).await.unwrap_err();
}

fn factor(number: u64, kind: FactorKind, credential: Option<&[u8]>) -> FactorRow {
    FactorRow {
        id: id(number),
        user_id: id(10),
        kind,
        name: "mine".to_owned(),
        credential_id: credential.map(<[u8]>::to_vec),
        material: vec![1, 2, 3],
        last_step: 0,
        confirmed_at: None,
        last_used_at: None,
        created_at: at(5),
        code: [6; 32],
    }
}

pub(crate) async fn a_code_is_taken_once(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let totp = factor(30, FactorKind::Totp, None);
    let passkey = factor(31, FactorKind::Webauthn, Some(b"credential"));
    let mut tx = writer.begin().await.unwrap();
    factors::insert(&mut tx, &totp).await.unwrap();
    factors::insert(&mut tx, &passkey).await.unwrap();
    for (step, taken) in [(100, true), (100, false), (99, false), (101, true)] {
        assert_eq!(factors::use_step(&mut tx, id(30), step, at(6)).await.unwrap(), taken, "{step}");
    }
    let confirmed = FactorRow { confirmed_at: Some(at(6)), code: [7; 32], ..totp };
    assert!(factors::confirm(&mut tx, &confirmed).await.unwrap());
    assert!(!factors::confirm(&mut tx, &confirmed).await.unwrap());
    tx.commit().await.unwrap();
    let found = factors::confirmed(&store).await.unwrap();
    assert_eq!((found.len(), found[0].id, found[0].code), (1, id(30), [7; 32]));
    let found = factors::by_credential(&store, b"credential").await.unwrap().unwrap();
    assert!(found == passkey);
    assert!(factors::by_credential(&store, b"other").await.unwrap().is_none());
    let mut tx = writer.begin().await.unwrap();
    let again = factor(32, FactorKind::Webauthn, Some(b"credential"));
    assert_eq!(factors::insert(&mut tx, &again).await.unwrap_err().kind(), Kind::Exists);
    abandon(tx);

    let mut tx = writer.begin().await.unwrap();
    let used = FactorRow { material: vec![4], code: [8; 32], ..passkey };
    factors::use_credential(&mut tx, &used, at(7)).await.unwrap();
    factors::remove_unconfirmed(&mut tx, id(10)).await.unwrap();
    assert!(!factors::remove(&mut tx, id(11), id(30)).await.unwrap(), "not another's");
    let recovery = |number| RecoveryRow { hash: vec![number], created_at: at(6), code: [9; 32] };
    factors::replace_codes(&mut tx, id(10), &[recovery(1), recovery(2)]).await.unwrap();
    factors::replace_codes(&mut tx, id(10), &[recovery(3), recovery(4)]).await.unwrap();
    assert_eq!(factors::code(&mut tx, id(10), &[3]).await.unwrap(), Some(recovery(3)));
    assert_eq!(factors::code(&mut tx, id(11), &[3]).await.unwrap(), None);
    assert!(!factors::use_code(&mut tx, id(10), &[1]).await.unwrap());
    assert!(!factors::use_code(&mut tx, id(11), &[3]).await.unwrap());
    assert!(factors::use_code(&mut tx, id(10), &[3]).await.unwrap());
    assert!(!factors::use_code(&mut tx, id(10), &[3]).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(factors::codes(&store, id(10)).await.unwrap(), [recovery(4)]);
    assert_eq!(factors::of_user(&store, id(10)).await.unwrap().len(), 1);
    let mut tx = writer.begin().await.unwrap();
    factors::remove_all(&mut tx, id(10)).await.unwrap();
    assert!(factors::of_user_in(&mut tx, id(10)).await.unwrap().is_empty());
}

pub(crate) async fn sessions_and_their_tokens(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let session = |number, kind, hash| SessionRow {
        id: id(number),
        user_id: id(10),
        org_id: id(1),
        kind,
        token_hash: hash,
        methods: "pwd".to_owned(),
        address: "192.0.2.1".to_owned(),
        user_agent: "curl".to_owned(),
        authenticated_at: at(5),
        factor_at: None,
        last_seen_at: at(5),
        expires_at: at(100),
        code: [7; 32],
    };
    let by_token = session(40, SessionKind::Token, None);
    let by_cookie = session(41, SessionKind::Cookie, Some([9; 32]));
    let mut tx = writer.begin().await.unwrap();
    assert!(!sessions::is_known_device(&mut tx, id(10), "curl", "192.0.2.1").await.unwrap());
    sessions::insert(&mut tx, &by_token).await.unwrap();
    sessions::insert(&mut tx, &by_cookie).await.unwrap();
    assert!(sessions::is_known_device(&mut tx, id(10), "curl", "192.0.2.1").await.unwrap());
    let token = RefreshRow {
        token_hash: [1; 32],
        session_id: id(40),
        issued_at: at(5),
        used_at: None,
        code: [2; 32],
    };
    sessions::insert_refresh(&mut tx, &token).await.unwrap();
    let token = RefreshRow { used_at: Some(at(6)), code: [3; 32], ..token };
    sessions::use_refresh(&mut tx, &token).await.unwrap();
    assert_eq!(sessions::lock_refresh(&mut tx, [1; 32]).await.unwrap(), Some(token));
    assert!(sessions::lock_refresh(&mut tx, [3; 32]).await.unwrap().is_none());
    tx.commit().await.unwrap();
    let alive = sessions::alive(&store, at(99)).await.unwrap();
    assert_eq!(alive, [by_token.clone(), by_cookie.clone()]);
    assert!(sessions::alive(&store, at(100)).await.unwrap().is_empty());

    let mut tx = writer.begin().await.unwrap();
    let shown = |row: &SessionRow| SessionRow {
        factor_at: Some(at(8)),
        methods: "pwd otp mfa".to_owned(),
        code: [8; 32],
        ..row.clone()
    };
    assert!(sessions::set_factor(&mut tx, &shown(&by_cookie)).await.unwrap());
    assert_eq!(sessions::lock(&mut tx, id(41)).await.unwrap(), Some(shown(&by_cookie)));
    sessions::set_seen(&mut tx, &[(id(41), at(9)), (id(404), at(9))]).await.unwrap();
    sessions::set_seen(&mut tx, &[(id(41), at(7))]).await.unwrap();
    assert!(sessions::end(&mut tx, id(40), "ann", at(9)).await.unwrap());
    assert!(!sessions::end(&mut tx, id(40), "ann", at(9)).await.unwrap());
    assert!(!sessions::set_factor(&mut tx, &shown(&by_token)).await.unwrap());
    assert_eq!(sessions::lock(&mut tx, id(40)).await.unwrap(), None);
    assert_eq!(sessions::alive_of(&mut tx, id(10), at(9)).await.unwrap(), [id(41)]);
    tx.commit().await.unwrap();
    let alive = sessions::alive(&store, at(10)).await.unwrap();
    assert_eq!((alive[0].factor_at, alive[0].last_seen_at), (Some(at(8)), at(9)));
    let ended = sessions::ended_by(&store, id(1), "ann", 9).await.unwrap();
    assert_eq!((ended.len(), ended[0].0.code), (1, [0; 32]));
    let mut tx = writer.begin().await.unwrap();
    sessions::purge(&mut tx, at(101)).await.unwrap();
    assert!(sessions::lock_refresh(&mut tx, [1; 32]).await.unwrap().is_none());
    tx.commit().await.unwrap();
}

fn waiting(
    number: u8,
    kind: ChallengeKind,
    user_id: Option<tradewarden_domain::id::Id<tradewarden_domain::id::User>>,
    content: &[u8],
) -> Challenge {
    Challenge {
        token_hash: [number; 32],
        kind,
        user_id,
        content: content.to_vec(),
        attempts: 0,
        expires_at: at(50),
        code: [4; 32],
    }
}

pub(crate) async fn a_challenge_is_taken_once(backend: &Backend) {
    let (mut writer, _store) = founded(backend).await;
    let kind = ChallengeKind::Factor;
    let mut tx = writer.begin().await.unwrap();
    challenges::insert(&mut tx, &waiting(1, kind, Some(id(10)), b"content")).await.unwrap();
    for attempts in 1..=3 {
        let found = challenges::attempt(&mut tx, [1; 32], kind, 3, at(6)).await.unwrap().unwrap();
        assert_eq!((found.attempts, found.user_id), (attempts, Some(id(10))));
        let as_stored = waiting(1, kind, Some(id(10)), b"content");
        assert_eq!(found, Challenge { attempts, ..as_stored });
    }
    assert!(challenges::attempt(&mut tx, [1; 32], kind, 3, at(6)).await.unwrap().is_none());
    let other = ChallengeKind::Password;
    assert!(challenges::attempt(&mut tx, [1; 32], other, 9, at(6)).await.unwrap().is_none());
    assert!(challenges::attempt(&mut tx, [1; 32], kind, 9, at(50)).await.unwrap().is_none());
    assert!(challenges::take(&mut tx, [1; 32]).await.unwrap());
    assert!(!challenges::take(&mut tx, [1; 32]).await.unwrap());
    for number in 2..5_u8 {
        let user = (number < 4).then(|| id(10));
        challenges::insert(&mut tx, &waiting(number, other, user, b"")).await.unwrap();
    }
    challenges::void(&mut tx, id(10), other).await.unwrap();
    assert!(!challenges::take(&mut tx, [3; 32]).await.unwrap());
    challenges::void_kind(&mut tx, other).await.unwrap();
    assert!(!challenges::take(&mut tx, [4; 32]).await.unwrap());
    for first in [true, false] {
        assert_eq!(challenges::spend(&mut tx, [6; 32], kind, at(50)).await.unwrap(), first);
    }
    challenges::insert(&mut tx, &waiting(5, kind, None, b"")).await.unwrap();
    challenges::purge(&mut tx, at(51)).await.unwrap();
    assert!(!challenges::take(&mut tx, [5; 32]).await.unwrap());
}

pub(crate) async fn a_challenge_is_looked_at_and_extended(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let kind = ChallengeKind::Factor;
    let mut tx = writer.begin().await.unwrap();
    challenges::insert(&mut tx, &waiting(1, kind, Some(id(10)), b"content")).await.unwrap();
    tx.commit().await.unwrap();
    for _ in 0..2 {
        let found = challenges::look(&store, [1; 32], kind, at(49)).await.unwrap().unwrap();
        assert_eq!((found.attempts, found.content), (0, b"content".to_vec()));
    }
    assert!(challenges::look(&store, [1; 32], kind, at(50)).await.unwrap().is_none());
    assert!(challenges::look(&store, [2; 32], kind, at(9)).await.unwrap().is_none());
    let other = ChallengeKind::Sms;
    assert!(challenges::look(&store, [1; 32], other, at(9)).await.unwrap().is_none());
    for (until, alive_at) in [(60, 59), (55, 59)] {
        let mut tx = writer.begin().await.unwrap();
        let longer = waiting(1, kind, Some(id(10)), b"content");
        let longer = Challenge { expires_at: at(until), code: [5; 32], ..longer };
        challenges::extend(&mut tx, &longer).await.unwrap();
        let found = challenges::find(&mut tx, [1; 32]).await.unwrap().unwrap();
        assert_eq!((found.expires_at, found.code), (at(60), [5; 32]));
        tx.commit().await.unwrap();
        let found = challenges::look(&store, [1; 32], kind, at(alive_at)).await.unwrap();
        assert!(found.is_some(), "{until}");
    }
}

pub(crate) async fn an_action_is_decided_once(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let row = PendingRow {
        id: id(50),
        org_id: id(1),
        command: "{}".to_owned(),
        summary: "resume".to_owned(),
        requested_by: id(10),
        requested_at: at(5),
        expires_at: at(20),
        code: [7; 32],
    };
    let mut tx = writer.begin().await.unwrap();
    pending::insert(&mut tx, &row).await.unwrap();
    let late = PendingRow { id: id(51), ..row.clone() };
    pending::insert(&mut tx, &late).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(pending::open(&store, id(1), at(6)).await.unwrap(), [row, late]);
    assert!(pending::open(&store, id(2), at(6)).await.unwrap().is_empty());
    assert!(pending::open(&store, id(1), at(20)).await.unwrap().is_empty());
    let mut tx = writer.begin().await.unwrap();
    assert!(pending::decide(&mut tx, id(50), "bob", Decision::Confirmed, at(6)).await.unwrap());
    assert!(!pending::decide(&mut tx, id(50), "bob", Decision::Rejected, at(6)).await.unwrap());
    assert!(!pending::decide(&mut tx, id(51), "bob", Decision::Confirmed, at(20)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(pending::open(&store, id(1), at(6)).await.unwrap().len(), 1);
}

pub(crate) async fn a_new_key_retires_the_others(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let key = |name: &str, created| TokenKeyRow {
        id: name.to_owned(),
        material: vec![7],
        verifier: "x".to_owned(),
        created_at: at(created),
        retired_at: None,
    };
    let mut tx = writer.begin().await.unwrap();
    token_keys::insert(&mut tx, &key("a", 1)).await.unwrap();
    token_keys::insert(&mut tx, &key("b", 9)).await.unwrap();
    tx.commit().await.unwrap();
    let retired = TokenKeyRow { retired_at: Some(at(9)), ..key("a", 1) };
    assert!(token_keys::all(&store).await.unwrap() == [retired, key("b", 9)]);
    let mut tx = writer.begin().await.unwrap();
    token_keys::purge(&mut tx, at(10)).await.unwrap();
    tx.commit().await.unwrap();
    assert!(token_keys::all(&store).await.unwrap() == [key("b", 9)]);
}
