//! The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt): what a proxy writes in
//! front of a connection to say for whom it opened it.
//!
//! Exactly the header is taken from the socket, never a byte after it: what follows is TLS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The longest header of version 1, as the specification has it.
const LINE_BYTES_MAX: usize = 107;
/// The longest rest of a version 2 header that is read: addresses and some extensions.
const REST_BYTES_MAX: usize = 2_048;
/// No header is shorter, and the version can be told from this much.
const START_BYTES: usize = 13;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Takes the header from the socket and returns the client it names; `None` if the proxy speaks
/// for itself (a health check) or does not know.
pub(super) async fn read(socket: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut start = [0; START_BYTES];
    socket.read_exact(&mut start).await?;
    match start.strip_prefix(SIGNATURE) {
        Some(&[version_and_command]) => read_binary(socket, version_and_command).await,
        _ => read_line(socket, &start).await,
    }
}

async fn read_binary(
    socket: &mut TcpStream,
    version_and_command: u8,
) -> io::Result<Option<SocketAddr>> {
    let family = socket.read_u8().await?;
    let rest_bytes = usize::from(socket.read_u16().await?);
    if rest_bytes > REST_BYTES_MAX {
        return Err(malformed());
    }
    let mut rest = vec![0; rest_bytes];
    socket.read_exact(&mut rest).await?;
    parse_binary(version_and_command, family, &rest)
}

/// Source address, destination address, source port, destination port, then extensions.
fn parse_binary(
    version_and_command: u8,
    family: u8,
    rest: &[u8],
) -> io::Result<Option<SocketAddr>> {
    match (version_and_command, family) {
        (0x20, _) | (0x21, 0x00) => Ok(None),
        (0x21, 0x11) => {
            let (source, rest) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
            let (_destination, rest) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
            Ok(Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(*source)), source_port(rest)?)))
        }
        (0x21, 0x21) => {
            let (source, rest) = rest.split_first_chunk::<16>().ok_or_else(malformed)?;
            let (_destination, rest) = rest.split_first_chunk::<16>().ok_or_else(malformed)?;
            Ok(Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(*source)), source_port(rest)?)))
        }
        _ => Err(malformed()),
    }
}

fn source_port(ports: &[u8]) -> io::Result<u16> {
    match ports {
        [high, low, _, _, ..] => Ok(u16::from_be_bytes([*high, *low])),
        _ => Err(malformed()),
    }
}

async fn read_line(socket: &mut TcpStream, start: &[u8]) -> io::Result<Option<SocketAddr>> {
    if !start.starts_with(b"PROXY ") {
        return Err(malformed());
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\n") {
        let mut ahead = [0; LINE_BYTES_MAX - START_BYTES];
        let room = LINE_BYTES_MAX.saturating_sub(line.len());
        let ahead = ahead.get_mut(..room).ok_or_else(malformed)?;
        let seen_bytes = socket.peek(ahead).await?;
        let seen = ahead.get(..seen_bytes).ok_or_else(malformed)?;
        let taken_bytes = match seen.iter().position(|byte| *byte == b'\n') {
            Some(end) => end.saturating_add(1),
            None => seen_bytes,
        };
        // Nothing seen: the peer has gone, or the line is as long as it may be and has no end.
        if taken_bytes == 0 {
            return Err(malformed());
        }
        let taken = ahead.get_mut(..taken_bytes).ok_or_else(malformed)?;
        socket.read_exact(taken).await?;
        line.extend_from_slice(taken);
    }
    parse_line(&line)
}

fn parse_line(line: &[u8]) -> io::Result<Option<SocketAddr>> {
    let text = line
        .strip_suffix(b"\r\n")
        .and_then(|line| std::str::from_utf8(line).ok())
        .ok_or_else(malformed)?;
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Ok(None),
        ["PROXY", family, source, destination, source_port, destination_port] => {
            let source: IpAddr = source.parse().map_err(|_| malformed())?;
            let destination: IpAddr = destination.parse().map_err(|_| malformed())?;
            let source_port: u16 = source_port.parse().map_err(|_| malformed())?;
            let _port: u16 = destination_port.parse().map_err(|_| malformed())?;
            match (*family, source, destination) {
                ("TCP4", IpAddr::V4(_), IpAddr::V4(_)) | ("TCP6", IpAddr::V6(_), IpAddr::V6(_)) => {
                    Ok(Some(SocketAddr::new(source, source_port)))
                }
                _ => Err(malformed()),
            }
        }
        _ => Err(malformed()),
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the connection does not begin with a PROXY header")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_the_specification_has_them() {
        for (line, expected) in [
            ("PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n", Some("192.0.2.1:56324")),
            ("PROXY TCP6 2001:db8::1 ::1 56324 443\r\n", Some("[2001:db8::1]:56324")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        ] {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(parse_line(line.as_bytes()).unwrap(), expected, "{line:?}");
        }
        for line in [
            "PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 56324\r\n",
            "PROXY TCP4 192.0.2.1  10.0.0.1 56324 443\r\n",
            "PROXY TCP4 2001:db8::1 ::1 56324 443\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 70000 443\r\n",
            "PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY\r\n",
        ] {
            assert!(parse_line(line.as_bytes()).is_err(), "{line:?}");
        }
    }

    #[test]
    fn binary_headers_as_the_specification_has_them() {
        let four = [192, 0, 2, 1, 10, 0, 0, 1, 0xdc, 0x04, 0x01, 0xbb];
        let announced = parse_binary(0x21, 0x11, &four).unwrap();
        assert_eq!(announced, Some("192.0.2.1:56324".parse().unwrap()));
        let mut six = [0; 40];
        six[15] = 1;
        six[33] = 7;
        let announced = parse_binary(0x21, 0x21, &six).unwrap();
        assert_eq!(announced, Some("[::1]:7".parse().unwrap()));
        assert_eq!(parse_binary(0x20, 0x00, &[]).unwrap(), None);
        assert_eq!(parse_binary(0x21, 0x00, &[]).unwrap(), None);
        for (version_and_command, family, rest) in [
            (0x21, 0x11, &four[..11]),
            (0x21, 0x21, &six[..35]),
            (0x21, 0x12, &four[..]),
            (0x22, 0x11, &four[..]),
            (0x11, 0x11, &four[..]),
        ] {
            assert!(parse_binary(version_and_command, family, rest).is_err());
        }
    }
}
