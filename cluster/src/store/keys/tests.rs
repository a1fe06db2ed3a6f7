//! The order and the round trip of keys, against what they stand for.

use foundationdb_tuple::{Element, unpack};
use proptest::prelude::*;

use selvedge_protocol::ids::{OperationId, OperationType};

use super::*;

fn texts() -> impl Strategy<Value = String> {
    // Zeros and the highest characters are where an encoding loses its order.
    proptest::collection::vec(
        prop_oneof![
            Just('\0'),
            Just('\u{10ffff}'),
            proptest::char::range('a', 'c'),
            proptest::char::any()
        ],
        1..6,
    )
    .prop_map(|chars| chars.into_iter().collect())
}

fn tenants() -> impl Strategy<Value = Tenant> {
    "[a-c]{1,2}".prop_map(|text| Tenant::new(text).unwrap())
}

fn chains() -> impl Strategy<Value = Chain> {
    prop_oneof![Just(Chain::Cluster), tenants().prop_map(Chain::from)]
}

fn tenant() -> Tenant {
    Tenant::new("t").unwrap()
}

fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), 0..70_000u64, any::<u64>()]
}

fn actors() -> impl Strategy<Value = ActorPath> {
    (any::<u16>(), "[a-c]{1,2}", "[a-c]{1,2}", texts()).prop_map(|(slot, tenant, kind, key)| {
        ActorPath {
            slot,
            tenant: Tenant::new(tenant).unwrap(),
            address: format!("{kind}/{key}").parse().unwrap(),
        }
    })
}

fn parts() -> impl Strategy<Value = Part> {
    prop_oneof![
        Just(Part::Record),
        any::<u32>().prop_map(|chunk| Part::State { chunk }),
        any::<u128>().prop_map(|id| Part::Session {
            session: SessionId::from_u128(id)
        }),
        any::<u128>().prop_map(|id| Part::CommandOutcome {
            command: CommandId::from_u128(id)
        }),
    ]
}

fn entries() -> impl Strategy<Value = Entry> {
    (numbers(), "[A-Za-z0-9._:-]{1,3}").prop_map(|(created_ms, id)| Entry {
        created_ms,
        id: OperationId::new(id).unwrap(),
    })
}

fn keys() -> impl Strategy<Value = Key> {
    let of_actors = prop_oneof![
        (actors(), parts()).prop_map(|(actor, part)| Key::Actor { actor, part }),
        (actors(), numbers()).prop_map(|(actor, seq)| Key::Event { actor, seq }),
        (actors(), numbers(), texts()).prop_map(|(actor, due_ms, name)| Key::Timer {
            actor,
            due_ms,
            name
        }),
        (actors(), numbers()).prop_map(|(actor, seq)| Key::Outbox { actor, seq }),
        actors().prop_map(|actor| Key::Awake { actor }),
        (actors(), any::<u32>()).prop_map(|(actor, chunk)| Key::Payload { actor, chunk }),
        actors().prop_map(|actor| Key::Catalog {
            tenant: actor.tenant,
            address: actor.address
        }),
    ];
    let indexes = prop_oneof![
        Just(Index::Time),
        any::<u8>().prop_map(Index::Status),
        "[a-c]{1,3}".prop_map(|text| Index::Type(OperationType::new(text).unwrap())),
        (texts(), texts()).prop_map(|(key, value)| Index::Label(Label { key, value })),
    ];
    let of_operations = (tenants(), indexes, any::<Option<u8>>(), entries()).prop_map(
        |(tenant, index, shard, entry)| Key::Operation {
            tenant,
            index,
            shard,
            entry,
        },
    );
    prop_oneof![
        texts().prop_map(|name| Key::Meta { name }),
        any::<u32>().prop_map(|number| Key::Migration { number }),
        any::<u16>().prop_map(|slot| Key::SlotFence { slot }),
        of_actors,
        of_operations,
        (chains(), numbers()).prop_map(|(chain, number)| Key::Audit { chain, number }),
        chains().prop_map(|chain| Key::AuditHead { chain }),
        of_admin(),
        texts().prop_map(|name| ClusterKey::Node { name }.into()),
        texts().prop_map(|name| ClusterKey::Beat { name }.into()),
        Just(ClusterKey::Lease.into()),
        Just(ClusterKey::Plan.into()),
        Just(ClusterKey::Bell.into()),
        Just(ClusterKey::Removed.into()),
        texts().prop_map(|name| ClusterKey::Death { name }.into()),
    ]
}

