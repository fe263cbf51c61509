//! That every write of a guarded row is seen, and that what is coded of a row stays what it was.

use super::*;
use crate::migrate::MIGRATIONS;
use crate::statements;
use std::fmt::Write as _;
use tradewarden_domain::few::Few;
use tradewarden_domain::halt::HaltMode;
use tradewarden_domain::permission::{Permission, Permissions};
use tradewarden_domain::time::Timestamp;

#[test]
fn c19_every_statement_that_writes_a_guarded_row_names_it_first() {
    let mut kinds = BTreeSet::new();
    for sql in statements::all() {
        let Some(kind) = written(&sql) else { continue };
        kinds.insert(kind);
        let text = sql.split_once('\n').unwrap().1;
        let columns = match kind {
            Guarded::Limits => "org_id",
            Guarded::Members => "org_id, user_id",
            Guarded::Halts | Guarded::Keys | Guarded::Roles => "id",
        };
        let by = match kind {
            Guarded::Limits => "org_id = $1",
            Guarded::Members => "org_id = $1 AND user_id = $2",
            Guarded::Halts | Guarded::Keys | Guarded::Roles => "id = $1",
        };
        let names = if text.starts_with("INSERT") {
            text.contains(&format!(" ({columns}, "))
        } else {
            text.contains(&format!(" WHERE {by}"))
        };
        assert!(names, "the first values must be {columns}: {sql}");
    }
    assert_eq!(kinds.len(), 5, "{kinds:?}");
}

#[test]
fn c19_what_is_not_guarded_is_there() {
    let all = statements::all();
    for name in UNGUARDED {
        assert!(all.iter().any(|sql| name_of(sql) == name), "{name}");
    }
}

#[test]
fn c19_fields_do_not_run_into_one_another() {
    let (one, two) = (Content::begin().text("ab").text("c"), Content::begin().text("a"));
    assert_ne!(one.0, two.text("bc").0);
    let (none, some) = (Content::begin(), Content::begin());
    assert_ne!(none.optional(None, Content::text).0, some.optional(Some(""), Content::text).0);
}

#[test]
fn c19_no_statement_writes_a_guarded_table_unseen() {
    for sql in statements::all() {
        let name = name_of(&sql);
        let words: Vec<_> = sql.split_whitespace().collect();
        let writes = words.windows(2).any(|pair| {
            let verb = ["INTO", "UPDATE"].contains(&pair[0]);
            verb && Guarded::of_table(pair[1]).is_some()
        });
        let deletes = words
            .windows(3)
            .any(|words| words[..2] == ["DELETE", "FROM"] && Guarded::of_table(words[2]).is_some());
        let is_known = UNGUARDED.contains(&name) || sealed::is_resealing(name);
        assert!(!(writes || deletes) || is_known || written(&sql).is_some(), "{sql}");
    }
}

/// The columns of a table, as the migrations make them.
fn columns_of(table: &str) -> BTreeSet<&'static str> {
    let mut columns = BTreeSet::new();
    for migration in MIGRATIONS {
        assert!(
            !migration.contains(&format!("ALTER TABLE {table} ")),
            "teach this test of {table}"
        );
        let Some((_, rest)) = migration.split_once(&format!("CREATE TABLE {table} (\n")) else {
            continue;
        };
        let lines = rest.split("\n)").next().unwrap().lines().map(str::trim);
        let names = lines.map(|line| line.split(' ').next().unwrap());
        columns.extend(names.filter(|name| name.chars().all(|letter| !letter.is_uppercase())));
    }
    columns
}

#[test]
fn c19_every_column_is_in_the_image_or_left_out_for_a_reason() {
    let of = |table: &str, held: &[&'static str], left_out: &[(&'static str, &str)]| {
        let left_out = left_out.iter().map(|(column, _)| *column);
        let said: BTreeSet<_> = held.iter().copied().chain(left_out).collect();
        assert_eq!(columns_of(table), said, "a new column of {table}: is it guarded?");
    };
    let held = [
        "id",
        "org_id",
        "scope",
        "mode",
        "reason",
        "engaged_by",
        "engaged_at",
        "include_protective",
    ];
    of("halts", &held, &[("resumed_by", "one that ended is none"), ("resumed_at", "the same")]);
    let version = ("version", "orders name it, nothing is judged by it");
    of("limits", &["org_id", "scope", "name", "value"], &[version, ("updated_at", "shown only")]);
    let held = [
        "id",
        "org_id",
        "user_id",
        "name",
        "algorithm",
        "material",
        "scopes",
        "accounts",
        "instruments",
        "allow",
        "tier",
        "max_notional",
        "environment",
        "strategy_id",
        "state",
        "rotated_from",
        "expires_at",
        "created_at",
    ];
    let used = [("last_used_at", "changes with every use"), ("last_address", "the same")];
    of("api_keys", &held, &used);
    let created = [("created_at", "shown only")];
    of("memberships", &["org_id", "user_id", "role", "state", "epoch"], &created);
    of("roles", &["id", "org_id", "name", "permissions"], &created);
}

/// The fields after the format, as text where they are text.
fn fields(image: &Image) -> Vec<String> {
    let (format, mut rest) = image.content.split_first().unwrap();
    assert_eq!(*format, 1);
    let mut fields = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<8>() {
        let (field, after) = after.split_at(usize::try_from(u64::from_be_bytes(*length)).unwrap());
        let is_text = !field.is_empty() && field.iter().all(|byte| (b' '..=b'~').contains(byte));
        let is_lines = field.ends_with(b"\n");
        fields.push(match std::str::from_utf8(field) {
            Ok(text) if is_text || is_lines => text.to_owned(),
            _ => field.iter().fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").unwrap();
                text
            }),
        });
        rest = after;
    }
    assert!(rest.is_empty());
    fields
}

