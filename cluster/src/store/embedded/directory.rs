//! The directory of an embedded store: who has it open, what it is, and how far it is known to go.
//!
//! ```text
//! selvedge.lock   held with an OS lock while open, so that kill -9 leaves nothing stale; names the process
//! FORMAT          "selvedge-store 1"
//! FLOOR           a version that is durable: less than that after a restart means that files are missing
//! data/           fjall's files
//! ```
//! Called when a store is opened, closed, and now and then by the committer. Never reads or writes
//! a record.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::{Error, Version};
use super::{journal, manifest};

/// A directory that this process alone has open.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    floor: Option<Version>,
    _lock: File,
}

impl Directory {
    /// Creates or opens the directory, locks it and checks that it is a store's and complete.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let is_new = Self::check_kind(path)?;
        fs::create_dir_all(path).map_err(|error| stopped(path, &error))?;
        let lock = lock(path)?;
        if is_new {
            let content = format!("{FORMAT}\n");
            replace(path, FORMAT_FILE, content.as_bytes())
                .map_err(|error| stopped(path, &error))?;
        }
        let floor = read_floor(path)?;
        let directory = Self {
            path: path.to_owned(),
            floor,
            _lock: lock,
        };
        directory.check_database()?;
        Ok(directory)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn database_path(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// A version that the store had reached when it was last open.
    pub(super) const fn floor(&self) -> Option<Version> {
        self.floor
    }

    /// Notes that everything up to `version` is durable.
    pub(super) fn raise_floor(&self, version: Version) -> io::Result<()> {
        replace(&self.path, FLOOR_FILE, format!("{version}\n").as_bytes())
    }

    /// Whether the directory is new; an error if it belongs to something else.
    fn check_kind(path: &Path) -> Result<bool, Error> {
        match fs::read_to_string(path.join(FORMAT_FILE)) {
            Ok(content) if content.trim_end() == FORMAT => return Ok(false),
            Ok(content) => {
                let found: String = content.trim_end().chars().take(64).collect();
                return Err(corrupt(
                    path,
                    &format!("its {FORMAT_FILE} is {found:?}, not {FORMAT:?}"),
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(corrupt(path, &format!("its {FORMAT_FILE}: {error}"))),
        }
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(stopped(path, &error)),
        };
        // What a creation that was killed leaves behind is no obstacle.
        let ours = [LOCK_FILE, "FORMAT.new"];
        for entry in entries {
            let name = entry.map_err(|error| stopped(path, &error))?.file_name();
            if !ours.iter().any(|ours| name == *ours) {
                let reason = format!(
                    "it contains {name:?} and no {FORMAT_FILE}, so it is not a store's directory"
                );
                return Err(corrupt(path, &reason));
            }
        }
        Ok(true)
    }

    /// Checks that fjall's files can be all there, before fjall cuts off what it takes for a torn tail.
    fn check_database(&self) -> Result<(), Error> {
        let database = self.database_path();
        let exists = |path: &Path| path.try_exists().map_err(|e| stopped(&self.path, &e));
        if !exists(&database)? {
            return match self.floor {
                None => Ok(()),
                Some(_) => Err(corrupt(&self.path, "its directory data is missing")),
            };
        }
        if exists(&database.join("version"))? {
            let checked = manifest::check(&database).and_then(|()| journal::mend(&database));
            return checked.map_err(|reason| corrupt(&self.path, &reason));
        }
        // fjall writes its marker last when it creates a database.
        let untouched = journal::check_untouched(&database);
        if self.floor.is_some() || untouched.is_err() {
            return Err(corrupt(&self.path, "the file data/version is missing"));
        }
        fs::remove_dir_all(&database).map_err(|error| stopped(&self.path, &error))
    }
}

fn lock(path: &Path) -> Result<File, Error> {
    let open = || -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK_FILE))
    };
    let mut file = open().map_err(|error| stopped(path, &error))?;
    match try_lock(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who holds it is a courtesy: that it is held is what counts.
            let _ = file.read_to_string(&mut holder);
            return Err(Error::Locked {
                path: path.display().to_string(),
                process: holder.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(stopped(path, &error)),
    }
    let write = |file: &mut File| -> io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(|error| stopped(path, &error))?;
    Ok(file)
}

/// Locks a file, which may take a moment: until the system has cleared up after a process that was just killed,
/// or until a program that another thread starts has closed the files that it began with.
fn try_lock(file: &File) -> Result<(), TryLockError> {
    for _ in 1..LOCK_ATTEMPTS_MAX {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            result => return result,
        }
    }
    file.try_lock()
}

fn read_floor(path: &Path) -> Result<Option<Version>, Error> {
    match fs::read_to_string(path.join(FLOOR_FILE)) {
        Ok(content) => match content.trim_end().parse() {
            Ok(version) => Ok(Some(version)),
            Err(_) => Err(corrupt(path, &format!("its {FLOOR_FILE} is not a number"))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(corrupt(path, &format!("its {FLOOR_FILE}: {error}"))),
    }
}

/// Replaces a small file so that a crash leaves the old or the new one.
fn replace(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let new = directory.join(format!("{name}.new"));
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, directory.join(name))?;
    File::open(directory)?.sync_all()
}

fn corrupt(path: &Path, reason: &str) -> Error {
    Error::Corrupt {
        path: path.display().to_string(),
        reason: reason.to_owned(),
    }
}

fn stopped(path: &Path, error: &io::Error) -> Error {
    Error::Stopped(format!("{}: {error}", path.display()))
}

/// Half a second in all: longer than such a moment, and not long for whoever starts a second node.
const LOCK_ATTEMPTS_MAX: u32 = 51;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
const LOCK_FILE: &str = "selvedge.lock";
const FORMAT_FILE: &str = "FORMAT";
const FLOOR_FILE: &str = "FLOOR";
const DATABASE: &str = "data";
const FORMAT: &str = "selvedge-store 1";
