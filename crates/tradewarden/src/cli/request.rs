//! From what was typed to what the engine is asked, and how its answer is shown.

use std::path::Path;

use tradewarden_domain::account::Activity;
use tradewarden_domain::signal::Mapping;
use tradewarden_domain::strategy::SymbolSource;
use tradewarden_engine::command::{self, Command};
use tradewarden_engine::people::Entered;

use super::change::{delete, on};
use super::{
    AccountVerb, AlertVerb, ById, DeadManVerb, FindingVerb, HaltVerb, OrderVerb, OrganizationVerb,
    Page, PaperPrice, PositionVerb, RateVerb, RollVerb, StrategyCreate, StrategyVerb, UserName,
    UserVerb, Verb, WebhookCreate, WebhookVerb,
};
use crate::files;
use crate::outcome::Failure;

/// Largest mapping file, in bytes.
const MAPPING_BYTES_MAX: u64 = 64 * 1024;
/// Largest password file, in bytes.
const PASSWORD_BYTES_MAX: u64 = 4 * 1024;

/// The columns of a list: a heading and the name of the field under it.
pub(crate) type Columns = &'static [(&'static str, &'static str)];

/// How an answer looks to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One object, field by field.
    One,
    /// A table.
    List(Columns),
}

/// A command for the engine, and the shape of its answer.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) command: Command,
    pub(crate) shape: Shape,
}

const WEBHOOKS: Columns =
    &[("ID", "id"), ("NAME", "name"), ("STATE", "state"), ("DRY RUN", "dry_run"), ("URL", "url")];
const STRATEGIES: Columns = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("STATE", "state"),
    ("SYMBOL", "symbol"),
    ("QUANTITY", "quantity"),
    ("ACCOUNT", "account_id"),
];
const ACCOUNTS: Columns = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("BROKER", "broker"),
    ("CURRENCY", "currency"),
    ("STATE", "state"),
];
const HALTS: Columns = &[
    ("ID", "id"),
    ("SCOPE", "scope"),
    ("MODE", "mode"),
    ("ENGAGED AT", "engaged_at"),
    ("BY", "engaged_by"),
    ("LOCAL", "local"),
    ("REASON", "reason"),
];
const ORDERS: Columns = &[
    ("ID", "id"),
    ("CREATED AT", "created_at"),
    ("SYMBOL", "symbol"),
    ("SIDE", "side"),
    ("QUANTITY", "quantity"),
    ("FILLED", "filled_quantity"),
    ("AVERAGE", "average_price"),
    ("STATE", "state"),
    ("CODE", "code"),
];
const POSITIONS: Columns = &[
    ("ACCOUNT", "account_id"),
    ("SYMBOL", "symbol"),
    ("QUANTITY", "quantity"),
    ("AVERAGE", "average_price"),
    ("PROJECTED", "projected_quantity"),
    ("REALIZED", "realized_pnl"),
    ("UNREALIZED", "unrealized_pnl"),
];
const RATES: Columns = &[
    ("BASE", "base"),
    ("QUOTE", "quote"),
    ("RATE", "rate"),
    ("SOURCE", "source"),
    ("AT", "at"),
    ("VALID UNTIL", "valid_until"),
];
const FINDINGS: Columns = &[
    ("ID", "id"),
    ("AT", "at"),
    ("SEVERITY", "severity"),
    ("CODE", "code"),
    ("SUBJECT", "subject"),
    ("DETAIL", "detail"),
];

const ALERTS: Columns = &[
    ("ID", "id"),
    ("AT", "at"),
    ("SEVERITY", "severity"),
    ("CODE", "code"),
    ("TOLD", "told"),
    ("ACKNOWLEDGED BY", "acknowledged_by"),
    ("SUBJECT", "subject"),
    ("DETAIL", "detail"),
];
const DEAD_MEN: Columns = &[
    ("SCOPE", "scope"),
    ("TIMEOUT S", "timeout_s"),
    ("MODE", "mode"),
    ("BY", "armed_by"),
    ("FIRES AT", "fires_at"),
    ("FIRED AT", "fired_at"),
];
const ALERT_CHANNELS: Columns = &[("CHANNEL", "channel"), ("TESTED AT", "tested_at")];

