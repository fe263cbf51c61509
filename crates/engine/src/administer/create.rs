//! Making webhooks, strategies and accounts.

use super::change::{Stop, begin, enter, lock};
use super::source::{fits_source, source, usable};
use crate::actor::Actor;
use crate::book::{Book, Scope};
use crate::command::error::{CommandError, invalid, to_value};
use crate::command::{AccountCreate, StrategyCreate, WebhookCreate};
use crate::directory::{
    Directory, SealedSigning, parse_network, signing_place, versioned, with_signing,
};
use crate::effects::Effects;
use crate::free_text::{self, name};
use crate::reads::{account_view, strategy_view, webhook_view};
use crate::{Engine, Settings};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tradewarden_broker::port::BrokerAccount;
use tradewarden_domain::account::{Account, Activity};
use tradewarden_domain::bracket::OnNaked;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::loss::LossReset;
use tradewarden_domain::money::{Money, Quantity};
use tradewarden_domain::roll::{Continuous, RollTable};
use tradewarden_domain::session::{SessionStart, TradingDays};
use tradewarden_domain::signal::Percentage;
use tradewarden_domain::source::Source;
use tradewarden_domain::strategy::{
    BLIND_QUANTITY_MAX_DEFAULT, ENTRY_TTL_S_MAX, FOLLOWERS_MAX, OnOpposite, Pyramiding,
    SEND_WITHIN_S_DEFAULT, STOP_TICKS_MIN_DEFAULT, ShortSelling, Sizing, Strategy, StrategyState,
    SymbolSource,
};
use tradewarden_domain::time::Timestamp;
use tradewarden_domain::webhook::{
    CertificateName, MAX_AGE_S_DEFAULT, RATE_PER_S_DEFAULT, SYMBOLS_MAX, TRADINGVIEW_ADDRESSES,
};
use tradewarden_seal::{Place, PlainToken, TokenKind, standard_webhooks};
use tradewarden_store::Tx;
use tradewarden_store::directory::{self as rows, WebhookRow};

const FORMS: [&str; 4] = ["query", "header", "body", "signature"];
const ALLOW_MAX: usize = 64;

impl Engine {
    pub(super) async fn create_webhook(
        &self,
        org: Id<id::Org>,
        new: WebhookCreate,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let environment = &self.parts.environment;
        let name = name(&new.name)?;
        let allow = allow_list(&new.allow, new.preset.as_deref())?;
        let client_certificate = new
            .client_certificate
            .as_deref()
            .map(|text| client_certificate(&self.parts.settings, text))
            .transpose()?;
        let forms = forms(new.forms)?;
        let rate_per_s = within("rate_per_s", new.rate_per_s, RATE_PER_S_DEFAULT, 1_000_000)?;
        let max_age_s = within("max_age_s", new.max_age_s, MAX_AGE_S_DEFAULT, 86_400)?;
        let now = self.now();
        let id: Id<id::Webhook> = environment.id(now);
        let token = environment
            .with_randomness(|random| PlainToken::generate(TokenKind::WebhookPath, random));
        let secret = environment
            .with_randomness(|random| PlainToken::generate(TokenKind::WebhookSecret, random));
        let signing = forms
            .contains("signature")
            .then(|| environment.with_randomness(standard_webhooks::generate_secret));
        let mapping = new.mapping.as_ref().map(serde_json::to_string).transpose();
        let sealed = signing.as_ref().map(|plain| self.seal_signing(org, id, plain)).transpose()?;
        let row = WebhookRow {
            id,
            org_id: org,
            name: name.to_owned(),
            token: token.expose().to_owned(),
            secret_hash: *secret.hash().as_bytes(),
            signing_secret: sealed.as_ref().map(|sealed| sealed.record.clone()),
            forms: forms.iter().copied().collect::<Vec<_>>().join(","),
            allow: allow.join(","),
            symbols: symbol_list(&new.symbols)?,
            client_certificate: client_certificate.as_ref().map(ToString::to_string),
            dry_run: new.dry_run,
            rate_per_s,
            max_age_s,
            mapping: mapping.map_err(|error| invalid("mapping", &error))?,
            state: Activity::Active,
            created_at: now,
        };
        let payload = json!({
            "allow": allow, "client_certificate": row.client_certificate, "dry_run": new.dry_run, "forms": row.forms, "name": name,
            "rate_per_s": rate_per_s, "symbols": row.symbols,
        });
        let payload = with_signing(payload, sealed.as_ref());
        self.change(org, id, "webhook.created", actor, payload, async move |tx| {
            rows::insert_webhook(tx, row.clone()).await
        })
        .await?;
        let directory = self.parts.directory.load_full();
        let door = directory.doors.get(&id).ok_or(CommandError::NotFound)?;
        let mut view = webhook_view(&self.parts, &door.webhook);
        view.secret = Some(secret.expose().to_owned());
        view.signing_secret = signing
            .as_ref()
            .map(|plain| standard_webhooks::print_secret(plain).expose().to_owned());
        to_value(&view)
    }

