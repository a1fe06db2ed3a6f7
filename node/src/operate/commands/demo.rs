//! `selvedge demo`: digests every file of a directory, one durable operation each, through a native
//! session to a node of its own, and writes a manifest for `sha256sum -c`.

use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use selvedge_client::{CallError, Operation, OperationStatus, PayloadSource, Session, Submit};
use selvedge_cluster::Clock;
use selvedge_protocol::error::chain;
use selvedge_protocol::{ErrorCode, OperationId, OperationType};
use serde::Serialize;
use serde_json::json;
use serde_json::value::to_raw_value;

use crate::app::Application;
use crate::operate::bench::{LatencyUs, microseconds};
use crate::operate::certificates::write_private;
use crate::operate::cli::{Demo, NodeFlags};
use crate::operate::commands::serve::{start_development, wait_for_stop};
use crate::operate::config::can_be_a_file;
use crate::operate::failure::CommandFailure;
use crate::operate::output::Printer;

/// Operations unfinished at a time: enough to fill the commit pipeline, few enough to watch.
const IN_FLIGHT: usize = 64;

/// Folders that a checkout has and nobody wants digested; only skipped where no `--dir` is given.
const SKIPPED: [&str; 4] = [".git", "target", "node_modules", "selvedge-data"];

/// The summary that scripts read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    files: u64,
    /// Operations this run submitted.
    submitted: u64,
    /// Operations that an earlier run had finished.
    reused: u64,
    failed: u64,
    seconds: f64,
    /// Files a second.
    rate: f64,
    latency_us: LatencyUs,
}

pub(crate) async fn run(
    printer: Printer,
    application: Application,
    demo: Demo,
) -> Result<(), CommandFailure> {
    let dir = demo.dir.clone().unwrap_or_else(|| PathBuf::from("."));
    if !dir.is_dir() {
        return Err(CommandFailure::usage(format!(
            "--dir {}: not a directory",
            dir.display()
        )));
    }
    let flags = NodeFlags {
        data_dir: Some(demo.data_dir.clone()),
        quic: Some(demo.quic.clone()),
        http: Some(demo.http.clone()),
        ..NodeFlags::default()
    };
    if let Some(manifest) = &demo.manifest {
        check_manifest(manifest)?;
    }
    let development = start_development(&flags, application).await?;
    let manifest = demo
        .manifest
        .unwrap_or_else(|| demo.data_dir.join("demo.sha256"));

    printer.note(&format!(
        "node is ready at {} (QUIC)",
        development.profile.server
    ));
    if let Some(console) = development.node.console() {
        let token = &development.profile.token;
        printer.note(&format!("console: {console}  token: {token}"));
    }
    let files = walk(&dir, demo.dir.is_none(), &[&demo.data_dir, &manifest])?;
    printer.note(&format!(
        "digesting {} files under {}",
        files.len(),
        dir.display()
    ));
    // One for the whole life: a signal that came between two would be lost.
    let mut stop = std::pin::pin!(wait_for_stop());
    let work = digest_all(printer, development.client.session(), files);
    let (summary, lines) = tokio::select! {
        result = work => result,
        () = &mut stop => {
            development.stop().await;
            return Err(CommandFailure::failed(
                "interrupted; what is finished is kept: run the same command to go on",
            ));
        }
    };
    write_manifest(&manifest, lines).map_err(|error| CommandFailure::file(&manifest, &error))?;

    printer.result(&summary, |summary| describe(summary, &manifest, &dir));
    if !demo.exit {
        printer.note("serving on; stop with Ctrl-C (`--exit` ends here instead)");
        stop.await;
    }
    development.stop().await;
    let missing = summary.files - summary.submitted - summary.reused;
    if missing > 0 {
        return Err(CommandFailure::failed(format!(
            "{missing} files have no digest; run the same command again to go on"
        )));
    }
    Ok(())
}

/// Before hours of work end in a manifest that cannot be written.
fn check_manifest(manifest: &Path) -> Result<(), CommandFailure> {
    if can_be_a_file(manifest) {
        return Ok(());
    }
    Err(CommandFailure::usage(format!(
        "--manifest {}: give a file in a directory that is there",
        manifest.display()
    )))
}

