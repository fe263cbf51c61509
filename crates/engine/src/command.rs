//! Commands: everything a caller asks for, as values that can cross a socket, and what each needs.

mod account;
mod certificate;
mod change;
pub(crate) mod error;
mod key;
mod limit;
mod lockdown;
mod order;
mod organization;
mod overrides;
mod people;
mod pins;
mod rate;
pub mod replay;
mod roll;
mod search;
mod strategy;
mod vault;
mod webhook;

pub use account::{AccountConfirm, AccountCreate, AccountDisconnect, PaperPrice};
pub use certificate::{CertificateEvent, CertificateNote};
pub(crate) use change::loosens_days;
pub use change::{
    AccountChanges, Change, Delete, LimitDelete, LimitNamed, Setting, StrategyChanges,
    WebhookChanges,
};
pub use error::{CommandError, OrderNo};
pub use key::{KeyCreate, KeyRotate, KeyRotation};
pub use limit::{
    DeadManSet, HaltEngage, LimitSet, LimitValue, LimitsDiff, LimitsImport, LimitsVersion,
};
pub(crate) use lockdown::Freeze;
pub use lockdown::{LockdownAnswer, LockdownConfirm, LockdownEngage};
pub use order::{CancelAll, OrderAsChanged, OrderChange, OrderCreate, PositionClose};
pub use organization::{OrganizationCreate, OrganizationRename};
pub use overrides::OverrideRequest;
pub use people::{PolicySet, RoleCreate, UserChange, UserCreate};
pub use pins::PinsPublish;
pub use rate::RateSet;
pub use roll::RollSet;
pub use search::{Filter, Search};
pub use strategy::StrategyCreate;
pub use vault::{AcceptRows, VaultCommand, VaultDataKeys, VaultErase, VaultRewrap};
pub use webhook::{WebhookCreate, WebhookRotate, WebhookRotation};

use serde::{Deserialize, Serialize};
use tradewarden_domain::account::Activity;
use tradewarden_domain::permission::Permission;

