//! Measures the bridge of a node against the bare libraries that it is built on, in the same run: queries over
//! WebSocket against an echo, a read over REST against a handler that has the bytes, events to many against writes of
//! the same bytes, and the memory of idle connections.
//!
//! `cargo build --release && cargo run --release -p selvedge-benches --example bridge_figures`, with one of `echo`, `rest`,
//! `fan-out` and `idle` behind `--` for one of them. Node, bare server and this client are processes of one
//! machine; memory is that of the kernel (`/proc`), so it runs on Linux alone. `idle` needs `ulimit -n 20000`.

#![expect(clippy::print_stdout, reason = "figures are for people to read")]

mod bare;
mod rest;
mod socket;

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use selvedge_protocol::codec;
use selvedge_protocol::frame::{ClientFrame, Consistency, Hello, Query, Since, Subscribe};
use selvedge_protocol::{ActorAddress, Target};
use serde_json::{Value, json};
use socket::{BINARY, Socket, TEXT, frame};
use tokio::time::{Instant, sleep};

pub(crate) type Failed = Box<dyn Error + Send + Sync>;

const IN_FLIGHT: u64 = 128;
const TIME: Duration = Duration::from_secs(5);
const ROUNDS: usize = 3;
/// Connections that hear an event.
const CROWD: usize = 5_000;
/// Events that each of them hears.
const EVENTS: u64 = 20;
/// Connections that do nothing.
const IDLE: usize = 10_000;
/// Of the bare server, as the node has.
const THREADS: usize = 2;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [what, state] = &arguments[..]
        && what == "bare"
    {
        return bare::serve(THREADS, state.clone());
    }
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => {
                echo().await?;
                rest::reads().await?;
                fan_out().await?;
                idle().await
            }
            ["echo"] => echo().await,
            ["rest"] => rest::reads().await,
            ["fan-out"] => fan_out().await,
            ["idle"] => idle().await,
            _ => Err("give one of echo, rest, fan-out and idle, or nothing".into()),
        }
    })
}

/// How the frames of a session are written.
#[derive(Debug, Clone, Copy)]
enum Form {
    Json,
    Binary,
}

impl Form {
    const fn protocol(self) -> &'static str {
        match self {
            Self::Json => "selvedge.v1.json",
            Self::Binary => "selvedge.v1.bin",
        }
    }

    /// A query of a counter.
    fn query(self, number: u64, out: &mut Vec<u8>) -> Result<(), Failed> {
        match self {
            Self::Json => {
                let text = format!(
                    r#"{{"query":{{"number":{number},"target":{{"actor":{{"kind":"counter","key":"figures"}}}},"name":"get","body":{{}}}}}}"#
                );
                frame(out, TEXT, text.as_bytes());
            }
            Self::Binary => {
                let query = ClientFrame::Query(Query {
                    number,
                    target: counter()?,
                    name: "get".to_owned(),
                    body: Bytes::from_static(b"{}"),
                    consistency: Consistency::Linearizable,
                    deadline_ms: 0,
                    ext: Vec::new(),
                });
                let mut bytes = Vec::new();
                codec::encode(&query, &mut bytes)?;
                frame(out, BINARY, &bytes);
            }
        }
        Ok(())
    }

    /// How many frames a message holds.
    fn count(self, message: &[u8]) -> u64 {
        match self {
            Self::Json => 1,
            Self::Binary => {
                let (mut count, mut rest) = (0, message);
                while let Some(length) = rest.first_chunk::<4>() {
                    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(0);
                    rest = rest.get(4 + length..).unwrap_or_default();
                    count += 1;
                }
                count
            }
        }
    }
}

/// Queries in flight on one connection, against messages of the same size that come back as they are.
async fn echo() -> Result<(), Failed> {
    println!("WebSocket, {IN_FLIGHT} queries of one session in flight, answers a second:");
    let node = Node::start().await?;
    let bare = Bare::start("{}")?;
    for form in [Form::Json, Form::Binary] {
        for _ in 0..ROUNDS {
            let mut socket = node.session(form).await?;
            let ours = rate(&mut socket, form, |number, out| form.query(number, out)).await?;
            let mut socket = Socket::connect(&bare.address, "/ws", None).await?;
            let bare = rate(&mut socket, Form::Json, |number, out| {
                form.query(number, out)
            })
            .await?;
            println!(
                "  {form:?}: {ours:.0}, bare echo {bare:.0}, ratio {:.2}",
                ours / bare
            );
        }
    }
    Ok(())
}

