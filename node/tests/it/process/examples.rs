//! The examples of the client, as they are in its directory, against a real node.

use std::process::Command;

use super::{Access, Node, run, text};

/// Runs an example; returns what it prints.
fn example(access: &Access, name: &str, argument: Option<&str>) -> String {
    // Cargo puts examples beside the directory of test binaries.
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    path.push(name);
    assert!(
        path.exists(),
        "build the examples first: cargo build -p selvedge-node --examples"
    );
    let mut command = Command::new(path);
    command
        .args(argument)
        .env("SELVEDGE_SERVER", &access.server)
        .env("SELVEDGE_CA", &access.ca);
    let output = run(command.env("SELVEDGE_TOKEN", &access.token));
    assert!(output.status.success(), "{name}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn each_does_what_it_says() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let access = node.access();

    for (run, value) in [(1, 1_101), (2, 1_202)] {
        let printed = example(&access, "client-counter", None);
        assert!(
            printed.contains(&format!(r#"{{"value":{value}}}"#)),
            "run {run}: {printed}"
        );
    }
    let printed = example(&access, "client-room", Some("one"));
    assert!(
        printed.contains("1 said") && printed.contains("one"),
        "{printed}"
    );
    let printed = example(&access, "client-room", Some("two"));
    assert!(
        printed.contains("one") && printed.contains("2 said") && printed.contains("two"),
        "{printed}"
    );

    let printed = example(&access, "client-operation", None);
    assert!(
        printed.contains("is succeeded") && printed.contains("the latest: 1 operations"),
        "{printed}"
    );

    let printed = example(&access, "client-worker", Some("3"));
    for number in 1..=3 {
        assert!(
            printed.contains(&format!("Hello, number {number}!")),
            "{printed}"
        );
    }

    let file = scratch.path().join("file");
    std::fs::write(&file, vec![5; 9 << 20]).unwrap();
    let expected = text(&run(Command::new("sha256sum").arg(&file)).stdout);
    for _ in 0..2 {
        let printed = example(&access, "client-payload", file.to_str());
        assert!(
            printed.starts_with(&expected[..64]) && printed.contains("9437184 bytes"),
            "{printed}"
        );
    }
    assert!(node.stop("TERM").success());
}
