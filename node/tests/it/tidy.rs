//! The repository's own rules, as tests: what STYLE and ARCHITECTURE promise and no compiler checks.
//!
//! Each rule reads the files that git knows, and fails with the place and the remedy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use toml::Table;

mod links;

/// The longest a source file may be, its tests apart: past it, it is two things.
const FILE_LINES_MAX: usize = 600;

/// What may stand at the top of the repository, files that tools expect there included.
const TOP_LEVEL: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "benches",
    "client",
    "clippy.toml",
    "cluster",
    "deny.toml",
    "node",
    "protocol",
    "rustfmt.toml",
];

/// Which of our crates each may depend on: arrows point one way.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("client", &["selvedge-protocol"]),
    ("cluster", &["selvedge-protocol"]),
    (
        "node",
        &["selvedge-protocol", "selvedge-client", "selvedge-cluster"],
    ),
    (
        "benches",
        &[
            "selvedge-protocol",
            "selvedge-client",
            "selvedge-cluster",
            "selvedge-node",
        ],
    ),
];

/// Crates that only some files may name, so that each can be replaced in one place.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("bincode", &["protocol/src/codec.rs"]),
    ("croner", &["node/src/operation/schedule/cron"]),
    (
        "jiff",
        &[
            "node/src/operation/schedule/cron",
            "node/src/operate/duration.rs",
        ],
    ),
    (
        "quinn",
        &[
            "client/",
            "cluster/src/gate",
            "cluster/src/peer",
            "cluster/src/store/remote",
            "cluster/tests/",
            "node/src/bin/",
            "node/src/edge",
            "node/src/operate",
            "node/tests/",
            "benches/",
        ],
    ),
    ("quinn_proto", &["cluster/src/gate"]),
    ("web_transport_proto", &["node/src/edge/web", "node/tests/"]),
    ("ractor", &["cluster/", "node/"]),
    ("actix", &["node/src/bridge", "node/tests/"]),
    ("actix_http", &["node/src/bridge"]),
    ("actix_service", &["node/src/bridge"]),
    ("actix_web", &["node/src/bridge", "node/tests/", "benches/"]),
    ("actix_ws", &["node/src/bridge", "node/tests/", "benches/"]),
    ("async_graphql", &["node/src/bridge/graphql"]),
    (
        "hyper",
        &["node/src/processing/builtin/http", "node/tests/it/bridge"],
    ),
    (
        "hyper_util",
        &["node/src/processing/builtin/http", "node/tests/it/bridge"],
    ),
    (
        "http_body_util",
        &["node/src/processing/builtin/http", "node/tests/it/bridge"],
    ),
    ("fjall", &["cluster/src/store/embedded"]),
    // The bare client, that ours is measured against.
    (
        "foundationdb",
        &[
            "cluster/src/store/fdb",
            "benches/examples/fdb_figures.rs",
            "benches/examples/index_figures.rs",
        ],
    ),
    ("foundationdb_tuple", &["cluster/src/store/keys"]),
];

/// Texts that have no place outside tests, each with what to write instead.
const NOT_OUTSIDE_TESTS: &[(&str, &str)] = &[
    (
        ".expect(",
        "return an error, or assert! a broken invariant with its values",
    ),
    (
        ".unwrap(",
        "return an error, or assert! a broken invariant with its values",
    ),
    ("unimplemented!(", "build it, or leave it out"),
    ("todo!(", "build it, or leave it out"),
    ("fn get_", "name it after what it returns, without get_"),
];

/// Texts that have no place in tests.
const NOT_IN_TESTS: &[(&str, &str)] = &[
    (
        "#[ignore",
        "a test that does not run shows nothing: mend it or remove it",
    ),
    (
        "thread::sleep(",
        "wait for the event itself, or drive simulated time",
    ),
    (
        "fn test_",
        "say what holds: the attribute already says that it is a test",
    ),
    ("assert!(true", "assert something that can fail"),
];

/// Last words of type names that say nothing.
const EMPTY_WORDS: &[&str] = &["Manager", "Helper", "Helpers", "Util", "Utils"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file that git tracks or would track, relative to the root, with its text. Binary files have none.
fn files(ends_with: &str) -> Vec<(String, String)> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .expect("git lists the files of this checkout");
    assert!(listed.status.success(), "git ls-files: {listed:?}");
    let names = String::from_utf8(listed.stdout).expect("file names are UTF-8");
    let files: Vec<_> = names
        .split_terminator('\0')
        .filter(|name| name.ends_with(ends_with))
        .filter_map(|name| Some((name.into(), fs::read_to_string(root().join(name)).ok()?)))
        .collect();
    assert!(
        !files.is_empty(),
        "there are files that end with {ends_with}"
    );
    files
}

fn manifest(path: &str) -> Table {
    let text = fs::read_to_string(root().join(path)).unwrap();
    text.parse().unwrap()
}

