//! secateur prunes ONNX models.

pub mod compare;
pub mod feed;
pub mod ir;
pub mod latency;
pub mod oracle;