    pub(crate) fn seal_signing(
        &self,
        org: Id<id::Org>,
        webhook: Id<id::Webhook>,
        secret: &tradewarden_seal::SecretBytes,
    ) -> Result<SealedSigning, CommandError> {
        let (org_bytes, webhook) = (org.to_bytes(), webhook.to_bytes());
        self.seal_signing_at(org, &signing_place(&org_bytes, &webhook), secret)
    }

    /// Seals a webhook's signing secret for its place, under a version of its own.
    pub(super) fn seal_signing_at(
        &self,
        org: Id<id::Org>,
        place: &Place<'_>,
        secret: &tradewarden_seal::SecretBytes,
    ) -> Result<SealedSigning, CommandError> {
        let missing = || CommandError::Unavailable {
            detail: "there is no key to seal the signing secret".to_owned(),
        };
        let keys = self.parts.intake_keys.load();
        let key = keys.get(&org).ok_or_else(|| self.parts.vault.no_key(org))?;
        self.parts
            .environment
            .with_randomness(|random| {
                let (whole, version) = versioned(secret, random);
                let record = key.seal(place, whole.expose(), random)?;
                Ok::<_, tradewarden_seal::SealError>(SealedSigning { record, version })
            })
            .map_err(|_| missing())
    }

    pub(super) async fn create_strategy(
        &self,
        org: Id<id::Org>,
        new: StrategyCreate,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let strategy = self.strategy_to_be(org, &new, actor)?;
        if strategy.blind_market || strategy.auto_roll {
            actor.fresh(self.now())?;
        }
        self.may_all_trade_live(&strategy).await?;
        let (id, shares) = (strategy.id, new.shared_position);
        let payload = json!({
            "account_id": strategy.account_id, "auto_roll": strategy.auto_roll,
            "blind_market": strategy.blind_market,
            "blind_quantity_max": strategy.blind_quantity_max, "followers": strategy.followers,
            "name": strategy.name,
            "on_opposite": strategy.on_opposite, "quantity": strategy.quantity,
            "quantity_clamp": strategy.quantity_clamp,
            "quantity_fallback": strategy.quantity_fallback,
            "schedule": strategy.schedule, "sizing": strategy.sizing,
            "stop_loss": strategy.stop_loss, "symbol": strategy.symbol,
            "take_profit": strategy.take_profit,
            "source": strategy.source,
        });
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        self.amend(actor, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            let version = lock(tx, org).await?.strategies.saturating_add(1);
            if !shares {
                is_alone(tx, &strategy, &crate::book::rolls(&shared, org)).await?;
            }
            let book = Book::load(tx, &shared, &Scope::default()).await?;
            begin(tx, &shared, &claimant).await?;
            rows::insert_strategy(tx, &strategy).await?;
            rows::set_strategies_version(tx, org, version).await?;
            let told = (&claimant, payload.clone());
            enter(tx, &shared, book, effects, (org, id), "strategy.created", told).await
        })
        .await?;
        let directory = self.parts.directory.load_full();
        let strategy = directory.strategies.get(&id).ok_or(CommandError::NotFound)?;
        to_value(&strategy_view(strategy))
    }

    fn strategy_to_be(
        &self,
        org: Id<id::Org>,
        new: &StrategyCreate,
        actor: &Actor,
    ) -> Result<Strategy, CommandError> {
        let directory = self.parts.directory.load_full();
        let name = name(&new.name)?;
        let named = (new.webhook.as_deref(), new.key.as_deref());
        let source = source(named)?
            .ok_or_else(|| invalid("webhook", &"is required, unless the source is a key"))?;
        let account_id: Id<id::Account> =
            new.account.parse().map_err(|error| invalid("account", &error))?;
        if let Source::Webhook(id) = source {
            let door = directory.doors.get(&id).filter(|door| door.webhook.org_id == org);
            door.filter(|_| directory.reaches(actor, source)).ok_or(CommandError::NotFound)?;
        }
        let symbol = free_text::symbol("symbol", &new.symbol)?;
        let now = self.now();
        let strategy = Strategy {
            id: self.parts.environment.id(now),
            org_id: org,
            name: name.to_owned(),
            source: usable(&directory, source, org, actor, now)?,
            account_id,
            followers: followers(account_id, &new.followers)?,
            require_leader: new.require_leader,
            symbol,
            symbol_source: new.symbol_source.unwrap_or(SymbolSource::Strategy),
            quantity: new.quantity,
            sizing: new.sizing.unwrap_or(Sizing::Fixed),
            quantity_fallback: new.quantity_fallback,
            quantity_clamp: new.quantity_clamp,
            percent: percent(new.percent)?,
            fee_per_unit: fee(new.fee_per_unit.unwrap_or(Money::ZERO))?,
            stop_ticks_min: within(
                "stop_ticks_min",
                new.stop_ticks_min,
                STOP_TICKS_MIN_DEFAULT,
                10_000,
            )?,
            on_opposite: new.on_opposite.unwrap_or(OnOpposite::Close),
            pyramiding: new.pyramiding.unwrap_or(Pyramiding::Ignore),
            short_selling: if new.allow_short { ShortSelling::Allow } else { ShortSelling::Ignore },
            send_within_s: within("send_within_s", new.send_within_s, SEND_WITHIN_S_DEFAULT, 300)?,
            entry_ttl_s: entry_ttl(new.entry_ttl_s)?,
            schedule: new.schedule.clone(),
            take_profit: new.take_profit,
            stop_loss: new.stop_loss,
            on_naked: new.on_naked.unwrap_or(OnNaked::Alert),
            expected_every_s: expected_every(new.expected_every_s)?,
            adopt: false,
            auto_roll: new.auto_roll,
            blind_market: new.blind_market,
            blind_quantity_max: blind_quantity(new.blind_quantity_max)?,
            state: StrategyState::On,
            created_at: now,
        };
        may_roll(&strategy)?;
        fits(&directory, &strategy, actor, now)?;
        fits_source(&directory, &strategy)?;
        may_trade(actor, &strategy)?;
        Ok(strategy)
    }

    pub(super) async fn create_account(
        &self,
        org: Id<id::Org>,
        new: AccountCreate,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let name = name(&new.name)?.to_owned();
        let broker = self
            .parts
            .brokers
            .get(&new.broker)
            .ok_or_else(|| invalid("broker", &"this version has the broker `paper`"))?;
        let desk = self.parts.desk.as_ref().ok_or(CommandError::NotFound)?;
        let cash = new.cash.unwrap_or_else(|| Money::from_whole(100_000).unwrap_or(Money::ZERO));
        if !cash.is_positive() {
            return Err(invalid("cash", &"must be greater than zero"));
        }
        let session = new.session.as_deref().map(session_start).transpose()?;
        let kind = new.broker.clone();
        let now = self.now();
        let id: Id<id::Account> = self.parts.environment.id(now);
        // The broker's account is named after ours, so that making it twice makes one.
        let broker_account = id.bare_text();
        let away = |detail: String| CommandError::Unavailable { detail };
        desk.open_account(broker_account.clone(), cash, "USD".to_owned()).await.map_err(away)?;
        let instruments = broker.instruments(BrokerAccount::new(&broker_account)).await;
        let instruments = instruments.map_err(|unheard| away(unheard.to_string()))?;
        let calendars = instruments.iter().map(|instrument| instrument.calendar);
        let session = match session {
            Some(session) => session,
            None => session_start(SessionStart::usual(calendars))?,
        };
        let account = Account {
            id,
            org_id: org,
            name,
            broker: new.broker,
            broker_account,
            currency: "USD".to_owned(),
            state: Activity::Active,
            days: TradingDays::new(session, new.loss_reset.unwrap_or(LossReset::Session)),
            instruments: instruments
                .into_iter()
                .map(|instrument| (instrument.symbol.clone(), instrument))
                .collect::<BTreeMap<_, _>>(),
            created_at: now,
        };
        let payload = json!({
            "broker": account.broker, "cash": cash, "loss_reset": account.days.loss_reset,
            "name": account.name, "session": account.days.session.to_string(),
        });
        self.change(org, id, "account.created", actor, payload, async move |tx| {
            rows::insert_account(tx, &account).await
        })
        .await?;
        crate::quotes::refresh_quotes_of(&self.parts, &kind).await;
        let directory = self.parts.directory.load_full();
        let account = directory.accounts.get(&id).ok_or(CommandError::NotFound)?;
        to_value(&account_view(account, now))
    }
}

