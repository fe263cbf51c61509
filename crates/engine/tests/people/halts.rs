//! How many halts a caller engages, and what the same one once more is.

use super::*;

fn halt(scope: &str, mode: &str) -> Value {
    json!({ "command": "halt-engage", "scope": scope, "mode": mode })
}

async fn engaged(harness: &Harness) -> usize {
    let halts = harness.command(Command::HaltStatus).await;
    halts["items"].as_array().unwrap().len()
}

/// S20: the same halt by the same caller is the halt that is there, as long as it is there; another
/// caller's, and one that goes further, is another one.
#[test]
fn s20_the_same_halt_once_more_is_the_same_halt() {
    simulate(async || {
        let harness = with_owner(71).await;
        let (ann, _) = strong(&harness).await;
        let first = carry_out(&harness, halt("org", "block"), &ann).await.unwrap();
        let again = carry_out(&harness, halt("org", "block"), &ann).await.unwrap();
        assert_eq!(first, again);
        assert_eq!(engaged(&harness).await, 1);
        let mut wider = halt("org", "cancel");
        carry_out(&harness, wider.clone(), &ann).await.unwrap();
        wider["include_protective"] = json!(true);
        carry_out(&harness, wider, &ann).await.unwrap();
        let org = format!("org:{}", harness.org().await);
        harness.halt(Some(&org), "block").await;
        assert_eq!(engaged(&harness).await, 4);

        harness.elapse(Duration::from_secs(61)).await;
        let resume = json!({ "command": "halt-resume", "id": first["id"] });
        carry_out(&harness, resume, &ann).await.unwrap();
        let anew = carry_out(&harness, halt("org", "block"), &ann).await.unwrap();
        assert_ne!(anew["id"], first["id"], "what was ended is engaged anew");
        assert_eq!(engaged(&harness).await, 4);
        harness.finish().await;
    });
}

/// S20: halts of single things are bounded for each caller, and nobody is kept from stopping an account,
/// the organization, or what somebody else would stop.
#[test]
fn s20_halts_of_single_things_are_bounded() {
    simulate(async || {
        let harness = with_owner(72).await;
        let (ann, _) = strong(&harness).await;
        let account = harness.account("one").await;
        for number in 0..500 {
            let one = halt(&format!("instrument:S{number}"), "block");
            carry_out(&harness, one, &ann).await.unwrap();
        }
        let over = carry_out(&harness, halt("instrument:S500", "block"), &ann).await;
        assert!(matches!(over, Err(CommandError::Invalid { field: "scope", .. })), "{over:?}");
        carry_out(&harness, halt("instrument:S7", "block"), &ann).await.unwrap();
        assert_eq!(engaged(&harness).await, 500);
        for scope in ["org".to_owned(), format!("account:{account}")] {
            carry_out(&harness, halt(&scope, "cancel"), &ann).await.unwrap();
        }
        harness.halt(Some("instrument:S500"), "block").await;
        assert_eq!(engaged(&harness).await, 503);
        harness.finish().await;
    });
}