const ROLLS: Columns = &[
    ("CONTRACT", "contract"),
    ("ROOT", "root"),
    ("FRONT", "is_front"),
    ("ROLLS AT", "rolls_at"),
    ("LAST DAY", "last_day"),
    ("EXPIRES ON", "expires_on"),
];

const USERS: Columns = &[
    ("ID", "id"),
    ("EMAIL", "email"),
    ("ROLE", "role"),
    ("STATE", "state"),
    ("FACTORS", "factors"),
];

const ORGANIZATIONS: Columns = &[("ID", "id"), ("NAME", "name"), ("CREATED AT", "created_at")];

impl Asking {
    /// What the engine is asked; `None` for what is done without it.
    pub(crate) fn of(verb: Verb) -> Result<Option<Self>, Failure> {
        Ok(Some(match verb {
            Verb::Webhook(verb) => webhook(verb)?,
            Verb::Strategy(verb) => strategy(verb),
            Verb::Account(verb) => account(verb),
            Verb::Limit(verb) => match verb.asking() {
                Some(asking) => asking,
                None => return Ok(None),
            },
            Verb::Override(verb) => verb.asking(),
            Verb::Roll(verb) => roll(verb),
            Verb::Rate(verb) => rate(verb),
            Verb::Halt(verb) => halt(verb),
            Verb::Lockdown(verb) => super::lockdown::asking(verb),
            Verb::DeadMan(verb) => match verb {
                DeadManVerb::Set(set) => one(Command::DeadManSet(command::DeadManSet {
                    timeout_s: set.timeout_s,
                    mode: set.mode,
                    include_protective: set.include_protective,
                })),
                DeadManVerb::Off => one(Command::DeadManRemove),
                DeadManVerb::List => list(Command::DeadManList, DEAD_MEN),
            },
            Verb::Alert(verb) => match verb {
                AlertVerb::List(page) => list(Command::AlertList(page.into()), ALERTS),
                AlertVerb::Acknowledge(id) => one(Command::AlertAcknowledge(id.into())),
                AlertVerb::Channels => list(Command::AlertChannels, ALERT_CHANNELS),
                AlertVerb::Test => list(Command::AlertTest, ALERT_CHANNELS),
            },
            Verb::Signal(verb) => match verb.asking() {
                Some(asking) => asking,
                None => return Ok(None),
            },
            Verb::Order(verb) => match verb {
                OrderVerb::List(asked) => list(Command::OrderList((*asked).into()), ORDERS),
                OrderVerb::Show(id) => one(Command::OrderShow(id.into())),
                OrderVerb::Change(change) => one(Command::OrderChange(command::OrderChange {
                    id: change.id,
                    quantity: change.quantity,
                    limit_price: change.limit_price,
                    stop_price: change.stop_price,
                })),
                OrderVerb::Cancel(id) => one(Command::OrderCancel(id.into())),
            },
            Verb::Position(PositionVerb::List(asked)) => {
                list(Command::PositionList(asked.into()), POSITIONS)
            }
            Verb::Finding(FindingVerb::List(asked)) => {
                list(Command::FindingList((*asked).into()), FINDINGS)
            }
            Verb::Organization(verb) => organization(verb),
            Verb::User(verb) => user(verb)?,
            Verb::Serve(_)
            | Verb::Demo(_)
            | Verb::Init(_)
            | Verb::Key(_)
            | Verb::Sign(_)
            | Verb::Config(_)
            | Verb::Doctor
            | Verb::Audit(_)
            | Verb::Ca(_)
            | Verb::Pins(_)
            | Verb::Db(_)
            | Verb::Vault(_)
            | Verb::Bench(_)
            | Verb::Completions { .. }
            | Verb::PaperBroker
            | Verb::CliReference => return Ok(None),
        }))
    }
}

