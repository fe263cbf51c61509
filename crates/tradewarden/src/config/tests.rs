use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::keys::keys;
use super::*;
use crate::outcome::Exit;
use crate::scratch::Scratch;

fn load(scratch: &Scratch, text: &str, mode: u32) -> Result<Config, Failure> {
    let config = Some(scratch.file("tradewarden.toml", text, mode));
    let config = Config::load(&Overrides { config, ..Overrides::default() }, DATA_DEFAULT)?;
    config.refuse_insecure_start()?;
    Ok(config)
}

#[test]
fn c21_hsts_is_whole_at_names_that_are_not_this_machines() {
    for (origin, whole) in [
        (None, false),
        (Some("https://trade.example.com"), true),
        (Some("https://trade.example.com:8443"), true),
        (Some("https://localhost:8443"), false),
        (Some("https://a.localhost"), false),
        (Some("https://192.0.2.1"), false),
        (Some("https://[2001:db8::1]"), false),
        (Some("https://[2001:db8::1]:8443"), false),
    ] {
        let mut config = Config { public_origin: origin.map(str::to_owned), ..Config::default() };
        assert_eq!(config.preloads_hsts(), whole, "{origin:?}");
        config.hsts_preload = Some(!whole);
        assert_eq!(config.preloads_hsts(), !whole, "{origin:?}");
    }
}

/// A certificate and its key, as an owner has them.
fn certificate() -> tradewarden_seal::IssuedCertificate {
    let mut randomness = tradewarden_seal::SystemRandomness::new();
    let now = 1_800_000_000;
    let authority = tradewarden_seal::LocalAuthority::create("test", now, &mut randomness).unwrap();
    let names = ["a.example".to_owned()];
    authority.issue_server(&names, now, now + 86_400, &mut randomness).unwrap()
}