fn of_admin() -> impl Strategy<Value = Key> {
    let named = || (tenants(), texts());
    let twice = || (tenants(), texts(), texts());
    prop_oneof![
        numbers().prop_map(|number| AdminKey::Notice { number }),
        Just(AdminKey::NoticeBell),
        named().prop_map(|(tenant, id)| AdminKey::User { tenant, id }),
        named().prop_map(|(tenant, name)| AdminKey::Username { tenant, name }),
        named().prop_map(|(tenant, name)| AdminKey::Role { tenant, name }),
        named().prop_map(|(tenant, mark)| AdminKey::UserByName { tenant, mark }),
        named().prop_map(|(tenant, id)| AdminKey::ApiKey { tenant, id }),
        named().prop_map(|(tenant, id)| AdminKey::RevokedToken { tenant, id }),
        twice().prop_map(|(tenant, principal, id)| AdminKey::TokenFamily {
            tenant,
            principal,
            id
        }),
        texts().prop_map(|id| AdminKey::SigningKey { id }),
        named().prop_map(|(tenant, subject)| AdminKey::SubjectKey { tenant, subject }),
        (named(), actors()).prop_map(|((tenant, subject), actor)| AdminKey::SubjectActor {
            tenant,
            subject,
            address: actor.address,
        }),
        twice().prop_map(|(tenant, subject, purpose)| AdminKey::Consent {
            tenant,
            subject,
            purpose,
        }),
        twice().prop_map(|(tenant, scope, name)| AdminKey::Limit {
            tenant,
            scope,
            name
        }),
    ]
    .prop_map(Key::from)
}

proptest! {
    #[test]
    fn keys_round_trip(key in keys()) {
        prop_assert_eq!(Key::decode(&key.encode()), Ok(key));
    }

    #[test]
    fn bytes_are_ordered_as_their_tuples(one in keys(), two in keys()) {
        let (one, two) = (one.encode(), two.encode());
        if let (Ok(first), Ok(second)) =
            (unpack::<Vec<Element<'_>>>(&one), unpack::<Vec<Element<'_>>>(&two))
        {
            let compared = first.partial_cmp(&second);
            prop_assert_eq!(compared, Some(one.cmp(&two)));
        }
    }

    #[test]
    fn numbers_of_one_actor_are_in_order(actor in actors(), one in numbers(), two in numbers()) {
        let prefix = actor.prefix();
        prop_assert_eq!(prefix.event(one).cmp(&prefix.event(two)), one.cmp(&two));
        let timer = |due_ms| Key::Timer { actor: actor.clone(), due_ms, name: "n".to_owned() };
        prop_assert_eq!(timer(one).encode().cmp(&timer(two).encode()), one.cmp(&two));
    }

    #[test]
    fn ranges_hold_their_own_and_nothing_else(
        actor in actors(), other in actors(), seq in numbers(), part in parts()
    ) {
        let within = |range: &KeyRange, key: &[u8]| range.begin <= key && key < &range.end[..];
        let is_same = actor == other;
        let (prefix, foreign) = (actor.prefix(), other.prefix());
        prop_assert!(within(&prefix.events(), &prefix.event(seq)));
        prop_assert_eq!(within(&prefix.events(), &foreign.event(seq)), is_same);
        prop_assert!(within(&prefix.parts(), &prefix.part(part)));
        prop_assert_eq!(within(&prefix.parts(), &foreign.part(part)), is_same);
        prop_assert!(!within(&prefix.parts(), &prefix.event(seq)));
        prop_assert!(within(&prefix.events_from(seq), &prefix.event(seq)));
        prop_assert_eq!(within(&prefix.events_from(seq), &prefix.event(0)), seq == 0);
        let of_slot = KeyRange::slot(SlotFamily::Event, actor.slot);
        prop_assert_eq!(within(&of_slot, &foreign.event(seq)), actor.slot == other.slot);
        let timer = Key::Timer { actor: actor.clone(), due_ms: seq, name: "n".to_owned() }.encode();
        prop_assert!(within(&KeyRange::timers_due(actor.slot, seq), &timer));
        if let Some(earlier) = seq.checked_sub(1) {
            prop_assert!(!within(&KeyRange::timers_due(actor.slot, earlier), &timer));
        }
    }

    #[test]
    fn ranges_of_an_index_hold_their_shard_and_all_together_the_index(
        one in keys(), shard in any::<u8>(), other in any::<u8>()
    ) {
        let Key::Operation { tenant, index, entry, .. } = one else { return Ok(()) };
        let within = |range: &KeyRange, key: &[u8]| range.begin <= key && key < &range.end[..];
        let key = index.key(&tenant, Some(shard), &entry);
        let of = |shard| KeyRange::operations(&tenant, &index, shard);
        prop_assert!(within(&of(Some(shard)), &key));
        prop_assert_eq!(within(&of(Some(other)), &key), shard == other);
        prop_assert!(within(&of(None), &key));
        prop_assert!(within(&of(None), &index.key(&tenant, None, &entry)));
    }

    #[test]
    fn any_bytes_decode_or_say_why(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(key) = Key::decode(&bytes) {
            prop_assert_eq!(key.encode(), bytes);
        }
    }

    #[test]
    fn cut_and_changed_keys_decode_or_say_why(key in keys(), at in any::<usize>(), byte in any::<u8>()) {
        let mut bytes = key.encode();
        let at = at % bytes.len();
        let _ = Key::decode(&bytes[..at]);
        bytes[at] = byte;
        let _ = Key::decode(&bytes);
    }
}

