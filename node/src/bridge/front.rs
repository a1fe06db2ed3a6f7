//! What a connection over TCP comes to first: the [`Door`], then TLS where it is spoken, then HTTP. The server has one on
//! each of its threads. Who is not let in is closed at once, before a byte of theirs is read.
//!
//! actix-web's own server takes connections until it has as many as it may, whoever they are of, and then lets all others
//! wait; and its places for TLS handshakes are few. So the same parts are put together here, with the door before them.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::Protocol;
use actix_web::dev::{Service, ServiceFactory};
use actix_web::rt::net::TcpStream;
use futures::future::LocalBoxFuture;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::bridge::door::{Door, Entry};

/// Makes the front of a thread from its HTTP.
#[derive(Debug, Clone)]
pub(super) struct Front<O, H> {
    pub(super) door: Arc<Door>,
    pub(super) opening: O,
    pub(super) http: H,
}

/// That of one thread.
#[derive(Debug)]
pub(super) struct FrontOfThread<O, H> {
    door: Arc<Door>,
    opening: O,
    http: Rc<H>,
}

/// How a connection that was let in is opened.
pub(super) trait Opening: Clone + 'static {
    type Io: AsyncRead + AsyncWrite + Unpin + 'static;

    /// An error ends the connection.
    fn open(
        &self,
        stream: TcpStream,
        entry: &Entry,
    ) -> impl Future<Output = io::Result<(Self::Io, Protocol)>>;
}

/// HTTP as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plain;

/// HTTP over TLS, in the version that the client asks for.
#[derive(Clone)]
pub(super) struct Tls(TlsAcceptor);

impl Tls {
    pub(super) fn new(mut config: ServerConfig) -> Self {
        config.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
        Self(TlsAcceptor::from(Arc::new(config)))
    }
}

impl Opening for Plain {
    type Io = TcpStream;

    async fn open(&self, stream: TcpStream, _: &Entry) -> io::Result<(TcpStream, Protocol)> {
        Ok((stream, Protocol::Http1))
    }
}

impl Opening for Tls {
    type Io = TlsStream<TcpStream>;

    async fn open(
        &self,
        stream: TcpStream,
        entry: &Entry,
    ) -> io::Result<(TlsStream<TcpStream>, Protocol)> {
        let Some(_shaking) = entry.shake() else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let stream = timeout(HANDSHAKE, self.0.accept(stream)).await??;
        let agreed = stream.get_ref().1.alpn_protocol();
        let protocol = match agreed.is_some_and(|it| it == HTTP_2) {
            true => Protocol::Http2,
            false => Protocol::Http1,
        };
        Ok((stream, protocol))
    }
}

impl<O, H> ServiceFactory<TcpStream> for Front<O, H>
where
    O: Opening,
    H: ServiceFactory<
            (O::Io, Protocol, Option<SocketAddr>),
            Config = (),
            Response = (),
            InitError = (),
        >,
    H::Future: 'static,
    H::Service: 'static,
{
    type Response = ();
    type Error = ();
    type Config = ();
    type Service = FrontOfThread<O, H::Service>;
    type InitError = ();
    type Future = LocalBoxFuture<'static, Result<Self::Service, ()>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let (door, opening) = (Arc::clone(&self.door), self.opening.clone());
        let http = self.http.new_service(());
        Box::pin(async move {
            let http = Rc::new(http.await?);
            Ok(FrontOfThread {
                door,
                opening,
                http,
            })
        })
    }
}

impl<O, H> Service<TcpStream> for FrontOfThread<O, H>
where
    O: Opening,
    H: Service<(O::Io, Protocol, Option<SocketAddr>), Response = ()> + 'static,
{
    type Response = ();
    type Error = ();
    type Future = LocalBoxFuture<'static, Result<(), ()>>;

    /// Who comes is let in or closed, and waits for nobody.
    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&self, stream: TcpStream) -> Self::Future {
        let address = stream.peer_addr().ok();
        let entry = address.and_then(|address| self.door.enter(address.ip()));
        let (opening, http) = (self.opening.clone(), Rc::clone(&self.http));
        Box::pin(async move {
            let entry = entry.ok_or(())?;
            // Without it small answers would wait; a socket that is gone already is found out below.
            let _ = stream.set_nodelay(true);
            let opened = opening.open(stream, &entry).await.map_err(drop)?;
            let (io, protocol) = opened;
            poll_fn(|cx| http.poll_ready(cx)).await.map_err(drop)?;
            // The entry is given back with the end of the connection.
            let ended = http.call((io, protocol, address)).await.map_err(drop);
            drop(entry);
            ended
        })
    }
}

/// Three round trips of a bad link: what is slower is an attack before it is a link.
const HANDSHAKE: Duration = Duration::from_secs(3);
const HTTP_2: &[u8] = b"h2";
