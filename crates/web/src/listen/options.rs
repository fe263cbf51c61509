//! The limits of a listener, each with its unit in its name.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::peer::TrustedProxies;
use crate::tls::Tls;

/// How a listener speaks, and its limits. [`ListenerOptions::new`] gives the values meant for use.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// Encrypted, or plain for loopback.
    pub transport: Transport,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
    /// From the accepted connection to the end of the TLS handshake, PROXY header included.
    pub handshake_timeout_ms: u64,
    /// From the first byte of a request to the end of its headers, and from the handshake to the
    /// end of the first request's headers. Noticed up to a quarter later.
    pub header_read_timeout_ms: u64,
    /// How long a connection may stay on which no request is being answered, or whose peer takes
    /// nothing of the answer. Noticed up to a quarter later. A long answer should come in many
    /// frames, because only frames count as progress.
    pub idle_timeout_ms: u64,
    /// How long requests under way may go on after shutdown.
    pub drain_ms: u64,
    /// All headers of one request with the request line, in bytes. At least 8,192.
    pub header_bytes_max: u32,
    /// The headers of one request; at most 100, because more would cost an allocation for each
    /// request.
    pub header_count_max: usize,
    /// Connections at one time, those in their handshake included.
    pub connections_max: usize,
    /// Connections at one time from one v4 address or one v6 /64.
    pub connections_per_address_max: usize,
    /// Requests at one time on one HTTP/2 connection.
    pub streams_per_connection_max: u32,
    /// HTTP/2 streams that the peer opened and reset before we looked at them (rapid reset,
    /// CVE-2023-44487); at the next one the connection is closed.
    pub pending_reset_streams_max: usize,
    /// HTTP/2 streams that the peer made us reset by its errors; at the next one the connection is
    /// closed.
    pub error_reset_streams_max: usize,
    /// How often HTTP/2 peers are asked for a sign of life.
    pub ping_interval_ms: u64,
    /// How long they may take for it.
    pub ping_timeout_ms: u64,
}

impl ListenerOptions {
    /// The limits meant for use.
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            proxy_protocol: ProxyProtocol::Off,
            handshake_timeout_ms: 10_000,
            header_read_timeout_ms: 10_000,
            idle_timeout_ms: 75_000,
            drain_ms: 10_000,
            header_bytes_max: 16 * 1024,
            header_count_max: 64,
            connections_max: 4_096,
            connections_per_address_max: 256,
            streams_per_connection_max: 64,
            pending_reset_streams_max: 20,
            error_reset_streams_max: 128,
            ping_interval_ms: 20_000,
            ping_timeout_ms: 10_000,
        }
    }

    /// Whether the limits make sense together with the address to be bound.
    pub(super) fn check(&self, address: SocketAddr) -> Result<(), ListenError> {
        if matches!(self.transport, Transport::PlainLoopbackOnly)
            && !address.ip().to_canonical().is_loopback()
        {
            return Err(ListenError::PlainNotOnLoopback(address));
        }
        for (name, value, least, most) in [
            ("handshake_timeout_ms", self.handshake_timeout_ms, 1, HOUR_MS),
            ("header_read_timeout_ms", self.header_read_timeout_ms, 1, HOUR_MS),
            ("idle_timeout_ms", self.idle_timeout_ms, 1, HOUR_MS),
            ("drain_ms", self.drain_ms, 0, HOUR_MS),
            ("header_bytes_max", u64::from(self.header_bytes_max), 8_192, 1024 * 1024),
            ("header_count_max", widened(self.header_count_max), 1, 100),
            ("connections_max", widened(self.connections_max), 1, 1_000_000),
            (
                "connections_per_address_max",
                widened(self.connections_per_address_max),
                1,
                1_000_000,
            ),
            ("streams_per_connection_max", u64::from(self.streams_per_connection_max), 1, 1_000),
            ("pending_reset_streams_max", widened(self.pending_reset_streams_max), 1, 1_000),
            ("error_reset_streams_max", widened(self.error_reset_streams_max), 1, 1_000),
            ("ping_interval_ms", self.ping_interval_ms, 1, HOUR_MS),
            ("ping_timeout_ms", self.ping_timeout_ms, 1, HOUR_MS),
        ] {
            if !(least..=most).contains(&value) {
                return Err(ListenError::OutOfRange { name, value, least, most });
            }
        }
        Ok(())
    }
}

/// How the bytes of a connection are protected.
#[derive(Clone, Debug)]
pub enum Transport {
    /// TLS 1.3; the protocol of the connection is what both sides agreed on in the handshake.
    Tls(Tls),
    /// No protection, for tests and for neighbours on the same machine. Only a loopback address
    /// can be bound.
    PlainLoopbackOnly,
    /// No protection, for anybody: only for what tells nobody anything (port 80).
    PlainForAnybody,
}

/// Whether a proxy tells us in front of each connection for whom it opened it.
#[derive(Clone, Debug)]
pub enum ProxyProtocol {
    /// No; a PROXY header would be a broken handshake.
    Off,
    /// Every connection must come from one of these and begin with a PROXY header, version 1 or 2.
    Required {
        /// The proxies.
        from: TrustedProxies,
    },
}

/// Why a listener cannot start.
#[derive(Debug)]
pub enum ListenError {
    /// The system refused the address.
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// A plain listener may only be bound to loopback.
    PlainNotOnLoopback(SocketAddr),
    /// A limit is too small or too large.
    OutOfRange {
        /// The option.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The smallest value allowed.
        least: u64,
        /// The largest value allowed.
        most: u64,
    },
}

impl fmt::Display for ListenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { address, cause } => {
                write!(formatter, "cannot listen on {address}: {cause}")
            }
            Self::PlainNotOnLoopback(address) => write!(
                formatter,
                "refusing to listen on {address} without TLS: others could read and change what is \
                 sent; give certificates, or listen on 127.0.0.1 or ::1"
            ),
            Self::OutOfRange { name, value, least, most } => {
                write!(formatter, "{name} is {value}; it must be between {least} and {most}")
            }
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

const HOUR_MS: u64 = 3_600_000;

fn widened(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
