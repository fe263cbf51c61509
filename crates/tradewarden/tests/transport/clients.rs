//! Clients that others wrote: what they get of us, and what not.

use tradewarden_testkit::process::{Ended, Program, TestDir};

use crate::door::{BINARY, demo};
use crate::tools::{certificate_file, port, run};

/// C5: `openssl s_client` gets in with TLS 1.3 and with nothing older; the internal listener lets
/// nobody in without a certificate.
#[tokio::test]
async fn c5_openssl_speaks_tls_1_3_or_nothing() {
    let dir = TestDir::new("transport-openssl");
    let (gateway, _) = demo(&dir, "").await;
    let file = |name: &str| certificate_file(&gateway, name);
    let client = async |url: &str, ca: &str, more: &[&str]| -> Ended {
        let (at, ca) = (format!("localhost:{}", port(&gateway, url)), file(ca));
        let mut args = vec!["s_client", "-connect", &at, "-CAfile", &ca, "-verify_return_error"];
        args.extend(["-verify_hostname", "localhost"]);
        args.extend(more);
        run("openssl", &args).await
    };
    let taken = client("base_url", "ca.pem", &["-tls1_3"]).await;
    assert_eq!(taken.code, Some(0), "{taken}");
    assert!(taken.stdout.contains("New, TLSv1.3, Cipher is TLS_"), "{taken}");
    assert!(taken.stdout.contains("Verified peername: localhost"), "{taken}");
    assert!(!taken.stdout.contains("Early data was accepted"), "{taken}");
    // The oldest are switched off in the library itself unless its security level is lowered; they
    // lack what a handshake of today is judged by, before their version is.
    for (version, alert) in [
        ("-tls1_2", "alert protocol version"),
        ("-tls1_1", "alert handshake failure"),
        ("-tls1", "alert handshake failure"),
    ] {
        let refused = client("base_url", "ca.pem", &[version, "-cipher", "ALL:@SECLEVEL=0"]).await;
        assert_eq!(refused.code, Some(1), "{refused}");
        assert!(refused.stderr.contains(alert), "{version}: {refused}");
        assert!(refused.stdout.contains("no peer certificate available"), "{version}: {refused}");
    }
    // A group that is not ours, and one of TLS 1.3 that we leave out.
    for group in ["P-521", "X448"] {
        let refused = client("base_url", "ca.pem", &["-tls1_3", "-groups", group]).await;
        assert_eq!(refused.code, Some(1), "{group}: {refused}");
    }
    let own = [file("internal-client.pem"), file("internal-client.key")];
    let shown = ["-tls1_3", "-cert", &own[0], "-key", &own[1]];
    let known = client("internal_url", "internal-ca.pem", &shown).await;
    assert!(known.stdout.contains("Tradewarden internal CA"), "{known}");
    assert_eq!(known.code, Some(0), "{known}");
    assert!(!known.stdout.contains("New, TLSv1.3, Cipher is (NONE)"), "{known}");
}

