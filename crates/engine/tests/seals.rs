//! What was changed in the database past the gateway stays known, whatever is changed over it through
//! the front door (C19): the engine runs, and the database is written to behind its back.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::quota::Budget;
use tradewarden_engine::actor::Actor;
use tradewarden_engine::caller::{NotAuthenticated, Shown};
use tradewarden_engine::command::{AcceptRows, Command, CommandError, VaultCommand};
use tradewarden_engine::people::{Ask, Client, Entered, Login, Origin};
use tradewarden_seal::SecretBytes;
use tradewarden_seal::http_signature::{RequestToSign, SigningKey, SigningParameters, sign};
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::{
    Harness, Hook, halt_engage, limit_set, signal, simulate, strategy,
};

const PASSWORD: &str = "correct-zebra-battery-8841-staple";
const STEP: Duration = Duration::from_millis(25);
/// Two seconds.
const STEPS_MAX: usize = 80;

async fn command(h: &Harness, command: Value) -> Value {
    h.command(serde_json::from_value(command).unwrap()).await
}

/// A command that may be refused by now.
async fn tries(h: &Harness, command: Value) {
    let _answer = h.try_command(serde_json::from_value(command).unwrap()).await.unwrap();
}

/// An API key, and how many requests it signed.
struct Signer {
    id: String,
    secret: String,
    signed: u32,
}

impl Signer {
    async fn make(h: &Harness, name: &str) -> Self {
        let new = json!({
            "command": "key-create", "name": name, "algorithm": "hmac-sha256",
            "scopes": ["orders:read"],
        });
        let made = command(h, new).await;
        let text = |member: &str| made[member].as_str().unwrap().to_owned();
        Self { id: text("id"), secret: text("secret"), signed: 0 }
    }

    /// Who signs a request with it.
    fn signs(&mut self, h: &Harness) -> Result<Actor, NotAuthenticated> {
        self.signed += 1;
        let origin = "https://localhost".parse().unwrap();
        let request = RequestToSign {
            method: "GET",
            origin: &origin,
            target: "/api/v1/orders",
            content_type: None,
            idempotency_key: None,
            body: b"",
        };
        let parameters = SigningParameters {
            key_id: &self.id,
            created_unix_s: h.now().unix_seconds(),
            expires_unix_s: None,
            nonce: &format!("nonce-{:016}", self.signed),
        };
        let signing = SigningKey::HmacSha256(SecretBytes::new(self.secret.as_bytes().to_vec()));
        let signature = sign(&signing, &request, &parameters).unwrap();
        let headers: Vec<_> =
            signature.lines().map(|(name, value)| (name, value.as_bytes())).collect();
        h.engine().caller(&shown("/api/v1/orders", &headers))
    }
}

fn shown<'a>(target: &'a str, headers: &'a [(&'a str, &'a [u8])]) -> Shown<'a> {
    Shown {
        method: "GET",
        target,
        authority: "localhost",
        headers,
        body: b"",
        address: IpAddr::from([127, 0, 0, 1]),
        budget: Budget::Requests,
    }
}

/// Whether somebody may do anything who has just given this password.
async fn comes_in(h: &Harness, email: &str) -> bool {
    let login = Ask::Login(Login {
        email: email.to_owned(),
        password: Entered::new(PASSWORD.to_owned()),
        cookie: false,
        org_id: None,
    });
    let client = Client {
        address: IpAddr::from([127, 0, 0, 1]),
        user_agent: "test".to_owned(),
        origin: Origin::Unsaid,
        session: None,
    };
    let engine = h.engine();
    let said = h.drive(async move { engine.converse(login, None, &client).await }).await.unwrap();
    let Ok(said) = said else { return false };
    let value = format!("Bearer {}", said.value["access_token"].as_str().unwrap());
    let headers = [("authorization", value.as_bytes())];
    h.engine().caller(&shown("/api/v1/me", &headers)).is_ok()
}

