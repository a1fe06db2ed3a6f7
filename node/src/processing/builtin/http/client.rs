//! Makes a call: to an address that was checked, over a connection of its own, request by request until
//! no redirect follows.
//!
//! One connection a request: a durable call costs commits, which a handshake does not add much to. No
//! proxy, no pool, no look-up behind its back.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{HOST, LOCATION};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use selvedge_protocol::limits::{
    HTTP_ADDRESSES_MAX, HTTP_CONNECT_MS, HTTP_EXCERPT_BYTES_MAX, HTTP_EXCERPT_MS,
    HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use url::{Host, Position, Url};

use crate::processing::breaker::Verdict;
use crate::processing::builtin::http::HttpConfig;
use crate::processing::builtin::http::address::{Allowed, may_connect};
use crate::processing::builtin::http::answer::Answer;
use crate::processing::builtin::http::breakers::Breakers;
use crate::processing::builtin::http::call::{Call, Request};
use crate::processing::builtin::http::error::CallError;
use crate::processing::builtin::http::redirect::{self, is_redirect};
use crate::processing::builtin::http::resolve::Resolve;
use crate::processing::builtin::http::retry_after::RetryAfter;
use crate::processing::builtin::http::tls::Tls;

/// Makes calls.
pub(super) struct Client {
    allow: Vec<Allowed>,
    resolver: Arc<dyn Resolve>,
    tls: Tls,
    breakers: Breakers,
}

/// What a request came to.
enum Step {
    Answer(Answer),
    Redirect(Request),
}

impl Client {
    pub(super) fn new(config: HttpConfig, resolver: Arc<dyn Resolve>) -> Self {
        Self {
            allow: config.allow,
            resolver,
            tls: Tls::new(config.roots),
            breakers: Breakers::new(config.breaker),
        }
    }

    /// Makes a call, redirects and all.
    pub(super) async fn call(&self, call: &Call) -> Result<Answer, CallError> {
        let deadline = Instant::now() + call.timeout;
        let mut request = call.request.clone();
        for _ in 0..=call.redirects_max {
            match Box::pin(self.request(call, &request, deadline)).await? {
                Step::Answer(answer) => return Ok(answer),
                Step::Redirect(next) => request = next,
            }
        }
        Err(CallError::Redirects {
            redirects_max: call.redirects_max,
        })
    }

    /// Makes one request, if the breaker of its host lets it.
    async fn request(
        &self,
        call: &Call,
        request: &Request,
        deadline: Instant,
    ) -> Result<Step, CallError> {
        let pass = self
            .breakers
            .admit(authority(&request.url))
            .map_err(|wait| {
                let host = host(&request.url);
                CallError::Open { host, wait }
            })?;
        let step = timeout_at(deadline, self.exchange(call, request)).await;
        let step = step.unwrap_or_else(|_| {
            Err(CallError::Timeout {
                host: host(&request.url),
                timeout: call.timeout,
            })
        });
        pass.settle(match &step {
            Ok(_) => Verdict::Success,
            Err(error) => error.verdict(),
        });
        step
    }

    async fn exchange(&self, call: &Call, request: &Request) -> Result<Step, CallError> {
        let failed = |source| CallError::Connect {
            host: host(&request.url),
            source,
        };
        let addresses = self.addresses(&request.url).await?;
        let stream = connect(&request.url, &addresses).await.map_err(failed)?;
        if request.url.scheme() == "https" {
            let stream = self.tls.connect(&request.url, stream).await;
            converse(call, request, stream.map_err(failed)?).await
        } else {
            converse(call, request, stream).await
        }
    }

    /// The addresses of a host that may be called.
    async fn addresses(&self, url: &Url) -> Result<Vec<IpAddr>, CallError> {
        let host = host(url);
        let found = match url.host() {
            Some(Host::Ipv4(address)) => vec![address.into()],
            Some(Host::Ipv6(address)) => vec![address.into()],
            Some(Host::Domain(name)) => match self.resolver.resolve(name).await {
                Ok(found) if found.is_empty() => {
                    let source = io::Error::other("its name leads to no address");
                    return Err(CallError::Connect { host, source });
                }
                Ok(found) => found,
                Err(source) => return Err(CallError::Connect { host, source }),
            },
            None => Vec::new(),
        };
        let mut addresses = found;
        addresses.retain(|address| may_connect(&self.allow, &host, *address));
        addresses.truncate(HTTP_ADDRESSES_MAX);
        match addresses.is_empty() {
            true => Err(CallError::Refused { host }),
            false => Ok(addresses),
        }
    }
}

