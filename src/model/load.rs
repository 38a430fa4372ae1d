//! Reads an ONNX file.
//!
//! The file is mapped into memory, and the weights stay slices of the mapping: a model of many gigabytes is open at
//! once, and its pages are read when somebody looks at them. Data in files beside the model is mapped in the same way.
//!
//! Names become wires here. What the IR does not model is kept as the encoded remainder of its message, so that a model
//! that nobody changes is written as it was, byte for byte. Fields that the ONNX schema at hand does not know are the
//! exception: they are dropped.

mod attribute;
mod external;
mod function;
mod graph;
mod scan;
mod sources;
mod tensor;
#[cfg(test)]
mod tests;
mod types;

pub(crate) use attribute::{attribute_proto, constant, kind, scalar};
pub use tensor::TensorFault;
pub(crate) use tensor::sparse;
pub(crate) use types::{file_name, known, tensor_type};

use crate::ir::{BODY_DOMAIN, Model, Tensor};
use crate::proto::*;
use bytes::Bytes;
use graph::Loader;
use prost::Message;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Why a model can't be loaded.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum LoadError {
    /// An error in the file at `path`.
    #[error("{}: {cause}", path.display())]
    In { path: PathBuf, cause: Box<LoadError> },
    #[error("{0}")]
    Io(io::Error),
    #[error("this is a folder, not an ONNX file")]
    Folder,
    #[error("the file is empty")]
    Empty,
    #[error("not an ONNX model: {what}{hint}")]
    NotOnnx { what: String, hint: &'static str },
    #[error("not an encoded tensor: {0}")]
    NotTensor(String),
    #[error("the messages up to byte {offset} would take more than {limit} bytes of memory, apart from the weights")]
    TooMuch { offset: usize, limit: usize },
    #[error("{user} uses the value {value:?}, which nothing defines")]
    UnknownValue { user: String, value: String },
    #[error("{by} defines the value {value:?}, which is defined already")]
    DefinedTwice { by: String, value: String },
    #[error("a graph input or an initializer has no name")]
    Unnamed,
    #[error("{node:?} depends on itself: the graph has a cycle")]
    Cycle { node: String },
    #[error("{node} does not say which operator it is")]
    NoOperator { node: String },
    #[error("{node} is of the domain \"{BODY_DOMAIN}\", which is reserved")]
    Reserved { node: String },
    #[error("{node} has the attribute {attribute:?} twice")]
    AttributeTwice { node: String, attribute: String },
    #[error("{node} has more than 65535 operands or results")]
    TooWide { node: String },
    #[error("the tensor {name}: {fault}")]
    Tensor { name: String, fault: TensorFault },
}

impl LoadError {
    fn not_onnx(bytes: &[u8], what: String) -> LoadError {
        LoadError::NotOnnx { what, hint: scan::hint(bytes) }
    }

    fn tensor(name: &str, fault: TensorFault) -> LoadError {
        let name = if name.contains('"') { name.to_owned() } else { format!("{name:?}") };
        LoadError::Tensor { name, fault }
    }
}

/// An encoded `SparseTensorProto` with its zeros, where it has one; data in files beside a model is not read.
pub(crate) fn sparse_tensor(bytes: &[u8]) -> Option<Tensor> {
    sparse(&SparseTensorProto::decode(bytes).ok()?).ok().filter(|t| t.raw().is_ok())
}

/// Reads the model in a file, and in the data files beside it.
///
/// The files are mapped (on Windows only the data files): nobody may change them in place while the model is in use.
/// Replacing them by renaming, as [`save`](crate::save::save) does, is safe.
pub fn load(path: &Path) -> Result<Model, LoadError> {
    let model = || {
        if path.metadata().map_err(LoadError::Io)?.is_dir() {
            return Err(LoadError::Folder);
        }
        let dir = path.parent().unwrap_or(Path::new(""));
        // Windows lets nobody replace a mapped file, and `--overwrite` asks for that. Data files are never replaced.
        let bytes = if cfg!(windows) { std::fs::read(path).map(Bytes::from) } else { external::map(path) };
        from_bytes(bytes.map_err(LoadError::Io)?, Some(dir))
    };
    model().map_err(|cause| LoadError::In { path: path.to_owned(), cause: Box::new(cause) })
}