/// The text of a start that is refused, and words that the reason must have.
const REFUSED: &[(&str, &str)] = &[
    ("listne = \"127.0.0.1:1\"", "unknown field `listne`"),
    ("[paper]\nsede = 1", "unknown field `sede`"),
    ("[paper]\ncalls_per_s_max = 9", "must be between 10 and 10000000, or left out"),
    ("[paper]\ncalls_per_h_max = 0", "calls_per_h_max under [paper]"),
    ("listen = \"everywhere\"", "invalid socket address"),
    ("listen = \"0.0.0.0:8443\"", "set certificate_file and key_file"),
    ("listen = \"[::]:8443\"", "or listen on 127.0.0.1"),
    ("trusted_proxies = [\"0.0.0.0/0\"]", "covers every address"),
    ("trusted_proxies = [\"::/0\"]", "covers every address"),
    ("trusted_proxies = [\"proxy\"]", "neither an address nor a network"),
    ("proxy_protocol = true", "list the addresses of your proxies"),
    ("public_origin = \"http://a.example\"", "write it as https://HOST"),
    ("public_origin = \"https://a.example/\"", "without a path"),
    ("hooks_host = \"a b\"", "is not a host name"),
    ("hooks_client_ca_file = \"ca.pem\"", "hooks_host is not"),
    ("hooks_host = \"h.example\"\nhooks_client_ca_file = \"none\"", "correct the path"),
    (
        "hooks_host = \"h.example\"\nhooks_client_ca_file = \"tradewarden.toml\"",
        "needs one or more CA certificates",
    ),
    ("host_names = [\"\"]", "is not a host name"),
    ("log_origin = \"two words\"", "log_origin is 1 to 200"),
    ("database = \"mysql://a\"", "use one of these"),
    ("database = \"env:TRADEWARDEN_TEST_NOT_SET\"", "is not set"),
    ("database = \"file:none\"", "cannot read"),
    ("log = \"xml\"", "log (line 1): unknown variant, expected `text` or `json`"),
    ("\nlisten = 5", "listen (line 2): invalid type: integer, expected socket address"),
    ("[vault]\nunreachable_max_s = -1", "vault.unreachable_max_s (line 2): invalid value: integer"),
    ("nodes = \"marked, expected it\"", "nodes (line 1): invalid type: string, expected u32;"),
    ("[vault.transit]\naddress = \"https://a\"", "vault.transit (line 1): missing field `key`"),
    ("hunter2 = 'a = ", "(line 1)"),
    ("[listener]\nconnections_max = 0", "must be between 1 and"),
    ("[listener]\ndrain_ms = 9999999999", "must be between 0 and"),
    ("[tls]\ncertificate_file = \"none\"\nkey_file = \"none\"", "correct the path under [tls]"),
    ("[tls]\ncertificate_file = \"none\"", "missing field `key_file`"),
    ("data = \"tradewarden.toml\"", "is a file; name a directory"),
    ("[outbound]\ntls_1_2_hosts = [\"a b\"]", "without a port"),
    ("[outbound.pins]\n\"A.example\" = []", "without a port"),
    ("[outbound.pins]\n\"a.example\" = [\"x\"]", "add a backup"),
    ("[outbound.pins]\n\"a.example\" = [\"x\", \"y\"]", "is no pin"),
    (
        "[outbound]\ntls_1_2_hosts = [\"a.example\"]",
        "\"a.example\" in tls_1_2_hosts under [outbound] is a host that nothing",
    ),
    (
        "[smtp]\nhost = \"b.example\"\nsecurity = \"tls\"\nfrom = \"a@b.example\"\n[outbound.pins]\n\
         \"a.example\" = [\"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\", \
         \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"]",
        "\"a.example\" in pins under [outbound] is a host that nothing",
    ),
    ("[pins]\nhost = \"a.example\"\nbackups = []", "backups under [pins] has 1 to 7"),
    (
        "[pins]\nhost = \"A\"\nbackups = [\"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"]",
        "host under [pins]",
    ),
    ("[acme]\ndirectory = \"https://a.example\"", "missing field `domains`"),
    (
        "[acme]\ndirectory = \"http://a.example\"\ndomains = [\"a.example\"]\n\
         challenge = \"tls-alpn-01\"\nterms_agreed = true",
        "write the address that the authority gives",
    ),
    (
        "[acme]\ndirectory = \"https://a.example\"\ndomains = [\"a.example\"]\n\
         challenge = \"tls-alpn-01\"\nterms_agreed = false",
        "read the terms",
    ),
    (
        "[acme]\ndirectory = \"https://a.example\"\ndomains = [\"*.a.example\"]\n\
         challenge = \"tls-alpn-01\"\nterms_agreed = true",
        "is not a host name in lower case",
    ),
    (
        "[acme]\ndirectory = \"https://a.example\"\ndomains = [\"a.example\"]\n\
         challenge = \"http-01\"\nterms_agreed = true",
        "set http_listen",
    ),
    (
        "hooks_host = \"h.example\"\n[acme]\ndirectory = \"https://a.example\"\n\
         domains = [\"a.example\"]\nchallenge = \"tls-alpn-01\"\nterms_agreed = true",
        "must cover it",
    ),
    (
        "[acme]\ndirectory = \"https://a.example\"\ndomains = [\"a.example\"]\n\
         challenge = \"tls-alpn-01\"\nterms_agreed = true\nca_file = \"none\"",
        "ca_file under [acme]",
    ),
    ("live_orders_max = 0", "write 1 to 50000"),
    ("live_orders_max = 50001", "write 1 to 50000"),
    ("nodes = 0", "raise per_s and per_day"),
    ("nodes = 6", "raise per_s and per_day"),
    ("[tiers.free]\nper_s = 0", "raise per_s and per_day"),
    ("[smtp]\nhost = \"localhost\"", "missing field `from`"),
    ("[smtp]\nhost = \"m\"\nfrom = \"a@b.example\"\nsecurty = \"tls\"", "unknown field"),
    (
        "[smtp]\nhost = \"m.example\"\nfrom = \"a@b.example\"\nsecurity = \"none\"",
        "or use a mail server on this machine",
    ),
    ("[smtp]\nhost = \"m\"\nfrom = \"a@b.example\"\nusername = \"a\"", "belong together"),
    ("[smtp]\nhost = \"m\"\nfrom = \"nobody\"", "is no sender's address"),
    (
        "[smtp]\nhost = \"m\"\nfrom = \"a@b.example\"\nca_file = \"tradewarden.toml\"",
        "under [smtp]: it needs one or more CA",
    ),
    (
        "[sms]\nprovider = \"carrier\"\naccount_sid = \"a\"\nauth_token_file = \"t\"\nfrom = \"a\"",
        "unknown variant",
    ),
    (
        "[sms]\nprovider = \"twilio\"\naccount_sid = \"a\"\nauth_token_file = \"t\"\nfrom = \"a\"",
        "cannot read",
    ),
    ("[tiers.gold]\nper_s = 1", "unknown field `gold`"),
];

#[test]
fn each_refusal_says_why() {
    let scratch = Scratch::new();
    for (text, words) in REFUSED {
        let refused = load(&scratch, text, 0o600).unwrap_err();
        assert!(refused.sentence.contains(words), "{text}: {refused}");
        assert!(matches!(refused.exit, Exit::No | Exit::NotFound), "{text}: {refused}");
    }
}

