//! Says something in a room and listens until it is heard, with everything that was said before.
//!
//! `SELVEDGE_SERVER=localhost:7400 SELVEDGE_CA=ca.pem SELVEDGE_TOKEN=… cargo run --example room -- hello`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::env;
use std::error::Error;

use selvedge_client::{Client, EventItem, Since, actor};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::builder()
        .server(env::var("SELVEDGE_SERVER")?)
        .ca_file(env::var("SELVEDGE_CA")?)
        .token(env::var("SELVEDGE_TOKEN")?)
        .agent("example/room")
        .connect()
        .await?;
    let session = client.session();
    let room = actor("room/example")?;
    let text = env::args().nth(1).unwrap_or_else(|| "hello".to_owned());

    // The stream goes on by itself when the connection breaks: no event is missed, none comes twice.
    let mut events = session.subscribe(room.clone(), Since::After(0)).await?;
    let said = session
        .command(room, "say", json!({ "text": text }))
        .send()
        .await?;

    while let Some(item) = events.next().await {
        match item? {
            EventItem::Event {
                seq, kind, data, ..
            } => {
                println!("{seq} {kind} {}", String::from_utf8_lossy(&data));
                if seq >= said.seq {
                    break;
                }
            }
            // A long history is not kept whole: this is the state that it led to.
            EventItem::Gap { seq, snapshot, .. } => {
                println!("up to {seq}: {}", String::from_utf8_lossy(&snapshot));
                if seq >= said.seq {
                    break;
                }
            }
            EventItem::Ephemeral { name, .. } => println!("({name})"),
        }
    }
    client.close().await;
    Ok(())
}
