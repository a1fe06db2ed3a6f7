//! What goes wrong outside: each gets its clear answer and exit code, and the node stays up.

use std::fs;
use std::io::Read;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bytes::Bytes;
use selvedge_client::{ErrorCode, actor};
use serde_json::json;

use super::{Access, Moments, Node, PATIENCE, dev, dev_at, end_within, fail};
use super::{json as parse, run, selvedge, send_signal};

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let data_dir = scratch.path().join("data");
    let node = Node::dev(&data_dir);
    let said = fail(dev(&data_dir).stderr(Stdio::piped()), 1);
    let process = node.process().to_string();
    for part in [&*data_dir.to_string_lossy(), &process, "--data-dir"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // The first goes on, and its profile still leads to it.
    let mut get = selvedge();
    let shown = run(get
        .args([
            "actor",
            "get",
            "counter/a",
            "--output",
            "json",
            "--data-dir",
        ])
        .arg(&data_dir));
    assert_eq!(parse(&shown)["seq"], 0);
    assert!(node.stop("TERM").success());
}

#[test]
fn a_port_in_use_and_a_bad_ready_file_are_named() {
    let scratch = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = dev_at(&address, &scratch.path().join("one"));
    let said = fail(command.stderr(Stdio::piped()), 1);
    assert!(said.contains(&address), "{said}");

    let missing = scratch.path().join("missing/ready.json");
    let mut command = dev(&scratch.path().join("two"));
    let said = fail(
        command
            .arg("--ready-file")
            .arg(&missing)
            .stderr(Stdio::piped()),
        2,
    );
    let is_named = said.contains("--ready-file") && said.contains(&*missing.to_string_lossy());
    assert!(is_named, "{said}");

    // An address that no machine has, for documents only (RFC 5737).
    let mut command = dev_at("192.0.2.1:7400", &scratch.path().join("three"));
    let said = fail(command.stderr(Stdio::piped()), 2);
    assert!(
        said.contains("--quic: ") && said.contains("192.0.2.1"),
        "{said}"
    );
}