fn webhook(verb: WebhookVerb) -> Result<Asking, Failure> {
    Ok(match verb {
        WebhookVerb::Create(create) => one(Command::WebhookCreate(webhook_create(create)?)),
        WebhookVerb::List => list(Command::WebhookList, WEBHOOKS),
        WebhookVerb::Show(id) => one(Command::WebhookShow(id.into())),
        WebhookVerb::Change(change) => one(change.command()?),
        WebhookVerb::Delete(id) => one(Command::WebhookDelete(delete(id))),
        WebhookVerb::Disable(id) => one(Command::WebhookDisable(id.into())),
        WebhookVerb::Rotate(rotate) => one(Command::WebhookRotate(command::WebhookRotate {
            id: rotate.id,
            overlap_s: rotate.overlap_s,
        })),
    })
}

fn webhook_create(create: WebhookCreate) -> Result<command::WebhookCreate, Failure> {
    let mapping = create.mapping.as_deref().map(mapping);
    Ok(command::WebhookCreate {
        name: create.name,
        allow: create.allow,
        preset: create.preset,
        client_certificate: create.client_certificate,
        symbols: create.symbols,
        dry_run: create.dry_run,
        rate_per_s: create.rate_per_s,
        max_age_s: create.max_age_s,
        forms: Some(create.forms).filter(|forms| !forms.is_empty()),
        mapping: mapping.transpose()?,
    })
}

/// The mapping in a file.
pub(super) fn mapping(path: &Path) -> Result<Mapping, Failure> {
    let text = files::read_text(path, MAPPING_BYTES_MAX)?;
    serde_json::from_str::<Mapping>(&text)
        .map_err(|error| Failure::usage(format!("the mapping {}: {error}", path.display())))
}

fn strategy_create(create: StrategyCreate) -> Asking {
    one(Command::StrategyCreate(command::StrategyCreate {
        name: create.name,
        webhook: create.source.webhook,
        key: create.source.key,
        account: create.account,
        followers: create.followers,
        require_leader: create.require_leader,
        symbol: create.symbol,
        quantity: create.quantity,
        sizing: create.sizing,
        quantity_fallback: create.quantity_fallback,
        quantity_clamp: create.quantity_clamp,
        percent: create.percent,
        fee_per_unit: create.fee_per_unit,
        stop_ticks_min: create.stop_ticks_min,
        on_opposite: create.on_opposite,
        pyramiding: create.pyramiding,
        allow_short: create.allow_short,
        symbol_source: create.payload_symbol.then_some(SymbolSource::Payload),
        send_within_s: create.send_within_s,
        entry_ttl_s: create.entry_ttl_s,
        schedule: create.schedule,
        take_profit: create.take_profit,
        stop_loss: create.stop_loss,
        on_naked: create.on_naked,
        expected_every_s: create.expected_every_s,
        auto_roll: create.auto_roll,
        blind_market: create.blind_market,
        blind_quantity_max: create.blind_quantity_max,
        shared_position: create.shared_position,
    }))
}

fn strategy(verb: StrategyVerb) -> Asking {
    match verb {
        StrategyVerb::Create(create) => strategy_create(*create),
        StrategyVerb::List => list(Command::StrategyList, STRATEGIES),
        StrategyVerb::Show(id) => one(Command::StrategyShow(id.into())),
        StrategyVerb::Change(change) => one(change.command()),
        StrategyVerb::On(id) => one(on(id)),
        StrategyVerb::Off(off) => one(off.command()),
        StrategyVerb::Delete(id) => one(Command::StrategyDelete(delete(id))),
        StrategyVerb::Disable(id) => one(Command::StrategyDisable(id.into())),
    }
}

fn account(verb: AccountVerb) -> Asking {
    match verb {
        AccountVerb::Create(create) => one(Command::AccountCreate(command::AccountCreate {
            broker: create.broker,
            name: create.name,
            cash: create.cash,
            session: create.session,
            loss_reset: create.loss_reset,
        })),
        AccountVerb::List => list(Command::AccountList, ACCOUNTS),
        AccountVerb::Show(id) => one(Command::AccountShow(id.into())),
        AccountVerb::Change(change) => one(change.command()),
        AccountVerb::Profit(id) => one(Command::AccountProfit(id.into())),
        AccountVerb::Disconnect(asked) => {
            let (id, phrase) = (asked.id, asked.phrase);
            one(Command::AccountDisconnect(command::AccountDisconnect { id, phrase }))
        }
        AccountVerb::Disable(id) => one(Command::AccountDisable(id.into())),
        AccountVerb::Price(price) => one(Command::PaperPrice(command::PaperPrice {
            symbol: price.symbol,
            price: match price.price {
                PaperPrice::Synthetic => None,
                PaperPrice::Fixed(price) => Some(price),
            },
            market: price.market,
        })),
    }
}

