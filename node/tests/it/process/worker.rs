//! `selvedge worker run` as separate processes: killed, stopped, told to stop, and of another tenant.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};

use rustix::process::{Pid, WaitOptions, waitpid};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Access, Guarded, Node, append, dev, run, send_signal, text};

/// A node whose leases are short, and a directory for what programs leave.
struct World {
    node: Node,
    access: Access,
    scratch: TempDir,
}

/// A worker process.
struct Worker {
    process: Guarded,
    output: BufReader<ChildStdout>,
}

impl World {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let config = scratch.path().join("node.toml");
        std::fs::write(&config, "worker_lease_ms = 2000\n").unwrap();
        let mut command = dev(&scratch.path().join("data"));
        let node = Node::spawn(command.arg("--config").arg(&config));
        Self {
            access: node.access(),
            node,
            scratch,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// A pipe by name: a program that opens it waits until the test does.
    fn pipe(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        assert!(run(Command::new("mkfifo").arg(&path)).status.success());
        path
    }

    /// A worker whose program is a script for `sh`, with these arguments.
    fn worker(&self, flags: &[&str], script: &str, arguments: &[&Path]) -> Worker {
        Worker::spawn(&mut self.worker_command(flags, script, arguments))
    }

    fn worker_command(&self, flags: &[&str], script: &str, arguments: &[&Path]) -> Command {
        let mut command = self.access.client(&["worker", "run", "--type", "job"]);
        command.args(flags).args(["--", "sh", "-c", script, "sh"]);
        command.args(arguments).stdout(Stdio::piped());
        command.stderr(append(&self.path("workers.log")));
        command
    }

    fn submit(&self, id: &str) -> Value {
        let input = json!({ "of": id }).to_string();
        self.access
            .ask(&["op", "submit", "job", "--id", id, "--input", &input])
    }

    /// The operation once it has ended.
    fn ended(&self, id: &str) -> Value {
        let input = json!({ "of": id }).to_string();
        let arguments = [
            "op", "submit", "job", "--id", id, "--input", &input, "--wait",
        ];
        let output = run(&mut self.access.client(&arguments));
        let printed = text(&output.stdout);
        serde_json::from_str(&printed)
            .unwrap_or_else(|error| panic!("{error}: {printed} {}", text(&output.stderr)))
    }
}

impl Worker {
    fn spawn(command: &mut Command) -> Self {
        let mut process = command.spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self {
            process: Guarded(process),
            output,
        }
    }