const CHANGED: &str = "what is coded of a row changed, so that every row that is there would be mistrusted: \
                       make another format and hold rows against both until they are entered anew";

#[test]
fn c19_what_is_coded_of_halts_limits_members_and_roles_is_frozen() {
    let org: Id<id::Org> = Id::from_bytes([1; 16]);
    let halt = halt(&Halt {
        id: Id::from_bytes([2; 16]),
        org_id: Some(org),
        scope: "instrument:AAPL".parse().unwrap(),
        mode: HaltMode::ReduceOnly,
        include_protective: true,
        reason: "news".to_owned(),
        engaged_by: "operator".to_owned(),
        engaged_at: Timestamp::from_unix_micros(258),
    });
    assert_eq!((halt.org, halt.row), ([1; 16], [2; 16]));
    let said = [
        "instrument:AAPL",
        "reduce_only",
        "news",
        "operator",
        "0000000000000102",
        "0000000000000001",
    ];
    assert_eq!(fields(&halt), said, "{CHANGED}");

    let limit = |scope: &str, name: &str, value| Limit {
        org_id: org,
        scope: scope.parse().unwrap(),
        name: name.parse().unwrap(),
        value,
        version: 7,
        updated_at: Timestamp::default(),
    };
    let own =
        [limit("org", "max_position", 300), limit("instrument:AAPL", "max_order_quantity", 2)];
    let limits = limits(org, own.iter()).unwrap();
    assert_eq!((limits.org, limits.row), ([1; 16], [1; 16]));
    let said = ["instrument:AAPL max_order_quantity 2\norg max_position 300\n"];
    assert_eq!(fields(&limits), said, "{CHANGED}");

    let member = member(&Member {
        org_id: org,
        user_id: Id::from_bytes([3; 16]),
        role: "owner".to_owned(),
        state: "active".parse().unwrap(),
        epoch: 5,
    });
    assert_eq!((member.org, member.row), ([1; 16], [3; 16]));
    assert_eq!(fields(&member), ["owner", "active", "0000000000000005"], "{CHANGED}");
    let bytes =
        b"\x01\0\0\0\0\0\0\0\x05owner\0\0\0\0\0\0\0\x06active\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\x05";
    assert_eq!(member.content, bytes, "{CHANGED}");

    let role = role(&RoleRow {
        id: Id::from_bytes([4; 16]),
        org_id: org,
        name: "desk".to_owned(),
        permissions: Permissions::of(&[Permission::AuditRead, Permission::OrdersRead]),
        created_at: Timestamp::default(),
    });
    assert_eq!((role.org, role.row), ([1; 16], [4; 16]));
    assert_eq!(fields(&role), ["desk", "orders:read audit:read"], "{CHANGED}");
}

#[test]
fn c19_what_is_coded_of_keys_is_frozen() {
    let account = "acc_00000000000000000000000001";
    let full = ApiKey {
        id: Id::from_bytes([5; 16]),
        org_id: Id::from_bytes([1; 16]),
        user_id: Some(Id::from_bytes([0xab; 16])),
        name: "bot".into(),
        algorithm: KeyAlgorithm::Ed25519,
        scopes: Permissions::of(&[Permission::AuditRead, Permission::OrdersRead]),
        accounts: Few::from(vec![account.parse().unwrap()]),
        instruments: Few::from(vec!["ES".parse().unwrap(), "AAPL".parse().unwrap()]),
        allow: Few::from(vec!["10.0.0.0/8".to_owned(), "::1/128".to_owned()]),
        tier: "free".parse().unwrap(),
        max_notional: Some(tradewarden_domain::money::Money::from_units(1)),
        environment: Some("live".into()),
        strategy_id: Some(Id::from_bytes([0xcd; 16])),
        state: "suspended".parse().unwrap(),
        rotated_from: Some(Id::from_bytes([0xef; 16])),
        expires_at: Timestamp::from_unix_micros(2),
        created_at: Timestamp::from_unix_micros(1),
    };
    let image = key_of(&full, &[0x80; 4]);
    assert_eq!((image.org, image.row), ([1; 16], [5; 16]));
    let (user, strategy, from) = ("ab".repeat(16), "cd".repeat(16), "ef".repeat(16));
    let said = [
        "01",
        user.as_str(),
        "bot",
        "ed25519",
        "80808080",
        "orders:read audit:read",
        account,
        "ES,AAPL",
        "10.0.0.0/8,::1/128",
        "free",
        "01",
        "0000000000000001",
        "01",
        "live",
        "01",
        strategy.as_str(),
        "suspended",
        "01",
        from.as_str(),
        "0000000000000002",
        "0000000000000001",
    ];
    assert_eq!(fields(&image), said, "{CHANGED}");

    let bare = ApiKey {
        user_id: None,
        algorithm: KeyAlgorithm::HmacSha256,
        accounts: Few::default(),
        instruments: Few::default(),
        allow: Few::default(),
        max_notional: None,
        environment: None,
        strategy_id: None,
        rotated_from: None,
        ..full
    };
    let said = [
        "00",
        "bot",
        "hmac-sha256",
        "",
        "orders:read audit:read",
        "",
        "",
        "",
        "free",
        "00",
        "00",
        "00",
        "suspended",
        "00",
        "0000000000000002",
        "0000000000000001",
    ];
    assert_eq!(fields(&key_of(&bare, &[0x80; 4])), said, "{CHANGED}");
}
