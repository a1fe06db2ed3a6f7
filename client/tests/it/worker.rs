//! Workers: what they say of their tasks, how many they run at a time, and what a cancel, a break or the end
//! of their session does to them.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use selvedge_client::{CallError, Client, ErrorCode, Task, WorkError, Worker, actor};
use selvedge_protocol::frame::{Notice, ServerFrame, StepReport, Task as TaskFrame};
use selvedge_protocol::task_payload;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::fake_server::{FakeServer, Faults, World};

/// No lease of a test ends by itself, and no heartbeat is due, unless a test wants one.
const LONG_MS: u32 = 600_000;

fn task(lease: u64, input: &str, lease_ms: u32) -> ServerFrame {
    ServerFrame::Task(TaskFrame {
        lease,
        operation: selvedge_client::Target::Operation("a1".parse().unwrap()),
        operation_type: "resize".parse().unwrap(),
        step: "work".to_owned(),
        attempt: 2,
        input: Bytes::from(input.to_owned()),
        lease_ms,
        ext: Vec::new(),
    })
}

fn cancelled(lease: u64) -> ServerFrame {
    ServerFrame::Notice(Notice::TaskCancelled { lease })
}

/// A worker at work, and the way to stop it.
struct Working {
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), CallError>>,
}

impl Working {
    fn start<F, W>(client: &Client, capacity: u32, code: F) -> Self
    where
        F: Fn(Task) -> W + Send + Sync + 'static,
        W: Future<Output = Result<Value, WorkError>> + Send + 'static,
    {
        let worker = Worker::builder(client)
            .operation_type("resize", code)
            .capacity(capacity)
            .cancel_grace(Duration::from_millis(50))
            .build()
            .unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(worker.run_until(async {
            let _ = stopped.await;
        }));
        Self { stop, running }
    }
}

fn ends(world: &World) -> usize {
    let is_end = |(_, report): &&(u64, StepReport)| !matches!(report, StepReport::Heartbeat(_));
    world.results.iter().filter(is_end).count()
}

/// Waits for the progress that code tells when it begins.
async fn begun(server: &FakeServer, lease: u64) {
    let told = (lease, StepReport::Heartbeat(Bytes::from_static(b"0")));
    server.until(|world| world.results.contains(&told)).await;
}

fn result_of(server: &FakeServer, lease: u64) -> StepReport {
    server.look(|world| {
        let mut results = world.results.iter().rev();
        results.find(|(of, _)| *of == lease).unwrap().1.clone()
    })
}

#[tokio::test]
async fn tasks_run_side_by_side_up_to_the_capacity() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(Semaphore::new(0));
    let worker = {
        let (most, gate) = (Arc::clone(&most), Arc::clone(&gate));
        Working::start(&client, 2, move |task| {
            let (running, most, gate) =
                (Arc::clone(&running), Arc::clone(&most), Arc::clone(&gate));
            async move {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                task.progress(&json!(0));
                gate.acquire().await?.forget();
                running.fetch_sub(1, Ordering::SeqCst);
                let input: Value = task.input()?;
                assert_eq!((task.attempt(), task.operation()), (2, "a1"));
                Ok(json!({ "of": input, "key": task.idempotency_key() }))
            }
        })
    };
    server.until(|world| !world.readies.is_empty()).await;
    server.look(|world| {
        assert_eq!(world.readies[0].capacity, 2);
        assert_eq!(world.readies[0].types[0].as_str(), "resize");
    });
    for lease in [1, 2] {
        server.push(task(lease, "7", LONG_MS)).await;
        begun(&server, lease).await;
    }
    gate.add_permits(1);
    server.until(|world| ends(world) == 1).await;
    server.push(task(3, "8", LONG_MS)).await;
    gate.add_permits(2);
    server.until(|world| ends(world) == 3).await;
    assert_eq!(most.load(Ordering::SeqCst), 2);
    let expected = Bytes::from_static(br#"{"key":"a1/work","of":8}"#);
    assert_eq!(result_of(&server, 3), StepReport::Success(expected));
    client.close().await;
    assert!(worker.running.await.unwrap().is_ok());
}

