//! Links between the pages of this repository lead somewhere: files and headings.

use super::{files, none, root};

/// The lines of a page outside its fenced code.
fn prose(text: &str) -> Vec<&str> {
    let mut fenced = false;
    text.lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        })
        .collect()
}

/// The targets of `[text](target)` in a line, code spans apart.
fn targets(line: &str) -> Vec<&str> {
    let code = |at: usize| line[..at].matches('`').count() % 2 == 1;
    line.match_indices("](")
        .filter(|(at, _)| !code(*at))
        .filter_map(|(at, _)| line[at + 2..].split(')').next())
        .filter_map(|target| target.split_whitespace().next())
        .collect()
}

/// The anchors of a page, as code hosts make them from headings.
fn anchors(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in prose(text).into_iter().filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let plain: String = heading
            .chars()
            .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'))
            .map(|char| if char == ' ' { '-' } else { char })
            .collect();
        let before = all.iter().filter(|anchor| **anchor == plain).count();
        all.push(plain.clone());
        if before > 0 {
            all.push(format!("{plain}-{before}"));
        }
    }
    all
}

fn is_foreign(target: &str) -> bool {
    ["http://", "https://", "mailto:"]
        .iter()
        .any(|scheme| target.starts_with(scheme))
}

/// What is wrong with a link from the page `from`, if anything is.
fn wrong(from: &str, text: &str, target: &str) -> Option<&'static str> {
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (target, None),
    };
    let page = match path {
        "" => text.to_owned(),
        path => {
            let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
            let found = root().join(folder).join(path);
            if !found.exists() {
                return Some("leads to no file");
            }
            std::fs::read_to_string(found).unwrap_or_default()
        }
    };
    let there = anchor.is_none_or(|anchor| anchors(&page).iter().any(|known| known == anchor));
    (!there).then_some("leads to no heading")
}

#[test]
fn relative_links_resolve() {
    let mut broken = Vec::new();
    for (name, text) in files(".md") {
        for line in prose(&text) {
            for target in targets(line)
                .into_iter()
                .filter(|target| !is_foreign(target))
            {
                if let Some(what) = wrong(&name, &text, target) {
                    broken.push(format!("{name}: ({target}) {what}"));
                }
            }
        }
    }
    none(
        &broken,
        "mend the links, relative to the page they stand on",
    );
}

#[test]
fn links_are_found_and_checked() {
    let page = "# One `two`\n```\n[no](nowhere.md)\n```\n[a](#one-two) `[code](x)` [b](https://x)\n# One two\n";
    let found: Vec<_> = prose(page).into_iter().flat_map(targets).collect();
    assert_eq!(found, ["#one-two", "https://x"]);
    assert_eq!(anchors(page), ["one-two", "one-two", "one-two-1"]);
    assert_eq!(wrong("README.md", page, "#one-two"), None);
    assert_eq!(
        wrong("README.md", page, "#three"),
        Some("leads to no heading")
    );
    assert_eq!(wrong("README.md", page, "protocol/Cargo.toml"), None);
    assert_eq!(wrong("protocol/docs/wire.md", page, "../Cargo.toml"), None);
    assert_eq!(
        wrong("README.md", page, "nowhere.md"),
        Some("leads to no file")
    );
}
