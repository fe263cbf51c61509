//! Pins: what openssl makes of the certificate's key, signed by the key of the audit log.

use tradewarden_seal::{VerifierKey, open_note};
use tradewarden_testkit::process::TestDir;

use crate::door::demo;
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