#[tokio::test]
async fn heartbeats_come_by_themselves_and_progress_at_once() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let gate = Arc::new(Semaphore::new(0));
    let passed = Arc::clone(&gate);
    let _worker = Working::start(&client, 1, move |task| {
        let gate = Arc::clone(&passed);
        async move {
            task.progress(&json!(1));
            gate.acquire().await?.forget();
            Ok(Value::Null)
        }
    });
    server.until(|world| !world.readies.is_empty()).await;
    server.push(task(1, "", LONG_MS)).await;
    let told = StepReport::Heartbeat(Bytes::from_static(b"1"));
    server
        .until(|world| world.results == [(1, told.clone())])
        .await;
    gate.add_permits(1);
    server.until(|world| ends(world) == 1).await;
    server.push(task(2, "", 60)).await;
    let beat = (2, StepReport::Heartbeat(Bytes::new()));
    server
        .until(|world| world.results.iter().filter(|one| **one == beat).count() == 5)
        .await;
}

#[tokio::test]
async fn a_cancel_reaches_the_code_and_ends_it_if_it_does_not_end() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let ended = Arc::new(Semaphore::new(0));
    let end = Arc::clone(&ended);
    let _worker = Working::start(&client, 1, move |task| {
        let end = Arc::clone(&end);
        async move {
            if task.input::<bool>()? {
                task.cancelled().await;
                assert!(task.is_cancelled());
                end.add_permits(1);
                return Ok(json!("nobody wants this"));
            }
            // Deaf.
            let _dropped = Dropped(end);
            pending().await
        }
    });
    server.until(|world| !world.readies.is_empty()).await;
    for (lease, input) in [(1, "true"), (2, "false")] {
        server.push(task(lease, input, LONG_MS)).await;
        server.push(cancelled(lease)).await;
        server
            .until(|world| world.results.iter().any(|(of, _)| *of == lease))
            .await;
        assert!(matches!(result_of(&server, lease), StepReport::Failure(_)));
    }
    // The first may have been cancelled before its code began.
    server.push(task(3, "false", LONG_MS)).await;
    server.push(cancelled(3)).await;
    server.until(|world| ends(world) == 3).await;
}

