//! The secret in its three forms, and one answer for everybody who does not have it.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use tradewarden_testkit::process::{Answer, TestDir};

use crate::door::{Door, demo};
use crate::stage::{another_door, orders, problem, said};

const BUY: &str = r#"{"action":"BUY","dry_run":true}"#;

/// C4: query, header and body are on by default; several at once must all be right.
#[tokio::test]
async fn the_secret_in_query_header_and_body() {
    let dir = TestDir::new("intake-secret");
    let (gateway, mut door) = demo(&dir, "").await;
    let (path, secret) = (door.path.clone(), door.secret.clone());
    let in_query = format!("{path}?secret={secret}");
    let in_body = json!({"action": "BUY", "dry_run": true, "secret": secret}).to_string();
    let wrong_body = json!({"action": "BUY", "dry_run": true, "secret": "wrong"}).to_string();
    let header = [("x-webhook-secret", secret.as_str())];
    let wrong_header = [("x-webhook-secret", "wrong")];
    let right: [(&str, &[_], &str); 4] = [
        (&in_query, &[], BUY),
        (&path, &header, BUY),
        (&path, &[], &in_body),
        (&in_query, &header, &in_body),
    ];
    for (path, headers, body) in right {
        said(&door.client.post(path, headers, body.to_owned()).await.unwrap(), 200, "dry_run");
    }
    let wrong_query = format!("{path}?secret=wrong");
    let twice = format!("{path}?secret={secret}&secret={secret}");
    let two_headers = [header[0], header[0]];
    let wrong: [(&str, &[_], &str); 9] = [
        (&path, &[], BUY),
        (&wrong_query, &[], BUY),
        (&path, &wrong_header, BUY),
        (&path, &[], &wrong_body),
        // One that is wrong is enough, whatever else is right.
        (&wrong_query, &header, BUY),
        (&in_query, &wrong_header, BUY),
        (&path, &header, &wrong_body),
        (&twice, &[], BUY),
        (&path, &two_headers, BUY),
    ];
    for (path, headers, body) in wrong {
        let answer = door.client.post(path, headers, body.to_owned()).await.unwrap();
        problem(&answer, 401, "auth.failed");
    }
    assert_eq!(orders(gateway.program()).await.len(), 0);
}

/// A form that a webhook does not take is no credential, even with the right secret.
#[tokio::test]
async fn a_form_that_is_off_does_not_open() {
    let dir = TestDir::new("intake-forms");
    let (gateway, _) = demo(&dir, "").await;
    let mut door = another_door(&gateway, &["--form", "header"], &[]).await;
    said(&door.send(BUY).await, 200, "dry_run");
    let in_query = format!("{}?secret={}", door.path, door.secret);
    problem(&door.client.post(&in_query, &[], BUY).await.unwrap(), 401, "auth.failed");
    let in_body = json!({"action": "BUY", "secret": door.secret}).to_string();
    let path = door.path.clone();
    problem(&door.client.post(&path, &[], in_body).await.unwrap(), 401, "auth.failed");
}

/// What three unauthenticated callers see.
struct Callers {
    door: Door,
    unknown: String,
}

impl Callers {
    async fn call(&mut self, kind: usize) -> Answer {
        let wrong = "tww_0000000000000000000000000000000000000000000_000000";
        let wrong = [("x-webhook-secret", wrong)];
        let right = [("x-webhook-secret", self.door.secret.as_str())];
        let (path, headers): (&str, &[(&str, &str)]) = match kind {
            0 => (&self.unknown, &right),
            1 => (&self.door.path, &[]),
            _ => (&self.door.path, &wrong),
        };
        self.door.client.post(path, headers, BUY).await.unwrap()
    }
}

/// Unknown token, missing and wrong secret: the same status, headers and body, and the same
/// duration; malformed bodies too (C1).
#[tokio::test]
async fn one_401_for_unknown_token_missing_secret_and_wrong_secret() {
    let dir = TestDir::new("intake-401");
    let (_gateway, mut door) = demo(&dir, "").await;
    let (place, token) = door.path.split_once("twh_").unwrap();
    let unknown = format!("{place}twh_{}", "0".repeat(token.len()));

    let plain = |answer: &Answer| {
        let mut body = problem(answer, 401, "auth.failed");
        body.as_object_mut().unwrap().remove("request_id");
        let mut headers = answer.headers.clone();
        for own in ["x-request-id", "date"] {
            assert!(headers.remove(own).is_some(), "{own}");
        }
        (headers, body)
    };
    let path = door.path.clone();
    let mut seen = Vec::new();
    for body in [BUY, "", "{", "\u{0}", r#"{"action":"HOLD"}"#, r#"{"secret":7}"#] {
        for path in [&path, &unknown, &format!("{path}?secret=%zz")] {
            seen.push(plain(&door.client.post(path, &[], body).await.unwrap()));
        }
    }
    let mut callers = Callers { door, unknown };
    for kind in 0..3 {
        seen.push(plain(&callers.call(kind).await));
    }
    let first = seen.first().unwrap().clone();
    assert!(seen.iter().all(|one| *one == first), "{seen:?}");

    // Taken in turns, so that whatever else the machine does falls on all three alike.
    let mut took: [Vec<Duration>; 3] = Default::default();
    for _round in 0..200 {
        for (kind, took) in took.iter_mut().enumerate() {
            let begun = Instant::now();
            callers.call(kind).await;
            took.push(begun.elapsed());
        }
    }
    let medians = took.map(|mut took| {
        took.sort();
        took[took.len() / 2]
    });
    let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
    assert!(*most < least.mul_f64(1.5), "unknown, missing, wrong: {medians:?}");
}
