//! Logging in: password, then the second factor, then a session.
//!
//! Nobody learns from a wrong answer who exists, who is locked out or what was wrong: each takes one
//! slow hash and one commit and says the same.

use super::ask::unknown;
use super::notices::{Notice, tell};
use super::proof::{Judge, Prepared, needs_secrets};
use super::sessions::Opening;
use super::sms::is_available;
use super::{Client, Entered, FactorShown, Login, Origin, Proof, Said};
use crate::Engine;
use crate::book::Book;
use crate::command::error::{CommandError, away, failed, no};
use crate::effects::Severity;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::lockout::{self, FAILURES_ALERT, FAILURES_MAX, Lockout};
use tradewarden_domain::person::{ChallengeKind, FactorKind, SessionKind, email_key};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{Digest, Password, base64url_decode, base64url_encode};
use tradewarden_store::users::{self, Failures, UserRow};
use tradewarden_store::{Error, Tx, challenges, factors, migrate, sessions};

/// How long a login may wait for its second factor.
pub(super) const CHALLENGE_LASTS: Duration = Duration::from_mins(5);
/// Tries at one challenge.
pub(super) const ATTEMPTS_MAX: u32 = 5;

/// What session is to be opened once the second factor was shown.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Chosen {
    pub(super) org: Id<id::Org>,
    /// Whether a cookie is to show it.
    pub(super) cookie: bool,
    /// The session that it takes the place of.
    pub(super) leaves: Option<Left>,
}

/// A session that another one takes the place of.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Left {
    pub(super) session: Id<id::Session>,
    pub(super) authenticated_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

/// What a login remembers until its second factor comes.
#[derive(Clone, Serialize, Deserialize)]
struct Begun {
    chosen: Chosen,
    /// The challenge for passkeys, in base64url.
    passkey: Option<String>,
}

/// Somebody whose password was right.
pub(super) struct Known {
    pub(super) row: UserRow,
    pub(super) org: Id<id::Org>,
}

impl Engine {
    pub(super) async fn login(&self, login: Login, client: &Client) -> Result<Said, CommandError> {
        // A foreign page could log its reader in as somebody else.
        if login.cookie && client.origin == Origin::Other {
            return Err(no(Code::AuthPermission));
        }
        let wanted = login.org_id.as_deref().map(super::parse_id).transpose()?;
        let Known { row, org } =
            self.checked(&login.email, &login.password, wanted, client).await?;
        let chosen = Chosen { org, cookie: login.cookie, leaves: None };
        if let Some(asked) = self.ask_for_factor(&row, chosen).await? {
            return Ok(asked);
        }
        let opening = self.opening(row.user.id, org, kind(login.cookie), "pwd", None, client);
        self.open_session(opening).await
    }

    /// Asks for one of the person's second factors; `None` where none is enrolled.
    pub(super) async fn ask_for_factor(
        &self,
        row: &UserRow,
        chosen: Chosen,
    ) -> Result<Option<Said>, CommandError> {
        let user = row.user.id;
        let enrolled = factors::of_user(&self.parts.store, user).await;
        let mut enrolled = enrolled.map_err(|error| away(&error))?;
        // One that was changed past the gateway counts, confirmed or not: it is no way around a factor.
        enrolled
            .retain(|factor| factor.confirmed_at.is_some() || !self.parts.is_whole_factor(factor));
        if enrolled.is_empty() {
            return Ok(None);
        }
        enrolled.retain(|factor| self.parts.is_whole_factor(factor));
        let passkeys: Vec<_> =
            enrolled.iter().filter(|factor| factor.kind == FactorKind::Webauthn).collect();
        let options = self.request_options(&passkeys)?;
        let begun = Begun {
            chosen,
            passkey: options.as_ref().map(|(challenge, _)| base64url_encode(challenge)),
        };
        let content = serde_json::to_vec(&begun).unwrap_or_default();
        let id = self.challenge(ChallengeKind::Factor, Some(user), content).await?;
        let mut kinds: Vec<Value> = Vec::new();
        if enrolled.iter().any(|factor| factor.kind == FactorKind::Totp) {
            kinds.push(json!({ "type": "totp" }));
        }
        if let Some((_, options)) = options {
            kinds.push(json!({ "type": "webauthn", "options": options }));
        }
        let phone = enrolled.iter().find(|factor| factor.kind == FactorKind::Sms);
        if let Some(phone) = phone.filter(|_| is_available(&self.parts)) {
            kinds.push(json!({ "type": "sms", "to": phone.name, "weak": true }));
        }
        if row.recovery_set.is_some() {
            kinds.push(json!({ "type": "recovery_code" }));
        }
        let asked = json!({
            "factor_required": true, "challenge_id": id, "factors": kinds,
            "expires_in": CHALLENGE_LASTS.as_secs(),
        });
        Ok(Some(asked.into()))
    }

