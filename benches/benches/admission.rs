//! One decision about a first packet, with tables full of prefixes: what the edge spends before anything else.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use selvedge_node::edge::admission::{Admission, AdmissionConfig, Attempt, Proof, Rate, Verdict};
use selvedge_protocol::limits::EDGE_ACCOUNTS_MAX;

/// Some times what there is room for.
const PREFIXES: u32 = 1_000_000;

/// A first packet of another prefix each time.
fn attempt(number: u32, proof: Proof) -> Attempt {
    Attempt {
        // Multiplied by an odd number, all of them differ.
        from: IpAddr::V4(Ipv4Addr::from(number.wrapping_mul(2_654_435_761) | 1 << 29)),
        proof,
        connections: 0,
        connections_max: 1,
    }
}

/// Both tables full, with debts that last longer than the bench.
fn full(configure: impl FnOnce(&mut AdmissionConfig)) -> Admission {
    let slow = Rate {
        per_second: 1,
        burst: 1_000_000,
    };
    let mut config = AdmissionConfig {
        address: slow,
        network: slow,
        loopback: slow,
        unproven: Rate {
            per_second: 1,
            burst: u32::MAX,
        },
        retries: Rate {
            per_second: u32::MAX,
            burst: u32::MAX,
        },
        ..AdmissionConfig::default()
    };
    configure(&mut config);
    let mut admission = Admission::new(config, EDGE_ACCOUNTS_MAX, 7);
    for number in 0..PREFIXES {
        for proof in [Proof::None, Proof::Retry] {
            let attempt = attempt(number, proof);
            if admission.decide(NOW, attempt) == Verdict::Accept {
                admission.ended(attempt.from);
            }
        }
    }
    admission
}

const NOW: Duration = Duration::from_secs(1);

fn decisions(criterion: &mut Criterion) {
    for (name, proof, unproven) in [
        ("accept without a proof", Proof::None, u32::MAX),
        ("retry", Proof::None, 1),
        ("accept with a proof", Proof::Retry, u32::MAX),
    ] {
        let mut admission = full(|config| config.unproven.burst = unproven);
        let mut number = 0;
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                number += 1;
                let attempt = attempt(number, proof);
                let verdict = admission.decide(NOW, black_box(attempt));
                if verdict == Verdict::Accept {
                    admission.ended(attempt.from);
                }
                verdict
            });
        });
    }
    let mut admission = full(|config| {
        config.unproven.burst = 1;
        config.retries = Rate {
            per_second: 1,
            burst: 1,
        };
    });
    let mut number = 0;
    criterion.bench_function("ignore", |bencher| {
        bencher.iter(|| {
            number += 1;
            admission.decide(NOW, black_box(attempt(number, Proof::None)))
        });
    });
    let admission = full(|_| {});
    criterion.bench_function("count prefixes, once a second", |bencher| {
        bencher.iter(|| admission.tracked(black_box(NOW)));
    });
}

criterion_group!(benches, decisions);
criterion_main!(benches);
