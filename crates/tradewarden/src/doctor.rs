//! `tradewarden doctor`: whether an installation is as it should be, item by item, with the way to a
//! better light. It works beside a gateway that runs and without one, takes no lock and changes nothing.
//!
//! The gateway itself never looks like this at its database: a second descriptor on SQLite's file that is
//! closed in the same process gives up the locks of the first. What it looks at is [`of_this_node`].

mod database;
mod doors;
mod machine;

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::json;
use tradewarden_domain::time::{Clock, Timestamp};
use tradewarden_engine::posture::{Item, Known, Light, LookAtMachine, Looking, worst};

use crate::clock::SystemClock;
use crate::config::Config;
use crate::data::Data;
use crate::outcome::{Exit, Failure};
use crate::output;

/// Looks at everything and prints it; exit 1 where something is red.
pub(crate) async fn run(config: Result<Config, Failure>, json: bool) -> Result<Exit, Failure> {
    let items = match config {
        Ok(config) => all(&config).await,
        Err(failure) => vec![unreadable(&failure)],
    };
    let count = |light| items.iter().filter(|item| item.light == light).count();
    let (green, amber, red) = (count(Light::Green), count(Light::Amber), count(Light::Red));
    if json {
        let answer = json!({
            "ok": red == 0, "green": green, "amber": amber, "red": red, "items": items,
        });
        output::print(&answer.to_string())?;
    } else {
        output::print(&text(&items, (green, amber, red)))?;
    }
    Ok(if worst(&items) == Light::Red { Exit::No } else { Exit::Done })
}

/// What the gateway that runs can know of its machine and its doors, for the posture.
pub(crate) fn of_this_node(config: &Config) -> Arc<LookAtMachine> {
    let config = Arc::new(config.clone());
    Arc::new(move |known: Known| -> Looking {
        let config = Arc::clone(&config);
        Box::pin(async move {
            // Files are read, which may block.
            let looked = tokio::task::spawn_blocking(move || {
                let (data, now) = (Data::at(&config), SystemClock.now());
                let mut items = machine::items(&config, &data, now);
                items.extend(doors::items(&config, &data, now));
                items.push(doors::tradingview(&config, &data, now, known));
                items
            });
            looked.await.unwrap_or_default()
        })
    })
}

/// Refuses a start with something red that is known before anything is opened (B40).
pub(crate) fn refuse_red(config: &Config, data: &Data, now: Timestamp) -> Result<(), Failure> {
    let mut items = machine::items(config, data, now);
    items.extend(doors::items(config, data, now));
    // The key file is refused where it is opened, in words of its own. A disk that is full and a certificate
    // that ended or was half written come while a gateway runs well: one that starts again has exits and
    // stops to see to, and makes its own certificate anew, so these are told and refuse nothing here.
    let comes_by_itself =
        |item: &Item| ["disk", "certificate", "certificate_key"].contains(&item.name);
    let red = items.into_iter().filter(|item| item.light == Light::Red && item.name != "key_file");
    let (told, refused): (Vec<_>, Vec<_>) = red.partition(comes_by_itself);
    for item in told {
        tracing::error!(item = item.name, seen = item.seen, "red in `tradewarden doctor`");
    }
    let Some(item) = refused.into_iter().next() else { return Ok(()) };
    let fix = item.fix.unwrap_or_default();
    Err(Failure::no(format!(
        "{}: {}; {fix} (`tradewarden doctor` shows all)",
        item.name, item.seen
    )))
}

async fn all(config: &Config) -> Vec<Item> {
    let (data, now) = (Data::at(config), SystemClock.now());
    let mut items = vec![match config.refuse_insecure_start() {
        Ok(()) => Item::green("configuration", "a start would take it"),
        Err(failure) => unreadable(&failure),
    }];
    items.extend(machine::items(config, &data, now));
    items.extend(doors::items(config, &data, now));
    let seen = database::look(config, &data).await;
    items.extend(seen.items);
    let known = Known { has_tradingview: seen.has_tradingview };
    items.push(doors::tradingview(config, &data, now, known));
    items
}

fn unreadable(failure: &Failure) -> Item {
    Item::red(
        "configuration",
        failure.sentence.clone(),
        "correct what the sentence names; `tradewarden config check` says the same",
    )
}

/// A line an item, the worst first, and below it what to do.
fn text(items: &[Item], (green, amber, red): (usize, usize, usize)) -> String {
    let mut ordered: Vec<&Item> = items.iter().collect();
    ordered.sort_by_key(|item| std::cmp::Reverse(item.light));
    let width = items.iter().map(|item| item.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Item { name, light, seen, fix } in ordered {
        let light = match light {
            Light::Green => "green",
            Light::Amber => "AMBER",
            Light::Red => "RED  ",
        };
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{light}  {name:width$}  {seen}");
        if let Some(fix) = fix {
            let _written = writeln!(text, "       {:width$}  -> {fix}", "");
        }
    }
    let _written = writeln!(text, "\n{green} green, {amber} amber, {red} red");
    text
}
