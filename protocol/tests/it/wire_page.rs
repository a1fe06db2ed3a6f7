//! `docs/wire.md` says what the code does: its tables are read and its types walked over real frames.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use selvedge_protocol::limits::{self, FRAME_HEADER_BYTES};
use selvedge_protocol::{ErrorCode, version};

use crate::any::{Variant, all_ordinals};
use crate::golden::{from_hex, golden};
use crate::json::field_names;
use crate::samples::samples;
use crate::strategies::any_frame;

const PAGE: &str = include_str!("../../docs/wire.md");

/// The sections of the page by heading, each with its lines.
fn sections() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut heading = "";
    for line in PAGE.lines() {
        if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim();
        } else {
            all.entry(heading).or_default().push(line);
        }
    }
    all
}

/// The rows of the tables in a section, without their heads.
fn rows(section: &str) -> Vec<Vec<&'static str>> {
    let sections = sections();
    let lines = sections.get(section);
    let lines = lines.unwrap_or_else(|| panic!("wire.md has no section {section:?}"));
    let mut rows = Vec::new();
    let mut inside = false;
    for line in lines {
        if line.starts_with("|---") {
            inside = true;
        } else if !line.starts_with('|') {
            inside = false;
        } else if inside {
            let cells = line.trim_matches('|').split('|');
            rows.push(cells.map(|cell| cell.trim().trim_matches('`')).collect());
        }
    }
    rows
}

/// The headings of frames: their ordinals and names.
fn frames() -> Vec<(u8, &'static str, &'static str)> {
    let mut all: Vec<_> = sections()
        .into_keys()
        .filter_map(|heading| {
            let (name, rest) = heading.split_once(" (")?;
            let ordinal = rest.strip_suffix(')')?.parse().ok()?;
            Some((ordinal, name, heading))
        })
        .collect();
    all.sort_unstable();
    all
}

/// Walks bytes by the types of the page, as a client written from it would.
struct Walk<'a> {
    rest: &'a [u8],
}

impl Walk<'_> {
    fn take(&mut self, count: usize) -> Vec<u8> {
        assert!(
            count <= self.rest.len(),
            "the page wants {count} more bytes"
        );
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        taken.to_vec()
    }

    fn number(&mut self) -> u64 {
        let first = self.take(1)[0];
        let (width, least) = match first {
            0..=250 => return u64::from(first),
            251 => (2, 251),
            252 => (4, 0x1_0000),
            253 => (8, 0x1_0000_0000),
            254.. => panic!("{first} begins no number"),
        };
        let mut bytes = self.take(width);
        bytes.resize(8, 0);
        let value = u64::from_le_bytes(bytes.try_into().unwrap());
        assert!(value >= least, "{value} has a shorter form");
        value
    }

    fn length(&mut self) -> usize {
        usize::try_from(self.number()).unwrap()
    }

    fn value(&mut self, of: &str) {
        if let Some(of) = of.strip_prefix("option of ") {
            match self.take(1)[0] {
                0 => {}
                1 => self.value(of),
                other => panic!("{other} is no option"),
            }
            return;
        }
        if let Some(of) = of.strip_prefix("list of ") {
            (0..self.length()).for_each(|_| self.value(of));
            return;
        }
        match of {
            "nothing" => {}
            "u8" => drop(self.take(1)),
            "bool" => assert!(self.take(1)[0] < 2),
            "u16" => assert!(self.number() <= 0xffff),
            "u32" => assert!(self.number() <= 0xffff_ffff),
            "u64" => drop(self.number()),
            "text" => {
                let length = self.length();
                assert!(String::from_utf8(self.take(length)).is_ok());
            }
            "bytes" => {
                let length = self.length();
                self.take(length);
            }
            "uuid" => {
                assert_eq!(self.length(), 16);
                self.take(16);
            }
            "ErrorCode" => {
                let ordinal = self.number().to_string();
                assert!(rows("Errors").iter().any(|row| row[0] == ordinal));
            }
            named => self.named(named),
        }
    }

    fn named(&mut self, of: &str) {
        if sections().contains_key(format!("struct {of}").as_str()) {
            return self.fields(&format!("struct {of}"));
        }
        let ordinal = self.number().to_string();
        let rows = rows(&format!("enum {of}"));
        let variant = rows.iter().find(|row| row[0] == ordinal);
        let variant = variant.unwrap_or_else(|| panic!("{of} has no {ordinal} in wire.md"));
        variant[2].split(", ").for_each(|held| self.value(held));
    }

    fn fields(&mut self, section: &str) {
        rows(section).iter().for_each(|row| self.value(row[1]));
    }
}

/// Walks a whole frame.
fn walk(bytes: &[u8]) {
    let (_, _, section) = frames()
        .into_iter()
        .find(|(ordinal, _, _)| *ordinal == bytes[5])
        .expect("a section for each frame");
    let mut walk = Walk {
        rest: &bytes[FRAME_HEADER_BYTES..],
    };
    walk.fields(section);
    assert!(
        walk.rest.is_empty(),
        "the page knows nothing of {:?}",
        walk.rest
    );
}

