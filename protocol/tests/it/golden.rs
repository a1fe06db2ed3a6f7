//! The bytes of version 1 never change: `tests/golden/v1.txt`, compared both ways.

use std::collections::BTreeMap;

use crate::any::{Any, all_ordinals};
use crate::samples::samples;

/// Names and bytes of the file. Lines are `name hex`; `#` starts a comment.
pub(crate) fn golden() -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for line in include_str!("../golden/v1.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, bytes) = line.split_once(' ').expect("a line is: name hex");
        let before = all.insert(name.into(), from_hex(bytes));
        assert!(before.is_none(), "{name} is there twice");
    }
    all
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    assert!(
        text.len().is_multiple_of(2),
        "odd number of digits in {text}"
    );
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits"))
        .collect()
}

#[test]
fn every_sample_has_its_golden_bytes() {
    let golden = golden();
    let wrong: Vec<String> = samples()
        .iter()
        .filter(|(name, frame)| golden.get(name) != Some(&frame.encode()))
        .map(|(name, frame)| format!("{name} {}", to_hex(&frame.encode())))
        .collect();
    assert!(
        wrong.is_empty(),
        "the wire is fixed: mend the code, or add these lines if the samples are new\n{}",
        wrong.join("\n")
    );
}

#[test]
fn golden_bytes_decode_to_their_samples() {
    let mut golden = golden();
    for (name, frame) in samples() {
        let bytes = golden.remove(&name).expect("a line for each sample");
        assert_eq!(Any::decode(&bytes), Ok(frame), "{name}");
    }
    assert!(golden.is_empty(), "lines without a sample: {golden:?}");
}

#[test]
fn every_ordinal_has_golden_bytes() {
    let golden = golden();
    for (ordinal, frame) in all_ordinals() {
        assert!(
            golden.values().any(|bytes| bytes[5] == ordinal),
            "{frame} ({ordinal}) has no line in tests/golden/v1.txt: add a sample"
        );
    }
}
