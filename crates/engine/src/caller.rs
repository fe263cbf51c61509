//! Callers: from what a request shows to the actor behind it. Every form of credential is judged
//! here; what is wrong is one answer, whatever the reason.

use crate::Engine;
use crate::actor::{Actor, Who};
use std::net::IpAddr;
use std::sync::Arc;
use tradewarden_domain::quota::Budget;

/// What a request shows.
pub struct Shown<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// Path and query, as they were received.
    pub target: &'a str,
    /// The host that the request names, with its port if it names one.
    pub authority: &'a str,
    /// The header fields: names in lower case, values as they were received.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body.
    pub body: &'a [u8],
    /// The client's address.
    pub address: IpAddr,
    /// What the request draws on.
    pub budget: Budget,
}

/// Why there is no actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAuthenticated {
    /// Nothing that could be verified was shown; never says what was wrong.
    Failed,
    /// The credential is right, but not from this address.
    Address,
    /// A browser asked for a change, and not from a page of our own.
    Origin,
    /// It may be right: what it would be held against is sealed, and secrets are closed.
    Closed,
}

impl Shown<'_> {
    /// The value of a header that may be there once, as text.
    pub(crate) fn once(&self, name: &str) -> Once<'_> {
        let mut values = self.headers.iter().filter(|(key, _)| *key == name);
        match (values.next(), values.next()) {
            (None, _) => Once::Absent,
            (Some((_, value)), None) => {
                std::str::from_utf8(value).map_or(Once::Unusable, Once::Text)
            }
            (Some(_), Some(_)) => Once::Unusable,
        }
    }
}

impl Shown<'_> {
    /// The first value of a header, as text.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| *key == name)?;
        std::str::from_utf8(value).ok()
    }

    /// A cookie that may be there once. HTTP/2 may send each in a header of its own (RFC 9113
    /// section 8.2.3).
    pub(crate) fn cookie(&self, name: &str) -> Once<'_> {
        let headers = self.headers.iter().filter(|(key, _)| *key == "cookie");
        let mut found = headers
            .filter_map(|(_, value)| std::str::from_utf8(value).ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter_map(|(key, value)| (key == name).then_some(value));
        match (found.next(), found.next()) {
            (None, _) => Once::Absent,
            (Some(value), None) => Once::Text(value),
            (Some(_), Some(_)) => Once::Unusable,
        }
    }
}

/// A header that may be there once.
pub(crate) enum Once<'a> {
    Absent,
    Text(&'a str),
    /// Several of them, or no text.
    Unusable,
}

impl Engine {
    /// Who makes this request.
    pub fn caller(&self, shown: &Shown<'_>) -> Result<Actor, NotAuthenticated> {
        if let Some(signed) = self.signed(shown) {
            return signed;
        }
        let (rule, caller) = match shown.once("authorization") {
            Once::Text(text) => ("token", self.bearer(text).ok_or(NotAuthenticated::Failed)),
            Once::Unusable => ("token", Err(NotAuthenticated::Failed)),
            Once::Absent => match self.by_cookie(shown) {
                Some(caller) => ("session", caller),
                None => ("credentials.absent", Err(NotAuthenticated::Failed)),
            },
        };
        if caller.is_err() {
            self.parts.denials.count_as(shown.address.to_canonical(), rule);
        }
        caller
    }

    /// The same caller with what it may do now; `None` if it is not one any more.
    pub(crate) fn still(&self, actor: &Actor) -> Option<Actor> {
        match actor.who() {
            Who::Operator => Some(actor.clone()),
            Who::Person(person) => self.by_session(person.session_id),
            Who::Key(known) => {
                let directory = self.parts.directory.load();
                let known = directory.keys.get(&known.key.id)?;
                known.key.is_alive(self.now()).then(|| Actor::key(Arc::clone(known)))
            }
        }
    }

    pub(crate) fn bearer(&self, authorization: &str) -> Option<Actor> {
        let (scheme, token) = authorization.split_once(' ')?;
        let token = scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())?;
        self.by_access_token(token)
    }
}
