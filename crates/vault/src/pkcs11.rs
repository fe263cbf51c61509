//! A key in a PKCS#11 token: a hardware security module, or a software one.
//!
//! The versions of the key are AES keys of the token with one label, told apart by their `CKA_ID`, a
//! number in big-endian bytes; the greatest wraps. They are made in the token and never leave it:
//! `CKA_SENSITIVE` and not `CKA_EXTRACTABLE`. Wrapped is by AES-GCM, with the version's name as associated
//! data; the nonce is given, and read back, because tokens differ in whether they draw one.
//!
//! One session is logged in and used by one call at a time; while a call hangs in the token, no other
//! one takes a thread. When a token was away (pulled, restarted), whatever a call fails with, the module is
//! begun anew and a session opened once more before the call has failed. A PIN that was refused is not shown to it again:
//! tokens count wrong ones, and lock.
//!
//! The module is somebody else's machine code in our process: it is named by the configuration, and only
//! this file talks to it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11 as Module};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::{AuthPin, Ulong};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tradewarden_outbound::Unusable;
use tradewarden_seal::{
    KeySource, SOURCE_NONCE_BYTES, SecretBytes, SecretString, SourceAnswer, SourceError, Wrapping,
};
use zeroize::Zeroizing;

use crate::{CALL_MAX, SecretReader};

/// Nonce of AES-GCM, in bytes.
const NONCE_BYTES: usize = 12;
const TAG_BITS: Ulong = Ulong::new(128);
const KEY_BYTES: Ulong = Ulong::new(32);
/// Most versions that are looked at.
const VERSIONS_MAX: usize = 256;

/// What a source in a token is made of.
pub struct Pkcs11Options {
    /// The module, a shared library.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The label of the keys.
    pub key: String,
    /// Reads the user's PIN.
    pub pin: SecretReader,
}

/// See the module.
pub struct Pkcs11 {
    inner: Arc<Inner>,
    /// Whose call it is. A call that hangs keeps it.
    turn: Arc<Semaphore>,
    place: String,
}

struct Inner {
    options: Pkcs11Options,
    module: Module,
    link: Mutex<Link>,
    /// The PIN that the token refused.
    refused_pin: Mutex<Option<SecretString>>,
}

/// How far we are with the module.
enum Link {
    /// It was begun and not used yet.
    Begun,
    /// A session that is logged in.
    Open(Session),
    /// What there was did not do.
    Lost,
}

/// A version of the key, and where it is in this session.
struct Version {
    number: u64,
    handle: ObjectHandle,
}

impl Pkcs11 {
    /// Loads the module. One module is loaded by one source at a time in a process.
    pub fn new(options: Pkcs11Options) -> Result<Self, Unusable> {
        let unusable = |what: &str, error: &Error| {
            Unusable(format!("the module {} {what}: {error}", options.module.display()))
        };
        if options.key.is_empty() || options.key.len() > 64 {
            return Err(Unusable("key is a label of 1 to 64 characters".to_owned()));
        }
        let module = Module::new(&options.module);
        let module = module.map_err(|error| unusable("cannot be loaded", &error))?;
        let begun = module.initialize(arguments());
        begun.map_err(|error| unusable("does not begin", &error))?;
        let place = format!("token {:?}, key {:?}", options.token, options.key);
        let (link, refused_pin) = (Mutex::new(Link::Begun), Mutex::new(None));
        let inner = Arc::new(Inner { options, module, link, refused_pin });
        Ok(Self { inner, turn: Arc::new(Semaphore::new(1)), place })
    }

    /// Does something with the token, on a thread where it may block.
    async fn with<T: Send + 'static>(
        &self,
        work: impl Fn(&Inner, &Session) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, SourceError> {
        let (inner, turn) = (Arc::clone(&self.inner), Arc::clone(&self.turn));
        let working = async move {
            let turn = turn.acquire_owned().await;
            spawn_blocking(move || {
                let _until_it_is_done = turn;
                inner.carry_out(&work)
            })
            .await
        };
        match timeout(CALL_MAX, working).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(SourceError::Unavailable("the call to the token ended".to_owned())),
            Err(_) => {
                Err(SourceError::Unavailable(format!("{} did not answer in time", self.place)))
            }
        }
    }
}

