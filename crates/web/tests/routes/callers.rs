//! Every route against every kind of caller, and what every answer wears.

use hyper::Method;
use tradewarden_domain::permission::Permission;
use tradewarden_domain::person::BuiltInRole;
use tradewarden_web::route::{self, Access, Route};
use tradewarden_web::service::{Exposure, SiteOptions};

use crate::harness::{Answer, Caller, House};

/// The path with something in its parameters that does not exist.
fn path_of(route: &Route) -> String {
    route
        .path
        .replace("{id}", "sig_00000000000000000000000000")
        .replace("{scope}", "org")
        .replace("{name}", "max_position")
        .replace("{level}", "0")
        .replace("{*path}", "x001/000")
}

#[tokio::test]
async fn every_route_and_every_caller() {
    let house = House::open().await;
    for route in route::routes() {
        for caller in [Caller::Anonymous, Caller::WrongToken, Caller::Owner] {
            let path = path_of(route);
            let ends_or_has_none = path.ends_with("/logout") || path.ends_with("/stream");
            if caller == Caller::Owner && ends_or_has_none {
                // The session is still needed; `tradewarden/tests/api/stream.rs` hears the stream.
                continue;
            }
            let answer = house.call(caller, route.method.clone(), &path, "").await;
            let told = format!("{} {} as {caller:?}: {answer:?}", route.method, route.path);
            match (route.access, caller) {
                (Access::Public, _) => assert_ne!(answer.status, 401, "{told}"),
                (Access::Credential, _) => {
                    answer.problem(401, "auth.failed");
                    assert!(!answer.headers.contains_key("www-authenticate"), "{told}");
                }
                (Access::InternalOnly, _) => {
                    answer.problem(404, "request.not_found");
                    let request = house.request(caller, route.method.clone(), &path, "");
                    let inside = house.ask(Exposure::Internal, request).await;
                    assert_eq!(inside.status, 200, "{told}");
                }
                (Access::Caller | Access::Any(_), Caller::Owner) => {
                    assert_ne!(answer.status, 401, "{told}");
                }
                (Access::Caller | Access::Any(_), _) => {
                    answer.problem(401, "auth.failed");
                    assert_eq!(answer.headers["www-authenticate"], "Bearer", "{told}");
                }
            }
            assert_dressed(&answer, "max-age=63072000");
        }
    }
    house.close().await;
}

/// A person without a second factor sees what the role lets them see, and changes nothing; whoever's
/// session is over is nobody.
#[tokio::test]
async fn every_route_and_every_person() {
    let house = House::open().await;
    let people = [
        (house.person("viewer").await, BuiltInRole::Viewer),
        (house.person("auditor").await, BuiltInRole::Auditor),
        (house.person("owner").await, BuiltInRole::Owner),
    ];
    let ended = house.person("owner").await;
    let logout = house.call_with(&ended, Method::POST, "/api/v1/auth/logout").await;
    assert_eq!(logout.status, 200, "{logout:?}");
    let guarded: Vec<_> = route::routes()
        .filter(|route| matches!(route.access, Access::Caller | Access::Any(_)))
        .filter(|route| !route.path.ends_with("/stream") && !route.path.ends_with("/logout"))
        .collect();
    assert!(guarded.len() > 50, "{}", guarded.len());
    for route in &guarded {
        // Nobody is limited: a second for each route.
        house.clock.turn(1);
        let (method, path) = (&route.method, path_of(route));
        for (bearer, role) in &people {
            let answer = house.call_with(bearer, method.clone(), &path).await;
            let told = format!("{method} {path} as {role} without a factor: {answer:?}");
            let sees = |permission: &Permission| {
                !permission.needs_factor() && role.permissions().has(*permission)
            };
            match route.access {
                Access::Any(any_of) if !any_of.iter().any(sees) => {
                    assert_eq!(answer.status, 403, "{told}");
                    assert_eq!(answer.json()["code"], "auth.factor_required", "{told}");
                }
                _ => assert!(answer.status != 401, "{told}"),
            }
        }
        let answer = house.call_with(&ended, method.clone(), &path).await;
        answer.problem(401, "auth.failed");
    }
    house.clock.turn(91 * 60);
    for route in guarded {
        house.clock.turn(1);
        for (bearer, _) in &people {
            let answer = house.call_with(bearer, route.method.clone(), &path_of(route)).await;
            answer.problem(401, "auth.failed");
        }
    }
    house.close().await;
}

