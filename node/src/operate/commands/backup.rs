//! `selvedge backup`: copies a store into a file, and a file into a store.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use selvedge_cluster::Clock;
use selvedge_cluster::audit::{Chain, Entry, Outcome, Trail};
use selvedge_cluster::backup::{self, BackupError, Contents};
use selvedge_protocol::error::chain;
use serde::Serialize;

use crate::operate::cli::{Backup, NodeFlags, OfStore};
use crate::operate::config::{NodeConfig, StoreUrl};
use crate::operate::failure::{CommandFailure, Exit};
use crate::operate::output::{Printer, table};
use crate::operate::peer;
use crate::operate::store::OpenStore;

pub(crate) async fn run(printer: Printer, command: Backup) -> Result<(), CommandFailure> {
    match command {
        Backup::Create(flags) => create(printer, flags, Of::Data).await,
        Backup::Keys(flags) => create(printer, flags, Of::Keys).await,
        Backup::RestoreKeys(flags) => restore_keys(printer, flags).await,
        Backup::Restore(flags) => restore(printer, flags).await,
        Backup::Verify { file } => verify(printer, &file),
    }
}

/// What is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// All but the keys of subjects.
    Data,
    /// Those. A copy takes the place of the one before, which is not to be kept.
    Keys,
}

async fn create(printer: Printer, flags: OfStore, of: Of) -> Result<(), CommandFailure> {
    let file = flags.file;
    if of == Of::Data && file.exists() {
        return Err(CommandFailure::usage(format!(
            "{} is there already; give another name",
            file.display()
        )));
    }
    let (config, store) = open(flags.store.into(), Creates::No).await?;
    let part = part(&file);
    let mut counter = printer.counter("keys copied");
    let made = async {
        let out = private(&part)?;
        let mut progress = |keys| counter.at(keys);
        let buffered = BufWriter::new(&out);
        let clock = Clock::system();
        let store = &*store.shared();
        let contents = match of {
            Of::Data => backup::create(store, &clock, buffered, &mut progress).await?,
            Of::Keys => backup::create_keys(store, &clock, buffered, &mut progress).await?,
        };
        out.sync_all()?;
        fs::rename(&part, &file)?;
        // The name is as durable as what it names.
        if let Some(Ok(dir)) = file.parent().map(open_dir) {
            dir.sync_all()?;
        }
        Ok(contents)
    };
    let made: Result<Contents, BackupError> = made.await;
    counter.finish();
    if made.is_ok() {
        record(printer, &store, "backup.create", &file).await;
    }
    store.close().await;
    match made {
        Ok(contents) => {
            told(printer, &file, &contents);
            Ok(())
        }
        Err(error) => {
            // It may not have been made at all.
            let _ = fs::remove_file(&part);
            Err(failure(&config, &file, &error))
        }
    }
}

async fn restore(printer: Printer, flags: OfStore) -> Result<(), CommandFailure> {
    let file = flags.file;
    let input = opened(&file)?;
    // Before anything is written: what is damaged is found now.
    checked(printer, &file)?;
    let (config, store) = open(flags.store.into(), Creates::Yes).await?;
    let mut counter = printer.counter("keys restored");
    let mut progress = |keys| counter.at(keys);
    let restored = backup::restore(&*store.shared(), &Clock::system(), input, &mut progress).await;
    counter.finish();
    if restored.is_ok() {
        record(printer, &store, "backup.restore", &file).await;
    }
    store.close().await;
    let contents = restored.map_err(|error| failure(&config, &file, &error))?;
    told(printer, &file, &contents);
    Ok(())
}

/// Says so in the audit trail of the cluster. A store that takes no record, since its disk is full for example, is
/// copied all the same.
async fn record(printer: Printer, store: &OpenStore, action: &str, file: &Path) {
    let trail = Trail::new(store.shared(), Clock::system());
    let entry = Entry {
        at_ms: trail.now_ms(),
        principal: whoever(),
        action: action.to_owned(),
        target: file.display().to_string(),
        outcome: Outcome::Done,
        detail: String::new(),
    };
    if let Err(error) = trail.record(&Chain::Cluster, &entry).await {
        let said = chain(&error);
        printer.warn(&format!("warning: the audit trail does not say so: {said}"));
    }
}

/// Who has the store's files at hand, by what the system calls them. Nobody has proved it.
fn whoever() -> String {
    let name = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    format!("local|{name}")
}