struct Dropped(Arc<Semaphore>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

#[tokio::test]
async fn errors_and_panics_are_said_as_failures() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let _worker = Working::start(&client, 4, |task| async move {
        match task.input::<String>()?.as_str() {
            "retry" => Err(WorkError::retryable("not now")),
            "later" => Err(WorkError::retryable("later").retry_after(Duration::from_secs(3_600))),
            "panic" => panic!("as the test says"),
            _ => Err(WorkError::permanent("never")),
        }
    });
    server.until(|world| !world.readies.is_empty()).await;
    let cases = [
        (1, r#""retry""#, ErrorCode::Unavailable, "not now"),
        (2, r#""panic""#, ErrorCode::Unavailable, "as the test says"),
        (3, r#""other""#, ErrorCode::Rejected, "never"),
        (4, "7", ErrorCode::Rejected, "input"),
        (5, r#""later""#, ErrorCode::Unavailable, "later"),
    ];
    for (lease, input, code, message) in cases {
        server.push(task(lease, input, LONG_MS)).await;
        server
            .until(|world| ends(world) == usize::try_from(lease).unwrap())
            .await;
        let StepReport::Failure(failure) = result_of(&server, lease) else {
            panic!("task {lease} did not fail")
        };
        assert_eq!(failure.code, code);
        assert!(failure.message.contains(message), "{failure}");
        let asked = (message == "later").then_some(3_600_000);
        assert_eq!(failure.retry_after_ms, asked, "{failure}");
    }
}

#[tokio::test]
async fn work_goes_on_over_a_break_and_its_result_is_said_on_the_next_connection() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let gate = Arc::new(Semaphore::new(0));
    let passed = Arc::clone(&gate);
    let worker = Working::start(&client, 1, move |task| {
        let gate = Arc::clone(&passed);
        async move {
            task.progress(&json!(0));
            gate.acquire().await?.forget();
            Ok(json!(task.is_cancelled()))
        }
    });
    server.until(|world| !world.readies.is_empty()).await;
    server.push(task(1, "", LONG_MS)).await;
    begun(&server, 1).await;
    server.drop_once();
    let counter = actor("counter/one").unwrap();
    client
        .session()
        .command(counter.clone(), "add", ())
        .send()
        .await
        .unwrap();
    server.until(|world| world.readies.len() == 2).await;
    gate.add_permits(1);
    server.until(|world| ends(world) == 1).await;
    let expected = StepReport::Success(Bytes::from_static(b"false"));
    assert_eq!(result_of(&server, 1), expected);

    // A session that is gone takes its leases with it.
    server.push(task(2, "", LONG_MS)).await;
    begun(&server, 2).await;
    server.look(|world| world.faults.expire_sessions = true);
    server.drop_once();
    let id = selvedge_client::CommandId::from_u128(7);
    let again = client.session().command(counter, "add", ()).id(id);
    again.send().await.unwrap();
    server.until(|world| world.readies.len() == 3).await;
    server.push(task(3, "", LONG_MS)).await;
    gate.add_permits(2);
    server.until(|world| ends(world) == 2).await;
    assert!(matches!(result_of(&server, 2), StepReport::Heartbeat(_)));
    worker.stop.send(()).unwrap();
    worker.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_worker_that_stops_finishes_what_it_is_at() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let gate = Arc::new(Semaphore::new(0));
    let passed = Arc::clone(&gate);
    let worker = Working::start(&client, 2, move |task| {
        let gate = Arc::clone(&passed);
        async move {
            task.progress(&json!(0));
            gate.acquire().await?.forget();
            Ok(Value::Null)
        }
    });
    server.until(|world| !world.readies.is_empty()).await;
    server.push(task(1, "", LONG_MS)).await;
    begun(&server, 1).await;
    worker.stop.send(()).unwrap();
    server.until(|world| world.readies.len() == 2).await;
    server.look(|world| assert!(world.readies[1].types.is_empty()));
    // On its way when the worker stopped.
    server.push(task(2, "", LONG_MS)).await;
    begun(&server, 2).await;
    gate.add_permits(1);
    server.until(|world| ends(world) == 1).await;
    assert!(!worker.running.is_finished());
    gate.add_permits(1);
    worker.running.await.unwrap().unwrap();
    // What comes later still is handed back.
    server.push(task(3, "", LONG_MS)).await;
    server.until(|world| ends(world) == 3).await;
    assert!(matches!(result_of(&server, 3), StepReport::Failure(_)));
}

/// Which of the two the client sees first is chance.
#[tokio::test(flavor = "multi_thread")]
async fn a_last_result_is_said_before_the_session_ends() {
    for _ in 0..100 {
        let server = FakeServer::start(Faults::default());
        let client = server.client().await;
        let gate = Arc::new(Semaphore::new(0));
        let passed = Arc::clone(&gate);
        let worker = Worker::builder(&client).operation_type("resize", move |task| {
            let gate = Arc::clone(&passed);
            async move {
                task.progress(&json!(0));
                gate.acquire().await?.forget();
                Ok("last")
            }
        });
        let worker = worker.build().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            let worked = worker.run_until(async { drop(stopped.await) }).await;
            client.close().await;
            worked
        });
        server.until(|world| !world.readies.is_empty()).await;
        server.push(task(1, "", LONG_MS)).await;
        begun(&server, 1).await;
        stop.send(()).unwrap();
        server.until(|world| world.readies.len() == 2).await;
        gate.add_permits(1);
        running.await.unwrap().unwrap();
        server.until(|world| world.goodbyes == 1).await;
        assert_eq!(result_of(&server, 1), success("\"last\""));
    }
}

/// A task that announces a payload of so many bytes, and what the server has of it.
async fn push_with_payload(server: &FakeServer, lease: u64, length: u64, payload: Bytes) {
    let ServerFrame::Task(mut frame) = task(lease, "", LONG_MS) else {
        panic!("a task")
    };
    task_payload::announce(&mut frame, length);
    server.look(|world| world.task_payloads.insert(lease, payload));
    server.push(ServerFrame::Task(frame)).await;
}

#[tokio::test]
async fn a_payload_is_read_in_pieces_over_a_break_and_up_to_a_bound() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let _worker = Working::start(&client, 1, |task| async move {
        let Some(mut payload) = task.payload() else {
            return Ok(Value::Null);
        };
        let length = payload.length();
        let bytes = payload.read_to_end(2 * 1024 * 1024).await?;
        assert!(payload.next().await?.is_none());
        assert!(bytes.iter().all(|byte| *byte == 7));
        Ok(json!([length, bytes.len()]))
    });
    server.until(|world| !world.readies.is_empty()).await;
    let bytes = |length: usize| Bytes::from(vec![7; length]);
    // Without one, and with an empty one.
    server.push(task(1, "", LONG_MS)).await;
    server.until(|world| ends(world) == 1).await;
    assert_eq!(result_of(&server, 1), success("null"));
    push_with_payload(&server, 2, 0, bytes(0)).await;
    server.until(|world| ends(world) == 2).await;
    assert_eq!(result_of(&server, 2), success("[0,0]"));
    server.look(|world| {
        assert!(world.pieces.is_empty());
        // The second piece is asked for on another connection.
        world.faults.drop_in_answer = 1;
    });
    push_with_payload(&server, 3, 1_500_000, bytes(1_500_000)).await;
    server.until(|world| ends(world) == 3).await;
    assert_eq!(result_of(&server, 3), success("[1500000,1500000]"));
    server.look(|world| assert_eq!(world.pieces, [0, 0, 524_288, 1_048_576]));

    push_with_payload(&server, 4, 3_000_000, bytes(3_000_000)).await;
    server.until(|world| ends(world) == 4).await;
    let StepReport::Failure(failure) = result_of(&server, 4) else {
        panic!("it was read")
    };
    assert_eq!(failure.code, ErrorCode::Rejected);
    assert!(failure.message.contains("3000000 bytes"), "{failure}");
    server.look(|world| assert_eq!(world.pieces.len(), 4));
}

