//! `selvedge demo`: complete and right, whatever happens to it, and nothing done twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{PATIENCE, end_within, json, run, selvedge, text};

/// Files that have broken such tools before: empty, large, deep, oddly named.
fn fill(dir: &Path) -> usize {
    fs::create_dir_all(dir.join("a/b/c")).unwrap();
    let names = [
        "plain",
        "with space",
        "ünïcode",
        "back\\slash",
        "line\nbreak",
        "a/b/c/deep",
        "-dash",
    ];
    for (n, name) in names.iter().enumerate() {
        fs::write(dir.join(name), vec![u8::try_from(n).unwrap(); n * 1_000]).unwrap();
    }
    fs::write(dir.join("inline"), vec![1; 64 * 1024]).unwrap();
    fs::write(dir.join("attached"), vec![2; 64 * 1024 + 1]).unwrap();
    fs::write(dir.join("largest stored"), vec![3; 8 << 20]).unwrap();
    fs::write(dir.join("streamed"), vec![4; (8 << 20) + 1]).unwrap();
    for n in 0..200 {
        fs::write(dir.join(format!("a/{n}")), n.to_string().repeat(n)).unwrap();
    }
    std::os::unix::fs::symlink("plain", dir.join("link")).unwrap();
    names.len() + 4 + 200
}

fn demo(dir: &Path, data: &Path, manifest: &Path) -> Command {
    let mut command = selvedge();
    command
        .args(["demo", "--exit", "--output", "json", "--dir"])
        .arg(dir);
    command
        .arg("--data-dir")
        .arg(data)
        .arg("--manifest")
        .arg(manifest);
    command
}

/// The manifest is accepted by `sha256sum`, names every file, and every digest is right.
fn check_manifest(dir: &Path, manifest: &Path, files: usize) {
    let checked = run(Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet"])
        .arg(manifest)
        .current_dir(dir));
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let lines = fs::read_to_string(manifest).unwrap();
    assert_eq!(lines.lines().count(), files);
    let plain = fs::read(dir.join("streamed")).unwrap();
    let digest: String = Sha256::digest(plain)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(lines.contains(&format!("{digest}  streamed")));
}

#[test]
fn digests_everything_and_repeats_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let (dir, data) = (scratch.path().join("files"), scratch.path().join("data"));
    let manifest = scratch.path().join("manifest");
    let files = fill(&dir);

    let first = run(&mut demo(&dir, &data, &manifest));
    assert!(first.status.success(), "{}", text(&first.stderr));
    let summary = json(&first);
    assert_eq!(
        (summary["files"].as_u64(), summary["submitted"].as_u64()),
        (Some(files as u64), Some(files as u64))
    );
    assert_eq!(
        (summary["reused"].as_u64(), summary["failed"].as_u64()),
        (Some(0), Some(0))
    );
    assert!(summary["rate"].as_f64().unwrap() > 0.0);
    assert!(summary["latencyUs"]["p99"].as_u64() >= summary["latencyUs"]["p50"].as_u64());
    check_manifest(&dir, &manifest, files);

    fs::remove_file(&manifest).unwrap();
    let second = json(&run(&mut demo(&dir, &data, &manifest)));
    assert_eq!(
        (second["submitted"].as_u64(), second["reused"].as_u64()),
        (Some(0), Some(files as u64))
    );
    check_manifest(&dir, &manifest, files);

    fs::write(dir.join("plain"), "something else").unwrap();
    let third = json(&run(&mut demo(&dir, &data, &manifest)));
    assert_eq!(
        (third["submitted"].as_u64(), third["reused"].as_u64()),
        (Some(1), Some(files as u64 - 1))
    );
    check_manifest(&dir, &manifest, files);
}

#[test]
fn killed_twenty_times_it_completes_and_runs_no_finished_step_again() {
    let scratch = tempfile::tempdir().unwrap();
    let (dir, data) = (scratch.path().join("files"), scratch.path().join("data"));
    let (manifest, log) = (
        scratch.path().join("manifest"),
        scratch.path().join("steps"),
    );
    let files = fill(&dir);

    let mut seed = 0x5e1f_ed9e_u64;
    let mut kills = 0;
    while kills < 20 {
        // xorshift64, Marsaglia 2003: moments from before the node is up until after it is done.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let moment = Duration::from_millis(seed % 900);
        let child = demo(&dir, &data, &manifest)
            .env("SELVEDGE_DIGEST_LOG", &log)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        match end_within(child, moment) {
            None => kills += 1,
            Some(status) => {
                assert!(status.success());
                // All done already: start over with another set of operations.
                kills += 1;
                fs::remove_file(&manifest).unwrap();
            }
        }
    }
    let last = demo(&dir, &data, &manifest)
        .env("SELVEDGE_DIGEST_LOG", &log)
        .stdout(Stdio::piped())
        .spawn();
    assert!(end_within(last.unwrap(), PATIENCE).is_some_and(|status| status.success()));
    check_manifest(&dir, &manifest, files);
    check_steps(&fs::read_to_string(&log).unwrap(), files);
}

/// The handler's own log: `run ID` before a step's work, `done ID` once its result is known to be
/// durable. After `done` there is no `run`.
fn check_steps(log: &str, files: usize) {
    let mut finished = BTreeMap::new();
    for line in log.lines() {
        let Some((what, id)) = line.split_once(' ') else {
            continue;
        };
        match what {
            "run" => assert!(
                !finished.contains_key(id),
                "{id} ran again after it was finished"
            ),
            "done" => {
                finished.insert(id, ());
            }
            other => panic!("unknown line {other:?}"),
        }
    }
    assert!(finished.len() <= files);
}
