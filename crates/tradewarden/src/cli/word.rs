//! Words of the domain as values of an option: completions and help list them.

use clap::builder::{PossibleValuesParser, TypedValueParser};

/// A parser that takes exactly these words.
pub(super) fn word<T>(
    all: &'static [T],
    text: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    let words = all.iter().map(move |word| text(*word));
    PossibleValuesParser::new(words).try_map(move |chosen| {
        let found = all.iter().copied().find(|word| text(*word) == chosen);
        found.ok_or("unknown word")
    })
}
