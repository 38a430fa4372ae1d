//! ONNX files to models and back. What there is of `load` and `save`; nothing else knows the protobuf.
//!
//! ```
//! use secateur::onnx;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("copy.onnx");
//! let model = onnx::load("fixtures/digits_mlp.onnx".as_ref())?;
//! let saved = onnx::save(&model, &path, &onnx::SaveOptions::default())?;
//! # assert_eq!(std::fs::read(&path)?, std::fs::read("fixtures/digits_mlp.onnx")?);
//! # Ok(())
//! # }
//! ```

pub use super::load::{LoadError, TensorFault, from_bytes, load, tensor_from_bytes};
pub use super::save::{ExternalData, SaveError, SaveOptions, Saved, data_files, save, to_bytes};
