//! What the exchange says to each command.

use super::message::{Command, Reply};
use super::order::{PaperOrder, Rejection};
use super::price::Listing;
use super::record::{NewOrder, NoOrder, Record};
use super::state::{IdOrder, Inconsistent, PaperExchange, Twist};
use crate::port::{
    AllCanceled, BrokerAccount, Cancellation, Lookup, MarketState, PlaceOrder, Placement,
    ReduceOnly, Replacement,
};
use tradewarden_domain::money::{Price, Quantity, Round};
use tradewarden_domain::order::{OrderType, TimeInForce};
use tradewarden_domain::time::Timestamp;

/// Longest client order id, in bytes.
pub(super) const CLIENT_ORDER_ID_MAX: usize = 64;
/// Live orders of one account.
const OPEN_ORDERS_MAX: usize = 10_000;

/// What is judged: a valid order, or why there is none.
pub(super) type Judged<T> = Result<T, Rejection>;

pub(super) fn no<T>(code: &str, reason: &str) -> Judged<T> {
    Err(Rejection::new(code, reason))
}

impl PaperExchange {
    pub(super) fn judge(
        &mut self,
        command: Command,
        now: Timestamp,
        twist: Twist,
        records: &mut Vec<Record>,
    ) -> Result<Reply, Inconsistent> {
        if let Command::Place(order) = command {
            return self.place(order, now, twist, records).map(Reply::Placement);
        }
        if let Some(rejection) = twist.refusal() {
            return Ok(refuse(&command, rejection));
        }
        Ok(match command {
            Command::Place(_) => return Err(Inconsistent("a placement is judged twice")),
            Command::Cancel(order) => Reply::Cancellation(self.cancel(&order, now, records)?),
            Command::CancelAll { account, symbol } => {
                let symbol = symbol.as_ref();
                Reply::AllCanceled(self.cancel_all(&account, symbol, now, records)?)
            }
            Command::Replace(change) => Reply::Replacement(self.replace(&change, now, records)?),
            Command::Find(order) => Reply::Lookup(self.find(&order)),
            Command::OpenOrders { account, cursor } => self.open_orders(&account, cursor),
            Command::Fills { account, cursor, limit } => self.fills(&account, cursor, limit),
            Command::Positions { account, cursor } => self.positions(&account, cursor),
            Command::Account { account } => self.account_state(&account, now),
            Command::Instruments { account, cursor } => self.instruments(&account, cursor),
            Command::Quote { symbol } => self.quote(&symbol, now),
            Command::OpenAccount { account, cash, currency } => {
                self.open_account(account, cash, currency, records)?
            }
            Command::List(listing) => self.list(listing, records)?,
            Command::SetPrice { symbol, price, market } => {
                self.set_price(symbol, price, market, records)?
            }
            Command::SetLiquidity { symbol, per_tick } => {
                self.set_liquidity(symbol, per_tick, records)?
            }
            Command::PositionByHand { account, symbol, quantity } => {
                self.position_by_hand(account, symbol, quantity, now, records)?
            }
            Command::Tick => {
                self.tick(now, records)?;
                Reply::Done
            }
            Command::Counts => Reply::Counts(self.counts),
            Command::TimesReceived { client_order_id } => {
                Reply::Times(self.times_received(&client_order_id))
            }
            Command::Inject(_) | Command::ClearFaults => {
                Reply::refused("no_faults", "faults are armed at the task, not at the exchange")
            }
        })
    }

    fn place(
        &mut self,
        order: PlaceOrder,
        now: Timestamp,
        twist: Twist,
        records: &mut Vec<Record>,
    ) -> Result<Placement, Inconsistent> {
        if let Some((rejection, received)) = self.turned_away(&order, twist) {
            self.emit(received, records)?;
            return Ok(rejected(rejection));
        }
        let judged = match twist {
            Twist::Reject => no("injected", "a fault rejects this order"),
            _ => self.judge_order(&order, now),
        };
        let (quantity, rejection) = match judged {
            Ok(quantity) => (quantity, None),
            Err(rejection) => (order.quantity, Some(rejection)),
        };
        let number = self.last_order.saturating_add(1);
        let created = NewOrder {
            number,
            account: order.account,
            client_order_id: order.client_order_id,
            symbol: order.symbol,
            side: order.side,
            order_type: order.order_type,
            time_in_force: order.time_in_force,
            quantity,
            limit_price: order.limit_price,
            stop_price: order.stop_price,
            reduce_only: order.reduce_only,
            held_back: twist == Twist::Late,
            rejection: rejection.clone(),
            at: now,
        };
        self.emit(Record::Created(Box::new(created)), records)?;
        if let Some(rejection) = rejection {
            return Ok(rejected(rejection));
        }
        match twist {
            Twist::Late => {}
            Twist::Partial(cap) => self.arrive(number, Some(cap), now, records)?,
            _ => self.arrive(number, None, now, records)?,
        }
        self.accepted(number)
    }

