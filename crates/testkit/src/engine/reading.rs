//! What the database holds, read beside the gateway, also while it is dead.

use super::Harness;
use std::collections::BTreeMap;
use std::future::Future;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::{Order, Side};
use tradewarden_engine::ledger::{Verification, verify};
use tradewarden_store::audit::{self, Placed};
use tradewarden_store::exposures::{self, Place};
use tradewarden_store::findings::{self, Finding};
use tradewarden_store::signals::StoredSignal;
use tradewarden_store::{Store, directory, orders, signals};

impl Harness {
    /// The database, which outlives the gateway.
    ///
    /// # Panics
    ///
    /// When the gateway was never started.
    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("it was started once")
    }

    async fn look<T>(&self, query: impl Future<Output = Result<T, tradewarden_store::Error>>) -> T {
        self.wait_for(query).await.expect("the database answers")
    }

    /// The one organization.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn org(&self) -> Id<id::Org> {
        self.look(directory::organizations(self.store())).await.first().unwrap().id
    }

    /// All orders, oldest first.
    pub async fn orders(&self) -> Vec<Order> {
        let org = self.org().await;
        let newest = Id::from_bytes([255; 16]);
        let mut found = self.look(orders::page(self.store(), org, newest, 100_000)).await;
        found.reverse();
        found
    }

    /// All signals, oldest first.
    pub async fn signals(&self) -> Vec<StoredSignal> {
        let org = self.org().await;
        let newest = Id::from_bytes([255; 16]);
        let mut found = self.look(signals::page(self.store(), org, newest, 100_000)).await;
        found.reverse();
        found
    }

    /// All exposures of an account.
    ///
    /// # Panics
    ///
    /// When that is no account's identifier.
    pub async fn exposures(&self, account: &str) -> Vec<(Place, Exposure)> {
        self.look(exposures::of_account(self.store(), account.parse().unwrap())).await
    }

    /// What the gateway believes that an account holds of an instrument.
    ///
    /// # Panics
    ///
    /// When that is no account or no symbol.
    pub async fn position(&self, account: &str, symbol: &str) -> Quantity {
        let symbol: Symbol = symbol.parse().unwrap();
        let all = self.exposures(account).await;
        let parts = all.iter().filter(|(place, _)| place.symbol == symbol);
        parts.fold(Quantity::ZERO, |sum, (_, part)| sum.saturating_plus(part.quantity))
    }

    /// What the journaled fills of an account come to, in units of 10^-8, by instrument.
    ///
    /// # Panics
    ///
    /// When that is no account.
    pub async fn fills(&self, account: &str) -> BTreeMap<Symbol, i64> {
        let account: Id<id::Account> = account.parse().unwrap();
        let mut sums: BTreeMap<Symbol, i64> = BTreeMap::new();
        let stored: Vec<(Symbol, Side, Quantity)> =
            self.look(orders::fills_of_account(self.store(), account)).await;
        for (symbol, side, quantity) in stored {
            let sum = sums.entry(symbol).or_default();
            *sum = sum.saturating_add(side.signed(quantity).units());
        }
        sums
    }

    /// All findings, newest first.
    pub async fn findings(&self) -> Vec<Finding> {
        let org = self.org().await;
        self.look(findings::page(self.store(), org, Id::from_bytes([255; 16]), 100_000)).await
    }

    /// Whether a finding with this code was opened.
    pub async fn has_finding(&self, code: &str) -> bool {
        self.findings().await.iter().any(|finding| finding.code == code)
    }

    /// The audit entries about an object, oldest first.
    pub async fn entries(&self, object: [u8; 16]) -> Vec<Placed> {
        self.look(audit::of_object(self.store(), object, 10_000)).await
    }

    /// The sealed entries from this place on.
    pub async fn log(&self, from: u64) -> Vec<Placed> {
        self.look(audit::range(self.store(), from, u64::from(u32::MAX))).await
    }

    /// How many entries are sealed.
    ///
    /// # Panics
    ///
    /// When there is no log.
    pub async fn log_size(&self) -> u64 {
        self.look(audit::ledger(self.store())).await.expect("a log").size
    }

    /// Checks the whole audit log.
    pub async fn verify(&self) -> Verification {
        self.look(verify(self.store(), &mut |_, _| {})).await
    }
}