/// What findings about rows are about, each once.
async fn told(h: &Harness) -> Vec<String> {
    let mut told: Vec<_> = h
        .findings()
        .await
        .into_iter()
        .filter(|finding| finding.code == "row.mismatch")
        .map(|finding| finding.subject)
        .collect();
    told.sort();
    told.dedup();
    told
}

/// The next process, when it takes requests that were signed after its start.
async fn again(h: &mut Harness) {
    h.restart().await;
    h.ready().await;
    h.elapse(Duration::from_secs(2)).await;
}

/// Until people were told of a row.
async fn is_told(h: &Harness, subject: &str) {
    for _ in 0..STEPS_MAX {
        if told(h).await.iter().any(|told| told == subject) {
            return;
        }
        h.elapse(STEP).await;
    }
    panic!("nobody was told of {subject}: {:?}", told(h).await);
}

/// The database says that this row changed.
async fn announce(h: &Harness, subject: &str, known: &str) {
    h.change_behind(&format!(
        "UPDATE change_head SET newest = newest + 1; INSERT INTO changes (number, subject, row_id) \
         SELECT change_head.newest, '{subject}', known.id FROM change_head, {known} AS known"
    ))
    .await;
}

/// Either database; with PostgreSQL it takes a server.
macro_rules! on_both {
    ($scenario:ident, $sqlite:ident, $postgres:ident) => {
        #[test]
        fn $sqlite() {
            simulate(async || $scenario(Harness::sqlite(71, Venue::default()).await).await);
        }

        #[test]
        fn $postgres() {
            simulate(async || $scenario(Harness::postgres(72, Venue::default()).await).await);
        }
    };
}

/// More scopes past the gateway, and then a change through it: by the node that runs and by the next.
async fn a_key_changed_over(mut h: Harness) {
    h.ready().await;
    let mut key = Signer::make(&h, "bot").await;
    let mut other = Signer::make(&h, "other").await;
    key.signs(&h).unwrap();
    h.change_behind("UPDATE api_keys SET scopes = 'orders:read limits:manage' WHERE name = 'bot'")
        .await;
    command(&h, json!({ "command": "key-suspend", "id": key.id })).await;
    tries(&h, json!({ "command": "key-activate", "id": key.id })).await;
    is_told(&h, &key.id).await;
    key.signs(&h).unwrap_err();
    other.signs(&h).unwrap();
    // Nothing through the front door makes it right, nor does another start.
    command(&h, json!({ "command": "key-suspend", "id": other.id })).await;
    command(&h, json!({ "command": "key-activate", "id": other.id })).await;
    key.signs(&h).unwrap_err();
    again(&mut h).await;
    key.signs(&h).unwrap_err();
    other.signs(&h).unwrap();
    h.finish().await;
}

on_both!(
    a_key_changed_over,
    c19_a_change_over_a_tampered_key_does_not_make_it_right,
    c19_a_change_over_a_tampered_key_does_not_make_it_right_on_postgresql
);

/// A role past the gateway, and then a change through it.
async fn a_member_changed_over(mut h: Harness) {
    h.ready().await;
    let mut ids = Vec::new();
    for (email, role) in [("a@example.com", "viewer"), ("b@example.com", "viewer")] {
        let new =
            json!({ "command": "user-create", "email": email, "role": role, "password": PASSWORD });
        ids.push(command(&h, new).await["id"].as_str().unwrap().to_owned());
    }
    assert!(comes_in(&h, "a@example.com").await);
    // People are read anew after a log-in; then not before the next change.
    h.elapse(Duration::from_secs(2)).await;
    h.change_behind(
        "UPDATE memberships SET role = 'owner' WHERE user_id = \
         (SELECT id FROM users WHERE email_key = 'a@example.com')",
    )
    .await;
    for state in ["disabled", "active"] {
        tries(&h, json!({ "command": "user-change", "id": ids[0], "state": state })).await;
    }
    is_told(&h, &ids[0]).await;
    assert!(!comes_in(&h, "a@example.com").await);
    assert!(comes_in(&h, "b@example.com").await);
    again(&mut h).await;
    assert!(!comes_in(&h, "a@example.com").await);
    assert!(comes_in(&h, "b@example.com").await);
    h.finish().await;
}

