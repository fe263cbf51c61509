//! Pins: what openssl makes of the certificate's key, signed by the key of the audit log.

use tradewarden_seal::{VerifierKey, open_note};
use tradewarden_testkit::process::{Program, TestDir, until};

use crate::door::{BINARY, demo};
use crate::python::python_with;
use crate::tools::{certificate_file, entries_when, run};

const BACKUP: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

#[tokio::test]
async fn pins_are_those_of_the_key_that_is_shown_and_a_backup() {
    let dir = TestDir::new("transport-pins");
    let (gateway, _) = demo(&dir, "").await;
    let program = gateway.program();
    let asked = ["pins", "--host", "trade.example.com", "--backup", BACKUP];
    let signed = program.json(&asked).await;

    // By the way that RFC 7469 appendix A describes.
    let certificate = certificate_file(&gateway, "server.pem");
    let own = run(
        "sh",
        &[
            "-c",
            "openssl x509 -in \"$1\" -noout -pubkey | openssl pkey -pubin \
        -outform der | openssl dgst -sha256 -binary | openssl base64",
            "sh",
            &certificate,
        ],
    )
    .await;
    let own = own.stdout.trim();
    let document = &signed["document"];
    assert_eq!(document["host"], "trade.example.com");
    assert_eq!(document["pins"][0]["sha256"], own);
    assert_eq!(document["pins"][0]["use"], "current");
    assert_eq!(document["pins"][1]["sha256"], BACKUP);
    assert_eq!(document["pins"][1]["use"], "backup");

    let key: VerifierKey = signed["verifier_key"].as_str().unwrap().parse().unwrap();
    let note = signed["note"].as_str().unwrap();
    let opened: serde_json::Value = serde_json::from_str(open_note(note, &key).unwrap()).unwrap();
    assert_eq!(opened, *document);
    let changed = note.replace("trade.example.com", "trade.example.org");
    assert!(open_note(&changed, &key).is_err());
    assert_eq!(entries_when(program, "pins.published", 1).await[0]["document"], *document);

    for (form, lines) in [
        (
            "android",
            [format!("<pin digest=\"SHA-256\">{own}</pin>"), "includeSubdomains".to_owned()],
        ),
        ("ios", [format!("<string>{own}</string>"), "NSPinnedDomains".to_owned()]),
        ("json", ["trade.example.com".to_owned(), "\u{2014} ".to_owned()]),
    ] {
        let printed = program.run(&[&asked[..], &["--form", form]].concat()).await;
        assert_eq!(printed.code, Some(0), "{printed}");
        for line in lines {
            assert!(printed.stdout.contains(&line), "{line}: {printed}");
        }
    }
    // Never without a backup, nor with the current key as its own.
    for backup in ["x", own] {
        let refused =
            program.run(&["pins", "--host", "trade.example.com", "--backup", backup]).await;
        assert!(matches!(refused.code, Some(1 | 2)), "{refused}");
    }
    assert_eq!(program.run(&["pins", "--host", "trade.example.com"]).await.code, Some(2));
}

/// Anybody may have them, and check them with another library; after the key was changed they are
/// others.
#[tokio::test]
async fn pins_are_served_to_everybody_and_follow_the_key() {
    let dir = TestDir::new("transport-served-pins");
    let config = format!("[pins]\nhost = \"trade.example.com\"\nbackups = [\"{BACKUP}\"]\n");
    let gateway = Program::new(BINARY, dir.data(), &config).start().await;
    let mut client = gateway.client();
    until("the pins are shown", async || {
        client.get("/api/v1/pins", &[]).await.unwrap().status == 200
    })
    .await;
    let answer = client.get("/api/v1/pins", &[]).await.unwrap();
    assert_eq!(answer.headers["cache-control"], "public, max-age=3600");
    assert!(!answer.headers.contains_key("public-key-pins"));
    let shown = answer.json();
    let (current, backup) = (&shown["document"]["pins"][0], &shown["document"]["pins"][1]);
    assert_eq!((&current["use"], &backup["use"]), (&"current".into(), &"backup".into()));
    assert_eq!(backup["sha256"], BACKUP);

    let python = python_with(&dir, &["cryptography==46.0.3"]).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transport/verify_note.py");
    let note = shown["note"].as_str().unwrap();
    let open = async |note: &str| {
        let file = dir.path().join("note");
        std::fs::write(&file, note).unwrap();
        let line = "\"$1\" \"$2\" \"$3\" < \"$4\"";
        let key = shown["verifier_key"].as_str().unwrap();
        let (python, file) = (python.to_str().unwrap(), file.to_str().unwrap());
        run("sh", &["-c", line, "sh", python, script, key, file]).await
    };
    let opened = open(note).await;
    assert_eq!(opened.code, Some(0), "{opened}");
    assert_eq!(opened.json(), shown["document"]);
    assert_eq!(open(&note.replace("trade.", "trick.")).await.code, Some(1));

    for (form, content_type, line) in [
        ("android", "application/xml; charset=utf-8", "<pin digest=\"SHA-256\">"),
        ("ios", "text/plain; charset=utf-8", "<string>"),
    ] {
        let answer = client.get(&format!("/api/v1/pins/{form}"), &[]).await.unwrap();
        assert_eq!(answer.headers["content-type"], content_type);
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        for pin in [current, backup] {
            let line = format!("{line}{}<", pin["sha256"].as_str().unwrap());
            assert!(text.contains(&line), "{line}: {text}");
        }
    }
    assert_eq!(
        entries_when(gateway.program(), "pins.published", 1).await[0]["document"],
        shown["document"]
    );
    gateway.stop().await;

    // Who publishes none shows none.
    let dir = TestDir::new("transport-no-pins");
    let (gateway, _) = demo(&dir, "").await;
    for path in ["/api/v1/pins", "/api/v1/pins/android", "/api/v1/pins/ios"] {
        let answer = gateway.client().get(path, &[]).await.unwrap();
        assert_eq!((answer.status, &answer.json()["code"]), (404, &"request.not_found".into()));
    }
}
