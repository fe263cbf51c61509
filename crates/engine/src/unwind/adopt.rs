//! Taking the broker's word for what is held, where a halt closes a position that was changed by hand.

use super::look::{HEARD_WITHIN, part};
use crate::Shared;
use crate::book::Book;
use crate::dispatch::name_of;
use crate::effects::Severity;
use crate::orders::live;
use crate::several::{self, ASKED_TOGETHER};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::timeout;
use tradewarden_broker::port::Lookup;
use tradewarden_domain::account::Account;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::order::{Order, OrderState, Purpose, Side};
use tradewarden_store::exposures::Place;

/// Of these instruments, those where no exit and no leg of a bracket explains what the broker holds: it shows
/// none of them more filled than we know. They may rest for days, so they are not waited for; but one that filled
/// unheard is told at any moment, and what was taken over would be counted twice. Asked after the broker
/// said what it holds; what is not heard in time is not proven.
pub(crate) async fn nothing_of_exits(
    shared: &Arc<Shared>,
    account: &Arc<Account>,
    symbols: BTreeSet<Symbol>,
) -> BTreeSet<Symbol> {
    let live = match live::of(&shared.store, Some(account.org_id)).await {
        Ok(live) => live,
        Err(error) => {
            tracing::error!(%error, "the exits of a position could not be read");
            return BTreeSet::new();
        }
    };
    let is_sent_exit = |order: &Order| {
        let is_here = order.account_id == account.id && symbols.contains(&order.symbol);
        is_here && order.purpose == Purpose::Exit && order.state != OrderState::Accepted
    };
    let exits: Vec<_> = live.into_iter().filter(is_sent_exit).collect();
    let mut in_doubt: BTreeMap<_, _> =
        exits.iter().map(|exit| (exit.id, exit.symbol.clone())).collect();
    let look = |exit: Order| explains_nothing(Arc::clone(shared), Arc::clone(account), exit);
    let asked = several::each(exits, ASKED_TOGETHER, look, |(exit, is_nothing)| {
        if is_nothing {
            in_doubt.remove(&exit);
        }
    });
    if timeout(HEARD_WITHIN, asked).await.is_err() {
        tracing::warn!(account.id = %account.id, "not every exit is heard of in time");
    }
    let in_doubt: BTreeSet<_> = in_doubt.into_values().collect();
    symbols.into_iter().filter(|symbol| !in_doubt.contains(symbol)).collect()
}

async fn explains_nothing(
    shared: Arc<Shared>,
    account: Arc<Account>,
    exit: Order,
) -> (Id<id::Order>, bool) {
    let Some(broker) = shared.brokers.get(&account.broker) else { return (exit.id, false) };
    let is_nothing = match broker.find(name_of(&exit, &account)).await {
        Lookup::Found(there) => there.filled_quantity <= exit.filled_quantity,
        Lookup::Absent => true,
        Lookup::Unheard { .. } => false,
    };
    (exit.id, is_nothing)
}

/// What the broker holds less than we do is taken off those who hold it; what it holds more belongs
/// to no strategy.
pub(super) fn adopt_in(
    shared: &Shared,
    book: &mut Book,
    account: &Account,
    symbol: &Symbol,
    difference: Quantity,
    price: Option<Price>,
) {
    let side = if difference.is_positive() { Side::Buy } else { Side::Sell };
    let mut left = difference.magnitude();
    let fold = |book: &mut Book, place: &Place, quantity: Quantity, price: Price| {
        book.change_exposure(place, |exposure| {
            let folded = exposure.fill(side, quantity, price, Money::ZERO);
            if folded.is_none() {
                tracing::error!(symbol = %place.symbol, "a position is too large to be adopted");
            }
        });
    };
    for strategy in book.holders(account.id, symbol) {
        let place = Place { strategy_id: strategy, ..part(account, symbol) };
        let exposure = book.exposure(&place);
        let quantity = exposure.held(side).min(left);
        if quantity.is_positive() {
            left = left.saturating_minus(quantity);
            fold(book, &place, quantity, exposure.average_price().unwrap_or_default());
        }
    }
    if left.is_positive() {
        let place = part(account, symbol);
        let known = shared.market.reference(account, symbol, book.now).price(book.now);
        fold(book, &place, left, price.or(known).unwrap_or_default());
    }
    let detail = format!(
        "The broker's position in {symbol} differs from ours by {difference}; a halt closes what is \
         there, so it was taken over."
    );
    let payload = json!({ "difference": difference, "symbol": symbol });
    book.enter(shared, account.org_id, account.id, "position.adopted", &payload);
    let (org, subject) = (account.org_id, format!("{} {symbol}", account.id));
    book.find(shared, org, "position.adopted", Severity::Critical, subject, detail);
}
