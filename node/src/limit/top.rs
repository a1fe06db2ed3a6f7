//! Who is refused most. Pure: time is an argument, nanoseconds since any beginning; and bounded: of each part of the last
//! minute it counts some names, and who is new takes the place of the one that was counted least (space-saving, Metwally,
//! Agrawal and El Abbadi 2005). So whoever is refused much is there, with at most too high a number.

use std::collections::HashMap;
use std::sync::Arc;

use selvedge_protocol::Tenant;
use selvedge_protocol::limits::LIMIT_TOP_KEPT;

use crate::limit::name::{Level, LimitName};

/// Who was refused what, and by which limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Refused {
    pub tenant: Tenant,
    pub principal: Arc<str>,
    pub name: LimitName,
    pub level: Level,
}

/// The refusals of the last minute.
#[derive(Debug, Default)]
pub(super) struct Top {
    parts: [Part; PARTS],
}

#[derive(Debug, Default)]
struct Part {
    /// Which part of all time it is.
    number: u64,
    counts: HashMap<Refused, u64>,
}

impl Top {
    pub(super) fn note(&mut self, now_ns: u64, who: &Refused) {
        let number = now_ns / PART_NS;
        let part = &mut self.parts[place(number)];
        if part.number != number {
            *part = Part {
                number,
                counts: HashMap::new(),
            };
        }
        if let Some(count) = part.counts.get_mut(who) {
            *count += 1;
            return;
        }
        let mut before = 0;
        if part.counts.len() >= LIMIT_TOP_KEPT
            && let Some(least) = part.counts.iter().min_by_key(|(_, count)| **count)
        {
            let (least, count) = (least.0.clone(), *least.1);
            part.counts.remove(&least);
            before = count;
        }
        part.counts.insert(who.clone(), before + 1);
    }

    /// Those of them that are wanted, the most refused first.
    pub(super) fn list(
        &self,
        now_ns: u64,
        wanted: impl Fn(&Refused) -> bool,
    ) -> Vec<(Refused, u64)> {
        let present = now_ns / PART_NS;
        let mut sums: HashMap<&Refused, u64> = HashMap::new();
        let recent = |part: &&Part| part.number + PARTS as u64 > present;
        for (who, count) in self.parts.iter().filter(recent).flat_map(|it| &it.counts) {
            if wanted(who) {
                *sums.entry(who).or_default() += count;
            }
        }
        let mut all: Vec<_> = sums
            .into_iter()
            .map(|(who, count)| (who.clone(), count))
            .collect();
        all.sort_by(|(one, many), (other, more)| more.cmp(many).then_with(|| one.cmp(other)));
        all
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number % PARTS as u64).unwrap_or(0)
}

/// Parts of a minute: it ends up to one of them early.
const PARTS: usize = 6;
const PART_NS: u64 = 10_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn who(name: &str) -> Refused {
        Refused {
            tenant: Tenant::default_tenant(),
            principal: name.into(),
            name: LimitName::Commands,
            level: Level::Tenant,
        }
    }

    fn names(top: &Top, now_ns: u64) -> Vec<(String, u64)> {
        let all = top.list(now_ns, |_| true).into_iter();
        all.map(|(who, count)| (who.principal.to_string(), count))
            .collect()
    }

    #[test]
    fn the_most_refused_come_first_for_a_minute() {
        let mut top = Top::default();
        for second in 0..20 {
            top.note(second * PART_NS / 10, &who("often"));
        }
        top.note(0, &who("once"));
        let found = names(&top, 2 * PART_NS);
        assert_eq!(found, [("often".into(), 20), ("once".into(), 1)]);
        assert_eq!(names(&top, 6 * PART_NS), [("often".into(), 10)]);
        assert_eq!(names(&top, 7 * PART_NS), []);
        // The same place, a minute later.
        top.note(60_000_000_000, &who("later"));
        let found = names(&top, 60_000_000_000);
        assert_eq!(found, [("often".into(), 10), ("later".into(), 1)]);
    }

    #[test]
    fn whoever_is_refused_much_is_found_among_many() {
        let mut top = Top::default();
        for number in 0..100 * LIMIT_TOP_KEPT {
            top.note(1, &who(&format!("somebody-{number}")));
            if number % 20 == 0 {
                top.note(1, &who("much"));
            }
        }
        assert!(top.parts.iter().all(|it| it.counts.len() <= LIMIT_TOP_KEPT));
        let found = names(&top, 1);
        assert_eq!(found[0].0, "much");
        assert!(found[0].1 >= 5 * LIMIT_TOP_KEPT as u64);
    }
}
