//! secateur prunes ONNX models.

pub mod analysis;
pub mod apply;
pub mod axes;
pub mod cli;
pub mod compare;
pub mod cost;
pub mod feed;
pub mod infer;
pub mod ir;
pub mod latency;
pub mod load;
pub mod ops;
pub mod oracle;
pub mod plan;
pub mod prune;
pub mod report;
pub mod save;
pub mod score;
pub mod verify;

#[path = "../passes/mod.rs"]
pub mod passes;

#[allow(clippy::all, missing_docs, dead_code)]
mod proto;
