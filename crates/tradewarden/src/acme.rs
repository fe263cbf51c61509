//! Certificates by ACME (RFC 8555): ordered, kept, renewed at two thirds of their life or when the
//! authority suggests it (RFC 9773), whichever is earlier.
//!
//! The account with its key is sealed in the database; one that lies in `DATA/acme/account.json` is moved
//! there, and the file removed.
//!
//! ```text
//! DATA/acme/certificate.pem   the chain and its key
//! DATA/acme/attempts.json     how often it failed, and when it is tried again
//! ```
//!
//! Crash story: everything is written in one step, so a crash leaves the old or the new. An account that
//! was made and not written, or an order whose chain was not, is made again; a restart does not shorten
//! the wait after failures, because authorities count them. The file of an account goes when what is in the
//! database opens.

mod https;
mod order;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{Account, AccountCredentials, NewAccount};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tradewarden_domain::time::{Clock, Timestamp};
use tradewarden_engine::Engine;
use tradewarden_messenger::Outbound;
use tradewarden_seal::{CertificateFacts, Randomness, SecretString, SystemRandomness};
use tradewarden_web::tls::Challenges;

use self::https::Https;
use self::order::{Chain, NotIssued};
use crate::clock::SystemClock;
use crate::config::Acme;
use crate::data::Data;
use crate::files;
use crate::outcome::Failure;

/// Largest file here, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// How long is waited after each failure in a row; the last one for ever.
const WAITS_S: [u64; 7] = [5, 20, 60, 300, 1_800, 7_200, 21_600];
/// How long the authority is left alone at most after a certificate came, whatever would be due then: by
/// a clock that is ahead, or a window that is past.
const REST_MAX: Duration = Duration::from_hours(1);
/// How often the authority is asked for renewal information at most and at least.
const ASK_EVERY_MIN: Duration = Duration::from_mins(1);
const ASK_EVERY_MAX: Duration = Duration::from_hours(24);
/// The same where it could not say.
const ASK_AGAIN: Duration = Duration::from_hours(6);

/// The file with the certificate that ACME brought and its key.
pub(crate) fn certificate_file(data: &Data) -> PathBuf {
    data.acme().join("certificate.pem")
}

/// What orders certificates and renews them.
pub(crate) struct Keeper {
    config: Acme,
    data: Data,
    https: Https,
    challenges: Challenges,
    engine: Engine,
    account: Option<Account>,
    /// The window that the authority suggested last, and the instant that was drawn in it.
    drawn: Option<Drawn>,
    /// When the authority may be asked for one again.
    ask_at: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Drawn {
    start_unix_s: i64,
    end_unix_s: i64,
    at: Timestamp,
}

/// Tries that failed since the last one that did not.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attempts {
    failures: usize,
    again_at: Timestamp,
}

impl Attempts {
    /// When the next one may be made: a clock that was ahead puts it off by the longest wait at most.
    fn again_at_within(&self, now: Timestamp) -> Timestamp {
        self.again_at.min(now.plus(wait_after(WAITS_S.len())))
    }
}

/// The certificate that is kept.
struct Kept {
    facts: CertificateFacts,
    text: SecretString,
}

impl Keeper {
    /// One for this configuration; makes the directory.
    pub(crate) fn new(
        config: &Acme,
        outbound: &Outbound,
        data: &Data,
        challenges: Challenges,
        engine: Engine,
    ) -> Result<Self, Failure> {
        files::private_directory(&data.acme())?;
        Ok(Self {
            https: Https::new(config.roots()?, outbound.clone())?,
            config: config.clone(),
            data: data.clone(),
            challenges,
            engine,
            account: None,
            drawn: None,
            ask_at: Timestamp::default(),
        })
    }

