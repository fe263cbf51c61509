//! Messages to people.

use crate::backend::{Backend, at, id};
use tradewarden_domain::message::{Channel, MessageState, Topic};
use tradewarden_store::outbox::Kind;
use tradewarden_store::outbox::{self, NewMessage};
use tradewarden_store::{Store, directory};

fn message(number: u64, channel: Channel, topic: Topic) -> NewMessage {
    NewMessage {
        id: id(number),
        org_id: id(1),
        user_id: Some(id(10)),
        channel,
        topic,
        destination: (channel == Channel::Sms).then_some([7; 32]),
        content: vec![1, 2, 3],
        expires_at: at(1_000),
        created_at: at(i64::try_from(number).unwrap()),
    }
}

async fn due(store: &Store, channel: Channel, now: i64) -> Vec<(u64, u32, Vec<u8>)> {
    let rows = outbox::due(store, (channel, Kind::Others), at(now), 10).await.unwrap();
    let number = |row: &outbox::WaitingMessage| (20..40).find(|n| id(*n) == row.id).unwrap();
    rows.into_iter().map(|row| (number(&row), row.attempts, row.content)).collect()
}

pub(crate) async fn a_message_is_claimed_by_one_and_ends_once(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    directory::insert_organization(&mut tx, id(1), "ours", at(1)).await.unwrap();
    for (number, channel) in [(21, Channel::Mail), (20, Channel::Mail), (22, Channel::Sms)] {
        outbox::insert(&mut tx, &message(number, channel, Topic::Locked)).await.unwrap();
    }
    assert_eq!(outbox::waiting(&mut tx, Kind::Others).await.unwrap(), 3);
    outbox::insert(&mut tx, &message(23, Channel::Mail, Topic::Alert)).await.unwrap();
    assert_eq!(outbox::waiting(&mut tx, Kind::Others).await.unwrap(), 3, "alerts are apart");
    assert_eq!(outbox::waiting(&mut tx, Kind::Alerts).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let content = vec![1, 2, 3];
    let both = [(20, 0, content.clone()), (21, 0, content.clone())];
    assert_eq!(due(&store, Channel::Mail, 21).await, both);
    assert_eq!(due(&store, Channel::Mail, 20).await, both[..1]);
    assert_eq!(due(&store, Channel::Sms, 100).await.len(), 1);
    let alerts = outbox::due(&store, (Channel::Mail, Kind::Alerts), at(23), 10).await.unwrap();
    assert_eq!(alerts.iter().map(|row| row.id).collect::<Vec<_>>(), [id(23)]);

    let mut tx = writer.begin().await.unwrap();
    assert!(outbox::claim(&mut tx, id(20), 0, at(50)).await.unwrap());
    assert!(!outbox::claim(&mut tx, id(20), 0, at(60)).await.unwrap(), "claimed before");
    tx.commit().await.unwrap();
    assert_eq!(due(&store, Channel::Mail, 49).await, both[1..]);
    assert_eq!(due(&store, Channel::Mail, 50).await[1], (20, 1, content.clone()));

    let mut tx = writer.begin().await.unwrap();
    outbox::postpone(&mut tx, id(20), at(70)).await.unwrap();
    assert!(outbox::end(&mut tx, id(21), MessageState::Sent).await.unwrap());
    assert!(!outbox::end(&mut tx, id(21), MessageState::GivenUp).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(due(&store, Channel::Mail, 69).await, []);
    assert_eq!(due(&store, Channel::Mail, 70).await, [(20, 1, content)]);
    assert_eq!(outbox::expired(&store, at(999), 10).await.unwrap(), []);
    let expired = outbox::expired(&store, at(1_000), 10).await.unwrap();
    assert_eq!(expired.iter().map(|row| row.id).collect::<Vec<_>>(), [id(20), id(22), id(23)]);
}

pub(crate) async fn messages_are_counted_until_they_are_forgotten(backend: &Backend) {
    let (mut writer, _store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    directory::insert_organization(&mut tx, id(1), "ours", at(1)).await.unwrap();
    let (locked, code) = (Topic::Locked, Topic::LoginCode);
    outbox::insert(&mut tx, &message(20, Channel::Mail, locked)).await.unwrap();
    outbox::insert(&mut tx, &message(30, Channel::Sms, code)).await.unwrap();
    let mut alert = message(31, Channel::Mail, locked);
    alert.user_id = None;
    outbox::insert(&mut tx, &alert).await.unwrap();
    let to_user = outbox::to_user(&mut tx, id(10), at(0)).await.unwrap();
    assert_eq!(to_user, [(locked, at(20)), (code, at(30))]);
    assert_eq!(outbox::to_user(&mut tx, id(10), at(20)).await.unwrap(), [(code, at(30))]);
    let codes = outbox::of_topic(&mut tx, code, at(29)).await.unwrap();
    assert_eq!(codes, [(id(1), Some(vec![7; 32]))]);
    assert_eq!(outbox::of_topic(&mut tx, code, at(30)).await.unwrap(), []);
    outbox::end(&mut tx, id(20), MessageState::Sent).await.unwrap();
    outbox::purge(&mut tx, at(100)).await.unwrap();
    assert_eq!(outbox::to_user(&mut tx, id(10), at(0)).await.unwrap(), [(code, at(30))]);
    assert_eq!(
        outbox::waiting(&mut tx, Kind::Others).await.unwrap(),
        2,
        "what waits is not forgotten"
    );
    tx.commit().await.unwrap();
}

pub(crate) async fn a_request_for_a_link_is_taken_once(backend: &Backend) {
    let (mut writer, store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    for number in [3, 2] {
        outbox::insert_request(&mut tx, id(number), vec![9]).await.unwrap();
    }
    assert_eq!(outbox::count_requests(&mut tx).await.unwrap(), 2);
    tx.commit().await.unwrap();
    assert_eq!(outbox::requests(&store, 1).await.unwrap(), [(id(2), vec![9])]);
    let mut tx = writer.begin().await.unwrap();
    assert!(outbox::take_request(&mut tx, id(2)).await.unwrap());
    assert!(!outbox::take_request(&mut tx, id(2)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(outbox::requests(&store, 9).await.unwrap(), [(id(3), vec![9])]);
}