on_both!(
    a_member_changed_over,
    c19_a_change_over_a_tampered_member_does_not_make_it_right,
    c19_a_change_over_a_tampered_member_does_not_make_it_right_on_postgresql
);

/// The head is not what the log says, and each row is: nobody can say which one is wrong.
#[test]
fn c19_where_no_row_is_to_blame_none_is_trusted() {
    simulate(async || {
        let mut h = Harness::sqlite(73, Venue::default()).await;
        h.ready().await;
        let (mut one, mut two) = (Signer::make(&h, "one").await, Signer::make(&h, "two").await);
        let org = h.org().await.to_string();
        h.change_behind("UPDATE row_seals SET sum = zeroblob(32) WHERE kind = 'keys'").await;
        again(&mut h).await;
        is_told(&h, &org).await;
        one.signs(&h).unwrap_err();
        two.signs(&h).unwrap_err();
        h.finish().await;
    });
}

/// What memory holds is enough to know a key that did not change; the others are not read with it.
#[test]
fn c19_a_key_that_did_not_change_is_right_without_the_others() {
    simulate(async || {
        let h = Harness::sqlite(74, Venue::default()).await;
        h.ready().await;
        let (mut one, mut two) = (Signer::make(&h, "one").await, Signer::make(&h, "two").await);
        h.change_behind("UPDATE api_keys SET scopes = 'limits:manage' WHERE name = 'two'").await;
        announce(&h, "key", "(SELECT id FROM api_keys WHERE name = 'one')").await;
        for _ in 0..STEPS_MAX {
            h.elapse(STEP).await;
        }
        assert_eq!(told(&h).await, Vec::<String>::new(), "this snapshot has it as it was");
        one.signs(&h).unwrap();
        two.signs(&h).unwrap();
        announce(&h, "key", "(SELECT id FROM api_keys WHERE name = 'two')").await;
        is_told(&h, &two.id).await;
        one.signs(&h).unwrap();
        two.signs(&h).unwrap_err();
        h.finish().await;
    });
}

/// An account, a webhook, and a strategy that buys five; the limit of an order is three.
async fn trades(h: &Harness) -> Hook {
    h.ready().await;
    let account = h.account("first").await;
    let hook = h.webhook("es", 100).await;
    h.strategy(strategy("es", &hook, &account, "ES", "5")).await;
    h.sane_limits().await;
    h.limit("org", "max_order_quantity", "3").await;
    hook
}

/// The code of the answer to a signal of its own.
async fn code(h: &Harness, hook: &Hook, action: &str, id: &str) -> Option<Code> {
    h.send(hook, &signal(action, id)).await.answer().code
}

/// Limits that this node did not hear of are not judged by unless they are those of the log, from the
/// next signal on, and people are told.
async fn limits_that_nobody_told(h: Harness) {
    let hook = trades(&h).await;
    let org = h.org().await.to_string();
    assert_eq!(code(&h, &hook, "BUY", "before").await, Some(Code::RiskMaxOrderQuantity));
    let (more, less) = (
        "UPDATE limits SET value = value * 1000 WHERE name = 'max_order_quantity'; \
         UPDATE organizations SET limits_version = limits_version + 1",
        "UPDATE limits SET value = value / 1000 WHERE name = 'max_order_quantity'; \
         UPDATE organizations SET limits_version = limits_version - 1",
    );
    h.change_behind(more).await;
    assert_eq!(code(&h, &hook, "BUY", "over").await, Some(Code::HaltActive));
    is_told(&h, &org).await;
    assert_eq!(code(&h, &hook, "BUY", "again").await, Some(Code::HaltActive));
    assert_ne!(code(&h, &hook, "EXIT", "exit").await, Some(Code::HaltActive));
    // Put back, they are judged by again.
    h.change_behind(less).await;
    for number in 0..STEPS_MAX {
        h.elapse(STEP).await;
        if code(&h, &hook, "BUY", &format!("back {number}")).await != Some(Code::HaltActive) {
            break;
        }
    }
    assert_eq!(code(&h, &hook, "BUY", "after").await, Some(Code::RiskMaxOrderQuantity));
    h.limit("org", "max_order_quantity", "5").await;
    assert_eq!(code(&h, &hook, "BUY", "right").await, None);
    h.finish().await;
}