#[test]
fn ordinals_are_those_of_the_code() {
    let page: Vec<_> = frames()
        .into_iter()
        .map(|(ordinal, name, _)| (ordinal, name))
        .collect();
    assert_eq!(page, all_ordinals());
}

#[test]
fn the_types_of_the_page_read_every_golden_frame() {
    for bytes in golden().values() {
        walk(bytes);
    }
}

proptest! {
    // The page is parsed anew for each value, which is slow and simple.
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_types_of_the_page_read_every_frame(frame in any_frame()) {
        walk(&frame.encode());
    }
}

#[test]
fn fields_have_the_names_of_the_code() {
    for (name, frame) in samples() {
        let (_, title, section) = frames()
            .into_iter()
            .find(|(ordinal, _, _)| *ordinal == frame.ordinal())
            .unwrap();
        // A Notice is an enum as a whole: it has no fields of its own.
        if title == "Notice" {
            continue;
        }
        let page: Vec<_> = rows(section).iter().map(|row| row[0]).collect();
        assert_eq!(field_names(&frame), page, "{name} in section {section}");
    }
}

#[test]
fn enums_are_those_of_the_code_and_all_have_golden_bytes() {
    let code: BTreeSet<Variant> = samples()
        .iter()
        .flat_map(|(_, frame)| frame.variants())
        .collect();
    let mut page = BTreeSet::new();
    for heading in sections().into_keys() {
        if let Some(of) = heading.strip_prefix("enum ") {
            page.extend(rows(heading).iter().map(|row| Variant {
                of,
                ordinal: row[0].parse().unwrap(),
                name: row[1].into(),
            }));
        }
    }
    page.extend(rows("Errors").iter().map(|row| Variant {
        of: "ErrorCode",
        ordinal: row[0].parse().unwrap(),
        name: row[1].into(),
    }));
    assert_eq!(
        page, code,
        "left is wire.md, right is what the samples have"
    );
}

#[test]
fn errors_say_whether_they_may_be_retried() {
    let page: Vec<_> = rows("Errors").iter().map(|row| (row[1], row[2])).collect();
    let code = ErrorCode::ALL.map(|code| {
        (
            code.name(),
            if code.may_be_retried() { "yes" } else { "no" },
        )
    });
    assert_eq!(page, code);
}

#[test]
fn examples_are_golden_bytes_and_every_frame_has_one() {
    let golden = golden();
    let mut shown = BTreeSet::new();
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line
            .strip_prefix("Example `")
            .and_then(|rest| rest.split('`').next())
        else {
            continue;
        };
        let hex = lines.next().unwrap_or_default().trim_matches('`');
        assert_eq!(Some(&from_hex(hex)), golden.get(name), "example {name}");
        shown.insert(from_hex(hex)[5]);
    }
    let all: BTreeSet<_> = all_ordinals()
        .into_iter()
        .map(|(ordinal, _)| ordinal)
        .collect();
    assert_eq!(shown, all, "each frame has an example");
}

#[test]
fn limits_are_those_of_the_code() {
    macro_rules! limits {
        ($($name:ident)*) => {
            vec![$((stringify!($name), limits::$name.to_string()),)*]
        };
    }
    let code: Vec<(&str, String)> = limits![
        FRAME_BODY_BYTES_MAX INLINE_BYTES_MAX PAYLOAD_BYTES_MAX TOKEN_BYTES_MAX NAME_BYTES_MAX
        LABEL_BYTES_MAX MESSAGE_BYTES_MAX FRAME_LIST_LEN_MAX TENANT_BYTES_MAX KIND_BYTES_MAX
        ACTOR_KEY_BYTES_MAX CHOSEN_ID_BYTES_MAX SERVERS_MAX SESSION_WINDOW SESSION_QUERIES_MAX
        SESSION_SUBSCRIPTIONS_MAX SESSION_STREAMS_MAX SESSION_ANSWER_BYTES_MAX
        WEBSOCKET_MESSAGE_BYTES_MAX PAYLOAD_WINDOW_BYTES SESSION_DETACHED_MS_MAX SESSION_RESUME_MS_MAX
        WORKER_CAPACITY_MAX WORKER_TYPES_MAX WORKER_PIECE_BYTES_MAX
    ];
    let page: Vec<_> = rows("Limits")
        .iter()
        .map(|row| (row[0], row[1].to_owned()))
        .collect();
    assert_eq!(page, code);
}

#[test]
fn version_and_alpn_are_those_of_the_code() {
    assert!(PAGE.contains(&format!("\nVersion {}. ", version::CURRENT)));
    let alpn = std::str::from_utf8(version::ALPN).unwrap();
    assert!(PAGE.contains(&format!("ALPN `{alpn}`")));
}