/// Connects to the first of these addresses that answers.
async fn connect(url: &Url, addresses: &[IpAddr]) -> io::Result<TcpStream> {
    let port = url.port_or_known_default().unwrap_or_default();
    let limit = Duration::from_millis(HTTP_CONNECT_MS);
    let mut failed = io::Error::other("it has no address");
    for address in addresses {
        match timeout(limit, TcpStream::connect(SocketAddr::new(*address, port))).await {
            Ok(Ok(stream)) => {
                // Requests are written whole: waiting for more gains nothing.
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}

/// One request and its response over a connection, which ends with them.
async fn converse(
    call: &Call,
    request: &Request,
    stream: impl AsyncRead + AsyncWrite + Unpin,
) -> Result<Step, CallError> {
    let broken = |source| CallError::Broken {
        host: host(&request.url),
        source,
    };
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(HTTP_HEADERS_MAX)
        .max_buf_size(HTTP_HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let message = message(request).map_err(CallError::Url)?;
    let mut exchange = pin!(async {
        let response = sender.send_request(message).await.map_err(broken)?;
        judge(call, request, response).await
    });
    tokio::select! {
        biased;
        step = &mut exchange => step,
        // It may end before all that it has brought is read; what went wrong is told to the exchange.
        _ = connection => exchange.await,
    }
}

fn message(request: &Request) -> Result<hyper::Request<Full<Bytes>>, hyper::http::Error> {
    let mut message = hyper::Request::builder()
        .method(request.method.clone())
        .uri(&request.url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, authority(&request.url))
        .body(Full::new(request.body.clone()))?;
    message.headers_mut().extend(request.headers.clone());
    Ok(message)
}

/// What a response means for its call.
async fn judge(
    call: &Call,
    request: &Request,
    response: Response<Incoming>,
) -> Result<Step, CallError> {
    let status = response.status();
    if call.is_expected(status) {
        let headers = response.headers().clone();
        let body = whole(call, request, response.into_body()).await?;
        return Ok(Step::Answer(Answer::new(
            status,
            &headers,
            body,
            &request.url,
        )));
    }
    if is_redirect(status)
        && call.redirects_max > 0
        && let Some(location) = response.headers().get(LOCATION)
    {
        let next = redirect::next(request, status, location.as_bytes())?;
        return Ok(Step::Redirect(next));
    }
    Err(refusal(request, status, response).await)
}

/// The body of a response, if it keeps to its bound.
async fn whole(call: &Call, request: &Request, mut body: Incoming) -> Result<Bytes, CallError> {
    let bytes_max = call.response_bytes_max;
    let too_large = || CallError::TooLarge {
        host: host(&request.url),
        bytes_max,
    };
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| CallError::Broken {
            host: host(&request.url),
            source,
        })?;
        let Ok(data) = frame.into_data() else {
            continue; // trailers
        };
        if read.len() + data.len() > bytes_max {
            return Err(too_large());
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

/// A status that was not asked for, with the beginning of what the host says to it.
async fn refusal(request: &Request, status: StatusCode, response: Response<Incoming>) -> CallError {
    let retry_after = RetryAfter::read(response.headers());
    let mut body = response.into_body();
    let mut read = Vec::new();
    let reading = async {
        while read.len() < HTTP_EXCERPT_BYTES_MAX
            && let Some(Ok(frame)) = body.frame().await
        {
            read.extend(frame.data_ref().into_iter().flatten());
        }
    };
    // As much as has come by then.
    let _ = timeout(Duration::from_millis(HTTP_EXCERPT_MS), reading).await;
    read.truncate(HTTP_EXCERPT_BYTES_MAX);
    let excerpt = String::from_utf8_lossy(&read);
    CallError::Status {
        host: host(&request.url),
        status,
        retry_after,
        excerpt: excerpt.trim().replace(char::is_control, " "),
    }
}

/// The host of a URL, for people and for the list of what is allowed.
fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// Host and port of a URL; the port only if it is not its scheme's.
fn authority(url: &Url) -> String {
    url[Position::BeforeHost..Position::AfterPort].to_owned()
}
