//! Rows that let somebody in, put in or changed past the gateway: nobody comes in by them, people are told
//! of each once, and who came in by the front door stays in.

use super::four_eyes::somebody;
use super::*;
use tradewarden_domain::id::{self, Id};
use tradewarden_seal::{HashedToken, PlainToken, Randomness, TokenKind};

const BOB: &str = "bob@example.com";
/// What whoever writes the database knows.
const KNOWN: &str = "known";
const A_MOMENT: Duration = Duration::from_secs(1);

/// How bytes are written in a statement.
type Blob = fn(&[u8]) -> String;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn sqlite(bytes: &[u8]) -> String {
    format!("x'{}'", hex(bytes))
}

fn postgres(bytes: &[u8]) -> String {
    format!("decode('{}', 'hex')", hex(bytes))
}

/// Either database; with PostgreSQL it takes a server.
macro_rules! on_both {
    ($scenario:ident, $sqlite:ident, $postgres:ident) => {
        #[test]
        fn $sqlite() {
            simulate(async || {
                let harness = Harness::sqlite(81, Venue::default()).await;
                $scenario(with_people(harness).await, sqlite).await;
            });
        }

        #[test]
        fn $postgres() {
            simulate(async || {
                let harness = Harness::postgres(82, Venue::default()).await;
                $scenario(with_people(harness).await, postgres).await;
            });
        }
    };
}

async fn with_people(harness: Harness) -> Harness {
    for (email, role) in [(EMAIL, "owner"), (BOB, "viewer")] {
        let new =
            json!({ "command": "user-create", "email": email, "role": role, "password": PASSWORD });
        harness.command(serde_json::from_value(new).unwrap()).await;
    }
    harness
}

fn user(email: &str) -> String {
    format!("(SELECT id FROM users WHERE email_key = '{email}')")
}

/// Subjects of what people were told of rows.
async fn told(harness: &Harness) -> Vec<String> {
    harness.elapse(A_MOMENT).await;
    let found = harness.findings().await.into_iter();
    found.filter(|one| one.code == "row.mismatch").map(|one| one.subject).collect()
}

/// Somebody's change, after which everybody is read anew.
async fn read_anew(harness: &Harness) {
    try_from(harness, 99, PASSWORD).await.unwrap();
}

async fn comes_in(harness: &Harness, email: &str) -> Said {
    ask(harness, login(email, PASSWORD, true), None, from(3)).await.unwrap()
}