/// Reads a model from memory. External data is looked for in `dir`; without one it is an error.
pub fn from_bytes(bytes: Bytes, dir: Option<&Path>) -> Result<Model, LoadError> {
    if bytes.is_empty() {
        return Err(LoadError::Empty);
    }
    scan::check(&bytes)?;
    let start = bytes.slice(..bytes.len().min(64));
    let proto = ModelProto::decode(bytes).map_err(|e| LoadError::not_onnx(&start, e.to_string()))?;
    if proto.graph.is_none() {
        return Err(LoadError::not_onnx(&start, "it holds no graph".into()));
    }
    model(proto, dir)
}

/// Reads an encoded `TensorProto`, as the files `input_0.pb` of a test data set hold it: its name and what it holds.
pub fn tensor_from_bytes(bytes: Bytes) -> Result<(String, Tensor), LoadError> {
    scan::check_tensor(&bytes).map_err(|e| match e {
        LoadError::NotOnnx { what, .. } => LoadError::NotTensor(what),
        other => other,
    })?;
    let proto = TensorProto::decode(bytes).map_err(|e| LoadError::NotTensor(e.to_string()))?;
    let name = proto.name().to_owned();
    let tensor = Loader::new(None, 0).tensor(proto, &name)?;
    Ok((name, tensor))
}

fn model(mut p: ModelProto, dir: Option<&Path>) -> Result<Model, LoadError> {
    let ir_version = take(&mut p.ir_version);
    let mut loader = Loader::new(dir, ir_version);
    let graph = loader.main(p.graph.take().unwrap_or_default())?;
    external::inline_opaque(&mut p, &mut |t| loader.inline(t))?;
    let functions = std::mem::take(&mut p.functions).into_iter().map(|f| loader.function(f)).collect();
    // Lists that can't be told from the map, because of their order or of what they leave out, stay as they are.
    let opsets = opsets(&p.opset_import);
    if opset_import(&opsets) == p.opset_import {
        p.opset_import.clear();
    }
    let metadata = entries(&p.metadata_props);
    if metadata_props(&metadata) == p.metadata_props {
        p.metadata_props.clear();
    }
    Ok(Model { ir_version, opsets, metadata, functions, graph, extra: remainder(&p) })
}

/// Versions by domain. The standard domain's long name counts as the short one, and the last of several entries holds.
pub(crate) fn opsets(list: &[OperatorSetIdProto]) -> BTreeMap<String, i64> {
    let short = |domain: &str| if domain == "ai.onnx" { String::new() } else { domain.to_owned() };
    list.iter().map(|o| (short(o.domain()), o.version())).collect()
}

/// The list of operator sets that says the same as the map.
pub(crate) fn opset_import(opsets: &BTreeMap<String, i64>) -> Vec<OperatorSetIdProto> {
    let entry =
        |(domain, &version): (&String, _)| OperatorSetIdProto { domain: Some(domain.clone()), version: Some(version) };
    opsets.iter().map(entry).collect()
}

/// Keys and values of a list of strings.
pub(crate) fn entries(list: &[StringStringEntryProto]) -> Vec<(String, String)> {
    list.iter().map(|e| (e.key().to_owned(), e.value().to_owned())).collect()
}

/// The list of strings that holds these keys and values.
pub(crate) fn metadata_props(entries: &[(String, String)]) -> Vec<StringStringEntryProto> {
    let entry =
        |(key, value): &(String, String)| StringStringEntryProto { key: Some(key.clone()), value: Some(value.clone()) };
    entries.iter().map(entry).collect()
}
