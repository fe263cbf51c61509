//! Just enough of a PostgreSQL server to say that it does not sync: a real one that runs without
//! would have to be one of its own.
//!
//! Source: PostgreSQL documentation, "Frontend/Backend Protocol: Message Formats".

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const READY: &[u8] = &[b'Z', 0, 0, 0, 5, b'I'];
const AUTHENTICATED: &[u8] = &[b'R', 0, 0, 0, 8, 0, 0, 0, 0];
/// The type `text`.
const TEXT: i32 = 25;

/// A server that answers `SHOW setting` with `value`, and every other `SHOW` with `on`.
pub(crate) async fn start(setting: &'static str, value: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    let _server = tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        // The client hangs up in the middle of a message or between two; both are an end.
        let _end = serve(client, setting, value).await;
    });
    format!("postgres://fake@{address}/fake")
}

async fn serve(mut client: TcpStream, setting: &str, value: &str) -> std::io::Result<()> {
    let startup = client.read_u32().await?;
    read(&mut client, startup).await?;
    client.write_all(&[AUTHENTICATED, READY].concat()).await?;
    let mut shown = String::new();
    loop {
        let kind = client.read_u8().await?;
        let length = client.read_u32().await?;
        let body = read(&mut client, length).await?;
        let answer = match kind {
            b'Q' => [message(b'C', b"SET\0"), READY.to_vec()].concat(),
            b'P' => {
                // The statement's name, its text, its parameters.
                let text = body.split(|byte| *byte == 0).nth(1).unwrap();
                shown = String::from_utf8_lossy(text).replace("SHOW ", "");
                message(b'1', &[])
            }
            b'D' => [message(b't', &[0, 0]), row_description()].concat(),
            b'B' => message(b'2', &[]),
            b'E' => {
                let value = if shown == setting { value } else { "on" };
                [data_row(value), message(b'C', b"SHOW\0")].concat()
            }
            b'C' => message(b'3', &[]),
            b'S' => READY.to_vec(),
            _ => return Ok(()),
        };
        client.write_all(&answer).await?;
    }
}

async fn read(client: &mut TcpStream, length: u32) -> std::io::Result<Vec<u8>> {
    let mut body = vec![0; usize::try_from(length).unwrap() - 4];
    client.read_exact(&mut body).await?;
    Ok(body)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap();
    [&[kind], length.to_be_bytes().as_slice(), body].concat()
}

fn row_description() -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend(b"setting\0");
    body.extend([0; 6]);
    body.extend(TEXT.to_be_bytes());
    body.extend((-1_i16).to_be_bytes());
    body.extend((-1_i32).to_be_bytes());
    body.extend([0, 0]);
    message(b'T', &body)
}

fn data_row(value: &str) -> Vec<u8> {
    let length = i32::try_from(value.len()).unwrap();
    message(b'D', &[&[0, 1], length.to_be_bytes().as_slice(), value.as_bytes()].concat())
}
