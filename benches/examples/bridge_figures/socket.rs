//! A WebSocket client that costs next to nothing, so that what is measured is the server: frames are masked with a key
//! of zeros, which RFC 6455 allows and which leaves the bytes as they are.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::Failed;

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;

/// A connection.
pub(crate) struct Socket {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    buffer: BytesMut,
}

impl Socket {
    /// Connects, and asks for this subprotocol if for any.
    pub(crate) async fn connect(
        address: &str,
        path: &str,
        protocol: Option<&str>,
    ) -> Result<Self, Failed> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let protocol = protocol.map_or_else(String::new, |protocol| {
            format!("Sec-WebSocket-Protocol: {protocol}\r\n")
        });
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut buffer = BytesMut::new();
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|it| it == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err("the connection ended within the handshake".into());
            }
        };
        let head = buffer.split_to(end);
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(String::from_utf8_lossy(&head).into_owned().into());
        }
        let (read, write) = stream.into_split();
        Ok(Self {
            read,
            write,
            buffer,
        })
    }

    /// Writes frames that [`frame`] made.
    pub(crate) async fn write(&mut self, frames: &[u8]) -> Result<(), Failed> {
        Ok(self.write.write_all(frames).await?)
    }

    /// The next message of the server that carries data.
    pub(crate) async fn message(&mut self) -> Result<Bytes, Failed> {
        loop {
            if let Some(message) = self.ready()? {
                return Ok(message);
            }
            if self.read.read_buf(&mut self.buffer).await? == 0 {
                return Err("the server closed the connection".into());
            }
        }
    }

    /// The next one, if it has come.
    pub(crate) fn ready(&mut self) -> Result<Option<Bytes>, Failed> {
        loop {
            let Some((opcode, head, length)) = header(&self.buffer) else {
                return Ok(None);
            };
            if self.buffer.len() < head + length {
                return Ok(None);
            }
            self.buffer.advance(head);
            let payload = self.buffer.split_to(length).freeze();
            match opcode {
                TEXT | BINARY => return Ok(Some(payload)),
                CLOSE => {
                    let reason = payload.get(2..).unwrap_or_default();
                    return Err(String::from_utf8_lossy(reason).into_owned().into());
                }
                PING => {}
                _ => {}
            }
        }
    }
}

/// Opcode, length of the head and length of the payload.
fn header(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let opcode = first & 0x0f;
    match second & 0x7f {
        126 => {
            let length = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
            Some((opcode, 4, usize::from(length)))
        }
        127 => {
            let length = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
            Some((opcode, 10, usize::try_from(length).ok()?))
        }
        length => Some((opcode, 2, usize::from(length))),
    }
}

/// Appends a frame with a whole message.
pub(crate) fn frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..126 => out.push(0x80 | u8::try_from(length).unwrap_or(0)),
        length @ 126..65_536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&u16::try_from(length).unwrap_or(0).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}
