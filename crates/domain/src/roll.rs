//! The roll table: which month contract a continuous symbol stands for, and until when (S11).
//!
//! It is dated data that a person keeps. Days are those of New York, where they begin at midnight.

use crate::day::Day;
use crate::id::{self, Id};
use crate::instrument::Symbol;
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// A month contract of a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// Whose table it is in.
    pub org_id: Id<id::Org>,
    /// What it is a month of, such as `ES`.
    pub root: Symbol,
    /// Its own symbol, such as `ESZ26`.
    pub symbol: Symbol,
    /// Its last trading day.
    pub expires_on: Day,
    /// From this day on who holds it may have to take delivery; absent where it settles in cash.
    pub first_notice_on: Option<Day>,
    /// From this instant on entries go to the next month, if somebody said so.
    pub roll_at: Option<Timestamp>,
    /// When it was set.
    pub updated_at: Timestamp,
}

/// Calendar days before its expiry on which a contract that settles in cash is left.
const CASH_ROLL_DAYS: u8 = 8;
/// Trading days before its first notice on which a deliverable contract is left.
const DELIVERY_ROLL_TRADING_DAYS: u8 = 2;
/// Calendar days before its last day from which on who still holds it is told each day.
const WARN_DAYS: u8 = 5;

impl Contract {
    /// From this instant on entries go to the next month.
    pub fn rolls_at(&self) -> Timestamp {
        let by_rule = || match self.first_notice_on {
            None => self.expires_on.minus_days(CASH_ROLL_DAYS),
            Some(notice) => notice.minus_trading_days(DELIVERY_ROLL_TRADING_DAYS),
        };
        self.roll_at.unwrap_or_else(|| by_rule().begins())
    }

    /// The last day on which it should be held; entries are refused on it.
    pub fn last_day(&self) -> Day {
        let before_notice = self.first_notice_on.map(|notice| notice.minus_trading_days(1));
        before_notice.map_or(self.expires_on, |day| day.min(self.expires_on))
    }

    /// Whether it takes entries at an instant.
    pub fn takes_entries(&self, now: Timestamp) -> bool {
        Day::at(now) < self.last_day()
    }

    /// Whether who holds it should be told at an instant.
    pub fn warns(&self, now: Timestamp) -> bool {
        Day::at(now) >= self.last_day().minus_days(WARN_DAYS)
    }
}

/// A symbol such as `ES1!`, which stands for the front month of a root; `ES2!` for the one after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuous {
    /// The root.
    pub root: Symbol,
    /// 1 for the front month, up to 9.
    pub place: u8,
}

impl Continuous {
    /// What a symbol stands for, if it is written like a continuous one.
    pub fn of(symbol: &Symbol) -> Option<Self> {
        let text = symbol.as_str().strip_suffix('!')?;
        let place = text.chars().last()?.to_digit(10).filter(|place| *place > 0)?;
        let root = text.strip_suffix(|last: char| last.is_ascii_digit())?.parse().ok()?;
        Some(Self { root, place: u8::try_from(place).ok()? })
    }
}

/// The roll table of an organization.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollTable {
    /// Sorted by expiry.
    by_root: BTreeMap<Symbol, Vec<Contract>>,
}

impl RollTable {
    /// The table of these contracts.
    pub fn of(contracts: impl IntoIterator<Item = Contract>) -> Self {
        let mut by_root: BTreeMap<Symbol, Vec<Contract>> = BTreeMap::new();
        for contract in contracts {
            by_root.entry(contract.root.clone()).or_default().push(contract);
        }
        for months in by_root.values_mut() {
            months.sort_by(|one, other| {
                (one.expires_on, &one.symbol).cmp(&(other.expires_on, &other.symbol))
            });
        }
        Self { by_root }
    }

    /// Every contract, by root and expiry.
    pub fn contracts(&self) -> impl Iterator<Item = &Contract> {
        self.by_root.values().flatten()
    }

    /// The contract of this symbol.
    pub fn contract(&self, symbol: &Symbol) -> Option<&Contract> {
        self.contracts().find(|contract| contract.symbol == *symbol)
    }

    /// The months of a root, by expiry; none of a root that is not in the table.
    pub fn months(&self, root: &Symbol) -> &[Contract] {
        self.by_root.get(root).map_or(&[], Vec::as_slice)
    }

    /// What a continuous symbol stands for at an instant: the month of that place among those that
    /// have not rolled.
    pub fn front(&self, continuous: &Continuous, now: Timestamp) -> Option<&Contract> {
        let mut ahead = self.months(&continuous.root).iter().filter(|month| now < month.rolls_at());
        ahead.nth(usize::from(continuous.place).checked_sub(1)?)
    }

    /// The root that a symbol, continuous or of a month, belongs to.
    pub fn root_of(&self, symbol: &Symbol) -> Option<Symbol> {
        let continuous = Continuous::of(symbol).map(|continuous| continuous.root);
        continuous
            .filter(|root| !self.months(root).is_empty())
            .or_else(|| self.contract(symbol).map(|contract| contract.root.clone()))
    }

