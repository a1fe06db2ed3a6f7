//! An event that is encoded once for many is the same as one that is encoded for each.

use proptest::prelude::*;
use selvedge_protocol::frame::{Event, ServerFrame};
use selvedge_protocol::{codec, json, shared_event};

use crate::strategies::event;

proptest! {
    #[test]
    fn a_head_and_the_shared_tail_are_the_frame(event in event()) {
        let frame = ServerFrame::Event(event.clone());
        let other = Event { subscription: 9, ..event.clone() };

        let mut whole = Vec::new();
        codec::encode(&frame, &mut whole).unwrap();
        let tail = shared_event::binary_tail(other.clone()).unwrap();
        let mut parts = Vec::new();
        shared_event::binary_head(event.subscription, &tail, &mut parts);
        parts.extend_from_slice(&tail);
        prop_assert_eq!(parts, whole);

        let mut whole = Vec::new();
        if json::encode(&frame, &mut whole).is_ok() {
            let tail = shared_event::json_tail(other).unwrap();
            let mut parts = Vec::new();
            shared_event::json_head(event.subscription, &mut parts);
            parts.extend_from_slice(&tail);
            prop_assert_eq!(parts, whole);
        }
    }
}