pub(super) fn session_start(text: &str) -> Result<SessionStart, CommandError> {
    text.parse().map_err(|_| {
        invalid("session", &"must be a time and a place, for example 17:00 America/New_York")
    })
}

/// The name that a webhook requires, if a sender can show one that is checked.
pub(super) fn client_certificate(
    settings: &Settings,
    text: &str,
) -> Result<CertificateName, CommandError> {
    let name = text.parse().map_err(|error| invalid("client_certificate", &error))?;
    if settings.hooks_origin.is_none() {
        return Err(invalid(
            "client_certificate",
            &"this gateway asks nobody for a certificate: set hooks_host and \
              hooks_client_ca_file in its configuration first",
        ));
    }
    Ok(name)
}

/// The accounts that follow this one.
pub(super) fn followers(
    leader: Id<id::Account>,
    texts: &[String],
) -> Result<Vec<Id<id::Account>>, CommandError> {
    if texts.len() > FOLLOWERS_MAX {
        return Err(invalid("followers", &format!("are at most {FOLLOWERS_MAX}")));
    }
    let mut all = Vec::with_capacity(texts.len());
    for text in texts {
        let account = text.parse().map_err(|error| invalid("followers", &error))?;
        if account == leader || all.contains(&account) {
            return Err(invalid("followers", &format!("name {account} twice")));
        }
        all.push(account);
    }
    Ok(all)
}