async fn restore_keys(printer: Printer, flags: OfStore) -> Result<(), CommandFailure> {
    let file = flags.file;
    let input = opened(&file)?;
    checked(printer, &file)?;
    let (config, store) = open(flags.store.into(), Creates::No).await?;
    let mut counter = printer.counter("keys restored");
    let mut progress = |keys| counter.at(keys);
    let clock = Clock::system();
    let restored = backup::restore_keys(&*store.shared(), &clock, input, &mut progress).await;
    counter.finish();
    store.close().await;
    let restored = restored.map_err(|error| failure(&config, &file, &error))?;
    let (keys, all) = (restored.restored, restored.contents.keys());
    let told = serde_json::json!({ "file": file, "restored": keys, "keys": all });
    printer.result(&told, |_| {
        format!(
            "{}: {keys} of {all} keys were not there and are now",
            file.display()
        )
    });
    Ok(())
}

fn verify(printer: Printer, file: &Path) -> Result<(), CommandFailure> {
    let contents = checked(printer, file)?;
    told(printer, file, &contents);
    Ok(())
}

fn checked(printer: Printer, file: &Path) -> Result<Contents, CommandFailure> {
    let input = opened(file)?;
    let mut counter = printer.counter("keys read");
    let contents = backup::verify(input, &mut |keys| counter.at(keys));
    counter.finish();
    contents
        .map_err(|error| CommandFailure::failed(format!("{}: {}", file.display(), chain(&error))))
}

/// Whether a store that is not there is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Creates {
    Yes,
    No,
}

async fn open(
    flags: NodeFlags,
    creates: Creates,
) -> Result<(NodeConfig, OpenStore), CommandFailure> {
    let config = NodeConfig::load(&flags)?;
    if config.store == StoreUrl::Embedded
        && creates == Creates::No
        && !config.data_dir.join("store").exists()
    {
        return Err(CommandFailure::usage(format!(
            "{}: {} has no store; give the data directory of a node, or --store",
            config.origin("data_dir"),
            config.data_dir.display()
        )));
    }
    let files = match &config.store {
        StoreUrl::Node { .. } => peer::required(&config)?,
        StoreUrl::Embedded | StoreUrl::FoundationDb(_) => None,
    };
    let store = OpenStore::open(&config, files.as_ref(), Clock::system()).await?;
    Ok((config, store))
}

/// A store that is in use is another matter than a file that is damaged.
fn failure(config: &NodeConfig, file: &Path, error: &BackupError) -> CommandFailure {
    let (store, file) = (config.origin("store"), file.display());
    let said = chain(error);
    match error {
        BackupError::Store(_) | BackupError::Different { .. } => {
            CommandFailure::failed(format!("{store}: {said}"))
        }
        BackupError::Nothing | BackupError::Occupied => {
            CommandFailure::usage(format!("{store}: {said}"))
        }
        BackupError::Alive { .. } | BackupError::Written => {
            CommandFailure::new(Exit::Refused, format!("{store}: {said}"))
        }
        BackupError::File(_)
        | BackupError::NoKeys
        | BackupError::Foreign
        | BackupError::Newer { .. }
        | BackupError::Damaged { .. } => CommandFailure::failed(format!("{file}: {said}")),
    }
}

fn opened(file: &Path) -> Result<BufReader<File>, CommandFailure> {
    let opened = File::open(file).map_err(|error| CommandFailure::file(file, &error))?;
    Ok(BufReader::new(opened))
}

/// Under this name until it is whole.
fn part(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// A file that nobody else may read.
fn private(path: &Path) -> Result<File, BackupError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    Ok(options.open(path)?)
}

fn open_dir(dir: &Path) -> std::io::Result<File> {
    match dir.as_os_str().is_empty() {
        true => File::open("."),
        false => File::open(dir),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    file: &'a Path,
    created_ms: u64,
    by: &'a str,
    keys: u64,
    bytes: u64,
    families: Vec<Family>,
}

#[derive(Serialize)]
struct Family {
    family: &'static str,
    keys: u64,
    bytes: u64,
    checksum: String,
}

fn told(printer: Printer, file: &Path, contents: &Contents) {
    let families = contents.families.iter().map(|total| Family {
        family: total.name(),
        keys: total.keys,
        bytes: total.bytes,
        checksum: format!("{:016x}", total.checksum),
    });
    let told = Told {
        file,
        created_ms: contents.created_ms,
        by: &contents.by,
        keys: contents.keys(),
        bytes: contents.bytes(),
        families: families.collect(),
    };
    printer.result(&told, |told| {
        let heading = ["FAMILY", "KEYS", "BYTES", "CHECKSUM"].map(str::to_owned);
        let mut rows = vec![heading.to_vec()];
        rows.extend(told.families.iter().map(|family| {
            vec![
                family.family.to_owned(),
                family.keys.to_string(),
                family.bytes.to_string(),
                family.checksum.clone(),
            ]
        }));
        let (file, keys, bytes) = (told.file.display(), told.keys, told.bytes);
        format!("{}\n{file}: {keys} keys, {bytes} bytes", table(&rows))
    });
}
