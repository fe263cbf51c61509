//! What the site counts, and how Prometheus reads it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use hyper::StatusCode;
use tradewarden_engine::intake::{Received, SignalStatus};

use crate::listen::ListenerCounters;

/// The content type of Prometheus' text format.
pub(crate) const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A listener's counters and the name it goes by in the metrics.
#[derive(Clone, Debug)]
pub struct NamedListener {
    /// For example `public`.
    pub name: &'static str,
    /// See [`crate::listen::Listener::counters`].
    pub counters: Arc<ListenerCounters>,
    /// The second since 1970 at which the certificate that it shows ends; 0 while it shows none.
    pub certificate_ends_unix_s: Arc<AtomicI64>,
}

/// Everything counted since the start. Nothing counts down.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: [AtomicU64; 5],
    signals: [AtomicU64; SIGNALS.len()],
}

const REQUESTS: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// What can become of a signal, in the order of the counters.
const SIGNALS: [&str; 7] = [
    SignalStatus::Accepted.text(),
    SignalStatus::Duplicate.text(),
    SignalStatus::Skipped.text(),
    SignalStatus::DryRun.text(),
    SignalStatus::Refused.text(),
    "unauthenticated",
    "unavailable",
];

impl Counters {
    pub(crate) fn request(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100);
        if let Some(counter) = class.checked_sub(1).and_then(|class| self.requests.get(class)) {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn signal(&self, received: &Received) {
        let [accepted, duplicate, skipped, dry_run, refused, unauthenticated, unavailable] =
            &self.signals;
        let counter = match received {
            Received::Answer(answer) => match answer.status {
                SignalStatus::Accepted => accepted,
                SignalStatus::Duplicate => duplicate,
                SignalStatus::Skipped => skipped,
                SignalStatus::DryRun => dry_run,
                SignalStatus::Refused => refused,
            },
            Received::Unauthenticated => unauthenticated,
            Received::Unavailable(_) => unavailable,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// The text that Prometheus reads.
    pub(crate) fn exposition(
        &self,
        listeners: &[NamedListener],
        calls_left: &[(&str, u64)],
    ) -> String {
        let mut text = Exposition(String::with_capacity(2_048));
        let requests = REQUESTS.iter().zip(&self.requests).map(loaded);
        text.family("tradewarden_http_requests_total", "Answers by class of status.", "counter");
        text.lines("tradewarden_http_requests_total", "class", requests);
        let signals = SIGNALS.iter().zip(&self.signals).map(loaded);
        text.family("tradewarden_signals_total", "Signals by what became of them.", "counter");
        text.lines("tradewarden_signals_total", "status", signals);
        let counts: Vec<_> = listeners
            .iter()
            .map(|listener| (listener.name, listener.counters.snapshot()))
            .collect();
        text.family(
            "tradewarden_connections_open",
            "Connections that are served at this time.",
            "gauge",
        );
        let open = counts.iter().map(|(name, counts)| (*name, counts.open));
        text.lines("tradewarden_connections_open", "listener", open);
        text.family(
            "tradewarden_tls_cert_not_after_seconds",
            "When the certificate that is shown ends, in seconds since 1970.",
            "gauge",
        );
        let ends = listeners.iter().map(|listener| {
            let ends = listener.certificate_ends_unix_s.load(Relaxed);
            (listener.name, u64::try_from(ends).unwrap_or_default())
        });
        let shown = ends.filter(|(_, ends)| *ends > 0);
        text.lines("tradewarden_tls_cert_not_after_seconds", "listener", shown);
        text.family(
            "tradewarden_broker_calls_left",
            "What is left of the narrowest window of a broker's budget, the reserve included.",
            "gauge",
        );
        text.lines("tradewarden_broker_calls_left", "broker", calls_left.iter().copied());
        for (name, about, total) in LISTENER_TOTALS {
            text.family(name, about, "counter");
            text.lines(
                name,
                "listener",
                counts.iter().map(|(name, counts)| (*name, total(counts))),
            );
        }
        text.0
    }
}

fn loaded<'a>((name, counter): (&&'a str, &AtomicU64)) -> (&'a str, u64) {
    (*name, counter.load(Relaxed))
}

type Total = fn(&crate::listen::ListenerCounts) -> u64;

const LISTENER_TOTALS: [(&str, &str, Total); 6] = [
    ("tradewarden_connections_accepted_total", "Connections taken.", |counts| counts.accepted),
    (
        "tradewarden_connections_refused_full_total",
        "Connections closed because there were too many.",
        |counts| counts.refused_by_total,
    ),
    (
        "tradewarden_connections_refused_address_total",
        "Connections closed because their address had too many.",
        |counts| counts.refused_by_address,
    ),
    ("tradewarden_handshakes_failed_total", "Connections that ended before HTTP.", |counts| {
        counts.handshake_failed
    }),
    (
        "tradewarden_connections_timed_out_total",
        "Connections whose handshake or headers took too long.",
        |counts| counts.timed_out,
    ),
    (
        "tradewarden_connections_closed_idle_total",
        "Connections that were silent for too long.",
        |counts| counts.closed_idle,
    ),
];

/// The text so far. Names and labels are our own words, so nothing needs to be escaped.
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, about: &str, kind: &str) {
        self.add(format_args!("# HELP {name} {about}\n# TYPE {name} {kind}\n"));
    }

    fn lines<'a>(&mut self, name: &str, label: &str, values: impl Iterator<Item = (&'a str, u64)>) {
        for (value, count) in values {
            self.add(format_args!("{name}{{{label}=\"{value}\"}} {count}\n"));
        }
    }

    fn add(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        if self.0.write_fmt(line).is_err() {
            self.0.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_was_counted() {
        let counters = Counters::default();
        counters.request(StatusCode::OK);
        counters.request(StatusCode::NOT_FOUND);
        counters.request(StatusCode::UNAUTHORIZED);
        counters.signal(&Received::Unauthenticated);
        let listener = |name: &'static str, ends: i64| NamedListener {
            name,
            counters: Arc::default(),
            certificate_ends_unix_s: Arc::new(AtomicI64::new(ends)),
        };
        let listeners = [listener("public", 1_795_219_200), listener("plain", 0)];
        let text = counters.exposition(&listeners, &[("paper", 7)]);
        assert!(!text.contains("seconds{listener=\"plain\"}"), "{text}");
        for line in [
            "# TYPE tradewarden_http_requests_total counter",
            "tradewarden_http_requests_total{class=\"2xx\"} 1",
            "tradewarden_http_requests_total{class=\"4xx\"} 2",
            "tradewarden_signals_total{status=\"unauthenticated\"} 1",
            "tradewarden_signals_total{status=\"accepted\"} 0",
            "tradewarden_connections_open{listener=\"public\"} 0",
            "tradewarden_tls_cert_not_after_seconds{listener=\"public\"} 1795219200",
            "tradewarden_broker_calls_left{broker=\"paper\"} 7",
            "tradewarden_connections_accepted_total{listener=\"public\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with('\n'));
        let families = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(families, 11);
    }
}
