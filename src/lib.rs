//! secateur prunes ONNX models.

pub mod ir;
