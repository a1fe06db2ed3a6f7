//! Frames of RFC 6455 as a server reads and writes them, with the compression of RFC 7692. Connections call it.
//!
//! ```text
//! +-+-+-+-+-------+-+-------------+-------------------------------+----------------+
//! |F|R|R|R| opcode|M| length      | 16 or 64 bits more of length, | mask (4 bytes, |
//! |I|S|S|S|  (4)  |A|     (7)     | where it is 126 or 127        | from a client) |
//! |N|V|V|V|       |S|             |                               |                |
//! | |1|2|3|       |K|             |                               |                |
//! +-+-+-+-+-------+-+-------------+-------------------------------+----------------+
//! ```
//!
//! Strict: what the RFC does not allow ends the connection. Pure: bytes come in, messages go out. A header that
//! announces too much is refused before its bytes are waited for.

use bytes::{Buf, BytesMut};
use selvedge_protocol::limits::WEBSOCKET_MESSAGE_BYTES_MAX;

use super::deflate;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    Text(BytesMut),
    Binary(BytesMut),
    Ping(BytesMut),
    Pong,
    Close,
}

/// Why the connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Violation {
    /// The bytes break RFC 6455 or 7692.
    Protocol(&'static str),
    /// A message is over the limit.
    TooLarge,
}

/// Reads messages.
#[derive(Debug)]
pub(super) struct Reader {
    /// Whether messages may be compressed.
    is_deflating: bool,
    /// The fragments of a message so far.
    started: Option<Started>,
}

#[derive(Debug)]
struct Started {
    is_text: bool,
    is_compressed: bool,
    data: BytesMut,
}

/// The opcodes.
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The bits of the first byte, and of the second.
const FIN: u8 = 0x80;
const RESERVED_1: u8 = 0x40;
const RESERVED_2_AND_3: u8 = 0x30;
const MASKED: u8 = 0x80;

/// The payload of a control frame, RFC 6455, 5.5.
const CONTROL_BYTES_MAX: usize = 125;

/// A header that is whole.
struct Header {
    opcode: u8,
    is_final: bool,
    is_compressed: bool,
    length: usize,
    mask: [u8; 4],
    /// Bytes of the header itself.
    bytes: usize,
}

impl Reader {
    pub(super) const fn new(is_deflating: bool) -> Self {
        Self {
            is_deflating,
            started: None,
        }
    }