#[test]
fn secrets_that_others_can_read_are_refused() {
    let scratch = Scratch::new();
    let inline = "database = \"postgres://user:marked@host/db\"";
    let refused = load(&scratch, inline, 0o640).unwrap_err();
    assert!(refused.sentence.contains("database = \"file:PATH\""), "{refused}");
    assert!(!refused.sentence.contains("marked"), "{refused}");
    load(&scratch, inline, 0o600).unwrap();
    // Without a password there is nothing to hide.
    load(&scratch, "database = \"postgres://user@host/db\"", 0o644).unwrap();
    load(&scratch, "database = \"postgres://host/db?password=x\"", 0o644).unwrap_err();

    scratch.file("address", "postgres://user:marked@host/db\n", 0o644);
    load(&scratch, "database = \"file:address\"", 0o600).unwrap_err();
    scratch.file("address", "postgres://user:marked@host/db\n", 0o600);
    load(&scratch, "database = \"file:address\"", 0o644).unwrap();

    let own = certificate();
    scratch.file("cert.pem", &own.chain_pem, 0o644);
    let tls = "[tls]\ncertificate_file = \"cert.pem\"\nkey_file = \"key.pem\"";
    scratch.file("key.pem", own.key_pem.expose(), 0o644);
    assert!(load(&scratch, tls, 0o600).unwrap_err().sentence.contains("chmod go-rwx"));
    scratch.file("key.pem", own.key_pem.expose(), 0o600);
    load(&scratch, tls, 0o600).unwrap();
    scratch.file("key.pem", certificate().key_pem.expose(), 0o600);
    let sentence = load(&scratch, tls, 0o600).unwrap_err().sentence;
    assert!(sentence.contains("does not belong to the first certificate"), "{sentence}");
}

