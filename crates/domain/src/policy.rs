//! A policy: every limit of an organization at one version of them, and what tells two apart.

use crate::limit::{Limit, LimitName, LimitScope};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The most limits that one organization has.
pub const LIMITS_MAX: usize = 10_000;

/// What becomes of one limit, in units of 10^-8; `None` means that it is not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitChange {
    /// Where it applies.
    pub scope: LimitScope,
    /// What it bounds.
    pub name: LimitName,
    /// The bound until then.
    pub before: Option<i64>,
    /// The bound from then on.
    pub after: Option<i64>,
}

/// The limits of one organization.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    values: BTreeMap<(LimitScope, LimitName), i64>,
}

impl Policy {
    /// The policy of these limits, all of one organization.
    pub fn of<'a>(limits: impl Iterator<Item = &'a Limit>) -> Self {
        Self { values: limits.map(|one| ((one.scope.clone(), one.name), one.value)).collect() }
    }

    /// The bound, in units, if it is set.
    pub fn value(&self, scope: &LimitScope, name: LimitName) -> Option<i64> {
        self.values.get(&(scope.clone(), name)).copied()
    }

    /// Sets a bound, in units; answers the one until then.
    pub fn set(&mut self, scope: LimitScope, name: LimitName, value: i64) -> Option<i64> {
        self.values.insert((scope, name), value)
    }

    /// Takes a bound away; answers it.
    pub fn unset(&mut self, scope: &LimitScope, name: LimitName) -> Option<i64> {
        self.values.remove(&(scope.clone(), name))
    }

    /// The same without the limits of one scope.
    #[must_use]
    pub fn without(mut self, scope: &LimitScope) -> Self {
        self.values.retain(|(of, _), _| of != scope);
        self
    }

    /// Every limit with its bound in units, ordered by scope and name.
    pub fn limits(&self) -> impl Iterator<Item = (&LimitScope, LimitName, i64)> {
        self.values.iter().map(|((scope, name), value)| (scope, *name, *value))
    }

    /// How many limits there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// What is to be done to get from this policy to `after`, ordered by scope and name; nothing if
    /// they are the same.
    pub fn changes_to(&self, after: &Self) -> Vec<LimitChange> {
        let keys: BTreeSet<_> = self.values.keys().chain(after.values.keys()).collect();
        let change = |key: &(LimitScope, LimitName)| LimitChange {
            scope: key.0.clone(),
            name: key.1,
            before: self.values.get(key).copied(),
            after: after.values.get(key).copied(),
        };
        keys.into_iter().map(change).filter(|change| change.before != change.after).collect()
    }

    /// Whether more may be traded by a change of this policy. A required limit that is set further
    /// down while the organization has none lets trade what was refused until then.
    pub fn is_loosened_by(&self, change: &LimitChange) -> bool {
        let LimitChange { scope, name, before, after } = change;
        let fills_a_gap = before.is_none()
            && after.is_some()
            && LimitName::REQUIRED.contains(name)
            && self.value(&LimitScope::Org, *name).is_none();
        fills_a_gap || name.widens(scope, *before, *after)
    }

    /// A text that two policies share exactly if they are the same: one line for each limit, sorted,
    /// with scope, name and bound in units.
    pub fn canonical(&self) -> String {
        let mut lines: Vec<String> =
            self.limits().map(|(scope, name, value)| format!("{scope} {name} {value}")).collect();
        lines.sort_unstable();
        lines.iter().fold(String::new(), |mut text, line| {
            // Writing to a String cannot fail.
            let _written = writeln!(text, "{line}");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use proptest::prelude::*;

    fn scope() -> impl Strategy<Value = LimitScope> {
        prop_oneof![
            Just(LimitScope::Org),
            (0_u8..3).prop_map(|byte| LimitScope::Account(Id::from_bytes([byte; 16]))),
            (0_u8..3).prop_map(|byte| LimitScope::Strategy(Id::from_bytes([byte; 16]))),
            (0_u8..3).prop_map(|byte| LimitScope::Key(Id::from_bytes([byte; 16]))),
            "(ES|BTC/USD|AAPL)".prop_map(|text| LimitScope::Instrument(text.parse().unwrap())),
        ]
    }

    fn policy() -> impl Strategy<Value = Policy> {
        let name = prop::sample::select(LimitName::ALL);
        prop::collection::vec((scope(), name, 0_i64..4), 0..12).prop_map(|limits| {
            let mut policy = Policy::default();
            for (scope, name, value) in limits {
                policy.set(scope, name, value);
            }
            policy
        })
    }

    proptest! {
        /// The changes lead from the one to the other, back again, and name nothing that stays.
        #[test]
        fn changes_lead_from_one_policy_to_the_other(before in policy(), after in policy()) {
            let mut walked = before.clone();
            let changes = before.changes_to(&after);
            for change in &changes {
                prop_assert_ne!(change.before, change.after);
                let was = match change.after {
                    Some(value) => walked.set(change.scope.clone(), change.name, value),
                    None => walked.unset(&change.scope, change.name),
                };
                prop_assert_eq!(was, change.before);
            }
            prop_assert_eq!(&walked, &after);
            prop_assert_eq!(after.changes_to(&before).len(), changes.len());
            prop_assert_eq!(before.changes_to(&before), []);
        }

        /// The text tells policies apart.
        #[test]
        fn the_text_is_the_content(one in policy(), other in policy()) {
            prop_assert_eq!(one == other, one.canonical() == other.canonical());
            prop_assert_eq!(one.canonical().lines().count(), one.len());
        }

        /// A change and its way back are not both harmless, whatever the limit: so nobody gets from
        /// a policy to a looser one by steps that nobody confirms.
        #[test]
        fn one_way_or_the_other_loosens(before in policy(), scope in scope(),
            name in prop::sample::select(LimitName::REQUIRED), value in prop::option::of(0_i64..4)) {
            let mut after = before.clone();
            match value {
                Some(value) => after.set(scope, name, value),
                None => after.unset(&scope, name),
            };
            for change in before.changes_to(&after) {
                let back = LimitChange { before: change.after, after: change.before, ..change.clone() };
                prop_assert!(before.is_loosened_by(&change) || after.is_loosened_by(&back));
            }
        }
    }

    #[test]
    fn what_fills_a_gap_loosens() {
        let account = LimitScope::Account(Id::from_bytes([1; 16]));
        let change =
            |name| LimitChange { scope: account.clone(), name, before: None, after: Some(5) };
        let mut policy = Policy::default();
        assert!(policy.is_loosened_by(&change(LimitName::MaxPosition)));
        assert!(!policy.is_loosened_by(&change(LimitName::Restricted)));
        policy.set(LimitScope::Org, LimitName::MaxPosition, 9);
        assert!(!policy.is_loosened_by(&change(LimitName::MaxPosition)));
    }

    #[test]
    fn a_scope_goes_with_its_limits_alone() {
        let mut policy = Policy::default();
        let instrument = LimitScope::Instrument("ES".parse().unwrap());
        policy.set(LimitScope::Org, LimitName::MaxPosition, 1);
        policy.set(instrument.clone(), LimitName::MaxPosition, 2);
        policy.set(instrument.clone(), LimitName::Restricted, 1);
        let left = policy.without(&instrument);
        assert_eq!(
            left.limits().collect::<Vec<_>>(),
            [(&LimitScope::Org, LimitName::MaxPosition, 1)]
        );
        assert_eq!((left.len(), left.is_empty()), (1, false));
    }
}
