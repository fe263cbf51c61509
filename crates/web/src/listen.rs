//! Our own listener: accepts connections, holds every bound that must hold before a request
//! exists, and drives HTTP/1.1 and HTTP/2 over them.
//!
//! It decides nothing about a request but its size in headers. It never waits for a peer without a
//! limit: the handshake, the head of a request, a silent connection and the drain at shutdown each
//! have one in [`ListenerOptions`].
//!
//! What always holds:
//! - Every task it starts lives in a set it owns; when [`Listener::serve`] returns, none is left.
//! - A connection is one task, also after an upgrade (WebSocket), which keeps its seat. Only HTTP/2 adds a task for each stream, which ends with its
//!   connection.
//! - A peer that goes away ends its unfinished requests: their futures are dropped. What must
//!   survive that has to be handed over before it is awaited.

mod activity;
mod body;
mod connection;
mod counters;
mod handover;
mod options;
mod proxy_protocol;
mod seats;
mod wire;

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{sleep, timeout};

pub(crate) use self::body::drop_body;
pub use self::body::{BodyError, read_body};
pub use self::counters::{ListenerCounters, ListenerCounts};
pub(crate) use self::handover::{Handover, Stop};
pub use self::options::{ListenError, ListenerOptions, ProxyProtocol, Transport};
use self::seats::{Seat, Seats};
use self::wire::AnswerUnreadable;
pub use self::wire::UnreadableHead;
use crate::peer::Peer;

/// How long accepting rests after the system refused us a connection, for want of file
/// descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound socket with its limits, ready to serve.
pub struct Listener {
    socket: TcpListener,
    local_address: SocketAddr,
    options: ListenerOptions,
    counters: Arc<ListenerCounters>,
    answer_unreadable: Option<AnswerUnreadable>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Listener");
        shown.field("local_address", &self.local_address).field("options", &self.options);
        shown.finish_non_exhaustive()
    }
}

impl Listener {
    /// Checks the options and binds the address.
    pub async fn bind(address: SocketAddr, options: ListenerOptions) -> Result<Self, ListenError> {
        options.check(address)?;
        let failed = |cause| ListenError::Bind { address, cause };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let local_address = socket.local_addr().map_err(failed)?;
        let counters = Arc::default();
        Ok(Self { socket, local_address, options, counters, answer_unreadable: None })
    }

    /// Has heads that no service can hear of answered by `answer`, where a bare status would be sent
    /// otherwise; on HTTP/2 that stays so for heads that are too large for the protocol itself.
    #[must_use]
    pub fn answering_unreadable(
        self,
        answer: impl Fn(UnreadableHead) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        Self { answer_unreadable: Some(Arc::new(answer)), ..self }
    }

    /// The address that was bound, with the port that the system chose if it was 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_address
    }

    /// What this listener counts; stays readable while it serves and after.
    pub fn counters(&self) -> Arc<ListenerCounters> {
        Arc::clone(&self.counters)
    }

    /// Serves until `shutdown` is ready; then accepts no more, lets requests that are under way
    /// finish for at most `drain_ms`, and ends what is left.
    ///
    /// `make_service` is called once for each connection, after its handshake.
    pub async fn serve<F, S, B>(
        self,
        make_service: F,
        shutdown: impl Future<Output = ()>,
    ) -> Drained
    where
        F: Fn(Peer) -> S + Send + Sync + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Self { socket, options, counters, answer_unreadable, .. } = self;
        let drain = Duration::from_millis(options.drain_ms);
        let house = Arc::new(House {
            seats: Seats::new(options.connections_per_address_max),
            options,
            counters,
            answer_unreadable,
            make_service,
        });
        let mut connections = Connections::default();
        let mut accepting = Accepting { socket, failing: false };
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = connections.tasks.join_next_with_id() => connections.forget(&ended),
                (stream, address) = accepting.next() => {
                    connections.forget_ended();
                    if let Some(seat) = house.admit(address, connections.tasks.len()) {
                        connections.start(|stop| {
                            connection::run(Arc::clone(&house), stream, address, seat, stop)
                        });
                    }
                }
            }
        }
        drop(accepting);
        connections.drain(drain).await
    }
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Drained {
    /// The connections that were still busy when the drain time was over, and were cut.
    pub cut_connections: usize,
}

/// What all connections of one listener share.
struct House<F> {
    options: ListenerOptions,
    counters: Arc<ListenerCounters>,
    answer_unreadable: Option<AnswerUnreadable>,
    seats: Arc<Seats>,
    make_service: F,
}

impl<F> House<F> {
    /// Whether there is room for one more connection from this address. Dropping the connection is
    /// all the answer it gets otherwise: anything more would cost us more than it costs the peer.
    fn admit(&self, address: SocketAddr, connections: usize) -> Option<Admission> {
        self.counters.accepted();
        if connections >= self.options.connections_max {
            self.counters.refused_by_total();
            return None;
        }
        match &self.options.proxy_protocol {
            ProxyProtocol::Off => {
                let seat = self.seats.take(address.ip());
                if seat.is_none() {
                    self.counters.refused_by_address();
                }
                seat.map(Admission::Seated)
            }
            // All connections of a proxy have its address: the seat is taken under the announced one.
            ProxyProtocol::Required { from } if from.contains(address.ip()) => {
                Some(Admission::SeatedWhenAnnounced)
            }
            ProxyProtocol::Required { .. } => {
                self.counters.handshake_failed();
                None
            }
        }
    }
}

/// A connection that was let in.
enum Admission {
    /// It holds a seat of its socket's address.
    Seated(Seat),
    /// It comes from a proxy, and takes a seat when the proxy has said for whom.
    SeatedWhenAnnounced,
}

/// The listening socket, and whether the last attempt to accept failed (one log line for each bout).
struct Accepting {
    socket: TcpListener,
    failing: bool,
}

impl Accepting {
    async fn next(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok(accepted) => {
                    self.failing = false;
                    return accepted;
                }
                // The peer was gone before we looked; the next one may be fine.
                Err(cause) if is_of_one_peer(&cause) => {}
                Err(cause) => {
                    if !self.failing {
                        tracing::error!(%cause, "cannot accept connections; trying again");
                        self.failing = true;
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn is_of_one_peer(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// The tasks of all open connections, each with the string to pull when it should come to an end.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    stops: HashMap<Id, oneshot::Sender<()>>,
}

impl Connections {
    fn start<T>(&mut self, connection: impl FnOnce(oneshot::Receiver<()>) -> T)
    where
        T: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let task = self.tasks.spawn(connection(stopped));
        self.stops.insert(task.id(), stop);
    }

    fn forget(&mut self, ended: &Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(cause) => {
                if cause.is_panic() {
                    tracing::error!(%cause, "a connection ended in a panic");
                }
                cause.id()
            }
        };
        self.stops.remove(&id);
    }

    fn forget_ended(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(&ended);
        }
    }

    async fn drain(mut self, limit: Duration) -> Drained {
        // A dropped sender is the signal, so one connection cannot be missed.
        self.stops.clear();
        let all_ended = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                if let Err(cause) = ended
                    && cause.is_panic()
                {
                    tracing::error!(%cause, "a connection ended in a panic");
                }
            }
        };
        let cut_connections = match timeout(limit, all_ended).await {
            Ok(()) => 0,
            Err(_elapsed) => self.tasks.len(),
        };
        self.tasks.shutdown().await;
        Drained { cut_connections }
    }
}
