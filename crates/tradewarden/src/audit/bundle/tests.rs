use std::fs;
use std::path::PathBuf;

use tradewarden_seal::merkle::{Tile, prove_inclusion};
use tradewarden_seal::{LedgerKey, SecretBytes, SystemRandomness, base64_encode, commit, new_salt};

use super::*;
use crate::outcome::Exit;
use crate::scratch::Scratch;

struct Log {
    key: LedgerKey,
    entries: Vec<Entry>,
}

impl Log {
    fn new(count: u64) -> Self {
        let mut randomness = SystemRandomness::new();
        let key = LedgerKey::generate("example.com/log", &mut randomness).unwrap();
        let entries = (0..count)
            .map(|index| {
                let payload = format!("{{\"n\":{index}}}");
                let salt = new_salt(&mut randomness);
                let leaf = json!({"commitment": commit(&salt, payload.as_bytes()).to_string()});
                Entry { index, leaf: leaf.to_string(), payload, salt: base64_encode(&salt) }
            })
            .collect();
        Self { key, entries }
    }

    fn tree(&self) -> Tree {
        self.entries.iter().map(|entry| leaf_hash(entry.leaf.as_bytes())).collect()
    }

    fn checkpoint(&self) -> String {
        let tree = self.tree();
        let origin = self.key.verifier().name().to_owned();
        Checkpoint { origin, size: tree.size(), root: tree.root() }.sign(&self.key).unwrap()
    }

    fn header(&self) -> Header {
        Header {
            origin: self.key.verifier().name().to_owned(),
            verifier_key: self.key.verifier().to_string(),
            checkpoint: self.checkpoint(),
            earlier: Vec::new(),
        }
    }

    fn write(&self, scratch: &Scratch, header: &Header) -> PathBuf {
        let mut bytes = Vec::new();
        write_line(&mut bytes, header).unwrap();
        for entry in &self.entries {
            write_line(&mut bytes, entry).unwrap();
        }
        scratch.file("bundle", &String::from_utf8(bytes).unwrap(), 0o600)
    }

    fn proof(&self, index: usize) -> TlogProof {
        let leaves: Vec<u8> = self
            .entries
            .iter()
            .flat_map(|entry| *leaf_hash(entry.leaf.as_bytes()).as_bytes())
            .collect();
        let read = |_: Tile| Some(leaves.clone());
        let place = u64::try_from(index).unwrap();
        TlogProof {
            extra: Some(self.entries[index].leaf.clone().into_bytes()),
            index: place,
            hashes: prove_inclusion(place, self.tree().size(), &read).unwrap(),
            checkpoint_note: self.checkpoint(),
        }
    }
}

/// A log that was restored once: three entries under its first name, then the link and one more.
fn restored() -> (Log, Header) {
    let mut randomness = SystemRandomness::new();
    let mut log = Log::new(3);
    let (old, name) = (log.header(), "example.com/log/i2-0123456789abcdef");
    let mut enter = |log: &mut Log, event: &str, payload: String| {
        let salt = new_salt(&mut randomness);
        let commitment = commit(&salt, payload.as_bytes()).to_string();
        let leaf = json!({ "commitment": commitment, "event": event }).to_string();
        let index = u64::try_from(log.entries.len()).unwrap();
        log.entries.push(Entry { index, leaf, payload, salt: base64_encode(&salt) });
    };
    let link = json!({ "origin": name, "previous": { "checkpoint": old.checkpoint } });
    enter(&mut log, "incarnation.began", link.to_string());
    enter(&mut log, "halt.engaged", "{}".to_owned());
    let seed = SecretBytes::new(log.key.seed().expose().to_vec());
    log.key = LedgerKey::from_seed(name, seed).unwrap();
    let ended = EndedName {
        incarnation: 1,
        origin: old.origin,
        verifier_key: old.verifier_key,
        size: 3,
        checkpoint: old.checkpoint,
    };
    let header = Header { earlier: vec![ended], ..log.header() };
    (log, header)
}

