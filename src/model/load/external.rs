//! Tensor data in files beside the model.

use super::TensorFault;
use crate::files::mapped;
use crate::proto::*;
use bytes::Bytes;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Maps a file into memory.
pub(super) fn map(path: &Path) -> io::Result<Bytes> {
    mapped::map(&File::open(path)?)
}

/// The same for a regular file alone: to open a pipe would be to wait for somebody who writes into it.
fn map_regular(path: &Path) -> io::Result<Bytes> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    map(path)
}

/// The data files of a model, each mapped once.
pub(super) struct Files {
    dir: Option<PathBuf>,
    open: HashMap<String, Bytes>,
}

impl Files {
    pub(super) fn new(dir: Option<&Path>) -> Files {
        Files { dir: dir.map(Path::to_path_buf), open: HashMap::new() }
    }

    /// The data of a tensor. Without a recorded length it has the `needed` one.
    pub(super) fn slice(&mut self, tensor: &TensorProto, needed: usize) -> Result<Bytes, TensorFault> {
        let location = entry(tensor, "location").ok_or(TensorFault::NoLocation)?;
        let number = |key| match entry(tensor, key) {
            None => Ok(None),
            Some(text) => {
                text.parse::<usize>().map(Some).map_err(|_| TensorFault::BadEntry { key, value: text.to_owned() })
            }
        };
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?.unwrap_or(needed);
        let data = self.file(location)?;
        match offset.checked_add(length) {
            Some(end) if end <= data.len() => Ok(data.slice(offset..end)),
            _ => Err(TensorFault::OutsideFile { location: location.to_owned(), offset, length, size: data.len() }),
        }
    }

    fn file(&mut self, location: &str) -> Result<&Bytes, TensorFault> {
        if !self.open.contains_key(location) {
            let inside = |c: Component| matches!(c, Component::Normal(_) | Component::CurDir);
            let relative = Path::new(location);
            if location.is_empty() || location.contains('\0') || !relative.components().all(inside) {
                return Err(TensorFault::Escapes(location.to_owned()));
            }
            let path = self.dir.as_ref().ok_or(TensorFault::NoFolder)?.join(relative);
            let data = map_regular(&path).map_err(|cause| TensorFault::File { path, cause })?;
            self.open.insert(location.to_owned(), data);
        }
        Ok(&self.open[location])
    }
}

fn entry<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    tensor.external_data.iter().find(|e| e.key() == key).map(|e| e.value())
}

/// Brings external data into every tensor of a model's parts that the IR carries without looking inside.
pub(super) fn inline_opaque(model: &mut ModelProto, inline: &mut Inline) -> Result<(), super::LoadError> {
    for function in &mut model.functions {
        nodes(&mut function.node, inline)?;
        function.attribute_proto.iter_mut().try_for_each(|a| attribute(a, inline))?;
    }
    for info in &mut model.training_info {
        info.initialization.iter_mut().chain(&mut info.algorithm).try_for_each(|g| graph(g, inline))?;
    }
    Ok(())
}

/// What is done to each tensor.
type Inline<'a> = dyn FnMut(&mut TensorProto) -> Result<(), super::LoadError> + 'a;

fn nodes(nodes: &mut [NodeProto], inline: &mut Inline) -> Result<(), super::LoadError> {
    nodes.iter_mut().flat_map(|n| &mut n.attribute).try_for_each(|a| attribute(a, inline))
}

fn graph(graph: &mut GraphProto, inline: &mut Inline) -> Result<(), super::LoadError> {
    graph.initializer.iter_mut().try_for_each(&mut *inline)?;
    graph.sparse_initializer.iter_mut().try_for_each(|s| sparse(s, inline))?;
    nodes(&mut graph.node, inline)
}

/// Brings external data into an attribute's tensors.
pub(super) fn attribute(a: &mut AttributeProto, inline: &mut Inline) -> Result<(), super::LoadError> {
    a.t.iter_mut().map(|t| &mut **t).chain(&mut a.tensors).try_for_each(&mut *inline)?;
    a.sparse_tensor.iter_mut().map(|s| &mut **s).chain(&mut a.sparse_tensors).try_for_each(|s| sparse(s, inline))?;
    a.g.iter_mut().map(|g| &mut **g).chain(&mut a.graphs).try_for_each(|g| graph(g, inline))
}

/// Brings external data into a sparse tensor.
pub(super) fn sparse(s: &mut SparseTensorProto, inline: &mut Inline) -> Result<(), super::LoadError> {
    s.values.iter_mut().chain(&mut s.indices).try_for_each(&mut *inline)
}
