//! `bench tls`: handshakes a second at the gateway's public door, with one request each, beside a bare
//! server of rustls and hyper with the same certificate, provider and configuration, in one process.
//!
//! Measured in turn, full and resumed: only ratios within one run mean something.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tradewarden_domain::time::Clock;
use tradewarden_seal::SystemRandomness;
use tradewarden_web::tls::Challenges;

use super::load::{client_config, median, now_us, to_f64};
use crate::certificates::TlsFiles;
use crate::cli::Handshakes;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::data::Data;
use crate::outcome::Failure;
use crate::serve::{self, Then};
use crate::{files, output};

/// What is asked for after each handshake: the least that the gateway answers.
const PATH: &str = "/livez";
/// The same answer of the bare server.
const ANSWER: &[u8] = br#"{"status":"ok"}"#;

#[derive(Debug, Serialize)]
struct Report {
    clients: u16,
    seconds: u16,
    rounds: u16,
    full: Compared,
    resumed: Compared,
}

/// Handshakes a second, medians over the rounds.
#[derive(Debug, Serialize)]
struct Compared {
    bare_per_s: f64,
    gateway_per_s: f64,
    /// The gateway's by the bare server's, the median of the rounds.
    ratio: f64,
}

/// Measures and prints.
pub(crate) async fn run(config: Config, asked: Handshakes, json: bool) -> Result<(), Failure> {
    let data = Data::at(&config);
    if data.exists() {
        return Err(Failure::usage(format!(
            "{} exists; bench makes a data directory of its own and removes it: name another with \
             --data",
            data.root().display()
        )));
    }
    data.create()?;
    let tls = TlsFiles::prepare(&config, &data, SystemClock.now(), &mut SystemRandomness::new())?;
    let same = tls.public(&Challenges::default())?.config();
    let (bare, stop, mut serving) = bare_server(same).await?;
    let ca_file = tls.ca_file().ok_or_else(|| {
        Failure::usage("bench needs the generated certificate: leave [tls] out".to_owned())
    })?;
    let measured = serve::run_with(&config, async |_engine, announcement| {
        let gateway = announcement.base_url.trim_start_matches("https://").parse();
        let gateway: SocketAddr =
            gateway.map_err(|_| Failure::unavailable("the gateway's own address is unreadable"))?;
        let ca_pem = files::read_text(&ca_file, 64 * 1024)?;
        let full = compare(&ca_pem, HandshakeKind::Full, [bare, gateway], &asked).await?;
        let resumed = compare(&ca_pem, HandshakeKind::Resumed, [bare, gateway], &asked).await?;
        let Handshakes { clients, seconds, rounds } = asked;
        print(&Report { clients, seconds, rounds, full, resumed }, json)?;
        Ok(Then::Stop)
    })
    .await;
    let _ended_already = stop.send(());
    while serving.join_next().await.is_some() {}
    let removed = std::fs::remove_dir_all(data.root());
    measured?;
    removed.map_err(|cause| files::failed("remove", &data.root(), &cause))
}

/// What stays of the gateway without us: accept, shake hands, answer.
async fn bare_server(
    config: Arc<ServerConfig>,
) -> Result<(SocketAddr, oneshot::Sender<()>, JoinSet<()>), Failure> {
    let failed = |error: std::io::Error| Failure::unavailable(error.to_string());
    let listener =
        TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let acceptor = TlsAcceptor::from(config);
    let (stop, mut stopped) = oneshot::channel();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                _ = &mut stopped => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((socket, _)) = accepted else { continue };
            while connections.try_join_next().is_some() {}
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                // What goes wrong on a connection, its client says.
                let _told_by_client = socket.set_nodelay(true);
                if let Ok(tls) = acceptor.accept(socket).await {
                    let connection = http1::Builder::new();
                    let service = service_fn(answer);
                    let _told = connection.serve_connection(TokioIo::new(tls), service).await;
                }
            });
        }
    });
    Ok((address, stop, serving))
}

async fn answer(_request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(ANSWER))))
}

