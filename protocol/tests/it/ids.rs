//! The rules of ids, and the placement of actors, which is fixed for ever.

use proptest::prelude::*;
use selvedge_protocol::codec;
use selvedge_protocol::{
    ActorAddress, ActorKey, ActorKind, CommandId, IdError, OperationId, OperationType, SessionId,
    Target, Tenant,
};

use crate::strategies::{address, tenant};

/// The rules once more, by hand and not by the code under test.
fn in_set(text: &str, set: &str) -> bool {
    text.chars().all(|char| set.contains(char))
}

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";

fn is_tenant(text: &str) -> bool {
    (1..=63).contains(&text.len()) && in_set(text, &format!("{LOWER}{DIGITS}-"))
}

fn is_kind(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && LOWER.contains(&text[..1])
        && in_set(text, &format!("{LOWER}{DIGITS}_.-"))
}

fn is_operation_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && in_set(text, &format!("{LOWER}{UPPER}{DIGITS}._:-"))
}

/// Texts near the rules: mostly allowed characters, lengths about the limits, sometimes anything.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9_.-]{0,70}",
        "[a-z0-9-]{60,66}",
        "[A-Za-z0-9._:-]{0,130}",
        "[a-zA-Z0-9 ._:/-]{0,8}",
        ".{0,20}",
    ]
}

proptest! {
    #[test]
    fn ids_take_what_their_rule_says(text in texts()) {
        prop_assert_eq!(Tenant::new(&text).is_ok(), is_tenant(&text));
        let kind = text.is_char_boundary(1) && is_kind(&text);
        prop_assert_eq!(ActorKind::new(&text).is_ok(), kind);
        prop_assert_eq!(OperationType::new(&text).is_ok(), kind);
        prop_assert_eq!(OperationId::new(&text).is_ok(), is_operation_id(&text));
        prop_assert_eq!(ActorKey::new(&text).is_ok(), (1..=512).contains(&text.len()));
    }

    #[test]
    fn a_refused_id_says_what_it_is_and_how_to_mend_it(text in ".{70,200}") {
        let error = Tenant::new(&text).unwrap_err();
        prop_assert_eq!(error.what, "tenant");
        prop_assert_eq!(error.value.chars().count(), 64);
        prop_assert!(error.to_string().ends_with("use 1 to 63 of a-z, 0-9 and '-'"));
    }

    #[test]
    fn addresses_are_read_as_they_are_written(address in address()) {
        // A key may contain slashes: the first one ends the kind.
        prop_assert_eq!(address.to_string().parse::<ActorAddress>(), Ok(address));
    }

    #[test]
    fn a_wrong_id_inside_a_frame_is_refused(text in "[A-Z !]{1,20}") {
        let bytes = codec::encode_record(0, &text);
        let decoded = codec::decode_record::<Tenant>(&bytes[1..]);
        prop_assert!(decoded.unwrap_err().to_string().contains("use 1 to 63"));
    }

    #[test]
    fn a_slot_is_one_of_the_cluster(address in address(), tenant in tenant(), slots in 1..=u16::MAX) {
        prop_assert!(address.slot(&tenant, slots) < slots);
    }

    #[test]
    fn session_ids_carry_their_time(unix_ms in 0..(1_u64 << 48), random in any::<[u8; 10]>()) {
        let id = SessionId::from_parts(unix_ms, random);
        let bytes = id.as_bytes();
        let mut time = [0; 8];
        time[2..].copy_from_slice(&bytes[..6]);
        prop_assert_eq!(u64::from_be_bytes(time), unix_ms);
        prop_assert_eq!(bytes[6] >> 4, 7, "version 7");
        prop_assert_eq!(bytes[8] >> 6, 0b10, "variant of RFC 9562");
        prop_assert_eq!(SessionId::from_u128(id.as_u128()), id);
    }

    #[test]
    fn a_uuid_is_taken_as_a_command_id(bits in any::<u128>()) {
        let id = CommandId::from_u128(bits);
        prop_assert_eq!(CommandId::from_text(&id.to_string()), id);
    }
}

