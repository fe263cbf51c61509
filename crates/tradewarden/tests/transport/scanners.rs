//! Scanners of TLS: what they find, and why what is left is no fault.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use tradewarden_testkit::process::{Ended, TestDir};

use crate::door::demo;
use crate::python::python_with;
use crate::tools::{certificate_file, port, run};

const SSLYZE: &str = "sslyze==6.3.1";

/// What testssl.sh finds at a gateway with a certificate of the local CA, and the reason. The same
/// list stands in `docs/guide/transport.md`.
const KNOWN_FINDINGS: &[(&str, &str)] = &[
    ("engine_problem", "about the openssl of the machine that scans, not about us"),
    (
        "sessionresumption_ticket",
        "testssl's own client gives up on this check when the machine is busy",
    ),
    (
        "cert_revocation",
        "a local CA has no list at an address: whoever trusts it has the gateway's own word, and a \
         certificate lives 90 days",
    ),
];

/// No finding of testssl.sh above those that are listed with a reason.
#[tokio::test]
async fn testssl_finds_nothing_but_what_is_listed() {
    let dir = TestDir::new("transport-testssl");
    let (gateway, _) = demo(&dir, "").await;
    let report = dir.path().join("testssl.json");
    let (ca, url) =
        (certificate_file(&gateway, "ca.pem"), format!("localhost:{}", port(&gateway, "base_url")));
    let mut args = vec!["--quiet", "--color", "0", "--warnings", "off"];
    // This machine only: no look-up of names, and it is told where to go.
    args.extend(["--nodns", "none", "--ip", "127.0.0.1", "--add-ca", &ca]);
    // Protocols, ciphers, forward secrecy, preferences, certificate, headers, known attacks.
    args.extend(["-p", "-s", "-f", "-P", "-S", "-h", "-U"]);
    args.extend(["--jsonfile", report.to_str().unwrap(), &url]);
    let ended = run("testssl", &args).await;
    let report =
        std::fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {ended}"));
    let findings: Vec<Value> = serde_json::from_str(&report).unwrap();
    let about = |id: &str| -> Vec<&Value> {
        findings.iter().filter(|finding| finding["id"] == id).collect()
    };
    for finding in &findings {
        let (id, severity) = (&finding["id"], &finding["severity"]);
        let is_known = KNOWN_FINDINGS.iter().any(|(known, _)| id == known);
        assert!(is_known || severity == "OK" || severity == "INFO", "{finding}");
    }
    // It has looked, and at us.
    for (id, severity, finding) in [
        ("TLS1_2", "INFO", "not offered"),
        ("TLS1_3", "OK", "offered with final"),
        ("ALPN_HTTP2", "OK", "h2"),
        ("cert_chain_of_trust", "OK", "passed."),
    ] {
        let [found] = about(id)[..] else { panic!("{id}: {ended}") };
        assert_eq!((&found["severity"], &found["finding"]), (&severity.into(), &finding.into()));
    }
    assert_eq!(about("HSTS_time")[0]["severity"], "OK", "{ended}");
}

async fn sslyze(python: &Path, args: &[&str]) -> Ended {
    run(python, &[&["-m", "sslyze", "--mozilla_config=modern"], args].concat()).await
}

/// Mozilla's `modern` profile holds at both listeners, by sslyze; a server that takes TLS 1.2 fails
/// it, so the scanner can say no.
#[tokio::test]
async fn sslyze_finds_mozillas_modern_profile() {
    let dir = TestDir::new("transport-sslyze");
    let (gateway, _) = demo(&dir, "").await;
    let python = python_with(&dir, &[SSLYZE]).await;
    let file = |name: &str| certificate_file(&gateway, name);
    let at = |url: &str| format!("localhost:{}", port(&gateway, url));

    let public = sslyze(&python, &["--certinfo_ca_file", &file("ca.pem"), &at("base_url")]).await;
    assert!(public.stdout.contains("OK - Compliant"), "{public}");
    assert_eq!(public.code, Some(0), "{public}");

    let (ca, own) = (file("internal-ca.pem"), file("internal-client.pem"));
    let (key, at_internal) = (file("internal-client.key"), at("internal_url"));
    let shown = ["--certinfo_ca_file", &ca, "--cert", &own, "--key", &key, &at_internal];
    let internal = sslyze(&python, &shown).await;
    assert!(internal.stdout.contains("OK - Compliant"), "{internal}");

    let mut weak = Command::new("openssl")
        .args(["s_server", "-www", "-tls1_2", "-accept", "127.0.0.1:0"])
        .args(["-cert", &file("server.pem"), "-key", &file("server.key")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(weak.stdout.take().unwrap()).lines();
    let listening = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                return address.rsplit_once(':').unwrap().1.to_owned();
            }
        }
        panic!("openssl s_server does not listen");
    };
    let weak_port = timeout(Duration::from_secs(20), listening).await.unwrap();
    let at_weak = format!("localhost:{weak_port}");
    let caught = sslyze(&python, &["--certinfo_ca_file", &file("ca.pem"), &at_weak]).await;
    assert!(caught.stdout.contains("FAILED - Not compliant"), "{caught}");
    assert_ne!(caught.code, Some(0));
}
