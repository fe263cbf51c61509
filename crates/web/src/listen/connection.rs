//! The life of one connection: PROXY header, handshake, requests, end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::rt::Executor;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::activity::{Activity, Verdict, Watch, Watched};
use super::handover::{Handover, Stop};
use super::options::{ListenerOptions, ProxyProtocol, Transport};
use super::seats::Seat;
use super::wire::Wire;
use super::{Admission, House, proxy_protocol};
use crate::peer::Peer;
use crate::tls::{ALPN_H2, Host, Tls};

/// What one HTTP/2 stream may send before the service has taken it, in bytes.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// What all streams of one HTTP/2 connection may send before it is taken, in bytes.
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// What is kept of the answers on one HTTP/2 stream until the peer takes it, in bytes.
const STREAM_SEND_BYTES: usize = 64 * 1024;
/// How many times the bytes that headers may have are read over HTTP/2 to answer that they are too
/// many.
const HEADER_BYTES_READ: u32 = 8;

/// Serves one connection until either side ends it, a limit does, or `stop` resolves (whether a
/// word was sent or the sender dropped): then requests under way are finished and none is taken.
pub(super) async fn run<F, S, B>(
    house: Arc<House<F>>,
    socket: TcpStream,
    address: SocketAddr,
    admission: Admission,
    mut stop: oneshot::Receiver<()>,
) where
    F: Fn(Peer) -> S + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let limit = Duration::from_millis(house.options.handshake_timeout_ms);
    let opened = tokio::select! {
        biased;
        _ = &mut stop => return,
        opened = timeout(limit, open(&house, socket, address, admission)) => opened,
    };
    let Opened { stream, peer, seat: _seat } = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(NotOpened::NoSeat)) => return house.counters.refused_by_address(),
        Ok(Err(NotOpened::Handshake(cause))) => {
            tracing::debug!(%address, %cause, "no handshake");
            return house.counters.handshake_failed();
        }
        Err(_elapsed) => return house.counters.timed_out(),
    };
    let _open = house.counters.opened();
    let service = (house.make_service)(peer);
    match stream {
        Stream::Tls(stream) => {
            let http2 = stream.get_ref().1.alpn_protocol() == Some(ALPN_H2);
            let protocol = if http2 { Protocol::Http2 } else { Protocol::Http1 };
            serve(&house, *stream, protocol, service, stop).await;
        }
        Stream::Plain(stream) => serve(&house, stream, Protocol::Told, service, stop).await,
    }
}

/// A connection on which HTTP may begin.
struct Opened {
    stream: Stream,
    peer: Peer,
    seat: Seat,
}

enum Stream {
    Tls(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
}

enum NotOpened {
    NoSeat,
    Handshake(io::Error),
}

impl From<io::Error> for NotOpened {
    fn from(cause: io::Error) -> Self {
        Self::Handshake(cause)
    }
}

async fn open<F>(
    house: &House<F>,
    mut socket: TcpStream,
    address: SocketAddr,
    admission: Admission,
) -> Result<Opened, NotOpened> {
    socket.set_nodelay(true)?;
    let peer = match &house.options.proxy_protocol {
        ProxyProtocol::Off => Peer::plain(address),
        ProxyProtocol::Required { .. } => match proxy_protocol::read(&mut socket).await? {
            Some(announced) => Peer::plain(announced),
            None => Peer::unannounced(address),
        },
    };
    let seat = match admission {
        Admission::Seated(seat) => seat,
        Admission::SeatedWhenAnnounced => {
            house.seats.take(peer.address).ok_or(NotOpened::NoSeat)?
        }
    };
    match &house.options.transport {
        Transport::PlainLoopbackOnly | Transport::PlainForAnybody => {
            Ok(Opened { stream: Stream::Plain(socket), peer, seat })
        }
        Transport::Tls(tls) => {
            let (stream, host) = handshake(tls, socket).await?;
            let shown = stream.get_ref().1.peer_certificates();
            let client_certificate = shown.and_then(|chain| host.verified(chain));
            let peer = Peer { client_certificate, tls: true, ..peer };
            Ok(Opened { stream: Stream::Tls(Box::new(stream)), peer, seat })
        }
    }
}

/// Reads the client's first message, and only then decides by the host name in it what to offer.
async fn handshake(tls: &Tls, socket: TcpStream) -> io::Result<(TlsStream<TcpStream>, &Host)> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
    if let Some(config) = tls.challenge_for(&start.client_hello()) {
        // The handshake is all there is to it (RFC 8737 section 3).
        start.into_stream(config).await?.shutdown().await?;
        return Err(io::Error::other("it was for the answer to a challenge"));
    }
    let host = tls.host_for(start.client_hello().server_name());
    Ok((start.into_stream(Arc::clone(&host.config)).await?, host))
}

/// What is spoken on a connection.
#[derive(Clone, Copy)]
enum Protocol {
    Http1,
    Http2,
    /// What the peer's first bytes say; only where no handshake settled it.
    Told,
}

