//! Writes an ONNX file.
//!
//! A model that nobody changed is written as it was, byte for byte (except that external data moves into one data file).
//! Weights go from the mapping of the input straight to the disk. Files are written under a temporary name and renamed
//! when they are whole, so an error leaves nothing half-written, and a file that is still mapped is never written into.
//! Data beside a model that is replaced stay until the new model is there (`beside.rs`).

mod beside;
mod graph;
mod sparse;
mod tensor;
#[cfg(test)]
mod tests;
mod types;
mod writer;

use crate::files::{self, folder, same_file};
use crate::ir::{Attribute, Graph, Model, Node, Store, Tensor};
use crate::load::{entries, metadata_props, opset_import, opsets};
use crate::proto::*;
use beside::Beside;
use bytes::BufMut;
use graph::Saver;
use prost::Message;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use tensor::DataFile;
use writer::Writer;

/// Most bytes that protobuf's other implementations read as one message.
const MESSAGE_LIMIT: usize = i32::MAX as usize;

/// Whether big tensors go into a file of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExternalData {
    /// If the input had external data, or if the model would be bigger than protobuf allows (2 GiB).
    #[default]
    Auto,
    Never,
    Always,
}

/// How to save.
#[derive(Clone, Debug, Default)]
pub struct SaveOptions {
    pub external: ExternalData,
    /// The file that the model was loaded from, if any: neither it nor its data files are overwritten.
    pub input: Option<PathBuf>,
    /// Replace the input after all. Its data files stay.
    pub overwrite_input: bool,
    /// Write initializers that are mostly zeros as sparse ones.
    pub sparse: bool,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Bytes of the model's file.
    pub bytes: u64,
    /// The data file beside it and its bytes, if there is one.
    pub data: Option<(PathBuf, u64)>,
}

/// Why a model can't be saved.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum SaveError {
    /// An error in writing the file at `path`.
    #[error("{}: {cause}", path.display())]
    In { path: PathBuf, cause: Box<SaveError> },
    #[error("{0}")]
    Io(io::Error),
    #[error("this is the input file, which would be overwritten")]
    IsInput,
    #[error("this is not a regular file")]
    NotAFile,
    #[error("the model takes {bytes} bytes, but an ONNX file holds 2147483647 at most{}", advice(*.external))]
    TooLarge { bytes: usize, external: bool },
    #[error("the data of {tensor:?} is not at hand")]
    NoData { tensor: String },
    #[error("two values have the name {value:?}")]
    NameTwice { value: String },
    #[error("{user:?} uses a value without a name")]
    Unnamed { user: String },
    #[error("the output {output:?} is made by a value of another name, {value:?}")]
    Output { output: String, value: String },
    #[error("the bodies of {node:?} are open: close them first (close-bodies)")]
    OpenBody { node: String },
    #[error("the graph {graph:?} has a cycle")]
    Cycle { graph: String },
    #[error("the subgraphs of {node:?} capture {wanted} values, but {found} are connected")]
    Captures { node: String, found: usize, wanted: usize },
    #[error("the remainder kept for {owner:?} can't be decoded: {cause}")]
    Remainder { owner: String, cause: prost::DecodeError },
}

fn advice(external: bool) -> &'static str {
    if external { ", even with its weights in a file of their own" } else { ": allow external data" }
}

/// Encodes a model with all its tensors inside.
pub fn to_bytes(model: &Model) -> Result<Vec<u8>, SaveError> {
    let (proto, _) = encode(model, None, false)?;
    match proto.encoded_len() {
        bytes if bytes > MESSAGE_LIMIT => Err(SaveError::TooLarge { bytes, external: false }),
        _ => Ok(proto.encode_to_vec()),
    }
}

/// Writes a model to a file; its big tensors to `<file name>.data` beside it, where `options` ask for that.
pub fn save(model: &Model, path: &Path, options: &SaveOptions) -> Result<Saved, SaveError> {
    write(model, path, options).map_err(|cause| SaveError::In { path: path.to_owned(), cause: Box::new(cause) })
}