/// Panics with all that breaks a rule at once.
fn none(broken: &[String], remedy: &str) {
    assert!(broken.is_empty(), "{remedy}\n  {}", broken.join("\n  "));
}

/// Lines with their numbers, from 1.
type Numbered<'a> = Vec<(usize, &'a str)>;

/// The lines of a source file without its `mod tests`, numbered from 1; all of a test file is tests.
fn code_and_tests<'a>(name: &str, text: &'a str) -> (Numbered<'a>, Numbered<'a>) {
    let lines = || (1..).zip(text.lines());
    if is_test_file(name) {
        return (Vec::new(), lines().collect());
    }
    let mut pairs = text.lines().zip(text.lines().skip(1));
    let attribute =
        pairs.position(|(line, next)| line == "#[cfg(test)]" && next.starts_with("mod "));
    let end = attribute.unwrap_or(usize::MAX);
    lines().partition(|(number, _)| *number <= end)
}

fn is_test_file(name: &str) -> bool {
    name.contains("/tests/") || name.ends_with("/tests.rs") || name.starts_with("benches/")
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Whether the line uses the crate by path: its name as a whole word, with `::` behind it.
fn names_crate(line: &str, name: &str) -> bool {
    let path = format!("{name}::");
    let imports = format!("use {name};");
    let at_word = |at: usize| {
        !line[..at]
            .ends_with(|before: char| before.is_alphanumeric() || matches!(before, '_' | ':'))
    };
    line.contains(&imports) || line.match_indices(&path).any(|(at, _)| at_word(at))
}

#[test]
fn source_files_say_what_they_are() {
    let broken: Vec<_> = files(".rs")
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(name, _)| name)
        .collect();
    none(
        &broken,
        "open the file with `//!`: what it is, who calls it, what it never does",
    );
}

#[test]
fn source_files_are_one_thing() {
    let broken: Vec<_> = files(".rs")
        .iter()
        .map(|(name, text)| (name, code_and_tests(name, text).0.len()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(name, lines)| format!("{name}: {lines} lines"))
        .collect();
    none(&broken, "split the file: at most 600 lines, tests apart");
}

#[test]
fn our_crates_depend_one_way() {
    let mut broken = Vec::new();
    for (package, allowed) in MAY_NAME {
        let manifest = manifest(&format!("{package}/Cargo.toml"));
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(names) = manifest.get(section).and_then(toml::Value::as_table) else {
                continue;
            };
            for name in names.keys().filter(|name| name.starts_with("selvedge-")) {
                if !allowed.contains(&name.as_str()) {
                    broken.push(format!("{package}/Cargo.toml [{section}] names {name}"));
                }
            }
        }
    }
    for (name, text) in files(".rs") {
        let package = name.split('/').next().unwrap();
        let Some((_, allowed)) = MAY_NAME.iter().find(|(of, _)| *of == package) else {
            continue;
        };
        // A package's tests, examples and programs name its own library.
        let own = format!("selvedge-{package}");
        for other in MAY_NAME.iter().map(|(of, _)| format!("selvedge-{of}")) {
            let foreign = other != own && !allowed.contains(&other.as_str());
            let used =
                |line: &str| !is_comment(line) && names_crate(line, &other.replace('-', "_"));
            if foreign && text.lines().any(used) {
                broken.push(format!("{name} names {other}"));
            }
        }
    }
    none(
        &broken,
        "arrows point one way (ARCHITECTURE.md): move the code, or pass it in",
    );
}

#[test]
fn foreign_crates_stay_in_their_place() {
    let mut broken = Vec::new();
    for (name, text) in files(".rs") {
        for (of, places) in ONLY_IN {
            if places.iter().any(|place| name.starts_with(place)) {
                continue;
            }
            let used = |(_, line): &(usize, &str)| !is_comment(line) && names_crate(line, of);
            for (number, _) in (1..).zip(text.lines()).filter(used) {
                broken.push(format!(
                    "{name}:{number} names {of}, which only {places:?} may"
                ));
            }
        }
    }
    none(&broken, "go through the type of our own that wraps it");
}

#[test]
fn code_keeps_to_the_style() {
    let mut broken = Vec::new();
    for (name, text) in files(".rs") {
        let (code, _) = code_and_tests(&name, &text);
        for (number, line) in code.into_iter().filter(|(_, line)| !is_comment(line)) {
            for (found, remedy) in NOT_OUTSIDE_TESTS {
                if line.contains(found) {
                    broken.push(format!("{name}:{number} has {found}: {remedy}"));
                }
            }
        }
    }
    none(&broken, "mend these lines");
}

