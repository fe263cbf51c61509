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
        (Method::PUT, "/api/v1/webhooks/x", "GET,HEAD,POST"),
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