/// Answers a second with so many in flight.
async fn rate(
    socket: &mut Socket,
    form: Form,
    make: impl Fn(u64, &mut Vec<u8>) -> Result<(), Failed>,
) -> Result<f64, Failed> {
    let mut out = Vec::new();
    let mut number = 0;
    for _ in 0..IN_FLIGHT {
        number += 1;
        make(number, &mut out)?;
    }
    socket.write(&out).await?;
    let begin = Instant::now();
    let mut done = 0;
    while begin.elapsed() < TIME {
        let mut answered = form.count(&socket.message().await?);
        while let Some(message) = socket.ready()? {
            answered += form.count(&message);
        }
        done += answered;
        out.clear();
        for _ in 0..answered {
            number += 1;
            make(number, &mut out)?;
        }
        socket.write(&out).await?;
    }
    Ok(done as f64 / begin.elapsed().as_secs_f64())
}

/// One event to everybody, again and again, against writes of the same bytes.
async fn fan_out() -> Result<(), Failed> {
    println!("one event to {CROWD} WebSockets, {EVENTS} times, messages a second:");
    for form in [Form::Json, Form::Binary] {
        for _ in 0..ROUNDS {
            let node = Node::start().await?;
            let client = node.client().await?;
            let room: Target = Target::Actor("room/figures".parse()?);
            let mut crowd = try_join_all((0..CROWD).map(|_| node.session(form))).await?;
            for socket in &mut crowd {
                socket.write(&subscribe(form, &room)?).await?;
                // The Reply that says that it is heard from now on.
                socket.message().await?;
            }
            let say = || async {
                let text = json!({ "text": "as long as what people say to each other" });
                let command = client.session().command(room.clone(), "say", text);
                command.send().await.map(drop).map_err(Failed::from)
            };
            let (ours, bytes) = heard(crowd, form, say).await?;
            client.close().await;
            drop(node);
            let bare = Bare::start("{}")?;
            let connect = || Socket::connect(&bare.address, "/ws", None);
            let crowd = try_join_all((0..CROWD).map(|_| connect())).await?;
            let text = "x".repeat(bytes);
            let say = || rest::post(&bare.address, "/tell", text.clone());
            let (bare, _) = heard(crowd, Form::Json, say).await?;
            println!(
                "  {form:?}: {ours:.0} of {bytes} bytes, bare writes {bare:.0}, ratio {:.2}",
                ours / bare
            );
        }
    }
    Ok(())
}

/// Messages a second that a crowd hears, and the length of one.
async fn heard<F: Future<Output = Result<(), Failed>>>(
    crowd: Vec<Socket>,
    form: Form,
    say: impl Fn() -> F,
) -> Result<(f64, usize), Failed> {
    let listeners: Vec<_> = crowd
        .into_iter()
        .map(|mut socket| {
            tokio::spawn(async move {
                let (mut heard, mut length) = (0, 0);
                while heard < EVENTS {
                    let message = socket.message().await?;
                    heard += form.count(&message);
                    length = message.len();
                }
                Ok::<_, Failed>(length)
            })
        })
        .collect();
    let begin = Instant::now();
    for _ in 0..EVENTS {
        say().await?;
    }
    let mut bytes = 0;
    for listener in listeners {
        bytes = listener.await??;
    }
    let messages = CROWD as f64 * EVENTS as f64;
    Ok((messages / begin.elapsed().as_secs_f64(), bytes))
}

/// What connections take that do nothing.
async fn idle() -> Result<(), Failed> {
    println!("{IDLE} idle WebSockets, bytes of the server's memory for each:");
    for form in [Form::Json, Form::Binary] {
        let node = Node::start().await?;
        let before = resident(node.child.0.id())?;
        let crowd = connected(|| node.session(form)).await?;
        let ours = (resident(node.child.0.id())? - before) / IDLE as u64;
        drop(crowd);
        drop(node);
        let bare = Bare::start("{}")?;
        let before = resident(bare.child.0.id())?;
        let crowd = connected(|| Socket::connect(&bare.address, "/ws", None)).await?;
        let bare = (resident(bare.child.0.id())? - before) / IDLE as u64;
        drop(crowd);
        println!(
            "  {form:?}: {ours}, bare {bare}, above bare {}",
            ours.saturating_sub(bare)
        );
    }
    Ok(())
}