/// Whether a strategy's instrument can be traded on its accounts, and in its size. The accounts are
/// of the strategy's organization, and the actor may know of them.
pub(super) fn fits(
    directory: &Directory,
    strategy: &Strategy,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), CommandError> {
    let rolls = directory.rolls.get(&strategy.org_id).cloned().unwrap_or_default();
    for id in strategy.accounts() {
        let account = directory
            .accounts
            .get(&id)
            .filter(|account| account.org_id == strategy.org_id && actor.reaches(id))
            .ok_or(CommandError::NotFound)?;
        fits_on(account, strategy, &rolls, now)?;
    }
    let is_part = matches!(strategy.sizing, Sizing::PercentEquity | Sizing::RiskPerTrade);
    if is_part && strategy.percent.is_none() {
        return Err(invalid("percent", &format!("is needed for the sizing {}", strategy.sizing)));
    }
    if strategy.sizing == Sizing::Payload && strategy.on_opposite == OnOpposite::Reverse {
        return Err(invalid(
            "on_opposite",
            &"reverse needs the sizing fixed or target: an order's quantity cannot say how much \
              of it is new",
        ));
    }
    Ok(())
}

/// Of a continuous symbol the front month says so.
fn fits_on(
    account: &Account,
    strategy: &Strategy,
    rolls: &RollTable,
    now: Timestamp,
) -> Result<(), CommandError> {
    let front = Continuous::of(&strategy.symbol).and_then(|found| rolls.front(&found, now));
    let symbol = front.map_or(&strategy.symbol, |contract| &contract.symbol);
    let quantity = strategy.quantity;
    let instrument = account.instruments.get(symbol).ok_or_else(|| {
        invalid("symbol", &format!("{symbol} cannot be traded on account {}", account.id))
    })?;
    let usable = instrument.entry_quantity(quantity);
    if usable != quantity || usable < instrument.quantity_min || !usable.is_positive() {
        return Err(invalid(
            "quantity",
            &format!(
                "must be a multiple of {} and at least {}",
                instrument.lot, instrument.quantity_min
            ),
        ));
    }
    Ok(())
}

