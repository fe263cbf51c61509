//! The two columns of the profile table (product.md section 4), held against the engine by the clock.

use super::*;

/// What the table says.
struct Column {
    profile: Profile,
    access_token: Duration,
    refresh_token: Duration,
    console: Duration,
    idle: Duration,
    /// A password that is one character too short, and one that is not.
    passwords: [&'static str; 2],
    /// Whether a person without a passkey may do anything at all.
    reads_without_a_passkey: bool,
}

const TABLE: [Column; 2] = [
    Column {
        profile: Profile::Standard,
        access_token: Duration::from_mins(90),
        refresh_token: Duration::from_hours(7 * 24),
        console: Duration::from_hours(24),
        idle: Duration::from_hours(1),
        passwords: ["Zk4-vq9-Lm2", "Zk4-vq9-Lm2w"],
        reads_without_a_passkey: true,
    },
    Column {
        profile: Profile::Hardened,
        access_token: Duration::from_mins(10),
        refresh_token: Duration::from_hours(24),
        console: Duration::from_hours(12),
        idle: Duration::from_mins(15),
        passwords: ["Zk4-vq9-Lm2w-7", "Zk4-vq9-Lm2w-7R"],
        reads_without_a_passkey: false,
    },
];

const A_MOMENT: Duration = Duration::from_secs(2);

async fn refreshed(harness: &Harness, token: &Value) -> Result<Value, CommandError> {
    let shown = serde_json::from_value(json!({ "refresh_token": token })).unwrap();
    ask(harness, Ask::Refresh(shown), None, from(1)).await.map(|said| said.value)
}

#[test]
fn each_profile_is_as_strict_as_its_column() {
    for (seed, column) in (31..).zip(TABLE) {
        simulate(async || holds(seed, column).await);
    }
}

async fn holds(seed: u64, column: Column) {
    let mut harness = with_owner(seed).await;
    harness.profile = column.profile;
    harness.crash().await;
    harness.restart().await;
    let told = column.profile;
    // Passwords.
    for (password, fits) in column.passwords.into_iter().zip([false, true]) {
        let email = format!("p{}@example.com", password.len());
        let new = json!({"command": "user-create", "email": email, "role": "viewer",
                         "password": password});
        let made = harness.try_command(serde_json::from_value(new).unwrap()).await.unwrap();
        assert_eq!(made.is_ok(), fits, "{told}: {} characters: {made:?}", password.len());
    }
    // Access and refresh tokens.
    let tokens = try_from(&harness, 1, PASSWORD).await.unwrap().value;
    let bearer = |tokens: &Value| format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    assert_eq!(tokens["expires_in"], column.access_token.as_secs(), "{told}");
    let actor = caller(&harness, "authorization", &bearer(&tokens)).unwrap();
    let reads = carry_out(&harness, json!({"command": "account-list"}), &actor).await;
    assert_eq!(reads.is_ok(), column.reads_without_a_passkey, "{told}: {reads:?}");
    // Whoever may stop may stop (S18): that asks for no second factor under any profile.
    let stop = json!({"command": "halt-engage", "scope": "instrument:ES"});
    let stopped = carry_out(&harness, stop, &actor).await;
    assert!(stopped.is_ok(), "{told}: {stopped:?}");
    harness.clock.advance(column.access_token.saturating_sub(A_MOMENT));
    caller(&harness, "authorization", &bearer(&tokens)).unwrap();
    harness.clock.advance(A_MOMENT * 2);
    assert!(caller(&harness, "authorization", &bearer(&tokens)).is_err(), "{told}");
    let begun = column.access_token + A_MOMENT;
    harness.clock.advance(column.refresh_token.saturating_sub(begun + A_MOMENT));
    let renewed = refreshed(&harness, &tokens["refresh_token"]).await.unwrap();
    harness.clock.advance(A_MOMENT * 2);
    assert!(
        caller(&harness, "authorization", &bearer(&renewed)).is_err(),
        "{told}: its family is over"
    );
    assert!(refreshed(&harness, &renewed["refresh_token"]).await.is_err(), "{told}");
    // A cookie: idle, and at its end however busy.
    let begin =
        async || cookie(ask(&harness, login(EMAIL, PASSWORD, true), None, from(1)).await.unwrap());
    let idle = begin().await;
    harness.clock.advance(column.idle.saturating_sub(A_MOMENT));
    caller(&harness, "cookie", &idle).unwrap();
    harness.clock.advance(column.idle + A_MOMENT);
    assert!(caller(&harness, "cookie", &idle).is_err(), "{told}");
    let busy = begin().await;
    let step = column.idle / 2;
    let mut spent = Duration::ZERO;
    while spent + step < column.console {
        harness.clock.advance(step);
        spent += step;
        assert!(caller(&harness, "cookie", &busy).is_ok(), "{told} after {spent:?}");
    }
    harness.clock.advance(step + A_MOMENT);
    assert!(caller(&harness, "cookie", &busy).is_err(), "{told}");
    // An authenticator app can be phished, and no message on a phone is a factor anywhere.
    if column.profile == Profile::Hardened {
        let begun = try_from(&harness, 1, PASSWORD).await.unwrap().value;
        let ann = caller(&harness, "authorization", &bearer(&begun)).unwrap();
        assert_eq!(
            code(ask(&harness, Ask::TotpBegin, Some(&ann), from(1)).await),
            Code::FactorConflict
        );
        harness.finish().await;
        return;
    }
    let (ann, secret) = strong(&harness).await;
    let list = json!({"command": "user-list"});
    let listed = carry_out(&harness, list, &ann).await;
    assert_eq!(listed.is_ok(), column.reads_without_a_passkey, "{told}: {listed:?}");
    harness.elapse(Duration::from_secs(31)).await;
    let proof = json!({ "type": "sms", "code": code_now(&harness, &secret) });
    let proof = serde_json::from_value::<Proof>(proof).unwrap();
    let sms = ask(&harness, Ask::StepUp(proof), Some(&ann), from(1)).await;
    assert_eq!(code(sms), Code::AuthStepUp, "{told}");
    harness.finish().await;
}
