//! The raw end of an HTTP/3 connection, which asks for a session by WebTransport and speaks frames on it, or does
//! whatever else a test wants.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use selvedge_node::edge::EdgeConfig;
use selvedge_node::session::SessionConfig;
use selvedge_protocol::frame::{ClientFrame, Welcome};
use url::Url;
use web_transport_proto::http::HeaderValue;
use web_transport_proto::{
    Capsule, ConnectError, ConnectRequest, ConnectResponse, Frame, Http3CapsuleReader, Settings,
    StreamUni, VarInt,
};

use crate::edge::peer::{Node, Peer, Reader, hello};

/// A connection that speaks HTTP/3, and has no session yet.
pub(crate) struct Http {
    pub(crate) endpoint: Endpoint,
    pub(crate) connection: Connection,
    /// The node's control stream, after its settings.
    _theirs: RecvStream,
    /// The one of this end, after its settings.
    pub(crate) control: SendStream,
}

/// A session on such a connection.
pub(crate) struct Browser {
    /// The control stream of frames, as on QUIC.
    pub(crate) peer: Peer,
    pub(crate) session: u64,
    /// The stream on which the session was asked for.
    pub(crate) request: SendStream,
    pub(crate) said: RecvStream,
    pub(crate) control: SendStream,
}

/// Appends numbers as QUIC writes them.
pub(crate) fn numbers(numbers: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in numbers {
        VarInt::from_u64(*number).unwrap().encode(&mut bytes);
    }
    bytes
}

/// A frame of HTTP/3.
pub(crate) fn http_frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = numbers(&[kind, payload.len() as u64]);
    bytes.put_slice(payload);
    bytes
}

/// The headers of a request with these fields, none of them compressed.
pub(crate) fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut section = vec![0, 0];
    for (name, value) in fields {
        prefixed(&mut section, 0b0010_0000, 7, name.len());
        section.put_slice(name.as_bytes());
        prefixed(&mut section, 0, 127, value.len());
        section.put_slice(value.as_bytes());
    }
    http_frame(1, &section)
}

