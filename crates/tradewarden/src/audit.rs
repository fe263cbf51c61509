//! `tradewarden audit`: verify, prove, export. Reading needs no gateway and disturbs none.

mod bundle;

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};
use tradewarden_engine::command::{AcceptRows, ById, Command, VaultCommand};
use tradewarden_engine::ledger;
use tradewarden_seal::{Checkpoint, TlogProof, VerifierKey, base64_encode};
use tradewarden_store::{Store, audit};

use self::bundle::{Entry, Header};
use crate::cli::{AuditAccept, AuditProve, AuditVerb, AuditVerify, Shape};
use crate::commands::{self, show};
use crate::config::Config;
use crate::data::Data;
use crate::outcome::{Exit, Failure};
use crate::{files, output};

/// Entries read at once.
const PAGE: u64 = 256;
/// Largest file that is a single proof, in bytes.
const PROOF_BYTES_MAX: u64 = 1024 * 1024;
/// Between two notes about long work, in entries.
const PROGRESS: u64 = 100_000;

/// Does what was asked.
pub(crate) async fn run(
    config: &Config,
    organization: Option<&str>,
    verb: AuditVerb,
    json: bool,
) -> Result<Exit, Failure> {
    match verb {
        AuditVerb::Verify(AuditVerify { offline: Some(path), key }) => {
            verdict(&bundle::verify(&path, key.as_deref())?, json)
        }
        AuditVerb::Verify(AuditVerify { offline: None, .. }) => {
            verdict(&verify(config).await?, json)
        }
        AuditVerb::Prove(asked) => prove(config, organization, asked, json).await,
        AuditVerb::Export(asked) => export(config, &asked.out, json).await,
        AuditVerb::Accept(asked) => accept(config, asked, json).await,
    }
}

/// Lists what is mistrusted, or accepts it; exit 1 where something is left.
async fn accept(config: &Config, asked: AuditAccept, json: bool) -> Result<Exit, Failure> {
    let accept = AcceptRows { phrase: asked.phrase };
    let command = Command::Vault(VaultCommand::AcceptRows(accept));
    let answer = commands::carry_out(config, None, command).await?;
    show(&answer, Shape::One, json)?;
    let is_left =
        answer.get("mistrusted").and_then(Value::as_array).is_some_and(|left| !left.is_empty());
    Ok(if is_left { Exit::No } else { Exit::Done })
}

/// Prints what a verification found; a log that does not hold is a no.
fn verdict(found: &Value, json: bool) -> Result<Exit, Failure> {
    show(found, Shape::One, json)?;
    let holds = found.get("ok").and_then(Value::as_bool) == Some(true);
    Ok(if holds { Exit::Done } else { Exit::No })
}

/// The whole log in the database, and that it extends the checkpoint that is kept outside of it.
async fn verify(config: &Config) -> Result<Value, Failure> {
    let (data, store) = open(config).await?;
    let mut told = 0;
    let mut progress = |done: u64, all: u64| {
        if done >= told + PROGRESS && done < all {
            told = done;
            output::note(&format!("{done} of {all} entries"));
        }
    };
    let mut found = ledger::verify(&store, &mut progress).await?;
    if let Some(problem) = contradiction(&data, &store).await? {
        found.ok = false;
        found.problems.push(problem);
    }
    serde_json::to_value(&found)
        .map_err(|error| Failure::unavailable(format!("cannot be written as JSON: {error}")))
}

/// Whether the log contradicts the checkpoint outside the database, and how.
async fn contradiction(data: &Data, store: &Store) -> Result<Option<String>, Failure> {
    let path = data.checkpoint();
    // The file first: the log only grows, so it must hold what the file says.
    let Some(note) = files::read_text_if_there(&path, PROOF_BYTES_MAX)? else { return Ok(None) };
    let path = path.display();
    let head = audit::ledger(store).await?.ok_or_else(no_log)?;
    let names = ledger::ended_names(store).await?;
    let ended = names.iter().map(|ended| (ended.verifier_key.as_str(), ended.size, Name::Ended));
    let mut known =
        std::iter::once((head.verifier.as_str(), head.size, Name::Present)).chain(ended);
    let origin = note.lines().next().unwrap_or_default();
    let of_name = |(key, size, name): (&str, u64, Name)| {
        let key = key.parse::<VerifierKey>().ok().filter(|key| key.name() == origin)?;
        Some((key, size, name))
    };
    let Some((key, size, name)) = known.find_map(of_name) else {
        return Ok(Some(format!(
            "the checkpoint in {path} is of the log {origin:?}, and the database is not: it was set back, \
             or it is another installation's"
        )));
    };
    let outside = match Checkpoint::open(&note, &key) {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            return Ok(Some(format!("the checkpoint in {path} does not verify: {error}")));
        }
    };
    match name {
        // It covers what a restore lost, which the entry after it says.
        Name::Ended if outside.size > size => return Ok(None),
        Name::Present if outside.size > size => {
            return Ok(Some(format!(
                "the checkpoint in {path} covers {} entries, but the database has {size}: it was set back",
                outside.size
            )));
        }
        Name::Ended | Name::Present => {}
    }
    let root = ledger::root_at(store, outside.size).await?;
    Ok((root != Some(outside.root))
        .then(|| format!("the log does not extend the checkpoint in {path}: it was rewritten")))
}

