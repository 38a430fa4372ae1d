//! secateur prunes ONNX models.

pub mod axes;
pub mod infer;
pub mod ir;
pub mod load;
pub mod ops;
#[path = "../passes/mod.rs"]
pub mod passes;
pub mod save;

#[allow(clippy::all, missing_docs, dead_code)]
mod proto;