on_both!(
    limits_that_nobody_told,
    c19_a_running_node_judges_by_no_limits_but_those_of_the_log,
    c19_a_running_node_judges_by_no_limits_but_those_of_the_log_on_postgresql
);

/// C19: limits that are put back with their head are found by the entry about the newer ones, also behind
/// rows that take its place where entries are looked for.
#[test]
fn c19_an_entry_is_not_hidden_behind_rows_about_the_same() {
    simulate(async || {
        let mut h = Harness::sqlite(191, Venue::default()).await;
        let hook = trades(&h).await;
        h.limit("org", "max_order_quantity", "5").await;
        h.change_behind(
            "CREATE TABLE kept_limits AS SELECT * FROM limits; \
             CREATE TABLE kept_seals AS SELECT * FROM row_seals WHERE kind = 'limits'",
        )
        .await;
        h.limit("org", "max_order_quantity", "3").await;
        assert_eq!(code(&h, &hook, "BUY", "less").await, Some(Code::RiskMaxOrderQuantity));
        let back = "DELETE FROM limits; INSERT INTO limits SELECT * FROM kept_limits; \
             DELETE FROM row_seals WHERE kind = 'limits'; \
             INSERT INTO row_seals SELECT * FROM kept_seals; \
             DROP TABLE kept_limits; DROP TABLE kept_seals";
        h.change_behind(back).await;
        for number in 1..=4 {
            let hides = format!(
                "INSERT INTO audit_entries SELECT X'0000000000000000000000000000000{number}', org_id, \
                 object_id, '{{}}', '{{}}', salt FROM audit_entries WHERE id = (SELECT MAX(id) FROM \
                 audit_entries WHERE leaf LIKE '%rows.sealed%')"
            );
            h.change_behind(&hides).await;
        }
        again(&mut h).await;
        assert_eq!(code(&h, &hook, "BUY", "put back").await, Some(Code::HaltActive));
        h.finish().await;
    });
}

/// A halt that is taken away past the gateway stays one: entries are refused, exits pass.
async fn a_halt_that_nobody_ended(h: Harness) {
    let hook = trades(&h).await;
    h.limit("org", "max_order_quantity", "5").await;
    let org = h.org().await;
    let halt = h.halt(Some(&format!("org:{org}")), "reduce_only").await;
    assert_eq!(code(&h, &hook, "BUY", "before").await, Some(Code::HaltActive));
    h.change_behind("UPDATE halts SET resumed_by = 'operator', resumed_at = engaged_at").await;
    assert_eq!(code(&h, &hook, "BUY", "lifted").await, Some(Code::HaltActive));
    is_told(&h, &halt).await;
    assert_ne!(code(&h, &hook, "EXIT", "exit").await, Some(Code::HaltActive));
    h.change_behind("UPDATE halts SET resumed_by = NULL, resumed_at = NULL").await;
    assert_eq!(code(&h, &hook, "BUY", "back").await, Some(Code::HaltActive));
    for _ in 0..STEPS_MAX {
        h.elapse(STEP).await;
    }
    h.resume(&halt).await;
    assert_eq!(code(&h, &hook, "BUY", "ended").await, None);
    h.finish().await;
}