/// The summary for a person.
fn describe(summary: &Summary, manifest: &Path, dir: &Path) -> String {
    let latency = summary.latency_us;
    let absolute = std::path::absolute(manifest).unwrap_or_else(|_| manifest.to_owned());
    format!(
        "{} files in {:.1} s ({:.0}/s): {} digested now, {} found done, {} failed\n\
         submit to result: p50 {} µs, p90 {} µs, p99 {} µs, max {} µs\n\
         manifest: {}\n\
         check it: cd {} && sha256sum --quiet -c {}",
        summary.files,
        summary.seconds,
        summary.rate,
        summary.submitted,
        summary.reused,
        summary.failed,
        latency.p50,
        latency.p90,
        latency.p99,
        latency.max,
        manifest.display(),
        quoted(dir),
        quoted(&absolute),
    )
}

/// A path as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@%:,=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A file to digest.
#[derive(Debug)]
struct File {
    path: PathBuf,
    /// Relative to the directory.
    name: PathBuf,
    metadata: Metadata,
}

impl File {
    /// Names the file's content as far as that is known without reading it, so that a second run finds
    /// the operation and a changed file gets a new one.
    fn operation_id(&self) -> Result<OperationId, selvedge_protocol::IdError> {
        let m = &self.metadata;
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.name.as_os_str().as_bytes());
        for number in [
            i128::from(m.size()),
            m.mtime().into(),
            m.mtime_nsec().into(),
            m.ctime().into(),
            m.ctime_nsec().into(),
            m.ino().into(),
        ] {
            hasher.update(&number.to_le_bytes());
        }
        OperationId::new(format!("digest-{}", &hasher.finalize().to_hex()[..32]))
    }
}

