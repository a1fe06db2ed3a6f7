//! What it costs to ask whether a principal may do something. The goal is 1 µs a command together with its limits.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use selvedge_node::identity::{Permission, Principal, Request, Role, Rule, TABLE, authorize};
use selvedge_protocol::{OperationId, Target, Tenant};

fn somebody(roles: &[Role]) -> Principal {
    Principal::new("somebody", Tenant::default_tenant(), roles)
}

/// As many roles as anybody will have, each with every rule.
fn many_roles() -> Vec<Role> {
    let rules = TABLE
        .iter()
        .map(|it| Rule::any(it.permission.resource, it.permission.action));
    let rules: Vec<_> = rules.collect();
    (0..32)
        .map(|number| Role::new(format!("role-{number}"), rules.clone()))
        .collect()
}

fn authorization(criterion: &mut Criterion) {
    let room: Target = match "room/42".parse() {
        Ok(address) => Target::Actor(address),
        Err(error) => panic!("{error}"),
    };
    let operation = match OperationId::new("0198c0de-0000-7000-8000-000000000000") {
        Ok(id) => Target::Operation(id),
        Err(error) => panic!("{error}"),
    };
    let developer = somebody(&[Role::DEVELOPER]);
    let holder_of_many = somebody(&many_roles());
    let viewer = somebody(&[Role::VIEWER]);
    let ask = |principal: &Principal, request: Request<'_>, target: &Target| {
        authorize(principal, Permission::of(request, target))
    };
    criterion.bench_function("a command to an actor", |bencher| {
        bencher.iter(|| ask(black_box(&developer), Request::Command, black_box(&room)));
    });
    criterion.bench_function("a query of an operation", |bencher| {
        let query = Request::Query("get");
        bencher.iter(|| ask(black_box(&developer), query, black_box(&operation)));
    });
    criterion.bench_function("a command of somebody with 32 roles", |bencher| {
        bencher.iter(|| {
            ask(
                black_box(&holder_of_many),
                Request::Command,
                black_box(&room),
            )
        });
    });
    criterion.bench_function("a refusal", |bencher| {
        bencher.iter(|| ask(black_box(&viewer), Request::Command, black_box(&room)));
    });
    criterion.bench_function("a principal is made", |bencher| {
        bencher.iter(|| somebody(black_box(&[Role::DEVELOPER])));
    });
}

criterion_group!(benches, authorization);
criterion_main!(benches);
