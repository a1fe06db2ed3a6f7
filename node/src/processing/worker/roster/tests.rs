//! Tests of the roster: fair choice, tenants apart, silence, and a model of its places.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn group(tenant: &str, operation_type: &str) -> Group {
    Group {
        tenant: Tenant::new(tenant).unwrap(),
        operation_type: OperationType::new(operation_type).unwrap(),
    }
}

fn enlist(roster: &mut Roster<()>, groups: &[&Group], capacity: u32) -> WorkerId {
    let id = roster.enlist(groups[0].tenant.clone(), ());
    let groups = groups.iter().map(|group| (*group).clone()).collect();
    roster.ready(id, groups, capacity);
    id
}

/// Numbers without order.
fn random(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
}

#[test]
fn a_worker_serves_its_own_tenant() {
    let mut roster = Roster::new();
    let (ours, theirs) = (group("ours", "resize"), group("theirs", "resize"));
    let worker = enlist(&mut roster, &[&ours], 1);
    assert_eq!(roster.pick(&theirs, 0), None);
    assert_eq!(roster.pick(&ours, 0), Some((worker, ())));
    assert_eq!(roster.pick(&ours, 0), None, "its one place is taken");
    roster.give_back(worker);
    assert_eq!(roster.pick(&ours, 7), Some((worker, ())));
}

#[test]
fn two_choices_keep_workers_about_equally_busy() {
    let mut roster = Roster::new();
    let resize = group("ours", "resize");
    let small = enlist(&mut roster, &[&resize], 100);
    let large = enlist(&mut roster, &[&resize], 300);
    let mut taken = HashMap::new();
    for n in 0..200 {
        let (worker, ()) = roster.pick(&resize, random(n)).unwrap();
        *taken.entry(worker).or_insert(0) += 1;
    }
    // By capacity it would be 50 and 150.
    assert!((35..=75).contains(&taken[&small]), "{taken:?}");
    assert_eq!(taken[&small] + taken[&large], 200);
}

#[test]
fn a_silent_worker_waits_until_it_is_heard_of() {
    let mut roster = Roster::new();
    let resize = group("ours", "resize");
    let worker = enlist(&mut roster, &[&resize], 4);
    assert_eq!(roster.silence(worker), std::slice::from_ref(&resize));
    assert_eq!((roster.places(&resize), roster.pick(&resize, 0)), (0, None));
    assert_eq!(roster.heard(worker), std::slice::from_ref(&resize));
    assert_eq!(roster.heard(worker), []);
    assert_eq!(roster.places(&resize), 4);
}

#[derive(Debug, Clone)]
enum Happening {
    Enlist,
    Ready {
        worker: usize,
        types: u8,
        capacity: u32,
    },
    Leave(usize),
    Pick {
        operation_type: u8,
        random: u64,
    },
    GiveBack(usize),
    Silence(usize),
    Heard(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    let worker = || 0..4_usize;
    prop_oneof![
        1 => Just(Happening::Enlist),
        3 => (worker(), 0..4_u8, 0..4_u32)
            .prop_map(|(worker, types, capacity)| Happening::Ready { worker, types, capacity }),
        1 => worker().prop_map(Happening::Leave),
        8 => (0..2_u8, any::<u64>())
            .prop_map(|(operation_type, random)| Happening::Pick { operation_type, random }),
        4 => worker().prop_map(Happening::GiveBack),
        1 => worker().prop_map(Happening::Silence),
        1 => worker().prop_map(Happening::Heard),
    ]
}

#[derive(Debug, Default)]
struct Model {
    types: u8,
    capacity: u32,
    taken: u32,
    is_silent: bool,
}

proptest! {
    /// Whoever is picked has room and takes that type; nobody is picked only if nobody has room.
    #[test]
    fn a_pick_is_one_that_may_and_none_only_if_there_is_none(
        happenings in proptest::collection::vec(happening(), 0..100),
    ) {
        let mut roster = Roster::new();
        let all = [group("ours", "a"), group("ours", "b")];
        let mut ids: Vec<WorkerId> = Vec::new();
        let mut model: HashMap<WorkerId, Model> = HashMap::new();
        for happening in happenings {
            let id_of = |at: usize| ids.get(at).copied().filter(|id| model.contains_key(id));
            match happening {
                Happening::Enlist if ids.len() < 4 => {
                    let id = roster.enlist(all[0].tenant.clone(), ());
                    ids.push(id);
                    model.insert(id, Model::default());
                }
                Happening::Enlist => {}
                Happening::Ready { worker, types, capacity } => {
                    let Some(id) = id_of(worker) else { continue };
                    let groups = (0..2).filter(|n| types & (1 << n) > 0).map(|n| all[n].clone());
                    roster.ready(id, groups.collect(), capacity);
                    let worker = model.get_mut(&id).unwrap();
                    (worker.types, worker.capacity, worker.is_silent) = (types, capacity, false);
                }
                Happening::Leave(at) => {
                    if let Some(id) = id_of(at) {
                        roster.leave(id);
                        model.remove(&id);
                    }
                }
                Happening::Pick { operation_type, random } => {
                    let may = |worker: &Model| {
                        worker.types & (1 << operation_type) > 0
                            && !worker.is_silent
                            && worker.taken < worker.capacity
                    };
                    match roster.pick(&all[usize::from(operation_type)], random) {
                        Some((id, ())) => {
                            let worker = model.get_mut(&id).unwrap();
                            prop_assert!(may(worker));
                            worker.taken += 1;
                        }
                        None => prop_assert!(!model.values().any(may)),
                    }
                }
                Happening::GiveBack(at) => {
                    let Some(id) = id_of(at) else { continue };
                    let worker = model.get_mut(&id).unwrap();
                    if worker.taken > 0 {
                        roster.give_back(id);
                        worker.taken -= 1;
                    }
                }
                Happening::Silence(at) => {
                    let Some(id) = id_of(at) else { continue };
                    roster.silence(id);
                    model.get_mut(&id).unwrap().is_silent = true;
                }
                Happening::Heard(at) => {
                    let Some(id) = id_of(at) else { continue };
                    roster.heard(id);
                    model.get_mut(&id).unwrap().is_silent = false;
                }
            }
            for (n, group) in all.iter().enumerate() {
                let takes = |worker: &&Model| worker.types & (1 << n) > 0 && !worker.is_silent;
                let places: u32 = model.values().filter(takes).map(|worker| worker.capacity).sum();
                prop_assert_eq!(roster.places(group), places as usize);
            }
        }
    }
}