#[test]
fn tests_keep_to_the_style() {
    let mut broken = Vec::new();
    for (name, text) in files(".rs") {
        // This file has to spell what it looks for.
        if name.ends_with("tests/it/tidy.rs") {
            continue;
        }
        let (_, tests) = code_and_tests(&name, &text);
        for (number, line) in tests.into_iter().filter(|(_, line)| !is_comment(line)) {
            for (found, remedy) in NOT_IN_TESTS {
                if line.contains(found) {
                    broken.push(format!("{name}:{number} has {found}: {remedy}"));
                }
            }
            let is_simulated = text.contains("start_paused") || text.contains("time::pause()");
            if line.contains("time::sleep(") && !is_simulated {
                broken.push(format!(
                    "{name}:{number} sleeps in real time: wait for the event"
                ));
            }
        }
    }
    none(&broken, "mend these lines");
}

#[test]
fn types_are_not_called_manager() {
    let mut broken = Vec::new();
    for (name, text) in files(".rs") {
        for (number, line) in (1..).zip(text.lines()) {
            let declared = ["struct ", "enum ", "trait "].iter().find_map(|keyword| {
                line.trim_start()
                    .trim_start_matches("pub ")
                    .strip_prefix(keyword)
            });
            let word =
                declared.and_then(|rest| rest.split(|char: char| !char.is_alphanumeric()).next());
            if word.is_some_and(|word| EMPTY_WORDS.iter().any(|empty| word.ends_with(empty))) {
                broken.push(format!("{name}:{number} {line}"));
            }
        }
        let stem = name.rsplit('/').next().unwrap_or_default();
        if matches!(
            stem,
            "util.rs" | "utils.rs" | "helper.rs" | "helpers.rs" | "common.rs"
        ) {
            broken.push(name);
        }
    }
    none(&broken, "name it after what it does");
}

#[test]
fn one_integration_binary_a_crate() {
    let broken: Vec<_> = files(".rs")
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| {
            let mut parts = name.split('/').skip(1);
            parts.next() == Some("tests") && parts.next() != Some("it")
        })
        .collect();
    none(
        &broken,
        "make it a module of tests/it/main.rs: each binary links the whole world again",
    );
}

#[test]
fn lines_end_where_they_end() {
    let mut broken = Vec::new();
    for (name, text) in files("") {
        // Licence texts are as their authors published them, what is built as its tool made it.
        if name.starts_with("LICENSE") || name.starts_with("client/web/console/dist/") {
            continue;
        }
        for (number, line) in (1..).zip(text.lines()) {
            if line.ends_with([' ', '\t', '\r']) {
                broken.push(format!("{name}:{number} ends in white space"));
            }
        }
        if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
            broken.push(format!("{name} does not end in one new line"));
        }
    }
    none(&broken, "remove it: it only makes noise in diffs");
}

#[test]
fn the_top_level_is_known() {
    let mut broken: Vec<_> = files("")
        .into_iter()
        .map(|(name, _)| name.split('/').next().unwrap().to_owned())
        .filter(|top| !top.starts_with('.') && !TOP_LEVEL.contains(&top.as_str()))
        .collect();
    broken.dedup();
    none(&broken, "put it into the package it belongs to");
}

#[test]
fn dependencies_say_why() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut broken = Vec::new();
    let mut inside = false;
    let mut section_says = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with('[') {
            inside = line == "[workspace.dependencies]";
            section_says = false;
        } else if line.is_empty() {
            section_says = false;
        } else if line.starts_with('#') {
            section_says = true;
        } else if inside && !section_says && !line.contains(" # ") && !line.contains("{ path =") {
            broken.push(format!("Cargo.toml:{number} {line}"));
        }
    }
    none(
        &broken,
        "say in a comment why this crate, or put it under a section that does",
    );
}

#[test]
fn packages_inherit_the_workspace() {
    let mut broken = Vec::new();
    for (package, _) in MAY_NAME {
        let manifest = manifest(&format!("{package}/Cargo.toml"));
        let inherits = |table: &str, key: &str| {
            let value = manifest.get(table).and_then(|table| table.get(key));
            match key {
                "workspace" => value.and_then(toml::Value::as_bool) == Some(true),
                _ => value.and_then(|value| value.get("workspace")).is_some(),
            }
        };
        for key in [
            "version",
            "edition",
            "rust-version",
            "license",
            "repository",
        ] {
            if !inherits("package", key) {
                broken.push(format!("{package}/Cargo.toml: {key}.workspace = true"));
            }
        }
        if !inherits("lints", "workspace") {
            broken.push(format!("{package}/Cargo.toml: [lints] workspace = true"));
        }
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(names) = manifest.get(section).and_then(toml::Value::as_table) else {
                continue;
            };
            for (name, value) in names {
                if value.get("workspace").is_none() {
                    broken.push(format!("{package}/Cargo.toml: {name}.workspace = true"));
                }
            }
        }
    }
    let license = manifest("Cargo.toml")["workspace"]["package"]["license"].clone();
    assert_eq!(license.as_str(), Some("Apache-2.0 OR MIT"));
    none(
        &broken,
        "versions, lints and the licence are set once, in the root Cargo.toml",
    );
}
