//! What this crate answers by itself, without a command.

use bytes::Bytes;
use hyper::StatusCode;
use serde::Serialize;
use tradewarden_domain::time::Timestamp;

use crate::metrics::EXPOSITION;
use crate::service::{APPLICATION_JSON, Site};

/// A whole answer.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

impl Page {
    fn json(status: StatusCode, value: &impl Serialize) -> Self {
        // Our own structures of plain text and numbers: none can fail to serialize.
        let body = serde_json::to_vec(value).unwrap_or_default().into();
        Self { status, content_type: APPLICATION_JSON, body }
    }
}

#[derive(Serialize)]
pub(crate) struct Time {
    pub(crate) time: Timestamp,
    pub(crate) unix_ms: i64,
}

#[derive(Serialize)]
pub(crate) struct Liveness {
    pub(crate) status: &'static str,
}

pub(crate) const ALIVE: Liveness = Liveness { status: "ok" };

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Self {
        Self { time, unix_ms: time.unix_micros().div_euclid(1_000) }
    }
}

pub(crate) fn time(site: &Site) -> Page {
    Page::json(StatusCode::OK, &Time::from(site.engine().now()))
}

pub(crate) fn livez(_site: &Site) -> Page {
    Page::json(StatusCode::OK, &ALIVE)
}

pub(crate) fn readyz(site: &Site) -> Page {
    let readiness = site.engine().readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Page::json(status, &readiness)
}

pub(crate) fn openapi(site: &Site) -> Page {
    Page { status: StatusCode::OK, content_type: APPLICATION_JSON, body: site.openapi() }
}

pub(crate) fn metrics(site: &Site) -> Page {
    let calls_left = site.engine().calls_left();
    let body = site.counters().exposition(&site.options().listeners, &calls_left).into();
    Page { status: StatusCode::OK, content_type: EXPOSITION, body }
}

pub(crate) fn token_keys(site: &Site) -> Page {
    Page::json(StatusCode::OK, &site.engine().token_keys())
}
