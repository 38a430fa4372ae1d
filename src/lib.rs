//! secateur prunes ONNX models.

pub mod axes;
pub mod infer;
pub mod ir;
pub mod ops;
#[path = "../passes/mod.rs"]
pub mod passes;
