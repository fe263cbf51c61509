//! The site: what answers every request of a connection.
//!
//! Signals are matched first and go to the intake with nothing in between; the router answers the
//! rest. Whatever the way, the answer is dressed here, and nowhere else: its security headers, its
//! request identifier, its line in the access log, its place in the counters.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use axum::extract::RawPathParams;
use axum::extract::rejection::RawPathParamsRejection;
use axum::routing::{MethodFilter, on};
use axum::{Extension, Router};
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::service::{Service, service_fn};
use hyper::{Method, Request, Response, StatusCode, Version};
use tower_service::Service as _;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::Engine;

pub use crate::body::AnswerBody;
use crate::listen::{BodyError, UnreadableHead, drop_body, read_body};
use crate::metrics::Counters;
pub use crate::metrics::NamedListener;
use crate::peer::{Peer, TrustedProxies};
use crate::problem::{Problem, give_up_connection};
use crate::route::{self, Route};
use crate::{api, hook, openapi};

pub(crate) const APPLICATION_JSON: &str = "application/json; charset=utf-8";
pub(crate) const TEXT_PLAIN: &str = "text/plain; charset=utf-8";
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
pub(crate) const OCTET_STREAM: &str = "application/octet-stream";

/// The largest body of any request.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// How much of a body that nobody wants is let in, and for how long.
const UNWANTED_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
const UNWANTED_BODY_MS: u64 = 2_000;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
/// Nothing of an answer may run, load or be framed.
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// Two years (B12); see [`SiteOptions::hsts_preload`].
const HSTS: HeaderValue = HeaderValue::from_static("max-age=63072000");
const HSTS_PRELOAD: HeaderValue =
    HeaderValue::from_static("max-age=63072000; includeSubDomains; preload");

/// What can be chosen about a site.
#[derive(Clone, Debug)]
pub struct SiteOptions {
    /// Whether browsers are told to use TLS for all subdomains too, and to be shipped with that,
    /// which cannot be taken back for years.
    pub hsts_preload: bool,
    /// The proxies whose word about their clients is taken.
    pub trusted_proxies: TrustedProxies,
    /// How long the body of a request may take, in milliseconds.
    pub body_timeout_ms: u64,
    /// The listeners that the metrics tell about.
    pub listeners: Vec<NamedListener>,
}

impl Default for SiteOptions {
    fn default() -> Self {
        Self {
            hsts_preload: false,
            trusted_proxies: TrustedProxies::default(),
            body_timeout_ms: 10_000,
            listeners: Vec::new(),
        }
    }
}

/// Which listener a connection came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// The one the world can reach.
    Public,
    /// The one for our own machines; it has the public routes and some of its own.
    Internal,
}

/// The site. Clones are the same one.
#[derive(Clone)]
pub struct Site(Arc<Inner>);

struct Inner {
    engine: Engine,
    options: SiteOptions,
    hsts: HeaderValue,
    openapi: Bytes,
    counters: Counters,
    public: Router,
    internal: Router,
}

/// One request and its answer, as far as handlers need to know.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub(crate) site: Site,
    pub(crate) peer: Arc<Peer>,
    pub(crate) request_id: Id<id::Request>,
}