    /// Checks a person's own password once more. An e-mail that was changed past the gateway may lead to
    /// somebody else's.
    pub(super) async fn check_password(
        &self,
        (user, email): (Id<id::User>, &str),
        password: &Entered,
        client: &Client,
    ) -> Result<(), CommandError> {
        let known = self.checked(email, password, None, client).await?;
        if known.row.user.id == user { Ok(()) } else { Err(failed()) }
    }

    async fn checked(
        &self,
        email: &str,
        password: &Entered,
        wanted: Option<Id<id::Org>>,
        client: &Client,
    ) -> Result<Known, CommandError> {
        let people = &self.parts.people;
        self.slow_down(client).await?;
        // What cannot be anybody's password says nothing about anybody.
        let Ok(password) = Password::new(password.secret()) else {
            people.sources.failed(client.address, self.now());
            return Err(failed());
        };
        let turn = people.hashing.turn().await?;
        let key = email_key(email).unwrap_or_default();
        let row = match key.as_str() {
            "" => Ok(None),
            key => users::by_email(&self.parts.store, key).await,
        };
        let row = row.map_err(|error| away(&error))?;
        let row = row.filter(|row| self.parts.is_whole_person(row, &key));
        let now = self.now();
        let open = row.as_ref().filter(|row| may_try(row.password, now));
        let stored = open.and_then(|row| self.parts.whole_password(row));
        let is_tried = stored.is_some();
        let (looked, turn) = self.look_at_password(turn, password, stored).await?;
        let matches = is_tried && looked.matches;
        let principals = people.principals.load_full();
        let row = row.filter(|_| is_tried);
        let org = match row.as_ref().filter(|_| matches) {
            Some(row) => {
                let last = self.last_org(row.user.id).await?;
                principals.org_to_enter(row.user.id, wanted, last)
            }
            None => None,
        };
        let Some((row, org)) = row.as_ref().zip(org) else {
            // Who was right and may not come in is not counted, and not told apart.
            let counted = row.as_ref().filter(|_| !matches).map(|row| row.user.id);
            // The source is slowed whatever becomes of the count.
            people.sources.failed(client.address, self.now());
            self.parts.denials.count_as(client.address, "login");
            self.count_wrong_password(counted, client).await?;
            drop(turn);
            return Err(failed());
        };
        if row.password.count > 0 || looked.anew.is_some() {
            self.password_was_right(row.user.id, looked.anew).await?;
        }
        drop(turn);
        Ok(Known { row: row.clone(), org })
    }

    /// The organization of a person's newest session.
    pub(super) async fn last_org(
        &self,
        user: Id<id::User>,
    ) -> Result<Option<Id<id::Org>>, CommandError> {
        let last = sessions::last_organization(&self.parts.store, user).await;
        last.map_err(|error| away(&error))
    }

