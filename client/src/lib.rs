//! The native QUIC client of Selvedge: commands and queries to durable actors, events with resume,
//! operations, and workers that execute them.
//!
//! A [`Client`] holds one [`Session`]. The session outlives its connections: when one breaks, the
//! client makes another, goes on where it was, and sends again what was not answered; a command takes
//! effect at most once all the same.
//!
//! ```no_run
//! use selvedge_client::{Client, Since, actor};
//! use serde_json::json;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder()
//!     .server("localhost:7400")
//!     .ca_file("selvedge-data/ca.pem")
//!     .token("a token of `selvedge dev`")
//!     .connect()
//!     .await?;
//! let session = client.session();
//!
//! session.command(actor("counter/visits")?, "add", json!({ "by": 1 })).send().await?;
//! let count: serde_json::Value = session.query(actor("counter/visits")?, "get", ()).json().await?;
//! println!("{count}");
//!
//! let mut events = session.subscribe(actor("counter/visits")?, Since::After(0)).await?;
//! if let Some(event) = events.next().await {
//!     println!("{:?}", event?);
//! }
//! client.close().await;
//! # Ok(())
//! # }
//! ```

mod call;
mod client;
mod connector;
mod driver;
mod error;
mod events;
mod link;
pub mod operation;
mod payload;
mod race;
mod random;
mod servers;
mod session;
mod silence;
mod stream;
mod submit;
mod task;
mod token;
mod transport;
mod turn;
mod work;
mod worker;

pub use selvedge_protocol::frame::{Since, Success};
pub use selvedge_protocol::{
    ActorAddress, CommandId, ErrorCode, Failure, IdError, OperationId, OperationType, SessionId,
    Target, Tenant,
};

pub use crate::call::{Answer, Body, CommandCall, QueryCall, actor};
pub use crate::client::{Client, ClientBuilder};
pub use crate::error::{CallError, ConnectError};
pub use crate::events::{EventItem, Events};
pub use crate::operation::{
    ListQuery, Operation, OperationCount, OperationError, OperationEvent, OperationPage,
    OperationStatus, OperationStep, StepStatus, SubmitBody, Why, WhyOwner, WhyWait,
};
pub use crate::payload::{ByteStream, OnceStream, PayloadSource};
pub use crate::session::Session;
pub use crate::submit::{Submit, Watch};
pub use crate::task::{Task, TaskPayload, WorkError};
pub use crate::turn::end_of_line;
pub use crate::worker::{Worker, WorkerBuilder};
pub use selvedge_protocol::time::format as rfc3339;