/// The template of the route that answered, left on the answer for the access log: a path itself
/// may hold a token, or a secret that someone pasted in the wrong place.
#[derive(Clone, Copy)]
struct Matched(&'static str);

impl Site {
    /// A site on an engine that runs.
    pub fn new(engine: Engine, options: SiteOptions) -> Self {
        Self(Arc::new(Inner {
            engine,
            hsts: if options.hsts_preload { HSTS_PRELOAD } else { HSTS },
            options,
            openapi: serde_json::to_vec(&openapi::document()).unwrap_or_default().into(),
            counters: Counters::default(),
            public: router(Exposure::Public),
            internal: router(Exposure::Internal),
        }))
    }

    /// What answers the requests of one connection: give it to
    /// [`Listener::serve`](crate::listen::Listener::serve).
    pub fn service(
        &self,
        peer: Peer,
        exposure: Exposure,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<AnswerBody>,
        Error = Infallible,
        Future: Send + 'static,
    > + Send
    + use<> {
        let peer = match exposure {
            Exposure::Public => peer,
            // What was shown there is of the private CA, not of a webhook's sender.
            Exposure::Internal => Peer { client_certificate: None, ..peer },
        };
        let (site, peer) = (self.clone(), Arc::new(peer));
        service_fn(move |request| {
            let (site, peer) = (site.clone(), Arc::clone(&peer));
            async move { Ok(site.answer(exposure, peer, request).await) }
        })
    }

    /// Answers one request.
    pub async fn answer<B>(
        self,
        exposure: Exposure,
        peer: Arc<Peer>,
        request: Request<B>,
    ) -> Response<AnswerBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let started = self.engine().now();
        let request_id = self.engine().request_id();
        let (method, version) = (request.method().clone(), request.version());
        let exchange = Exchange { site: self, peer, request_id };
        let (mut response, is_signal) = if names_no_one_host(&request) {
            (Problem::of(Code::RequestMalformed).answer(request_id), false)
        } else if hook::is_signal(&request) {
            (hook::receive(&exchange, request).await, true)
        } else {
            // Boxed, so that a signal does not carry the room for a router's call.
            (Box::pin(routed(exposure, exchange.clone(), request)).await, false)
        };
        let status = response.status();
        if matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE) {
            give_up_connection(version, &mut response);
        }
        exchange.site.dress(response.headers_mut(), request_id);
        exchange.site.counters().request(status);
        let route = match response.extensions().get::<Matched>() {
            Some(matched) => matched.0,
            None if is_signal => "/api/v1/webhooks/{id}",
            None => "-",
        };
        exchange.log(&method, route, status, started, is_signal);
        response
    }

    /// Answers what cannot be read as a request: give it to
    /// [`Listener::answering_unreadable`](crate::listen::Listener::answering_unreadable).
    pub fn unreadable(&self, head: UnreadableHead) -> Response<Bytes> {
        let request_id = self.engine().request_id();
        let code = match head {
            UnreadableHead::Malformed => Code::RequestMalformed,
            UnreadableHead::TooLarge => Code::RequestHeadTooLarge,
        };
        let mut response = Problem::of(code).answer_whole(request_id);
        self.dress(response.headers_mut(), request_id);
        self.counters().request(response.status());
        tracing::info!(
            %request_id, method = "-", route = "-", status = response.status().as_u16(), "answered"
        );
        response
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn options(&self) -> &SiteOptions {
        &self.0.options
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    pub(crate) fn openapi(&self) -> Bytes {
        self.0.openapi.clone()
    }

    /// What every answer has, whoever made it.
    fn dress(&self, headers: &mut HeaderMap, request_id: Id<id::Request>) {
        headers.insert(STRICT_TRANSPORT_SECURITY, self.0.hsts.clone());
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        headers.insert(REFERRER_POLICY, NO_REFERRER);
        headers.insert(CONTENT_SECURITY_POLICY, NOTHING);
        // Full tiles of the audit log have said otherwise.
        headers.entry(CACHE_CONTROL).or_insert(NO_STORE);
        if let Ok(text) = HeaderValue::from_maybe_shared(Bytes::from(request_id.to_string())) {
            headers.insert(X_REQUEST_ID, text);
        }
    }
}

impl Exchange {
    /// Who sent the request, by the word of a proxy that is trusted.
    pub(crate) fn client_address(&self, headers: &HeaderMap) -> std::net::IpAddr {
        self.site.options().trusted_proxies.client_address(&self.peer, headers)
    }

    /// One line for each request: never a query, a header, or a path as it was sent.
    fn log(
        &self,
        method: &Method,
        route: &'static str,
        status: StatusCode,
        started: Timestamp,
        is_signal: bool,
    ) {
        let took_us = || self.site.engine().now().since(started).as_micros();
        let (status_number, request_id) = (status.as_u16(), self.request_id);
        // A method of the caller's own invention is the caller's text, too.
        let method = if KNOWN_METHODS.contains(method) { method.as_str() } else { "-" };
        if is_signal && status.is_success() {
            tracing::debug!(
                %request_id, method, route, status = status_number, took_us = took_us(), "answered"
            );
        } else {
            tracing::info!(
                %request_id, method, route, status = status_number, took_us = took_us(), "answered"
            );
        }
    }
}

const KNOWN_METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::PATCH,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
];

async fn routed<B>(
    exposure: Exposure,
    exchange: Exchange,
    request: Request<B>,
) -> Response<AnswerBody>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut router = match exposure {
        Exposure::Public => exchange.site.0.public.clone(),
        Exposure::Internal => exchange.site.0.internal.clone(),
    };
    let mut request = request.map(axum::body::Body::new);
    request.extensions_mut().insert(exchange);
    match router.call(request).await {
        Ok(response) => response.map(AnswerBody::routed),
        Err(never) => match never {},
    }
}

