//! Any text as a frame in JSON, of either end: never a panic, and what is accepted means one thing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use selvedge_protocol::codec::Frame;
use selvedge_protocol::frame::{ClientFrame, ServerFrame};
use selvedge_protocol::json;
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|input: &str| {
    comes_back::<ClientFrame>(input);
    comes_back::<ServerFrame>(input);
});

fn comes_back<F: Frame + Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(input: &str) {
    let Ok(frame) = json::decode::<F>(input) else {
        return;
    };
    let mut text = Vec::new();
    assert_eq!(json::encode(&frame, &mut text), Ok(()));
    let text = String::from_utf8(text).expect("JSON is UTF-8");
    assert_eq!(json::decode::<F>(&text), Ok(frame));
}
