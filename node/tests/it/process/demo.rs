//! `selvedge demo`: complete and right, whatever happens to it, and nothing done twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tokio::time::Instant;

use super::{Access, Moments, Node, PATIENCE, append, dev, end_within, json, run, selvedge, text};

/// Files that have broken such programs before: empty, large, deep, oddly named.
fn fill(dir: &Path, generation: u8) -> usize {
    fs::create_dir_all(dir.join("a/b/c")).unwrap();
    let names = [
        "empty",
        "with space",
        "ünïcode",
        "back\\slash",
        "line\nbreak",
        "a/b/c/deep",
        "-dash",
    ];
    for (n, name) in names.iter().enumerate() {
        fs::write(dir.join(name), vec![generation; n * 1_000]).unwrap();
    }
    let sizes = [
        ("inline", 64 << 10),
        ("attached", (64 << 10) + 1),
        ("largest stored", 8 << 20),
        ("streamed", (8 << 20) + 1),
    ];
    for (name, size) in sizes {
        fs::write(dir.join(name), vec![generation; size]).unwrap();
    }
    for n in 0..SMALL_FILES {
        fs::write(
            dir.join(format!("a/{n}")),
            format!("{generation} {n}").repeat(n),
        )
        .unwrap();
    }
    let link = dir.join("link");
    if !link.is_symlink() {
        std::os::unix::fs::symlink("inline", link).unwrap();
    }
    names.len() + sizes.len() + SMALL_FILES
}

/// More than a demo has unfinished at a time, so that a kill finds done, begun and waiting files.
const SMALL_FILES: usize = 100;

struct Places<'a> {
    dir: &'a Path,
    data: &'a Path,
    manifest: &'a Path,
}

impl Places<'_> {
    fn demo(&self) -> Command {
        let mut command = selvedge();
        command
            .args(["demo", "--exit", "--output", "json", "--dir"])
            .arg(self.dir);
        command
            .arg("--data-dir")
            .arg(self.data)
            .arg("--manifest")
            .arg(self.manifest);
        command
    }

    /// The manifest is accepted by `sha256sum`, which reads every file again, and names every file.
    fn check_manifest(&self, files: usize) {
        let mut check = Command::new("sha256sum");
        check
            .args(["--check", "--strict", "--quiet"])
            .arg(self.manifest)
            .current_dir(self.dir);
        let checked = run(&mut check);
        assert!(
            checked.status.success(),
            "{}{}",
            text(&checked.stdout),
            text(&checked.stderr)
        );
        let lines = fs::read_to_string(self.manifest).unwrap();
        let names: BTreeSet<_> = lines
            .lines()
            .filter_map(|line| line.split_once("  "))
            .map(|(_, name)| name)
            .collect();
        assert_eq!((lines.lines().count(), names.len()), (files, files));
    }
}

#[test]
fn digests_everything_and_repeats_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("files");
    let data = scratch.path().join("data");
    let manifest = scratch.path().join("manifest");
    let places = Places {
        dir: &dir,
        data: &data,
        manifest: &manifest,
    };
    let files = fill(&dir, 1);
    let all = Some(files as u64);

    let first = json(&run(&mut places.demo()));
    assert_eq!(
        (first["files"].as_u64(), first["submitted"].as_u64()),
        (all, all)
    );
    assert_eq!(
        (first["reused"].as_u64(), first["failed"].as_u64()),
        (Some(0), Some(0))
    );
    assert!(first["rate"].as_f64().unwrap() > 0.0 && first["seconds"].as_f64().unwrap() > 0.0);
    let latency = |name: &str| first["latencyUs"][name].as_u64().unwrap();
    let quantiles = [
        1,
        latency("p50"),
        latency("p90"),
        latency("p99"),
        latency("max"),
    ];
    assert!(quantiles.is_sorted(), "{first}");
    places.check_manifest(files);

    fs::remove_file(&manifest).unwrap();
    let second = json(&run(&mut places.demo()));
    assert_eq!(
        (second["submitted"].as_u64(), second["reused"].as_u64()),
        (Some(0), all)
    );
    places.check_manifest(files);

    fs::write(dir.join("inline"), "something else").unwrap();
    let third = json(&run(&mut places.demo()));
    assert_eq!(
        (third["submitted"].as_u64(), third["reused"].as_u64()),
        (Some(1), Some(files as u64 - 1))
    );
    places.check_manifest(files);
}

#[test]
fn killed_twenty_times_it_completes_and_runs_no_finished_step_again() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("files");
    let data = scratch.path().join("data");
    let manifest = scratch.path().join("manifest");
    let log = scratch.path().join("steps");
    let places = Places {
        dir: &dir,
        data: &data,
        manifest: &manifest,
    };
    fs::write(&log, "").unwrap();

    let mut generation = 1;
    let files = fill(&dir, generation);
    // The first run, to its end, says how long a life is.
    let began = Instant::now();
    json(&run(places.demo().env("SELVEDGE_DIGEST_LOG", &log)));
    let life = began.elapsed();

    let mut moments = Moments(0x5e1f_ed9e);
    let mut finished: BTreeMap<String, usize> = BTreeMap::new();
    generation += 1;
    fill(&dir, generation);
    let mut kills = 0;
    while kills < 20 {
        let mut demo = places.demo();
        demo.env("SELVEDGE_DIGEST_LOG", &log).stdout(Stdio::piped());
        let child = demo
            .stderr(append(&data.with_extension("log")))
            .spawn()
            .unwrap();
        if let Some(status) = end_within(child, moments.before(life)) {
            // Done before its moment came: the next lives get new work.
            assert!(status.success());
            places.check_manifest(files);
            generation += 1;
            fill(&dir, generation);
            continue;
        }
        kills += 1;
        let node = Node::spawn(dev(&data).env("SELVEDGE_DIGEST_LOG", &log));
        let succeeded = succeeded(&node.access());
        let executions = executions(&log);
        for id in succeeded {
            finished
                .entry(id.clone())
                .or_insert_with(|| executions[&id]);
        }
        node.kill();
    }
    let mut last = places.demo();
    let child = last
        .env("SELVEDGE_DIGEST_LOG", &log)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(end_within(child, PATIENCE).is_some_and(|status| status.success()));
    places.check_manifest(files);

    let executions = executions(&log);
    assert!(
        finished.len() >= files,
        "{} operations were seen finished",
        finished.len()
    );
    for (id, times) in finished {
        assert_eq!(executions[&id], times, "{id} was finished and ran again");
    }
}

/// The ids of all succeeded operations, page by page.
fn succeeded(access: &Access) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut list = vec!["op", "list", "--status", "succeeded", "--limit", "500"];
        if let Some(cursor) = &cursor {
            list.extend(["--cursor", cursor]);
        }
        let page = access.ask(&list);
        for item in page["items"].as_array().unwrap() {
            assert!(
                ids.insert(item["id"].as_str().unwrap().to_owned()),
                "{item} is listed twice"
            );
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return ids,
        }
    }
}

/// How often the step of each operation was executed. A line that a kill cut short counts for none.
fn executions(log: &Path) -> BTreeMap<String, usize> {
    let mut executions = BTreeMap::new();
    for line in fs::read_to_string(log).unwrap().split_inclusive('\n') {
        if let Some(id) = line.strip_suffix('\n') {
            *executions.entry(id.to_owned()).or_default() += 1;
        }
    }
    executions
}
