//! The credential of a client: a text that no log or debug output ever shows, or where to get the one that is good now.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use selvedge_protocol::limits::TOKEN_BYTES_MAX;
use tokio::time::timeout;

use crate::error::ConnectError;

/// A token that is never shown.
#[derive(Clone, Default)]
pub(crate) struct Token(String);

/// Gives the token that is good now, or why there is none.
type Source =
    dyn Fn() -> BoxFuture<'static, Result<String, Box<dyn Error + Send + Sync>>> + Send + Sync;

/// What to show at each connection.
#[derive(Clone)]
pub(crate) enum Credential {
    Fixed(Token),
    Source(Arc<Source>),
}

impl Token {
    pub(crate) const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, to be put into a Hello and nowhere else.
    pub(crate) fn reveal(self) -> String {
        self.0
    }

    fn checked(self) -> Result<Self, ConnectError> {
        if self.0.len() > TOKEN_BYTES_MAX {
            return Err(ConnectError::Setting {
                what: "token",
                reason: format!("it has over {TOKEN_BYTES_MAX} bytes"),
            });
        }
        Ok(self)
    }
}

impl Credential {
    pub(crate) fn source<F, Asked>(source: F) -> Self
    where
        F: Fn() -> Asked + Send + Sync + 'static,
        Asked: Future<Output = Result<String, Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        Self::Source(Arc::new(move || Box::pin(source())))
    }

    /// What can be found wrong before anybody is asked.
    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        match self {
            Self::Fixed(token) => token.clone().checked().map(drop),
            Self::Source(_) => Ok(()),
        }
    }

    /// The one to show now.
    pub(crate) async fn present(&self) -> Result<Token, ConnectError> {
        let source = match self {
            Self::Fixed(token) => return Ok(token.clone()),
            Self::Source(source) => source,
        };
        match timeout(SOURCE_MAX, source()).await {
            Ok(Ok(text)) => Token(text).checked(),
            Ok(Err(source)) => Err(ConnectError::Token { source }),
            Err(late) => Err(ConnectError::Token {
                source: Box::new(late),
            }),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(token) => token.fmt(f),
            Self::Source(_) => f.write_str("(source)"),
        }
    }
}

/// How long a program may take to get a token: as long as opening a session may.
const SOURCE_MAX: Duration = Duration::from_secs(10);
