//! Port 80, where nothing is protected: answers to an authority's challenges, the way to TLS for a
//! browser, and a no for everything else.
//!
//! A request of a program is refused and never redirected: a redirect would hide that its secret went
//! over the wire in clear text. Nothing of a request is read but its head, nothing of it is kept, and no
//! answer speaks of HSTS, which RFC 6797 section 7.2 forbids here. A webhook's secret that is right is
//! revoked before the answer, which is the same for a wrong one (standards 2.11).

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::service::{Service, service_fn};
use hyper::{Method, Request, Response, StatusCode, Uri};
use tradewarden_domain::code::Code;

use crate::body::AnswerBody;
use crate::hook;
use crate::problem::Problem;
use crate::service::{OCTET_STREAM, Site};
use crate::tls::Challenges;

const CHALLENGE: &str = "/.well-known/acme-challenge/";
/// What only programs ask for.
const PROGRAMS: [&str; 6] = ["/api", "/audit", "/hooks", "/livez", "/metrics", "/readyz"];

/// What answers at port 80. Clones are the same one.
#[derive(Clone)]
pub struct PlainSite(Arc<Inner>);

struct Inner {
    site: Site,
    challenges: Challenges,
    origin: String,
}

impl PlainSite {
    /// One that sends browsers to `origin` (`https://HOST[:PORT]`).
    pub fn new(site: Site, challenges: Challenges, origin: String) -> Self {
        Self(Arc::new(Inner { site, challenges, origin }))
    }

    /// What answers the requests of one connection.
    pub fn service(
        &self,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<AnswerBody>,
        Error = Infallible,
        Future: Send + 'static,
    > + Send
    + use<> {
        let plain = self.clone();
        service_fn(move |request: Request<Incoming>| {
            let plain = plain.clone();
            async move {
                let response = plain.answer(request.method(), request.uri());
                let (head, _unread) = request.into_parts();
                if let Some(seen) = hook::seen_in_clear_text(&head) {
                    let engine = plain.0.site.engine();
                    if let Err(error) = engine.seen_in_clear_text(&seen).await {
                        tracing::error!(%error, "a secret that came in clear text was not revoked");
                    }
                }
                Ok(response.map(AnswerBody::whole))
            }
        })
    }

    /// Answers what cannot be read as a request.
    pub fn unreadable(&self) -> Response<Bytes> {
        dressed(Problem::of(Code::RequestMalformed).answer_whole(self.0.site.engine().request_id()))
    }

    fn answer(&self, method: &Method, uri: &Uri) -> Response<Bytes> {
        let Inner { site, challenges, origin } = &*self.0;
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let path = uri.path();
        let response = if !reads || PROGRAMS.iter().any(|prefix| path.starts_with(prefix)) {
            Problem::of(Code::RequestUnprotected).answer_whole(site.engine().request_id())
        } else if let Some(token) = path.strip_prefix(CHALLENGE) {
            match challenges.http(token) {
                Some(authorization) => {
                    let mut response = Response::new(Bytes::from(authorization));
                    let binary = HeaderValue::from_static(OCTET_STREAM);
                    response.headers_mut().insert(CONTENT_TYPE, binary);
                    response
                }
                None => Problem::of(Code::RequestNotFound).answer_whole(site.engine().request_id()),
            }
        } else {
            // Without the query: what stands in it stays where it was written.
            match HeaderValue::from_str(&format!("{origin}{path}")) {
                Ok(location) => {
                    let mut response = Response::new(Bytes::new());
                    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
                    response.headers_mut().insert(LOCATION, location);
                    response
                }
                Err(_) => {
                    Problem::of(Code::RequestNotFound).answer_whole(site.engine().request_id())
                }
            }
        };
        site.counters().request(response.status());
        tracing::debug!(status = response.status().as_u16(), "answered without TLS");
        dressed(response)
    }
}

/// What every answer has here. Each ends its connection: a body that was sent is not read.
fn dressed(mut response: Response<Bytes>) -> Response<Bytes> {
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
