//! From a host's name to its addresses. The client asks once for each request, checks what it gets, and
//! connects to that.

use std::io;
use std::net::IpAddr;

use futures::future::{BoxFuture, FutureExt};

/// Looks names up.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a host, in the order in which they are to be tried.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// Looks names up as every other program of the system does.
#[derive(Debug, Clone, Copy)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        async move {
            // The port is of no matter for a look-up.
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        }
        .boxed()
    }
}