on_both!(
    a_halt_that_nobody_ended,
    c19_a_halt_that_nobody_ended_is_in_force,
    c19_a_halt_that_nobody_ended_is_in_force_on_postgresql
);

/// What a batch changes itself is entered at its end; the orders in it are judged by it, and it is nobody's
/// trick.
#[test]
fn c19_limits_and_halts_of_the_same_batch_are_no_mistrust() {
    simulate(async || {
        let h = Harness::sqlite(78, Venue::default()).await;
        let hook = trades(&h).await;
        for (number, most) in ["5", "4", "6", "3"].into_iter().enumerate() {
            let set = limit_set("org", "max_order_quantity", most);
            let (before, after) = (format!("before {number}"), format!("after {number}"));
            let (first, _set, second) = tokio::join!(
                code(&h, &hook, "BUY", &before),
                h.command(set),
                code(&h, &hook, "BUY", &after),
            );
            let halt = halt_engage(Some("instrument:NQ"), "block");
            let (before, after) = (format!("open {number}"), format!("halted {number}"));
            let (third, made, fourth) = tokio::join!(
                code(&h, &hook, "BUY", &before),
                h.command(halt),
                code(&h, &hook, "BUY", &after),
            );
            let (id, last) = (made["id"].as_str().unwrap(), format!("resumed {number}"));
            let ((), fifth) = tokio::join!(h.resume(id), code(&h, &hook, "BUY", &last));
            for said in [first, second, third, fourth, fifth] {
                assert_ne!(said, Some(Code::HaltActive), "{number}");
            }
        }
        for _ in 0..STEPS_MAX {
            h.elapse(STEP).await;
        }
        assert_eq!(told(&h).await, Vec::<String>::new());
        h.finish().await;
    });
}

/// What the other node sets holds here at once, and is nobody's trick.
#[test]
fn c19_limits_and_halts_of_the_other_node_are_no_mistrust() {
    simulate(async || {
        let h = Harness::postgres(75, Venue::default()).await;
        let hook = trades(&h).await;
        let other = h.second_node().await;
        for most in ["5", "4", "6"] {
            let engine = other.clone();
            let set = limit_set("org", "max_order_quantity", most);
            let done = h.drive(async move { engine.execute(set, &Actor::operator()).await }).await;
            done.unwrap().unwrap();
            let said = code(&h, &hook, "BUY", &format!("after {most}")).await;
            assert_ne!(said, Some(Code::HaltActive), "{most}");
            let engine = other.clone();
            let halt = halt_engage(Some("instrument:NQ"), "block");
            let made = h.drive(async move { engine.execute(halt, &Actor::operator()).await }).await;
            made.unwrap().unwrap();
            let said = code(&h, &hook, "BUY", &format!("halted {most}")).await;
            assert_ne!(said, Some(Code::HaltActive), "{most}");
        }
        for _ in 0..STEPS_MAX {
            h.elapse(STEP).await;
        }
        assert_eq!(told(&h).await, Vec::<String>::new());
        drop(other);
        h.finish().await;
    });
}

/// What `audit accept` answers.
async fn accept(h: &Harness, phrase: Option<&str>) -> Result<Value, CommandError> {
    let rows = AcceptRows { phrase: phrase.map(ToOwned::to_owned) };
    h.try_command(Command::Vault(VaultCommand::AcceptRows(rows))).await.unwrap()
}

