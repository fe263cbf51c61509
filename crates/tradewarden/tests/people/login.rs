//! Passwords: right, wrong, unknown, locked.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tradewarden_testkit::process::{Answer, Client, Gateway, TestDir};

use crate::someone::{Someone, code_of, demo, problem, success};

/// The owner of a demo logs in, is who they are, and may look and stop everything, but change nothing yet.
#[tokio::test]
async fn the_demos_owner_may_look_before_a_factor_is_enrolled() {
    let dir = TestDir::new("people-owner");
    let gateway = demo(&dir).await;
    let mut owner = Someone::owner(&gateway).await;
    let tokens = owner.password_login().await;
    let tokens = success(&tokens, 200);
    let names: Vec<_> = tokens.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["access_token", "expires_in", "refresh_token", "token_type"]);
    assert_eq!((&tokens["expires_in"], &tokens["token_type"]), (&json!(5_400), &json!("Bearer")));
    let me = success(&owner.get("/api/v1/me").await, 200);
    assert_eq!((&me["kind"], &me["email"]), (&json!("person"), &json!(owner.email)));
    assert_eq!((&me["role"], &me["factor_at"]), (&json!("owner"), &Value::Null));
    assert_eq!(owner.get("/api/v1/orders").await.status, 200);
    assert_eq!(
        owner.post("/api/v1/halts", &json!({})).await.status,
        201,
        "stopping needs no factor"
    );
    let flatten = owner.post("/api/v1/halts", &json!({"mode": "flatten"})).await;
    assert_eq!(flatten.status, 403, "{flatten:?}");
    problem(&owner.get("/api/v1/users").await, 403, "auth.factor_required");
    owner.enrol().await;
    assert_eq!(owner.get("/api/v1/users").await.status, 200);
    assert_eq!(owner.post("/api/v1/halts", &json!({"reason": "x"})).await.status, 201);
    gateway.stop().await;
}

