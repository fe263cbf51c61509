//! Migrations, and whether both databases understand the same things.

use crate::backend::{Backend, abandon};
use std::collections::BTreeSet;
use std::path::Path;
use tradewarden_store::{Kind, Value, Writer, migrate, statements};

pub(crate) async fn an_empty_database_is_migrated_once(backend: &Backend) {
    let mut writer = backend.writer().await;
    assert_eq!(migrate::migrate(&mut writer).await.unwrap(), 0);
    assert_eq!(migrate::migrate(&mut writer).await.unwrap(), migrate::VERSION_NOW);
    drop(writer);
    let mut another = backend.writer().await;
    assert_eq!(migrate::migrate(&mut another).await.unwrap(), migrate::VERSION_NOW);
}

pub(crate) async fn a_newer_schema_is_refused(backend: &Backend) {
    let (mut writer, _store) = backend.migrated().await;
    let newer = (migrate::VERSION_NOW + 1).to_string();
    let mut tx = writer.begin().await.unwrap();
    migrate::set_meta(&mut tx, "schema_version", &newer).await.unwrap();
    tx.commit().await.unwrap();

    let error = migrate::migrate(&mut writer).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Broken);
    assert!(error.to_string().contains("use the newer program"), "{error}");
    let mut tx = writer.begin().await.unwrap();
    let version = migrate::meta(&mut tx, "schema_version").await.unwrap();
    assert_eq!(version, Some(newer), "a refusal changes nothing");
}

pub(crate) async fn every_statement_is_understood(backend: &Backend) {
    let (mut writer, _store) = backend.migrated().await;
    for sql in statements::all() {
        assert!(sql.starts_with("-- "), "{sql} names no function");
        if let Err(error) = writer.check(&sql).await {
            panic!("{error}\n{sql}");
        }
    }
}

pub(crate) async fn a_wrong_statement_is_seen(backend: &Backend) {
    let (mut writer, _store) = backend.migrated().await;
    for sql in
        ["-- test\nSELECT nothing FROM meta", "-- test\nSELECT name FROM nowhere", "-- test\nSELEC"]
    {
        assert_eq!(writer.check(sql).await.unwrap_err().kind(), Kind::Broken, "{sql}");
    }
    writer.check("-- test\nSELECT name FROM meta").await.unwrap();
}

