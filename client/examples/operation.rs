//! Submits an operation, watches it to its end and reads its result.
//!
//! `SELVEDGE_SERVER=localhost:7400 SELVEDGE_CA=ca.pem SELVEDGE_TOKEN=… cargo run --example operation`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::env;
use std::error::Error;

use bytes::Bytes;
use selvedge_client::{Client, ListQuery, OperationType, Since, Submit};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::builder()
        .server(env::var("SELVEDGE_SERVER")?)
        .ca_file(env::var("SELVEDGE_CA")?)
        .token(env::var("SELVEDGE_TOKEN")?)
        .agent("example/operation")
        .connect()
        .await?;
    let session = client.session();

    // Accepted means durable: from here on it will be done, whatever happens to this program.
    let digest = Submit::new(OperationType::new("digest")?)
        .input(&json!({}))?
        .payload(Bytes::from_static(b"selvedge"));
    let accepted = session.submit(digest).await?;
    println!("{} is {}", accepted.id, accepted.status);

    let mut watch = session.watch(&accepted.id, Since::After(0)).await?;
    while let Some(event) = watch.next().await {
        let event = event?;
        println!("{} {} {}", event.seq, event.event_type, event.data);
    }
    let finished = session.operation(&accepted.id).await?;
    let result: Value = finished.result_as()?;
    println!("{} is {}: {result}", finished.id, finished.status);

    let page = session
        .list(&ListQuery {
            limit: Some(5),
            ..ListQuery::default()
        })
        .await?;
    println!("the latest: {} operations", page.items.len());
    client.close().await;
    Ok(())
}