/// How many bytes [`save`] would write, data beside the file included.
pub(crate) fn size(model: &Model, path: &Path, options: &SaveOptions) -> Result<u64, SaveError> {
    let parts = prepare(model, path, options);
    let (_, proto, data) = parts.map_err(|cause| SaveError::In { path: path.to_owned(), cause: Box::new(cause) })?;
    Ok(proto.encoded_len() as u64 + data.map_or(0, |d| if d.pieces.is_empty() { 0 } else { d.length }))
}

/// Where a model goes, its message, and the file of its big tensors if there is to be one.
fn prepare(
    model: &Model,
    path: &Path,
    options: &SaveOptions,
) -> Result<(PathBuf, ModelProto, Option<DataFile>), SaveError> {
    let target = target(path)?;
    if !options.overwrite_input && options.input.as_deref().is_some_and(|input| same_file(input, &target)) {
        return Err(SaveError::IsInput);
    }
    let sources = data_files(model)?;
    let apart = || {
        let beside = Beside::new(&target, &sources, options.input.as_deref());
        beside.placed(|name| encode(model, Some(name), options.sparse))
    };
    let (proto, data_file) = match options.external {
        ExternalData::Always => apart()?,
        ExternalData::Auto if !sources.is_empty() => apart()?,
        ExternalData::Never => encode(model, None, options.sparse)?,
        ExternalData::Auto => match encode(model, None, options.sparse)? {
            (proto, _) if proto.encoded_len() > MESSAGE_LIMIT => apart()?,
            inline => inline,
        },
    };
    let bytes = proto.encoded_len();
    if bytes > MESSAGE_LIMIT {
        return Err(SaveError::TooLarge { bytes, external: options.external != ExternalData::Never });
    }
    Ok((target, proto, data_file))
}

fn write(model: &Model, path: &Path, options: &SaveOptions) -> Result<Saved, SaveError> {
    let (target, proto, data_file) = prepare(model, path, options)?;
    let dir = folder(&target);
    let data = match &data_file {
        Some(file) if !file.pieces.is_empty() => Some((dir.join(&file.location), write_data(file, dir)?, file.length)),
        _ => None,
    };
    let whole = temporary(dir, |out| proto.encode(out).map_err(io::Error::other))?;
    let mut saved = Saved { bytes: proto.encoded_len() as u64, data: None };
    let sources = data_files(model)?;
    let beside = Beside::new(&target, &sources, options.input.as_deref());
    let mut added = None;
    if let Some((path, file, length)) = data {
        added = (!path.exists()).then(|| path.clone());
        file.persist(&path).map_err(|e| SaveError::Io(e.error))?;
        saved.data = Some((path, length));
    }
    if let Err(e) = whole.persist(&target) {
        // Data without its model is of no use to anybody.
        added.map(std::fs::remove_file);
        return Err(SaveError::Io(e.error));
    }
    beside.clear(saved.data.as_ref().and_then(|(path, _)| path.file_name()?.to_str()));
    Ok(saved)
}

