//! The messages of an ONNX file, generated from `proto/onnx.proto`. Only load and save name them.

include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