    /// Counts a wrong password, or does the same work for nobody.
    async fn count_wrong_password(
        &self,
        user: Option<Id<id::User>>,
        client: &Client,
    ) -> Result<(), CommandError> {
        let principals = self.parts.people.principals.load_full();
        let (from, shared) = (client.address.to_string(), Arc::clone(&self.parts));
        self.parts
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                let id = user.unwrap_or_else(|| Id::from_bytes([0; 16]));
                let row = users::lock(tx, id).await?;
                let before = row.as_ref().map_or(0, |row| row.password.count);
                let failures = after_failure(before, book.now);
                users::set_password_failures(tx, id, failures).await?;
                // A commit that changes nothing is not synced, and would be faster.
                let at = book.now.unix_micros().to_string();
                migrate::set_meta(tx, "login_failed_at", &at).await?;
                let own = user.and_then(|user| principals.orgs_of(user).next());
                if let (Some(user), Some((org, _))) = (user, own) {
                    let failures = failures.count;
                    let wrong = WrongTry { org, user, method: "pwd", from: &from, failures };
                    note_failure(tx, book, &shared, wrong).await?;
                }
                Ok(())
            })
            .await
    }

    async fn password_was_right(
        &self,
        user: Id<id::User>,
        anew: Option<String>,
    ) -> Result<(), CommandError> {
        let shared = Arc::clone(&self.parts);
        self.parts
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                if let Some(hash) = &anew {
                    shared.put_password(tx, user, hash, book.now).await?;
                }
                let none = Failures { count: 0, locked_until: Timestamp::from_unix_micros(0) };
                users::set_password_failures(tx, user, none).await.map(|_| ())
            })
            .await
    }

    /// Stores a challenge and answers its name.
    pub(super) async fn challenge(
        &self,
        kind: ChallengeKind,
        user: Option<Id<id::User>>,
        content: Vec<u8>,
    ) -> Result<String, CommandError> {
        let id = base64url_encode(&self.random_32());
        let hash = hash_of(&id);
        let shared = Arc::clone(&self.parts);
        self.parts
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                let until = book.now.plus(CHALLENGE_LASTS);
                shared.put_challenge(tx, (hash, kind), user, &content, until).await
            })
            .await?;
        Ok(id)
    }

    /// The person and organization of a login that waits for its second factor.
    pub(super) async fn begun_login(
        &self,
        challenge_id: &str,
    ) -> Result<Option<(Id<id::User>, Id<id::Org>)>, CommandError> {
        let (hash, kind) = (hash_of(challenge_id), ChallengeKind::Factor);
        let found = challenges::look(&self.parts.store, hash, kind, self.now()).await;
        let found = found.map_err(|error| away(&error))?;
        let found = found.filter(|row| self.parts.is_whole_challenge(row));
        Ok(found.and_then(|challenge| {
            let begun = serde_json::from_slice::<Begun>(&challenge.content).ok()?;
            Some((challenge.user_id?, begun.chosen.org))
        }))
    }

    pub(super) fn random_32(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.parts.environment.with_randomness(|randomness| randomness.fill(&mut bytes));
        bytes
    }

    pub(super) async fn second_factor(
        &self,
        shown: FactorShown,
        client: &Client,
    ) -> Result<Said, CommandError> {
        self.slow_down(client).await?;
        let factor: FactorKind = shown.kind.parse().map_err(unknown)?;
        let hash = hash_of(&shown.challenge_id);
        if needs_secrets(factor)
            && let Err(closed) = self.parts.people.are_secrets_open()
            && self.begun_login(&shown.challenge_id).await?.is_some()
        {
            // It uses up none of the tries.
            return Err(closed);
        }
        let shared = Arc::clone(&self.parts);
        let challenge = self
            .parts
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                let kind = ChallengeKind::Factor;
                shared.try_challenge(tx, (hash, kind), ATTEMPTS_MAX, book.now).await
            })
            .await?;
        let wrong = || {
            self.parts.people.sources.failed(client.address, self.now());
            failed()
        };
        let (user, begun) = challenge
            .and_then(|challenge| {
                let begun = serde_json::from_slice::<Begun>(&challenge.content).ok()?;
                Some((challenge.user_id?, begun))
            })
            .ok_or_else(wrong)?;
        let Chosen { org, cookie, leaves } = begun.chosen;
        if cookie && client.origin == Origin::Other {
            return Err(no(Code::AuthPermission));
        }
        let passkey = begun.passkey.as_deref().and_then(|text| base64url_decode(text).ok());
        let proof = Proof::from(shown);
        let Prepared { material, turn } = self.prepared(user, factor, &proof, passkey).await?;
        let methods = material.methods("pwd");
        let mut opening = self.opening(user, org, kind(cookie), &methods, Some(self.now()), client);
        if let Some(left) = &leaves {
            opening.continues(left);
        }
        let (row, tokens) = opening.to_store();
        let judge = Judge { org, user, from: client.address.to_string() };
        let shared = Arc::clone(&self.parts);
        let shown = self
            .parts
            .change_people(async move |tx: &mut Tx<'_>, book: &mut Book| {
                if !material.judge(tx, book, &shared, &judge).await?
                    || !challenges::take(tx, hash).await?
                {
                    return Ok(false);
                }
                if let Some(left) = leaves {
                    sessions::end(tx, left.session, "switched", book.now).await?;
                }
                super::sessions::store(tx, book, &shared, &row, tokens).await?;
                Ok(true)
            })
            .await?;
        drop(turn);
        if shown { self.opened(opening) } else { Err(wrong()) }
    }

    /// A session from the parts that are known before its transaction.
    pub(super) async fn open_session(&self, opening: Opening) -> Result<Said, CommandError> {
        let (row, tokens) = opening.to_store();
        let shared = Arc::clone(&self.parts);
        self.parts
            .change_people(async move |tx: &mut Tx<'_>, book: &mut Book| {
                super::sessions::store(tx, book, &shared, &row, tokens).await
            })
            .await?;
        self.opened(opening)
    }
}

