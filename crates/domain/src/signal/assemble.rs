//! From fields to a signal: the part that all forms share.

use super::field::{FieldError, Fields, Found, TargetField, quoted};
use super::{
    Action, Comment, Form, Level, OrderKind, QuantityField, QuantityKind, Sentiment, Signal,
    StopLoss, vocabulary,
};
use crate::money::Price;
use crate::time::Timestamp;

/// Reads every field but the action and the sentiment, which each form reads for itself.
pub(super) fn assemble(
    fields: &Fields<'_>,
    (action, sentiment): (Action, Option<Sentiment>),
    form: Form,
    unknown_fields: Vec<String>,
) -> Result<Signal, FieldError> {
    let comment = fields.found(TargetField::Comment).map(vocabulary::comment).transpose()?;
    let of_exit = action == Action::Exit || matches!(comment, Some(Comment::Exit(_)));
    let comment = comment.unwrap_or(Comment::None);
    let read = assemble_rest(fields, (action, comment, sentiment), form, unknown_fields);
    read.map_err(|error| FieldError { of_exit: of_exit || error.of_exit, ..error })
}

fn assemble_rest(
    fields: &Fields<'_>,
    (action, comment, sentiment): (Action, Comment, Option<Sentiment>),
    form: Form,
    unknown_fields: Vec<String>,
) -> Result<Signal, FieldError> {
    let timenow = fields.time(TargetField::Timenow)?;
    let sent_at = fields.time(TargetField::SentAt)?;
    let id = fields.found(TargetField::Id).map(explicit_id).transpose()?;
    let ticker = fields.found(TargetField::Ticker).map(ticker).transpose()?;
    let derived_id = derived_id(fields, action, ticker.as_deref(), timenow)?;
    let position = fields.found(TargetField::MarketPosition).map(vocabulary::sentiment);
    let market_position = position.transpose()?;
    let own_side = match action {
        Action::Buy => Some(Sentiment::Long),
        Action::Sell => Some(Sentiment::Short),
        Action::Exit => None,
    };
    let after = sentiment.or(market_position);
    let closes = own_side.is_none()
        || matches!(comment, Comment::Exit(_))
        || (after.is_some() && after != own_side);
    // What closes uses no price, so none refuses it (S18).
    let mut unused = Vec::new();
    let mut price = |target| match fields.price(target) {
        Err(error) if closes => {
            unused.push(format!("{error}; ignored"));
            Ok(None)
        }
        price => price,
    };
    let seen = price(TargetField::Price)?;
    let (take_profit, stop_loss) = (price(TargetField::TakeProfit)?, price(TargetField::StopLoss)?);
    let (order_type, limit_price, stop_price) = match pricing(fields) {
        Err(error) if closes => {
            unused.push(format!("{error}; ignored"));
            (OrderKind::Market, None, None)
        }
        pricing => pricing?,
    };
    let mut signal = Signal {
        action,
        comment,
        quantity: fields.quantity()?,
        quantity_kind: QuantityKind::FixedQuantity,
        quantity_of_kind: None,
        price: seen,
        ticker,
        derived_id: if id.is_some() { None } else { derived_id },
        id,
        sent_at: timenow.or(sent_at),
        bar_time: None,
        order_type,
        limit_price,
        stop_price,
        time_in_force: fields.time_in_force()?,
        take_profit: take_profit.map(Level::At),
        stop_loss: stop_loss.map(Level::At).map(StopLoss::Stop),
        sentiment,
        market_position,
        market_position_size: fields.size(TargetField::MarketPositionSize)?,
        dry_run: fields.truth(TargetField::DryRun)?,
        strategy_id: None,
        unknown_fields,
        notes: Vec::new(),
        form,
    };
    add_bar_time(&mut signal, fields);
    drop_unused(&mut signal, fields);
    add_notes(&mut signal, fields);
    for note in unused {
        signal.note(note);
    }
    Ok(signal)
}

/// The bar's time is information: one that cannot be read is left out (S13).
fn add_bar_time(signal: &mut Signal, fields: &Fields<'_>) {
    match fields.time(TargetField::Time) {
        Ok(time) => signal.bar_time = time,
        Err(error) => signal.note(format!("{error}; ignored")),
    }
}

/// A price that the order's type does not use is left out: nothing is sized or judged by it.
fn drop_unused(signal: &mut Signal, fields: &Fields<'_>) {
    let kind = signal.order_type;
    let (limit, stop) = (&mut signal.limit_price, &mut signal.stop_price);
    let mut unused = Vec::new();
    for (price, target, used) in [
        (limit, TargetField::LimitPrice, matches!(kind, OrderKind::Limit | OrderKind::StopLimit)),
        (stop, TargetField::StopPrice, matches!(kind, OrderKind::Stop | OrderKind::StopLimit)),
    ] {
        if !used && price.take().is_some() {
            unused.push(format!("a {kind} order does not use {}", fields.spelled(target)));
        }
    }
    for note in unused {
        signal.note(note);
    }
}

