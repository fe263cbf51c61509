//! People: who they are in an organization, and how long what they proved lasts.

use crate::id::{self, Id};
use crate::order::words;
use crate::permission::{Permission, Permissions};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

words! {
    /// The roles that every organization has (product.md section 4). Others are made from
    /// permissions.
    BuiltInRole {
        /// May do everything, and make owners.
        Owner = "owner",
        /// May do everything but make owners.
        Admin = "admin",
        /// Sets limits and stops trading; may not trade (RTS 6 Article 16(2)).
        RiskOfficer = "risk_officer",
        /// Trades, and manages what trades.
        Trader = "trader",
        /// Sees everything, the audit log and reports included; changes nothing.
        Auditor = "auditor",
        /// Sees orders, positions and balances.
        Viewer = "viewer",
    }

    /// How strict the rules for people are.
    Profile {
        /// The default.
        Standard = "standard",
        /// Stricter everywhere.
        Hardened = "hardened",
    }

    /// The kind of a second factor.
    FactorKind {
        /// Time-based codes (RFC 6238).
        Totp = "totp",
        /// A passkey or security key (WebAuthn).
        Webauthn = "webauthn",
        /// A code by short message; weak, never for step-up.
        Sms = "sms",
        /// A code from the list that was printed at enrolment.
        RecoveryCode = "recovery_code",
    }

    /// How a session is shown.
    SessionKind {
        /// By an access token, renewed with refresh tokens.
        Token = "token",
        /// By a cookie.
        Cookie = "cookie",
    }

    /// What a challenge waits for.
    ChallengeKind {
        /// The second factor of a login.
        Factor = "factor",
        /// A passkey that names its person.
        Passkey = "passkey",
        /// A passkey of a known person, for step-up.
        StepUp = "step_up",
        /// A new passkey.
        Enrolment = "enrolment",
        /// A new password: a reset or an invitation.
        Password = "password",
        /// The first owner.
        SetUp = "set_up",
        /// A code that was sent by text message.
        Sms = "sms",
    }

    /// What became of an action.
    Decision {
        /// It was carried out.
        Confirmed = "confirmed",
        /// It was not.
        Rejected = "rejected",
    }
}

const READS: [Permission; 3] =
    [Permission::OrdersRead, Permission::PositionsRead, Permission::BalancesRead];
const RECORDS: [Permission; 2] = [Permission::AuditRead, Permission::ReportsRead];

impl BuiltInRole {
    /// What the role may do.
    pub fn permissions(self) -> Permissions {
        let more: &[Permission] = match self {
            Self::Owner | Self::Admin => return Permissions::all(),
            Self::RiskOfficer => &[
                Permission::OrdersCancel,
                Permission::PositionsClose,
                Permission::LimitsManage,
                Permission::HaltEngage,
                Permission::HaltFlatten,
                Permission::HaltResume,
                Permission::AuditRead,
                Permission::ReportsRead,
            ],
            Self::Trader => &[
                Permission::SignalsWrite,
                Permission::OrdersCreate,
                Permission::OrdersCancel,
                Permission::PositionsClose,
                Permission::WebhooksManage,
                Permission::StrategiesManage,
                Permission::HaltEngage,
            ],
            Self::Auditor => &RECORDS,
            Self::Viewer => &[],
        };
        READS.iter().chain(more).copied().collect()
    }
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The identifier.
    pub id: Id<id::User>,
    /// The e-mail, as it was given.
    pub email: String,
    /// When the person was added.
    pub created_at: Timestamp,
}

/// The normal form of an e-mail, by which people are found; `None` if it is no e-mail that is
/// taken: one `@`, printable ASCII without spaces, at most 254 characters (RFC 5321 4.5.3.1), a
/// domain with a dot or `localhost`. Only ASCII, so that no letter of another script can pass for
/// one of these.
pub fn email_key(text: &str) -> Option<String> {
    let (local, domain) = text.split_once('@')?;
    let printable =
        text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"(),:;<>[\\]".contains(&byte));
    let labels = domain.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    let sound = (1..=64).contains(&local.len())
        && text.len() <= 254
        && printable
        && labels
        && (domain.contains('.') || domain.eq_ignore_ascii_case("localhost"))
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..");
    sound.then(|| text.to_ascii_lowercase())
}

/// How long what a person proved lasts (product.md section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetimes {
    /// Of an access token.
    pub access_token: Duration,
    /// Of a family of refresh tokens.
    pub refresh_token: Duration,
    /// Of a console session.
    pub console: Duration,
    /// Of a console session without a request.
    pub console_idle: Duration,
    /// Of a factor that was shown, for what needs a fresh one.
    pub step_up: Duration,
}

impl Profile {
    /// How long what a person proved lasts.
    pub const fn lifetimes(self) -> Lifetimes {
        match self {
            Self::Standard => Lifetimes {
                access_token: Duration::from_mins(90),
                refresh_token: Duration::from_hours(7 * 24),
                console: Duration::from_hours(24),
                console_idle: Duration::from_hours(1),
                step_up: Duration::from_mins(5),
            },
            Self::Hardened => Lifetimes {
                access_token: Duration::from_mins(10),
                refresh_token: Duration::from_hours(24),
                console: Duration::from_hours(12),
                console_idle: Duration::from_mins(15),
                step_up: Duration::from_mins(5),
            },
        }
    }

    /// Fewest characters of a password.
    pub const fn password_length_min(self) -> usize {
        match self {
            Self::Standard => 12,
            Self::Hardened => 15,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_risk_officer_may_stop_but_not_trade() {
        let may = BuiltInRole::RiskOfficer.permissions();
        assert!(!may.has(Permission::OrdersCreate) && !may.has(Permission::SignalsWrite));
        assert!(may.has(Permission::HaltEngage) && may.has(Permission::LimitsManage));
        assert!(!BuiltInRole::Trader.permissions().has(Permission::LimitsManage));
    }

    #[test]
    fn who_sees_changes_nothing() {
        for role in [BuiltInRole::Auditor, BuiltInRole::Viewer] {
            assert!(role.permissions().iter().all(|permission| !permission.needs_factor()));
        }
    }

    #[test]
    fn an_email_has_one_normal_form() {
        assert_eq!(email_key("Ann.Lee+x@Example.COM").as_deref(), Some("ann.lee+x@example.com"));
        assert_eq!(email_key("owner@localhost").as_deref(), Some("owner@localhost"));
        for wrong in [
            "",
            "ann",
            "@example.com",
            "ann@",
            "ann@com",
            "ann@exa mple.com",
            "a@b@example.com",
            "аnn@example.com",
            "ann@exаmple.com",
            ".ann@example.com",
            "ann@-example.com",
            "ann\u{0}@example.com",
            "ann@example..com",
            "<ann@example.com>",
        ] {
            assert_eq!(email_key(wrong), None, "{wrong:?}");
        }
        assert_eq!(email_key(&format!("{}@example.com", "a".repeat(65))), None);
    }
}
