//! Limits and the versions of them.

use crate::backend::{Backend, abandon, at, id};
use crate::directory::founded;
use tradewarden_domain::id::{self as ids, Id};
use tradewarden_domain::limit::{Limit, LimitName, LimitScope};
use tradewarden_domain::policy::{LimitChange, Policy};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::directory::{self, PolicyVersion, Versions};
use tradewarden_store::{Kind, Lock, Writer};

fn version(org_id: Id<ids::Org>, number: i64, changes: &[LimitChange]) -> PolicyVersion {
    PolicyVersion {
        org_id,
        version: number,
        made_at: at(number * 10),
        made_by: format!("by {number}"),
        confirmed_by: (number % 2 == 0).then(|| id(7)),
        reason: (number % 3 == 0).then(|| format!("reason {number}")),
        content_sha256: [u8::try_from(number).unwrap(); 32],
        changed: u32::try_from(changes.len()).unwrap(),
    }
}

async fn put(writer: &mut Writer, number: i64, before: &Policy, after: &Policy) -> PolicyVersion {
    let changes = before.changes_to(after);
    let version = version(id(1), number, &changes);
    let mut tx = writer.begin().await.unwrap();
    directory::put_policy(&mut tx, &version, &changes).await.unwrap();
    tx.commit().await.unwrap();
    version
}

pub(crate) async fn limits_have_the_version_of_their_organization(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let scopes = [
        LimitScope::Account(id(10)),
        LimitScope::Instrument("NQ".parse().unwrap()),
        LimitScope::Org,
        LimitScope::Strategy(id(30)),
    ];
    let mut expected = Vec::new();
    let mut policy = Policy::default();
    let mut number = 0;
    for scope in &scopes {
        let mut names = LimitName::ALL.to_vec();
        names.sort_by_key(|name| name.text());
        for name in names {
            for value in [i64::MAX, 0] {
                number += 1;
                let before = policy.clone();
                policy.set(scope.clone(), name, value);
                let made = put(&mut writer, number, &before, &policy).await;
                expected.push(Limit {
                    org_id: id(1),
                    scope: scope.clone(),
                    name,
                    value,
                    version: number,
                    updated_at: made.made_at,
                });
            }
            // The second took the place of the first.
            let replaced = expected.len() - 2;
            expected.remove(replaced);
        }
    }
    let mut tx = writer.begin().await.unwrap();
    let found = directory::limits_in(&mut tx).await.unwrap();
    let versions = directory::lock_organizations(&mut tx, &[id(1), id(2)], Lock::Update).await;
    assert_eq!(
        versions.unwrap(),
        [number, 0].map(|limits| Versions {
            limits,
            strategies: 0,
            overrides_until: Timestamp::from_unix_micros(0)
        })
    );
    tx.commit().await.unwrap();
    let sorted = |mut limits: Vec<Limit>| {
        limits.sort_by_key(|limit| limit.version);
        limits
    };
    assert_eq!(sorted(found), expected);
    assert_eq!(sorted(directory::limits(&store).await.unwrap()), expected);

    let mut tx = writer.begin().await.unwrap();
    let vanished = directory::lock_organizations(&mut tx, &[id(404)], Lock::Share).await;
    assert_eq!(vanished.unwrap_err().kind(), Kind::Broken);
    drop(tx);
    let mut tx = writer.begin().await.unwrap();
    let one = |number, scope: &LimitScope| (id(number), scope.clone(), LimitName::MaxOpenOrders);
    directory::lock_limits(&mut tx, &[]).await.unwrap();
    directory::lock_limits(&mut tx, &scopes.clone().map(|scope| one(1, &scope))).await.unwrap();
    let vanished = directory::lock_limits(&mut tx, &[one(2, &LimitScope::Org)]).await;
    assert_eq!(vanished.unwrap_err().kind(), Kind::Broken);
}

pub(crate) async fn every_version_can_be_read_for_ever(backend: &Backend) {
    let (mut writer, store) = founded(backend).await;
    let (position, restricted) = (LimitName::MaxPosition, LimitName::Restricted);
    let strategy = LimitScope::Strategy(id(30));
    let mut policies = vec![Policy::default()];
    let steps: [&dyn Fn(&mut Policy); 4] = [
        &|policy| {
            policy.set(LimitScope::Org, position, 5);
            policy.set(LimitScope::Org, restricted, 1);
            policy.set(strategy.clone(), position, 3);
        },
        &|policy| {
            policy.set(LimitScope::Org, position, 4);
            policy.unset(&LimitScope::Org, restricted);
        },
        &|policy| *policy = policy.clone().without(&strategy),
        &|policy| {
            policy.set(LimitScope::Org, restricted, 1);
        },
    ];
    let mut made = Vec::new();
    for (number, step) in (1..).zip(steps) {
        let before = policies.last().unwrap().clone();
        let mut after = before.clone();
        step(&mut after);
        made.push(put(&mut writer, number, &before, &after).await);
        policies.push(after);
    }
    // What came later does not change what was.
    for (number, policy) in (0..).zip(&policies) {
        assert_eq!(directory::policy(&store, id(1), number).await.unwrap(), *policy, "{number}");
        assert_eq!(directory::policy(&store, id(2), number).await.unwrap(), Policy::default());
    }
    for (number, version) in (1..).zip(&made) {
        let found = directory::policy_version(&store, id(1), number).await.unwrap();
        assert_eq!(found.as_ref(), Some(version));
        let changes = directory::policy_changes(&store, id(1), number).await.unwrap();
        let place = usize::try_from(number).unwrap();
        let mut expected = policies[place - 1].changes_to(&policies[place]);
        expected.sort_by_key(|change| (change.scope.to_string(), change.name.text()));
        assert_eq!(changes, expected, "{number}");
    }
    for nothing in [0, 5] {
        assert_eq!(directory::policy_version(&store, id(1), nothing).await.unwrap(), None);
    }
    let page = directory::policy_versions(&store, id(1), 4, 2).await.unwrap();
    assert_eq!(page, [made[2].clone(), made[1].clone()]);
    assert_eq!(directory::policy_versions(&store, id(2), i64::MAX, 9).await.unwrap(), []);

    // Neither a version that there is, nor a limit that is not there, nor nobody's organization.
    let change =
        |before, after| LimitChange { scope: LimitScope::Org, name: position, before, after };
    let wrong = [
        (id(1), 4, change(Some(4), Some(9))),
        (id(1), 5, LimitChange { scope: strategy.clone(), ..change(Some(3), None) }),
        (id(404), 1, change(None, Some(1))),
    ];
    for (org, number, change) in wrong {
        let changes = [change];
        let mut tx = writer.begin().await.unwrap();
        directory::put_policy(&mut tx, &version(org, number, &changes), &changes)
            .await
            .unwrap_err();
        abandon(tx);
    }
    assert_eq!(directory::policy(&store, id(1), 4).await.unwrap(), policies[4]);
}