/// A client that knows the hybrid group gets it: keys that are recorded today stay closed to a
/// quantum computer.
#[tokio::test]
async fn the_hybrid_group_is_negotiated() {
    let dir = TestDir::new("transport-hybrid");
    let (gateway, _) = demo(&dir, "").await;
    let stream = gateway.client().raw().await.unwrap();
    let (_, connection) = stream.get_ref();
    let group = connection.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(format!("{group:?}"), "X25519MLKEM768");
    assert_eq!(connection.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
}

/// The header set of an API, as curl sees it over both versions of HTTP, errors included.
#[tokio::test]
async fn curl_sees_the_headers_on_every_answer() {
    let dir = TestDir::new("transport-curl");
    let (gateway, door) = demo(&dir, "").await;
    let ca = certificate_file(&gateway, "ca.pem");
    let base = format!("https://localhost:{}", port(&gateway, "base_url"));
    let curl = async |more: &[&str]| -> Ended {
        let own = ["--silent", "--show-error", "--include", "--max-time", "30", "--cacert", &ca];
        run("curl", &[&["--disable"], &own[..], more].concat()).await
    };
    let long = format!("{base}/livez?{}", "a".repeat(60_000));
    let large = format!("@{}", dir.path().join("large").display());
    std::fs::write(dir.path().join("large"), vec![b' '; 70_000]).unwrap();
    let hook = format!("{base}{}", door.path);
    let hook_with_secret = format!("{hook}?secret={}", door.secret);
    let (livez, nowhere) = (format!("{base}/livez"), format!("{base}/nowhere"));
    let (metrics, orders) = (format!("{base}/metrics"), format!("{base}/api/v1/orders"));
    let signal = r#"{"action":"BUY"}"#;
    for version in ["--http1.1", "--http2"] {
        for (status, more) in [
            ("200", &[livez.as_str()][..]),
            ("200", &["--head", &livez]),
            ("404", &[&nowhere]),
            // C5 and product.md section 8: metrics are on the internal listener alone.
            ("404", &[&metrics]),
            ("401", &[&orders]),
            ("401", &["--data", signal, &hook]),
            ("405", &["--request", "DELETE", &livez]),
            ("405", &["--request", "BREW", &orders]),
            ("400", &["--data", r#"{"action":"HOLD"}"#, &hook_with_secret]),
            ("431", &[&long]),
            ("405", &["--request", "OPTIONS", "--header", "origin: https://evil.example", &livez]),
        ] {
            let answer = curl(&[&[version], more].concat()).await;
            let text = answer.stdout.to_ascii_lowercase();
            let (head, _) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
            let about = format!("{version} {more:.60?}: {answer:.2000}");
            let line = head.lines().next().unwrap_or_default();
            assert!(line.contains(&format!(" {status}")), "{about}");
            for wanted in [
                "strict-transport-security: max-age=63072000",
                "x-content-type-options: nosniff",
                "referrer-policy: no-referrer",
                "content-security-policy: default-src 'none'; frame-ancestors 'none'",
                "cache-control: no-store",
            ] {
                assert!(head.lines().any(|line| line == wanted), "{wanted}: {about}");
            }
            // No banner, no word for other origins, and no pins in a header (RFC 7469 is withdrawn
            // by every browser).
            for banned in ["server:", "x-powered-by:", "via:", "access-control-", "public-key-pins"]
            {
                assert!(!head.lines().any(|line| line.starts_with(banned)), "{banned}: {about}");
            }
        }
    }
    for (protocol, seen) in [("--http1.1", "HTTP/1.1 413 "), ("--http2", "HTTP/2 413 ")] {
        let large = curl(&[protocol, "--data-binary", &large, &hook_with_secret]).await;
        assert!(large.stdout.starts_with(seen), "{large}");
        assert!(
            large.stdout.contains("strict-transport-security: max-age=63072000\r\n"),
            "{large}"
        );
    }
    let older = curl(&["--tls-max", "1.2", &livez]).await;
    assert_eq!(older.code, Some(35), "{older}");
    assert_eq!(older.stdout, "", "{older}");
}

/// Over HTTP/2 a refusal that comes before the body was sent reaches who sends it.
#[tokio::test]
async fn an_early_refusal_is_heard_over_http_2() {
    let dir = TestDir::new("transport-early");
    let (gateway, _) = demo(&dir, "").await;
    let ca = certificate_file(&gateway, "ca.pem");
    let base = format!("https://localhost:{}", port(&gateway, "base_url"));
    let body = "x".repeat(40_000);
    for (path, status) in [("/api/v1/me", "405"), ("/api/v1/nothing", "404"), ("/livez", "405")] {
        let url = format!("{base}{path}");
        for body in ["{}", &body] {
            for _ in 0..8 {
                let args = ["-sS", "--http2", "--cacert", &ca, "-o", "/dev/null", "-d", body];
                let seen = ["-w", "%{http_version} %{http_code}", &url];
                let got = run("curl", &[&["--disable"], &args[..], &seen].concat()).await;
                assert_eq!(got.stdout, format!("2 {status}"), "{path}: {}", got.stderr);
            }
        }
    }
    gateway.stop().await;
}

/// C1, C2: what is too large hears so over HTTP/2 as well, whether its length was announced or not.
#[tokio::test]
async fn c2_a_body_too_large_hears_so_over_http_2() {
    let dir = TestDir::new("transport-large");
    let (gateway, door) = demo(&dir, "").await;
    let ca = certificate_file(&gateway, "ca.pem");
    let base = format!("https://localhost:{}", port(&gateway, "base_url"));
    for bytes in [65_537, 200_000, 2_000_000] {
        let file = dir.path().join("large");
        std::fs::write(&file, vec![b' '; bytes]).unwrap();
        let file = format!("@{}", file.display());
        for path in [&door.path, "/api/v1/orders", "/api/v1/auth/login"] {
            let url = format!("{base}{path}");
            for length in ["Expect:", "Content-Length:"] {
                for _ in 0..3 {
                    let args = ["--http2", "--cacert", &ca, "-H", length, "--data-binary", &file];
                    let seen = ["-o", "/dev/null", "-w", "%{http_version} %{http_code}", &url];
                    let got =
                        run("curl", &[&["--disable", "-sS"], &args[..], &seen].concat()).await;
                    assert_eq!(got.stdout, "2 413", "{bytes} {length} {path}: {}", got.stderr);
                }
            }
        }
    }
    gateway.stop().await;
}

/// standards 2.11 and C21: the whole HSTS value at a host with a name, unless it was switched off. Asked at
/// the internal listener, whose address does not depend on that name.
#[tokio::test]
async fn c21_hsts_is_whole_at_a_host_with_a_name() {
    for (name, config, wanted) in [
        (
            "named",
            "public_origin = \"https://trade.example.com\"\n",
            "max-age=63072000; includeSubDomains; preload",
        ),
        (
            "off",
            "public_origin = \"https://trade.example.com\"\nhsts_preload = false\n",
            "max-age=63072000",
        ),
        ("address", "public_origin = \"https://192.0.2.1:8443\"\n", "max-age=63072000"),
    ] {
        let dir = TestDir::new(&format!("transport-hsts-{name}"));
        let gateway = Program::new(BINARY, dir.data(), config).start().await;
        let file = |name: &str| certificate_file(&gateway, name);
        let (ca, own, key) =
            (file("internal-ca.pem"), file("internal-client.pem"), file("internal-client.key"));
        let url = format!("{}/livez", gateway.ready()["internal_url"].as_str().unwrap());
        let args = ["-siS", "--cacert", &ca, "--cert", &own, "--key", &key, &url];
        let answer = run("curl", &[&["--disable"], &args[..]].concat()).await;
        let line = format!("strict-transport-security: {wanted}\r\n");
        assert!(
            answer.stdout.to_ascii_lowercase().contains(&line.to_ascii_lowercase()),
            "{answer}"
        );
        gateway.stop().await;
    }
}
