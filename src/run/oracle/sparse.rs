//! Sparse initializers, which tract does not read, with their zeros.

use crate::load::sparse_tensor;
use prost::Message;
use tract_onnx::pb::{GraphProto, SparseTensorProto, TensorProto};

/// Makes the sparse initializers of a graph and its subgraphs dense. Those that can't be read stay, and nothing defines
/// their values.
pub(super) fn fill(graph: &mut GraphProto) {
    for sparse in std::mem::take(&mut graph.sparse_initializer) {
        match filled(&sparse) {
            Some(tensor) => graph.initializer.push(tensor),
            None => graph.sparse_initializer.push(sparse),
        }
    }
    graph.node.iter_mut().flat_map(|n| &mut n.attribute).filter_map(|a| a.g.as_mut()).for_each(fill);
}

fn filled(sparse: &SparseTensorProto) -> Option<TensorProto> {
    let tensor = sparse_tensor(&sparse.encode_to_vec())?;
    Some(TensorProto {
        name: sparse.values.as_ref()?.name.clone(),
        dims: tensor.shape.iter().map(|&d| d as i64).collect(),
        data_type: tensor.dtype.code(),
        raw_data: tensor.raw().ok()?.to_vec(),
        ..TensorProto::default()
    })
}