    /// Takes the next whole message or control frame off the front of `input`; `None` while there is none.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Received>, Violation> {
        loop {
            let Some(header) = self.header(input)? else {
                return Ok(None);
            };
            if input.len() - header.bytes < header.length {
                return Ok(None);
            }
            input.advance(header.bytes);
            let mut data = input.split_to(header.length);
            unmask(&mut data, header.mask);
            if let Some(received) = self.frame(&header, data)? {
                return Ok(Some(received));
            }
        }
    }

    /// The header at the front, checked as far as it is there.
    fn header(&self, input: &BytesMut) -> Result<Option<Header>, Violation> {
        let (Some(&first), Some(&second)) = (input.first(), input.get(1)) else {
            return Ok(None);
        };
        let (opcode, is_final) = (first & 0x0f, first & FIN != 0);
        let is_compressed = first & RESERVED_1 != 0;
        self.check(opcode, is_final, is_compressed)?;
        if first & RESERVED_2_AND_3 != 0 {
            return Err(Violation::Protocol("a reserved bit is set"));
        }
        if second & MASKED == 0 {
            return Err(Violation::Protocol("frames of a client are masked"));
        }
        let short = second & 0x7f;
        let (length, least, bytes) = match short {
            126 => match input.get(2..4) {
                Some(more) => (u64::from(be(more)), 126, 4),
                None => return Ok(None),
            },
            127 => match input.get(2..10) {
                Some(more) => (be_long(more), 0x1_0000, 10),
                None => return Ok(None),
            },
            short => (u64::from(short), 0, 2),
        };
        if length < least {
            return Err(Violation::Protocol("a length has a shorter form"));
        }
        if opcode >= CLOSE && length > CONTROL_BYTES_MAX as u64 {
            return Err(Violation::Protocol("a control frame is too long"));
        }
        let before = match (&self.started, opcode) {
            (Some(started), CONTINUATION) => started.data.len(),
            _ => 0,
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > WEBSOCKET_MESSAGE_BYTES_MAX - before {
            return Err(Violation::TooLarge);
        }
        let Some(mask) = input[bytes..].first_chunk::<4>() else {
            return Ok(None);
        };
        Ok(Some(Header {
            opcode,
            is_final,
            is_compressed,
            length,
            mask: *mask,
            bytes: bytes + 4,
        }))
    }

    fn check(&self, opcode: u8, is_final: bool, is_compressed: bool) -> Result<(), Violation> {
        let wrong = |what| Err(Violation::Protocol(what));
        match (opcode, &self.started) {
            (CONTINUATION, None) => return wrong("a fragment continues no message"),
            (TEXT | BINARY, Some(_)) => return wrong("a message begins within another"),
            (CONTINUATION, Some(_)) | (TEXT | BINARY, None) => {}
            (CLOSE | PING | PONG, _) if !is_final => return wrong("a control frame is fragmented"),
            (CLOSE | PING | PONG, _) => {}
            _ => return wrong("the opcode is not known"),
        }
        let may_be_compressed = self.is_deflating && matches!(opcode, TEXT | BINARY);
        if is_compressed && !may_be_compressed {
            return wrong("a reserved bit is set");
        }
        Ok(())
    }

    fn frame(&mut self, header: &Header, data: BytesMut) -> Result<Option<Received>, Violation> {
        match header.opcode {
            PING => return Ok(Some(Received::Ping(data))),
            PONG => return Ok(Some(Received::Pong)),
            CLOSE => return close(&data).map(Some),
            _ => {}
        }
        let message = match self.started.take() {
            None => Started {
                is_text: header.opcode == TEXT,
                is_compressed: header.is_compressed,
                data,
            },
            Some(mut started) => {
                started.data.unsplit(data);
                started
            }
        };
        if !header.is_final {
            self.started = Some(message);
            return Ok(None);
        }
        let data = match message.is_compressed {
            false => message.data,
            true => deflate::inflate(message.data, WEBSOCKET_MESSAGE_BYTES_MAX)?,
        };
        Ok(Some(match message.is_text {
            true => Received::Text(data),
            false => Received::Binary(data),
        }))
    }
}

/// What a Close says matters to nobody, but it has a form.
fn close(data: &[u8]) -> Result<Received, Violation> {
    let Some((code, reason)) = data.split_first_chunk::<2>() else {
        return match data.is_empty() {
            true => Ok(Received::Close),
            false => Err(Violation::Protocol("a close code has two bytes")),
        };
    };
    let code = u16::from_be_bytes(*code);
    let is_known = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if !is_known || std::str::from_utf8(reason).is_err() {
        return Err(Violation::Protocol("a close code or reason is not valid"));
    }
    Ok(Received::Close)
}

fn be(bytes: &[u8]) -> u16 {
    bytes
        .iter()
        .fold(0, |all, byte| all << 8 | u16::from(*byte))
}

fn be_long(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |all, byte| all << 8 | u64::from(*byte))
}

/// Eight bytes at a time, which compilers make more of.
fn unmask(data: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let long = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = data.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ long).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Binary,
    Ping,
    Pong,
}

/// Appends the header of a whole message of the server's.
pub(super) fn header(kind: Kind, is_compressed: bool, length: usize, out: &mut Vec<u8>) {
    let opcode = match kind {
        Kind::Text => TEXT,
        Kind::Binary => BINARY,
        Kind::Ping => PING,
        Kind::Pong => PONG,
    };
    begin(opcode, is_compressed, length, out);
}

/// Appends a Close; the reason is cut to what fits.
pub(super) fn write_close(code: u16, reason: &str, out: &mut Vec<u8>) {
    let reason = &reason[..reason.floor_char_boundary(CONTROL_BYTES_MAX - 2)];
    begin(CLOSE, false, reason.len() + 2, out);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

fn begin(opcode: u8, is_compressed: bool, length: usize, out: &mut Vec<u8>) {
    out.push(FIN | opcode | if is_compressed { RESERVED_1 } else { 0 });
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..126), _) => out.push(short),
        (_, Ok(length)) => {
            out.push(126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        (_, Err(_)) => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
#[path = "frame/tests.rs"]
mod tests;
