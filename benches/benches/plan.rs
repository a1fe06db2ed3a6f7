//! Plans of the largest cluster: 1,000 nodes and 16,384 slots. The goal is 100 ms.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use selvedge_cluster::plan::{Candidate, Plan};

const NODES: usize = 1_000;
const SLOTS: u16 = 16_384;

fn nodes(count: usize) -> Vec<Candidate> {
    (0..count)
        .map(|number| Candidate {
            name: format!("node-{number}"),
            weight: 100,
        })
        .collect()
}

fn plans(criterion: &mut Criterion) {
    let all = nodes(NODES);
    criterion.bench_function("the first plan", |bencher| {
        bencher.iter(|| Plan::empty(SLOTS).next(&all));
    });
    let plan = Plan::empty(SLOTS).next(&all);
    let without = nodes(NODES - 1);
    criterion.bench_function("a node dies", |bencher| {
        bencher.iter(|| plan.next(&without));
    });
    let more = nodes(NODES + 1);
    criterion.bench_function("a node joins", |bencher| {
        bencher.iter(|| plan.next(&more));
    });
    let mut grown = all.clone();
    for node in &mut grown[..NODES / 2] {
        node.weight = 200;
    }
    criterion.bench_function("half of the nodes grow", |bencher| {
        bencher.iter_batched(
            || plan.clone(),
            |plan| plan.next(&grown),
            BatchSize::LargeInput,
        );
    });
}

criterion_group!(benches, plans);
criterion_main!(benches);
