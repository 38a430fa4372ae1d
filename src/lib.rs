//! secateur prunes ONNX models.

pub mod ir;
pub mod load;
pub mod save;

#[allow(clippy::all, missing_docs, dead_code)]
mod proto;