/// Whether the actor may let a strategy trade what it does: a key that is bound to instruments
/// cannot get around them.
pub(super) fn may_trade(actor: &Actor, strategy: &Strategy) -> Result<(), CommandError> {
    if actor.trades_all_of(strategy) {
        return Ok(());
    }
    let detail = Code::KeyInstrument.meaning().to_owned();
    Err(CommandError::Refused { code: Code::KeyInstrument, detail })
}

/// Whether no other strategy trades the same instrument on one of its accounts (S3).
pub(super) async fn is_alone(
    tx: &mut Tx<'_>,
    strategy: &Strategy,
    rolls: &RollTable,
) -> Result<(), Stop> {
    let symbol = &strategy.symbol;
    let relatives = rolls.relatives(symbol);
    // Whose signals name the symbol may trade any.
    let may_meet = |other: &Strategy| {
        [strategy, other].iter().any(|one| one.symbol_source == SymbolSource::Payload)
            || relatives.contains(&other.symbol)
    };
    let mut all = rows::strategies_of(tx, strategy.org_id).await?;
    all.retain(|other| other.id != strategy.id && other.state != StrategyState::Off);
    all.retain(may_meet);
    let is_taken = |account: &Id<id::Account>| {
        all.iter().any(|other| other.accounts().any(|taken| taken == *account))
    };
    let Some(account) = strategy.accounts().find(is_taken) else { return Ok(()) };
    let detail = format!(
        "Another strategy may trade {symbol} on {account}; say shared_position to let both, each \
         closing only what it opened."
    );
    Err(CommandError::Refused { code: Code::RiskSharedPosition, detail }.into())
}

pub(super) fn within(
    field: &'static str,
    value: Option<u32>,
    default: u32,
    most: u32,
) -> Result<u32, CommandError> {
    let value = value.unwrap_or(default);
    if (1..=most).contains(&value) {
        return Ok(value);
    }
    Err(invalid(field, &format!("must be from 1 to {most}")))
}

/// A list of symbols as it is stored, each once.
pub(super) fn symbol_list(texts: &[String]) -> Result<String, CommandError> {
    if texts.len() > SYMBOLS_MAX {
        return Err(invalid("symbols", &format!("are at most {SYMBOLS_MAX}")));
    }
    let symbols =
        texts.iter().map(|text| Ok(free_text::symbol("symbols", text)?.without_exchange()));
    let symbols = symbols.collect::<Result<BTreeSet<_>, CommandError>>()?;
    Ok(symbols.iter().map(Symbol::as_str).collect::<Vec<_>>().join(","))
}

