//! `selvedge audit verify --file`: whether an export is whole, with nothing but the export.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use selvedge_cluster::audit::{Hash, decode, hash_text};
use serde_json::{Value, json};

use super::export::line_of;
use crate::operate::failure::CommandFailure;
use crate::operate::output::Printer;

/// What verifying came to, as a node says it of a chain.
pub(super) fn verify(
    printer: Printer,
    path: &Path,
    expect: Option<(u64, String)>,
) -> Result<Value, CommandFailure> {
    let file = File::open(path).map_err(|error| CommandFailure::file(path, &error))?;
    let mut counter = printer.counter("records verified");
    let mut chain = Export::new(expect);
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let found = loop {
        line.clear();
        let mut bounded = reader.by_ref().take(LINE_BYTES_MAX);
        let read = bounded.read_until(b'\n', &mut line);
        match read.map_err(|error| CommandFailure::file(path, &error))? {
            0 => break chain.end(),
            _ => match chain.next(&line) {
                Ok(()) => counter.at(chain.records),
                Err(damage) => break Err(damage),
            },
        }
    };
    counter.finish();
    Ok(match found {
        Ok(whole) => whole,
        Err(Damage { number, message }) => {
            let message = format!(
                "{}: record {number}: {message}; this is not what was exported",
                path.display()
            );
            json!({ "result": "damaged", "number": number, "message": message })
        }
    })
}

/// How far an export was read.
struct Export {
    records: u64,
    first: u64,
    last: Option<(u64, Hash)>,
    expect: Option<(u64, String)>,
}

struct Damage {
    number: u64,
    message: &'static str,
}

impl Export {
    const fn new(expect: Option<(u64, String)>) -> Self {
        Self {
            records: 0,
            first: 0,
            last: None,
            expect,
        }
    }

    fn next(&mut self, line: &[u8]) -> Result<(), Damage> {
        let number = self.last.map_or(self.first, |(last, _)| last + 1);
        let damage = |message| Err(Damage { number, message });
        let Ok(line) = serde_json::from_slice::<Value>(line) else {
            return damage("its line is no JSON");
        };
        let stored = line["record"]
            .as_str()
            .map(|text| BASE64_STANDARD.decode(text));
        let Some(Ok(stored)) = stored else {
            return damage("it has no stored bytes in base64");
        };
        let Ok(record) = decode(stored.clone().into()) else {
            return damage("its stored bytes are no record");
        };
        // Hash and fields are what the stored bytes say, all of them.
        if line != line_of(stored) {
            return damage("its line says something else than its stored bytes");
        }
        match self.last {
            Some((last, hash)) => {
                if record.number != last + 1 {
                    return damage("it is missing");
                }
                if record.previous != hash {
                    return damage("the record before it is not the one that it follows");
                }
            }
            None => self.first = record.number,
        }
        self.records += 1;
        self.last = Some((record.number, record.hash));
        match self.expect.take_if(|(number, _)| *number == record.number) {
            Some((number, hash)) if hash != hash_text(&record.hash) => Err(Damage {
                number,
                message: "its hash is another than the one it is to be verified against",
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// After the last line.
    fn end(&self) -> Result<Value, Damage> {
        if let Some((number, _)) = self.expect {
            let message = "it is not in the export, so it cannot be compared";
            return Err(Damage { number, message });
        }
        let head = self
            .last
            .map(|(number, hash)| json!({ "number": number, "hash": hash_text(&hash) }));
        Ok(json!({
            "result": "whole", "records": self.records, "first": self.first, "head": head,
        }))
    }
}

/// A line of a record of the largest size is under 80 kB.
const LINE_BYTES_MAX: u64 = 256 * 1024;

#[cfg(test)]
mod tests;
