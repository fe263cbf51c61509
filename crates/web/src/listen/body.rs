//! Reading the body of a request within a size and a time.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame};
use tokio::time::timeout;

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is, or says it is, larger than allowed (413).
    TooLarge,
    /// It was not complete in time (408).
    TooSlow,
    /// The connection or its framing broke; nobody is left to answer.
    Broken,
}

impl fmt::Display for BodyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::TooLarge => "the body is larger than allowed",
            Self::TooSlow => "the body did not arrive in time",
            Self::Broken => "the body broke off",
        })
    }
}

impl std::error::Error for BodyError {}

/// Reads a body of at most `bytes_max` bytes, the whole of it within `timeout_ms`, however the
/// sender spreads it. A body that announces more is refused before any of it is read. Trailers are
/// dropped.
pub async fn read_body<B>(body: B, bytes_max: usize, timeout_ms: u64) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
{
    let announced_bytes = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced_bytes > bytes_max {
        return Err(BodyError::TooLarge);
    }
    let whole = read_up_to(body, announced_bytes, bytes_max);
    timeout(Duration::from_millis(timeout_ms), whole).await.unwrap_or(Err(BodyError::TooSlow))
}

/// Lets a body of at most `bytes_max` bytes come for at most `timeout_ms`, and forgets it.
pub(crate) async fn drop_body<B>(body: B, bytes_max: usize, timeout_ms: u64)
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let come = async {
        let mut room = bytes_max;
        while let Some(Ok(frame)) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            let Some(left) = room.checked_sub(bytes) else { return };
            room = left;
        }
    };
    let _in_time = timeout(Duration::from_millis(timeout_ms), come).await;
}

async fn read_up_to<B>(
    body: B,
    announced_bytes: usize,
    bytes_max: usize,
) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut next_data = async || {
        loop {
            let frame: Option<Result<Frame<Bytes>, _>> =
                poll_fn(|context| body.as_mut().poll_frame(context)).await;
            match frame.map(|frame| frame.map(Frame::into_data)) {
                None => return Ok(None),
                Some(Err(_)) => return Err(BodyError::Broken),
                Some(Ok(Ok(data))) => return Ok(Some(data)),
                Some(Ok(Err(_trailers))) => {}
            }
        }
    };
    // Nearly every body is one frame, which is then the answer as it is.
    let Some(first) = next_data().await? else {
        return Ok(Bytes::new());
    };
    if first.len() > bytes_max {
        return Err(BodyError::TooLarge);
    }
    let Some(second) = next_data().await? else {
        return Ok(first);
    };
    let mut whole = BytesMut::with_capacity(announced_bytes.max(first.len()));
    whole.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(data) = next {
        if data.len() > bytes_max - whole.len() {
            return Err(BodyError::TooLarge);
        }
        whole.extend_from_slice(&data);
        next = next_data().await?;
    }
    Ok(whole.freeze())
}