fn add_notes(signal: &mut Signal, fields: &Fields<'_>) {
    if signal.action == Action::Exit && signal.comment == Comment::Entry {
        signal.note("the comment ENTRY does not fit the action EXIT; ignored");
    }
    if let QuantityField::Unreadable(reason) | QuantityField::Unusable(reason) = &signal.quantity {
        let name = fields.spelled(TargetField::Quantity);
        signal.note(format!("{name} cannot be used: {reason}"));
    }
}

/// The order's type and prices. Without a type, the prices that are there tell it: a price that a
/// sender wrote is never dropped in favour of the market.
fn pricing(fields: &Fields<'_>) -> Result<(OrderKind, Option<Price>, Option<Price>), FieldError> {
    let limit = fields.price(TargetField::LimitPrice)?;
    let stop = fields.price(TargetField::StopPrice)?;
    let order_type = match (fields.found(TargetField::OrderType), limit, stop) {
        (Some(found), _, _) => found.word(OrderKind::ALL, OrderKind::text)?,
        (None, None, None) => OrderKind::Market,
        (None, Some(_), None) => OrderKind::Limit,
        (None, None, Some(_)) => OrderKind::Stop,
        (None, Some(_), Some(_)) => OrderKind::StopLimit,
    };
    let (needs_limit, needs_stop) = match order_type {
        OrderKind::Market => (false, false),
        OrderKind::Limit => (true, false),
        OrderKind::Stop => (false, true),
        OrderKind::StopLimit => (true, true),
    };
    for (needed, price, target) in
        [(needs_limit, limit, TargetField::LimitPrice), (needs_stop, stop, TargetField::StopPrice)]
    {
        if needed && price.is_none() {
            let detail = format!("a {order_type} order needs it");
            return Err(FieldError::field(fields.spelled(target), detail));
        }
    }
    Ok((order_type, limit, stop))
}

const ID_MAX: usize = 128;

fn explicit_id(found: Found<'_>) -> Result<String, FieldError> {
    let id = found.text_or_number()?;
    let fits =
        (1..=ID_MAX).contains(&id.len()) && id.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if fits {
        Ok(id.to_owned())
    } else {
        Err(found.wrong("it is not 1 to 128 printable ASCII characters"))
    }
}

const TICKER_MAX: usize = 32;

fn ticker(found: Found<'_>) -> Result<String, FieldError> {
    let ticker = found.text()?.trim();
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/!-".contains(&byte);
    let symbol = ticker.split_once(':').map_or(ticker, |(_, symbol)| symbol);
    let fits = ticker.len() <= TICKER_MAX && !symbol.is_empty() && ticker.bytes().all(known);
    if fits {
        Ok(ticker.to_owned())
    } else {
        let allowed = "1 to 32 characters of A-Z a-z 0-9 . _ : / ! -";
        Err(found.wrong(format!("{} is not {allowed}", quoted(ticker))))
    }
}

const LABEL_MAX: usize = 256;

/// What identifies a signal that has no id of its own (S15).
fn derived_id(
    fields: &Fields<'_>,
    action: Action,
    ticker: Option<&str>,
    timenow: Option<Timestamp>,
) -> Result<Option<String>, FieldError> {
    let interval = fields.label(TargetField::Interval)?;
    let order_id = fields.label(TargetField::OrderId)?;
    for (label, target) in [(interval, TargetField::Interval), (order_id, TargetField::OrderId)] {
        if label.is_some_and(|label| label.len() > LABEL_MAX) {
            let detail = format!("it is longer than {LABEL_MAX} bytes");
            return Err(FieldError::field(fields.spelled(target), detail));
        }
    }
    let (Some(order_id), Some(timenow)) = (order_id, timenow) else { return Ok(None) };
    let parts = [
        ticker.unwrap_or_default(),
        interval.unwrap_or_default(),
        order_id,
        action.text(),
        fields.text(TargetField::Comment)?.unwrap_or_default().trim(),
        fields.label(TargetField::Quantity)?.unwrap_or_default(),
        fields.label(TargetField::MarketPositionSize)?.unwrap_or_default(),
        &timenow.to_string(),
    ];
    // A separator inside of a part must not make two different signals look alike.
    Ok(Some(parts.map(|part| part.replace(SEPARATOR, "\u{fffd}")).join(SEPARATOR)))
}

const SEPARATOR: &str = "\u{1f}";