/// An integer of RFC 7541, 5.1, whose first byte has `most` as its largest value.
fn prefixed(out: &mut Vec<u8>, first: u8, most: u8, value: usize) {
    let Some(mut rest) = value.checked_sub(usize::from(most)) else {
        return out.push(first | u8::try_from(value).unwrap());
    };
    out.push(first | most);
    while rest >= 128 {
        out.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    out.push(u8::try_from(rest).unwrap());
}

impl Http {
    /// With nothing said.
    pub(crate) async fn silent(node: &Node) -> (Endpoint, Connection) {
        let endpoint = node.endpoint_speaking(b"h3");
        let connecting = endpoint.connect(node.address, "localhost").unwrap();
        let connection = connecting.await.unwrap();
        (endpoint, connection)
    }

    /// With the settings of both ends.
    pub(crate) async fn connect(node: &Node) -> Self {
        let (endpoint, connection) = Self::silent(node).await;
        let mut settings = Settings::default();
        settings.enable_webtransport(1);
        let mut bytes = Vec::new();
        settings.encode(&mut bytes);
        let mut control = connection.open_uni().await.unwrap();
        control.write_all(&bytes).await.unwrap();
        let mut theirs = connection.accept_uni().await.unwrap();
        let settings = Settings::read(&mut theirs).await.unwrap();
        assert_eq!(settings.supports_webtransport(), 1);
        Self {
            endpoint,
            connection,
            _theirs: theirs,
            control,
        }
    }

    /// Sends bytes as a request.
    pub(crate) async fn request(&self, bytes: &[u8]) -> (SendStream, RecvStream) {
        let (mut send, recv) = self.connection.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        (send, recv)
    }

    /// The status and the text that answer a request which is no session.
    pub(crate) async fn refused(&self, bytes: &[u8]) -> (u16, String) {
        let (_send, mut recv) = self.request(bytes).await;
        let status = match ConnectResponse::read(&mut recv).await {
            Err(ConnectError::WrongStatus(Some(status))) => status.as_u16(),
            other => panic!(
                "not refused: {other:?}, {:?}",
                self.connection.close_reason()
            ),
        };
        let mut body = Bytes::from(recv.read_to_end(1_000).await.unwrap());
        assert_eq!(Frame::decode(&mut body).unwrap(), Frame::DATA);
        let length = VarInt::decode(&mut body).unwrap();
        assert_eq!(length.into_inner(), body.remaining() as u64);
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Asks for a session as a browser does, and opens its control stream.
    pub(crate) async fn ask(self, origin: Option<&str>) -> Browser {
        let (request, mut said) = self.request(&ask("/session", origin)).await;
        ConnectResponse::read(&mut said).await.unwrap();
        let session = quinn::VarInt::from(request.id()).into_inner();
        let Self {
            endpoint,
            connection,
            control,
            ..
        } = self;
        let (send, recv) = open_bi(&connection, session).await;
        Browser {
            peer: Peer {
                endpoint,
                connection,
                send,
                reader: Reader::new(recv),
            },
            session,
            request,
            said,
            control,
        }
    }
}

/// The bytes that ask for a session at a path, for a page of an origin.
pub(crate) fn ask(path: &str, origin: Option<&str>) -> Vec<u8> {
    let mut request = ConnectRequest::new(Url::parse("https://localhost:7400").unwrap());
    request.url.set_path(path);
    if let Some(origin) = origin {
        let value = HeaderValue::from_str(origin).unwrap();
        request.headers.insert("origin", value);
    }
    let mut bytes = Vec::new();
    request.encode(&mut bytes).unwrap();
    bytes
}

/// A stream of a session.
pub(crate) async fn open_bi(connection: &Connection, session: u64) -> (SendStream, RecvStream) {
    let (mut send, recv) = connection.open_bi().await.unwrap();
    let head = numbers(&[Frame::WEBTRANSPORT.0.into_inner(), session]);
    send.write_all(&head).await.unwrap();
    (send, recv)
}

impl Browser {
    /// Another stream of the session.
    pub(crate) async fn open_bi(&self) -> (SendStream, RecvStream) {
        open_bi(&self.peer.connection, self.session).await
    }

    /// A stream that the node opens in the session.
    pub(crate) async fn accept_uni(&self) -> Reader {
        let mut recv = self.peer.connection.accept_uni().await.unwrap();
        head(&mut recv, self.session).await;
        Reader::new(recv)
    }

    pub(crate) fn send_datagram(&self, frame: &[u8]) {
        send_datagram(&self.peer.connection, self.session, frame);
    }

    pub(crate) async fn read_datagram(&self) -> BytesMut {
        let mut datagram = self.peer.connection.read_datagram().await.unwrap();
        of_session(&mut datagram, self.session);
        BytesMut::from(datagram)
    }

    /// The code and the reason with which the node ends the session; then the connection has ended in order.
    pub(crate) async fn closed(&mut self) -> (u32, String) {
        closed(&self.peer.connection, &mut self.said).await
    }
}

/// Reads what a stream of the node begins with: that it is of this session.
pub(crate) async fn head(stream: &mut RecvStream, session: u64) {
    let kind = VarInt::read(stream).await.unwrap();
    assert_eq!(StreamUni(kind), StreamUni::WEBTRANSPORT);
    let of = VarInt::read(stream).await.unwrap();
    assert_eq!(of.into_inner(), session);
}

pub(crate) fn send_datagram(connection: &Connection, session: u64, frame: &[u8]) {
    let mut datagram = numbers(&[session / 4]);
    datagram.put_slice(frame);
    connection.send_datagram(datagram.into()).unwrap();
}

/// Takes off what a datagram begins with: that it is of this session.
pub(crate) fn of_session(datagram: &mut Bytes, session: u64) {
    let of = VarInt::decode(datagram).unwrap();
    assert_eq!(of.into_inner(), session / 4);
}

/// The same, read off the stream on which the session was asked for.
pub(crate) async fn closed(connection: &Connection, said: &mut RecvStream) -> (u32, String) {
    let mut capsules = Http3CapsuleReader::new(said);
    let close = match capsules.read().await.unwrap() {
        Some(Capsule::CloseWebTransportSession { code, reason }) => (code, reason),
        other => panic!("not closed: {other:?}"),
    };
    assert_eq!(capsules.read().await.unwrap(), None);
    assert_eq!(ended(connection).await.0, 0x100);
    close
}

/// The code and the reason with which the node closes a connection.
pub(crate) async fn ended(connection: &Connection) -> (u64, String) {
    match connection.closed().await {
        ConnectionError::ApplicationClosed(close) => (
            close.error_code.into_inner(),
            String::from_utf8(close.reason.to_vec()).unwrap(),
        ),
        other => panic!("not closed by the node: {other:?}"),
    }
}

impl Node {
    pub(crate) async fn with_edge(edge: EdgeConfig) -> Self {
        Self::with(edge, SessionConfig::new("test")).await
    }

    /// A session by WebTransport with an open control stream and nothing said.
    pub(crate) async fn browser(&self) -> Browser {
        Http::connect(self).await.ask(None).await
    }

    /// One with a session of its own.
    pub(crate) async fn browser_session(&self) -> (Browser, Welcome) {
        let mut browser = self.browser().await;
        let hello = ClientFrame::Hello(hello(None));
        browser.peer.send(&[hello]).await;
        let welcome = browser.peer.welcome().await;
        (browser, welcome)
    }
}
