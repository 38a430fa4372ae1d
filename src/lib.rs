//! secateur prunes ONNX models.

pub mod analysis;
pub mod axes;
pub mod cost;
pub mod infer;
pub mod ir;
pub mod ops;
pub mod plan;
pub mod score;
