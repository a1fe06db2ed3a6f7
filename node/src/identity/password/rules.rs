//! What may be a password: NIST SP 800-63B-4, 3.1.1.2. Pure.
//!
//! Fifteen characters, since it is all that somebody shows; any characters, and no rules about which. The whole of it is held
//! against what is expected first: `common.txt`, the names of its owner and of this system, runs such as `12345678` and
//! repeats, one after the other, with a few characters between them. What a password contains beside that is not judged.

use selvedge_protocol::limits::{PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN};
use selvedge_protocol::{ErrorCode, Failure};
use zeroize::Zeroizing;

/// Why something may not be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error(
        "a password has {PASSWORD_CHARS_MIN} characters or more; some words in a row make a good one"
    )]
    Short,
    #[error("a password has up to {PASSWORD_CHARS_MAX} characters")]
    Long,
    #[error(
        "the password is made of what is tried first: names, common passwords, runs and repeats; take other words"
    )]
    Expected,
}

impl From<Unfit> for Failure {
    fn from(unfit: Unfit) -> Self {
        Self::field(ErrorCode::Invalid, "password", unfit.to_string())
    }
}

/// Whether this may be the password of who has these names.
pub(super) fn check(text: &str, names: &[&str]) -> Result<(), Unfit> {
    // A code point is a character (3.1.1.2).
    let chars = text.chars().count();
    if chars < PASSWORD_CHARS_MIN {
        return Err(Unfit::Short);
    }
    if chars > PASSWORD_CHARS_MAX {
        return Err(Unfit::Long);
    }
    match unexpected(text, names) < UNEXPECTED_MIN {
        true => Err(Unfit::Expected),
        false => Ok(()),
    }
}

/// How many characters of a text are left when pieces that are expected are taken out in the best way.
fn unexpected(text: &str, names: &[&str]) -> usize {
    let plain: Zeroizing<Vec<char>> =
        Zeroizing::new(text.chars().flat_map(char::to_lowercase).collect());
    let read: Zeroizing<Vec<char>> = Zeroizing::new(plain.iter().map(|it| letter(*it)).collect());
    let names = names.iter().flat_map(|name| {
        let parts = name.split(|it: char| !it.is_alphanumeric());
        parts.filter(|part| part.chars().count() >= PIECE_CHARS_MIN)
    });
    let names = names.map(str::to_lowercase);
    let words: Vec<Vec<char>> = COMMON
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .chain(names)
        .map(|word| word.chars().collect())
        .collect();
    // The least that is left of what is before each position.
    let mut left: Vec<usize> = (0..=plain.len()).collect();
    for at in 0..plain.len() {
        let before = left[at];
        let mut take = |chars: usize, costs: usize| {
            let end = &mut left[at + chars];
            *end = (*end).min(before + costs);
        };
        take(1, 1);
        for word in &words {
            if plain[at..].starts_with(word) || read[at..].starts_with(word) {
                take(word.len(), 0);
            }
        }
        if is_year(&plain[at..]) {
            take(4, 0);
        }
        for chars in PIECE_CHARS_MIN..=run(&plain[at..]) {
            take(chars, 0);
        }
        for chars in 1..=at.min(plain.len() - at) {
            if plain[at - chars..at] == plain[at..at + chars] {
                take(chars, 0);
            }
        }
    }
    left.last().copied().unwrap_or_default()
}

/// How many characters at the beginning go up by one, down by one, or are all the same.
fn run(text: &[char]) -> usize {
    let steps = |by: i64| {
        let pairs = text.iter().zip(text.iter().skip(1));
        let follows = |(one, next): &(&char, &char)| {
            i64::from(u32::from(**next)) - i64::from(u32::from(**one)) == by
        };
        1 + pairs.take_while(follows).count()
    };
    [-1, 0, 1].into_iter().map(steps).max().unwrap_or_default()
}

/// Whether a text begins with a year that people have lived in.
fn is_year(text: &[char]) -> bool {
    matches!(text, ['1', '9', ten, one, ..] | ['2', '0', ten, one, ..] if ten.is_ascii_digit() && one.is_ascii_digit())
}

/// The letter that a character is put for.
const fn letter(it: char) -> char {
    match it {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    }
}

/// What has fewer characters than this beside what is expected is found in some hundred thousand tries.
const UNEXPECTED_MIN: usize = 4;
/// Shorter pieces are everywhere.
const PIECE_CHARS_MIN: usize = 3;

const COMMON: &str = include_str!("common.txt");
