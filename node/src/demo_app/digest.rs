//! The handler `digest`: SHA-256 and BLAKE3 of the bytes that came with the submit, stored or streamed.

use std::fmt::Write as _;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::demo_app::log::StepLog;
use crate::processing::{Handler, HandlerError, InvalidInput, OperationContext, PayloadReader};

/// Hashing this much takes well under a millisecond: not worth another thread.
const INLINE_BYTES_MAX: usize = 256 * 1024;

/// Progress is told about this often, bytes.
const PROGRESS_BYTES: u64 = 4 * 1024 * 1024;

/// Runs operations of the type `digest`.
#[derive(Debug, Clone, Default)]
pub struct DigestHandler {
    log: StepLog,
}

/// What the submitter may say about the bytes; the handler only checks the size.
#[derive(Debug, Default, Deserialize)]
struct Input {
    #[serde(default, rename = "path")]
    _path: Option<String>,
    #[serde(default)]
    size: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Digests {
    sha256: String,
    blake3: String,
    bytes: u64,
}

impl DigestHandler {
    /// A handler that notes the operation's id in `log` at each execution of its step.
    pub(super) const fn new(log: StepLog) -> Self {
        Self { log }
    }
}

impl Handler for DigestHandler {
    fn validate(&self, input: &str) -> Result<(), InvalidInput> {
        InvalidInput::read::<Option<Input>>(input).map(|_| ())
    }

    async fn run(&self, context: OperationContext) -> Result<Value, HandlerError> {
        let input: Option<Input> = context.input()?;
        let digests = context
            .step("digest", || async {
                let digests = digest(&context, context.payload()).await?;
                let announced = input.unwrap_or_default().size;
                if announced.is_some_and(|size| size != digests.bytes) {
                    return Err(HandlerError::permanent(format!(
                        "the input announces {} bytes, {} came; submit the file again under another \
                         id",
                        announced.unwrap_or(0),
                        digests.bytes
                    ))
                    .with_code("size_mismatch"));
                }
                self.log.note(context.operation_id().as_str())?;
                Ok(digests)
            })
            .await?;
        Ok(serde_json::to_value(&digests)?)
    }
}

#[derive(Debug, Default)]
struct Hashers {
    sha256: Sha256,
    blake3: blake3::Hasher,
}

impl Hashers {
    fn update(&mut self, chunk: &[u8]) {
        self.sha256.update(chunk);
        self.blake3.update(chunk);
    }
}

async fn digest(
    context: &OperationContext,
    mut payload: PayloadReader,
) -> Result<Digests, HandlerError> {
    let mut hashers = Box::<Hashers>::default();
    let (mut bytes, mut told) = (0_u64, 0_u64);
    while let Some(chunk) = payload.next().await? {
        bytes += chunk.len() as u64;
        hashers = update(hashers, chunk).await?;
        if bytes - told >= PROGRESS_BYTES {
            told = bytes;
            context.progress(&serde_json::json!({ "bytes": bytes }));
        }
    }
    Ok(Digests {
        sha256: hex(&hashers.sha256.finalize()),
        blake3: hashers.blake3.finalize().to_hex().to_string(),
        bytes,
    })
}

async fn update(mut hashers: Box<Hashers>, chunk: Bytes) -> Result<Box<Hashers>, HandlerError> {
    if chunk.len() <= INLINE_BYTES_MAX {
        hashers.update(&chunk);
        return Ok(hashers);
    }
    let hashed = tokio::task::spawn_blocking(move || {
        hashers.update(&chunk);
        hashers
    });
    Ok(hashed.await?)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
            // Writing into a String cannot fail.
            let _ = write!(out, "{byte:02x}");
            out
        })
}
