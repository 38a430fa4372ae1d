//! secateur prunes ONNX models.

pub mod axes;
pub mod compare;
pub mod feed;
pub mod infer;
pub mod ir;
pub mod latency;
pub mod load;
pub mod ops;
pub mod oracle;
#[path = "../passes/mod.rs"]
pub mod passes;
pub mod save;

#[allow(clippy::all, missing_docs, dead_code)]
mod proto;
