//! `tradewarden key ...`: the engine makes and shows; here a private key goes to its file.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tradewarden_engine::command::{ById, Command, KeyCreate, KeyRotate, KeyRotation};

use crate::cli::{self, KeyVerb, Shape};
use crate::config::Config;
use crate::outcome::{Exit, Failure};
use crate::{commands, files, output};

/// Largest public key file, in bytes.
const PUBLIC_KEY_BYTES_MAX: u64 = 4 * 1024;

const COLUMNS: cli::Columns = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("ALGORITHM", "algorithm"),
    ("STATE", "state"),
    ("TIER", "tier"),
    ("EXPIRES AT", "expires_at"),
    ("LAST USED AT", "last_used_at"),
];

/// Does what the verb says.
pub(crate) async fn run(
    config: &Config,
    organization: Option<&str>,
    verb: KeyVerb,
    json: bool,
) -> Result<Exit, Failure> {
    let (command, shape, file) = asked(verb)?;
    let place = file.map(PrivateKeyFile::make).transpose()?;
    let mut answer = commands::carry_out(config, organization, command).await?;
    if let Some(place) = place {
        place.write(&mut answer)?;
    } else if answer.get("secret").is_some() || answer.get("private_key_pem").is_some() {
        output::note("keep what the key signs with now: it is not shown again");
    }
    commands::show(&answer, shape, json)?;
    Ok(Exit::Done)
}

fn asked(verb: KeyVerb) -> Result<(Command, Shape, Option<PathBuf>), Failure> {
    let by_id = |id: cli::ById| ById { id: id.id };
    let one = |command| (command, Shape::One, None);
    Ok(match verb {
        KeyVerb::Create(create) => {
            let file = create.private_key_file.clone();
            (Command::KeyCreate(to_be(create)?), Shape::One, file)
        }
        KeyVerb::Rotate(rotate) => {
            let rotation = KeyRotation {
                overlap_s: rotate.overlap_s,
                public_key: public_key(rotate.public_key.as_deref())?,
            };
            let command = Command::KeyRotate(KeyRotate { id: rotate.id, rotation });
            (command, Shape::One, rotate.private_key_file)
        }
        KeyVerb::List => (Command::KeyList, Shape::List(COLUMNS), None),
        KeyVerb::Show(id) => one(Command::KeyShow(by_id(id))),
        KeyVerb::Suspend(id) => one(Command::KeySuspend(by_id(id))),
        KeyVerb::Activate(id) => one(Command::KeyActivate(by_id(id))),
        KeyVerb::Revoke(id) => one(Command::KeyRevoke(by_id(id))),
        KeyVerb::Usage(id) => one(Command::KeyUsage(by_id(id))),
    })
}

fn to_be(create: cli::KeyCreate) -> Result<KeyCreate, Failure> {
    Ok(KeyCreate {
        name: create.name,
        algorithm: create.algorithm,
        public_key: public_key(create.public_key.as_deref())?,
        scopes: create.scopes.into_iter().collect(),
        accounts: create.accounts,
        instruments: create.instruments,
        allow: create.allow,
        tier: create.tier,
        max_notional: create.max_notional,
        environment: create.environment,
        strategy_id: create.strategy_id,
        expires_in_days: create.expires_in_days,
    })
}

fn public_key(path: Option<&Path>) -> Result<Option<String>, Failure> {
    path.map(|path| files::read_text(path, PUBLIC_KEY_BYTES_MAX)).transpose()
}

/// A file for a private key. It is made before the key, so that no key is lost for want of a place;
/// if no key comes, it goes again.
struct PrivateKeyFile {
    path: PathBuf,
    file: fs::File,
    is_kept: bool,
}

impl PrivateKeyFile {
    fn make(path: PathBuf) -> Result<Self, Failure> {
        let file = files::create_private(&path)?;
        Ok(Self { path, file, is_kept: false })
    }

    fn write(mut self, answer: &mut Value) -> Result<(), Failure> {
        let pem = answer.as_object_mut().and_then(|key| key.remove("private_key_pem"));
        let Some(Value::String(pem)) = pem else {
            return Err(Failure::usage(format!(
                "the key was made, and there is no private key to write to {}",
                self.path.display()
            )));
        };
        let written = self.file.write_all(pem.as_bytes()).and_then(|()| self.file.sync_all());
        written.map_err(|cause| files::failed("write", &self.path, &cause))?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for PrivateKeyFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed is empty, and its owner's.
            let _left = fs::remove_file(&self.path);
        }
    }
}
