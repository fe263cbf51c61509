//! What a route takes beside its path.

/// What a request carries beyond its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Nothing,
    /// `limit` and `cursor` in the query.
    Paging,
    /// These in the query: which page, and what its items must be like.
    List(&'static [&'static str]),
    /// `from` and `to` in the query: two versions.
    Versions,
    /// `reason` in the query.
    Reason,
    /// A JSON object of this schema.
    Body(&'static str),
    /// The same, and no body means an empty object.
    OptionalBody(&'static str),
    /// A sender's own body and credentials.
    Signal,
    /// A signal's body, in a signed request.
    SignedSignal,
}

impl Takes {
    /// Whether there is a JSON object to read.
    pub(crate) const fn has_body(self) -> bool {
        matches!(self, Self::Body(_) | Self::OptionalBody(_) | Self::SignedSignal)
    }

    /// The parameters that may stand in the query.
    pub(super) const fn query(self) -> &'static [&'static str] {
        match self {
            Self::Paging => &["limit", "cursor"],
            Self::List(names) => names,
            Self::Versions => &["from", "to"],
            Self::Reason => &["reason"],
            Self::Signal => &["secret", "dry_run"],
            Self::SignedSignal => &["dry_run"],
            Self::Nothing | Self::Body(_) | Self::OptionalBody(_) => &[],
        }
    }
}