async fn refreshed(harness: &Harness, token: &str) -> Result<Value, CommandError> {
    let shown = serde_json::from_value(json!({ "refresh_token": token })).unwrap();
    ask(harness, Ask::Refresh(shown), None, from(4)).await.map(|said| said.value)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

async fn a_session_put_in(mut h: Harness, blob: Blob) {
    let id: Id<id::Session> = Id::from_bytes([9; 16]);
    let now = h.now().unix_micros();
    let good = cookie(comes_in(&h, EMAIL).await);
    h.change_behind(&format!(
        "INSERT INTO sessions SELECT {}, {}, org_id, 'cookie', {}, 'hwk mfa', '127.0.0.1', 'test', \
         {now}, {now}, {now}, {}, code, NULL, NULL FROM sessions",
        blob(&id.to_bytes()),
        user(EMAIL),
        blob(HashedToken::of(KNOWN.as_bytes()).as_bytes()),
        now + 3_600_000_000,
    ))
    .await;
    let forged = format!("__Host-tw_sid={KNOWN}");
    for _ in 0..2 {
        read_anew(&h).await;
        caller(&h, "cookie", &forged).unwrap_err();
        caller(&h, "cookie", &good).unwrap();
        assert_eq!(told(&h).await, [id.to_string()]);
    }
    h.restart().await;
    caller(&h, "cookie", &forged).unwrap_err();
    caller(&h, "cookie", &good).unwrap();
    h.finish().await;
}

on_both!(
    a_session_put_in,
    a_session_that_was_put_in_lets_nobody_in,
    a_session_that_was_put_in_lets_nobody_in_on_postgresql
);

async fn a_session_changed(h: Harness, blob: Blob) {
    let known = blob(HashedToken::of(KNOWN.as_bytes()).as_bytes());
    for change in [
        format!("user_id = {}", user(EMAIL)),
        "factor_at = authenticated_at, methods = 'pwd hwk mfa'".to_owned(),
        "methods = 'pwd hwk mfa'".to_owned(),
        "expires_at = expires_at + 1".to_owned(),
        "authenticated_at = authenticated_at + 1".to_owned(),
        format!("code = {}", blob(&[0; 32])),
        format!("token_hash = {known}"),
    ] {
        let said = comes_in(&h, BOB).await;
        let session = text(&said.value["session_id"]);
        let id = session.parse::<Id<id::Session>>().unwrap().to_bytes();
        let shown = [cookie(said), format!("__Host-tw_sid={KNOWN}")];
        h.change_behind(&format!("UPDATE sessions SET {change} WHERE id = {}", blob(&id))).await;
        read_anew(&h).await;
        for shown in shown {
            assert!(caller(&h, "cookie", &shown).is_err(), "{change}");
        }
        assert!(told(&h).await.contains(&session), "{change}");
    }
    h.finish().await;
}

on_both!(
    a_session_changed,
    a_session_that_was_changed_lets_nobody_in,
    a_session_that_was_changed_lets_nobody_in_on_postgresql
);

/// A session that ended is not begun again by taking its end away.
#[test]
fn a_session_without_its_end_lets_nobody_in() {
    simulate(async || {
        let h = with_people(Harness::sqlite(83, Venue::default()).await).await;
        let said = comes_in(&h, BOB).await;
        let session = text(&said.value["session_id"]);
        let shown = cookie(said);
        let actor = caller(&h, "cookie", &shown).unwrap();
        ask(&h, Ask::Logout, Some(&actor), from(3)).await.unwrap();
        h.change_behind("UPDATE sessions SET ended_at = NULL, ended_by = NULL").await;
        read_anew(&h).await;
        caller(&h, "cookie", &shown).unwrap_err();
        assert_eq!(told(&h).await, [session]);
        h.finish().await;
    });
}

struct Sevens;

impl Randomness for Sevens {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// A token that renews somebody's session, put in by hand; and one that was used up, made fresh again.
async fn a_refresh_token_put_in(h: Harness, blob: Blob) {
    let first = try_from(&h, 5, PASSWORD).await.unwrap().value;
    let forged = PlainToken::generate(TokenKind::Refresh, &mut Sevens);
    h.change_behind(&format!(
        "INSERT INTO refresh_tokens (token_hash, session_id, issued_at, used_at, code) \
         SELECT {}, session_id, issued_at, NULL, code FROM refresh_tokens",
        blob(forged.hash().as_bytes())
    ))
    .await;
    assert_eq!(code(refreshed(&h, forged.expose()).await), Code::Unauthenticated);
    assert_eq!(told(&h).await.len(), 1);
    let second = refreshed(&h, &text(&first["refresh_token"])).await.unwrap();

    h.change_behind("UPDATE refresh_tokens SET used_at = NULL").await;
    for _ in 0..2 {
        let again = refreshed(&h, &text(&first["refresh_token"])).await;
        assert_eq!(code(again), Code::Unauthenticated);
        assert_eq!(told(&h).await.len(), 2);
    }
    let third = refreshed(&h, &text(&second["refresh_token"])).await.unwrap();
    let bearer = format!("Bearer {}", text(&third["access_token"]));
    caller(&h, "authorization", &bearer).unwrap();
    h.finish().await;
}

on_both!(
    a_refresh_token_put_in,
    a_refresh_token_that_was_put_in_renews_nothing,
    a_refresh_token_that_was_put_in_renews_nothing_on_postgresql
);

/// A factor that is shown in a session which was changed does not make it right.
#[test]
fn a_step_up_does_not_make_a_session_right() {
    simulate(async || {
        let h = with_people(Harness::sqlite(84, Venue::default()).await).await;
        let (ann, secret) = strong(&h).await;
        let step_up = async |h: &Harness| {
            // A code is taken once.
            h.elapse(Duration::from_secs(31)).await;
            let proof = json!({ "type": "totp", "code": code_now(h, &secret) });
            ask(h, Ask::StepUp(serde_json::from_value(proof).unwrap()), Some(&ann), from(1)).await
        };
        step_up(&h).await.unwrap();
        h.change_behind("UPDATE sessions SET expires_at = expires_at + 1").await;
        assert_eq!(code(step_up(&h).await), Code::Unauthenticated);
        assert_eq!(told(&h).await.len(), 1);
        h.finish().await;
    });
}

/// Asks for a login, and shows a code of this kind for it.
async fn shows(h: &Harness, email: &str, kind: &str, shown: &str) -> Result<Said, CommandError> {
    let begun = ask(h, login(email, PASSWORD, false), None, from(6)).await.unwrap().value;
    assert_eq!(begun["factor_required"], true, "{email}: {begun}");
    let shown = json!({ "challenge_id": begun["challenge_id"], "type": kind, "code": shown });
    ask(h, Ask::Factor(serde_json::from_value(shown).unwrap()), None, from(6)).await
}

/// Whoever has a factor moves it to somebody else, and confirms one that nobody has shown.
async fn a_factor_changed(mut h: Harness, _: Blob) {
    let (_, bobs) = somebody(&h, "bill@example.com", "viewer").await;
    let (_, anns) = somebody(&h, "anna@example.com", "admin").await;
    let factor = "UPDATE factors SET user_id = ";
    let (bill, anna) = (user("bill@example.com"), user("anna@example.com"));
    h.change_behind(&format!("{factor} {anna} WHERE user_id = {bill}")).await;
    for _ in 0..2 {
        h.clock.advance(Duration::from_secs(31));
        let moved = code_now(&h, &bobs);
        assert_eq!(
            code(shows(&h, "anna@example.com", "totp", &moved).await),
            Code::Unauthenticated
        );
        assert_eq!(told(&h).await.len(), 1);
        let own = code_now(&h, &anns);
        shows(&h, "anna@example.com", "totp", &own).await.unwrap();
    }
    h.restart().await;
    h.clock.advance(Duration::from_secs(31));
    let moved = code_now(&h, &bobs);
    assert_eq!(code(shows(&h, "anna@example.com", "totp", &moved).await), Code::Unauthenticated);
    h.finish().await;
}

on_both!(
    a_factor_changed,
    a_factor_of_somebody_else_is_no_proof,
    a_factor_of_somebody_else_is_no_proof_on_postgresql
);

/// A factor that was begun and is confirmed past the gateway is no proof; and one that was changed does not
/// let its owner in without one.
#[test]
fn a_changed_factor_is_neither_a_proof_nor_needless() {
    simulate(async || {
        let h = with_people(Harness::sqlite(85, Venue::default()).await).await;
        let begun = ask(&h, login(BOB, PASSWORD, false), None, from(1)).await.unwrap().value;
        let bearer = format!("Bearer {}", text(&begun["access_token"]));
        let bob = caller(&h, "authorization", &bearer).unwrap();
        let made = ask(&h, Ask::TotpBegin, Some(&bob), from(1)).await.unwrap().value;
        h.change_behind("UPDATE factors SET confirmed_at = created_at").await;
        let shown = code_now(&h, made["secret"].as_str().unwrap());
        assert_eq!(code(shows(&h, BOB, "totp", &shown).await), Code::Unauthenticated);
        assert_eq!(told(&h).await, [text(&made["id"])]);
        read_anew(&h).await;
        let more = ask(&h, Ask::TotpBegin, Some(&bob), from(1)).await;
        assert_eq!(code(more), Code::AuthStepUp);
        h.finish().await;
    });
}

/// Recovery codes that are copied to somebody else, with what their hashes have in common.
#[test]
fn a_recovery_code_of_somebody_else_opens_nothing() {
    simulate(async || {
        let h = with_people(Harness::sqlite(86, Venue::default()).await).await;
        let (ann, _) = strong(&h).await;
        somebody(&h, "anna@example.com", "admin").await;
        let codes = ask(&h, Ask::RecoveryCodes, Some(&ann), from(1)).await.unwrap().value;
        let anna = user("anna@example.com");
        h.change_behind(&format!(
            "INSERT INTO recovery_codes SELECT {anna}, code_hash, created_at, code FROM \
             recovery_codes; UPDATE users SET recovery_set = (SELECT recovery_set FROM users \
             WHERE recovery_set IS NOT NULL) WHERE id = {anna}"
        ))
        .await;
        let shown = text(&codes["codes"][0]);
        let outcome = shows(&h, "anna@example.com", "recovery_code", &shown).await;
        assert_eq!(code(outcome), Code::Unauthenticated);
        assert_eq!(told(&h).await.len(), 1);
        shows(&h, EMAIL, "recovery_code", &shown).await.unwrap();
        h.finish().await;
    });
}

const CARL: &str = "carl@example.com";
/// Carl's password, which is nobody else's.
const CARLS: &str = "a-Heron-wades-through-77-reeds";

async fn with_carl(h: &Harness) {
    let new =
        json!({ "command": "user-create", "email": CARL, "role": "viewer", "password": CARLS });
    h.command(serde_json::from_value(new).unwrap()).await;
}

async fn tries(h: &Harness, email: &str, password: &str) -> Result<Said, CommandError> {
    ask(h, login(email, password, false), None, from(7)).await
}

async fn sets(h: &Harness, token: &Value, password: &str) -> Result<Said, CommandError> {
    let body = json!({ "token": token, "password": password });
    let reset = Ask::PasswordReset(serde_json::from_value(body).unwrap());
    ask(h, reset, None, from(8)).await
}

async fn reset_token(h: &Harness, email: &str) -> Value {
    let reset = json!({ "command": "user-reset-password", "id": email });
    h.command(serde_json::from_value(reset).unwrap()).await["token"].clone()
}

/// Carl gives his password to the owner: neither opens until another one is set.
async fn a_password_replaced(h: Harness, _: Blob) {
    with_carl(&h).await;
    let of_carl = |column: &str| format!("(SELECT {column} FROM users WHERE email_key = '{CARL}')");
    h.change_behind(&format!(
        "UPDATE users SET password_hash = {}, password_code = {} WHERE email_key = '{EMAIL}'",
        of_carl("password_hash"),
        of_carl("password_code"),
    ))
    .await;
    for password in [CARLS, PASSWORD] {
        assert_eq!(code(tries(&h, EMAIL, password).await), Code::Unauthenticated);
        assert_eq!(told(&h).await.len(), 1);
    }
    tries(&h, CARL, CARLS).await.unwrap();
    let token = reset_token(&h, EMAIL).await;
    sets(&h, &token, "another-Walrus-by-19-pianos").await.unwrap();
    tries(&h, EMAIL, "another-Walrus-by-19-pianos").await.unwrap();
    assert_eq!(told(&h).await.len(), 1);
    h.finish().await;
}

on_both!(
    a_password_replaced,
    a_password_that_was_replaced_opens_nothing,
    a_password_that_was_replaced_opens_nothing_on_postgresql
);

/// Whoever receives mail at another address is not who the gateway knows.
#[test]
fn a_person_with_another_e_mail_is_nobody() {
    simulate(async || {
        let h = with_people(Harness::sqlite(87, Venue::default()).await).await;
        with_carl(&h).await;
        let other = "mallory@example.com";
        h.change_behind(&format!(
            "UPDATE users SET email = '{other}', email_key = '{other}' WHERE email_key = '{BOB}'"
        ))
        .await;
        assert_eq!(code(tries(&h, other, PASSWORD).await), Code::Unauthenticated);
        assert_eq!(told(&h).await.len(), 1);
        // Nor where only the form by which people are found was changed.
        let third = "third@example.com";
        h.change_behind(&format!(
            "UPDATE users SET email_key = '{third}' WHERE email_key = '{CARL}'"
        ))
        .await;
        assert_eq!(code(tries(&h, third, CARLS).await), Code::Unauthenticated);
        assert_eq!(told(&h).await.len(), 2);
        // A new person with that e-mail is not the one who took it.
        let new = json!({
            "command": "user-create", "email": other, "role": "admin", "password": PASSWORD,
        });
        let made = h.try_command(serde_json::from_value(new).unwrap()).await.unwrap();
        assert!(made.is_err(), "{made:?}");
        read_anew(&h).await;
        assert_eq!(told(&h).await.len(), 2);
        h.finish().await;
    });
}

/// A link to set a password with, put in, prolonged or given to somebody else.
async fn a_link_put_in(h: Harness, blob: Blob) {
    let forged = PlainToken::generate(TokenKind::PasswordReset, &mut Sevens);
    h.change_behind(&format!(
        "INSERT INTO challenges (token_hash, user_id, kind, content, attempts, expires_at, code) \
         VALUES ({}, {}, 'password', {}, 0, {}, {})",
        blob(forged.hash().as_bytes()),
        user(EMAIL),
        blob(b""),
        h.now().unix_micros() + 3_600_000_000,
        blob(&[0; 32]),
    ))
    .await;
    let shown = json!(forged.expose());
    assert_eq!(code(sets(&h, &shown, CARLS).await), Code::Unauthenticated);
    for (number, change) in
        [(2, "expires_at = expires_at + 1".to_owned()), (3, format!("user_id = {}", user(EMAIL)))]
    {
        let token = reset_token(&h, BOB).await;
        h.change_behind(&format!("UPDATE challenges SET {change} WHERE user_id = {}", user(BOB)))
            .await;
        assert_eq!(code(sets(&h, &token, CARLS).await), Code::Unauthenticated);
        assert_eq!(told(&h).await.len(), number);
    }
    let token = reset_token(&h, BOB).await;
    sets(&h, &token, CARLS).await.unwrap();
    tries(&h, BOB, CARLS).await.unwrap();
    tries(&h, EMAIL, PASSWORD).await.unwrap();
    h.finish().await;
}

on_both!(
    a_link_put_in,
    a_link_that_was_put_in_sets_no_password,
    a_link_that_was_put_in_sets_no_password_on_postgresql
);

/// An invitation that is made one of an owner, or for somebody else.
#[test]
fn a_changed_invitation_is_taken_up_by_nobody() {
    simulate(async || {
        let h = with_people(Harness::sqlite(88, Venue::default()).await).await;
        let (ann, _) = strong(&h).await;
        for (number, change) in [
            "role = 'owner'",
            "email = 'mallory@example.com', email_key = 'mallory@example.com'",
            "expires_at = expires_at + 1",
        ]
        .into_iter()
        .enumerate()
        {
            let email = format!("new{number}@example.com");
            let invite = json!({ "command": "user-create", "email": email, "role": "viewer" });
            let made = carry_out(&h, invite, &ann).await.unwrap();
            let id = text(&made["id"]);
            let bytes = sqlite(&id.parse::<Id<id::User>>().unwrap().to_bytes());
            h.change_behind(&format!("UPDATE invitations SET {change} WHERE id = {bytes}")).await;
            let joined = sets(&h, &made["invite_token"], CARLS).await;
            assert_eq!(code(joined), Code::Unauthenticated, "{change}");
            read_anew(&h).await;
            assert_eq!(told(&h).await.len(), number + 1, "{change}");
        }
        let invite = json!({ "command": "user-create", "email": CARL, "role": "viewer" });
        let made = carry_out(&h, invite, &ann).await.unwrap();
        let renew = json!({ "command": "user-reset-password", "id": CARL });
        let renewed = carry_out(&h, renew, &ann).await.unwrap();
        let change = json!({ "command": "user-change", "id": CARL, "role": "trader" });
        carry_out(&h, change, &ann).await.unwrap();
        assert_eq!(
            code(sets(&h, &made["invite_token"], CARLS).await),
            Code::Unauthenticated,
            "the first token is void"
        );
        sets(&h, &renewed["token"], CARLS).await.unwrap();
        tries(&h, CARL, CARLS).await.unwrap();
        h.finish().await;
    });
}