/// One request of an operator. Fields carry the names of the API's create bodies (C27).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Makes a webhook; the answer holds its secret, once.
    WebhookCreate(WebhookCreate),
    /// Lists webhooks.
    WebhookList,
    /// Shows one webhook.
    WebhookShow(ById),
    /// Changes a webhook.
    WebhookChange(Change<WebhookChanges>),
    /// Takes a webhook away that no strategy follows.
    WebhookDelete(Delete),
    /// Switches a webhook off.
    WebhookDisable(ById),
    /// Gives a webhook new secrets; the answer holds them, once.
    WebhookRotate(WebhookRotate),
    /// Makes a strategy.
    StrategyCreate(StrategyCreate),
    /// Lists strategies.
    StrategyList,
    /// Shows one strategy.
    StrategyShow(ById),
    /// Changes a strategy, or switches it.
    StrategyChange(Change<StrategyChanges>),
    /// Takes a strategy away that is off and holds nothing.
    StrategyDelete(Delete),
    /// Switches a strategy off: to exits only while it holds a position.
    StrategyDisable(ById),
    /// Makes an account.
    AccountCreate(AccountCreate),
    /// Lists accounts.
    AccountList,
    /// Shows one account.
    AccountShow(ById),
    /// Changes an account.
    AccountChange(Change<AccountChanges>),
    /// Switches an account off.
    AccountDisable(ById),
    /// Cuts an account off from its broker, and switches off what trades there alone.
    AccountDisconnect(AccountDisconnect),
    /// Sets a paper instrument's price, or lets it move by itself again.
    PaperPrice(PaperPrice),
    /// Sets a limit.
    LimitSet(LimitSet),
    /// Lists limits.
    LimitList,
    /// Shows one limit.
    LimitShow(LimitNamed),
    /// Takes a limit away.
    LimitDelete(LimitDelete),
    /// Puts all limits in force that a policy has, and takes every other one away.
    LimitsImport(LimitsImport),
    /// Lists the versions of the limits, newest first.
    LimitsVersions(Paging),
    /// Shows the limits as they were at a version.
    LimitsShow(LimitsVersion),
    /// Tells two versions of the limits apart.
    LimitsDiff(LimitsDiff),
    /// Asks that one order may pass one limit.
    OverrideRequest(OverrideRequest),
    /// Confirms what another person asked for.
    OverrideConfirm(ById),
    /// Takes an override back.
    OverrideWithdraw(ById),
    /// Lists overrides, newest first.
    OverrideList(Paging),
    /// Puts a month contract into the roll table, or changes it there.
    RollSet(RollSet),
    /// Lists the roll table.
    RollList,
    /// Takes a month contract out of the roll table.
    RollRemove(ById),
    /// Engages a halt.
    HaltEngage(HaltEngage),
    /// Ends a halt.
    HaltResume(ById),
    /// Lists the halts that are engaged.
    HaltStatus,
    /// Shows a halt and how far it has come.
    HaltShow(ById),
    /// Arms the caller's dead-man switch, or renews it.
    DeadManSet(DeadManSet),
    /// Disarms it.
    DeadManRemove,
    /// Lists dead-man switches.
    DeadManList,
    /// Locks a compromised organization down.
    LockdownEngage(LockdownEngage),
    /// Shows the lockdown that is in force, or else the last one.
    LockdownStatus,
    /// Says what becomes of open positions.
    LockdownAnswer(LockdownAnswer),
    /// Confirms the list of open positions; then the access to brokers is erased.
    LockdownConfirm(LockdownConfirm),
    /// Ends the lockdown: changes are possible again.
    LockdownEnd,
    /// Gives everything that is known of the days around the lockdown.
    LockdownBundle,
    /// Lists signals, newest first.
    SignalList(Search),
    /// Shows a signal with its trace.
    SignalShow(ById),
    /// Judges a stored signal by today's rules, without an order.
    SignalReplay(ById),
    /// Judges the next signals of a stored period by another policy; writes nothing.
    ReplayPeriod(replay::ReplayPeriod),
    /// The same part by part, over the API.
    ReplayPage(replay::ReplayPage),
    /// Lists orders, newest first.
    OrderList(Search),
    /// Shows one order.
    OrderShow(ById),
    /// Places an order.
    OrderCreate(OrderCreate),
    /// Changes quantity and prices of an order.
    OrderChange(OrderChange),
    /// Cancels one order.
    OrderCancel(ById),
    /// Cancels every open order that is meant.
    OrderCancelAll(CancelAll),
    /// Lists positions.
    PositionList(Search),
    /// Closes what is held on an account and instrument.
    PositionClose(PositionClose),
    /// Shows an account's cash and equity.
    AccountBalances(ById),
    /// Shows what was made on an account.
    AccountProfit(ById),
    /// Says a rate of exchange.
    RateSet(RateSet),
    /// Lists rates of exchange.
    RateList,
    /// Shows what state the installation is in as regards its security.
    Posture,
    /// Lists findings, newest first.
    FindingList(Search),
    /// Lists alerts, newest first.
    AlertList(Paging),
    /// Has an alert told no more.
    AlertAcknowledge(ById),
    /// Lists the channels for alerts.
    AlertChannels,
    /// Sends a test on every channel for alerts.
    AlertTest,
    /// Lists entries of the audit log, newest first.
    AuditList(Search),
    /// Proves that an entry, or the entry about an object, is in the log.
    AuditProve(ById),
    /// Makes an organization with its owner.
    OrganizationCreate(OrganizationCreate),
    /// Lists organizations.
    OrganizationList,
    /// Gives an organization another name.
    OrganizationRename(OrganizationRename),
    /// Is about the keys under which secrets are stored.
    Vault(VaultCommand),
    /// Adds a person.
    UserCreate(UserCreate),
    /// Lists people.
    UserList,
    /// Shows one person.
    UserShow(ById),
    /// Gives a person another role, or lets them log in or not.
    UserChange(UserChange),
    /// Takes a person out of the organization.
    UserRemove(ById),
    /// Makes a token with which a person sets a new password.
    UserResetPassword(ById),
    /// Takes a person's second factors away.
    UserResetFactors(ById),
    /// Ends a person's sessions.
    UserEndSessions(ById),
    /// Lists roles.
    RoleList,
    /// Makes a role.
    RoleCreate(RoleCreate),
    /// Removes a role that nobody has.
    RoleRemove(ById),
    /// Lists sessions.
    SessionList,
    /// Ends a session.
    SessionEnd(ById),
    /// Lists policies about people.
    PolicyList,
    /// Sets a policy about people.
    PolicySet(PolicySet),
    /// Lists what waits for a second person.
    PendingList,
    /// Confirms it.
    PendingConfirm(ById),
    /// Rejects it.
    PendingReject(ById),
    /// Makes an API key; the answer holds what it signs with, once.
    KeyCreate(KeyCreate),
    /// Lists API keys.
    KeyList,
    /// Shows one API key.
    KeyShow(ById),
    /// Makes the successor of an API key.
    KeyRotate(KeyRotate),
    /// Lets an API key only cancel and close.
    KeySuspend(ById),
    /// Lets a suspended API key go on.
    KeyActivate(ById),
    /// Ends an API key for ever.
    KeyRevoke(ById),
    /// Tells what an API key did, by the hour.
    KeyUsage(ById),
    /// Records what was done with a certificate of the internal listener's CA.
    CertificateNote(CertificateNote),
    /// Signs the pins of the public certificate's keys.
    PinsPublish(PinsPublish),
    /// Tells who asks.
    Me,
}

