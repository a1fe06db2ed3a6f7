//! kill -9 at any moment: whatever was answered is there, and every commit whole or not at all.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use selvedge_cluster::store::Store;

use super::{all, open};

/// Not a test by itself: the process that is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writing_process() {
    let Ok(path) = std::env::var(DIRECTORY) else {
        return;
    };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let store = Arc::new(open(Path::new(&path)).unwrap());
    let writers = (0..WRITERS).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for number in first.. {
                let mut transaction = store.begin();
                let value = vec![7; 50 + usize::try_from(number % 300).unwrap()];
                for half in ["a", "b"] {
                    transaction.set(format!("{writer}/{number:08}/{half}").as_bytes(), &value);
                }
                transaction.commit().await.unwrap();
                let line = format!("{ACKNOWLEDGED}{writer} {number}\n");
                // Past the test's capture, in one piece.
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(line.as_bytes()).unwrap();
                stdout.flush().unwrap();
            }
        })
    });
    futures::future::join_all(writers).await;
}

#[tokio::test]
async fn acknowledged_commits_survive_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut acknowledged = BTreeMap::new();
    let mut first = 0;
    for round in 0..6 {
        let mut child = Killed(start(&path, first));
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        // At another moment of a group, a flush or a compaction each time.
        let mut wanted = 30 + round * 333;
        while let Some(Ok(line)) = lines.next() {
            if let Some((_, counts)) = line.split_once(ACKNOWLEDGED) {
                let (writer, number) = counts.split_once(' ').unwrap();
                acknowledged.insert(writer.to_owned(), number.parse::<u64>().unwrap());
                wanted -= 1;
            }
            if wanted == 0 {
                child.0.kill().unwrap();
            }
        }
        assert!(wanted <= 0, "the process ended by itself");
        drop(child);
        let store = open(&path).unwrap();
        let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let pairs = all(&store).await.unwrap();
        for pair in pairs.chunks(2) {
            let names = pair
                .iter()
                .map(|(key, _)| std::str::from_utf8(key).unwrap());
            let names: Vec<_> = names.map(|name| name.rsplit_once('/').unwrap()).collect();
            assert_eq!(names.len(), 2);
            assert_eq!((names[0].0, names[0].1, names[1].1), (names[1].0, "a", "b"));
            let (writer, number) = names[0].0.split_once('/').unwrap();
            let numbers = found.entry(writer.to_owned()).or_default();
            numbers.push(number.parse().unwrap());
        }
        for (writer, last) in &acknowledged {
            let numbers = &found[writer];
            assert!(
                numbers.last() >= Some(last),
                "{writer} lost {last}: {numbers:?}"
            );
        }
        first = found
            .values()
            .filter_map(|numbers| numbers.last())
            .max()
            .unwrap()
            + 1;
        // A writer writes one after the other: nothing may be missing in between within a round.
        for numbers in found.values() {
            let gaps = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1);
            assert!(gaps.count() <= usize::try_from(round).unwrap());
        }
        let version = store.begin().read_version().await.unwrap();
        assert!(version > 1);
    }
}

fn start(path: &Path, first: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::embedded::crash::writing_process"])
        .args(["--nocapture", "--test-threads", "1"])
        .env(DIRECTORY, path)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Killed at the latest when the test is over.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const DIRECTORY: &str = "SELVEDGE_TEST_STORE_DIRECTORY";
const FIRST: &str = "SELVEDGE_TEST_STORE_FIRST";
const ACKNOWLEDGED: &str = "acknowledged ";
const WRITERS: usize = 8;