/// C16: who knows the key of the old name only verifies the whole chain by it.
#[test]
fn c16_a_bundle_proves_the_names_that_the_log_had() {
    let scratch = Scratch::new();
    let (log, header) = restored();
    let path = log.write(&scratch, &header);
    let (old, new) = (&header.earlier[0].verifier_key, &header.verifier_key);
    assert_ne!(old, new);
    for trusted in [None, Some(old.as_str()), Some(new.as_str())] {
        let found = verify(&path, trusted).unwrap();
        assert_eq!(problems(&found), Vec::<&str>::new());
        let earlier = json!([{ "incarnation": 1, "origin": "example.com/log", "size": 3 }]);
        assert_eq!((&found["earlier"], &found["origin"]), (&earlier, &json!(header.origin)));
    }
}

#[test]
fn c16_a_chain_of_names_that_is_not_the_logs_is_seen() {
    let scratch = Scratch::new();
    let seen = |change: &dyn Fn(&mut Header), words: &str| {
        let (log, mut header) = restored();
        change(&mut header);
        let found = verify(&log.write(&scratch, &header), None).unwrap();
        let problems = problems(&found);
        assert!(problems.iter().any(|problem| problem.contains(words)), "{words}: {problems:?}");
    };
    seen(&|header| header.earlier.clear(), "entry 3 ends a name of the log that is not listed");
    seen(&|header| header.earlier[0].size = 2, "its last checkpoint states 3 entries");
    seen(&|header| header.earlier[0].size = 9, "no entry follows them");
    seen(&|header| header.earlier[0].origin.push('x'), "its last checkpoint is of the log");
    seen(&|header| header.earlier[0].verifier_key.push('x'), "its verifier key is unreadable");
    let other = Log::new(3).header();
    seen(
        &move |header| header.earlier[0].verifier_key.clone_from(&other.verifier_key),
        "its verifier key is another log's",
    );
    // Signed by the log itself, of other entries: a history that the log had never had.
    let (mut log, mut header) = restored();
    let key =
        LedgerKey::from_seed("example.com/log", SecretBytes::new(log.key.seed().expose().to_vec()));
    let tree: Tree = [leaf_hash(b"1"), leaf_hash(b"2"), leaf_hash(b"3")].into_iter().collect();
    let root = tree.root();
    let other = Checkpoint { origin: "example.com/log".to_owned(), size: 3, root };
    header.earlier[0].checkpoint = other.sign(&key.unwrap()).unwrap();
    let found = verify(&log.write(&scratch, &header), None).unwrap();
    assert!(problems(&found)[0].contains("its last checkpoint states 3 entries"), "{found}");
    // The link says another name than the log's.
    log.key = LedgerKey::from_seed(
        "example.com/log/i2-fedcba9876543210",
        SecretBytes::new(log.key.seed().expose().to_vec()),
    )
    .unwrap();
    let header = Header { earlier: header.earlier, ..log.header() };
    let found = verify(&log.write(&scratch, &header), None).unwrap();
    assert!(problems(&found).iter().any(|text| text.contains("no entry says")), "{found}");
}

/// C16: a proof from before a restore stays one, and the key that one knew verifies those after it.
#[test]
fn c16_a_proof_verifies_by_the_key_of_another_name_of_the_log() {
    let scratch = Scratch::new();
    let before = Log::new(3);
    let old = before.key.verifier().to_string();
    let (after, header) = restored();
    let new = header.verifier_key.as_str();
    let path = scratch.file("after", &after.proof(1).to_string(), 0o600);
    for key in [new, header.earlier[0].verifier_key.as_str()] {
        let found = verify(&path, Some(key)).unwrap();
        assert_eq!(problems(&found), Vec::<&str>::new());
        assert_eq!(found["origin"], header.origin, "it says under which name");
    }
    assert_eq!(problems(&verify(&path, Some(&old)).unwrap()).len(), 1, "another log's key");
    let path = scratch.file("before", &before.proof(1).to_string(), 0o600);
    let later = VerifierKey::new(&header.origin, *before.key.verifier().public()).unwrap();
    let found = verify(&path, Some(&later.to_string())).unwrap();
    assert_eq!((problems(&found).len(), &found["origin"]), (0, &json!("example.com/log")));
}

fn problems(found: &Value) -> Vec<&str> {
    let problems = found["problems"].as_array().unwrap();
    assert_eq!(found["ok"].as_bool().unwrap(), problems.is_empty());
    problems.iter().map(|problem| problem.as_str().unwrap()).collect()
}