/// What a caller needs for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is asked for by itself")]
pub struct Need {
    /// One of these; none of them stands for anybody who is authenticated.
    pub any_of: &'static [Permission],
    /// A person who showed a second factor a moment ago.
    pub step_up: bool,
    /// A person who showed one at all. Most permissions are not there without; the one to engage a
    /// halt is, and does not reach further than that.
    pub factor: bool,
    /// To reach every account: what it shows or does is the organization's, and a key for some
    /// accounts is not there for it.
    pub whole: bool,
    /// It stops, which asks for no factor under any profile.
    pub stops: bool,
}

impl Need {
    const fn any_of(any_of: &'static [Permission]) -> Self {
        Self { any_of, step_up: false, factor: false, whole: false, stops: false }
    }

    const fn fresh(any_of: &'static [Permission]) -> Self {
        Self { step_up: true, factor: true, ..Self::any_of(any_of) }
    }

    const fn with_factor(any_of: &'static [Permission]) -> Self {
        Self { factor: true, ..Self::any_of(any_of) }
    }

    const fn whole(self) -> Self {
        Self { whole: true, ..self }
    }
}

impl Command {
    pub(crate) const ORDER_NEEDS: Need = Need::any_of(&[Permission::OrdersCreate]);
    /// One of these is needed of who confirms or rejects what waits for a second person.
    const SECONDS: &[Permission] =
        &[Permission::UsersManage, Permission::HaltResume, Permission::LimitsManage];