/// Whether the log has a name now, or had it until a restore.
#[derive(Clone, Copy)]
enum Name {
    Present,
    Ended,
}

/// Prints the proof as a tlog-proof that carries its entry, or with `--json` with all there is.
async fn prove(
    config: &Config,
    organization: Option<&str>,
    asked: AuditProve,
    json: bool,
) -> Result<Exit, Failure> {
    let command = Command::AuditProve(ById { id: asked.id });
    let answer = commands::carry_out(config, organization, command).await?;
    let text = if json { format!("{answer}\n") } else { standing_alone(&answer)? };
    match asked.out {
        None => output::print(&text)?,
        Some(path) => {
            let mut file = files::create_private(&path)?;
            let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
            written.map_err(|cause| files::failed("write", &path, &cause))?;
            let key = answer.get("verifier_key").and_then(Value::as_str).unwrap_or_default();
            output::note(&format!(
                "verify it anywhere with: tradewarden audit verify --offline {} --key {key}",
                path.display()
            ));
        }
    }
    Ok(Exit::Done)
}

/// The proof with the entry's public part in its `extra` line: nothing else is needed to check it.
fn standing_alone(answer: &Value) -> Result<String, Failure> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut proof: TlogProof = text("proof").parse().map_err(|error| {
        Failure::unavailable(format!("the gateway's proof is unreadable ({error})"))
    })?;
    proof.extra = Some(text("leaf").as_bytes().to_vec());
    Ok(proof.to_string())
}

/// Writes the log through its newest checkpoint: a line for the head, then a line for each entry.
async fn export(config: &Config, path: &Path, json: bool) -> Result<Exit, Failure> {
    let (_, store) = open(config).await?;
    let head = audit::ledger(&store).await?.ok_or_else(no_log)?;
    let failed = |cause| files::failed("write", path, &cause);
    let mut file = BufWriter::new(files::create_private(path)?);
    let header = Header {
        origin: head.origin,
        verifier_key: head.verifier,
        checkpoint: head.checkpoint,
        earlier: ledger::ended_names(&store).await?,
    };
    bundle::write_line(&mut file, &header).map_err(failed)?;
    let mut next = 0;
    while next < head.size {
        let end = next.saturating_add(PAGE).min(head.size);
        for entry in audit::range(&store, next, end).await? {
            if entry.position != Some(next) {
                return Err(Failure::no(format!(
                    "entry {next} is missing; `tradewarden audit verify` says more"
                )));
            }
            let entry = Entry {
                index: next,
                leaf: entry.leaf,
                payload: entry.payload,
                salt: base64_encode(&entry.salt),
            };
            bundle::write_line(&mut file, &entry).map_err(failed)?;
            next = next.saturating_add(1);
        }
        if next != end {
            return Err(Failure::no(format!(
                "entry {next} is missing; `tradewarden audit verify` says more"
            )));
        }
    }
    let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    let done = json!({ "file": path, "origin": header.origin, "entries": next,
        "verifier_key": header.verifier_key });
    show(&done, Shape::One, json)?;
    Ok(Exit::Done)
}

async fn open(config: &Config) -> Result<(Data, Store), Failure> {
    let data = Data::at(config);
    data.refuse_amid_restore()?;
    let location = config.database.location(data.database())?;
    if matches!(location, tradewarden_store::Location::Sqlite(_)) && !data.database().exists() {
        return Err(Failure::not_found(data.no_database()));
    }
    let store = Store::open(location).await?;
    Ok((data, store))
}

fn no_log() -> Failure {
    Failure::not_found("there is no audit log yet: start the gateway once")
}

/// A file as lines, each at most `bytes_max` long.
struct Lines<R> {
    reader: R,
    bytes_max: u64,
}

impl Lines<BufReader<std::fs::File>> {
    fn open(path: &Path, bytes_max: u64) -> Result<Self, Failure> {
        let file =
            std::fs::File::open(path).map_err(|cause| files::failed("read", path, &cause))?;
        Ok(Self { reader: BufReader::new(file), bytes_max })
    }
}

impl<R: BufRead> Lines<R> {
    /// The next line without its end; `None` at the end of the file.
    fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut bounded = std::io::Read::take(&mut self.reader, self.bytes_max);
        if bounded.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        match line.pop() {
            Some(b'\n') => Ok(Some(line)),
            _ => Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "a line is too long or has no end",
            )),
        }
    }
}
