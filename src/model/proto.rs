//! The messages of an ONNX file, generated from `proto/onnx.proto`. Only load and save name them.
//!
//! What the IR does not model stays in the message that it came from: load takes the modelled fields out and keeps
//! the encoded [`remainder`]; save decodes it and puts them back. A scalar field that is present but empty stays in
//! the remainder ([`take`]), because on the wire that differs from a field that is absent ([`put`]).

use crate::ir::Extra;
use prost::Message;

include!(concat!(env!("OUT_DIR"), "/onnx.rs"));

/// Takes a field out, unless it says explicitly what its absence says too.
pub fn take<T: Default + PartialEq>(field: &mut Option<T>) -> T {
    field.take_if(|value| *value != T::default()).unwrap_or_default()
}

/// Puts a field back: the inverse of [`take`].
pub fn put<T: Default + PartialEq>(field: &mut Option<T>, value: T) {
    if value != T::default() {
        *field = Some(value);
    }
}

/// What is left of a message; empty where nothing is.
pub fn remainder(message: &impl Message) -> Extra {
    message.encode_to_vec().into()
}
