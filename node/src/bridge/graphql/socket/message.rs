//! Messages of the protocol `graphql-transport-ws`, and the codes by which its connections are closed. JSON text.

use async_graphql::ServerError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bridge::graphql::engine::Answer;
use crate::bridge::graphql::request::Parameters;

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum FromClient {
    ConnectionInit {
        #[serde(default)]
        payload: Option<Init>,
    },
    Ping {
        #[serde(default)]
        payload: Option<Value>,
    },
    Pong {},
    Subscribe {
        id: String,
        payload: Parameters,
    },
    Complete {
        id: String,
    },
}

/// Who it is.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Init {
    /// `Bearer` and a token.
    pub(super) authorization: Option<String>,
    pub(super) tenant: Option<String>,
}

/// What it is told.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ToClient<'a> {
    ConnectionAck,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Value>,
    },
    Next {
        id: &'a str,
        payload: &'a Answer,
    },
    /// The operation was not executed.
    Error {
        id: &'a str,
        payload: &'a [ServerError],
    },
    Complete {
        id: &'a str,
    },
}

/// Why a connection is closed, as the protocol numbers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Close {
    /// A message that is none.
    BadMessage(String),
    /// An operation before the acknowledgement.
    NotAcknowledged,
    /// Nobody with these credentials.
    Forbidden(String),
    InitLate,
    InitTwice,
    /// An operation of this id is under way.
    IdInUse(String),
    /// Not now: as many are served as may be, or what its caller may has changed.
    Busy(String),
    /// The node stops; another serves.
    GoingAway,
}

impl Close {
    pub(super) const fn code(&self) -> u16 {
        match self {
            Self::BadMessage(_) => 4400,
            Self::NotAcknowledged => 4401,
            Self::Forbidden(_) => 4403,
            Self::InitLate => 4408,
            Self::IdInUse(_) => 4409,
            Self::InitTwice => 4429,
            Self::Busy(_) => 1013,
            Self::GoingAway => 1001,
        }
    }

    /// As clients know it, and what is wrong; as long as a close frame has room for.
    pub(super) fn reason(&self) -> String {
        let mut reason = match self {
            Self::BadMessage(what) => format!("Invalid message: {what}"),
            Self::NotAcknowledged => "Unauthorized".to_owned(),
            Self::Forbidden(why) => format!("Forbidden: {why}"),
            Self::InitLate => "Connection initialisation timeout".to_owned(),
            Self::IdInUse(id) => format!("Subscriber for {id} already exists"),
            Self::InitTwice => "Too many initialisation requests".to_owned(),
            Self::Busy(why) => why.clone(),
            Self::GoingAway => "the node stops; connect again".to_owned(),
        };
        while reason.len() > REASON_BYTES_MAX {
            reason.pop();
        }
        reason
    }
}

/// RFC 6455: a control frame has at most 125 bytes, two of which are the code.
const REASON_BYTES_MAX: usize = 123;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_protocol_read_and_others_do_not() {
        for text in [
            r#"{"type":"connection_init"}"#,
            r#"{"type":"connection_init","payload":{"authorization":"Bearer x","more":1}}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"ping","payload":{"a":1}}"#,
            r#"{"type":"pong","payload":null}"#,
            r#"{"id":"1","type":"subscribe","payload":{"query":"{a}"}}"#,
            r#"{"type":"complete","id":"1"}"#,
        ] {
            let read = serde_json::from_str::<FromClient>(text);
            assert!(read.is_ok(), "{text}: {read:?}");
        }
        for text in [
            "",
            "null",
            r#"{"type":"start","id":"1","payload":{}}"#,
            r#"{"type":"subscribe","payload":{}}"#,
            r#"{"type":"subscribe","id":1,"payload":{}}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            r#"{"type":"connection_init","payload":"x"}"#,
        ] {
            assert!(serde_json::from_str::<FromClient>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reasons_fit_into_a_close_frame() {
        let close = Close::IdInUse("ü".repeat(128));
        assert!(close.reason().len() <= REASON_BYTES_MAX);
        assert_eq!(close.code(), 4409);
        assert_eq!(Close::NotAcknowledged.reason(), "Unauthorized");
    }
}
