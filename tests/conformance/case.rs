//! A case: a model, what it is fed, and what has to come out.

use secateur::feed::{Feed, InputSpec};
use secateur::ir::{Call, Model, Node, NodeId, Tensor, Type, ValueInfo};
use secateur::onnx::{from_bytes, tensor_from_bytes};
use std::path::{Path, PathBuf};

pub(crate) struct Case {
    /// The folder's name.
    pub name: String,
    pub bytes: Vec<u8>,
    pub model: Model,
    /// What goes into the inputs; `None` if some are no tensors.
    pub feed: Option<Feed>,
    /// The outputs in order, with what has to come out of those that are tensors.
    pub expected: Vec<(String, Option<Tensor>)>,
}

impl Case {
    /// Reads the case in a folder.
    pub(crate) fn read(dir: &Path) -> Result<Case, String> {
        let bytes = std::fs::read(dir.join("model.onnx")).map_err(|e| e.to_string())?;
        let model = from_bytes(bytes.clone().into(), Some(dir)).map_err(|e| format!("load: {e}"))?;
        let data = dir.join("test_data_set_0");
        let feed = match specs(&model) {
            Some(specs) => Feed::from_pb(&data, &specs).map_err(|e| e.to_string())?.pop(),
            None => None,
        };
        let expected = outputs(&model).enumerate().map(|(i, info)| {
            let read = || tensor(&data.join(format!("output_{i}.pb")));
            Ok((info.name.clone(), info.ty.tensor().map(|_| read()).transpose()?))
        });
        let expected = expected.collect::<Result<_, String>>()?;
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Case { name, bytes, model, feed, expected })
    }

    /// The only call, where there is one: the case is about its operator.
    pub(crate) fn call(&self) -> Option<&Call> {
        match self.model.graph.calls()[..] {
            [only] => self.model.graph.call(only),
            _ => None,
        }
    }
}

/// Every folder below `dir` that holds a case, sorted.
pub(crate) fn folders(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        if dir.join("model.onnx").is_file() {
            found.push(dir);
            continue;
        }
        let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        open.extend(entries.map(|e| e.unwrap().path()).filter(|p| p.is_dir()));
    }
    found.sort();
    found
}

/// The nodes of the inputs that have to be fed.
pub(crate) fn inputs(model: &Model) -> impl Iterator<Item = (NodeId, &ValueInfo)> {
    model.graph.inputs().into_iter().filter_map(|n| match model.graph.node(n) {
        Node::Input(i) if i.default.is_none() => Some((n, &i.info)),
        _ => None,
    })
}

/// The declarations of the outputs.
pub(crate) fn outputs(model: &Model) -> impl Iterator<Item = &ValueInfo> {
    model.graph.outputs().into_iter().filter_map(|n| match model.graph.node(n) {
        Node::Output(o) => Some(&o.info),
        _ => None,
    })
}

fn specs(model: &Model) -> Option<Vec<InputSpec>> {
    let spec = |info: &ValueInfo| match &info.ty {
        Type::Tensor(t) => Some(InputSpec::new(info.name.clone(), t.dtype, t.shape.clone().unwrap_or_default())),
        Type::Other => None,
    };
    inputs(model).map(|(_, info)| spec(info)).collect()
}

fn tensor(path: &Path) -> Result<Tensor, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    tensor_from_bytes(bytes.into()).map(|(_, tensor)| tensor).map_err(|e| format!("{}: {e}", path.display()))
}