fn rate(verb: RateVerb) -> Asking {
    match verb {
        RateVerb::Set(set) => one(Command::RateSet(command::RateSet {
            base: set.base,
            quote: set.quote,
            rate: set.rate,
            source: set.source,
            at: None,
            valid_s: set.valid_s,
        })),
        RateVerb::List => list(Command::RateList, RATES),
    }
}

fn roll(verb: RollVerb) -> Asking {
    match verb {
        RollVerb::Set(set) => one(Command::RollSet(command::RollSet {
            root: set.root,
            contract: set.contract,
            expires_on: set.expires_on,
            first_notice_on: set.first_notice_on,
            roll_at: set.roll_at,
        })),
        RollVerb::List => list(Command::RollList, ROLLS),
        RollVerb::Remove(id) => one(Command::RollRemove(id.into())),
    }
}

fn halt(verb: HaltVerb) -> Asking {
    match verb {
        HaltVerb::Engage(engage) => one(Command::HaltEngage(command::HaltEngage {
            scope: engage.scope,
            mode: engage.mode,
            include_protective: engage.include_protective,
            reason: engage.reason,
        })),
        HaltVerb::Resume(id) => one(Command::HaltResume(id.into())),
        HaltVerb::Status => list(Command::HaltStatus, HALTS),
        HaltVerb::Show(id) => one(Command::HaltShow(id.into())),
    }
}

fn organization(verb: OrganizationVerb) -> Asking {
    match verb {
        OrganizationVerb::Create(new) => {
            let new = command::OrganizationCreate { name: new.name, owner: new.owner };
            one(Command::OrganizationCreate(new))
        }
        OrganizationVerb::List => list(Command::OrganizationList, ORGANIZATIONS),
        OrganizationVerb::Rename(new) => {
            let new = command::OrganizationRename { id: new.id, name: new.name };
            one(Command::OrganizationRename(new))
        }
    }
}

fn user(verb: UserVerb) -> Result<Asking, Failure> {
    let named = |name: UserName| command::ById { id: name.user };
    let state = |name: UserName, state| {
        let change = command::UserChange { id: name.user, role: None, state: Some(state) };
        one(Command::UserChange(change))
    };
    Ok(match verb {
        UserVerb::Create(new) => one(Command::UserCreate(command::UserCreate {
            email: new.email,
            role: new.role,
            password: new.password_file.as_deref().map(password).transpose()?,
            totp: false,
        })),
        UserVerb::List => list(Command::UserList, USERS),
        UserVerb::Show(name) => one(Command::UserShow(named(name))),
        UserVerb::Disable(name) => state(name, Activity::Disabled),
        UserVerb::Enable(name) => state(name, Activity::Active),
        UserVerb::SetRole(set) => one(Command::UserChange(command::UserChange {
            id: set.user,
            role: Some(set.role),
            state: None,
        })),
        UserVerb::ResetPassword(name) => one(Command::UserResetPassword(named(name))),
        UserVerb::ResetFactors(name) => one(Command::UserResetFactors(named(name))),
        UserVerb::EndSessions(name) => one(Command::UserEndSessions(named(name))),
        UserVerb::Remove(name) => one(Command::UserRemove(named(name))),
    })
}

/// The password in a file, without the line's end. A file that others can read is refused.
pub(crate) fn password(path: &Path) -> Result<Entered, Failure> {
    let text = files::read_secret(path, PASSWORD_BYTES_MAX)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Entered::new(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

pub(super) fn one(command: Command) -> Asking {
    Asking { command, shape: Shape::One }
}

pub(super) fn list(command: Command, columns: Columns) -> Asking {
    Asking { command, shape: Shape::List(columns) }
}

impl From<ById> for command::ById {
    fn from(id: ById) -> Self {
        Self { id: id.id }
    }
}

impl From<Page> for command::Paging {
    fn from(page: Page) -> Self {
        Self { cursor: page.cursor, limit: page.limit }
    }
}
