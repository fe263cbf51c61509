use super::*;

fn transit() -> Transit {
    let options = TransitOptions {
        address: "https://127.0.0.1:1".to_owned(),
        roots: Roots::Web,
        outbound: Outbound::default(),
        mount: "transit".to_owned(),
        key: "tradewarden".to_owned(),
        auth: TransitAuth::Token(Box::new(|| Ok(SecretString::new("t".to_owned())))),
    };
    Transit::new(options).unwrap()
}

#[test]
fn versions_are_told_by_their_names() {
    assert_eq!(version_of("vault:v12:AAAA"), Some("v12"));
    for text in ["", "vault:v1", "vault:1:A", "vault:v:A", "v1:A", "vault:v1234567890:A"] {
        assert_eq!(version_of(text), None, "{text}");
    }
    let transit = transit();
    assert!(transit.holds("transit:transit/tradewarden:v7"));
    for other in ["transit:transit/tradewarden:", "transit:transit/other:v7", "file-0011"] {
        assert!(!transit.holds(other), "{other}");
    }
}

#[test]
fn names_that_would_change_a_path_are_refused() {
    for (mount, key) in [("", "k"), ("transit", ""), ("a/b", "k"), ("transit", "../sys/seal")] {
        let options = TransitOptions {
            address: "https://127.0.0.1:1".to_owned(),
            roots: Roots::Web,
            outbound: Outbound::default(),
            mount: mount.to_owned(),
            key: key.to_owned(),
            auth: TransitAuth::Token(Box::new(|| Ok(SecretString::new(String::new())))),
        };
        assert!(Transit::new(options).is_err(), "{mount} {key}");
    }
}

#[tokio::test]
async fn nobody_there_is_unavailable_with_what_to_do() {
    let error = transit().newest().await.unwrap_err();
    let SourceError::Unavailable(text) = &error else { panic!("{error}") };
    assert!(text.contains("https://127.0.0.1:1 cannot be reached: start it"), "{text}");
}

#[tokio::test]
async fn what_another_version_wrapped_is_not_sent() {
    let wrapped = b"vault:v1:AAAA";
    for key_id in ["transit:transit/tradewarden:v2", "file-1"] {
        let error = transit().unwrap(key_id, wrapped).await.unwrap_err();
        assert_eq!(error, SourceError::DoesNotOpen);
    }
}
