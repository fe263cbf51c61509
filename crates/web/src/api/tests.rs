//! How bodies and parameters are read, and what is said of wrong ones.

use super::*;
use tradewarden_engine::command::{
    AccountCreate, HaltEngage, LimitSet, OrderAsChanged, OrderCreate, WebhookCreate,
};

fn input(query: Option<&'static str>, body: &'static str) -> Input<'static> {
    Input {
        named: &[],
        query: Query::parse(query).unwrap(),
        body: Bytes::from_static(body.as_bytes()),
        if_match: IfMatch::Unsaid,
    }
}

fn field(problem: &Problem) -> &str {
    problem.named_field().unwrap_or_default()
}

fn field_of<T: DeserializeOwned>(body: &'static str) -> (String, String) {
    let problem = input(None, body).body::<T>().err().unwrap();
    assert_eq!(problem.code, Code::RequestMalformed);
    (field(&problem).to_owned(), problem.detail.into_owned())
}

const NUMBER: &str = "Expected a whole number from 0 to 4294967295.";

/// Clients with a fixed structure send every member; what changes an order still must not.
#[test]
fn null_is_nothing_where_an_order_is_made() {
    let body = r#"{"account_id":"a","symbol":"SPY","side":"buy","type":"market","quantity":"1",
        "limit_price":null,"stop_price":null,"time_in_force":null,"reduce_only":null,
        "expires_at":null,"tag":null,"allow_repeat":null}"#;
    let order: OrderCreate = input(None, body).with_nulls().unwrap();
    assert_eq!((order.limit_price, order.stop_price, order.time_in_force), (None, None, None));
    assert_eq!((order.expires_at, order.tag), (None, None));
    assert!(!order.reduce_only && !order.allow_repeat);
    for body in [
        r#"{"side":null}"#,
        r#"{"quantity":null}"#,
        r#"{"limit_price":null,"limit_price":"1"}"#,
        r#"{"reduce_only":true,"reduce_only":null}"#,
    ] {
        let problem = input(None, body).with_nulls::<OrderCreate>().unwrap_err();
        assert_eq!(problem.code, Code::RequestMalformed, "{body}");
        assert!(body.contains(field(&problem)) && !field(&problem).is_empty(), "{body}");
    }
    let side = input(None, r#"{"side":5}"#).with_nulls::<OrderCreate>().unwrap_err();
    assert_eq!(side.detail, "Expected one of the words that the field knows, as a string.");
    let problem = input(None, r#"{"limit_price":null}"#).body::<OrderAsChanged>().unwrap_err();
    assert_eq!(field(&problem), "limit_price");
}

#[test]
fn the_wrong_field_is_named() {
    for (body, field, detail) in [
        (r#"{"name":"a","secret":"x"}"#, "secret", "There is no such field."),
        (r#"{"name":"a","correct-Horse-4711":1}"#, "(not repeated)", "There is no such field."),
        (r#"{"name":"a","k3y4f5":null}"#, "(not repeated)", "There is no such field."),
        (r#"{"allow":[]}"#, "name", "The field is required."),
        (r#"{"name":"a","name":"b"}"#, "name", "The field is there twice."),
        (r#"{"name":"a","rate_per_s":"fast"}"#, "rate_per_s", NUMBER),
        (r#"{"name":"a","rate_per_s":-1}"#, "rate_per_s", NUMBER),
        (r#"{"name":"a","rate_per_s":1.5}"#, "rate_per_s", NUMBER),
        (r#"{"name":"a","rate_per_s":4294967296}"#, "rate_per_s", NUMBER),
        (r#"{"name":"a","allow":true}"#, "allow", "Expected a list."),
        (r#"{"name":"a","dry_run":1}"#, "dry_run", "Expected a boolean."),
        (r#"{"name":"a","mapping": null }"#, "mapping", "Leave it out instead of sending null."),
        (r#"["a"]"#, "", "The body must be a JSON object."),
        ("", "", "The body must be a JSON object."),
        (r#"{"name":"a""#, "", "The body is not JSON, from line 1, column 11 on."),
    ] {
        let found = field_of::<WebhookCreate>(body);
        assert_eq!(found, (field.to_owned(), detail.to_owned()), "{body}");
    }
    assert_eq!(
        field_of::<AccountCreate>(r#"{"broker":"paper","name":"a","cash":"much"}"#).0,
        "cash"
    );
    assert_eq!(field_of::<HaltEngage>(r#"{"mode":"freeze"}"#).0, "mode");
    assert_eq!(field_of::<LimitSet>(r#"{"scope":"org","name":"max_luck","value":"1"}"#).0, "name");
}

#[test]
fn a_whole_body_is_taken() {
    let webhook: WebhookCreate = input(None, " {\"name\":\"a\"} ").body().unwrap();
    assert_eq!((webhook.name.as_str(), webhook.dry_run), ("a", false));
}

#[test]
fn pages_are_bounded() {
    let paging = input(Some("limit=200&cursor=abc"), "").paging().unwrap();
    assert_eq!((paging.limit, paging.cursor.as_deref()), (Some(200), Some("abc")));
    assert!(input(None, "").paging().unwrap().limit.is_none());
    for query in ["limit=0", "limit=201", "limit=", "limit=-1", "limit=1&limit=2", "limit=1e2"] {
        let problem = input(Some(query), "").paging().unwrap_err();
        assert_eq!(field(&problem), "limit", "{query}");
    }
    let problem = query_of(&["limit", "cursor"], Some("page=2")).unwrap_err();
    assert_eq!(field(&problem), "page");
}