#[test]
fn a_changed_byte_in_the_store_is_refused_or_cut_off_with_all_after_it() {
    const COMMANDS: i64 = 20;
    let scratch = tempfile::tempdir().unwrap();
    let made = scratch.path().join("made");
    let node = Node::dev(&made);
    let access = node.access();
    for _ in 0..COMMANDS {
        access.ask(&["actor", "send", "counter/a", "add", r#"{"by":1}"#]);
    }
    node.kill();

    let mut moments = Moments(0xc044);
    let (mut refused, mut recovered) = (0, 0);
    for file in files(&made.join("store")) {
        let name = file.strip_prefix(&made).unwrap();
        let content = fs::read(&file).unwrap();
        // A journal is preallocated with zeros: the last byte that means something.
        let Some(end) = content.iter().rposition(|byte| *byte != 0) else {
            continue;
        };
        let anywhere = usize::try_from(moments.number(end as u64 + 1)).unwrap();
        for position in [end, anywhere] {
            let data_dir = scratch.path().join("changed");
            copy(&made, &data_dir);
            let mut changed = content.clone();
            changed[position] ^= 0x10;
            fs::write(data_dir.join(name), changed).unwrap();
            let log = data_dir.with_extension("log");
            let _ = fs::remove_file(&log);
            match Node::try_spawn(&mut dev(&data_dir)) {
                Err(status) => {
                    let said = fs::read_to_string(&log).unwrap();
                    assert_eq!(status.code(), Some(1), "{name:?} at {position}: {said}");
                    let is_clear =
                        said.contains(&*data_dir.to_string_lossy()) && said.contains("backup");
                    assert!(is_clear, "{name:?} at {position}: {said}");
                    refused += 1;
                }
                // Cut off there: what is left is a state that once was.
                Ok(node) => {
                    let got = node.access().ask(&["actor", "get", "counter/a"]);
                    let value = got["state"]["value"].as_i64().unwrap();
                    assert!(
                        (0..=COMMANDS).contains(&value),
                        "{name:?} at {position}: {got}"
                    );
                    assert_eq!(got["seq"], value, "{name:?} at {position}: {got}");
                    recovered += 1;
                    node.kill();
                }
            }
            fs::remove_dir_all(&data_dir).unwrap();
        }
    }
    assert!(refused >= 2, "refused {refused}, recovered {recovered}");
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let copied = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(copied.parent().unwrap()).unwrap();
        fs::copy(&file, copied).unwrap();
    }
}

#[test]
fn garbage_datagrams_do_no_harm() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let access = node.access();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut moments = Moments(0x6a7b);
    for _ in 0..2_000 {
        let length = usize::try_from(moments.number(1_400)).unwrap();
        let mut datagram: Vec<u8> = (0..length)
            .map(|_| u8::try_from(moments.number(256)).unwrap())
            .collect();
        // Half of them look like the start of a QUIC handshake.
        if let Some(header) = datagram.get_mut(..5)
            && moments.number(2) == 0
        {
            header.copy_from_slice(&[0xc3, 0, 0, 0, 1]);
        }
        socket.send_to(&datagram, &access.server).unwrap();
    }
    assert_eq!(
        access.ask(&["actor", "send", "counter/a", "add", r#"{"by":1}"#])["seq"],
        1
    );
    assert!(node.stop("TERM").success());
}

#[test]
fn strangers_and_absent_nodes_are_told_apart() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let access = node.access();
    let get = ["actor", "get", "counter/a"];

    let stranger = Access {
        token: "selvedge-dev-of-somebody-else".into(),
        ..access.clone()
    };
    let said = fail(&mut stranger.client(&get), 4);
    assert!(
        said.contains("token") && !said.contains(&stranger.token),
        "{said}"
    );

    let other = Node::dev(&scratch.path().join("other"));
    let misled = Access {
        ca: other.access().ca,
        ..access.clone()
    };
    let said = fail(&mut misled.client(&get), 5);
    assert!(said.contains("certificate"), "{said}");
    drop(other);

    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = nobody.local_addr().unwrap().to_string();
    let said = fail(
        &mut Access {
            server: server.clone(),
            ..access.clone()
        }
        .client(&get),
        5,
    );
    assert!(said.contains(&server) && said.contains("running"), "{said}");

    let missing = Access {
        ca: scratch.path().join("no.pem"),
        ..access
    };
    let said = fail(&mut missing.client(&get), 2);
    assert!(said.contains("--ca") && said.contains("no.pem"), "{said}");

    let said = fail(
        selvedge().args(get).arg("--data-dir").arg(scratch.path()),
        2,
    );
    assert!(
        said.contains("--server") && said.contains("SELVEDGE_SERVER"),
        "{said}"
    );
    drop(node);
}

#[test]
fn what_is_not_there_is_not_found() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let access = node.access();
    for arguments in [
        ["op", "get", "missing"],
        ["op", "watch", "missing"],
        ["op", "cancel", "missing"],
    ] {
        let said = fail(&mut access.client(&arguments), 3);
        assert!(
            said.contains("not_found") && said.contains("no operation has"),
            "{arguments:?}: {said}"
        );
    }
    // Kinds and commands are the application's: there, but not with this name.
    let said = fail(
        &mut access.client(&["actor", "send", "counter/a", "multiply", r#"{"by":2}"#]),
        1,
    );
    assert!(said.contains("multiply"), "{said}");
    let said = fail(
        &mut access.client(&["actor", "send", "teapot/a", "add", r#"{"by":2}"#]),
        1,
    );
    assert!(said.contains("teapot"), "{said}");
    let said = fail(
        &mut access.client(&["actor", "send", "counter/a", "add", r#"{"be":2}"#]),
        2,
    );
    assert!(said.contains("body") && said.contains("by"), "{said}");
    drop(node);
}

#[test]
fn a_wrong_call_is_told_which_word_is_wrong() {
    let cases: [(&[&str], &str); 29] = [
        (&["op", "submit", "digest", "--input", "{"], "--input"),
        (
            &["op", "submit", "digest", "--input", "@/nowhere/input.json"],
            "/nowhere/input.json",
        ),
        (
            &["op", "submit", "digest", "--payload", "/nowhere/payload"],
            "/nowhere/payload",
        ),
        (&["op", "submit", "digest", "--label", "red"], "NAME=VALUE"),
        (&["op", "submit", "Digest!"], "TYPE"),
        (&["op", "get", "a b"], "ID"),
        (&["op", "list", "--status", "finished"], "--status"),
        (&["op", "list", "--limit", "0"], "--limit"),
        (&["actor", "send", "counter", "add"], "ACTOR"),
        (
            &["actor", "send", "counter/a", "add", "{by:1}"],
            "arguments",
        ),
        (&["actor", "watch", "counter/a", "--after", "-1"], "-1"),
        (&["bench", "everything"], "everything"),
        (&["bench", "ops", "--in-flight", "0"], "--in-flight"),
        (&["demo", "--dir", "/nowhere"], "/nowhere"),
        (&["demo", "--manifest", "/nowhere/m"], "--manifest"),
        (
            &["op", "submit", "digest", "--payload", "/none"],
            "--payload",
        ),
        (&["op", "submit", "digest", "--input", "@/none"], "--input"),
        (&["dev", "--data-dir", "/proc/x"], "--data-dir /proc/x"),
        (&["bench", "ops", "--server", "nowhere"], "--server: "),
        (&["op", "list", "--server", "localhost:port"], "HOST:PORT"),
        (&["dev", "--quic", "nowhere"], "--quic: "),
        (&["dev", "--name", "A b"], "--name: "),
        (&["dev", "--store", "redis:1"], "--store: "),
        (&["dev", "--config", "/nowhere/c.toml"], "--config /nowhere"),
        (&["demo", "--quic", "nowhere"], "--quic: "),
        (&["start", "--ready-file", "/nowhere/ready"], "--ready-file"),
        (&["start", "--quic", "127.0.0.1:0"], "certificate"),
        (&["dev", "--roles", "kernel"], "kernel"),
        (&["launch"], "launch"),
    ];
    for (arguments, named) in cases {
        let output = run(selvedge().args(arguments).args(["--output", "json"]));
        let said = super::text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(named), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_wrong_variable_is_told_by_its_name() {
    let scratch = tempfile::tempdir().unwrap();
    let no_pem = scratch.path().join("no.pem");
    fs::write(&no_pem, "no certificate").unwrap();
    let no_pem = no_pem.to_str().unwrap();
    let list = ["op", "list", "--token", "t", "--server", "localhost:1"].as_slice();
    let with_ca = |more: &[&'static str]| [list, more].concat();
    let check = ["config", "check"].as_slice();
    for (arguments, variable, value, remedy) in [
        (check.to_vec(), "QUIC", "nowhere", "HOST:PORT"),
        (check.to_vec(), "PEER", "7410", "HOST:PORT"),
        (check.to_vec(), "HTTP", "a:b", "HOST:PORT"),
        (check.to_vec(), "ROLES", "edge,kernel", "use edge"),
        (check.to_vec(), "NAME", "", "a-z"),
        (check.to_vec(), "STORE", "node:a", "embedded"),
        (check.to_vec(), "STORE", "node:a:1", "--peer-certificate"),
        (check.to_vec(), "ROLES", "storage", "init-ca"),
        (check.to_vec(), "PEER_CA", "/nowhere", "peer_certificate"),
        (check.to_vec(), "CONFIG", "/nowhere", "TOML"),
        (check.to_vec(), "READY_FILE", "/nowhere/r", "directory"),
        (check.to_vec(), "HTTP_ALLOW", "http://a", "networks"),
        (check.to_vec(), "DIGEST_LOG", "/nowhere/log", "written"),
        (check.to_vec(), "LOG", "a=b=c", "TARGET=LEVEL"),
        (vec!["demo"], "QUIC", "nowhere", "HOST:PORT"),
        (vec!["dev"], "DATA_DIR", "/proc/x", "written"),
        (list[..4].to_vec(), "SERVER", "nowhere", "HOST:PORT"),
        (list.to_vec(), "CA", "/nowhere/ca.pem", "PEM"),
        (list.to_vec(), "CA", no_pem, "PEM"),
        (with_ca(&["--tenant", "A b"]), "LOG", "trace=x", "TARGET"),
    ] {
        let name = format!("SELVEDGE_{variable}");
        let mut command = selvedge();
        let said = fail(command.args(&arguments).env(&name, value), 2);
        let is_clear = said.contains(&name) && said.contains(remedy);
        assert!(is_clear, "{arguments:?} {name}={value}: {said}");
    }
}

#[test]
fn a_wrong_configuration_names_its_field() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("node.toml");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::KeyPair::generate().unwrap();
    let file = |name: &str, text: &str| {
        let path = scratch.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let certificate = file("cert.pem", &made.cert.pem());
    let key = file("key.pem", &other.serialize_pem());
    let garbage = file("garbage", "sixteen characters");
    let short = file("short", "short");
    let with = |certificate: &str, token: &str| {
        format!("token_file = '{token}'\n[tls]\ncertificate = '{certificate}'\nkey = '{key}'")
    };
    for (content, key, remedy) in [
        ("nmae = 'a'", "nmae", "expected one of"),
        ("name = 7", "name", "string"),
        ("name = 'a", "name", "'"),
        ("quic = 'nowhere'", "quic: ", "HOST:PORT"),
        ("reserve_mib = 0", "reserve_mib: ", "1 to"),
        (
            "token_file = '/nowhere/token'",
            "token_file /nowhere",
            "give a file",
        ),
        ("ready_file = '/nowhere/ready'", "ready_file", "directory"),
        ("[tls]\ncertificate = 'a'", "tls.key", "is missing"),
        (&with(&garbage, &garbage), "tls.certificate ", "PEM"),
        (
            &with("/nowhere/c", &garbage),
            "tls.certificate /nowhere",
            "PEM",
        ),
        // The key of another certificate.
        (
            &with(&certificate, &garbage),
            "tls.certificate ",
            "private key",
        ),
        (&with(&certificate, &short), "token_file ", "16"),
    ] {
        fs::write(&path, content).unwrap();
        let check = ["config", "check", "--config"];
        let said = fail(selvedge().args(check).arg(&path), 2);
        let is_clear = said.contains("node.toml") && said.contains(key) && said.contains(remedy);
        assert!(is_clear, "{content}: {said}");
        // What a check finds is what a start finds.
        let start = fail(selvedge().args(["start", "--config"]).arg(&path), 2);
        assert_eq!(said, start);
    }
}

#[test]
fn a_wrong_profile_and_what_the_node_finds_wrong_are_usage() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let node = Node::dev(&data);
    let access = node.access();
    for (arguments, named) in [
        (
            ["op", "submit", "digest", "--run-at", "soon"].as_slice(),
            "--run-at: ",
        ),
        (&["op", "submit", "http", "--input", "{}"], "--input: "),
        (
            &["op", "list", "--created-after", "yesterday"],
            "--created-after: ",
        ),
        (&["op", "list", "--tenant", "A b"], "--tenant: "),
    ] {
        let said = fail(&mut access.client(arguments), 2);
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
    let profile = data.join("profile.json");
    let written = fs::read_to_string(&profile).unwrap();
    let list = ["op", "list", "--data-dir"];
    let missing = written.replace("ca.pem", "no.pem");
    let portless = written.replace(&access.server, "localhost");
    for (text, named) in [
        (&*missing, "caFile"),
        (&portless, "server"),
        ("{", "selvedge dev"),
    ] {
        fs::write(&profile, text).unwrap();
        let said = fail(selvedge().args(list).arg(&data), 2);
        let is_named = said.contains("profile.json") && said.contains(named);
        assert!(is_named, "{said}");
    }
    drop(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn nine_mebibytes_go_through_an_operation_and_not_into_an_actor() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let access = node.access();
    let nine = scratch.path().join("nine");
    fs::write(&nine, vec![9; 9 << 20]).unwrap();
    let mut submit = access.client(&["op", "submit", "digest", "--id", "nine", "--wait"]);
    let operation = parse(&run(submit.arg("--payload").arg(&nine)));
    assert_eq!(operation["result"]["bytes"], 9 << 20);
    // Its answer is of after the bytes were sent.
    let mut submit = access.client(&["op", "submit", "digest", "--id", "later"]);
    let operation = parse(&run(submit.arg("--payload").arg(&nine)));
    assert_ne!(operation["status"], "waiting", "{operation}");
    // Nobody wants the bytes: the command returns all the same.
    let mut submit = access.client(&["op", "submit", "nope", "--id", "nope"]);
    let operation = parse(&run(submit.arg("--payload").arg(&nine)));
    assert_eq!(operation["status"], "waiting", "{operation}");
    let said = fail(&mut access.client(&["op", "get", "absent"]), 3);
    assert!(
        said.contains("absent") && said.contains("op list"),
        "{said}"
    );
    // One line, and no colours where no person looks.
    let stranger = Access {
        token: "a token of nobody".to_owned(),
        ..access.clone()
    };
    let said = fail(&mut stranger.client(&["op", "list"]), 4);
    assert_eq!(said.lines().count(), 1, "{said}");
    let mut refused = stranger.client(&["op", "list"]);
    let said = fail(refused.env("SELVEDGE_LOG", "warn"), 4);
    assert!(said.lines().count() > 1, "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");

    let client = access.connect().await;
    let say = client
        .session()
        .command(actor("room/a").unwrap(), "say", json!({ "text": "hi" }));
    let error = say
        .payload(Bytes::from(vec![9; 9 << 20]))
        .send()
        .await
        .unwrap_err();
    let failure = error.failure().unwrap();
    assert_eq!(
        (failure.code, failure.field.as_deref()),
        (ErrorCode::Invalid, Some("payload"))
    );
    assert!(failure.message.contains("8 MiB"), "{failure}");
    client.close().await;
    assert!(node.stop("TERM").success());
}

#[test]
fn an_interrupted_demo_ends_in_order_and_goes_on_later() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("files");
    fs::create_dir(&dir).unwrap();
    for n in 0..20 {
        fs::write(dir.join(n.to_string()), n.to_string()).unwrap();
    }
    let demo = |exit: bool| {
        let mut command = selvedge();
        command
            .args(["demo", "--output", "json", "--dir"])
            .arg(&dir);
        command
            .arg("--data-dir")
            .arg(scratch.path().join("data"))
            .stdout(Stdio::piped());
        command.args(exit.then_some("--exit"));
        command
    };
    // Without `--exit` it serves on after its summary, until Ctrl-C.
    let mut serving = demo(false).spawn().unwrap();
    let mut summary = vec![0; 1];
    serving
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut summary)
        .unwrap();
    send_signal(&serving, "INT");
    let status = end_within(serving, PATIENCE).unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
    let again = parse(&run(&mut demo(true)));
    assert_eq!(
        (again["reused"].as_u64(), again["submitted"].as_u64()),
        (Some(20), Some(0))
    );
}

#[cfg(not(feature = "fdb-client"))]
#[test]
fn a_build_without_foundationdb_says_how_to_get_it() {
    let said = fail(selvedge().args(["dev", "--store", "fdb:fdb.cluster"]), 2);
    assert!(
        said.contains("--store: this build has no FoundationDB"),
        "{said}"
    );
    assert!(said.contains("--features fdb"), "{said}");
    let verify = ["verify", "--nodes", "3", "--fdb-bin", "/bin"];
    let said = fail(selvedge().args(verify), 2);
    assert!(
        said.contains("--fdb-bin: this build has no FoundationDB"),
        "{said}"
    );
}