    /// Keeps a certificate for ever; `renewed` is told of each new one.
    pub(crate) async fn keep(mut self, renewed: Arc<Notify>) {
        if let Err(NotIssued(why)) = self.take_in_file().await {
            tracing::error!(why, "the account of ACME is still in its file");
        }
        loop {
            let attempts = self.attempts();
            let now = SystemClock.now();
            let kept = self.kept();
            let (due, look_again) = self.due(kept.as_ref(), now).await;
            let at = due.max(attempts.again_at_within(now));
            if at > now {
                tokio::time::sleep(at.since(now).min(look_again)).await;
                continue;
            }
            match self.renew(kept).await {
                Ok(brought) => {
                    let again_at = SystemClock.now().plus(rest_after(&brought));
                    self.note(Attempts { failures: 0, again_at });
                    renewed.notify_one();
                }
                Err(NotIssued(why)) => {
                    let wait = wait_after(attempts.failures);
                    let failures = attempts.failures.saturating_add(1);
                    tracing::error!(why, failures, ?wait, "no certificate by ACME");
                    self.note(Attempts { failures, again_at: SystemClock.now().plus(wait) });
                    // The account may be what was wrong.
                    self.account = None;
                    let why = format!("ACME: {why}");
                    if let Err(error) = self.engine.certificate_unusable(&why).await {
                        tracing::error!(%error, "that could not be recorded");
                    }
                }
            }
        }
    }

    /// When the next certificate is to be ordered, and how long until that may have changed.
    async fn due(&mut self, kept: Option<&Kept>, now: Timestamp) -> (Timestamp, Duration) {
        let Some(Kept { facts, .. }) = kept else { return (now, ASK_AGAIN) };
        let two_thirds = two_thirds(facts);
        if two_thirds <= now {
            return (two_thirds, ASK_AGAIN);
        }
        // An instant that has come stays, whatever would be suggested now.
        let has_come = self.drawn.is_some_and(|drawn| drawn.at <= now);
        if !has_come && self.ask_at <= now {
            let wait = self.ask(facts).await;
            self.ask_at = now.plus(wait);
        }
        let at = self.drawn.map_or(two_thirds, |drawn| drawn.at.min(two_thirds));
        (at, self.ask_at.since(now).max(ASK_EVERY_MIN))
    }

