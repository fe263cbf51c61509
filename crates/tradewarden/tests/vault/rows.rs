//! Rows that somebody with the database file moved: what was sealed elsewhere does not open.

use std::path::Path;
use std::process::Command;

use tradewarden_testkit::process::TestDir;

use crate::stage::{again, demo};

/// Runs statements on a database that nobody has open; answers the number of rows the last one changed,
/// -1 if it changes none.
pub(crate) fn changed(database: &Path, statements: &[&str]) -> i64 {
    let script = "import sqlite3, sys\n\
                  held = sqlite3.connect(sys.argv[1])\n\
                  print([held.execute(sql).rowcount for sql in sys.argv[2:]][-1])\n\
                  held.commit()\n";
    let mut command = Command::new("python3");
    let ran = command.args(["-c", script]).arg(database).args(statements).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().trim().parse().unwrap()
}

/// Two keys' secrets change places, in one organization, under one data key: neither opens.
#[tokio::test]
async fn a_secret_moved_to_another_row_does_not_open() {
    let dir = TestDir::new("vault-rows");
    let gateway = demo(&dir, "").await;
    let program = gateway.program().clone();
    let other = ["key", "create", "--name", "other", "--algorithm", "hmac-sha256"];
    program.json(&[&other[..], &["--scope", "orders:read"]].concat()).await;
    gateway.stop().await;
    let swap = [
        "CREATE TEMP TABLE moved AS SELECT id, material FROM api_keys WHERE algorithm = 'hmac-sha256'",
        "UPDATE api_keys SET material = (SELECT moved.material FROM moved \
         WHERE moved.id <> api_keys.id) WHERE algorithm = 'hmac-sha256'",
    ];
    assert_eq!(changed(&dir.data().join("tradewarden.db"), &swap), 2);
    let gateway = again(&program).await;
    let log = program.log();
    assert_eq!(log.matches("its secret does not open").count(), 2, "{log}");
    gateway.stop().await;
    // Set right again, they open: it was the place alone.
    assert_eq!(changed(&dir.data().join("tradewarden.db"), &swap), 2);
    let before = log.len();
    let gateway = again(&program).await;
    assert!(!program.log()[before..].contains("does not open"), "{}", program.log());
    gateway.stop().await;
}

/// A signing secret in another column of its own row, and an installation's key under another
/// purpose.
#[tokio::test]
async fn what_is_moved_to_another_column_or_purpose_does_not_open() {
    let dir = TestDir::new("vault-columns");
    let gateway = demo(&dir, "").await;
    let program = gateway.program().clone();
    program.json(&["webhook", "create", "--name", "signed", "--form", "signature"]).await;
    gateway.stop().await;
    let database = dir.data().join("tradewarden.db");
    let into_key = "UPDATE api_keys SET material = \
                    (SELECT signing_secret FROM webhooks WHERE signing_secret IS NOT NULL) \
                    WHERE algorithm = 'hmac-sha256'";
    assert_eq!(changed(&database, &[into_key]), 1);
    let gateway = again(&program).await;
    assert!(program.log().contains("its secret does not open"), "{}", program.log());
    gateway.stop().await;

    let exchange = "UPDATE data_keys SET wrapped = (SELECT other.wrapped FROM data_keys AS other \
                    WHERE other.purpose = 'ledger') WHERE purpose = 'people'";
    assert_eq!(changed(&database, &[exchange]), 1);
    let refused = program.run(&["vault", "status"]).await;
    assert_eq!(refused.code, Some(4), "{refused}");
    assert!(
        refused.stderr.contains("belongs to another organization, purpose or version"),
        "{refused}"
    );
}