    /// The next that it says about a task.
    fn said(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn signal(&self, signal: &str) {
        send_signal(&self.process.0, signal);
    }

    /// SIGSTOP, and waits until no thread of it runs.
    fn stop(&self) {
        self.signal("STOP");
        let id = Pid::from_raw(i32::try_from(self.process.0.id()).unwrap());
        let (_, status) = waitpid(id, WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "{status:?}");
    }
}

/// Waits for a writer of the pipe, and reads what it writes.
fn read(pipe: &Path) -> String {
    let mut text = String::new();
    let mut pipe = std::fs::File::open(pipe).unwrap();
    pipe.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_program_gets_the_task_and_its_output_is_the_result() {
    let world = World::new();
    let waiting = world.submit("a");
    assert_eq!(waiting["status"], "waiting");
    // What waits for a worker is woken by one.
    let mut worker = world.worker(&["--capacity", "2"], "cat", &[]);
    let ended = world.ended("a");
    assert_eq!(ended["status"], "succeeded");
    assert_eq!(
        ended["result"],
        json!({ "operation": "a", "type": "job", "step": "work", "attempt": 1,
            "input": { "of": "a" }, "idempotencyKey": "a/work" })
    );
    assert_eq!(worker.said()["operation"], "a");
    worker.signal("INT");
    assert!(worker.process.0.wait().unwrap().success());
    // Nobody is there any more.
    world.submit("b");
    let seen = world.access.ask(&["op", "get", "b"]);
    let waiting_for = seen["waitingFor"].as_str().unwrap();
    assert!(
        waiting_for.starts_with("worker: no worker of type job"),
        "{seen}"
    );

    let script = r#"case "$(cat)" in *'"attempt":1'*) exit 75;; *) echo twice;; esac"#;
    let _again = world.worker(&[], script, &[]);
    let ended = world.ended("b");
    assert_eq!(
        (&ended["result"], &ended["attempt"]),
        (&json!("twice"), &json!(2))
    );
    assert!(world.node.stop("TERM").success());
}

#[test]
fn a_program_that_fails_fails_the_operation_with_its_last_words() {
    let world = World::new();
    let _worker = world.worker(&[], "echo 'no such file' >&2; exit 3", &[]);
    world.submit("a");
    let ended = world.ended("a");
    assert_eq!(ended["status"], "failed");
    let message = ended["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("exit code 3") && message.contains("no such file"),
        "{message}"
    );
}

#[test]
fn the_step_of_a_worker_that_was_killed_runs_again_elsewhere() {
    let world = World::new();
    let (begun, never) = (world.pipe("begun"), world.pipe("never"));
    let killed = world.worker(&[], r#"echo begun > "$1"; cat "$2""#, &[&begun, &never]);
    world.submit("a");
    assert_eq!(read(&begun), "begun\n");
    killed.signal("KILL");
    let _other = world.worker(&[], "echo elsewhere", &[]);
    let ended = world.ended("a");
    assert_eq!(ended["result"], "elsewhere");
    assert_eq!(ended["attempt"], 2);
    // The orphan ends.
    drop(std::fs::File::options().write(true).open(&never).unwrap());
}

#[test]
fn the_late_result_of_a_worker_that_was_stopped_changes_nothing() {
    let world = World::new();
    let (begun, go) = (world.pipe("begun"), world.pipe("go"));
    let script = r#"echo begun > "$1"; cat "$2" > /dev/null; echo late"#;
    let mut stopped = world.worker(&["--capacity", "4"], script, &[&begun, &go]);
    world.submit("a");
    assert_eq!(read(&begun), "begun\n");
    stopped.stop();
    // Its program ends, but the worker cannot say so.
    drop(std::fs::File::options().write(true).open(&go).unwrap());
    let _other = world.worker(&["--capacity", "4"], "echo 'in time'", &[]);
    let ended = world.ended("a");
    assert_eq!(
        (&ended["result"], &ended["attempt"]),
        (&json!("in time"), &json!(2))
    );
    stopped.signal("CONT");
    assert_eq!(stopped.said()["operation"], "a");
    stopped.signal("TERM");
    assert!(stopped.process.0.wait().unwrap().success());
    let again = world.access.ask(&["op", "get", "a"]);
    assert_eq!(again["version"], ended["version"]);
    assert_eq!(again["result"], "in time");
}

#[test]
fn an_interrupt_lets_programs_finish_and_a_second_ends_them() {
    let world = World::new();
    let (begun, go) = (world.pipe("begun"), world.pipe("go"));
    let script = r#"echo begun > "$1"; cat "$2" > /dev/null; echo finished"#;
    let mut worker = world.worker(&[], script, &[&begun, &go]);
    world.submit("a");
    assert_eq!(read(&begun), "begun\n");
    worker.signal("INT");
    drop(std::fs::File::options().write(true).open(&go).unwrap());
    assert!(worker.process.0.wait().unwrap().success());
    assert_eq!(world.ended("a")["result"], "finished");

    let mut worker = world.worker(&[], script, &[&begun, &go]);
    world.submit("b");
    assert_eq!(read(&begun), "begun\n");
    worker.signal("INT");
    worker.signal("TERM");
    assert!(worker.process.0.wait().unwrap().success());
    // The next one gets it.
    let _next = world.worker(&[], "echo next", &[]);
    assert_eq!(world.ended("b")["result"], "next");
}

#[test]
fn an_interrupted_worker_leaves_no_process_behind() {
    let world = World::new();
    let (held, never) = (world.pipe("held"), world.pipe("never"));
    // All that the program starts has the pipe open, and a part of it takes no notice of SIGTERM.
    let script = r#"exec 3> "$1"; echo begun >&3; (trap '' TERM; cat "$2") & wait"#;
    let mut worker = world.worker(&[], script, &[&held, &never]);
    world.submit("a");
    let mut held = BufReader::new(std::fs::File::open(&held).unwrap());
    let mut line = String::new();
    held.read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    worker.signal("INT");
    worker.signal("TERM");
    assert!(worker.process.0.wait().unwrap().success());
    // The pipe ends when nobody has it open any more.
    assert_eq!(held.read_line(&mut line).unwrap(), 0);
}

#[test]
fn a_cancel_ends_the_program() {
    let world = World::new();
    let (begun, ended) = (world.pipe("begun"), world.pipe("ended"));
    let never = world.pipe("never");
    let script =
        r#"trap 'echo terminated > "$2"; exit 0' TERM; echo begun > "$1"; cat "$3" & wait"#;
    let mut worker = world.worker(&[], script, &[&begun, &ended, &never]);
    world.submit("a");
    assert_eq!(read(&begun), "begun\n");
    world.access.ask(&["op", "cancel", "a"]);
    assert_eq!(read(&ended), "terminated\n");
    assert_eq!(world.ended("a")["status"], "cancelled");
    assert_eq!(worker.said()["isCancelled"], true);
}

#[test]
fn another_tenants_worker_gets_nothing_and_capacity_bounds_programs() {
    let world = World::new();
    let strangers = world.path("strangers");
    let script = r#"touch "$1"; echo theirs"#;
    let _stranger = world.worker(&["--tenant", "strangers"], script, &[&strangers]);
    // It is there, and works for its own.
    let arguments = ["op", "submit", "job", "--tenant", "strangers", "--wait"];
    assert_eq!(world.access.ask(&arguments)["result"], "theirs");
    std::fs::remove_file(&strangers).unwrap();
    for id in ["a", "b", "c", "d", "e"] {
        world.submit(id);
    }
    // A program that finds two others at work says so; a directory is made by one at a time.
    let places = world.path("places");
    std::fs::create_dir(&places).unwrap();
    let script = r#"for n in 1 2; do
            if mkdir "$1/$n" 2> /dev/null; then sleep 0.1; rmdir "$1/$n"; echo "$n"; exit; fi
        done; echo 'a third' >&2; exit 1"#;
    let _worker = world.worker(&["--capacity", "2"], script, &[&places]);
    for id in ["a", "b", "c", "d", "e"] {
        let ended = world.ended(id);
        assert_eq!(ended["status"], "succeeded", "{ended}");
    }
    assert!(!strangers.exists());
}

#[test]
fn a_program_gets_the_payload_in_a_file_that_goes_with_it() {
    let world = World::new();
    let temporary = world.path("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let payload = world.path("payload");
    // Over what a frame holds, and over one piece.
    let bytes: Vec<u8> = (0..1_200_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    std::fs::write(&payload, &bytes).unwrap();
    let script = r#"
        [ "$(stat -c %a "$SELVEDGE_PAYLOAD_FILE")" = 600 ] || exit 1
        grep -qF "\"payloadFile\":\"$SELVEDGE_PAYLOAD_FILE\"" || exit 2
        cp "$SELVEDGE_PAYLOAD_FILE" "$1" && echo "$SELVEDGE_PAYLOAD_FILE""#;
    let copy = world.path("copy");
    let mut command = world.worker_command(&[], script, &[&copy]);
    let _worker = Worker::spawn(command.env("TMPDIR", &temporary));
    let path = payload.to_str().unwrap();
    let submit = [
        "op",
        "submit",
        "job",
        "--id",
        "a",
        "--payload",
        path,
        "--wait",
    ];
    let ended = world.access.ask(&submit);
    let seen = ended["result"]
        .as_str()
        .unwrap_or_else(|| panic!("{ended}"));
    assert_eq!(Path::new(seen).parent().unwrap(), temporary);
    assert!(std::fs::read(&copy).unwrap() == bytes);
    // Without a payload there is no variable, not even the worker's own.
    let script = r#"echo "${SELVEDGE_PAYLOAD_FILE-none}""#;
    drop(_worker);
    let mut command = world.worker_command(&[], script, &[]);
    let _worker = Worker::spawn(command.env("SELVEDGE_PAYLOAD_FILE", "inherited"));
    world.submit("b");
    assert_eq!(world.ended("b")["result"], "none");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
}

#[test]
fn a_payload_that_is_too_large_for_a_worker_is_refused_with_what_to_do() {
    let world = World::new();
    let mut worker = world.worker(&[], "cat", &[]);
    world.submit("known");
    worker.said();
    let payload = world.path("payload");
    let file = std::fs::File::create(&payload).unwrap();
    file.set_len(9 * 1024 * 1024).unwrap();
    let path = payload.to_str().unwrap();
    let arguments = ["op", "submit", "job", "--id", "a", "--payload", path];
    let output = run(&mut world.access.client(&arguments));
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(
        said.contains("8 MiB") && said.contains("elsewhere"),
        "{said}"
    );
}
