//! What lists can be searched for.

use clap::Args;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::order::OrderState;
use tradewarden_domain::source::Source;
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::command::{Filter, Search};

use super::Page;
use super::word::word;

/// A span of time.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Span {
    /// From this instant on, such as 2026-11-01T00:00:00Z
    #[arg(long, value_name = "T")]
    from: Option<Timestamp>,
    /// Before this instant
    #[arg(long, value_name = "T")]
    to: Option<Timestamp>,
}

/// `order list`
#[derive(Debug, Args)]
pub(crate) struct OrderSearch {
    #[command(flatten)]
    page: Page,
    /// Of this account
    #[arg(long, value_name = "ID")]
    account: Option<Id<id::Account>>,
    /// Of this strategy
    #[arg(long, value_name = "ID")]
    strategy: Option<Id<id::Strategy>>,
    /// Of this instrument
    #[arg(long, value_name = "S")]
    symbol: Option<Symbol>,
    /// In this state
    #[arg(long, value_parser = word(OrderState::ALL, OrderState::text))]
    state: Option<OrderState>,
    #[command(flatten)]
    span: Span,
}

/// `signal list`
#[derive(Debug, Args)]
pub(crate) struct SignalSearch {
    #[command(flatten)]
    page: Page,
    /// Of this webhook or key
    #[arg(long, value_name = "ID")]
    source: Option<Source>,
    /// That came to this account
    #[arg(long, value_name = "ID")]
    account: Option<Id<id::Account>>,
    /// That came to this strategy
    #[arg(long, value_name = "ID")]
    strategy: Option<Id<id::Strategy>>,
    /// Of which this became: accepted, skipped, refused or `dry_run`
    #[arg(long, value_name = "WORD")]
    status: Option<String>,
    /// With this reason
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    #[command(flatten)]
    span: Span,
}

/// `position list`
#[derive(Debug, Args)]
pub(crate) struct PositionSearch {
    /// Of this account
    #[arg(long, value_name = "ID")]
    account: Option<Id<id::Account>>,
    /// In which this strategy has a part
    #[arg(long, value_name = "ID")]
    strategy: Option<Id<id::Strategy>>,
    /// Of this instrument
    #[arg(long, value_name = "S")]
    symbol: Option<Symbol>,
}

/// `finding list`
#[derive(Debug, Args)]
pub(crate) struct FindingSearch {
    #[command(flatten)]
    page: Page,
    /// With this reason
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// That are so bad: warning or critical
    #[arg(long, value_name = "WORD")]
    severity: Option<String>,
    /// About this account
    #[arg(long, value_name = "ID")]
    account: Option<Id<id::Account>>,
    /// About this strategy
    #[arg(long, value_name = "ID")]
    strategy: Option<Id<id::Strategy>>,
    #[command(flatten)]
    span: Span,
}

fn search(page: Page, span: Span, filter: Filter) -> Search {
    let filter = Filter { from: span.from, to: span.to, ..filter };
    Search { cursor: page.cursor, limit: page.limit, filter }
}

impl From<OrderSearch> for Search {
    fn from(asked: OrderSearch) -> Self {
        let filter = Filter {
            account_id: asked.account,
            strategy_id: asked.strategy,
            symbol: asked.symbol,
            state: asked.state.map(|state| state.text().to_owned()),
            ..Filter::default()
        };
        search(asked.page, asked.span, filter)
    }
}

impl From<SignalSearch> for Search {
    fn from(asked: SignalSearch) -> Self {
        let filter = Filter {
            source: asked.source,
            account_id: asked.account,
            strategy_id: asked.strategy,
            status: asked.status,
            code: asked.code,
            ..Filter::default()
        };
        search(asked.page, asked.span, filter)
    }
}

impl From<PositionSearch> for Search {
    fn from(asked: PositionSearch) -> Self {
        let filter = Filter {
            account_id: asked.account,
            strategy_id: asked.strategy,
            symbol: asked.symbol,
            ..Filter::default()
        };
        Self { filter, ..Self::default() }
    }
}

impl From<FindingSearch> for Search {
    fn from(asked: FindingSearch) -> Self {
        let filter = Filter {
            code: asked.code,
            severity: asked.severity,
            account_id: asked.account,
            strategy_id: asked.strategy,
            ..Filter::default()
        };
        search(asked.page, asked.span, filter)
    }
}