#[test]
fn secrets_for_messages_stand_in_closed_files_of_one_line() {
    let scratch = Scratch::new();
    let smtp = "[smtp]\nhost = \"mail.example.com\"\nfrom = \"Gate <gate@example.com>\"\n\
                username = \"gate\"\npassword_file = \"password\"";
    let sms = "[sms]\nprovider = \"twilio\"\naccount_sid = \"AC0123\"\n\
               auth_token_file = \"password\"\nfrom = \"+14155550123\"";
    let webhook =
        "[alerts]\nwebhook_url = \"https://h.example\"\nwebhook_secret_file = \"password\"";
    let lacks = "[alerts]\nwebhook_url = \"https://h.example\"";
    assert!(load(&scratch, lacks, 0o600).unwrap_err().sentence.contains("belong together"));
    scratch.file("password", "marked\n", 0o600);
    for unfit in [webhook, "[alerts]\nchat_url_file = \"password\""] {
        let refused = load(&scratch, unfit, 0o600).unwrap_err();
        assert!(!refused.sentence.contains("marked"), "{refused}");
        assert!(refused.sentence.contains("[alerts]"), "{refused}");
    }
    scratch.file("password", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", 0o600);
    load(&scratch, webhook, 0o600).unwrap();
    for text in [smtp, sms] {
        for (secret, mode, words) in [
            ("marked\n", 0o640, "chmod go-rwx"),
            ("\n", 0o600, "one line"),
            ("marked\nmore\n", 0o600, "one line"),
        ] {
            scratch.file("password", secret, mode);
            let refused = load(&scratch, text, 0o600).unwrap_err();
            assert!(refused.sentence.contains(words), "{refused}");
            assert!(!refused.sentence.contains("marked"), "{refused}");
        }
        scratch.file("password", "marked\n", 0o600);
        load(&scratch, text, 0o644).unwrap();
    }
    let none = "[smtp]\nhost = \"127.0.0.1\"\nfrom = \"a@localhost\"\nsecurity = \"none\"";
    let config = load(&scratch, none, 0o600).unwrap();
    assert_eq!(config.messengers("https://localhost").unwrap().len(), 1);
    let plain = format!("{sms}\nbase_url = \"http://127.0.0.1\"");
    assert!(load(&scratch, &plain, 0o600).unwrap_err().sentence.contains("is not https://HOST"));
}

#[test]
fn a_data_directory_that_others_can_use_is_refused() {
    let scratch = Scratch::new();
    let data = scratch.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(load(&scratch, "data = \"data\"", 0o600).is_err());
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(load(&scratch, "data = \"data\"", 0o600).unwrap().data, data);
}

#[test]
fn a_public_bind_needs_certificate_files_and_its_name() {
    let scratch = Scratch::new();
    let own = certificate();
    scratch.file("cert.pem", &own.chain_pem, 0o644);
    scratch.file("key.pem", own.key_pem.expose(), 0o600);
    let text = |top: &str| {
        format!(
            "listen = \"0.0.0.0:443\"\n{top}\n[tls]\ncertificate_file = \"cert.pem\"\nkey_file = \"key.pem\""
        )
    };
    assert!(load(&scratch, &text(""), 0o600).unwrap_err().sentence.contains("public_origin"));
    let origin = "https://trade.example.com";
    let config = load(&scratch, &text(&format!("public_origin = \"{origin}\"")), 0o600).unwrap();
    assert_eq!(config.origin_at(config.listen), origin);
}

#[test]
fn the_command_line_wins_over_the_file_and_the_file_over_the_defaults() {
    let scratch = Scratch::new();
    let text = "listen = \"127.0.0.1:1\"\ninternal_listen = \"127.0.0.1:2\"";
    let overrides = Overrides {
        config: Some(scratch.file("c.toml", text, 0o600)),
        listen: Some("127.0.0.1:9".parse().unwrap()),
        ..Overrides::default()
    };
    let config = Config::load(&overrides, "demo").unwrap();
    assert_eq!(config.listen.port(), 9);
    assert_eq!(config.internal_listen.port(), 2);
    assert_eq!(config.data, PathBuf::from("demo"));
    assert_eq!(config.origin_at(config.listen), "https://127.0.0.1:9");
    assert_eq!(config.origin_at("[::1]:443".parse().unwrap()), "https://[::1]");
}

#[test]
fn what_is_printed_can_be_read_back_and_shows_no_secret() {
    let scratch = Scratch::new();
    let database = Database::parse("postgres://user:marked@host/db", scratch.path()).unwrap();
    let smtp = "host = 'm'\nport = 1\nsecurity = 'starttls'\nusername = 'u'\n\
                password_file = 'p'\nfrom = 'f'\nca_file = 'c'";
    let smtp = toml::from_str(smtp).unwrap();
    let sms = "provider = 'twilio'\naccount_sid = 'a'\nauth_token_file = 't'\nfrom = 'f'\n\
               ca_file = 'c'";
    let sms = toml::from_str(sms).unwrap();
    let alerts = "webhook_url = 'u'\nwebhook_secret_file = 's'\nchat_url_file = 'c'\nca_file = 'c'";
    let alerts = toml::from_str(alerts).unwrap();
    let acme = "directory = 'https://a.example'\ncontact = ['mailto:a@b']\ndomains = ['a.example']\n\
                challenge = 'http-01'\nterms_agreed = true\nca_file = 'c'";
    let acme = toml::from_str(acme).unwrap();
    let calls = CallsMax { per_s: Some(10), per_min: Some(10), per_h: Some(10) };
    let config = Config {
        paper: Paper { calls, ..Config::default().paper },
        http_listen: Some("127.0.0.1:80".parse().unwrap()),
        acme: Some(acme),
        public_origin: Some("https://a.example".to_owned()),
        log_origin: Some("a.example/audit".to_owned()),
        hooks_host: Some("hooks.a.example".to_owned()),
        hooks_client_ca_file: Some("ca".into()),
        tls: Some(CertificateFiles { certificate_file: "c".into(), key_file: "k".into() }),
        trusted_proxies: vec!["10.0.0.1".to_owned()],
        outbound: Outbound {
            tls_1_2_hosts: ["a.example".to_owned()].into(),
            pins: [("b.example".to_owned(), ["x".to_owned()].into())].into(),
        },
        smtp: Some(smtp),
        sms: Some(sms),
        alerts: Some(alerts),
        vault: toml::from_str(
            "source = \"transit\"\nprevious = \"pkcs11\"\n\
             [transit]\naddress = \"https://a\"\nkey = \"k\"\ntoken_file = \"t\"\nrole_id = \"r\"\n\
             secret_id_file = \"s\"\nca_file = \"c\"\n\
             [pkcs11]\nmodule = \"m\"\ntoken = \"t\"\nkey = \"k\"\npin_file = \"p\"\n",
        )
        .unwrap(),
        pins: Some(toml::from_str("host = \"a.example\"\nbackups = [\"x\"]").unwrap()),
        database,
        ..Config::default()
    };
    let printed = print(&config);
    assert!(!printed.contains("marked") && !format!("{config:?}").contains("marked"), "{printed}");
    toml::from_str::<file::File>(&printed).unwrap();
    for key in keys() {
        assert!(
            printed.contains(&format!("\n{} = ", key.name)) || key.name == "data",
            "{}",
            key.name
        );
    }
}

#[test]
fn tiers_are_shared_by_nodes() {
    let scratch = Scratch::new();
    let text = "nodes = 4\n[tiers.free]\nper_s = 8\nper_day = 0\n[tiers.pro]\nper_day = 10";
    let tiers = load(&scratch, text, 0o600).unwrap().tiers_of_this_node().unwrap();
    assert_eq!((tiers.free.per_s, tiers.free.per_day), (2, None));
    assert_eq!((tiers.pro.per_s, tiers.pro.per_day), (25, Some(2)));
}

#[test]
fn callers_sign_for_any_name_of_this_machine_until_an_origin_is_configured() {
    let config = Config::default();
    assert_eq!(
        config.further_origins("https://127.0.0.1:8443"),
        ["https://localhost:8443", "https://[::1]:8443"]
    );
    assert_eq!(config.further_origins("https://[::1]"), ["https://localhost", "https://127.0.0.1"]);
    let named = Config { public_origin: Some("https://a.example".to_owned()), ..config };
    assert!(named.further_origins("https://a.example").is_empty());
}

/// The parser itself says which keys there are.
#[test]
fn the_table_of_keys_is_what_the_file_takes() {
    let mut taken = BTreeSet::new();
    let tiers = ["tiers.free", "tiers.standard", "tiers.pro", "tiers.institutional"];
    let vault = ["vault", "vault.transit", "vault.pkcs11"];
    for section in
        ["", "tls", "acme", "pins", "outbound", "smtp", "sms", "alerts", "paper", "listener"]
            .into_iter()
            .chain(vault)
            .chain(tiers)
    {
        let text =
            if section.is_empty() { "x = 1".to_owned() } else { format!("[{section}]\nx = 1") };
        let message = toml::from_str::<file::File>(&text).unwrap_err().message().to_owned();
        let (_, list) = message.split_once("expected ").unwrap();
        for name in list.split('`').skip(1).step_by(2) {
            taken.insert((section, name.to_owned()));
        }
    }
    let tables =
        ["tls", "acme", "pins", "outbound", "smtp", "sms", "alerts", "vault", "paper", "listener"];
    for section in tables.into_iter().chain(["tiers"]) {
        assert!(taken.remove(&("", section.to_owned())), "{section}");
    }
    for section in ["transit", "pkcs11"] {
        assert!(taken.remove(&("vault", section.to_owned())), "{section}");
    }
    let listed: BTreeSet<_> = keys().map(|key| (key.section, key.name.to_owned())).collect();
    assert_eq!(listed, taken);
}

/// S18: what the file lowers reaches the engine as windows; nothing written is no window.
#[test]
fn s18_calls_of_a_broker_can_be_lowered() {
    let scratch = Scratch::new();
    let text = "nodes = 2\n[paper]\ncalls_per_min_max = 80\ncalls_per_s_max = 10";
    let limits = load(&scratch, text, 0o600).unwrap().call_limits();
    assert_eq!(limits.nodes, 2);
    let windows: Vec<_> =
        limits.windows["paper"].iter().map(|it| (it.span.as_secs(), it.weight_max)).collect();
    assert_eq!(windows, [(1, 10), (60, 80)]);
    assert_eq!(load(&scratch, "", 0o600).unwrap().call_limits().windows["paper"], []);
}

#[test]
fn the_reference_page_is_current() {
    let page = include_str!("../../../../docs/reference/configuration.md");
    assert!(page == reference(), "run `cargo xtask reference`");
}

#[test]
fn key_sources_that_cannot_be_meant_are_refused() {
    let scratch = Scratch::new();
    for (text, word) in [
        ("[vault]\nsource = \"transit\"", "there is no table [vault.transit]"),
        ("[vault]\nprevious = \"pkcs11\"", "there is no table [vault.pkcs11]"),
        ("[vault]\nprevious = \"file\"", "are the same"),
        ("[vault.transit]\naddress = \"https://a\"\nkey = \"k\"", "needs token_file"),
        (
            "[vault.transit]\naddress = \"https://a\"\nkey = \"k\"\ntoken_file = \"t\"\nrole_id = \"r\"",
            "and not both",
        ),
    ] {
        let refused = load(&scratch, text, 0o600).unwrap_err().to_string();
        assert!(refused.contains(word), "{text}: {refused}");
    }
    let vault = load(&scratch, "[vault]\nunreachable_max_s = 0", 0o600).unwrap().vault;
    assert_eq!(vault.stay_open(), None);
}
