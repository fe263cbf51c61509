//! `tradewarden demo`: a gateway with paper money and everything set up, and a walk to try it.
//!
//! The second start finds what the first one made. Because the secrets of a webhook and of a key are
//! shown only once, the demo keeps them in `DATA/demo.json` and `DATA/demo-key.pem`, closed to
//! others: fit for paper money, and for nothing else.

mod keys;
mod walk;

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tradewarden_domain::code::Code;
use tradewarden_domain::limit::LimitName;
use tradewarden_domain::money::{Money, Quantity};
use tradewarden_domain::person::BuiltInRole;
use tradewarden_domain::strategy::OnOpposite;
use tradewarden_engine::Engine;
use tradewarden_engine::command::{
    AccountCreate, ById, Command, LimitSet, StrategyCreate, UserCreate, WebhookCreate,
};
use tradewarden_engine::people::{Ask, Client, Entered, Origin, PasswordReset};
use tradewarden_engine::tag::IfMatch;
use tradewarden_seal::{Randomness, SystemRandomness, base64url_encode};

use crate::config::Config;
use crate::data::Data;
use crate::outcome::{Exit, Failure};
use crate::serve::{self, AnnouncedOwner, AnnouncedWebhook, Announcement, Then};
use crate::{files, output};

/// Where the demo keeps its data unless told otherwise.
pub(crate) const DATA_DEFAULT: &str = "tradewarden-demo";

/// Largest `demo.json`, in bytes.
const KEPT_BYTES_MAX: u64 = 64 * 1024;
const CASH: i64 = 100_000;
const SYMBOL: &str = "AAPL";
const QUANTITY: i64 = 10;
/// Limits of the organization: every required one, wide enough for the walk.
const LIMITS: [(LimitName, i64); 5] = [
    (LimitName::MaxOrderQuantity, 100),
    (LimitName::MaxOrderNotional, 50_000),
    (LimitName::MaxPosition, 200),
    (LimitName::PriceCollarPercent, 5),
    (LimitName::MaxOrdersPerMinute, 60),
];

/// What the demo made and needs again.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    account_id: String,
    strategy_id: String,
    webhook_id: String,
    webhook_token: String,
    webhook_secret: String,
    owner: AnnouncedOwner,
    #[serde(default)]
    keys: Option<keys::KeptKeys>,
}

const OWNER: &str = "owner@localhost";

/// Runs until it is asked to stop.
pub(crate) async fn run(config: &Config, json: bool) -> Result<(), Failure> {
    let data = Data::at(config);
    serve::run_with(config, async |engine, announcement| {
        let kept = prepare(&engine, &data).await?;
        let several = engine.has_several_organizations();
        let announcement = announced(announcement, kept, &data);
        if json {
            serve::print_announcement(&announcement)?;
        } else {
            let organization = announcement.org_id.as_deref().filter(|_| several);
            output::print(&walk::text(&announcement, &program(), organization))?;
        }
        Ok(Then::Serve)
    })
    .await
}

/// What is there from an earlier start, else new.
async fn prepare(engine: &Engine, data: &Data) -> Result<Kept, Failure> {
    let path = data.demo();
    if path.exists() {
        let text = files::read_secret(&path, KEPT_BYTES_MAX)?;
        if let Ok(kept) = serde_json::from_str::<Kept>(&text)
            && is_there(engine, &kept).await?
        {
            return with_keys(engine, data, kept).await;
        }
    }
    let kept = make(engine).await?;
    with_keys(engine, data, kept).await
}

/// The same with keys that are taken.
async fn with_keys(engine: &Engine, data: &Data, kept: Kept) -> Result<Kept, Failure> {
    let keys = match keys::prepare(engine, data, kept.keys.as_ref()).await {
        // It ended the keys, and goes on only while a gateway runs: new ones come with its end.
        Err(failure) if failure.code == Some(Code::LockdownActive) => {
            tracing::warn!("a lockdown is in force: the demo's keys are not taken until it ends");
            return Ok(kept);
        }
        keys => keys?,
    };
    let kept = Kept { keys: Some(keys), ..kept };
    // Last: a crash before leaves a set without its secret, and the next start makes another.
    let text = serde_json::to_string(&kept)
        .map_err(|error| Failure::unavailable(format!("cannot be written as JSON: {error}")))?;
    files::write_private(&data.demo(), &text)?;
    Ok(kept)
}

/// Whether the database still has what was kept.
async fn is_there(engine: &Engine, kept: &Kept) -> Result<bool, Failure> {
    for command in [
        Command::AccountShow(ById { id: kept.account_id.clone() }),
        Command::StrategyShow(ById { id: kept.strategy_id.clone() }),
        Command::WebhookShow(ById { id: kept.webhook_id.clone() }),
        Command::UserShow(ById { id: kept.owner.email.clone() }),
    ] {
        match ask(engine, command).await {
            Ok(_) => {}
            Err(failure) if failure.exit == Exit::NotFound => return Ok(false),
            Err(failure) => return Err(failure),
        }
    }
    Ok(true)
}