/// Every regular file below `dir`; links are not followed.
fn walk(dir: &Path, skip: bool, excluded: &[&Path]) -> Result<Vec<File>, CommandFailure> {
    let excluded: Vec<PathBuf> = excluded
        .iter()
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|e| CommandFailure::file(&folder, &e))?;
        for entry in entries {
            let entry = entry.map_err(|error| CommandFailure::file(&folder, &error))?;
            let path = entry.path();
            let metadata = entry
                .metadata()
                .map_err(|error| CommandFailure::file(&path, &error))?;
            let is_excluded = path
                .canonicalize()
                .is_ok_and(|path| excluded.contains(&path));
            let is_skipped = skip && SKIPPED.iter().any(|name| entry.file_name() == *name);
            if is_excluded || is_skipped {
                continue;
            }
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file() {
                let name = path.strip_prefix(dir).unwrap_or(&path).to_owned();
                files.push(File {
                    path,
                    name,
                    metadata,
                });
            }
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

async fn digest_all(
    printer: Printer,
    session: &Session,
    files: Vec<File>,
) -> (Summary, Vec<(PathBuf, String)>) {
    let clock = Clock::system();
    let mut progress = printer.progress(files.len() as u64, "digesting");
    let mut summary = Summary {
        files: files.len() as u64,
        submitted: 0,
        reused: 0,
        failed: 0,
        seconds: 0.0,
        rate: 0.0,
        latency_us: LatencyUs::default(),
    };
    let mut latencies = crate::operate::bench::histogram();
    let mut lines = Vec::with_capacity(files.len());
    let began = clock.monotonic();
    let mut results = futures::stream::iter(files)
        .map(|file| {
            let clock = clock.clone();
            async move {
                let began = clock.monotonic();
                let outcome = digest(session, &file).await;
                (file, outcome, began.elapsed())
            }
        })
        .buffer_unordered(IN_FLIGHT);
    while let Some((file, outcome, elapsed)) = results.next().await {
        match outcome {
            Ok(digested) => {
                if digested.found {
                    summary.reused += 1;
                } else {
                    summary.submitted += 1;
                }
                latencies.saturating_record(microseconds(elapsed));
                progress.event(&format!(
                    "{}  {}",
                    &digested.sha256[..12.min(digested.sha256.len())],
                    file.name.display()
                ));
                lines.push((file.name, digested.sha256));
            }
            Err(error) => {
                summary.failed += 1;
                printer.warn(&format!("{}: {}", file.name.display(), error.reason));
                if error.is_for_all {
                    printer.warn("stopping: the other files would be refused as well");
                    break;
                }
            }
        }
        progress.advance();
    }
    progress.finish();
    summary.seconds = began.elapsed().as_secs_f64();
    summary.rate = rate(summary.files, summary.seconds);
    summary.latency_us = LatencyUs::of(&latencies);
    (summary, lines)
}

#[derive(Debug)]
struct Digested {
    sha256: String,
    /// Whether an earlier run had finished it.
    found: bool,
}

/// Why a file has no digest.
#[derive(Debug)]
struct Undigested {
    reason: String,
    /// The node refuses for a reason that no other file escapes.
    is_for_all: bool,
}

impl From<CallError> for Undigested {
    fn from(error: CallError) -> Self {
        // Refused for longer than calls are retried: a full disk, or a node that is gone.
        let failure = error.failure();
        Self {
            reason: chain(&error),
            is_for_all: failure.is_some_and(|failure| failure.code.may_be_retried()),
        }
    }
}

impl From<String> for Undigested {
    fn from(reason: String) -> Self {
        let is_for_all = false;
        Self { reason, is_for_all }
    }
}

/// One file: its operation found, or submitted and waited for.
async fn digest(session: &Session, file: &File) -> Result<Digested, Undigested> {
    let id = file.operation_id().map_err(|error| error.to_string())?;
    let found = match session.operation(&id).await {
        Ok(operation) if operation.status.is_final() => Some(operation),
        Ok(_) => None,
        Err(CallError::Failure(failure)) if failure.code == ErrorCode::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    let (operation, found) = match found {
        Some(operation) => (operation, true),
        None => (submit(session, id, file).await?, false),
    };
    if operation.status != OperationStatus::Succeeded {
        let error = operation
            .error
            .map_or_else(String::new, |error| format!(": {}", error.message));
        return Err(Undigested::from(format!(
            "operation {} {}{error}",
            operation.id, operation.status
        )));
    }
    let result: serde_json::Value = operation
        .result
        .as_ref()
        .and_then(|result| serde_json::from_str(result.get()).ok())
        .unwrap_or_default();
    match result["sha256"].as_str() {
        Some(sha256) => Ok(Digested {
            sha256: sha256.to_owned(),
            found,
        }),
        None => Err(Undigested::from(format!(
            "operation {} has no digest in its result",
            operation.id
        ))),
    }
}

async fn submit(session: &Session, id: OperationId, file: &File) -> Result<Operation, CallError> {
    let input = json!({ "path": file.name.to_string_lossy(), "size": file.metadata.len() });
    let operation_type = OperationType::new("digest")?;
    let submit = Submit {
        id: Some(id),
        input: Some(to_raw_value(&input)?),
        payload: PayloadSource::File(file.path.clone()),
        ..Submit::new(operation_type)
    };
    session.submit_and_wait(submit).await
}

/// In the format of `sha256sum`: a name with a backslash or line break is escaped, and its line begins
/// with a backslash. Whole or not at all.
fn write_manifest(path: &Path, mut lines: Vec<(PathBuf, String)>) -> std::io::Result<()> {
    lines.sort();
    let mut text = Vec::new();
    for (name, sha256) in lines {
        let name = name.as_os_str().as_bytes();
        let escaped = escape(name);
        if escaped.len() != name.len() {
            text.push(b'\\');
        }
        text.extend_from_slice(sha256.as_bytes());
        text.extend_from_slice(b"  ");
        text.extend_from_slice(&escaped);
        text.push(b'\n');
    }
    write_private(path, &text)
}

fn escape(name: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(name.len());
    for &byte in name {
        match byte {
            b'\\' => escaped.extend_from_slice(b"\\\\"),
            b'\n' => escaped.extend_from_slice(b"\\n"),
            b'\r' => escaped.extend_from_slice(b"\\r"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn rate(count: u64, seconds: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate needs no more than 52 bits"
    )]
    let count = count as f64;
    if seconds > 0.0 { count / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_the_shell_where_they_must_be() {
        for (path, expected) in [
            ("/a/b-c.d", "/a/b-c.d"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
        ] {
            assert_eq!(quoted(Path::new(path)), expected);
        }
    }

    #[test]
    fn what_refuses_one_file_for_want_of_space_refuses_all() {
        let refused = |code| {
            let failure = selvedge_client::Failure::new(code, "no");
            Undigested::from(CallError::Failure(failure)).is_for_all
        };
        assert!(refused(ErrorCode::Unavailable));
        assert!(!refused(ErrorCode::TooLarge));
    }
}