#[test]
fn a_whole_bundle_verifies_with_its_own_key_and_with_a_trusted_one() {
    let scratch = Scratch::new();
    for count in [0, 1, 7] {
        let log = Log::new(count);
        let path = log.write(&scratch, &log.header());
        let key = log.key.verifier().to_string();
        for trusted in [None, Some(key.as_str())] {
            let found = verify(&path, trusted).unwrap();
            assert_eq!(problems(&found), Vec::<&str>::new());
            assert_eq!(found["size"], count);
        }
    }
}

#[test]
fn every_change_to_a_bundle_is_seen() {
    let scratch = Scratch::new();
    let seen = |change: &dyn Fn(&mut Log, &mut Header), words: &str| {
        let mut log = Log::new(5);
        let mut header = log.header();
        change(&mut log, &mut header);
        let found = verify(&log.write(&scratch, &header), None).unwrap();
        let problems = problems(&found);
        assert!(problems.iter().any(|problem| problem.contains(words)), "{words}: {problems:?}");
    };
    seen(&|log, _| log.entries[2].payload.push(' '), "entry 2: its payload is not");
    seen(&|log, _| log.entries[2].leaf.push(' '), "the checkpoint states 5 entries");
    seen(&|log, _| log.entries[2].salt.push('A'), "entry 2: its salt is unreadable");
    seen(&|log, _| drop(log.entries.remove(2)), "entry 2 is missing");
    seen(&|log, _| drop(log.entries.pop()), "the bundle has 4");
    seen(&|log, _| log.entries.swap(0, 1), "entry 0 is missing");
    seen(&|_, header| header.origin.push('x'), "the checkpoint is of the log");
    seen(&|_, header| header.checkpoint.push('x'), "the checkpoint does not verify");
    seen(&|_, header| header.verifier_key.push('x'), "the verifier key is unreadable");
    seen(&|_, header| *header = Log::new(5).header(), "the checkpoint states");
}

#[test]
fn a_bundle_that_somebody_else_signed_does_not_verify_with_the_trusted_key() {
    let scratch = Scratch::new();
    let log = Log::new(3);
    let path = log.write(&scratch, &log.header());
    let other = Log::new(0).key.verifier().to_string();
    let found = verify(&path, Some(&other)).unwrap();
    assert!(problems(&found)[0].contains("another verifier key"));
    assert_eq!(verify(&path, Some("nonsense")).unwrap_err().exit, Exit::Usage);
}

#[test]
fn a_proof_stands_alone_with_the_key() {
    let scratch = Scratch::new();
    let log = Log::new(6);
    let key = log.key.verifier().to_string();
    let path = scratch.file("proof", &log.proof(4).to_string(), 0o600);
    assert_eq!(problems(&verify(&path, Some(&key)).unwrap()), Vec::<&str>::new());
    assert_eq!(verify(&path, None).unwrap_err().exit, Exit::Usage);
    let mut other = log.proof(4);
    other.extra = Some(b"{}".to_vec());
    fs::write(&path, other.to_string()).unwrap();
    assert_eq!(problems(&verify(&path, Some(&key)).unwrap()).len(), 1);
    other.extra = None;
    fs::write(&path, other.to_string()).unwrap();
    assert_eq!(verify(&path, Some(&key)).unwrap_err().exit, Exit::Usage);
}

#[test]
fn a_proof_as_json_is_checked_with_its_payload() {
    let scratch = Scratch::new();
    let log = Log::new(6);
    let shown = |payload: &str| {
        let entry = &log.entries[3];
        let view = json!({"entry_id": "x", "index": 3, "leaf": entry.leaf, "payload": payload,
            "salt": entry.salt, "proof": log.proof(3).to_string(),
            "verifier_key": log.key.verifier().to_string()});
        scratch.file("shown", &format!("{view}\n"), 0o600)
    };
    let good = verify(&shown(&log.entries[3].payload), None).unwrap();
    assert_eq!(problems(&good), Vec::<&str>::new());
    assert_eq!(problems(&verify(&shown("{}"), None).unwrap()).len(), 1);
}

#[test]
fn another_file_is_no_bundle() {
    let scratch = Scratch::new();
    for text in ["", "\n", "{}\n", "hello\n"] {
        let path = scratch.file("other", text, 0o600);
        assert_eq!(verify(&path, None).unwrap_err().exit, Exit::Usage, "{text:?}");
    }
    let long = scratch.file("long", &"x".repeat(600 * 1024), 0o600);
    assert!(verify(&long, None).is_err());
}
