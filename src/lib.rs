//! secateur prunes ONNX models.

pub mod analysis;
pub mod axes;
pub mod cost;
pub mod infer;
pub mod ir;
pub mod load;
pub mod ops;
pub mod plan;
pub mod save;
pub mod score;

#[allow(clippy::all, missing_docs, dead_code)]
mod proto;
