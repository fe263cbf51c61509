//! The adapter: the port's words over a link to the exchange.

use super::judge::CLIENT_ORDER_ID_MAX;
use super::link::{Lost, PaperLink};
use super::message::{Command, Reply};
use super::query::PAGE_MAX;
use crate::port::{
    AccountState, AllCanceled, Answer, Broker, BrokerAccount, BrokerOrder, BrokerPosition,
    CallBudget, Cancellation, Capabilities, Capability, ClientOrderIds, Environment, Execution,
    Introspection, Lookup, OrderName, Page, PlaceOrder, Placement, Quote, ReplaceOrder,
    Replacement, Unheard, YesNo,
};
use std::time::Duration;
use tradewarden_domain::instrument::{Instrument, Symbol};
use tradewarden_domain::order::{OrderType, TimeInForce};
use tradewarden_domain::time::Timestamp;

/// The paper exchange behind the port.
#[derive(Debug, Clone)]
pub struct PaperBroker {
    link: PaperLink,
    /// How long any one call waits for its answer.
    deadline: Duration,
}

impl PaperBroker {
    /// How long a call waits for its answer, unless told otherwise.
    pub const DEADLINE: Duration = Duration::from_secs(2);

    /// The exchange over that link.
    pub const fn new(link: PaperLink) -> Self {
        Self { link, deadline: Self::DEADLINE }
    }

    /// The same, waiting so long for each answer.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    async fn ask(&self, command: Command) -> Result<Reply, Lost> {
        self.link.ask(command, self.deadline).await
    }

    /// Reads one thing; `pick` takes it out of the reply.
    async fn read<T>(
        &self,
        command: Command,
        pick: impl FnOnce(Reply) -> Option<T>,
    ) -> Result<T, Unheard> {
        match self.ask(command).await {
            Ok(Reply::Refused { code, reason }) => {
                Err(Unheard { why: format!("{code}: {reason}") })
            }
            Ok(reply) => pick(reply).ok_or_else(|| Unheard { why: NONSENSE.to_owned() }),
            Err(lost) => Err(Unheard { why: lost.why() }),
        }
    }

    /// Reads a whole list, page by page.
    async fn read_all<T>(
        &self,
        command: impl Fn(Option<String>) -> Command,
        pick: impl Fn(Reply) -> Option<Page<T>>,
    ) -> Result<Vec<T>, Unheard> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.read(command(cursor), &pick).await?;
            let was_last = page.items.len() < PAGE_MAX;
            all.extend(page.items);
            cursor = page.next_cursor;
            if was_last {
                return Ok(all);
            }
        }
    }
}

const NONSENSE: &str = "the paper exchange answered something else";

/// A reply that is no outcome of the call: nothing was learned.
fn nonsense() -> String {
    NONSENSE.to_owned()
}

static CAPABILITIES: Capabilities = Capabilities {
    broker: "paper",
    environment: Environment::Paper,
    place: Capability::Native,
    cancel: Capability::Native,
    cancel_all: Capability::Native,
    replace: Capability::Native,
    find: Capability::Native,
    open_orders: Capability::Native,
    fills_since: Capability::Native,
    positions: Capability::Native,
    account: Capability::Native,
    instruments: Capability::Native,
    quote: Capability::Native,
    introspect: Capability::Native,
    reduce_only: Capability::Native,
    one_cancels_other: Capability::Emulated,
    place_expiry: Capability::Native,
    find_is_authoritative_after_expiry: true,
    find_settles_after: Duration::ZERO,
    client_order_id_max: CLIENT_ORDER_ID_MAX,
    client_order_ids: ClientOrderIds::UniqueForEver,
    place_is_serial: false,
    budget: CallBudget::NONE_KNOWN,
    order_types: OrderType::ALL,
    times_in_force: TimeInForce::ALL,
};

impl Broker for PaperBroker {
    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    fn limited_until(&self) -> Option<Timestamp> {
        None
    }

