//! Reads over REST, on connections that are kept: written and read as bytes, so that the client costs little.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BytesMut};
use futures::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::{Bare, Failed, Node, ROUNDS, TIME};

/// Connections that ask, one request at a time each.
const CONNECTIONS: usize = 32;

/// The state of an actor, against a handler that has the bytes.
pub(crate) async fn reads() -> Result<(), Failed> {
    println!("GET of an actor over {CONNECTIONS} connections, answers a second:");
    let node = Node::start().await?;
    let token = node.field("token")?;
    let head = format!("Authorization: Bearer {token}\r\n");
    let path = "/v1/actors/counter/figures";
    let mut connection = Connection::open(node.field("http")?, path, &head).await?;
    let state = connection.ask().await?;
    let bare = Bare::start(&state)?;
    for _ in 0..ROUNDS {
        let ours = rate(node.field("http")?, path, &head).await?;
        let bare = rate(&bare.address, "/state", &head).await?;
        println!(
            "  {ours:.0}, bare handler {bare:.0}, ratio {:.2}",
            ours / bare
        );
    }
    Ok(())
}

async fn rate(address: &str, path: &str, head: &str) -> Result<f64, Failed> {
    let open = || Connection::open(address, path, head);
    let connections = try_join_all((0..CONNECTIONS).map(|_| open())).await?;
    let done = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let asking = connections.into_iter().map(|mut connection| {
        let done = Arc::clone(&done);
        tokio::spawn(async move {
            while begin.elapsed() < TIME {
                connection.ask().await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Failed>(())
        })
    });
    for ended in try_join_all(asking).await? {
        ended?;
    }
    Ok(done.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64())
}

/// A connection that asks the same again and again.
struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: BytesMut,
}

impl Connection {
    async fn open(address: &str, path: &str, head: &str) -> Result<Self, Failed> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{head}\r\n");
        Ok(Self {
            stream,
            request: request.into_bytes(),
            buffer: BytesMut::new(),
        })
    }

    /// The body of the answer.
    async fn ask(&mut self) -> Result<String, Failed> {
        self.stream.write_all(&self.request).await?;
        answer(&mut self.stream, &mut self.buffer).await
    }
}

/// Posts a text.
pub(crate) async fn post(address: &str, path: &str, body: String) -> Result<(), Failed> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    answer(&mut stream, &mut BytesMut::new()).await.map(drop)
}

/// Reads one answer with a length.
async fn answer(stream: &mut TcpStream, buffer: &mut BytesMut) -> Result<String, Failed> {
    loop {
        if let Some(end) = buffer.windows(4).position(|it| it == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
            if !head.starts_with("http/1.1 20") {
                return Err(String::from_utf8_lossy(buffer).into_owned().into());
            }
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .map_or(Ok(0), |length| length.trim().parse::<usize>())?;
            if buffer.len() >= end + 4 + length {
                buffer.advance(end + 4);
                let body = buffer.split_to(length);
                return Ok(String::from_utf8_lossy(&body).into_owned());
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err("the server closed the connection".into());
        }
    }
}
