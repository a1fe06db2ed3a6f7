//! Torn tails are cut off exactly; flipped bytes and missing files are refused; nothing is ever wrong.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use selvedge_cluster::store::{Error, Store};

use super::super::scratch;
use super::{all, close, copy, in_use, open, put};

type Pairs = Vec<(Bytes, Bytes)>;

/// The bytes of the journal that are in use.
fn journal(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path.join(JOURNAL)).unwrap();
    bytes.truncate(in_use(&bytes));
    bytes
}

/// A store of which each commit's content and end in the journal is known.
async fn stored(path: &Path) -> Vec<(usize, Pairs)> {
    let store = open(path).unwrap();
    let mut states = Vec::new();
    for number in 0..4u8 {
        let value = vec![number + 1; 40];
        put(&store, &format!("key {number}"), &value).await.unwrap();
        states.push((journal(path).len(), all(&store).await.unwrap()));
    }
    close(&store, path);
    states
}

#[tokio::test]
async fn a_torn_tail_is_cut_off_at_every_byte() {
    let directory = scratch();
    let original = directory.path().join("original");
    let states = stored(&original).await;
    let whole = journal(&original);
    let [.., (before, without), (end, with)] = &states[..] else {
        panic!("too few commits");
    };
    assert_eq!(*end, whole.len());
    for at in *before..=*end {
        let torn = directory.path().join(at.to_string());
        copy(&original, &torn);
        // The floor was raised when the store was closed; a crash would have left an older one.
        fs::write(torn.join("FLOOR"), "1\n").unwrap();
        let mut bytes = whole[..at].to_vec();
        if at % 2 == 0 {
            // A journal is longer than what was written to it.
            bytes.resize(at + 10_000, 0);
        }
        fs::write(torn.join(JOURNAL), bytes).unwrap();
        let store = open(&torn).unwrap();
        let expected = if at == *end { with } else { without };
        assert_eq!(&all(&store).await.unwrap(), expected, "cut at {at}");
        put(&store, "later", b"1").await.unwrap();
        store.close();
        let again = all(&open(&torn).unwrap()).await.unwrap();
        assert_eq!(again.len(), expected.len() + 1, "cut at {at}");
        fs::remove_dir_all(&torn).unwrap();
    }
}

#[tokio::test]
async fn a_flipped_byte_in_the_journal_is_refused_or_harmless() {
    let directory = scratch();
    let original = directory.path().join("original");
    let states = stored(&original).await;
    let whole = journal(&original);
    let last_but_one = states[states.len() - 2].0;
    let (_, expected) = states.last().unwrap();
    for at in 0..whole.len() {
        let flipped = directory.path().join(at.to_string());
        copy(&original, &flipped);
        // The worst case: nothing but the journal itself can tell.
        fs::write(flipped.join("FLOOR"), "1\n").unwrap();
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(flipped.join(JOURNAL), bytes).unwrap();
        let found = match open(&flipped) {
            Ok(store) => all(&store).await,
            Err(error) => Err(error),
        };
        match found {
            Err(error) if error.is_damage() => {}
            // The last commit's own bytes cannot be told from a torn tail.
            Ok(found) if at >= last_but_one => {
                assert!(expected.starts_with(&found), "flipped at {at}");
                assert!(found.len() + 1 >= expected.len(), "flipped at {at}");
            }
            Ok(found) => assert_eq!(&found, expected, "flipped at {at}"),
            Err(other) => panic!("flipped at {at}: {other}"),
        }
        fs::remove_dir_all(&flipped).unwrap();
    }
}

