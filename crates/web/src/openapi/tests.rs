//! The document against the table, against itself, and against the copy in `docs/`.

use super::*;
use crate::problem::status_of;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use tradewarden_domain::code::{Class, Code};

/// Every value in the document, with the names that lead to it.
fn walk(value: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, value);
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                walk(member, &format!("{path}/{name}"), visit);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, path, visit)),
        _ => {}
    }
}

#[test]
fn every_route_is_in_the_document_and_nothing_else_is() {
    let document = document();
    let mut written = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["responses"].as_object().is_some_and(|all| !all.is_empty()));
            assert!(operation["security"].is_array());
            written.insert((method.to_ascii_uppercase(), path.clone()));
        }
    }
    let table: BTreeSet<_> =
        route::routes().map(|route| (route.method.to_string(), written_path(route))).collect();
    assert_eq!(written, table);
    assert_eq!(table.len(), route::routes().count());
}

#[test]
fn every_reference_resolves_and_every_schema_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    walk(&document, "", &mut |path, value| {
        if path.ends_with("/$ref") {
            let pointer = value.as_str().unwrap().trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{pointer} does not resolve");
            used.insert(pointer.rsplit('/').next().unwrap().to_owned());
        }
    });
    let schemas: BTreeSet<_> =
        document["components"]["schemas"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(used, schemas);
}

#[test]
fn names_are_unique_and_permissions_are_stated() {
    let ids: BTreeSet<_> = route::routes().map(operation_id).collect();
    assert_eq!(ids.len(), route::routes().count());
    let document = document();
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    for route in route::routes() {
        let operation = operation(route);
        let security = operation["security"].as_array().unwrap();
        for scheme in security.iter().flat_map(|one| one.as_object().unwrap().keys()) {
            assert!(schemes.contains_key(scheme), "{scheme}");
        }
        let is_open = matches!(route.access, Access::Public | Access::InternalOnly);
        assert_eq!(security.is_empty(), is_open, "{}", route.path);
        let has_401 = operation["responses"].get("401").is_some();
        assert_eq!(has_401, !is_open || route.path.contains("/auth/"), "{}", route.path);
        let in_path = route.path.matches('{').count();
        let parameters = operation["parameters"].as_array().unwrap();
        assert_eq!(parameters.iter().filter(|one| one["in"] == "path").count(), in_path);
    }
}

#[test]
fn the_reference_in_docs_is_up_to_date() {
    let mut text = serde_json::to_string_pretty(&document()).unwrap();
    text.push('\n');
    let fresh = [
        is_written("openapi.json", &text),
        is_written("api.md", &table_of_routes()),
        is_written("codes.md", &table_of_codes()),
    ];
    assert_eq!(fresh, [true; 3], "files in docs/reference have been written anew: commit them");
}

fn table_of_routes() -> String {
    let mut text = String::from(
        "# API\n\nGenerated from the table of routes in `crates/web/src/route.rs`; the shapes are in \
         [openapi.json](openapi.json).\nA person sends `Authorization: Bearer` with the access token of a login, or the session's \
         cookie; a program signs with its API key.\nAny other path is 404 `request.not_found`, any \
         other method 405 `request.method`.\n\n\
         | method | path | who | what | answer | problems |\n|---|---|---|---|---|---|\n",
    );
    for route in route::routes() {
        let who = match route.access {
            Access::Public => "anyone".to_owned(),
            Access::Credential => "the webhook's sender".to_owned(),
            Access::Caller => "whoever is authenticated".to_owned(),
            Access::Any(any_of) => {
                any_of.iter().map(|one| one.text()).collect::<Vec<_>>().join(" or ")
            }
            Access::InternalOnly => "internal listener".to_owned(),
        };
        let codes: Vec<_> = route.codes().iter().map(|code| format!("`{code}`")).collect();
        let (method, path) = (&route.method, route.path);
        let (what, status) = (route.summary, route.gives.status.as_u16());
        let codes = codes.join(", ");
        writeln!(text, "| {method} | `{path}` | {who} | {what} | {status} | {codes} |").unwrap();
    }
    text
}

/// C2: one table of all codes.
fn table_of_codes() -> String {
    let mut text = String::from(
        "# Codes\n\nEvery reason with which Tradewarden says something other than a plain yes: in answers, in the \
         decision trace of signals, of orders, in findings and in the audit log. Generated from \
         `crates/domain/src/code.rs`; which route answers with which is in [api.md](api.md).\n\n\
         | code | status | meaning |\n|---|---|---|\n",
    );
    for code in Code::ALL {
        let status = match code.class() {
            Class::Skip => "200, nothing was to be done".to_owned(),
            Class::Order => format!("{}; else of an order's life", status_of(*code).as_u16()),
            _ => status_of(*code).as_u16().to_string(),
        };
        writeln!(text, "| `{code}` | {status} | {} |", code.meaning()).unwrap();
    }
    text
}

/// Compares a generated file with the one in `docs/reference`, and writes it anew if they differ.
fn is_written(name: &str, text: &str) -> bool {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let file = folder.join(name);
    // A checkout may have other line ends.
    let found = std::fs::read_to_string(&file).unwrap_or_default().replace("\r\n", "\n");
    if found != text {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    found == text
}
