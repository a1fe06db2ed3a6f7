//! Executes operations of the type `greet`, whose code no node has, until it has done as many as asked for.
//!
//! `SELVEDGE_SERVER=localhost:7400 SELVEDGE_CA=ca.pem SELVEDGE_TOKEN=… cargo run --example worker -- 3`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::env;
use std::error::Error;
use std::sync::Arc;

use selvedge_client::{Client, OperationType, Submit, Task, WorkError, Worker};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let count: u32 = env::args().nth(1).as_deref().unwrap_or("1").parse()?;
    let client = Client::builder()
        .server(env::var("SELVEDGE_SERVER")?)
        .ca_file(env::var("SELVEDGE_CA")?)
        .token(env::var("SELVEDGE_TOKEN")?)
        .agent("example/worker")
        .connect()
        .await?;

    let greeted = Arc::new(Semaphore::new(0));
    let counted = Arc::clone(&greeted);
    let worker = Worker::builder(&client)
        .operation_type("greet", move |task: Task| {
            let counted = Arc::clone(&counted);
            async move {
                let input: Value = task.input()?;
                let Some(name) = input["name"].as_str() else {
                    return Err(WorkError::permanent("the input has no name"));
                };
                task.progress(&json!({ "greeting": name }));
                counted.add_permits(1);
                Ok(json!({ "text": format!("Hello, {name}!") }))
            }
        })
        .capacity(4)
        .build()?;
    // Whoever submits needs not be the worker; here one program is both.
    let session = client.session().clone();
    let submitted = tokio::spawn(async move {
        let mut texts = Vec::new();
        for number in 1..=count {
            let greet = Submit::new(OperationType::new("greet")?)
                .input(&json!({ "name": format!("number {number}") }))?;
            let accepted = session.submit(greet).await?;
            let done = session.wait(&accepted.id).await?;
            texts.push(done.result_as::<Value>()?["text"].to_string());
        }
        Ok::<_, Box<dyn Error + Send + Sync>>(texts)
    });
    // Ends when the count is reached and what it is at is finished.
    let enough = async { drop(greeted.acquire_many(count).await) };
    worker.run_until(enough).await?;
    let texts = submitted.await?.map_err(|error| error.to_string())?;
    println!("{}", texts.join("\n"));
    client.close().await;
    Ok(())
}