    /// A placement from which no order comes, and the record that it was received.
    fn turned_away(&self, order: &PlaceOrder, twist: Twist) -> Option<(Rejection, Record)> {
        let id = order.client_order_id.as_str();
        let received = |client_order_id: Option<&str>, why| Record::Received {
            account: order.account.clone(),
            client_order_id: client_order_id.map(str::to_owned),
            why,
        };
        let Some(account) = self.accounts.get(&order.account) else {
            // Only counted: what may be any text does not go into the journal.
            let account = BrokerAccount::new("");
            let record = Record::Received { account, client_order_id: None, why: NoOrder::Unnamed };
            return Some((unknown_account(), record));
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if id.is_empty() || id.len() > CLIENT_ORDER_ID_MAX || !id.bytes().all(allowed) {
            let rejection = Rejection::new(
                "invalid_client_order_id",
                "a client order id has 1 to 64 characters of A-Z a-z 0-9 - _ . :",
            );
            return Some((rejection, received(None, NoOrder::Unnamed)));
        }
        if let Some(rejection) = twist.refusal().filter(|_| twist != Twist::Reject) {
            return Some((rejection, received(Some(id), NoOrder::Lost)));
        }
        let reason = match account.ids.get(id)?.order {
            IdOrder::None => return None,
            IdOrder::Dropped => "the id was used by an order that is not kept any more".to_owned(),
            IdOrder::Kept(number) => match self.orders.get(&number) {
                Some(first) => first.outcome(),
                None => "the id was used before".to_owned(),
            },
        };
        let rejection = Rejection { code: "duplicate_client_order_id".to_owned(), reason };
        Some((rejection, received(Some(id), NoOrder::Duplicate)))
    }

    /// The quantity the exchange takes the order for, or why it does not.
    fn judge_order(&self, order: &PlaceOrder, now: Timestamp) -> Judged<Quantity> {
        if now > order.expires_at {
            return no("expired", "it arrived after its expiry");
        }
        let Some(listing) = self.listings.get(&order.symbol) else {
            return no("unknown_symbol", "there is no such instrument");
        };
        let is_stop = matches!(order.order_type, OrderType::Stop | OrderType::StopLimit);
        let at_once = matches!(order.time_in_force, TimeInForce::Ioc | TimeInForce::Fok);
        if is_stop && at_once {
            return no("invalid_time_in_force", "a stop order works day or gtc");
        }
        if !prices_fit(listing, order.order_type, order.limit_price, order.stop_price) {
            return no("invalid_price", "the order type's prices, each a multiple of the tick");
        }
        let quantity = self.judge_quantity(listing, order)?;
        let must_trade = order.order_type == OrderType::Market || at_once;
        if must_trade && listing.market_at(now) != MarketState::Open {
            return no("market_closed", "the market is closed");
        }
        let open = self.accounts.get(&order.account).map_or(0, |account| account.open.len());
        if open >= OPEN_ORDERS_MAX {
            return no("too_many_open_orders", "an account has at most 10000 open orders");
        }
        Ok(quantity)
    }

    fn judge_quantity(&self, listing: &Listing, order: &PlaceOrder) -> Judged<Quantity> {
        let quantity = match order.reduce_only {
            ReduceOnly::No => order.quantity,
            ReduceOnly::Yes => {
                let most = self.reducible(&order.account, &order.symbol, order.side);
                if most.is_zero() {
                    return no("reduce_only", "there is no position that it would reduce");
                }
                order.quantity.min(most)
            }
        };
        // What closes a position that is smaller than a lot, or between two, is taken as it is.
        let closes = order.reduce_only == ReduceOnly::Yes && quantity < order.quantity;
        if !closes && !quantity_fits(listing, quantity) {
            return no("invalid_quantity", "a positive multiple of the lot, at least the minimum");
        }
        if !worth_fits(listing, quantity, order.limit_price.max(order.stop_price)) {
            return no("too_large", "its worth is more than 90 billion");
        }
        Ok(quantity)
    }

    /// The acceptance of an order as it stands, with all its fills.
    fn accepted(&self, number: u64) -> Result<Placement, Inconsistent> {
        let order = self.orders.get(&number).ok_or(Inconsistent("a new order is gone"))?;
        let account = self.accounts.get(&order.account);
        // The fills of an order that has just arrived are the last of the account.
        let fills = account.into_iter().flat_map(|account| account.fills.iter().rev());
        let own = fills.take_while(|(_, fill)| fill.order == number);
        Ok(Placement::Accepted {
            broker_order_id: order.broker_order_id(),
            fills: own.map(|(fill_number, fill)| order.execution(*fill_number, fill)).collect(),
            state: order.state,
        })
    }
}

impl PaperOrder {
    /// What became of it, in a sentence.
    pub(super) fn outcome(&self) -> String {
        match &self.rejection {
            Some(Rejection { code, .. }) => {
                format!("order {} was rejected: {code}", self.broker_order_id())
            }
            None => format!(
                "order {} is {}, {} of {} filled",
                self.broker_order_id(),
                self.state,
                self.filled,
                self.quantity
            ),
        }
    }
}

impl Twist {
    /// The no that the fault makes of any command.
    fn refusal(self) -> Option<Rejection> {
        match self {
            Self::Reject => Some(Rejection::new("injected", "a fault rejects this command")),
            Self::Throttle => Some(Rejection::new("throttled", "too many commands")),
            Self::Lost => Some(Rejection::new("lost", "a fault lost this command")),
            Self::None | Self::Partial(_) | Self::Late => None,
        }
    }
}

fn rejected(Rejection { code, reason }: Rejection) -> Placement {
    Placement::Rejected { code, reason }
}

fn refuse(command: &Command, Rejection { code, reason }: Rejection) -> Reply {
    match command {
        Command::Cancel(_) => Reply::Cancellation(Cancellation::Rejected { code, reason }),
        Command::CancelAll { .. } => Reply::AllCanceled(AllCanceled::Rejected { code, reason }),
        Command::Replace(_) => Reply::Replacement(Replacement::Rejected { code, reason }),
        Command::Find(_) => Reply::Lookup(Lookup::Unheard { why: reason }),
        _ => Reply::Refused { code, reason },
    }
}

pub(super) fn unknown_account() -> Rejection {
    Rejection::new("unknown_account", "there is no such account")
}

pub(super) fn unknown_symbol() -> Reply {
    Reply::refused("unknown_symbol", "there is no such instrument")
}

pub(super) fn quantity_fits(listing: &Listing, quantity: Quantity) -> bool {
    quantity.is_positive()
        && quantity >= listing.instrument.quantity_min
        && quantity.to_step(listing.instrument.lot, Round::Down) == quantity
}

/// Whether the order type has exactly the prices it needs, each a positive multiple of the tick.
pub(super) fn prices_fit(
    listing: &Listing,
    order_type: OrderType,
    limit: Option<Price>,
    stop: Option<Price>,
) -> bool {
    let (needs_limit, needs_stop) = match order_type {
        OrderType::Market => (false, false),
        OrderType::Limit => (true, false),
        OrderType::Stop => (false, true),
        OrderType::StopLimit => (true, true),
    };
    let tick = listing.instrument.tick;
    let fits = |price: Price| price.is_positive() && price.to_step(tick, Round::Down) == price;
    limit.is_some() == needs_limit
        && stop.is_some() == needs_stop
        && limit.is_none_or(fits)
        && stop.is_none_or(fits)
}

/// Whether the worth of the order fits the range of money, at its price and at twice the base.
pub(super) fn worth_fits(listing: &Listing, quantity: Quantity, price: Option<Price>) -> bool {
    let most = price.max(listing.fixed).unwrap_or(Price::ZERO).max(listing.base);
    let twice = most.saturating_plus(most);
    twice.notional(quantity, listing.instrument.point_value).is_some()
}