    /// The symbols whose positions are positions of this one's root: its months and the continuous
    /// ones; of a symbol without a root itself.
    pub fn relatives(&self, symbol: &Symbol) -> Vec<Symbol> {
        let Some(root) = self.root_of(symbol) else { return vec![symbol.clone()] };
        let continuous = (1..=9).filter_map(|place| format!("{root}{place}!").parse().ok());
        let months = self.months(&root).iter().map(|month| month.symbol.clone());
        months.chain(continuous).collect()
    }

    /// The symbols that a signal about this one may be about: all months of a continuous one, else
    /// itself.
    pub fn spread(&self, symbol: &Symbol) -> Vec<Symbol> {
        let months = Continuous::of(symbol).map_or(&[][..], |found| self.months(&found.root));
        if months.is_empty() {
            return vec![symbol.clone()];
        }
        months.iter().map(|month| month.symbol.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract(root: &str, symbol: &str, expires_on: &str, notice: Option<&str>) -> Contract {
        Contract {
            org_id: Id::from_bytes([1; 16]),
            root: root.parse().unwrap(),
            symbol: symbol.parse().unwrap(),
            expires_on: expires_on.parse().unwrap(),
            first_notice_on: notice.map(|day| day.parse().unwrap()),
            roll_at: None,
            updated_at: Timestamp::default(),
        }
    }

    fn table() -> RollTable {
        RollTable::of([
            contract("ES", "ESH27", "2027-03-19", None),
            contract("ES", "ESZ26", "2026-12-18", None),
            contract("CL", "CLF27", "2026-12-21", Some("2026-12-23")),
            contract("GC", "GCZ26", "2026-12-29", Some("2026-11-30")),
        ])
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn symbol(text: &str) -> Symbol {
        text.parse().unwrap()
    }

    #[test]
    fn continuous_symbols_are_those_of_charts() {
        for (text, expected) in [
            ("ES1!", Some(("ES", 1))),
            ("M2K1!", Some(("M2K", 1))),
            ("ES2!", Some(("ES", 2))),
            ("ES0!", None),
            ("ES!", None),
            ("ES1", None),
            ("1!", None),
            ("ESZ26", None),
        ] {
            let found = Continuous::of(&symbol(text));
            let expected = expected.map(|(root, place)| Continuous { root: symbol(root), place });
            assert_eq!(found, expected, "{text}");
        }
    }

    /// S11: 8 calendar days before expiry for what settles in cash, 2 trading days before the first
    /// notice for what is delivered, or as somebody said.
    #[test]
    fn s11_when_contracts_roll() {
        let cases = [
            ("ESZ26", "2026-12-10T05:00:00.000000Z", "2026-12-18"),
            // 2026-11-30 is a Monday; Thanksgiving is no trading day.
            ("GCZ26", "2026-11-25T05:00:00.000000Z", "2026-11-27"),
            ("CLF27", "2026-12-21T05:00:00.000000Z", "2026-12-21"),
        ];
        let table = table();
        for (name, rolls_at, last_day) in cases {
            let contract = table.contract(&symbol(name)).unwrap();
            assert_eq!(contract.rolls_at().to_string(), rolls_at, "{name}");
            assert_eq!(contract.last_day().to_string(), last_day, "{name}");
        }
        let said = at("2026-12-14T23:00:00Z");
        let contract =
            Contract { roll_at: Some(said), ..contract("ES", "ESZ26", "2026-12-18", None) };
        assert_eq!(contract.rolls_at(), said);
    }

    #[test]
    fn s11_the_front_is_the_first_that_has_not_rolled() {
        let table = table();
        let front = |text: &str, now: &str| {
            let continuous = Continuous::of(&symbol(text)).unwrap();
            table.front(&continuous, at(now)).map(|contract| contract.symbol.to_string())
        };
        let name = |text: &str| Some(text.to_owned());
        assert_eq!(front("ES1!", "2026-12-10T04:59:59Z"), name("ESZ26"));
        assert_eq!(front("ES1!", "2026-12-10T05:00:00Z"), name("ESH27"));
        assert_eq!(front("ES2!", "2026-12-10T04:59:59Z"), name("ESH27"));
        assert_eq!(front("ES2!", "2026-12-10T05:00:00Z"), None);
        assert_eq!(front("NQ1!", "2026-12-10T05:00:00Z"), None);
        assert_eq!(table.spread(&symbol("ES1!")), [symbol("ESZ26"), symbol("ESH27")]);
        assert_eq!(table.spread(&symbol("NQ1!")), [symbol("NQ1!")]);
        assert_eq!(table.root_of(&symbol("ESH27")), Some(symbol("ES")));
        assert_eq!(table.root_of(&symbol("ES1!")), Some(symbol("ES")));
        assert_eq!(table.root_of(&symbol("NQ1!")), None);
    }

    #[test]
    fn s11_entries_end_and_warnings_begin_before_the_last_day() {
        let table = table();
        let contract = table.contract(&symbol("ESZ26")).unwrap();
        // Midnight in New York is 05:00 in UTC.
        assert!(contract.takes_entries(at("2026-12-18T04:59:59Z")));
        assert!(!contract.takes_entries(at("2026-12-18T05:00:00Z")));
        assert!(!contract.warns(at("2026-12-13T04:59:59Z")));
        assert!(contract.warns(at("2026-12-13T05:00:00Z")));
        assert!(contract.warns(at("2027-01-13T05:00:00Z")));
    }
}