    /// Asks the authority for the window that it suggests, and draws an instant in it. Gives how long it
    /// is not to be asked again.
    async fn ask(&mut self, facts: &CertificateFacts) -> Duration {
        let Some(id) = facts.renewal_id.as_deref().and_then(order::identifier) else {
            return ASK_AGAIN;
        };
        let Ok(account) = self.account().await else { return ASK_AGAIN };
        let (info, wait) = match account.renewal_info(&id).await {
            Ok(said) => said,
            Err(instant_acme::Error::Unsupported(_)) => return ASK_AGAIN,
            Err(error) => {
                tracing::warn!(%error, "no renewal information");
                return ASK_AGAIN;
            }
        };
        let window = (info.suggested_window.start, info.suggested_window.end);
        let (start, end) = (window.0.unix_timestamp(), window.1.unix_timestamp());
        let known =
            self.drawn.filter(|drawn| (drawn.start_unix_s, drawn.end_unix_s) == (start, end));
        let drawn = known.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            SystemRandomness::new().fill(&mut bytes);
            let at = drawn_in(start, end, u64::from_le_bytes(bytes));
            tracing::info!(explanation = ?info.explanation_url, "the authority suggests a window");
            Drawn { start_unix_s: start, end_unix_s: end, at }
        });
        self.drawn = Some(drawn);
        wait.clamp(ASK_EVERY_MIN, ASK_EVERY_MAX)
    }

    async fn renew(&mut self, kept: Option<Kept>) -> Result<CertificateFacts, NotIssued> {
        let account = self.account().await?;
        // Only an authority that gave information about it knows it by that name.
        let replaces = self.drawn.and(kept.as_ref()).and_then(|kept| kept.facts.renewal_id.clone());
        let key = kept.filter(|_| self.config.reuse_key).map(|kept| {
            let (_, key) = chain_and_key(kept.text.expose());
            SecretString::new(key.to_owned())
        });
        let Chain { chain_pem, key_pem } =
            order::issue(&self.config, &account, &self.challenges, replaces.as_deref(), key)
                .await?;
        let facts = CertificateFacts::from_pem(&chain_pem)?;
        if !self.is_for_us(&facts) {
            let names = facts.dns_names.join(", ");
            return Err(NotIssued(format!("the certificate is for other names: {names}")));
        }
        let text = format!("{}\n{}", chain_pem.trim_end(), key_pem.expose());
        let text = SecretString::new(text);
        files::write_private(&certificate_file(&self.data), text.expose())
            .map_err(|failure| NotIssued(failure.to_string()))?;
        // Of the new one nothing is known yet.
        (self.drawn, self.ask_at) = (None, Timestamp::default());
        tracing::info!(serial = facts.serial, "a certificate came by ACME");
        Ok(facts)
    }

    /// The account, made at the first time.
    async fn account(&mut self) -> Result<Account, NotIssued> {
        if let Some(account) = &self.account {
            return Ok(account.clone());
        }
        self.take_in_file().await?;
        let builder = Account::builder_with_http(Box::new(self.https.clone()));
        // Another authority has another account.
        let directory = self.config.directory.clone();
        let kept = self.engine.acme_account(&directory).await?;
        let account = if let Some(kept) = kept {
            let credentials: AccountCredentials = serde_json::from_str(kept.expose())?;
            builder.from_credentials(credentials).await?
        } else {
            let contact: Vec<&str> = self.config.contact.iter().map(String::as_str).collect();
            let new = NewAccount {
                contact: &contact,
                terms_of_service_agreed: self.config.terms_agreed,
                only_return_existing: false,
            };
            let (account, credentials) = builder.create(&new, directory.clone(), None).await?;
            self.keep_account(&directory, &credentials).await?;
            account
        };
        self.account = Some(account.clone());
        Ok(account)
    }

    async fn keep_account(
        &self,
        directory: &str,
        credentials: &AccountCredentials,
    ) -> Result<(), NotIssued> {
        let text = SecretString::new(serde_json::to_string(credentials)?);
        Ok(self.engine.keep_acme_account(directory, &text).await?)
    }

    /// Moves the account that lies in a file into the database.
    async fn take_in_file(&self) -> Result<(), NotIssued> {
        let path = self.data.acme().join("account.json");
        let said = |failure: Failure| NotIssued(failure.to_string());
        let Some(text) = files::read_text_if_there(&path, FILE_BYTES_MAX).map_err(said)? else {
            return Ok(());
        };
        let text = SecretString::new(text);
        let KeptAccount { directory, credentials } = serde_json::from_str(text.expose())
            .map_err(|_| NotIssued(format!("{} is no account: remove it", path.display())))?;
        self.keep_account(&directory, &credentials).await?;
        if self.engine.acme_account(&directory).await?.is_none() {
            return Err(NotIssued(format!("the account of {directory} was not kept")));
        }
        let removed = std::fs::remove_file(&path);
        removed.map_err(|cause| said(files::failed("remove", &path, &cause)))?;
        tracing::info!(directory, "the account of ACME was moved from its file into the database");
        Ok(())
    }

    /// The certificate that is kept, if it is for the names that are wanted.
    fn kept(&self) -> Option<Kept> {
        let path = certificate_file(&self.data);
        let text = files::read_text_if_there(&path, FILE_BYTES_MAX).ok().flatten()?;
        let facts = CertificateFacts::from_pem(&text).ok()?;
        self.is_for_us(&facts).then(|| Kept { facts, text: SecretString::new(text) })
    }

    fn is_for_us(&self, facts: &CertificateFacts) -> bool {
        let wanted: BTreeSet<&String> = self.config.domains.iter().collect();
        wanted == facts.dns_names.iter().collect()
    }

    fn attempts_file(&self) -> PathBuf {
        self.data.acme().join("attempts.json")
    }

    fn attempts(&self) -> Attempts {
        let text = files::read_text_if_there(&self.attempts_file(), FILE_BYTES_MAX).ok().flatten();
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    fn note(&self, attempts: Attempts) {
        let written = serde_json::to_string(&attempts)
            .map_err(|error| Failure::unavailable(error.to_string()))
            .and_then(|text| files::write_private(&self.attempts_file(), &text));
        if let Err(failure) = written {
            tracing::error!(%failure, "how often ACME failed could not be kept");
        }
    }
}

/// The account as a file keeps it.
#[derive(Deserialize)]
struct KeptAccount {
    directory: String,
    credentials: AccountCredentials,
}

/// The second at which a third of a certificate's life is left.
fn two_thirds(facts: &CertificateFacts) -> Timestamp {
    let third = life_s(facts).checked_div(3).unwrap_or_default();
    at_second(facts.not_after_unix_s.saturating_sub(third))
}

