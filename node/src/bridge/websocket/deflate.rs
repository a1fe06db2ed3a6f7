//! Compression of messages (RFC 7692) without context takeover: each message by itself, so that one compressor a
//! thread is enough, and an event that many hear is compressed once. [`super::frame`] inflates, [`super::writer`]
//! deflates.

use std::cell::RefCell;

use bytes::BytesMut;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::frame::Violation;

thread_local! {
    static DEFLATER: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
    static INFLATER: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// What ends each flush, and is left out of messages: an empty stored block.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The message that was compressed to these bytes, if it is not over the limit.
pub(super) fn inflate(mut data: BytesMut, limit: usize) -> Result<BytesMut, Violation> {
    data.extend_from_slice(&TAIL);
    INFLATER.with_borrow_mut(|inflater| {
        inflater.reset(false);
        let mut out = Vec::with_capacity((4 * data.len()).min(limit + 1));
        let mut rest = &data[..];
        loop {
            let (read, written) = (inflater.total_in(), out.len());
            let status = inflater
                .decompress_vec(rest, &mut out, FlushDecompress::Sync)
                .map_err(|_| Violation::Protocol("a compressed message cannot be inflated"))?;
            let used = usize::try_from(inflater.total_in() - read).unwrap_or(rest.len());
            rest = &rest[used..];
            if out.len() > limit {
                return Err(Violation::TooLarge);
            }
            if matches!(status, Status::StreamEnd) {
                break;
            }
            if out.len() == out.capacity() {
                // Full, so that more may be to come; never much over the limit.
                out.reserve_exact(out.len().clamp(1, limit + 1 - out.len().min(limit)));
            } else if rest.is_empty() {
                break;
            } else if used == 0 && out.len() == written {
                return Err(Violation::Protocol(
                    "a compressed message cannot be inflated",
                ));
            }
        }
        Ok(BytesMut::from(bytes::Bytes::from(out)))
    })
}

/// Appends the data, compressed.
pub(super) fn deflate(data: &[u8], out: &mut Vec<u8>) {
    DEFLATER.with_borrow_mut(|deflater| {
        deflater.reset();
        let mut rest = data;
        out.reserve(data.len() / 2 + 64);
        loop {
            let read = deflater.total_in();
            // It fails for a dictionary that is missing, and there is none.
            let written = deflater.compress_vec(rest, out, FlushCompress::Sync);
            assert!(written.is_ok(), "deflating {} bytes", data.len());
            let used = usize::try_from(deflater.total_in() - read).unwrap_or(rest.len());
            rest = &rest[used..];
            if rest.is_empty() && out.len() < out.capacity() {
                break;
            }
            out.reserve(1024);
        }
    });
    if out.ends_with(&TAIL) {
        out.truncate(out.len() - TAIL.len());
    }
}

/// Appends a short piece as a block that is not compressed. Whatever [`deflate`] makes may follow it.
pub(super) fn store(data: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    out.push(0);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(&data[..usize::from(length)]);
}