async fn make(engine: &Engine) -> Result<Kept, Failure> {
    for (name, whole) in LIMITS {
        let value = whole_quantity(whole)?;
        ask(
            engine,
            Command::LimitSet(LimitSet {
                scope: "org".to_owned(),
                name,
                value,
                reason: None,
                if_match: IfMatch::Unsaid,
            }),
        )
        .await?;
    }
    let account = AccountCreate {
        broker: "paper".to_owned(),
        name: "PAPER demo".to_owned(),
        cash: Money::from_whole(CASH),
        session: None,
        loss_reset: None,
    };
    let account = ask(engine, Command::AccountCreate(account)).await?;
    let webhook = WebhookCreate {
        name: "demo".to_owned(),
        allow: Vec::new(),
        preset: None,
        client_certificate: None,
        symbols: Vec::new(),
        dry_run: false,
        rate_per_s: None,
        max_age_s: None,
        forms: None,
        mapping: None,
    };
    let webhook = ask(engine, Command::WebhookCreate(webhook)).await?;
    let (account_id, webhook_id) = (text(&account, "id")?, text(&webhook, "id")?);
    let strategy = StrategyCreate {
        name: "demo".to_owned(),
        webhook: Some(webhook_id.clone()),
        key: None,
        account: account_id.clone(),
        symbol: SYMBOL.to_owned(),
        quantity: whole_quantity(QUANTITY)?,
        followers: Vec::new(),
        require_leader: false,
        sizing: None,
        percent: None,
        fee_per_unit: None,
        stop_ticks_min: None,
        on_opposite: Some(OnOpposite::Close),
        pyramiding: None,
        allow_short: false,
        symbol_source: None,
        send_within_s: None,
        entry_ttl_s: None,
        schedule: None,
        take_profit: None,
        stop_loss: None,
        on_naked: None,
        expected_every_s: None,
        auto_roll: false,
        quantity_fallback: false,
        quantity_clamp: false,
        blind_market: false,
        blind_quantity_max: None,
        shared_position: false,
    };
    let strategy = ask(engine, Command::StrategyCreate(strategy)).await?;
    Ok(Kept {
        account_id,
        strategy_id: text(&strategy, "id")?,
        webhook_id,
        webhook_token: text(&webhook, "token")?,
        webhook_secret: text(&webhook, "secret")?,
        owner: make_owner(engine).await?,
        keys: None,
    })
}

/// The demo's owner with a password made up here; one who is there already gets a new password.
async fn make_owner(engine: &Engine) -> Result<AnnouncedOwner, Failure> {
    let mut bytes = [0; 18];
    SystemRandomness::new().fill(&mut bytes);
    let password = base64url_encode(&bytes);
    let id = ById { id: OWNER.to_owned() };
    match ask(engine, Command::UserShow(id.clone())).await {
        Ok(_) => {
            let token = text(&ask(engine, Command::UserResetPassword(id)).await?, "token")?;
            let reset = PasswordReset {
                email: None,
                token: Some(Entered::new(token)),
                password: Some(Entered::new(password.clone())),
            };
            let client = Client {
                address: IpAddr::V4(Ipv4Addr::LOCALHOST),
                user_agent: "demo".to_owned(),
                origin: Origin::Unsaid,
                session: None,
            };
            engine.converse(Ask::PasswordReset(reset), None, &client).await?;
        }
        Err(failure) if failure.exit == Exit::NotFound => {
            let owner = UserCreate {
                email: OWNER.to_owned(),
                role: BuiltInRole::Owner.text().to_owned(),
                password: Some(Entered::new(password.clone())),
                totp: false,
            };
            ask(engine, Command::UserCreate(owner)).await?;
        }
        Err(failure) => return Err(failure),
    }
    Ok(AnnouncedOwner { email: OWNER.to_owned(), password })
}

/// In the first organization: it is the demo's own, whichever others were made since.
async fn ask(engine: &Engine, command: Command) -> Result<Value, Failure> {
    let first = engine.org_id().map(|id| id.to_string());
    Ok(engine.execute(command, &engine.operator(first.as_deref())?).await?)
}

/// The announcement with what is the demo's own.
fn announced(announcement: Announcement, kept: Kept, data: &Data) -> Announcement {
    // The port may be another one than when the webhook was made.
    let url = format!("{}/api/v1/webhooks/{}", announcement.base_url, kept.webhook_token);
    Announcement {
        owner: Some(kept.owner),
        account_id: Some(kept.account_id),
        strategy_id: Some(kept.strategy_id),
        webhook: Some(AnnouncedWebhook {
            id: kept.webhook_id,
            token: kept.webhook_token,
            secret: kept.webhook_secret,
            url,
        }),
        api_keys: kept.keys.map(|kept| keys::announced(kept, data)),
        ..announcement
    }
}

/// This program as a shell finds it.
fn program() -> String {
    std::env::current_exe().map_or("tradewarden".to_owned(), |path| path.display().to_string())
}

fn text(answer: &Value, name: &str) -> Result<String, Failure> {
    let found = answer.get(name).and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| Failure::unavailable(format!("the engine's answer has no {name}")))
}

fn whole_quantity(whole: i64) -> Result<Quantity, Failure> {
    Quantity::from_whole(whole).ok_or_else(|| Failure::unavailable("a quantity is too large"))
}