    /// What a caller needs for it. The route's permission is asked first; this one holds for every
    /// way in. What changes something and needs nothing here is the operator's, for which the engine asks
    /// by itself.
    #[expect(clippy::too_many_lines, reason = "one table, with a row for each kind of command")]
    pub const fn needs(&self) -> Need {
        use Permission as P;
        match self {
            Self::WebhookCreate(_)
            | Self::WebhookChange(_)
            | Self::WebhookDelete(_)
            | Self::WebhookDisable(_)
            | Self::WebhookRotate(_) => Need::any_of(&[P::WebhooksManage]),
            Self::WebhookList | Self::WebhookShow(_) => {
                Need::any_of(&[P::WebhooksManage, P::OrdersRead])
            }
            Self::StrategyCreate(_)
            | Self::StrategyChange(_)
            | Self::StrategyDelete(_)
            | Self::StrategyDisable(_) => Need::any_of(&[P::StrategiesManage]),
            Self::RollSet(_) | Self::RollRemove(_) => Need::any_of(&[P::StrategiesManage]).whole(),
            Self::StrategyList | Self::StrategyShow(_) | Self::RollList => {
                Need::any_of(&[P::StrategiesManage, P::OrdersRead])
            }
            Self::AccountChange(_)
            | Self::AccountDisable(_)
            | Self::AccountDisconnect(_)
            | Self::PaperPrice(_) => Need::any_of(&[P::AccountsManage]),
            Self::AccountBalances(_) | Self::AccountProfit(_) => Need::any_of(&[P::BalancesRead]),
            Self::RateList => Need::any_of(&[P::BalancesRead, P::LimitsManage]),
            Self::AccountList | Self::AccountShow(_) => {
                Need::any_of(&[P::BalancesRead, P::AccountsManage])
            }
            Self::LimitSet(_) | Self::LimitDelete(_) | Self::LimitsImport(_) => {
                Need::any_of(&[P::LimitsManage])
            }
            Self::RateSet(_) => Need::fresh(&[P::LimitsManage]).whole(),
            Self::LimitsVersions(_) => Need::any_of(&[P::LimitsManage, P::OrdersRead]).whole(),
            Self::LimitList
            | Self::LimitShow(_)
            | Self::LimitsShow(_)
            | Self::LimitsDiff(_)
            | Self::OverrideList(_) => Need::any_of(&[P::LimitsManage, P::OrdersRead]),
            Self::OverrideRequest(_) | Self::OverrideWithdraw(_) => {
                Need::any_of(&[P::LimitsManage, P::OrdersCreate])
            }
            Self::OverrideConfirm(_) => Need::fresh(&[P::LimitsManage]),
            // Stopping needs no factor; taking away what protects is more than to stop.
            Self::HaltEngage(HaltEngage { include_protective: true, .. }) => {
                Need::with_factor(&[P::HaltEngage, P::HaltFlatten])
            }
            Self::HaltEngage(_) => {
                Need { stops: true, ..Need::any_of(&[P::HaltEngage, P::HaltFlatten]) }
            }
            Self::LockdownAnswer(_) => Need::with_factor(&[P::HaltEngage, P::HaltFlatten]).whole(),
            Self::DeadManSet(_) | Self::DeadManRemove => Need::with_factor(&[P::HaltEngage]),
            Self::LockdownEngage(_) | Self::AlertAcknowledge(_) | Self::AlertTest => {
                Need::with_factor(&[P::HaltEngage]).whole()
            }
            Self::LockdownStatus => {
                Need::any_of(&[P::HaltEngage, P::HaltResume, P::AuditRead]).whole()
            }
            Self::LockdownBundle => Need::fresh(&[P::AuditRead]).whole(),
            Self::AccountCreate(_) | Self::LockdownConfirm(_) => {
                Need::fresh(&[P::AccountsManage]).whole()
            }
            Self::HaltResume(_) => Need::fresh(&[P::HaltResume]),
            Self::LockdownEnd => Need::fresh(&[P::HaltResume]).whole(),
            Self::HaltStatus | Self::HaltShow(_) | Self::DeadManList => {
                Need::any_of(&[P::HaltEngage, P::HaltResume, P::OrdersRead])
            }
            Self::SignalList(_)
            | Self::SignalShow(_)
            | Self::SignalReplay(_)
            | Self::OrderList(_)
            | Self::OrderShow(_) => Need::any_of(&[P::OrdersRead]),
            Self::ReplayPeriod(_) | Self::ReplayPage(_) => Need::any_of(&[P::OrdersRead]).whole(),
            Self::OrderCreate(_) | Self::OrderChange(_) => Self::ORDER_NEEDS,
            Self::OrderCancel(_) | Self::OrderCancelAll(_) => Need::any_of(&[P::OrdersCancel]),
            Self::PositionList(_) => Need::any_of(&[P::PositionsRead]),
            Self::PositionClose(_) => Need::any_of(&[P::PositionsClose]),
            Self::FindingList(_) | Self::AlertList(_) | Self::AlertChannels => {
                Need::any_of(&[P::AuditRead, P::OrdersRead]).whole()
            }
            Self::AuditList(_) | Self::AuditProve(_) | Self::Posture => {
                Need::any_of(&[P::AuditRead]).whole()
            }
            Self::UserList
            | Self::UserShow(_)
            | Self::UserEndSessions(_)
            | Self::RoleList
            | Self::SessionList
            | Self::SessionEnd(_)
            | Self::PolicyList
            | Self::UserChange(UserChange {
                role: None, state: Some(Activity::Disabled), ..
            }) => Need::any_of(&[P::UsersManage]).whole(),
            Self::UserCreate(_)
            | Self::UserChange(_)
            | Self::UserRemove(_)
            | Self::UserResetPassword(_)
            | Self::UserResetFactors(_)
            | Self::RoleCreate(_)
            | Self::RoleRemove(_)
            | Self::PolicySet(_) => Need::fresh(&[P::UsersManage]),
            Self::PendingList | Self::PendingReject(_) => Need::any_of(Self::SECONDS).whole(),
            Self::PendingConfirm(_) => Need::fresh(Self::SECONDS),
            Self::KeyCreate(_) | Self::KeyRotate(_) | Self::KeyActivate(_) => {
                Need::fresh(&[P::KeysManage])
            }
            Self::KeyList
            | Self::KeyShow(_)
            | Self::KeySuspend(_)
            | Self::KeyRevoke(_)
            | Self::KeyUsage(_) => Need::any_of(&[P::KeysManage]).whole(),
            Self::OrganizationCreate(_)
            | Self::OrganizationList
            | Self::OrganizationRename(_)
            | Self::CertificateNote(_)
            | Self::PinsPublish(_)
            | Self::Vault(_)
            | Self::Me => Need::any_of(&[]),
        }
    }
}

/// Names one thing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ById {
    /// Its identifier.
    pub id: String,
}

/// Where a page begins and how long it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paging {
    /// The `next` of the page before; absent for the first page.
    #[serde(default)]
    pub cursor: Option<String>,
    /// At most so many, 1 to 200; 50 if absent.
    #[serde(default)]
    pub limit: Option<u32>,
}