/// Why something in the token was not done.
enum Failed {
    /// The token said so.
    Token(Error),
    /// It shows no key at all: there is none, or it is gone and the module does not say so.
    NoKeys(SourceError),
    /// We say so.
    Source(SourceError),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Token(error)
    }
}

impl Inner {
    /// Once, and once more with the module begun anew if the token did not do it: the old session may be
    /// gone, and some modules do not find a token again that was away.
    fn carry_out<T>(
        &self,
        work: &impl Fn(&Self, &Session) -> Result<T, Failed>,
    ) -> Result<T, SourceError> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if let Link::Open(session) = &*link {
            match work(self, session) {
                Ok(done) => return Ok(done),
                Err(Failed::Source(error)) => return Err(error),
                Err(Failed::Token(Error::Pkcs11(RvError::EncryptedDataInvalid, _))) => {
                    return Err(SourceError::DoesNotOpen);
                }
                Err(Failed::Token(_) | Failed::NoKeys(_)) => {}
            }
        }
        if !matches!(*link, Link::Begun) {
            // Closed before another one is opened: tokens count them.
            *link = Link::Lost;
            self.begin_anew()?;
        }
        *link = Link::Lost;
        let session = self.open()?;
        let done = work(self, &session);
        *link = Link::Open(session);
        done.map_err(|failed| match failed {
            Failed::Source(error) | Failed::NoKeys(error) => error,
            Failed::Token(error) => self.judged(&error),
        })
    }

    /// Nobody else in this process uses the module, and nobody has a session.
    fn begin_anew(&self) -> Result<(), SourceError> {
        let _not_begun = self.module.clone().finalize();
        match self.module.initialize(arguments()) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
            Err(error) => Err(self.judged(&error)),
        }
    }

    fn open(&self) -> Result<Session, SourceError> {
        let token = &self.options.token;
        let judged = |error: Error| self.judged(&error);
        let slots = self.module.get_slots_with_initialized_token().map_err(judged)?;
        let slot = slots.into_iter().find(|slot| {
            let info = self.module.get_token_info(*slot);
            info.is_ok_and(|info| info.label().trim_end() == token)
        });
        let slot = slot.ok_or_else(|| {
            SourceError::Unavailable(format!(
                "there is no token {token:?}: plug it in, start what it needs, or write its label as \
                 `pkcs11-tool --list-slots` shows it"
            ))
        })?;
        let pin = (self.options.pin)().map_err(SourceError::Refused)?;
        let mut refused = self.refused_pin.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.as_ref().is_some_and(|refused| refused.matches(pin.expose().as_bytes())) {
            return Err(SourceError::Refused(format!(
                "the token {token:?} refused this PIN before: put the right one into pin_file"
            )));
        }
        let info = self.module.get_token_info(slot).map_err(judged)?;
        if info.user_pin_final_try() || info.user_pin_locked() {
            return Err(SourceError::Refused(format!(
                "the token {token:?} takes one more PIN at most before it locks: log in to it once with \
                 the right one, by its own tool"
            )));
        }
        let session = self.module.open_rw_session(slot).map_err(judged)?;
        match session.login(UserType::User, Some(&AuthPin::new(pin.expose().into()))) {
            // One log-in counts for all sessions of a process.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                *refused = None;
                Ok(session)
            }
            Err(error) => {
                if is_about_the_pin(&error) {
                    *refused = Some(pin);
                }
                Err(self.judged(&error))
            }
        }
    }

    /// What the token's word means for who runs the gateway.
    fn judged(&self, error: &Error) -> SourceError {
        let token = &self.options.token;
        match error {
            error if is_about_the_pin(error) => SourceError::Refused(format!(
                "the token {token:?} does not take the PIN ({error}): put the right one into pin_file; \
                 too many wrong ones lock a token"
            )),
            Error::Pkcs11(RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange, _) => {
                SourceError::DoesNotOpen
            }
            Error::Pkcs11(RvError::MechanismInvalid | RvError::KeyFunctionNotPermitted, _) => {
                SourceError::Refused(format!(
                    "the token {token:?} does not encrypt by AES-GCM with this key ({error})"
                ))
            }
            _ => SourceError::Unavailable(format!("the token {token:?}: {error}")),
        }
    }

    /// Every version of the key, oldest first. What who has no PIN could have put there is none.
    fn versions(&self, session: &Session) -> Result<Vec<Version>, Failed> {
        let wanted = [
            Attribute::Token(true),
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Label(self.options.key.clone().into_bytes()),
        ];
        let mut versions = Vec::new();
        for handle in session.find_objects(&wanted)? {
            for attribute in session.get_attributes(handle, &[AttributeType::Id])? {
                let Attribute::Id(id) = attribute else { continue };
                if let Some(number) = number_of(&id) {
                    versions.push(Version { number, handle });
                }
            }
        }
        if versions.len() > VERSIONS_MAX {
            return Err(Failed::Source(SourceError::Refused(format!(
                "the token {:?} has more than {VERSIONS_MAX} keys {:?}",
                self.options.token, self.options.key
            ))));
        }
        versions.sort_by_key(|version| version.number);
        Ok(versions)
    }

    fn newest(&self, session: &Session) -> Result<Version, Failed> {
        let mut versions = self.versions(session)?;
        let newest = versions.pop().ok_or_else(|| {
            let Pkcs11Options { token, key, module, .. } = &self.options;
            Failed::NoKeys(SourceError::Refused(format!(
                "the token {token:?} has no AES key {key:?} with an id that is private, sensitive and not \
                 extractable: make one with `pkcs11-tool --module {} --token-label {token} --login \
                 --keygen --key-type AES:32 --label {key} --id 01 --sensitive --private`",
                module.display()
            )))
        })?;
        if versions.last().is_some_and(|other| other.number == newest.number) {
            let (token, id) = (&self.options.token, self.version_id(newest.number));
            return Err(Failed::Source(SourceError::Refused(format!(
                "the token {token:?} has two keys {id}, and nobody could say which one wraps: delete \
                 the one that wrapped nothing, or give it an id of its own"
            ))));
        }
        Ok(newest)
    }

    /// The name of a version: `pkcs11:LABEL:3`.
    fn version_id(&self, number: u64) -> String {
        format!("pkcs11:{}:{number}", self.options.key)
    }

    fn number_in(&self, key_id: &str) -> Option<u64> {
        let rest = key_id.strip_prefix("pkcs11:")?.strip_prefix(self.options.key.as_str())?;
        let number: u64 = rest.strip_prefix(':')?.parse().ok()?;
        // One spelling only.
        (self.version_id(number) == key_id).then_some(number)
    }

    fn wrap(
        &self,
        session: &Session,
        secret: &[u8],
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Wrapping, Failed> {
        let version = self.newest(session)?;
        let key_id = self.version_id(version.number);
        let mut given = nonce;
        let gcm = GcmParams::new(&mut given, key_id.as_bytes(), TAG_BITS)?;
        let sealed = session.encrypt(&Mechanism::AesGcm(gcm), version.handle, secret)?;
        // A token that draws its own nonce has written it there.
        Ok(Wrapping { bytes: [&given[..], &sealed].concat(), key_id })
    }

    fn unwrap(
        &self,
        session: &Session,
        key_id: &str,
        wrapped: &[u8],
    ) -> Result<SecretBytes, Failed> {
        let does_not = || Failed::Source(SourceError::DoesNotOpen);
        let number = self.number_in(key_id).ok_or_else(does_not)?;
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE_BYTES>().ok_or_else(does_not)?;
        let versions = self.versions(session)?;
        let version = versions.iter().find(|found| found.number == number).ok_or_else(|| {
            let token = &self.options.token;
            let error = SourceError::Refused(format!(
                "the token {token:?} has no key {key_id}: restore the token's backup"
            ));
            if versions.is_empty() { Failed::NoKeys(error) } else { Failed::Source(error) }
        })?;
        let mut given = *nonce;
        let gcm = GcmParams::new(&mut given, key_id.as_bytes(), TAG_BITS)?;
        let opened = session.decrypt(&Mechanism::AesGcm(gcm), version.handle, sealed)?;
        Ok(SecretBytes::new(opened))
    }

    fn rotate(&self, session: &Session) -> Result<String, Failed> {
        let number = self.newest(session)?.number.checked_add(1).ok_or_else(|| {
            Failed::Source(SourceError::Refused("there is no id after the greatest".to_owned()))
        })?;
        let template = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Modifiable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::ValueLen(KEY_BYTES),
            Attribute::Label(self.options.key.clone().into_bytes()),
            Attribute::Id(id_of(number)),
        ];
        session.generate_key(&Mechanism::AesKeyGen, &template)?;
        Ok(self.version_id(number))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A session ends before its module does.
        *self.link.get_mut().unwrap_or_else(PoisonError::into_inner) = Link::Lost;
        let _ended_with_the_process = self.module.clone().finalize();
    }
}

