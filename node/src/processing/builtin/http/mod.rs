//! The handler `http`: one outgoing HTTP(S) call as a durable operation of one step.
//!
//! `call` checks the input, `client` makes the call (`address` and `resolve`: where it may go, `redirect`:
//! where it goes next, `tls`, `breakers`), `answer` is its result, `retry_after` when a refusal may be tried again. It calls only public addresses and what
//! the configuration allows, and never one that it has not checked. `fetch` lends the client to who needs a document.

mod address;
mod answer;
mod breakers;
mod call;
mod client;
mod error;
mod fetch;
mod redirect;
mod resolve;
mod retry_after;
mod tls;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

pub use address::{Allowed, AllowedError};
pub(crate) use call::Posted;
pub(crate) use fetch::{Fetch, FetchError, Fetched};
pub use resolve::{Resolve, SystemResolver};
pub use tls::Roots;

use crate::processing::builtin::http::answer::Answer;
use crate::processing::builtin::http::call::{Call, Input};
use crate::processing::builtin::http::client::Client;
use crate::processing::{BreakerPolicy, Handler, HandlerError, InvalidInput, OperationContext};

/// The one step, and what makes the key that the called side recognises repeats by.
const STEP: &str = "http";

/// Runs operations of the type `http`.
///
/// ```json
/// { "method": "POST", "url": "https://example.org/orders", "headers": { "authorization": "Bearer …" },
///   "body": { "item": 7 }, "timeoutMs": 30000, "maxResponseBytes": 1048576, "maxRedirects": 5,
///   "expect": [201] }
/// ```
///
/// Only `method` and `url` have to be there. The result is `{"status", "headers", "body", "url"}`, with
/// `"bodyEncoding": "base64"` if the body is not text. Connections that fail, timeouts and the statuses
/// 408, 425, 429 and 5xx are worth another attempt; another status that is not expected fails the operation
/// with the code `http_status`. A `Retry-After` puts the next attempt off, by 24 h at most. The header `Idempotency-Key` is the same in each attempt.
pub struct HttpHandler(Client);

/// Where calls may go and what they trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Hosts and networks that may be called although they are not public.
    pub allow: Vec<Allowed>,
    pub roots: Roots,
    /// When a host is left alone. An answer of any kind but 5xx starts the count of its failures anew.
    pub breaker: BreakerPolicy,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            roots: Roots::default(),
            breaker: breakers::policy(),
        }
    }
}

impl HttpHandler {
    /// A handler that looks names up as the system does.
    pub fn new(config: HttpConfig) -> Self {
        Self::with_resolver(config, SystemResolver)
    }

    /// The same with another way from names to addresses.
    pub fn with_resolver(config: HttpConfig, resolver: impl Resolve) -> Self {
        Self(Client::new(config, Arc::new(resolver)))
    }
}

impl Handler for HttpHandler {
    fn validate(&self, input: &str) -> Result<(), InvalidInput> {
        Call::new(InvalidInput::read(input)?).map(|_| ())
    }

    async fn run(&self, context: OperationContext) -> Result<Value, HandlerError> {
        let input: Input = context.input()?;
        let call = Call::new(input)?.with_key(&context.idempotency_key(STEP))?;
        let answer: Value = context
            .step(STEP, || async {
                let answer = Box::pin(self.0.call(&call)).await;
                answer
                    .and_then(Answer::into_value)
                    .map_err(|error| error.into_error(context.wall_ms()))
            })
            .await?;
        Ok(answer)
    }
}

impl fmt::Debug for HttpHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpHandler")
    }
}
