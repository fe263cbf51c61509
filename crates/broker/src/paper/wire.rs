//! Frames on the socket: a length of four bytes, big endian, and as many bytes of JSON.

use super::message::{Command, Reply};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest frame, without its length.
pub(crate) const FRAME_MAX: usize = 65_536;
const LENGTH: usize = 4;

/// A command with the number under which its answer will come.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    pub(crate) id: u64,
    pub(crate) command: Command,
}

/// An answer with the number of its command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answered {
    pub(crate) id: u64,
    pub(crate) reply: Reply,
}

/// The bytes of a frame; an error if it would be too long.
pub(crate) fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= FRAME_MAX);
    let length = length.ok_or_else(|| invalid("the frame is too long"))?;
    let mut bytes = Vec::with_capacity(LENGTH.saturating_add(body.len()));
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Reads frames. What arrived of an unfinished frame stays here, so that reading may be given up
/// and taken up again.
#[derive(Debug)]
pub(crate) struct Frames<R> {
    from: R,
    arrived: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(crate) const fn new(from: R) -> Self {
        Self { from, arrived: Vec::new() }
    }

    /// The next message; `None` when the other side has ended between two.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            if self.from.read_buf(&mut self.arrived).await? == 0 {
                return if self.arrived.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    fn take<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some((length, rest)) = self.arrived.split_first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > FRAME_MAX {
            return Err(invalid("the frame is too long"));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(body)?;
        self.arrived.drain(..LENGTH.saturating_add(length));
        Ok(Some(message))
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