/// A percentage of the equity.
pub(super) fn percent(number: Option<Quantity>) -> Result<Option<Percentage>, CommandError> {
    let most = Quantity::from_whole(1_000).unwrap_or(Quantity::ZERO);
    let read = |number: Quantity| Percentage::new(number).filter(|_| number <= most);
    match number.map(read) {
        None => Ok(None),
        Some(Some(percent)) => Ok(Some(percent)),
        Some(None) => Err(invalid("percent", &"must be greater than 0 and at most 1000")),
    }
}

/// What a unit costs each way.
pub(super) fn fee(fee: Money) -> Result<Money, CommandError> {
    if fee >= Money::ZERO { Ok(fee) } else { Err(invalid("fee_per_unit", &"must not be negative")) }
}

/// How long an entry rests.
pub(super) fn entry_ttl(seconds: Option<u32>) -> Result<Option<u32>, CommandError> {
    if seconds.is_none_or(|seconds| (1..=ENTRY_TTL_S_MAX).contains(&seconds)) {
        return Ok(seconds);
    }
    Err(invalid("entry_ttl_s", &format_args!("must be from 1 to {ENTRY_TTL_S_MAX}")))
}

/// Positions roll by themselves where their exits find them in every month.
pub(super) fn may_roll(strategy: &Strategy) -> Result<(), CommandError> {
    if strategy.auto_roll && strategy.rolls().is_none() {
        let detail = "needs a continuous symbol of the strategy's own, such as ES1!";
        return Err(invalid("auto_roll", &detail));
    }
    Ok(())
}

/// How much may be entered blind each time.
pub(super) fn blind_quantity(most: Option<Quantity>) -> Result<Quantity, CommandError> {
    let most = most.unwrap_or(BLIND_QUANTITY_MAX_DEFAULT);
    if most.is_positive() {
        return Ok(most);
    }
    Err(invalid("blind_quantity_max", &"must be greater than zero"))
}

/// The interval in which a signal is expected.
pub(super) fn expected_every(seconds: Option<u32>) -> Result<Option<u32>, CommandError> {
    match seconds {
        Some(..60 | 86_401..) => Err(invalid("expected_every_s", &"must be from 60 to 86400")),
        fitting => Ok(fitting),
    }
}

pub(super) fn allow_list(
    allow: &[String],
    preset: Option<&str>,
) -> Result<Vec<String>, CommandError> {
    let preset: &[&str] = match preset {
        None => &[],
        Some("tradingview") => &TRADINGVIEW_ADDRESSES,
        Some(_) => return Err(invalid("preset", &"must be tradingview")),
    };
    let mut networks = BTreeSet::new();
    for text in allow.iter().map(String::as_str).chain(preset.iter().copied()) {
        // Not repeated: what is no network may be a secret in the wrong place.
        let network = parse_network(text).map_err(|_| {
            invalid("allow", &"has an entry that is no address and no network in CIDR form")
        })?;
        networks.insert(network.to_string());
    }
    if networks.len() > ALLOW_MAX {
        return Err(invalid("allow", &format!("must have at most {ALLOW_MAX} networks")));
    }
    Ok(networks.into_iter().collect())
}

pub(super) fn forms(wanted: Option<Vec<String>>) -> Result<BTreeSet<&'static str>, CommandError> {
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
        return Ok(FORMS.into_iter().filter(|form| *form != "signature").collect());
    };
    wanted
        .iter()
        .map(|text| {
            FORMS
                .into_iter()
                .find(|form| form == text)
                .ok_or_else(|| invalid("forms", &"must be of query, header, body, signature"))
        })
        .collect()
}