#[test]
fn lengths_at_the_edges() {
    assert!(Tenant::new("t".repeat(63)).is_ok() && Tenant::new("t".repeat(64)).is_err());
    assert!(ActorKind::new("k".repeat(64)).is_ok() && ActorKind::new("k".repeat(65)).is_err());
    assert!(ActorKey::new("é".repeat(256)).is_ok() && ActorKey::new("é".repeat(257)).is_err());
    assert!(
        OperationId::new("o".repeat(128)).is_ok() && OperationId::new("o".repeat(129)).is_err()
    );
    for empty in [
        Tenant::new("").err(),
        ActorKind::new("").err(),
        ActorKey::new("").err(),
        OperationId::new("").err(),
    ] {
        assert!(empty.is_some());
    }
    assert_eq!(Tenant::default_tenant(), Tenant::new("default").unwrap());
}

#[test]
fn an_address_needs_its_slash() {
    let refused: Result<ActorAddress, IdError> = "room".parse();
    let message = refused.unwrap_err().to_string();
    assert_eq!(
        message,
        "actor \"room\" is not valid: use KIND/KEY, for example room/42"
    );
    assert!("Room/1".parse::<ActorAddress>().is_err());
    assert!("room/".parse::<ActorAddress>().is_err());
}

#[test]
fn targets_are_told_in_words() {
    let actor = Target::Actor("room/42".parse().unwrap());
    let operation = Target::Operation(OperationId::new("a1").unwrap());
    let targets = [
        actor,
        operation,
        Target::Operations,
        Target::Actors,
        Target::Cluster,
    ];
    let told = targets.map(|target| target.to_string());
    let words = ["room/42", "operation a1", "operations", "actors", "cluster"];
    assert_eq!(told, words);
}

#[test]
fn foreign_command_ids_hash_to_fixed_values() {
    // Outcomes are stored under these: a change would execute repeats a second time.
    let hashed = |text| format!("{:032x}", CommandId::from_text(text).as_u128());
    assert_eq!(hashed("order-1"), "5a8a409613f90ad0af63a0f835ca6746");
    assert_eq!(hashed(""), "99aa06d3014798d86001c324468d497f");
}

#[test]
fn placement_never_changes() {
    // tenant, actor, and its slot of 1,024 and of 16,384: actors would be lost if one of these changed.
    const PLACES: [(&str, &str, u16, u16); 6] = [
        ("default", "room/42", 320, 14_656),
        ("default", "room/43", 18, 7_186),
        ("acme", "room/42", 877, 5_997),
        ("default", "counter/a", 746, 8_938),
        ("default", "operation/a1", 21, 3_093),
        ("default", "room/\u{e9}/\u{1f980}", 803, 15_139),
    ];
    let placed = PLACES.map(|(tenant, actor, _, _)| {
        let address: ActorAddress = actor.parse().unwrap();
        let at = Tenant::new(tenant).unwrap();
        (
            tenant,
            actor,
            address.slot(&at, 1_024),
            address.slot(&at, 16_384),
        )
    });
    assert_eq!(placed, PLACES);
}

#[test]
fn actors_spread_evenly_over_slots() {
    let mut held = [0_u32; 1_024];
    let tenant = Tenant::default_tenant();
    for key in 0..102_400 {
        let address: ActorAddress = format!("room/{key}").parse().unwrap();
        held[usize::from(address.slot(&tenant, 1_024))] += 1;
    }
    // A hundred are expected in each. Chi-squared with 1,023 degrees of freedom has a standard deviation
    // of 45: five of them either way are passed by any good hash, and the keys are the same each time.
    let deviation: f64 = held
        .iter()
        .map(|count| (f64::from(*count) - 100.0).powi(2) / 100.0)
        .sum();
    assert!((798.0..1_248.0).contains(&deviation), "{deviation}");
}