/// So many connections, some at a time.
async fn connected<F: Future<Output = Result<Socket, Failed>>>(
    connect: impl Fn() -> F,
) -> Result<Vec<Socket>, Failed> {
    let mut crowd = Vec::with_capacity(IDLE);
    while crowd.len() < IDLE {
        crowd.extend(try_join_all((0..100).map(|_| connect())).await?);
    }
    Ok(crowd)
}

/// Resident bytes of a process.
fn resident(process: u32) -> Result<u64, Failed> {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm"))?;
    let pages: u64 = text.split(' ').nth(1).ok_or("statm")?.parse()?;
    Ok(pages * 4_096)
}

fn counter() -> Result<Target, Failed> {
    let address: ActorAddress = "counter/figures".parse()?;
    Ok(Target::Actor(address))
}

fn subscribe(form: Form, target: &Target) -> Result<Vec<u8>, Failed> {
    let mut out = Vec::new();
    match form {
        Form::Json => {
            let text = r#"{"subscribe":{"subscription":1,"target":{"actor":{"kind":"room","key":"figures"}},"since":"latest"}}"#;
            frame(&mut out, TEXT, text.as_bytes());
        }
        Form::Binary => {
            let subscribe = ClientFrame::Subscribe(Subscribe {
                subscription: 1,
                target: target.clone(),
                since: Since::Latest,
                ext: Vec::new(),
            });
            let mut bytes = Vec::new();
            codec::encode(&subscribe, &mut bytes)?;
            frame(&mut out, BINARY, &bytes);
        }
    }
    Ok(out)
}

/// Ends with its value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A node with a store of its own.
struct Node {
    child: Running,
    ready: Value,
    _data: tempfile::TempDir,
}

impl Node {
    async fn start() -> Result<Self, Failed> {
        let binary = PathBuf::from("target/release/selvedge");
        if !binary.exists() {
            return Err(
                "there is no target/release/selvedge: run cargo build --release first".into(),
            );
        }
        let data = tempfile::tempdir()?;
        let file = data.path().join("ready.json");
        let mut command = Command::new(binary);
        command.args([
            "dev",
            "--quic",
            "127.0.0.1:0",
            "--peer",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
        ]);
        command.arg("--data-dir").arg(data.path().join("data"));
        command.arg("--ready-file").arg(&file);
        let child = Running(
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?,
        );
        let ready = loop {
            match std::fs::read_to_string(&file) {
                Ok(text) if !text.is_empty() => break serde_json::from_str(&text)?,
                _ => sleep(Duration::from_millis(20)).await,
            }
        };
        Ok(Self {
            child,
            ready,
            _data: data,
        })
    }

    fn field(&self, name: &str) -> Result<&str, Failed> {
        Ok(self.ready[name]
            .as_str()
            .ok_or("the ready file has no such field")?)
    }

    async fn client(&self) -> Result<selvedge_client::Client, Failed> {
        let client = selvedge_client::Client::builder()
            .server(self.field("quic")?)
            .ca_file(self.field("caFile")?)
            .token(self.field("token")?);
        Ok(client.connect().await?)
    }

    /// A connection with a session.
    async fn session(&self, form: Form) -> Result<Socket, Failed> {
        let mut socket = Socket::connect(self.field("http")?, "/ws", Some(form.protocol())).await?;
        let token = self.field("token")?;
        let mut out = Vec::new();
        match form {
            Form::Json => {
                let hello = json!({ "hello": { "token": token } }).to_string();
                frame(&mut out, TEXT, hello.as_bytes());
            }
            Form::Binary => {
                let hello = ClientFrame::Hello(Hello {
                    versions: vec![1],
                    token: token.to_owned(),
                    tenant: None,
                    agent: String::new(),
                    resume: None,
                    ext: Vec::new(),
                });
                let mut bytes = Vec::new();
                codec::encode(&hello, &mut bytes)?;
                frame(&mut out, BINARY, &bytes);
            }
        }
        socket.write(&out).await?;
        // The Welcome.
        socket.message().await?;
        Ok(socket)
    }
}

/// The bare server.
struct Bare {
    child: Running,
    address: String,
}

impl Bare {
    /// With these bytes as the state that it shows.
    fn start(state: &str) -> Result<Self, Failed> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare", state]);
        let mut child = Running(command.stdout(Stdio::piped()).spawn()?);
        let output = child.0.stdout.take().ok_or("no output")?;
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address)?;
        Ok(Self {
            child,
            address: address.trim().to_owned(),
        })
    }
}