/// The message of a model, and the file of its big tensors if a name for one is given.
fn encode(model: &Model, data: Option<String>, sparse: bool) -> Result<(ModelProto, Option<DataFile>), SaveError> {
    let Model { ir_version, opsets: versions, metadata, functions, graph, extra } = model;
    let mut p: ModelProto = decode(extra, "the model")?;
    put(&mut p.ir_version, *ir_version);
    if p.opset_import.is_empty() {
        p.opset_import = opset_import(versions);
    } else if opsets(&p.opset_import) != *versions {
        let written = opsets(&p.opset_import);
        p.opset_import.retain_mut(|entry| {
            let domain = if entry.domain() == "ai.onnx" { "" } else { entry.domain() };
            entry.version = versions.get(domain).copied();
            entry.version.is_some()
        });
        let added = versions.iter().filter(|(domain, _)| !written.contains_key(*domain));
        p.opset_import.extend(opset_import(&added.map(|(d, v)| (d.clone(), *v)).collect()));
    }
    if entries(&p.metadata_props) != *metadata {
        p.metadata_props = metadata_props(metadata);
    }
    p.functions = functions.iter().map(|f| decode(&f.encoded, &f.name)).collect::<Result<_, _>>()?;
    let data_file = data.map(|location| DataFile { location, ..DataFile::default() });
    // Sparse initializers are there from IR 6 on.
    let mut saver = Saver { data_file, sparse: sparse && *ir_version >= 6 };
    p.graph = Some(saver.graph(graph, &[])?);
    Ok((p, saver.data_file))
}

/// Decodes the remainder that belongs to `owner`.
fn decode<M: Message + Default>(extra: &bytes::Bytes, owner: &str) -> Result<M, SaveError> {
    M::decode(extra.clone()).map_err(|cause| SaveError::Remainder { owner: owner.to_owned(), cause })
}

/// The file that a path leads to. It must be a regular one, or not there yet: renaming would replace a device.
fn target(path: &Path) -> Result<PathBuf, SaveError> {
    match path.metadata() {
        Ok(m) if m.is_file() => path.canonicalize().map_err(SaveError::Io),
        Ok(_) => Err(SaveError::NotAFile),
        Err(_) if path.file_name().is_none() => Err(SaveError::NotAFile),
        Err(_) => Ok(path.to_owned()),
    }
}

/// Where the model's external tensors came from, as its file said: relative to the file. Not empty if there are any.
pub fn data_files(model: &Model) -> Result<BTreeSet<String>, SaveError> {
    let mut found = BTreeSet::new();
    let mut look = |t: &Tensor| {
        if t.store == Store::External {
            let p: TensorProto = decode(&t.extra, "an external tensor")?;
            let location = p.external_data.iter().find(|e| e.key() == "location");
            found.insert(location.map(|e| e.value().to_owned()).unwrap_or_default());
        }
        Ok(())
    };
    each_tensor(&model.graph, &mut look)?;
    Ok(found)
}

fn each_tensor(graph: &Graph, look: &mut dyn FnMut(&Tensor) -> Result<(), SaveError>) -> Result<(), SaveError> {
    for node in graph.nodes() {
        match graph.node(node) {
            Node::Constant(c) => look(&c.tensor)?,
            Node::Input(i) => i.default.iter().try_for_each(&mut *look)?,
            Node::Output(_) => {}
            Node::Call(call) => {
                for attribute in call.attributes.values() {
                    match attribute {
                        Attribute::Tensor(t) => look(t)?,
                        Attribute::Tensors(all) => all.iter().try_for_each(&mut *look)?,
                        _ => attribute.graphs().iter().try_for_each(|g| each_tensor(g, look))?,
                    }
                }
            }
        }
    }
    Ok(())
}

fn write_data(file: &DataFile, dir: &Path) -> Result<NamedTempFile, SaveError> {
    temporary(dir, |out| {
        let mut at = 0;
        for (offset, data) in &file.pieces {
            out.put_bytes(0, (offset - at) as usize);
            out.put_slice(data);
            at = offset + data.len() as u64;
        }
        Ok(())
    })
}

/// Writes a file that is gone if anything fails before it gets its name.
fn temporary(
    dir: &Path,
    fill: impl FnOnce(&mut Writer<&std::fs::File>) -> io::Result<()>,
) -> Result<NamedTempFile, SaveError> {
    let file = files::temporary(dir).map_err(SaveError::Io)?;
    let mut out = Writer::new(file.as_file());
    fill(&mut out).and_then(|()| out.finish()).map_err(SaveError::Io)?;
    Ok(file)
}
