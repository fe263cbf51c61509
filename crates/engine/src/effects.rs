//! What a transaction leaves for others: what they must hear of once it is committed, and how urgent.

use tradewarden_domain::halt::Halt;
use tradewarden_domain::order::Order;
use tradewarden_store::findings::Finding;
use tradewarden_store::orders::Fill;

/// What a transaction changed and others must hear of once it is committed.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) orders: Vec<Order>,
    pub(crate) fills: Vec<Fill>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) entries: u64,
    /// The halts that are engaged from now on, if that changed.
    pub(crate) halts: Option<Vec<Halt>>,
}

/// How urgent a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// To be looked at.
    Warning,
    /// To be looked at now.
    Critical,
}

impl Severity {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}
