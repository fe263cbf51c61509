//! What people ask about themselves: logging in, second factors, sessions. These are no commands:
//! they carry what a person typed, and they are never stored or passed on.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::net::IpAddr;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::order::UnknownWord;
use tradewarden_seal::SecretString;

/// A secret as somebody typed it. Does not print.
pub struct Entered(SecretString);

impl Entered {
    /// What was typed.
    pub fn new(text: String) -> Self {
        Self(SecretString::new(text))
    }

    pub(crate) fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl std::fmt::Debug for Entered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entered")
    }
}

impl Clone for Entered {
    fn clone(&self) -> Self {
        Self::new(self.0.expose().to_owned())
    }
}

/// Only for the control socket, between two processes of one user: a password that the operator
/// gives a person on the command line has to get to the gateway.
impl Serialize for Entered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Entered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// A request about oneself.
#[derive(Debug)]
pub enum Ask {
    /// E-mail and password.
    Login(Login),
    /// The second factor of a login.
    Factor(FactorShown),
    /// A new access token.
    Refresh(RefreshShown),
    /// A session in another of my organizations.
    Switch(Switch),
    /// The organizations that I was asked into.
    InvitationList,
    /// To join one of them.
    InvitationAccept(String),
    /// Not to.
    InvitationDecline(String),
    /// The end of this session.
    Logout,
    /// What a passkey needs for a step-up.
    StepUpOptions,
    /// A second factor once more.
    StepUp(Proof),
    /// A new password: asked for, or set with the token that was sent.
    PasswordReset(PasswordReset),
    /// What a passkey needs for a login without a name.
    PasskeyOptions,
    /// A login by passkey.
    Passkey(PasskeyLogin),
    /// The first owner, with the token that was printed.
    SetUp(SetUp),
    /// My second factors.
    FactorList,
    /// A new secret for time-based codes.
    TotpBegin,
    /// The first code of it.
    TotpConfirm(String, Code),
    /// The code that a login waits for, by text message.
    SmsSend(SmsAsked),
    /// A phone for codes by text message.
    SmsBegin(SmsEnrol),
    /// The first code that was sent there.
    SmsConfirm(String, Code),
    /// What a new passkey needs.
    WebauthnOptions,
    /// A new passkey.
    WebauthnEnrol(WebauthnEnrol),
    /// One factor less.
    FactorRemove(String),
    /// Ten new recovery codes.
    RecoveryCodes,
    /// My sessions.
    SessionList,
    /// The end of one of them.
    SessionEnd(String),
    /// Another password.
    PasswordChange(PasswordChange),
}

/// E-mail and password.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The e-mail.
    pub email: String,
    /// The password.
    pub password: Entered,
    /// Whether the session is to be shown by a cookie.
    #[serde(default)]
    pub cookie: bool,
    /// The organization; the one of the last session, or the first, if absent.
    #[serde(default)]
    pub org_id: Option<String>,
}

/// Another of one's own organizations.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// The organization.
    pub org_id: String,
}

/// A second factor.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// `totp`, `webauthn` or `recovery_code`; at a login `sms`, too.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code, but for a passkey.
    #[serde(default)]
    pub code: Option<Entered>,
    /// What the browser gave (`PublicKeyCredential.toJSON()`), for a passkey.
    #[serde(default)]
    pub credential: Option<Value>,
    /// What the options named, for a passkey at a step-up.
    #[serde(default)]
    pub challenge_id: Option<String>,
}

/// The second factor of a login.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactorShown {
    /// What the login answered.
    pub challenge_id: String,
    /// As in [`Proof`].
    #[serde(rename = "type")]
    pub kind: String,
    /// As in [`Proof`].
    #[serde(default)]
    pub code: Option<Entered>,
    /// As in [`Proof`].
    #[serde(default)]
    pub credential: Option<Value>,
}

/// A refresh token.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefreshShown {
    /// The token.
    pub refresh_token: Entered,
}

/// A new password, with or without the token for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordReset {
    /// Whose, when it is asked for.
    #[serde(default)]
    pub email: Option<String>,
    /// The token, when it is set.
    #[serde(default)]
    pub token: Option<Entered>,
    /// The new password, when it is set.
    #[serde(default)]
    pub password: Option<Entered>,
}

/// A login by passkey.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeyLogin {
    /// What the options named.
    pub challenge_id: String,
    /// What the browser gave.
    pub credential: Value,
    /// Whether the session is to be shown by a cookie.
    #[serde(default)]
    pub cookie: bool,
    /// The organization; the one of the last session, or the first, if absent.
    #[serde(default)]
    pub org_id: Option<String>,
}

/// The first owner.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetUp {
    /// The token that was printed.
    pub token: Entered,
    /// The owner's e-mail.
    pub email: String,
    /// The owner's password.
    pub password: Entered,
}

/// A code.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// Six digits.
    pub code: Entered,
}

/// A login that wants a code by text message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmsAsked {
    /// What the login answered.
    pub challenge_id: String,
}

/// A phone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmsEnrol {
    /// Its number, in the form of E.164.
    pub phone: String,
}

impl std::fmt::Debug for SmsEnrol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SmsEnrol")
    }
}

/// A new passkey.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebauthnEnrol {
    /// What the options named.
    pub challenge_id: String,
    /// What the browser gave.
    pub credential: Value,
    /// What its owner calls it, 1 to 64 characters.
    #[serde(default)]
    pub name: Option<String>,
}

/// Another password.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The password until now.
    pub current: Entered,
    /// The password from now on.
    pub new: Entered,
}

/// Where a request comes from.
#[derive(Debug, Clone)]
pub struct Client {
    /// The address.
    pub address: IpAddr,
    /// What the program calls itself, at most 256 characters.
    pub user_agent: String,
    /// Whether a browser says that the request was made by a page of our own.
    pub origin: Origin,
    /// The session that the request shows by a cookie; a new one takes its place.
    pub session: Option<Id<id::Session>>,
}

/// Who made a request, as far as a browser says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody says: no browser.
    Unsaid,
    /// A page of our own.
    Own,
    /// A page of somebody else.
    Other,
}

/// The answer to an [`Ask`].
#[derive(Debug)]
pub struct Said {
    /// The API's object.
    pub value: Value,
    /// What becomes of the cookie.
    pub cookie: Cookie,
}

/// What becomes of the session's cookie.
#[derive(Debug)]
pub enum Cookie {
    /// Nothing.
    Keep,
    /// It is set.
    Set {
        /// Its value.
        token: SecretString,
        /// For how long.
        max_age_s: u64,
    },
    /// It is taken away.
    Clear,
}

impl From<Value> for Said {
    fn from(value: Value) -> Self {
        Self { value, cookie: Cookie::Keep }
    }
}

impl From<FactorShown> for Proof {
    fn from(shown: FactorShown) -> Self {
        let FactorShown { kind, code, credential, challenge_id } = shown;
        Self { kind, code, credential, challenge_id: Some(challenge_id) }
    }
}

/// A word that was not among those that are taken.
pub(crate) fn unknown(_: UnknownWord) -> crate::command::error::CommandError {
    crate::command::error::invalid("type", &"must be totp, webauthn, sms or recovery_code")
}