/// What is on disks out there: never changed, only added to.
#[test]
#[expect(clippy::too_many_lines, reason = "a table, one entry a family")]
fn keys_are_as_they_always_were() {
    let actor = ActorPath {
        slot: 300,
        tenant: Tenant::new("t").unwrap(),
        address: "k/a".parse().unwrap(),
    };
    let entry = || Entry {
        created_ms: 1_700_000_000_000,
        id: OperationId::new("op").unwrap(),
    };
    let part = |part| Key::Actor {
        actor: actor.clone(),
        part,
    };
    let indexed = |index, shard| Key::Operation {
        tenant: tenant(),
        index,
        shard,
        entry: entry(),
    };
    let by_type = || Index::Type(OperationType::new("digest").unwrap());
    let by_label = || {
        Index::Label(Label {
            key: "a".to_owned(),
            value: String::new(),
        })
    };
    let golden = [
        (
            Key::Meta {
                name: "schema".to_owned(),
            },
            "1501 02736368656d6100",
        ),
        (Key::Migration { number: 1 }, "1502 1501"),
        (Key::SlotFence { slot: 0 }, "1503 14"),
        (part(Part::Record), "1504 16012c 027400 026b00 026100 1501"),
        (
            part(Part::State { chunk: 2 }),
            "1504 16012c 027400 026b00 026100 1502 1502",
        ),
        (
            part(Part::Session {
                session: SessionId::from_u128(1),
            }),
            "1504 16012c 027400 026b00 026100 1503 01 00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff 01 00",
        ),
        (
            part(Part::CommandOutcome {
                command: CommandId::from_u128(u128::MAX),
            }),
            "1504 16012c 027400 026b00 026100 1504 01 ffffffffffffffffffffffffffffffff 00",
        ),
        (
            Key::Event {
                actor: actor.clone(),
                seq: 256,
            },
            "1505 16012c 027400 026b00 026100 160100",
        ),
        (
            Key::Timer {
                actor: actor.clone(),
                due_ms: 5,
                name: "n".to_owned(),
            },
            "1506 16012c 1505 027400 026b00 026100 026e00",
        ),
        (
            Key::Outbox {
                actor: actor.clone(),
                seq: 1,
            },
            "1507 16012c 027400 026b00 026100 1501",
        ),
        (
            Key::Awake {
                actor: actor.clone(),
            },
            "1508 16012c 027400 026b00 026100",
        ),
        (
            Key::Payload {
                actor: actor.clone(),
                chunk: 0,
            },
            "1509 16012c 027400 026b00 026100 14",
        ),
        (
            Key::Catalog {
                tenant: tenant(),
                address: actor.address.clone(),
            },
            "150a 027400 026b00 026100",
        ),
        (
            indexed(Index::Time, None),
            "150b 027400 1a018bcfe56800 026f7000",
        ),
        (
            indexed(Index::Status(9), None),
            "150c 027400 1509 1a018bcfe56800 026f7000",
        ),
        (
            indexed(by_type(), None),
            "150d 027400 0264696765737400 1a018bcfe56800 026f7000",
        ),
        (
            indexed(by_label(), None),
            "150e 027400 026100 0200 1a018bcfe56800 026f7000",
        ),
        (
            indexed(Index::Time, Some(0)),
            "150b 027400 14 1a018bcfe56800 026f7000",
        ),
        (
            indexed(Index::Status(9), Some(15)),
            "150c 027400 1509 150f 1a018bcfe56800 026f7000",
        ),
        (
            indexed(by_type(), Some(1)),
            "150d 027400 0264696765737400 1501 1a018bcfe56800 026f7000",
        ),
        (
            indexed(by_label(), Some(255)),
            "150e 027400 026100 0200 15ff 1a018bcfe56800 026f7000",
        ),
        (
            Key::Audit {
                chain: tenant().into(),
                number: 3,
            },
            "150f 027400 1503",
        ),
        (
            Key::Audit {
                chain: Chain::Cluster,
                number: 3,
            },
            "150f 022a00 1503",
        ),
        (
            ClusterKey::Node {
                name: "n".to_owned(),
            }
            .into(),
            "1510 026e00",
        ),
        (
            ClusterKey::Beat {
                name: "n".to_owned(),
            }
            .into(),
            "1511 026e00",
        ),
        (ClusterKey::Lease.into(), "1512"),
        (ClusterKey::Plan.into(), "1513"),
        (ClusterKey::Bell.into(), "1514"),
        (ClusterKey::Removed.into(), "1515"),
        (
            ClusterKey::Death {
                name: "n".to_owned(),
            }
            .into(),
            "1516 026e00",
        ),
    ];
    hold_to(&golden);
}