impl KeySource for Pkcs11 {
    fn kind(&self) -> &'static str {
        "pkcs11"
    }

    fn place(&self) -> String {
        self.place.clone()
    }

    fn holds(&self, key_id: &str) -> bool {
        self.inner.number_in(key_id).is_some()
    }

    fn newest(&self) -> SourceAnswer<'_, String> {
        Box::pin(self.with(|inner, session| {
            inner.newest(session).map(|version| inner.version_id(version.number))
        }))
    }

    fn wrap<'a>(
        &'a self,
        secret: &'a SecretBytes,
        nonce: &'a [u8; SOURCE_NONCE_BYTES],
    ) -> SourceAnswer<'a, Wrapping> {
        let secret = Zeroizing::new(secret.expose().to_vec());
        let mut own = [0; NONCE_BYTES];
        own.iter_mut().zip(nonce).for_each(|(byte, drawn)| *byte = *drawn);
        Box::pin(self.with(move |inner, session| inner.wrap(session, &secret, own)))
    }

    fn unwrap<'a>(&'a self, key_id: &'a str, wrapped: &'a [u8]) -> SourceAnswer<'a, SecretBytes> {
        let (key_id, wrapped) = (key_id.to_owned(), wrapped.to_vec());
        Box::pin(self.with(move |inner, session| inner.unwrap(session, &key_id, &wrapped)))
    }

    fn rotate(&self, _fresh: SecretBytes) -> SourceAnswer<'_, String> {
        Box::pin(self.with(Inner::rotate))
    }
}