async fn serve<F, T, S, B>(
    house: &House<F>,
    stream: T,
    protocol: Protocol,
    service: S,
    mut stop: oneshot::Receiver<()>,
) where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let House { options, answer_unreadable, .. } = house;
    let activity = Arc::new(Activity::default());
    let handover = Handover::default();
    let wire = Wire::new(stream, Arc::clone(&activity), answer_unreadable.clone());
    let wire = TokioIo::new(wire);
    let service = Watched {
        service,
        activity: Arc::clone(&activity),
        handover: handover.clone(),
        header_count_max: options.header_count_max,
        header_bytes_max: usize::try_from(options.header_bytes_max).unwrap_or(usize::MAX),
        answer_unreadable: answer_unreadable.clone(),
    };
    let streams = StreamTasks::default();
    let _ended_with_the_connection = EndStreams(streams.clone());
    let driven = Driven { house, activity: &activity, stop: &mut stop };
    match protocol {
        Protocol::Http1 => {
            let connection = http1(options).serve_connection(wire, service).with_upgrades();
            driven.run(connection, http1::UpgradeableConnection::graceful_shutdown).await;
        }
        Protocol::Http2 => {
            let http = http(options, streams).http2_only();
            let connection = http.serve_connection(wire, service);
            driven.run(connection, auto::Connection::graceful_shutdown).await;
        }
        Protocol::Told => {
            let http = http(options, streams);
            let connection = http.serve_connection_with_upgrades(wire, service);
            driven.run(connection, auto::UpgradeableConnection::graceful_shutdown).await;
        }
    }
    let Some(conversation) = handover.take() else { return };
    activity.hand_over();
    let stopped: Stop = if stop.is_terminated() {
        Box::pin(std::future::ready(()))
    } else {
        Box::pin(async { drop(stop.await) })
    };
    conversation(stopped).await;
}

/// What drives a connection while HTTP is spoken on it.
struct Driven<'a, F> {
    house: &'a House<F>,
    activity: &'a Arc<Activity>,
    stop: &'a mut oneshot::Receiver<()>,
}

impl<F> Driven<'_, F> {
    /// Until either side ends it or a limit does; `finish` tells it to come to an end.
    async fn run<C, E>(self, connection: C, finish: fn(Pin<&mut C>))
    where
        C: Future<Output = Result<(), E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Self { house: House { options, counters, .. }, activity, stop } = self;
        let mut watch = Watch::new(
            Arc::clone(activity),
            Duration::from_millis(options.header_read_timeout_ms),
            Duration::from_millis(options.idle_timeout_ms),
            Instant::now(),
        );
        let mut ticks = interval_at(Instant::now() + watch.tick(), watch.tick());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut connection = pin!(connection);
        let mut closing = Closing::No;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(cause) = ended.map_err(Into::into) {
                        tracing::debug!(cause, "a connection broke");
                    }
                    return;
                }
                _ = &mut *stop, if !matches!(closing, Closing::Stopped) => {
                    closing = Closing::Stopped;
                    finish(connection.as_mut());
                }
                now = ticks.tick() => match (watch.judge(now), &closing) {
                    (Verdict::Stay, _) => {}
                    (Verdict::HeadersTooSlow, _) => return counters.timed_out(),
                    (Verdict::Idle, Closing::No) => {
                        counters.closed_idle();
                        closing = Closing::Idle;
                        finish(connection.as_mut());
                    }
                    // One tick was its time to say goodbye.
                    (Verdict::Idle, Closing::Idle | Closing::Stopped) => return,
                },
            }
        }
    }
}

/// Whether a connection was told to come to its end, and why.
enum Closing {
    No,
    Idle,
    Stopped,
}

fn http1(options: &ListenerOptions) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // The watch does this, without a timer for each request.
        .header_read_timeout(None)
        .max_buf_size(usize::try_from(options.header_bytes_max).unwrap_or(usize::MAX))
        .max_headers(options.header_count_max);
    http
}

fn http(options: &ListenerOptions, streams: StreamTasks) -> auto::Builder<StreamTasks> {
    let mut http = auto::Builder::new(streams);
    // As in `http1`: the builder does not take one.
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(usize::try_from(options.header_bytes_max).unwrap_or(usize::MAX))
        .max_headers(options.header_count_max);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.streams_per_connection_max)
        // What is somewhat too large gets an answer of ours; hyper's own has nothing but a status.
        .max_header_list_size(options.header_bytes_max.saturating_mul(HEADER_BYTES_READ))
        .max_pending_accept_reset_streams(options.pending_reset_streams_max)
        .max_local_error_reset_streams(options.error_reset_streams_max)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(STREAM_SEND_BYTES)
        .keep_alive_interval(Duration::from_millis(options.ping_interval_ms))
        .keep_alive_timeout(Duration::from_millis(options.ping_timeout_ms));
    http
}

/// The tasks that hyper starts for the streams of one HTTP/2 connection.
#[derive(Clone, Default)]
struct StreamTasks {
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl<T> Executor<T> for StreamTasks
where
    T: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: T) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = tasks.try_join_next() {
            if let Err(cause) = ended
                && cause.is_panic()
            {
                tracing::error!(%cause, "a stream ended in a panic");
            }
        }
        tasks.spawn(stream);
    }
}

/// Ends the streams when their connection ends, in whatever way it does.
struct EndStreams(StreamTasks);

impl Drop for EndStreams {
    fn drop(&mut self) {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}