/// Both servers in turn.
async fn compare(
    ca_pem: &str,
    kind: HandshakeKind,
    [bare, gateway]: [SocketAddr; 2],
    asked: &Handshakes,
) -> Result<Compared, Failure> {
    let (mut bare_per_s, mut gateway_per_s, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..asked.rounds {
        let without_us = drive(ca_pem, kind, bare, asked).await?;
        let with_us = drive(ca_pem, kind, gateway, asked).await?;
        ratios.push(with_us / without_us);
        bare_per_s.push(without_us);
        gateway_per_s.push(with_us);
    }
    Ok(Compared {
        bare_per_s: median(&mut bare_per_s),
        gateway_per_s: median(&mut gateway_per_s),
        ratio: median(&mut ratios),
    })
}

/// Handshakes a second of so many clients, each with one after the other.
async fn drive(
    ca_pem: &str,
    kind: HandshakeKind,
    address: SocketAddr,
    asked: &Handshakes,
) -> Result<f64, Failure> {
    let mut clients = JoinSet::new();
    let mut prepared = Vec::new();
    for _ in 0..asked.clients {
        // Each with tickets of its own, and those of the first connection before the watch runs.
        let mut config = client_config(ca_pem)?;
        config.resumption = match kind {
            HandshakeKind::Resumed => Resumption::in_memory_sessions(4),
            _ => Resumption::disabled(),
        };
        let config = Arc::new(config);
        shake_hands(&config, address).await?;
        prepared.push(config);
    }
    let started = now_us();
    let end = started.saturating_add(u64::from(asked.seconds).saturating_mul(1_000_000));
    for config in prepared {
        clients.spawn(async move {
            let mut count = 0_u64;
            while now_us() < end {
                let done = shake_hands(&config, address).await?;
                if done != Some(kind) {
                    let what = format!("a handshake was {done:?} and not {kind:?}");
                    return Err(Failure::unavailable(what));
                }
                count = count.saturating_add(1);
            }
            Ok(count)
        });
    }
    let mut all = 0_u64;
    while let Some(ended) = clients.join_next().await {
        let counted = ended.map_err(|error| Failure::unavailable(error.to_string()))??;
        all = all.saturating_add(counted);
    }
    Ok(to_f64(all) / (to_f64(now_us().saturating_sub(started)) / 1e6))
}

/// One connection with one request; what kind its handshake was.
async fn shake_hands(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
) -> Result<Option<HandshakeKind>, Failure> {
    let failed = |cause: &dyn std::fmt::Display| {
        Failure::unavailable(format!("no answer from {address}: {cause}"))
    };
    let tcp = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    tcp.set_nodelay(true).map_err(|error| failed(&error))?;
    let connector = TlsConnector::from(Arc::clone(config));
    let tls = connector.connect(ServerName::from(address.ip()), tcp).await;
    let tls = tls.map_err(|error| failed(&error))?;
    let kind = tls.get_ref().1.handshake_kind();
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await;
    let (mut requests, connection) = shaken.map_err(|error| failed(&error))?;
    let request = Request::get(PATH).header(HOST, address.to_string()).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| failed(&error))?;
    let ask = async {
        let answer = requests.send_request(request).await.map_err(|error| failed(&error))?;
        let status = answer.status();
        answer.into_body().collect().await.map_err(|error| failed(&error))?;
        drop(requests);
        if status.is_success() { Ok(()) } else { Err(failed(&status)) }
    };
    // The connection ends when nobody can ask any more.
    let (asked, _ended) = tokio::join!(ask, connection);
    asked.map(|()| kind)
}

fn print(report: &Report, json: bool) -> Result<(), Failure> {
    if json {
        let text = serde_json::to_string(report)
            .map_err(|error| Failure::unavailable(format!("cannot be written as JSON: {error}")))?;
        return output::print(&text);
    }
    let line = |name: &str, Compared { bare_per_s, gateway_per_s, ratio }: &Compared| {
        format!(
            "{name:<8} bare {bare_per_s:>7.0}/s   gateway {gateway_per_s:>7.0}/s   gateway / bare \
             {ratio:.3}\n"
        )
    };
    output::print(&format!(
        "{} clients, {} x {} s, TLS 1.3, one request for each handshake\n\n{}{}",
        report.clients,
        report.rounds,
        report.seconds,
        line("full", &report.full),
        line("resumed", &report.resumed),
    ))
}