const fn kind(cookie: bool) -> SessionKind {
    if cookie { SessionKind::Cookie } else { SessionKind::Token }
}

/// The hash under which a challenge is stored.
pub(super) fn hash_of(name: &str) -> [u8; 32] {
    *Digest::sha256(name.as_bytes()).as_bytes()
}

/// Whether another try may be made now.
pub(super) fn may_try(failures: Failures, now: Timestamp) -> bool {
    lockout::after(failures.count) != Lockout::Disabled && failures.locked_until <= now
}

/// The count after one more failure, and until when no other try is made.
pub(super) fn after_failure(before: u32, now: Timestamp) -> Failures {
    let count = before.saturating_add(1);
    let locked_until = match lockout::after(count) {
        Lockout::None => Timestamp::from_unix_micros(0),
        Lockout::Wait(wait) => now.plus(wait),
        Lockout::Disabled => now,
    };
    Failures { count, locked_until }
}

/// A wrong try: whose, by which method, from where, and the how manieth in a row it is.
pub(super) struct WrongTry<'a> {
    pub(super) org: Id<id::Org>,
    pub(super) user: Id<id::User>,
    pub(super) method: &'static str,
    pub(super) from: &'a str,
    pub(super) failures: u32,
}

/// Writes the entry about a failure, and when people should look at it the finding and the notice.
/// Both come at two counts only, so that nobody causes more of them by going on.
pub(super) async fn note_failure(
    tx: &mut Tx<'_>,
    book: &mut Book,
    shared: &crate::Shared,
    wrong: WrongTry<'_>,
) -> Result<(), Error> {
    let WrongTry { org, user, method, from, failures } = wrong;
    let payload = json!({ "failures": failures.to_string(), "method": method });
    book.enter(shared, org, user, "login.failed", &payload);
    let (code, severity, detail) = match failures {
        FAILURES_ALERT => {
            let detail = format!("{failures} wrong tries in a row ({method})");
            ("auth.lockout", Severity::Warning, detail)
        }
        FAILURES_MAX => {
            let detail = format!("disabled after {failures} wrong tries in a row ({method})");
            ("auth.disabled", Severity::Critical, detail)
        }
        _ => return Ok(()),
    };
    book.find(shared, org, code, severity, format!("user:{user}"), detail);
    tell(tx, book, shared, org, user, Notice::Locked(failures).from(from)).await
}
