//! HTTP on connections of any sort: what actix-web's own server puts around an application. The server makes one for each
//! of its threads, behind the front.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use actix_http::body::MessageBody;
use actix_http::{HttpService, Protocol, Request, Response};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, map_config};
use actix_web::dev::{AppConfig, Service, ServiceFactory};
use tokio::io::{AsyncRead, AsyncWrite};

/// What holds for all connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct HttpConfig {
    pub(super) address: SocketAddr,
    pub(super) head: Duration,
    pub(super) keep_alive: Duration,
}

impl HttpConfig {
    /// The service of one thread, made as actix-web's own server makes it. Handlers that ask it for the host of a request
    /// are told a wrong one: ours ask the request.
    pub(super) fn serves<T, A, F, B, S, N>(
        self,
        application: A,
        stops: S,
    ) -> impl ServiceFactory<
        (T, Protocol, Option<SocketAddr>),
        Config = (),
        Response = (),
        InitError = (),
        Future: 'static,
        Service: 'static,
    >
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
        A: IntoServiceFactory<F, Request>,
        F: ServiceFactory<Request, Config = AppConfig> + 'static,
        F::Error: Into<actix_web::Error> + 'static,
        F::InitError: fmt::Debug,
        F::Response: Into<Response<B>> + 'static,
        F::Service: 'static,
        <F::Service as Service<Request>>::Future: 'static,
        B: MessageBody + 'static,
        S: Fn() -> N + 'static,
        N: Future<Output = ()> + 'static,
    {
        let application = application
            .into_factory()
            .map_err(|error| error.into().error_response());
        HttpService::build()
            .graceful_shutdown_signal(stops)
            .keep_alive(self.keep_alive)
            .client_request_timeout(self.head)
            .client_disconnect_timeout(DISCONNECT)
            .local_addr(self.address)
            .finish(map_config(application, |()| AppConfig::default()))
    }
}

/// How long a connection that this end closes waits for the other's end of it.
const DISCONNECT: Duration = Duration::from_secs(1);
