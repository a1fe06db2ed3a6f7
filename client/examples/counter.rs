//! Adds to a counter and reads it: one command alone, many at once, one that is recognised by its id.
//!
//! `SELVEDGE_SERVER=localhost:7400 SELVEDGE_CA=ca.pem SELVEDGE_TOKEN=… cargo run --example counter`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::env;
use std::error::Error;

use selvedge_client::{Client, CommandId, actor};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::builder()
        .server(env::var("SELVEDGE_SERVER")?)
        .ca_file(env::var("SELVEDGE_CA")?)
        .token(env::var("SELVEDGE_TOKEN")?)
        .agent("example/counter")
        .connect()
        .await?;
    let session = client.session();
    let counter = actor("counter/example")?;

    let one = json!({ "by": 1 });
    let done = session
        .command(counter.clone(), "add", one.clone())
        .send()
        .await?;
    println!("added one, event {} of the counter", done.seq);

    // A hundred on their way at once, in the order in which they were started.
    let mut answers = Vec::new();
    for _ in 0..100 {
        answers.push(
            session
                .command(counter.clone(), "add", one.clone())
                .start()
                .await?,
        );
    }
    for answer in answers {
        answer.await?;
    }

    // However often this program runs, this command takes effect once.
    let id = CommandId::from_text("the thousand of the example");
    let thousand = session
        .command(counter.clone(), "add", json!({ "by": 1000 }))
        .id(id);
    thousand.send().await?;

    let count: Value = session.query(counter, "get", ()).json().await?;
    println!("the counter is at {count}");
    client.close().await;
    Ok(())
}