#[tokio::test]
async fn a_payload_that_is_not_to_be_had_fails_the_attempt() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let _worker = Working::start(&client, 1, |task| async move {
        let mut payload = task.payload().unwrap();
        Ok(json!(payload.read_to_end(1_000).await?.len()))
    });
    server.until(|world| !world.readies.is_empty()).await;
    let cases: [(u64, &'static [u8], &str); 2] = [
        (1, b"", "the payload has 3 bytes, and 0 came"),
        (2, b"four", "the payload has 3 bytes, and 4 came"),
    ];
    for (lease, has, message) in cases {
        push_with_payload(&server, lease, 3, Bytes::from_static(has)).await;
        let ended = usize::try_from(lease).unwrap();
        server.until(|world| ends(world) == ended).await;
        let StepReport::Failure(failure) = result_of(&server, lease) else {
            panic!("it was read")
        };
        assert_eq!(failure.code, ErrorCode::Unavailable);
        assert!(failure.message.contains(message), "{failure}");
    }
    // An announcement that does not read gives the task back.
    let ServerFrame::Task(mut frame) = task(3, "", LONG_MS) else {
        panic!("a task")
    };
    frame.ext.push((task_payload::EXTENSION, Bytes::new()));
    server.push(ServerFrame::Task(frame)).await;
    server.until(|world| ends(world) == 3).await;
    assert!(matches!(result_of(&server, 3), StepReport::Failure(_)));
}

fn success(result: &str) -> StepReport {
    StepReport::Success(Bytes::from(result.to_owned()))
}
