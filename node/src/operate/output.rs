//! Prints results: tables for people, JSON for scripts. The only file that writes to standard output;
//! progress and messages go to standard error.
#![expect(clippy::print_stderr, reason = "this is the printer")]

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::operate::cli::OutputFormat;

/// Where results go, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    format: OutputFormat,
}

impl Printer {
    pub(crate) fn new(format: OutputFormat) -> Self {
        Self { format }
    }

    /// Whether scripts read the output.
    pub(crate) fn is_json(self) -> bool {
        self.format == OutputFormat::Json
    }

    /// One result: a JSON document, or what `table` makes of it.
    pub(crate) fn result<T: Serialize>(self, value: &T, table: impl FnOnce(&T) -> String) {
        match self.format {
            OutputFormat::Json => match serde_json::to_string(value) {
                Ok(text) => line(&text),
                Err(error) => eprintln!("error: the result is not JSON: {error}"),
            },
            OutputFormat::Table => line(&table(value)),
        }
    }

    /// Something a person likes to know; scripts do not see it.
    pub(crate) fn note(self, text: &str) {
        if !self.is_json() {
            line(text);
        }
    }

    /// A warning or a line of progress, on standard error.
    pub(crate) fn warn(self, text: &str) {
        say(text);
    }

    /// The completion script of a shell.
    pub(crate) fn completions(self, shell: clap_complete::Shell, command: &mut clap::Command) {
        clap_complete::generate(shell, command, "selvedge", &mut std::io::stdout());
    }

    /// A count on a terminal; elsewhere plain lines, each for twice as many.
    pub(crate) fn counter(self, what: &'static str) -> Counter {
        let on_terminal = std::io::stderr().is_terminal();
        let target = match on_terminal {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{msg}: {pos} {per_sec} {elapsed_precise}")
        {
            bar.set_style(style);
        }
        bar.set_message(what);
        Counter {
            bar,
            what,
            on_terminal,
            // Less is over before anybody wonders.
            next_line: 10_000,
        }
    }

    /// A progress bar on a terminal; elsewhere, plain lines now and then.
    pub(crate) fn progress(self, total: u64, what: &'static str) -> Progress {
        let on_terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(
            Some(total),
            if on_terminal {
                ProgressDrawTarget::stderr()
            } else {
                ProgressDrawTarget::hidden()
            },
        );
        if let Ok(style) = ProgressStyle::with_template(
            "{msg} [{bar:32}] {pos}/{len} {per_sec} {elapsed_precise} eta {eta}",
        ) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what);
        Progress {
            bar,
            what,
            on_terminal,
            next_line: total.div_ceil(10).max(1),
        }
    }
}

/// Long work whose end nobody knows: how many are done.
#[derive(Debug)]
pub(crate) struct Counter {
    bar: ProgressBar,
    what: &'static str,
    on_terminal: bool,
    next_line: u64,
}

impl Counter {
    /// So many are done.
    pub(crate) fn at(&mut self, done: u64) {
        self.bar.set_position(done);
        if !self.on_terminal && done >= self.next_line {
            self.next_line = done.saturating_mul(2);
            eprintln!("{}: {done}", self.what);
        }
    }

    /// The work is over, the line goes away.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// Progress of long work.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    what: &'static str,
    on_terminal: bool,
    next_line: u64,
}

impl Progress {
    /// One more is done.
    pub(crate) fn advance(&mut self) {
        self.bar.inc(1);
        let total = self.bar.length().unwrap_or(0);
        if !self.on_terminal && self.bar.position() >= self.next_line {
            self.next_line += total.div_ceil(10).max(1);
            eprintln!("{}: {}/{total}", self.what, self.bar.position());
        }
    }

    /// A line above the bar.
    pub(crate) fn event(&self, text: &str) {
        if self.on_terminal {
            self.bar.println(text);
        }
    }

    /// The work is over, the bar goes away.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// A line on standard error, from wherever it is known. A terminal that was closed is no reason to panic.
pub(crate) fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints a line; a reader that went away (`| head`) is no reason to panic.
fn line(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Columns aligned by the widest cell; the first row is the heading. What others named cannot move the cursor.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let plain = |row: &Vec<String>| row.iter().map(|cell| plain(cell)).collect();
    let rows: &[Vec<String>] = &rows.iter().map(plain).collect::<Vec<_>>();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|i| {
            rows.iter()
                .filter_map(|row| row.get(i))
                .map(|c| c.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        let mut text = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        lines.push(text.trim_end().to_owned());
    }
    lines.join("\n")
}

/// A text without what a terminal obeys.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for it in text.chars() {
        match it.is_control() {
            true => plain.extend(it.escape_default()),
            false => plain.push(it),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_trailing_blanks_go() {
        let rows = [
            vec!["ID".to_owned(), "STATUS".to_owned()],
            vec!["é-long".into(), "ok".into()],
        ];
        assert_eq!(table(&rows), "ID      STATUS\né-long  ok");
    }

    #[test]
    fn no_cell_speaks_to_the_terminal() {
        let rows = [vec!["a\u{1b}[2Jb\nc".to_owned(), "d".to_owned()]];
        assert_eq!(table(&rows), "a\\u{1b}[2Jb\\nc  d");
    }
}
