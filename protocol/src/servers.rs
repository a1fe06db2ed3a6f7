//! Servers of a cluster as texts: the list that a client is given (`host:port`, several separated by commas),
//! and the same list in a Welcome, which names the other nodes that serve clients, and in a Reply when they
//! have changed since.
//!
//! Both carry it in extension 3, UTF-8. Whoever reads it takes what is usable of it: it is a hint of
//! where else to go, and no connection is worth less without it. No bytes move here.

use bytes::Bytes;

use crate::frame::Extensions;
use crate::limits::{LABEL_BYTES_MAX, SERVERS_MAX};

/// The extension of a Welcome or Reply that names other nodes.
pub const EXTENSION: u16 = 3;

/// Why a text is no list of servers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is nothing between two commas, or nothing at all.
    #[error("an address is missing: give host:port, several separated by commas")]
    Empty,
    /// An address is longer than any name with its port.
    #[error("an address has {0} bytes, at most {LABEL_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// More servers than anybody tries.
    #[error("{0} servers are named, at most {SERVERS_MAX} are tried: name fewer")]
    TooMany(usize),
}

/// The servers that a text names, each once, in its order.
pub fn parse(text: &str) -> Result<Vec<String>, Error> {
    let mut servers: Vec<String> = Vec::new();
    for server in text.split(SEPARATOR).map(str::trim) {
        if server.is_empty() {
            return Err(Error::Empty);
        }
        if server.len() > LABEL_BYTES_MAX {
            return Err(Error::TooLong(server.len()));
        }
        if !servers.iter().any(|known| known == server) {
            servers.push(server.to_owned());
        }
    }
    match servers.len() <= SERVERS_MAX {
        true => Ok(servers),
        false => Err(Error::TooMany(servers.len())),
    }
}

/// Says where else clients are served, best first; what is past the bounds is left out.
pub fn announce(ext: &mut Extensions, servers: &[String]) {
    let named: Vec<&str> = servers
        .iter()
        .map(String::as_str)
        .filter(|server| is_usable(server))
        .take(SERVERS_MAX)
        .collect();
    if !named.is_empty() {
        let list = Bytes::from(named.join(SEPARATOR));
        ext.push((EXTENSION, list));
    }
}

/// Where else clients are served, best first. What is not usable, or too much, is passed over.
pub fn named(ext: &Extensions) -> Vec<String> {
    let value = ext.iter().find(|(number, _)| *number == EXTENSION);
    let Some(Ok(text)) = value.map(|(_, value)| std::str::from_utf8(value)) else {
        return Vec::new();
    };
    text.split(SEPARATOR)
        .filter(|server| is_usable(server))
        .take(SERVERS_MAX)
        .map(str::to_owned)
        .collect()
}

/// Whether it has the form `host:port`.
fn is_usable(server: &str) -> bool {
    let is_short = server.len() <= LABEL_BYTES_MAX && !server.contains([',', ' ']);
    is_short
        && server
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

const SEPARATOR: &str = ",";

#[cfg(test)]
mod tests {
    use super::*;

    fn others() -> Extensions {
        vec![(9, Bytes::from_static(b"kept"))]
    }

    fn many(count: usize) -> Vec<String> {
        (0..count).map(|nth| format!("node-{nth}:7400")).collect()
    }

    #[test]
    fn a_list_is_read_in_its_order_each_server_once() {
        let read = |text| parse(text).unwrap();
        assert_eq!(read("a:1"), ["a:1"]);
        assert_eq!(read("a:1, b:2,a:1,[::1]:3"), ["a:1", "b:2", "[::1]:3"]);
        assert_eq!(parse(""), Err(Error::Empty));
        assert_eq!(parse("a:1,,b:2"), Err(Error::Empty));
        assert_eq!(parse("a:1,"), Err(Error::Empty));
        assert_eq!(parse(&"a".repeat(261)), Err(Error::TooLong(261)));
        let most = many(SERVERS_MAX);
        assert_eq!(parse(&most.join(",")), Ok(most));
        let over = many(SERVERS_MAX + 1).join(",");
        assert_eq!(parse(&over), Err(Error::TooMany(SERVERS_MAX + 1)));
    }

    #[test]
    fn what_is_announced_is_read_within_bounds() {
        assert_eq!(named(&others()), [""; 0]);
        let mut alone = others();
        announce(&mut alone, &[]);
        assert_eq!(alone, others(), "nothing is announced where nobody is");
        for count in [1, 3, SERVERS_MAX, SERVERS_MAX + 5] {
            let mut ext = others();
            announce(&mut ext, &many(count));
            assert_eq!(named(&ext), many(count.min(SERVERS_MAX)));
        }
        let mut odd = others();
        announce(&mut odd, &["a,b:1", "c", "d:4"].map(str::to_owned));
        assert_eq!(named(&odd), ["d:4"]);
    }

    #[test]
    fn what_is_not_usable_is_passed_over() {
        let of = |value: Vec<u8>| {
            let mut ext = others();
            ext.push((EXTENSION, value.into()));
            named(&ext)
        };
        assert_eq!(of(b"\xff\xfe".to_vec()), [""; 0]);
        assert_eq!(of(Vec::new()), [""; 0]);
        let odd = b",,a:1,b,:2,c:x,d:70000,[::1]:4";
        assert_eq!(of(odd.to_vec()), ["a:1", "[::1]:4"]);
        let long = format!("{}:1,b:2", "a".repeat(300));
        assert_eq!(of(long.into_bytes()), ["b:2"]);
        assert_eq!(of(many(100).join(",").into_bytes()).len(), SERVERS_MAX);
    }
}