/// What a route names, by the prefix of its identifier, among what the first organization has.
fn real_id<'a>(things: &'a [String], path: &str) -> Option<&'a str> {
    let kind = [
        ("/webhooks", "whk_"),
        ("/signals", "sig_"),
        ("/halts", "hlt_"),
        ("/keys", "key_"),
        ("/users", "usr_"),
        ("/invitations", "usr_"),
        ("/roles", "rol_"),
        ("/sessions", "ses_"),
        ("/pending", "pnd_"),
        ("/audit/proof", "ent_"),
        ("/me/factors", "fac_"),
    ];
    let (_, prefix) = kind.into_iter().find(|(part, _)| path.contains(part))?;
    things.iter().map(String::as_str).find(|id| id.starts_with(prefix))
}

/// One of each kind of thing that the owner can make here; orders, positions, accounts and strategies
/// need a broker: `tradewarden/tests/organizations/apart.rs` has them.
async fn furnished(house: &House) -> Vec<String> {
    let hook = house.webhook().await;
    let path = format!(
        "/api/v1/webhooks/{}?secret={}",
        hook["token"].as_str().unwrap(),
        hook["secret"].as_str().unwrap()
    );
    let signal = house
        .call(Caller::Anonymous, Method::POST, &path, r#"{"ticker":"AAPL","action":"buy"}"#)
        .await;
    assert!(signal.json()["signal_id"].as_str().is_some(), "{signal:?}");
    for (path, body) in [
        ("/api/v1/halts", r#"{"scope":"instrument:MSFT"}"#),
        ("/api/v1/keys", r#"{"name":"k","scopes":["orders:read"]}"#),
        ("/api/v1/roles", r#"{"name":"clerk","permissions":["orders:read"]}"#),
    ] {
        assert_eq!(house.post(path, body).await.status, 201, "{path}");
    }
    for (path, body, status) in [
        ("/api/v1/policies", r#"{"name":"four_eyes.limit_override","value":"on"}"#, 200),
        ("/api/v1/limits", r#"{"scope":"org","name":"max_position","value":"9"}"#, 202),
    ] {
        let answer = house.call(Caller::Owner, Method::PUT, path, body).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let mut things = Vec::new();
    for list in [
        "webhooks",
        "signals",
        "halts",
        "keys",
        "users",
        "roles",
        "sessions",
        "pending",
        "audit",
        "me/factors",
    ] {
        let page = house.get(&format!("/api/v1/{list}")).await.json().to_string();
        let words = page.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        things.extend(
            words.filter(|word| word.len() == 30 && word[3..].starts_with('_')).map(str::to_owned),
        );
    }
    things
}

/// Who belongs to another organization gets the answer about what does not exist, at every route that
/// names something; a list has nothing of it.
#[tokio::test]
async fn every_route_and_the_wrong_organization() {
    let house = House::open().await;
    let things = furnished(&house).await;
    let stranger = house.stranger().await;
    let told = |answer: &Answer, id: &str| {
        let mut body = answer.json();
        body.as_object_mut().map(|body| body.remove("request_id"));
        (answer.status, body.to_string().replace(id, "ID"))
    };
    let (mut named, mut listed) = (0, 0);
    for route in route::routes() {
        house.clock.turn(1);
        let guarded = matches!(route.access, Access::Caller | Access::Any(_));
        let outside = ["/stream", "/logout", "{*path}"].iter().any(|end| route.path.ends_with(end));
        if !guarded || outside {
            continue;
        }
        let method = route.method.clone();
        if !route.path.contains('{') {
            if method == Method::GET {
                let page = house.call_with(&stranger, method, route.path).await;
                let text = String::from_utf8(page.body.to_vec()).unwrap();
                assert!(
                    !things.iter().any(|id| text.contains(id.as_str())),
                    "{}: {text}",
                    route.path
                );
                listed += 1;
            }
            continue;
        }
        let Some(id) = real_id(&things, route.path) else { continue };
        let unknown = format!("{}01m80000000000000000000000", &id[..4]);
        let theirs =
            house.call_with(&stranger, method.clone(), &route.path.replace("{id}", id)).await;
        let none = house.call_with(&stranger, method, &route.path.replace("{id}", &unknown)).await;
        let about = format!("{} {} with {id}", route.method, route.path);
        assert_eq!(told(&theirs, id), told(&none, &unknown), "{about}");
        assert!(theirs.status.is_client_error(), "{about}: {theirs:?}");
        named += 1;
    }
    assert!(named > 25 && listed > 15, "{named} {listed}");
    house.close().await;
}

/// A halt takes nobody's sight away, and a person who is switched off is nobody.
#[tokio::test]
async fn every_route_and_who_is_halted_or_switched_off() {
    let house = House::open().await;
    let off = house.person("viewer").await;
    let users = house.get("/api/v1/users").await.json();
    let users = users["items"].as_array().unwrap().clone();
    let id = users.iter().find(|user| user["role"] == "viewer").unwrap()["id"].clone();
    let path = format!("/api/v1/users/{}", id.as_str().unwrap());
    let disable = r#"{"state":"disabled"}"#;
    let disabled = house.call(Caller::Owner, Method::PATCH, &path, disable).await;
    assert_eq!(disabled.status, 200, "{disabled:?}");
    assert_eq!(house.post("/api/v1/halts", "{}").await.status, 201);
    for route in route::routes() {
        house.clock.turn(1);
        let guarded = matches!(route.access, Access::Caller | Access::Any(_));
        if !guarded || route.path.ends_with("/stream") || route.path.ends_with("/logout") {
            continue;
        }
        let path = path_of(route);
        house.call_with(&off, route.method.clone(), &path).await.problem(401, "auth.failed");
        if route.method == Method::GET {
            let answer = house.get(&path).await;
            assert!(answer.status != 401 && answer.status != 403, "{path}: {answer:?}");
            assert!(!answer.status.is_server_error(), "{path}: {answer:?}");
        }
    }
    house.close().await;
}

fn assert_dressed(answer: &Answer, hsts: &str) {
    for (name, value) in [
        ("strict-transport-security", hsts),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("cache-control", "no-store"),
    ] {
        let values: Vec<_> = answer.headers.get_all(name).iter().collect();
        assert_eq!(values, [value], "{name} of {answer:?}");
    }
    assert!(answer.headers["x-request-id"].to_str().unwrap().starts_with("req_"));
    for name in ["server", "x-powered-by", "access-control-allow-origin"] {
        assert!(!answer.headers.contains_key(name), "{name} of {answer:?}");
    }
}

#[tokio::test]
async fn what_no_route_takes_is_a_problem_too() {
    let house = House::open_with(SiteOptions { hsts_preload: true, ..Default::default() }).await;
    let hsts = "max-age=63072000; includeSubDomains; preload";
    for path in
        ["/", "/api/v1", "/api/v1/orders/", "//livez", "/livez/", "/metrics", "/api/v1/orders/a/b"]
    {
        let answer = house.get(path).await;
        answer.problem(404, "request.not_found");
        assert_dressed(&answer, hsts);
    }
    for (method, path, allow) in [
        (Method::DELETE, "/api/v1/orders", "GET,HEAD,POST"),
        (Method::PUT, "/api/v1/webhooks/x", "DELETE,GET,HEAD,PATCH,POST"),
        (Method::TRACE, "/livez", "GET,HEAD"),
        (Method::OPTIONS, "/api/v1/limits", "GET,HEAD,PUT"),
    ] {
        let answer = house.call(Caller::Owner, method, path, "").await;
        answer.problem(405, "request.method");
        let mut allowed: Vec<_> =
            answer.headers["allow"].to_str().unwrap().split(',').map(str::trim).collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(","), allow);
        assert_dressed(&answer, hsts);
    }
    let head = house.call(Caller::Anonymous, Method::HEAD, "/livez", "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    house.close().await;
}

#[tokio::test]
async fn one_token_shown_twice_is_none() {
    let house = House::open().await;
    let mut request = house.request(Caller::Owner, Method::GET, "/api/v1/orders", "");
    let token = request.headers()["authorization"].clone();
    request.headers_mut().append("authorization", token);
    house.ask(Exposure::Public, request).await.problem(401, "auth.failed");
    house.close().await;
}

#[tokio::test]
async fn metrics_count_what_was_answered() {
    let house = House::open().await;
    house.get("/nowhere").await;
    house.call(Caller::Anonymous, Method::POST, "/api/v1/webhooks/x", "{}").await;
    let request = house.request(Caller::Anonymous, Method::GET, "/metrics", "");
    let answer = house.ask(Exposure::Internal, request).await;
    let text = std::str::from_utf8(&answer.body).unwrap();
    assert!(text.contains("tradewarden_http_requests_total{class=\"4xx\"} 2\n"), "{text}");
    assert!(text.contains("tradewarden_signals_total{status=\"unauthenticated\"} 1\n"), "{text}");
    house.close().await;
}