/// The rows of the table that this listener has.
fn router(exposure: Exposure) -> Router {
    let mut router = Router::new();
    for route in route::routes().filter(|route| route.is_on(exposure)) {
        let Some(filter) = filter(&route.method) else { continue };
        router = router.route(
            route.path,
            on(filter, move |Extension(exchange), parameters, request| {
                matched(route, exchange, parameters, request)
            }),
        );
    }
    router.fallback(not_found).method_not_allowed_fallback(wrong_method)
}

/// The methods that the table uses; a test holds that it uses no other.
fn filter(method: &Method) -> Option<MethodFilter> {
    [
        (Method::GET, MethodFilter::GET),
        (Method::POST, MethodFilter::POST),
        (Method::PUT, MethodFilter::PUT),
        (Method::PATCH, MethodFilter::PATCH),
        (Method::DELETE, MethodFilter::DELETE),
    ]
    .into_iter()
    .find_map(|(known, filter)| (known == *method).then_some(filter))
}

type Parameters = Result<RawPathParams, RawPathParamsRejection>;

async fn matched(
    route: &'static Route,
    exchange: Exchange,
    parameters: Parameters,
    request: Request<axum::body::Body>,
) -> Response<AnswerBody> {
    let named: Vec<String> = match &parameters {
        Ok(parameters) => parameters.iter().map(|(_, value)| value.to_owned()).collect(),
        // Percent-encoded bytes that are no text name nothing.
        Err(_) => return Problem::of(Code::RequestNotFound).answer(exchange.request_id),
    };
    let mut response = api::answer(route, exchange, &named, request).await;
    response.extensions_mut().insert(Matched(route.path));
    response
}

async fn not_found(
    Extension(exchange): Extension<Exchange>,
    request: Request<axum::body::Body>,
) -> Response<AnswerBody> {
    let_finish(request.version(), request.into_body()).await;
    Problem::of(Code::RequestNotFound).answer(exchange.request_id)
}

/// The router adds `Allow` with the methods that the path takes.
async fn wrong_method(
    Extension(exchange): Extension<Exchange>,
    request: Request<axum::body::Body>,
) -> Response<AnswerBody> {
    let_finish(request.version(), request.into_body()).await;
    Problem::of(Code::RequestMethod).answer(exchange.request_id)
}

/// Whether a request of HTTP/1.1 has no `Host` or several (RFC 9112 section 3.2).
fn names_no_one_host<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11 && request.headers().get_all(HOST).iter().count() != 1
}

/// Lets a client send a body that nobody wants, if it is not huge and comes soon; none of it is kept. Over
/// HTTP/2 the stream of who still sends is reset behind the answer, and there are clients, curl for one,
/// that then lose the answer.
pub(crate) async fn let_finish<B>(version: Version, body: B)
where
    B: Body<Data = Bytes>,
{
    if version == Version::HTTP_2 && !body.is_end_stream() {
        drop_body(body, UNWANTED_BODY_BYTES_MAX, UNWANTED_BODY_MS).await;
    }
}

/// The body of a request, if it is of a size that is taken and comes in time. What is too large is let
/// finish, so that its sender hears that it is.
pub(crate) async fn take_body<B>(
    version: Version,
    body: B,
    timeout_ms: u64,
) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let taken = read_body(body.as_mut(), BODY_BYTES_MAX, timeout_ms).await;
    if taken == Err(BodyError::TooLarge) {
        let_finish(version, body).await;
    }
    taken
}