fn life_s(facts: &CertificateFacts) -> i64 {
    facts.not_after_unix_s.saturating_sub(facts.not_before_unix_s).max(0)
}

/// How long the authority is left alone after this one came.
fn rest_after(facts: &CertificateFacts) -> Duration {
    let sixth_s = u64::try_from(life_s(facts)).unwrap_or_default().checked_div(6);
    Duration::from_secs(sixth_s.unwrap_or_default()).min(REST_MAX)
}

/// An instant of a window, by evenly drawn bits.
fn drawn_in(start_unix_s: i64, end_unix_s: i64, bits: u64) -> Timestamp {
    let width = u64::try_from(end_unix_s.saturating_sub(start_unix_s)).unwrap_or_default();
    let into = bits.checked_rem(width.saturating_add(1)).unwrap_or_default();
    at_second(start_unix_s.saturating_add(i64::try_from(into).unwrap_or_default()))
}

fn at_second(unix_s: i64) -> Timestamp {
    Timestamp::from_unix_micros(unix_s.saturating_mul(1_000_000))
}

/// How long is waited after so many failures before this one.
fn wait_after(failures: usize) -> Duration {
    Duration::from_secs(WAITS_S.get(failures).or(WAITS_S.last()).copied().unwrap_or_default())
}

/// The two parts of the file with the certificate and its key.
pub(crate) fn chain_and_key(text: &str) -> (&str, &str) {
    text.find("-----BEGIN PRIVATE KEY-----")
        .and_then(|start| text.split_at_checked(start))
        .unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(not_before_unix_s: i64, not_after_unix_s: i64) -> CertificateFacts {
        CertificateFacts {
            serial: "01".to_owned(),
            spki_sha256: String::new(),
            not_before_unix_s,
            not_after_unix_s,
            dns_names: Vec::new(),
            renewal_id: None,
        }
    }

    #[test]
    fn two_thirds_of_a_life() {
        assert_eq!(two_thirds(&facts(1_000, 1_090)).unix_seconds(), 1_060);
        assert_eq!(
            two_thirds(&facts(2_000, 1_000)).unix_seconds(),
            1_000,
            "one that makes no sense"
        );
    }

    /// Even one that would be due at once is not ordered again at once.
    #[test]
    fn the_authority_is_left_alone_after_each() {
        assert_eq!(rest_after(&facts(0, 90 * 86_400)), Duration::from_hours(1));
        assert_eq!(rest_after(&facts(0, 600)), Duration::from_secs(100));
    }

    /// A machine that began with a clock years ahead asks again when it was set right.
    #[test]
    fn a_clock_that_was_ahead_puts_nothing_off_for_long() {
        let now = at_second(1_000_000);
        let years = Attempts { failures: 1, again_at: at_second(100_000_000) };
        assert_eq!(years.again_at_within(now), now.plus(Duration::from_hours(6)));
        let soon = Attempts { failures: 1, again_at: now.plus(Duration::from_secs(20)) };
        assert_eq!(soon.again_at_within(now), soon.again_at);
    }

    /// RFC 9773 section 4.2: a uniformly random instant within the window.
    #[test]
    fn every_instant_of_a_window_may_be_drawn() {
        let drawn: std::collections::BTreeSet<i64> =
            (0..1_000).map(|bits| drawn_in(100, 109, bits).unix_seconds()).collect();
        assert_eq!(drawn, (100..=109).collect());
        assert_eq!(drawn_in(100, 100, u64::MAX).unix_seconds(), 100);
        assert_eq!(drawn_in(100, 50, u64::MAX).unix_seconds(), 100, "a window that makes no sense");
    }

    #[test]
    fn waits_grow_to_six_hours() {
        let waits: Vec<u64> = (0..8).map(|failures| wait_after(failures).as_secs()).collect();
        assert_eq!(waits, [5, 20, 60, 300, 1_800, 7_200, 21_600, 21_600]);
    }

    #[test]
    fn the_file_has_two_parts() {
        let key = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n";
        let chain = "-----BEGIN CERTIFICATE-----\ny\n-----END CERTIFICATE-----\n";
        assert_eq!(chain_and_key(&format!("{chain}{key}")), (chain, key));
        assert_eq!(chain_and_key(chain), (chain, ""));
    }
}
