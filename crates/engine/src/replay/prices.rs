//! What is known of the moment of a stored signal. Nobody keeps quotes, but its trace keeps the price that
//! it was compared with, and its orders say how long they were open.

use super::trades;
use crate::book::{KnownOrder, Open, source_of};
use crate::signal::AccountResult;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Price;
use tradewarden_domain::order::Order;
use tradewarden_domain::signal::Signal;
use tradewarden_store::signals::StoredSignal;
use tradewarden_store::{Error, Store, orders as rows};

/// Orders of one signal that are looked at.
const ORDERS_MAX: usize = 16;

/// A line of a stored trace, as far as it is needed.
#[derive(Deserialize)]
struct Line {
    name: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    input: Option<String>,
    #[serde(default)]
    limit: Option<String>,
}

/// Prices, and orders.
type Known = (BTreeMap<Symbol, Price>, Vec<KnownOrder>);

/// The prices of the instruments that a signal is about, as far as they are known, and the orders that
/// came of it.
pub(super) async fn known_of(
    store: &Store,
    stored: &StoredSignal,
    signal: &Signal,
    symbols: impl Iterator<Item = Symbol>,
) -> Result<Known, Error> {
    let mut orders = Vec::new();
    let symbols: BTreeSet<Symbol> = symbols.collect();
    let mut prices = BTreeMap::new();
    if let Some(price) = signal.price {
        prices.extend(symbols.iter().map(|symbol| (symbol.clone(), price)));
    }
    let results: Vec<AccountResult> = serde_json::from_str(&stored.accounts).unwrap_or_default();
    let mut traded = BTreeSet::new();
    for id in results.iter().flat_map(|result| &result.order_ids).take(ORDERS_MAX) {
        let Some(order) = rows::find(store, *id).await? else { continue };
        if let Some(price) = order.average_price {
            prices.insert(order.symbol.clone(), price);
        }
        let fills = trades::of_order(store, &order).await?;
        orders.push(KnownOrder { purpose: order.purpose, open: open(&order), fills });
        traded.insert(order.symbol);
    }
    // A trace does not say of which instrument a line is: where there are several, it says nothing.
    let about = if traded.is_empty() { symbols } else { traded };
    if let (Some(symbol), 1) = (about.first(), about.len())
        && let Some(price) = compared(&stored.checks)
    {
        prices.insert(symbol.clone(), price);
    }
    Ok((prices, orders))
}

/// How long an order was open.
pub(super) fn open(order: &Order) -> Open {
    Open {
        account_id: order.account_id,
        source: source_of(order),
        until: (!order.state.is_live()).then_some(order.updated_at),
    }
}

/// The reference price that a trace compared with.
fn compared(checks: &str) -> Option<Price> {
    let lines: Vec<Line> = serde_json::from_str(checks).ok()?;
    let line = lines.into_iter().find(|line| line.name == "risk.price_collar")?;
    let text = match line.code.as_deref() {
        None => line.input?,
        // The reference, and how far from it a price may be.
        Some("risk.price_collar") => line.limit?.split(' ').next()?.to_owned(),
        Some(_) => return None,
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_of_a_trace() {
        let passed = r#"{"name":"risk.price_collar","result":"pass","input":"230.5","limit":"5"}"#;
        let far = r#"{"name":"risk.price_collar","result":"fail","code":"risk.price_collar",
            "input":"300","limit":"231 ± 5 %"}"#;
        let stale = r#"{"name":"risk.price_collar","result":"fail","code":"risk.reference_stale",
            "input":"There is none."}"#;
        let other = r#"{"name":"halt","result":"pass"}"#;
        for (lines, price) in [
            (vec![other, passed], Some("230.5")),
            (vec![far], Some("231")),
            (vec![stale], None),
            (vec![other], None),
            (vec![], None),
        ] {
            let found = compared(&format!("[{}]", lines.join(",")));
            assert_eq!(found.map(|price| price.to_string()).as_deref(), price, "{lines:?}");
        }
        assert_eq!(compared("not JSON"), None);
    }
}