#[tokio::test]
async fn flipped_bytes_in_tables_are_refused_or_harmless() {
    let directory = scratch();
    let original = directory.path().join("original");
    let store = open(&original).unwrap();
    for number in 0..600u32 {
        let value = vec![u8::try_from(number % 251).unwrap(); 200];
        put(&store, &format!("key {number:06}"), &value)
            .await
            .unwrap();
    }
    let expected = all(&store).await.unwrap();
    close(&store, &original);
    let files = table_files(&original);
    let is_table = |path: &PathBuf| path.to_string_lossy().contains("/tables/");
    assert!(files.iter().any(is_table), "no table in {files:?}");
    let (mut refused, mut unreadable) = (0, 0);
    for (number, file) in files.iter().enumerate() {
        let length = fs::metadata(original.join(file)).unwrap().len();
        let length = usize::try_from(length).unwrap();
        // Spread over the file, its ends included; closer in manifests, which are small.
        let flips = if length < 1_000 { length.min(50) } else { 8 };
        for flip in 0..flips {
            let flipped = directory.path().join(format!("{number}-{flip}"));
            copy(&original, &flipped);
            let mut bytes = fs::read(original.join(file)).unwrap();
            if bytes.is_empty() {
                continue;
            }
            let at = (length - 1) * flip / (flips - 1).max(1);
            bytes[at] ^= 1 << (flip % 8);
            fs::write(flipped.join(file), bytes).unwrap();
            let found = match open(&flipped) {
                Ok(store) => all(&store).await,
                Err(error) => Err(error),
            };
            match found {
                Ok(found) => assert!(found == expected, "{} at {at}", file.display()),
                Err(Error::Corrupt { .. }) => refused += 1,
                Err(Error::Unreadable { .. }) => unreadable += 1,
                Err(other) => panic!("{} at {at}: {other}", file.display()),
            }
            fs::remove_dir_all(&flipped).unwrap();
        }
    }
    assert!(
        refused > 0 && unreadable > 0,
        "{refused} flips were noticed at the opening, {unreadable} at a read"
    );
}

#[tokio::test]
async fn a_missing_file_is_refused() {
    let directory = scratch();
    let original = directory.path().join("original");
    let store = open(&original).unwrap();
    for number in 0..600u32 {
        put(&store, &format!("key {number:06}"), &[7; 200])
            .await
            .unwrap();
    }
    let expected = all(&store).await.unwrap();
    close(&store, &original);
    let mut files = table_files(&original);
    files.extend([PathBuf::from(JOURNAL), PathBuf::from("data/version")]);
    for (number, file) in files.iter().enumerate() {
        let missing = directory.path().join(number.to_string());
        copy(&original, &missing);
        fs::remove_file(missing.join(file)).unwrap();
        let found = match open(&missing) {
            Ok(store) => all(&store).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => assert!(found == expected, "without {}", file.display()),
            Err(error) if error.is_damage() => {}
            Err(other) => panic!("without {}: {other}", file.display()),
        }
    }
    let without_data = directory.path().join("without data");
    copy(&original, &without_data);
    fs::remove_dir_all(without_data.join("data")).unwrap();
    assert!(matches!(open(&without_data), Err(Error::Corrupt { .. })));
}

/// Everything under fjall's keyspaces, relative to the store.
fn table_files(path: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![path.join("data/keyspaces")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap().path();
            if entry.is_dir() {
                directories.push(entry);
            } else {
                files.push(entry.strip_prefix(path).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

#[tokio::test]
async fn an_older_copy_of_the_journal_is_noticed() {
    let directory = scratch();
    let path = directory.path().join("store");
    let store = open(&path).unwrap();
    put(&store, "a", b"1").await.unwrap();
    let older = journal(&path);
    put(&store, "b", b"1").await.unwrap();
    let version = store.begin().read_version().await.unwrap();
    store.close();
    drop(store);
    let floor = fs::read_to_string(path.join("FLOOR")).unwrap();
    assert_eq!(floor.trim(), version.to_string());
    fs::write(path.join(JOURNAL), older).unwrap();
    match open(&path) {
        Err(Error::Corrupt { reason, .. }) => assert!(reason.contains("missing"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

const JOURNAL: &str = "data/0.jnl";
