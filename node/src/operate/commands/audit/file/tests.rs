//! Exports that are whole, and exports that somebody has touched.

use std::sync::Arc;

use selvedge_cluster::Clock;
use selvedge_cluster::audit::{Chain, Entry, Outcome, Search, Trail};
use selvedge_cluster::store::Order;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};

use super::*;
use crate::operate::cli::OutputFormat;

async fn export() -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(EmbeddedConfig::new(directory.path().join("store"))).unwrap();
    let trail = Trail::new(Arc::new(store), Clock::manual(0, 1));
    for number in 1..=3 {
        let entry = Entry {
            at_ms: number,
            principal: "ann".to_owned(),
            action: "policy.set".to_owned(),
            target: "digest".to_owned(),
            outcome: Outcome::Done,
            detail: r#"{"before":{},"after":{"concurrency":2}}"#.to_owned(),
        };
        trail.record(&Chain::Cluster, &entry).await.unwrap();
    }
    let search = Search {
        from: None,
        order: Order::Ascending,
        since_ms: None,
        until_ms: None,
        principal: None,
        action: None,
        limit: 9,
    };
    let found = trail.search(&Chain::Cluster, &search).await.unwrap();
    let lines = found
        .records
        .iter()
        .map(|it| line_of(it.stored.to_vec()).to_string());
    lines.collect()
}

fn verified(lines: &[String], expect: Option<(u64, String)>) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("export");
    std::fs::write(&path, lines.join("\n")).unwrap();
    verify(Printer::new(OutputFormat::Json), &path, expect).unwrap()
}

#[tokio::test]
async fn an_export_is_verified_without_a_node() {
    let lines = export().await;
    let whole = verified(&lines, None);
    assert_eq!(
        (&whole["result"], &whole["records"], &whole["first"]),
        (&json!("whole"), &json!(3), &json!(1))
    );
    let hash = whole["head"]["hash"].as_str().unwrap().to_owned();
    assert_eq!(verified(&lines, Some((3, hash.clone())))["result"], "whole");
    // A part is one as well, from wherever it begins.
    assert_eq!(verified(&lines[1..], Some((3, hash.clone())))["first"], 2);
    for (lines, expect) in [
        (&lines[..], Some((2, hash.clone()))),
        (&lines[..2], Some((3, hash))),
        (&[lines[0].clone(), lines[2].clone()][..], None),
        (&[lines[1].clone(), lines[0].clone()][..], None),
        (&[lines[0].clone(), lines[0].clone()][..], None),
    ] {
        let damaged = verified(lines, expect);
        assert_eq!(damaged["result"], "damaged", "{damaged}");
    }
    assert_eq!(verified(&[], None)["head"], Value::Null);
}

#[tokio::test]
async fn every_character_of_an_export_counts() {
    let lines = export().await;
    for (at, character) in lines[1].char_indices() {
        // What is between the fields says nothing.
        let other = if character == '1' { '2' } else { '1' };
        let mut changed = lines.clone();
        changed[1].replace_range(at..=at, &other.to_string());
        let found = verified(&changed, None);
        assert_eq!(found["result"], "damaged", "{at} {}", changed[1]);
    }
}