/// A statement that is not registered is not prepared by the test above.
#[test]
fn every_statement_is_registered() {
    let registered: BTreeSet<String> =
        statements::all().iter().map(|sql| name(sql.lines().next().unwrap())).collect();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut written = BTreeSet::new();
    let entries = |path: &Path| -> Vec<_> {
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let (directories, files): (Vec<_>, Vec<_>) =
        entries(&source).into_iter().partition(|path| path.is_dir());
    let module = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let mut sources: Vec<_> = files.into_iter().map(|path| (module(&path), path)).collect();
    for directory in directories {
        sources.extend(entries(&directory).into_iter().map(|path| (module(&directory), path)));
    }
    for (module, path) in sources {
        let text = std::fs::read_to_string(&path).unwrap();
        for part in text.split("\"-- ").skip(1) {
            let name = name(part.split(['\\', '"']).next().unwrap());
            if !name.is_empty() {
                assert_eq!(name.split("::").next(), Some(module.as_str()), "{name}");
                written.insert(name);
            }
        }
    }
    written.retain(|name| !name.starts_with("dialect::"));
    assert!(written.len() > 40, "{written:?}");
    assert_eq!(written, registered);
}

fn name(line: &str) -> String {
    line.trim_start_matches("-- ").trim().to_owned()
}

const COLUMNS_OF_SQLITE: &str = "SELECT m.name, c.name, c.type, \
    CASE c.\"notnull\" WHEN 1 THEN 'NO' ELSE 'YES' END, c.pk \
    FROM sqlite_master m JOIN pragma_table_info(m.name) c \
    WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'";
const COLUMNS_OF_POSTGRES: &str = "SELECT c.table_name::text, c.column_name::text, \
    c.data_type::text, c.is_nullable::text, COALESCE((SELECT k.ordinal_position::bigint \
      FROM information_schema.table_constraints t \
      JOIN information_schema.key_column_usage k USING (constraint_schema, constraint_name) \
      WHERE t.constraint_type = 'PRIMARY KEY' AND t.table_schema = c.table_schema \
      AND t.table_name = c.table_name AND k.column_name = c.column_name), 0) \
    FROM information_schema.columns c WHERE c.table_schema = current_schema()";
const INDEXES_OF_SQLITE: &str = "SELECT tbl_name, name FROM sqlite_master \
    WHERE type = 'index' AND sql IS NOT NULL";
const INDEXES_OF_POSTGRES: &str = "SELECT tablename::text, indexname::text FROM pg_indexes \
    WHERE schemaname = current_schema() \
    AND indexname NOT LIKE '%\\_pkey' AND indexname NOT LIKE '%\\_key'";

/// Tables, columns, types, keys and indexes are the same on both.
#[tokio::test]
async fn both_schemas_are_one() {
    let (sqlite, postgres) = (Backend::sqlite(), Backend::postgres().await);
    let (mut on_sqlite, _store) = sqlite.migrated().await;
    let (mut on_postgres, _store) = postgres.migrated().await;
    let ours = columns(&mut on_sqlite, COLUMNS_OF_SQLITE).await;
    assert!(ours.len() > 100, "{ours:?}");
    assert_eq!(ours, columns(&mut on_postgres, COLUMNS_OF_POSTGRES).await);
    let ours = indexes(&mut on_sqlite, INDEXES_OF_SQLITE).await;
    assert!(!ours.is_empty());
    assert_eq!(ours, indexes(&mut on_postgres, INDEXES_OF_POSTGRES).await);
    drop((on_sqlite, on_postgres));
    sqlite.remove().await;
    postgres.remove().await;
}

async fn columns(writer: &mut Writer, sql: &'static str) -> BTreeSet<(String, String, String)> {
    let mut tx = writer.begin().await.unwrap();
    let rows = tx.query(sql, &[]).await.unwrap();
    rows.into_iter()
        .map(|mut row| {
            let (table, column) = (row.text().unwrap(), row.text().unwrap());
            let kind = match row.text().unwrap().as_str() {
                "INTEGER" | "bigint" => "int",
                "TEXT" | "text" => "text",
                "BLOB" | "bytea" => "bytes",
                other => panic!("{table}.{column} is {other}"),
            };
            let (null, key) = (row.text().unwrap(), row.int().unwrap());
            (table, column, format!("{kind}, null: {null}, key: {key}"))
        })
        .collect()
}

async fn indexes(writer: &mut Writer, sql: &'static str) -> BTreeSet<(String, String)> {
    let mut tx = writer.begin().await.unwrap();
    let rows = tx.query(sql, &[]).await.unwrap();
    rows.into_iter().map(|mut row| (row.text().unwrap(), row.text().unwrap())).collect()
}

/// Without STRICT, SQLite would store a text in an integer column.
#[tokio::test]
async fn sqlite_tables_are_strict() {
    let backend = Backend::sqlite();
    let (mut writer, _store) = backend.migrated().await;
    let mut tx = writer.begin().await.unwrap();
    let loose = "SELECT name FROM pragma_table_list \
                 WHERE schema = 'main' AND strict = 0 AND name NOT LIKE 'sqlite_%'";
    assert!(tx.query(loose, &[]).await.unwrap().is_empty());
    let text_for_bytes = "INSERT INTO data_keys (org_id, purpose, wrapped, created_at) \
                          VALUES ($1, 'p', $1, 0)";
    tx.execute(text_for_bytes, &[Value::Word("text")]).await.unwrap_err();
    abandon(tx);
    drop(writer);
    backend.remove().await;
}
