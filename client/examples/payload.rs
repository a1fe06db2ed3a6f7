//! Has a file digested, whatever its size. The file's name is the operation's id, so that a second run
//! finds the result of the first.
//!
//! `SELVEDGE_SERVER=localhost:7400 SELVEDGE_CA=ca.pem SELVEDGE_TOKEN=… cargo run --example payload -- FILE`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::env;
use std::error::Error;
use std::path::PathBuf;

use selvedge_client::{Client, OperationId, OperationType, Submit};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Digest {
    sha256: String,
    bytes: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = PathBuf::from(env::args().nth(1).ok_or("usage: payload FILE")?);
    let client = Client::builder()
        .server(env::var("SELVEDGE_SERVER")?)
        .ca_file(env::var("SELVEDGE_CA")?)
        .token(env::var("SELVEDGE_TOKEN")?)
        .agent("example/payload")
        .connect()
        .await?;
    let session = client.session();

    let name = path
        .file_name()
        .ok_or("the path names no file")?
        .to_string_lossy();
    let id = OperationId::new(format!("file:{name}"))?;
    // Up to 8 MiB are stored with the operation; a larger file is streamed to its handler, and read
    // again from the start should the connection break.
    let submit = Submit::new(OperationType::new("digest")?)
        .id(id.clone())
        .input(&json!({}))?
        .payload(path.clone());
    session.submit(submit).await?;
    let finished = session.wait(&id).await?;
    if let Some(error) = &finished.error {
        return Err(error.message.clone().into());
    }
    let digest: Digest = finished.result_as()?;
    println!(
        "{}  {} ({} bytes)",
        digest.sha256,
        path.display(),
        digest.bytes
    );
    client.close().await;
    Ok(())
}