impl std::fmt::Debug for Pkcs11 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pkcs11({})", self.place)
    }
}

fn arguments() -> CInitializeArgs {
    CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)
}

/// Whether the token did not take the PIN, so that it is not to be shown again.
const fn is_about_the_pin(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::PinIncorrect
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinLocked
                | RvError::PinExpired,
            _
        )
    )
}

/// The number in an id of 1 to 8 bytes, big-endian.
fn number_of(id: &[u8]) -> Option<u64> {
    let fits = (1..=8).contains(&id.len());
    fits.then(|| id.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
}

/// The id of a version, without zeros in front.
fn id_of(number: u64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
    bytes.get(first..).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers() {
        for (id, number) in [(vec![1], 1), (vec![0xff], 255), (vec![1, 0], 256), (vec![2, 3], 515)]
        {
            assert_eq!(number_of(&id), Some(number));
            assert_eq!(id_of(number), id);
        }
        assert_eq!(number_of(&[0, 7]), Some(7), "as another program may have written it");
        assert_eq!((number_of(&[]), number_of(&[1; 9])), (None, None));
    }

    #[test]
    fn a_module_that_is_not_there_is_told() {
        let options = Pkcs11Options {
            module: PathBuf::from("/nowhere/module.so"),
            token: "t".to_owned(),
            key: "k".to_owned(),
            pin: Box::new(|| Err("no PIN".to_owned())),
        };
        let refused = Pkcs11::new(options).unwrap_err().to_string();
        assert!(refused.contains("/nowhere/module.so cannot be loaded"), "{refused}");
    }
}