/// What is accepted is what was listed: these rows, with these contents, and no others.
async fn accepted_is_what_was_listed(mut h: Harness) {
    h.ready().await;
    let mut ids = Vec::new();
    for email in ["a@example.com", "b@example.com"] {
        let new = json!({
            "command": "user-create", "email": email, "role": "viewer", "password": PASSWORD,
        });
        ids.push(command(&h, new).await["id"].as_str().unwrap().to_owned());
    }
    let nothing = accept(&h, None).await.unwrap();
    assert_eq!(nothing["mistrusted"], json!([]));
    let role = |email: &str, role: &str| {
        format!(
            "UPDATE memberships SET role = '{role}' WHERE user_id = \
             (SELECT id FROM users WHERE email_key = '{email}')"
        )
    };
    h.change_behind(&role("b@example.com", "admin")).await;
    again(&mut h).await;
    let listed = accept(&h, None).await.unwrap();
    let rows = listed["mistrusted"][0]["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["id"]), (1, &json!(ids[1])));
    assert_eq!(rows[0]["holds"]["role"], "admin");
    let phrase = listed["phrase"].as_str().unwrap();

    // The same row, with more; then one that was not listed.
    h.change_behind(&role("b@example.com", "owner")).await;
    accept(&h, Some(phrase)).await.unwrap_err();
    h.change_behind(&role("b@example.com", "admin")).await;
    h.change_behind(&role("a@example.com", "owner")).await;
    accept(&h, Some(phrase)).await.unwrap_err();
    assert!(!comes_in(&h, "a@example.com").await);
    assert!(!comes_in(&h, "b@example.com").await);

    let listed = accept(&h, None).await.unwrap();
    let rows = listed["mistrusted"][0]["rows"].as_array().unwrap();
    let mut roles: Vec<_> = rows.iter().map(|row| row["holds"]["role"].as_str().unwrap()).collect();
    roles.sort_unstable();
    assert_eq!(roles, ["admin", "owner"]);
    let done = accept(&h, listed["phrase"].as_str()).await.unwrap();
    assert_eq!(done["mistrusted"], json!([]));
    assert!(comes_in(&h, "a@example.com").await);
    assert!(comes_in(&h, "b@example.com").await);
    h.finish().await;
}

on_both!(
    accepted_is_what_was_listed,
    c19_what_is_accepted_is_what_was_listed,
    c19_what_is_accepted_is_what_was_listed_on_postgresql
);

/// A key that was changed over is shown with what it holds, and is taken once that is accepted.
#[test]
fn c19_what_was_changed_over_is_right_once_it_is_accepted() {
    simulate(async || {
        let mut h = Harness::sqlite(76, Venue::default()).await;
        h.ready().await;
        let mut key = Signer::make(&h, "bot").await;
        h.change_behind("UPDATE api_keys SET scopes = 'limits:manage' WHERE name = 'bot'").await;
        command(&h, json!({ "command": "key-suspend", "id": key.id })).await;
        is_told(&h, &key.id).await;
        let listed = accept(&h, None).await.unwrap();
        let row = &listed["mistrusted"][0]["rows"][0];
        assert_eq!(
            (&row["id"], &row["holds"]["scopes"]),
            (&json!(key.id), &json!(["limits:manage"]))
        );
        accept(&h, listed["phrase"].as_str()).await.unwrap();
        command(&h, json!({ "command": "key-activate", "id": key.id })).await;
        key.signs(&h).unwrap();
        again(&mut h).await;
        key.signs(&h).unwrap();
        h.finish().await;
    });
}

/// A finding that could not be written down is told again.
#[test]
fn c19_a_mismatch_that_was_not_journaled_is_told_later() {
    simulate(async || {
        let h = Harness::sqlite(77, Venue::default()).await;
        h.ready().await;
        let key = Signer::make(&h, "bot").await;
        h.change_behind(
            "CREATE TRIGGER untold BEFORE INSERT ON findings WHEN NEW.code = 'row.mismatch' \
             BEGIN SELECT RAISE(ABORT, 'away'); END; \
             UPDATE api_keys SET scopes = 'limits:manage' WHERE name = 'bot'",
        )
        .await;
        announce(&h, "key", "(SELECT id FROM api_keys WHERE name = 'bot')").await;
        for _ in 0..STEPS_MAX {
            h.elapse(STEP).await;
        }
        assert_eq!(told(&h).await, Vec::<String>::new());
        h.change_behind("DROP TRIGGER untold").await;
        is_told(&h, &key.id).await;
        h.finish().await;
    });
}
