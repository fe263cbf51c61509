//! Tests of the paper exchange from outside.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod hours;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod matching;
#[cfg(test)]
mod model;
#[cfg(test)]
mod socket;
#[cfg(test)]
mod support;