    fn place(&self, order: PlaceOrder) -> Answer<'_, Placement> {
        Box::pin(async move {
            match self.ask(Command::Place(order)).await {
                Ok(Reply::Placement(placement)) => placement,
                Ok(_) => Placement::Unknown { why: nonsense() },
                Err(Lost::NotSent { why }) => Placement::NotSent { why },
                Err(Lost::Unknown { why }) => Placement::Unknown { why },
            }
        })
    }

    fn cancel(&self, order: OrderName) -> Answer<'_, Cancellation> {
        Box::pin(async move {
            match self.ask(Command::Cancel(order)).await {
                Ok(Reply::Cancellation(cancellation)) => cancellation,
                Ok(_) => Cancellation::Unknown { why: nonsense() },
                Err(lost) => Cancellation::Unknown { why: lost.why() },
            }
        })
    }

    fn cancel_all(
        &self,
        account: BrokerAccount,
        symbol: Option<Symbol>,
    ) -> Answer<'_, AllCanceled> {
        Box::pin(async move {
            match self.ask(Command::CancelAll { account, symbol }).await {
                Ok(Reply::AllCanceled(canceled)) => canceled,
                Ok(_) => AllCanceled::Unknown { why: nonsense() },
                Err(lost) => AllCanceled::Unknown { why: lost.why() },
            }
        })
    }

    fn replace(&self, change: ReplaceOrder) -> Answer<'_, Replacement> {
        Box::pin(async move {
            match self.ask(Command::Replace(change)).await {
                Ok(Reply::Replacement(replacement)) => replacement,
                Ok(_) => Replacement::Unknown { why: nonsense() },
                Err(lost) => Replacement::Unknown { why: lost.why() },
            }
        })
    }

    fn find(&self, order: OrderName) -> Answer<'_, Lookup> {
        Box::pin(async move {
            match self.ask(Command::Find(order)).await {
                Ok(Reply::Lookup(lookup)) => lookup,
                Ok(_) => Lookup::Unheard { why: nonsense() },
                Err(lost) => Lookup::Unheard { why: lost.why() },
            }
        })
    }

    fn open_orders(&self, account: BrokerAccount) -> Answer<'_, Result<Vec<BrokerOrder>, Unheard>> {
        Box::pin(async move {
            let command = |cursor| Command::OpenOrders { account: account.clone(), cursor };
            self.read_all(command, |reply| match reply {
                Reply::Orders(page) => Some(page),
                _ => None,
            })
            .await
        })
    }

    fn fills_since(
        &self,
        account: BrokerAccount,
        cursor: Option<String>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Execution>, Unheard>> {
        Box::pin(async move {
            self.read(Command::Fills { account, cursor, limit }, |reply| match reply {
                Reply::Fills(page) => Some(page),
                _ => None,
            })
            .await
        })
    }

    fn positions(
        &self,
        account: BrokerAccount,
    ) -> Answer<'_, Result<Vec<BrokerPosition>, Unheard>> {
        Box::pin(async move {
            let command = |cursor| Command::Positions { account: account.clone(), cursor };
            self.read_all(command, |reply| match reply {
                Reply::Positions(page) => Some(page),
                _ => None,
            })
            .await
        })
    }

    fn account(&self, account: BrokerAccount) -> Answer<'_, Result<AccountState, Unheard>> {
        Box::pin(async move {
            self.read(Command::Account { account }, |reply| match reply {
                Reply::Account(state) => Some(state),
                _ => None,
            })
            .await
        })
    }

    fn instruments(&self, account: BrokerAccount) -> Answer<'_, Result<Vec<Instrument>, Unheard>> {
        Box::pin(async move {
            let command = |cursor| Command::Instruments { account: account.clone(), cursor };
            self.read_all(command, |reply| match reply {
                Reply::Instruments(page) => Some(page),
                _ => None,
            })
            .await
        })
    }

    fn quote(&self, _account: BrokerAccount, symbol: Symbol) -> Answer<'_, Result<Quote, Unheard>> {
        Box::pin(async move {
            self.read(Command::Quote { symbol }, |reply| match reply {
                Reply::Quote(quote) => Some(quote),
                _ => None,
            })
            .await
        })
    }

    fn introspect(&self) -> Answer<'_, Result<Introspection, Unheard>> {
        // There is no credential: who reaches the link may trade, and nothing can be withdrawn.
        Box::pin(std::future::ready(Ok(Introspection {
            can_withdraw: YesNo::No,
            can_trade: YesNo::Yes,
            is_address_bound: YesNo::Yes,
            expires_at: None,
            environment: Environment::Paper,
        })))
    }
}