/// Wrong password, unknown e-mail, one that is no e-mail: one answer, but for its own number.
#[tokio::test]
async fn nobody_learns_who_exists() {
    let dir = TestDir::new("people-alike");
    let gateway = demo(&dir).await;
    let mut bodies = Vec::new();
    for (email, password) in [
        ("owner@localhost", "not-the-password-at-all"),
        ("OWNER@LOCALHOST", "not-the-password-at-all"),
        ("nobody@localhost", "not-the-password-at-all"),
        ("not an e-mail", "not-the-password-at-all"),
        // A letter that looks like an o.
        ("\u{43e}wner@localhost", "not-the-password-at-all"),
        ("owner@localhost", "short"),
        ("nobody@localhost", "short"),
    ] {
        let mut someone = Someone::new(&gateway, email, password);
        let answer = someone.password_login().await;
        let mut body = problem(&answer, 401, "auth.failed");
        body.as_object_mut().unwrap().remove("request_id");
        bodies.push(body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
    gateway.stop().await;
}

/// The e-mail in any case, the password in any composition of its letters.
#[tokio::test]
async fn letters_are_compared_as_people_see_them() {
    let dir = TestDir::new("people-letters");
    let gateway = demo(&dir).await;
    let file = dir.path().join("password");
    std::fs::write(&file, "Zwo\u{308}lf-Boxka\u{308}mpfer-jagen-Eva\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let program = gateway.program();
    let file = file.to_str().unwrap();
    let new = ["user", "create", "--email", "Eva@Example.com", "--role", "viewer"];
    program.json(&[&new[..], &["--password-file", file]].concat()).await;
    let composed = "Zw\u{f6}lf-Boxk\u{e4}mpfer-jagen-Eva";
    let mut eva = Someone::new(&gateway, "eVA@example.COM", composed);
    eva.log_in().await;
    let me = success(&eva.get("/api/v1/me").await, 200);
    assert_eq!((&me["email"], &me["role"]), (&json!("Eva@Example.com"), &json!("viewer")));
    gateway.stop().await;
}

/// A browser's session: its cookie, and what other pages cannot do with it.
#[tokio::test]
async fn a_cookie_is_for_our_own_pages() {
    let dir = TestDir::new("people-cookie");
    let gateway = demo(&dir).await;
    let mut owner = Someone::owner(&gateway).await;
    let body = json!({"email": owner.email, "password": owner.password, "cookie": true});
    let foreign = [("origin", "https://evil.example")];
    let path = "/api/v1/auth/login";
    let refused = owner.client.post(path, &foreign, body.to_string()).await.unwrap();
    problem(&refused, 403, "auth.permission");
    let begun = owner.client.post(path, &[], body.to_string()).await.unwrap();
    let answer = success(&begun, 200);
    assert!(answer["session_id"].as_str().unwrap().starts_with("ses_"), "{answer}");
    assert!(answer.get("access_token").is_none(), "no token where a script could read it");
    let cookie = begun.headers["set-cookie"].to_str().unwrap().to_owned();
    let (pair, attributes) = cookie.split_once(';').unwrap();
    assert!(pair.starts_with("__Host-tw_sid=tws_"), "{cookie}");
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(attributes.contains(attribute), "{cookie}");
    }
    assert!(!attributes.contains("Domain"), "{cookie}");

    let console = gateway.ready()["console_url"].as_str().unwrap();
    let show = |more: &[(&'static str, &str)]| {
        let mut headers = vec![("cookie".to_owned(), pair.to_owned())];
        headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        headers
    };
    let mut ask = async |method: hyper::Method, path: &str, headers: Vec<(String, String)>| {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        owner.client.send(method, path, &headers, "").await.unwrap()
    };
    let (get, post) = (hyper::Method::GET, hyper::Method::POST);
    let me = success(&ask(get.clone(), "/api/v1/me", show(&[])).await, 200);
    let csrf = answer["csrf_token"].as_str().unwrap();
    assert_eq!(me["csrf_token"], csrf);
    let logout = "/api/v1/auth/logout";
    // The last letter holds four bits: these two are never the same.
    let other = format!("{}{}", &csrf[..42], if csrf.ends_with('A') { 'E' } else { 'A' });
    for foreign in [
        &[][..],
        &[("x-tw-csrf", csrf)],
        &[("origin", "https://evil.example"), ("x-tw-csrf", csrf)],
        &[("sec-fetch-site", "cross-site"), ("x-tw-csrf", csrf)],
        &[("sec-fetch-site", "same-site"), ("origin", console), ("x-tw-csrf", csrf)],
        &[("origin", console)],
        &[("sec-fetch-site", "same-origin"), ("origin", console)],
        &[("sec-fetch-site", "same-origin"), ("x-tw-csrf", "")],
        &[("sec-fetch-site", "same-origin"), ("x-tw-csrf", "nonsense")],
        &[("sec-fetch-site", "same-origin"), ("x-tw-csrf", &other)],
        &[("sec-fetch-site", "same-origin"), ("x-tw-csrf", csrf), ("x-tw-csrf", csrf)],
    ] {
        let answer = ask(post.clone(), logout, show(foreign)).await;
        problem(&answer, 403, "auth.permission");
    }
    let twice = format!("{pair}; {pair}");
    let answer = ask(get.clone(), "/api/v1/me", vec![("cookie".to_owned(), twice)]).await;
    problem(&answer, 401, "auth.failed");
    let ended = ask(post, logout, show(&[("origin", console), ("x-tw-csrf", csrf)])).await;
    assert_eq!(ended.status, 200);
    assert_eq!(ended.headers["clear-site-data"], "\"cache\", \"cookies\", \"storage\"");
    assert!(ended.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    problem(&ask(get, "/api/v1/me", show(&[])).await, 401, "auth.failed");
    gateway.stop().await;
}

/// A cookie is another one as soon as it stands for more: whoever planted or saw the one before is
/// out, and so is what pages showed for it.
#[tokio::test]
async fn a_cookie_changes_with_every_proof() {
    let dir = TestDir::new("people-fixation");
    let gateway = demo(&dir).await;
    let mut owner = Someone::owner(&gateway).await;
    let mut browser =
        Browser { client: gateway.client(), cookie: String::new(), csrf: String::new() };
    let login = json!({"email": owner.email, "password": owner.password, "cookie": true});
    browser.cookie = "__Host-tw_sid=tws_planted".to_owned();
    success(&browser.post("/api/v1/auth/login", &login).await, 200);
    assert!(!browser.cookie.contains("planted"));
    let first = browser.clone_of(&gateway);
    success(&browser.get("/api/v1/me").await, 200);
    // Enrolling a factor counts as showing it.
    let made = success(&browser.post("/api/v1/me/factors/totp", &Value::Null).await, 201);
    let secret = made["secret"].as_str().unwrap().to_owned();
    let confirm = format!("/api/v1/me/factors/totp/{}/confirm", made["id"].as_str().unwrap());
    let code = json!({"code": code_of(&secret, -1).await});
    success(&browser.post(&confirm, &code).await, 200);
    let second = browser.clone_of(&gateway);
    let proof = json!({"type": "totp", "code": code_of(&secret, 0).await});
    success(&browser.post("/api/v1/auth/step-up", &proof).await, 200);
    let third = browser.clone_of(&gateway);
    for mut before in [first, second] {
        assert_ne!((&before.cookie, &before.csrf), (&browser.cookie, &browser.csrf));
        problem(&before.get("/api/v1/me").await, 401, "auth.failed");
    }
    let halt = json!({"reason": "x"});
    success(&browser.post("/api/v1/halts", &halt).await, 201);
    // The next login in the same browser takes the place of what it showed until then.
    owner.password_login().await;
    let asked = success(&browser.post("/api/v1/auth/login", &login).await, 200);
    assert_eq!(asked["factor_required"], true);
    success(&browser.get("/api/v1/me").await, 200);
    let shown = json!({"challenge_id": asked["challenge_id"], "type": "totp",
                       "code": code_of(&secret, 0).await});
    let again = browser.post("/api/v1/auth/factor", &shown).await;
    problem(&again, 401, "auth.failed");
    let mut third = third;
    success(&third.get("/api/v1/me").await, 200);
    gateway.stop().await;
}

/// A browser on a page of ours.
struct Browser {
    client: Client,
    cookie: String,
    csrf: String,
}

impl Browser {
    fn clone_of(&self, gateway: &Gateway) -> Self {
        let (cookie, csrf) = (self.cookie.clone(), self.csrf.clone());
        Self { client: gateway.client(), cookie, csrf }
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.client.get(path, &[("cookie", &self.cookie)]).await.unwrap()
    }

    async fn post(&mut self, path: &str, body: &Value) -> Answer {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let once = format!("browser-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [
            ("cookie", self.cookie.as_str()),
            ("x-tw-csrf", &self.csrf),
            ("sec-fetch-site", "same-origin"),
            ("idempotency-key", &once),
        ];
        let answer = self.client.post(path, &headers, body).await.unwrap();
        if let Some(set) = answer.headers.get("set-cookie") {
            let (pair, _) = set.to_str().unwrap().split_once(';').unwrap();
            self.cookie = pair.to_owned();
            self.csrf = answer.json()["csrf_token"].as_str().unwrap().to_owned();
        }
        answer
    }
}

/// Another password: the old one is wrong, other sessions are over, this one goes on.
#[tokio::test]
async fn a_changed_password_ends_other_sessions() {
    let dir = TestDir::new("people-change");
    let gateway = demo(&dir).await;
    let mut here = Someone::owner(&gateway).await;
    let mut there = Someone::owner(&gateway).await;
    let path = "/api/v1/me/password";
    let new = "another-Zebra-eats-41-batteries";
    let wrong = json!({"current": "not-the-password-at-all", "new": new});
    problem(&here.post(path, &wrong).await, 401, "auth.failed");
    for bad in ["short", "passwordpassword", "tradewarden2026", "owner@localhost"] {
        let body = json!({"current": here.password, "new": bad});
        problem(&here.post(path, &body).await, 422, "password.unacceptable");
    }
    let body = json!({"current": here.password, "new": new});
    success(&here.post(path, &body).await, 200);
    assert_eq!(here.get("/api/v1/me").await.status, 200);
    problem(&there.get("/api/v1/me").await, 401, "auth.failed");
    problem(&there.password_login().await, 401, "auth.failed");
    there.password = new.to_owned();
    there.log_in().await;
    gateway.stop().await;
}
