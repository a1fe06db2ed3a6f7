//! A client's connection in either of the two ways in which bytes come to the edge: QUIC as it is, or WebTransport,
//! where streams and datagrams begin with the number of their session and codes are those of HTTP/3. The connection's
//! loop and the tasks of its streams use it and do not know which it is. It never looks into frames.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use selvedge_protocol::ErrorCode;
use selvedge_protocol::version::ALPN;
use tokio::time::Instant;

use crate::edge::close;
use crate::edge::web::{self, WebSession};
use crate::edge::{Shared, transport};
use crate::session::Transport;

/// A cheap handle on a connection.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    connection: Connection,
    /// `None`: QUIC as it is.
    web: Option<Arc<WebSession>>,
}

impl Wire {
    /// The connection, once it can carry a session: at once, or when a browser has asked for one. `None` if that did
    /// not happen in time; then it is closed.
    pub(super) async fn establish(
        connection: Connection,
        shared: &Shared,
        deadline: Instant,
    ) -> Option<Self> {
        if transport::agreed(&connection)? == ALPN {
            return Some(Self {
                connection,
                web: None,
            });
        }
        let browsers = shared.config.browsers.as_ref()?;
        let pages = web::Pages {
            listed: &browsers.origins,
            bridges: &shared.sessions.bridges(),
        };
        let session = Box::pin(web::establish(&connection, &pages, deadline)).await?;
        Some(Self {
            connection,
            web: Some(Arc::new(session)),
        })
    }

    /// What it runs over.
    pub(super) const fn transport(&self) -> Transport {
        match self.web {
            None => Transport::Quic,
            Some(_) => Transport::WebTransport,
        }
    }

    /// Waits for a stream that the client opens. Whoever goes on with it [enters](Self::enter) it first.
    pub(super) async fn accept_bi(&self) -> Result<Entrance, ConnectionError> {
        let (send, recv) = self.connection.accept_bi().await?;
        Ok(Entrance { send, recv })
    }

    /// The stream behind what comes before the session's own bytes; `None` if it is not one of the session, which
    /// the client was told then. `patience` is how long that may take.
    pub(super) async fn enter(
        &self,
        entrance: Entrance,
        patience: Duration,
    ) -> Option<(SendStream, RecvStream)> {
        let Entrance { send, recv } = entrance;
        let Some(session) = &self.web else {
            return Some((send, recv));
        };
        let entering = Box::pin(web::enter(&self.connection, session, send, recv));
        tokio::time::timeout(patience, entering).await.ok()?
    }

    /// Opens a stream to the client. Waits while it allows no more of them; fails with the connection only.
    pub(super) async fn open_uni(&self) -> Result<SendStream, Lost> {
        let mut stream = self.connection.open_uni().await.map_err(|_| Lost)?;
        if let Some(session) = &self.web {
            let head = session.stream_head();
            stream.write_all(head).await.map_err(|_| Lost)?;
        }
        Ok(stream)
    }

    /// What a datagram begins with, to put a frame behind it.
    pub(super) fn datagram(&self) -> Vec<u8> {
        let head = self.web.as_ref().map(|session| session.datagram_head());
        head.map_or_else(Vec::new, <[u8]>::to_vec)
    }

    /// Sends one that begins so. Lossy: too large for the path, or not wanted by the client.
    pub(super) fn send_datagram(&self, datagram: Vec<u8>) {
        let _ = self.connection.send_datagram(datagram.into());
    }

    /// Waits for a datagram of the session.
    pub(super) async fn read_datagram(&self) -> Result<Bytes, ConnectionError> {
        loop {
            let mut bytes = self.connection.read_datagram().await?;
            let Some(session) = &self.web else {
                return Ok(bytes);
            };
            let head = session.datagram_head();
            // Of a session that there is not: lost, as datagrams may be.
            if bytes.starts_with(head) {
                return Ok(bytes.split_off(head.len()));
            }
        }
    }

    /// The code that resets a stream for a failure.
    pub(super) fn code(&self, code: ErrorCode) -> VarInt {
        self.stream_code(close::code(code))
    }

    /// The code that ends a stream in order.
    pub(super) fn done(&self) -> VarInt {
        self.stream_code(close::DONE)
    }

    fn stream_code(&self, code: u32) -> VarInt {
        match &self.web {
            Some(_) => web::stream_code(code),
            None => VarInt::from_u32(code),
        }
    }

    /// Closes the connection. A browser hears of the code from its session, for which it has some time.
    pub(super) async fn close(&self, code: u32, reason: &str, linger: Duration) {
        match &self.web {
            Some(session) => session.close(code, reason, linger).await,
            None => self
                .connection
                .close(VarInt::from_u32(code), reason.as_bytes()),
        }
    }
}

/// A stream that the client has opened, with all its bytes.
#[derive(Debug)]
pub(super) struct Entrance {
    send: SendStream,
    recv: RecvStream,
}

/// The connection has gone.
#[derive(Debug)]
pub(super) struct Lost;