#[test]
fn keys_of_administration_are_persisted_so() {
    let named = || "n".to_owned();
    let golden = [
        (
            Key::AuditHead {
                chain: tenant().into(),
            },
            "1517 027400",
        ),
        (AdminKey::Notice { number: 3 }.into(), "1518 1503"),
        (AdminKey::NoticeBell.into(), "1519"),
        (
            AdminKey::User {
                tenant: tenant(),
                id: named(),
            }
            .into(),
            "151a 027400 026e00",
        ),
        (
            AdminKey::Username {
                tenant: tenant(),
                name: named(),
            }
            .into(),
            "151b 027400 026e00",
        ),
        (
            AdminKey::Role {
                tenant: tenant(),
                name: named(),
            }
            .into(),
            "151c 027400 026e00",
        ),
        (
            AdminKey::ApiKey {
                tenant: tenant(),
                id: named(),
            }
            .into(),
            "151d 027400 026e00",
        ),
        (
            AdminKey::TokenFamily {
                tenant: tenant(),
                principal: named(),
                id: named(),
            }
            .into(),
            "151e 027400 026e00 026e00",
        ),
        (AdminKey::SigningKey { id: named() }.into(), "151f 026e00"),
        (
            AdminKey::Limit {
                tenant: tenant(),
                scope: named(),
                name: named(),
            }
            .into(),
            "1520 027400 026e00 026e00",
        ),
    ];
    hold_to(&golden);
}

#[test]
fn keys_of_personal_data_are_persisted_so() {
    let named = || "n".to_owned();
    let golden = [
        (
            AdminKey::SubjectKey {
                tenant: tenant(),
                subject: named(),
            }
            .into(),
            "1521 027400 026e00",
        ),
        (
            AdminKey::SubjectActor {
                tenant: tenant(),
                subject: named(),
                address: "k/l".parse().unwrap(),
            }
            .into(),
            "1522 027400 026e00 026b00 026c00",
        ),
        (
            AdminKey::Consent {
                tenant: tenant(),
                subject: named(),
                purpose: named(),
            }
            .into(),
            "1523 027400 026e00 026e00",
        ),
        (
            AdminKey::UserByName {
                tenant: tenant(),
                mark: named(),
            }
            .into(),
            "1526 027400 026e00",
        ),
        (
            AdminKey::RevokedToken {
                tenant: tenant(),
                id: named(),
            }
            .into(),
            "1524 027400 026e00",
        ),
    ];
    hold_to(&golden);
}

fn hold_to(golden: &[(Key, &str)]) {
    for (key, expected) in golden {
        let hex: String = key.encode().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, expected.replace(' ', ""), "{key:?}");
        assert_eq!(Key::decode(&key.encode()).as_ref(), Ok(key));
    }
}
